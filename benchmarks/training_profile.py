"""Where a training step's time goes, and which share of a core's matmul peak it reaches; see ``throughput.py``."""

from __future__ import annotations

import time
from collections.abc import Callable
from statistics import median
from typing import Any

import torch
from torch.nn import functional as F
from torch.profiler import ProfilerActivity, record_function
from torch.utils.flop_counter import FlopCounterMode
from training_loops import WARM, Case, our_loop

from tippingpoint.lab.models import MappedAttention, attention, build_deit
from tippingpoint.lab.models.linear import linear, quicken
from tippingpoint.lab.training.batches import Feed

STEPS, REPEATS, SIDE = 40, 5, 1024
LINEAR = ("mkldnn::_linear_pointwise", "aten::mm", "aten::addmm")
GROUPS = {
    "linear layers": LINEAR,
    "products of attention": ("aten::bmm", "aten::baddbmm"),
    "softmax": ("aten::_softmax", "aten::_softmax_backward_data"),
    "GELU": ("aten::gelu", "aten::gelu_backward"),
    "layer norm": ("aten::native_layer_norm", "aten::native_layer_norm_backward"),
    "copies between layouts": ("aten::copy_", "aten::cat"),
    "sums and additions": ("aten::sum", "aten::add", "aten::add_", "aten::mul", "aten::fill_", "aten::zero_"),
    "optimiser": ("aten::_fused_adamw_",),
}
BATCH = "gathering and augmenting a batch"
REST = "the rest: Python, calls, loss, small things"
WAYS = ((17, 2, 16, 64), (17, 8, 16, 64), (50, 4, 16, 32), (65, 4, 16, 32), (197, 8, 64, 4))  # N, heads, d, batch


def _median_s(work: Callable[[], object], repeats: int = REPEATS) -> float:
    times = []
    for _ in range(repeats):
        started = time.perf_counter()
        work()
        times.append(time.perf_counter() - started)
    return median(times)


def peak_flops(product: Callable[[torch.Tensor, torch.Tensor], torch.Tensor]) -> float:
    """Return the floating-point operations a second of one thread on one large product."""
    x, weight = torch.randn(SIDE, SIDE), torch.randn(SIDE, SIDE)
    return 2 * SIDE**3 / min(_median_s(lambda: product(x, weight), 3) for _ in range(20))


def counted(case: Case) -> tuple[float, float]:
    """Return the operations of one step's matrix products, and those of its linear layers."""
    model = build_deit(case.shape(case.heads), 10, seed=0)
    images = torch.zeros(case.batch, case.channels, case.image_size, case.image_size)
    with FlopCounterMode(display=False) as counter:
        F.cross_entropy(model(images), torch.zeros(case.batch, dtype=torch.long)).backward()  # type: ignore[no-untyped-call]
    by_name = {str(name).partition(".default")[0]: count for name, count in counter.get_flop_counts()["Global"].items()}
    in_linear = sum(count for name, count in by_name.items() if name.replace(".", "::") in LINEAR)
    return float(counter.get_total_flops()), float(in_linear)


def _seconds_by_group(steps: Callable[[int], None]) -> dict[str, float]:
    """Return the seconds of a step by group, by torch's profiler."""
    plain = Feed.batch

    def marked(self: Feed, positions: torch.Tensor, passes: torch.Tensor) -> torch.Tensor:
        with record_function(BATCH):
            return plain(self, positions, passes)

    Feed.batch = marked  # type: ignore[method-assign]
    try:
        with torch.profiler.profile(activities=[ProfilerActivity.CPU]) as profiler:
            steps(STEPS)
    finally:
        Feed.batch = plain  # type: ignore[method-assign]
    found = dict.fromkeys([*GROUPS, BATCH], 0.0)
    group_of = {name: group for group, names in GROUPS.items() for name in names}
    for event in profiler.events():
        if event.name == BATCH:
            found[BATCH] += event.cpu_time_total * 1e-6 / STEPS
        elif event.name in group_of and not _inside(event, BATCH):
            found[group_of[event.name]] += event.self_cpu_time_total * 1e-6 / STEPS
    return found


def _inside(event: Any, name: str) -> bool:
    parent = event.cpu_parent
    while parent is not None and parent.name != name:
        parent = parent.cpu_parent
    return parent is not None


def profile(case: Case) -> dict[str, Any]:
    """Return the shares of a training step's time, and of the peak, in this process of one thread."""
    steps = our_loop(case)
    steps(WARM)
    step_s = _median_s(lambda: steps(STEPS)) / STEPS
    seconds, peak, (flops, in_linear) = _seconds_by_group(steps), peak_flops(linear), counted(case)
    shares = {name: value / step_s for name, value in seconds.items()}
    return {
        "step_ms": 1e3 * step_s,
        "peak_gflops": peak / 1e9,
        "torch_linear_gflops": peak_flops(F.linear) / 1e9,
        "gflop_per_step": flops / 1e9,
        "share_of_peak": flops / step_s / peak,
        "share_of_peak_in_linear": in_linear / seconds["linear layers"] / peak,
        "shares": {**shares, REST: 1 - sum(shares.values())},
    }


def attention_ways() -> list[dict[str, Any]]:
    """Time one attention layer forward and backward, in the open and by torch's fused kernel."""
    short, found = attention.SHORT, []
    try:
        for tokens, heads, head_dim, batch in WAYS:
            layer = quicken(MappedAttention(heads * head_dim, num_heads=heads, qkv_bias=True))
            x = torch.randn(batch, tokens, heads * head_dim).requires_grad_()
            times: dict[str, list[float]] = {"open_ms": [], "fused_ms": []}
            for _ in range(4 * REPEATS):
                for way, limit in (("open_ms", tokens), ("fused_ms", 0)):
                    attention.SHORT = limit
                    times[way].append(_median_s(lambda: layer(x).sum().backward(), 3))  # noqa: B023 - called at once
            found.append(
                {"tokens": tokens, "heads": heads, "head_dim": head_dim, "batch": batch}
                | {way: 1e3 * median(values) for way, values in times.items()}
            )
    finally:
        attention.SHORT = short
    return found
