"""Formulas in LaTeX: read back as mathematics they are the law, and no name is ever obeyed."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import tippingpoint as tp
from tippingpoint.errors import FitError, NotFittedError
from tippingpoint.laws.formula import Formula
from tippingpoint.laws.latex import escaped, name, number
from tippingpoint.laws.registry import law_named, law_names

AXES = ("n_pretrain", "n_params", "n_finetune")
FOUR_DIGITS = 5e-3  # exponents of four digits, over sizes of up to 1e6
HOSTILE = ("a_b & \\input{x}", "50%#$", "x^2~[y]", "中 é")


def runs(axes: tuple[str, ...] = AXES) -> dict[str, Any]:
    """Return 60 runs whose error no law follows exactly."""
    random = np.random.default_rng(5)
    sizes = 10 ** random.uniform([2, 4, 1], [6, 7, 4], (60, 3))
    error = 0.05 + sizes[:, 0] ** -0.3 + 20 * sizes[:, 1] ** -0.5 + sizes[:, 2] ** -0.4
    return dict(zip(axes, sizes.T, strict=True)) | {"error": error * np.exp(random.normal(0, 0.02, 60))}


def evaluate(formula: str, sizes: dict[str, Any]) -> Any:
    """Read a right-hand side as mathematics: our LaTeX is numbers, names, powers, sums, products and brackets."""
    text = re.sub(r"\\times 10\^\{(-?\d+)\}", r"e\1", formula)
    text = text.replace(r"\left", "").replace(r"\right", "").replace(r"\,", " * ")
    text = re.sub(r"\\mathrm\{([^}]*)\}", lambda found: found.group(1).replace("\\", ""), text)
    text = re.sub(r"\^\{([^}]*)\}", r" ** (\1)", text)
    assert re.fullmatch(r"[\w .+*()e-]+", text)
    return eval(text, {"__builtins__": {}}, sizes)


@pytest.mark.parametrize("law", ["auto", *(one for one in law_names() if one in law_names()[:5])])
def test_the_formula_read_back_is_the_law(law: str) -> None:
    table = runs()
    fitted = law_named(law)(list(AXES)).fit(table)
    sizes = {axis: table[axis] for axis in AXES}
    left, _, right = fitted.to_latex().partition(" = ")
    assert left == r"\mathrm{error}"
    np.testing.assert_allclose(evaluate(right, sizes), fitted.predict(sizes), rtol=FOUR_DIGITS, atol=0)


def test_held_parameters_stand_in_the_formula() -> None:
    law = tp.AdditivePowerLaw(list(AXES), fixed={"floor": 0.0625, "n_params.exponent": 0.5}).fit(runs())
    assert law.to_latex().startswith(r"\mathrm{error} = 0.0625 + ")
    assert r"\mathrm{n\_params}^{-0.5}" in law.to_latex()


def test_an_unfitted_law_has_no_formula() -> None:
    with pytest.raises(NotFittedError, match=r"call fit\(runs\) first"):
        tp.AdditivePowerLaw(["n"]).to_latex()


def test_a_law_of_ones_own_is_told_what_it_lacks() -> None:
    class Bare(Formula):
        name = "bare"
        title = "Bare law"

        def features(self, logs: Any, shape: Any) -> Any: ...

        def slopes(self, logs: Any, weights: Any, shape: Any) -> Any: ...

        def raw(self, weights: Any, shape: Any, log_reference: Any) -> Any: ...

    with pytest.raises(FitError, match=r"give Bare a method latex\(\)"):
        Bare(["n"]).latex({})


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.25, "0.25"),
        (1.5e-7, r"1.5\times 10^{-7}"),
        (-3e12, r"-3\times 10^{12}"),
        (float("nan"), r"\cdot"),
        (0.0, "0"),
    ],
)
def test_numbers(value: float, text: str) -> None:
    assert number(value) == text


@pytest.mark.parametrize("text", HOSTILE)
def test_names_are_set_letter_by_letter(text: str) -> None:
    told = name(text)
    assert told == rf"\mbox{{{escaped(text)}}}"
    assert not re.search(r"\\input", told)
    assert re.sub(r"\\[{}]", "", told).count("{") == re.sub(r"\\[{}]", "", told).count("}")


@pytest.mark.skipif(shutil.which("pdflatex") is None, reason="there is no pdflatex on this machine")
def test_formulas_compile_without_a_package(tmp_path: Path) -> None:
    table = runs(HOSTILE[:3])
    table[HOSTILE[3]] = table.pop("error")
    laws = [tp.AdditivePowerLaw(list(HOSTILE[:3])).fit(table, HOSTILE[3])]
    laws += [law_named(one)(list(AXES)).fit(runs()) for one in ("auto", "transfer", "interaction")]
    body = "\n".join(rf"\[ {law.to_latex()} \]" for law in laws)
    (tmp_path / "f.tex").write_text(
        f"\\documentclass{{article}}\\begin{{document}}\n{body}\n\\end{{document}}\n", "utf-8"
    )
    words = ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", "f.tex"]
    done = subprocess.run(words, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-2000:]
