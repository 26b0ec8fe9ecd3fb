"""Faults of a study file: each with its place, all at once."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from stub_lab import StubLaboratory

from tippingpoint import presets
from tippingpoint.errors import ConfigError
from tippingpoint.study.load import Study, dump_config, load_study

Load = Callable[..., Study]


def test_a_study_loads(load: Load) -> None:
    study = load()
    assert study.n_pretrain == {"100": 100, "400": 400, "0.5": 450}
    assert study.n_finetune == {"toys": {"20": 20, "50": 50}, "beans": {"20": 20, "50": 50}}
    assert [block.seed for block in study.config.all_blocks()] == [0, 1]
    assert study.config.recipes.distilled is not None
    assert study.config.recipes.distilled.pairs[1].teacher == (1, 2)


def test_what_is_dumped_loads_as_the_same(load: Load) -> None:
    study = load()
    assert load(dump_config(study.config)).config == study.config


# (what to replace; by what, a caret before the fault; or else line:column of the fault; words of it)
FAULTS = [
    ("name: stub", "nam: stub", "2:1", "unknown key 'nam' of a study. Did you mean 'name'?"),
    ("name: stub", "name: ''", "2:7", "name: "),
    ("name: stub", "name: ../x", "2:7", "name: "),
    ("name: stub", "name: 3", "2:7", "should be a valid string, not 3"),
    ("schema_version: 1", "schema_version: 2", "1:17", "schema_version"),
    ("upstream: toys[0-4]", "upstream: tois", "3:11", "There is no set 'tois'"),
    ("upstream: toys[0-4]", "upstream: [toys]", "3:11", "upstream: should be a valid string"),
    ("downstream: [toys, beans]", "downstream: [toys, ^bean]", "", "There is no set 'bean'"),
    ("downstream: [toys, beans]", "downstream: toys", "4:13", "downstream: should be a list in brackets, not 'toys'"),
    ("downstream: [toys, beans]", "downstream: [toys, toys]", "4:20", "second time"),
    ("downstream: [toys, beans]", "downstream: []", "8:13", "downstream names no set of images"),
    ("size: 8", "size: 8.5", "5:15", "image.size: should be a valid integer"),
    ("size: 8", "size: -8", "5:15", "greater than or equal to 4, not -8"),
    ("size: 8", "size: true", "5:15", "image.size"),
    ("channels: 1", "channels: 2", "5:28", "image.channels"),
    ("size: 8, channels: 1", "size: 8, chanels: 1", "5:18", "Did you mean 'channels'?"),
    ("patch_size: 4", "patch_size: 3", "6:21", "3 does not divide the image's side of 8 pixels"),
    ("patch_size: 4", "patch_size: 0", "6:21", "model.patch_size"),
    ("head_dim: 4}", "head_dim: .nan}", "6:44", "model.head_dim"),
    ("depth: 2", "depth: two", "6:31", "not 'two'"),
    ("n_pretrain: [100, 400, 0.5]\n", "", "1:1", "the key n_pretrain is missing"),
    ("n_pretrain: [100, 400, 0.5]", "n_pretrain: []", "7:13", "n_pretrain"),
    ("n_pretrain: [100, 400, 0.5]", "n_pretrain: 100", "7:13", "n_pretrain"),
    ("n_pretrain: [100, 400, 0.5]", "n_pretrain: [400, 0]", "7:19", "a count of images must be at least 1, not 0"),
    ("n_pretrain: [100, 400, 0.5]", "n_pretrain: [400, 0.0]", "7:19", "a share must lie in (0, 1], not 0.0"),
    ("n_pretrain: [100, 400, 0.5]", "n_pretrain: [400, 1.2]", "7:19", "a share must lie in (0, 1], not 1.2"),
    ("n_pretrain: [100, 400, 0.5]", "n_pretrain: [400, -0.1]", "7:19", "a share must lie in (0, 1], not -0.1"),
    ("n_pretrain: [100, 400, 0.5]", "n_pretrain: [400, 1e3]", "7:19", "for a count of images write 1000"),
    ("n_pretrain: [100, 400, 0.5]", "n_pretrain: [400, many]", "7:19", "must be a count of images"),
    ("n_pretrain: [100, 400, 0.5]", "n_pretrain: [400, true]", "7:19", "must be a count of images"),
    ("n_pretrain: [100, 400, 0.5]", "n_pretrain: [400, 100, 400]", "7:24", "second time"),
    (
        "n_pretrain: [100, 400, 0.5]",
        "n_pretrain: [400, 901]",
        "7:19",
        "901 images are asked for, but toys[0-4] has 900",
    ),
    ("n_pretrain: [100, 400, 0.5]", "n_pretrain: [400, 450, 0.5]", "7:24", "comes to 450 images"),
    ("n_pretrain: [100, 400, 0.5]", "n_pretrain: [400, 1e-4]", "7:19", "is no image"),
    ("n_finetune: [20, 50]", "n_finetune: [20, 5000]", "8:18", "5000 images are asked for"),
    ("n_finetune: [20, 50]", "n_finetune: []", "4:13", "n_finetune gives no size"),
    ("students: [1, 2, 4]", "students: []", "10:23", "recipes.scratch.students"),
    ("students: [1, 2, 4]", "students: [1, 2, 0]", "10:30", "must be a number of heads (1 to 64) or a name"),
    ("students: [1, 2, 4]", "students: [1, 2, 2]", "10:30", "second time"),
    ("students: [1, 2, 4]", "student: [1, 2, 4]", "10:13", "unknown key 'student' of recipes.scratch."),
    ("students: [1, 2, 4]", "students: [2, 4]", "11:33", "the teacher with 1 heads is not trained in this study"),
    (
        "students: [1, 2, 4]",
        "students: [1, 2, 4], n_pretrain: [100]",
        "11:14",
        "at n_pretrain 400 no teacher is trained",
    ),
    ("scratch: {students: [1, 2, 4]}", "scratch: [1, 2]", "10:12", "should be a mapping"),
    ("  scratch: {", "  scrtch: {", "10:3", "Did you mean 'scratch'?"),
    ("{teacher: 1, student: 2}, ", "{teacher: ^3, student: 2}, ", "", "add 3 to recipes.scratch.students"),
    ("{teacher: 1, student: 2}, ", "{teacher: ^[], student: 2}, ", "", "must be a number of heads"),
    ("{teacher: 1, student: 2}, ", "{teacher: ^[1, 1], student: 2}, ", "", "names a teacher twice"),
    (
        "{teacher: 1, student: 2}, ",
        "{teacher: ^x, student: 2}, ",
        "",
        "'x' is not a model of model.ladder, which is not given",
    ),
    ("{teacher: 1, student: 2}, ", "^{teacher: 1}, ", "", "pairs.0.student is missing"),
    ("label_weight: 0.5", "label_weight: ^1.5", "", "less than or equal to 1, not 1.5"),
    ("label_weight: 0.5", "^label_wait: 0.5", "", "Did you mean 'label_weight'?"),
    (
        "label_weight: 0.5",
        "label_weight: 0.5, guidance_schedule: ^fading",
        "",
        "'constant', 'decayed' or 'until_passed'",
    ),
    ("label_weight: 0.5", "label_weight: 0.5, ^gidance_schedule: decayed", "", "Did you mean 'guidance_schedule'?"),
    ("label_weight: 0.5", "label_weight: 0.5, check_every: 5", "11:14", "belongs to guidance_schedule: until_passed"),
    (
        "  smoothed: {students: [2]",
        "  grown: {pairs: [{teacher: 2, student: 2}]}\n  smoothed: {students: [2]",
        "12:29",
        "2 heads cannot grow into one with 2",
    ),
    (
        "  smoothed: {students: [2]",
        "  grown: {pairs: [{teacher: [1, 2], student: 4}]}\n  smoothed: {students: [2]",
        "12:29",
        "grows from one model",
    ),
    (
        "  smoothed: {students: [2]",
        "  grown: {pairs: [{teacher: 3, student: 4}]}\n  smoothed: {students: [2]",
        "12:29",
        "add 3 to recipes.scratch.students",
    ),
    ("  smoothed: {students: [2]", "  grwn: {students: [2]", "12:3", "Did you mean 'grown'?"),
    ("  smoothed: {students: [2]", "  self_destilled: {students: [2]", "12:3", "Did you mean 'self_distilled'?"),
    ("label_smoothing: 0.1", "label_smoothing: ^1", "", "less than 1"),
    ("n_pretrain: [400]}", "n_pretrain: [300]}", "13:75", "300 is not one of the study's sizes"),
    ("seeds: 2", "seeds: 0", "15:8", "seeds: should be greater than or equal to 1"),
    ("seeds: 2\n", "", "1:1", "give either blocks or seeds"),
    ("seeds: 2", "blocks: [{subset_seed: 1}]", "15:10", "blocks.0.seed is missing"),
    ("seeds: 2", "blocks: [{subset_seed: 1, seed: -1}]", "15:33", "blocks.0.seed"),
    (
        "seeds: 2",
        "blocks: [{subset_seed: 1, seed: 1}, {subset_seed: 1, seed: 1}]",
        "15:37",
        "this entry of blocks stands here for the second time",
    ),
    ("seeds: 2", "seeds: 2\nblocks: [{subset_seed: 1, seed: 1}]", "1:1", "only one of them"),
    ("epochs: 2, min_steps: 10", "epochs: 2, steps: 10", "16:60", "give either epochs or steps"),
    ("epochs: 2, min_steps: 10", "min_steps: 10", "16:60", "give either epochs or steps"),
    ("{steps: 20}", "{steps: 20, min_steps: 3}", "17:59", "min_steps belongs to epochs"),
    ("{steps: 20}", "{steps: 20}, warmup_steps: 21", "17:86", "21 is more than the 20 steps"),
    ("learning_rate: 2e-3", "learning_rate: ^0", "", "greater than 0"),
    ("learning_rate: 2e-3", "learning_rate: ^.inf", "", "pretraining.learning_rate"),
    ("learning_rate: 2e-3", "learning_rate: ^fast", "", "not 'fast'"),
    ("finetuning: {", "finetunning: {", "17:1", "Did you mean 'finetuning'?"),
    (
        "recipes: [scratch, distilled], student: 2",
        "recipes: [scratch, grown], student: 2",
        "18:31",
        "'grown' is not run",
    ),
    ("recipes: [scratch, distilled], student: 2", "recipes: ^[scratch], student: 2", "", "endpoint.recipes"),
    ("recipes: [scratch, distilled], student: 2", "recipes: ^[scratch, scratch], student: 2", "", "twice"),
    ("student: 2, teacher: 1, stage", "student: ^8, teacher: 1, stage", "", "a student with 8 heads is not among"),
    ("student: 2, teacher: 1, stage", "student: 4, teacher: ^1, stage", "", "is not among recipes.distilled.pairs"),
    ("student: 2, teacher: 1, stage", "student: 2, stage", "18:11", "say which one with the key teacher"),
    ("stage: finetuned, downstream: beans", "stage: finetuned", "18:11", "needs the key downstream"),
    ("stage: finetuned, downstream: beans", "stage: finetuned, downstream: pea", "18:97", "is not among the study's"),
    ("stage: finetuned, downstream: beans", "stage: pretrained, downstream: beans", "18:98", "is scored upstream"),
    ("stage: finetuned, downstream: beans", "stage: ^final, downstream: beans", "", "endpoint.stage"),
    ("target: error", "target: accuracy", "18:112", "endpoint.target"),
    ("target: error", "target: error, along: n_params", "18:126", "endpoint.along"),
    ("target: error", "target: error, n_finetune: 21", "18:131", "21 is not one of the study's sizes"),
    ("target: error", "target: error, n_pretrain: 100", "18:131", "is the axis that is crossed"),
    ("seeds: 2", "seeds: 2\nfinetune_recipes: [scrach]", "16:20", "Did you mean 'scratch'?"),
    ("seeds: 2", "seeds: 2\nfinetune_recipes: [scratch]", "19:31", "finetune_recipes leaves it out"),
    ("seeds: 2", "seeds: 2\nvalidation_fraction: 0", "16:22", "greater than 0"),
    ("seeds: 2", "seeds: 2\nvalidation_fraction: 1.0", "16:22", "less than 1"),
    ("seeds: 2", "seeds: 2\nscore_on: train", "16:11", "score_on"),
]


@pytest.mark.parametrize(("old", "new", "place", "words"), FAULTS, ids=[f"{new[:40]!r}" for _, new, _, _ in FAULTS])
def test_a_fault_is_told_with_its_place(
    load: Load, study_text: str, tmp_path: Path, old: str, new: str, place: str, words: str
) -> None:
    assert study_text.count(old) == 1
    marked = study_text.replace(old, new)
    if not place:  # a caret marks the fault
        before = marked.partition("^")[0].split("\n")
        place = f"{len(before)}:{len(before[-1]) + 1}"
    with pytest.raises(ConfigError) as caught:
        load(marked.replace("^", ""))
    told = [fault for fault in caught.value.faults if fault.startswith(f"{tmp_path / 'study.yaml'}:{place}: ")]
    assert any(words in fault for fault in told), caught.value.faults
    assert all("\n" not in fault and fault.endswith((".", "?")) for fault in caught.value.faults)


def test_all_faults_at_once(load: Load, study_text: str) -> None:
    text = study_text.replace("n_finetune: [20, 50]", "n_finetune: [20, 1.5]").replace("depth: 2", "depht: 2")
    with pytest.raises(ConfigError) as caught:
        load(text.replace("seeds: 2", "seeds: none"))
    assert len(caught.value.faults) == 3


def test_an_unknown_key_does_not_hide_a_missing_teacher_or_set(load: Load, study_text: str) -> None:
    text = study_text.replace("depth: 2", "depht: 2").replace("students: [1, 2, 4]", "students: [2, 4]")
    with pytest.raises(ConfigError) as caught:
        load(text)
    assert len(caught.value.faults) == 3, "the key, and the teacher missing from two pairs"


def test_a_key_that_is_spelt_wrong_hides_no_other_fault_and_makes_none(load: Load, study_text: str) -> None:
    """What it stands for is not missing, and all else is checked; the faults come in the order of the file."""
    text = study_text.replace("batch_size: 32", "batchsize: 32").replace("length: {steps: 20}", "length: {step: 20}")
    text = text.replace("pairs: [{teacher: 1,", "pairs: [{teacher: 3,", 1).replace("seeds: 2", "seeds: two")
    with pytest.raises(ConfigError) as caught:
        load(text)
    places = [tuple(map(int, fault.split(":")[1:3])) for fault in caught.value.faults]
    assert places == sorted(places)
    found = "; ".join(caught.value.faults)
    wanted = ("'batchsize'", "'step'", "the teacher with 3 heads is not trained", "seeds: should be a valid integer")
    assert [found.count(words) for words in wanted] == [1, 1, 1, 1], found
    assert len(caught.value.faults) == 4 + sum("endpoint" in fault for fault in caught.value.faults), found


def test_overrides_are_checked_like_the_file(load: Load, study_text: str) -> None:
    changed = load(study_text, "seeds=3", "pretraining.learning_rate=1e-3").config.pretraining
    assert changed is not None
    assert changed.learning_rate == 1e-3
    with pytest.raises(ConfigError) as caught:
        load(study_text, "seeds=-3", "pretraining.learning=1e-3")
    assert caught.value.faults == (
        "--set seeds=-3: seeds: should be greater than or equal to 1, not -3.",
        "--set pretraining.learning=1e-3: unknown key 'learning' of pretraining. Did you mean 'learning_rate'?",
    )


def test_sources(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"neither a study file nor a preset\. Did you mean 'smoke'"):
        load_study("smok", (), StubLaboratory())
    with pytest.raises(ConfigError, match="is a directory"):
        load_study(tmp_path, (), StubLaboratory())
    binary = tmp_path / "x.yaml"
    binary.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ConfigError, match="is not UTF-8 text"):
        load_study(binary, (), StubLaboratory())


def test_unknown_preset() -> None:
    with pytest.raises(ConfigError, match=r"There is no preset 'smokee'\. Did you mean 'smoke'"):
        presets.read("smokee")


def test_guided_fine_tuning_needs_a_fine_tuning(load: Load, study_text: str) -> None:
    def told(*overrides: str) -> str:
        with pytest.raises(ConfigError) as caught:
            load(study_text, *overrides)
        return "\n".join(caught.value.faults)

    assert "'pretraining', 'finetuning' or 'both'" in told("recipes.distilled.guide=all")
    assert "finetune_recipes leaves distilled out" in told("recipes.distilled.guide=both", "finetune_recipes=[scratch]")
    assert "downstream names no set" in told("recipes.distilled.guide=both", "downstream=[]")
    assert "distilled guides fine-tuning alone; remove it" in told("recipes.distilled.guide=finetuning")
    alone = ("recipes.distilled.guide=finetuning", "endpoint.stage=pretrained", "endpoint.downstream=null")
    assert "endpoint.recipes.1: recipe 'distilled' guides fine-tuning alone" in told(*alone)
    assert load(study_text, "recipes.distilled.guide=both").config.recipes.distilled is not None


def test_a_distillation_token_has_no_maps_and_must_be_pretrained(load: Load, study_text: str) -> None:
    token = "recipes.distilled.distillation_token=true"
    with pytest.raises(ConfigError, match="attention_weight: 0"):
        load(study_text, token)
    with pytest.raises(ConfigError, match="it needs guide: pretraining or both"):
        load(study_text, token, "recipes.distilled.attention_weight=0.0", "recipes.distilled.guide=finetuning")
