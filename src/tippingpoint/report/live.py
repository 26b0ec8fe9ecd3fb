"""The live page: the report that grows while a study runs, served to this machine's browser.

Read-only: it answers GET and HEAD, reads what the study publishes and the logs of its failed cells, and writes nothing.
Whoever can reach the port can read these; by default that is this machine alone, and requests that come under a foreign
name (a page elsewhere whose name was made to point here) are refused.
"""

from __future__ import annotations

import base64
import hashlib
import ipaddress
import json
import re
import socket
import socketserver
import sys
import threading
import time
from functools import cached_property
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib import resources
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from tippingpoint._version import __version__
from tippingpoint.errors import EnvironmentFault, InputError
from tippingpoint.report.live_answer import Answering
from tippingpoint.report.live_reading import PUBLISHED, StudyReader
from tippingpoint.report.live_results import best_of, curve_series, panels, read_curves, read_runs
from tippingpoint.report.live_running import RunningFiles

__all__ = ["LiveServer", "is_study", "live_page"]

SCRIPTS = ("script/tools.js", "script/live_chart.js", "script/live.js")
STYLES = ("style.css", "live.css")
LOG_TAIL = 200_000  # bytes of a log that are shown: its end
FRESH = 1.0  # seconds for which several pages share one look at the files
_NAME = re.compile(r"(\[[0-9a-fA-F:.]+\]|[^:\[\]]+)(?::\d+)?")
OVER = ("done", "failed", "interrupted")


def is_study(root: str | Path) -> bool:
    """Say whether a directory is a study's: it publishes something, or a run has begun to fill it."""
    return any((Path(root) / name).is_file() for name in (*PUBLISHED, "study.yaml"))


def live_page() -> tuple[str, str]:
    """Return the page and the policy that it needs; the same for every study, whose words come as data.

    Returns
    -------
    tuple of str
        HTML, and the value of Content-Security-Policy: one script, by its hash, and no address but the page's own.
    """
    script = "\n".join(_own(name) for name in SCRIPTS)
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode("ascii")
    policy = (
        f"default-src 'none'; script-src 'sha256-{digest}'; style-src 'unsafe-inline'; img-src data:; "
        "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    )
    page = _own("live.html").replace("{style}", "".join(map(_own, STYLES)))
    return page.replace("{version}", __version__).replace("{script}", script), policy


def _own(name: str) -> str:
    return resources.files("tippingpoint.report").joinpath(name).read_text(encoding="utf-8")


class LiveStudy:
    """What the server tells of a study; several pages may ask at once.

    Parameters
    ----------
    root : Path
        The study directory.
    answer_every : float
        Least seconds between two computations of the answer.
    """

    def __init__(self, root: Path, answer_every: float) -> None:
        self.reader = StudyReader(root, read_runs, read_curves, RunningFiles(root))
        self.answering = Answering(root, answer_every)
        self._lock = threading.Lock()
        self._state: dict[str, Any] = {}
        self._until = 0.0
        self._curves: tuple[Any, ...] = (0, [], [])
        self._version = 0

    def state(self) -> dict[str, Any]:
        """Return how the study stands, and the versions of what the page fetches apart."""
        with self._lock:
            if time.monotonic() >= self._until:
                self._state = self.reader.look()
                self._until = time.monotonic() + FRESH
            runs = self.reader.runs.version
            computing = self.answering.look(runs, self._state["n_runs"], over=self._state["state"] in OVER)
            versions = {"results": runs, "curves": self._curves_version(), "answer": self.answering.version}
            return {"schema_version": 1, **self._state, "computing": computing, "versions": versions}

    def _curves_version(self) -> int:
        """Return a number that rises whenever there are other curves to draw; 0 while there never were any."""
        at_work = [(cell.key, cell.done) for cell in self.reader.at_work]
        now = (self.reader.curves.version, self.reader.telling.version, at_work)
        if now != self._curves:
            self._curves, self._version = now, self._version + 1
        return self._version

    def results(self) -> dict[str, Any]:
        """Return the scores that are in, by size."""
        with self._lock:
            return {"panels": panels(self.reader.runs.value or [])}

    def curves(self) -> dict[str, Any]:
        """Return the training curves of finished cells that are published, and of cells at work."""
        with self._lock:
            finished = best_of(self.reader.curves.value or {}, self.reader.telling.finished)
            return {"panels": curve_series(finished, [(cell.label, cell.curve) for cell in self.reader.at_work])}

    def answer(self) -> dict[str, Any]:
        """Return the answer so far."""
        now = self.answering
        return {"html": now.html, "sentence": now.sentence, "n_runs": now.n_runs}

    def log(self, key: str) -> bytes | None:
        """Return the end of a failed cell's log, or None where there is none."""
        path = self.reader.log_of(key)
        if path is None:
            return None
        try:
            with path.open("rb") as stream:
                size = stream.seek(0, 2)
                stream.seek(max(0, size - LOG_TAIL))
                return (b"[...]\n" if size > LOG_TAIL else b"") + stream.read(LOG_TAIL)
        except OSError:
            return None


class LiveServer(ThreadingHTTPServer):
    """Serves the live page of one study.

    Parameters
    ----------
    root : str or Path
        The study directory.
    host : str, default "127.0.0.1"
        Where to listen: by default for this machine alone.
    port : int, default 8765
        0 lets the system choose.
    answer_every : float, default 30
        Least seconds between two computations of the answer.

    Attributes
    ----------
    url : str
        Where the page is.

    Raises
    ------
    InputError
        The directory is not a study's, or the host is not one of this machine.
    EnvironmentFault
        The port is taken or not allowed.
    """

    daemon_threads = True

    def __init__(
        self, root: str | Path, host: str = "127.0.0.1", port: int = 8765, *, answer_every: float = 30.0
    ) -> None:
        root = Path(root)
        if not is_study(root):
            what = "it holds nothing that a run publishes" if root.is_dir() else "there is no such directory"
            raise InputError(
                f"{root}: is not a study directory ({what}); 'tippingpoint run PRESET --dir {root}' makes one."
            )
        self.page, self.policy = live_page()
        self.host = host
        try:
            found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
            self.address_family = found[0]
            super().__init__((host, port), LiveHandler)
        except (socket.gaierror, UnicodeError) as error:
            raise InputError(
                f"--host {host}: there is no such address; use 127.0.0.1 for this machine alone."
            ) from error
        except (OSError, OverflowError) as error:
            raise _not_bound(host, port, error) from error
        self.study = LiveStudy(root, answer_every)

    def server_bind(self) -> None:
        """Bind without asking the network for this machine's name, which can take seconds."""
        socketserver.TCPServer.server_bind(self)
        self.server_name, self.server_port = self.host, int(self.server_address[1])

    def server_close(self) -> None:
        """Close the port and end what computes."""
        super().server_close()
        if hasattr(self, "study"):
            self.study.answering.close()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing of a browser that went away."""
        if not isinstance(sys.exception(), OSError):
            super().handle_error(request, client_address)

    @cached_property
    def is_local(self) -> bool:
        """Whether only this machine can reach the page."""
        return _is_loopback(str(self.server_address[0]))

    @property
    def url(self) -> str:
        """Where the page is."""
        host = str(self.server_address[0])
        shown = "127.0.0.1" if host == "0.0.0.0" else "::1" if host == "::" else host  # noqa: S104 - only compared
        return f"http://{f'[{shown}]' if ':' in shown else shown}:{self.server_port}/"

    def knows(self, name: str) -> bool:
        """Say whether a Host header is one under which this page may be asked for.

        Any port goes, since a tunnel changes it; a name that is not ours does not, since a foreign page may have made
        it point here. Addresses are never such names; where only this machine is served, only its own are taken.
        """
        match = _NAME.fullmatch(name)
        if match is None:
            return False
        host = match[1].strip("[]").lower()
        if host in ("localhost", self.host.lower()):
            return True
        try:
            ipaddress.ip_address(host)
        except ValueError:
            return not self.is_local and host == socket.gethostname().lower()
        return _is_loopback(host) or not self.is_local


def _is_loopback(address: str) -> bool:
    try:
        return ipaddress.ip_address(address).is_loopback
    except ValueError:
        return False


def _not_bound(host: str, port: int, error: Exception) -> Exception:
    """Return what to tell of a port that cannot be had."""
    reason = getattr(error, "strerror", None) or str(error)
    return EnvironmentFault(f"Port {port} of {host} cannot be used ({reason}); give another with --port, or 0 for any.")


class LiveHandler(BaseHTTPRequestHandler):
    """Answers one request."""

    server: LiveServer
    timeout = 20  # seconds for a browser to say what it wants

    def do_GET(self) -> None:
        """Answer with a page, data or a log."""
        hosts = self.headers.get_all("Host") or []
        if len(hosts) != 1 or not self.server.knows(hosts[0]):
            self.send_error(HTTPStatus.FORBIDDEN, explain=f"Ask for this page as {self.server.url}.")
            return
        try:
            path = urlsplit(self.path).path if self.path.startswith("/") else ""
        except ValueError:
            path = ""
        study = self.server.study
        told = {"/state.json": study.state, "/results.json": study.results, "/curves.json": study.curves}
        told["/answer.json"] = study.answer
        if path == "/":
            self._answer("text/html", self.server.page.encode(), {"Content-Security-Policy": self.server.policy})
        elif path in told:
            self._answer("application/json", json.dumps(told[path](), allow_nan=False).encode())
        elif path.startswith("/log/") and (log := study.log(path.removeprefix("/log/"))) is not None:
            self._answer("text/plain", log.decode("utf-8", "replace").encode())
        else:
            self.send_error(HTTPStatus.NOT_FOUND, explain="There is nothing of that name here.")

    do_HEAD = do_GET  # noqa: N815 - the name is http.server's

    def _answer(self, kind: str, body: bytes, more: dict[str, str] | None = None, status: int = HTTPStatus.OK) -> None:
        headers = {
            "Content-Type": f"{kind}; charset=utf-8",
            "Content-Length": str(len(body)),
            "Cache-Control": "no-store",
            "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'; sandbox",
            "X-Content-Type-Options": "nosniff",
            "X-Frame-Options": "DENY",
            "Referrer-Policy": "no-referrer",
            "Cross-Origin-Resource-Policy": "same-origin",
            "Cross-Origin-Opener-Policy": "same-origin",
            **(more or {}),
        }
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def send_error(self, code: int, message: str | None = None, explain: str | None = None) -> None:
        """Answer with one plain sentence; nothing of the request stands in it."""
        more = {}
        if code == HTTPStatus.NOT_IMPLEMENTED:  # what http.server says of a method that it finds no name for
            code, explain, more = HTTPStatus.METHOD_NOT_ALLOWED, "This page is only read.", {"Allow": "GET, HEAD"}
        self.close_connection = True
        self._answer("text/plain", f"{explain or HTTPStatus(code).phrase}\n".encode(), more, code)

    def version_string(self) -> str:
        """Tell no versions."""
        return "tippingpoint"

    def log_message(self, format: str, *args: Any) -> None:
        """Keep the terminal quiet."""
