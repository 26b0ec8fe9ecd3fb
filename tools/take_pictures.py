"""Take the pictures of a report that the documentation shows, in a Chromium without a window.

``python tools/take_pictures.py studies/standard`` writes ``report.png``, ``report_two_axes.png``, ``report_advice.png``
and ``report_phone.png`` into ``docs/images``; ``python tools/take_pictures.py studies/quickstart --only
quickstart_report.png`` writes that one. The report is made anew. Needs Playwright, a Chromium and Pillow.
"""

from __future__ import annotations

import argparse
import io
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from PIL import Image
from playwright.sync_api import sync_playwright

from tippingpoint.files import write_atomic
from tippingpoint.report import write_report

IMAGES = Path(__file__).parents[1] / "docs" / "images"
PRICES = {"image": "0.01", "label": "0.5", "gpu-hour": "2"}


def opened(browser: Any, report: Path, width: int, height: int, theme: str = "light") -> Any:
    """Return the report in a window of a size, ready."""
    page = browser.new_page(viewport={"width": width, "height": height}, color_scheme=theme)
    page.goto(report.as_uri())
    page.wait_for_selector("html[data-ready=yes]")
    return page


def first_screen(browser: Any, report: Path) -> bytes:
    """Return the answer and its figure."""
    return bytes(opened(browser, report, 1280, 860).screenshot())


def long_first_screen(browser: Any, report: Path) -> bytes:
    """Return the answer and the beginning of what follows."""
    return bytes(opened(browser, report, 1100, 1750).screenshot())


def two_axes(browser: Any, report: Path) -> bytes:
    """Return the phase diagrams."""
    return bytes(opened(browser, report, 1100, 900).locator("#axes").screenshot())


def advice(browser: Any, report: Path) -> bytes:
    """Return the sliders with some prices."""
    page = opened(browser, report, 1280, 860)
    for name, price in PRICES.items():
        page.locator(f"#plan-{name}").fill(price)
    page.locator("#plan-gpu-hour").evaluate("box => box.blur()")
    return bytes(page.locator("#advice").screenshot())


def phone(browser: Any, report: Path) -> bytes:
    """Return the answer and a point with its runs on a phone, in both themes, side by side."""
    shots = []
    for theme in ("light", "dark"):
        page = opened(browser, report, 360, 760, theme)
        shots.append(page.screenshot())
        page.locator("#compared figure").first.scroll_into_view_if_needed()
        box = page.locator("#compared use[data-runs]").nth(2).bounding_box()
        page.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
        page.wait_for_selector("#tip:not([hidden])")
        shots.append(page.screenshot())
    strip = Image.new("RGB", (360 * 4 + 60, 760), "#888888")
    for place, shot in enumerate(shots):
        strip.paste(Image.open(io.BytesIO(shot)), (place * 380, 0))
    held = io.BytesIO()
    strip.save(held, "PNG")
    return held.getvalue()


PICTURES: dict[str, Callable[[Any, Path], bytes]] = {
    "report.png": first_screen,
    "report_two_axes.png": two_axes,
    "report_advice.png": advice,
    "report_phone.png": phone,
    "quickstart_report.png": long_first_screen,
}


def small(picture: bytes) -> bytes:
    """Return a picture with 256 colours, which a page of text and lines has enough of."""
    held = io.BytesIO()
    reduced = Image.open(io.BytesIO(picture)).convert("RGB")
    reduced = reduced.quantize(256, method=Image.Quantize.FASTOCTREE, dither=Image.Dither.NONE)
    reduced.save(held, "PNG", optimize=True)
    return held.getvalue()


def main() -> None:
    """Take the pictures that were asked for."""
    parser = argparse.ArgumentParser(description="Take the pictures of a report for the documentation.")
    parser.add_argument("study", type=Path)
    parser.add_argument("--only", choices=list(PICTURES), help="one picture; by default those of the larger study")
    asked = parser.parse_args()
    names = [asked.only] if asked.only else [name for name in PICTURES if name.startswith("report")]
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as play:
        report = write_report(asked.study, Path(folder) / "report.html")
        browser = play.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        for name in names:
            print(write_atomic(IMAGES / name, small(PICTURES[name](browser, report))))
        browser.close()


if __name__ == "__main__":
    main()
