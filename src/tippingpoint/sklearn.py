r"""Scaling laws as scikit-learn regressors: sizes in the columns of X, the error in y.

.. math:: X \in \mathbb{R}_{>0}^{n \times k}, \qquad y_i \approx f(X_{i1}, \dots, X_{ik})

>>> model = ScalingLawRegressor("additive").fit([[1e3], [1e4], [1e5], [1e6]], [0.52, 0.30, 0.23, 0.21])
>>> round(float(model.predict([[1e7]])[0]), 3)
0.203

This module needs scikit-learn (``pip install 'tippingpoint[sklearn]'``) and nothing else of the package imports it.
Deliberately not built: a rescaling of X. A power law needs the sizes as they are, so that a size of 0 or below is an
error here as everywhere in the package.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from tippingpoint.errors import FitError, MissingExtraError, RunsError

try:
    from sklearn.base import BaseEstimator, RegressorMixin
    from sklearn.utils.validation import _check_sample_weight, check_is_fitted, validate_data
except ImportError as error:
    raise MissingExtraError(
        f"tippingpoint.sklearn needs scikit-learn 1.6 or newer ({error}); pip install 'tippingpoint[sklearn]'."
    ) from error

if TYPE_CHECKING:
    from tippingpoint.laws.base import Law

__all__ = ["ScalingLawRegressor"]

Array = NDArray[np.float64]

_ON_LOGS = ("huber-log", "log")
_TARGET, _WEIGHT = "target of the fit", "weight of the fit"  # columns that no feature is likely to be called


class ScalingLawRegressor(RegressorMixin, BaseEstimator):  # type: ignore[misc]
    """A scaling law that fits into pipelines, grid searches and cross-validation.

    Parameters
    ----------
    law : str, default "additive"
        ``additive``, ``multiplicative``, ``multiplicative-floor``, ``transfer``, ``interaction``, ``auto``, or the name
        of a law of your own.
    axes : sequence of str, optional
        What the columns of X are called, in their order. By default the columns' names where X is a DataFrame, else
        ``x0``, ``x1``, ... The laws ``transfer`` and ``interaction`` look for ``n_finetune`` and ``n_params``.
    objective : {"huber-log", "log", "squares"}, default "huber-log"
        What is minimised; on logs y must be above 0.
    huber_delta, max_exponent, fixed, bounds, shared
        Those of :class:`~tippingpoint.laws.settings.Settings`.
    bootstrap : int, default 0
        Resamples for the intervals; with 0 they come from the posterior.
    random_state : int or None, default 0
        Seed of the intervals' draws.
    offset : float, default 0
        Added to every size, in ``fit`` and ``predict`` alike: with 1, a size of 0 (no labels at all) can stand in X.

    Attributes
    ----------
    law_ : Law
        The fitted law: ``law_.summary()``, ``law_.intervals()``, ``law_.to_dict()``.
    axes_ : list of str
        What the columns of X are called.
    floor_ : float
        The irreducible part, in y's units.
    parameters_ : dict of str to float
        Every parameter in raw units, by name.
    status_ : str
        ``converged``, ``bound hit``, ``unidentified`` or ``too few runs``.
    n_features_in_ : int
        Columns of X.
    feature_names_in_ : ndarray of str
        Their names, where X was a DataFrame.

    Raises
    ------
    FitError, RunsError
        On ``fit``, where a setting, a size or a value cannot be used. Both are ValueErrors.
    """

    def __init__(
        self,
        law: str = "additive",
        axes: Sequence[str] | None = None,
        *,
        objective: str = "huber-log",
        huber_delta: float = 1e-3,
        max_exponent: float = 10.0,
        fixed: Mapping[str, float] | None = None,
        bounds: Mapping[str, tuple[float | None, float | None]] | None = None,
        shared: Sequence[Sequence[str]] | None = None,
        bootstrap: int = 0,
        random_state: int | None = 0,
        offset: float = 0.0,
    ) -> None:
        self.law = law
        self.axes = axes
        self.objective = objective
        self.huber_delta = huber_delta
        self.max_exponent = max_exponent
        self.fixed = fixed
        self.bounds = bounds
        self.shared = shared
        self.bootstrap = bootstrap
        self.random_state = random_state
        self.offset = offset

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.positive_only = True
        tags.target_tags.positive_only = self.objective in _ON_LOGS
        tags.regressor_tags.poor_score = True  # scored on data that no scaling law could follow
        return tags

    def fit(self, X: ArrayLike, y: ArrayLike, sample_weight: ArrayLike | None = None) -> Self:
        """Fit the law.

        Parameters
        ----------
        X : array or DataFrame, shape (n, k)
            Sizes, above 0.
        y : array, shape (n,)
            What is to be explained, such as an error between 0 and 1.
        sample_weight : array, shape (n,), optional
            How often each row counts, 0 or more.

        Returns
        -------
        ScalingLawRegressor
            Itself, fitted.
        """
        from tippingpoint.laws.registry import law_named

        sizes, values = validate_data(self, X, y, y_numeric=True, dtype=np.float64, ensure_min_samples=2)
        self.axes_ = self._names()
        sizes = self._shifted(sizes)
        columns = dict(zip(self.axes_, sizes.T, strict=True)) | {_TARGET: values}
        if sample_weight is not None:
            columns[_WEIGHT] = _check_sample_weight(sample_weight, sizes, dtype=np.float64)
        made = law_named(self.law)(
            self.axes_,
            self.objective,
            self.huber_delta,
            self.bootstrap,
            self.random_state,
            max_exponent=self.max_exponent,
            fixed=self.fixed,
            bounds=self.bounds,
            shared=self.shared,
        )
        self.law_: Law = made.fit(columns, _TARGET, weights=None if sample_weight is None else _WEIGHT)
        return self

    def predict(self, X: ArrayLike) -> Array:
        """Return the expected value at sizes X (n, k), shape (n,)."""
        sizes = self._sizes(X)
        found: Array = self.law_.predict(sizes)
        return found

    def predict_interval(self, X: ArrayLike, level: float = 0.9) -> Array:
        """Return the ends of the interval of the expected value at sizes X (n, k), shape (n, 2).

        Parameters
        ----------
        X : array or DataFrame, shape (n, k)
            Sizes, above 0.
        level : float, default 0.9
            Probability of the interval; the spread of single runs is not in it.
        """
        sizes = self._sizes(X)
        found: Array = self.law_.predict(sizes, interval=level)[["low", "high"]].to_numpy(dtype=float)
        return found

    @property
    def floor_(self) -> float:
        """The irreducible part, in y's units."""
        check_is_fitted(self, "law_")
        return self.law_.floor_

    @property
    def parameters_(self) -> dict[str, float]:
        """Every parameter in raw units, by name."""
        check_is_fitted(self, "law_")
        return self.law_.parameters_

    @property
    def status_(self) -> str:
        """``converged``, ``bound hit``, ``unidentified`` or ``too few runs``."""
        check_is_fitted(self, "law_")
        return self.law_.status_

    def _names(self) -> list[str]:
        """Return what the columns of X are called: as told, as in the DataFrame, or by their numbers."""
        count = self.n_features_in_
        if self.axes is None:
            named = getattr(self, "feature_names_in_", None)
            return [f"x{place}" for place in range(count)] if named is None else [str(name) for name in named]
        told = [self.axes] if isinstance(self.axes, str) else [str(name) for name in self.axes]
        if len(told) != count:
            raise FitError(f"X has {count} columns and axes names {len(told)} ({', '.join(told)}); name each column.")
        return told

    def _shifted(self, X: Array) -> Array:
        """Return X plus the offset; RunsError names the columns that are still not above 0."""
        moved = X + float(self.offset)
        bad = [name for name, column in zip(self.axes_, moved.T, strict=True) if not (column > 0).all()]
        if bad:
            negative = "Negative values in data passed to" if (moved < 0).any() else "Sizes of 0 in data passed to"
            raise RunsError(
                f"{negative} {type(self).__name__}: column '{name}' of X is not above 0, and a power law needs sizes "
                "above 0; leave these rows out, or let 0 stand for no images at all with offset=1."
                for name in bad
            )
        return moved

    def _sizes(self, X: ArrayLike) -> dict[str, Array]:
        """Return the columns of X by axis, checked against what was fitted."""
        check_is_fitted(self, "law_")
        checked = self._shifted(validate_data(self, X, reset=False, dtype=np.float64))
        return dict(zip(self.axes_, checked.T, strict=True))
