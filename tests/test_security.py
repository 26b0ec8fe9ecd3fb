"""Nothing that is read is run: the source is walked for what could, and evil files are read without effect."""

from __future__ import annotations

import ast
import json
import os
import struct
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import tippingpoint
from tippingpoint import cli
from tippingpoint.errors import ConfigError, StoreError
from tippingpoint.study.load import load_study

ROOT = Path(tippingpoint.__file__).parent
SOURCES = sorted(ROOT.rglob("*.py"))
UNPICKLES = {"pickle", "cPickle", "_pickle", "cloudpickle", "dill", "joblib", "marshal", "shelve", "jsonpickle"}
RUNS = {"eval", "exec", "compile", "__import__", "execfile"}
PROCESSES = {
    "system",
    "popen",
    "getoutput",
    "getstatusoutput",
    "spawnl",
    "spawnv",
    "execv",
    "execl",
}  # by a shell, or os
YAML = {"load", "load_all", "full_load", "unsafe_load", "full_load_all", "unsafe_load_all"}


def name_of(node: ast.expr) -> str:
    """Return ``a.b.c`` of a name with attributes; what stands before them is left out where it is no name."""
    if isinstance(node, ast.Attribute):
        return f"{name_of(node.value)}.{node.attr}"
    return node.id if isinstance(node, ast.Name) else ""


def keyword(call: ast.Call, name: str) -> Any:
    """Return a keyword's value where it is a constant, else its code; None where it is not given."""
    for one in call.keywords:
        if one.arg == name:
            return one.value.value if isinstance(one.value, ast.Constant) else ast.unparse(one.value)
    return None


def dangers(tree: ast.AST) -> Iterator[str]:
    """Yield what could run something that was read."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (f"import {one.name}" for one in node.names if one.name.partition(".")[0] in UNPICKLES)
        elif isinstance(node, ast.ImportFrom) and (node.module or "").partition(".")[0] in UNPICKLES:
            yield f"from {node.module} import"
        elif isinstance(node, ast.Call):
            yield from dangers_of_call(node)


def dangers_of_call(call: ast.Call) -> Iterator[str]:
    name = name_of(call.func)
    first, _, last = name.rpartition(".")
    if isinstance(call.func, ast.Name) and last in RUNS:
        yield f"{name}()"
    if first.endswith("builtins") and last in RUNS:
        yield f"{name}()"
    if last == "eval" and (call.args or call.keywords):
        yield f"{name}() with arguments: a module's own has none"
    if first == "yaml" and last in YAML:
        yield f"{name}()"
    if last == "load" and first in ("torch", "torch.serialization") and keyword(call, "weights_only") is not True:
        yield f"{name}() without weights_only=True"
    if (
        last in ("load", "save", "savez", "savez_compressed")
        and first in ("np", "numpy")
        and keyword(call, "allow_pickle") is not False
    ):
        yield f"{name}() without allow_pickle=False"
    if last in ("read_pickle", "to_pickle"):
        yield f"{name}()"
    if first in ("os", "subprocess", "commands") and last in PROCESSES:
        yield f"{name}()"
    if keyword(call, "shell") not in (None, False):
        yield f"{name}() with a shell"


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(ROOT)))
def test_the_source_runs_nothing_that_it_reads(path: Path) -> None:
    assert list(dangers(ast.parse(path.read_text(encoding="utf-8")))) == []


EVIL = [
    "import pickle",
    "from pickle import UnpicklingError",
    "import torch, cloudpickle as c",
    "from joblib import load",
    "eval('1')",
    "exec(code)",
    "compile(text, 'f', 'exec')",
    "builtins.eval(text)",
    "frame.eval('a + b')",
    "pd.eval('a + b')",
    "__import__('os')",
    "yaml.load(text, Loader=yaml.Loader)",
    "yaml.unsafe_load(text)",
    "torch.load(path)",
    "torch.load(path, weights_only=False)",
    "torch.load(path, weights_only=trust)",
    "np.load(path)",
    "np.load(path, allow_pickle=True)",
    "pd.read_pickle(path)",
    "os.system('true')",
    "subprocess.run('true', shell=True)",
    "subprocess.Popen(words, shell=asked)",
    "subprocess.getoutput('true')",
]
FINE = [
    "model.eval()",
    "torch.load(p, weights_only=True)",
    "np.load(p, allow_pickle=False)",
    "re.compile('a')",
    "yaml.safe_load(t)",
]


@pytest.mark.parametrize("text", EVIL)
def test_the_walk_sees(text: str) -> None:
    assert list(dangers(ast.parse(text))), text


@pytest.mark.parametrize("text", FINE)
def test_the_walk_lets_pass(text: str) -> None:
    assert list(dangers(ast.parse(text))) == []


def test_every_yaml_loader_is_a_safe_one() -> None:
    """A loader of our own may only be made from yaml's safe one."""
    for path in SOURCES:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ClassDef):
                bases = [name_of(base) for base in node.bases if "Loader" in name_of(base)]
                assert all("Safe" in base for base in bases), (path, node.name, bases)


# --- evil files ---


class Evil:
    """What would make a file if it were brought back to life."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return (os.mkdir, (str(self.path),))


def test_the_bait_works(tmp_path: Path) -> None:
    """Or else the tests below could not fail."""
    torch = pytest.importorskip("torch")
    torch.save({"w": Evil(tmp_path / "caught")}, tmp_path / "evil.pth")
    torch.load(tmp_path / "evil.pth", weights_only=False)
    assert (tmp_path / "caught").is_dir()


@pytest.mark.parametrize("name", ["evil.pth", "evil.pt", "evil.bin", "evil.safetensors"])
def test_an_evil_checkpoint_of_weights_is_refused(tmp_path: Path, name: str) -> None:
    torch = pytest.importorskip("torch")
    from tippingpoint.lab.models.weights import load_weights

    torch.save({"state_dict": {"weight": Evil(tmp_path / "caught")}}, tmp_path / name)
    with pytest.raises(ConfigError, match="cannot be read as weights"):
        load_weights(torch.nn.Linear(1, 1), tmp_path / name)
    assert not (tmp_path / "caught").exists()


@pytest.mark.parametrize("wrapped", [False, True])
def test_an_evil_checkpoint_of_a_training_is_passed_over(tmp_path: Path, *, wrapped: bool) -> None:
    """A pickle under our name, bare or in the metadata of a well-formed file."""
    torch = pytest.importorskip("torch")
    from tippingpoint.lab.training.checkpoints import Checkpoints

    folder = tmp_path / "checkpoints"
    store = Checkpoints(folder / "key", "me")
    folder.mkdir()
    path = store.save(3, {"a": torch.ones(1)}, {})
    torch.save({"a": Evil(tmp_path / "caught")}, tmp_path / "evil")
    evil = (tmp_path / "evil").read_bytes()
    if wrapped:
        head = json.dumps({"__metadata__": {"tippingpoint": evil.decode("latin-1")}}).encode()
        evil = struct.pack("<Q", len(head)) + head
    path.write_bytes(evil)
    assert store.latest() is None
    assert len(store.notes) == 1
    assert not (tmp_path / "caught").exists()


def test_an_evil_model_of_a_cell_is_refused(tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")
    from tippingpoint.lab.features import read_features
    from tippingpoint.lab.models import load_model

    for name, read in (("weights.safetensors", load_model), ("features.safetensors", read_features)):
        torch.save({"a": Evil(tmp_path / "caught")}, tmp_path / name)
        with pytest.raises(StoreError, match=name):
            read(tmp_path)
    assert not (tmp_path / "caught").exists()


CONFIGS = [
    "!!python/object/apply:os.mkdir [{caught}]",
    "!!python/object/new:os.mkdir [{caught}]",
    "!!python/name:os.mkdir",
    "!!python/module:os",
    "!!python/object:os.mkdir {{}}",
    "&a [*a]",
]


@pytest.mark.parametrize("value", CONFIGS)
@pytest.mark.parametrize("way", ["file", "override"])
def test_an_evil_study_file_does_nothing(tmp_path: Path, value: str, way: str) -> None:
    caught, path = tmp_path / "caught", tmp_path / "study.yaml"
    text = value.format(caught=caught)
    path.write_text(f"schema_version: 1\nname: {text}\n" if way == "file" else "schema_version: 1\n", encoding="utf-8")
    with pytest.raises(ConfigError):
        load_study(path, [f"name={text}"] if way == "override" else [])
    assert not caught.exists()


def test_a_study_file_that_unfolds_without_end_is_refused(tmp_path: Path) -> None:
    """A billion laughs: nine lines of aliases that would fill the memory."""
    lines = ["schema_version: 1", "a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 10)]
    path = tmp_path / "study.yaml"
    path.write_text("\n".join([*lines, "name: *a9"]), encoding="utf-8")
    command = [sys.executable, "-m", "tippingpoint", "plan", str(path)]
    limited = ["import resource; resource.setrlimit(resource.RLIMIT_AS, (3 << 30, 3 << 30))", "import runpy, sys"]
    limited += [
        f"sys.argv = {['tippingpoint', *command[3:]]!r}",
        "runpy.run_module('tippingpoint', run_name='__main__')",
    ]
    words = [sys.executable, "-c", "; ".join(limited)]
    done = subprocess.run(words, check=False, capture_output=True, text=True, timeout=120)
    assert done.returncode == 2, done.stderr[-500:]
    assert "Traceback" not in done.stderr


EXPRESSIONS = [
    "__import__('os').mkdir('caught')",
    "(lambda: 1)()",
    "error.__class__.__mro__",
    "[c for c in ().__class__.__base__.__subclasses__()]",
    "f'{error.__class__}'",
    "open('caught', 'w')",
    "exec('1')",
    "error if True else 1",
    "(error := 1)",
    "9 ** 9 ** 9 ** 9",
    "'a' * 10 ** 12",
]


@pytest.mark.parametrize("option", ["--where", "--define"])
@pytest.mark.parametrize("text", EXPRESSIONS)
def test_an_evil_expression_is_refused_or_a_number(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, option: str, text: str, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "runs.csv").write_text("n,error\n1,0.5\n2,0.4\n4,0.3\n8,0.25\n", encoding="utf-8")
    asked = text if option == "--where" else f"x={text}"
    code = cli.main(["fit", "runs.csv", "--axes", "n", "--target", "error", option, asked])
    told = capsys.readouterr().err
    assert sorted(path.name for path in tmp_path.iterdir()) == ["runs.csv"]
    assert "Traceback" not in told
    assert code == 2 or option == "--define"
