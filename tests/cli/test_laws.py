"""``--law NAME``: every law of ours through fit and predict."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from jsonschema import Draft202012Validator

import tippingpoint
from tippingpoint.cli import main

SCHEMAS = Path(tippingpoint.__file__).parent / "schemas"
NAMES = ("additive", "multiplicative", "multiplicative-floor", "transfer", "interaction")


@pytest.fixture
def table(tmp_path: Path) -> Path:
    lines = ["n_pretrain,n_params,n_finetune,error,seed"]
    for seed in range(5):
        generator = np.random.default_rng(seed)
        for p in (1e3, 1e4, 1e5, 1e6):
            for m in (2e6, 1e7, 4e7):
                for f in (1e2, 1e3, 1e4):
                    error = (0.03 + 8 * p**-0.2 * m**-0.1 * f**-0.2) * generator.normal(1, 0.01)
                    lines.append(f"{p},{m},{f},{error},{seed}")
    path = tmp_path / "runs.csv"
    path.write_text("\n".join(lines))
    return path


def checked(name: str, text: str) -> dict[str, object]:
    found: dict[str, object] = json.loads(text)
    Draft202012Validator(json.loads((SCHEMAS / f"{name}.schema.json").read_text())).validate(found)
    return found


@pytest.mark.parametrize("law", NAMES)
def test_every_law(law: str, table: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["fit", str(table), "--law", law, "--bootstrap", "30", "--json"]) == 0
    assert checked("fit", capsys.readouterr().out)["law"] == law
    at = "n_pretrain=1e7,n_params=4e7,n_finetune=1e4"
    assert main(["predict", str(table), "--at", at, "--law", law, "--bootstrap", "30", "--json"]) == 0
    found = checked("predict", capsys.readouterr().out)
    assert found["law"] == law
    assert found["prediction"] == pytest.approx(0.03 + 8 * 1e7**-0.2 * 4e7**-0.1 * 1e4**-0.2, rel=0.5)


def test_a_law_that_lacks_an_axis(table: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert (
        main(["fit", str(table), "--law", "transfer", "--axes", "n_pretrain,n_params", "--where", "n_finetune<200"])
        == 2
    )
    assert "needs an axis for labels" in capsys.readouterr().err
