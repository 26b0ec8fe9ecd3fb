"""Training images that are test images too: which of them spoil a score, and which are only told."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tippingpoint.errors import DataError
from tippingpoint.lab.data import ImageSet, find_leaks, load_image_set, prepare_image_set
from tippingpoint.lab.data.known import KNOWN
from tippingpoint.study.laboratory import RealLaboratory


def noise(n: int, seed: int) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (n, 6, 6, 1)).astype(np.uint8)


def made_set(name: str, train: np.ndarray, test: np.ndarray, maker: str | None = None) -> ImageSet:
    labels = [np.arange(len(part)) % 2 for part in (train, test)]
    return ImageSet(name, train, labels[0], test, labels[1], ("a", "b"), "0" * 64, maker=maker)


A, B, C = noise(10, 0), noise(10, 1), noise(10, 2)


@pytest.mark.parametrize(
    ("up", "down", "makers", "leaks", "notes"),
    [
        ((A[:6], A[6:]), (B[:6], B[6:]), (None, None), [], []),
        ((A[:6], A[5:]), (B[:6], B[6:]), (None, None), ["1 training image of up is also a test image of up"], []),
        ((A[:6], A[6:]), (B[:6], B[5:]), (None, None), ["1 training image of down is also a test image of down"], []),
        ((A[:6], A[6:]), (B[:6], A[4:6]), (None, None), ["2 training images of up are also test images of down"], []),
        # what fine-tuning learns afterwards does not spoil what was scored before
        ((A[:6], A[6:]), (A[6:9], B), (None, None), [], ["3 test images of up are also training images of down"]),
        ((A[:6], B), (A[:3], C), (None, None), [], ["3 training images of up are also training images of down"]),
        ((A[:6], B), (C, B[:2]), (None, None), [], ["2 test images of up are also test images of down"]),
        # one maker's own division, as it was published
        ((A[:6], A[5:]), (B[:6], B[6:]), ("m", None), [], ["1 training image of up is also a test image of up"]),
        ((A[:6], A[6:]), (B[:6], A[5:6]), ("m", "m"), [], ["1 training image of up is also a test image of down"]),
        ((A[:6], A[6:]), (B[:6], A[5:6]), ("m", "o"), ["1 training image of up is also a test image of down"], []),
        ((A[:6], A[6:]), (B[:6], A[5:6]), ("m", None), ["1 training image of up is also a test image of down"], []),
    ],
)
def test_what_spoils_a_score(
    up: tuple[np.ndarray, np.ndarray],
    down: tuple[np.ndarray, np.ndarray],
    makers: tuple[str | None, str | None],
    leaks: list[str],
    notes: list[str],
) -> None:
    sets = {"up": made_set("up", *up, makers[0]), "down": made_set("down", *down, makers[1])}
    found = find_leaks(sets, ["up"])
    assert [sentence.split(" (")[0] for _, sentence in found[0]] == leaks
    assert all(sentence.split(" (")[0].endswith(f"of {name}") for name, sentence in found[0]), "whose scores it spoils"
    assert [sentence.split(" (")[0] for sentence in found[1] if "test images of up" in sentence or notes] == notes
    untested = find_leaks(sets, ["up"], tested=False)
    assert untested[0] == []
    assert sorted(untested[1]) == sorted([sentence for _, sentence in found[0]] + found[1])


def test_the_packages_sets_share_nothing_at_the_presets_sizes() -> None:
    for names, size in ((("fashion_mnist[0-5]", "fashion_mnist[6-9]"), 28), (("digits[0-5]", "digits[6-9]"), 8)):
        sets = {name: load_image_set(name, image_size=size, channels=1) for name in names}
        assert find_leaks(sets, [names[0]]) == ([], [])


def test_whose_division_it_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    np.savez("own.npz", x_train=A[..., 0], x_test=B[..., 0], y_train=np.arange(10) % 2, y_test=np.arange(10) % 2)
    prepare_image_set("own", path="own.npz", to="own")
    prepare_image_set("digits", size=6, to="ours")
    prepare_image_set("digits", path="own.npz", to="renamed")
    found = {
        name: load_image_set(name, image_size=6, channels=1).maker
        for name in ("own.npz", "own", "ours", "ours[0-3]", "digits[4-9]", "renamed")
    }
    assert found == dict.fromkeys(("ours", "ours[0-3]", "digits[4-9]"), "digits") | dict.fromkeys(
        ("own.npz", "own", "renamed")
    )
    assert KNOWN["imagenet1k"].provider == KNOWN["imagenet100"].provider, "their images and their division are the same"


def test_a_study_stops_at_its_own_leak(tmp_path: Path) -> None:
    arrays = {"x_train": A[..., 0], "x_test": np.concatenate([B, A[3:5]])[..., 0]}
    np.savez(tmp_path / "own.npz", **arrays, y_train=np.arange(10) % 2, y_test=np.arange(12) % 2)
    data = {"name": str(tmp_path / "own.npz"), "image_size": 6, "channels": 1, "validation_fraction": 0.2}
    task = {"kind": "pretrain", "data": data, "n_images": 4, "subset_seed": 0}
    with pytest.raises(
        DataError, match=r"2 training images of .*own.npz are also test images of .*allow_overlap: true"
    ):
        RealLaboratory().inspect([task])
    (note,) = RealLaboratory().inspect([task], allow_overlap=True)
    assert note.startswith("2 training images of")
    features = {key: task[key] for key in ("data",)} | {"kind": "features"}
    probe = {**task, "kind": "probe"}
    with pytest.raises(DataError, match="2 training images of"):
        RealLaboratory().inspect([features, probe])
