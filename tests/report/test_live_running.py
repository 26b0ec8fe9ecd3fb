"""What the live page reads of runs that go on: whole, growing, half-written, damaged, foreign or gone."""

from __future__ import annotations

import json
import os
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from live_study import KEYS, at_work, publish, tell
from test_live import BROKEN, ask

from tippingpoint.report import live_running
from tippingpoint.report.live import LiveServer
from tippingpoint.report.live_reading import QUIET
from tippingpoint.report.live_results import CURVES, POINTS, RUNNING, Curve, curve_series
from tippingpoint.report.live_running import RunningFiles

Serve = Callable[..., LiveServer]


def line(n_pretrain: int, *, seed: int = 0, **more: Any) -> str:
    """Return a line of finished curves."""
    told = at_work("0" * 64, done=3, n_pretrain=n_pretrain, subset_seed=seed, seed=seed, schema_version=1, **more)
    return json.dumps(told) + "\n"


def looked(root: Path) -> RunningFiles:
    found = RunningFiles(root)
    found.look()
    return found


# --- cells at work ---


def test_cells_of_all_runs_are_told_each_once(serve: Serve, tmp_path: Path) -> None:
    root = publish(tmp_path)
    tell(root, at_work(KEYS[2], label="a cell 2", done=7), at_work(KEYS[5], done=1), run="there-0-1-2-0")
    now = ask(serve(root), "/state.json").json
    assert now["running"] == [
        {"label": "a cell 2", "done": 7, "total": 400},
        {"label": "5", "done": 1, "total": 400},
    ]
    assert (now["n_running"], now["faults"]) == (2, [])


def test_a_run_that_is_silent_is_at_work_on_nothing(serve: Serve, tmp_path: Path) -> None:
    root = publish(tmp_path)
    path = tell(root, at_work(KEYS[0], label="of a dead run"), run="there-0-1-2-0")
    os.utime(path, (time.time() - QUIET - 5,) * 2)
    assert [one["label"] for one in ask(serve(root), "/state.json").json["running"]] == ["a cell 2"]


def test_where_no_run_tells_the_list_of_cells_does(serve: Serve, tmp_path: Path) -> None:
    root = publish(tmp_path)
    shutil.rmtree(root / "running")
    server = serve(root)
    assert ask(server, "/state.json").json["running"] == [{"label": "a cell 2", "done": None, "total": None}]
    tell(root)
    now = ask(server, "/state.json").json
    assert (now["running"], now["n_running"]) == ([], 0), "it says that it is at work on nothing"


def test_nothing_is_at_work_where_the_study_is_over(serve: Serve, tmp_path: Path) -> None:
    server = serve(publish(tmp_path, state="interrupted"))
    now = ask(server, "/state.json").json
    assert (now["running"], now["n_running"]) == ([], 0)
    (panel,) = ask(server, "/curves.json").json["panels"]
    assert [one["running"] for one in panel["series"]] == [False]


def test_a_list_of_many_is_cut(serve: Serve, tmp_path: Path) -> None:
    root = publish(tmp_path)
    tell(root, *(at_work(f"{place:064x}", label=f"cell {place}") for place in range(130)))
    now = ask(serve(root), "/state.json").json
    assert (len(now["running"]), now["n_running"]) == (50, 130)


# --- their curves ---


def test_curves_of_running_cells_stand_beside_the_finished(serve: Serve, tmp_path: Path) -> None:
    server = serve(publish(tmp_path))
    first = ask(server, "/state.json").json["versions"]
    (panel,) = ask(server, "/curves.json").json["panels"]
    done, running = panel["series"]
    assert (done["name"], done["running"]) == ("a cell, heads=4, 40 pretraining images", False)
    assert (running["name"], running["running"]) == ("a cell 2", True)
    points = running["points"]["loss"]
    assert points[-1][:2] == [120.0, pytest.approx(3 / 120**0.5)]
    assert len(points) <= POINTS + 1
    assert ask(server, "/state.json").json["versions"] == first
    tell(tmp_path, at_work(KEYS[2], done=121))
    assert ask(server, "/state.json").json["versions"] == {**first, "curves": first["curves"] + 1}


def test_a_panel_has_room_for_so_many() -> None:
    finished = {f"{place}": Curve("pretrained", f"m{place}", (1.0, 0.0), [[1.0, 2.0]]) for place in range(CURVES + 3)}
    curve = Curve("pretrained", "r", (1.0, 0.0), [[1.0, 2.0]])
    running = [(f"cell {place}", curve) for place in range(RUNNING + 2)]
    early = ("early", Curve("finetuned", "early", (1.0, 1.0), []))
    (panel,) = curve_series(finished, [*running, early])
    assert [one["running"] for one in panel["series"]] == [False] * CURVES + [True] * RUNNING
    assert (panel["left_out"], panel["running_left_out"]) == (3, 2)
    (alone,) = curve_series({}, running[:1])
    assert [(one["name"], one["running"]) for one in alone["series"]] == [("cell 0", True)]


def test_the_curve_to_draw_does_not_depend_on_which_ended_first(tmp_path: Path) -> None:
    lines = [line(40, seed=1), line(80, seed=1), line(80, seed=0), line(60)]
    for place, order in enumerate((lines, lines[::-1])):
        root = tmp_path / str(place)
        (root / "running").mkdir(parents=True)
        for run in (0, 1):
            (root / "running" / f"run{run}.curves.jsonl").write_text("".join(order[run::2]), encoding="utf-8")
        (curve,) = looked(root).finished.values()
        assert curve.rank == (80.0, 0.0, 0.0, 0.0)


def test_what_was_told_stays_where_the_study_goes_away(serve: Serve, tmp_path: Path) -> None:
    root = publish(tmp_path / "study")
    (root / "running" / "run.curves.jsonl").write_text(line(200), encoding="utf-8")
    server = serve(root)
    ask(server, "/state.json")
    root.rename(tmp_path / "moved")
    now = ask(server, "/state.json").json
    assert (now["state"], now["running"]) == ("gone", [])
    (panel,) = ask(server, "/curves.json").json["panels"]
    assert [one["name"] for one in panel["series"]] == [
        "a cell, heads=4, 40 pretraining images",
        "scratch, heads=4, 200 pretraining images",
    ]


# --- what grows ---


def test_only_what_is_new_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[str] = []
    keep = live_running.keep_curve
    monkeypatch.setattr(live_running, "keep_curve", lambda *given: (read.append(given[1]), keep(*given)))
    path = tmp_path / "running" / "run.curves.jsonl"
    path.parent.mkdir()
    path.write_text(line(10) + line(20) + line(30)[:100], encoding="utf-8")
    found = looked(tmp_path)
    assert (len(read), found.notes) == (2, []), "half a line is on its way"
    before = found.version
    found.look()
    assert (len(read), found.version) == (2, before)
    with path.open("a", encoding="utf-8") as stream:
        stream.write(line(30)[100:] + line(40))
    found.look()
    assert len(read) == 4
    assert found.version != before
    (curve,) = found.finished.values()
    assert curve.rank[0] == 40
    path.write_text(line(10), encoding="utf-8")  # another run's of the same name
    found.look()
    (curve,) = found.finished.values()
    assert curve.rank[0] == 10
    other = path.with_name("other")
    other.write_text(line(3) * 5, encoding="utf-8")
    other.replace(path)  # longer than what was read, and still another one
    found.look()
    (curve,) = found.finished.values()
    assert curve.rank[0] == 3
    path.unlink()
    found.look()
    assert (found.finished, found.notes) == ({}, []), "its run has ended"


def test_much_that_is_new_is_read_in_turns(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(live_running, "AT_ONCE", 2000)
    path = tmp_path / "running" / "run.curves.jsonl"
    path.parent.mkdir()
    path.write_text("".join(line(n) for n in range(1, 41)) + "x" * 5000 + "\n" + line(99), encoding="utf-8")
    found, seen = RunningFiles(tmp_path), []
    for _ in range(20):
        found.look()
        seen += [curve.rank[0] for curve in found.finished.values()]
    assert seen == sorted(seen)
    assert seen[0] < 40
    assert seen[-1] == 99, "a line without an end does not stop it"
    assert "cannot be read" in found.notes[0]


# --- what is damaged, foreign or elsewhere ---


def test_damage_is_one_sentence_and_the_rest_is_shown(serve: Serve, tmp_path: Path) -> None:
    root = publish(tmp_path)
    server = serve(root)
    before = ask(server, "/state.json").json
    path = root / "running" / "here-0-1-2-0.json"
    text = path.read_text(encoding="utf-8")
    path.write_text(text[:-9], encoding="utf-8")
    (root / "running" / "run.curves.jsonl").write_text("{\n" + line(200) + "7\n", encoding="utf-8")
    now = ask(server, "/state.json").json
    assert now["running"] == before["running"]
    assert now["faults"] == [
        "running/here-0-1-2-0.json is half-written or damaged; what it said before is shown.",
        "running/run.curves.jsonl: 2 line(s) cannot be read (half-written or damaged) and are left out.",
    ]
    (panel,) = ask(server, "/curves.json").json["panels"]
    assert "scratch, heads=4, 200 pretraining images" in [one["name"] for one in panel["series"]]
    bad = {**at_work(KEYS[1]), "loss": [1.0]}
    path.write_text(json.dumps({"schema_version": 1, "cells": [bad, 7, at_work(KEYS[2], label="sound")]}))
    now = ask(server, "/state.json").json
    assert [one["label"] for one in now["running"]] == ["sound"]
    assert "running/here-0-1-2-0.json: 2 cell(s) cannot be read and are left out." in now["faults"]


@pytest.mark.parametrize("text", [text for text, _ in BROKEN], ids=range(len(BROKEN)))
def test_no_content_is_an_error(serve: Serve, tmp_path: Path, text: str) -> None:
    root = publish(tmp_path)
    for name in ("here-0-1-2-0.json", "run.curves.jsonl"):
        (root / "running" / name).write_bytes(text.encode("latin-1") + b"\n")
    server = serve(root)
    now = ask(server, "/state.json").json
    assert [one["label"] for one in now["running"]] == ["a cell 2"], "as the list of cells says"
    assert any(fault.startswith("running/here-0-1-2-0.json") for fault in now["faults"])
    assert len(ask(server, "/curves.json").json["panels"]) == 1


def test_strange_values_are_made_fit_to_show(tmp_path: Path) -> None:
    strange = {"done": "1e400", "total": -3, "label": ["\x00", {}], "recipe": None, "student": {}, "n_pretrain": "many"}
    tell(tmp_path, {**at_work("k"), **strange}, {**at_work("m"), "done": 900, "loss": ["x"] * 120})
    first, second = looked(tmp_path).cells
    assert (first.done, first.total, first.label) == (0, 0, "['\\x00', {}]")
    assert (second.done, second.total, second.curve.points) == (400, 400, [])


def test_no_link_is_followed(tmp_path: Path) -> None:
    root, elsewhere = tmp_path / "study", tmp_path / "elsewhere"
    elsewhere.mkdir()
    source = tell(elsewhere, at_work("secret"))
    (source.parent / "run.curves.jsonl").write_text(line(10), encoding="utf-8")
    (root / "running").mkdir(parents=True)
    for path in source.parent.iterdir():
        (root / "running" / path.name).symlink_to(path)
    (root / "running" / "folder.json").mkdir()
    os.mkfifo(root / "running" / "pipe.json")
    found = looked(root)
    assert (found.cells, found.finished, found.notes) == ([], {}, [])
    shutil.rmtree(root / "running")
    (root / "running").symlink_to(source.parent)
    found.look()
    assert (found.cells, found.finished, found.notes) == ([], {}, [])


def test_temporary_and_strange_files_are_not_looked_at(tmp_path: Path) -> None:
    path = tell(tmp_path, at_work("k"))
    path.rename(path.with_name(f".{path.name}.ab_0123x.tmp"))
    (path.parent / ".hidden.json").write_text("{", encoding="utf-8")
    (path.parent / "notes.txt").write_text("{", encoding="utf-8")
    assert looked(tmp_path).notes == []
