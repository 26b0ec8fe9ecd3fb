"""What a set with ImageNet-1k's numbers of images and classes costs beside its training: time, and memory of its own.

Command: ``OMP_NUM_THREADS=1 python benchmarks/large_sets.py`` (about a minute, 600 MB of disk; needs no data).

The set is made up: 1,281,167 training and 50,000 test images of 1,000 unequal classes in mixed order, at 8x8 RGB. What
is timed depends on the number of images and not on their size, but for the sample of each set that is held against its
hashes. Times are of the processor. Memory is what the process holds at the end of a step and no file backs (RssAnon);
the making of the set is in it.
"""

from __future__ import annotations

import json
import platform
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from tippingpoint.lab.data import (
    check_image_set,
    describe_image_set,
    load_image_set,
    nested_subset,
    prepare_image_set,
    split_validation,
)
from tippingpoint.study.laboratory import RealLaboratory

RESULT = Path(__file__).parent / "results" / "large_sets.json"
N_TRAIN, N_TEST, N_CLASSES, SIDE = 1_281_167, 50_000, 1_000, 8
APART = "made_up[0-499,501-999]"  # a view whose classes lie apart


def held() -> float:
    """Return the megabytes that this process holds for itself; NaN where the system does not say."""
    try:
        lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    except OSError:
        return float("nan")
    return next((float(line.split()[1]) / 1e3 for line in lines if line.startswith("RssAnon")), float("nan"))


def make(folder: Path) -> None:
    """Write the set as a ``.npz`` file and prepare it."""
    rng = np.random.default_rng(0)
    labels = np.concatenate([np.arange(N_CLASSES).repeat(50), rng.integers(0, N_CLASSES, N_TRAIN - 50 * N_CLASSES)])
    rng.shuffle(labels)
    parts = {"y_train": labels, "y_test": np.arange(N_CLASSES).repeat(N_TEST // N_CLASSES)}
    for part, n in (("x_train", N_TRAIN), ("x_test", N_TEST)):
        parts[part] = rng.integers(0, 256, (n, SIDE, SIDE, 3), dtype=np.uint8)
    np.savez(folder / "made_up.npz", allow_pickle=False, **parts)
    prepare_image_set("made_up", path=folder / "made_up.npz", to=folder / "made_up")
    (folder / "made_up.npz").unlink()


def steps(folder: Path) -> dict[str, Callable[[], Any]]:
    """Return what is timed, in order; later steps use what earlier ones found."""
    shape = {"image_size": SIDE, "channels": 3, "data_dir": str(folder)}
    found: dict[str, Any] = {}

    def keep(name: str, value: Any) -> None:
        found[name] = value

    def tasks() -> list[dict[str, Any]]:
        sets = (("pretrain", "made_up"), ("finetune", APART))
        return [
            {
                "kind": kind,
                "data": {"name": name, "validation_fraction": 0.1, **shape},
                "n_images": 64_000,
                "subset_seed": seed,
            }
            for kind, name in sets
            for seed in range(3)
        ]

    def gather() -> None:
        for batch in np.split(found["subset"][:128_000], 1000):
            found["view"].train_images[batch]

    return {
        "describe": lambda: describe_image_set("made_up", folder),
        "load": lambda: keep("whole", load_image_set("made_up", **shape)),  # type: ignore[arg-type]
        "load a view whose classes lie apart": lambda: keep("view", load_image_set(APART, **shape)),  # type: ignore[arg-type]
        "split the validation part off": lambda: keep(
            "pool", split_validation(found["view"].train_labels, 0.1, found["view"].fingerprint)[0]
        ),
        "a nested subset of half": lambda: keep(
            "subset", nested_subset(found["view"].train_labels, found["pool"], 0.5, found["view"].fingerprint, 0)
        ),
        "gather 1,000 batches of 128 from the view": gather,
        "all that a study looks at before it trains": lambda: RealLaboratory().inspect(tasks()),
        "data check": lambda: check_image_set("made_up", data_dir=folder),
    }


def main() -> None:
    """Measure, print and write the result."""
    with tempfile.TemporaryDirectory() as name:
        make(Path(name))
        measured = {}
        for what, work in steps(Path(name)).items():
            begun = time.process_time()
            work()
            measured[what] = {"seconds": round(time.process_time() - begun, 2), "held_mb": round(held(), 1)}
            print(f"{what}: {measured[what]['seconds']} s, {measured[what]['held_mb']} MB held", flush=True)
    about = {"images": [N_TRAIN, N_TEST], "classes": N_CLASSES, "side": SIDE, "images_mb": N_TRAIN * SIDE**2 * 3 / 1e6}
    machine = {"machine": platform.machine(), "python": platform.python_version(), "numpy": np.__version__}
    result = {"schema_version": 1, **about, **machine, "measured": measured}
    RESULT.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
