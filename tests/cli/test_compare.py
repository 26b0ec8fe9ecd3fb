"""``tippingpoint compare`` and ``--law auto`` as a person types them."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from jsonschema import Draft202012Validator

import tippingpoint
from tippingpoint.cli import main

SCHEMAS = Path(tippingpoint.__file__).parent / "schemas"
AT = "n_pretrain=1e7,n_params=4e7,n_finetune=1e4"


def write(path: Path, kind: str, sets: tuple[float, ...] = (0.2,)) -> Path:
    lines = ["n_pretrain,n_params,n_finetune,error,seed,downstream"]
    for seed in range(5):
        for place, exponent in enumerate(sets):
            generator = np.random.default_rng([seed, place])
            for p in (1e3, 1e4, 1e5, 1e6):
                for m in (2e6, 1e7, 4e7):
                    for f in (1e2, 1e3, 1e4):
                        terms = np.array([(p / 1e4) ** -exponent, (m / 1e7) ** -0.3, (f / 1e3) ** -0.2])
                        error = 0.15 * terms.prod() if kind == "multiplying" else 0.02 + 0.08 * terms.sum()
                        error *= generator.normal(1, 0.01)
                        lines.append(f"{p},{m},{f},{error},{seed},set{place}")
    path.write_text("\n".join(lines))
    return path


def checked(name: str, text: str) -> dict[str, object]:
    schema = json.loads((SCHEMAS / f"{name}.schema.json").read_text())
    Draft202012Validator.check_schema(schema)
    found: dict[str, object] = json.loads(text)
    Draft202012Validator(schema).validate(found)
    return found


def test_json(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = write(tmp_path / "runs.csv", "multiplying")
    assert main(["compare", str(path), "--json"]) == 0
    found = checked("compare", capsys.readouterr().out)
    assert str(found["chosen"]).startswith("multiplicative")
    assert len(found["laws"]) == 5  # type: ignore[arg-type]
    assert main(["compare", str(path), "--laws", "additive,transfer", "--axes", "n_pretrain,n_params", "--json"]) == 0
    found = checked("compare", capsys.readouterr().out)
    assert found["chosen"] == "additive"
    assert "labels" in found["skipped"]["transfer"]  # type: ignore[index]


def test_text(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = write(tmp_path / "runs.csv", "adding")
    assert main(["compare", str(path), "--laws", "additive,multiplicative"]) == 0
    text = capsys.readouterr().out
    assert "chosen: additive. Chosen by the error on the largest scale of n_pretrain, n_params, n_finetune" in text
    assert main(["compare", str(path), "--where", "n_params < 3e6 and n_finetune < 200 and n_pretrain < 2e4"]) == 0
    assert "No axis has three sizes" in capsys.readouterr().out


def test_shared_exponents(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = write(tmp_path / "runs.csv", "adding", (0.3, 0.3))
    options = ["--shared", "--resamples", "39"]
    assert main(["compare", str(path), *options, "--json"]) == 0
    shared = checked("compare", capsys.readouterr().out)["shared"]
    assert shared["p_value"] > 0.1  # type: ignore[index]
    assert shared["shared"]["n_pretrain"] == pytest.approx(0.3, rel=0.1)  # type: ignore[index]
    path = write(tmp_path / "runs.csv", "adding", (0.2, 0.5))
    assert main(["compare", str(path), *options]) == 0
    assert "shared exponents are rejected" in capsys.readouterr().out


@pytest.mark.parametrize("kind", ["multiplying", "adding"])
def test_auto(kind: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = write(tmp_path / "runs.csv", kind)
    assert main(["fit", str(path), "--law", "auto", "--bootstrap", "20", "--json"]) == 0
    found = checked("fit", capsys.readouterr().out)
    assert found["law"] == "auto"
    assert str(found["chosen"]).startswith({"multiplying": "multiplicative", "adding": "additive"}[kind])
    assert main(["predict", str(path), "--at", AT, "--bootstrap", "20", "--json"]) == 0
    found = checked("predict", capsys.readouterr().out)
    low, high = found["interval"]  # type: ignore[misc]
    assert low < found["prediction"] < high  # type: ignore[operator]
    terms = np.array([1e3**-0.2, 4**-0.3, 10**-0.2])
    truth = 0.15 * terms.prod() if kind == "multiplying" else 0.02 + 0.08 * terms.sum()
    assert found["prediction"] == pytest.approx(truth, rel=0.03)
    assert "Laws averaged" in found["notes"][0]  # type: ignore[index]
    assert main(["fit", str(path), "--law", "auto", "--bootstrap", "0"]) == 0
    assert "share" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--laws", "additive,tranfer"), "Did you mean 'transfer'?"),
        (("--laws", "transfer", "--axes", "n_pretrain"), "needs an axis for labels"),
        (("--shared", "--downstream", "set0"), "leave out --downstream"),
        (("--shared", "--weights", "seed"), "leave out --weights"),
        (("--shared", "--objective", "squares"), "leave out --weights and --objective"),
        (("--shared",), "two sets or more"),
        (("--objective", "l1"), "no objective 'l1'"),
        (("--laws", "auto"), "compare those"),
    ],
)
def test_faults(options: tuple[str, ...], said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = write(tmp_path / "runs.csv", "adding")
    assert main(["compare", str(path), *options]) == 2
    assert said in capsys.readouterr().err
