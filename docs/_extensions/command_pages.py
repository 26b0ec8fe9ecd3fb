"""The page of the commands, written from the commands themselves while the site is built, so that it cannot be stale.

``<!-- commands -->`` on a page is replaced by a section for each command of ``tippingpoint``: what it does, its
arguments and its options.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import typer

from tippingpoint.cli import _build_app

__all__ = ["commands_as_markdown", "setup"]

MARK = "<!-- commands -->"


def commands_as_markdown() -> str:
    """Return the reference of all commands, one ``##`` section each."""
    top = typer.main.get_command(_build_app())
    return "\n".join(line for name, command in _leaves(top) for line in _section(name, command))


def _leaves(group: Any, prefix: str = "tippingpoint") -> Iterator[tuple[str, Any]]:
    """Yield every command that does something, with its full name."""
    for name, command in group.commands.items():
        full = f"{prefix} {name}"
        if hasattr(command, "commands"):
            yield from _leaves(command, full)
        else:
            yield full, command


def _section(name: str, command: Any) -> Iterator[str]:
    """Yield the lines of one command's section."""
    given = " ".join(_usage(one) for one in command.params if one.param_type_name == "argument")
    yield from ("", f"## {name}", "", "```text", f"{name} [OPTIONS] {given}".rstrip(), "```", "")
    yield from _paragraphs(command.help or "")
    yield from ("", "| option | meaning |", "| --- | --- |")
    for one in command.params:
        if not getattr(one, "hidden", False):
            yield f"| {_names(one)} | {_meaning(one)} |"


def _paragraphs(text: str) -> Iterator[str]:
    """Yield a help text; a block that begins with a backspace keeps its lines, as it does on the screen."""
    for block in text.replace("\f", "").split("\n\n"):
        if block.startswith("\b"):
            yield from ("```text", block.strip("\b\n"), "```", "")
        else:
            yield from (_escape(block), "")


def _word(one: Any) -> str:
    """Return what stands for the value of an argument or option."""
    return str(one.metavar or one.name.replace("_", "-").upper())


def _usage(one: Any) -> str:
    return _word(one) if one.required else f"[{_word(one)}]"


def _names(one: Any) -> str:
    if one.param_type_name == "argument":
        return f"`{_word(one)}`"
    value = "" if one.is_flag else f" {_word(one)}"
    return ", ".join(f"`{word}{value}`" for word in (*one.opts, *one.secondary_opts)).replace("|", r"\|")


def _meaning(one: Any) -> str:
    """Return an option's help with its default, in one table cell."""
    told = _escape(" ".join((getattr(one, "help", None) or "").split()))
    if one.param_type_name == "option" and not one.is_flag and one.default not in (None, (), []) and one.show_default:
        told += f" Default: `{one.default}`."
    return told.replace("|", r"\|")


def _escape(text: str) -> str:
    """Return text of the terminal as Markdown: rich's marks go, and what Markdown would read is quoted."""
    text = re.sub(r"\[/?(?:bold|italic|dim|cyan|green|red|yellow)\]", "", text)
    return re.sub(r"([<>*_\[\]$])", r"\\\1", text)


def _fill(app: Any, docname: str, source: list[str]) -> None:
    if MARK in source[0]:
        source[0] = source[0].replace(MARK, commands_as_markdown())


def setup(app: Any) -> dict[str, bool]:
    """Register the extension with Sphinx."""
    app.connect("source-read", _fill)
    return {"parallel_read_safe": True}
