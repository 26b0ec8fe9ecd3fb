"""``tippingpoint serve`` as a user types it."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import urllib.request
from pathlib import Path

import pytest

from tippingpoint.cli import main

ENDED = "tippingpoint: the page has ended; the study is not touched.\n"


@pytest.fixture
def study(tmp_path: Path) -> Path:
    told = {"schema_version": 1, "study": {"name": "small"}, "state": "done", "cells": {"done": 3}}
    (tmp_path / "progress.json").write_text(json.dumps(told), encoding="utf-8")
    return tmp_path


@pytest.mark.skipif(os.name != "posix", reason="signals are sent as POSIX has them")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_it_serves_until_it_is_interrupted(study: Path, number: signal.Signals) -> None:
    command = [sys.executable, "-m", "tippingpoint", "serve", str(study), "--port", "0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        try:
            said = process.stdout.readline()
            assert said.startswith(f"{study} at http://127.0.0.1:")
            url = said.split(" at ")[1].split()[0]
            with urllib.request.urlopen(f"{url}state.json", timeout=60) as reply:
                assert json.load(reply)["name"] == "small"
            process.send_signal(number)
            assert process.wait(timeout=60) == 130
            assert process.stderr.read() == ENDED
        finally:
            process.kill()


def test_what_is_no_study_is_one_sentence(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for place in (tmp_path, tmp_path / "nothing"):
        assert main(["serve", str(place)]) == 2
        (line,) = capsys.readouterr().err.splitlines()
        assert line.startswith(f"tippingpoint: {place}: is not a study directory")


def test_a_port_that_is_taken_is_one_sentence(study: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        assert main(["serve", str(study), "--port", str(port)]) == 3
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"tippingpoint: Port {port} of 127.0.0.1 cannot be used (")


def test_an_address_of_nobody_is_one_sentence(study: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["serve", str(study), "--host", "no.such.host.invalid", "--port", "0"]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("tippingpoint: --host no.such.host.invalid: there is no such address")


def test_the_browser_is_asked_and_others_are_warned_of(
    study: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    opened: list[str] = []

    def interrupt(_server: object, poll_interval: float) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("webbrowser.open", opened.append)
    monkeypatch.setattr("tippingpoint.report.live.LiveServer.serve_forever", interrupt)
    assert main(["serve", str(study), "--port", "0", "--open"]) == 130
    told = capsys.readouterr()
    assert opened == [told.out.split(" at ")[1].split()[0]]
    assert told.err == ENDED
    assert main(["serve", str(study), "--port", "0", "--host", "0.0.0.0"]) == 130
    assert capsys.readouterr().err == "tippingpoint: whoever can reach this machine can read the study.\n" + ENDED
    assert len(opened) == 1
