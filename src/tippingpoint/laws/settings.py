"""The settings that all laws share, kept as scikit-learn keeps them: stored untouched, read and changed by name."""

from __future__ import annotations

import inspect
from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Self

from tippingpoint.errors import FitError, did_you_mean
from tippingpoint.kinds import is_count, is_list, is_name, is_number

if TYPE_CHECKING:
    from tippingpoint.fitting.setting import FitSetting

__all__ = ["Settings"]


class Settings(ABC):
    """What a law is told before it sees runs.

    Parameters
    ----------
    axes : sequence of str
        Columns of sizes, 1 to 6.
    objective : {"huber-log", "log", "squares", "binomial"}, default "huber-log"
        Huber's loss on logs as Chinchilla's fit, least squares on logs, least squares, or the likelihood of error rates
        measured on ``n_test`` images, which seeds vary more than sampling alone.
    huber_delta : float, default 1e-3
        Where Huber's loss bends, in log units.
    bootstrap : int, default 0
        Resamples over seed blocks, from which intervals are then taken. With 0 they come from the posterior over
        exponents (1000 draws, made when first asked for), which covers what it says with few blocks too.
    random_state : int or None, default None
        Seed of the draws; None gives other draws each time.
    max_exponent : float, default 10
        Upper bound of the exponents that ``bounds`` does not name.
    fixed : mapping of str to float, optional
        Parameters that are known: the floor, exponents and other parameters of shape, by the names they are printed
        with: ``{"floor": 0, "n_params.exponent": 0.5}``. (Coefficients follow from the shape and are always fitted.)
    bounds : mapping of str to (float or None, float or None), optional
        Least and greatest value of such parameters; None leaves an end as the law has it.
    shared : sequence of sequences of str, optional
        Exponents with one value in common: ``[["n_pretrain.exponent", "n_finetune.exponent"]]``.
    """

    def __init__(
        self,
        axes: Sequence[str],
        objective: str = "huber-log",
        huber_delta: float = 1e-3,
        bootstrap: int = 0,
        random_state: int | None = None,
        *,
        max_exponent: float = 10.0,
        fixed: Mapping[str, float] | None = None,
        bounds: Mapping[str, tuple[float | None, float | None]] | None = None,
        shared: Sequence[Sequence[str]] | None = None,
    ) -> None:
        self.axes = axes
        self.objective = objective
        self.huber_delta = huber_delta
        self.bootstrap = bootstrap
        self.random_state = random_state
        self.max_exponent = max_exponent
        self.fixed = fixed
        self.bounds = bounds
        self.shared = shared
        self._forget()

    def __repr__(self) -> str:
        return f"{type(self).__name__}(axes={self._axes})"

    @abstractmethod
    def _forget(self) -> None:
        """Drop what was fitted with other settings."""

    @property
    def _axes(self) -> list[str]:
        if not isinstance(self.axes, Iterable):
            raise FitError(f"axes is {self.axes!r}; it must be a list of columns.")
        return [self.axes] if isinstance(self.axes, str) else [str(axis) for axis in self.axes]

    def _check(self) -> None:
        """Raise FitError on every setting of the wrong kind; what values make sense is asked where they are used."""
        fixed, bounds, shared = self.fixed or {}, self.bounds or {}, self.shared or ()
        numbers = isinstance(fixed, Mapping) and all(map(is_name, fixed)) and all(map(is_number, fixed.values()))
        ends = isinstance(bounds, Mapping) and all(map(is_name, bounds)) and not any(map(is_name, bounds.values()))
        names = is_list(shared) and all(is_list(one) and all(map(is_name, one)) for one in shared)
        kinds = {
            "objective": (is_name(self.objective), "a name such as 'log'"),
            "huber_delta": (is_number(self.huber_delta), "a number above 0"),
            "bootstrap": (is_count(self.bootstrap), "a number of resamples, 0 or more"),
            "random_state": (self.random_state is None or is_count(self.random_state), "a whole number, 0 or more"),
            "max_exponent": (is_number(self.max_exponent), "a number above 0"),
            "fixed": (numbers, "a mapping such as {'floor': 0}"),
            "bounds": (ends, "a mapping such as {'floor': (0, 0.1)}"),
            "shared": (names, "lists of names such as [['a.exponent', 'b.exponent']]"),
        }
        faults = [
            f"{name} is {getattr(self, name)!r}; it must be {what}." for name, (ok, what) in kinds.items() if not ok
        ]
        if faults:
            raise FitError(faults)

    @classmethod
    def _setting_names(cls) -> list[str]:
        return [name for name in inspect.signature(Settings.__init__).parameters if name != "self"]

    def get_params(self, deep: bool = True) -> dict[str, Any]:
        """Return the constructor's arguments by name; ``deep`` is there for scikit-learn and changes nothing."""
        return {name: getattr(self, name) for name in self._setting_names()}

    def set_params(self, **params: Any) -> Self:
        """Change settings and forget what was fitted with the old ones.

        Raises
        ------
        FitError
            There is no such setting.
        """
        known = list(self.get_params())
        unknown = [name for name in params if name not in known]
        if unknown:
            raise FitError(f"{type(self).__name__} has no setting '{n}'.{did_you_mean(n, known)}" for n in unknown)
        for name, value in params.items():
            setattr(self, name, value)
        self._forget()
        return self

    def _fit_setting(self, weights: str | None) -> FitSetting:
        from tippingpoint.fitting.setting import FitSetting

        return FitSetting(
            self.objective,
            self.huber_delta,
            self.max_exponent,
            weights,
            self.fixed or {},
            self.bounds or {},
            self.shared or (),
        )
