"""``tippingpoint fsck`` and ``gc`` as a user types them."""

from __future__ import annotations

import json
from pathlib import Path

import jsonschema
import pytest

import tippingpoint
from tippingpoint import cli
from tippingpoint.study.cell_files import begin_cell, commit_cell
from tippingpoint.study.store import Store

SCHEMAS = Path(tippingpoint.__file__).parent / "schemas"
KEY = "a" * 64


def printed(capsys: pytest.CaptureFixture[str], name: str) -> dict[str, object]:
    found: dict[str, object] = json.loads(capsys.readouterr().out)
    jsonschema.validate(found, json.loads((SCHEMAS / f"{name}.schema.json").read_text(encoding="utf-8")))
    return found


@pytest.fixture
def root(tmp_path: Path) -> Path:
    store = Store(tmp_path, write=True)
    commit_cell(begin_cell(tmp_path, KEY), tmp_path, {"key": KEY}, {"scores": {}})
    store.record_done(KEY)
    store.close()
    return tmp_path


def test_fsck_finds_and_mends(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["fsck", str(root), "--json"]) == 0
    assert printed(capsys, "fsck")["faults"] == []
    (root / "cells" / KEY / "result.json").write_text("{}")
    assert cli.main(["fsck", str(root)]) == 2
    streams = capsys.readouterr()
    assert f"tippingpoint: {root}/cells/{KEY}: has a damaged result.json.\n" in streams.err
    assert "1 cells checked, 1 fault" in streams.out
    assert cli.main(["fsck", str(root), "--json"]) == 2
    assert len(printed(capsys, "fsck")["faults"]) == 1  # type: ignore[arg-type]
    assert cli.main(["fsck", str(root), "--repair", "--json"]) == 0
    assert len(printed(capsys, "fsck")["mended"]) == 2  # type: ignore[arg-type]
    assert cli.main(["fsck", str(root)]) == 0
    assert "no faults" in capsys.readouterr().out
    assert (root / "quarantine" / f"{KEY}.1").is_dir()


def test_gc_removes_what_is_unfinished(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    begin_cell(root, "b" * 64)
    assert cli.main(["gc", str(root), "--dry-run", "--json"]) == 0
    assert len(printed(capsys, "gc")["orphans"]) == 1  # type: ignore[arg-type]
    assert cli.main(["gc", str(root)]) == 0
    assert "1 orphans removed" in capsys.readouterr().out
    assert cli.main(["gc", str(root), "--json"]) == 0
    assert printed(capsys, "gc")["orphans"] == []


@pytest.mark.parametrize("command", ["fsck", "gc"])
def test_what_is_no_study_is_told(tmp_path: Path, command: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main([command, str(tmp_path / "nothing")]) == 2
    assert "is not a study directory (there is no such directory)" in capsys.readouterr().err
