"""Studies that come with the package, as YAML: each opens with its command, its measured time and its result."""

from __future__ import annotations

from importlib.resources import files

from tippingpoint.errors import ConfigError, did_you_mean

__all__ = ["names", "read"]


def names() -> list[str]:
    """Return the names of the presets, in alphabetical order."""
    here = files("tippingpoint.presets")
    return sorted(entry.name.removesuffix(".yaml") for entry in here.iterdir() if entry.name.endswith(".yaml"))


def read(name: str) -> str:
    """Return a preset's YAML, comments included.

    Parameters
    ----------
    name : str
        One of `names`.

    Raises
    ------
    ConfigError
        There is no such preset.
    """
    known = names()
    if name not in known:
        raise ConfigError(f"There is no preset '{name}'.{did_you_mean(name, known)} Presets: {', '.join(known)}.")
    return (files("tippingpoint.presets") / f"{name}.yaml").read_text(encoding="utf-8")
