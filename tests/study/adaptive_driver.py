"""Runs a study of the stand-in laboratory adaptively, for tests that kill it: STUDY DIR MOST_CELLS [KEY=VALUE ...]."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

from stub_lab import StubLaboratory

from tippingpoint.study.adaptive import Adaptive, Until, with_extra_seeds
from tippingpoint.study.execute import run_study
from tippingpoint.study.load import load_study

if __name__ == "__main__":
    source, root, most, *settings = sys.argv[1:]
    study = with_extra_seeds(load_study(source, settings, StubLaboratory()), 4)
    chooser = Adaptive(study, Path(root), Until("boundary", 0.001), most_cells=int(most))
    print(run_study(study, root, workers=2, choose=chooser).state)
