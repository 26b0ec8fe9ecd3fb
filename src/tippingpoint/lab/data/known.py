"""Public sets of images that a study can use once `tippingpoint data prepare` has read them.

Parts and layouts are those of torchvision's sources. Counts and terms of use are as they were known when this was
written and were *not* checked against the makers' pages; ``data list`` says so, and ``data prepare`` counts. Nothing of
these is in the package, and nothing is fetched but by `data prepare NAME --download`.
"""

from __future__ import annotations

from typing import NamedTuple

__all__ = ["KNOWN", "Known", "even_counts", "expected_counts"]

IMAGENET_TERMS = "ImageNet's terms: research and teaching, not for commerce"


class Known(NamedTuple):
    """One public set.

    Attributes
    ----------
    about : str
        What it shows.
    reader : str
        How it is read: ``arrays`` or ``files`` (a class of torchvision), ``tiny_imagenet`` or ``imagenet`` (folders).
    provider : str
        Class of ``torchvision.datasets`` that provides it, or where it comes from.
    layout : str
        What must lie in the folder given with ``--from``.
    size : int
        Side that images are brought to where no other is asked for: that of the set, or 224 where its images differ.
    n_train, n_test : int or None
        Images of the maker's whole set in our two parts, unverified; None where a class list decides.
    n_classes : int
        Classes.
    train, test : str
        Which of the maker's parts are ours.
    licence : str
        What its maker says of its use, unverified.
    url : str
        Page of its maker.
    """

    about: str
    reader: str
    provider: str
    layout: str
    size: int
    n_train: int | None
    n_test: int | None
    n_classes: int
    train: str
    test: str
    licence: str
    url: str


KNOWN: dict[str, Known] = {
    "cifar10": Known(
        "objects and animals, 32x32 RGB",
        *("arrays", "torchvision.datasets.CIFAR10", "cifar-10-batches-py/", 32, 50_000, 10_000, 10),
        *("train", "test", "none stated; its makers ask to be cited"),
        "https://www.cs.toronto.edu/~kriz/cifar.html",
    ),
    "cifar100": Known(
        "objects and animals, the 100 fine classes, 32x32 RGB",
        *("arrays", "torchvision.datasets.CIFAR100", "cifar-100-python/", 32, 50_000, 10_000, 100),
        *("train", "test", "none stated; its makers ask to be cited"),
        "https://www.cs.toronto.edu/~kriz/cifar.html",
    ),
    "tiny_imagenet": Known(
        "200 classes of ImageNet at 64x64 RGB",
        "tiny_imagenet",
        "http://cs231n.stanford.edu/tiny-imagenet-200.zip",
        "tiny-imagenet-200/ with train/ and val/val_annotations.txt",
        *(64, 100_000, 10_000, 200),
        *("train", "val, because its test images have no labels", IMAGENET_TERMS),
        "https://image-net.org/download.php",
    ),
    "imagenet1k": Known(
        "the 1,000 classes of ILSVRC 2012",
        "imagenet",
        "torchvision.datasets.ImageNet, which unpacks the maker's archives",
        "train/ and val/ with a folder for every WordNet number",
        *(224, 1_281_167, 50_000, 1_000),
        *("train", "val, because its test images have no labels", IMAGENET_TERMS),
        "https://image-net.org/download.php",
    ),
    "imagenet100": Known(
        "100 classes of ImageNet-1k: every tenth WordNet number, or those of --classes",
        "imagenet",
        "torchvision.datasets.ImageNet, which unpacks the maker's archives",
        "train/ and val/ of ImageNet-1k with a folder for every WordNet number",
        *(224, None, None, 100),
        *("train", "val, because its test images have no labels", IMAGENET_TERMS),
        "https://image-net.org/download.php",
    ),
    "flowers102": Known(
        "flowers of the United Kingdom",
        *("files", "torchvision.datasets.Flowers102", "flowers-102/", 224, 2_040, 6_149, 102),
        *("train and val, 1,020 each", "test", "none stated; its makers ask to be cited"),
        "https://www.robots.ox.ac.uk/~vgg/data/flowers/102/",
    ),
    "dtd": Known(
        "textures, partition 1",
        *("files", "torchvision.datasets.DTD", "dtd/dtd/", 224, 3_760, 1_880, 47),
        *("train and val, 1,880 each", "test", "for research, say its makers"),
        "https://www.robots.ox.ac.uk/~vgg/data/dtd/",
    ),
    "oxford_pets": Known(
        "breeds of cats and dogs",
        *("files", "torchvision.datasets.OxfordIIITPet", "oxford-iiit-pet/", 224, 3_680, 3_669, 37),
        *("trainval", "test", "CC BY-SA 4.0"),
        "https://www.robots.ox.ac.uk/~vgg/data/pets/",
    ),
    "food101": Known(
        "dishes; the training labels are partly wrong, as its makers left them",
        *("files", "torchvision.datasets.Food101", "food-101/", 224, 75_750, 25_250, 101),
        *("train", "test", "the photographs are their owners'; for research"),
        "https://data.vision.ee.ethz.ch/cvl/datasets_extra/food-101/",
    ),
    "eurosat": Known(
        "land use seen by Sentinel-2, 64x64 RGB",
        *("files", "torchvision.datasets.EuroSAT", "eurosat/2750/", 64, 21_600, 5_400, 10),
        "80% of every class; the maker has no parts, and ours are fixed by the order of file names",
        *("the other 20%", "MIT", "https://github.com/phelber/EuroSAT"),
    ),
    "svhn": Known(
        "house numbers, 32x32 RGB",
        *("arrays", "torchvision.datasets.SVHN", "train_32x32.mat and test_32x32.mat", 32, 73_257, 26_032, 10),
        *("train, without extra", "test", "not for commerce"),
        "http://ufldl.stanford.edu/housenumbers/",
    ),
    "gtsrb": Known(
        "traffic signs of Germany",
        *("files", "torchvision.datasets.GTSRB", "gtsrb/", 32, 26_640, 12_630, 43),
        *("train, those of the 2011 competition", "test", "free to use, say its makers, who ask to be cited"),
        "https://benchmark.ini.rub.de/",
    ),
    "stl10": Known(
        "objects and animals from ImageNet, 96x96 RGB",
        *("arrays", "torchvision.datasets.STL10", "stl10_binary/", 96, 5_000, 8_000, 10),
        *("train, without the images that have no label", "test", IMAGENET_TERMS),
        "https://cs.stanford.edu/~acoates/stl10/",
    ),
}


def expected_counts(name: str) -> tuple[int, int, str | None]:
    """Return how many images a public set has that nobody has prepared here, and what is assumed in this.

    Parameters
    ----------
    name : str
        A key of `KNOWN`.

    Returns
    -------
    n_train, n_test : int
        Its maker's numbers; where a class list decides, ImageNet-1k's by the number of classes.
    assumed : str or None
        A clause that says so; None where the maker states both.
    """
    known, whole = KNOWN[name], KNOWN["imagenet1k"]
    if known.n_train is not None and known.n_test is not None:
        return known.n_train, known.n_test, None
    assert whole.n_train is not None  # noqa: S101 - stated above
    assert whole.n_test is not None  # noqa: S101
    share = known.n_classes / whole.n_classes
    n_train, n_test = round(share * whole.n_train), round(share * whole.n_test)
    clause = f"{n_train:,} training images, ImageNet-1k's mean for {known.n_classes} classes; its class list decides"
    return n_train, n_test, clause


def even_counts(n_images: int, n_classes: int) -> tuple[int, ...]:
    """Return images of every class where they are spread as evenly as can be."""
    return tuple(n_images // n_classes + (place < n_images % n_classes) for place in range(n_classes))
