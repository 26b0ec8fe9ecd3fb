"""Lets the tests of training share one toy, which a process that is killed imports too."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
