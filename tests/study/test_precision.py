"""``precision: auto``: measured once for each model, kept, and used by whoever comes later."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from tippingpoint.errors import StoreError
from tippingpoint.study.adaptive import with_extra_seeds
from tippingpoint.study.claims import Runner
from tippingpoint.study.execute import run_study
from tippingpoint.study.fsck import check_store
from tippingpoint.study.grid import build_grid
from tippingpoint.study.load import Study, dump_config
from tippingpoint.study.plan import plan_study
from tippingpoint.study.precision import CLAIM, RECORD, decide_precision, undecided, with_precision

Load = Callable[..., Study]
SMALL = ("seeds=1", "n_pretrain=[400]", "n_finetune=[20]", "recipes.scratch_extra_compute=null")
AUTO = (*SMALL, "precision=auto")


def probed(study: Study) -> list[tuple[int, str]]:
    return [(model["heads"], device) for model, device in study.laboratory.probed]  # type: ignore[attr-defined]


def test_one_decision_for_each_model(load: Load, study_text: str, tmp_path: Path) -> None:
    study = decide_precision(load(study_text, *AUTO), tmp_path)
    assert probed(study) == [(1, "cpu"), (2, "cpu"), (4, "cpu")]
    halves = build_grid(load(study_text, *SMALL, "precision=bfloat16"))
    assert list(build_grid(study).cells) == list(halves.cells)
    assert {cell.task["precision"] for cell in halves.cells.values()} == {"bfloat16"}
    whole = decide_precision(load(study_text, *AUTO, faster="float32"), tmp_path / "other")
    plain = build_grid(load(study_text, *SMALL))
    assert list(build_grid(whole).cells) == list(plain.cells), "float32 is what was always done"
    assert list(build_grid(load(study_text, *SMALL, "precision=float32")).cells) == list(plain.cells)


def test_a_recorded_decision_holds(load: Load, study_text: str, tmp_path: Path, environment: dict[str, str]) -> None:
    """Another machine would decide otherwise: the run goes on with what was decided, and its table is the same."""
    first = load(study_text, *AUTO)
    outcome = run_study(first, tmp_path, workers=2, environment=environment)
    table = (tmp_path / "runs.csv").read_bytes()
    other = load(study_text, *AUTO, faster="float32")
    again = run_study(other, tmp_path, workers=2, environment=environment, devices=("cuda:0",))
    assert (outcome.state, again.state, again.trained, probed(other)) == ("done", "done", 0, [])
    assert (tmp_path / "runs.csv").read_bytes() == table
    planned = plan_study(other, tmp_path).to_dict()
    assert (planned["done"], planned["to_run"], probed(other)) == (outcome.trained, 0, [])
    assert check_store(tmp_path).faults == ()
    record = json.loads((tmp_path / RECORD).read_text(encoding="utf-8"))
    assert record["schema_version"] == 1
    assert [(one["model"]["heads"], one["precision"], one["device"]) for one in record["decisions"]] == [
        (1, "bfloat16", "cpu"),
        (2, "bfloat16", "cpu"),
        (4, "bfloat16", "cpu"),
    ]


def test_of_two_runs_that_start_together_one_measures(
    load: Load, study_text: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    study = load(study_text, *AUTO, faster="float32")
    decide_precision(load(study_text, *AUTO), tmp_path / "other")
    root = tmp_path / "shared"
    with Runner(root, dump_config(study.config)) as other:
        assert other.take(CLAIM)

        def meanwhile(_seconds: float) -> None:
            shutil.copy(tmp_path / "other" / RECORD, root / RECORD)
            other.release(CLAIM)

        monkeypatch.setattr("tippingpoint.study.precision.time.sleep", meanwhile)
        decided = decide_precision(study, root)
    assert probed(study) == []
    assert set(decided.precision.values()) == {"bfloat16"}


def test_a_model_that_comes_later_is_measured_alone(load: Load, study_text: str, tmp_path: Path) -> None:
    few = ("recipes.scratch.students=[1, 2]", "recipes.distilled.pairs=[{teacher: 1, student: 2}]")
    decide_precision(load(study_text, *AUTO, *few), tmp_path)
    more = decide_precision(load(study_text, *AUTO, faster="float32"), tmp_path, "cuda:1")
    assert probed(more) == [(4, "cuda:1")]
    assert {cell.task.get("precision") for cell in build_grid(more).cells.values() if cell.where["student"] == 4} == {
        None
    }
    assert {cell.task.get("precision") for cell in build_grid(more).cells.values() if cell.where["student"] != 4} == {
        "bfloat16"
    }
    deeper = with_precision(load(study_text, *AUTO, "model.depth=3"), tmp_path)
    assert len(undecided(deeper)) == 3, "another depth is another model"
    assert not undecided(with_extra_seeds(more, 2)), "another seed is not"


def test_a_plan_measures_and_writes_nothing(load: Load, study_text: str, tmp_path: Path) -> None:
    study = load(study_text, *AUTO)
    planned = plan_study(study, tmp_path / "none", devices=("cuda:1",))
    assert probed(study) == [(heads, "cuda:1") for heads in (1, 2, 4)], "where the study would train"
    assert not (tmp_path / "none").exists()
    assert not [note for note in planned.notes if "precision" in note]
    for options in ({"timing": False}, {"rate": 1e12}):
        study = load(study_text, *AUTO)
        notes = plan_study(study, tmp_path / "none", **options).notes
        assert [note for note in notes if "planned with float32" in note]
        assert probed(study) == []


@pytest.mark.parametrize(
    "text",
    ["{", "[]", '{"schema_version": 1}', '{"schema_version": 1, "decisions": [{"precision": "float16"}]}',
     '{"schema_version": 1, "decisions": [{"precision": "float32", "model": {}}]}'],
)  # fmt: skip
def test_a_damaged_record_is_told(load: Load, study_text: str, tmp_path: Path, text: str) -> None:
    (tmp_path / RECORD).write_text(text, encoding="utf-8")
    with pytest.raises(StoreError, match=r"precision\.json: is damaged") as caught:
        decide_precision(load(study_text, *AUTO), tmp_path)
    assert len(caught.value.faults) == 1
    (tmp_path / RECORD).write_text('{"schema_version": 2, "decisions": []}', encoding="utf-8")
    with pytest.raises(StoreError, match="newer version"):
        plan_study(load(study_text, *AUTO), tmp_path)


def test_studies_without_auto_leave_no_record(load: Load, study_text: str, tmp_path: Path) -> None:
    for asked in ("float32", "bfloat16"):
        study = load(study_text, *SMALL, f"precision={asked}")
        assert decide_precision(study, tmp_path) is study
    assert list(tmp_path.iterdir()) == [tmp_path / "study.yaml"]
