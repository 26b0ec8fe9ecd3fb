"""``gc``: what dead runs left goes, all else stays."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from test_fsck import finish

from tippingpoint.errors import InputError, StoreError
from tippingpoint.study import gc
from tippingpoint.study.cell_files import begin_cell
from tippingpoint.study.claims import Runner
from tippingpoint.study.fsck import check_store
from tippingpoint.study.gc import collect
from tippingpoint.study.store import Store


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Two finished cells, and one orphan of each kind."""
    store = Store(tmp_path, write=True)
    first, second = (finish(tmp_path, seed) for seed in (1, 2))
    for folder in (first, second):
        store.record_done(folder.name)
    store.close()
    (begin_cell(tmp_path, "e" * 64) / "weights.safetensors").write_bytes(b"w" * 100)
    (tmp_path / ".runs.csv.ab_0123x.tmp").write_text("half a table")
    (tmp_path / "logs" / f"{first.name}.log").write_text("failed once")
    (tmp_path / "logs" / f"{'e' * 64}.log").write_text("failed still")
    for cell in (first.name, "e" * 64, "c" * 64):
        folder = tmp_path / "checkpoints" / cell
        folder.mkdir(parents=True)
        (folder / "step-00000010.safetensors").write_bytes(b"c" * 10)
    (folder / ".step-00000020.safetensors.ab_0123x.tmp").write_text("half a checkpoint")
    (tmp_path / "cells.jsonl").write_text("".join(json.dumps({"key": key}) + "\n" for key in (first.name, "e" * 64)))
    (tmp_path / "runs.csv").write_text("a table")
    return tmp_path


def content(root: Path) -> set[str]:
    return {str(path.relative_to(root)) for path in root.rglob("*")}


def test_orphans_go_and_nothing_else(root: Path) -> None:
    before = content(root)
    planned = collect(root, dry_run=True)
    assert content(root) == before, "a dry run removes nothing"
    found = collect(root)
    assert [one.path for one in found.orphans] == [one.path for one in planned.orphans]
    gone = before - content(root)
    assert len(found.orphans) == 5
    assert len(gone) == 7, "the unfinished cell with its file, the half table and checkpoint, what a done cell left"
    assert all(name.startswith((".runs.csv", "cells/.tmp-", "logs/", "checkpoints/")) for name in gone)
    assert found.to_dict()["bytes"] == 100 + 10 + sum(map(len, ("half a table", "half a checkpoint", "failed once")))
    assert {path.name[0] for path in (root / "checkpoints").iterdir()} == {"e", "c"}, "unfinished cells go on from them"
    assert collect(root).orphans == ()
    assert check_store(root).exit_code == 0


def test_cells_go_only_where_that_is_asked_for(root: Path) -> None:
    assert len(collect(root, unreferenced=True).orphans) == 7
    assert Store(root).done() == {json.loads((root / "cells.jsonl").read_text().splitlines()[0])["key"]}
    assert [path.name[0] for path in (root / "checkpoints").iterdir()] == ["e"], "the study has that cell"
    assert check_store(root).faults == ()
    (root / "cells.jsonl").write_text("{")
    with pytest.raises(InputError, match="is damaged, and it alone names the cells to keep"):
        collect(root, unreferenced=True)
    (root / "cells.jsonl").unlink()
    with pytest.raises(InputError, match="is missing"):
        collect(root, unreferenced=True)
    assert len(Store(root).done()) == 1


def test_what_a_run_that_begins_removes_too_is_no_fault(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = gc._remove

    def later(place: Path, orphans: list[gc.Orphan]) -> None:
        shutil.rmtree(orphans[1].path)
        real(place, orphans)

    monkeypatch.setattr(gc, "_remove", later)
    assert len(collect(root).orphans) == 5
    assert collect(root, dry_run=True).orphans == ()


def test_a_live_run_is_left_alone(root: Path) -> None:
    with Runner(root, "study") as runner:
        aside = begin_cell(root, "d" * 64, runner.name)
        found = collect(root)
        assert [one.path.name[:5] for one in found.orphans if one.path.suffix != ".log"] == [".tmp-"]
        assert len(list((root / "checkpoints").iterdir())) == 3
        assert aside.is_dir()
        assert "was left alone" in found.notes[0]
        with pytest.raises(StoreError, match="a run holds this study"):
            collect(root, unreferenced=True)
    assert len(collect(root).orphans) == 4
