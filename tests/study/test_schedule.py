"""Which cell runs next, and how long it still takes."""

from __future__ import annotations

import random
from collections.abc import Callable

import pytest

from tippingpoint.study.cells import Cell
from tippingpoint.study.eta import Throughput, shape_of
from tippingpoint.study.grid import build_grid
from tippingpoint.study.load import Study
from tippingpoint.study.schedule import STATES, Schedule

Load = Callable[..., Study]


def test_parents_run_before_children_and_every_cell_once(load: Load) -> None:
    grid = build_grid(load())
    schedule = Schedule(grid, ())
    order = []
    while (key := schedule.take()) is not None:
        assert all(schedule.state[parent] == "done" for parent in grid.cells[key].parents.values())
        order.append(key)
        schedule.finish(key)
    assert sorted(order) == sorted(grid.cells)
    assert schedule.counts()["done"] == len(grid.cells)


def test_the_longest_chain_starts_first(load: Load) -> None:
    grid = build_grid(load())
    schedule = Schedule(grid, ())
    first = grid.cells[schedule.take() or ""]
    assert first.kind == "pretrain"
    assert first.where["n_pretrain"] == 450
    assert grid.children()[first.key], "something waits for it"


def test_a_failure_blocks_what_depends_on_it_and_nothing_else(load: Load) -> None:
    grid = build_grid(load())
    schedule = Schedule(grid, ())
    teacher = next(
        cell.key for cell in grid.cells.values() if cell.where["recipe"] == "scratch" and cell.where["student"] == 1
    )
    schedule._ready = [(0.0, 0, teacher), *(item for item in schedule._ready if item[2] != teacher)]
    assert schedule.take() == teacher
    blocked = set(schedule.fail(teacher))
    above = {key for key, cell in grid.cells.items() if teacher in cell.parents.values()}
    above |= {key for key, cell in grid.cells.items() if above & set(cell.parents.values())}
    assert blocked == above
    while (key := schedule.take()) is not None:
        schedule.finish(key)
    counts = schedule.counts()
    assert (counts["failed"], counts["blocked"]) == (1, len(above))
    assert counts["done"] == len(grid.cells) - 1 - len(above)


def test_no_estimate_before_enough_is_known_then_one_by_shape(load: Load) -> None:
    cells = list(build_grid(load()).cells.values())
    throughput = Throughput()
    assert throughput.remaining(cells, [], 2) is None
    for cell in cells[:-2]:
        throughput.add(cell, 0.1 * cell.estimate.n_steps)
    left = throughput.remaining(cells[-2:], [], 2)
    expected = 0.1 * sum(cell.estimate.n_steps for cell in cells[-2:]) / 2
    assert left is not None
    assert abs(left - expected) < 1e-9
    assert throughput.remaining([], [(cells[-1], 1.0)], 2) == 0.0


def test_a_slow_first_cell_does_not_mislead(load: Load) -> None:
    shapes: dict[str, list[Cell]] = {}
    for cell in build_grid(load()).cells.values():
        shapes.setdefault(shape_of(cell), []).append(cell)
    several = max(shapes.values(), key=len)
    throughput = Throughput()
    throughput.add(several[0], 9.0 * several[0].estimate.n_steps)
    for cell in several[1:]:
        throughput.add(cell, 0.1 * cell.estimate.n_steps)
    assert throughput.expected(several[0]) == pytest.approx(0.1 * several[0].estimate.n_steps, rel=1e-9)
    other = next(cells[0] for cells in shapes.values() if cells is not several)
    rate = 0.1 * sum(cell.estimate.n_steps for cell in several) / sum(cell.estimate.work for cell in several)
    assert throughput.expected(other) == pytest.approx(rate * other.estimate.work, rel=1e-9)


@pytest.mark.parametrize("way", ["precision=bfloat16", "compile=true"])
def test_cells_that_compute_in_another_way_have_another_pace(load: Load, study_text: str, way: str) -> None:
    plain, other = (
        {shape_of(cell) for cell in build_grid(load(study_text, *asked)).cells.values() if "training" in cell.task}
        for asked in ((), (way,))
    )
    assert plain
    assert not plain & other


def test_the_counts_are_those_of_the_states(load: Load) -> None:
    """They are kept as states change; here against a count, after each of many changes drawn from a seed."""
    grid, draw = build_grid(load()), random.Random(0)
    schedule = Schedule(grid, list(grid.cells)[:3])
    running: list[str] = []
    seen = set()
    for _ in range(400):
        move = draw.choice(["take", "take", "finish", "release", "fail", "reopen"])
        if move == "take" and (key := schedule.take()) is not None:
            running.append(key)
        elif move in ("finish", "release", "fail") and running and (move != "fail" or draw.random() < 0.1):
            getattr(schedule, move)(running.pop(draw.randrange(len(running))))
        elif move == "reopen" and draw.random() < 0.2 and (done := schedule.keys("done")):
            schedule.reopen(draw.choice(done))
        counts = schedule.counts()
        assert counts == {state: len(schedule.keys(state)) for state in STATES}
        seen |= {state for state, count in counts.items() if count}
    assert seen == set(STATES)
