"""Devices and prices as stated, and plans made with them."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import jsonschema
import pytest

import tippingpoint
from tippingpoint import cli
from tippingpoint.errors import InputError
from tippingpoint.study.grid import build_grid
from tippingpoint.study.hardware import DEVICES, Price, read_machines, read_price
from tippingpoint.study.load import Study
from tippingpoint.study.plan import plan_study
from tippingpoint.study.timing import Rate, Span, cell_times, makespan, stated_rates

Load = Callable[..., Study]
SCHEMA = Path(tippingpoint.__file__).parent / "schemas" / "plan.schema.json"


@pytest.mark.parametrize(
    ("text", "count", "name"),
    [("8xH100", 8, "H100"), ("h100", 1, "H100"), ("2 x l40s", 2, "L40S"), ("4*H100 PCIe", 4, "H100-PCIe")],
)
def test_machines_are_read(text: str, count: int, name: str) -> None:
    found = read_machines(text, 0.25)
    assert (found.count, found.device.name, str(found)) == (count, name, f"{count}x{name}")
    assert found.throughput("float32") == 0.25 * DEVICES[name].float32


def test_a_device_without_bfloat16_has_float32s_peak() -> None:
    assert read_machines("T4", 1.0).throughput("bfloat16") == DEVICES["T4"].float32
    assert read_machines("A100", 1.0).throughput("bfloat16") == 312e12


@pytest.mark.parametrize(
    ("text", "share", "words"),
    [
        ("8xH10", 0.3, ["'H10' is not known. Did you mean 'H100'?", "--rate"]),
        ("8xTPUv4", 0.3, ["'TPUv4' is not known."]),
        ("0xH100", 0.3, ["is not of the form COUNTxDEVICE"]),
        ("", 0.3, ["is not of the form"]),
        ("8x", 0.3, ["is not of the form"]),
        ("H100", 0.0, ["--utilisation 0: must be a share"]),
        ("H100", float("nan"), ["--utilisation nan"]),
        ("x9", 1.2, ["--utilisation 1.2", "is not known"]),
    ],
)
def test_other_machines_are_refused(text: str, share: float, words: list[str]) -> None:
    with pytest.raises(InputError) as caught:
        read_machines(text, share)
    assert all(any(word in fault for fault in caught.value.faults) for word in words), caught.value.faults


def test_prices() -> None:
    assert read_price("gpu_hour=2.5") == Price("gpu_hour", 2.5)
    assert read_price(" cpu_hour = 0 ") == Price("cpu_hour", 0.0)
    for text in ("2.5", "gpu=2", "gpu_hour", "gpu_hour=", "gpu_hour=-1", "gpu_hour=nan", "cpu_hour=inf"):
        with pytest.raises(InputError, match="--price: "):
            read_price(text)


def test_a_plan_has_an_interval_and_money(load: Load, tmp_path: Path) -> None:
    """The stand-in's steps take 0.008 to 0.014 s, most likely 0.01."""
    study = load()
    plan = plan_study(study, tmp_path, workers=2, price=Price("cpu_hour", 3.0))
    assert plan.seconds is not None
    assert plan.seconds.low == pytest.approx(0.8 * plan.seconds.middle, rel=1e-9)
    assert plan.seconds.high == pytest.approx(1.4 * plan.seconds.middle, rel=1e-9)
    assert plan.money == pytest.approx(tuple(2 * 3.0 / 3600 * seconds for seconds in plan.seconds), rel=1e-12)
    found = plan.to_dict()
    jsonschema.validate({"schema_version": 1, **found}, json.loads(SCHEMA.read_text(encoding="utf-8")))
    assert (found["basis"], found["seconds_interval"]) == ("measured", [plan.seconds.low, plan.seconds.high])
    with pytest.raises(InputError, match="this plan is for CPU cores"):
        plan_study(study, tmp_path, price=Price("gpu_hour", 3.0))


def test_a_stated_plan_is_marked_and_times_nothing(load: Load, tmp_path: Path) -> None:
    study = load()
    machines = read_machines("2xA100", 0.1)
    plan = plan_study(study, tmp_path, machines=machines, price=Price("gpu_hour", 2.0))
    found = plan.to_dict()
    assert study.laboratory.timed == 0  # type: ignore[attr-defined]
    assert (found["basis"], found["seconds_interval"], found["money_interval"]) == ("stated", None, None)
    assert (found["on"], found["utilisation"], found["workers"]) == ("2xA100", 0.1, 2)
    assert any("stated, not measured: 10%" in note for note in plan.notes)
    assert plan.seconds is not None
    assert found["money"] == pytest.approx(2 * 2.0 * plan.seconds.middle / 3600, rel=1e-12)
    least = found["flops"] / 2 / (0.1 * 19.5e12)
    assert least < plan.seconds.middle < 3 * least, "two devices, float32; scoring and waiting come on top"
    half = plan_study(load(_text(study), "precision=bfloat16"), tmp_path, machines=machines).seconds
    assert half is not None
    assert half.middle == pytest.approx(plan.seconds.middle * 19.5 / 312, rel=1e-9)
    with pytest.raises(InputError, match="this plan is for GPUs"):
        plan_study(study, tmp_path, machines=machines, price=Price("cpu_hour", 2.0))


def _text(study: Study) -> str:
    return Path(study.origin).read_text(encoding="utf-8")


def test_a_makespan_waits_for_parents(load: Load) -> None:
    grid = build_grid(load())
    seconds = dict.fromkeys(grid.cells, 1.0)
    assert makespan(grid, seconds, 1, only=None) == len(grid.cells)
    many = makespan(grid, seconds, len(grid.cells), only=None)
    assert many == 3, "the teacher, the student and its fine-tuning"
    done = {key for key, cell in grid.cells.items() if cell.kind == "pretrain"}
    assert makespan(grid, seconds, len(grid.cells), done=done, only=None) == 1
    last = list(grid.cells)[-1]
    assert makespan(grid, seconds, 1, only=[last]) == len(grid.closure([last]))


def test_scoring_is_added_to_steps_alone(load: Load) -> None:
    study = load()
    cells = list(build_grid(study).cells.values())
    rates = stated_rates(cells, lambda _: 1e9)
    times = cell_times(study, cells, rates)
    whole = cell_times(study, cells, {shape: Rate(rate.seconds, whole=True) for shape, rate in rates.items()})
    for cell in cells:
        stepped, scored = whole[cell.key], times[cell.key]
        assert stepped is not None
        assert scored is not None
        assert stepped.middle == pytest.approx(cell.estimate.work / 1e9, rel=1e-9)
        assert scored.middle > stepped.middle
    assert cell_times(study, cells[:1], {}) == {cells[0].key: None}
    assert Span(1, 2, 3).times(2) == (2, 4, 6)


def test_the_command_tells_all_that_is_wrong_with_what_is_stated(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    words = ["--on", "8xH10", "--price", "gpu_hour=x", "--rate", "-1", "--utilisation", "2", "--workers", "3"]
    assert cli.main(["plan", "smoke", *words]) == 2
    assert capsys.readouterr().err.count("\n") == 6
    assert cli.main(["plan", "smoke", "--utilisation", "0.5"]) == 2
    assert "belongs to --on" in capsys.readouterr().err
    assert cli.main(["plan", "smoke", "--on", "8xH100", "--price", "gpu_hour=2.5"]) == 0
    out = capsys.readouterr().out
    assert "with 8 H100s" in out
    assert "at 2.5 for each GPU-hour" in out
    assert not list(tmp_path.iterdir())
