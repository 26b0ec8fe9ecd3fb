"""``tippingpoint next`` as a user types it, of a table and of a study directory; its JSON against the schema."""

from __future__ import annotations

import json
import re
import shlex
from importlib import resources
from pathlib import Path

import jsonschema
import pytest

from tippingpoint.cli import main

PAGE = Path(__file__).parents[2] / "docs" / "next.md"
QUESTION = ["--stage", "pretrained", "--target", "cross_entropy", "--at", "n_params=53056", "--teacher", "heads=2"]
FAST = ["--resamples", "300"]


@pytest.fixture(scope="module")
def table() -> str:
    return str(resources.files("tippingpoint") / "_data" / "standard_runs.csv")


def call(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, str, str]:
    code = main(["next", *words])
    said = capsys.readouterr()
    return code, said.out, said.err


def a_study(root: Path, table: str) -> Path:
    """A study directory whose primary endpoint is that of the example, two of its blocks done."""
    lines = Path(table).read_text(encoding="utf-8").splitlines()
    head = lines[0].split(",")
    rows = [dict(zip(head, line.split(","), strict=True)) for line in lines[1:]]
    kept = [i for i, row in enumerate(rows) if row["stage"] == "pretrained"]
    done = [i for i in kept if int(rows[i]["seed"]) < 2]
    (root / "runs.csv").write_text("\n".join([lines[0], *(lines[i + 1] for i in done)]) + "\n", encoding="utf-8")
    cells = []
    for i in kept:
        row = rows[i]
        place = f"{row['n_pretrain']}-{row['seed']}"
        if row["recipe"] not in ("scratch", "distilled") or row["teacher"] not in ("", "heads=2"):
            continue
        where = {"recipe": row["recipe"], "teacher": row["teacher"] or None, "n_pretrain": int(row["n_pretrain"])}
        where |= {"subset_seed": int(row["seed"]), "seed": int(row["seed"]), "downstream": None, "n_finetune": None}
        parents = {"teacher_0": f"scratch-heads=2-{place}"} if row["teacher"] else {}
        key = f"{row['recipe']}-{row['student']}-{place}"
        cell = {"schema_version": 1, "key": key, "kind": "pretrain", "state": "done" if i in done else "todo"}
        cell |= {"label": f"{key} block {row['seed']}/{row['seed']}", "wall_s": float(row["wall_s"])}
        cell |= {"inputs": {"where": where, "parents": parents}}
        cell |= {"cost": {"n_params": int(row["n_params"]), "flops": float(row["pretrain_flops"]), "guidance_flops": 0}}
        cells.append(json.dumps(cell))
    (root / "cells.jsonl").write_text("\n".join(cells) + "\n", encoding="utf-8")
    endpoint: dict[str, object] = {"recipes": ["scratch", "distilled"], "along": "n_pretrain", "stage": "pretrained"}
    endpoint |= {"target": "cross_entropy", "teacher": "heads=2", "at": {"n_params": 53056, "n_finetune": None}}
    progress = {"schema_version": 1, "study": {"name": "x", "endpoint": endpoint}}
    (root / "progress.json").write_text(json.dumps(progress), encoding="utf-8")
    return root


def checked(out: str) -> dict[str, object]:
    found: dict[str, object] = json.loads(out)
    schema = json.loads((resources.files("tippingpoint") / "schemas" / "next.schema.json").read_text("utf-8"))
    jsonschema.Draft202012Validator.check_schema(schema)
    jsonschema.validate(found, schema)
    return found


@pytest.mark.parametrize(
    "options",
    [[], ["--batch", "1", "--cost", "seconds"], ["--predict", "recipe=scratch,n_pretrain=2e4"], ["--extra-seeds", "0"]],
)
def test_json_is_one_object_of_the_schema(table: str, capsys: pytest.CaptureFixture[str], options: list[str]) -> None:
    code, out, err = call(capsys, table, "--json", *QUESTION, *FAST, *options)
    assert (code, err) == (0, "")
    found = checked(out)
    assert (found["predict"] is None) == ("--predict" not in options)
    assert bool(found["candidates"]) == ("0" not in options)


def test_a_study_directory_asks_its_endpoint(table: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    root = a_study(tmp_path, table)
    code, out, err = call(capsys, str(root), "--json", *FAST, "--extra-seeds", "0")
    assert (code, err) == (0, "")
    found = checked(out)
    assert (found["target"], found["at"]) == ("cross_entropy", {"n_params": 53056, "n_params_teacher": 14240})
    assert {one["block"]["seed"] for one in found["candidates"]} <= {2, 3, 4}  # type: ignore[attr-defined]
    code, other, _ = call(capsys, str(root), "--json", *FAST, "--target", "error")
    assert code == 0
    assert checked(other)["target"] == "error", "another question can be asked"
    code, text, _ = call(capsys, str(root), *FAST)
    assert code == 0
    assert max(map(len, text.splitlines())) <= 80
    assert text.startswith("Run next: ")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ([*QUESTION, "--predict", "n_pretrain"], ["--predict: 'n_pretrain' is not of the form name=number"]),
        ([*QUESTION, "--predict", ""], ["--predict: is empty"]),
        ([*QUESTION, "--at", "n_params"], ["--at: 'n_params' is not of the form"]),
        (
            [*QUESTION, "--batch", "0", "--cost", "x"],
            ["batch: 0 is not a whole number of 1 or more", "cost: 'x' is not known"],
        ),
        ([*QUESTION, "--recipes", "scratch,destilled"], ["Did you mean 'distilled'?"]),
        ([*QUESTION, "--where", "seed < 1"], ["one seed block only"]),
        ([*QUESTION, "--where", "seed > 99"], ["no rows are left"]),
        (["--stage", "pretrained"], ["Several n_params are in the runs"]),
        ([*QUESTION, "--seed", "-1"], ["Invalid value for '--seed'"]),
    ],
)
def test_faults_are_sentences_and_exit_2(
    table: str, capsys: pytest.CaptureFixture[str], words: list[str], said: list[str]
) -> None:
    code, out, err = call(capsys, table, *words)
    assert (code, out) == (2, "")
    for part in said:
        assert part in err
    assert "Traceback" not in err
    assert all(line.startswith("tippingpoint: ") for line in err.splitlines())


@pytest.mark.parametrize(
    ("name", "text", "words"),
    [
        ("cells.jsonl", "{\n", "cells.jsonl: is damaged"),
        ("cells.jsonl", '{"schema_version": 9}\n', "newer version"),
        ("progress.json", "[]", "progress.json: is damaged"),
        ("progress.json", None, "progress.json: there is no such file"),
    ],
)
def test_a_damaged_study_directory_is_told(
    table: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str, text: str | None, words: str
) -> None:
    root = a_study(tmp_path, table)
    if text is None:
        (root / name).unlink()
    else:
        (root / name).write_text(text, encoding="utf-8")
    code, out, err = call(capsys, str(root))
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert words in err


ALONE = [
    (["--until", "boundary width < 0.3 decades"], ["--until: belongs to --adaptive"]),
    (["--extra-seeds", "1", "--most-cells", "9"], ["--extra-seeds: belongs", "--most-cells: belongs"]),
    (["--adaptive"], ["--adaptive: say when to stop"]),
    (["--adaptive", "--until", "width < 1"], ["--until: 'width < 1' is not of the form"]),
    (["--adaptive", "--until", "prediction width < 1"], ["--predict belong together"]),
    (["--adaptive", "--until", "boundary width < 1", "--predict", "n_pretrain=9"], ["--predict belong together"]),
    (
        ["--adaptive", "--most-cells", "9", "--predict", "n_pretrain=x"],
        ["--predict: 'n_pretrain=x' is not of the form"],
    ),
    (["--adaptive", "--most-cells", "9", "--set", "seeds=1"], ["and 1 blocks (seeds); it needs 3 sizes and 2 blocks"]),
    (["--adaptive", "--most-cells", "9", "--set", "endpoint="], ["the study declares no endpoint"]),
]


@pytest.mark.parametrize(("words", "said"), ALONE, ids=[" ".join(words) for words, _ in ALONE])
def test_adaptive_options_are_checked_before_anything_starts(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    words: list[str],
    said: list[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["run", "smoke", *words]) == 2
    err = capsys.readouterr().err
    for part in said:
        assert part in err
    assert "Traceback" not in err
    assert not list(tmp_path.iterdir())


@pytest.mark.slow
def test_a_study_is_run_until_it_is_sharp_enough(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    words = ["run", "smoke", "--adaptive", "--until", "boundary width < 2 decades", "--no-report", "--workers", "1"]
    assert main([*words, "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    schema = json.loads((resources.files("tippingpoint") / "schemas" / "run.schema.json").read_text("utf-8"))
    jsonschema.validate(found, schema)
    assert found["adaptive"]["ended"] == "the answer is sharp enough: boundary width < 2 decades"
    assert 18 <= found["trained"] < 32, "the first set, and the end of the range where the laws only reach it"
    assert main(words) == 0
    assert "Stopped: the answer is sharp enough" in capsys.readouterr().out


def test_the_page_shows_what_comes_out(
    table: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "runs.csv").write_bytes(Path(table).read_bytes())
    monkeypatch.chdir(tmp_path)
    blocks = re.findall(r"```sh\n(tippingpoint next .*?)```\s+```\n(.*?)```", PAGE.read_text("utf-8"), re.DOTALL)
    assert blocks
    blank = re.compile(r"\d[\d,.e+]*")  # digits may differ in the last place between machines; words may not
    for command, printed in blocks:
        assert main(shlex.split(command.replace("\\\n", " "))[1:]) == 0
        assert blank.sub("#", capsys.readouterr().out).split() == blank.sub("#", printed).split()
