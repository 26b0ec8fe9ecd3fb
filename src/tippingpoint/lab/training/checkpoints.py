"""Where a training stands, written to the disk now and then, so that a killed one goes on instead of starting again.

One file for each checkpoint, ``step-00000120.safetensors``: tensors as safetensors hold them, and in the metadata a
JSON text with the version of this layout, the training it belongs to, the step, and a SHA-256: that of the file's bytes
with 64 zeros in the hash's place. A file is written aside and renamed, the last two are kept, and one that is damaged
or belongs to another training is passed over with a sentence.

When a checkpoint is taken depends on the clock; what the training computes does not.
"""

from __future__ import annotations

import hashlib
import json
import logging
import math
import os
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import torch
from safetensors import SafetensorError
from safetensors.torch import load, save

from tippingpoint.errors import EnvironmentFault, StoreError
from tippingpoint.files import dump_json, write_atomic

__all__ = ["CHECKPOINT_VERSION", "EVERY_S", "EVERY_VARIABLE", "Checkpoint", "Checkpoints", "checkpoint_seconds"]

CHECKPOINT_VERSION = 1
EVERY_S = 60.0  # seconds between two checkpoints
EVERY_VARIABLE = "TIPPINGPOINT_CHECKPOINT_EVERY"  # other seconds, for machines that end soon or write slowly
KEPT = 2
_NO_HASH = "0" * 64
_log = logging.getLogger(__name__)


def checkpoint_seconds() -> float:
    """Return the seconds between two checkpoints: ``$TIPPINGPOINT_CHECKPOINT_EVERY``, by default 60.

    Raises
    ------
    EnvironmentFault
        It is not a number of seconds.
    """
    said = os.environ.get(EVERY_VARIABLE) or str(EVERY_S)
    try:
        seconds = float(said)
    except ValueError:
        seconds = math.nan
    if not seconds >= 0:
        raise EnvironmentFault(f"{EVERY_VARIABLE} is '{said}'; it must be seconds, 0 for a checkpoint after each step.")
    return seconds


class Checkpoint(NamedTuple):
    """Where a training stands.

    Attributes
    ----------
    step : int
        Steps done.
    tensors : dict of str to torch.Tensor
        Weights, the optimiser's state and the sums of the curve's next point.
    facts : dict
        What else the loop must know (JSON): the curve so far, whether guidance has ended, counts, seconds.
    """

    step: int
    tensors: dict[str, torch.Tensor]
    facts: dict[str, Any]


class Checkpoints:
    """The checkpoints of one training.

    Parameters
    ----------
    folder : Path
        Theirs alone; made when the first is written. The folder around the one that it lies in must exist.
    identity : str
        All that decides what the training computes, as text; a checkpoint with another one is not used.
    every_s : float, default 60
        Seconds between two checkpoints; 0 writes one after every step.

    Attributes
    ----------
    notes : list of str
        A sentence for each file that was passed over.
    """

    def __init__(self, folder: Path, identity: str, every_s: float = EVERY_S) -> None:
        self.folder = folder
        self.identity = hashlib.sha256(f"{identity}\n{torch.__version__}".encode()).hexdigest()
        self.every_s = every_s
        self.notes: list[str] = []
        self._next = time.monotonic() + every_s

    @property
    def is_due(self) -> bool:
        """Whether it is time for the next one."""
        return time.monotonic() >= self._next

    def save(self, step: int, tensors: Mapping[str, torch.Tensor], facts: Mapping[str, Any]) -> Path:
        """Write where the training stands.

        Parameters
        ----------
        step : int
            Steps done.
        tensors : mapping of str to torch.Tensor
            See `Checkpoint`; they are copied, so that views of one buffer are no matter.
        facts : mapping
            See `Checkpoint`.

        Returns
        -------
        Path
            The file.

        Raises
        ------
        EnvironmentFault
            The disk refuses, or the study has vanished.
        """
        about = {"schema_version": CHECKPOINT_VERSION, "sha256": _NO_HASH, "identity": self.identity, "step": step}
        copies = {name: value.detach().cpu().clone().contiguous() for name, value in tensors.items()}
        data = save(copies, metadata={"tippingpoint": dump_json({**about, "facts": facts})})
        data = data.replace(_NO_HASH.encode(), hashlib.sha256(data).hexdigest().encode(), 1)
        try:
            self.folder.parent.mkdir(exist_ok=True)  # where the study itself has vanished, it is not made anew
            self.folder.mkdir(exist_ok=True)
        except OSError as error:
            reason = error.strerror or str(error)
            raise StoreError(f"{self.folder}: cannot be made ({reason}); free room or mend the folder.") from error
        path = write_atomic(self.folder / f"step-{step:08d}.safetensors", data)
        self._remove_old(path)
        self._next = time.monotonic() + self.every_s
        return path

    def _remove_old(self, newest: Path) -> None:
        """Keep the last few up to the newest; later ones were passed over when the training began."""
        files = self._files()
        kept = files[: files.index(newest) + 1][-KEPT:]
        for old in files:
            if old in kept:
                continue
            try:
                old.unlink(missing_ok=True)
            except OSError as error:
                reason = error.strerror or str(error)
                raise StoreError(f"{old}: cannot be removed ({reason}); mend the folder.") from error

    def latest(self) -> Checkpoint | None:
        """Return the newest checkpoint that is whole and belongs to this training; None where there is none."""
        for path in reversed(self._files()):
            try:
                return self._read(path)
            except (OSError, ValueError, KeyError, TypeError, SafetensorError) as error:
                self.notes.append(f"{path}: is passed over ({error}); the training goes on from an older state.")
                _log.warning(self.notes[-1])
        return None

    def _files(self) -> list[Path]:
        return sorted(self.folder.glob("step-*.safetensors")) if self.folder.is_dir() else []

    def _read(self, path: Path) -> Checkpoint:
        """Read one file; ValueError says what is wrong with it."""
        data = path.read_bytes()
        length = int.from_bytes(data[:8], "little")
        about = json.loads(json.loads(data[8 : 8 + length])["__metadata__"]["tippingpoint"])
        said = str(about["sha256"])
        if hashlib.sha256(data.replace(said.encode(), _NO_HASH.encode(), 1)).hexdigest() != said:
            raise ValueError("its content is not what its SHA-256 says")
        if about["schema_version"] != CHECKPOINT_VERSION:
            raise ValueError(f"it is of version {about['schema_version']}")
        if about["identity"] != self.identity:
            raise ValueError("it belongs to another training")
        return Checkpoint(int(about["step"]), load(data), about["facts"])
