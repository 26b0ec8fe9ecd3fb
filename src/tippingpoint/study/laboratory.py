"""What a study asks of the laboratory, as one small face: a stand-in can take its place in tests.

Everything of ``lab`` is loaded when it is first needed: reading a status costs no torch.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from tippingpoint.errors import ConfigError, DataError, MissingExtraError

__all__ = ["Absent", "ImageFacts", "Kept", "Laboratory", "RealLaboratory"]

TIMINGS = 5  # of a step, for a plan: their spread is its interval
MEND_OVERLAP = "remove them from one of the two, or set allow_overlap: true in the study file to go on and have it told"


@dataclass(frozen=True)
class Absent:
    """A public set that is not prepared on this machine: enough is known to plan with it, not to train.

    Attributes
    ----------
    name : str
        Its whole set, without classes.
    layout : str
        What must lie in the folder that it is prepared from.
    assumed : str or None
        What is assumed of its counts: a clause.
    """

    name: str
    layout: str
    assumed: str | None

    def remedy(self, size: int, channels: int) -> str:
        """Return the command that prepares it for images of this size."""
        shape = f"--size {size} --channels {channels}"
        return f"tippingpoint data prepare {self.name} --from FOLDER {shape}, where FOLDER holds {self.layout}"


@dataclass(frozen=True)
class Kept:
    """A prepared set: where it lies, what it was called, and the shape of its images."""

    path: str
    name: str
    image_size: int
    channels: int

    def misfit(self, size: int, channels: int) -> str | None:
        """Return what is wrong where a study asks for images of another shape, with the command that mends it."""
        kept = (self.image_size, self.channels)
        if kept == (size, channels):
            return None
        said: str = _room("tippingpoint.lab.data.prepared").misfit_words(self.path, self.name, kept, (size, channels))
        return said


@dataclass(frozen=True)
class ImageFacts:
    """What a plan needs to know of a set of images.

    Attributes
    ----------
    fingerprint : str
        SHA-256 (hex) of its content.
    n_pool : int
        Training images left to choose from, the validation part held out.
    n_validation : int
        Training images that are held out.
    n_test : int
        Test images.
    n_classes : int
        Classes.
    remark : str or None
        How unequal the classes are, where they are: reported, not refused.
    absent : Absent or None
        Where the set is not here; then ``fingerprint`` is no set's.
    kept : Kept or None
        Where it is a prepared set.
    """

    fingerprint: str
    n_pool: int
    n_validation: int
    n_test: int
    n_classes: int
    remark: str | None = None
    absent: Absent | None = None
    kept: Kept | None = None


class Laboratory(Protocol):
    """What trains, and what says beforehand what a training costs.

    Attributes
    ----------
    executor : str
        ``module:function`` that a worker process loads; called as ``execute(task, parents, out, report)``.
    """

    executor: str

    def image_facts(self, name: str, data_dir: str | None, validation_fraction: float) -> ImageFacts:
        """Return what a plan needs to know of a set; DataError where there is no such set."""
        ...

    def inspect(
        self,
        tasks: Iterable[Mapping[str, Any]],
        *,
        allow_overlap: bool = False,
        places: Mapping[str, str] | None = None,
    ) -> list[str]:
        """Load every set that the tasks use and return what should be known: unequal classes, images in two places.

        DataError where a set cannot be read, a subset lacks a class, or training images are test images (unless
        ``allow_overlap``, which has that told only): before anything is started. Its sentences begin with the set's
        place in the study file, where ``places`` (set -> place) has it.
        """
        ...

    def describe(self, task: Mapping[str, Any]) -> Mapping[str, float]:
        """Return ``n_params``, ``n_params_head``, ``n_steps``, ``flops`` and ``guidance_flops`` of a task."""
        ...

    def time_steps(self, task: Mapping[str, Any], device: str = "cpu") -> Sequence[float]:
        """Return the seconds of one training step of a task, measured several times on a device."""
        ...

    def model_faults(
        self, spec: Mapping[str, Any], image_size: int, channels: int, batch_size: int | None
    ) -> Sequence[str]:
        """Return a sentence for everything that keeps a model from being built, or from being trained in batches."""
        ...

    def guidance_faults(
        self,
        student: Mapping[str, Any],
        teachers: Sequence[Mapping[str, Any]],
        guidance: Mapping[str, Any],
        image_size: int,
        channels: int,
    ) -> Sequence[str]:
        """Return a sentence for everything that keeps a student from hearing its teachers."""
        ...

    def augmentation_faults(self, settings: Mapping[str, Any], image_size: int, channels: int) -> Sequence[str]:
        """Return a sentence for everything that is wrong with an augmentation."""
        ...

    def weights(self, name: str, given: str, data_dir: str | None, *, planning: bool) -> Mapping[str, str]:
        """Return ``path`` and ``sha256`` of a timm model's public weights: ``hub``, or a file.

        ConfigError where there are none; both are empty when planning with weights that were not fetched.
        """
        ...

    def probe_precision(self, task: Mapping[str, Any], device: str) -> str:
        """Return which is faster for a training on this machine, ``float32`` or ``bfloat16``."""
        ...

    def count_gpus(self) -> int:
        """Return how many CUDA devices this process may use."""
        ...


class RealLaboratory:
    """The laboratory of this package (``tippingpoint.lab``)."""

    executor = "tippingpoint.lab.tasks:execute"

    def image_facts(self, name: str, data_dir: str | None, validation_fraction: float) -> ImageFacts:
        """See `Laboratory`."""
        import numpy as np

        data = _room("tippingpoint.lab.data")
        about = data.expect_image_set(name, data_dir)
        if about["absent"] is not None:  # the counts are all that a plan needs, and no image can be chosen
            held_out = data.subset_count(validation_fraction, about["n_train"])
            absent = Absent(**about["absent"])
            pool_size, n_test = about["n_train"] - held_out, about["n_test"]
            return ImageFacts(about["fingerprint"], pool_size, held_out, n_test, about["n_classes"], absent=absent)
        labels = np.repeat(np.arange(about["n_classes"]), about["train_counts"])
        pool, held = data.split_validation(labels, validation_fraction, about["fingerprint"])
        remark = data.imbalance(labels, about["class_names"])
        kept = Kept(**about["prepared"]) if about["prepared"] is not None else None
        fingerprint, n_test, n_classes = (about[key] for key in ("fingerprint", "n_test", "n_classes"))
        return ImageFacts(fingerprint, len(pool), len(held), n_test, n_classes, remark, kept=kept)

    def inspect(
        self,
        tasks: Iterable[Mapping[str, Any]],
        *,
        allow_overlap: bool = False,
        places: Mapping[str, str] | None = None,
    ) -> list[str]:
        """See `Laboratory`."""
        rooms, tasks = _room("tippingpoint.lab.data"), list(tasks)
        smallest, upstream = _smallest_subsets(tasks)
        faults: list[tuple[str, str]] = []
        sets: dict[str, Any] = {}
        for name, (data, wanted) in smallest.items():
            try:
                sets[name] = rooms.check_before_training(
                    name, image_size=data["image_size"], channels=data["channels"], data_dir=data.get("data_dir")
                )
                _check_classes(rooms, sets[name], data["validation_fraction"], wanted)
            except DataError as error:
                faults += [(name, fault) for fault in error.faults]
        tested = any(task.get("score_on", "test") == "test" for task in tasks)
        leaks, shared = rooms.find_leaks(sets, upstream, tested=tested)
        if not allow_overlap:
            faults += [(name, f"{leak.rstrip('.')}; {MEND_OVERLAP}.") for name, leak in leaks]
        if faults:
            named = places or {}
            raise DataError(f"{named[name]}: {fault}" if name in named else fault for name, fault in faults)
        notes = [f"{name}: {said}" for name, images in sets.items() for said in _told(rooms, images)]
        return [*notes, *(leak for _, leak in leaks), *shared]

    def describe(self, task: Mapping[str, Any]) -> Mapping[str, float]:
        """See `Laboratory`."""
        about: Mapping[str, float] = _room("tippingpoint.lab.tasks").describe(task)
        return about

    def time_steps(self, task: Mapping[str, Any], device: str = "cpu") -> Sequence[float]:
        """See `Laboratory`."""
        tasks = _room("tippingpoint.lab.tasks")
        tasks.prepare_worker()
        found: list[float] = tasks.time_steps(task, repeats=TIMINGS, device=device)
        return found

    def model_faults(
        self, spec: Mapping[str, Any], image_size: int, channels: int, batch_size: int | None
    ) -> Sequence[str]:
        """See `Laboratory`."""
        return _faults(_room("tippingpoint.lab.models").check_model, spec, image_size, channels, batch_size=batch_size)

    def guidance_faults(
        self,
        student: Mapping[str, Any],
        teachers: Sequence[Mapping[str, Any]],
        guidance: Mapping[str, Any],
        image_size: int,
        channels: int,
    ) -> Sequence[str]:
        """See `Laboratory`."""
        check = _room("tippingpoint.lab.models").check_guidance
        return _faults(check, student, teachers, guidance["attention_weight"], image_size, channels)

    def augmentation_faults(self, settings: Mapping[str, Any], image_size: int, channels: int) -> Sequence[str]:
        """See `Laboratory`."""
        room = _room("tippingpoint.lab.data.augmentation")
        return _faults(lambda: room.Augmentation.from_dict(settings).check(image_size, channels))

    def weights(self, name: str, given: str, data_dir: str | None, *, planning: bool) -> Mapping[str, str]:
        """See `Laboratory`."""
        room = _room("tippingpoint.lab.models.weights")
        found = (room.find_weights if planning else room.resolve_weights)(name, given, data_dir)
        return {"path": str(found.path), "sha256": found.sha256} if found else {"path": "", "sha256": ""}

    def probe_precision(self, task: Mapping[str, Any], device: str) -> str:
        """See `Laboratory`."""
        return str(_room("tippingpoint.lab.training.precision").probe_precision(task, device=device))

    def count_gpus(self) -> int:
        """See `Laboratory`."""
        cuda = _room("torch").cuda
        return int(cuda.device_count()) if cuda.is_available() else 0


def _faults(check: Callable[..., Any], *arguments: Any, **options: Any) -> list[str]:
    """Return what a check of the laboratory finds wrong."""
    try:
        check(*arguments, **options)
    except ConfigError as error:
        return list(error.faults)
    return []


def _smallest_subsets(
    tasks: Iterable[Mapping[str, Any]],
) -> tuple[dict[str, tuple[Mapping[str, Any], dict[int, int]]], list[str]]:
    """Return set -> (how it is loaded, subset seed -> smallest count), and the sets that are pretrained on."""
    found: dict[str, tuple[Mapping[str, Any], dict[int, int]]] = {}
    upstream: dict[str, None] = {}
    for task in tasks:
        data, seed = task["data"], task.get("subset_seed")
        if seed is None:  # features of a whole set: what learns from them has a task of its own
            continue
        wanted = found.setdefault(data["name"], (data, {}))[1]
        wanted[seed] = min(task["n_images"], wanted.get(seed, task["n_images"]))
        if task["kind"] == "pretrain":
            upstream[data["name"]] = None
    return found, list(upstream)


def _check_classes(rooms: Any, images: Any, validation_fraction: float, wanted: Mapping[int, int]) -> None:
    """Raise where the smallest subset of a seed lacks a class; larger ones hold the smaller."""
    import numpy as np

    where = images.name
    try:
        pool, _ = rooms.split_validation(images.train_labels, validation_fraction, images.fingerprint)
        rarest = int(np.bincount(images.train_labels[pool]).min())
        for seed, count in wanted.items():
            where = f"{images.name}, subset_seed {seed}"
            if count * rarest < len(pool):  # else every class has an image: shares are kept to within one
                rooms.nested_subset(images.train_labels, pool, count, images.fingerprint, seed)
    except DataError as error:
        raise DataError(f"{where}: {fault}" for fault in error.faults) from error


def _told(rooms: Any, images: Any) -> list[str]:
    """Return what should be known of a set: how unequal its classes are, what was converted or passed over."""
    unequal: str | None = rooms.imbalance(images.train_labels, images.class_names)
    return [*([unequal] if unequal else []), *images.notes]


def _room(name: str) -> Any:
    """Load a room of the laboratory; a missing package is told with its remedy."""
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if (error.name or "").startswith("tippingpoint"):
            raise
        raise MissingExtraError(
            f"Training needs the package '{error.name}', which is not installed; "
            "install the laboratory: pip install 'tippingpoint[lab]'."
        ) from error
