"""Files of every version that ever was written open: ``tests/fixtures`` keeps an example of each, and none is changed.

Whoever raises a version adds a folder there (``python tests/fixtures/make.py``) and names it here; until then a test
fails. ``study-1`` was written by the release before ``cell.json`` held its own hash.
"""

from __future__ import annotations

import ast
import importlib
import json
import os
import shutil
from pathlib import Path
from typing import Any

import jsonschema
import pytest

import tippingpoint
from tippingpoint import read_runs
from tippingpoint.advice.next_study import read_cells
from tippingpoint.errors import ConfigError, DataError, InputError, RunsError, StoreError
from tippingpoint.report.live_running import RunningFiles
from tippingpoint.report.published import read_published
from tippingpoint.runs.curves import read_curves
from tippingpoint.study import adaptive, precision
from tippingpoint.study.budget import Budgeted, read_budget
from tippingpoint.study.cell_files import read_cell
from tippingpoint.study.claims import Runner, live_runners
from tippingpoint.study.curves import write_curves
from tippingpoint.study.fsck import check_store
from tippingpoint.study.load import load_study
from tippingpoint.study.status import study_status
from tippingpoint.study.store import Store

ROOT, FIXTURES = Path(tippingpoint.__file__).parent, Path(__file__).parent / "fixtures"
STUDIES = ("study-1", "study-2")
WRITERS = {  # the constant that a writer's version is -> version -> folder with an example
    "study.cell_files.CELL_VERSION": {1: "study-1", 2: "study-2"},
    "study.cell_files.RESULT_VERSION": {1: "study-1"},
    "study.store.INDEX_VERSION": {1: "study-1"},
    "study.publish.SCHEMA_VERSION": {1: "study-1"},  # runs.csv, cells.jsonl, progress.json
    "study.curves.CURVES_VERSION": {1: "study-2"},
    "study.running.RUNNING_VERSION": {1: "running-1"},
    "study.precision.SCHEMA_VERSION": {1: "study-2"},
    "study.claims.SCHEMA_VERSION": {1: "study-2"},
    "study.adaptive.SCHEMA_VERSION": {1: "adaptive-1"},
    "study.budget.SCHEMA_VERSION": {1: "budget-1"},
    "lab.tasks.CURVE_VERSION": {1: "study-1"},
    "lab.models.files.VERSION": {1: "study-1", 2: "study-2"},
    "lab.models.fetching.VERSION": {1: "fetched-1"},
    "lab.models.export.EXPORT_VERSION": {1: "export-1"},
    "lab.features.FEATURES_VERSION": {1: "features-1"},
    "lab.training.checkpoints.CHECKPOINT_VERSION": {1: "checkpoint-1"},
    "lab.data.prepared.MANIFEST_VERSION": {1: "prepared-1"},
    "cli._common.SCHEMA_VERSION": {1: "commands-1"},
}
READERS = {  # what only reads -> the writer whose newest version it must know
    "study.status.SCHEMA_VERSION": "study.publish.SCHEMA_VERSION",
    "runs.columns.SCHEMA_VERSION": "study.publish.SCHEMA_VERSION",
    "runs.curves._VERSION": "study.curves.CURVES_VERSION",
    "advice.next_study.SCHEMA_VERSION": "study.publish.SCHEMA_VERSION",
    "report.published.SCHEMA_VERSION": "study.publish.SCHEMA_VERSION",
    "report.live_results._CURVES_VERSION": "study.curves.CURVES_VERSION",
    "report.live_running._VERSION": "study.running.RUNNING_VERSION",
}
COMMANDS = sorted(path.stem for path in (FIXTURES / "commands-1").glob("*.json"))


def value(name: str) -> int:
    module, _, constant = name.rpartition(".")
    found = getattr(importlib.import_module(f"tippingpoint.{module}"), constant)
    assert isinstance(found, int)
    return found


def constants() -> set[str]:
    """Return every constant of the source that is called a version."""
    found = set()
    for path in ROOT.rglob("*.py"):
        for node in ast.parse(path.read_text(encoding="utf-8")).body:
            targets = node.targets if isinstance(node, ast.Assign) else []
            names = [
                target.id for target in targets if isinstance(target, ast.Name) and isinstance(node.value, ast.Constant)
            ]
            module = ".".join(path.relative_to(ROOT).with_suffix("").parts)
            found |= {f"{module}.{name}" for name in names if name.endswith("VERSION")}
    return found


@pytest.fixture(params=STUDIES)
def study(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    return copy(request.param, tmp_path)


def copy(name: str, to: Path) -> Path:
    return Path(shutil.copytree(FIXTURES / name, to / name))


# --- a version and its example belong together ---


def test_every_version_in_the_source_has_its_examples() -> None:
    assert constants() == WRITERS.keys() | READERS.keys()


@pytest.mark.parametrize("name", WRITERS)
def test_a_version_that_is_raised_needs_an_example(name: str) -> None:
    """Raised a version? Write an example of the new one with ``tests/fixtures/make.py`` and name it in ``WRITERS``."""
    assert list(WRITERS[name]) == list(range(1, value(name) + 1))
    assert all((FIXTURES / folder).is_dir() for folder in WRITERS[name].values())


@pytest.mark.parametrize("name", READERS)
def test_who_reads_knows_the_newest(name: str) -> None:
    assert value(name) == value(READERS[name])


# --- and every example opens ---


def test_its_cells_are_sound(study: Path) -> None:
    found = check_store(study)
    assert (found.faults, found.cells) == ((), 8)
    number = int(study.name[-1])
    for folder in (study / "cells").iterdir():
        about, result = read_cell(folder)
        assert (about["schema_version"], result["schema_version"]) == (number, 1)
        assert 0 <= result["scores"]["error"] <= 1


def test_its_index_is_read_and_then_built_anew(study: Path) -> None:
    with_index = Store(study)
    assert (len(with_index.done()), with_index.notes) == (8, [])
    (study / "index.sqlite").unlink()
    anew = Store(study, write=True)
    assert {key: anew.result(key) for key in anew.done()} == {key: with_index.result(key) for key in with_index.done()}
    anew.close()


def test_its_models_are_built_and_see(study: Path) -> None:
    torch = pytest.importorskip("torch")
    from tippingpoint.lab.models import load_model, read_about

    folders = [path.parent for path in sorted(study.glob("cells/*/weights.safetensors"))]
    assert len(folders) == 4
    for folder in folders:
        assert (read_about(folder).image_size, read_about(folder).n_classes) == (8, 6)
        with torch.inference_mode():
            assert load_model(folder)(torch.zeros(2, 1, 8, 8)).shape == (2, 6)


def test_its_tables_are_read(study: Path) -> None:
    assert len(read_runs(study).frame) == 8
    assert study_status(study)["cells"]["done"] == 8
    assert len(read_cells(study)) == 8
    published = read_published(study)
    assert not [note for note in published.notes if "read" in note]
    assert (published.name, published.state) == ("fixture", "done")
    assert load_study(study / "study.yaml").config.name == "fixture"


def test_its_curves_are_read(study: Path) -> None:
    """Those that it has published, and those of its cells."""
    published = study / "curves.jsonl"
    before = published.read_bytes() if published.exists() else None
    assert before is None or len(read_curves(published)) == 8
    assert write_curves(study) == 8
    assert len(read_curves(published)) == 8
    assert before in (None, published.read_bytes())


def test_what_a_run_told_of_its_cells_is_read(tmp_path: Path) -> None:
    told = Path(shutil.copytree(FIXTURES / "running-1", tmp_path / "running"))
    (about,) = told.glob("*.json")
    os.utime(about)
    telling = RunningFiles(tmp_path)
    telling.look()
    (cell,) = telling.cells
    assert (cell.done, cell.total, cell.curve.points) == (2, 5, [[1.0, 1.75], [2.0, 1.5]])
    assert telling.finished.keys() >= {"pretrained: scratch, heads=1", "finetuned: scratch, heads=1"}
    assert telling.notes == []
    raise_version(about)
    (curves,) = told.glob("*.jsonl")
    curves.write_text(curves.read_text(encoding="utf-8").replace('"schema_version": 1', '"schema_version": 99'))
    newer = RunningFiles(tmp_path)
    newer.look()
    assert (newer.cells, newer.finished, newer.is_told) == ([], {}, False)
    assert [note.partition("another version")[1:] for note in newer.notes] == [
        ("another version", " than this tippingpoint reads; upgrade the package.")
    ] * 2


def test_a_record_of_precision_is_read(tmp_path: Path) -> None:
    study = copy("study-2", tmp_path)
    loaded = load_study(study / "study.yaml")
    decided = precision.with_precision(loaded, study)
    assert len(decided.precision) == 2
    assert precision.undecided(decided) == {}


def test_claims_are_read(tmp_path: Path) -> None:
    study, key = copy("study-2", tmp_path), "0" * 64
    (about,) = (study / "claims").glob("elsewhere-*.json")
    os.utime(about)
    assert [one["pid"] for one in live_runners(study)] == [26819]
    settings = json.loads(about.read_text())["study"]
    with Runner(tmp_path / "other", "x") as runner:
        runner.root, runner.folder = study, study / "claims"
        assert not runner.take(key), "its runner lives, on another machine"
        os.utime(about, (1, 1))
        assert runner.take(key), "its runner has been silent for long"
    assert len(settings) == 64


def test_the_record_of_an_adaptive_run_is_read(tmp_path: Path) -> None:
    found = adaptive._read_record(copy("adaptive-1", tmp_path) / "adaptive.jsonl")
    assert found[0]["why"] == "first set"
    assert found[-1]["why"] == "stopped"
    assert all(len(key) == 64 for one in found for key in one["cells"])
    schema = json.loads((ROOT / "schemas" / "adaptive.schema.json").read_text(encoding="utf-8"))
    for one in found:
        jsonschema.validate(one, schema)


def test_the_record_of_a_budget_is_read(tmp_path: Path) -> None:
    folder = copy("budget-1", tmp_path)
    record = json.loads((folder / "budget.json").read_text(encoding="utf-8"))
    assert len(record["cells"]) == 8
    (folder / "budget.json").write_text(json.dumps({**record, "cells": record["cells"][:5]}), encoding="utf-8")
    again = Budgeted(load_study(folder / "study.yaml"), folder, read_budget("1e12flops"), 1)
    assert again.chosen == record["cells"][:5], "what was chosen before stands"


def test_a_checkpoint_is_read() -> None:
    torch = pytest.importorskip("torch")
    from tippingpoint.lab.training.checkpoints import Checkpoints

    folder = FIXTURES / "checkpoint-1"
    store = Checkpoints(folder, "fixture")
    data = (folder / "step-00000003.safetensors").read_bytes()
    head = json.loads(data[8 : 8 + int.from_bytes(data[:8], "little")])
    store.identity = json.loads(head["__metadata__"]["tippingpoint"])["identity"]  # of the torch that wrote it
    found = store.latest()
    assert found is not None
    assert (found.step, found.facts["n_guided"]) == (3, 3)
    assert torch.equal(found.tensors["model.weight"], torch.arange(6.0).view(2, 3))


def test_features_and_weights_are_read() -> None:
    timm = pytest.importorskip("timm")
    import torch

    from tippingpoint.lab.features import read_features
    from tippingpoint.lab.models import fetching
    from tippingpoint.lab.models.weights import load_weights

    found = read_features(FIXTURES / "features-1")
    assert (found.train.tolist(), found.fingerprint) == ([[0, 1], [2, 3], [4, 5]], "f" * 64)
    fetched = fetching._describe(FIXTURES / "fetched-1" / "resnet18.a1_in1k.safetensors")
    assert fetched is not None
    assert (fetched["name"], fetched["n_params"]) == ("resnet18.a1_in1k", 2)
    told = json.loads((FIXTURES / "export-1" / "model.json").read_text(encoding="utf-8"))
    model = timm.create_model(told["create_model"]["name"], **told["create_model"]["kwargs"])
    load_weights(model, FIXTURES / "export-1" / "model.safetensors")
    with torch.inference_mode():
        assert model.eval()(torch.zeros(1, *told["input"]["size"])).shape == (1, told["n_classes"])


def test_a_prepared_set_is_read() -> None:
    pytest.importorskip("torch")
    from tippingpoint.lab.data import check_image_set, load_image_set

    images = load_image_set(str(FIXTURES / "prepared-1"), image_size=4, channels=1)
    assert (images.train_images.shape, images.test_images.shape) == ((8, 4, 4, 1), (4, 4, 4, 1))
    assert check_image_set(str(FIXTURES / "prepared-1"))["n_train"] == 8


@pytest.mark.parametrize("name", COMMANDS)
def test_what_a_command_printed_keeps_its_keys(name: str) -> None:
    """A key may come without a new version; none may go."""
    told = json.loads((FIXTURES / "commands-1" / f"{name}.json").read_text(encoding="utf-8"))
    schema = json.loads((ROOT / "schemas" / f"{name}.schema.json").read_text(encoding="utf-8"))
    assert told["schema_version"] == 1
    assert told.keys() <= schema["properties"].keys()
    known = {key: about for key, about in schema["properties"].items() if key in told}
    jsonschema.validate(told, {**schema, "properties": known, "required": sorted(known)})


# --- a newer version is refused, with a sentence ---


def raise_version(path: Path) -> None:
    """Write a file as if a release to come had."""
    text = path.read_text(encoding="utf-8")
    assert '"schema_version": 1' in text
    path.write_text(text.replace('"schema_version": 1', '"schema_version": 99'), encoding="utf-8")


@pytest.mark.parametrize(
    "name", ["progress.json", "cells.jsonl", "curves.jsonl", "precision.json", "adaptive.jsonl", "prepared.json"]
)
def test_a_newer_version_is_told(tmp_path: Path, name: str) -> None:
    folder = copy({"adaptive.jsonl": "adaptive-1", "prepared.json": "prepared-1"}.get(name, "study-2"), tmp_path)
    raise_version(folder / name)
    with pytest.raises((InputError, RunsError, StoreError, DataError, ConfigError), match=r"newer|version 99"):
        read_again(folder, name)


def read_again(folder: Path, name: str) -> Any:
    if name == "curves.jsonl":
        return read_curves(folder / name)
    if name == "precision.json":
        return precision.with_precision(load_study(folder / "study.yaml"), folder)
    if name == "adaptive.jsonl":
        return adaptive._read_record(folder / name)
    if name == "prepared.json":
        from tippingpoint.lab.data import load_image_set

        return load_image_set(str(folder), image_size=4, channels=1)
    return study_status(folder)
