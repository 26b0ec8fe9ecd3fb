"""From a preset's name or a file to a checked study: all faults at once, each with ``file:line:column``."""

from __future__ import annotations

import contextlib
import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from difflib import get_close_matches
from pathlib import Path
from typing import Any, get_args, get_origin

import yaml
from pydantic import BaseModel, ValidationError

from tippingpoint import presets
from tippingpoint.errors import ConfigError, EnvironmentFault, did_you_mean
from tippingpoint.study.checks import check_config, named_sets, resolve_images, resolve_sizes
from tippingpoint.study.config import StudyConfig
from tippingpoint.study.laboratory import ImageFacts, Laboratory, RealLaboratory
from tippingpoint.study.model_checks import ask_laboratory
from tippingpoint.study.source import Document, Fault, Loc, apply_overrides, position, read_yaml

__all__ = ["Study", "dump_config", "load_study", "read_source", "study_directory"]


WORDS = {  # in place of pydantic's own, where those speak of its machinery
    "list_type": "should be a list in brackets",
    "tuple_type": "should be a list in brackets",
    "too_short": "should name at least one",
    "string_pattern_mismatch": "should be at most 64 letters, digits, '-', '_' and '.', the first a letter or digit",
}
STAND_INS: dict[Any, Any] = {  # of keys that no other key is checked against
    "name": "study",
    "seeds": 2,
    "validation_fraction": 0.1,
    "score_on": "test",
    "label_weight": 0.5,
    "temperature": 1.0,
    "attention_weight": 0.0,
    "attention_temperature": 1.0,
    "label_smoothing": 0.1,
    "learning_rate": 1e-3,
    "weight_decay": 0.0,
    "warmup_learning_rate": 0.0,
    "final_learning_rate": 0.0,
    "clip_norm": 0.0,
    "warmup_steps": 0,
    "batch_size": 16,
    **dict.fromkeys(("contrast", "brightness", "saturation", "erasing"), 0.0),
}
SIZES, STAND_IN_SIZE = ("n_pretrain", "n_finetune"), 0.9876  # of a size in a list, unlike any that a study has


@dataclass(frozen=True)
class Study:
    """A checked study, ready to become cells.

    Attributes
    ----------
    config : StudyConfig
        What the file says, overrides applied.
    images : dict of str to ImageFacts
        Facts of every set that it names.
    n_pretrain : dict of str to int
        ``repr`` of each upstream size -> count of images.
    n_finetune : dict of str to dict of str to int
        Downstream set -> ``repr`` of each size -> count of images.
    laboratory : Laboratory
        What trains.
    origin : str
        The preset's name or the file, as the user typed it.
    weights : dict of str to dict
        Name of the ladder -> ``path`` and ``sha256`` of its public weights.
    precision : dict of str to str
        For ``precision: auto``: model (JSON, see `tippingpoint.study.tasks.probed_model`) -> ``float32`` or
        ``bfloat16``, as decided.
    places : dict of str to str
        Set -> where the file names it: ``file:line:column: key``.
    """

    config: StudyConfig
    images: dict[str, ImageFacts]
    n_pretrain: dict[str, int]
    n_finetune: dict[str, dict[str, int]]
    laboratory: Laboratory = field(repr=False)
    origin: str = ""
    weights: dict[str, dict[str, str]] = field(default_factory=dict)
    precision: dict[str, str] = field(default_factory=dict)
    places: dict[str, str] = field(default_factory=dict)


def study_directory(study: Study, directory: Path | None) -> Path:
    """Return the directory of a study, by default ``studies/NAME``.

    Raises
    ------
    ConfigError
        It is a file.
    """
    root = directory if directory is not None else Path("studies") / study.config.name
    if root.is_file():
        raise ConfigError(f"{root}: is a file, and a study needs a directory; name another with --dir.")
    return root


def read_source(source: str | Path) -> tuple[str, str]:
    """Return (text, name) of a study file or a preset.

    Parameters
    ----------
    source : str or Path
        A path, or the name of a preset.

    Raises
    ------
    ConfigError
        There is neither such a file nor such a preset, or the file is not text.
    """
    word = str(source)
    path = Path(word)
    if word in presets.names() and not path.suffix:
        return presets.read(word), f"{word}.yaml"
    content = b""
    try:
        if path.is_file():
            content = path.read_bytes()
            return content.decode("utf-8"), word
    except UnicodeDecodeError as error:
        where = position(content[: error.start].decode("utf-8"))
        raise ConfigError(
            f"{word}:{where}: is not UTF-8 text (byte {error.start}); is it a YAML file? If so, save it as UTF-8."
        ) from error
    except OSError as error:
        raise EnvironmentFault(f"{word}: cannot be read ({error.strerror or error}); check its permissions.") from error
    known = presets.names()
    what = "is a directory, not a study file" if path.is_dir() else "is neither a study file nor a preset"
    raise ConfigError(f"'{word}' {what}.{did_you_mean(word, known)} Presets: {', '.join(known)}.")


def load_study(
    source: str | Path,
    overrides: Sequence[str] = (),
    laboratory: Laboratory | None = None,
    *,
    planning: bool = False,
) -> Study:
    """Read, check and resolve a study.

    Parameters
    ----------
    source : str or Path
        A path, or the name of a preset.
    overrides : sequence of str, default none
        ``key.key=value``, applied in order.
    laboratory : Laboratory, optional
        What trains; by default the package's own.
    planning : bool, default False
        A public set that is not prepared will do: its maker's counts are enough for a plan, and for nothing else.

    Returns
    -------
    Study
        Checked, its sizes resolved to counts.

    Raises
    ------
    ConfigError
        Every fault that was found, each with its place.
    """
    lab = laboratory or RealLaboratory()
    document = read_yaml(*read_source(source))
    if overrides:
        apply_overrides(document, overrides)
    config, told, told_at = _validate(document)
    faults = check_config(config)
    weights: dict[str, dict[str, str]] = {}
    if not any(loc[:1] == ("model",) for loc, _ in faults):
        weights, more = ask_laboratory(config, lab, planning=planning)
        faults += more
    images, more = resolve_images(config, lab, planning=planning)
    faults += more
    n_pretrain: dict[str, int] = {}
    n_finetune: dict[str, dict[str, int]] = {}
    upstream = config.upstream
    if upstream is not None and upstream in images:
        n_pretrain, more = resolve_sizes(config.n_pretrain, images[upstream], "n_pretrain", upstream)
        faults += more
    for name in config.downstream:
        if name in images:
            n_finetune[name], more = resolve_sizes(config.n_finetune, images[name], "n_finetune", name)
            faults += more
    _refuse(document, [fault for fault in faults if fault[0] not in told_at], told)
    places = {name: f"{document.place(loc)}: {'.'.join(map(str, loc))}" for loc, name in named_sets(config)}
    return Study(config, images, n_pretrain, n_finetune, lab, str(source), weights, places=places)


def _refuse(document: Document, faults: Sequence[Fault], told: Sequence[str] = ()) -> None:
    """Raise one ConfigError for all faults, if there are any."""
    sentences = [*told]
    for loc, fault in faults:
        key, whole = ".".join(map(str, loc)), fault if fault.endswith("?") else f"{fault}."
        sentences.append(f"{document.place(loc)}: {key}: {whole}" if key else f"{document.place(loc)}: {whole}")
    if sentences:
        raise ConfigError(sorted(dict.fromkeys(sentences), key=_line_of))


def _line_of(sentence: str) -> tuple[int, int]:
    """Return the line and column that a sentence begins with; what has none comes first."""
    found = re.match(r".*?:(\d+):(\d+): ", sentence)
    return (int(found[1]), int(found[2])) if found else (0, 0)


def _validate(document: Document) -> tuple[StudyConfig, list[str], set[Loc]]:
    """Type-check the values; return settings to check further, a sentence for each fault, and where the faults are.

    Unknown keys are left out and some faulty values replaced, so that the rest can be checked too.
    """
    try:
        return StudyConfig.model_validate_json(_as_json(document.data)), [], set()
    except ValidationError as error:
        details = error.errors(include_url=False)
    meant = {(*detail["loc"][:-1], *_near(detail["loc"])) for detail in details if detail["type"] == "extra_forbidden"}
    missed = [one for one in details if one["type"] != "missing" or tuple(one["loc"]) not in meant]
    told = list(dict.fromkeys(_sentence(document, detail) for detail in missed))
    mended = _mended(document.data, details)
    if mended is not None:
        with contextlib.suppress(ValidationError):
            config = StudyConfig.model_validate_json(_as_json(mended))
            return config, told, {loc for detail in details for loc in _answered(document, detail)}
    raise ConfigError(sorted(told, key=_line_of))


def _answered(document: Document, detail: Any) -> Iterator[Loc]:
    """Return where nothing more is to be said: at the fault, and at absent keys that an unknown one may stand for."""
    loc: Loc = tuple(detail["loc"])
    yield loc
    if detail["type"] == "extra_forbidden":
        for key in _keys_at(loc[:-1]):
            if (*loc[:-1], key) not in document.places:
                yield (*loc[:-1], key)


def _mended(data: dict[str, Any], details: Sequence[Any]) -> dict[str, Any] | None:
    """Return a copy of the values without unknown keys and with stand-ins for faulty ones; None where one has none.

    An unknown key that is near to an absent one gives its value to that, so that nothing seems to be missing.
    """
    copy: dict[str, Any] = json.loads(_as_json(data))
    for detail in sorted(details, key=lambda one: one["type"] != "extra_forbidden"):
        loc, target = detail["loc"], copy
        for step in loc[:-1]:
            target = target[step]
        if detail["type"] == "extra_forbidden":
            value = target.pop(loc[-1], None)
            target.update(dict.fromkeys(set(_near(loc)) - target.keys(), value))
        elif detail["type"] == "missing" and loc[-1] in target:
            continue
        elif loc and loc[-1] in STAND_INS and detail["type"] != "missing":
            target[loc[-1]] = STAND_INS[loc[-1]]
        elif len(loc) == 2 and loc[0] in SIZES:
            target[loc[-1]] = STAND_IN_SIZE - 1e-6 * loc[-1]
        else:
            return None
    return copy


def _near(loc: Loc) -> list[str]:
    """Return the one known key that an unknown one may stand for, or none."""
    return get_close_matches(str(loc[-1]), _keys_at(loc[:-1]), n=1)


def _as_json(data: dict[str, Any]) -> str:
    return json.dumps(data)


def _sentence(document: Document, detail: Any) -> str:
    """Turn one of pydantic's faults into a sentence with its place."""
    loc: Loc = tuple(detail["loc"])
    kind, dotted = detail["type"], ".".join(map(str, loc))
    if kind == "extra_forbidden":
        known = _keys_at(loc[:-1])
        section = f"of {'.'.join(map(str, loc[:-1]))}" if loc[:-1] else "of a study"
        hint = did_you_mean(str(loc[-1]), known) or f" The keys {section} are {', '.join(known)}."
        return f"{document.place(loc, key=True)}: unknown key '{loc[-1]}' {section}.{hint}"
    if kind == "missing":
        return f"{document.place(loc)}: the key {dotted} is missing; add it."
    message = str(detail["msg"])
    message = message[0].lower() + message[1:]
    message = message.replace("input should", "should").replace("valid dictionary or object to extract fields from", "")
    if kind in ("model_type", "model_attributes_type", "dict_type"):
        message = "should be a mapping of keys to values"
    message = WORDS.get(kind, message)
    given = detail["input"]
    shown = "" if isinstance(given, (dict, list)) else f", not {given!r}"
    where = f"{dotted}: " if dotted else ""
    return f"{document.place(loc)}: {where}{message}{shown}."


def _keys_at(loc: Loc) -> list[str]:
    """Return the keys that the settings at a place have."""
    model: Any = StudyConfig
    named = False  # the next step is a name that the user chose, as in finetuning_of
    for step in loc:
        if isinstance(step, str) and not named:
            field = getattr(model, "model_fields", {}).get(step)
            model = _settings_in(field.annotation) if field else None
            named = field is not None and any(get_origin(part) is dict for part in get_args(field.annotation))
        else:
            named = False
    return list(getattr(model, "model_fields", {}))


def _settings_in(annotation: Any) -> Any:
    """Return the settings class inside ``X``, ``X | None`` or ``list[X]``."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    for inner in get_args(annotation):
        found = _settings_in(inner)
        if found is not None:
            return found
    return None


def dump_config(config: StudyConfig) -> str:
    """Return a study file that says the same, every default written out."""
    values = config.model_dump(mode="json")
    values["recipes"] = {name: value for name, value in values["recipes"].items() if value is not None}
    return yaml.safe_dump(_plain(values), sort_keys=False, default_flow_style=None, width=110, allow_unicode=True)


def _plain(value: Any) -> Any:
    """Leave out what is not set: absent and null mean the same in a study file."""
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items() if item is not None}
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    return value
