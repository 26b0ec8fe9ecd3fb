"""The live page: what it tells of a study, whole, half-written or gone, and whom it refuses."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import shutil
import socket
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd
import pytest
from live_study import KEYS, publish

from tippingpoint.errors import EnvironmentFault, InputError
from tippingpoint.report.live import LiveServer
from tippingpoint.report.live_answer import Answering, answer_now
from tippingpoint.report.live_reading import QUIET, number_of, text_of
from tippingpoint.report.live_results import POINTS, panels, read_curves, read_runs


class Reply(NamedTuple):
    """What the server said."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        """The body as JSON."""
        return json.loads(self.body)


def ask(server: LiveServer, path: str = "/", method: str = "GET", host: str | None = "localhost") -> Reply:
    """Ask as a client would that writes its own headers, the path as it stands."""
    line = http.client.HTTPConnection("127.0.0.1", server.server_port, timeout=60)
    line.putrequest(method, path, skip_host=True, skip_accept_encoding=True)
    if host is not None:
        line.putheader("Host", host)
    line.endheaders()
    reply = line.getresponse()
    with contextlib.closing(line):
        return Reply(reply.status, dict(reply.getheaders()), reply.read())


# ---- what it tells -------------------------------------------------------------------------------------------------


def test_it_tells_how_the_study_stands(serve: Callable[..., LiveServer], tmp_path: Path) -> None:
    now = ask(serve(publish(tmp_path)), "/state.json").json
    assert (now["name"], now["state"]) == ("study", "running")
    assert now["cells"] == {"done": 2, "running": 1, "todo": 1, "failed": 1, "blocked": 1}
    assert now["recipes"] == [
        {"recipe": "scratch", "done": 2, "running": 1, "todo": 0, "failed": 1, "blocked": 0},
        {"recipe": "distilled a cell", "done": 0, "running": 0, "todo": 1, "failed": 0, "blocked": 1},
    ]
    assert (now["eta_s"], now["wall_s"], now["workers"], now["n_runs"]) == (75.0, 30.0, 2.0, 6)
    assert now["running"] == [{"label": "a cell 2", "done": 120, "total": 400}]
    assert now["failures"] == [{"key": KEYS[3], "label": "a cell 3", "reason": "reason a cell", "log": True}]
    assert now["notes"] == ["note of study"]
    assert now["faults"] == []


def test_scores_are_means_by_size_with_their_range(tmp_path: Path) -> None:
    rows = [("scratch", n, seed, 1 / n + 0.1 * seed) for n in (10, 20) for seed in (0, 1)] + [("other", None, 0, 0.7)]
    frame = pd.DataFrame(rows, columns=["recipe", "n_pretrain", "seed", "error"])
    frame.assign(stage="finetuned", downstream="beans", n_finetune=50).to_csv(tmp_path / "runs.csv", index=False)
    notes: list[str] = []
    (panel,) = panels(read_runs(tmp_path / "runs.csv", notes))
    assert notes == []
    assert (panel["title"], panel["axis"]) == ("Fine-tuned on beans, 50 images", "pretraining images")
    scratch, other = panel["series"]
    assert scratch["points"]["error"] == [
        [10.0, pytest.approx(0.15), pytest.approx(0.1), pytest.approx(0.2), 2],
        [20.0, pytest.approx(0.10), pytest.approx(0.05), pytest.approx(0.15), 2],
    ]
    assert other["points"]["error"] == [[None, 0.7, 0.7, 0.7, 1]]
    assert (scratch["recipe"], other["recipe"]) == (0, 1)


def test_labels_are_the_axis_where_the_pretraining_does_not_vary(tmp_path: Path) -> None:
    frame = pd.DataFrame([["public", "finetuned", "beans", 1000, n, 5 / n] for n in (50, 100, 200)])
    frame.columns = pd.Index(["recipe", "stage", "downstream", "n_pretrain", "n_finetune", "error"])
    frame.to_csv(tmp_path / "runs.csv", index=False)
    (panel,) = panels(read_runs(tmp_path / "runs.csv", []))
    assert (panel["title"], panel["axis"]) == ("Fine-tuned on beans", "fine-tuning images")
    assert [point[0] for point in panel["series"][0]["points"]["error"]] == [50.0, 100.0, 200.0]


def test_curves_are_those_of_the_most_images_and_thinned(serve: Callable[..., LiveServer], tmp_path: Path) -> None:
    root = publish(tmp_path)
    curve = json.loads((root / "curves.jsonl").read_text(encoding="utf-8"))
    less = {**curve, "n_pretrain": 10, "loss": [9.0] * 400}
    lines = [json.dumps(one) for one in (less, curve, {**less, "n_pretrain": 40})]
    (root / "curves.jsonl").write_text("\n".join(lines) + "\n" + lines[0][:50], encoding="utf-8")
    server = serve(root)
    assert ask(server, "/state.json").json["faults"] == [
        "curves.jsonl: 1 line(s) cannot be read (half-written or damaged) and are left out."
    ]
    (panel,) = ask(server, "/curves.json").json["panels"]
    points = panel["series"][0]["points"]["loss"]
    assert points[0][:2] == [0.0, 2.0]
    assert points[-1][:2] == [399.0, 2 / 400]
    assert len(points) <= POINTS + 1


def test_only_what_has_changed_is_read_again(serve: Callable[..., LiveServer], tmp_path: Path) -> None:
    server = serve(publish(tmp_path))
    first = ask(server, "/state.json").json["versions"]
    assert ask(server, "/state.json").json["versions"] == first
    with (tmp_path / "runs.csv").open("a", encoding="utf-8") as stream:
        stream.write("scratch,pretrained,toys,80,heads=4,0.1\n")
    now = ask(server, "/state.json").json
    assert now["n_runs"] == 7
    assert now["versions"] == {**first, "results": first["results"] + 1}


def test_the_answer_is_the_reports_own_first_screen(
    make_runs: Callable[..., pd.DataFrame], make_study: Callable[..., Path], tmp_path: Path
) -> None:
    frame = make_runs(blocks=3, sizes=(250, 1000, 4000, 16000), finetuned=False)
    found = answer_now(make_study(tmp_path, frame), resamples=20)
    assert "distilled is better up to about" in found["sentence"]
    assert "<svg" in found["html"]
    assert found["sentence"][:40] in found["html"]
    assert "this page" not in found["html"]
    few = answer_now(make_study(tmp_path / "few", frame[frame["n_pretrain"] == 250]), resamples=20)
    assert few["html"] == ""
    assert few["sentence"].startswith("Too early for an answer")
    none = answer_now(make_study(tmp_path / "none", frame.iloc[:0]), resamples=20)
    assert none["sentence"].startswith("No answer yet: ")


def test_the_answer_comes_from_beside_and_not_too_often(tmp_path: Path) -> None:
    publish(tmp_path)
    answering = Answering(tmp_path, every=1000.0)
    try:
        assert not answering.look(0, 0, over=False)  # no runs, nothing to compute
        assert answering.look(1, 6, over=False)
        until = time.monotonic() + 60
        while answering.look(1, 6, over=False) and time.monotonic() < until:
            time.sleep(0.05)
        assert (answering.version, answering.n_runs) == (1, 6)
        assert answering.sentence.startswith("Too early for an answer")
        assert not answering.look(1, 6, over=True)  # no other runs, nothing to compute
        assert not answering.look(2, 7, over=False)  # more runs, but too soon
        assert answering.look(2, 7, over=True)  # the study has ended: there is nothing to wait for
    finally:
        answering.close()


def test_what_cannot_compute_is_a_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tippingpoint.report.live_answer.sys.executable", "/bin/false")
    answering = Answering(publish(tmp_path), every=0.0)
    answering.look(1, 6, over=False)
    until = time.monotonic() + 60
    while not answering.version and time.monotonic() < until:
        time.sleep(0.02)
    assert answering.sentence == "The answer could not be computed from the runs that are in."
    monkeypatch.setattr("tippingpoint.report.live_answer.sys.executable", str(tmp_path / "nothing"))
    assert not answering.look(2, 7, over=True)
    assert "cannot start" in answering.sentence


# ---- what is half-written, damaged or gone -------------------------------------------------------------------------


def test_half_written_files_keep_what_was_read_before(serve: Callable[..., LiveServer], tmp_path: Path) -> None:
    server = serve(publish(tmp_path))
    before = ask(server, "/state.json").json
    for name in ("progress.json", "cells.jsonl", "runs.csv"):
        path = tmp_path / name
        path.write_bytes(path.read_bytes()[:-9])
    now = ask(server, "/state.json").json
    assert now["cells"] == before["cells"]
    assert now["n_runs"] == 5
    assert now["faults"] == [
        "progress.json is half-written or damaged; what it said before is shown.",
        "cells.jsonl: 1 line(s) cannot be read (half-written or damaged) and are left out.",
        "runs.csv: 1 row(s) cannot be read (half-written or damaged) and are left out.",
    ]
    publish(tmp_path)
    assert ask(server, "/state.json").json["faults"] == []


BROKEN = (
    ("", "unknown"),
    ("[]", "unknown"),
    ("3", "unknown"),
    ("[" * 100_000, "unknown"),
    ("{" + '"a":{' * 50_000, "unknown"),
    ("\x00\xff", "unknown"),
    ('{"cells": {"done": 1e400, "todo": "x", "failed": -3, "running": true}, "study": 7, "eta_s": NaN}', "unknown"),
    ('{"cells": [], "study": {"name": {}}, "state": [1], "notes": {"a": 1}, "wall_s": -1, "workers": null}', "[1]"),
    ('{"study": {"name": "\\ud800"}, "notes": [null, 3], "state": "running", "eta_s": "soon"}', "running"),
    ('{"schema_version": 99, "state": "done"}', "unknown"),
)


@pytest.mark.parametrize(("text", "state"), BROKEN, ids=range(len(BROKEN)))
def test_no_content_of_a_file_is_an_error(
    serve: Callable[..., LiveServer], tmp_path: Path, text: str, state: str
) -> None:
    publish(tmp_path)
    for name in ("progress.json", "cells.jsonl", "runs.csv", "curves.jsonl"):
        (tmp_path / name).write_bytes(text.encode("latin-1"))
    server = serve(tmp_path)
    assert ask(server, "/results.json").json == ask(server, "/curves.json").json == {"panels": []}
    now = ask(server, "/state.json").json
    assert (now["state"], now["eta_s"], now["wall_s"], now["n_runs"]) == (state, None, None, 0)
    assert set(now["cells"].values()) == {0}


def test_a_folder_where_a_file_should_be_is_a_sentence(serve: Callable[..., LiveServer], tmp_path: Path) -> None:
    publish(tmp_path)
    (tmp_path / "runs.csv").unlink()
    (tmp_path / "runs.csv").mkdir()
    assert ask(serve(tmp_path), "/state.json").json["faults"] == ["runs.csv is not a file that can be shown."]


def test_a_file_that_is_too_large_is_not_read(
    serve: Callable[..., LiveServer], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tippingpoint.report.live_reading.LARGEST", 600)  # cells.jsonl has more, runs.csv less
    now = ask(serve(publish(tmp_path)), "/state.json").json
    assert "cells.jsonl is not a file that can be shown." in now["faults"]
    assert (now["recipes"], now["n_runs"]) == ([], 6)


def test_a_file_that_is_moved_away_and_back(serve: Callable[..., LiveServer], tmp_path: Path) -> None:
    server = serve(publish(tmp_path))
    ask(server, "/state.json")
    (tmp_path / "runs.csv").rename(tmp_path / "moved")
    now = ask(server, "/state.json").json
    assert (now["faults"], now["n_runs"]) == (["runs.csv is gone; what it said last is shown."], 6)
    (tmp_path / "moved").rename(tmp_path / "runs.csv")
    assert ask(server, "/state.json").json["faults"] == []


def test_a_study_that_goes_away_and_comes_back(serve: Callable[..., LiveServer], tmp_path: Path) -> None:
    root = publish(tmp_path / "study")
    server = serve(root)
    before = ask(server, "/state.json").json
    shutil.rmtree(root)
    now = ask(server, "/state.json").json
    assert now["state"] == "gone"
    assert now["faults"] == [f"The directory {root} is gone; what it said last is shown."]
    assert now["cells"] == before["cells"]
    assert ask(server, f"/log/{KEYS[3]}").status == 404
    publish(root, state="done")
    now = ask(server, "/state.json").json
    assert (now["state"], now["faults"], now["eta_s"]) == ("done", [], None)


def test_a_study_that_has_only_begun(serve: Callable[..., LiveServer], tmp_path: Path) -> None:
    (tmp_path / "study.yaml").write_text("name: x", encoding="utf-8")
    now = ask(serve(tmp_path), "/state.json").json
    assert (now["state"], now["faults"], now["name"]) == ("empty", [], tmp_path.name)


def test_a_run_that_no_longer_writes_is_told(serve: Callable[..., LiveServer], tmp_path: Path) -> None:
    server = serve(publish(tmp_path))
    long_ago = time.time() - QUIET - 5
    os.utime(tmp_path / "progress.json", (long_ago, long_ago))
    now = ask(server, "/state.json").json
    assert (now["state"], now["eta_s"], now["running"]) == ("silent", None, [])
    publish(tmp_path, state="done")
    os.utime(tmp_path / "progress.json", (long_ago, long_ago))
    assert ask(server, "/state.json").json["state"] == "done"


def test_values_are_numbers_and_text_fit_to_show() -> None:
    assert [number_of(value) for value in (True, None, "x", "nan", 10**400, float("inf"), [])] == [None] * 7
    assert [number_of(value) for value in ("1e3", 2, "0.5")] == [1000.0, 2.0, 0.5]
    assert text_of("a\x00b\u202ec\nd") == "a\ufffdb\ufffdc\ufffdd"
    assert text_of("x" * 500) == "x" * 299 + "…"
    assert text_of(None) == ""


def test_rows_and_lines_of_other_kinds_are_left_out(tmp_path: Path) -> None:
    notes: list[str] = []
    (tmp_path / "runs.csv").write_text("recipe,error\nscratch,0.5\n,0.4\nscratch\na,b,c\nx,nan\n", encoding="utf-8")
    runs = read_runs(tmp_path / "runs.csv", notes)
    assert [(run.recipe, dict(run.scores)) for run in runs] == [("scratch", {"error": 0.5}), ("x", {})]
    (tmp_path / "curves.jsonl").write_text('{"step": [1], "loss": [1, 2]}\n7\n{}\n', encoding="utf-8")
    assert read_curves(tmp_path / "curves.jsonl", notes) == {}
    assert [note.partition(":")[2][:10] for note in notes] == [" 3 row(s) ", " 3 line(s)"]


# ---- whom it refuses -----------------------------------------------------------------------------------------------


def test_every_answer_says_that_nothing_else_may_run(serve: Callable[..., LiveServer], tmp_path: Path) -> None:
    server = serve(publish(tmp_path))
    for path in ("/", "/state.json", "/results.json", f"/log/{KEYS[3]}", "/nothing"):
        headers = ask(server, path).headers
        assert headers["X-Content-Type-Options"] == "nosniff"
        assert headers["Cache-Control"] == "no-store"
        assert headers["Cross-Origin-Resource-Policy"] == "same-origin"
        assert "default-src 'none'" in headers["Content-Security-Policy"]
        assert "frame-ancestors 'none'" in headers["Content-Security-Policy"]
        assert "Access-Control-Allow-Origin" not in headers
    assert ask(server).headers["Content-Type"] == "text/html; charset=utf-8"
    assert "script-src 'sha256-" in ask(server).headers["Content-Security-Policy"]
    assert ask(server, f"/log/{KEYS[3]}").headers["Content-Type"] == "text/plain; charset=utf-8"


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1", "localhost:9000", "127.0.0.1:1", "[::1]:8765", "LOCALHOST"])
def test_own_names_are_served_through_any_port(serve: Callable[..., LiveServer], tmp_path: Path, host: str) -> None:
    assert ask(serve(publish(tmp_path)), "/state.json", host=host).status == 200


FOREIGN = [
    "evil.example",
    "evil.example:8765",
    "localhost.evil.example",
    "192.0.2.1",
    "",
    None,
    "a b",
    "127.0.0.1@x",
    "[::1",
    "localhost:80@evil.example",
    "[::1].evil.example",
]


@pytest.mark.parametrize("host", FOREIGN)
def test_foreign_names_are_refused(serve: Callable[..., LiveServer], tmp_path: Path, host: str | None) -> None:
    server = serve(publish(tmp_path))
    for path in ("/", "/state.json", f"/log/{KEYS[3]}"):
        reply = ask(server, path, host=host)
        assert reply.status == 403
        assert reply.body.decode() == f"Ask for this page as {server.url}.\n"


def test_two_hosts_are_refused(serve: Callable[..., LiveServer], tmp_path: Path) -> None:
    server = serve(publish(tmp_path))
    with socket.create_connection(("127.0.0.1", server.server_port), timeout=10) as line:
        line.sendall(b"GET /state.json HTTP/1.1\r\nHost: localhost\r\nHost: evil.example\r\n\r\n")
        assert b" 403 " in line.recv(100)


def test_who_listens_to_all_knows_addresses_but_no_foreign_names(tmp_path: Path) -> None:
    server = LiveServer(publish(tmp_path), "0.0.0.0", 0)
    try:
        assert not server.is_local
        assert [server.knows(name) for name in ("192.0.2.1:80", "[2001:db8::1]", "localhost")] == [True] * 3
        assert server.knows(socket.gethostname())
        assert not server.knows("evil.example")
        assert server.url == f"http://127.0.0.1:{server.server_port}/"
    finally:
        server.server_close()


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", "CONNECT", "NONSENSE"])
def test_it_is_only_read(serve: Callable[..., LiveServer], tmp_path: Path, method: str) -> None:
    before = sorted((path, path.stat().st_mtime_ns) for path in publish(tmp_path).rglob("*"))
    reply = ask(serve(tmp_path), "/state.json", method)
    assert (reply.status, reply.headers["Allow"]) == (405, "GET, HEAD")
    assert sorted((path, path.stat().st_mtime_ns) for path in tmp_path.rglob("*")) == before


def test_head_says_what_get_would_without_the_body(serve: Callable[..., LiveServer], tmp_path: Path) -> None:
    server = serve(publish(tmp_path))
    for path in ("/", "/results.json", f"/log/{KEYS[3]}", "/nothing"):
        head, got = ask(server, path, "HEAD"), ask(server, path)
        assert head.status == got.status
        assert head.headers["Content-Length"] == str(len(got.body))
    with socket.create_connection(("127.0.0.1", server.server_port), timeout=10) as line:
        line.sendall(b"HEAD / HTTP/1.1\r\nHost: localhost\r\n\r\n")
        said = b"".join(iter(lambda: line.recv(65_536), b""))
    assert said.startswith(b"HTTP/1.0 200 ")
    assert said.endswith(b"\r\n\r\n")
    assert said.count(b"\r\n\r\n") == 1


def test_no_path_leads_out(serve: Callable[..., LiveServer], tmp_path: Path) -> None:
    root = publish(tmp_path / "study")
    (tmp_path / "secret.log").write_text("secret", encoding="utf-8")
    (root / "logs" / f"{KEYS[0]}.log").symlink_to(tmp_path / "secret.log")
    (root / "logs" / "study.log").write_text("secret", encoding="utf-8")
    server = serve(root)
    assert ask(server, f"/log/{KEYS[3]}").body == b"a cell\nTraceback\n"
    paths = ["/log/../../secret", "/log/..%2f..%2fsecret", "/../secret.log", "/log/study", "/log/", f"/log/{KEYS[0]}"]
    paths += [
        "/runs.csv",
        "/study.yaml",
        f"/log/{KEYS[3]}.log",
        f"/log/{KEYS[3]}%00",
        "http://localhost/state.json",
        "*",
    ]
    for path in [*paths, f"/log//{tmp_path}/secret", "//[", "/log/" + "a" * 5000]:
        reply = ask(server, path)
        assert reply.status == 404, path
        assert b"secret" not in reply.body
    shutil.rmtree(root / "logs")
    (tmp_path / f"{KEYS[3]}.log").write_text("secret", encoding="utf-8")
    (root / "logs").symlink_to(tmp_path)
    assert ask(server, f"/log/{KEYS[3]}").status == 404


def test_a_long_log_is_told_by_its_end(serve: Callable[..., LiveServer], tmp_path: Path) -> None:
    publish(tmp_path)
    (tmp_path / "logs" / f"{KEYS[3]}.log").write_bytes(b"x" * 300_000 + b"\xffthe end")
    body = ask(serve(tmp_path), f"/log/{KEYS[3]}").body.decode()
    assert body.startswith("[...]\nxxx")
    assert body.endswith("x\ufffdthe end")
    assert len(body) < 201_000


def test_what_is_not_http_harms_nobody(
    serve: Callable[..., LiveServer], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    server = serve(publish(tmp_path))
    for said in (
        b"\x16\x03\x01\x02\x00\r\n\r\n",
        b"GET\r\n\r\n",
        b"GET / HTTP/9.9\r\n\r\n",
        b"A" * 70_000 + b"\r\n\r\n",
    ):
        with socket.create_connection(("127.0.0.1", server.server_port), timeout=10) as line:
            line.sendall(said)
            with contextlib.suppress(ConnectionError):
                assert b"<script" not in line.recv(10_000)
    assert ask(server, "/state.json").status == 200
    assert capsys.readouterr().err == ""


def test_a_browser_that_went_away_is_no_news_but_a_fault_of_ours_is(
    serve: Callable[..., LiveServer], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    server = serve(publish(tmp_path))
    for error, told in ((ConnectionResetError("gone"), False), (TimeoutError(), False), (ValueError("a fault"), True)):
        try:
            raise error
        except Exception:
            server.handle_error(None, ("127.0.0.1", 1))
        assert bool(capsys.readouterr().err) == told


def test_where_it_cannot_serve_is_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"is not a study directory \(there is no such directory\)"):
        LiveServer(tmp_path / "nothing", port=0)
    with pytest.raises(InputError, match=r"is not a study directory \(it holds nothing that a run publishes\)"):
        LiveServer(tmp_path, port=0)
    publish(tmp_path)
    with pytest.raises(InputError, match=r"--host no\.such\.host\.invalid: there is no such address"):
        LiveServer(tmp_path, "no.such.host.invalid", 0)
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(
            EnvironmentFault, match=f"^Port {port} of 127.0.0.1 cannot be used .*--port, or 0 for any.$"
        ):
            LiveServer(tmp_path, port=port)
