"""The figures of a paper: every kind is made, named safely, saved with the same bytes and with its fonts."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from tippingpoint.errors import InputError
from tippingpoint.report import KINDS, Analysis, analyse, plates_of, save_plates


@pytest.fixture(scope="module")
def analysis(make_runs: Callable[..., pd.DataFrame], endpoint: dict[str, Any]) -> Analysis:
    frame = make_runs(blocks=3, sizes=(250, 1000, 4000, 16000))
    few = frame["recipe"].isin(["scratch", "distilled"]) & (frame["downstream"] != "digits")
    return analyse(frame[few], endpoint, resamples=40)


def test_every_kind_is_made_from_a_study(analysis: Analysis) -> None:
    plates = list(plates_of(analysis))
    assert list(dict.fromkeys(plate.kind for plate in plates)) == list(KINDS)
    names = [plate.name for plate in plates]
    assert len(names) == len(set(names))
    assert all(re.fullmatch(r"[a-z0-9][a-z0-9-]*", name) for name in names)
    assert all(plate.caption.endswith(".") and len(plate.caption) > 40 for plate in plates)
    assert {"concept", "pretraining-scratch-upstream-test-set", "phase-n-params", "phase-n-finetune"} <= set(names)


def test_the_same_runs_give_the_same_bytes(analysis: Analysis, tmp_path: Path) -> None:
    kinds = ["concept", "difference"]
    first = save_plates(analysis, tmp_path / "a", formats=["svg", "pdf"], only=kinds)
    second = save_plates(analysis, tmp_path / "b", formats=["svg", "pdf"], only=kinds)
    assert [path.name for path in first] == [path.name for path in second]
    assert [path.read_bytes() for path in first] == [path.read_bytes() for path in second]
    svg = [path.read_bytes() for path in first if path.suffix == ".svg"]
    assert svg
    assert not any(b"<text" in content for content in svg)  # outlines: the file needs no font
    pdf = [path.read_bytes() for path in first if path.suffix == ".pdf"]
    assert all(content.startswith(b"%PDF") and b"CreationDate" not in content for content in pdf)
    assert all(b"/FontFile2" in content and b"/Type3" not in content for content in pdf)  # TrueType, embedded


def test_captions_stand_beside_the_figures(analysis: Analysis, tmp_path: Path) -> None:
    told = []
    *_, captions = save_plates(analysis, tmp_path, formats=["png"], only=["probability", "predicted"],
                               progress=lambda plate, paths: told.append((plate.name, paths)))  # fmt: skip
    text = captions.read_text(encoding="utf-8")
    assert [name for name, _ in told] == re.findall(r"^\*\*(.+)\.\*\* ", text, re.MULTILINE)
    assert all(path.read_bytes().startswith(b"\x89PNG") for _, paths in told for path in paths)


def test_names_from_the_data_lead_nowhere(analysis: Analysis, tmp_path: Path) -> None:
    frame = analysis.frame.copy()
    frame["downstream"] = frame["downstream"].map(
        lambda name: f"../../etc/{name}\x00$x$" if isinstance(name, str) else name
    )
    laws = tuple(
        result._replace(downstream=f"../../etc/{result.downstream}\x00$x$") if result.downstream else result
        for result in analysis.laws
    )
    hostile = analysis._replace(frame=frame, laws=laws, primary=None)
    written = save_plates(hostile, tmp_path, formats=["svg"], only=["finetuning"])
    assert all(path.parent == tmp_path for path in written)
    assert len(written) > 1


def test_what_is_unknown_is_told_together_before_anything_is_drawn(analysis: Analysis, tmp_path: Path) -> None:
    with pytest.raises(InputError) as caught:
        save_plates(analysis, tmp_path, only=["diference"], formats=["bmp"])
    assert len(caught.value.faults) == 2
    assert "difference" in caught.value.faults[0]
    assert not list(tmp_path.iterdir())


def test_runs_that_do_not_allow_a_figure(analysis: Analysis, tmp_path: Path) -> None:
    empty = analysis._replace(primary=None, exploratory=(), maps=())
    assert not list(plates_of(empty, ["difference", "concept", "probability", "phase"]))
    with pytest.raises(InputError, match="do not allow"):
        save_plates(empty, tmp_path, only=["difference"])
