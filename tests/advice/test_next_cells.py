"""What to run next, of tables and of studies: costs, what is done, where help lies, and what is refused."""

from __future__ import annotations

import math
from dataclasses import replace
from itertools import pairwise
from typing import Any

import numpy as np
import pandas as pd
import pytest

from tippingpoint.advice import Next, next_cells
from tippingpoint.errors import InputError, RunsError
from tippingpoint.runs import load_example

SIZES = (100, 200, 400, 800, 1600, 3200)
SMALL, LARGE = 1000.0, 5000.0
ABOUT: dict[str, Any] = {"stage": "pretrained", "target": "cross_entropy", "at": {"n_params": LARGE}, "resamples": 300}


def a_table(
    blocks: int = 3, sizes: tuple[int, ...] = SIZES, noise: float = 0.02, seed: int = 0, shift: float = 1.0
) -> pd.DataFrame:
    """Two recipes that cross near 260 images times ``shift``; the scratch model of the small size is the teacher."""
    generator = np.random.default_rng(seed)
    rows = []
    for block in range(blocks):
        for size in sizes:
            pair = generator.normal()
            for recipe, n_params, law in (
                ("scratch", SMALL, (0.3, 8.0, 0.7)),
                ("scratch", LARGE, (0.1, 8.0, 0.7)),
                ("distilled", LARGE, (0.16, 2.2, 0.55)),
            ):
                guided = recipe == "distilled"
                value = (law[0] + law[1] * (size / shift) ** -law[2]) * np.exp(
                    noise * (pair + generator.normal()) / 1.4
                )
                own = 6 * n_params * size
                rows.append(
                    {
                        "recipe": recipe,
                        "stage": "pretrained",
                        "n_pretrain": size,
                        "n_params": n_params,
                        "n_params_teacher": SMALL if guided else np.nan,
                        "teacher": "heads=1" if guided else None,
                        "subset_seed": block,
                        "seed": block,
                        "pretrain_id": f"{recipe}{n_params}{size}{block}",
                        "cross_entropy": value,
                        "pretrain_flops": own,
                        "teacher_flops": 6 * SMALL * size + 2 * SMALL * size if guided else 0.0,
                        "finetune_flops": 0.0,
                        "wall_s": own / 1e6,
                    }
                )
    return pd.DataFrame(rows)


def cells_of(frame: pd.DataFrame, blocks: int, sizes: tuple[int, ...] = SIZES) -> list[dict[str, Any]]:
    """Return the cells of the study that the table is of, as cells.jsonl lists them."""
    done = set(frame["pretrain_id"])
    cells = []
    for block in range(blocks):
        for size in sizes:
            for recipe, n_params in (("scratch", SMALL), ("scratch", LARGE), ("distilled", LARGE)):
                guided = recipe == "distilled"
                key = f"{recipe}{n_params}{size}{block}"
                where = {"recipe": recipe, "teacher": "heads=1" if guided else None, "n_pretrain": size}
                where |= {"subset_seed": block, "seed": block, "downstream": None, "n_finetune": None}
                guidance = 2 * SMALL * size if guided else 0.0
                cells.append(
                    {
                        "key": key,
                        "kind": "pretrain",
                        "label": f"{recipe} {n_params:g} {size} images block {block}/{block}",
                        "state": "done" if key in done else "todo",
                        "wall_s": 2.0 if key in done else None,
                        "inputs": {
                            "where": where,
                            "parents": {"teacher_0": f"scratch{SMALL}{size}{block}"} if guided else {},
                        },
                        "cost": {"n_params": n_params, "flops": 6 * n_params * size, "guidance_flops": guidance},
                    }
                )
    return cells


def bundle_cost(size: float, recipes: tuple[str, ...], teacher: bool) -> float:
    total = 6 * LARGE * size * len(recipes)
    return total + (2 * SMALL * size if "distilled" in recipes else 0) + (6 * SMALL * size if teacher else 0)


def test_a_table_offers_new_blocks_and_charges_the_teacher_once() -> None:
    found = next_cells(a_table(), extra_seeds=2, **ABOUT)
    assert found.basis == "laws"
    assert found.unit == "FLOPs"
    assert found.offered == len(SIZES) * 2 * 3, "scratch, distilled or both at every size of two new blocks"
    paid: set[tuple[float, int]] = set()
    for one in found.candidates:
        size, block = one.sizes["n_pretrain"], one.block[0]
        assert one.new_block
        assert block in (3, 4)
        teacher = "distilled" in one.recipes and (size, block) not in paid
        assert one.cost == pytest.approx(bundle_cost(size, one.recipes, teacher), rel=1e-9)
        paid |= {(size, block)} if "distilled" in one.recipes else set()
    widths = [found.width, *(one.width_after for one in found.candidates)]
    assert all(later < sooner for sooner, later in pairwise(widths))


def test_a_teacher_that_is_there_costs_nothing_more() -> None:
    table = a_table(4)
    lacking = table[~((table["subset_seed"] == 3) & (table["n_params"] == LARGE))]
    found = next_cells(lacking, extra_seeds=0, **ABOUT)
    assert found.candidates
    for one in found.candidates:
        assert one.block == (3, 3)
        assert one.cost == pytest.approx(bundle_cost(one.sizes["n_pretrain"], one.recipes, False), rel=1e-9)


def test_help_lies_near_the_crossing() -> None:
    found = next_cells(a_table(), batch=1, **ABOUT)
    where = found.crossings[0]["value"]
    assert 0.3 < found.candidates[0].sizes["n_pretrain"] / where < 3


def test_a_study_offers_its_cells_and_what_failed_stands_in_the_way() -> None:
    table = a_table(3)
    table = table[~((table["subset_seed"] == 2) & (table["n_pretrain"] > 200))]
    cells = cells_of(table, 3)
    found = next_cells(table, cells=cells, extra_seeds=0, batch=20, **ABOUT)
    todo = {cell["key"] for cell in cells if cell["state"] == "todo"}
    named = [key for one in found.candidates for key in one.cells]
    assert named
    assert set(named) <= todo
    assert len(named) == len(set(named)), "nothing is trained twice"
    total = {cell["key"]: cell["cost"]["flops"] + cell["cost"]["guidance_flops"] for cell in cells}
    for one in found.candidates:
        assert one.cost == pytest.approx(sum(total[key] for key in one.cells), rel=1e-12)
    for cell in cells:
        if cell["key"].startswith(f"scratch{SMALL}400"):
            cell["state"] = "failed" if cell["state"] == "todo" else cell["state"]
    less = next_cells(table, cells=cells, extra_seeds=0, batch=20, **ABOUT)
    named = [key for one in less.candidates for key in one.cells]
    assert "distilled5000.04002" not in named
    more = next_cells(table, cells=cells, extra_seeds=2, batch=20, **ABOUT)
    assert {one.block for one in more.candidates if one.new_block} <= {(3, 3), (4, 4)}
    assert more.offered == less.offered + 2 * 3 * len(SIZES)


def test_nothing_left_is_said() -> None:
    table = a_table(3)
    for found in (
        next_cells(table, cells=cells_of(table, 3), extra_seeds=0, **ABOUT),
        next_cells(table, extra_seeds=0, **ABOUT),
    ):
        assert found.candidates == ()
        assert "nothing on offer would narrow it" in found.words


def test_what_is_settled_needs_no_runs() -> None:
    found = next_cells(a_table(4, SIZES[2:], noise=0.002), **ABOUT)
    assert (found.width, found.candidates) == (0.0, ())
    assert found.words.startswith("At 90% it is settled from 400 to 3,200 pretraining images which recipe is better")


def test_sizes_of_a_study_that_were_not_run_are_asked_about() -> None:
    table = a_table(2, SIZES[:3], shift=8.0)
    cells = cells_of(table, 2)
    found = next_cells(table, cells=cells, extra_seeds=0, **ABOUT)
    assert found.range == (100, 3200)
    assert not found.bracketed
    assert any("beyond the sizes that were run" in warning for warning in found.warnings)
    beyond = next_cells(table, cells=cells, extra_seeds=0, beyond=True, **ABOUT)
    (one,) = beyond.candidates
    assert one.sizes["n_pretrain"] == 800
    assert one.recipes == ("scratch", "distilled")


def test_a_prediction_is_sharpened_by_runs_of_its_recipe() -> None:
    found = next_cells(a_table(), predict={"n_pretrain": 3200.0, "recipe": "scratch"}, batch=3, **ABOUT)
    assert found.question["predict"] == {"recipe": "scratch", "n_pretrain": 3200.0}
    assert found.candidates[0].recipes == ("scratch",)
    drawn = next_cells(a_table(6), predict={"n_pretrain": 3200.0, "recipe": "scratch"}, **ABOUT)
    assert drawn.width < found.width


def test_more_blocks_make_it_sharper_about_as_was_expected() -> None:
    """The expected width after ten pairs, against the width once they are there; over four studies."""
    ratios = []
    for seed in range(4):
        whole = a_table(6, seed=seed)
        before = next_cells(whole[whole["subset_seed"] < 3], extra_seeds=3, batch=1000, **ABOUT)
        after = next_cells(whole, extra_seeds=0, **ABOUT)
        ratios.append(after.width / before.candidates[-1].width_after)
    assert 0.6 < float(np.exp(np.mean(np.log(ratios)))) < 1.6


def test_where_the_laws_miss_the_runs_rank_for_themselves() -> None:
    found = next_cells(
        load_example(),
        stage="pretrained",
        target="cross_entropy",
        at={"n_params": 53056},
        teacher="heads=2",
        resamples=300,
    )
    assert found.basis == "runs"
    (low, high) = (2000, 14400)
    assert found.width == pytest.approx(math.log10(high / low), abs=0.15), "the interval is open above"
    assert any("laws miss the paired runs" in warning for warning in found.warnings)
    assert found.candidates[0].sizes["n_pretrain"] in (1800, 3600, 7200, 14400)


def test_other_axes_and_costs() -> None:
    about: dict[str, Any] = {"downstream": "digits", "teacher": "heads=2", "resamples": 300}
    found = next_cells(
        load_example(), along="n_finetune", at={"n_params": 53056, "n_pretrain": 900}, cost="seconds", **about
    )
    assert found.unit == "seconds"
    assert all(one.block[0] >= 5 for one in found.candidates)
    assert any("-> " in text for one in found.candidates for text in one.trains), "fine-tunings are trainings too"
    several = [one for one in found.candidates if "n_finetune" not in one.sizes]
    assert several, "one checkpoint with all its fine-tunings"
    assert "at several sizes of fine-tuning images, block" in replace(found, candidates=tuple(several)).words
    bare = a_table().drop(columns=["pretrain_flops", "teacher_flops", "finetune_flops", "wall_s"])
    plain = next_cells(bare, batch=1, **ABOUT)
    assert any("6 x parameters x images" in note for note in plain.notes)
    summed = next_cells(bare.assign(train_flops=1e9), batch=1, **ABOUT)
    assert summed.candidates[0].cost == pytest.approx(1e9 * len(summed.candidates[0].recipes))


def test_the_result_prints_in_80_columns_and_shows_in_a_notebook() -> None:
    found = next_cells(a_table(), **ABOUT)
    assert isinstance(found, Next)
    assert max(map(len, str(found).splitlines())) <= 80
    assert str(found).startswith("Run next: ")
    assert found._repr_html_().startswith("<pre>Run next: ")
    assert repr(found).startswith("Next(width=")
    assert next_cells(a_table(), **ABOUT).to_dict() == found.to_dict(), "the same question, the same answer"


@pytest.mark.parametrize(
    ("about", "words"),
    [
        ({"level": 1.0}, "level: 1 is not a probability"),
        ({"batch": 0}, "batch: 0 is not a whole number of 1 or more"),
        ({"extra_seeds": -1}, "extra_seeds: -1 is not a whole number"),
        ({"cost": "money"}, "cost: 'money' is not known"),
        ({"resamples": 10}, "10 draws are too few"),
        ({"recipes": ("scratch",)}, "is not a pair; name two"),
        ({"recipes": ("scratch", "destilled")}, "Did you mean 'distilled'?"),
        ({"along": "n_pretrian"}, "Did you mean 'n_pretrain'?"),
        ({"at": {"n_params": 7.0}}, "was not measured by both recipes"),
        ({"predict": {"n_params": 5000.0}}, "predict: give a size of n_pretrain"),
        ({"predict": {"n_pretrain": -1.0}}, "predict: n_pretrain=-1.0 is not a size above 0"),
        ({"predict": {"n_pretrain": 1.0, "recipe": "x"}}, "predict: recipe 'x' is not one of the two"),
    ],
)
def test_what_is_wrong_is_said(about: dict[str, Any], words: str) -> None:
    with pytest.raises(InputError) as refused:
        next_cells(a_table(2), **{**ABOUT, **about})
    assert words in " ".join(refused.value.faults)


def test_one_block_or_none_is_not_enough() -> None:
    with pytest.raises(RunsError, match="one seed block only"):
        next_cells(a_table(1), **ABOUT)
    with pytest.raises(RunsError, match="does not say the seed block"):
        next_cells(a_table(3).drop(columns=["subset_seed"]), **ABOUT)
    table = a_table(2)
    cells = [{**cell, "state": "todo"} for cell in cells_of(table, 3)]
    with pytest.raises(InputError, match="no cell of the study is done"):
        next_cells(table, cells=cells, cost="seconds", **ABOUT)


@pytest.mark.parametrize("absent", [["n_params_teacher"], ["n_params_teacher", "n_params"]])
def test_a_teacher_of_unknown_size_is_charged_as_recorded(absent: list[str]) -> None:
    table = a_table(2, sizes=(100, 300, 1000))
    table = table[table["n_params"] != SMALL] if "n_params" in absent else table
    assert (table["teacher_flops"] > 0).any()
    found = next_cells(table.drop(columns=absent), **{**ABOUT, "at": None if "n_params" in absent else ABOUT["at"]})
    assert all(candidate.cost > 0 for candidate in found.candidates)
