"""Sentences for what is wrong with a table: file, row, column, remedy."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

from tippingpoint.errors import did_you_mean

__all__ = ["at_rows", "larger_is_better", "missing_columns"]

_SHOWN = 5
#: Names of scores that grow as a model gets better: accuracy, test_acc, val/acc@1, auroc.
_GROWS = re.compile(r"(.*[^a-z])?(acc|accuracy|auc|auroc)(@?\d+)?")


def at_rows(
    bad: NDArray[np.bool_],
    lines: NDArray[np.intp],
    column: str | None,
    what: str,
    source: str,
    word: str,
    values: Sequence[object] | None = None,
) -> list[str]:
    """Return no sentence, or one that names the rows where ``bad`` holds.

    Parameters
    ----------
    bad : ndarray of bool, shape (n,)
        Where the fault is.
    lines : ndarray of int, shape (n,)
        What each row is called.
    column : str or None
        The column; None where the fault is the row's.
    what : str
        What is wrong with it, with the remedy.
    source, word : str
        The file, and whether ``lines`` are lines or rows.
    values : sequence, optional
        The cells; the first faulty one is shown.
    """
    at = np.flatnonzero(bad)
    if not len(at):
        return []
    shown = ", ".join(str(int(lines[row])) for row in at[:_SHOWN])
    more = f" and {len(at) - _SHOWN} more" if len(at) > _SHOWN else ""
    plural = "s" if len(at) > 1 else ""
    example = "" if values is None else f" ('{str(values[int(at[0])])[:40]}')"
    subject = "" if column is None else f"column '{column}'{example} "
    return [f"{source}, {word}{plural} {shown}{more}: {subject}{what}."]


def larger_is_better(target: str) -> list[str]:
    """Return no sentence, or one that refuses a score of which more is better: every answer would be upside down."""
    if not _GROWS.fullmatch(target.lower()):
        return []
    name = target if target.isidentifier() else f"`{target}`"
    return [
        f"Target '{target}' grows as a model gets better, and laws and answers are of what falls; make an error of it "
        f"with define (--define 'error=1 - {name}', or 1 - {name} / 100 of per cent) and leave the target out."
    ]


def missing_columns(names: Iterable[str], present: Iterable[object], source: str, remedy: str = "") -> list[str]:
    """Return a sentence for each name that is not a column, with the nearest that is, or what there is and a remedy."""
    known = [str(name) for name in present]
    listed = ", ".join(known[:20]) + (", …" if len(known) > 20 else "")
    return [
        f"{source}: there is no column '{name}'.{did_you_mean(name, known) or f' There are: {listed}{remedy}.'}"
        for name in dict.fromkeys(names)
        if name not in known
    ]
