"""The example data, and the README's example: what stands there is what comes out."""

from __future__ import annotations

import contextlib
import io
import re
from pathlib import Path

import numpy as np
import pytest

import tippingpoint as tp

README = (Path(__file__).parents[1] / "README.md").read_text(encoding="utf-8")


def test_the_example_is_the_whole_standard_study() -> None:
    runs = tp.load_example()
    frame = runs.frame
    assert len(frame) == 1605
    assert frame.groupby(["subset_seed", "seed"]).ngroups == 5
    assert set(frame["scored_on"]) == {"test"}
    assert frame["error"].between(0, 1).all()


def test_the_primary_endpoint_says_what_the_readme_says() -> None:
    edge = tp.find_boundary(
        tp.load_example(), stage="pretrained", target="cross_entropy", at={"n_params": 53056}, random_state=0
    )
    assert not edge.laws_hold
    (turn,) = edge.measured
    assert turn.value == pytest.approx(2900, rel=0.01)
    assert turn.interval[0] == pytest.approx(2190, rel=0.01)
    assert turn.interval[1] is None
    row = next(line for line in README.splitlines() if line.startswith("| cross-entropy, 2 → 4 heads"))
    told = [(float(a.replace("−", "-")), float(b)) for a, b in re.findall(r"([+−]\.\d+) ± (\.\d+)", row)]
    measured = edge.paired_[["mean", "standard_error"]].round(3).to_numpy().tolist()
    np.testing.assert_allclose(told, measured, rtol=0, atol=1e-9)


EXAMPLES = re.findall(r"```python\n(.*?)```\s+```\n(.*?)```", README, re.DOTALL)


def test_the_first_example_has_six_lines() -> None:
    assert len(EXAMPLES) == 2
    assert len(EXAMPLES[0][0].splitlines()) == 6


@pytest.mark.parametrize(("code", "printed"), EXAMPLES, ids=["boundary", "law"])
def test_the_readmes_examples_print_what_stands_below_them(code: str, printed: str) -> None:
    out = io.StringIO()
    with contextlib.redirect_stdout(out):
        exec(compile(code, "README.md", "exec"), {})  # our own page, read from the repository
    # Digits of a fit may differ in the last place between machines; words and the table's form may not.
    blank = re.compile(r"\d+\.\d+")
    assert blank.sub("#", out.getvalue()).split() == blank.sub("#", printed).split()
