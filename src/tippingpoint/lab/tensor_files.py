"""Tensors on the disk, with a few words of JSON that say what they are."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import save_file

from tippingpoint.files import dump_json

__all__ = ["save_tensors"]

ABOUT = "tippingpoint"  # the key of our words in a file's metadata


def save_tensors(tensors: Mapping[str, torch.Tensor], path: Path, about: Mapping[str, Any]) -> None:
    """Write tensors as safetensors, down to the disk.

    Parameters
    ----------
    tensors : mapping of str to torch.Tensor
        Contiguous, on the CPU, sharing no memory.
    path : Path
        Written over where it exists.
    about : mapping
        What stands beside them; JSON types.

    Raises
    ------
    OSError
        The disk refuses, in whatever words the writing library has for it.
    """
    try:
        save_file(dict(tensors), path, metadata={ABOUT: dump_json(about)})
    except SafetensorError as error:
        raise OSError(str(error)) from error
    with path.open("rb") as stream:
        os.fsync(stream.fileno())
