"""Smoothness of two recipes on studies whose roughness is known."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy import stats

import tippingpoint
from tippingpoint.boundary import Smoothness
from tippingpoint.boundary.smoothness import compare_smoothness
from tippingpoint.errors import InputError, RunsError
from tippingpoint.fitting.roughness import roughness
from tippingpoint.runs.curves import read_curves

STEP = np.arange(2, 402, 2)
SIZES, LABELS, BLOCKS = (100, 200, 400, 800), (50, 200), range(5)


def study(
    root: Path,
    noise: float = 0.5,
    *,
    shift: float = 0.0,
    later: float = 1.0,
    wobble: float = 0.5,
    per_label: float = 1.0,
    steps: int | None = None,
    sigma: float = 0.05,
) -> Path:
    """Write a study whose guided curves have ``noise`` times scratch's noise, and errors ``wobble`` times."""
    curves, runs = [], []
    for block in BLOCKS:
        for n in SIZES:
            for labels in (None, *LABELS):
                for recipe in ("scratch", "distilled"):
                    guided = recipe == "distilled"
                    place: dict[str, Any] = {"recipe": recipe, "stage": "finetuned" if labels else "pretrained"}
                    place |= {"upstream": "toys", "downstream": "beans" if labels else None, "n_pretrain": n}
                    place |= {"student": "heads=4", "teacher": "heads=2" if guided else None, "n_finetune": labels}
                    place |= {"subset_seed": block, "seed": block}
                    draw = np.random.default_rng([block, n, labels or 0])
                    spread = sigma * (noise * per_label ** np.log2((labels or 50) / 50) if guided else 1)
                    stretch = later if guided else 1.0
                    ce = 2 * (STEP / stretch) ** -0.3 + spread * draw.normal(size=STEP.size) + shift * guided
                    step = STEP if steps is None or not guided else STEP * steps
                    extra: dict[str, Any] = {"schema_version": 1, "n_steps": int(step[-1]), "warmup_steps": 20}
                    extra |= {"step": step.tolist(), "loss": ce.tolist(), "ce": ce.tolist()}
                    curves.append({**place, **extra})
                    bend = 0.1 * draw.normal() * (wobble if guided else 1)
                    score = n**-0.3 * np.exp(bend)
                    runs.append({**place, "error": score, "cross_entropy": score})
    (root / "curves.jsonl").write_text("".join(json.dumps(line) + "\n" for line in curves))
    pd.DataFrame(runs).to_csv(root / "runs.csv", index=False)
    return root


def overall(found: Any, measure: str, stage: str = "finetuned") -> Any:
    table = found.table_
    return table[(table["scope"] == "all") & (table["measure"] == measure) & (table["stage"] == stage)].iloc[0]


def test_known_ratios_are_found(tmp_path: Path) -> None:
    found = tippingpoint.compare_smoothness(study(tmp_path, noise=0.5, wobble=0.25))
    for stage in ("finetuned", "pretrained"):
        row = overall(found, "roughness", stage)
        assert row["ratio"] == pytest.approx(0.5, rel=0.02)  # the same draws, scaled
        assert row["low"] <= row["ratio"] <= row["high"]
        assert row["first"] == pytest.approx(0.05, rel=0.05)
        assert row["n_blocks"] == 5
        assert overall(found, "error_roughness", stage)["ratio"] == pytest.approx(0.25, rel=1e-6)
    assert found.n_pairs == len(SIZES) * (1 + len(LABELS)) * len(BLOCKS)
    sure = found.table_[(found.table_["scope"] == "all") & (found.table_["measure"] != "steps")]
    smoother = int((sure["p_holm"] < 0.1).sum())
    assert smoother >= 4
    assert found.claims()[0] == (
        f"Of 8 comparisons of roughness {smoother} stand out as smoother under distilled and 0 as rougher."
    )
    assert compare_smoothness(tmp_path, ("distilled", "scratch")).claims()[0] == (
        f"Of 8 comparisons of roughness 0 stand out as smoother under scratch and {smoother} as rougher."
    )
    assert "training losses smoother (0.50 [" in found.claims()[1]


def test_alike_curves_are_not_told_apart(tmp_path: Path) -> None:
    found = compare_smoothness(study(tmp_path, noise=1.0, wobble=1.0))
    assert found.table_.loc[found.table_["scope"] != "doubling", "ratio"].to_numpy() == pytest.approx(1.0)
    assert "0 stand out as smoother under distilled and 0 as rougher" in found.claims()[0]
    assert (found.table_["p_holm"].dropna() == 1).all()


def test_the_other_way_round_is_the_reciprocal(tmp_path: Path) -> None:
    study(tmp_path, noise=0.7, later=1.5)
    one, other = compare_smoothness(tmp_path), compare_smoothness(tmp_path, ("distilled", "scratch"))
    assert len(one.table_) == len(other.table_)
    np.testing.assert_allclose(other.table_["ratio"], 1 / one.table_["ratio"], rtol=1e-9)
    np.testing.assert_allclose(other.table_["low"], 1 / one.table_["high"], rtol=1e-9)
    np.testing.assert_allclose(other.table_["first"].dropna(), one.table_["second"].dropna(), rtol=1e-9)
    np.testing.assert_allclose(other.table_["p"], one.table_["p"], rtol=1e-9)


def test_a_higher_curve_is_not_rougher_for_that_in_relative_terms(tmp_path: Path) -> None:
    found = compare_smoothness(study(tmp_path, noise=1.0, shift=2.0))
    assert overall(found, "roughness")["ratio"] == pytest.approx(1.0, rel=1e-9)
    assert overall(found, "relative_roughness")["ratio"] < 0.3


def test_steps_to_the_loss_that_both_reach(tmp_path: Path) -> None:
    found = compare_smoothness(study(tmp_path, noise=1, sigma=1e-4, later=2.0))
    row = overall(found, "steps")
    assert row["ratio"] == pytest.approx(2.0, rel=0.02), "twice the steps to every loss"
    assert row["reached"] == 0
    assert np.isnan(overall(found, "roughness")["reached"])
    sooner = compare_smoothness(study(tmp_path, noise=1, sigma=1e-4, later=0.5))
    assert overall(sooner, "steps")["ratio"] == pytest.approx(0.5, rel=0.02)
    assert overall(sooner, "steps")["reached"] == 1


def test_rows_by_size_and_along_the_labels(tmp_path: Path) -> None:
    found = compare_smoothness(study(tmp_path, noise=0.5, per_label=1.2))
    own = found.table_[(found.table_["measure"] == "roughness") & (found.table_["stage"] == "finetuned")]
    by_size = own[own["scope"] == "size"]
    assert by_size[["downstream", "n_finetune"]].to_numpy().tolist() == [["beans", 50], ["beans", 200]]
    assert by_size["ratio"].to_numpy() == pytest.approx([0.5, 0.5 * 1.2**2], rel=0.02)
    slope = own[own["scope"] == "doubling"].iloc[0]
    assert slope["ratio"] == pytest.approx(1.2, rel=0.02)
    pretrained = found.table_[(found.table_["stage"] == "pretrained") & (found.table_["scope"] == "size")]
    assert set(pretrained["n_pretrain"]) == set(SIZES)
    assert "beans, 50 labels" in found.text()
    assert "x per doubling of n_finetune" in found.text()


def test_blocks_are_the_units(tmp_path: Path) -> None:
    study(tmp_path)
    lines = (tmp_path / "curves.jsonl").read_text().splitlines()
    one = [line for line in lines if json.loads(line)["seed"] == 0]
    (tmp_path / "curves.jsonl").write_text("\n".join(one))
    row = overall(compare_smoothness(tmp_path), "roughness")
    assert row["n_blocks"] == 1, "eight pairs of one block are one"
    assert np.isnan([row["low"], row["p"], row["p_holm"]]).all()
    assert "no difference stands out" in compare_smoothness(tmp_path).claims()[1]


def test_holm_counts_all_rows_of_a_scope(tmp_path: Path) -> None:
    table = compare_smoothness(study(tmp_path, noise=0.9, wobble=0.9)).table_
    for _, own in table.groupby("scope"):
        raw, adjusted = own["p"].to_numpy(), own["p_holm"].to_numpy()
        assert adjusted[raw.argmin()] == pytest.approx(min(1.0, raw.min() * len(own)))
        assert (adjusted >= raw).all()


def test_pairs_of_other_lengths_are_set_aside_and_said(tmp_path: Path) -> None:
    with pytest.raises(RunsError, match="60 pairs are set aside: their trainings took different numbers of steps"):
        compare_smoothness(study(tmp_path, steps=2))


def test_mistakes(tmp_path: Path) -> None:
    study(tmp_path)
    with pytest.raises(RunsError, match=r"no curve of .* is of recipe 'destilled'.* Did you mean 'distilled'"):
        compare_smoothness(tmp_path, ("scratch", "destilled"))
    for wrong in (("scratch",), ("scratch", "scratch")):
        with pytest.raises(RunsError, match="name two different recipes"):
            compare_smoothness(tmp_path, wrong)
    with pytest.raises(InputError, match="level: 1 is not"):
        compare_smoothness(tmp_path, level=1)
    with pytest.raises(InputError, match="span: 2 is not"):
        compare_smoothness(tmp_path, span=2)
    frame = pd.read_csv(tmp_path / "runs.csv")
    frame.drop(columns="teacher").to_csv(tmp_path / "runs.csv", index=False)
    with pytest.raises(RunsError, match="there is no column 'teacher'"):
        compare_smoothness(tmp_path)


def test_two_sizes_of_data_have_no_roughness(tmp_path: Path) -> None:
    study(tmp_path)
    frame = pd.read_csv(tmp_path / "runs.csv")
    frame[frame["n_pretrain"] < 300].to_csv(tmp_path / "runs.csv", index=False)
    found = compare_smoothness(tmp_path)
    assert set(found.table_["measure"]) == {"roughness", "relative_roughness", "steps"}
    assert "needs three sizes of n_pretrain" in found.notes[0]


def test_the_interval_is_students_over_block_means(tmp_path: Path) -> None:
    found = compare_smoothness(study(tmp_path, noise=0.8), level=0.8)
    logs: dict[int, list[float]] = {}
    curves = [curve for curve in read_curves(tmp_path) if curve.place["stage"] == "pretrained"]
    for curve in curves:
        sign = 1 if curve.place["recipe"] == "distilled" else -1
        rough = roughness(curve.step, np.log(curve.parts["ce"]), after=20)
        logs.setdefault(curve.place["seed"], []).append(sign * np.log(rough))
    blocks = np.array([2 * np.mean(values) for values in logs.values()])
    row = overall(found, "relative_roughness", "pretrained")
    test = stats.ttest_1samp(blocks, 0)
    interval = test.confidence_interval(0.8)
    assert row[["ratio", "low", "high"]].to_list() == pytest.approx(np.exp([blocks.mean(), *interval]), rel=1e-9)
    assert row["p"] == pytest.approx(test.pvalue, rel=1e-9)


def test_only_what_stands_out_after_the_adjustment_is_claimed(tmp_path: Path) -> None:
    found = compare_smoothness(study(tmp_path, noise=0.9))
    table = found.table_.copy()
    table["p"], table["p_holm"] = 0.01, 0.5
    careful = Smoothness(found.recipes, 0.9, found.span, table, found.n_pairs)
    assert careful.claims()[0] == (
        "Of 8 comparisons of roughness 0 stand out as smoother under distilled and 0 as rougher."
    )
    assert careful.claims()[1].startswith("heads=4 under heads=2, finetuned, 5 blocks: no difference stands out in")


def test_the_warm_up_plays_no_part(tmp_path: Path) -> None:
    study(tmp_path, noise=1.0)
    lines = [json.loads(line) for line in (tmp_path / "curves.jsonl").read_text().splitlines()]
    for line in lines:
        if line["recipe"] == "distilled":
            line["ce"][:3] = [value + 3 * (-1) ** k for k, value in enumerate(line["ce"][:3])]  # up to step 6 of 20
    (tmp_path / "curves.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    assert overall(compare_smoothness(tmp_path), "roughness")["ratio"] < 1.3, "what its trend still feels of it"
    for line in lines:
        line["warmup_steps"] = 380
    (tmp_path / "curves.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    with pytest.raises(RunsError, match="60 pairs are set aside: their curves have under 20 points after the warm-up"):
        compare_smoothness(tmp_path)


def test_teachers_are_not_mixed(tmp_path: Path) -> None:
    study(tmp_path, noise=0.5, wobble=0.25)
    lines = [json.loads(line) for line in (tmp_path / "curves.jsonl").read_text().splitlines()]
    frame = pd.read_csv(tmp_path / "runs.csv")
    more = []
    for line in lines:  # `gentle` has the two teachers' effects exchanged
        if line["recipe"] == "scratch":
            more += [{**line, "recipe": "distilled", "teacher": "heads=3"}]
            more += [{**line, "recipe": "gentle", "teacher": "heads=2"}]
        else:
            more += [{**line, "recipe": "gentle", "teacher": "heads=3"}]
    scratch, guided = (frame[frame["recipe"] == recipe] for recipe in ("scratch", "distilled"))
    rows = [scratch.assign(recipe="distilled", teacher="heads=3"), scratch.assign(recipe="gentle", teacher="heads=2")]
    rows += [guided.assign(recipe="gentle", teacher="heads=3")]
    (tmp_path / "curves.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines + more))
    pd.concat([frame, *rows]).to_csv(tmp_path / "runs.csv", index=False)
    for first, other in (("scratch", 1.0), ("gentle", 2.0)):
        table = compare_smoothness(tmp_path, (first, "distilled")).table_
        whole = table[(table["scope"] == "all") & (table["stage"] == "finetuned")]
        ratios = whole.set_index(["teacher", "measure"])["ratio"]
        assert ratios["heads=2", "roughness"] == pytest.approx(0.5, rel=0.02), first
        assert ratios["heads=3", "roughness"] == pytest.approx(other, rel=0.02), first
        assert ratios["heads=2", "error_roughness"] == pytest.approx(0.25, rel=1e-6), first
        assert ratios["heads=3", "error_roughness"] == pytest.approx(other**2, rel=1e-6), first
