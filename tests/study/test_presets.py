"""Every preset: it loads and plans without its images, and runs to the end at toy scale."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import yaml

from tippingpoint import cli, presets
from tippingpoint.errors import ConfigError
from tippingpoint.study.grid import build_grid
from tippingpoint.study.load import Study, load_study
from tippingpoint.study.plan import plan_study

Load = Callable[..., Study]
COMPUTED = ["paper", "paper-baseline", "paper-boundary", "paper-alpha", "scale-up", "reuse", "schedule"]
ABSENT = ["paper", "paper-baseline", "paper-boundary", "paper-alpha", "scale-up"]
TOYS = ("digits[0-4]", "digits[5-9]", "digits[5-7]", "digits[6-8]", "digits[7-9]")
OTHERS = "finetuning_of={beans: {batch_size: 4, learning_rate: 1e-3, length: {steps: 7}}}"


def test_one_downstream_set_may_have_settings_of_its_own(load: Load, study_text: str) -> None:
    before, after = build_grid(load()), build_grid(load(study_text, OTHERS))
    for cell in after.cells.values():
        if cell.where["downstream"] == "beans":
            assert (cell.task["training"]["batch_size"], cell.estimate.n_steps) == (4, 7)
            assert cell.key not in before.cells
        else:
            assert cell.key in before.cells, "what is not set apart keeps its key"
    alone = load(study_text, OTHERS, "downstream=[beans]", "finetuning=null")
    assert alone.config.finetuning_on("beans") is not None


def test_faults_of_settings_of_one_set(load: Load, study_text: str) -> None:
    def told(*overrides: str) -> str:
        with pytest.raises(ConfigError) as caught:
            load(study_text, *overrides)
        return "\n".join(caught.value.faults)

    assert "'bean' is not among the study's downstream sets (toys, beans). Did you mean 'beans'?" in told(
        OTHERS.replace("beans", "bean")
    )
    assert "downstream.0: 'toys' is to be fine-tuned on, but the key finetuning" in told(OTHERS, "finetuning=null")
    assert "unknown key 'batchsize' of finetuning_of.beans. Did you mean 'batch_size'?" in told(
        OTHERS, "finetuning_of.beans.batchsize=3"
    )
    assert "finetuning_of.beans.warmup_steps: 9 is more than the 7 steps" in told(
        OTHERS, "finetuning_of.beans.warmup_steps=9"
    )


@pytest.fixture(autouse=True)
def no_image_on_the_disk(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("TIPPINGPOINT_DATA", raising=False)


@pytest.mark.parametrize("name", presets.names())
def test_a_preset_says_its_command_and_its_question(name: str) -> None:
    config = load_study(name, planning=True).config
    assert config.name == name
    assert presets.read(name).startswith((f"# tippingpoint run {name}", f"# tippingpoint plan {name}"))
    assert isinstance(yaml.safe_load(presets.read(name)), dict)
    alone = len(config.recipes.named()) == 1  # then there is no boundary to ask for
    assert (config.endpoint is None) == alone, "a preset declares its endpoint before it runs"


@pytest.mark.parametrize("name", COMPUTED)
def test_the_cost_at_its_head_is_that_of_its_plan(name: str, tmp_path: Path) -> None:
    found = plan_study(load_study(name, planning=True), tmp_path / "none", timing=False).to_dict()
    head = presets.read(name).partition("schema_version")[0]
    assert f"{found['cells']:,} cells" in head
    assert f"{found['flops']:.1e} FLOPs".replace("+", "") in head


def test_the_paper_is_that_of_table_3() -> None:
    study = load_study("paper", planning=True)
    assert study.n_pretrain == {
        repr(share): int(share * 1_255_544 + 0.5) for share in (0.05, 0.1, 0.25, 0.33, 0.5, 0.7, 1.0)
    }
    given = {name: study.config.finetuning_on(name) for name in study.config.downstream}
    given["pretraining"] = study.config.pretraining
    rates = {"learning_rate": 5e-4, "warmup_learning_rate": 1e-5}
    expected = {
        "tiny_imagenet": {"batch_size": 128, **rates},
        "imagenet100": {"batch_size": 128, **rates},
        "cifar100": {"batch_size": 16, **rates},
        "cifar10": {"batch_size": 16, **rates},
        "pretraining": {"batch_size": 128, "learning_rate": 5e-4, "warmup_learning_rate": 1e-6},
    }
    for name, values in expected.items():
        assert {key: getattr(given[name], key) for key in values} == values, name
    sizes = {cell.task["model"]["heads"]: cell.estimate.n_params / 1e6 for cell in build_grid(study).cells.values()}
    assert (round(sizes[2], 1), round(sizes[8])) == (2.5, 38), "the paper's smallest and largest model"


def test_plan_does_without_images_and_run_does_not(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert cli.main(["plan", "paper-boundary", "--workers", "2", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["cells"], found["seconds"]) == (360, None)
    told = "\n".join(found["notes"])
    assert "tippingpoint data prepare imagenet1k --from FOLDER --size 224 --channels 3, where FOLDER holds" in told
    assert "Planned with 1,331,167 images, 200 GB at 224x224.\n" in told
    assert "assumed: 128,117 training images, ImageNet-1k's mean for 100 classes; its class list decides" in told
    assert "too many to time here: state FLOPs a second with --rate" in told

    assert cli.main(["plan", "paper-boundary", "--workers", "2", "--rate", "1e14", "--json"]) == 0
    timed = json.loads(capsys.readouterr().out)
    assert timed["flops"] == found["flops"]
    assert timed["flops"] / 1e14 < 2 * timed["seconds"] < 1.05 * timed["flops"] / 1e14, "training, and scoring besides"

    assert cli.main(["plan", "paper-boundary", "--workers", "8", "--rate", "1e14"]) == 0
    out = capsys.readouterr().out
    assert "Time: about 10 days with 8 workers." in out
    assert "Disk: 14.3 GB." in out

    assert cli.main(["plan", "paper-boundary", "--rate", "0"]) == 2
    assert "--rate 0: must be a number of FLOPs a second above 0" in capsys.readouterr().err
    assert cli.main(["run", "paper-boundary"]) == 2
    said = capsys.readouterr().err
    assert "paper-boundary.yaml:" in said
    for name in ("imagenet1k", "imagenet100"):
        assert f"'{name}' is not prepared on this machine: tippingpoint data prepare {name} --from FOLDER" in said
    assert not list(tmp_path.iterdir()), "nothing is started, nothing is written"


def test_a_view_of_an_absent_set_is_planned_too() -> None:
    study = load_study("scale-up", ["upstream=cifar10[0-4]", "n_pretrain=[0.5, 1.0]"], planning=True)
    facts = study.images["cifar10[0-4]"]
    assert (facts.n_pool, facts.n_validation, facts.n_test, facts.n_classes) == (24_500, 500, 5_000, 5)
    with pytest.raises(ConfigError, match="the set has classes 0 to 9"):
        load_study("scale-up", ["upstream=cifar10[0-10]"], planning=True)
    with pytest.raises(ConfigError, match=r"There is no set 'cifar11'.* Did you mean 'cifar10'"):
        load_study("scale-up", ["upstream=cifar11"], planning=True)


def test_studies_of_several_alphas_share_what_has_no_alpha() -> None:
    def cells(alpha: float) -> dict[str, set[str]]:
        study = load_study("paper-alpha", [f"recipes.distilled.label_weight={alpha}"], planning=True)
        found: dict[str, set[str]] = {}
        for cell in build_grid(study).cells.values():
            found.setdefault(str(cell.where["recipe"]), set()).add(cell.key)
        return found

    one, other = cells(0.1), cells(0.9)
    assert one["scratch"] == other["scratch"]
    assert not one["distilled"] & other["distilled"]


def test_the_two_schedules_share_all_but_the_length() -> None:
    fixed = "pretraining.length={steps: 400}"
    assert fixed in presets.read("schedule"), "the command at its head is the one held here"
    epochs, steps = load_study("schedule"), load_study("schedule", [fixed, "name=schedule-steps"])
    counts = {
        study.config.name: {cell.task["n_images"]: cell.estimate.n_steps for cell in build_grid(study).cells.values()}
        for study in (epochs, steps)
    }
    assert set(counts["schedule-steps"].values()) == {400}
    assert (counts["schedule"][225], counts["schedule"][7200]) == (71, 2250)


# --- to the end, at toy scale ---


def shrunk(name: str) -> dict[str, Any]:
    """Return a preset with its recipes, models' heads and sets' roles, and digits, a tiny shape and few steps."""
    config: dict[str, Any] = yaml.safe_load(presets.read(name))
    downstream = config.get("downstream", [])
    toys = dict(zip([config["upstream"], *downstream], TOYS, strict=False))
    config["upstream"] = toys[config["upstream"]]
    config["downstream"] = [toys[each] for each in downstream]
    config["finetuning_of"] = {toys[each]: toy(item) for each, item in config.get("finetuning_of", {}).items()}
    most = 2 if len(downstream) < 2 else 1
    config["n_pretrain"] = [60, 120][: min(most, len(config["n_pretrain"]))]
    config["n_finetune"] = [40, 60][: min(most, len(config.get("n_finetune", [])))]
    config["image"]["size"], config["validation_fraction"] = 8, 0.2
    config["model"] = {"patch_size": 4, "depth": 1, "head_dim": 4}
    for unwanted in ("seeds", "blocks"):
        config.pop(unwanted, None)
    config["seeds"] = 1
    for training in ("pretraining", "finetuning"):
        if training in config:
            config[training] = toy(config[training])
    if config.get("endpoint", {}).get("downstream"):
        config["endpoint"]["downstream"] = toys[config["endpoint"]["downstream"]]
    return config


def toy(training: dict[str, Any]) -> dict[str, Any]:
    return {**training, "batch_size": 8, "warmup_steps": 1, "length": {"steps": 4}}


@pytest.mark.slow
@pytest.mark.parametrize("name", presets.names())
def test_a_preset_runs_to_the_end(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    config = shrunk(name)
    Path("toy.yaml").write_text(yaml.safe_dump(config), encoding="utf-8")
    planned = plan_study(load_study("toy.yaml"), "toy", timing=False).to_dict()
    assert cli.main(["run", "toy.yaml", "--dir", "toy", "--workers", "1", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert (told["state"], told["trained"]) == ("done", planned["cells"])
    assert told["report"] == "toy/report.html", told["report_fault"]
    runs = pd.read_csv("toy/runs.csv")
    assert len(runs) == planned["rows"]
    assert set(runs["recipe"]) == set(config["recipes"])
    assert runs["error"].between(0, 1).all()
