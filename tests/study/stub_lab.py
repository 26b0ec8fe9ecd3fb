"""A laboratory that trains nothing: results are a pure function of the task, and faults happen on demand.

Read from the environment: ``STUB_LOG`` gets one line per training, ``STUB_DEVICES`` the device of each, ``STUB_SLEEP``
seconds each takes, ``STUB_FAIL`` and ``STUB_DIE`` words of a task whose training raises or kills its process,
``STUB_FULL`` words of one that fills the disk, ``STUB_WARN`` words of one that warns. ``STUB_LUCK`` is a file: once it
is there, none dies.
"""

from __future__ import annotations

import errno
import hashlib
import json
import logging
import os
import signal
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from tippingpoint.errors import ConfigError, DataError
from tippingpoint.study.laboratory import ImageFacts

ARRAYS = ("weights.safetensors", "features.safetensors")


class StubLaboratory:
    executor = "stub_lab:execute"

    def __init__(self, fingerprint: str = "f", n_pool: int = 900, faster: str = "bfloat16", gpus: int = 0) -> None:
        self.fingerprint = fingerprint
        self.faster = faster
        self.gpus = gpus
        self.probed: list[tuple[Mapping[str, Any], str]] = []
        self.n_pool = n_pool
        self.described = 0
        self.timed = 0
        self.inspected = 0

    def image_facts(self, name: str, data_dir: str | None, validation_fraction: float) -> ImageFacts:
        if name.partition("[")[0] not in ("toys", "beans"):
            raise DataError(f"There is no set '{name}'.")
        return ImageFacts(f"{self.fingerprint}-{name}", self.n_pool, 100, 300, 5)

    def inspect(
        self,
        tasks: Iterable[Mapping[str, Any]],
        *,
        allow_overlap: bool = False,
        places: Mapping[str, str] | None = None,
    ) -> list[str]:
        self.inspected += 1
        names = {task["data"]["name"] for task in tasks}
        return [f"3 images are in two of {len(names)} sets."]

    def describe(self, task: Mapping[str, Any]) -> Mapping[str, float]:
        self.described += 1
        return describe(task)

    def time_steps(self, task: Mapping[str, Any], device: str = "cpu") -> Sequence[float]:
        self.timed += 1
        return (0.008, 0.01, 0.014)

    def model_faults(
        self, spec: Mapping[str, Any], image_size: int, channels: int, batch_size: int | None
    ) -> Sequence[str]:
        known = spec.get("timm", "toy_net") in ("toy_net", "toy_former")
        return [] if known else [f"model: timm has no '{spec['timm']}' for {image_size} x {channels} at {batch_size}."]

    def guidance_faults(
        self,
        student: Mapping[str, Any],
        teachers: Sequence[Mapping[str, Any]],
        guidance: Mapping[str, Any],
        image_size: int,
        channels: int,
    ) -> Sequence[str]:
        kinds = {"timm" in model for model in (student, *teachers)}
        return (
            ["guidance: their maps have nothing in common."] if len(kinds) > 1 and guidance["attention_weight"] else []
        )

    def augmentation_faults(self, settings: Mapping[str, Any], image_size: int, channels: int) -> Sequence[str]:
        shifted = settings.get("crop_padding", 0) >= image_size
        return [f"augmentation: {settings['crop_padding']} pixels are too many."] if shifted else []

    def weights(self, name: str, given: str, data_dir: str | None, *, planning: bool) -> Mapping[str, str]:
        if given == "hub":
            if planning:
                return {"path": "", "sha256": ""}
            raise ConfigError(f"weights: those of {name} are not here.")
        return {"path": f"{data_dir}/{given}", "sha256": hashlib.sha256(Path(given).name.encode()).hexdigest()}

    def probe_precision(self, task: Mapping[str, Any], device: str) -> str:
        self.probed.append((task["model"], device))
        return self.faster

    def count_gpus(self) -> int:
        return self.gpus


def _params(model: Mapping[str, Any]) -> int:
    if "timm" in model:
        return int(300 * sum(model.get("arguments", {}).get("channels", [7])))
    return int(1000 * model["heads"] ** 2 * model["depth"] // 2)


def describe(task: Mapping[str, Any]) -> dict[str, float]:
    n_params = _params(task["model"])
    about: dict[str, float] = {"n_params": n_params, "n_params_head": 50, "n_steps": 1, "guidance_flops": 0.0}
    if task["kind"] in ("features", "probe"):
        images = 1300 if task["kind"] == "features" else task["n_images"]
        return {**about, "flops": 2.0 * n_params * images}
    length, batch = task["training"]["length"], task["training"]["batch_size"]
    steps = length.get("steps") or max(
        length.get("min_steps", 0), -(-int(length["epochs"] * task["n_images"]) // batch)
    )
    per_step = 6.0 * n_params * batch
    steps += int(-(-task["extra_flops"] // per_step))
    guides = sum(2 * _params(teacher) for teacher in task["teachers"])
    return {
        **about,
        "n_steps": steps,
        "flops": per_step * steps,
        "guidance_flops": float(guides * batch * steps),
    }


def execute(
    task: dict[str, Any], parents: dict[str, Path], out: Path, report: Callable[..., None], checkpoints: Path
) -> dict[str, Any]:
    text = json.dumps(task, sort_keys=True)
    inputs = {
        role: hashlib.sha256((path / ARRAYS[role == "features"]).read_bytes()).hexdigest()
        for role, path in parents.items()
    }
    digest = hashlib.sha256((text + json.dumps(inputs, sort_keys=True)).encode()).hexdigest()
    if log := os.environ.get("STUB_LOG"):
        with open(log, "a", encoding="utf-8") as stream:
            stream.write(digest + "\n")
    if log := os.environ.get("STUB_DEVICES"):
        with open(log, "a", encoding="utf-8") as stream:
            stream.write(os.environ["TIPPINGPOINT_DEVICE"] + "\n")
    curve: list[dict[str, float]] = []
    for step in range(1, 5):
        time.sleep(float(os.environ.get("STUB_SLEEP", "0")) / 4)
        curve.append({"step": step, "loss": 2 / step, "ce": 1 / step})
        report(step, 4, *([curve] if "training" in task else []))
    if (word := os.environ.get("STUB_FAIL")) and word in text:
        raise RuntimeError(f"asked to fail at {word}")
    if (word := os.environ.get("STUB_WARN")) and word in text:
        logging.getLogger("tippingpoint.lab").warning("step-7: is passed over (asked to)")
    luck = Path(os.environ.get("STUB_LUCK") or "/no/luck")
    if (word := os.environ.get("STUB_DIE")) and word in text and not luck.exists():
        if luck.parent.is_dir():
            luck.touch()
        os.kill(os.getpid(), signal.SIGKILL)
    if (word := os.environ.get("STUB_FULL")) and word in text:
        raise OSError(errno.ENOSPC, "No space left on device")
    print("libraries print what they like")
    about = describe(task)
    if task["kind"] in ("pretrain", "features") or task.get("keep_weights"):
        header = b'{"digest":{"dtype":"U8","shape":[64],"data_offsets":[0,64]}}'
        (out / ARRAYS[task["kind"] == "features"]).write_bytes(
            len(header).to_bytes(8, "little") + header + digest.encode()
        )
    if "training" in task:
        (out / "curve.json").write_text(json.dumps({"schema_version": 1, "curve": curve}), encoding="utf-8")
    teacher = sum(
        json.loads((path / "result.json").read_text())["flops"]
        for role, path in parents.items()
        if role not in ("init", "features")
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
