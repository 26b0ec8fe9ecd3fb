"""The disk refuses at any moment: the old state or the new one, one sentence that names the path, a sound index."""

from __future__ import annotations

import errno
import io
import os
import shutil
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from test_fsck import WEIGHTS, described, finish

from tippingpoint import cli
from tippingpoint.errors import EnvironmentFault, StoreError
from tippingpoint.files import write_atomic
from tippingpoint.study.cell_files import begin_cell
from tippingpoint.study.display import Quiet, Snapshot
from tippingpoint.study.execute import run_study
from tippingpoint.study.fsck import check_store
from tippingpoint.study.load import Study
from tippingpoint.study.runners.worker import run_cell
from tippingpoint.study.store import Store

CALLS = ("mkdir", "open", "write", "fsync", "rename", "replace", "unlink")
MOST = 40  # of such calls that a commit makes
Load = Callable[..., Study]


@contextmanager
def refusing(call: str, nth: int, code: int = errno.ENOSPC) -> Iterator[list[int]]:
    """Let the n-th of these calls fail (a write: after half of it), and all later ones; the list counts them."""
    made = [0]

    def fails() -> bool:
        made[0] += 1
        return made[0] >= nth

    def instead(real: Callable[..., Any]) -> Callable[..., Any]:
        def called(*arguments: Any, **options: Any) -> Any:
            if fails():
                raise OSError(code, os.strerror(code), arguments[0] if arguments else None)
            return real(*arguments, **options)

        return called

    def opened(*arguments: Any, **options: Any) -> Any:
        stream = open_(*arguments, **options)
        if "w" in stream.mode:
            write = stream.write

            def half(data: Any) -> Any:
                if fails():
                    write(data[: len(data) // 2])
                    raise OSError(code, os.strerror(code))
                return write(data)

            stream.write = half
        return stream

    open_ = io.open
    with pytest.MonkeyPatch.context() as patch:
        if call == "write":
            patch.setattr(io, "open", opened)
        else:
            patch.setattr(os, call, instead(getattr(os, call)))
        yield made


def train(_task: dict[str, Any], _parents: dict[str, Path], out: Path, *_: Any) -> dict[str, Any]:
    (out / "weights.safetensors").write_bytes(WEIGHTS)
    (out / "curve.json").write_text("{}")
    return {"scores": {"error": 0.2}, "wall_s": 1.0}


@pytest.mark.parametrize("call", CALLS)
def test_a_commit_leaves_the_old_state_or_the_new_one(tmp_path: Path, call: str) -> None:
    for nth in range(1, MOST):
        root = tmp_path / f"{call}{nth}"
        store = Store(root, write=True)
        before = finish(root, 1)
        store.record_done(before.name)
        folder = root / "cells" / described(2)["key"]
        refused: StoreError | None = None
        with refusing(call, nth) as made:
            try:
                run_cell(root, described(2), {}, train, lambda *_: None)
                store.record_done(folder.name)
            except StoreError as error:
                refused = error
        if refused is not None:
            assert (refused.exit_code, len(refused.faults)) == (3, 1)
            assert str(root / "cells") in refused.faults[0]
            assert os.strerror(errno.ENOSPC) in refused.faults[0]
        store.close()
        if made[0] < nth:
            assert folder.name in Store(root).done()
            return
        assert not [fault for fault in check_store(root).faults if fault.what == "cell"], f"{call} {nth}"
        found = Store(root, write=True)
        assert found.done() in ({before.name}, {before.name, folder.name})
        assert len(list((root / "cells").iterdir())) == len(found.done()), "what was left aside is cleaned"
        found.close()
        assert check_store(root).faults == ()
    pytest.fail(f"a commit makes fewer than {MOST} of these calls")


@pytest.mark.parametrize("call", CALLS)
def test_a_published_file_is_the_old_one_or_the_new_one(tmp_path: Path, call: str) -> None:
    path = tmp_path / "runs.csv"
    path.write_text("old" * 1000)
    for nth in range(1, MOST):
        refused: EnvironmentFault | None = None
        with refusing(call, nth) as made:
            try:
                write_atomic(path, "new" * 1000)
            except EnvironmentFault as error:
                refused = error
        if refused is not None:
            assert (refused.exit_code, str(path) in str(refused)) == (3, True)
        assert path.read_text() in ("old" * 1000, "new" * 1000)
        if made[0] < nth:
            assert path.read_text() == "new" * 1000
            return
        path.write_text("old" * 1000)
    pytest.fail(f"writing a file makes fewer than {MOST} of these calls")


def test_an_index_on_a_full_disk_stays_sound(tmp_path: Path) -> None:
    """SQLite itself finds the disk full (it may not grow), in the middle of many cells."""
    store = Store(tmp_path, write=True)
    db = store._db
    assert db is not None
    db.execute("PRAGMA max_page_count = 6")

    def fill() -> None:
        for number in range(100):
            store.record_failed(f"{number:064x}", "why " * 200)

    with pytest.raises(StoreError, match=r"index.sqlite: cannot be written \(database or disk is full\); free room"):
        fill()
    kept = dict(db.execute("SELECT key, state FROM cells"))
    assert db.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    store.close()
    assert check_store(tmp_path).faults == ()
    again = Store(tmp_path, write=True)
    assert set(again.failed()) == set(kept)
    again.record_failed("f" * 64, "there is room again")
    again.close()


@pytest.mark.parametrize("code", [errno.EROFS, errno.EACCES, errno.ENOSPC])
def test_a_directory_that_cannot_be_written_is_one_sentence(tmp_path: Path, code: int) -> None:
    with refusing("mkdir", 1, code), pytest.raises(StoreError, match="cannot be written") as caught:
        Store(tmp_path / "study", write=True)
    assert (str(tmp_path / "study") in str(caught.value), len(caught.value.faults)) == (True, 1)
    Store(tmp_path, write=True).close()
    with refusing("mkdir", 1, code), pytest.raises(StoreError, match=os.strerror(code)):
        begin_cell(tmp_path, "a" * 64)


@pytest.mark.parametrize("command", [["fsck", "--repair"], ["gc"]])
def test_the_commands_say_it_in_one_sentence(
    tmp_path: Path, command: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    Store(tmp_path, write=True).close()
    finish(tmp_path)
    begin_cell(tmp_path, "e" * 64)
    with refusing("unlink", 1, errno.EROFS), refusing("rmdir", 1, errno.EROFS):
        (tmp_path / "index.sqlite").write_bytes(b"\x00")
        assert cli.main([*command, str(tmp_path)]) == 3
    told = capsys.readouterr().err.splitlines()
    assert len(told) == 1
    assert str(tmp_path) in told[0]
    assert "Read-only file system" in told[0]


class Vandal(Quiet):
    """Takes the study directory away once some cells are done."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def update(self, look: Callable[[], Snapshot]) -> None:
        if look().counts["done"] >= 3 and self.root.exists():
            self.root.rename(self.root.with_name("elsewhere"))


def test_a_vanished_directory_is_one_sentence_and_is_not_made_anew(
    load: Load, tmp_path: Path, environment: dict[str, str]
) -> None:
    root = tmp_path / "study"
    with pytest.raises(EnvironmentFault, match=str(root)) as caught:
        run_study(load(), root, workers=2, display=Vandal(root), environment=environment)
    assert caught.value.exit_code == 3
    assert len(caught.value.faults) == 1
    assert not (root / "cells").exists()
    away = tmp_path / "elsewhere"
    shutil.rmtree(away / "claims")  # this process lives on, where that of a command would have ended
    assert check_store(away, repair=True).exit_code == 0
    shutil.rmtree(root, ignore_errors=True)
    away.rename(root)
    outcome = run_study(load(), root, workers=2, environment=environment)
    assert (outcome.state, outcome.reused >= 3) == ("done", True)
    assert check_store(root).faults == ()


def test_a_disk_that_fills_in_a_worker_leaves_a_sound_store(
    load: Load, tmp_path: Path, environment: dict[str, str]
) -> None:
    root = tmp_path / "study"
    with pytest.raises(EnvironmentFault, match="No space left on device") as caught:
        run_study(load(), root, workers=2, environment={**environment, "STUB_FULL": '"finetune"'})
    assert caught.value.exit_code == 3
    assert check_store(root).faults == ()
    with sqlite3.connect(root / "index.sqlite") as db:
        assert db.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    db.close()
