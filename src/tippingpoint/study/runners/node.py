"""What a Ray task does, on whatever node it was placed: train one cell, and tell how it goes in lines of JSON.

It gets a string and yields strings, so nothing of ours is pickled. Ray re-uses the process for more cells.
"""

from __future__ import annotations

import json
import os
import queue
import socket
import threading
import traceback
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tippingpoint._version import __version__
from tippingpoint.study.runners.worker import Reporter, answer, load_executor

__all__ = ["train"]


def train(order: str) -> Iterator[str]:
    """Train the cell of an order.

    Parameters
    ----------
    order : str
        JSON: ``cell`` and ``parents`` as a worker gets them, and ``root``, ``executor``, ``runner``, ``environment``,
        ``cwd`` and ``version`` of the run.

    Yields
    ------
    str
        Events as JSON: ``started``, then those of `worker.answer`, or ``broken`` where this node is at fault.
    """
    lines: queue.SimpleQueue[str | None] = queue.SimpleQueue()
    threading.Thread(target=_train, args=(json.loads(order), lines), daemon=True).start()
    while (line := lines.get()) is not None:
        yield line


class _WhileItRuns(Reporter):
    """Tells the run of the steps, and ends this process when that run is no more.

    Ray ends the tasks of a run that is gone. Where it cannot (the head is gone too), the study's disk tells.
    """

    def __init__(self, lines: queue.SimpleQueue[str | None], run: Path) -> None:
        super().__init__(lines.put)
        self.run = run

    def send(self, **event: Any) -> None:
        """Write an event."""
        if event["event"] == "step" and not self.run.exists():
            os._exit(0)
        super().send(**event)


def _train(order: dict[str, Any], lines: queue.SimpleQueue[str | None]) -> None:
    root, runner = Path(order["root"]), str(order["runner"])
    run = root / "claims" / f"{runner}.json"
    out = _WhileItRuns(lines, run)
    try:
        fault = _fault_of_node(order, run)
        if fault is not None:
            out.send(event="broken", reason=fault)
            return
        out.send(event="started", key=order["cell"]["key"], node=socket.gethostname())
        os.environ.update(order["environment"])
        os.chdir(order["cwd"])  # relative paths of the study, its data among them, mean the same here
        answer(root, order, load_executor(order["executor"]), runner, out)
    except Exception as error:
        out.send(event="broken", reason=f"{type(error).__name__}: {error}", trace=traceback.format_exc())
    finally:
        lines.put(None)


def _fault_of_node(order: dict[str, Any], run: Path) -> str | None:
    """Return why this node cannot train for a run; None where it can."""
    host = socket.gethostname()
    if order["version"] != __version__:
        return (
            f"node {host} has tippingpoint {__version__} and the run {order['version']}; install one version everywhere"
        )
    for path in (run, Path(order["cwd"])):
        if not path.exists():
            return (
                f"node {host} does not see {path}; the study and the folder that the command was started in must lie "
                "on a disk that all nodes share, at the same path"
            )
    return None
