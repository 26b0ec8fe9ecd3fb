"""Malformed studies: every fault at once, each as ``file:line:column: what``, exit code 2, nothing written or run.

With the real laboratory and its own small set of images. A caret in a case marks where a fault must be told.
"""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tippingpoint import cli
from tippingpoint.errors import ConfigError
from tippingpoint.study.load import load_study

STUDY = """\
schema_version: 1
name: malformed
upstream: digits[0-5]
downstream: ["digits[6-9]"]
image: {size: 8, channels: 1}
model: {patch_size: 4, depth: 1, head_dim: 4}
n_pretrain: [60, 240, 0.5]
n_finetune: [40, 80]
recipes:
  scratch: {students: [1, 2]}
  distilled: {pairs: [{teacher: 1, student: 2}], label_weight: 0.5}
seeds: 2
pretraining: {batch_size: 16, learning_rate: 2e-3, warmup_steps: 2, length: {epochs: 1, min_steps: 10}}
finetuning: {batch_size: 16, learning_rate: 1e-3, length: {steps: 10}}
endpoint: {recipes: [scratch, distilled], student: 2, teacher: 1, stage: pretrained, target: error}
"""
LADDER = "head_dim: 4, ladder: {deep: {heads: 1, depth: 2}, net: {timm: test_resnet}}}"

# (what of the study is replaced, by what, words of each fault in the order of the carets)
FAULTS: list[tuple[str, str, list[str]]] = [
    # keys
    ("name: malformed", "^nmae: malformed", ["Did you mean 'name'?"]),
    ("schema_version: 1", "schema_version: ^2", ["schema_version"]),
    ("schema_version: 1", "schema_version: ^one", ["schema_version"]),
    ("upstream: digits", "^upstraem: digits", ["Did you mean 'upstream'?"]),
    ("seeds: 2", "^sedes: 2", ["Did you mean 'seeds'?"]),
    ("seeds: 2", "seeds: 2\n^colour: red", ["unknown key 'colour' of a study. The keys of a study are schema_version"]),
    ("seeds: 2", "seeds: 2\n^optimizer: {lr: 1}", ["unknown key 'optimizer'"]),
    ("channels: 1}", "channels: 1, ^sise: 3}", ["Did you mean 'size'?"]),
    ("depth: 1,", "^dept: 1,", ["Did you mean 'depth'?"]),
    ("head_dim: 4}", "head_dim: 4, ^lader: {}}", ["Did you mean 'ladder'?"]),
    ("label_weight: 0.5", "^label_wieght: 0.5", ["Did you mean 'label_weight'?"]),
    ("label_weight: 0.5", "^alpha: 0.5", ["unknown key 'alpha' of recipes.distilled"]),
    ("warmup_steps: 2", "^warmup_stpes: 2", ["Did you mean 'warmup_steps'?"]),
    ("epochs: 1, min", "^epoch: 1, min", ["Did you mean 'epochs'?"]),
    ("target: error}", "target: error, ^allong: n_pretrain}", ["Did you mean 'along'?"]),
    ("students: [1, 2]", "^student: [1, 2]", ["Did you mean 'students'?"]),
    (
        "  scratch: {",
        "  ^scrach: {",
        ["Did you mean 'scratch'?"],
    ),
    # types
    ("name: malformed", "name: ^7", ["should be a valid string, not 7"]),
    ("name: malformed", "name: ^[a]", ["name: should be a valid string"]),
    ("name: malformed", "name: ^''", ["at most 64 letters"]),
    ("name: malformed", "name: ^../up", ["at most 64 letters"]),
    ("name: malformed", "name: ^a b", ["at most 64 letters"]),
    ("name: malformed", "name:^", ["name: should be a valid string, not None"]),
    ("upstream: digits[0-5]", "upstream: ^3", ["should be a valid string, not 3"]),
    ("upstream: digits[0-5]", "upstream: ^''", ["should have at least 1 character"]),
    ('downstream: ["digits[6-9]"]', 'downstream: ^"digits[6-9]"', ["should be a list in brackets"]),
    ('downstream: ["digits[6-9]"]', "downstream: [^3]", ["downstream.0: should be a valid string, not 3"]),
    ("{size: 8, channels: 1}", "^[8, 1]", ["image: should be a mapping"]),
    ("size: 8", "size: ^8.0", ["should be a valid integer"]),
    ("size: 8", "size: ^'8'", ["should be a valid integer, not '8'"]),
    ("size: 8", "size: ^true", ["should be a valid integer, not True"]),
    ("size: 8", "size:^", ["should be a valid integer, not None"]),
    ("size: 8", "size: ^3", ["greater than or equal to 4"]),
    ("size: 8", "size: ^100000", ["less than or equal to 1024"]),
    ("channels: 1}", "channels: ^4}", ["image.channels: should be 1 or 3"]),
    ("{patch_size: 4, depth: 1, head_dim: 4}", "^deit", ["model: should be a mapping"]),
    ("depth: 1,", "depth: ^0,", ["greater than or equal to 1"]),
    ("depth: 1,", "depth: ^.inf,", ["model.depth"]),
    ("head_dim: 4}", "head_dim: ^1e3}", ["head_dim: should be a valid integer"]),
    ("n_pretrain: [60, 240, 0.5]", "n_pretrain: ^60", ["should be a list in brackets"]),
    ("n_pretrain: [60, 240, 0.5]", "n_pretrain: [60, ^.inf]", ["a share must lie in (0, 1], not inf"]),
    ("n_pretrain: [60, 240, 0.5]", "n_pretrain: ^{a: 1}", ["should be a list in brackets"]),
    ("n_pretrain: [60, 240, 0.5]", "n_pretrain: ^[]", ["should name at least one"]),
    ("recipes:\n", "recipes: ^no\nx:\n", ["recipes: should be a mapping", "unknown key 'x'"]),
    ("{students: [1, 2]}", "^[1, 2]", ["should be a mapping"]),
    ("students: [1, 2]", "students: ^2", ["should be a list in brackets"]),
    ("students: [1, 2]", "students: [1, 2, ^1.5]", ["must be a number of heads"]),
    ("students: [1, 2]", "students: [1, 2, ^65]", ["must be a number of heads (1 to 64)"]),
    ("pairs: [{teacher: 1, student: 2}]", "pairs: ^[]", ["should name at least one"]),
    ("pairs: [{teacher: 1, student: 2}]", "pairs: [^1]", ["should be a mapping"]),
    ("{teacher: 1, student: 2}", "{teacher: ^true, student: 2}", ["must be a number of heads"]),
    ("{teacher: 1, student: 2}", "^{student: 2}", ["teacher is missing"]),
    ("seeds: 2", "seeds: ^two", ["should be a valid integer, not 'two'"]),
    ("seeds: 2", "seeds: ^0", ["greater than or equal to 1"]),
    ("seeds: 2", "seeds: ^1.0", ["should be a valid integer"]),
    ("seeds: 2", "seeds: ^20240117", ["seeds: should be less than or equal to 10000, not 20240117"]),
    ("seeds: 2", "blocks: ^3", ["blocks: should be a list in brackets"]),
    ("seeds: 2", "blocks: [^3]", ["blocks.0: should be a mapping"]),
    ("seeds: 2", "blocks: [^{seed: 1}]", ["subset_seed is missing"]),
    ("batch_size: 16, learning_rate: 2e-3", "batch_size: ^0, learning_rate: 2e-3", ["greater than or equal to 1"]),
    ("learning_rate: 2e-3", "learning_rate: ^-1", ["greater than 0"]),
    ("learning_rate: 2e-3", "learning_rate: ^.nan", ["finite"]),
    ("learning_rate: 2e-3", "learning_rate: ^'2e-3'", ["should be a valid number"]),
    ("length: {steps: 10}", "length: ^10", ["should be a mapping"]),
    ("length: {steps: 10}", "length: {steps: ^0}", ["greater than or equal to 1"]),
    ("length: {steps: 10}", "length: {steps: ^9999999999}", ["less than or equal to 1000000000"]),
    ("length: {steps: 10}", "length: {epochs: ^1e307}", ["less than or equal to 1000000"]),
    ("batch_size: 16, learning_rate: 1e-3", "batch_size: ^9999999, learning_rate: 1e-3", ["less than or equal to"]),
    ("label_weight: 0.5", "temperature: ^1e200", ["temperature: should be less than or equal to 1000"]),
    ("label_weight: 0.5", "attention_temperature: ^1e-9", ["greater than or equal to 0.001"]),
    ("length: {steps: 10}", "length: ^{steps: 10, epochs: 1}", ["give either epochs or steps"]),
    ("length: {steps: 10}", "length: {steps: 10}, betas: ^[0.9]", ["betas"]),
    ("length: {steps: 10}", "length: {steps: 10}, betas: [0.9, ^1.0]", ["betas.1: should be less than 1, not 1.0"]),
    ("length: {steps: 10}", "length: {steps: 10}, betas: [^-0.1, 0.9]", ["greater than or equal to 0"]),
    ("stage: pretrained", "stage: ^upstream", ["should be 'pretrained' or 'finetuned'"]),
    ("target: error", "target: ^accuracy", ["should be 'error', 'cross_entropy' or 'cross_entropy_calibrated'"]),
    # sizes
    ("240, 0.5]", "240, ^0]", ["at least 1, not 0"]),
    ("240, 0.5]", "240, ^0.0]", ["a share must lie in (0, 1], not 0.0"]),
    ("240, 0.5]", "240, ^1.2]", ["a share must lie in (0, 1], not 1.2"]),
    ("240, 0.5]", "240, ^-5]", ["at least 1, not -5"]),
    ("240, 0.5]", "240, ^1e3]", ["for a count of images write 1000"]),
    ("240, 0.5]", "240, ^half]", ["must be a count of images"]),
    ("240, 0.5]", "240, ^100000]", ["100000 images are asked for, but digits[0-5] has"]),
    ("240, 0.5]", "240, ^0.0001]", ["is no image"]),
    ("240, 0.5]", "240, ^3]", ["3 is too few: digits[0-5] has 6 classes"]),
    ("240, 0.5]", "240, ^240]", ["second time"]),
    ("n_finetune: [40, 80]", "n_finetune: [40, ^1.2, ^0, ^9999]", ["(0, 1], not 1.2", "not 0", "9999 images"]),
    ("n_finetune: [40, 80]", "n_finetune: []", ["gives no size"]),
    # sets
    ("upstream: digits[0-5]", "upstream: ^digts[0-5]", ["Did you mean"]),
    ("upstream: digits[0-5]", "upstream: ^digits[0-99]", ["digits[0-99]"]),
    ("upstream: digits[0-5]", "upstream: ^digits[5-0]", ["digits[5-0]"]),
    ("upstream: digits[0-5]", "upstream: ^no/such/folder", ["no/such/folder"]),
    (
        "upstream: digits[0-5]\n",
        "upstream: ^imagenet1k\n",
        ["is not prepared on this machine", "60 is too few: imagenet1k has 1000 classes", "240 is too few"],
    ),
    ('["digits[6-9]"]', '["digits[6-9]", ^"digits[6-9]", ^pets]', ["second time", "pets"]),
    # grids
    ("{teacher: 1, student: 2}", "{teacher: ^3, student: 2}", ["with 3 heads is not trained", "not among recipes"]),
    ("{teacher: 1, student: 2}", "{teacher: ^[1, 1], student: 2}", ["names a teacher twice"]),
    ("{teacher: 1, student: 2}", "{teacher: ^small, student: 2}", ["'small' is not a model of model.ladder", "pair"]),
    ("students: [1, 2]", "students: [1, ^1]", ["second time", "a student with 2 heads is not among"]),
    ("students: [1, 2]", "students: [1, 2, ^x]", ["'x' is not a model of model.ladder, which is not given"]),
    (
        "students: [1, 2]",
        "students: [1, 2], n_pretrain: [^61]",
        ["61 is not one of the study's sizes", "at n_pretrain 60 no", "at n_pretrain 240 no", "at n_pretrain 0.5"],
    ),
    ("distilled: {pairs", "distilled: {teacher_n_pretrain: ^61, pairs", ["no teacher is trained on 61 images"]),
    ("patch_size: 4", "patch_size: ^3", ["3 does not divide the image's side of 8 pixels"]),
    ("warmup_steps: 2, length: {epochs: 1, min", "warmup_steps: -2, length: {epochs: 1, min", ["greater than"]),
    ("{steps: 10}", "{steps: 10}, warmup_steps: ^11", ["11 is more than the 10 steps"]),
    ("label_weight: 0.5}", "label_weight: 0.5}\n  grown: {pairs: [{teacher: ^2, student: 2}]}", ["cannot grow into"]),
    ("label_weight: 0.5}", "label_weight: 0.5, check_every: 5}", ["check_every belongs to"]),
    ("label_weight: 0.5}", "label_weight: ^1.2}", ["less than or equal to 1"]),
    ("label_weight: 0.5}", "label_weight: 0.5, shuffle: ^everything}", ["'images' or 'within_class'"]),
    ("label_weight: 0.5}", "label_weight: 0.5, guide: ^always}", ["'pretraining', 'finetuning' or 'both'"]),
    ("label_weight: 0.5}", "label_weight: 0.5}\n  smoothed: {students: [2], label_smoothing: ^1.0}", ["less than 1"]),
    ("seeds: 2", "seeds: 2\nfinetune_recipes: [^grown]", ["'grown' is not run by this study"]),
    ("seeds: 2", "seeds: 2\nvalidation_fraction: ^1.2", ["less than 1"]),
    ("seeds: 2", "seeds: 2\nscore_on: ^train", ["should be 'test' or 'validation'"]),
    ("seeds: 2", "seeds: 2\nprecision: ^float16", ["'float32', 'bfloat16' or 'auto'"]),
    ("seeds: 2", "seeds: 2\ncompile: ^1", ["should be a valid boolean"]),
    ("seeds: 2", "seeds: 2\nfinetuning_of: {mnist: ^{batch_size: 1, learning_rate: 1, length: {steps: 1}}}", ["mnist"]),
    # endpoints
    ("[scratch, distilled], student", "[scratch, ^grown], student", ["'grown' is not run by this study"]),
    ("[scratch, distilled], student", "^[scratch, scratch], student", ["names one recipe twice"]),
    ("[scratch, distilled], student", "^[scratch], student", ["endpoint.recipes"]),
    ("student: 2, teacher: 1, stage", "student: ^4, teacher: ^1, stage", ["4 heads is not among", "pair of teacher 1"]),
    ("student: 2, teacher: 1, stage", "student: 2, stage", ["say which one with the key teacher"]),
    ("stage: pretrained", "stage: finetuned", ["needs the key downstream"]),
    ("stage: pretrained", "stage: finetuned, downstream: ^cifar10", ["'cifar10' is not among"]),
    ("target: error", "target: error, n_finetune: ^80", ["endpoint"]),
    # ladders, variants, augmentation, public weights
    ("head_dim: 4}", "head_dim: 4, ladder: ^[deep]}", ["should be a mapping"]),
    ("head_dim: 4}", "head_dim: 4, ladder: {deep: ^{depth: 2}}}", ["give either heads (a DeiT) or timm"]),
    ("head_dim: 4}", "head_dim: 4, ladder: {deep: ^{heads: 1, timm: resnet18}}}", ["only one"]),
    ("head_dim: 4}", "head_dim: 4, ladder: {deep: {heads: ^0}}}", ["greater than or equal to 1"]),
    ("head_dim: 4}", "head_dim: 4, ladder: {deep: {heads: 1, patch_size: ^3}}}", ["3 does not divide"]),
    ("head_dim: 4}", "head_dim: 4, ladder: {7up: ^{heads: 1}}}", ["'7up' is not a name"]),
    ("head_dim: 4}", "head_dim: 4, ladder: {net: ^{timm: resnet81}}}", ["resnet81"]),
    ("head_dim: 4}", "head_dim: 4, ladder: {net: ^{timm: test_resnet, arguments: {colour: red}}}}", ["colour"]),
    ("head_dim: 4}", "head_dim: 4, ladder: {a: ^{heads: 1, arguments: {}}}}", ["belongs to a model with timm"]),
    (
        "head_dim: 4}",
        "head_dim: 4, ladder: {net: {timm: test_resnet, weights: ^no/such.pth}}}",
        ["no/such.pth"],
    ),
    ("head_dim: 4}", "head_dim: 4, ladder: {net: {timm: test_resnet, weights: ^hub}}}", ["weights fetch"]),
    ("label_weight: 0.5}", "label_weight: 0.5}\n  variants: ^[a]", ["should be a mapping"]),
    (
        "label_weight: 0.5}",
        "label_weight: 0.5}\n  variants: {a b: ^{pairs: [{teacher: 1, student: 2}]}}",
        ["not a name"],
    ),
    (
        "label_weight: 0.5}",
        "label_weight: 0.5}\n  variants: {grown: ^{pairs: [{teacher: 1, student: 2}]}}",
        ["is a recipe already"],
    ),
    (
        "label_weight: 0.5}",
        "label_weight: 0.5}\n  variants: {own: {pairs: [{teacher: ^4, student: 2}], ^weight: 1}}",
        ["with 4 heads is not trained", "unknown key 'weight' of recipes.variants.own"],
    ),
    ("label_weight: 0.5}", "label_weight: 0.5}\n  public: {students: [^2]}", ["has no public weights"]),
    ("label_weight: 0.5}", "label_weight: 0.5}\n  public_frozen: {students: [^big]}", ["'big' is not a model"]),
    ("seeds: 2", "seeds: 2\naugmentation: {crop_padding: ^-1}", ["greater than or equal to 0"]),
    ("seeds: 2", "seeds: 2\naugmentation: {flip: ^1}", ["should be a valid boolean"]),
    ("seeds: 2", "seeds: 2\naugmentation: {contrast: ^1.2}", ["less than or equal to 1"]),
    ("seeds: 2", "seeds: 2\naugmentation: {^random_crop: [0.1, 1.0]}", ["random_crop"]),
    ("seeds: 2", "seeds: 2\naugmentation: ^{random_resized_crop: [0.9, 0.1]}", ["random_resized_crop"]),
    ("seeds: 2", "seeds: 2\naugmentation: ^{saturation: 0.5}", ["saturation"]),
    ("seeds: 2", "seeds: 2\naugmentation: ^{crop_ratio: [0.5, 2]}", ["crop_ratio belongs to random_resized_crop"]),
    ("seeds: 2", "seeds: 2\naugmentation_of: {mnist: ^{flip: true}}", ["'mnist' is not among the study's sets"]),
    # several at once
    (
        "n_pretrain: [60, 240, 0.5]\nn_finetune: [40, 80]",
        "n_pretrain: [^0, 240, ^1.2]\nn_finetune: [^99999, 80]\n^colur: 1",
        ["at least 1, not 0", "(0, 1], not 1.2", "99999 images are asked for", "unknown key 'colur'"],
    ),
    (
        "label_weight: 0.5}\nseeds: 2",
        "label_weight: ^7}\n  smoothed: {students: [^x]}\nseeds: ^0\n^sead: 1",
        ["less than or equal to 1", "'x' is not a model", "greater than or equal to 1", "unknown key 'sead'"],
    ),
]

TEXTS: list[tuple[str, bytes, str, str]] = [
    ("empty", b"", "1:1", "is not a mapping"),
    ("comment", b"# nothing\n", "1:1", "is not a mapping"),
    ("word", b"hello", "1:1", "is not a mapping"),
    ("list", b"- 1\n- 2\n", "1:1", "is not a mapping"),
    ("tab", b"name: a\nmodel:\n\tdepth: 1\n", "3:1", "is not YAML"),
    ("unclosed list", b"n_pretrain: [1, 2\nseeds: 2\n", "2:6", "is not YAML"),
    ("unclosed brace", b"image: {size: 8\n", "2:1", "is not YAML"),
    ("unclosed quote", b"name: 'a\n", "2:1", "is not YAML"),
    ("bad indent", b"model:\n  depth: 1\n head_dim: 2\n", "3:2", "is not YAML"),
    ("colon", b"name: a: b\n", "1:8", "is not YAML"),
    ("two documents", b"name: a\n---\nname: b\n", "2:1", "is not YAML"),
    ("directive", b"%YAML 9.9\n---\nname: a\n", "1:1", "is not YAML"),
    ("bad escape", b'name: "\\q"\n', "1:9", "is not YAML"),
    ("null character", b"name: a\x00b\n", "1:8", "U+0000 is not allowed"),
    ("control character", b"name: a\nseeds: \x07\n", "2:8", "U+0007 is not allowed"),
    ("latin-1", b"schema_version: 1\nname: na\xefve\n", "2:9", "is not UTF-8 text"),
    ("utf-16", "name: a\n".encode("utf-16"), "1:1", "is not UTF-8 text"),
    ("binary", b"\x89PNG\r\n\x1a\n\x00\x00", "1:1", "is not UTF-8 text"),
    ("repeated key", b"name: a\nseeds: 1\nname: b\n", "3:1", "for the second time"),
    ("repeated key inside", b"image: {size: 8, size: 9}\n", "1:18", "for the second time"),
    ("alias", b"a: &x [1]\nb: *x\n", "2:4", "aliases are not taken"),
    ("undefined alias", b"b: *nowhere\n", "1:4", "aliases are not taken"),
    ("merge key", b"a: &x {b: 1}\nc: {<<: *x}\n", "2:9", "aliases are not taken"),
    ("python tag", b"name: !!python/object/apply:os.system ['true']\n", "1:7", "is not taken"),
    ("own tag", b"name: !secret a\n", "1:7", "is not taken"),
    ("binary tag", b"name: !!binary aGVsbG8=\n", "1:7", "is not taken"),
    ("list as key", b"? [1, 2]\n: 3\n", "1:3", "a key must be a plain word"),
    ("deep list", b"a: " + b"[" * 5000, "1:53", "nested too deeply"),
    ("deep mapping", b"".join(b" " * depth + b"a:\n" for depth in range(80)), "50:50", "nested too deeply"),
    ("too long", b"a: " + b"x" * 1_000_001, "1:1", "Is it the right file?"),
]

OVERRIDES: list[tuple[str, str]] = [
    ("seeds", "is not of the form key=value"),
    ("=3", "is not of the form key=value"),
    ("a..b=1", "is not of the form key=value"),
    ("seeds=[1", "is not a YAML value"),
    ("seeds=*x", "is not a YAML value"),
    ("seeds=!x 1", "is not a YAML value"),
    ("n_pretrain.9=1", "'9' is not a place in it"),
    ("name.x=1", "is a value and has no key 'x'"),
    ("sedes=3", "unknown key 'sedes' of a study. Did you mean 'seeds'?"),
    ("seeds=0", "greater than or equal to 1"),
    ("model.dept=3", "Did you mean 'depth'?"),
    ("n_pretrain.1=1.2", "a share must lie in (0, 1], not 1.2"),
    ("recipes.distilled.pairs.0.teacher=5", "with 5 heads is not trained"),
    ("upstream=digts", "upstream"),
]


@pytest.fixture(autouse=True)
def in_a_directory(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TIPPINGPOINT_DATA", str(tmp_path / "none"))


def told(content: bytes, *overrides: str) -> list[str]:
    """Return the faults of a file ``s.yaml``, after a look that nothing else came to be."""
    Path("s.yaml").write_bytes(content)
    with pytest.raises(ConfigError) as caught:
        load_study("s.yaml", overrides)
    assert caught.value.exit_code == 2
    assert [path.name for path in Path().iterdir()] == ["s.yaml"]
    assert all("\n" not in fault and fault.endswith((".", "?")) for fault in caught.value.faults)
    return list(caught.value.faults)


def marked(text: str) -> tuple[str, list[str]]:
    """Return a text without its carets, and ``line:column`` of each."""
    places = []
    for found in re.finditer(r"\^", text):
        lines = text[: found.start()].replace("^", "").split("\n")
        places.append(f"{len(lines)}:{len(lines[-1]) + 1}")
    return text.replace("^", ""), places


def test_the_study_itself_is_sound() -> None:
    Path("s.yaml").write_text(STUDY, encoding="utf-8")
    assert load_study("s.yaml").config.name == "malformed"
    Path("s.yaml").write_text(STUDY.replace("head_dim: 4}", LADDER), encoding="utf-8")
    assert set(load_study("s.yaml").config.model.ladder or {}) == {"deep", "net"}
    assert len(FAULTS) + len(TEXTS) + len(OVERRIDES) >= 100


@pytest.mark.parametrize(("old", "new", "words"), FAULTS, ids=[new[:50] for _, new, _ in FAULTS])
def test_all_faults_have_their_place(old: str, new: str, words: list[str]) -> None:
    assert STUDY.count(old) == 1
    text, places = marked(STUDY.replace(old, new))
    faults = told(text.encode())
    assert len(faults) == len(words), faults
    for word in words:
        assert any(word in fault for fault in faults), (word, faults)
    assert all(re.match(r"s\.yaml:\d+:\d+: ", fault) for fault in faults), faults
    for place in places:
        assert any(fault.startswith(f"s.yaml:{place}: ") for fault in faults), (place, faults)


@pytest.mark.parametrize(("content", "place", "words"), [case[1:] for case in TEXTS], ids=[case[0] for case in TEXTS])
def test_what_is_no_yaml_has_its_place(content: bytes, place: str, words: str) -> None:
    (fault,) = told(content)
    assert fault.startswith(f"s.yaml:{place}: ")
    assert words in fault


@pytest.mark.parametrize(("override", "words"), OVERRIDES)
def test_an_override_is_its_own_place(override: str, words: str) -> None:
    faults = told(STUDY.encode(), override)
    assert all(fault.startswith(f"--set {override}: ") for fault in faults if words in fault)
    assert any(words in fault for fault in faults), faults


def test_many_faults_of_yaml_at_once() -> None:
    faults = told(b"a: 1\na: 2\nb: !x 1\nc: *a\nc: *b\n? [1]\n: 2\n")
    assert len(faults) == 6
    assert all(re.match(r"s\.yaml:\d+:\d+: ", fault) for fault in faults)


@pytest.mark.parametrize("command", ["run", "plan"])
def test_a_command_leaves_with_2_and_nothing_else(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    text, places = marked(STUDY.replace("240, 0.5]", "^1.2]").replace("seeds: 2", "^sedes: 2\nseeds: ^0"))
    Path("s.yaml").write_text(text, encoding="utf-8")
    assert cli.main([command, "s.yaml"]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert sorted(line.split(": ")[1] for line in err.splitlines()) == sorted(f"s.yaml:{place}" for place in places)
    assert [path.name for path in Path().iterdir()] == ["s.yaml"]


def test_training_images_that_are_test_images(capsys: pytest.CaptureFixture[str]) -> None:
    """They are found when the images are read: before anything runs or is written."""
    rng = np.random.default_rng(0)
    for name in ("first", "second"):
        for part, count in (("train", 40), ("test", 12)):
            for label in ("a", "b"):
                folder = Path(name, part, label)
                folder.mkdir(parents=True)
                for number in range(count):
                    Image.fromarray(rng.integers(0, 256, (8, 8), dtype=np.uint8)).save(folder / f"{number}.png")
    for label in ("a", "b"):
        Path("second", "test", label, "0.png").write_bytes(Path("first", "train", label, "0.png").read_bytes())
    text = STUDY.replace("digits[0-5]", "first").replace('"digits[6-9]"', "second")
    text = text.replace("[60, 240, 0.5]", "[20, 40]").replace("[40, 80]", "[20]")
    Path("s.yaml").write_text(text, encoding="utf-8")
    before = sorted(path.name for path in Path().iterdir())
    assert cli.main(["run", "s.yaml"]) == 2
    err = capsys.readouterr().err
    assert "tippingpoint: s.yaml:" in err
    assert "test images" in err
    assert "allow_overlap: true" in err
    assert sorted(path.name for path in Path().iterdir()) == before
