"""Printing, in place of Python's and rich's own: control characters are escaped, so that a text stays one line and
cannot move the cursor, whatever it quotes."""

from __future__ import annotations

import argparse
import builtins
import sys
from typing import Any, NoReturn, TextIO

import rich.console

from lambda_remote_write.report.printable import json_text, printable


def say(text: object, file: TextIO | None = None, *, flush: bool = False) -> None:
    """One line."""
    builtins.print(printable(str(text)), file=file, flush=flush)


def say_json(document: object) -> None:
    """One JSON document, for `--json`."""
    builtins.print(json_text(document, indent=2))


def refuse(detail: str, *, as_json: bool) -> None:
    """Why a command does nothing: a line on stderr, or a document with the one problem."""
    if as_json:
        say_json({"ok": False, "problems": [{"message": detail}]})
    else:
        say(detail, file=sys.stderr)


def counted(count: int, noun: str) -> str:
    """`1 entry`, `2 entries`."""
    several = noun[:-1] + "ies" if noun.endswith("y") else noun + "s"
    return f"{count} {noun if count == 1 else several}"


class Console(rich.console.Console):
    """Prints texts as they are, without markup."""

    def print(self, *objects: Any, **options: Any) -> None:
        super().print(*(_shown(one) for one in objects), **options)


class Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        super().error(printable(message))


def _shown(one: Any) -> Any:
    return printable(one) if isinstance(one, str) else one
