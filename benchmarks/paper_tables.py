"""Which terms of the paper's Table 4 its data cannot have determined.

Command: ``python benchmarks/paper_tables.py`` (a second; needs ../shared/data/fitting/paper_tables).

Each law of arXiv 2504.13219 is evaluated from its printed coefficients, in raw units, over the paper's ranges: 5% to
100% of ImageNet's 1.28M images, models of 2.52M to 38.4M parameters, 5% to 100% of each downstream set.
"""

from __future__ import annotations

import csv
import json
import sys
from pathlib import Path

import numpy as np

from tippingpoint.fitting.identifiability import given_terms

TABLE = Path(__file__).parents[1].parent / "shared" / "data" / "fitting" / "paper_tables" / "table1_4.csv"
RESULT = Path(__file__).parent / "results" / "paper_tables.json"
AXES = ("n_pretrain", "n_params", "n_finetune")
IMAGES = {"ImageNet100": 126_689, "TinyImageNet": 100_000, "CIFAR100": 50_000, "CIFAR10": 50_000}
LEAST_FLOOR = 1e-3


def audit() -> list[dict[str, object]]:
    """Return one record for each row of the table."""
    found = []
    with TABLE.open(encoding="utf-8") as stream:
        for row in csv.DictReader(stream):
            n = IMAGES[row["dataset"]]
            ranges = np.array([[0.05 * 1_281_167, 1_281_167], [2.52e6, 3.84e7], [0.05 * n, n]])
            coefficients = np.array([1 / float(row[name]) for name in ("lambda_p", "lambda_m", "lambda_f")])
            exponents = np.array([float(row[name]) for name in ("alpha", "beta", "gamma")])
            terms = given_terms(coefficients, exponents, ranges)
            floor = float(row["einf"])
            found.append(
                {
                    "dataset": row["dataset"],
                    "target": row["metric"],
                    "floor": floor,
                    "floor_shows": floor >= LEAST_FLOOR,
                    "terms": {
                        axis: {
                            "exponent": exponents[place],
                            "greatest": terms[place].greatest,
                            "swing": terms[place].swing,
                            "flag": terms[place].reason,
                        }
                        for place, axis in enumerate(AXES)
                    },
                }
            )
    return found


def main() -> int:
    if not TABLE.is_file():
        print(f"skipped: {TABLE.name} is not beside the project (../shared)")
        return 0
    found = audit()
    for row in found:
        print(f"{row['dataset']} {row['target']}: floor {row['floor']:.3g}{'' if row['floor_shows'] else ' (none)'}")
        for axis, term in row["terms"].items():  # type: ignore[attr-defined]
            print(
                f"  {axis:11s} exponent {term['exponent']:<7g} at most {term['greatest']:<9.3g} {term['flag'] or 'ok'}"
            )
    RESULT.write_text(json.dumps(found, indent=1) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
