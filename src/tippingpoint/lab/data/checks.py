"""What a person should know of a set before a study spends hours on it."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

from tippingpoint.errors import DataError, TippingPointError
from tippingpoint.lab.data.images import PAIRS, ImageSet, imbalance, shared_images
from tippingpoint.lab.data.prepared import check_sample, verify_prepared
from tippingpoint.lab.data.registry import find_prepared, load_image_set, stored_shape
from tippingpoint.lab.data.views import parse_name

__all__ = ["check_before_training", "check_image_set", "find_leaks", "find_overlaps"]


def check_image_set(
    name: str, *, image_size: int | None = None, channels: int | None = None, data_dir: str | Path | None = None
) -> dict[str, Any]:
    """Load a set and report its classes, their balance and the images that stand in it more than once.

    Parameters
    ----------
    name : str
        As for `load_image_set`.
    image_size, channels : int, optional
        Shape at which images are compared; by default as stored, and 64 x 64 RGB for a folder.
    data_dir : str or Path, optional
        As for `load_image_set`. Every file of a prepared set is held against the SHA-256 in its manifest.

    Returns
    -------
    dict
        ``name``, ``fingerprint``, ``image_size``, ``channels``, ``n_train``, ``n_test``, ``n_classes``, ``classes``
        (list of ``{"name", "train", "test"}``), ``imbalance`` (sentence or None), ``duplicates`` (``train_test``:
        training images that are also test images; ``train``, ``test``: images of that part that repeat an earlier
        one) and ``warnings`` (sentences).

    Raises
    ------
    DataError
        The set cannot be used; all faults are named.
    """
    native = stored_shape(name, data_dir)
    size, depth = image_size or native[0], channels or native[1]
    images = load_image_set(name, image_size=size, channels=depth, data_dir=data_dir)
    kept = _prepared_folder(name, data_dir)
    if kept is not None:
        verify_prepared(kept)
    counts = images.class_counts()
    unequal = imbalance(images.train_labels, images.class_names)
    digests = {part: images.digests(part) for part in ("train", "test")}
    tested = set(digests["test"])
    leak = sum(key in tested for key in digests["train"])
    repeats = {part: len(keys) - len(set(keys)) for part, keys in digests.items()}
    warnings = [*([unequal] if unequal else []), *images.notes]
    if leak:
        warnings.append(
            f"{shared_images(images, images).sentences()['train_test'].rstrip('.')}, at {size}x{size}: the test error "
            "of whatever is trained on them is too good; remove them from the training images."
        )
    return {
        "name": name,
        "fingerprint": images.fingerprint,
        "image_size": size,
        "channels": depth,
        "n_train": len(images.train_labels),
        "n_test": len(images.test_labels),
        "n_classes": images.n_classes,
        "classes": [
            {"name": called, "train": train, "test": test}
            for called, train, test in zip(images.class_names, counts["train"], counts["test"], strict=True)
        ],
        "imbalance": unequal,
        "duplicates": {"train_test": leak, **repeats},
        "warnings": warnings,
    }


def find_overlaps(
    names: Sequence[str],
    *,
    image_size: int | None = None,
    channels: int | None = None,
    data_dir: str | Path | None = None,
) -> dict[str, Any]:
    """Count the images that sets share by content, each set with itself (training and test) and with every other.

    Parameters
    ----------
    names : sequence of str
        Sets, as for `load_image_set`.
    image_size, channels : int, optional
        Shape at which images are compared; by default that of the first prepared set, else of the first set.
    data_dir : str or Path, optional
        As for `load_image_set`.

    Returns
    -------
    dict
        ``image_size``, ``channels``, ``sets`` (name, n_train, n_test, fingerprint), ``pairs`` (``first``, ``second``,
        the four counts of `SharedImages` and ``examples``, pairs of places from 0) and ``warnings`` (sentences).

    Raises
    ------
    DataError
        A set cannot be used at that shape; the faults of all sets are named.
    """
    shapes = {name: stored_shape(name, data_dir) for name in names}
    kept = [name for name in names if _prepared_folder(name, data_dir) is not None]
    size, depth = shapes[(kept or list(names))[0]]
    size, depth = image_size or size, channels or depth
    sets: dict[str, ImageSet] = {}
    faults: list[str] = []
    for name in names:
        try:
            sets[name] = load_image_set(name, image_size=size, channels=depth, data_dir=data_dir)
        except DataError as error:
            faults += error.faults
    if faults:
        raise DataError(faults)
    found = [shared_images(sets[a], sets[b]) for place, a in enumerate(sets) for b in list(sets)[place:]]
    return {
        "image_size": size,
        "channels": depth,
        "sets": [
            {
                "name": name,
                "n_train": len(one.train_labels),
                "n_test": len(one.test_labels),
                "fingerprint": one.fingerprint,
            }
            for name, one in sets.items()
        ],
        "pairs": [
            {
                "first": pair.first,
                "second": pair.second,
                **{key: getattr(pair, key) for key in PAIRS},
                "examples": pair.examples,
            }
            for pair in found
        ],
        "warnings": [sentence for pair in found for sentence in pair.sentences().values()],
    }


def check_before_training(name: str, *, image_size: int, channels: int, data_dir: str | Path | None = None) -> ImageSet:
    """Load a set for a study, and refuse what a study should not find out afterwards.

    Parameters
    ----------
    name, image_size, channels, data_dir
        As for `load_image_set`.

    Returns
    -------
    ImageSet
        Of a prepared set a sample of the images was held against their content hashes.

    Raises
    ------
    DataError
        The set cannot be used, its colour would be dropped, or a prepared set has changed; all faults are named.
    """
    images = load_image_set(name, image_size=image_size, channels=channels, data_dir=data_dir)
    kept = _prepared_folder(name, data_dir)
    if kept is not None:
        check_sample(kept)
    if images.lost_colour:
        total = len(images.train_labels) + len(images.test_labels)
        raise DataError(
            f"{name}: {images.lost_colour:,} of {total:,} images are in colour, and the study's image.channels is 1; "
            "set image.channels: 3, or make them grey on purpose: tippingpoint data prepare NAME --from SOURCE "
            f"--size {image_size} --channels 1."
        )
    return images


def find_leaks(
    sets: Mapping[str, ImageSet], upstream: Collection[str], *, tested: bool = True
) -> tuple[list[tuple[str, str]], list[str]]:
    """Find images in two places among the sets of a study, and tell those that spoil its scores from the others.

    Scores are spoilt by training images that are test images too: of one set, or of an upstream set in the test part of
    a downstream one. Where both parts are one maker's, whose division stands as it was published, it is only told.

    Parameters
    ----------
    sets : mapping of str to ImageSet
        All at one size and number of channels.
    upstream : collection of str
        Which of them are pretrained on; the others are fine-tuned on.
    tested : bool, default True
        Test images are scored.

    Returns
    -------
    leaks : list of (str, str)
        What spoils the scores: of which set, and a sentence.
    notes : list of str
        What is only to be known, a sentence each.
    """
    leaks: list[tuple[str, str]] = []
    notes: list[str] = []
    pairs = [(name, name) for name in sets]
    pairs += [(first, second) for first in upstream for second in sets if first in sets and second not in upstream]
    for first, second in pairs:
        published = sets[first].maker is not None and sets[first].maker == sets[second].maker
        for kind, sentence in shared_images(sets[first], sets[second]).sentences().items():
            if tested and not published and kind == "train_test":
                leaks.append((second, sentence))
            else:
                notes.append(sentence)
    return leaks, notes


def _prepared_folder(name: str, data_dir: str | Path | None) -> Path | None:
    """Return the folder of a prepared set, of which classes may be asked for, or None."""
    whole = find_prepared(name, data_dir)
    if whole is not None:
        return whole
    try:
        return find_prepared(parse_name(name)[0], data_dir)
    except TippingPointError:  # not a view: loading has told what is wrong
        return None
