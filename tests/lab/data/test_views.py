"""Class views: names, renumbering, fingerprints, and what a mistyped name is told."""

from __future__ import annotations

import numpy as np
import pytest

from tippingpoint.errors import DataError
from tippingpoint.lab.data import describe_image_set, load_image_set
from tippingpoint.lab.data.views import parse_name


@pytest.mark.parametrize(
    ("name", "base", "classes"),
    [
        ("digits", "digits", None),
        ("digits[0-2]", "digits", (0, 1, 2)),
        ("digits[4,0,2]", "digits", (0, 2, 4)),
        ("a/b.npz[0-1, 7]", "a/b.npz", (0, 1, 7)),
    ],
)
def test_names_are_taken_apart(name: str, base: str, classes: tuple[int, ...] | None) -> None:
    assert parse_name(name) == (base, classes)


def test_view_keeps_order_and_renumbers() -> None:
    whole = load_image_set("digits", image_size=8, channels=1)
    view = load_image_set("digits[2,5,7]", image_size=8, channels=1)
    kept = np.isin(whole.train_labels, [2, 5, 7])
    assert np.array_equal(view.train_images, whole.train_images[kept])
    assert np.array_equal(np.array([2, 5, 7])[view.train_labels], whole.train_labels[kept])
    assert view.class_names == ("2", "5", "7")
    assert set(view.test_labels) == {0, 1, 2}


def test_fingerprints_tell_views_apart_and_know_equal_ones() -> None:
    prints = {name: describe_image_set(name)["fingerprint"] for name in ("digits", "digits[0-4]", "digits[0-5]")}
    assert len(set(prints.values())) == 3
    assert describe_image_set("digits[4,3,2,1,0]")["fingerprint"] == prints["digits[0-4]"]
    assert describe_image_set("digits[0-9]")["fingerprint"] == prints["digits"]


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("digits[]", ["neither a class number nor a range"]),
        ("digits[5-0]", ["runs backwards; write 0-5"]),
        ("digits[a,5-0,3,3]", ["'a' is neither", "runs backwards", "class 3 is named twice"]),
        ("digits[3]", ["one class"]),
        ("digits[0-12]", ["classes 10, 11, 12 do not exist; the set has classes 0 to 9"]),
        ("digits[0-5", ["not the name of a class view"]),
        ("digits[0-1][0-1]", ["There is no set 'digits[0-1]'"]),
        ("digits[-1]", ["neither a class number nor a range"]),
        ("fashion_minst[0-5]", ["Did you mean 'fashion_mnist'?"]),
        ("", ["empty"]),
        ("no/such/folder", ["there is no such file or folder"]),
    ],
)
def test_faulty_names_are_told_all_their_faults(name: str, words: list[str]) -> None:
    with pytest.raises(DataError) as caught:
        describe_image_set(name)
    assert len(caught.value.faults) == len(words)
    for fault, word in zip(caught.value.faults, words, strict=True):
        assert word in fault
