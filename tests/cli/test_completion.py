"""Shell completion, as a shell asks for it."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

COMMAND = Path(sys.executable).with_name("tippingpoint")

pytestmark = pytest.mark.skipif(not COMMAND.is_file(), reason="the command is not installed beside this Python")


def ask(words: list[str], **environment: str) -> subprocess.CompletedProcess[str]:
    given = {**os.environ, **environment}
    return subprocess.run([COMMAND, *words], env=given, capture_output=True, text=True, check=False)


@pytest.mark.parametrize(
    ("typed", "place", "offered"),
    [
        ("tippingpoint ta", "1", ["tables"]),
        ("tippingpoint tables --le", "2", ["--level"]),
        ("tippingpoint data ch", "2", ["check"]),
    ],
)
def test_commands_and_options_are_completed(typed: str, place: str, offered: list[str]) -> None:
    done = ask([], _TIPPINGPOINT_COMPLETE="complete_bash", COMP_WORDS=typed, COMP_CWORD=place)
    assert done.returncode == 0
    assert done.stdout.split() == offered


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish", "powershell"])
def test_every_shell_has_a_script(shell: str) -> None:
    done = ask([], _TIPPINGPOINT_COMPLETE=f"source_{shell}")
    assert done.returncode == 0
    assert f"complete_{shell}" in done.stdout
    assert done.stderr == ""


def in_bash(script: str, **settings: str) -> list[str]:
    """Run a script in bash, ``$0`` the command, and return the lines it prints."""
    words = ["bash", "--norc", "-c", f"{script}; true", str(COMMAND)]  # with one command only, bash would be replaced
    done = subprocess.run(words, env={**os.environ, **settings}, capture_output=True, text=True, check=True)
    return done.stdout.splitlines()


needs_bash = pytest.mark.skipif(shutil.which("bash") is None, reason="there is no bash on this machine")


@needs_bash
def test_bash_completes_with_the_script_that_is_shown_and_else_offers_files() -> None:
    script = 'source <("$0" --show-completion); COMP_WORDS=("$0" bound); COMP_CWORD=1; _tippingpoint_completion "$0"'
    reply, spoken = in_bash(f'{script}; echo "${{COMPREPLY[@]}}"; complete -p tippingpoint')
    assert reply == "boundary"
    assert "-o default" in spoken  # where nothing is offered, bash offers files: RUNS


@needs_bash
def test_it_installs_into_the_home_and_nowhere_else(tmp_path: Path) -> None:
    told = in_bash('"$0" --install-completion', HOME=str(tmp_path))
    assert told[0].startswith(f"bash completion installed in {tmp_path}")
    files = {path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*") if path.is_file()}
    assert files == {".bashrc", ".bash_completions/tippingpoint.sh"}
