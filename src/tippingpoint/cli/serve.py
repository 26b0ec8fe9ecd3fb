"""``tippingpoint serve``: the report that grows while a study runs, in the browser."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

__all__ = ["register"]


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("serve")(serve)


def serve(
    directory: Annotated[Path, typer.Argument(metavar="DIR", help="Study directory.", readable=False)],
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port to listen at; 0 for any that is free.")] = 8765,
    host: Annotated[
        str, typer.Option(help="Address to listen at; others than this machine's own let others read.")
    ] = "127.0.0.1",
    open_page: Annotated[bool, typer.Option("--open", help="Open the page in the browser.")] = False,
    answer_every: Annotated[
        float, typer.Option(min=1, metavar="SECONDS", help="Least time between two computations of the answer.")
    ] = 30.0,
) -> None:
    """Show how a study goes, while it runs, in the browser; Ctrl-C ends it."""
    from tippingpoint.report.live import LiveServer
    from tippingpoint.study.signals import terminable

    server = LiveServer(directory, host, port, answer_every=answer_every)
    try:
        with terminable():
            print(f"{directory} at {server.url} (read-only; Ctrl-C ends it)", flush=True)
            if not server.is_local:
                print("tippingpoint: whoever can reach this machine can read the study.", file=sys.stderr, flush=True)
            if open_page:
                _open(server.url)
            server.serve_forever(poll_interval=0.2)
    except KeyboardInterrupt:
        print("tippingpoint: the page has ended; the study is not touched.", file=sys.stderr)
        raise typer.Exit(130) from None
    finally:
        server.server_close()


def _open(url: str) -> None:
    """Ask the system's browser for the page, without waiting for it."""
    import threading
    import webbrowser

    threading.Thread(target=webbrowser.open, args=(url,), daemon=True).start()
