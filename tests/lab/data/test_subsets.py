"""Subsets: nested, stratified, fixed by content and seed alone."""

from __future__ import annotations

import re

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tippingpoint.errors import DataError
from tippingpoint.lab.data import nested_subset, split_validation, subset_count

ROUNDING = 1e-9  # of s * n_j / N in floating point

class_sizes = st.lists(st.integers(1, 40), min_size=1, max_size=8) | st.builds(
    lambda large, small: [large, *small], st.integers(100, 400), st.lists(st.integers(1, 8), min_size=1, max_size=8)
)


FIRST_VERSION_SUBSET = [19, 25, 38, 36, 13, 14, 11, 16]
FIRST_VERSION_VALIDATION = [8, 29, 34, 39]


def labels_of(sizes: list[int], shuffle: int) -> np.ndarray:
    return np.random.default_rng(shuffle).permutation(np.repeat(np.arange(len(sizes)), sizes))


def whole_order(labels: np.ndarray, fingerprint: str, seed: int) -> np.ndarray:
    return nested_subset(labels, np.arange(len(labels)), len(labels), fingerprint, seed)


@settings(max_examples=200, deadline=None)
@given(class_sizes, st.integers(0, 2**32), st.integers(0, 1000))
def test_every_count_is_stratified_to_within_one(sizes: list[int], shuffle: int, seed: int) -> None:
    labels = labels_of(sizes, shuffle)
    order = whole_order(labels, "content", seed)
    assert sorted(order.tolist()) == list(range(len(labels)))
    counts = np.cumsum(labels[order][:, None] == np.arange(len(sizes)), axis=0)
    shares = np.arange(1, len(labels) + 1)[:, None] * np.array(sizes) / len(labels)
    bound = 1 - 1 / (2 * len(sizes) - 2) if len(sizes) > 1 else 0.0  # Tijdeman's, below 1
    assert np.abs(counts - shares).max() <= bound + ROUNDING


@settings(max_examples=60, deadline=None)
@given(class_sizes, st.data())
def test_any_smaller_subset_begins_any_larger(sizes: list[int], data: st.DataObject) -> None:
    labels = labels_of(sizes, 1)
    pool = np.arange(len(labels))
    order = whole_order(labels, "content", 3)
    seen_all = next(s for s in range(1, len(labels) + 1) if len(set(labels[order[:s]])) == len(sizes))
    size = st.integers(seen_all, len(labels)) | st.floats(min((seen_all + 0.5) / len(labels), 1.0), 1.0)
    one, two = data.draw(size), data.draw(size)
    for asked in (one, two):
        chosen = nested_subset(labels, pool, asked, "content", 3)
        assert len(chosen) == subset_count(asked, len(labels))
        assert chosen.tolist() == order[: len(chosen)].tolist()


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 12), st.integers(1, 30), st.integers(0, 99), st.data())
def test_equal_classes_get_equal_counts(k: int, each: int, seed: int, data: st.DataObject) -> None:
    labels = np.tile(np.arange(k), each)
    rounds = data.draw(st.integers(1, each))
    chosen = nested_subset(labels, np.arange(len(labels)), rounds * k, "content", seed)
    assert np.bincount(labels[chosen], minlength=k).tolist() == [rounds] * k


@settings(max_examples=40, deadline=None)
@given(st.integers(2, 12), st.integers(2, 30), st.floats(0.0, 1.0, exclude_min=True), st.integers(0, 99))
def test_a_fraction_of_equal_classes_is_within_one_of_fraction_times_class(
    k: int, each: int, fraction: float, seed: int
) -> None:
    labels = np.tile(np.arange(k), each)
    if subset_count(fraction, len(labels)) < k:
        return
    chosen = nested_subset(labels, np.arange(len(labels)), fraction, "content", seed)
    assert np.abs(np.bincount(labels[chosen], minlength=k) - fraction * each).max() <= 1.0 + ROUNDING


def test_pure_function_of_fingerprint_and_seed() -> None:
    labels = labels_of([50, 60, 70], 0)
    pool = np.arange(20, 180)
    np.random.seed(1)  # noqa: NPY002 - the global state is what must not matter
    first = nested_subset(labels, pool, 60, "content", 0)
    np.random.seed(2)  # noqa: NPY002
    state = str(np.random.get_state())  # noqa: NPY002
    assert nested_subset(labels, pool[::-1], 60, "content", 0).tolist() == first.tolist()
    assert str(np.random.get_state()) == state  # noqa: NPY002
    assert set(first) <= set(pool)
    assert set(nested_subset(labels, pool, 60, "content", 1)) != set(first)
    assert set(nested_subset(labels, pool, 60, "other content", 0)) != set(first)


def test_order_never_changes() -> None:
    # Written down from the first version: stores made then must open forever.
    labels = np.arange(40) % 4
    chosen = nested_subset(labels, np.arange(40), 8, "content", 0)
    assert chosen.tolist() == FIRST_VERSION_SUBSET
    assert split_validation(labels, 0.1, "content")[1].tolist() == FIRST_VERSION_VALIDATION


def test_images_are_chosen_evenly() -> None:
    labels = np.arange(400) % 4
    times = np.zeros(400)
    for seed in range(200):
        times[nested_subset(labels, np.arange(400), 0.25, "content", seed)] += 1
    assert abs(times.mean() - 50) < ROUNDING
    assert times.std() == pytest.approx(np.sqrt(200 * 0.25 * 0.75), rel=0.15)  # binomial


@given(class_sizes.map(lambda sizes: [size + 30 for size in sizes]), st.floats(0.1, 0.9))
@settings(max_examples=60, deadline=None)
def test_validation_is_disjoint_complete_and_stratified(sizes: list[int], fraction: float) -> None:
    labels = labels_of(sizes, 2)
    pool, validation = split_validation(labels, fraction, "content")
    assert np.sort(np.concatenate([pool, validation])).tolist() == list(range(len(labels)))
    expected = len(validation) * np.array(sizes) / len(labels)
    assert np.abs(np.bincount(labels[validation], minlength=len(sizes)) - expected).max() < 1
    assert split_validation(labels, fraction, "content")[1].tolist() == validation.tolist()


@pytest.mark.parametrize(
    ("size", "words"),
    [
        (0, "1 image or more"),
        (-3, "1 image or more"),
        (41, "there are 40"),
        (0.0, "outside (0, 1]"),
        (1.5, "outside (0, 1]"),
        (-0.1, "outside (0, 1]"),
        (float("nan"), "outside (0, 1]"),
        (True, "count (int) or a fraction"),
        ("10", "count (int) or a fraction"),
        (3, "holds no image of class"),
        (0.001, "holds no image of class"),
    ],
)
def test_impossible_sizes_are_faults(size: float, words: str) -> None:
    with pytest.raises(DataError, match=re.escape(words)):
        nested_subset(np.arange(40) % 4, np.arange(40), size, "content", 0)


@pytest.mark.parametrize("fraction", [0.0, 1.0, -1.0, 2.0, float("nan"), True])
def test_validation_fraction_out_of_range(fraction: float) -> None:
    with pytest.raises(DataError, match="validation fraction"):
        split_validation(np.arange(40) % 4, fraction, "content")


def test_validation_needs_every_class() -> None:
    with pytest.raises(DataError, match=re.escape("validation part of 0.01")):
        split_validation(np.arange(40) % 4, 0.01, "content")


def test_fraction_one_is_the_whole_pool_and_numpy_sizes_count() -> None:
    labels = np.arange(40) % 4
    assert len(nested_subset(labels, np.arange(40), 1.0, "content", 0)) == 40
    assert subset_count(np.int64(7), 40) == 7
    assert subset_count(np.float32(0.5), 41) == 21


@pytest.mark.parametrize(
    ("fraction", "words"),
    [
        (0.05, "A validation part of 0.05 (1 image) holds no image of class 1: choose a larger validation_fraction"),
        (0.97, "leaves (1 image) holds no image of class 1: choose a smaller validation_fraction"),
    ],
)
def test_a_validation_part_without_a_class_says_what_to_change(fraction: float, words: str) -> None:
    labels = np.repeat([0, 1], [20, 4])
    with pytest.raises(DataError, match=re.escape(words)):
        split_validation(labels, fraction, "content")
