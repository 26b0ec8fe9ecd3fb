"""The preset ``labels-needed`` to the end: public weights in a folder, one's own images, and the answer."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import timm
import torch
from PIL import Image

from tippingpoint import cli
from tippingpoint.lab.models import fetching
from tippingpoint.study.load import load_study

LADDER = "model.ladder={small: {timm: test_resnet, weights: hub}, large: {timm: test_convnext2, weights: hub}}"
STUDENTS = "recipes.public_frozen.students=[small, large]"


@pytest.fixture
def photos(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """Return a folder of small pictures of two kinds; the hub's weights are random ones that were fetched."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("TIPPINGPOINT_DATA", raising=False)
    random = np.random.default_rng(0)
    for part, count in (("train", 60), ("test", 30)):
        for kind in ("dark", "light"):
            (tmp_path / "photos" / part / kind).mkdir(parents=True)
            for number in range(count):
                pixels = random.integers(0, 200, (40, 40, 3)) + 12 * (kind == "light")
                Image.fromarray(pixels.astype(np.uint8)).save(tmp_path / "photos" / part / kind / f"{number}.png")

    def download(full: str) -> torch.nn.Module:
        torch.manual_seed(0)
        made: torch.nn.Module = timm.create_model(full)
        return made

    monkeypatch.setattr(fetching, "_download", download)
    return tmp_path / "photos"


@pytest.mark.slow
def test_from_photos_to_a_number_of_labels(photos: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["--set", f"downstream=[{photos.name}]", "--set", LADDER, "--set", STUDENTS, "--set", "image.size=32"]
    words += ["--set", "n_finetune=[0.08, 0.16, 0.3, 0.5]", "--set", "seeds=3"]
    assert cli.main(["run", "labels-needed", *words, "--workers", "1"]) == 2
    told = capsys.readouterr().err
    assert "tippingpoint weights fetch test_resnet.r160_in1k" in told
    assert "tippingpoint weights fetch test_convnext2.r160_in1k" in told
    assert cli.main(["weights", "fetch", "test_resnet", "test_convnext2"]) == 0
    capsys.readouterr()
    assert cli.main(["plan", "labels-needed", *words, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["cells"] == 2 + 2 * 4 * 3
    assert cli.main(["run", "labels-needed", *words, "--workers", "1", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["state"] == "done"
    runs = pd.read_csv("studies/labels-needed/runs.csv")
    assert len(runs) == 2 * 4 * 3
    assert set(runs["recipe"]) == {"public_frozen"}
    assert set(runs["upstream"]) == {"imagenet1k"}
    assert sorted(set(runs["n_finetune"])) == [8, 15, 29, 48]
    assert runs["error"].between(0, 1).all()
    fewest, most = (runs.loc[runs["n_finetune"] == labels, "error"].mean() for labels in (8, 48))
    assert most < fewest - 0.05
    files = sorted(path.name for path in Path("studies/labels-needed/cells").glob("*/*.safetensors"))
    assert files == ["features.safetensors"] * 2, "computed once for each model, for all blocks"
    words = ["--price", "label=1", "--law", "auto"]
    assert cli.main(["advise", "studies/labels-needed", "--target-error", f"{(fewest + most) / 2:.3f}", *words]) == 0
    out = capsys.readouterr().out
    assert "labels needed" in out
    assert out.startswith("The cheapest: buy ")


def test_the_preset_names_weights_that_timm_publishes() -> None:
    ladder = load_study("labels-needed", planning=True).config.model.ladder
    assert ladder is not None
    published = timm.list_pretrained()
    assert all(entry.timm in published and entry.weights == "hub" for entry in ladder.values())
    sizes = [timm.get_pretrained_cfg(entry.timm).license for entry in ladder.values()]
    assert set(sizes) == {"apache-2.0"}
