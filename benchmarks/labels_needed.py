r"""How good is "so many labels are needed": asked of runs with few labels, held against runs with many.

Command: ``python benchmarks/labels_needed.py RUNS LATER`` with the runs tables or study directories of studies with
the recipe ``public_frozen``; how those of the recorded results were made stands in docs/labels.md.

For each set and model the runs with at most so many labels (each of ``MOST`` in turn) are all that the advisor sees. It
is asked for a target that is known to be met further on: the mean error over the blocks that was measured at a larger
number of labels. The answer is right where its interval of ``labels needed`` holds that number. ``factor`` is the
expected number over the true one. ``never``: it was said that no amount reaches the target, or none within a thousand
times the data; such an answer too has an interval, open above. Whether the measured error lies inside the interval of
what is expected there is ``error_inside``.
"""

from __future__ import annotations

import argparse
import platform
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

import tippingpoint as tp
from tippingpoint.files import dump_json
from tippingpoint.laws.registry import law_named

MOST = (160, 320, 640)
LAWS = ("additive", "auto")
LEVEL = 0.9


def answers(runs: pd.DataFrame, most: int, law: str) -> list[dict[str, Any]]:
    """Return one answer for each larger number of labels of one set and model."""
    seen, later = runs[runs["n_finetune"] <= most], runs[runs["n_finetune"] > most]
    fitted = law_named(law)(axes=["n_finetune"], random_state=0).fit(seen, "error")
    found = []
    for labels, group in later.groupby("n_finetune"):
        target = float(group["error"].mean())
        advice = tp.advise(
            seen,
            target_error=target,
            prices={"label": 1.0},
            law=law,
            level=LEVEL,
            max_extrapolation=1000.0,
            random_state=0,
        )
        expected = fitted.predict({"n_finetune": float(labels)}, interval=LEVEL)
        best = advice.best
        needed = (best or advice.others[0]).needed["n_finetune"]
        found.append(
            {
                "most": most,
                "law": law,
                "labels": int(labels),
                "beyond": float(labels) / most,
                "target": target,
                "expected": best.sizes["n_finetune"] if best is not None else None,
                "low": needed[0],
                "high": needed[1],
                "right": bool(needed[0] <= labels <= needed[1]),
                "never": best is None,
                "chance": advice.probability_reachable,
                "error_inside": bool(expected.interval[0] <= target <= expected.interval[1]),
            }
        )
    return found


def main() -> None:
    """Ask all questions and print how the answers did."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", nargs="+")
    parser.add_argument("--out", type=Path, default=None, help="Also write all answers as JSON.")
    arguments = parser.parse_args()
    runs = pd.concat([tp.read_runs(path).frame for path in arguments.runs], ignore_index=True)
    runs = runs.drop_duplicates(["downstream", "student", "n_finetune", "subset_seed"])
    rows = []
    for (downstream, student), own in runs.groupby(["downstream", "student"]):
        for most in MOST:
            if own["n_finetune"].max() > most:
                for law in LAWS:
                    rows += [{"set": downstream, "model": student, **row} for row in answers(own, most, law)]
    table = pd.DataFrame(rows)
    print(table.round(4).to_string(index=False))
    table["factor"] = table["expected"] / table["labels"]
    table["far"] = np.where(table["beyond"] <= 2, "2 times", np.where(table["beyond"] <= 4, "4 times", "8 and more"))
    print()
    print(
        table.groupby(["law", "far"])
        .agg(
            asked=("right", "size"),
            right=("right", "sum"),
            never=("never", "sum"),
            error_inside=("error_inside", "sum"),
            open_above=("high", lambda ends: int(np.isinf(ends).sum())),
            factor=("factor", "median"),
        )
        .round(2)
        .to_string()
    )
    if arguments.out is not None:
        machine = {"python": platform.python_version(), "tippingpoint": tp.__version__}
        record = {"command": "python benchmarks/labels_needed.py RUNS LATER", **machine, "answers": rows}
        arguments.out.write_text(dump_json(record, indent=1) + "\n", encoding="utf-8")  # open ends are null


if __name__ == "__main__":
    main()
