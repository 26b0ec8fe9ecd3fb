"""Weights, given, bounded and shared parameters and error rates, through the commands and on the example table."""

from __future__ import annotations

import json
import math
import re
import shlex
import shutil
from dataclasses import fields
from pathlib import Path

import pandas as pd
import pytest
from jsonschema import Draft202012Validator

import tippingpoint
from tippingpoint.cli import main
from tippingpoint.cli._laws import FitQuestion, Question

PACKAGE = Path(tippingpoint.__file__).parent
ROOT = Path(__file__).parents[2]
EXAMPLE = PACKAGE / "_data" / "standard_runs.csv"
GROUP = ("--stage", "pretrained", "--recipe", "scratch", "--axes", "n_pretrain,n_params")
AT = ("--at", "n_pretrain=1e5,n_params=1e5", "--law", "additive")


def asked(command: str, *options: str, capsys: pytest.CaptureFixture[str]) -> dict[str, object]:
    """Return the JSON of a command on the example table, held against its schema."""
    assert main([command, str(EXAMPLE), *GROUP, *options, "--json"]) == 0
    found: dict[str, object] = json.loads(capsys.readouterr().out)
    schema = json.loads((PACKAGE / "schemas" / f"{command}.schema.json").read_text("utf-8"))
    Draft202012Validator(schema).validate(found)
    return found


def parameters(*options: str, capsys: pytest.CaptureFixture[str]) -> dict[str, float]:
    found = asked("fit", *options, "--no-intervals", capsys=capsys)
    return found["parameters"]  # type: ignore[return-value]


def test_given_parameters(capsys: pytest.CaptureFixture[str]) -> None:
    options = ("--fix", "floor=0.02", "--fix", "n_params.exponent=0.5")
    found = asked("fit", *options, capsys=capsys)
    assert found["fixed"] == {"floor": 0.02, "n_params.exponent": 0.5}
    assert found["floor"] == pytest.approx(0.02, rel=1e-12)
    assert found["parameters"]["n_params.exponent"] == pytest.approx(0.5, rel=1e-12)  # type: ignore[index]
    assert found["intervals"]["n_params.exponent"] == pytest.approx([0.5, 0.5], rel=1e-9)  # type: ignore[index]
    assert found["intervals"]["floor"] == pytest.approx([0.02, 0.02], rel=1e-9)  # type: ignore[index]
    assert found["objective"] > asked("fit", "--no-intervals", capsys=capsys)["objective"]  # type: ignore[operator]
    assert main(["fit", str(EXAMPLE), *GROUP, *options]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert next(line for line in lines if line.startswith("floor")).endswith("given")
    held, free = (asked("predict", *AT, *more, capsys=capsys)["prediction"] for more in (options, ()))
    assert held != free


def test_bounded_parameters(capsys: pytest.CaptureFixture[str]) -> None:
    options = ("--bound", "n_pretrain.exponent=0.5:", "--bound", "floor=:0.03")
    found = asked("fit", *options, capsys=capsys)
    assert found["bounds"] == {"n_pretrain.exponent": [0.5, None], "floor": [None, 0.03]}
    assert found["parameters"]["n_pretrain.exponent"] >= 0.5 * (1 - 1e-9)  # type: ignore[index]
    assert found["floor"] <= 0.03 * (1 + 1e-9)  # type: ignore[operator]
    for name, (low, high) in {"n_pretrain.exponent": (0.5, 10.0), "floor": (0.0, 0.03)}.items():
        drawn = found["intervals"][name]  # type: ignore[index]
        assert low * (1 - 1e-9) <= drawn[0] <= drawn[1] <= high * (1 + 1e-9)
    assert main(["fit", str(EXAMPLE), *GROUP, *options]) == 0
    assert "bounded from 0.5" in capsys.readouterr().out
    wide = parameters("--bound", "n_pretrain.exponent=0.01:9", capsys=capsys)
    assert wide == pytest.approx(parameters(capsys=capsys), rel=1e-6)


@pytest.mark.parametrize("law", ["additive", "multiplicative-floor"])
def test_shared_parameters(law: str, capsys: pytest.CaptureFixture[str]) -> None:
    names = ("n_pretrain.exponent", "n_params.exponent")
    found = asked("fit", "--law", law, "--share", ",".join(names), capsys=capsys)
    assert found["shared"] == [list(names)]
    first, second = (found["parameters"][name] for name in names)  # type: ignore[index]
    assert first == pytest.approx(second, rel=1e-12)
    ends = [found["intervals"][name] for name in names]  # type: ignore[index]
    assert ends[0] == pytest.approx(ends[1], rel=1e-9)
    assert main(["fit", str(EXAMPLE), *GROUP, "--law", law, "--share", ",".join(names)]) == 0
    assert "shared with n_params.exponent" in capsys.readouterr().out


def test_weights(capsys: pytest.CaptureFixture[str]) -> None:
    counts = ("--define", "count=1 * (seed < 3)", "--weights", "count")
    found = asked("fit", *counts, "--no-intervals", capsys=capsys)
    assert found["weights"] == "count"
    fewer = parameters("--where", "seed < 3", capsys=capsys)
    assert found["parameters"] == pytest.approx(fewer, rel=1e-5)
    assert fewer != pytest.approx(parameters(capsys=capsys), rel=1e-5)
    guess, without = (
        asked("predict", *AT, "--interval", "0", *more, capsys=capsys)["prediction"]
        for more in (counts, ("--where", "seed < 3"))
    )
    assert guess == pytest.approx(without, rel=1e-6)


def test_weights_of_a_comparison(capsys: pytest.CaptureFixture[str]) -> None:
    counts = ("--define", "count=1 * (seed < 3)", "--weights", "count", "--laws", "additive,multiplicative")
    weighted, fewer, all_rows = (
        {one["law"]: one["objective"] for one in asked("compare", *more, capsys=capsys)["laws"]}  # type: ignore[attr-defined]
        for more in (counts, ("--where", "seed < 3", *counts[4:]), counts[4:])
    )
    assert weighted == pytest.approx(fewer, rel=1e-6)
    assert weighted != pytest.approx(all_rows, rel=1e-2)


def test_error_rates(capsys: pytest.CaptureFixture[str]) -> None:
    found = asked("fit", "--objective", "binomial", capsys=capsys)
    assert found["objective_name"] == "binomial"
    assert 0 < found["over_dispersion"] < 0.01  # type: ignore[operator]
    assert main(["fit", str(EXAMPLE), *GROUP, "--objective", "binomial"]) == 0
    assert "over-dispersion" in capsys.readouterr().out
    prediction = asked("predict", *AT, "--objective", "binomial", capsys=capsys)
    assert 0 < prediction["prediction"] < 1  # type: ignore[operator]
    assert asked("fit", "--law", "auto", "--objective", "binomial", capsys=capsys)["law"] == "auto"


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--fix", "flor=0"), ["flor", "Did you mean 'floor'"]),
        (("--fix", "floor"), ["--fix: 'floor'", "NAME=VALUE"]),
        (("--fix", "floor=low"), ["--fix: 'floor=low'", "NAME=VALUE"]),
        (("--fix", "floor=0", "--fix", "floor=1"), ["floor is given twice"]),
        (("--fix", "floor=-1"), ["floor"]),
        (("--bound", "floor=0.1"), ["--bound: 'floor=0.1'", "NAME=LOW:HIGH"]),
        (("--bound", "floor=:"), ["--bound: 'floor=:'"]),
        (("--bound", "n_params.exponent=2:1"), ["n_params.exponent", "2", "1"]),
        (("--bound", "n_parms.exponent=0:1"), ["n_parms.exponent", "Did you mean 'n_params.exponent'"]),
        (("--share", "floor"), ["--share: 'floor'", "two parameters or more"]),
        (("--share", "n_params.exponent,n_pretrain.exponet"), ["n_pretrain.exponet", "Did you mean"]),
        (("--fix", "x", "--bound", "y", "--share", "z"), ["--fix: 'x'", "--bound: 'y'", "--share: 'z'"]),
        (("--law", "auto", "--fix", "floor=0"), ["name the law"]),
        (("--weights", "n_tets"), ["n_tets", "Did you mean 'n_test'"]),
        (("--define", "w=1 - 2 * (seed == 4)", "--weights", "w"), ["column 'w' is negative", "line"]),
        (("--objective", "binomal"), ["Did you mean 'binomial'"]),
        (("--objective", "binomial", "--target", "cross_entropy"), ["cross_entropy", "outside 0..1"]),
    ],
)
def test_mistakes_are_sentences(options: tuple[str, ...], said: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["fit", str(EXAMPLE), *GROUP, *options]) == 2
    captured = capsys.readouterr()
    assert all(part in captured.err for part in said), captured.err
    assert all(line.startswith("tippingpoint: ") for line in captured.err.splitlines())
    assert captured.out == ""


def test_error_rates_need_their_test_sets(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "runs.csv"
    pd.read_csv(EXAMPLE).drop(columns="n_test").to_csv(path, index=False)
    assert main(["fit", str(path), *GROUP, "--objective", "binomial"]) == 2
    assert "n_test" in capsys.readouterr().err


@pytest.mark.parametrize("command", ["fit", "predict", "compare"])
def test_help_shows_every_shared_option(
    command: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    assert main([command, "--help"]) == 0
    told = dict(re.findall(r"^│ [* ]*(--\w+)(.*)$", capsys.readouterr().out, re.MULTILINE))
    named = {"--stage", "--objective", "--law", "--json", "--bootstrap"}  # whose help names the choices, or needs none
    options = {f"--{one.name}" for one in fields(Question if command == "compare" else FitQuestion)} - {"--runs"}
    assert options | {"--json"} <= set(told)
    for option in options - named:
        assert "e.g." in told[option], told[option]


def test_the_settings_page_prints_what_stands_below_its_commands(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copy(EXAMPLE, tmp_path / "runs.csv")
    monkeypatch.chdir(tmp_path)
    section = (ROOT / "docs" / "fitting.md").read_text("utf-8").partition("## Settings")[2].partition("\n## ")[0]
    blocks = re.findall(r"```console\n\$ tippingpoint ([^\n]*)\n(.+?)```", section, re.DOTALL)
    assert len(blocks) == 7
    for command, told in blocks:
        main(shlex.split(command))
        captured = capsys.readouterr()
        printed = [line.split() for line in (captured.out + captured.err).splitlines()]
        for line in told.splitlines():
            assert any(same(line.split(), words) for words in printed), f"{command}\nprints no {line}"


def same(told: list[str], printed: list[str]) -> bool:
    """Return whether two lines say the same, numbers to a part in a thousand."""
    return len(told) == len(printed) and all(map(alike, told, printed))


def alike(told: str, printed: str) -> bool:
    try:
        return math.isclose(float(told.strip("(),;")), float(printed.strip("(),;")), rel_tol=1e-3)
    except ValueError:
        return told == printed
