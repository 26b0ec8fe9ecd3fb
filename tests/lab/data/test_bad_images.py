"""Bad image files in a folder: each is named in one sentence, whichever way the folder is read, and nothing trains."""

from __future__ import annotations

import errno
import io
import os
import shutil
import struct
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from tippingpoint.errors import DataError, EnvironmentFault
from tippingpoint.lab.data import check_image_set, describe_image_set, load_image_set, prepare_image_set
from tippingpoint.lab.data.decoding import decode_bytes, strict_pillow
from tippingpoint.study.laboratory import RealLaboratory

CLASSES = ("ant", "bee", "cat")


def pixels(seed: int, *shape: int) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, shape).astype(np.uint8)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Three classes with four training and two test images each, all different."""
    root = tmp_path / "photos"
    for part, n in (("train", 4), ("test", 2)):
        for which, name in enumerate(CLASSES):
            (root / part / name).mkdir(parents=True)
            for number in range(n):
                image = Image.fromarray(pixels(100 * which + 10 * n + number, 9, 9, 3))
                image.save(root / part / name / f"{number}.png")
    return root


def task(folder: Path, **more: Any) -> dict[str, Any]:
    data = {"name": str(folder), "image_size": 8, "channels": 3, "validation_fraction": 0.25, **more}
    return {"kind": "pretrain", "data": data, "n_images": 3, "subset_seed": 0}


def told(folder: Path, error: type[Exception] = DataError) -> list[str]:
    """What `data check`, `data prepare` and a study say of a folder: the same, and how many images they are."""
    heard: list[list[str]] = []
    counts: list[set[str]] = []
    for read in (
        lambda: check_image_set(str(folder), image_size=8, channels=3),
        lambda: RealLaboratory().inspect([task(folder)]),
        lambda: prepare_image_set("own", path=folder, size=8, to=folder.parent / "out"),
    ):
        with pytest.raises(error) as caught:
            read()
        faults: tuple[str, ...] = caught.value.faults  # type: ignore[attr-defined]
        heard.append([fault for fault in faults if "images cannot be used" not in fault])
        counts.append({fault.removeprefix(f"{folder}: ").replace(" its", "") for fault in faults} - {*heard[-1]})
    assert heard[0] == heard[1] == heard[2]
    assert counts[0] == counts[1] == {said.replace(", and nothing was prepared", "") for said in counts[2]}
    assert not (folder.parent / "out").exists()
    return heard[0]


def png(width: int, height: int, depth: int, rows: bytes) -> bytes:
    """A PNG in RGB, written by hand: Pillow writes 16 bits in grey only."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    head = struct.pack(">IIBBBBB", width, height, depth, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")


def saved(image: Image.Image, kind: str, **more: Any) -> bytes:
    out = io.BytesIO()
    image.save(out, kind, **more)
    return out.getvalue()


RGB = Image.fromarray(pixels(7, 64, 64, 3))
JPEG, PNG, TIFF = saved(RGB, "JPEG", quality=95), saved(RGB, "PNG"), saved(RGB, "TIFF")
SIXTEEN = b"".join(b"\0" + pixels(row, 10 * 6).tobytes() for row in range(10))


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("cut.jpg", JPEG[: len(JPEG) // 2], "truncated"),
        ("end.jpg", JPEG[:-2], "truncated"),
        ("cut.png", PNG[: len(PNG) // 2], "is truncated (it ends before its last chunk)"),
        ("end.png", PNG[:-12], "is truncated (it ends before its last chunk)"),
        ("bit.png", PNG[:5000] + bytes([PNG[5000] ^ 1]) + PNG[5001:], "the checksum of its chunk b'IDAT' is wrong"),
        ("cut.tif", TIFF[: len(TIFF) // 2], "cannot be decoded"),
        ("rgb16.png", png(10, 10, 16, SIXTEEN), "more than 8 bits a channel"),
        ("rgb16.ppm", b"P6 10 10 65535\n" + SIXTEEN[10:], "more than 8 bits a channel"),
        ("grey16.png", saved(Image.fromarray(np.full((9, 9), 40000, np.uint16)), "PNG"), "more than 8 bits a channel"),
        ("float.tif", saved(Image.fromarray(np.ones((9, 9), np.float32)), "TIFF"), "more than 8 bits a channel"),
        ("page.png", b"<html>404 not found</html>", "is not an image (BMP, GIF, JPEG, PNG"),
        ("vector.png", b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 10 10\n%%EndComments\n", "is not an image"),
        ("table.png", b"\x89HDF\r\n\x1a\n" + bytes(60), "is not an image"),
        ("icon.png", saved(Image.fromarray(pixels(0, 16, 16, 3)), "ICO"), "is not an image"),
        ("empty.webp", b"", "is empty (0 bytes)"),
        ("bomb.png", png(30_000, 30_000, 8, b""), "is larger than"),
    ],
)
def test_a_bad_file_is_named(folder: Path, name: str, content: bytes, words: str) -> None:
    (folder / "train" / "bee" / name).write_bytes(content)
    (fault,) = told(folder)
    assert fault.startswith(f"{folder / 'train' / 'bee' / name}: ")
    assert words in fault
    with pytest.raises(DataError) as caught:
        RealLaboratory().inspect([task(folder)])
    assert caught.value.faults[1:] == (f"{folder}: 1 of its 19 images cannot be used.",)


def test_faults_of_all_kinds_are_told_at_once(folder: Path) -> None:
    (folder / "train" / "ant" / "0.png").write_bytes(PNG[:100])
    (folder / "train" / "bee" / "nowhere.png").symlink_to(folder / "nowhere.png")
    (folder / "test" / "bee" / "0.png").write_bytes(b"")
    os.mkfifo(folder / "test" / "cat" / "pipe.png")  # reading it would never end
    faults = told(folder)
    places = [fault.split(": ")[0].removeprefix(f"{folder}/") for fault in faults]
    assert places == ["train/ant/0.png", "train/bee/nowhere.png", "test/bee/0.png", "test/cat/pipe.png"]
    assert "cannot be read (No such file or directory)" in faults[1]
    assert "is no plain file" in faults[3]
    with pytest.raises(DataError) as caught:
        describe_image_set(str(folder))
    assert [fault.split(": ")[0].removeprefix(f"{folder}/") for fault in caught.value.faults] == [places[1], places[3]]


def test_files_that_must_not_be_read_are_all_named(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    read = Path.read_bytes

    def refused(path: Path) -> bytes:
        if path.name == "1.png":
            raise PermissionError(errno.EACCES, "Permission denied", str(path))
        return read(path)

    monkeypatch.setattr(Path, "read_bytes", refused)
    faults = told(folder, EnvironmentFault)
    assert len(faults) == 6
    assert all("1.png: cannot be read (Permission denied)" in fault for fault in faults)
    (folder / "train" / "cat" / "0.png").write_bytes(b"")
    assert len(told(folder, DataError)) == 7, "a bad file among them is the user's to mend"


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "GIF", "TIFF", "BMP", "WEBP", "PPM"])
def test_a_file_that_is_cut_anywhere_never_becomes_another_image(kind: str) -> None:
    smooth = Image.fromarray(np.add.outer(np.arange(24), np.arange(24)).astype(np.uint8)).convert("RGB")
    whole = saved(smooth, kind, **({"lossless": True} if kind == "WEBP" else {}))
    with strict_pillow():
        good = decode_bytes(Path("x"), whole, 24, 3).pixels
        for cut in range(1, len(whole)):
            found = decode_bytes(Path("x"), whole[:-cut], 24, 3)
            assert found.pixels is None or np.array_equal(found.pixels, good), cut
            assert found.pixels is None or (kind == "GIF" and cut <= 2), "a GIF's last bytes hold no pixel"


def test_a_flipped_bit_of_a_png_never_becomes_another_image() -> None:
    good = decode_bytes(Path("x"), PNG, 64, 3).pixels
    rng = np.random.default_rng(0)
    with strict_pillow():
        for place in range(0, len(PNG), 53):
            damaged = bytearray(PNG)
            damaged[place] ^= 1 << int(rng.integers(8))
            found = decode_bytes(Path("x"), bytes(damaged), 64, 3)
            assert found.pixels is None or np.array_equal(found.pixels, good), place


KINDS: dict[str, Callable[[], bytes]] = {
    "alpha.png": lambda: saved(
        Image.fromarray(np.dstack([np.full((9, 9, 3), 77), pixels(1, 9, 9)]).astype("u1")), "PNG"
    ),
    "cmyk.jpg": lambda: saved(Image.new("CMYK", (9, 9), (178, 178, 178, 0)), "JPEG", quality=100),
    "palette.gif": lambda: saved(Image.new("RGB", (9, 9), (77, 77, 77)), "GIF"),
    "frames.gif": lambda: saved(
        Image.new("RGB", (9, 9), (77, 77, 77)), "GIF", save_all=True, append_images=[Image.new("RGB", (9, 9))]
    ),
    "high_colour.bmp": lambda: saved(Image.new("RGB", (9, 9), (77, 77, 77)), "BMP"),
    "grey.png": lambda: saved(Image.new("L", (9, 9), 77), "PNG"),
}


@pytest.mark.parametrize("name", KINDS)
def test_kinds_of_images_that_are_read(folder: Path, name: str) -> None:
    (folder / "train" / "ant" / f"0_{name}").write_bytes(KINDS[name]())
    images = load_image_set(str(folder), image_size=8, channels=3)
    assert np.abs(images.train_images[1].astype(int) - 77).max() <= 1, (
        "transparency is dropped, a film's first frame kept"
    )
    grey = ["1 of 19 images are grey and became RGB."] if name == "grey.png" else []
    assert list(images.notes) == grey


def test_what_is_converted_or_passed_over_is_told_before_training(folder: Path) -> None:
    Image.fromarray(pixels(1, 9, 9)).save(folder / "train" / "ant" / "0.png")
    for name in ("new.heic", "new.HEIC", "notes.txt", "README"):
        (folder / "test" / "ant" / name).write_text("x", encoding="utf-8")
    notes = [
        "1 of 18 images are grey and became RGB.",
        "Passed over, because they are no images by name: 2 .heic, 1 .txt, 1 without a suffix.",
    ]
    assert check_image_set(str(folder), image_size=8, channels=3)["warnings"] == notes
    assert RealLaboratory().inspect([task(folder)]) == [f"{folder}: {note}" for note in notes]
    assert set(notes) == set(prepare_image_set("own", path=folder, size=8, to=folder.parent / "own")["notes"])


def test_colour_is_not_dropped_in_silence(folder: Path) -> None:
    Image.fromarray(pixels(1, 9, 9)).save(folder / "train" / "ant" / "0.png")
    with pytest.raises(
        DataError, match=r"17 of 18 images are in colour, and the study's image.channels is 1; set image"
    ):
        RealLaboratory().inspect([task(folder, channels=1)])
    assert load_image_set(f"{folder}[1-2]", image_size=8, channels=1).lost_colour == 12
    prepare_image_set("own", path=folder, size=8, channels=1, to=folder.parent / "own")
    assert RealLaboratory().inspect([task(folder.parent / "own", channels=1)]) == [], "made grey on purpose"
    arrays = {"x_train": pixels(2, 12, 8, 8, 3), "x_test": pixels(3, 6, 8, 8, 3)}
    np.savez(folder.parent / "own.npz", **arrays, y_train=np.arange(12) % 3, y_test=np.arange(6) % 3)
    with pytest.raises(DataError, match=r"own.npz: 18 of 18 images are in colour"):
        RealLaboratory().inspect([task(folder.parent / "own.npz", channels=1)])


def test_a_folder_that_is_named_otherwise_is_pointed_at(folder: Path) -> None:
    (folder / "test").rename(folder / "validation")
    (fault,) = told(folder)
    assert "there is no folder test/ (or val/), but train/, validation/;" in fault
    shutil.rmtree(folder / "validation")
    (folder / "train").rename(folder / "Train")
    assert all("but Train/;" in fault for fault in told(folder))


def test_a_validation_part_without_a_class_names_the_set(folder: Path) -> None:
    for file in list((folder / "train" / "cat").iterdir())[1:]:
        file.unlink()
    told = (
        r"photos: A validation part of 0.25 \(2 images\) holds no image of class 2: a class needs two training images"
    )
    with pytest.raises(DataError, match=told):
        RealLaboratory().inspect([task(folder)])
