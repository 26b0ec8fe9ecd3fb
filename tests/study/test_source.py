"""YAML with positions."""

from __future__ import annotations

import pytest

from tippingpoint.errors import ConfigError
from tippingpoint.study.source import apply_overrides, read_yaml


def faults(text: str) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        read_yaml(text, "a.yaml")
    return list(caught.value.faults)


def test_values_and_places() -> None:
    document = read_yaml("a: 1\nb:\n  - x\n  - {c: 2e-3}\n", "a.yaml")
    assert document.data == {"a": 1, "b": ["x", {"c": 0.002}]}
    assert document.place(("b", 1, "c")) == "a.yaml:4:9"
    assert document.place(("b", 1, "c"), key=True) == "a.yaml:4:6"
    assert document.place(("b", 1, "missing", "deeper")) == "a.yaml:4:5", "a missing key stands at its parent"


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("2e-3", 0.002),
        ("1E6", 1e6),
        (".5", 0.5),
        ("-0.5", -0.5),
        ("1_000", 1000),
        ("010", "010"),
        ("no", "no"),
        ("on", "on"),
        ("true", True),
        ("~", None),
        ("", None),
        ("12:30:45", "12:30:45"),
        ("2024-01-01", "2024-01-01"),
        ("0x10", "0x10"),
        ("'1'", "1"),
    ],
)
def test_types_of_yaml_1_2(text: str, value: object) -> None:
    read = read_yaml(f"a: {text}", "a.yaml").data["a"]
    assert read == value
    assert type(read) is type(value)


@pytest.mark.parametrize(
    ("text", "place", "words"),
    [
        ("a: [1, 2", "a.yaml:1:9", "is not YAML"),
        ("a: 1\n\tb: 2", "a.yaml:2:1", "is not YAML"),
        ("a: &x 1\nb: *x", "a.yaml:2:4", "aliases are not taken"),
        ("a: 1\na: 2", "a.yaml:2:1", "for the second time (first at a.yaml:1:1)"),
        ("a: !!python/object/apply:os.system ['true']", "a.yaml:1:4", "is not taken"),
        ("a: !secret 1", "a.yaml:1:4", "is not taken"),
        ("? [1, 2]\n: 3", "a.yaml:1:3", "a key must be a plain word"),
        ("- 1\n- 2", "a.yaml:1:1", "is not a mapping"),
        ("", "a.yaml:1:1", "is not a mapping"),
        ("a: 1\n---\nb: 2", "a.yaml:2:1", "is not YAML"),
        ("a: \x00", "a.yaml", "is not YAML"),
        ("a: " + "[" * 5000, "a.yaml", ""),
        ("a" * 1_000_001, "a.yaml", "Is it the right file?"),
    ],
)
def test_faults_have_places(text: str, place: str, words: str) -> None:
    (fault,) = faults(text)
    assert fault.startswith(place)
    assert words in fault


def test_all_faults_at_once() -> None:
    assert len(faults("a: 1\na: 2\nb: !x 1\nc: 1\nc: 2\n")) == 3


def test_overrides() -> None:
    document = read_yaml("a: {b: 1}\nl: [1, {c: 2}]\nblocks: [1]\n", "a.yaml")
    apply_overrides(document, ["a.b=[1, 2]", "l.1.c=3e-1", "new.deep.key=word", "seeds=3", "e="])
    assert document.data == {
        "a": {"b": [1, 2]},
        "l": [1, {"c": 0.3}],
        "new": {"deep": {"key": "word"}},
        "seeds": 3,
        "e": None,
    }
    assert document.place(("a", "b", 0)) == "--set a.b=[1, 2]"


def test_faulty_overrides_are_all_told() -> None:
    document = read_yaml("a: {b: 1}\nl: [1]\n", "a.yaml")
    with pytest.raises(ConfigError) as caught:
        apply_overrides(document, ["a", "=1", "a..b=1", "l.3=1", "l.x=1", "a.b.c=1", "a=[1", "a=!x 1", "a=&q 1"])
    assert len(caught.value.faults) == 8
    assert all(fault.startswith("--set ") for fault in caught.value.faults)
