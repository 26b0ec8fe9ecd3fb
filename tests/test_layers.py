"""The rooms only look down: every import of the package is held against the order of DESIGN."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import tippingpoint

ROOT = Path(tippingpoint.__file__).parent

# Each room may import the rooms in its set and itself, nothing else of the package.
GROUND = {"errors", "files", "expressions", "kinds", "_version"}
STATISTICS = ["runs", "laws", "fitting", "boundary", "advice", "report"]
ALLOWED = {
    **dict.fromkeys(GROUND, GROUND),
    **{room: GROUND | set(STATISTICS[:place]) for place, room in enumerate(STATISTICS)},
    "sklearn": GROUND | set(STATISTICS),
    "lab": GROUND,
    "presets": GROUND,
    "schemas": GROUND,
    "study": GROUND | set(STATISTICS) | {"lab", "presets"},
    "cli": GROUND | set(STATISTICS) | {"lab", "presets", "schemas", "study"},
    "__main__": {"cli"},
    "__init__": GROUND | set(STATISTICS),
}
# Laws offer ``fit``, which is the engine's work: this one name is loaded when it is called.
LAZY = {("laws", "fitting")}
HEAVY = {"torch", "timm", "torchvision", "safetensors"}
RAY = "study/runners/placer.py"  # holds the connection to a cluster, in a process of its own


def room_of(path: Path) -> str:
    return path.relative_to(ROOT).parts[0].removesuffix(".py")


def imports_of(path: Path) -> list[tuple[str, int, bool]]:
    """Return (module, line, stands at the top of the file) for every import."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    top = set(map(id, tree.body))
    found = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found += [(alias.name, node.lineno, id(node) in top) for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}:{node.lineno}: relative import; write the whole name"
            modules = [node.module or ""]
            if node.module == "tippingpoint":  # ``from tippingpoint import runs`` names rooms
                modules = [f"tippingpoint.{alias.name}" for alias in node.names]
            found += [(module, node.lineno, id(node) in top) for module in modules]
    return found


SOURCES = sorted(ROOT.rglob("*.py"))


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(ROOT)))
def test_rooms_look_down(path: Path) -> None:
    room = room_of(path)
    faults = []
    for module, line, at_top in imports_of(path):
        parts = module.split(".")
        if parts[0] != "tippingpoint" or len(parts) == 1:
            continue
        other = parts[1]
        if other == room or other in ALLOWED[room] or (not at_top and (room, other) in LAZY):
            continue
        faults.append(f"{path.relative_to(ROOT)}:{line} imports {module}")
    assert not faults


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(ROOT)))
def test_only_the_lab_knows_torch(path: Path) -> None:
    place = path.relative_to(ROOT).as_posix()
    heavy = (set() if room_of(path) == "lab" else HEAVY) | (set() if place == RAY else {"ray"})
    for module, line, _ in imports_of(path):
        assert module.split(".")[0] not in heavy, f"{path.relative_to(ROOT)}:{line} imports {module}"


def test_import_loads_nothing_heavy() -> None:
    code = (
        "import sys, tippingpoint;"
        "heavy = {'numpy', 'scipy', 'pandas', 'matplotlib', 'torch', 'pydantic', 'typer', 'sklearn'};"
        "heavy &= set(sys.modules);"
        "sys.exit(', '.join(sorted(heavy)) or 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
