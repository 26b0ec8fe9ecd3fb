"""``tippingpoint fit`` as a person types it."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from jsonschema import Draft202012Validator

import tippingpoint
from tippingpoint.errors import TippingPointError

from tippingpoint.cli import fit, predict  # isort: skip

import typer  # isort: skip

SCHEMAS = Path(tippingpoint.__file__).parent / "schemas"
SHARED = Path(__file__).parents[2].parent / "shared"
CHINCHILLA = SHARED / "data" / "fitting" / "chinchilla_epoch" / "svg_extracted_data.csv"


def call(*arguments: object) -> int:
    """Run the command, of which only these two rooms are open, and return its exit code."""
    app = typer.Typer(pretty_exceptions_enable=False)
    fit.register(app)
    predict.register(app)
    try:
        result = typer.main.get_command(app).main([str(one) for one in arguments], standalone_mode=False)
    except TippingPointError as error:
        print("\n".join(error.faults))
        return error.exit_code
    return int(result or 0)


@pytest.fixture
def table(tmp_path: Path) -> Path:
    lines = ["N,C,loss,seed,recipe"]
    for seed in range(5):
        noise = np.random.default_rng(seed).normal(1, 0.01, 20)
        grid = [(n, d) for n in (1e6, 1e7, 1e8, 1e9) for d in (1e8, 1e9, 1e10, 1e11, 1e12)]
        for (n, d), jitter in zip(grid, noise, strict=True):
            loss = (1.5 + 50 * n**-0.3 + 400 * d**-0.35) * jitter
            lines += [f"{n},{6 * n * d},{loss},{seed},{recipe}" for recipe in ("a", "b")]
    path = tmp_path / "runs.csv"
    path.write_text("\n".join(lines))
    return path


OPTIONS = ("--axes", "N,D", "--target", "loss", "--define", "D=C / (6 * N)", "--recipe", "a", "--bootstrap", "50")


def validate(name: str, text: str) -> dict[str, object]:
    schema = json.loads((SCHEMAS / f"{name}.schema.json").read_text())
    Draft202012Validator.check_schema(schema)
    found: dict[str, object] = json.loads(text)
    Draft202012Validator(schema).validate(found)
    return found


def test_json(table: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert call("fit", table, *OPTIONS, "--json") == 0
    found = validate("fit", capsys.readouterr().out)
    assert found["status"] == "converged"
    assert found["n_runs"] == 100
    assert found["terms"]["N"]["exponent"] == pytest.approx(0.3, rel=0.1)  # type: ignore[index]
    assert call("fit", table, *OPTIONS, "--json") == 0
    assert validate("fit", capsys.readouterr().out) == found
    assert call("fit", table, *OPTIONS[:-1], "0", "--no-intervals", "--json") == 0
    assert validate("fit", capsys.readouterr().out)["intervals"] == {}


def test_text(table: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert call("fit", table, *OPTIONS, "--where", "loss < 1.9") == 0
    text = capsys.readouterr().out
    assert text.splitlines()[1].startswith("status:")
    assert "they do not meet loss < 1.9" in text


def test_degenerate_fit_still_meets_the_schema(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "few.csv"
    path.write_text("n_pretrain,error\n10,0.5\n20,0.6\n")
    assert call("fit", path, "--json") == 0
    assert validate("fit", capsys.readouterr().out)["status"] == "too few runs"


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--axes", "N,DD", "--target", "los"), ("no column 'DD'", "Did you mean 'loss'?")),
        (("--axes", "N", "--target", "loss"), ("several values of recipe ('a', 'b')", "--recipe a")),
        (("--axes", "N", "--target", "loss", "--define", "oops"), ("NAME=EXPR",)),
        (("--axes", "N", "--target", "loss", "--where", "N >"), ("invalid syntax",)),
        (("--axes", "N", "--target", "loss", "--recipe", "a", "--law", "aditive"), ("Did you mean 'additive'?",)),
        (("--axes", "N", "--target", "loss", "--recipe", "a", "--objective", "l1"), ("no objective 'l1'",)),
        (("--target", "loss", "--recipe", "a"), ("name the axes",)),
        (("--axes", "N", "--target", "loss", "--recipe", "a", "--level", "90"), ("between 0 and 1",)),
    ],
)
def test_faults(
    table: Path, options: tuple[str, ...], said: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    assert call("fit", table, *options) == 2
    text = capsys.readouterr().out
    assert all(part in text for part in said), text


@pytest.mark.skipif(not CHINCHILLA.is_file(), reason="needs ../shared/data/fitting/chinchilla_epoch")
def test_chinchilla_in_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    define = "D=`Training FLOP` / (6 * `Model Size`)"
    options = ("--axes", "Model Size,D", "--target", "loss", "--define", define, "--where", "loss < 3.42")
    assert call("fit", CHINCHILLA, *options, "--bootstrap", "0", "--json") == 0
    found = validate("fit", capsys.readouterr().out)
    assert found["n_runs"] == 240
    assert found["objective"] <= 0.00101827402  # type: ignore[operator]
