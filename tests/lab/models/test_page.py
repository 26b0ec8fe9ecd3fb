"""The page on models says what the code does."""

from __future__ import annotations

import doctest
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from tippingpoint.lab.models import check_model

PAGE = Path(__file__).parents[3] / "docs" / "models.md"


def test_the_examples_hold() -> None:
    results = doctest.testfile(str(PAGE), module_relative=False)
    assert results.attempted == 3
    assert results.failed == 0


def test_the_ladder_is_built() -> None:
    found = re.search(r"```yaml\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    assert found is not None
    models: Mapping[str, Any] = yaml.safe_load(found[1])["model"]
    for entry in models["ladder"].values():
        shared = {} if "timm" in entry else {"patch_size": models["patch_size"], "head_dim": 8}
        check_model({**shared, **entry}, 28, 1, batch_size=64)
