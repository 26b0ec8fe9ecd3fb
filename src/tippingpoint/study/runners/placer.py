"""The process that holds a run's connection to a Ray cluster: takes cells as lines of JSON, tells what becomes of them.

Ray ends the process that holds a connection to a cluster whose head is lost, without an exception that could be caught.
So that is this process and not the run itself, which can say what happened and end in good order.

Lines in:  ``{"key", "order": text for `node.train`}``; the end of the input is the end of this process and its tasks.
Lines out: ``{"event": "ready", "device", "cells"}``, ``{"event": "room", "cells"}``, ``{"event": "lost", "key",
"node"}`` (the cell is placed again), ``{"event": "broken", "reason"}``, and the events of `node.train`.
"""

from __future__ import annotations

import argparse
import json
import logging
import os
import queue
import sys
import threading
from collections.abc import Iterable, Mapping
from typing import Any

import ray
from ray.exceptions import NodeDiedError, OutOfMemoryError, RayError, RayTaskError

from tippingpoint.study.runners.node import train

__all__ = ["main", "room_for"]

LOOK_EVERY = 2.0  # seconds between two looks at the cluster's nodes
MOST_DEATHS = 3  # of the process of one cell on nodes that live


def room_for(needs: Mapping[str, float], nodes: Iterable[Mapping[str, Any]]) -> int:
    """Return how many cells fit on the nodes of a cluster, other work on it left aside.

    Parameters
    ----------
    needs : mapping of str to float
        Resource -> amount that one cell needs; 0 is no need.
    nodes : iterable of mapping
        As ``ray.nodes()`` gives them.
    """
    asked = {name: amount for name, amount in needs.items() if amount}
    alive = [node["Resources"] for node in nodes if node["Alive"]]
    return sum(min(int(has.get(name, 0) / amount + 1e-9) for name, amount in asked.items()) for has in alive)


class _Placer:
    """Follows each cell in a thread of its own: Ray's calls wait."""

    def __init__(self, needs: Mapping[str, float]) -> None:
        self.needs = needs
        self.lock = threading.Lock()
        self.events = os.fdopen(os.dup(1), "w", encoding="utf-8")
        os.dup2(2, 1)  # what libraries print must not mix with the events
        self.task = ray.remote(
            num_cpus=needs["CPU"],
            num_gpus=needs["GPU"],
            memory=int(needs["memory"]) or None,
            max_retries=0,  # Ray's own would mix the events of two attempts
            num_returns="streaming",
        )(train)

    def send(self, **event: Any) -> None:
        self.pass_on(json.dumps(event))

    def pass_on(self, line: str) -> None:
        with self.lock:
            print(line, file=self.events, flush=True)

    def follow(self, key: str, order: str) -> None:
        """Place a cell until it has ended, in whatever way but the loss of its node."""
        deaths = 0
        while True:
            node = "unknown"
            try:
                for reference in self.task.remote(order):
                    line = ray.get(reference)
                    if '"started"' in line[:24]:
                        node = json.loads(line)["node"]
                    self.pass_on(line)
                return
            except NodeDiedError:
                self.send(event="lost", key=key, node=node)
            except RayTaskError as error:  # `train` raises nothing, so it was never called
                last = str(error).strip().splitlines()[-1]
                self.send(
                    event="broken", reason=f"a node has no working tippingpoint ({last}); install it on all nodes"
                )
                return
            except RayError as error:
                deaths += 1
                if deaths >= MOST_DEATHS:
                    self.send(event="failed", key=key, reason=_why(error, node), trace=str(error), fatal=False)
                    return
                self.send(event="lost", key=key, node=node)

    def watch(self) -> None:
        """Tell how many cells the cluster has room for, whenever that changes."""
        told, pause = -1, threading.Event()
        while True:
            room = room_for(self.needs, ray.nodes())
            if room != told:
                self.send(event="room", cells=room)
            told = room
            pause.wait(LOOK_EVERY)


def _why(error: RayError, node: str) -> str:
    if isinstance(error, OutOfMemoryError):
        return f"memory ran out on node {node}; raise --memory-per-cell"
    first = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
    return f"its process on node {node} was lost {MOST_DEATHS} times ({first})"


def _device(asked: str, nodes: list[dict[str, Any]]) -> str:
    """Return the device that cells train on: ``auto`` is the GPU where any node has one."""
    if asked != "auto":
        return asked
    return "cuda" if any(node["Alive"] and node["Resources"].get("GPU") for node in nodes) else "cpu"


def _listen(lines: queue.SimpleQueue[str | None], connected: threading.Event) -> None:
    """Hand on every line; a run that is gone before there is a connection need not be waited for."""
    for line in sys.stdin:
        lines.put(line)
    if not connected.is_set():
        os._exit(0)
    lines.put(None)


def main() -> None:
    """Serve one run until it closes the line."""
    parser = argparse.ArgumentParser(prog="tippingpoint placer", description=__doc__)
    parser.add_argument("--address", required=True)
    parser.add_argument("--device", required=True)
    parser.add_argument("--per-gpu", type=int, required=True)
    parser.add_argument("--memory", type=float, required=True)
    arguments = parser.parse_args()
    lines: queue.SimpleQueue[str | None] = queue.SimpleQueue()
    connected = threading.Event()
    threading.Thread(target=_listen, args=(lines, connected), daemon=True).start()
    try:
        ray.init(arguments.address, log_to_driver=False, logging_level=logging.ERROR, configure_logging=False)
    except Exception as error:
        print(json.dumps({"event": "broken", "reason": " ".join(str(error).split())}), flush=True)
        sys.exit(1)
    connected.set()
    device = _device(arguments.device, ray.nodes())
    gpu = int(1e4 / arguments.per_gpu) / 1e4 if device == "cuda" else 0.0  # Ray counts in ten-thousandths
    placer = _Placer({"CPU": 1.0, "GPU": gpu, "memory": arguments.memory})
    placer.send(event="ready", device=device, cells=room_for(placer.needs, ray.nodes()))
    threading.Thread(target=placer.watch, daemon=True).start()
    while (line := lines.get()) is not None:
        order = json.loads(line)
        threading.Thread(target=placer.follow, args=(order["key"], order["order"]), daemon=True).start()
    ray.shutdown()
    os._exit(0)  # threads that follow cells still wait


if __name__ == "__main__":
    main()
