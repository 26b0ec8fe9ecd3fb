"""``fsck``: every damage to a cell or to the index is found, said in a sentence, and mended without a loss."""

from __future__ import annotations

import json
import random
import sqlite3
from pathlib import Path
from typing import Any

import pytest

from tippingpoint.errors import InputError, StoreError
from tippingpoint.study.cell_files import begin_cell, commit_cell, verify_cell
from tippingpoint.study.cells import STAGE_VERSIONS, cell_key
from tippingpoint.study.claims import Runner
from tippingpoint.study.fsck import check_store
from tippingpoint.study.runners.worker import run_cell
from tippingpoint.study.store import Store

HEADER = b'{"w":{"dtype":"U8","shape":[300],"data_offsets":[0,300]}}'
WEIGHTS = len(HEADER).to_bytes(8, "little") + HEADER + bytes(range(100)) * 3
FILES = ("cell.json", "result.json", "curve.json", "weights.safetensors")
DAMAGES = 50  # of each of the four files


def described(seed: int, **parents: str) -> dict[str, Any]:
    task = {"kind": "pretrain", "data": {"name": "toys", "image_size": 8}, "seed": seed, "rate": 2e-3}
    return {
        "key": cell_key(task, "f" * 64, parents),
        "kind": "pretrain",
        "stage_version": STAGE_VERSIONS["pretrain"],
        "where": {"recipe": "scratch", "seed": seed},
        "task": task,
        "parents": parents,
        "data_fingerprint": "f" * 64,
    }


def finish(root: Path, seed: int = 1, weights: bytes = WEIGHTS) -> Path:
    cell = described(seed)
    aside = begin_cell(root, cell["key"])
    (aside / "weights.safetensors").write_bytes(weights)
    (aside / "curve.json").write_text('{"schema_version": 1, "curve": [[0, 2.3], [10, 1.1]]}')
    return commit_cell(aside, root, cell, {"scores": {"error": seed / 10}, "wall_s": 1.0})


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A study directory of three finished cells and one that failed."""
    store = Store(tmp_path, write=True)
    for seed in (1, 2, 3):
        store.record_done(finish(tmp_path, seed).name)
    store.record_failed("c" * 64, "out of luck")
    store.close()
    return tmp_path


def reasons(root: Path) -> list[str]:
    return [fault.reason for fault in check_store(root).faults]


def as_version_1(folder: Path) -> None:
    """Write a cell as releases before the manifest's own hash did."""
    path = folder / "cell.json"
    about = json.loads(path.read_text())
    del about["sha256"]
    path.write_text(json.dumps({**about, "schema_version": 1}, indent=1))


def damage(content: bytes, seed: int) -> bytes:
    """Cut the end off (every fifth), or flip one bit."""
    draw = random.Random(seed)
    if seed % 5 == 0:
        return content[: draw.randrange(len(content))]
    place = draw.randrange(len(content))
    return content[:place] + bytes([content[place] ^ 1 << draw.randrange(8)]) + content[place + 1 :]


def test_a_sound_study_has_no_faults_and_is_not_touched(root: Path) -> None:
    before = {path: path.stat().st_mtime_ns for path in root.rglob("*")}
    found = check_store(root)
    assert (found.cells, found.faults, found.mended, found.unfinished, found.exit_code) == (3, (), (), 0, 0)
    assert {path: path.stat().st_mtime_ns for path in root.rglob("*")} == before


@pytest.mark.parametrize("name", FILES)
def test_every_truncation_and_bit_flip_is_found(tmp_path: Path, name: str) -> None:
    Store(tmp_path, write=True).close()
    folder = finish(tmp_path)
    content = (folder / name).read_bytes()
    for seed in range(DAMAGES):
        (folder / name).write_bytes(damage(content, seed))
        told = [fault for fault in check_store(tmp_path).faults if fault.what == "cell"]
        assert [fault.path for fault in told] == [folder], f"damage {seed} of {name}"
    (folder / name).write_bytes(content)
    assert verify_cell(folder) is None


@pytest.mark.parametrize("name", FILES)
def test_a_damaged_parent_is_found_before_a_child_trains_on_it(tmp_path: Path, name: str) -> None:
    Store(tmp_path, write=True).close()
    folder = finish(tmp_path)
    content = (folder / name).read_bytes()
    child = described(9, init=folder.name)

    def never(*_: Any) -> dict[str, Any]:
        pytest.fail("a child was trained on a damaged parent")

    for seed in range(DAMAGES):
        (folder / name).write_bytes(damage(content, seed))
        with pytest.raises(StoreError, match=folder.name):
            run_cell(tmp_path, child, {"init": str(folder)}, never, lambda *_: None)
    assert [path.name for path in (tmp_path / "cells").iterdir()] == [folder.name]


def test_a_cell_of_version_1_is_sound_and_held_to_its_key(root: Path) -> None:
    folder = finish(root, 2)
    as_version_1(folder)
    assert reasons(root) == []
    path = folder / "cell.json"
    path.write_text(path.read_text().replace('"rate": 0.002', '"rate": 0.003'))
    assert reasons(root)[0] == "has a damaged cell.json: it describes a cell of another key"


@pytest.mark.parametrize(
    ("what", "told"),
    [
        ("lost file", "has no curve.json"),
        ("added file", "holds notes.txt, which its cell.json does not list"),
        ("no manifest", "has no cell.json"),
        ("stranger", "is not a cell, and does not belong here"),
    ],
)
def test_files_too_many_and_too_few(root: Path, what: str, told: str) -> None:
    folder = finish(root, 2)
    if what == "lost file":
        (folder / "curve.json").unlink()
    elif what == "added file":
        (folder / "notes.txt").write_text("x")
    elif what == "no manifest":
        (folder / "cell.json").unlink()
    else:
        (root / "cells" / "copy of a cell").mkdir()
    assert reasons(root)[0] == told


@pytest.mark.parametrize("name", [".DS_Store", "._weights.safetensors", "Thumbs.db", ".nfs000000000abc"])
def test_what_desktops_and_network_disks_leave_costs_no_cell(root: Path, name: str) -> None:
    folder = finish(root, 2)
    for place in (folder, root / "cells"):
        (place / name).write_bytes(b"Bud1")
    assert reasons(root) == []
    with_it = Store(root, write=True)
    assert folder.name in with_it.done()
    with_it.close()
    assert not (root / "quarantine").exists()


@pytest.mark.parametrize(
    "weights", [b"", b"no safetensors file at all", WEIGHTS[:-9], WEIGHTS + b"x", b"\xff" * 8 + WEIGHTS[8:]]
)
def test_weights_that_were_never_well_formed_are_told(tmp_path: Path, weights: bytes) -> None:
    Store(tmp_path, write=True).close()
    finish(tmp_path, weights=weights)
    Store(tmp_path, write=True).close()
    assert reasons(tmp_path) == ["holds weights.safetensors as it was written, but it is not well formed"]


@pytest.mark.parametrize(
    ("statement", "told"),
    [
        ("UPDATE cells SET state = 'odd' WHERE key LIKE 'c%' AND state = 'failed'", "says 'odd' of cell cccc"),
        ("INSERT INTO cells VALUES ('d', 'done', '{}')", "calls cell d done, but it is not there"),
        ("UPDATE cells SET text = '{}' WHERE state = 'done'", "tells another result of cell"),
        ("PRAGMA user_version = 7", "is damaged (version 7)"),
        ("DROP TABLE cells", "is damaged (no such table: cells)"),
    ],
)
def test_the_index_is_held_against_the_cells_and_built_anew(root: Path, statement: str, told: str) -> None:
    with sqlite3.connect(root / "index.sqlite") as db:
        db.execute(statement)
    db.close()
    assert told in reasons(root)[0]
    assert check_store(root).exit_code == 2
    assert check_store(root, repair=True).exit_code == 0
    assert reasons(root) == []
    assert len(Store(root).done()) == 3


@pytest.mark.parametrize("damaged", ["missing", "garbage", "flipped"])
def test_a_damaged_index_is_found(root: Path, damaged: str) -> None:
    path = root / "index.sqlite"
    content = path.read_bytes()
    if damaged == "missing":
        path.unlink()
    else:
        path.write_bytes(b"\x00" * 40 if damaged == "garbage" else content[:100] + b"\xff" * 60 + content[160:])
    assert len(reasons(root)) == 1
    check_store(root, repair=True)
    assert reasons(root) == []


def test_repair_sets_damaged_cells_aside_and_keeps_the_rest(root: Path) -> None:
    folder = finish(root, 2)
    for _ in range(2):  # what is there already is not overwritten
        (folder / "result.json").write_text("{}")
        assert check_store(root).exit_code == 2
        found = check_store(root, repair=True)
        assert found.exit_code == 0
        assert "the next run trains it again" in found.mended[0]
        assert reasons(root) == []
        assert not folder.exists()
        finish(root, 2)
    assert sorted(path.name for path in (root / "quarantine").iterdir()) == [f"{folder.name}.1", f"{folder.name}.2"]
    store = Store(root, write=True)
    assert len(store.done()) == 3
    assert store.failed() == {"c" * 64: "out of luck"}, "what failed is still known"


def test_an_index_that_lags_behind_is_no_fault(root: Path) -> None:
    folder = finish(root, 4)
    found = check_store(root)
    assert (found.faults, found.behind, found.exit_code) == ((), 1, 0)
    assert check_store(root, repair=True).mended
    assert check_store(root).behind == 0
    assert folder.name in Store(root).done()


def test_who_repairs_must_be_alone(root: Path) -> None:
    with Runner(root, "study"):
        assert check_store(root).exit_code == 0
        with pytest.raises(StoreError, match="a run holds this study"):
            check_store(root, repair=True)


def test_unfinished_cells_are_no_faults(root: Path) -> None:
    begin_cell(root, "e" * 64)
    found = check_store(root)
    assert (found.unfinished, found.exit_code) == (1, 0)
    check_store(root, repair=True)


def test_what_is_no_study_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    for path, told in ((tmp_path, "it holds no cells"), (tmp_path / "file", "a file"), (tmp_path / "no", "no such")):
        with pytest.raises(InputError, match=told):
            check_store(path)
