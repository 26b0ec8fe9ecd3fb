"""``tippingpoint advise`` as a user types it; its JSON against the committed schema, and the page that shows it."""

from __future__ import annotations

import json
import re
import shlex
from importlib import resources
from pathlib import Path

import jsonschema
import pytest

from tippingpoint.cli import main

PAGE = Path(__file__).parents[2] / "docs" / "advice.md"
PRICE = ["--price", "image=0.01,label=0.5"]


@pytest.fixture(scope="module")
def table() -> str:
    return str(resources.files("tippingpoint") / "_data" / "standard_runs.csv")


def call(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, str, str]:
    code = main(["advise", *words])
    said = capsys.readouterr()
    return code, said.out, said.err


@pytest.mark.parametrize(
    "options",
    [
        ["--budget", "300"],
        ["--budget", "100", "--have", "n_pretrain=3600,n_finetune=100", "--price", "label=0.5,gpu_hour=2"],
        ["--target-error", "0.1", "--flops-per-gpu-hour", "1e13", "--price", "label=1,image=0.02,gpu_hour=1"],
        ["--target-error", "0.001"],
        ["--target-error", "0.001", "--max-extrapolation", "1", "--level", "0.5"],
    ],
)
def test_json_is_one_object_of_the_schema(table: str, capsys: pytest.CaptureFixture[str], options: list[str]) -> None:
    prices = [] if "--price" in options else PRICE
    recipes = ["--recipes", "scratch,no_pretraining"]
    code, out, err = call(capsys, table, "--downstream", "digits", "--json", *options, *prices, *recipes)
    assert (code, err) == (0, "")
    found = json.loads(out)
    schema = json.loads((resources.files("tippingpoint") / "schemas" / "advise.schema.json").read_text("utf-8"))
    jsonschema.Draft202012Validator.check_schema(schema)
    jsonschema.validate(found, schema)
    assert found["reachable"] == (found["best"] is not None) == (options[1] != "0.001")


def test_columns_can_be_made_and_rows_chosen(table: str, capsys: pytest.CaptureFixture[str]) -> None:
    words = [table, "--downstream", "digits", *PRICE, "--budget", "200", "--recipes", "scratch", "--json"]
    code, out, _ = call(capsys, *words, "--define", "n_finetune=2 * n_finetune", "--where", "n_params > 2e4")
    assert code == 0
    found = json.loads(out)
    assert found["laws"][0]["measured"]["n_finetune"] == [100, 400, 1600]
    assert found["laws"][0]["measured"]["n_params"] == [53056, 116448]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ([], ["Nothing is asked for", "No price is given"]),
        (["--budget", "5", "--price", "imag=1"], ["Did you mean 'image'?"]),
        (["--budget", "5", "--price", "image=nan", "--have", "n_pretrain"], ["'image=nan'", "'n_pretrain' is not of"]),
        (["--budget", "5", "--price", "image=1", "--define", "x"], ["--define: 'x'"]),
        (["--budget", "5", *PRICE], ["several values of downstream ('digits', 'fashion_mnist[6-9]')"]),
        (["--budget", "5", *PRICE, "--downstream", "digit"], ["Did you mean 'digits'?"]),
        (["--budget", "5", *PRICE, "--recipes", "scrach", "--downstream", "digits"], ["Did you mean 'scratch'?"]),
        (["--budget", "0", *PRICE, "--target-error", "7"], ["two questions", "budget: 0", "target_error: 7"]),
        (["--budget", "5", *PRICE, "--seed", "-1"], ["Invalid value for '--seed'"]),
        (["--budget", "x", *PRICE], ["Invalid value for '--budget'"]),
        (["--budget", "5", *PRICE, "--where", "seed > 99"], ["no rows are left"]),
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


def test_the_page_shows_what_comes_out(
    table: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "runs.csv").write_bytes(Path(table).read_bytes())
    monkeypatch.chdir(tmp_path)
    blocks = re.findall(r"```sh\n(tippingpoint advise .*?)```\s+```\n(.*?)```", PAGE.read_text("utf-8"), re.DOTALL)
    assert len(blocks) >= 3
    # Digits of a fit may differ in the last place between machines; words and the table's form may not.
    blank = re.compile(r"\d[\d,.]*")
    for command, printed in blocks:
        assert main(shlex.split(command.replace("\\\n", " "))[1:]) == 0
        told = capsys.readouterr().out
        assert blank.sub("#", told).split() == blank.sub("#", printed).split()
