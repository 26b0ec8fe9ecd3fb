"""A Ray cluster as the place that cells are trained at.

Ray only places work. A cell becomes a Ray task when all that it starts from is done, so the order of cells is that of a
run on one machine, and cells are claimed and committed through the study's directory alone, which all nodes must see.
Nothing is kept in Ray: a study goes on without it, or on another cluster, at any moment.

Deliberately not built: starting clusters (Ray's launchers do), moving files between nodes (a shared disk does).
"""

from __future__ import annotations

import contextlib
import importlib.util
import json
import os
import selectors
import socket
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self

from tippingpoint._version import __version__
from tippingpoint.errors import EnvironmentFault, InputError, MissingExtraError
from tippingpoint.study.runners.local import DEVICE, THREADS
from tippingpoint.study.runners.pool import TO_APPEAR, Event, cannot_start

__all__ = ["MEMORY_GB", "RayCluster"]

MEMORY_GB = 1.0  # of a cell, unless said otherwise
PATIENCE = 45.0  # seconds for a connection
SOON = 5.0  # seconds for a port to answer


class RayCluster:
    """A connection to a running Ray cluster, for a ``with`` block; gives one run its pool.

    Parameters
    ----------
    address : str
        ``auto`` (the cluster that this machine is a node of), ``HOST:PORT`` of its head, or ``local`` (a cluster of
        this machine alone, for this run).
    device : str, default "auto"
        ``cpu``, ``cuda`` or ``auto``: GPUs where the cluster has any.
    per_gpu : int, default 1
        Cells that share a GPU.
    memory_gb : float, default `MEMORY_GB`
        Memory that a cell needs, in 10^9 bytes; 0 leaves it to luck.
    most : int, optional
        Cells at work at once; by default as many as the nodes have room for, and one CPU for each.

    Attributes
    ----------
    device : str
        Where the cells train: ``cpu`` or ``cuda``.
    room : int
        Cells that its nodes have room for, as last heard of.

    Raises
    ------
    InputError
        The address or the device is none.
    MissingExtraError
        Ray is not installed.
    EnvironmentFault
        No cluster answers at the address.
    """

    def __init__(
        self,
        address: str,
        *,
        device: str = "auto",
        per_gpu: int = 1,
        memory_gb: float = MEMORY_GB,
        most: int | None = None,
    ) -> None:
        _check(address, device)
        self.address, self.most = address, most
        self.room = 0
        self._todo = 1
        self._busy: set[str] = set()
        self._unseen: list[tuple[float, Event]] = []  # (since when, done but not visible here yet)
        self._order: dict[str, Any] = {}
        self._buffer = b""
        self._told_no_room = False
        self._errors = tempfile.TemporaryFile()  # noqa: SIM115 - lives as long as the connection
        settings = {"address": address, "device": device, "per-gpu": per_gpu, "memory": memory_gb * 1e9}
        self._process = subprocess.Popen(  # noqa: S603 - our own module, no shell
            [sys.executable, "-m", "tippingpoint.study.runners.placer"]
            + [word for name, value in settings.items() for word in (f"--{name}", str(value))],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors,
            start_new_session=True,  # Ctrl-C reaches the run alone
        )
        assert self._process.stdout is not None  # noqa: S101 - we asked for the pipe
        self._selector = selectors.DefaultSelector()
        self._selector.register(self._process.stdout, selectors.EVENT_READ)
        try:
            self.device = self._connect()
        except BaseException:
            self.stop(patience=0.0)
            raise

    def _connect(self) -> str:
        end = time.monotonic() + PATIENCE
        while time.monotonic() < end:
            for event in self._read(1.0):
                if event["event"] == "broken":
                    raise _unreachable(self.address, event["reason"])
                if event["event"] == "ready":
                    self.room = event["cells"]
                    return str(event["device"])
        raise _unreachable(self.address, f"no answer in {PATIENCE:.0f} s")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def place(
        self, root: Path, executor: str, todo: int, environment: Mapping[str, str] | None, runner: str
    ) -> RayCluster:
        """Become the pool of a run; an `Engine`."""
        ours = {name: value for name, value in os.environ.items() if name.startswith("TIPPINGPOINT_")}
        self._todo = todo
        self._order = {
            "root": str(root.absolute()),
            "executor": executor,
            "runner": runner,
            "environment": {**ours, **dict.fromkeys(THREADS, "1"), **(environment or {}), DEVICE: self.device},
            "cwd": str(Path.cwd()),
            "version": __version__,
        }
        return self

    # --- the face of a pool ---

    @property
    def size(self) -> int:
        """How many cells it can have at work at once, now; one where no node has room, so that one may come."""
        return max(1, min(self.most or self.room, self._todo))

    def idle(self) -> int:
        """Return how many more cells it takes now."""
        return self.size - len(self._busy)

    def submit(self, key: str, order: Mapping[str, Any]) -> None:
        """Hand a cell to Ray."""
        self._busy.add(key)
        text = json.dumps({**self._order, **order})
        stdin = self._process.stdin
        with contextlib.suppress(BrokenPipeError):  # shows at the next wait
            if stdin is not None:
                stdin.write(json.dumps({"key": key, "order": text}).encode() + b"\n")
                stdin.flush()

    def wait(self, timeout: float) -> list[Event]:
        """Return what happened, at the latest after ``timeout`` seconds.

        Raises
        ------
        EnvironmentFault
            The cluster is lost, or one of its nodes cannot train.
        """
        events, lost = self._appeared(), Counter[str]()
        for event in self._read(0.0 if events else timeout):
            match event["event"]:
                case "broken":
                    raise cannot_start(str(event["reason"]))
                case "room":
                    self.room = event["cells"]
                case "lost":
                    lost[str(event["node"])] += 1
                case "done":
                    self._busy.discard(event["key"])
                    self._unseen.append((time.monotonic(), event))
                case "failed" | "damaged":
                    self._busy.discard(event["key"])
                    events.append(event)
                case "step" | "note":
                    events.append(event)
        return [*events, *self._appeared(), *self._notes(lost)]

    def stop(self, patience: float = 10.0) -> None:
        """Close the connection: Ray ends the tasks that are still at work."""
        with contextlib.suppress(OSError):
            if self._process.stdin is not None:
                self._process.stdin.close()
        try:
            self._process.wait(patience)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._selector.close()
        for stream in (self._process.stdout, self._errors):
            if stream is not None:
                stream.close()

    # --- behind it ---

    def _read(self, timeout: float) -> list[Event]:
        """Return the events that have come in."""
        if not self._selector.select(timeout):
            return []
        assert self._process.stdout is not None  # noqa: S101 - we asked for the pipe
        chunk = os.read(self._process.stdout.fileno(), 1 << 16)
        if not chunk:
            raise EnvironmentFault(
                f"The connection to the Ray cluster at {self.address} was lost ({self._last_words()}); finished cells "
                "are kept: run the command again, with --ray or without it."
            )
        *lines, self._buffer = (self._buffer + chunk).split(b"\n")
        return [json.loads(line) for line in lines if line]

    def _last_words(self) -> str:
        """Return why the process that holds the connection ended, in Ray's words."""
        self._errors.seek(0)
        text = self._errors.read().decode("utf-8", "replace")
        if "Failed to connect to GCS" in text:
            return "its head no longer answers"
        lines = text.strip().splitlines()
        return lines[-1].strip()[:200].rstrip(".") if lines else f"code {self._process.wait()}"

    def _appeared(self) -> list[Event]:
        """Return what was committed on other nodes and shows on this machine by now."""
        seen, unseen = [], []
        for since, event in self._unseen:
            folder = Path(self._order["root"]) / "cells"
            if not (folder / event["key"] / "cell.json").is_file():
                with contextlib.suppress(OSError):
                    os.listdir(folder)  # asks the server anew
                if time.monotonic() > since + TO_APPEAR:
                    raise EnvironmentFault(
                        f"{folder / event['key']}: was committed by another node and does not show here after "
                        f"{TO_APPEAR:.0f} s; the study must lie on a disk that all nodes share."
                    )
                unseen.append((since, event))
            else:
                seen.append(event)
        self._unseen = unseen
        return seen

    def _notes(self, lost: Mapping[str, int]) -> list[Event]:
        """Return what the user should know."""
        said = [
            f"Lost {count} cell{'s' if count > 1 else ''} at work on node {node}; placed again."
            for node, count in lost.items()
        ]
        if self._busy and not self.room and not self._told_no_room:
            said.append("No node of the Ray cluster has room for a cell; waiting until one joins.")
        self._told_no_room = bool(self._busy) and not self.room
        return [{"event": "note", "text": text} for text in said]


def _check(address: str, device: str) -> None:
    """Raise what is wrong before a process is started."""
    if device not in ("cpu", "cuda", "auto"):
        raise InputError(f"--device '{device}': must be cpu, cuda or auto.")
    if address.startswith("ray://"):
        raise InputError(
            f"--ray {address}: Ray's client cannot be used; run the command on a node of the cluster, with --ray auto."
        )
    host, colon, port = address.rpartition(":")
    if address not in ("auto", "local") and not (host and colon and port.isdigit()):
        raise InputError(f"--ray {address}: must be auto, local or HOST:PORT of the cluster's head.")
    if importlib.util.find_spec("ray") is None:
        raise MissingExtraError("--ray needs Ray, which is not installed: pip install 'tippingpoint[cluster]'.")
    if host:
        try:
            socket.create_connection((host.strip("[]"), int(port)), SOON).close()
        except (OSError, OverflowError) as error:
            raise _unreachable(address, getattr(error, "strerror", None) or str(error)) from error


def _unreachable(address: str, reason: str) -> EnvironmentFault:
    return EnvironmentFault(
        f"--ray {address}: no Ray cluster can be used there ({reason.rstrip('.')}); start one with `ray start --head`, "
        "or leave --ray out."
    )
