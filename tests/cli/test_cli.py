"""The command as a user meets it: help, version, mistakes, and how fast it answers."""

from __future__ import annotations

import json
import os
import re
import resource
import subprocess
import sys
from importlib import resources
from pathlib import Path

import jsonschema
import pandas as pd
import pytest

from tippingpoint import __version__
from tippingpoint.cli import COMMANDS, main


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--version"]) == 0
    assert capsys.readouterr().out == f"{__version__}\n"


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_explains_itself(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([command, "--help"]) == 0
    assert "Usage: tippingpoint" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["quickstrat"], "No such command 'quickstrat'"),
        (["fit"], "Missing argument"),
        (["fit", "runs.csv", "--no-such-option"], "No such option"),
        (["boundary", "no-such-file.csv"], "no-such-file.csv"),
        (["run", "quickstrat"], "quickstart"),
        (["report", "no-such-folder"], "no-such-folder"),
        (["init", "quickstart", "--json"], "No such option"),
        (["data", "lst"], "No such command 'lst'"),
    ],
)
def test_mistakes_are_one_sentence_and_exit_2(words: list[str], told: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(words) == 2
    captured = capsys.readouterr()
    assert told in captured.err
    assert captured.err.startswith("tippingpoint: ")
    assert "Traceback" not in captured.err
    assert captured.out == ""


@pytest.mark.parametrize("words", [[], ["data"]])
def test_without_a_command_there_is_help_and_no_empty_sentence(
    words: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(words) == 2
    said = capsys.readouterr()
    assert "Usage: tippingpoint" in said.out + said.err
    assert "tippingpoint: " not in said.err


def test_every_command_with_json_has_a_schema_with_a_version() -> None:
    folder = resources.files("tippingpoint") / "schemas"
    data = {
        "data_list",
        "data_check",
        "data_overlap",
        "data_prepare",
    }  # data is four commands, init writes a file, serve a page
    weights = {"weights_fetch", "weights_list"}
    others = {"data", "weights", "init", "serve"}  # two are several commands each, one writes a file, one serves a page
    for name in sorted({*COMMANDS, *data, *weights, "cells", "progress", "prepared"} - others):
        schema = json.loads((folder / f"{name}.schema.json").read_text("utf-8"))
        jsonschema.Draft202012Validator.check_schema(schema)
        assert schema["properties"]["schema_version"]["const"] == 1, name
        assert "schema_version" in schema["required"], name


@pytest.mark.parametrize("words", [["--version"], ["data", "list"]])
def test_a_reader_that_has_seen_enough_is_no_failure(words: list[str]) -> None:
    """As in ``tippingpoint data list | head -1``: a shell with pipefail would call it one."""
    reading, writing = os.pipe()
    os.close(reading)
    command = [sys.executable, "-m", "tippingpoint", *words]
    told = subprocess.run(command, stdout=writing, stderr=subprocess.PIPE, text=True, check=False)
    os.close(writing)
    assert (told.returncode, told.stderr) == (0, "")


@pytest.mark.parametrize("encoding", ["ascii", "latin-1"])
def test_an_output_that_is_not_utf_8_ends_no_command(encoding: str, tmp_path: Path) -> None:
    sizes = [100, 200, 400, 800, 1600] * 2
    recipes = ["scratch"] * 5 + ["geführt 数"] * 5
    error = [0.1 + 5 * n**-0.5 for n in sizes[:5]] + [0.15 + 3 * n**-0.5 for n in sizes[:5]]
    table = pd.DataFrame({"recipe": recipes, "n_pretrain": sizes, "error": error, "seed": 0, "subset_seed": 0})
    table.to_csv(tmp_path / "runs.csv", index=False)
    words = ["boundary", str(tmp_path / "runs.csv"), "--recipes", "scratch,geführt 数", "--resamples", "50"]
    code = f"import sys; from tippingpoint.cli import main; sys.exit(main({words!r}))"
    environment = os.environ | {"PYTHONIOENCODING": encoding, "PYTHONUTF8": "0"}
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, env=environment, check=False)
    assert told.returncode == 0, told.stderr
    shown = told.stdout.decode(encoding)
    assert ("geführt" in shown) == (encoding == "latin-1")
    assert "hrt \\u6570 is better" in shown
    assert re.search(r"\+0\.\d+ +- +1$", shown, re.MULTILINE)  # one pair has no standard error: a dash


def test_help_answers_at_once() -> None:
    """At most 400 ms above bare Python: processor time, which a busy machine stretches far less than the clock."""

    def start(*words: str) -> float:
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        subprocess.run([sys.executable, *words], capture_output=True, check=True)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime

    ours = min(start("-m", "tippingpoint", "--help") for _ in range(3))
    bare = min(start("-c", "pass") for _ in range(3))
    assert ours - bare < 0.4


def test_import_costs_nothing() -> None:
    """At most 60 ms above bare Python."""
    code = "import resource as r; b = r.getrusage(r.RUSAGE_SELF); {}; a = r.getrusage(r.RUSAGE_SELF);"
    code += "print(a.ru_utime + a.ru_stime - b.ru_utime - b.ru_stime)"
    words = [sys.executable, "-c", code.format("import tippingpoint")]
    spent = min(float(subprocess.run(words, capture_output=True, check=True).stdout) for _ in range(5))
    assert spent < 0.06
