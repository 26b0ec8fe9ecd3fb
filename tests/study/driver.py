"""Runs a study of the stand-in laboratory in its own process, for tests that kill it: driver.py STUDY DIR."""

from __future__ import annotations

import signal
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

from stub_lab import StubLaboratory

from tippingpoint.study.execute import run_study
from tippingpoint.study.load import load_study

if __name__ == "__main__":
    # As in a terminal: a shell starts what runs in its background deaf to Ctrl-C, and its children inherit that.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGHUP, signal.SIG_DFL)  # as it is but under nohup
    outcome = run_study(load_study(sys.argv[1], (), StubLaboratory()), sys.argv[2], workers=2)
    print(outcome.state)
    sys.exit(outcome.exit_code)
