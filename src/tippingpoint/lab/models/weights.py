"""Public weights: where they lie, what a file holds, and how they come into a model.

Nothing is fetched here (see ``lab.models.fetching``). A file is read without running anything that is in it:
safetensors, or a pickle of torch's with ``weights_only``. What timm does to a published checkpoint is done by timm's
own functions: renaming of old tensors and resampling of positions (each family's filter), and the sum over colours
where images are grey. The scale of pixels that the weights expect comes with them (see ``lab.models.pixels``).
"""

from __future__ import annotations

import argparse
import importlib
import inspect
import json
import os
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

import timm
import torch
from safetensors import safe_open
from timm.models import adapt_input_conv, model_entrypoint
from torch import nn

from tippingpoint.errors import ConfigError, did_you_mean
from tippingpoint.lab.data.prepared import data_folder, file_sha256
from tippingpoint.lab.models.pixels import set_normalisation

__all__ = [
    "HUB",
    "WeightsFacts",
    "find_weights",
    "fitting_weights",
    "load_weights",
    "published_name",
    "resolve_weights",
    "weights_folder",
]

HUB = "hub"
FOLDER = "weights"
SUFFIXES = (".safetensors", ".pth", ".pt")
SHOWN = 4  # tensors that an error names of each kind
WRAPPERS = ("state_dict", "model")  # under which training scripts keep the tensors
PREFIXES = ("module.", "_orig_mod.", "model.")  # of data-parallel, compiled and wrapped models
FILTERS = ("checkpoint_filter_fn", "_filter_fn", "_filter_torchvision_pretrained")  # timm's names for what it does
Tensors = dict[str, torch.Tensor]
Scale = dict[str, Sequence[float]]


class WeightsFacts(NamedTuple):
    """A file of weights that is there.

    Attributes
    ----------
    path : Path
        Absolute.
    sha256 : str
        Of the file, hexadecimal: it stands for the weights in a cell's key.
    source : str
        ``timm NAME.TAG``, or ``file``.
    """

    path: Path
    sha256: str
    source: str


def weights_folder(data_dir: str | Path | None = None) -> Path:
    """Return the folder in which fetched weights lie: ``weights`` in a data folder.

    Parameters
    ----------
    data_dir : str or Path, optional
        A study's; else ``$TIPPINGPOINT_DATA``, else the working directory.
    """
    return (Path(data_dir) if data_dir is not None else data_folder() or Path()) / FOLDER


def published_name(name: str) -> str:
    """Return timm's full name of a model with published weights, such as ``resnet18.a1_in1k``.

    Parameters
    ----------
    name : str
        A timm model, with or without the tag of its weights; without one it is timm's first.

    Raises
    ------
    ConfigError
        timm knows no such model, or no weights of it.
    """
    base, _, tag = name.partition(".")
    if not timm.is_model(base):
        raise ConfigError(f"'{name}' is no model of timm.{did_you_mean(base, timm.list_models())}")
    published = timm.list_pretrained(f"{base}.*")
    if tag and name not in published:
        known = f"published are {', '.join(published)}" if published else "none are published"
        raise ConfigError(f"timm knows no weights '{tag}' of {base}: {known}.")
    cfg = timm.get_pretrained_cfg(name)
    if cfg is None or not cfg.has_weights:
        raise ConfigError(f"timm knows no published weights of '{name}': choose a file or another model.")
    return f"{base}.{cfg.tag}" if cfg.tag else base


def find_weights(name: str, given: str, data_dir: str | Path | None = None) -> WeightsFacts | None:
    """Return what is known of a file of weights, or None where weights of the hub were not fetched yet.

    Parameters
    ----------
    name : str
        The timm model.
    given : str
        ``hub``, or the path of a ``.safetensors``, ``.pth`` or ``.pt`` file.
    data_dir : str or Path, optional
        Where a relative path starts, and whose ``weights`` folder is looked into first.

    Raises
    ------
    ConfigError
        No such model or file, or a file that is none of weights.
    """
    if given == HUB:
        full = published_name(name)
        places = dict.fromkeys([weights_folder(data_dir), weights_folder()])
        there = next((file for place in places if (file := place / f"{full}.safetensors").is_file()), None)
        return None if there is None else _facts(there, f"timm {full}")
    path = (Path(data_dir) if data_dir is not None else Path()) / Path(given).expanduser()
    if path.suffix not in SUFFIXES:
        raise ConfigError(f"weights: '{given}' is neither '{HUB}' nor a file that ends in {', '.join(SUFFIXES)}.")
    if not path.is_file():
        raise ConfigError(f"weights: there is no file {path}; give the path of a file of weights, or '{HUB}'.")
    return _facts(path, "file")


def resolve_weights(name: str, given: str, data_dir: str | Path | None = None) -> WeightsFacts:
    """Return what is known of a file of weights, which must be there.

    Parameters
    ----------
    name, given, data_dir
        As of `find_weights`.

    Raises
    ------
    ConfigError
        As of `find_weights`, and where weights of the hub were not fetched: with the command that does it.
    """
    found = find_weights(name, given, data_dir)
    if found is None:
        full = published_name(name)
        raise ConfigError(
            f"The weights of {full} are not in {weights_folder(data_dir)}, and a study fetches nothing: "
            f"run 'tippingpoint weights fetch {full}' first."
        )
    return found


def _facts(path: Path, source: str) -> WeightsFacts:
    status = path.stat()
    return WeightsFacts(path.resolve(), _sha256(path.resolve(), status.st_mtime_ns, status.st_size), source)


@lru_cache(maxsize=256)
def _sha256(path: Path, _changed: int, _size: int) -> str:
    return file_sha256(path)


def load_weights(model: nn.Module, path: str | Path, sha256: str | None = None) -> None:
    """Write public weights into a model of timm, in place; its classification head keeps its own initial values.

    Parameters
    ----------
    model : nn.Module
        Built by timm (or ``build_deit``) for the study's image size and channels.
    path : str or Path
        A ``.safetensors``, ``.pth`` or ``.pt`` file; the tensors may stand under ``model`` or ``state_dict``.
    sha256 : str, optional
        What the file's hash must be.

    Raises
    ------
    ConfigError
        The file cannot be read, has changed, or is not of this model: missing, unexpected and mis-shaped tensors are
        told together.
    """
    tensors, scale = fitting_weights(model, path, sha256)
    model.load_state_dict({**model.state_dict(), **tensors})
    set_normalisation(model, scale)


def fitting_weights(model: nn.Module, path: str | Path, sha256: str | None = None) -> tuple[Tensors, Scale | None]:
    """Return a file's tensors as a model takes them, without those of its head, and the scale of pixels they expect.

    Parameters
    ----------
    model, path, sha256
        As of `load_weights`; the model is left as it is, and one without weights of its own will mostly do.

    Raises
    ------
    ConfigError
        As of `load_weights`.
    """
    path = Path(path)
    tensors, about = _read(path, sha256)
    # Files of ours say their scale; others have the one under which timm publishes this model.
    scale = about.get("normalisation") if isinstance(about, dict) else _published_scale(model)
    given = _without_head(_adapted(model, tensors, path), _head_names(model))
    own = {name: value for name, value in model.state_dict().items() if not _is_under(name, _head_names(model))}
    _check(model, path, own, given)
    return given, scale


def _read(path: Path, sha256: str | None) -> tuple[Tensors, dict[str, Any] | None]:
    """Return the tensors of a file, and what a file of ours says of itself."""
    about = None
    try:
        if sha256 is not None and file_sha256(path) != sha256:
            raise ConfigError(f"{path}: is not the file that was planned with (SHA-256); plan the study anew.")
        if path.suffix == ".safetensors":
            with safe_open(path, framework="pt") as stream:
                about = json.loads((stream.metadata() or {}).get("tippingpoint", "null"))
                content: Any = {name: stream.get_tensor(name) for name in stream.keys()}  # noqa: SIM118
        else:
            with torch.serialization.safe_globals([argparse.Namespace]):  # training scripts keep their arguments
                content = torch.load(path, map_location="cpu", weights_only=True)
    except ConfigError:
        raise
    except Exception as error:  # torch's reader raises whatever a damaged file makes it stumble over
        raise ConfigError(f"{path}: cannot be read as weights: {_reason(error)}.") from error
    return _unwrap(content, path), about


def _reason(error: Exception) -> str:
    """Return why a file cannot be read, and what to do."""
    if isinstance(error, OSError) and error.errno:
        return f"{os.strerror(error.errno)}; check the file and its rights"
    if "Weights only load failed" in str(error):  # torch's words
        return "it holds more than tensors, which is not opened; save the model's state_dict() alone"
    return f"{_first_line(error)}; get the file anew"


def _first_line(error: BaseException) -> str:
    """Return the first line of an error, without its last stop."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0].rstrip(".")[:200]


def _unwrap(content: Any, path: Path) -> Tensors:
    """Return the tensors by name, without wrappers and common prefixes."""
    for key in WRAPPERS:
        if isinstance(content, Mapping) and isinstance(content.get(key), Mapping):
            content = content[key]
    if not isinstance(content, Mapping):
        raise ConfigError(f"{path}: holds no tensors by name; give a state_dict.")
    tensors = {str(name): value for name, value in content.items() if isinstance(value, torch.Tensor)}
    if not tensors:
        raise ConfigError(f"{path}: holds no tensors by name; give a state_dict.")
    for prefix in PREFIXES:
        if all(name.startswith(prefix) for name in tensors):
            tensors = {name.removeprefix(prefix): value for name, value in tensors.items()}
    return tensors


def _adapted(model: nn.Module, tensors: Tensors, path: Path) -> Tensors:
    """Return the tensors as timm would load them: renamed, resampled, for the channels of the model."""
    rule = _filter_of(model)
    if rule is not None:
        try:
            tensors = dict(rule(dict(tensors), model))
        except Exception as error:  # timm's rules raise whatever a stranger's file makes them stumble over
            said = f"{type(error).__name__}: {_first_line(error)}"
            raise ConfigError(
                f"{path}: timm cannot read it as weights of {_called(model)} ({said}); name the model that they "
                "belong to."
            ) from error
    first, own = _first_name(model), model.state_dict()
    for name in (first,) if isinstance(first, str) else tuple(first):
        key = f"{name}.weight"
        old, new = tensors.get(key), own.get(key)
        if old is not None and new is not None and old.ndim == new.ndim == 4 and old.shape[1] == 3 != new.shape[1]:
            tensors[key] = adapt_input_conv(new.shape[1], old)
    return tensors


def _filter_of(model: nn.Module) -> Callable[[Tensors, nn.Module], Tensors] | None:
    """Return what timm does to a published file of this family, or None where it does nothing."""
    cfg = getattr(model, "pretrained_cfg", None) or {}
    homes = [type(model).__module__]
    if (architecture := cfg.get("architecture")) and timm.is_model(architecture):
        homes.insert(0, model_entrypoint(architecture).__module__)
    for home in homes:
        module = importlib.import_module(home)
        rule = next((found for name in FILTERS if (found := getattr(module, name, None)) is not None), None)
        if rule is not None:
            takes = inspect.signature(rule).parameters
            if len(takes) == 1:
                return lambda tensors, _: rule(tensors)
            # DeiT III calls its layer scales otherwise; in other files there is nothing to rename.
            more = {"adapt_layer_scale": True} if "adapt_layer_scale" in takes else {}
            return lambda tensors, built: rule(tensors, built, **more)
    return None


def _called(model: nn.Module) -> str:
    cfg = getattr(model, "pretrained_cfg", None) or {}
    return str(cfg.get("architecture") or type(model).__name__)


def _first_name(model: nn.Module) -> str | Sequence[str]:
    """Return the layer or layers that read pixels."""
    traits = getattr(model, "_traits", None) or getattr(model, "pretrained_cfg", None) or {}
    return traits.get("first_conv") or "patch_embed.proj"


def _published_scale(model: nn.Module) -> Scale | None:
    cfg = getattr(model, "pretrained_cfg", None) or {}
    return {"mean": cfg["mean"], "std": cfg["std"]} if cfg.get("mean") and cfg.get("std") else None


def _head_names(model: nn.Module) -> tuple[str, ...]:
    """Return the names of the layers that know the classes: of this model, and of its kind as published."""
    named = (getattr(model, "pretrained_cfg", None) or {}).get("classifier") or ("head", "head_dist")
    return (named,) if isinstance(named, str) else tuple(named)


def _is_under(name: str, layers: Sequence[str]) -> bool:
    return any(name.startswith(f"{layer}.") for layer in layers)


def _without_head(tensors: Tensors, layers: Sequence[str]) -> Tensors:
    return {name: value for name, value in tensors.items() if not _is_under(name, layers)}


def _check(model: nn.Module, path: Path, own: Tensors, given: Tensors) -> None:
    """Raise where a file's tensors are not those of the model, with all that differs."""
    # Old files lack the counters of batch normalisation, which nothing here reads.
    missing = [name for name in own if name not in given and not name.endswith("num_batches_tracked")]
    unexpected = [name for name in given if name not in own]
    shapes = [
        f"{name} is {_shape(value)} and not {_shape(own[name])}"
        for name, value in given.items()
        if name in own and value.shape != own[name].shape
    ]
    parts = []
    if missing:
        parts.append(f"missing of its {len(own)} tensors: {len(missing)} ({_some(missing)})")
    if unexpected:
        parts.append(f"not its own: {len(unexpected)} ({_some(unexpected)})")
    if shapes:
        parts.append(f"of another shape: {len(shapes)} ({_some(shapes)})")
    if parts:
        raise ConfigError(
            f"{path}: does not fit {_called(model)}: {'; '.join(parts)}. Name the model that these weights belong to, "
            "and its arguments."
        )


def _shape(value: torch.Tensor) -> str:
    return "x".join(map(str, value.shape)) or "one number"


def _some(words: Sequence[str]) -> str:
    return ", ".join(words[:SHOWN]) + (", …" if len(words) > SHOWN else "")
