"""Small copies of the public sets in the makers' own formats, read as `data prepare` reads them."""

from __future__ import annotations

import csv
import hashlib
import json
import pickle
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from tippingpoint.errors import DataError, EnvironmentFault
from tippingpoint.lab.data import load_image_set, prepare_image_set, public_sets
from tippingpoint.lab.data.class_lists import imagenet100_list
from tippingpoint.lab.data.known import KNOWN

datasets = pytest.importorskip("torchvision.datasets")
Patch = pytest.MonkeyPatch


def noise(n: int, *shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (n, *shape)).astype(np.uint8)


def md5(file: Path) -> str:
    return hashlib.md5(file.read_bytes(), usedforsecurity=False).hexdigest()


def picture(file: Path, seed: int = 0) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(noise(1, 6, 7, 3, seed=seed)[0]).save(file, format="PPM" if file.suffix == ".ppm" else "JPEG")


def write_cifar10(root: Path, patch: Patch) -> tuple[int, int]:
    folder = root / "cifar-10-batches-py"
    folder.mkdir(parents=True)
    sums = {}
    for seed, name in enumerate([f"data_batch_{number}" for number in range(1, 6)] + ["test_batch"]):
        entry = {"data": noise(20, 3072, seed=seed), "labels": [number % 10 for number in range(20)]}
        (folder / name).write_bytes(pickle.dumps(entry))
        sums[name] = md5(folder / name)
    (folder / "batches.meta").write_bytes(pickle.dumps({"label_names": [f"class {number}" for number in range(10)]}))
    patch.setattr(datasets.CIFAR10, "train_list", [[name, key] for name, key in sums.items() if "data" in name])
    patch.setattr(datasets.CIFAR10, "test_list", [["test_batch", sums["test_batch"]]])
    meta = {"filename": "batches.meta", "key": "label_names", "md5": md5(folder / "batches.meta")}
    patch.setattr(datasets.CIFAR10, "meta", meta)
    return 100, 20


def write_cifar100(root: Path, patch: Patch) -> tuple[int, int]:
    folder = root / "cifar-100-python"
    folder.mkdir(parents=True)
    for seed, name in enumerate(("train", "test")):
        entry = {"data": noise(100, 3072, seed=seed), "fine_labels": list(range(100)), "coarse_labels": [0] * 100}
        (folder / name).write_bytes(pickle.dumps(entry))
        patch.setattr(datasets.CIFAR100, f"{name}_list", [[name, md5(folder / name)]])
    (folder / "meta").write_bytes(pickle.dumps({"fine_label_names": [f"fine {number}" for number in range(100)]}))
    meta = {"filename": "meta", "key": "fine_label_names", "md5": md5(folder / "meta")}
    patch.setattr(datasets.CIFAR100, "meta", meta)
    return 100, 100


def write_svhn(root: Path, patch: Patch) -> tuple[int, int]:
    from scipy.io import savemat

    root.mkdir(parents=True, exist_ok=True)
    lists = {}
    for seed, part in enumerate(("train", "test")):
        file = root / f"{part}_32x32.mat"
        labels = np.arange(30)[:, None] % 10 + 1  # the digit 0 has the label 10
        savemat(file, {"X": noise(32, 32, 3, 30, seed=seed), "y": labels.astype(np.uint8)})
        lists[part] = ["no address", file.name, md5(file)]
    patch.setattr(datasets.SVHN, "split_list", lists)
    return 30, 30


def write_stl10(root: Path, patch: Patch) -> tuple[int, int]:
    folder = root / "stl10_binary"
    folder.mkdir(parents=True)
    sums = []
    for seed, (part, n) in enumerate((("train", 20), ("test", 10), ("unlabeled", 3))):
        (folder / f"{part}_X.bin").write_bytes(noise(n, 3, 96, 96, seed=seed).tobytes())
        sums.append([f"{part}_X.bin", md5(folder / f"{part}_X.bin")])
        if part != "unlabeled":
            (folder / f"{part}_y.bin").write_bytes((np.arange(n) % 10 + 1).astype(np.uint8).tobytes())
            sums.append([f"{part}_y.bin", md5(folder / f"{part}_y.bin")])
    (folder / "class_names.txt").write_text("\n".join(f"thing {number}" for number in range(10)), encoding="utf-8")
    patch.setattr(datasets.STL10, "train_list", [entry for entry in sums if "test" not in entry[0]])
    patch.setattr(datasets.STL10, "test_list", [entry for entry in sums if "test" in entry[0]])
    return 20, 10


def write_flowers102(root: Path, patch: Patch) -> tuple[int, int]:
    from scipy.io import savemat

    folder = root / "flowers-102"
    labels = np.tile(np.arange(1, 103), 3)
    for number in range(1, 307):
        picture(folder / "jpg" / f"image_{number:05d}.jpg", number)
    savemat(folder / "imagelabels.mat", {"labels": labels})
    ids = np.arange(1, 307).reshape(3, 102)
    savemat(folder / "setid.mat", {"trnid": ids[0], "valid": ids[1], "tstid": ids[2]})
    files = {
        "image": ("102flowers.tgz", ""),
        **{
            key: (f"{name}.mat", md5(folder / f"{name}.mat"))
            for key, name in (("label", "imagelabels"), ("setid", "setid"))
        },
    }
    patch.setattr(datasets.Flowers102, "_file_dict", files)
    return 204, 102


def write_dtd(root: Path, _: Patch) -> tuple[int, int]:
    folder = root / "dtd" / "dtd"
    (folder / "labels").mkdir(parents=True)
    for seed, part in enumerate(("train", "val", "test")):
        names = [f"texture{number:02d}/texture{number:02d}_{part}.jpg" for number in range(47)]
        (folder / "labels" / f"{part}1.txt").write_text("\n".join(names) + "\n", encoding="utf-8")
        for name in names:
            picture(folder / "images" / name, seed)
    return 94, 47


def write_oxford_pets(root: Path, _: Patch) -> tuple[int, int]:
    folder = root / "oxford-iiit-pet"
    (folder / "annotations").mkdir(parents=True)
    for part, n in (("trainval", 2), ("test", 1)):
        lines = []
        for breed in range(37):
            for number in range(n):
                name = f"breed_{breed:02d}_{part}{number}"  # torchvision takes the class from what precedes the last _
                picture(folder / "images" / f"{name}.jpg", breed)
                lines.append(f"{name} {breed + 1} 1 1")
        (folder / "annotations" / f"{part}.txt").write_text("\n".join(lines), encoding="utf-8")
    return 74, 37


def write_food101(root: Path, _: Patch) -> tuple[int, int]:
    folder = root / "food-101"
    (folder / "meta").mkdir(parents=True)
    for part in ("train", "test"):
        listed = {f"dish{number:03d}": [f"dish{number:03d}/{part}"] for number in range(101)}
        (folder / "meta" / f"{part}.json").write_text(json.dumps(listed), encoding="utf-8")
        for number in range(101):
            picture(folder / "images" / f"dish{number:03d}" / f"{part}.jpg", number)
    return 101, 101


def write_eurosat(root: Path, _: Patch) -> tuple[int, int]:
    for number in range(10):
        for image in range(10):
            picture(root / "eurosat" / "2750" / f"Land{number}" / f"Land{number}_{image}.jpg", 10 * number + image)
    return 80, 20


def write_gtsrb(root: Path, _: Patch) -> tuple[int, int]:
    folder = root / "gtsrb"
    for number in range(43):
        picture(folder / "GTSRB" / "Training" / f"{number:05d}" / "00000_00000.ppm", number)
        picture(folder / "GTSRB" / "Final_Test" / "Images" / f"{number:05d}.ppm", 100 + number)
    with (folder / "GT-final_test.csv").open("w", encoding="utf-8", newline="") as stream:
        writer = csv.writer(stream, delimiter=";")
        writer.writerow(["Filename", "ClassId"])
        writer.writerows([f"{number:05d}.ppm", number] for number in range(43))
    return 43, 43


def write_tiny_imagenet(root: Path, _: Patch) -> tuple[int, int]:
    folder, lines = root / "tiny-imagenet-200", []
    for number in range(200):
        wnid = f"n{number:08d}"
        picture(folder / "train" / wnid / "images" / f"{wnid}_0.JPEG", number)
        (folder / "train" / wnid / f"{wnid}_boxes.txt").write_text("0 0 63 63", encoding="utf-8")
        name = f"val_{199 - number}.JPEG"
        picture(folder / "val" / "images" / name, 500 + number)
        lines.append(f"{name}\t{wnid}\t0\t0\t63\t63")
    (folder / "val" / "val_annotations.txt").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return 200, 200


def write_imagenet(root: Path, wnids: list[str]) -> None:
    for part, n in (("train", 2), ("val", 1)):
        for seed, wnid in enumerate(wnids):
            for number in range(n):
                picture(root / part / wnid / f"{wnid}_{part}{number}.JPEG", 10 * seed + number)


WRITERS: dict[str, Callable[[Path, Patch], tuple[int, int]]] = {
    "cifar10": write_cifar10,
    "cifar100": write_cifar100,
    "svhn": write_svhn,
    "stl10": write_stl10,
    "flowers102": write_flowers102,
    "dtd": write_dtd,
    "oxford_pets": write_oxford_pets,
    "food101": write_food101,
    "eurosat": write_eurosat,
    "gtsrb": write_gtsrb,
    "tiny_imagenet": write_tiny_imagenet,
}


@pytest.mark.parametrize("name", WRITERS)
def test_every_format(name: str, tmp_path: Path, monkeypatch: Patch) -> None:
    n_train, n_test = WRITERS[name](tmp_path / "source", monkeypatch)
    done = prepare_image_set(name, path=tmp_path / "source", size=8, channels=3, to=tmp_path / name)
    assert (done["n_train"], done["n_test"], done["n_classes"]) == (n_train, n_test, KNOWN[name].n_classes)
    assert f"There are {n_train:,} training images; the maker's set has {KNOWN[name].n_train:,}." in done["notes"]
    images = load_image_set(name, image_size=8, channels=3, data_dir=tmp_path)
    assert set(images.train_labels.tolist()) == set(images.test_labels.tolist()) == set(range(KNOWN[name].n_classes))
    inner = KNOWN[name].layout.split("/")[0]
    if (tmp_path / "source" / inner).is_dir() and name != "dtd":  # the set's own folder will do too
        again = prepare_image_set(name, path=tmp_path / "source" / inner, size=8, channels=3, to=tmp_path / "again")
        assert again["fingerprint"] == done["fingerprint"]


def test_all_public_sets_are_tested_and_told() -> None:
    assert set(WRITERS) | {"imagenet1k", "imagenet100"} == set(KNOWN)
    for name, known in KNOWN.items():
        assert known.url.startswith("http"), name
        maker = known.provider.partition(",")[0]
        assert name == "tiny_imagenet" or hasattr(datasets, maker.removeprefix("torchvision.datasets.")), name
    assert public_sets()["cifar10"]["prepared"] is None


def test_the_documented_table_is_this_one() -> None:
    page = (Path(__file__).parents[3] / "docs" / "data.md").read_text(encoding="utf-8")
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in page.splitlines() if line.startswith("| `")]
    table = {row[0].strip("`"): row for row in rows if len(row) == 9}
    assert list(table) == list(KNOWN)
    for name, known in KNOWN.items():
        counts = ["by list" if count is None else f"{count:,}" for count in (known.n_train, known.n_test)]
        assert table[name][3:8] == [*counts, f"{known.n_classes:,}", known.train, known.test]
        assert table[name][2] == f"`{known.layout}`"
        assert table[name][8] == f"{known.licence} ([maker]({known.url}))"
    assert imagenet100_list().sha256 in page


def test_cifar_s_pixels(tmp_path: Path, monkeypatch: Patch) -> None:
    write_cifar10(tmp_path, monkeypatch)
    prepare_image_set("cifar10", path=tmp_path, to=tmp_path / "cifar10")
    images = load_image_set("cifar10", image_size=32, channels=3, data_dir=tmp_path)
    first = noise(20, 3072, seed=0)[0].reshape(3, 32, 32).transpose(1, 2, 0)
    assert np.array_equal(images.train_images[0], first)
    assert images.class_names[3] == "class 3"


def test_stl10_s_images_stand_upright_and_svhn_s_zero_is_0(tmp_path: Path, monkeypatch: Patch) -> None:
    write_stl10(tmp_path, monkeypatch)
    prepare_image_set("stl10", path=tmp_path, to=tmp_path / "stl10")
    images = load_image_set("stl10", image_size=96, channels=3, data_dir=tmp_path)
    assert np.array_equal(images.train_images[0], noise(20, 3, 96, 96, seed=0)[0].transpose(2, 1, 0))  # columns first
    write_svhn(tmp_path, monkeypatch)
    prepare_image_set("svhn", path=tmp_path, to=tmp_path / "svhn")
    digits = load_image_set("svhn", image_size=32, channels=3, data_dir=tmp_path)
    assert digits.train_labels[:11].tolist() == [1, 2, 3, 4, 5, 6, 7, 8, 9, 0, 1]
    assert np.array_equal(digits.train_images[5], noise(32, 32, 3, 30, seed=0)[..., 5])


class Payload:
    """What an evil archive would hold: unpickled, it makes a file."""

    def __init__(self, place: Path) -> None:
        self.place = place

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (self.place,)


@pytest.mark.parametrize("name", ["data_batch_1", "batches.meta"])
def test_a_changed_pickle_is_never_opened(name: str, tmp_path: Path, monkeypatch: Patch) -> None:
    write_cifar10(tmp_path, monkeypatch)
    evil = tmp_path / "evil"
    (tmp_path / "cifar-10-batches-py" / name).write_bytes(pickle.dumps(Payload(evil)))
    with pytest.raises(DataError, match=r"finds no whole 'cifar10' here .*corrupted"):
        prepare_image_set("cifar10", path=tmp_path, to=tmp_path / "out")
    assert not evil.exists()
    pickle.loads((tmp_path / "cifar-10-batches-py" / name).read_bytes())
    assert evil.exists(), "the payload does what the test fears"


@pytest.mark.parametrize("name", [name for name in WRITERS if name != "tiny_imagenet"])
def test_an_empty_folder_and_no_network(name: str, tmp_path: Path, monkeypatch: Patch) -> None:
    with pytest.raises(DataError, match=f"finds no whole '{name}' here"):
        prepare_image_set(name, path=tmp_path, to=tmp_path / "out")
    maker = getattr(datasets, KNOWN[name].provider.rpartition(".")[2])

    def unreachable(*_: object, **__: object) -> None:
        raise OSError("no route to the host")

    monkeypatch.setattr(maker, "__init__", unreachable)
    with pytest.raises(EnvironmentFault, match=f"could not fetch '{name}'"):
        prepare_image_set(name, path=tmp_path, to=tmp_path / "out", download=True)
    assert not (tmp_path / "out").exists()


def test_missing_and_damaged_files_of_a_public_set(tmp_path: Path, monkeypatch: Patch) -> None:
    write_food101(tmp_path, monkeypatch)
    (tmp_path / "food-101" / "images" / "dish003" / "train.jpg").unlink()
    (tmp_path / "food-101" / "images" / "dish100" / "test.jpg").write_bytes(b"")
    with pytest.raises(DataError) as caught:
        prepare_image_set("food101", path=tmp_path, size=8, to=tmp_path / "out")
    assert [fault.rpartition("images/")[2].split(" (")[0] for fault in caught.value.faults[:2]] == [
        "dish003/train.jpg: cannot be read",
        "dish100/test.jpg: is empty",
    ]
    assert caught.value.faults[2].startswith("2 of 202 images")
    (tmp_path / "food-101" / "meta" / "test.json").write_text("{", encoding="utf-8")
    with pytest.raises(DataError, match="finds no whole 'food101' here"):
        prepare_image_set("food101", path=tmp_path, size=8, to=tmp_path / "out")


def test_eurosat_s_parts_are_fixed_and_stratified(tmp_path: Path, monkeypatch: Patch) -> None:
    write_eurosat(tmp_path, monkeypatch)
    prints = [
        prepare_image_set("eurosat", path=tmp_path, size=8, to=tmp_path / f"out{run}")["fingerprint"] for run in (0, 1)
    ]
    images = load_image_set("out0", image_size=8, channels=3, data_dir=tmp_path)
    assert prints[0] == prints[1]
    assert np.bincount(images.test_labels).tolist() == [2] * 10
    together = {image.tobytes() for part in (images.train_images, images.test_images) for image in part}
    assert len(together) == 100, "no image is in both parts"


def test_annotations_that_lack_files_or_name_unknown_classes(tmp_path: Path, monkeypatch: Patch) -> None:
    write_tiny_imagenet(tmp_path, monkeypatch)
    folder = tmp_path / "tiny-imagenet-200"
    listed = folder / "val" / "val_annotations.txt"
    lines = listed.read_text(encoding="utf-8").splitlines()
    lines[0] = "val_0.JPEG\tn99999999\t0\t0\t1\t1"
    lines[1] = "val_gone.JPEG\tn00000001\t0\t0\t1\t1"
    lines[2] = lines[3]
    lines[4] = "no tabs here"
    listed.write_text("\n".join(lines), encoding="utf-8")
    with pytest.raises(DataError) as caught:
        prepare_image_set("tiny_imagenet", path=tmp_path, size=8, to=tmp_path / "out")
    faults = [fault.removeprefix(f"{listed}:") for fault in caught.value.faults]
    assert "class 'n99999999' has no folder in train/" in faults[0]
    assert "2: val_gone.JPEG is not in" in faults[1]
    assert "4: names val_196.JPEG for the second time" in faults[2]
    assert "5: holds no file and class with a tab between" in faults[3]
    assert sum("its class is unknown" in fault for fault in faults) == 4  # 199, 198, 197, 195
    listed.unlink()
    with pytest.raises(DataError, match=r"val_annotations.txt: is missing"):
        prepare_image_set("tiny_imagenet", path=folder, size=8, to=tmp_path / "out")


def test_tiny_imagenet_that_lacks_a_class(tmp_path: Path, monkeypatch: Patch) -> None:
    import shutil

    write_tiny_imagenet(tmp_path, monkeypatch)
    shutil.rmtree(tmp_path / "tiny-imagenet-200" / "train" / "n00000007")
    with pytest.raises(DataError, match="class 'n00000007' has no folder in train/"):
        prepare_image_set("tiny_imagenet", path=tmp_path, size=8, to=tmp_path / "out")


def test_imagenet100_is_a_list_over_imagenet(tmp_path: Path) -> None:
    ours = imagenet100_list()
    assert (len(ours.classes), ours.sha256[:12]) == (100, "94439f604e5f")
    write_imagenet(tmp_path, [*ours.classes, "n99999998", "n99999999"])
    done = prepare_image_set("imagenet100", path=tmp_path, size=8, to=tmp_path / "ours")
    assert (done["n_classes"], done["n_train"], done["n_test"]) == (100, 200, 100)
    assert done["source"]["class_list"] == {"name": "every tenth of ILSVRC 2012", "sha256": ours.sha256}
    listed = tmp_path / "other.txt"
    listed.write_text("\n".join([*ours.classes[:99], "n99999999"]), encoding="utf-8")
    other = prepare_image_set("imagenet100", path=tmp_path, size=8, to=tmp_path / "other", classes=listed)
    assert other["fingerprint"] != done["fingerprint"], "the list is part of the fingerprint"
    for part in ("train", "val"):  # the very images of the first list, under the name of another class
        shutil.rmtree(tmp_path / part / "n99999999")
        (tmp_path / part / ours.classes[99]).rename(tmp_path / part / "n99999999")
    moved = prepare_image_set("imagenet100", path=tmp_path, size=8, to=tmp_path / "moved", classes=listed)
    assert moved["fingerprint"] not in (other["fingerprint"], done["fingerprint"]), "by its names, not by chance"
    for part in ("train", "val"):
        (tmp_path / part / "n99999999").rename(tmp_path / part / ours.classes[99])
    listed.write_text("\n".join(reversed(ours.classes)), encoding="utf-8")
    with pytest.raises(DataError, match="holds 'imagenet100'"):
        prepare_image_set("imagenet100", path=tmp_path, size=8, to=tmp_path / "other", classes=listed)
    same = prepare_image_set("imagenet100", path=tmp_path, size=8, to=tmp_path / "same", classes=listed)
    assert (same["fingerprint"], same["source"]) == (done["fingerprint"], done["source"])
    listed.write_text("\n".join([*ours.classes, "n00000000"]), encoding="utf-8")
    with pytest.raises(DataError, match="class 'n00000000' has no folder here"):
        prepare_image_set("imagenet100", path=tmp_path, size=8, to=tmp_path / "none", classes=listed)


def test_imagenet1k_has_a_thousand_classes(tmp_path: Path, monkeypatch: Patch) -> None:
    write_imagenet(tmp_path, ["n00000001", "n00000002", "n00000003"])
    with pytest.raises(DataError, match="holds 3 classes, and imagenet1k has 1,000"):
        prepare_image_set("imagenet1k", path=tmp_path, size=8, to=tmp_path / "out")
    monkeypatch.setitem(KNOWN, "imagenet1k", KNOWN["imagenet1k"]._replace(n_classes=3))
    assert prepare_image_set("imagenet1k", path=tmp_path, size=8, to=tmp_path / "out")["n_test"] == 3
