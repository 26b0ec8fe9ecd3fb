"""What the recipes of a study differ by, size by size, without any law: the tables of docs/experiments.md.

    python benchmarks/differences.py studies/reuse
    python benchmarks/differences.py studies/terms --first shuffled_in_class
    python benchmarks/differences.py studies/finetune-boundary --along n_finetune

Reads ``runs.csv`` and prints a Markdown table for each student, stage, downstream set and size of the other axis: the
first recipe minus every other one, mean ± standard error over seed blocks, positive where the other one is better. A
pair shares subset, seed and all sizes; repeats within a block are averaged first.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import pandas as pd

TARGETS = {"cross_entropy": "cross-entropy", "cross_entropy_calibrated": "calibrated", "error": "error"}
BLOCK = ["subset_seed", "seed"]


def blocks_by_size(runs: pd.DataFrame, along: str, target: str) -> pd.DataFrame:
    """Return a target's mean for each seed block (rows) and size (columns)."""
    return runs.pivot_table(index=BLOCK, columns=along, values=target, aggfunc="mean")


def line(name: str, difference: pd.DataFrame) -> str:
    """Return a row of the table: mean ± standard error over the blocks that have both."""
    cells = [
        f"{said(column.mean())} ± {said(column.sem()).lstrip('+')}" if column.notna().any() else ""
        for _, column in difference.items()
    ]
    return f"| {name} | {' | '.join(cells)} |"


def said(value: float) -> str:
    """Return a number as the tables say it: +.169."""
    return f"{value:+.3f}".replace("0.", ".", 1).replace("-", "\N{MINUS SIGN}")


def tables(runs: pd.DataFrame, first: str, along: str) -> list[str]:
    """Return the tables, one text each."""
    held = "n_finetune" if along == "n_pretrain" else "n_pretrain"
    found = []
    for (student, stage, downstream, size), part in runs.groupby(
        ["student", "stage", "downstream", held], dropna=False
    ):
        plain = part[part["recipe"] == first]
        others = part[part["recipe"] != first].groupby(["recipe", "teacher"], dropna=False)
        lines = []
        for target, called in TARGETS.items():
            reference = blocks_by_size(plain, along, target)
            for (recipe, teacher), runs_of_it in others:
                difference = reference - blocks_by_size(runs_of_it, along, target)
                if difference.notna().any(axis=None):
                    guide = "" if pd.isna(teacher) else f" by {teacher}"
                    lines.append(line(f"{called}, {recipe}{guide}", difference))
        if lines:
            sizes = " | ".join(f"{column:,.0f}" for column in reference.columns)
            where = [str(student), str(stage), *(str(one) for one in (downstream,) if pd.notna(one))]
            where += [f"{held} {size:,.0f}"] if pd.notna(size) else []
            head = f"{', '.join(where)}\n\n| {first} minus, by {along} | {sizes} |"
            found.append("\n".join([head, "| --- |" + " ---: |" * len(reference.columns), *lines]))
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("study", type=Path)
    parser.add_argument("--first", default="scratch")
    parser.add_argument("--along", default="n_pretrain", choices=("n_pretrain", "n_finetune"))
    asked = parser.parse_args()
    runs = pd.read_csv(asked.study / "runs.csv")
    print("\n\n".join(tables(runs[runs[asked.along].notna()], asked.first, asked.along)))


if __name__ == "__main__":
    main()
