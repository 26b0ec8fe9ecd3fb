"""What the recipes of a study differ by, size by size, without any law: the tables of docs/experiments.md.

    python benchmarks/differences.py studies/reuse
    python benchmarks/differences.py studies/terms --first shuffled_in_class
    python benchmarks/differences.py studies/finetune-boundary --along n_finetune

Reads ``runs.csv`` and prints a Markdown table for each student, stage, downstream set and size of the other axis: the
first recipe minus every other one, mean ± standard error over seed blocks, positive where the other one is better
(`tippingpoint.boundary.paired_differences`).
"""

from __future__ import annotations

import argparse
from pathlib import Path

import pandas as pd

from tippingpoint.boundary import paired_differences

TARGETS = {"cross_entropy": "cross-entropy", "cross_entropy_calibrated": "calibrated", "error": "error"}


def said(value: float) -> str:
    """Return a number as the tables say it: +.169."""
    return f"{value:+.3f}".replace("0.", ".", 1).replace("-", "\N{MINUS SIGN}")


def cells(found: pd.DataFrame, along: str, sizes: list[float]) -> list[str]:
    """Return mean ± standard error at each size; empty where nothing pairs."""
    known = found.set_index(along)
    return [
        f"{said(known.at[size, 'mean'])} ± {said(known.at[size, 'standard_error']).lstrip('+')}"
        if size in known.index and known.at[size, "n_pairs"]
        else ""
        for size in sizes
    ]


def tables(runs: pd.DataFrame, first: str, along: str) -> list[str]:
    """Return the tables, one text each."""
    held = "n_finetune" if along == "n_pretrain" else "n_pretrain"
    found = []
    for (student, stage, downstream, size), part in runs.groupby(
        ["student", "stage", "downstream", held], dropna=False
    ):
        plain = part[part["recipe"] == first]
        sizes = sorted(plain[along].unique())
        lines = []
        for target, called in TARGETS.items():
            for (recipe, teacher), others in part[part["recipe"] != first].groupby(["recipe", "teacher"], dropna=False):
                if not set(sizes) & set(others[along]):
                    continue
                pairs = paired_differences(
                    pd.concat([plain, others]),
                    along,
                    {"n_params": part["n_params"].iloc[0], **({held: size} if pd.notna(size) else {})},
                    target=target,
                    stage=stage,
                    recipes=(first, recipe),
                )
                guide = "" if pd.isna(teacher) else f" by {teacher}"
                lines.append(f"| {called}, {recipe}{guide} | {' | '.join(cells(pairs, along, sizes))} |")
        if lines:
            where = [str(student), str(stage), *(str(one) for one in (downstream,) if pd.notna(one))]
            where += [f"{held} {size:,.0f}"] if pd.notna(size) else []
            head = f"{', '.join(where)}\n\n| {first} minus, by {along} | {' | '.join(f'{one:,.0f}' for one in sizes)} |"
            found.append("\n".join([head, "| --- |" + " ---: |" * len(sizes), *lines]))
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
