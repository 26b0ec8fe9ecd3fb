"""Which images a step sees, and that no subset is copied as a whole."""

from __future__ import annotations

from itertools import islice

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from tippingpoint.lab.data.augmentation import Augmentation
from tippingpoint.lab.training import batches
from tippingpoint.lab.training.batches import Feed, ImagesView, as_batch, as_view, batch_order

CPU = torch.device("cpu")


def positions(n: int, batch_size: int, count: int, seed: int = 0) -> list[torch.Tensor]:
    return [chosen for chosen, _ in islice(batch_order(n, batch_size, seed), count)]


def test_every_pass_sees_each_image_once() -> None:
    seen = torch.cat(positions(10, 4, 5))
    assert sorted(seen[:10].tolist()) == list(range(10))
    assert sorted(seen[10:].tolist()) == list(range(10))
    assert seen[:10].tolist() != seen[10:].tolist()


def test_a_subset_smaller_than_a_batch_fills_it() -> None:
    ((batch, passes),) = islice(batch_order(3, 7, seed=0), 1)
    assert len(batch) == 7
    assert set(batch.tolist()) == {0, 1, 2}
    assert passes.tolist() == [0, 0, 0, 1, 1, 1, 2]


def test_order_is_a_function_of_the_seed() -> None:
    orders = [torch.stack(positions(20, 4, 9, seed)) for seed in (1, 1, 2)]
    assert torch.equal(orders[0], orders[1])
    assert not torch.equal(orders[0], orders[2])


@given(n=st.integers(1, 40), batch_size=st.integers(1, 50), start=st.integers(0, 30))
def test_an_order_can_begin_anywhere(n: int, batch_size: int, start: int) -> None:
    whole = list(islice(batch_order(n, batch_size, 3), start + 3))[start:]
    late = list(islice(batch_order(n, batch_size, 3, start), 3))
    for (first, first_pass), (second, second_pass) in zip(whole, late, strict=True):
        assert torch.equal(first, second)
        assert torch.equal(first_pass, second_pass)


def test_a_late_beginning_costs_one_shuffle(monkeypatch: pytest.MonkeyPatch) -> None:
    drawn: list[tuple[object, ...]] = []
    real = batches.generator
    monkeypatch.setattr(batches, "generator", lambda *parts: drawn.append(parts) or real(*parts))
    next(batch_order(10, 5, seed=0, start=2001))
    assert drawn == [("order", 0, 1000)]


def test_pixels_are_scaled_to_one() -> None:
    batch = as_batch(np.array([0, 255], dtype=np.uint8).reshape(1, 1, 2, 1))
    assert batch.shape == (1, 1, 1, 2)
    assert batch.flatten().tolist() == [-1.0, 1.0]


def pictures(n: int = 50) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (n, 6, 6, 3), dtype=np.uint8)


def test_large_subsets_are_gathered_and_small_ones_held_with_the_same_bits(monkeypatch: pytest.MonkeyPatch) -> None:
    view = ImagesView(pictures(), np.array([7, 3, 3, 49, 20]))
    augmentation = Augmentation(flip=True, crop_padding=2, brightness=0.5)
    chosen, passes = torch.tensor([4, 0, 1, 1]), torch.tensor([0, 0, 5, 6])
    found = []
    for room in (view.array.nbytes, 5 * 6 * 6 * 3 - 1):
        monkeypatch.setattr(batches, "RESIDENT_BYTES", room)
        feed = Feed(view, augmentation, 1, CPU)
        assert (feed.resident is None) == (room < 5 * 6 * 6 * 3)
        found.append(feed.batch(chosen, passes))
        torch.testing.assert_close(Feed(view, None, 1, CPU).batch(chosen, passes), as_batch(view[chosen.numpy()]))
    assert torch.equal(*found)


class Watched:
    """An array that says how many images were taken out of it at most at a time."""

    def __init__(self, array: np.ndarray) -> None:
        self.array, self.shape, self.most = array, array.shape, 0

    def __getitem__(self, places: np.ndarray) -> np.ndarray:
        found: np.ndarray = self.array[places]
        self.most = max(self.most, len(found))
        return found


def test_a_large_subset_is_never_copied_as_a_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(batches, "RESIDENT_BYTES", 0)
    array = Watched(pictures(1000))
    view = ImagesView(array, np.arange(0, 1000, 2))  # type: ignore[arg-type]
    feed = Feed(view, None, 0, CPU)
    for chosen, passes in islice(batch_order(len(view), 16, 0), 10):
        assert torch.equal(feed.batch(chosen, passes), as_batch(array.array[2 * chosen.numpy()]))
    assert array.most == 16


def test_a_small_subset_is_taken_in_pieces_of_bounded_size(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(batches, "CHUNK_BYTES", 7 * 6 * 6 * 3)
    array = Watched(pictures())
    feed = Feed(ImagesView(array, np.arange(50)), None, 0, CPU)  # type: ignore[arg-type]
    assert array.most == 7
    assert torch.equal(feed.batch(torch.arange(50), torch.zeros(50, dtype=torch.int64)), as_batch(array.array))


def test_the_same_image_of_two_subsets_is_augmented_alike() -> None:
    array, augmentation = pictures(), Augmentation(random_resized_crop=(0.2, 1.0), erasing=0.5)
    small, large = ImagesView(array, np.array([30, 8])), ImagesView(array, np.array([8, 1, 2, 30]))
    one = Feed(small, augmentation, 5, CPU).batch(torch.tensor([0, 1]), torch.tensor([2, 2]))
    other = Feed(large, augmentation, 5, CPU).batch(torch.tensor([1, 0, 2, 3]), torch.tensor([7, 2, 0, 2]))
    assert torch.equal(one, other[[3, 1]]), "whatever stands beside it, and wherever"
    assert not torch.equal(one, Feed(small, augmentation, 6, CPU).batch(torch.tensor([0, 1]), torch.tensor([2, 2])))
    later = Feed(small, augmentation, 5, CPU).batch(torch.tensor([0, 1]), torch.tensor([2, 3]))
    assert torch.equal(one[0], later[0]), "each image by itself"
    assert not torch.equal(one[1], later[1]), "and otherwise at every pass"


def test_an_array_is_a_view_of_all_its_images() -> None:
    array = pictures(4)
    assert np.array_equal(as_view(array)[:], array)
    view = ImagesView(array, np.array([1]))
    assert as_view(view) is view
