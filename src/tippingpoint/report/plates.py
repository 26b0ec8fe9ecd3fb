"""The figures of a paper from any table of runs: which there are, what each shows, and how they are saved.

A *plate* is one file: a figure with its name and its caption. Plates are made one by one and drawn only when they are
saved, so that asking for one kind costs that kind alone.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from tippingpoint.errors import InputError, did_you_mean
from tippingpoint.files import write_atomic
from tippingpoint.report.canvas import figure_bytes
from tippingpoint.report.figures import Panel, draw, draw_all
from tippingpoint.report.figures_checks import backtest_panel, predicted_panel, residual_panels, term_panel
from tippingpoint.report.figures_data import concept_panel, difference_panel, probability_panel, recipe_panel
from tippingpoint.report.figures_phase import phase_figure
from tippingpoint.report.figures_scaling import law_panels, place_of
from tippingpoint.report.words import axis_words, joined, target_words

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from tippingpoint.report.analysis import Analysis, Finding
    from tippingpoint.report.engine import LawResult
    from tippingpoint.report.looks import Look

__all__ = ["FORMATS", "KINDS", "Plate", "check_plates", "plates_of", "save_plates"]

FORMATS = ("pdf", "svg", "png")
SHOWN_TARGETS = ("error", "cross_entropy")


class Plate(NamedTuple):
    """A figure that can be saved: the stem of its file, its kind, its caption, and what draws it."""

    name: str
    kind: str
    caption: str
    make: Callable[[], Figure]


def _together(panels: Sequence[Panel]) -> Callable[[], Figure]:
    """Return what draws panels on one figure."""
    kept = list(panels)
    return lambda: draw_all(kept, width=6.4 if len(kept) == 1 else 4.6)


def _slug(*words: object) -> str:
    """Return words as part of a file's name: letters, digits and hyphens, nothing that a path could obey."""
    text = "-".join(str(word) for word in words if word not in (None, ""))
    return re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")[:90]


def _targets(analysis: Analysis) -> list[str]:
    """Return the targets that figures show: error and cross-entropy, or whatever there is."""
    have = list(dict.fromkeys(result.target for result in analysis.laws))
    return [name for name in SHOWN_TARGETS if name in have] or have[:1]


def _laws(analysis: Analysis, target: str) -> list[LawResult]:
    """Return the laws of a target: of the compared recipes where there are two, else of all."""
    known = [result for result in analysis.laws if result.target == target and result.law is not None]
    primary = analysis.primary
    return known if primary is None else [result for result in known if result.recipe in primary.look.recipes]


def _scaling(along: str) -> Callable[[Analysis], Iterator[Plate]]:
    """Return what makes the plates of runs and laws along an axis, one for each recipe and scored set."""
    kind = {"n_pretrain": "pretraining", "n_finetune": "finetuning", "n_params": "size"}[along]

    def make(analysis: Analysis) -> Iterator[Plate]:
        for recipe in dict.fromkeys(result.recipe for result in analysis.laws):
            found: dict[str, list[Panel]] = {}
            for target in _targets(analysis):
                for panel in law_panels(analysis, along, target, recipe):
                    found.setdefault(panel.title, []).append(panel)
            for place, panels in found.items():
                told = joined(target_words(target) for target in _targets(analysis))
                caption = (
                    f"{recipe}, {place}: {told} against {axis_words(along)}. Points are runs, curves the fitted law, "
                    f"shading the {100 * analysis.level:g}% interval of the expected value, short lines at the right "
                    "edge the floors."
                )
                yield Plate(_slug(kind, recipe, place), kind, caption, _together(panels))

    return make


def _compared(kind: str) -> Callable[[Analysis], Iterator[Plate]]:
    """Return what makes the plates of two recipes, or of their difference, one for each comparison."""

    def make(analysis: Analysis) -> Iterator[Plate]:
        for look, findings in _comparisons(analysis).items():
            panels: list[Panel] = [
                difference_panel(item, analysis.level) if kind == "difference" else recipe_panel(analysis.frame, item)
                for item in findings
            ]
            first, second = look.recipes
            who = f", {look.who}" if look.who else ""
            said = {
                "difference": f"{first} minus {second}: above zero {second} is better. Points are means of paired "
                f"runs with {100 * analysis.level:g}% t intervals, the band is that of the fitted laws, diamonds mark "
                "crossings with their intervals.",
                "recipes": f"{first} and {second}: means over seed blocks, bars from the lowest to the highest block.",
            }
            name = _slug(kind, second, look.downstream or look.stage, look.n_params and f"{look.n_params:.0f}",
                         look.teacher)  # fmt: skip
            yield Plate(name, kind, f"{said[kind]} {look.where}{who}.", _together(panels))

    return make


def _comparisons(analysis: Analysis) -> dict[Look, list[Finding]]:
    """Return the looks with their findings, those that differ in the target alone together, the primary's first."""
    if analysis.primary is None:
        return {}
    groups: dict[Look, list[Finding]] = {}
    for item in (analysis.primary, *analysis.exploratory):
        if item.pairs.sizes and item.look.target in SHOWN_TARGETS:
            groups.setdefault(item.look._replace(target=""), []).append(item)
    return {look: sorted(items, key=lambda one: SHOWN_TARGETS.index(one.look.target)) for look, items in groups.items()}


def _concept(analysis: Analysis) -> Iterator[Plate]:
    """Make the concept of the boundary with the runs of the primary look."""
    if analysis.primary is not None and analysis.primary.pairs.sizes:
        panel = concept_panel(analysis.frame, analysis.primary, analysis.level)
        if panel is not None:
            told = "Curves are the fitted laws." if panel.by_laws else "Curves join the measured means."
            caption = f"Which recipe is better where: {analysis.primary.look.title}. {told}"
            yield Plate("concept", "concept", caption, _together([panel]))


def _probability(analysis: Analysis) -> Iterator[Plate]:
    """Make the probability that the second recipe helps, of the primary look."""
    panel = None if analysis.primary is None else probability_panel(analysis.primary)
    if panel is not None and analysis.primary is not None:
        caption = f"{panel.title}, by the laws of both: {analysis.primary.look.title}."
        yield Plate("probability", "probability", caption, _together([panel]))


def _predicted(analysis: Analysis) -> Iterator[Plate]:
    yield from _matched(analysis, "predicted", "What the laws say of the runs that they were fitted to")


def _backtest(analysis: Analysis) -> Iterator[Plate]:
    yield from _matched(analysis, "backtest", "What the laws foretell of the largest scale of each axis without it")


def _matched(analysis: Analysis, kind: str, said: str) -> Iterator[Plate]:
    """Make plates of predicted against observed, a panel for each target."""
    build = predicted_panel if kind == "predicted" else backtest_panel
    groups: dict[str, list[LawResult]] = {}
    for target in _targets(analysis):
        for result in _laws(analysis, target):
            groups.setdefault(f"{result.recipe}, {place_of(result)}", []).append(result)
    for title, results in groups.items():
        panels = [panel for panel in (build(analysis, result) for result in results) if panel is not None]
        if panels:
            yield Plate(_slug(kind, title), kind, f"{said}: {title}.", _together(panels))


def _residuals(analysis: Analysis) -> Iterator[Plate]:
    """Make the residuals of every law of the compared recipes along each axis."""
    for target in _targets(analysis):
        for result in _laws(analysis, target):
            panels = residual_panels(analysis, result)
            if panels:
                title = f"{result.recipe}, {place_of(result)}, {target_words(target)}"
                caption = f"Residuals of the law along each axis: {title}. Diamonds are means at each size."
                yield Plate(_slug("residuals", title), "residuals", caption, _together(panels))


def _identifiability(analysis: Analysis) -> Iterator[Plate]:
    """Make the exponents of all laws, one plate for each target."""
    for target in _targets(analysis):
        panel = term_panel(tuple(_laws(analysis, target)))
        if panel is not None:
            height = 1.4 + 0.36 * len(panel.points)
            caption = (
                f"{panel.title} with {100 * analysis.level:g}% intervals; open circles: the data do not determine them."
            )

            def make(panel: Panel = panel, height: float = height) -> Figure:
                return draw(panel, width=7.2, height=height)

            yield Plate(_slug("identifiability", target), "identifiability", caption, make)


def _phase(analysis: Analysis) -> Iterator[Plate]:
    """Make the phase diagrams over each other axis that could be answered."""
    for item in analysis.maps:
        if item.found is None:
            continue
        look, axes = item.look, f"{axis_words(item.look.along)} and {axis_words(item.over)}"
        who = f", {look.who}" if look.who else ""
        caption = f"Which recipe is better over {axes}: {target_words(look.target)}, {look.where}{who}."
        yield Plate(_slug("phase", item.over), "phase", caption, lambda found=item.found: phase_figure(found))  # type: ignore[misc]


#: Every kind of figure, what it shows (and its number in the paper), and what makes its plates.
KINDS: dict[str, tuple[str, Callable[[Analysis], Iterator[Plate]]]] = {
    "concept": ("which recipe is better where (Fig. 1, with real data)", _concept),
    "pretraining": ("error and cross-entropy against pretraining images (Fig. 2, 7-9)", _scaling("n_pretrain")),
    "finetuning": ("the same against fine-tuning images (Fig. 3, 10-12)", _scaling("n_finetune")),
    "size": ("the same against model size (Fig. 4, 13-15)", _scaling("n_params")),
    "recipes": ("both recipes over the axis (Fig. 5)", _compared("recipes")),
    "difference": ("their difference, its interval and crossings (Fig. 6)", _compared("difference")),
    "probability": ("how likely the second recipe helps", _probability),
    "phase": ("which recipe is better over two axes", _phase),
    "predicted": ("predicted against observed", _predicted),
    "residuals": ("residuals along every axis", _residuals),
    "identifiability": ("exponents, and whether the data determine them", _identifiability),
    "backtest": ("the largest scales, foretold without them", _backtest),
}


def check_plates(only: Sequence[str] | None, formats: Sequence[str]) -> None:
    """Raise InputError where a kind or a format is unknown, before anything is computed; all faults are told."""
    faults = [
        f"There is no figure '{name}'; there are {', '.join(KINDS)}.{did_you_mean(name, list(KINDS))}"
        for name in only or ()
        if name not in KINDS
    ]
    faults += [
        f"There is no format '{name}'; figures are saved as {', '.join(FORMATS)}.{did_you_mean(name, FORMATS)}"
        for name in formats
        if name not in FORMATS
    ]
    if not formats:
        faults.append(f"Name a format: {', '.join(FORMATS)}.")
    if faults:
        raise InputError(faults)


def plates_of(analysis: Analysis, only: Sequence[str] | None = None) -> Iterator[Plate]:
    """Yield the plates that the runs allow, in the order of ``KINDS``, each name once.

    Parameters
    ----------
    analysis : Analysis
        What ``analyse`` returned.
    only : sequence of str, optional
        Kinds to make; all by default.
    """
    seen: dict[str, int] = {}
    for kind, (_, make) in KINDS.items():
        if only is not None and kind not in only:
            continue
        for plate in make(analysis):
            seen[plate.name] = seen.get(plate.name, 0) + 1
            count = seen[plate.name]
            yield plate if count == 1 else plate._replace(name=f"{plate.name}-{count}")


def save_plates(
    analysis: Analysis,
    folder: str | Path,
    *,
    formats: Sequence[str] = ("pdf",),
    only: Sequence[str] | None = None,
    progress: Callable[[Plate, tuple[Path, ...]], None] | None = None,
) -> list[Path]:
    """Save the figures of a table of runs, and their captions in ``captions.md``.

    Parameters
    ----------
    analysis : Analysis
        What ``analyse`` returned.
    folder : str or Path
        Where to; made if it is missing.
    formats : sequence of {"pdf", "svg", "png"}, default ("pdf",)
        Each figure is saved in each; PDF embeds its fonts, SVG draws letters as outlines.
    only : sequence of str, optional
        Kinds to save (see ``KINDS``); all that the runs allow by default.
    progress : callable, optional
        Called with each plate and its files once they are written.

    Returns
    -------
    list of Path
        The files, the captions last.

    Raises
    ------
    InputError
        A kind or format is unknown, or the runs allow none of the figures.
    EnvironmentFault
        A file cannot be written.
    """
    check_plates(only, formats)
    written: list[Path] = []
    captions = []
    for plate in plates_of(analysis, only):
        figure = plate.make()
        paths = tuple(
            write_atomic(Path(folder) / f"{plate.name}.{kind}", figure_bytes(figure, kind)) for kind in formats
        )
        written += paths
        captions.append(f"**{plate.name}.** {plate.caption}\n")
        if progress is not None:
            progress(plate, paths)
    if not written:
        asked = (
            f"the figures {joined(only)}; choose others with --only" if only else "any figure; add runs of more sizes"
        )
        raise InputError(f"{analysis.source}: these runs do not allow {asked}.")
    return [*written, write_atomic(Path(folder) / "captions.md", "\n".join(captions))]
