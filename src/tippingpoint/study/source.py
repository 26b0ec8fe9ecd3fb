"""YAML with positions: every value of a study file knows its ``file:line:column``.

The reader follows YAML 1.2's core types, so that ``2e-3`` is a number and ``no`` is a word. It takes a mapping of plain
values and nothing else: aliases, tags and repeated keys are told as faults, all of them at once.

Deliberately not built: anchors and merge keys. A study file is short; what is written twice is easier read twice.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import yaml

from tippingpoint.errors import ConfigError

__all__ = ["Document", "Fault", "Loc", "apply_overrides", "position", "read_yaml"]

PLAIN = {f"tag:yaml.org,2002:{kind}" for kind in ("null", "bool", "int", "float", "str")}
Loc = tuple[str | int, ...]
Fault = tuple[Loc, str]  # where, and what is wrong
LONGEST = 1_000_000  # characters; a study file has some two thousand
DEEPEST = 50  # values inside values; a study file has some six


@dataclass
class Document:
    """Plain values and where each of them stands.

    Attributes
    ----------
    name : str
        The file's name, for messages.
    data : dict
        The values: ``dict``, ``list``, ``str``, ``int``, ``float``, ``bool``, ``None``.
    places : dict of loc to str
        ``file:line:column`` of each value.
    keys : dict of loc to str
        ``file:line:column`` of each mapping's key.
    """

    name: str
    data: dict[str, Any]
    places: dict[Loc, str] = field(default_factory=dict)
    keys: dict[Loc, str] = field(default_factory=dict)

    def place(self, loc: Loc, *, key: bool = False) -> str:
        """Return where a value (or its key) stands; of a missing one, where its nearest parent does."""
        if key and loc in self.keys:
            return self.keys[loc]
        while loc and loc not in self.places:
            loc = loc[:-1]
        return self.places.get(loc, self.name)


class _Loader(yaml.SafeLoader):
    """SafeLoader with the types of YAML 1.2 and without aliases."""

    yaml_implicit_resolvers: dict[str, list[tuple[str, re.Pattern[str]]]] = {}  # noqa: RUF012 - PyYAML's own form

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self.aliases: list[Any] = []  # marks
        self.depth = 0

    def compose_node(self, parent: Any, index: Any) -> Any:
        if self.check_event(yaml.AliasEvent):
            event = self.get_event()  # type: ignore[no-untyped-call]
            self.aliases.append(event.start_mark)
            return yaml.ScalarNode("tag:yaml.org,2002:null", "", event.start_mark, event.end_mark)
        self.depth += 1
        if self.depth > DEEPEST:
            mark = self.peek_event().start_mark  # type: ignore[no-untyped-call]
            raise yaml.composer.ComposerError(None, None, "values are nested too deeply for a study", mark)
        node = super().compose_node(parent, index)
        self.depth -= 1
        return node


for _tag, _pattern, _first in (
    ("null", r"^(?:~|null|Null|NULL|)$", ["~", "n", "N", ""]),
    ("bool", r"^(?:true|True|TRUE|false|False|FALSE)$", list("tTfF")),
    ("int", r"^[-+]?(?:0|[1-9][0-9_]*)$", list("-+0123456789")),
    (
        "float",
        r"^(?:[-+]?(?:[0-9][0-9_]*\.[0-9_]*|\.[0-9]+)(?:[eE][-+]?[0-9]+)?|[-+]?[0-9][0-9_]*[eE][-+]?[0-9]+"
        r"|[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN))$",
        list("-+0123456789."),
    ),
):
    _Loader.add_implicit_resolver(f"tag:yaml.org,2002:{_tag}", re.compile(_pattern), _first)


class _Builder:
    """Turns composed nodes into values, and notes every place and every fault on the way."""

    def __init__(self, loader: _Loader, name: str) -> None:
        self.loader = loader
        self.name = name
        self.places: dict[Loc, str] = {}
        self.keys: dict[Loc, str] = {}
        self.faults = [f"{self.at(mark)}: aliases are not taken; write the value out." for mark in loader.aliases]

    def at(self, mark: Any) -> str:
        return f"{self.name}:{mark.line + 1}:{mark.column + 1}"

    def build(self, node: yaml.Node, loc: Loc) -> Any:
        self.places[loc] = self.at(node.start_mark)
        if isinstance(node, yaml.MappingNode) and node.tag == "tag:yaml.org,2002:map":
            return self._mapping(node, loc)
        if isinstance(node, yaml.SequenceNode) and node.tag == "tag:yaml.org,2002:seq":
            return [self.build(item, (*loc, place)) for place, item in enumerate(node.value)]
        if isinstance(node, yaml.ScalarNode) and node.tag in PLAIN:
            try:
                return self.loader.construct_object(node)
            except (yaml.YAMLError, ValueError):
                pass
        self.faults.append(f"{self.at(node.start_mark)}: the tag {node.tag} is not taken; write a plain value.")
        return None

    def _mapping(self, node: yaml.MappingNode, loc: Loc) -> dict[str, Any]:
        values: dict[str, Any] = {}
        for key_node, value_node in node.value:
            if not isinstance(key_node, yaml.ScalarNode):
                self.faults.append(f"{self.at(key_node.start_mark)}: a key must be a plain word.")
                continue
            key = str(key_node.value)
            here = (*loc, key)
            if here in self.keys:
                self.faults.append(
                    f"{self.at(key_node.start_mark)}: key '{key}' stands here for the second time (first at "
                    f"{self.keys[here]}); remove one."
                )
                continue
            self.keys[here] = self.at(key_node.start_mark)
            values[key] = self.build(value_node, here)
        return values


def read_yaml(text: str, name: str) -> Document:
    """Read a YAML mapping with the place of every value.

    Parameters
    ----------
    text : str
        The file's content.
    name : str
        The file's name, for messages.

    Returns
    -------
    Document
        Values and places.

    Raises
    ------
    ConfigError
        The text is not YAML, is not a mapping, or uses what is not taken; each fault with its place.
    """
    if len(text) > LONGEST:
        raise ConfigError(
            f"{name}:1:1: has {len(text)} characters; a study file has a few thousand. Is it the right file?"
        )
    try:
        loader = _Loader(text)
        node = loader.get_single_node()
        if not isinstance(node, yaml.MappingNode):
            raise ConfigError(f"{name}:1:1: is not a mapping of keys to values; 'tippingpoint init' writes an example.")
        builder = _Builder(loader, name)
        data = builder.build(node, ())
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        where = f"{name}:{mark.line + 1}:{mark.column + 1}" if mark else f"{name}:1:1"
        raise ConfigError(f"{where}: is not YAML: {error.problem or error.context}.") from error
    except yaml.reader.ReaderError as error:  # a character that YAML does not allow
        at = int(error.position)
        what = f"the character U+{ord(text[at]):04X} is not allowed; remove it"
        raise ConfigError(f"{name}:{position(text[:at])}: is not YAML: {what}.") from error
    except RecursionError as error:
        raise ConfigError(f"{name}:1:1: is nested too deeply for a study.") from error
    if builder.faults:
        raise ConfigError(builder.faults)
    return Document(name, data, builder.places, builder.keys)


def position(before: str) -> str:
    """Return ``line:column`` of what stands behind some text."""
    lines = before.split("\n")
    return f"{len(lines)}:{len(lines[-1]) + 1}"


def _override_value(text: str) -> Any:
    """Read the right side of ``--set`` as YAML; ``{a: 1}`` and ``[1, 2]`` are taken too."""
    loader = _Loader(text)
    node = loader.get_single_node()
    if node is None:
        return None
    builder = _Builder(loader, "")
    value = builder.build(node, ())
    if builder.faults:
        raise yaml.YAMLError(builder.faults[0])
    return value


def apply_overrides(document: Document, overrides: Sequence[str]) -> None:
    """Change a document by ``--set key.key=value``, in the order given.

    Parameters
    ----------
    document : Document
        Changed in place; the places of what is set name the option.
    overrides : sequence of str
        Dotted key, ``=``, YAML value. A number picks an element of a list. ``seeds`` and ``blocks`` replace each other.

    Raises
    ------
    ConfigError
        An override is not of that form or leads nowhere; every such one is named.
    """
    faults = []
    for override in overrides:
        path, equals, text = override.partition("=")
        place = f"--set {override}"
        parts = path.strip().split(".")
        if not equals or not all(parts):
            faults.append(f"{place}: is not of the form key=value or key.key=value.")
            continue
        try:
            value = _override_value(text)
        except (yaml.YAMLError, RecursionError):
            faults.append(f"{place}: '{text}' is not a YAML value; quote it if it is a word with special characters.")
            continue
        fault = _assign(document, parts, value, place)
        if fault:
            faults.append(fault)
    if faults:
        raise ConfigError(faults)


def _assign(document: Document, parts: list[str], value: Any, place: str) -> str | None:
    """Put a value at a dotted path; return the fault if there is no such path."""
    target: Any = document.data
    loc: Loc = ()
    for position, part in enumerate(parts):
        last = position == len(parts) - 1
        step: str | int = part
        if isinstance(target, list):
            if not part.isdigit() or int(part) >= len(target):
                above = ".".join(parts[:position])
                return f"{place}: '{above}' is a list of {len(target)}; '{part}' is not a place in it."
            step = int(part)
        elif not isinstance(target, dict):
            return f"{place}: '{'.'.join(parts[:position])}' is a value and has no key '{part}'."
        loc = (*loc, step)
        if last:
            target[step] = value
        elif isinstance(target, dict):
            if target.get(part) is None:
                target[part] = {}
                document.places[loc] = document.keys[loc] = place
            target = target[part]
        else:
            target = target[int(part)]
    _forget_below(document, loc)
    document.places[loc] = document.keys[loc] = place
    rival = {"seeds": "blocks", "blocks": "seeds"}.get(".".join(parts))
    if rival:
        document.data.pop(rival, None)
    return None


def _forget_below(document: Document, loc: Loc) -> None:
    """Drop the places of what an override has replaced."""
    for table in (document.places, document.keys):
        for known in [known for known in table if known[: len(loc)] == loc]:
            del table[known]
