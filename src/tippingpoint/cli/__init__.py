"""The command ``tippingpoint``: one file a command, thin: parse, call, print.

Every command module offers ``register(app)``; heavy imports stand inside the command's function, so that ``--help``
answers at once.
"""

from __future__ import annotations

import codecs
import importlib
import io
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import typer

__all__ = ["main"]

COMMANDS = (
    "run",
    "init",
    "plan",
    "status",
    "fsck",
    "gc",
    "fit",
    "predict",
    "compare",
    "extrapolate",
    "boundary",
    "smoothness",
    "advise",
    "next",
    "report",
    "serve",
    "figures",
    "tables",
    "data",
    "weights",
    "export",
)


#: What stands for a sign that a terminal or a file of another encoding than UTF-8 cannot hold.
PLAIN = {"–": "-", "−": "-", "±": "+/-", "×": "x", "→": "->", "…": "..."}


def _plain(error: UnicodeError) -> tuple[str, int]:
    """Return what is written instead of letters that the encoding lacks, and where to go on."""
    if not isinstance(error, UnicodeEncodeError):
        raise error
    lacking = error.object[error.start : error.end]
    return "".join(PLAIN.get(sign) or sign.encode("ascii", "backslashreplace").decode() for sign in lacking), error.end


def _write_what_can_be() -> None:
    """Let no dash or name from the data end a command where the output is not UTF-8."""
    codecs.register_error("tippingpoint.plain", _plain)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper) and codecs.lookup(stream.encoding).name != "utf-8":
            stream.reconfigure(errors="tippingpoint.plain")


def main(arguments: list[str] | None = None) -> int:
    """Run the command and return its exit code.

    Parameters
    ----------
    arguments : list of str, optional
        What follows the command's name; by default what the shell gave.

    Returns
    -------
    int
        0 done, 2 the input is wrong, 3 the environment is, 130 interrupted.
    """
    import typer

    from tippingpoint.errors import TippingPointError

    _write_what_can_be()
    app = _build_app()
    try:
        result = typer.main.get_command(app).main(args=arguments, prog_name="tippingpoint", standalone_mode=False)
    except TippingPointError as error:
        for fault in error.faults:
            print(f"tippingpoint: {fault}", file=sys.stderr)
        return error.exit_code
    except (KeyboardInterrupt, typer.Abort):
        print("tippingpoint: interrupted.", file=sys.stderr)
        return 130
    except SystemExit as left:
        if not isinstance(left.__context__, BrokenPipeError):
            raise
        return 0  # typer calls it a failure that the reader (head, less) has seen enough
    except Exception as error:
        return _usage_fault(error)
    return int(result) if isinstance(result, int) else 0


def _usage_fault(error: Exception) -> int:
    """Print a usage error of the command line in one sentence; raise what is not one."""
    show = getattr(error, "format_message", None)
    if show is None or not hasattr(error, "exit_code"):
        if isinstance(error, OSError):
            where = f"{error.filename}: " if error.filename else ""
            reason = error.strerror or str(error)
            print(f"tippingpoint: {where}{reason}; check the path, its permissions and the disk.", file=sys.stderr)
            return 3
        raise error
    if told := show():  # without any words the help has been printed, and there is nothing to add
        print(f"tippingpoint: {told}", file=sys.stderr)
    return int(error.exit_code)


def _build_app() -> typer.Typer:
    """Return the typer application with every command registered."""
    import typer

    app = typer.Typer(
        name="tippingpoint",
        help="Scaling laws for visual transfer learning with limited data, and the tipping point of distillation.",
        no_args_is_help=True,
        pretty_exceptions_enable=False,
        rich_markup_mode="rich",
        context_settings={"help_option_names": ["-h", "--help"]},
    )

    @app.callback(invoke_without_command=True)
    def _top(version: bool = typer.Option(False, "--version", help="Print the version and leave.")) -> None:
        if version:
            from tippingpoint._version import __version__

            print(__version__)
            raise typer.Exit()

    for name in COMMANDS:
        importlib.import_module(f"tippingpoint.cli.{name}").register(app)
    return app
