"""A laboratory that trains nothing: results are a pure function of the task, and faults happen on demand.

Read from the environment: ``STUB_LOG`` gets one line per training, ``STUB_SLEEP`` seconds each takes, ``STUB_FAIL`` and
``STUB_DIE`` words of a task whose training raises or kills its process, ``STUB_FULL`` words of one that fills the disk.
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
import signal
import time
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

from tippingpoint.errors import DataError
from tippingpoint.study.laboratory import ImageFacts


class StubLaboratory:
    executor = "stub_lab:execute"

    def __init__(self, fingerprint: str = "f", n_pool: int = 900) -> None:
        self.fingerprint = fingerprint
        self.n_pool = n_pool
        self.described = 0
        self.timed = 0
        self.inspected = 0

    def image_facts(self, name: str, data_dir: str | None, validation_fraction: float) -> ImageFacts:
        if name.partition("[")[0] not in ("toys", "beans"):
            raise DataError(f"There is no set '{name}'.")
        return ImageFacts(f"{self.fingerprint}-{name}", self.n_pool, 100, 300, 5)

    def inspect(self, tasks: Iterable[Mapping[str, Any]]) -> list[str]:
        self.inspected += 1
        names = {task["data"]["name"] for task in tasks}
        return [f"3 images are in two of {len(names)} sets."]

    def describe(self, task: Mapping[str, Any]) -> Mapping[str, float]:
        self.described += 1
        return describe(task)

    def time_step(self, task: Mapping[str, Any]) -> float:
        self.timed += 1
        return 0.01


def describe(task: Mapping[str, Any]) -> dict[str, float]:
    n_params = 1000 * task["model"]["heads"] ** 2
    length, batch = task["training"]["length"], task["training"]["batch_size"]
    steps = length.get("steps") or max(
        length.get("min_steps", 0), -(-int(length["epochs"] * task["n_images"]) // batch)
    )
    per_step = 6.0 * n_params * batch
    steps += int(-(-task["extra_flops"] // per_step))
    guides = sum(2000 * teacher["heads"] ** 2 for teacher in task["teachers"])
    return {
        "n_params": n_params,
        "n_params_head": 50,
        "n_steps": steps,
        "flops": per_step * steps,
        "guidance_flops": float(guides * batch * steps),
    }


def execute(
    task: dict[str, Any], parents: dict[str, Path], out: Path, report: Callable[[int, int], None]
) -> dict[str, Any]:
    text = json.dumps(task, sort_keys=True)
    inputs = {
        role: hashlib.sha256((path / "weights.safetensors").read_bytes()).hexdigest() for role, path in parents.items()
    }
    digest = hashlib.sha256((text + json.dumps(inputs, sort_keys=True)).encode()).hexdigest()
    if log := os.environ.get("STUB_LOG"):
        with open(log, "a", encoding="utf-8") as stream:
            stream.write(digest + "\n")
    for step in range(4):
        time.sleep(float(os.environ.get("STUB_SLEEP", "0")) / 4)
        report(step + 1, 4)
    if (word := os.environ.get("STUB_FAIL")) and word in text:
        raise RuntimeError(f"asked to fail at {word}")
    if (word := os.environ.get("STUB_DIE")) and word in text:
        os.kill(os.getpid(), signal.SIGKILL)
    if (word := os.environ.get("STUB_FULL")) and word in text:
        raise OSError(errno.ENOSPC, "No space left on device")
    print("libraries print what they like")
    about = describe(task)
    if task["kind"] == "pretrain" or task.get("keep_weights"):
        header = b'{"digest":{"dtype":"U8","shape":[64],"data_offsets":[0,64]}}'
        (out / "weights.safetensors").write_bytes(len(header).to_bytes(8, "little") + header + digest.encode())
    (out / "curve.json").write_text('{"schema_version": 1, "curve": []}', encoding="utf-8")
    teacher = sum(
        json.loads((path / "result.json").read_text())["flops"] for role, path in parents.items() if role != "init"
    )
    error = int(digest[:8], 16) / 2**32
    return {
        "scores": {"error": error, "cross_entropy": 3 * error, "cross_entropy_calibrated": 2 * error, "n_test": 300},
        "n_params": about["n_params"],
        "n_params_head": 50,
        "n_steps": about["n_steps"],
        "flops": about["flops"],
        "teacher_flops": about["guidance_flops"] + teacher,
        "wall_s": time.time() % 1,
    }
