"""``tippingpoint predict`` as a person types it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import typer
from jsonschema import Draft202012Validator

import tippingpoint
from tippingpoint.cli import fit, predict
from tippingpoint.errors import TippingPointError

SCHEMA = Path(tippingpoint.__file__).parent / "schemas" / "predict.schema.json"


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
    sizes = (100, 400, 1600, 6400, 25600)
    shifts = (0.99, 1.0, 1.01, 1.005, 0.995)
    rows = [f"{n},{(0.1 + 3 * n**-0.5) * shift},{seed}" for n in sizes for seed, shift in enumerate(shifts)]
    path = tmp_path / "runs.csv"
    path.write_text("\n".join(["n_pretrain,error,seed", *rows]))
    return path


def test_json(table: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert call("predict", table, "--at", "n_pretrain=51200", "--bootstrap", "100", "--json") == 0
    found = json.loads(capsys.readouterr().out)
    Draft202012Validator(json.loads(SCHEMA.read_text())).validate(found)
    assert found["prediction"] == pytest.approx(0.1 + 3 * 51200**-0.5, rel=0.02)
    assert found["interval"][0] <= found["prediction"] <= found["interval"][1]
    assert found["outside"] == {"n_pretrain": 2.0}
    assert call("predict", table, "--at", "n_pretrain=51200", "--interval", "0", "--json") == 0
    without = json.loads(capsys.readouterr().out)
    Draft202012Validator(json.loads(SCHEMA.read_text())).validate(without)
    assert without["interval"] is None


def test_text(table: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert call("predict", table, "--at", "n_pretrain=1e5", "--bootstrap", "20") == 0
    text = capsys.readouterr().out
    assert text.startswith("error at n_pretrain = 100000: 0.1")
    assert "90% interval of the expected value" in text
    assert "outside the data by a factor of 3.91" in text


@pytest.mark.parametrize(
    ("at", "said"),
    [
        ("n_pretrain", "name=number"),
        ("n_pretrai=5", "Did you mean 'n_pretrain'?"),
        ("n_pretrain=-5", "above 0"),
        ("n_pretrain=nan", "name=number"),
    ],
)
def test_faults(table: Path, at: str, said: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert call("predict", table, "--at", at) == 2
    assert said in capsys.readouterr().out
