"""Which images a run sees: nested, stratified subsets and a fixed validation part.

Every choice is the beginning of one order over the images, a pure function of (content, seed):

1. inside a class, images stand by a 64-bit key taken from BLAKE2b(fingerprint, seed, index);
2. the class orders are merged so that after *every* s images class j has had s lambda_j of them to within
   1 - 1/(2k - 2) < 1, where lambda_j = n_j / N: Tijdeman's solution of the chairman assignment problem
   (R. Tijdeman, Discrete Mathematics 32 (1980) 323-330). Copy r (from 0) of class j may stand at place s (from 1) once
   s lambda_j >= r + 1 - D and must stand before (s - 1) lambda_j > r + D, with D = 1 - 1/(2k - 2); of the copies
   that may stand at a place, the one that must stand first is taken. Merging by (r + 1/2) / n_j is simpler but
   drifts by more than one image where one class is large and many are small.

Beginnings of one order are nested for any two sizes, and equal classes get equal counts at every multiple of k.
NumPy's random state plays no part, so subsets do not change with its version.
"""

from __future__ import annotations

import hashlib
import heapq
import math

import numpy as np
import numpy.typing as npt

from tippingpoint.errors import DataError

__all__ = ["nested_subset", "split_validation", "subset_count"]

Indices = npt.NDArray[np.int64]


def subset_count(size: float, pool_size: int) -> int:
    """Return how many images a size means: a count as it is, a fraction rounded to the nearest count (half up).

    Parameters
    ----------
    size : int or float
        An int is a count of images, 1 or more; a float is a fraction of the pool in (0, 1].
    pool_size : int
        Images to choose from.

    Returns
    -------
    int
        Count, 0 .. ``pool_size`` (0 where a fraction of a small pool is less than half an image).

    Raises
    ------
    DataError
        The size is neither, or more than there is.
    """
    if isinstance(size, (bool, np.bool_)) or not isinstance(size, (int, float, np.integer, np.floating)):
        raise DataError(f"A subset's size is a count (int) or a fraction (float), not {size!r}.")
    if isinstance(size, (float, np.floating)):
        if not 0.0 < size <= 1.0:  # also catches NaN
            raise DataError(
                f"The fraction {float(size)!r} lies outside (0, 1]: give a share of the training images such as 0.1, "
                "or a whole number without a point for a count of images."
            )
        return math.floor(float(size) * pool_size + 0.5)
    if size < 1:
        raise DataError(f"A subset of {size} images was asked for: give 1 image or more, or a fraction in (0, 1].")
    if size > pool_size:
        raise DataError(
            f"A subset of {size:,} images was asked for, but there are {pool_size:,} to choose from (the validation "
            "part is held out): ask for fewer."
        )
    return int(size)


def nested_subset(
    labels: npt.ArrayLike, pool: npt.ArrayLike, size: float, fingerprint: str, subset_seed: int
) -> Indices:
    """Choose a stratified subset of the pool; of one seed, every smaller subset is the beginning of every larger.

    Parameters
    ----------
    labels : array-like of int, shape (n,)
        Class of every training image.
    pool : array-like of int, shape (m,)
        Places in ``labels`` that may be chosen, without repeats; their order does not matter.
    size : int or float
        A count (int) or a fraction of the pool in (0, 1] (float), see `subset_count`.
    fingerprint : str
        The set's fingerprint.
    subset_seed : int
        Which of the possible subsets.

    Returns
    -------
    ndarray of int64
        Exactly the asked number of places in ``labels``. A class of n_j images in a pool of m gets size * n_j / m
        of them to within one, and equal classes get equal counts where the size is a multiple of their number.

    Raises
    ------
    DataError
        The size is out of range, more than there is, or leaves a class without an image.
    """
    labels, pool = np.asarray(labels), np.asarray(pool, dtype=np.int64)
    count = subset_count(size, len(pool))
    order = _stratified_order(labels, pool, f"subset\0{fingerprint}\0{int(subset_seed)}")
    chosen = order[:count]
    _check_every_class(labels, chosen, f"A subset of {count:,} images (asked for: {size!r})", "ask for more")
    return chosen


def split_validation(labels: npt.ArrayLike, fraction: float, fingerprint: str) -> tuple[Indices, Indices]:
    """Hold a stratified validation part out of the training images; it is fixed for a set and a fraction.

    Parameters
    ----------
    labels : array-like of int, shape (n,)
        Class of every training image.
    fraction : float
        Share that is held out, in (0, 1).
    fingerprint : str
        The set's fingerprint.

    Returns
    -------
    pool, validation : ndarray of int64
        Ascending, disjoint places in ``labels`` that together are all of them.

    Raises
    ------
    DataError
        The fraction lies outside (0, 1), or a class would have no image in one of the two parts.
    """
    if isinstance(fraction, bool) or not isinstance(fraction, (int, float)) or not 0.0 < fraction < 1.0:
        raise DataError(f"The validation fraction {fraction!r} lies outside (0, 1): give a share such as 0.1.")
    labels = np.asarray(labels)
    order = _stratified_order(labels, np.arange(len(labels), dtype=np.int64), f"validation\0{fingerprint}")
    count = subset_count(float(fraction), len(labels))
    validation, pool = np.sort(order[:count]), np.sort(order[count:])
    for part, what, other in (
        (validation, f"A validation part of {fraction}", "larger"),
        (pool, f"What a validation part of {fraction} leaves", "smaller"),
    ):
        counted = f"{len(part):,} image{'s' * (len(part) != 1)}"
        _check_every_class(labels, part, f"{what} ({counted})", f"choose a {other} validation_fraction")
    return pool, validation


def _check_every_class(labels: npt.NDArray[np.integer], chosen: Indices, what: str, remedy: str) -> None:
    """Raise where a class of the set has no image among those chosen."""
    missing = np.setdiff1d(labels, labels[chosen])
    if len(missing):
        named = ", ".join(map(str, missing[:10])) + (", ..." if len(missing) > 10 else "")
        noun = "class" if len(missing) == 1 else "classes"
        fewest = int(np.bincount(labels)[missing].min())
        if fewest < 2:
            remedy = "a class needs two training images or more: add images"
        raise DataError(f"{what} holds no image of {noun} {named}: {remedy}, or leave the class out.")


def _keys(indices: Indices, tag: str) -> npt.NDArray[np.uint64]:
    """Return a 64-bit key for every index: word i % 8 of BLAKE2b(tag, i // 8), eight keys for one hash."""
    prefix = hashlib.blake2b(tag.encode())
    words = bytearray()
    for block in range(int(indices.max(initial=-1)) // 8 + 1):
        state = prefix.copy()
        state.update(b"\0" + block.to_bytes(8, "little"))
        words += state.digest()
    return np.frombuffer(bytes(words), dtype="<u8")[indices].astype(np.uint64)


def _stratified_order(labels: npt.NDArray[np.integer], pool: Indices, tag: str) -> Indices:
    """Return the pool in the one order whose beginnings are the subsets."""
    if not len(pool):
        return pool
    keys = _keys(pool, tag)
    by_class = np.lexsort((pool, keys, labels[pool]))  # class, then key; equal keys (never seen) by index
    ordered, ordered_keys = pool[by_class], keys[by_class].tolist()
    _, starts, sizes = np.unique(labels[ordered], return_index=True, return_counts=True)
    return ordered[_merge(starts.tolist(), sizes.tolist(), ordered_keys)]


def _merge(starts: list[int], sizes: list[int], keys: list[int]) -> list[int]:
    """Merge class orders that stand one behind the other, by earliest deadline; ties go to the smaller key.

    Whole numbers throughout, so that no rounding can move an image.
    """
    total, double = sum(sizes), 2 * len(sizes) - 2
    if not double:
        return list(range(total))

    def release(which: int, rank: int) -> int:  # first place s with s lambda >= r + 1 - D = r + 1 / (2k - 2)
        return -(-total * (rank * double + 1) // (double * sizes[which]))

    def deadline(which: int, rank: int) -> int:  # last place s with (s - 1) lambda <= r + D
        return total * (rank * double + double - 1) // (double * sizes[which]) + 1

    merged = []
    waiting = [(release(which, 0), which, 0) for which in range(len(sizes))]
    heapq.heapify(waiting)
    ready: list[tuple[int, int, int, int]] = []  # (deadline, key, class, rank)
    for place in range(1, total + 1):
        while waiting and waiting[0][0] <= place:
            _, which, rank = heapq.heappop(waiting)
            heapq.heappush(ready, (deadline(which, rank), keys[starts[which] + rank], which, rank))
        _, _, which, rank = heapq.heappop(ready)
        merged.append(starts[which] + rank)
        if rank + 1 < sizes[which]:
            heapq.heappush(waiting, (release(which, rank + 1), which, rank + 1))
    return merged
