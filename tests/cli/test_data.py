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


def test_prepare_and_overlap(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TIPPINGPOINT_DATA", "sets")
    assert cli.main(["data", "prepare", "digits", "--size", "9", "--json"]) == 0
    done = check_schema(capsys.readouterr().out, "data_prepare")
    assert (done["image_size"], done["channels"], done["n_train"], done["reused"]) == (9, 1, 1258, False)
    manifest = (tmp_path / "sets" / "digits" / "prepared.json").read_text(encoding="utf-8")
    check_schema(manifest, "prepared")
    assert cli.main(["data", "prepare", "digits", "--size", "9"]) == 0
    assert "was prepared already" in capsys.readouterr().out
    assert cli.main(["data", "overlap", "sets/digits[0-4]", "digits[4-9]", "--json"]) == 0
    found = check_schema(capsys.readouterr().out, "data_overlap")
    counts = [(pair["train_train"], pair["test_test"]) for pair in found["pairs"]]  # type: ignore[attr-defined]
    assert counts[1] == (127, 54), "the class that both have"
    assert cli.main(["data", "overlap", "sets/digits[0-4]", "digits[5-9]"]) == 0
    assert "No image stands in two parts" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["cifar10"], ["--from PATH", "torchvision.datasets.CIFAR10 fetch it with --download", "cifar-10-batches-py/"]),
        (["imagenet1k"], ["must be fetched by hand", "--from PATH", "https://image-net.org"]),
        (["imagenet1k", "--download"], ["cannot be fetched by this command"]),
        (["mine"], ["is no set that is known here", "--from PATH"]),
        (["cifra10"], ["Did you mean 'cifar10'?"]),
        (["mine", "--from", "nowhere"], ["nowhere: there is no such file or folder"]),
        (["digits", "--size", "5000"], ["outside 1 to 1024"]),
    ],
)
def test_prepare_says_what_is_needed(
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    words: list[str],
    told: list[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    assert cli.main(["data", "prepare", *words]) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    for part in told:
        assert part in captured.err
    assert list(tmp_path.rglob("*.npy")) == []


def test_a_public_set_that_is_not_prepared(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["data", "check", "cifar10"]) == 2
    assert "tippingpoint data prepare cifar10 --from" in capsys.readouterr().err
