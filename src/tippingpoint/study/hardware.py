"""Devices that a plan can be made for without having them: peak throughputs as their makers state them.

Nothing here is measured. The numbers are for dense arithmetic; how far they were checked is told in docs/cost.md. A
training reaches a share of the peak, its utilisation, which is stated by who plans; small models reach far less than
large ones.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from tippingpoint.errors import InputError, did_you_mean

__all__ = ["DEVICES", "UTILISATION", "Device", "Machines", "Price", "read_machines", "read_price"]

UTILISATION = 0.3  # of the peak, where nothing else is stated
_FORM = re.compile(r"\s*(?:([0-9]+)\s*[x*]\s*)?([A-Za-z][A-Za-z0-9 _-]*?)\s*")
_UNITS = ("gpu_hour", "cpu_hour")


@dataclass(frozen=True)
class Device:
    """Peak FLOPs a second of one device, dense, by its maker's data sheet.

    Attributes
    ----------
    name : str
        As it is asked for.
    float32 : float
        Without tensor cores: torch's own default.
    bfloat16 : float or None
        With them; None where the device has no such arithmetic.
    source : str
        The data sheet.
    """

    name: str
    float32: float
    bfloat16: float | None
    source: str

    def peak(self, precision: str) -> float:
        """Return the peak for ``float32`` or ``bfloat16``; float32's where there is no other."""
        return self.bfloat16 if precision == "bfloat16" and self.bfloat16 is not None else self.float32


DEVICES = {
    device.name: device
    for device in (
        Device("T4", 8.1e12, None, "NVIDIA T4 data sheet"),
        Device("A10", 31.2e12, 125e12, "NVIDIA A10 data sheet"),
        Device("A100", 19.5e12, 312e12, "NVIDIA A100 data sheet (SXM)"),
        Device("L4", 30.3e12, 121e12, "NVIDIA L4 data sheet"),
        Device("L40S", 91.6e12, 362e12, "NVIDIA L40S data sheet"),
        Device("H100", 67e12, 989e12, "NVIDIA H100 data sheet (SXM)"),
        Device("H100-PCIe", 51e12, 756e12, "NVIDIA H100 data sheet (PCIe)"),
        Device("H200", 67e12, 989e12, "NVIDIA H200 data sheet (SXM)"),
        Device("B200", 75e12, 2250e12, "NVIDIA B200 data sheet"),
        Device("MI300X", 163.4e12, 1307e12, "AMD Instinct MI300X data sheet"),
    )
}


@dataclass(frozen=True)
class Machines:
    """Some devices of one kind, and the share of their peak that a training is stated to reach."""

    count: int
    device: Device
    utilisation: float

    def throughput(self, precision: str) -> float:
        """Return the FLOPs a second of one device."""
        return self.device.peak(precision) * self.utilisation

    def __str__(self) -> str:
        return f"{self.count}x{self.device.name}"


def read_machines(text: str, utilisation: float = UTILISATION) -> Machines:
    """Read ``8xH100``, or ``H100`` for one.

    Parameters
    ----------
    text : str
        How many of which device.
    utilisation : float, default 0.3
        Share of the peak that a training reaches, in (0, 1].

    Raises
    ------
    InputError
        It has another form, the device is not known, or the share is none.
    """
    faults = []
    found = _FORM.fullmatch(text)
    known = {_plain(name): device for name, device in DEVICES.items()}
    if not 0 < utilisation <= 1:
        faults.append(f"--utilisation {utilisation:g}: must be a share of the peak above 0 and at most 1, such as 0.3.")
    if found is None or (found[1] is not None and int(found[1]) < 1):
        faults.append(f"--on: '{text}' is not of the form COUNTxDEVICE, such as 8xH100.")
    elif _plain(found[2]) not in known:
        near = did_you_mean(found[2].upper(), list(DEVICES))
        faults.append(
            f"--on: the device '{found[2]}' is not known.{near} Known are {', '.join(DEVICES)}; for another one state "
            "its FLOPs a second with --rate, and how many there are with --workers."
        )
    if faults or found is None:
        raise InputError(faults)
    return Machines(int(found[1] or 1), known[_plain(found[2])], utilisation)


def _plain(name: str) -> str:
    return re.sub(r"[ _-]", "", name).upper()


@dataclass(frozen=True)
class Price:
    """What an hour of one GPU or of one CPU core costs, in whatever currency."""

    unit: str
    amount: float


def read_price(text: str) -> Price:
    """Read ``gpu_hour=2.5`` or ``cpu_hour=0.04``.

    Raises
    ------
    InputError
        It has another form, another unit, or a price that is not a number of at least 0.
    """
    unit, equals, value = (word.strip() for word in text.partition("="))
    if not equals or unit not in _UNITS:
        near = did_you_mean(unit, _UNITS) if equals else ""
        raise InputError(f"--price: '{text}' is not of the form gpu_hour=2.5 or cpu_hour=0.04.{near}")
    try:
        amount = float(value.replace("_", ""))
    except ValueError:
        amount = -1.0
    if not 0 <= amount < float("inf"):
        raise InputError(f"--price: '{text}': the price of an hour must be a number of at least 0.")
    return Price(unit, amount)
