r"""Several laws of the same runs: held-out error, AICc, weights, and the choice among them.

*Backtests* decide: a law's score is the root of its mean squared log error over the folds of the largest scales
(:mod:`tippingpoint.fitting.backtest`). *AICc* is shown beside them:

.. math:: \mathrm{AICc} = n \ell + 2 p + \frac{2 p (p + 1)}{n - p - 1}

with p parameters, n the runs that count as independent (checkpoints where they are told, else rows by their weights)
and l the log of the mean loss, doubled where Huber's loss is linear (a Laplace likelihood), by the share of linear
residuals of all laws together so that laws are measured alike. AICc judges the fit inside the data; it cannot see how a
law extrapolates.

Deliberately not built: choosing by AICc wherever a scale can be held out.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from tippingpoint.errors import FitError
from tippingpoint.fitting.backtest import Fitted, Fitter, Fold, block_folds, fitter, fold_score, largest_folds
from tippingpoint.fitting.inputs import Inputs, independent_runs, read_inputs
from tippingpoint.fitting.rates import fit_rates, spread_sentence
from tippingpoint.fitting.setting import FitSetting
from tippingpoint.kinds import ABOVE, NAME, NAMES, kind_faults, or_none
from tippingpoint.laws.printing import aligned
from tippingpoint.runs import Runs, default_axes, read_runs, select_group

if TYPE_CHECKING:
    from pathlib import Path

    import pandas as pd

__all__ = ["AVERAGED", "DEFAULT_LAWS", "SHARPNESS", "Comparison", "LawScore", "backtest_weights", "compare_laws"]

Array = NDArray[np.float64]

DEFAULT_LAWS = ("additive", "multiplicative", "multiplicative-floor", "transfer", "interaction")
AVERAGED = ("additive", "multiplicative", "multiplicative-floor")  #: what ``--law auto`` averages
_SAME_OVER_ONE_AXIS = {"additive", "multiplicative-floor"}
_NEAR = 1.05  # a law with more parameters must foretell better than by this factor to be chosen
SHARPNESS = 4 / 3  #: weights are (mean squared error)^-SHARPNESS for each fold: see benchmarks/law_choice.py


@dataclass(frozen=True)
class LawScore:
    """What one law does on the runs.

    Attributes
    ----------
    law : str
    status : str
        Of the fit to all rows.
    objective : float
        The sum that was minimised.
    n_parameters : int
    aicc : float
        Infinite where there are too few runs for it.
    largest : dict of str to float
        RMSLE on the largest scale of each axis, fitted without it.
    rmsle : float
        Root of the mean squared error over those folds; the score that chooses.
    blocks : float
        RMSLE over seed blocks left out one by one; NaN with a single block.
    weight : float
        Share in an average of all the laws compared.
    """

    law: str
    status: str
    objective: float
    n_parameters: int
    aicc: float
    largest: dict[str, float]
    rmsle: float
    blocks: float
    weight: float


@dataclass(frozen=True)
class Comparison:
    """Laws in order, the best first.

    Attributes
    ----------
    scores : tuple of LawScore
    chosen : str
        Of the laws within 5% of the least held-out error, the one with the fewest parameters.
    rule : str
        How it was chosen, in a sentence.
    skipped : dict of str to str
        Laws that cannot be fitted to these axes, and why.
    axes : tuple of str
    target : str
    n_runs : int
    warnings, notes : tuple of str
    """

    scores: tuple[LawScore, ...]
    chosen: str
    rule: str
    skipped: dict[str, str]
    axes: tuple[str, ...]
    target: str
    n_runs: int
    warnings: tuple[str, ...]
    notes: tuple[str, ...]

    def summary(self) -> None:
        """Print one row a law, the best first, and how the choice was made."""
        print(self)

    def __str__(self) -> str:
        axes = list(self.scores[0].largest)
        rows = [["law", *(f"largest {axis}" for axis in axes), "together", "blocks", "dAICc", "share", "status"]]
        least = min(one.aicc for one in self.scores)
        for one in self.scores:
            measured = [*(one.largest[axis] for axis in axes), one.rmsle, one.blocks]
            cells = [f"{score:.4f}" if np.isfinite(score) else "-" for score in measured]
            worse = f"{one.aicc - least:.1f}" if np.isfinite(one.aicc) else "-"
            rows.append([one.law, *cells, worse, f"{one.weight:.1%}", one.status])
        lines = [f"RMSLE of {self.target} on what each law did not see ({self.n_runs} runs)", "", *aligned(rows), ""]
        lines.append(f"chosen: {self.chosen}. {self.rule}")
        lines += [f"left out: {name}: {why}" for name, why in self.skipped.items()]
        lines += [f"warning: {sentence}" for sentence in self.warnings]
        return "\n".join([*lines, *(f"note: {sentence}" for sentence in self.notes)])

    def _repr_html_(self) -> str:
        return f"<pre>{escape(str(self))}</pre>"

    def to_dict(self) -> dict[str, object]:
        """Return the JSON of ``tippingpoint compare``."""
        least = min((one.aicc for one in self.scores), default=np.inf)
        laws = [
            {
                "law": one.law,
                "status": one.status,
                "objective": one.objective,
                "n_parameters": one.n_parameters,
                "aicc": one.aicc,
                "delta_aicc": one.aicc - least if np.isfinite(one.aicc) else None,
                "largest": one.largest,
                "rmsle": one.rmsle,
                "blocks": one.blocks,
                "weight": one.weight,
            }
            for one in self.scores
        ]
        return {
            "axes": list(self.axes),
            "target": self.target,
            "n_runs": self.n_runs,
            "laws": laws,
            "chosen": self.chosen,
            "rule": self.rule,
            "skipped": self.skipped,
            "warnings": list(self.warnings),
            "notes": list(self.notes),
        }


def compare_laws(
    runs: Runs | pd.DataFrame | Mapping[str, Any] | str | Path,
    axes: Sequence[str] | None = None,
    target: str = "error",
    *,
    laws: Sequence[str] = DEFAULT_LAWS,
    objective: str = "huber-log",
    huber_delta: float = 1e-3,
    weights: str | None = None,
    max_exponent: float = 10.0,
    blocks: bool = True,
    recipe: str | None = None,
    stage: str | None = None,
    upstream: str | None = None,
    downstream: str | None = None,
) -> Comparison:
    """Fit several laws to one group of runs and score each by what it foretells.

    Parameters
    ----------
    runs : Runs, DataFrame, mapping of columns, or path
        The table.
    axes : sequence of str, optional
        Columns of sizes; those of the agreed axes that vary, by default.
    target : str, default "error"
        Column to explain.
    laws : sequence of str
        Their names. Those that need an axis which is not there are skipped, and said, unless none is left; so is
        one of two that are the same law over one axis.
    objective, huber_delta
        See :mod:`tippingpoint.fitting.objectives`; the same for every law. Under ``binomial`` so is the
        over-dispersion: the least that any of them leaves, since each law with its own would fit as well as any other.
    weights : str, optional
        Column that says how often each run counts.
    max_exponent : float, default 10
        Upper bound of every law's exponents.
    blocks : bool, default True
        Whether seed blocks are left out one by one as well.
    recipe, stage, upstream, downstream : str, optional
        Which group, where the table has several.

    Returns
    -------
    Comparison

    Raises
    ------
    RunsError
        Cells are missing or out of range, with their rows; or the group is ambiguous.
    FitError
        A setting is wrong, or no law is left.
    """
    axes = [axes] if isinstance(axes, str) else axes
    faults = kind_faults(
        {
            "axes": (axes, or_none(NAMES)),
            "target": (target, NAME),
            "laws": (laws, NAMES),
            "objective": (objective, NAME),
            "huber_delta": (huber_delta, ABOVE),
            "max_exponent": (max_exponent, ABOVE),
        }
    )
    if faults:
        raise FitError(faults)
    group = select_group(read_runs(runs), recipe=recipe, stage=stage, upstream=upstream, downstream=downstream)
    names = default_axes(group) if axes is None else list(axes)
    setting = FitSetting(objective, huber_delta, max_exponent, weights)
    inputs = read_inputs(group, names, target, setting)
    ready, skipped = _ready(laws, names, setting)
    inputs, own = _weighed(ready, inputs)
    largest = largest_folds(inputs.sizes, names, inputs.counts)
    scores = _scores(ready, inputs, own, largest, block_folds(inputs.runs) if blocks else [])
    rule, warnings = _rule(largest, names)
    return Comparison(
        tuple(scores),
        _choose(scores, bool(largest)),
        rule,
        skipped,
        tuple(names),
        target,
        len(inputs.y),
        warnings,
        inputs.runs.notes,
    )


def _weighed(ready: dict[str, tuple[Fitter, int]], inputs: Inputs) -> tuple[Inputs, Array]:
    """Return the inputs with what is to be noted of them, and the weights that all laws are fitted with.

    Runs weigh their counts; rates are weighed with the least over-dispersion that any law leaves.
    """
    if not inputs.objective.on_rates:
        return inputs, inputs.counts
    found = []
    for fit, count in ready.values():

        def again(weights: Array, start: Fitted | None, fit: Fitter = fit) -> Fitted:
            return fit(inputs.sizes, inputs.y, weights)

        def parameters(_: Fitted, count: int = count) -> int:
            return count

        found.append(fit_rates(again, (inputs.sizes, inputs.y), inputs.n_test, inputs.counts, parameters))
    least = min(found, key=lambda one: one.over_dispersion)
    runs = inputs.runs.noted(spread_sentence(least.over_dispersion, inputs.y, inputs.counts))
    return inputs._replace(runs=runs), least.weights


def _scores(
    ready: dict[str, tuple[Fitter, int]], inputs: Inputs, own: Array, largest: list[Fold], left_out: list[Fold]
) -> list[LawScore]:
    """Return the score of every law, the best first."""
    data = (inputs.sizes, inputs.y, own)
    fitted = {name: fit(*data) for name, (fit, _) in ready.items()}
    errors = {name: [fold_score(fit, *data, fold) for fold in largest] for name, (fit, _) in ready.items()}
    inside = {name: [fold_score(fit, *data, fold) for fold in left_out] for name, (fit, _) in ready.items()}
    aicc = _aicc(fitted, {name: count for name, (_, count) in ready.items()}, inputs, own)
    weights = (
        backtest_weights([_mean(errors[name]) for name in ready], len(largest))
        if largest
        else _akaike(list(aicc.values()))
    )
    scores = [
        LawScore(
            name,
            law.status,
            law.objective,
            ready[name][1],
            aicc[name],
            {fold.name: float(np.sqrt(error)) for fold, error in zip(largest, errors[name], strict=True)},
            float(np.sqrt(_mean(errors[name]))),
            float(np.sqrt(_mean(inside[name]))),
            float(weight),
        )
        for (name, law), weight in zip(fitted.items(), weights, strict=True)
    ]
    return sorted(scores, key=lambda one: (one.rmsle if largest else one.aicc, one.n_parameters))


def _choose(scores: Sequence[LawScore], by_scale: bool) -> str:
    """Return the simplest of the laws that are about as good as the best; by AICc, which charges for parameters, it."""
    best = scores[0]
    near = [one for one in scores if by_scale and one.rmsle <= _NEAR * best.rmsle]
    return min(near, key=lambda one: one.n_parameters).law if near else best.law


def backtest_weights(errors: Sequence[float], folds: int) -> Array:
    """Return the share of each law in an average, from mean squared errors on the largest scales.

    Parameters
    ----------
    errors : sequence of float
        NaN or infinite where a law has none; if none has, the shares are equal.
    folds : int
        Scales that were held out: each is evidence of its own, one alone hardly tells laws apart.

    Returns
    -------
    ndarray
        Proportional to errors^-(SHARPNESS folds), with sum 1.
    """
    found = np.asarray(errors, dtype=float)
    usable = np.isfinite(found)
    if not usable.any():
        return np.full(len(found), 1.0 / len(found))
    least = max(float(found[usable].min()), 1e-24)
    shares = np.where(usable, (np.maximum(np.where(usable, found, 1.0), 1e-24) / least) ** (-SHARPNESS * folds), 0.0)
    result: Array = shares / shares.sum()
    return result


def _akaike(aicc: Sequence[float]) -> Array:
    """Return Akaike's weights, all on the first law where there are too few runs for any."""
    found = np.asarray(aicc, dtype=float)
    if not np.isfinite(found).any():
        shares: Array = np.eye(len(found))[0]
        return shares
    shares = np.exp(-0.5 * np.minimum(found - found.min(), 1400.0))
    result: Array = shares / shares.sum()
    return result


def _ready(
    laws: Sequence[str], axes: Sequence[str], setting: FitSetting
) -> tuple[dict[str, tuple[Fitter, int]], dict[str, str]]:
    """Return how each law is fitted, and why some cannot be; an unknown name is an error."""
    from tippingpoint.laws.registry import law_named

    ready, skipped = {}, {}
    for name in dict.fromkeys(laws):
        law_named(name)
        try:
            ready[name] = fitter(name, axes, setting)
        except FitError as error:
            skipped[name] = " ".join(error.faults)
    if len(axes) == 1 and set(ready) >= _SAME_OVER_ONE_AXIS:  # one law counted twice would have twice its share
        del ready["multiplicative-floor"]
        skipped["multiplicative-floor"] = "Over one axis the multiplicative-floor law is the additive law."
    if not ready:
        raise FitError([*skipped.values()] or "Name at least one law to compare.")
    return ready, skipped


def _mean(errors: Sequence[float]) -> float:
    return float(np.mean(errors)) if len(errors) else float("nan")


def _aicc(fitted: dict[str, Fitted], counts: dict[str, int], inputs: Inputs, own: Array) -> dict[str, float]:
    """Return AICc by law."""
    n = independent_runs(inputs.runs, inputs.counts)
    linear, objective = 0.0, inputs.objective
    if np.isfinite(objective.delta):
        with np.errstate(divide="ignore", invalid="ignore"):
            residuals = [objective.residuals(law.predict(inputs.sizes), inputs.y) for law in fitted.values()]
        linear = float(np.average((np.abs(residuals) > objective.delta).mean(axis=0), weights=own))
    found = {}
    for name, law in fitted.items():
        p = counts[name]
        loss = max(law.objective / float(own.sum()), 1e-24)
        small = 2 * p * (p + 1) / (n - p - 1) if n > p + 1 else np.inf
        found[name] = float(n * (1 + linear) * np.log(loss) + 2 * p + small)
    return found


def _rule(largest: Sequence[Fold], axes: Sequence[str]) -> tuple[str, tuple[str, ...]]:
    """Return how the choice is made in a sentence, and what limits it."""
    if not largest:
        return "Chosen by AICc.", (
            "No axis has three sizes, so that no largest scale can be held out; laws are compared by AICc alone.",
        )
    names = [fold.name for fold in largest]
    short = [axis for axis in axes if axis not in names]
    said = [f"{axis} has fewer than three sizes: its largest scale cannot be held out." for axis in short]
    rule = f"Chosen by the error on the largest scale of {', '.join(names)}, each held out in turn"
    return f"{rule}; of laws within 5% of the least, the one with the fewest parameters.", tuple(said)
