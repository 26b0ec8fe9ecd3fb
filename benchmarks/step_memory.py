"""How much memory one distillation step at the paper's size takes: computed, and as a process's peak on a CPU.

Command: ``python benchmarks/step_memory.py`` (one to two minutes; needs the memory that it measures). It writes
``benchmarks/results/step_memory.json``. The student has 8 heads of 64, its teacher 2, 197 tokens, depth 12, batch 128;
outputs and the maps of all 12 layers are compared.
"""

from __future__ import annotations

import json
import resource
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import torch

from tippingpoint.lab.models import DeiTShape, build_deit, recording
from tippingpoint.lab.tasks import prepare_worker
from tippingpoint.lab.training.loop import train
from tippingpoint.lab.training.losses import Guidance
from tippingpoint.lab.training.schedule import Length, TrainingSettings

RESULT = Path(__file__).parent / "results/step_memory.json"
BATCH, CLASSES, WANTED_GB = 128, 100, 24.0
STUDENT, TEACHER = DeiTShape(heads=8), DeiTShape(heads=2)
GB = 1e9
COPIES = 5  # of each parameter: value, gradient, gathered gradient, two moments


def kept_bytes(batch: int) -> int:
    """Return the bytes that the student's forward pass keeps for its backward pass, parameters left out."""
    model = build_deit(STUDENT, CLASSES, seed=0)
    own = {weight.untyped_storage().data_ptr() for weight in model.parameters()}
    kept: dict[int, int] = {}

    def note(tensor: torch.Tensor) -> torch.Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in own:
            kept[storage.data_ptr()] = storage.nbytes()
        return tensor

    images = torch.zeros(batch, STUDENT.channels, STUDENT.image_size, STUDENT.image_size)
    with torch.autograd.graph.saved_tensors_hooks(note, lambda tensor: tensor), recording(model) as recorder:
        out = model(images)
        maps = recorder.maps()
    assert out.requires_grad  # the graph lives until here, so that no address is used twice
    return sum(kept.values()) + sum(one.untyped_storage().nbytes() for one in maps)


def computed() -> dict[str, float]:
    """Return the parts of a step's memory that shapes settle, in GB."""
    tokens = (STUDENT.image_size // STUDENT.patch_size) ** 2 + 1
    small = kept_bytes(2)
    parameters = sum(weight.numel() for weight in build_deit(STUDENT, CLASSES, seed=0).parameters())
    one_map = 4 * BATCH * tokens**2
    parts = {
        "kept_for_backward": (kept_bytes(4) - small) / 2 * BATCH / GB,
        "parameters_gradients_moments": 4 * COPIES * parameters / GB,
        "teachers_maps": STUDENT.depth * one_map / GB,
    }
    every_head = STUDENT.depth * STUDENT.heads * one_map
    return {**parts, "sum": sum(parts.values()), "attention_of_all_layers_if_it_were_kept": every_head / GB}


def one_step() -> dict[str, float]:
    """Take one step in this process; return its peak resident memory before and in the step, and its time."""
    prepare_worker()
    rng = np.random.default_rng(0)
    side = STUDENT.image_size
    images = rng.integers(0, 256, (BATCH, side, side, STUDENT.channels), dtype=np.uint8)
    student, teacher = build_deit(STUDENT, CLASSES, seed=0), build_deit(TEACHER, CLASSES, seed=1)
    settings = TrainingSettings(Length(steps=1), BATCH)
    before, started = _peak(), time.perf_counter()
    labels = rng.integers(0, CLASSES, BATCH)
    train(student, images, labels, settings, n_steps=1, seed=0, teachers=[teacher], guidance=Guidance())
    return {"before": before, "peak": _peak(), "seconds": time.perf_counter() - started}


def _peak() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / GB  # Linux counts in kB


def main() -> None:
    if sys.argv[1:] == ["--child"]:
        print(json.dumps(one_step()))
        return
    child = subprocess.run([sys.executable, __file__, "--child"], check=True, capture_output=True, text=True)
    measured = json.loads(child.stdout.strip().splitlines()[-1])
    result = {"batch": BATCH, "computed_gb": computed(), "measured_gb_on_cpu": measured, "wanted_below_gb": WANTED_GB}
    print(json.dumps(result, indent=1))
    if measured["peak"] >= WANTED_GB:
        raise SystemExit("the step takes more than it may")
    RESULT.write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
