"""The answer so far: the report's first screen, computed beside the live page from the runs that are in.

A process of its own computes it, at low priority and with one thread, so that neither the page nor the study waits.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

__all__ = ["Answering", "answer_now"]

RESAMPLES = 300
LONGEST = 600.0  # seconds for one answer
SELDOM = 10  # times as long as an answer took passes before the next
ENOUGH = 2  # sizes that both recipes must have
THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")


def answer_now(root: str | Path, resamples: int = RESAMPLES) -> dict[str, Any]:
    """Return the report's first screen for the runs that a study has published.

    Parameters
    ----------
    root : str or Path
        The study directory.
    resamples : int, default 300
        Draws for the boundary.

    Returns
    -------
    dict
        ``html`` (empty while it is too early) and ``sentence``.
    """
    from tippingpoint.errors import TippingPointError
    from tippingpoint.report.analysis import analyse
    from tippingpoint.report.sections import hero
    from tippingpoint.report.text import headline

    try:
        analysis = analyse(root, resamples=resamples, primary_only=True)
    except TippingPointError as error:
        return {"html": "", "sentence": f"No answer yet: {error.faults[0]}"}
    finding = analysis.primary
    if finding is None or len(finding.pairs.sizes) < ENOUGH:
        told = "the runs that are in do not compare two recipes at two sizes"
        return {"html": "", "sentence": f"Too early for an answer: {told}."}
    html = hero(analysis).replace("at the foot of this page", "in the report")  # which is not here
    return {"html": html, "sentence": headline(analysis)}


class Answering:
    """The answer so far, computed again when there are more runs, but not too often.

    Parameters
    ----------
    root : Path
        The study directory.
    every : float
        Least seconds between the end of one computation and the start of the next.
    """

    def __init__(self, root: Path, every: float) -> None:
        self.root = root
        self.every = every
        self.version = 0
        self.html = ""
        self.sentence = "No runs are in yet."
        self.n_runs = 0
        self._asked = 0
        self._next = 0.0
        self._process: subprocess.Popen[bytes] | None = None
        self._closed = False
        self._lock = threading.Lock()

    def look(self, version: int, n_runs: int, *, over: bool) -> bool:
        """Start a computation if there are other runs than those of the last; return whether one is under way.

        Parameters
        ----------
        version : int
            Of the runs' table.
        n_runs : int
            Its rows.
        over : bool
            The study has ended: there is nothing to wait for.
        """
        with self._lock:
            if self._process is not None:
                return True
            early = time.monotonic() < self._next and not over
            if self._closed or not n_runs or version == self._asked or early:
                return False
            self._asked = version
            command = [sys.executable, "-P", "-m", "tippingpoint.report.live_answer", str(self.root.resolve())]
            try:
                self._process = subprocess.Popen(  # noqa: S603 - our own module, no shell
                    command,
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.PIPE,
                    stderr=subprocess.DEVNULL,
                    env={**os.environ, **dict.fromkeys(THREADS, "1")},
                    start_new_session=True,  # Ctrl-C reaches the server alone, which ends this itself
                )
            except OSError as error:
                self.sentence = f"No answer: its computation cannot start ({error.strerror or error})."
                return False
            threading.Thread(target=self._wait, args=(self._process, n_runs), daemon=True).start()
            return True

    def _wait(self, process: subprocess.Popen[bytes], n_runs: int) -> None:
        """Take what the computation says once it is done."""
        begun = time.monotonic()
        try:
            out, _ = process.communicate(timeout=LONGEST)
            found = json.loads(out)
        except (subprocess.TimeoutExpired, ValueError):
            process.kill()
            found = {"html": self.html, "sentence": "The answer could not be computed from the runs that are in."}
            n_runs = self.n_runs
        with self._lock:
            self.html, self.sentence, self.n_runs = str(found["html"]), str(found["sentence"]), n_runs
            self.version += 1
            ended = time.monotonic()
            self._next = ended + max(self.every, SELDOM * (ended - begun))
            self._process = None

    def close(self) -> None:
        """End the computation that is under way."""
        with self._lock:
            self._closed = True
            if self._process is not None:
                self._process.kill()


if __name__ == "__main__":
    if hasattr(os, "nice"):
        os.nice(10)  # the study's own processes go first
    print(json.dumps(answer_now(sys.argv[1])))
