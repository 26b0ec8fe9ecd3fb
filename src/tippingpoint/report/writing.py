"""Write the report: runs in, one HTML file out."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tippingpoint.files import write_atomic

if TYPE_CHECKING:
    import pandas as pd

    from tippingpoint.runs import Runs

__all__ = ["write_report"]


def write_report(
    runs: Runs | pd.DataFrame | str | Path | Mapping[str, Any],
    output: str | Path | None = None,
    *,
    endpoint: Mapping[str, Any] | None = None,
    resamples: int = 2000,
    random_state: int | None = 0,
    progress: Callable[[str, int, int], None] | None = None,
) -> Path:
    """Analyse runs and write ``report.html``.

    Parameters
    ----------
    runs : Runs, DataFrame, str, Path or mapping
        A table, a file, or a study directory.
    output : str or Path, optional
        The file to write; by default ``report.html`` in the study directory, beside the file, or here.
    endpoint : mapping, optional
        The comparison declared before the runs; by default what the study published.
    resamples : int, default 2000
        Draws for the primary boundary.
    random_state : int or None, default 0
        Seed of the draws.
    progress : callable, optional
        Called with (what, done, of all).

    Returns
    -------
    Path
        The file that was written.

    Raises
    ------
    RunsError
        The runs cannot be read or hold nothing to report.
    EnvironmentFault
        The file cannot be written.
    """
    from tippingpoint.report.analysis import analyse
    from tippingpoint.report.html import page

    analysis = analyse(runs, endpoint, resamples=resamples, random_state=random_state, progress=progress)
    return write_atomic(default_output(runs) if output is None else output, page(analysis))


def default_output(runs: object) -> Path:
    """Return where a report goes when nobody says: into the study, beside the file, or here."""
    if isinstance(runs, (str, Path)):
        place = Path(runs)
        return (place if place.is_dir() else place.parent) / "report.html"
    return Path("report.html")
