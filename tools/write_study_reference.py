"""Write docs/study-file.md from the settings' own classes, so that the page cannot say what the code does not.

python tools/write_study_reference.py           # writes the page
python tools/write_study_reference.py --check   # exit code 1 where the committed page differs; writes nothing
"""

from __future__ import annotations

import argparse
import inspect
import sys
from collections.abc import Iterator
from pathlib import Path
from types import NoneType, UnionType
from typing import Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel, JsonValue
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from tippingpoint import presets
from tippingpoint.files import write_atomic
from tippingpoint.study.config import StudyConfig
from tippingpoint.study.values import ImageCount, Model, ModelName, Teacher

PAGE = Path(__file__).parents[1] / "docs" / "study-file.md"
TEACHER = "model, or list of them"
PLAIN = {  # pydantic takes the outermost Annotated off, so that a teacher comes as a tuple and a lone size as Any
    ImageCount: "size",
    Any: "size",
    Teacher: TEACHER,
    tuple[Model, ...]: TEACHER,
    ModelName: "model",
    Model: "model",
    JsonValue: "value",
    bool: "`true` or `false`",
    int: "integer",
    float: "number",
    str: "text",
}
HEAD = """\
# The study file

<!-- Written by tools/write_study_reference.py from src/tippingpoint/study/config.py: change it there. -->

A study is one YAML file: what to train, on which images, how often, and the one question declared beforehand.
`tippingpoint init` writes a commented example, `tippingpoint plan FILE` checks a file and says what it would cost,
`tippingpoint run FILE` runs it. `--set key.key=value` changes a value for one run.

What is wrong with a file is told all at once, each fault with `file:line:column`, and nothing is started. Unknown keys,
values of another type (`"3"` for `3`), NaN, and a key that stands twice are faults; so are YAML's anchors and aliases.
An absent key and `null` mean the same.

"Assumed" marks a value that the paper does not give. A default is what an absent key means; presets may set others.

*Sizes*: an integer is a count of images; a float in (0, 1] is a share of the training images that are left when the
validation part is held out. `1` is one image, `1.0` is all of them. Every subset must hold each class at least once.

*Models*: a number of heads (a DeiT of the shape that `model` gives), or a name of `model.ladder`. In the runs table the
first is `heads=2`, the second its name.

"""


def _kind(annotation: Any) -> str:
    """Return a type as a person says it."""
    if annotation in PLAIN:
        return PLAIN[annotation]
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return f"[{annotation.__name__}](#{annotation.__name__.lower()})"
    return _compound(get_origin(annotation), get_args(annotation))


def _compound(origin: Any, inner: tuple[Any, ...]) -> str:
    """Return a type that is made of others as a person says it."""
    if origin in (Union, UnionType):
        return " or ".join(_kind(part) for part in inner if part is not NoneType)
    if origin is Literal:
        return " or ".join(f"`{value}`" for value in inner)
    if origin is tuple:
        return f"list of {len(inner)} x {_kind(inner[0])}"
    if origin is dict:
        return f"mapping of {_kind(inner[0])} to {_kind(inner[1])}"
    return f"list of {_kind(inner[0])}" if origin is list else _kind(inner[0])  # else a type with bounds of its own


def _limits(field: FieldInfo) -> str:
    """Return the bounds of a value, such as ``>= 1``."""
    signs = {"ge": ">=", "gt": ">", "le": "<=", "lt": "<"}
    found = [
        f"{sign} {getattr(part, name)}"
        for part in field.metadata
        for name, sign in signs.items()
        if hasattr(part, name)
    ]
    return f" ({', '.join(found)})" if found else ""


def _default(field: FieldInfo) -> str:
    if field.default_factory is not None:
        made = field.default_factory()  # type: ignore[call-arg]
        return "its own defaults" if isinstance(made, BaseModel) else "none" if not made else f"`{made}`"
    if field.default is PydanticUndefined:
        return "**required**"
    if field.default is None:
        return "none"
    value = list(field.default) if isinstance(field.default, tuple) else field.default
    return f"`{value}`"


def _table(model: type[BaseModel]) -> Iterator[str]:
    yield "| key | type | default | meaning |"
    yield "| --- | --- | --- | --- |"
    for name, field in model.model_fields.items():
        kind = _kind(field.annotation) + _limits(field)
        yield f"| `{name}` | {kind} | {_default(field)} | {field.description} |"


def _sections(model: type[BaseModel], seen: dict[type[BaseModel], None]) -> None:
    """Collect the settings' classes in the order in which a reader meets them."""
    seen[model] = None
    for field in model.model_fields.values():
        for inner in _models_in(field.annotation):
            if inner not in seen:
                _sections(inner, seen)


def _models_in(annotation: Any) -> Iterator[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for part in get_args(annotation):
        yield from _models_in(part)


def page() -> str:
    """Return the whole page."""
    found: dict[type[BaseModel], None] = {}
    _sections(StudyConfig, found)
    parts = [HEAD]
    for model in found:
        title = "The whole file" if model is StudyConfig else model.__name__
        parts += [f"## {title}\n\n{inspect.cleandoc(model.__doc__ or '')}\n\n", "\n".join(_table(model)), "\n\n"]
    parts.append(f"## An example\n\nThe preset `smoke`, whole:\n\n```yaml\n{presets.read('smoke').rstrip()}\n```\n")
    return "".join(parts)


def main() -> int:
    """Write or check the page."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--check", action="store_true", help="Write nothing; exit code 1 where the page differs.")
    if parser.parse_args().check:
        return int(not PAGE.is_file() or PAGE.read_text(encoding="utf-8") != page())
    print(write_atomic(PAGE, page()))
    return 0


if __name__ == "__main__":
    sys.exit(main())
