"""What a fit is told besides its data: what it minimises, how much each run counts, and what holds its parameters."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

__all__ = ["FitSetting"]


@dataclass(frozen=True)
class FitSetting:
    """The settings that all laws share.

    Attributes
    ----------
    objective : str, default "huber-log"
        One of :data:`tippingpoint.fitting.objectives.OBJECTIVES`.
    huber_delta : float, default 1e-3
        Where Huber's loss bends, in log units.
    max_exponent : float, default 10
        Upper bound of every exponent that ``bounds`` does not name.
    weights : str or None
        Column of multiplicities, 0 or more; every run counts once without it.
    fixed : mapping of str to float
        Parameters that are known: ``floor``, and shape parameters by their printed names (``n_pretrain.exponent``).
    bounds : mapping of str to (float or None, float or None)
        Least and greatest value of such parameters; None leaves an end as the law has it.
    shared : sequence of sequences of str
        Shape parameters that have one value in common, such as ``[["n_pretrain.exponent", "n_finetune.exponent"]]``.
    """

    objective: str = "huber-log"
    huber_delta: float = 1e-3
    max_exponent: float = 10.0
    weights: str | None = None
    fixed: Mapping[str, float] = field(default_factory=dict)
    bounds: Mapping[str, tuple[float | None, float | None]] = field(default_factory=dict)
    shared: Sequence[Sequence[str]] = ()

    @property
    def constrained(self) -> bool:
        """Whether anything but ``max_exponent`` holds a parameter."""
        return bool(self.fixed or self.bounds or self.shared)
