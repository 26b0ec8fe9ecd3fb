"""How fast small DeiTs train beside a plain loop, what a teacher costs, and where the time goes.

Command: ``python benchmarks/throughput.py`` (under eight minutes; close other programs first). It writes
``benchmarks/results/throughput.json`` and the tables of ``docs/speed.md``. With names of parts (``profile``, ``small``,
``paper``, ``guidance``) only these are measured again.

Throughput is the whole machine's: the plain loop has all cores, ours one process of one thread for each core. Both are
timed in turn, a round of each after the other, in one run; a ratio is taken within a round. What each round does
before its clock starts (processes, models, warm-up) is not timed; what ``train`` itself does is. The plain loop's
workers may have up to four batches ready when its clock starts, which favours it.
"""

from __future__ import annotations

import json
import multiprocessing
import os
import platform
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from multiprocessing.connection import Connection
from pathlib import Path
from statistics import median
from typing import Any

import timm
import torch
from training_loops import Case, serve_ours, serve_plain
from training_profile import attention_ways, profile

ROOT = Path(__file__).parents[1]
RESULT, PAGE = ROOT / "benchmarks/results/throughput.json", ROOT / "docs/speed.md"
PROCESSES = os.cpu_count() or 1
ROUNDS, SECONDS = 7, 1.5  # rounds of a case, and the seconds that a loop gets in each
HEADS = (2, 4, 8)
WANTED = {2: 3.5, 4: 2.8, 8: 2.2}
PAPER = Case(8, True, head_dim=64, depth=12, patch_size=16, image_size=224, channels=3, batch=8, n_images=64)
PAPER_ROUNDS, PAPER_STEPS = 5, 2


class Crew:
    """Processes that train side by side."""

    def __init__(self, serve: Callable[[Connection], None], count: int) -> None:
        context = multiprocessing.get_context("spawn")
        self.pipes, self.processes = [], []
        for _ in range(count):
            ours, theirs = context.Pipe()
            # Not a daemon: the plain loop's process has workers of its own.
            self.processes.append(context.Process(target=serve, args=(theirs,)))
            self.processes[-1].start()
            self.pipes.append(ours)

    def run(self, case: Case, steps: int) -> float:
        """Let each process take so many steps; return all their images a second."""
        started = time.perf_counter()
        for pipe in self.pipes:
            pipe.send((case, steps))
        for pipe in self.pipes:
            pipe.recv()
        return len(self.pipes) * steps * case.batch / (time.perf_counter() - started)

    def steps(self, case: Case, seconds: float) -> int:
        """Build a case's loops and return how many steps take so long."""
        self.run(case, 1)
        steps = 8
        for share in (4, 1):  # a first guess is coarse: what a loop does before its first step counts too much
            rate = self.run(case, steps) / (len(self.pipes) * case.batch)
            steps = max(8, round(seconds * rate / share))
        return steps

    def end(self) -> None:
        """Let the processes end; those that cannot are ended."""
        for pipe in self.pipes:
            with suppress(OSError):
                pipe.send(None)
        for process in self.processes:
            process.join(20)
            if process.is_alive():
                process.terminate()


def rounds(one: Callable[[], float], other: Callable[[], float], count: int) -> dict[str, Any]:
    """Time two contenders in turn, the first one now first and now second; the ratio is the first's."""
    pairs = []
    for number in range(count):
        if number % 2:
            second = other()
            pairs.append((one(), second))
        else:
            first = one()
            pairs.append((first, other()))
    ratios = sorted(a / b for a, b in pairs)
    print(f"{median(ratios):.2f}", end=" ", file=sys.stderr, flush=True)
    return {
        "images_per_s": median(a for a, _ in pairs),
        "other_images_per_s": median(b for _, b in pairs),
        "ratio": median(ratios),
        "ratio_lowest": ratios[0],
        "ratio_highest": ratios[-1],
        "rounds": count,
    }


def against_plain(case: Case, ours: Crew, plain: Crew) -> dict[str, Any]:
    if case.image_size == PAPER.image_size:
        for crew in (ours, plain):
            crew.run(case, 1)
        return rounds(lambda: ours.run(case, PAPER_STEPS), lambda: plain.run(case, PAPER_STEPS), PAPER_ROUNDS)
    mine, theirs = ours.steps(case, SECONDS), plain.steps(case, SECONDS)
    return rounds(lambda: ours.run(case, mine), lambda: plain.run(case, theirs), ROUNDS)


def overhead(augmented: bool, ours: Crew) -> dict[str, Any]:
    """Return how much longer a guided step of a 4-head student takes than a plain one; its teacher has 2 heads."""
    # Fewer images where targets are kept, so that each is seen a few times in a round, as in a real training.
    scratch = Case(4, augmented, n_images=5120 if augmented else 1024)
    guided = replace(scratch, teacher=2)
    steps = ours.steps(scratch, SECONDS)
    ours.run(guided, 8)
    found = rounds(lambda: ours.run(scratch, steps), lambda: ours.run(guided, steps), ROUNDS)
    return {**found, "steps": steps, "n_images": scratch.n_images}


def measure(parts: list[str]) -> dict[str, Any]:
    """Return the results of some parts, with the machine's load before and after each."""
    found: dict[str, Any] = {}
    for part in parts:
        before = os.getloadavg()[0]
        found[part] = PARTS[part]()
        found[part]["load"] = [before, os.getloadavg()[0]]
        print(f"{part}: {json.dumps(found[part])}", flush=True)
    return found


def profiles() -> dict[str, Any]:
    torch.set_num_threads(1)
    return {"heads": {str(heads): profile(Case(heads, True)) for heads in (2, 8)}, "attention": attention_ways()}


def small() -> dict[str, Any]:
    with crews() as (ours, plain):
        rows = [
            {"heads": heads, "augmented": augmented, **against_plain(Case(heads, augmented), ours, plain)}
            for heads in HEADS
            for augmented in (True, False)
        ]
    return {"rows": rows}


def paper() -> dict[str, Any]:
    with crews() as (ours, plain):
        return {"batch": PAPER.batch, "steps": PAPER_STEPS, **against_plain(PAPER, ours, plain)}


def guidance() -> dict[str, Any]:
    with crews() as (ours, _):
        return {name: overhead(name == "augmented", ours) for name in ("augmented", "kept")}


@contextmanager
def crews() -> Iterator[tuple[Crew, Crew]]:
    """Start both sides' processes, and end them."""
    both = Crew(serve_ours, PROCESSES), Crew(serve_plain, 1)
    try:
        yield both
    finally:
        for crew in both:
            crew.end()


PARTS: dict[str, Callable[[], dict[str, Any]]] = {
    "profile": profiles,
    "small": small,
    "paper": paper,
    "guidance": guidance,
}


def _processor() -> str:
    lines = Path("/proc/cpuinfo").read_text().splitlines() if Path("/proc/cpuinfo").exists() else []
    return next((line.split(":")[1].strip() for line in lines if line.startswith("model name")), platform.processor())


def tables(result: dict[str, Any]) -> str:
    """Return the page's tables."""
    lines = [
        f"{result['machine']}; {result['software']}; {ROUNDS} rounds of {SECONDS:g} s each.",
        "",
        "| model, images | ours, images/s | plain loop | ratio: median (lowest to highest) | wanted |",
        "|---|---:|---:|---:|---:|",
    ]
    for row in result["small"]["rows"]:
        kind = "crop and flip" if row["augmented"] else "as they are"
        lines.append(f"| {row['heads']} heads of 16, {kind} | {_row(row)} | {WANTED[row['heads']]} |")
    lines.append(f"| 8 heads of 64, depth 12, 224/16, batch {PAPER.batch} | {_row(result['paper'])} | 1 |")
    lines += ["", "| 4 heads, teacher of 2 | step, times a scratch step: median (lowest to highest) |", "|---|---:|"]
    for name, said in (("augmented", "asked in each step"), ("kept", "asked once for each image")):
        row = result["guidance"][name]
        lines.append(f"| {said} | {row['ratio']:.2f} ({row['ratio_lowest']:.2f} to {row['ratio_highest']:.2f}) |")
    return "\n".join(
        [*lines, "", *_profile_table(result["profile"]["heads"]), "", *_attention_table(result["profile"]["attention"])]
    )


def _row(row: dict[str, Any]) -> str:
    spread = f"{row['ratio']:.2f} ({row['ratio_lowest']:.2f} to {row['ratio_highest']:.2f})"
    return f"{row['images_per_s']:,.0f} | {row['other_images_per_s']:,.0f} | {spread}"


def _profile_table(profiles: dict[str, Any]) -> list[str]:
    names = list(profiles["2"]["shares"])
    head = "| | " + " | ".join(f"{heads} heads" for heads in profiles) + " |"
    lines = [head, "|---|" + "---:|" * len(profiles)]
    facts = {
        "step, ms": ("step_ms", ".1f"),
        "matmul peak of a core (oneDNN), GFLOP/s": ("peak_gflops", ".0f"),
        "the same by torch's own linear layer": ("torch_linear_gflops", ".0f"),
        "reached over the whole step": ("share_of_peak", ".0%"),
        "reached within the linear layers": ("share_of_peak_in_linear", ".0%"),
    }
    lines += [
        f"| {said} | " + " | ".join(format(one[key], kind) for one in profiles.values()) + " |"
        for said, (key, kind) in facts.items()
    ]
    return lines + [
        f"| time: {name} | " + " | ".join(f"{one['shares'][name]:.0%}" for one in profiles.values()) + " |"
        for name in names
    ]


def _attention_table(ways: list[dict[str, Any]]) -> list[str]:
    lines = ["| tokens, heads | in the open, ms | torch's fused, ms |", "|---|---:|---:|"]
    return lines + [
        f"| {w['tokens']}, {w['heads']} x {w['head_dim']} | {w['open_ms']:.2f} | {w['fused_ms']:.2f} |" for w in ways
    ]


def main() -> None:
    parts = sys.argv[1:] or list(PARTS)
    if unknown := set(parts) - set(PARTS):
        raise SystemExit(f"there is no part {', '.join(sorted(unknown))}; parts are {', '.join(PARTS)}")
    result = json.loads(RESULT.read_text()) if RESULT.exists() else {}
    result |= {
        "machine": f"{_processor()}, {PROCESSES} cores",
        "software": f"Python {platform.python_version()}, torch {torch.__version__}, timm {timm.__version__}",
        **measure(parts),
    }
    RESULT.write_text(json.dumps(result, indent=1) + "\n")
    if set(PARTS) - set(result):
        return
    begin, end = "<!-- tables: begin -->\n", "<!-- tables: end -->"
    page = PAGE.read_text()
    start, rest = page.index(begin) + len(begin), page.index(end)
    PAGE.write_text(f"{page[:start]}{tables(result)}\n{page[rest:]}")


if __name__ == "__main__":
    main()
