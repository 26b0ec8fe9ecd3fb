"""The store: a whole cell or nothing, whatever happens."""

from __future__ import annotations

import json
import os
import shutil
import sqlite3
from pathlib import Path
from typing import Any

import pytest

from tippingpoint.errors import StoreError
from tippingpoint.study import cell_files as room
from tippingpoint.study import fsck, store
from tippingpoint.study.cell_files import begin_cell, commit_cell, verify_cell
from tippingpoint.study.fsck import check_store
from tippingpoint.study.store import Store

KEY = "a" * 64


def cell(key: str = KEY) -> dict[str, Any]:
    return {"key": key, "kind": "pretrain", "task": {}, "where": {"recipe": "scratch"}}


def finish(root: Path, key: str = KEY, error: float = 0.5) -> Path:
    aside = begin_cell(root, key)
    (aside / "weights.safetensors").write_bytes(b"w" * 100)
    return commit_cell(aside, root, cell(key), {"scores": {"error": error}, "wall_s": 1.0})


def test_a_finished_cell_describes_itself(tmp_path: Path) -> None:
    Store(tmp_path, write=True).close()
    folder = finish(tmp_path)
    about = json.loads((folder / "cell.json").read_text())
    assert about["schema_version"] == 2
    assert set(about["files"]) == {"result.json", "weights.safetensors"}
    assert json.loads((folder / "result.json").read_text())["schema_version"] == 1
    assert verify_cell(folder) is None
    store = Store(tmp_path, write=True)
    assert store.done() == {KEY}
    assert store.result(KEY)["scores"] == {"error": 0.5}
    assert not list((tmp_path / "cells").glob(".tmp-*"))


@pytest.mark.parametrize("call", ["fsync", "rename"])
def test_a_death_at_any_write_leaves_the_old_state_or_the_new(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: str
) -> None:
    """The n-th fsync or rename of a commit raises, for every n: as if the process had ended there."""
    real = getattr(os, call)
    for nth in range(1, 10):
        root = tmp_path / f"{call}{nth}"
        Store(root, write=True).close()
        left = nth

        def dies(*arguments: Any) -> None:
            nonlocal left
            left -= 1
            if left == 0:
                raise KeyboardInterrupt
            real(*arguments)

        with monkeypatch.context() as patch:
            patch.setattr(room.os, call, dies)
            try:
                finish(root)
                survived = True
            except KeyboardInterrupt:
                survived = False
        store = Store(root, write=True)
        for key in store.done():
            assert verify_cell(store.folder(key)) is None
        assert not list((root / "cells").glob(".tmp-*")), "leftovers of the dead are cleaned at the start"
        assert survived or len(store.notes) == (0 if store.done() else 1)
        store.close()
        if survived:
            assert nth > 1
            return
    pytest.fail("a commit makes fewer than ten of these calls")


def test_a_full_disk_is_one_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    Store(tmp_path, write=True).close()

    def full(*_: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(room.os, "fsync", full)
    with pytest.raises(StoreError, match=r"cannot be written \(No space left on device\); free room"):
        finish(tmp_path)


def test_the_second_writer_of_a_cell_gives_way(tmp_path: Path) -> None:
    Store(tmp_path, write=True).close()
    first = finish(tmp_path, error=0.1)
    assert finish(tmp_path, error=0.9) == first
    assert Store(tmp_path).result(KEY)["scores"]["error"] == 0.1
    assert len(list((tmp_path / "cells").iterdir())) == 1


@pytest.mark.parametrize("name", ["cell.json", "result.json", "weights.safetensors"])
def test_damage_is_found_and_the_cell_runs_again(tmp_path: Path, name: str) -> None:
    Store(tmp_path, write=True).close()
    path = finish(tmp_path) / name
    path.write_bytes(path.read_bytes()[:-7])
    assert verify_cell(path.parent) is not None
    reader = Store(tmp_path)
    assert reader.done() == set()
    assert len(reader.notes) == 1
    assert path.exists(), "who only reads moves nothing"
    writer = Store(tmp_path, write=True)
    assert writer.done() == set()
    assert "is trained again" in writer.notes[0]
    assert (tmp_path / "quarantine" / f"{KEY}.1" / "cell.json").is_file()


@pytest.mark.parametrize("mend", [False, True])
def test_damage_that_another_run_moved_away_is_not_told_twice(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, mend: bool
) -> None:
    Store(tmp_path, write=True).close()
    folder = finish(tmp_path)
    (folder / "result.json").unlink()

    def find_too(found: Path, *, deep: bool = True) -> str | None:
        fault = verify_cell(found, deep=deep)
        if found.exists():
            found.rename(tmp_path / "elsewhere")
        return fault

    monkeypatch.setattr(fsck if mend else store, "verify_cell", find_too)
    told = check_store(tmp_path, repair=True).mended if mend else Store(tmp_path, write=True).notes
    assert [text for text in told if "moved" in text] == []
    assert list((tmp_path / "quarantine").iterdir()) == []


def test_flipped_bits_are_found_by_the_hash(tmp_path: Path) -> None:
    Store(tmp_path, write=True).close()
    path = finish(tmp_path) / "weights.safetensors"
    content = bytearray(path.read_bytes())
    content[50] ^= 1
    path.write_bytes(bytes(content))
    assert verify_cell(path.parent) == "has a damaged weights.safetensors"


def test_another_cells_content_is_found(tmp_path: Path) -> None:
    Store(tmp_path, write=True).close()
    folder = finish(tmp_path)
    folder.rename(folder.with_name("b" * 64))
    assert verify_cell(folder.with_name("b" * 64)) == "holds another cell's content"


@pytest.mark.parametrize("name", ["cell.json", "result.json"])
def test_a_cell_of_a_later_version_is_refused_and_left_alone(
    tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An older release beside a newer one in one directory must not throw the newer one's cells out."""
    Store(tmp_path, write=True).close()
    with monkeypatch.context() as patch:
        patch.setattr(room, {"cell.json": "CELL_VERSION", "result.json": "RESULT_VERSION"}[name], 9)
        folder = finish(tmp_path)
        store = Store(tmp_path, write=True)
        assert store.done() == {KEY}
        store.close()
    told = rf"{folder / name}: was written by a newer version of tippingpoint; upgrade the package\."
    for indexed in (True, False):
        for write in (False, True):
            with pytest.raises(StoreError, match=told):
                Store(tmp_path, write=write)
        for repair in (False, True):
            with pytest.raises(StoreError, match=told):
                check_store(tmp_path, repair=repair)
        if indexed:
            (tmp_path / "index.sqlite").unlink()
    assert sorted(path.name for path in folder.iterdir()) == ["cell.json", "result.json", "weights.safetensors"]
    assert not (tmp_path / "quarantine").exists()


def test_a_version_that_a_flipped_bit_made_is_damage(tmp_path: Path) -> None:
    Store(tmp_path, write=True).close()
    path = finish(tmp_path) / "cell.json"
    path.write_text(path.read_text().replace('"schema_version": 2', '"schema_version": 3', 1))
    assert verify_cell(path.parent) == "has a damaged cell.json"


def test_a_shared_disk_is_asked_anew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A client of a network disk remembers that a cell was not there, until the folder around it is opened."""
    store = Store(tmp_path, write=True)
    opened: list[Any] = []
    real = os.open

    def noting(path: Any, *arguments: Any, **options: Any) -> int:
        opened.append(path)
        return real(path, *arguments, **options)

    monkeypatch.setattr(os, "open", noting)
    store.refresh()
    assert opened == [tmp_path / "cells"]
    store.close()
    shutil.rmtree(tmp_path / "cells")
    store.refresh()


@pytest.mark.parametrize("damage", ["missing", "garbage", "stale"])
def test_the_index_is_rebuilt_from_the_directories(tmp_path: Path, damage: str) -> None:
    store = Store(tmp_path, write=True)
    finish(tmp_path)
    store.record_done(KEY)
    store.record_failed("c" * 64, "why")
    store.close()
    index = tmp_path / "index.sqlite"
    if damage == "missing":
        index.unlink()
    elif damage == "garbage":
        index.write_bytes(b"not a database" * 400)
    else:
        with sqlite3.connect(index) as db:
            db.execute("UPDATE cells SET key = ? WHERE key = ?", ("d" * 64, KEY))
        db.close()
    reader = Store(tmp_path)
    assert reader.done() == {KEY}
    writer = Store(tmp_path, write=True)
    assert writer.done() == {KEY}
    assert writer.result(KEY)["scores"] == {"error": 0.5}
    writer.close()
    with sqlite3.connect(index) as db:
        done = db.execute("SELECT key FROM cells WHERE state = 'done'").fetchall()
        assert db.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    db.close()
    assert done == [(KEY,)]


@pytest.mark.parametrize("damage", ["gone", "garbage", "no table"])
def test_an_index_that_is_damaged_under_a_run_is_written_anew(tmp_path: Path, damage: str) -> None:
    """It is only a copy: no reason to end a study of days, and what it alone knows is still in memory."""
    store, index = Store(tmp_path, write=True), tmp_path / "index.sqlite"
    first, second = "1" * 64, "2" * 64
    store.record_done(finish(tmp_path, first).name)
    store.record_failed("c" * 64, "why")
    if damage == "gone":
        index.unlink()
    elif damage == "garbage":
        index.write_bytes(b"\xff" * index.stat().st_size)
    else:
        with sqlite3.connect(index) as db:
            db.execute("DROP TABLE cells")
        db.close()
    store.record_done(finish(tmp_path, second).name)
    store.flush()
    assert indexed(tmp_path) == {first, second}
    store.close()
    again = Store(tmp_path, write=True)
    assert (again.done(), again.failed(), again.notes) == ({first, second}, {"c" * 64: "why"}, [])
    again.close()


def test_failures_are_kept_until_the_cell_is_done(tmp_path: Path) -> None:
    store = Store(tmp_path, write=True)
    store.record_failed(KEY, "out of luck")
    store.close()
    assert Store(tmp_path).failed() == {KEY: "out of luck"}
    store = Store(tmp_path, write=True)
    finish(tmp_path)
    store.record_done(KEY)
    store.close()
    assert Store(tmp_path).failed() == {}


def test_reading_writes_nothing(tmp_path: Path) -> None:
    store = Store(tmp_path / "study", write=True)
    finish(tmp_path / "study")
    store.record_done(KEY)
    store.close()
    before = sorted(path.name for path in (tmp_path / "study").rglob("*"))
    Store(tmp_path / "study").close()
    assert sorted(path.name for path in (tmp_path / "study").rglob("*")) == before
    Store(tmp_path / "nothing").close()
    assert not (tmp_path / "nothing").exists()


def test_a_file_in_the_way_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(StoreError, match="cannot be written"):
        Store(tmp_path / "file" / "study", write=True)


def indexed(root: Path) -> set[str]:
    with sqlite3.connect(f"file:{root / 'index.sqlite'}?mode=ro", uri=True) as db:
        found = {key for (key,) in db.execute("SELECT key FROM cells WHERE state = 'done'")}
    db.close()
    return found


def test_the_index_learns_of_many_cells_at_once(tmp_path: Path) -> None:
    """Each writing of the index is flushed to the disk: cells that end at one time share it, and none waits long."""
    keys = [f"{number:x}" * 64 for number in range(1, 5)]
    store = Store(tmp_path, write=True)
    for key in keys[:3]:
        store.record_done(finish(tmp_path, key).name)
    assert indexed(tmp_path) == {keys[0]}
    assert store.done() == set(keys[:3]), "who asks is told at once"
    store.flush()
    assert indexed(tmp_path) == set(keys[:3])
    store._next_write = 0.0
    store.record_done(finish(tmp_path, keys[3]).name)
    assert indexed(tmp_path) == set(keys)
    store.close()


@pytest.mark.parametrize("end", ["closed", "killed"])
def test_what_the_index_has_not_learnt_is_found(tmp_path: Path, end: str) -> None:
    keys = ["1" * 64, "2" * 64]
    store = Store(tmp_path, write=True)
    for key in keys:
        store.record_done(finish(tmp_path, key).name)
    if end == "closed":
        store.close()
        assert indexed(tmp_path) == set(keys)
    else:
        assert store._db is not None
        store._db.close()
        store._db = None
        assert indexed(tmp_path) == {keys[0]}
    for write in (False, True):
        again = Store(tmp_path, write=write)
        assert again.done() == set(keys)
        again.close()
    assert indexed(tmp_path) == set(keys)


def test_a_failure_is_in_the_index_at_once(tmp_path: Path) -> None:
    """Nothing else keeps it."""
    store = Store(tmp_path, write=True)
    store.record_done(finish(tmp_path).name)
    store.record_failed("b" * 64, "out of luck")
    assert Store(tmp_path).failed() == {"b" * 64: "out of luck"}
    store.close()
