"""The user's own images: .npz files and folders, good and bad."""

from __future__ import annotations

import io
import os
import re
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from tippingpoint.errors import DataError
from tippingpoint.lab.data import arrays as npz_files
from tippingpoint.lab.data import check_image_set, describe_image_set, load_image_set, prepare_image_set
from tippingpoint.lab.data.builtin import RawSet


def pixels(n: int, seed: int, *shape: int) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (n, *(shape or (6, 6)))).astype(np.uint8)


def good_arrays() -> dict[str, Any]:
    return {
        "x_train": pixels(12, 0),
        "y_train": np.arange(12) % 3,
        "x_test": pixels(6, 1),
        "y_test": np.arange(6) % 3,
    }


def save(path: Path, arrays: dict[str, Any]) -> Path:
    np.savez(path, **arrays)
    return path


def make_folder(root: Path, test: str = "test", classes: tuple[str, ...] = ("cat", "dog")) -> Path:
    for part, n in (("train", 4), (test, 2)):
        for seed, name in enumerate(classes):
            (root / part / name).mkdir(parents=True)
            for number in range(n):
                image = Image.fromarray(pixels(8, 100 * seed + 10 * n + number, 10, 3))
                image.save(root / part / name / f"{number}.png")
    return root


def faults_of(path: Path) -> tuple[str, ...]:
    with pytest.raises(DataError) as caught:
        load_image_set(str(path), image_size=6, channels=1)
    return caught.value.faults


@pytest.mark.parametrize(
    "names",
    [
        ("x_train", "y_train", "x_test", "y_test"),
        ("train_images", "train_labels", "test_images", "test_labels"),
        ("images_train", "labels_train", "images_test", "labels_test"),
    ],
)
def test_npz_of_every_naming(tmp_path: Path, names: tuple[str, ...]) -> None:
    arrays = good_arrays()
    path = save(tmp_path / "own.npz", dict(zip(names, arrays.values(), strict=True)))
    images = load_image_set(str(path), image_size=6, channels=1)
    assert np.array_equal(images.train_images[..., 0], arrays["x_train"])
    assert np.array_equal(images.test_labels, arrays["y_test"])
    assert images.class_names == ("0", "1", "2")
    assert describe_image_set("own.npz", tmp_path)["fingerprint"] == images.fingerprint
    assert load_image_set("own.npz[0,2]", image_size=6, channels=3, data_dir=tmp_path).class_names == ("0", "2")


def test_npz_labels_are_renumbered(tmp_path: Path) -> None:
    arrays = good_arrays()
    arrays["y_train"], arrays["y_test"] = arrays["y_train"] * 5 + 10, (arrays["y_test"] * 5 + 10)[:, None]
    images = load_image_set(str(save(tmp_path / "a.npz", arrays)), image_size=6, channels=1)
    assert images.class_names == ("10", "15", "20")
    assert images.train_labels.tolist() == (np.arange(12) % 3).tolist()
    words = np.array(["zebra", "ant", "bee"])
    arrays["y_train"], arrays["y_test"] = words[np.arange(12) % 3], words[np.arange(6) % 3]
    images = load_image_set(str(save(tmp_path / "b.npz", arrays)), image_size=6, channels=1)
    assert images.class_names == ("ant", "bee", "zebra")
    assert images.train_labels[:3].tolist() == [2, 0, 1]
    arrays["class_names"] = words
    images = load_image_set(str(save(tmp_path / "c.npz", arrays)), image_size=6, channels=1)
    assert images.class_names == ("zebra", "ant", "bee")
    assert images.train_labels[:3].tolist() == [0, 1, 2]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"x_test": None, "y_test": None}, ["x_test and y_test are missing"]),
        ({"x_train": pixels(12, 0).astype(float)}, ["x_train is float64"]),
        ({"x_train": pixels(12, 0, 3, 6, 6), "y_test": np.arange(5) % 3}, ["transpose it", "5 labels for 6 images"]),
        ({"x_train": pixels(12, 0, 6)}, ["x_train has the shape (12, 6)"]),
        ({"x_test": pixels(6, 0, 7, 7)}, ["bring both to one shape"]),
        ({"y_train": np.eye(3)[np.arange(12) % 3]}, ["labels are (n,)"]),
        ({"y_train": np.arange(12) % 3 + 0.5}, ["labels are whole numbers or text"]),
        ({"y_test": np.arange(6) % 2}, ["y_test has no image of class 2"]),
        ({"y_train": np.arange(12) % 2}, ["y_train has no image of class 2"]),
        ({"class_names": np.array(["a", "b"])}, ["y_train holds 2", "y_test holds 2"]),
        ({"class_names": np.array(["a", "b", "b"])}, ["names a class twice"]),
        ({"y_train": np.zeros(12, int), "y_test": np.zeros(6, int)}, ["one class"]),
        ({"x_train": np.array([{}], dtype=object)}, ["plain arrays"]),
        ({"y_train": np.arange(12) % 3 - 1, "y_test": np.arange(6) % 3 - 1}, ["4 labels below 0", "2 labels below 0"]),
        ({"y_test": np.array(["0", "1", "2"] * 2)}, ["one holds text and the other numbers"]),
        ({"x_test": np.full((6, 6, 6), np.nan)}, ["x_test is float64"]),
        ({"y_test": np.full(6, np.nan)}, ["y_test is float64"]),
    ],
)
def test_npz_faults(tmp_path: Path, change: dict[str, Any], words: list[str]) -> None:
    arrays = {name: value for name, value in {**good_arrays(), **change}.items() if value is not None}
    faults = faults_of(save(tmp_path / "bad.npz", arrays))
    assert len(faults) == len(words)
    for fault, word in zip(faults, words, strict=True):
        assert word in fault
        assert "bad.npz" in fault


def rewrite(path: Path, change: Callable[[str, bytes], bytes], **how: Any) -> Path:
    """Write the archive anew, its members changed."""
    with zipfile.ZipFile(path) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    with zipfile.ZipFile(path, "w", **how) as archive:
        for name, content in members.items():
            archive.writestr(name, change(name, content))
    return path


def test_npz_that_says_more_than_it_holds(tmp_path: Path) -> None:
    def huge(name: str, content: bytes) -> bytes:
        out = io.BytesIO()
        np.lib.format.write_array_header_1_0(out, {"descr": "|u1", "fortran_order": False, "shape": (10**9, 900, 900)})
        return out.getvalue() + bytes(1000) if name == "x_train.npy" else content

    path = rewrite(save(tmp_path / "huge.npz", good_arrays()), huge, compression=zipfile.ZIP_DEFLATED)
    (fault,) = faults_of(path)
    assert "huge.npz: its arrays do not fit into this machine's memory" in fault


def test_npz_larger_than_memory_is_not_unpacked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = save(tmp_path / "own.npz", good_arrays())
    monkeypatch.setattr(os, "sysconf", lambda name: {"SC_PAGE_SIZE": 1, "SC_PHYS_PAGES": 1000}[name])
    (fault,) = faults_of(path)
    assert "prepare the set: tippingpoint data prepare" in fault


def test_npz_that_python_cannot_unpack(tmp_path: Path) -> None:
    whole = save(tmp_path / "own.npz", good_arrays()).read_bytes()
    central = [match.start() for match in re.finditer(b"PK\x01\x02", whole)]
    for offset, value, words in [(8, 1, "encrypted"), (10, 99, "compression method is not supported")]:
        changed = bytearray(whole)
        for start in central:
            changed[start + offset] = value
        (tmp_path / "own.npz").write_bytes(changed)
        (fault,) = faults_of(tmp_path / "own.npz")
        assert words in fault


def test_npz_labels_of_two_integer_kinds_stay_whole(tmp_path: Path) -> None:
    mixed = {**good_arrays(), "y_test": good_arrays()["y_test"].astype(np.uint64)}
    images = load_image_set(str(save(tmp_path / "own.npz", mixed)), image_size=6, channels=1)
    assert images.class_names == ("0", "1", "2")


def test_a_plan_reads_a_file_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    reads = []
    load = npz_files.load_npz

    def counted(path: Path) -> RawSet:
        reads.append(path)
        return load(path)

    monkeypatch.setattr(npz_files, "load_npz", counted)
    path = save(tmp_path / "own.npz", good_arrays())
    for _ in range(3):
        before = describe_image_set(str(path))
    assert len(reads) == 1
    save(path, {**good_arrays(), "x_train": pixels(12, 5)})
    os.utime(path, ns=(1, 1))
    assert describe_image_set(str(path))["fingerprint"] != before["fingerprint"], "a changed file is read again"


def test_files_that_are_no_npz(tmp_path: Path) -> None:
    (tmp_path / "text.npz").write_text("hello", encoding="utf-8")
    assert "not a sound .npz" in faults_of(tmp_path / "text.npz")[0]
    assert "pickle" not in faults_of(tmp_path / "text.npz")[0], "nobody is advised to unpickle"
    with (tmp_path / "single.npz").open("wb") as stream:
        np.save(stream, np.zeros(3))
    assert "single array" in faults_of(tmp_path / "single.npz")[0]
    whole = save(tmp_path / "cut.npz", good_arrays()).read_bytes()
    (tmp_path / "cut.npz").write_bytes(whole[: len(whole) // 2])
    assert "not a sound .npz" in faults_of(tmp_path / "cut.npz")[0]
    (tmp_path / "notes.txt").write_text("hello", encoding="utf-8")
    assert "not this file" in faults_of(tmp_path / "notes.txt")[0]


@pytest.mark.parametrize("test", ["test", "val"])
def test_folder(tmp_path: Path, test: str) -> None:
    folder = make_folder(tmp_path / "photos", test)
    (folder / "train" / "cat" / "notes.txt").write_text("passed over", encoding="utf-8")
    (folder / "train" / "cat" / ".hidden.png").write_text("passed over", encoding="utf-8")
    images = load_image_set("photos", image_size=8, channels=3, data_dir=tmp_path)
    assert images.train_images.shape == (8, 8, 8, 3)
    assert images.test_labels.tolist() == [0, 0, 1, 1]
    assert images.class_names == ("cat", "dog")
    with Image.open(folder / "train" / "dog" / "0.png") as image:
        stored = np.asarray(image)[:, 1:9]  # middle of 8 x 10
    assert np.array_equal(images.train_images[4], stored)
    assert describe_image_set("photos", tmp_path)["fingerprint"] == images.fingerprint
    assert load_image_set("photos", image_size=8, channels=3, data_dir=tmp_path) is images


def test_changed_folder_is_read_again(tmp_path: Path) -> None:
    folder = make_folder(tmp_path)
    before = load_image_set(str(folder), image_size=8, channels=1)
    Image.fromarray(pixels(9, 5, 9)).save(folder / "train" / "cat" / "more.png")
    after = load_image_set(str(folder), image_size=8, channels=1)
    assert len(after.train_labels) == len(before.train_labels) + 1
    assert after.fingerprint != before.fingerprint


def test_view_of_a_folder_decodes_only_its_classes(tmp_path: Path) -> None:
    folder = make_folder(tmp_path, classes=("ant", "bee", "cat"))
    (folder / "train" / "bee" / "0.png").write_bytes(b"damaged")
    view = load_image_set(f"{folder}[0,2]", image_size=8, channels=1)
    assert view.class_names == ("ant", "cat")
    assert view.train_labels.tolist() == [0] * 4 + [1] * 4
    assert describe_image_set(f"{folder}[0,2]")["fingerprint"] == view.fingerprint


def test_brackets_in_a_folder_s_own_name(tmp_path: Path) -> None:
    make_folder(tmp_path / "photos[old]")
    assert load_image_set("photos[old]", image_size=8, channels=1, data_dir=tmp_path).n_classes == 2
    assert describe_image_set("photos[old][0-1]", tmp_path)["n_train"] == 8


def test_all_damaged_files_are_named(tmp_path: Path) -> None:
    folder = make_folder(tmp_path)
    whole = (folder / "train" / "cat" / "0.png").read_bytes()
    (folder / "train" / "cat" / "0.png").write_bytes(whole[:60])
    (folder / "test" / "dog" / "1.png").write_text("no image", encoding="utf-8")
    Image.fromarray(np.full((8, 8), 40000, np.uint16)).save(folder / "test" / "cat" / "0.png")
    *faults, count = faults_of(folder)
    assert count.startswith(f"{folder}: 3 of its ")
    assert [Path(fault.split(": ")[0]).relative_to(folder).as_posix() for fault in faults] == [
        "train/cat/0.png",
        "test/cat/0.png",
        "test/dog/1.png",
    ]
    assert "8 bits" in faults[1]


def test_folder_faults_are_told_together(tmp_path: Path) -> None:
    folder = make_folder(tmp_path)
    (folder / "train" / "empty").mkdir()
    (folder / "test" / "eel").mkdir()
    faults = " ".join(faults_of(folder))
    assert "train/empty: holds no image" in faults
    assert "test/eel: holds no image" in faults
    assert "class 'eel' has no folder here" in faults
    assert "class 'empty' has no folder here" in faults


def test_names_that_are_not_utf8(tmp_path: Path) -> None:
    """They broke a study in the middle: class names and files of copies stand in its published files."""
    folder = make_folder(tmp_path)
    copy, odd = folder / "train" / "cat" / "0.png", os.fsdecode(b"co\xffpy.png")
    (folder / "test" / "cat" / odd).write_bytes(copy.read_bytes())
    (folder / "train" / os.fsdecode(b"no\xffte.txt")).write_text("passed over", encoding="utf-8")
    (warning,) = check_image_set(str(folder))["warnings"]
    assert r"train/cat/0.png is test/cat/co\xffpy.png" in warning
    result = prepare_image_set("own", path=folder, size=8, to=tmp_path / "prepared")
    assert r"test/cat/co\xffpy.png" in result["notes"][-1]
    for part in ("train", "test"):
        (folder / part / "dog").rename(folder / part / os.fsdecode(b"do\xffg"))
    assert list(faults_of(folder)) == [
        rf"{folder}/{part}/do\xffg: the class name is not UTF-8 text; rename the folder." for part in ("train", "test")
    ]


@pytest.mark.parametrize(("train", "test"), [("Dog", "dog"), ("v\u00f6gel", "vo\u0308gel")])
def test_classes_that_look_alike_are_pointed_at(tmp_path: Path, train: str, test: str) -> None:
    """Some systems write accents as a letter and a mark: both names then look the same in a sentence."""
    folder = make_folder(tmp_path)
    for part, name in (("train", train), ("test", test)):
        (folder / part / "dog").rename(folder / part / name)
    first, second = faults_of(folder)
    end = "the same save for case or for how accents are encoded; give both folders one name."
    assert first == f"{folder}/train: class '{test}' has no folder here, but '{train}', {end}"
    assert second == f"{folder}/test: class '{train}' has no folder here, but '{test}', {end}"


def test_a_test_part_is_never_made_up(tmp_path: Path) -> None:
    make_folder(tmp_path)
    (tmp_path / "test").rename(tmp_path / "other")
    (fault,) = faults_of(tmp_path)
    assert "no folder test/" in fault
    assert "never taken from the training images" in fault


def test_folder_without_a_class(tmp_path: Path) -> None:
    (tmp_path / "train").mkdir()
    (tmp_path / "test").mkdir()
    assert all("holds no class folder" in fault for fault in faults_of(tmp_path))


def test_photographs_are_turned_upright(tmp_path: Path) -> None:
    folder = make_folder(tmp_path)
    image = Image.fromarray(np.repeat(np.array([[0], [255]], np.uint8), 8, axis=1).repeat(4, axis=0))
    exif = Image.Exif()
    exif[0x0112] = 3  # turned by 180 degrees
    image.save(folder / "train" / "cat" / "0.png", exif=exif)
    first = load_image_set(str(folder), image_size=8, channels=1).train_images[0, :, :, 0]
    assert first[0].tolist() == [255] * 8
    assert first[-1].tolist() == [0] * 8


def test_check_reports_leaks_and_repeats(tmp_path: Path) -> None:
    arrays = good_arrays()
    arrays["x_test"][0] = arrays["x_train"][3]
    arrays["x_train"][5] = arrays["x_train"][4]
    found = check_image_set(str(save(tmp_path / "leak.npz", arrays)))
    assert found["duplicates"] == {"train_test": 1, "train": 1, "test": 0}
    assert "leak.npz is also a test image of " in found["warnings"][0]
    assert "(by number from 0: 3 is 0), at 6x6: the test error" in found["warnings"][0]
    assert (found["image_size"], found["channels"]) == (6, 1)
