"""Training one cell alone, and the command that says how."""

from __future__ import annotations

import json
import shlex
from collections.abc import Callable
from pathlib import Path

import pytest

from tippingpoint import cli
from tippingpoint.errors import InputError
from tippingpoint.study.execute import run_study
from tippingpoint.study.grid import build_grid
from tippingpoint.study.load import Study
from tippingpoint.study.only import find_cells, once, reproduce
from tippingpoint.study.status import study_status

Load = Callable[..., Study]
Environment = dict[str, str]


def test_cells_are_found_by_the_beginning_of_their_key(load: Load) -> None:
    grid = build_grid(load())
    first, second = list(grid.cells)[:2]
    assert find_cells(grid, [first[:12], second.upper()]) == [first, second]
    with pytest.raises(InputError) as caught:
        find_cells(grid, [first[:3], "zzzzzz", first[:-1] + "zz"])
    said = caught.value.faults
    assert len(said) == 3
    assert "give at least 6 digits" in said[0]
    assert "no cell whose key begins so" in said[1]


def test_only_what_it_starts_from_is_trained_with_it(load: Load, tmp_path: Path, environment: Environment) -> None:
    study = load()
    grid = build_grid(study)
    key = next(
        cell.key for cell in grid.cells.values() if cell.where["recipe"] == "distilled" and cell.where["downstream"]
    )
    outcome = run_study(study, tmp_path / "s", workers=2, environment=environment, choose=once([key]))
    assert outcome.trained == len(grid.closure([key]))
    assert outcome.counts["todo"] == len(grid.cells) - outcome.trained


def test_a_failed_cell_is_told_with_its_command_and_the_rest_goes_on(
    load: Load, tmp_path: Path, environment: Environment
) -> None:
    study, root = load(), tmp_path / "a study"
    grid = build_grid(study)
    failing = {**environment, "STUB_FAIL": '"label_smoothing": 0.1'}
    outcome = run_study(study, root, workers=2, environment=failing)
    smoothed = [cell for cell in grid.cells.values() if cell.where["recipe"] == "smoothed"]
    pretrained = {cell.key for cell in smoothed if cell.kind == "pretrain"}
    assert outcome.state == "failed"
    assert outcome.trained == len(grid.cells) - len(smoothed), "one failing cell stops only what starts from it"
    failures = study_status(root)["failures"]
    assert {failure["key"] for failure in failures} == pretrained
    for failure in failures:
        assert failure["reason"] == "RuntimeError: asked to fail at " + '"label_smoothing": 0.1'
        assert "Traceback" in Path(failure["log"]).read_text(encoding="utf-8")
        assert failure["command"] == reproduce(root, failure["key"])
    words = shlex.split(failures[0]["command"])
    assert words[:3] == ["tippingpoint", "run", str(root / "study.yaml")]
    assert find_cells(grid, [words[-1]]) == [failures[0]["key"]]
    again = run_study(study, root, workers=2, environment=environment, choose=once([failures[0]["key"]]))
    assert (again.state, again.trained, again.failures) == ("done", 1, {}), "that cell and nothing else"
    left = study_status(root)
    assert {one["key"] for one in left["failures"]} == pretrained - {failures[0]["key"]}, "the others are not forgotten"
    assert {one["reason"] for one in left["failures"]} == {failures[0]["reason"]}
    assert left["cells"]["blocked"] == 4 * len(left["failures"])
    assert json.loads((root / "progress.json").read_text())["cells"] == left["cells"]


@pytest.mark.slow
def test_the_command_runs(capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    tiny = ["--set", "seeds=1", "--set", "n_pretrain=[60, 120]", "--set", "downstream=[]", "--set", "n_finetune=[]"]
    assert cli.main(["run", "smoke", "--only", "123", *tiny]) == 2
    assert "give at least 6 digits" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())
