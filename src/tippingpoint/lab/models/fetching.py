"""Fetching public weights once, before a study: the only place of the laboratory's models that uses the network.

timm downloads them (through huggingface_hub, into its cache) and writes them into the model, which settles their names;
what is kept is one ``.safetensors`` file with timm's names, and in its metadata the name, the licence, and the scale of
pixels that the weights expect. The same weights give the same file: neither a date nor a path is in it.
"""

from __future__ import annotations

import fnmatch
import json
import logging
import os
import socket
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from urllib.request import getproxies

import timm
from safetensors import SafetensorError, safe_open
from torch import nn

from tippingpoint.errors import ConfigError, EnvironmentFault
from tippingpoint.lab.data.prepared import file_sha256
from tippingpoint.lab.models.weights import published_name, weights_folder
from tippingpoint.lab.tensor_files import save_tensors

__all__ = ["fetch_weights", "fetched_weights", "published_weights"]

VERSION = 1  # of what stands in the file's metadata


def fetch_weights(name: str, to: str | Path | None = None) -> dict[str, Any]:
    """Fetch published weights of a timm model, or find that they were fetched before.

    Parameters
    ----------
    name : str
        A timm model, with or without the tag of its weights.
    to : str or Path, optional
        The ``.safetensors`` file to make; by default ``NAME.TAG.safetensors`` in `weights_folder`, where a study finds
        it as ``weights: hub``.

    Returns
    -------
    dict
        ``name``, ``path``, ``bytes``, ``sha256``, ``licence`` (None where timm states none), ``n_params`` (all of the
        file's) and ``reused``.

    Raises
    ------
    ConfigError
        timm knows no such weights, or the file has another ending.
    EnvironmentFault
        The download failed, or the disk refuses. Nothing is left behind.
    """
    full = published_name(name)
    path = weights_folder() / f"{full}.safetensors" if to is None else Path(to).expanduser()
    if path.suffix != ".safetensors":
        raise ConfigError(f"--to: '{path}' does not end in .safetensors, and weights are kept in such a file.")
    reused = path.is_file()
    if not reused:
        _write(_download(full), full, path)
    found = _describe(path)
    if found is None or found["name"] != full:
        other = "is no file of fetched weights" if found is None else f"holds the weights of {found['name']}"
        raise ConfigError(f"{path}: {other}; remove it, or choose another file with --to.")
    return {**found, "reused": reused}


def _download(full: str) -> nn.Module:
    """Return a model with its published weights."""
    with _hub() as unreachable:
        try:
            model: nn.Module = timm.create_model(full, pretrained=True)
        except Exception as error:  # what a network, a hub and their libraries raise has no common base
            said = (str(error).strip().splitlines() or [""])[0].rstrip(".")[:200]
            reason = unreachable or f"{type(error).__name__}: {said}"
            raise EnvironmentFault(
                f"{full}: the weights could not be fetched ({reason}); check the connection, or name a file of weights "
                "in the study instead of 'hub'."
            ) from error
    return model


@contextmanager
def _hub() -> Iterator[str | None]:
    """Let huggingface_hub look into its cache alone where the hub cannot be found; give the reason, or None.

    Otherwise it would try again for more than a minute, and tell of every attempt.
    """
    from huggingface_hub import constants

    unreachable, logger = _unreachable(constants.ENDPOINT), logging.getLogger("huggingface_hub")
    before = constants.HF_HUB_OFFLINE, logger.level
    constants.HF_HUB_OFFLINE = constants.HF_HUB_OFFLINE or unreachable is not None
    logger.setLevel(logging.ERROR)
    try:
        yield unreachable
    finally:
        constants.HF_HUB_OFFLINE = before[0]
        logger.setLevel(before[1])


def _unreachable(endpoint: str) -> str | None:
    """Return why nobody here knows the address of the hub; None where it is known, or a proxy is asked for it."""
    host = urlsplit(endpoint).hostname or endpoint
    if getproxies():
        return None
    try:
        socket.getaddrinfo(host, None)
    except OSError as error:
        return f"{host} is not found from here: {error.strerror or error}"
    return None


def _write(model: nn.Module, full: str, path: Path) -> None:
    """Write the weights aside and give them their name when they are whole and on the disk."""
    cfg = timm.get_pretrained_cfg(full)
    about = {
        "schema_version": VERSION,
        "name": full,
        "licence": cfg.license,
        "normalisation": {"mean": list(cfg.mean), "std": list(cfg.std)},
    }
    aside: str | None = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, aside = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=".tmp")
        os.close(handle)
        tensors = {name: value.contiguous() for name, value in model.state_dict().items()}
        save_tensors(tensors, Path(aside), about)
        os.chmod(aside, 0o644)  # mkstemp makes it private
        os.replace(aside, path)
        aside = None
    except OSError as error:
        reason = error.strerror or error
        raise EnvironmentFault(f"{path}: cannot be written ({reason}); free room or choose another file.") from error
    finally:
        if aside is not None:
            Path(aside).unlink(missing_ok=True)


def _describe(path: Path) -> dict[str, Any] | None:
    """Return what is known of a fetched file, or None where it is none."""
    try:
        with safe_open(path, framework="pt") as stream:
            about = json.loads(stream.metadata()["tippingpoint"])
            shapes = {name: stream.get_slice(name).get_shape() for name in stream.keys()}  # noqa: SIM118
        name, licence = str(about["name"]), about["licence"]
    except (OSError, KeyError, TypeError, ValueError, SafetensorError):
        return None
    running = ("running_mean", "running_var", "num_batches_tracked")
    sizes = [_product(shape) for name, shape in shapes.items() if not name.endswith(running)]
    return {
        "name": name,
        "path": str(path.resolve()),
        "bytes": path.stat().st_size,
        "sha256": file_sha256(path),
        "licence": licence,
        "n_params": sum(sizes),
    }


def _product(shape: list[int]) -> int:
    size = 1
    for length in shape:
        size *= length
    return size


def fetched_weights(data_dir: str | Path | None = None) -> list[dict[str, Any]]:
    """Return what was fetched: for each file what `fetch_weights` tells but ``reused``, by name.

    Parameters
    ----------
    data_dir : str or Path, optional
        A study's, looked into first; then ``$TIPPINGPOINT_DATA`` or the working directory.
    """
    folders = dict.fromkeys([weights_folder(data_dir), weights_folder()])
    files = [file for folder in folders if folder.is_dir() for file in sorted(folder.glob("*.safetensors"))]
    return [found for file in files if (found := _describe(file)) is not None]


def published_weights(pattern: str) -> list[dict[str, Any]]:
    """Return the weights that timm can fetch.

    Parameters
    ----------
    pattern : str
        Such as ``resnet*`` or a whole name; ``*`` for all.

    Returns
    -------
    list of dict
        ``name``, ``licence`` (None where timm states none), ``image_size`` (that it was trained at).
    """
    names = [name for name in timm.list_pretrained() if fnmatch.fnmatch(name, pattern) or name.split(".")[0] == pattern]
    cfgs = {name: timm.get_pretrained_cfg(name) for name in names}
    return [{"name": name, "licence": cfg.license, "image_size": cfg.input_size[-1]} for name, cfg in cfgs.items()]
