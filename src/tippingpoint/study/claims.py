"""Who trains which cell, so that any number of runs, on one machine or on a shared disk, never train one twice.

Layout, in the study directory::

    claims/<runner>.json     who runs: host, process, its start, the study; touched every few seconds
    claims/<key>.<n>         the cell <key> is taken by the runner that it names; the n-th claim of it

A claim is a file that only one process can create. It counts while its runner lives: on the runner's own host that is
known at once, from the process and the moment it began; on another host, and in a copy of the directory, the runner is
dead when its file was not touched for a minute. Whoever takes the cell of a dead runner creates the next claim and
never removes the old one first: two that find the same dead runner cannot both get its cell.

Should a runner sleep through that minute and go on, its cells may be trained twice and are committed once: a commit is
a rename, and the second gives way. When it wakes, it shows itself anew before it takes another cell, so that no more
than those are lost.
"""

from __future__ import annotations

import contextlib
import hashlib
import itertools
import json
import os
import re
import socket
import threading
import time
from pathlib import Path
from typing import Any, Self

from tippingpoint.errors import StoreError
from tippingpoint.study.cell_files import cannot_write

__all__ = ["BEAT", "PATIENCE", "Runner", "holder", "is_dead", "learn_clock", "live_runners", "sweep"]

BEAT = 5.0  # seconds between two touches of a runner's file
PATIENCE = 60.0  # seconds without a touch after which a runner on another host is dead
SCHEMA_VERSION = 1
_counter = itertools.count()
_ahead: dict[str, float] = {}  # study directory -> seconds that the clock of its disk is ahead of this host's
_here: set[str] = set()  # runners of this process that have not ended


# --- who lives ---


def _read(path: str) -> str:
    try:
        return Path(path).read_text(encoding="utf-8").strip()
    except OSError:
        return ""


def _host() -> str:
    """Return a name of this host, this boot and this space of process numbers."""
    space = ""
    with contextlib.suppress(OSError):
        space = os.readlink("/proc/self/ns/pid")
    name = re.sub(r"[^A-Za-z0-9.]", "_", socket.gethostname())[:64]
    return f"{name}-{hashlib.sha256((_read('/proc/sys/kernel/random/boot_id') + space).encode()).hexdigest()[:8]}"


def _begun(pid: int) -> str | None:
    """Return when a process of this host began, in ticks since the boot; None where it is dead."""
    if Path("/proc/self/stat").exists():
        fields = _read(f"/proc/{pid}/stat").rpartition(")")[2].split()
        return fields[19] if len(fields) > 19 and fields[0] not in "ZX" else None
    try:  # without /proc a process number is all there is to know
        os.kill(pid, 0)
    except ProcessLookupError:
        return None
    except OSError:
        pass
    return "0"


def learn_clock(root: Path) -> None:
    """Look at the clock of a study's disk, for who is no runner and will remove what the dead left."""
    path = root / "claims" / f".clock-{_host()}-{os.getpid()}"
    with contextlib.suppress(OSError):
        _create(path, {})
        _ahead[os.path.abspath(root)] = path.stat().st_mtime - time.time()
        path.unlink()


def _now(root: Path) -> float:
    """Return the time by the clock of a study's disk, as far as this process has looked at it."""
    return time.time() + _ahead.get(os.path.abspath(root), 0.0)


def is_dead(root: Path, runner: str) -> bool:
    """Say whether a runner has ended, however it ended.

    Parameters
    ----------
    root : Path
        The study directory.
    runner : str
        Its name, as `Runner` makes it: host-boot-process-start-number.
    """
    path = root / "claims" / f"{runner}.json"
    parts = runner.rsplit("-", 3)
    try:
        age = _now(root) - path.stat().st_mtime
    except OSError:
        return True  # it leaves no file when it ends
    if len(parts) == 4 and parts[0] == _host() and parts[1].isdigit():
        if parts[1] == str(os.getpid()) and runner not in _here:  # its file stays where the disk was away at its end
            return True
        return _begun(int(parts[1])) != parts[2] or (age > PATIENCE and _is_copy(path))
    return age > PATIENCE


def _is_copy(path: Path) -> bool:
    """Say whether a runner's file is not the one that it touches: the study was copied under it."""
    try:
        return int(json.loads(path.read_text(encoding="utf-8"))["inode"]) != path.stat().st_ino
    except (OSError, ValueError, KeyError, TypeError):
        return False


def live_runners(root: Path) -> list[dict[str, Any]]:
    """Return what every live runner of a study says of itself."""
    found = []
    for path in sorted((root / "claims").glob("*.json")):
        if not is_dead(root, path.stem):
            with contextlib.suppress(OSError, ValueError):
                found.append({**json.loads(path.read_text(encoding="utf-8")), "runner": path.stem})
    return found


def holder(root: Path) -> str | None:
    """Return who runs a study right now (``process 123 on name``, several with commas), or None."""
    return ", ".join(_said(one) for one in live_runners(root)) or None


def _said(about: dict[str, Any]) -> str:
    return f"process {about.get('pid')} on {about.get('host')}"


def sweep(root: Path) -> list[Path]:
    """Return the files that dead runners left in ``claims/``, claims before the runners they name."""
    folder = root / "claims"
    if not folder.is_dir():
        return []
    claims = [path for path in sorted(folder.iterdir()) if path.suffix[1:].isdigit()]
    runners = [path for path in sorted(folder.glob("*.json")) if is_dead(root, path.stem)]
    return [path for path in claims if _is_free(root, path)] + runners + list(folder.glob(".clock-*"))


def _is_free(root: Path, claim: Path) -> bool:
    """Say whether a claim's runner is dead; of one that does not name it, go by its age."""
    try:
        return is_dead(root, str(json.loads(claim.read_text(encoding="utf-8"))["runner"]))
    except FileNotFoundError:
        return True
    except (OSError, ValueError, KeyError, TypeError):
        with contextlib.suppress(OSError):
            return _now(root) - claim.stat().st_mtime > PATIENCE
        return True


# --- one runner ---


class Runner:
    """One run among those of a study directory, for a ``with`` block.

    Parameters
    ----------
    root : Path
        The study directory; made if it is missing.
    study : str
        The resolved study: runs of different studies do not share a directory at one time.
    alone : bool, default False
        Suffer no other run beside this one.

    Attributes
    ----------
    name : str
        Unique to this run.
    since : float
        When it began, by the clock of the study's disk.

    Raises
    ------
    StoreError
        Another run holds the directory alone or with another study, or the disk refuses.
    """

    def __init__(self, root: Path, study: str, *, alone: bool = False) -> None:
        self.root, self.folder = root, root / "claims"
        self.name = f"{_host()}-{os.getpid()}-{_begun(os.getpid())}-{next(_counter)}"
        self.path = self.folder / f"{self.name}.json"
        self.about = {
            "schema_version": SCHEMA_VERSION,
            "host": socket.gethostname(),
            "pid": os.getpid(),
            "study": hashlib.sha256(study.encode()).hexdigest(),
            "alone": alone,
        }
        self.since = 0.0
        self._held: dict[str, Path] = {}
        self._ended = threading.Event()
        self._guard = threading.Lock()  # of the runner's file
        self._was_dead = False

    def __enter__(self) -> Self:
        _here.add(self.name)
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            _create(self.path, self.about)
            self.since = self._learn_clock()
            for left in sweep(self.root):
                left.unlink(missing_ok=True)
        except OSError as error:
            _here.discard(self.name)
            raise cannot_write(self.path, error) from error
        self._require_peace()
        threading.Thread(target=self._beat, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        _here.discard(self.name)
        with contextlib.suppress(OSError, StoreError):
            for key in list(self._held):
                self.release(key)
        with self._guard:
            self._ended.set()
            with contextlib.suppress(OSError):
                self.path.unlink(missing_ok=True)

    def _require_peace(self) -> None:
        """Raise StoreError, and leave, where a run is at work that does not go with this one."""
        for other in live_runners(self.root):
            if other["runner"] == self.name:
                continue
            same = other.get("study") == self.about["study"]
            if not same or other.get("alone") or self.about["alone"]:
                self.__exit__()
                why = "and one of the two must be alone" if same else "with other settings"
                raise StoreError(
                    f"{self.root}: another run holds this study ({_said(other)}) {why}; wait for it, stop it, or "
                    "choose another folder with --dir."
                )

    def _beat(self) -> None:
        while not self._ended.wait(BEAT):
            self._show()

    def _show(self) -> None:
        """Show that this runner lives; where it slept so long that its file was swept, by a file made anew."""
        with self._guard, contextlib.suppress(OSError):  # where the study has vanished, others tell
            if self._ended.is_set():
                return
            try:
                os.utime(self.path)
            except FileNotFoundError:
                _create(self.path, self.about)
                self._was_dead = True
            self._learn_clock()

    def _learn_clock(self) -> float:
        """Return when the disk says that this runner's file was touched, which was just now."""
        touched = self.path.stat().st_mtime
        _ahead[os.path.abspath(self.root)] = touched - time.time()
        return touched

    def take(self, key: str) -> bool:
        """Claim a cell; return whether it is ours now.

        Raises
        ------
        StoreError
            The disk refuses, or another run with other settings began while this one slept and was held for dead.
        """
        self._show()
        if self._was_dead:
            self._was_dead = False
            self._require_peace()
        before = self._claims(key)
        if not all(_is_free(self.root, path) for path in before):
            return False
        number = max((int(path.suffix[1:]) + 1 for path in before), default=0)
        mine = self.folder / f"{key}.{number}"
        try:
            _create(mine, {"schema_version": SCHEMA_VERSION, "runner": self.name})
        except FileExistsError:
            return False
        except OSError as error:
            raise cannot_write(mine, error) from error
        if not all(path == mine or _is_free(self.root, path) for path in self._claims(key)):
            mine.unlink(missing_ok=True)  # another was as fast; whoever comes next gets it
            return False
        self._held[key] = mine
        return True

    def is_free(self, key: str) -> bool:
        """Say whether no live runner has a cell."""
        return all(_is_free(self.root, path) for path in self._claims(key))

    def holds(self, key: str) -> bool:
        """Say whether a cell that was taken is still ours: a runner that slept loses what others took meanwhile."""
        mine = self._held.get(key)
        return mine is not None and self._claims(key)[-1:] == [mine] and self._is_ours(mine)

    def release(self, key: str) -> None:
        """Give a cell back, done or not."""
        if self._held.pop(key, None) is not None:
            for path in self._claims(key):  # the oldest first: ours counts until the last
                if self._is_ours(path) or _is_free(self.root, path):  # else we were held for dead, and it is another's
                    path.unlink(missing_ok=True)

    def _is_ours(self, claim: Path) -> bool:
        """Say whether a claim names this runner: numbers begin anew when claims are swept."""
        try:
            return bool(json.loads(claim.read_text(encoding="utf-8"))["runner"] == self.name)
        except (OSError, ValueError, KeyError, TypeError):
            return False

    def _claims(self, key: str) -> list[Path]:
        """Return all claims of a cell, the oldest first."""
        try:
            found = [self.folder / name for name in os.listdir(self.folder) if name.startswith(f"{key}.")]
        except OSError as error:
            reason = error.strerror or error
            raise StoreError(
                f"{self.folder}: cannot be read ({reason}); bring the study back, or run again."
            ) from error
        return sorted(found, key=lambda path: int(path.suffix[1:]))


def _create(path: Path, content: dict[str, Any]) -> None:
    """Create a file that is not there; FileExistsError where it is."""
    handle = os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o644)
    try:
        os.write(handle, json.dumps({**content, "inode": os.fstat(handle).st_ino}).encode())
    finally:
        os.close(handle)
