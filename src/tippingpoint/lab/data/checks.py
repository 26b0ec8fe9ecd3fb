"""What a person should know of a set before a study spends hours on it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tippingpoint.lab.data.images import find_copies, imbalance
from tippingpoint.lab.data.registry import load_image_set, stored_shape

__all__ = ["check_image_set"]


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
        As for `load_image_set`.

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
    counts = images.class_counts()
    unequal = imbalance(images.train_labels, images.class_names)
    leak = find_copies(images.train_images, images.test_images)
    repeats = {
        part: len(pixels) - len({image.tobytes() for image in pixels})
        for part, pixels in (("train", images.train_images), ("test", images.test_images))
    }
    warnings = [unequal] if unequal else []
    if len(leak):
        warnings.append(
            f"{len(leak):,} training images are also test images (at {size}x{size}): the test error of whatever is "
            "trained on them is too good; remove them from the training images."
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
        "duplicates": {"train_test": len(leak), **repeats},
        "warnings": warnings,
    }
