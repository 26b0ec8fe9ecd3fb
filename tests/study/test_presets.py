"""Every preset: it loads and plans without its images, and runs to the end at toy scale."""

from __future__ import annotations

import importlib
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
from tippingpoint.study.runners.worker import run_cell

Load = Callable[..., Study]
ABSENT = ["paper", "paper-baseline", "paper-boundary", "paper-alpha", "paper-resnet", "domain-shift", "scale-up"]
SMALL = ["terms", "rich-teacher", "finetune-boundary", "depth-width", "batch", "large-to-small", "schedule", "reuse"]
COMPUTED = [*ABSENT, *SMALL]
WITH_WORKERS = "terms"  # the one whose toy has worker processes
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


def test_nine_settings_of_alpha_and_temperature_share_scratch_and_teacher() -> None:
    study = load_study("paper-alpha", planning=True)
    cells = [cell for cell in build_grid(study).cells.values() if cell.kind == "pretrain"]
    asked = {
        (cell.task["guidance"]["label_weight"], cell.task["guidance"]["temperature"])
        for cell in cells
        if cell.task["guidance"]
    }
    assert asked == {(alpha, tau) for alpha in (0.1, 0.5, 0.9) for tau in (1.0, 3.0, 5.0)}
    blocks = 3
    assert len(cells) == blocks * (2 + 9), "two scratch models and nine students a block"
    for name, variant in study.config.recipes.named().items():
        if name != "scratch":
            assert name == f"alpha{variant.label_weight:.0%}_tau{variant.temperature:.0f}".replace("%", "")
    chosen = {block.seed for block in load_study("paper-boundary", planning=True).config.all_blocks()}
    assert not chosen & {block.seed for block in study.config.all_blocks()}, "fresh blocks judge"


def test_seed_blocks_belong_to_one_preset_alone() -> None:
    seen: dict[int, str] = {}
    for name in [*SMALL, "quickstart", "standard", "paper-alpha", "paper-boundary", "paper-resnet", "domain-shift"]:
        for block in load_study(name, planning=True).config.all_blocks():
            assert seen.setdefault(block.seed, name) == name, (
                f"block {block.seed} of {name} is that of {seen[block.seed]}"
            )


def test_the_ladder_of_depth_and_width_is_of_one_size() -> None:
    study = load_study("depth-width")
    cells = [cell for cell in build_grid(study).cells.values() if cell.where["recipe"] == "distilled"]
    sizes = {cell.estimate.n_params for cell in cells}
    assert len(sizes) == 4, "four shapes, told apart by their exact sizes"
    assert max(sizes) / min(sizes) < 1.05
    steps = {(cell.where["n_pretrain"], cell.estimate.n_steps) for cell in cells}
    assert len(steps) == 4, "and of one length at each number of images"


def test_a_rich_teacher_has_seen_more_than_its_student_and_at_the_most_images_is_the_plain_one() -> None:
    cells = build_grid(load_study("rich-teacher")).cells
    for cell in cells.values():
        taught = [cells[key].task["n_images"] for role, key in cell.parents.items() if role.startswith("teacher")]
        if cell.where["recipe"] == "rich_teacher":
            assert taught == [7200]
            assert cell.task["n_images"] < 7200
        elif taught:
            assert taught == [cell.task["n_images"]]


def test_the_terms_differ_in_what_they_say_and_in_nothing_else() -> None:
    cells = build_grid(load_study("terms")).cells.values()
    tasks: dict[tuple[str, int], dict[str, Any]] = {}
    for cell in cells:
        if cell.kind == "pretrain" and (cell.task["n_images"], cell.task["seed"]) == (900, 60):
            tasks[cell.where["recipe"], cell.task["model"]["heads"]] = cell.task
    plain = tasks["distilled", 4]
    changed: dict[str, dict[str, Any]] = {
        "logits": {"attention_weight": 0.0},
        "attention": {"label_weight": 1.0},
        "shuffled": {"shuffle": "images"},
        "shuffled_in_class": {"shuffle": "within_class"},
    }
    for name, change in changed.items():
        assert tasks[name, 4] == {**plain, "guidance": {**plain["guidance"], **change}}


def test_batches_of_16_and_of_128_share_the_pretraining() -> None:
    said = "--set finetuning.batch_size=128 --set name=batch-128"
    assert said in presets.read("batch"), "the command at its head is the one held here"
    small, large = (
        build_grid(load_study("batch", words)).cells for words in ([], ["finetuning.batch_size=128", "name=batch-128"])
    )
    pretrained = {key for key, cell in small.items() if cell.kind == "pretrain"}
    assert pretrained == {key for key, cell in large.items() if cell.kind == "pretrain"}
    assert not (small.keys() - pretrained) & large.keys()
    batches = {cell.task["training"]["batch_size"] for key, cell in large.items() if key not in pretrained}
    assert batches == {128}


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
    """Return a preset with its recipes, models' names and sets' roles, and digits, tiny shapes and few steps."""
    config: dict[str, Any] = yaml.safe_load(presets.read(name))
    downstream = config.get("downstream", [])
    toys = dict(zip([config["upstream"], *downstream], TOYS, strict=False))
    config["upstream"] = toys[config["upstream"]]
    config["downstream"] = [toys[each] for each in downstream]
    config["finetuning_of"] = {toys[each]: toy(item) for each, item in config.get("finetuning_of", {}).items()}
    config["augmentation_of"] = {toys[each]: {"crop_padding": 1} for each in config.get("augmentation_of", {})}
    most = 2 if len(downstream) < 2 else 1
    sizes = fewer(config["n_pretrain"], [60, 120][:most])
    labels = fewer(config.get("n_finetune", []), [40, 60][:most])
    config["n_pretrain"], config["n_finetune"] = list(sizes.values()), list(labels.values())
    config["recipes"] = toy_recipes(config["recipes"], sizes)
    config["image"]["size"], config["validation_fraction"] = 8, 0.2
    config["model"] = {"patch_size": 4, "depth": 1, "head_dim": 4} | toy_ladder(config["model"])
    for unwanted in ("seeds", "blocks"):
        config.pop(unwanted, None)
    config["seeds"] = 1
    for training in ("pretraining", "finetuning"):
        if training in config:
            config[training] = toy(config[training])
    endpoint = config.get("endpoint", {})
    if endpoint.get("downstream"):
        endpoint["downstream"] = toys[endpoint["downstream"]]
    for held, known in (("n_pretrain", sizes), ("n_finetune", labels)):
        if held in endpoint:
            endpoint[held] = next(iter(known.values()))
    return config


def fewer(sizes: list[Any], toys: list[int]) -> dict[str, int]:
    """Return which toy stands for which of the sizes: the first for the smallest, the second for the largest."""
    ends = dict.fromkeys(map(repr, [*sizes[:1], *sizes[-1:]]))
    return dict(zip(ends, toys, strict=False))


def toy_recipes(recipes: dict[str, Any], sizes: dict[str, int]) -> dict[str, Any]:
    """Return the recipes with their own sizes exchanged."""
    found: dict[str, Any] = {}
    for name, recipe in recipes.items():
        if name == "variants":
            found[name] = toy_recipes(recipe, sizes)
            continue
        found[name] = dict(recipe)
        if "n_pretrain" in recipe:
            found[name]["n_pretrain"] = [sizes[size] for size in map(repr, recipe["n_pretrain"]) if size in sizes]
        if "teacher_n_pretrain" in recipe:
            found[name]["teacher_n_pretrain"] = sizes[repr(recipe["teacher_n_pretrain"])]
    return found


def toy_ladder(model: dict[str, Any]) -> dict[str, Any]:
    """Return the ladder with its names and kinds, and tiny shapes."""
    ladder: dict[str, Any] = {
        name: {**entry, "arguments": {"channels": [4, 4, 8, 8], "layers": [1, 1, 1, 1]}}
        if "timm" in entry
        else {**entry, "depth": min(entry["depth"], 2)}
        for name, entry in model.get("ladder", {}).items()
    }
    found: dict[str, Any] = {"ladder": ladder} if ladder else {}
    return found


def toy(training: dict[str, Any]) -> dict[str, Any]:
    return {**training, "batch_size": 8, "warmup_steps": 1, "length": {"steps": 4}}


class Here:
    """Trains in this process: workers would load their libraries anew for every preset."""

    size = 1

    def __init__(self, root: Path, executor: str, *others: Any) -> None:
        module, _, name = executor.partition(":")
        self.execute = getattr(importlib.import_module(module), name)
        self.root, self.runner = root, str(others[2])  # count, environment, runner
        self.events: list[dict[str, Any]] = []

    def idle(self) -> int:
        return int(not self.events)

    def submit(self, key: str, order: dict[str, Any]) -> None:
        run_cell(self.root, order["cell"], order["parents"], self.execute, lambda *_: None, self.runner)
        self.events.append({"event": "done", "key": key, "wall_s": 0.1})

    def wait(self, _timeout: float) -> list[dict[str, Any]]:
        events, self.events = self.events, []
        return events

    def stop(self) -> None:
        pass


@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name in presets.names() if name != "labels-needed"])  # has a test of its own
def test_a_preset_runs_to_the_end(
    name: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    if name != WITH_WORKERS:
        monkeypatch.setattr("tippingpoint.study.runners.local.LocalWorkers", Here)
    Path("toy.yaml").write_text(yaml.safe_dump(shrunk(name)), encoding="utf-8")
    study = load_study("toy.yaml")
    planned = plan_study(study, "toy", timing=False).to_dict()
    assert cli.main(["run", "toy.yaml", "--dir", "toy", "--workers", "1", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert (told["state"], told["trained"]) == ("done", planned["cells"])
    assert told["report"] == "toy/report.html", told["report_fault"]
    runs = pd.read_csv("toy/runs.csv")
    assert len(runs) == planned["rows"]
    assert set(runs["recipe"]) == set(study.config.recipes.named())
    assert set(load_study(name, planning=True).config.recipes.named()) == set(study.config.recipes.named())
    assert runs["error"].between(0, 1).all()
    curves = [json.loads(line) for line in Path("toy/curves.jsonl").read_text(encoding="utf-8").splitlines()]
    assert len(curves) == planned["cells"]
    assert all(curve["step"][-1] == curve["n_steps"] for curve in curves)
