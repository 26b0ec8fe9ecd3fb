"""``tippingpoint data`` as a user types it."""

from __future__ import annotations

import json
from pathlib import Path

import jsonschema
import pytest

import tippingpoint
from tippingpoint import cli

SCHEMAS = Path(tippingpoint.__file__).parent / "schemas"


def check_schema(text: str, name: str) -> dict[str, object]:
    found: dict[str, object] = json.loads(text)
    jsonschema.validate(found, json.loads((SCHEMAS / f"{name}.schema.json").read_text(encoding="utf-8")))
    return found


def test_list(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["data", "list"]) == 0
    out = capsys.readouterr().out
    assert "fashion_mnist: clothes" in out
    assert "30,000 training and 10,000 test images, 10 classes" in out
    assert cli.main(["data", "list", "--json"]) == 0
    check_schema(capsys.readouterr().out, "data_list")


def test_check(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["data", "check", "fashion_mnist[6-9]", "--json"]) == 0
    found = check_schema(capsys.readouterr().out, "data_check")
    assert (found["n_train"], found["n_test"], found["imbalance"]) == (12000, 4000, None)
    assert cli.main(["data", "check", "digits[0-3]"]) == 0
    out = capsys.readouterr().out
    assert "digits[0-3]: 504 training and 216 test images, 4 classes (8x8 grey)" in out
    assert "Note: The classes are unequal" in out
    assert "Fingerprint: " in out


def test_faults_leave_with_2_and_a_sentence(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert cli.main(["data", "check", "fashion_minst"]) == 2
    assert "Did you mean 'fashion_mnist'?" in capsys.readouterr().err
    (tmp_path / "photos" / "train").mkdir(parents=True)
    assert cli.main(["data", "check", "photos", "--data-dir", str(tmp_path)]) == 2
    err = capsys.readouterr().err
    assert err.count("tippingpoint: ") == 2  # no class folder, no test folder
    assert cli.main(["data", "check", "digits", "--channels", "2"]) == 2
