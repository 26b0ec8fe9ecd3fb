"""Orders of events that are rare where workers are processes: pools in this process hand them out."""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from stub_lab import execute
from test_execute import AtOnce

from tippingpoint.errors import EnvironmentFault
from tippingpoint.study import doubts
from tippingpoint.study.execute import run_study
from tippingpoint.study.grid import build_grid
from tippingpoint.study.load import Study
from tippingpoint.study.runners.pool import Event
from tippingpoint.study.runners.worker import Reporter, answer

Load = Callable[..., Study]
FEW = ("seeds=1", "n_pretrain=[400]")


def spoil(folder: Path) -> None:
    path = folder / "weights.safetensors"
    path.write_bytes(path.read_bytes()[:-1] + b"?")


def states(root: Path) -> dict[str, str]:
    cells = [json.loads(line) for line in (root / "cells.jsonl").read_text().splitlines()]
    return {cell["key"]: cell["state"] for cell in cells}


class InTurn(AtOnce):
    """Tells what became of a cell only where ``train`` does not keep it for a later turn."""

    turn = 0

    def wait(self, timeout: float) -> list[Event]:
        self.turn += 1
        assert self.turn < 100, "the run goes on for ever"
        orders, events = list(self.orders), list[Event]()
        self.orders.clear()
        for order in orders:
            if (found := self.train(order)) is None:
                self.orders.append(order)
            else:
                events += found
        return events

    def train(self, order: dict[str, Any]) -> list[Event] | None:
        events: list[Event] = []
        answer(self.root, order, execute, self.name, Reporter(lambda line: events.append(json.loads(line))))
        return events


def test_a_child_that_reports_late_is_blocked_by_a_parent_that_cannot_be_trained_again(
    load: Load, study_text: str, tmp_path: Path
) -> None:
    root, study = tmp_path / "study", load(study_text, *FEW)
    run_study(load(study_text, *FEW, "n_finetune=[20]"), root, engine=AtOnce)
    grid = build_grid(study)
    todo = {key for key in grid.cells if not (root / "cells" / key).exists()}
    parent = next(key for key, below in grid.children().items() if key not in todo and len(todo & set(below)) > 1)
    children = sorted(todo & set(grid.children()[parent]))
    spoil(root / "cells" / parent)

    class Late(InTurn):
        def train(self, order: dict[str, Any]) -> list[Event] | None:
            key = order["cell"]["key"]
            if key == parent:
                return [{"event": "failed", "key": key, "reason": "no luck", "trace": "", "fatal": False}]
            return None if key == children[1] and self.turn < 4 else super().train(order)

    outcome = run_study(study, root, engine=Late)
    assert (outcome.counts["failed"], outcome.counts["blocked"]) == (1, len(children))
    found = states(root)
    assert {found[key] for key in children} == {"blocked"}


def test_what_a_worker_cannot_read_and_the_run_can_fails_in_the_end(
    load: Load, study_text: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As on a node that may not read what others wrote."""
    monkeypatch.setattr(doubts, "TO_APPEAR", 1.2)

    class Blind(InTurn):
        tries = 0

        def train(self, order: dict[str, Any]) -> list[Event] | None:
            if not order["parents"]:
                return super().train(order)
            Blind.tries += 1
            parent, why = Path(next(iter(order["parents"].values()))).name, "it cannot be read (Permission denied)"
            about = {"key": order["cell"]["key"], "parent": parent, "reason": why, "trace": "", "fatal": False}
            return [{"event": "damaged", **about}]

        def wait(self, timeout: float) -> list[Event]:
            if not self.orders:
                time.sleep(timeout / 5)
            return super().wait(timeout)

    outcome = run_study(load(study_text, *FEW), tmp_path / "study", engine=Blind)
    assert outcome.state == "failed"
    assert set(outcome.failures.values()) == {"it cannot be read (Permission denied)"}
    assert len(outcome.failures) < Blind.tries < 8 * len(outcome.failures), "tried again, but not without a pause"
    assert not (tmp_path / "study" / "quarantine").exists()


def test_a_disk_that_damages_what_is_written_ends_the_run(load: Load, study_text: str, tmp_path: Path) -> None:
    class Rotten(InTurn):
        def train(self, order: dict[str, Any]) -> list[Event] | None:
            found = super().train(order)
            folder = self.root / "cells" / order["cell"]["key"]
            if (folder / "weights.safetensors").exists():
                spoil(folder)
            return found

    with pytest.raises(EnvironmentFault, match="was damaged 3 times in this run"):
        run_study(load(study_text, *FEW), tmp_path / "study", engine=Rotten)


def test_a_cell_that_a_run_trains_twice_is_counted_as_none_reused(load: Load, study_text: str, tmp_path: Path) -> None:
    class Once(InTurn):
        spoilt = False

        def train(self, order: dict[str, Any]) -> list[Event] | None:
            if order["parents"] and not self.spoilt:
                self.spoilt = True
                spoil(Path(next(iter(order["parents"].values()))))
            return super().train(order)

    study = load(study_text, *FEW)
    outcome = run_study(study, tmp_path / "study", engine=Once)
    assert (outcome.trained, outcome.reused) == (len(build_grid(study).cells) + 1, 0)


def test_what_a_worker_finished_when_the_run_was_interrupted_was_trained_by_it(
    load: Load, study_text: str, tmp_path: Path
) -> None:
    class Untold(InTurn):
        def wait(self, timeout: float) -> list[Event]:
            super().wait(timeout)
            raise KeyboardInterrupt

    outcome = run_study(load(study_text, *FEW), tmp_path / "study", engine=Untold)
    assert (outcome.state, outcome.trained, outcome.reused) == ("interrupted", outcome.counts["done"], 0)
    assert outcome.trained > 0


def test_who_is_interrupted_publishes_what_other_runs_have_finished(
    load: Load, study_text: str, tmp_path: Path
) -> None:
    study, root = load(study_text, *FEW), tmp_path / "study"
    whole = run_study(study, tmp_path / "whole", engine=AtOnce)

    class Beside(AtOnce):
        size = 1

        def wait(self, timeout: float) -> list[Event]:
            for folder in (tmp_path / "whole" / "cells").iterdir():
                if folder.name != self.orders[0]["cell"]["key"]:
                    shutil.copytree(folder, self.root / "cells" / folder.name)
            raise KeyboardInterrupt

    outcome = run_study(study, root, engine=Beside)
    assert (outcome.state, outcome.counts["done"], outcome.trained) == ("interrupted", whole.counts["done"] - 1, 0)
    assert outcome.n_rows >= whole.n_rows - 5
    assert sorted(states(root).values()).count("done") == outcome.counts["done"]
