"""Sets of images: what comes with the package, the user's own, class views, nested subsets, a held-out part.

No torch in here: arrays are NumPy's, and training turns them into tensors.
"""

from tippingpoint.lab.data.checks import check_image_set
from tippingpoint.lab.data.images import ImageSet, SharedImages, find_copies, imbalance, shared_images
from tippingpoint.lab.data.registry import available_sets, describe_image_set, load_image_set
from tippingpoint.lab.data.subsets import nested_subset, split_validation, subset_count

__all__ = [
    "ImageSet",
    "SharedImages",
    "available_sets",
    "check_image_set",
    "describe_image_set",
    "find_copies",
    "imbalance",
    "load_image_set",
    "nested_subset",
    "shared_images",
    "split_validation",
    "subset_count",
]
