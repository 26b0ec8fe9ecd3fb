"""``tippingpoint run``, ``plan``, ``status`` and ``init`` as a user types them."""

from __future__ import annotations

import errno
import json
import shutil
from pathlib import Path

import jsonschema
import numpy as np
import pytest
from PIL import Image

import tippingpoint
from tippingpoint import cli
from tippingpoint.study.laboratory import RealLaboratory

SCHEMAS = Path(tippingpoint.__file__).parent / "schemas"
TINY = ["--set", "seeds=1", "--set", "n_pretrain=[60, 120]", "--set", "downstream=[]", "--set", "n_finetune=[]"]


@pytest.fixture(autouse=True)
def in_an_empty_directory(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)


def printed_json(capsys: pytest.CaptureFixture[str], name: str) -> dict[str, object]:
    found: dict[str, object] = json.loads(capsys.readouterr().out)
    jsonschema.validate(found, json.loads((SCHEMAS / f"{name}.schema.json").read_text(encoding="utf-8")))
    return found


@pytest.mark.slow
def test_run_status_and_run_again(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["run", "smoke", "--workers", "1", "--no-report", "--json", *TINY]) == 0
    first = printed_json(capsys, "run")
    assert (first["state"], first["trained"], first["rows"]) == ("done", 6, 6)
    assert Path("studies/smoke/runs.csv").is_file(), "the directory is studies/NAME"
    assert cli.main(["run", "smoke", "--no-report", *TINY]) == 0
    assert "6 of 6 cells done (0 trained now, 6 before)" in capsys.readouterr().out
    assert cli.main(["status", "studies/smoke", "--json"]) == 0
    assert printed_json(capsys, "status")["cells"] == {
        "total": 6,
        "done": 6,
        "running": 0,
        "todo": 0,
        "failed": 0,
        "blocked": 0,
    }
    assert cli.main(["status", "studies/smoke"]) == 0
    assert "6 done, 0 running, 0 failed, 0 blocked, 0 to do, 6 in all" in capsys.readouterr().out
    assert cli.main(["plan", "studies/smoke/study.yaml", "--dir", "studies/smoke", "--json"]) == 0
    assert printed_json(capsys, "plan")["to_run"] == 0, "the kept study is the same study"


def test_plan_writes_nothing(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert cli.main(["plan", "smoke", "--no-timing"]) == 0
    out = capsys.readouterr().out
    assert "smoke in studies/smoke: 72 cells, 0 done, 72 to run." in out
    assert "new (16)" in out
    assert cli.main(["plan", "smoke", "--no-timing", "--each", *TINY]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].endswith("  scratch 1 heads 60 images block 0/0: new")
    assert lines[6] == "smoke in studies/smoke: 6 cells, 0 done, 6 to run."
    assert cli.main(["plan", "smoke", "--no-timing", "--each", "--json", *TINY]) == 0
    assert [len(one["key"]) for one in printed_json(capsys, "plan")["each"]] == [64] * 6  # type: ignore[attr-defined]
    assert cli.main(["plan", "smoke", "--set", "seeds=1", "--workers", "2", "--json"]) == 0
    found = printed_json(capsys, "plan")
    assert (found["cells"], found["to_run"]) == (36, 36)
    assert isinstance(found["seconds"], float)
    assert not list(tmp_path.iterdir())


def test_init_never_overwrites(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert cli.main(["init", "smoke"]) == 0
    text = Path("smoke.yaml").read_text(encoding="utf-8")
    assert text.startswith("# ")
    assert cli.main(["plan", "smoke.yaml", "--no-timing"]) == 0
    Path("smoke.yaml").write_text("mine", encoding="utf-8")
    assert cli.main(["init", "smoke"]) == 2
    assert Path("smoke.yaml").read_text(encoding="utf-8") == "mine"
    assert cli.main(["init", "smoke", "--output", "."]) == 2
    assert cli.main(["init", "smoke", "-o", "deep/own.yaml"]) == 0
    assert Path("deep/own.yaml").read_text(encoding="utf-8") == text
    assert "exists already and is kept" in capsys.readouterr().err


BAD = [
    (["run", "quikstart"], "'quikstart' is neither a study file nor a preset."),
    (["run", "smok"], "Did you mean 'smoke'?"),
    (["plan", "no/such.yaml"], "is neither a study file nor a preset."),
    (["init", "smok"], "There is no preset 'smok'. Did you mean 'smoke'?"),
    (["run", "smoke", "--set", "n_pretrian=[1]"], "Did you mean 'n_pretrain'?"),
    (["run", "smoke", "--set", "n_pretrain=[0.5, 1.5]"], "a share must lie in (0, 1], not 1.5."),
    (["run", "smoke", "--set", "n_pretrain=[100000]"], "but digits[0-5] has 606 training images"),
    (
        ["run", "smoke", "--set", "recipes.scratch.students=[2]"],
        "the teacher with 1 heads is not trained in this study",
    ),
    (["run", "smoke", "--set", "upstream=digit"], "There is no set 'digit'"),
    (["run", "smoke", "--set", "upstream=./nowhere"], "there is no such file or folder"),
    (["run", "smoke", "--set", "seeds"], "--set seeds: is not of the form key=value"),
    (["run", "smoke", "--workers", "0"], "Invalid value for '--workers'"),
    (["run", "smoke", "--works", "2"], "No such option"),
    (["run", "smoke", "--device", "gpu"], "--device 'gpu': must be cpu, cuda or auto."),
    (["run", "smoke", "--workers", "2", "--workers-per-gpu", "2"], "give one of them"),
    (["run"], "Missing argument"),
    (["status", "nowhere"], "nowhere: is not a study directory (there is no such directory)"),
    (["status", "."], "is not a study directory (it has no progress.json)"),
    (["run", "smoke", "--set", "n_pretrain=[3]", "--json"], "3 is too few: digits[0-5] has 6 classes"),
    (["run", "smoke", "--set", "n_pretrain=0.5"], "n_pretrain: should be a list in brackets, not 0.5."),
    (["run", "smoke", "--set", "name=a/b"], "should be at most 64 letters, digits"),
    (["plan", "smoke", "--set", "n_pretrain=[]"], "n_pretrain: should name at least one."),
]


@pytest.mark.parametrize(("arguments", "words"), BAD, ids=[" ".join(arguments) for arguments, _ in BAD])
def test_bad_input_is_one_sentence_and_starts_nothing(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, arguments: list[str], words: str
) -> None:
    assert cli.main(arguments) == 2
    said = capsys.readouterr()
    assert words in said.err
    assert not said.out
    assert all(line.startswith("tippingpoint: ") for line in said.err.splitlines())
    assert "Traceback" not in said.err
    assert not list(tmp_path.iterdir()), "nothing is started, nothing is written"


def test_faults_in_a_file_are_told_with_their_places(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["init", "smoke", "-o", "mine.yaml"]) == 0
    text = Path("mine.yaml").read_text(encoding="utf-8")
    Path("mine.yaml").write_text(text.replace("seeds: 2", "seeds: two").replace("patch_size", "patchsize"), "utf-8")
    capsys.readouterr()
    assert cli.main(["run", "mine.yaml"]) == 2
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 2
    assert all(line.startswith("tippingpoint: mine.yaml:") for line in lines)


def test_a_directory_that_cannot_be_made_is_the_environment(capsys: pytest.CaptureFixture[str]) -> None:
    Path("file").write_text("x", encoding="utf-8")
    assert cli.main(["run", "smoke", "--dir", "file/study", *TINY]) == 3
    assert "file/study" in capsys.readouterr().err


def test_a_gpu_that_is_not_there_is_the_environment(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(RealLaboratory, "count_gpus", lambda _: 0)
    assert cli.main(["run", "smoke", "--device", "cuda"]) == 3
    said = capsys.readouterr().err.splitlines()
    assert len(said) == 1
    assert said[0].startswith("tippingpoint: --device cuda: torch finds no CUDA device here; ")
    assert not list(tmp_path.iterdir())


SOUND = {"progress.json": '{"schema_version": 1, "state": "done", "study": {"name": "x"}}', "cells.jsonl": ""}
DAMAGED = [
    ({**SOUND, "progress.json": "{"}, "progress.json: is damaged and cannot be read; run the study again"),
    ({**SOUND, "progress.json": "null"}, "progress.json: is damaged"),
    ({**SOUND, "progress.json": '{"schema_version": 1}'}, "progress.json: is damaged"),
    ({**SOUND, "cells.jsonl": '{"schema_version": 1}\n'}, "cells.jsonl: is damaged"),
    ({"progress.json": SOUND["progress.json"]}, "cells.jsonl: there is no such file"),
    (
        {**SOUND, "progress.json": SOUND["progress.json"].replace("1", "99", 1)},
        "progress.json: was written by a newer version of tippingpoint; upgrade the package.",
    ),
]


@pytest.mark.parametrize(("files", "words"), DAMAGED)
def test_damaged_tables_are_told(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, files: dict[str, str], words: str
) -> None:
    for name, text in files.items():
        (tmp_path / name).write_text(text, encoding="utf-8")
    assert cli.main(["status", ".", "--json"]) == 2
    said = capsys.readouterr()
    assert words in said.err
    assert (said.err.count("\n"), said.out) == (1, "")


@pytest.mark.parametrize("command", [["run"], ["plan", "--no-timing"]])
def test_a_file_is_no_study_directory(capsys: pytest.CaptureFixture[str], command: list[str]) -> None:
    Path("file").write_text("x", encoding="utf-8")
    assert cli.main([*command, "smoke", "--dir", "file"]) == 2
    assert "file: is a file, and a study needs a directory" in capsys.readouterr().err
    assert cli.main(["status", "file"]) == 2
    assert "is not a study directory (it is a file)" in capsys.readouterr().err


def an_image_folder(root: Path, sizes: dict[str, int]) -> None:
    """Noise in as many grey images a class as asked for, and two test images a class."""
    rng = np.random.default_rng(0)
    for part, counts in (("train", sizes), ("test", dict.fromkeys(sizes, 2))):
        for name, count in counts.items():
            (root / part / name).mkdir(parents=True)
            for place in range(count):
                Image.fromarray(rng.integers(0, 256, (8, 8), dtype=np.uint8)).save(root / part / name / f"{place}.png")


MINE = [*TINY, "--set", "upstream=./mine", "--set", "endpoint=", "--set", "n_pretrain=[4]", "--json"]


def test_what_only_the_images_show_is_found_before_anything_starts(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    an_image_folder(tmp_path / "mine", {"a": 60, "b": 60, "rare": 5})
    assert cli.main(["run", "smoke", *MINE]) == 2
    said = capsys.readouterr()
    assert "./mine, subset_seed 0: A subset of 4 images (asked for: 4) holds no image of class 2" in said.err
    (tmp_path / "mine/train/a/0.png").write_bytes(b"no image")
    assert cli.main(["run", "smoke", *MINE]) == 2
    more = capsys.readouterr()
    assert "mine/train/a/0.png: is not an image" in more.err
    assert (said.out, more.out) == ("", "")
    assert [path.name for path in tmp_path.iterdir()] == ["mine"], "nothing is started, nothing is written"


@pytest.mark.slow
def test_overlap_and_imbalance_are_told_and_kept(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    an_image_folder(tmp_path / "mine", {"a": 30, "b": 60})
    shutil.copy(tmp_path / "mine/train/a/3.png", tmp_path / "mine/test/a/leak.png")
    words = ["run", "smoke", *MINE, "--set", "n_pretrain=[20]", "--no-report", "--workers", "1"]
    assert cli.main(words) == 2
    assert "is also a test image of ./mine" in capsys.readouterr().err
    words += ["--set", "allow_overlap=true"]
    assert cli.main(words) == 0
    notes = printed_json(capsys, "run")["notes"]
    assert notes == [
        "./mine: The classes are unequal: 'a' has 30 images and 'b' has 60, 2 times as many; "
        "subsets keep these shares.",
        "1 training image of ./mine is also a test image of ./mine (train/a/3.png is test/a/leak.png).",
    ]
    progress = json.loads(Path("studies/smoke/progress.json").read_text(encoding="utf-8"))
    assert progress["notes"] == notes
    assert cli.main(words) == 0
    assert printed_json(capsys, "run")["notes"] == notes, "the second run reads them from progress.json"


def test_the_systems_refusal_is_one_sentence_with_its_path(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise PermissionError(errno.EACCES, "Permission denied", "some/file")

    monkeypatch.setattr("tippingpoint.study.status.study_status", refuse)
    assert cli.main(["status", "."]) == 3
    said = capsys.readouterr().err
    assert said == "tippingpoint: some/file: Permission denied; check the path, its permissions and the disk.\n"


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--budget", "2"], "--budget: '2' is not of the form 2h, 45min"),
        (["--budget", "1h", "--only", "abcdef"], "give one of them"),
        (["--adaptive", "--most-cells", "20", "--budget", "1h"], "give one of them"),
        (["--only", "abc"], "give at least 6 digits"),
        (["--only", "abcdefabcdef"], "no cell whose key begins so"),
        (["--budget", "1flops"], "1 FLOPs is too little: the least that can be used (scratch and distilled at"),
    ],
)
def test_what_chooses_cells_is_checked_first(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, words: list[str], said: str
) -> None:
    assert cli.main(["run", "smoke", *words]) == 2
    told = capsys.readouterr()
    assert said in told.err
    assert (told.err.count("\n"), told.out) == (1, "")
    assert not list(tmp_path.iterdir())


@pytest.mark.slow
def test_a_budget_and_one_cell(capsys: pytest.CaptureFixture[str]) -> None:
    few = ["--workers", "1", "--set", "downstream=[]", "--set", "n_finetune=[]", "--json"]
    assert cli.main(["run", "smoke", *few, "--budget", "7.3e8flops"]) == 0
    found = printed_json(capsys, "run")
    budget = found["budget"]
    assert isinstance(budget, dict)
    assert 7e8 < budget.pop("cost") < 7.3e8
    assert budget == {"unit": "flops", "amount": 7.3e8, "cells": 18, "left_out": 6}
    assert (found["trained"], found["rows"]) == (18, 18)
    lines = [json.loads(line) for line in Path("studies/smoke/cells.jsonl").read_text(encoding="utf-8").splitlines()]
    key = next(line["key"] for line in lines if line["state"] == "todo" and not line["inputs"]["parents"])
    assert cli.main(["run", "smoke", *few, "--only", key[:12]]) == 0
    found = printed_json(capsys, "run")
    assert (found["trained"], found["report"]) == (1, None)
