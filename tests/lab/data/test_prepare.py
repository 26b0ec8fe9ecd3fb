"""Preparing sets: the same pixels and fingerprint as unprepared, mapped, whole or not at all."""

from __future__ import annotations

import errno
import fcntl
import itertools
import json
import os
import shutil
import signal
import subprocess
import sys
from collections import namedtuple
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tippingpoint.errors import DataError, EnvironmentFault
from tippingpoint.lab.data import (
    check_image_set,
    describe_image_set,
    find_overlaps,
    load_image_set,
    nested_subset,
    prepare_image_set,
    shared_images,
    split_validation,
)
from tippingpoint.lab.data import prepare as module
from tippingpoint.lab.data.images import ImagesView
from tippingpoint.study.laboratory import RealLaboratory

IMAGES = Path(__file__).parents[4] / "shared" / "data" / "images" / "cifar10_jpeg.npz"


def pixels(seed: int, *shape: int) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, shape).astype(np.uint8)


def make_folder(root: Path, classes: tuple[str, ...] = ("ant", "bee", "cat"), train: int = 4, test: int = 2) -> Path:
    for part, n in (("train", train), ("test", test)):
        for which, name in enumerate(classes):
            (root / part / name).mkdir(parents=True)
            for number in range(n):
                image = Image.fromarray(pixels(1000 * which + 100 * n + number, 10, 12, 3))
                image.save(root / part / name / f"{number}.png")
    return root


def faults_of(path: Path, **more: object) -> tuple[str, ...]:
    with pytest.raises(DataError) as caught:
        prepare_image_set("own", path=path, to=path.parent / "out", size=8, **more)  # type: ignore[arg-type]
    assert not (path.parent / "out").exists()
    assert not list(path.parent.glob(".*.part")), "nothing is left behind"
    return caught.value.faults


def test_a_prepared_folder_is_the_folder(tmp_path: Path) -> None:
    folder = make_folder(tmp_path / "photos")
    done = prepare_image_set("photos8", path=folder, size=8, channels=3, to=tmp_path / "photos8")
    assert (done["n_train"], done["n_test"], done["n_classes"], done["reused"]) == (12, 6, 3, False)
    plain = load_image_set(str(folder), image_size=8, channels=3)
    ready = load_image_set("photos8", image_size=8, channels=3, data_dir=tmp_path)
    for name in ("train_images", "train_labels", "test_images", "test_labels"):
        assert np.array_equal(getattr(plain, name), getattr(ready, name)), name
    assert plain.fingerprint == ready.fingerprint == describe_image_set("photos8", tmp_path)["fingerprint"]
    assert plain.class_names == ready.class_names


def test_images_are_mapped_and_not_copied(tmp_path: Path) -> None:
    prepare_image_set("own", path=make_folder(tmp_path / "photos"), size=8, to=tmp_path / "own")

    def mapped(array: np.ndarray | None) -> bool:
        while isinstance(array, np.ndarray):
            if isinstance(array, np.memmap):
                return True
            array = array.base  # type: ignore[assignment]
        return False

    whole = load_image_set("own", image_size=8, channels=3, data_dir=tmp_path)
    assert mapped(whole.train_images)
    assert not whole.train_images.flags.writeable
    neighbours = load_image_set("own[1-2]", image_size=8, channels=3, data_dir=tmp_path)
    assert mapped(neighbours.train_images), "classes that stand one behind the other are a slice"
    apart = load_image_set("own[0,2]", image_size=8, channels=3, data_dir=tmp_path)
    assert isinstance(apart.train_images, ImagesView), "classes that stand apart are places in the mapped file"
    assert mapped(apart.train_images.array)
    assert (apart.train_images.shape, apart.train_images.ndim, len(apart.train_images)) == ((8, 8, 8, 3), 4, 8)
    copied = whole.train_images[whole.train_labels != 1]
    for which in (3, -1, slice(2, 7, 2), np.array([7, 0, 4])):
        assert np.array_equal(apart.train_images[which], copied[which])
    subset = ImagesView(apart.train_images, np.array([5, 1, 5]))  # type: ignore[arg-type]
    assert np.array_equal(subset[1:], copied[[1, 5]]), "a subset of a view is a view"
    assert shared_images(apart, whole).train_train == 8
    assert np.array_equal(apart.train_images, whole.train_images[whole.train_labels != 1])
    assert apart.train_labels.tolist() == [0] * 4 + [1] * 4


def test_every_size_has_the_same_subsets(tmp_path: Path) -> None:
    folder = make_folder(tmp_path / "photos", train=40)
    chosen = []
    for size in (4, 8):
        prepare_image_set("own", path=folder, size=size, to=tmp_path / f"own{size}")
        images = load_image_set(f"own{size}", image_size=size, channels=3, data_dir=tmp_path)
        pool, _ = split_validation(images.train_labels, 0.1, images.fingerprint)
        chosen.append([nested_subset(images.train_labels, pool, share, images.fingerprint, 0) for share in SHARES])
    for small, large in zip(*chosen, strict=True):
        assert np.array_equal(small, large)


SHARES = (0.05, 0.1, 0.25, 0.33, 0.5, 0.7, 1.0)


def test_shares_are_nested_and_balanced() -> None:
    labels = np.repeat(np.arange(10), 100)
    pool, _ = split_validation(labels, 0.1, "f")
    subsets = [nested_subset(labels, pool, share, "f", 3) for share in SHARES]
    assert [len(subset) for subset in subsets] == [45, 90, 225, 297, 450, 630, 900]
    for smaller, larger in itertools.pairwise(subsets):
        assert np.array_equal(smaller, larger[: len(smaller)])
    for subset in subsets:
        counts = np.bincount(labels[subset], minlength=10)
        assert counts.max() - counts.min() <= 1


def test_same_input_same_bytes(tmp_path: Path) -> None:
    for where in ("a", "b"):
        folder = make_folder(tmp_path / where / "photos")
        prepare_image_set("own", path=folder, size=8, to=tmp_path / where / "own")
    files = sorted(file.name for file in (tmp_path / "a" / "own").iterdir())
    assert len(files) == 7
    for name in files:
        assert (tmp_path / "a" / "own" / name).read_bytes() == (tmp_path / "b" / "own" / name).read_bytes(), name
    assert str(tmp_path) not in (tmp_path / "a" / "own" / "prepared.json").read_text(encoding="utf-8")


@pytest.mark.parametrize("name", ["digits", "fashion_mnist"])
def test_sets_of_the_package(tmp_path: Path, name: str) -> None:
    prepare_image_set(name, to=tmp_path / name, size=8)
    plain = load_image_set(f"{name}[0-3]", image_size=8, channels=1)
    ready = load_image_set(f"{tmp_path / name}[0-3]", image_size=8, channels=1)
    assert plain.fingerprint == ready.fingerprint
    assert np.array_equal(plain.train_images, ready.train_images)
    assert shared_images(plain, ready).train_train == len(plain.train_labels)


def test_npz_at_its_own_size(tmp_path: Path) -> None:
    arrays = {"x_train": pixels(0, 12, 6, 6), "x_test": pixels(1, 6, 6, 6)}
    np.savez(tmp_path / "own.npz", **arrays, y_train=np.arange(12) % 3, y_test=np.arange(6) % 3)
    done = prepare_image_set("own", path=tmp_path / "own.npz", to=tmp_path / "own")
    assert (done["image_size"], done["channels"]) == (6, 1)
    ready = load_image_set("own", image_size=6, channels=1, data_dir=tmp_path)
    assert np.array_equal(ready.train_images[..., 0], arrays["x_train"])
    assert ready.fingerprint == describe_image_set("own.npz", tmp_path)["fingerprint"]


def test_found_by_name_in_the_shared_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TIPPINGPOINT_DATA", str(tmp_path / "sets"))
    monkeypatch.chdir(tmp_path)
    done = prepare_image_set("own", path=make_folder(tmp_path / "photos"), size=8)
    assert Path(done["path"]) == tmp_path / "sets" / "own"
    assert load_image_set("own[0-1]", image_size=8, channels=3).n_classes == 2
    assert check_image_set("own")["n_train"] == 12
    assert prepare_image_set("own", path=tmp_path / "photos")["reused"]


def test_another_size_says_what_to_run(tmp_path: Path) -> None:
    prepare_image_set("own", path=make_folder(tmp_path / "photos"), size=8, to=tmp_path / "own")
    with pytest.raises(DataError, match="data prepare own --from SOURCE --size 9 --channels 1"):
        load_image_set("own", image_size=9, channels=1, data_dir=tmp_path)
    with pytest.raises(DataError, match="holds 'own' at 8x8 RGB"):
        prepare_image_set("own", path=tmp_path / "photos", size=9, to=tmp_path / "own")


def test_nothing_that_is_there_is_overwritten(tmp_path: Path) -> None:
    folder = make_folder(tmp_path / "photos")
    with pytest.raises(DataError, match="is no prepared set"):
        prepare_image_set("own", path=folder, size=8, to=folder)
    (tmp_path / "empty").mkdir()
    assert not prepare_image_set("own", path=folder, size=8, to=tmp_path / "empty")["reused"]


def test_damage_is_found(tmp_path: Path) -> None:
    prepare_image_set("own", path=make_folder(tmp_path / "photos"), size=8, to=tmp_path / "own")
    images, manifest = tmp_path / "own" / "train_images.npy", tmp_path / "own" / "prepared.json"
    whole, said = images.read_bytes(), manifest.read_text(encoding="utf-8")
    images.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
    load_image_set("own", image_size=8, channels=3, data_dir=tmp_path)  # not looked for at every start
    with pytest.raises(DataError, match=r"train_images.npy: has changed"):
        check_image_set("own", data_dir=tmp_path)
    images.write_bytes(whole[:-5])
    (tmp_path / "own" / "test_labels.npy").unlink()
    with pytest.raises(DataError) as caught:
        describe_image_set("own", tmp_path)
    assert len(caught.value.faults) == 2
    for text, words in [
        ("{", "is damaged"),
        (said.replace('"schema_version": 1', '"schema_version": 2'), "is of version 2"),
        (json.dumps({"schema_version": 1}), "is damaged"),
    ]:
        manifest.write_text(text, encoding="utf-8")
        with pytest.raises(DataError, match=words):
            describe_image_set("own", tmp_path)


def test_a_study_finds_a_prepared_set_that_was_changed(tmp_path: Path) -> None:
    prepare_image_set("own", path=make_folder(tmp_path / "photos"), size=8, to=tmp_path / "own")
    about = {"name": "own", "image_size": 8, "channels": 3, "validation_fraction": 0.25, "data_dir": str(tmp_path)}
    task = {"kind": "pretrain", "data": about, "n_images": 3, "subset_seed": 0}
    assert RealLaboratory().inspect([task]) == []
    for name in ("train_images.npy", "test_images.npy", "train_hashes.npy", "test_labels.npy"):
        whole = (tmp_path / "own" / name).read_bytes()
        (tmp_path / "own" / name).write_bytes(whole[:-8] + bytes([whole[-8] ^ 1]) + whole[-7:])
        with pytest.raises(DataError, match=f"{name}: has changed since it was prepared") as caught:
            RealLaboratory().inspect([task])
        assert f"{name}: " in caught.value.faults[0]
        (tmp_path / "own" / name).write_bytes(whole)


def test_a_source_that_has_grown_is_not_taken_for_prepared(tmp_path: Path) -> None:
    folder = make_folder(tmp_path / "photos")
    prepare_image_set("own", path=folder, size=8, to=tmp_path / "own")
    assert prepare_image_set("own", path=folder, to=tmp_path / "own")["reused"]
    shutil.copy(folder / "train" / "ant" / "0.png", folder / "train" / "ant" / "9.png")
    with pytest.raises(
        DataError, match=r"from 12 training and 6 test images of 3 classes, and .* now holds 13 and 6 of 3"
    ):
        prepare_image_set("own", path=folder, to=tmp_path / "own")


def test_all_bad_images_are_named_and_counted(tmp_path: Path) -> None:
    folder = make_folder(tmp_path / "photos")
    whole = (folder / "train" / "ant" / "0.png").read_bytes()
    (folder / "train" / "ant" / "0.png").write_bytes(whole[: len(whole) // 2])
    (folder / "train" / "bee" / "1.png").write_bytes(b"")
    (folder / "test" / "bee" / "0.png").write_text("no image", encoding="utf-8")
    (folder / "test" / "cat" / "9.png").symlink_to(folder / "test" / "cat" / "9.png")
    faults = faults_of(folder)
    assert [fault.split(": ")[0].rpartition("photos/")[2] for fault in faults[:-1]] == [
        "train/ant/0.png",
        "train/bee/1.png",
        "test/bee/0.png",
        "test/cat/9.png",
    ]
    assert "is empty (0 bytes)" in faults[1]
    assert "is not an image" in faults[2]
    assert faults[-1] == "4 of 19 images cannot be used, and nothing was prepared."


def test_a_thousand_bad_images_are_counted_not_listed(tmp_path: Path) -> None:
    folder = make_folder(tmp_path / "photos", train=2)
    for number in range(1000):
        (folder / "train" / "ant" / f"x{number}.jpg").write_bytes(b"bad")
    faults = faults_of(folder)
    assert len(faults) == 52
    assert faults[50] == "There are 950 more faults like these."
    assert faults[51].startswith("1,000 of 1,012 images")


def test_links_and_empty_classes(tmp_path: Path) -> None:
    folder = make_folder(tmp_path / "photos")
    (folder / "train" / "loop").symlink_to(folder / "train" / "loop")
    (folder / "train" / "up").symlink_to(folder)
    (folder / "test" / "eel").mkdir()
    faults = " ".join(faults_of(folder))
    assert "train/loop: is a link that leads nowhere or to itself" in faults
    assert "train/up: is a link to a folder that it lies in" in faults
    assert "test/eel: holds no image" in faults
    assert "class 'eel' has no folder here" in faults


def test_a_class_may_be_a_link_to_images_elsewhere(tmp_path: Path) -> None:
    folder = make_folder(tmp_path / "photos")
    (folder / "train" / "ant").rename(tmp_path / "elsewhere")
    (folder / "train" / "ant").symlink_to(tmp_path / "elsewhere")
    assert prepare_image_set("own", path=folder, size=8, to=tmp_path / "own")["n_train"] == 12


def test_grey_files_and_others_are_told(tmp_path: Path) -> None:
    folder = make_folder(tmp_path / "photos")
    (folder / "train" / "ant" / "notes.txt").write_text("x", encoding="utf-8")
    Image.fromarray(pixels(5, 9, 9)).save(folder / "train" / "ant" / "0.png")
    done = prepare_image_set("own", path=folder, size=8, to=tmp_path / "rgb")
    assert done["notes"] == [
        "Passed over, because they are no images by name: 1 .txt.",
        "1 of 18 images are grey and became RGB.",
    ]
    done = prepare_image_set("own", path=folder, size=8, channels=1, to=tmp_path / "grey")
    assert done["notes"][1] == "17 of 18 images are in colour and became grey."


def test_class_lists(tmp_path: Path) -> None:
    folder, listed = make_folder(tmp_path / "photos"), tmp_path / "list.txt"
    listed.write_text("# two\ncat a remark\nant\n", encoding="utf-8")
    done = prepare_image_set("own", path=folder, size=8, to=tmp_path / "two", classes=listed)
    assert (done["n_classes"], done["n_train"]) == (2, 8)
    assert done["source"]["class_list"]["name"] == "given"
    assert done["fingerprint"] != prepare_image_set("own", path=folder, size=8, to=tmp_path / "all")["fingerprint"]
    listed.write_text("cat\ncat\ndog\neel\n", encoding="utf-8")
    assert "names the class 'cat' twice" in faults_of(folder, classes=listed)[0]
    listed.write_text("cat\ndog\neel\n", encoding="utf-8")
    assert [fault.split(": ")[1] for fault in faults_of(folder, classes=listed)] == [
        f"class '{name}' has no folder here, and the class list names it; add it."
        for name in ("dog", "eel", "dog", "eel")
    ]
    listed.write_text("", encoding="utf-8")
    assert "nothing to tell apart" in faults_of(folder, classes=listed)[0]
    assert "cannot be read" in faults_of(folder, classes=tmp_path / "none.txt")[0]
    listed.write_bytes(b"\xff\xfe")
    assert "not UTF-8" in faults_of(folder, classes=listed)[0]
    listed.write_text("0\n1\n", encoding="utf-8")
    with pytest.raises(DataError, match="--classes chooses among the folders"):
        prepare_image_set("digits", to=tmp_path / "digits", classes=listed, size=8)


@pytest.mark.parametrize("name", ["", "a/b", "..", "x" * 65, "a b"])
def test_names(tmp_path: Path, name: str) -> None:
    with pytest.raises(DataError, match="is no name for a set"):
        prepare_image_set(name, path=tmp_path)


def test_overlaps_by_content(tmp_path: Path) -> None:
    folder = make_folder(tmp_path / "photos")
    other = make_folder(tmp_path / "other", classes=("dog", "eel"), train=3)
    shutil.copy(folder / "train" / "ant" / "2.png", other / "test" / "dog" / "1.png")
    shutil.copy(folder / "train" / "bee" / "0.png", folder / "test" / "cat" / "0.png")
    done = prepare_image_set("first", path=folder, size=8, to=tmp_path / "first")
    assert done["notes"][-1].startswith("1 training image is also a test image")
    prepare_image_set("second", path=other, size=8, to=tmp_path / "second")
    found = find_overlaps(["first", "second", "first[0-1]"], data_dir=tmp_path)
    counts = {(pair["first"], pair["second"]): pair for pair in found["pairs"]}
    assert counts["first", "first"]["train_test"] == 1
    assert counts["first", "second"]["train_test"] == 1
    assert counts["first", "second"]["train_train"] == 0
    assert counts["first", "second"]["examples"]["train_test"] == [(2, 1)]
    near, far = (
        load_image_set(f"first[{part}]", image_size=8, channels=3, data_dir=tmp_path) for part in ("0-1", "1,2")
    )
    assert shared_images(near, far).train_train == 4, "the class that both views have"


def test_disk_and_rights(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = make_folder(tmp_path / "photos")
    usage = namedtuple("usage", "total used free")
    with monkeypatch.context() as patch:
        patch.setattr(shutil, "disk_usage", lambda path: usage(0, 0, 1000))
        with pytest.raises(EnvironmentFault, match="out: the 18 images need"):
            prepare_image_set("own", path=folder, size=8, to=tmp_path / "out")
    with monkeypatch.context() as patch:

        def full(*_: object) -> list[str]:
            raise OSError(errno.ENOSPC, "No space left on device")

        patch.setattr(module, "write_arrays", full)
        with pytest.raises(EnvironmentFault, match="No space left"):
            prepare_image_set("own", path=folder, size=8, to=tmp_path / "out")
    with monkeypatch.context() as patch:
        read = Path.read_bytes

        def refused(path: Path) -> bytes:
            if path.name == "1.png":
                raise PermissionError(errno.EACCES, "Permission denied")
            return read(path)

        patch.setattr(Path, "read_bytes", refused)
        with pytest.raises(EnvironmentFault, match="6 of 18 images cannot be used"):
            prepare_image_set("own", path=folder, size=8, to=tmp_path / "out")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["photos"]


def test_files_that_must_not_be_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = make_folder(tmp_path / "photos")

    def refused(path: Path, *_: object) -> bytes:
        raise PermissionError(errno.EACCES, "Permission denied", str(path))

    monkeypatch.setattr(Path, "read_bytes", refused)
    with pytest.raises(EnvironmentFault, match=r"train/ant/0.png: cannot be read \(Permission denied\)"):
        load_image_set(str(folder), image_size=8, channels=3)
    monkeypatch.setattr(Path, "iterdir", refused)
    with pytest.raises(EnvironmentFault, match=r"photos/train: cannot be read \(Permission denied\)"):
        prepare_image_set("own", path=folder, size=8, to=tmp_path / "own")


@pytest.mark.parametrize("most", [50, 100])  # Pillow refuses twice its limit itself, and warns between
def test_huge_images_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, most: int) -> None:
    folder = make_folder(tmp_path / "photos")
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", most)
    faults = faults_of(folder)
    assert f"0.png: is larger than {most} pixels" in faults[0]
    assert faults[-1].startswith("18 of 18 images")


def test_a_study_is_told_before_it_trains(tmp_path: Path) -> None:
    folder, other = make_folder(tmp_path / "photos"), make_folder(tmp_path / "other", classes=("dog", "eel"))
    shutil.copy(folder / "train" / "cat" / "3.png", other / "test" / "eel" / "1.png")
    for name, source in (("first", folder), ("second", other)):
        prepare_image_set(name, path=source, size=8, to=tmp_path / name)
    about = {"image_size": 8, "channels": 3, "validation_fraction": 0.25, "data_dir": str(tmp_path)}
    tasks = [
        {"kind": kind, "data": {"name": name, **about}, "n_images": 3, "subset_seed": 0}
        for kind, name in (("pretrain", "first"), ("finetune", "second"), ("finetune", "first[0-1]"))
    ]
    leak = "1 training image of first is also a test image of second (by number from 0: 11 is 3)"
    with pytest.raises(DataError) as caught:
        RealLaboratory().inspect(tasks)
    assert caught.value.faults == (
        f"{leak}; remove them from one of the two, or set allow_overlap: true in the study file to go on and have it "
        "told.",
    )
    notes = RealLaboratory().inspect(tasks, allow_overlap=True)
    assert f"{leak}." in notes
    assert any(note.startswith("8 training images of first are also training images of first[0-1]") for note in notes)
    trial = [{**task, "score_on": "validation"} for task in tasks]
    assert f"{leak}." in RealLaboratory().inspect(trial), "a trial scores no test image"
    with pytest.raises(DataError, match="is prepared at 8x8 RGB, and 9x9 RGB is asked for"):
        RealLaboratory().inspect([{**tasks[0], "data": {"name": "first", **about, "image_size": 9}}])


def test_reading_sets_needs_no_torch() -> None:
    code = "import sys, tippingpoint.lab.data; sys.exit(any(name in sys.modules for name in ('torch', 'torchvision')))"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_one_at_a_time(tmp_path: Path) -> None:
    folder, aside = make_folder(tmp_path / "photos"), tmp_path / ".out.part"
    aside.mkdir()
    handle = os.open(aside, os.O_RDONLY)
    fcntl.flock(handle, fcntl.LOCK_EX)
    with pytest.raises(EnvironmentFault, match="another process is preparing it"):
        prepare_image_set("own", path=folder, size=8, to=tmp_path / "out")
    os.close(handle)
    prepare_image_set("own", path=folder, size=8, to=tmp_path / "out")


def test_killed_midway_leaves_no_half_set(tmp_path: Path) -> None:
    folder = make_folder(tmp_path / "photos")
    code = (
        "import sys, time\n"
        "from tippingpoint.lab.data import decoding, prepare_image_set\n"
        "decoding.PIECE = 2\n"
        "def report(done, total):\n"
        "    print(done, flush=True)\n"
        "    time.sleep(60 if done >= 8 else 0)\n"
        "prepare_image_set('own', path=sys.argv[1], size=8, to=sys.argv[2], report=report)\n"
    )
    words = [sys.executable, "-c", code, str(folder), str(tmp_path / "own")]
    with subprocess.Popen(words, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        while int(process.stdout.readline()) < 8:
            pass
        process.send_signal(signal.SIGKILL)
    assert not (tmp_path / "own").exists()
    assert (tmp_path / ".own.part").is_dir()
    seen: list[tuple[int, int]] = []
    done = prepare_image_set(
        "own", path=folder, size=8, to=tmp_path / "own", report=lambda *numbers: seen.append(numbers)
    )
    assert not done["reused"]
    assert seen[-1] == (18, 18)
    assert not (tmp_path / ".own.part").exists()
    assert done["fingerprint"] == describe_image_set(str(folder))["fingerprint"]


@pytest.mark.skipif(not IMAGES.exists(), reason="the natural-image set lies in ../shared, beside a checkout")
def test_natural_images(tmp_path: Path) -> None:
    with np.load(IMAGES, allow_pickle=False) as arrays:
        for part in ("train", "test"):
            stream, offsets, labels = (arrays[f"{word}_{part}"] for word in ("jpeg", "off", "y"))
            for number in range(300):
                where = tmp_path / "cifar" / part / str(int(labels[number]))
                where.mkdir(parents=True, exist_ok=True)
                (where / f"{number:03d}.jpg").write_bytes(stream[offsets[number] : offsets[number + 1]].tobytes())
    prepare_image_set("cifar", path=tmp_path / "cifar", size=16, to=tmp_path / "own")
    plain = load_image_set("cifar", image_size=16, channels=3, data_dir=tmp_path)
    ready = load_image_set("own", image_size=16, channels=3, data_dir=tmp_path)
    assert np.array_equal(plain.train_images, ready.train_images)
    assert shared_images(plain, ready).test_test == 300
    assert plain.fingerprint == ready.fingerprint
