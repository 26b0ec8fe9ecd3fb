"""Sets of images: what comes with the package, prepared ones, the user's own, class views, nested subsets, overlaps.

Arrays are NumPy's, and training turns them into tensors. Only `prepare_image_set` loads torchvision, where a public set
needs it, and only it may fetch anything.
"""

from tippingpoint.lab.data.checks import check_before_training, check_image_set, find_leaks, find_overlaps
from tippingpoint.lab.data.images import ImageSet, SharedImages, imbalance, shared_images
from tippingpoint.lab.data.prepare import prepare_image_set
from tippingpoint.lab.data.registry import (
    available_sets,
    describe_image_set,
    expect_image_set,
    load_image_set,
    public_sets,
)
from tippingpoint.lab.data.subsets import nested_subset, split_validation, subset_count

__all__ = [
    "ImageSet",
    "SharedImages",
    "available_sets",
    "check_before_training",
    "check_image_set",
    "describe_image_set",
    "expect_image_set",
    "find_leaks",
    "find_overlaps",
    "imbalance",
    "load_image_set",
    "nested_subset",
    "prepare_image_set",
    "public_sets",
    "shared_images",
    "split_validation",
    "subset_count",
]
