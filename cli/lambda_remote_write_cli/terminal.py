"""Printing, in place of Python's and rich's own: control characters are escaped, so that a text stays one line and
cannot move the cursor, whatever it quotes. Colours are for terminals; with `-q` only what is wrong is printed."""

from __future__ import annotations

import argparse
import builtins
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, NoReturn, TextIO

import rich.color
import rich.console
import rich.style

from lambda_remote_write.report.printable import json_text, printable

WRONG, WARNING, HEADING = "red", "yellow", "bold"
"""Styles of rich."""


@dataclass(slots=True)
class _Settings:
    is_quiet: bool = False


_settings = _Settings()


@contextmanager
def quiet(*, is_quiet: bool) -> Iterator[None]:
    """Within it `say` prints only lines that are wrong or a warning, and those that go to a given file."""
    before, _settings.is_quiet = _settings.is_quiet, is_quiet
    try:
        yield
    finally:
        _settings.is_quiet = before


def say(text: object, file: TextIO | None = None, *, style: str = "", flush: bool = False) -> None:
    """One line, which a terminal wraps and nothing else breaks."""
    if _settings.is_quiet and file is None and style not in (WRONG, WARNING):
        return
    line = printable(str(text))
    builtins.print(_styled(line, style, file or sys.stdout) if style else line, file=file, flush=flush)


def wrong(text: object) -> None:
    """A line about what failed, also with `-q`."""
    say(text, style=WRONG)


def warn(text: object) -> None:
    say(f"warning: {text}", style=WARNING)


def _styled(line: str, style: str, file: TextIO) -> str:
    """As it is where there is no terminal, and where NO_COLOR or TERM=dumb say so."""
    system = rich.console.Console(file=file).color_system
    return rich.style.Style.parse(style).render(line, color_system=rich.color.ColorSystem.STANDARD) if system else line


def say_json(document: object) -> None:
    """One JSON document, for `--json`."""
    builtins.print(json_text(document, indent=2))


def refuse(detail: str, *, as_json: bool) -> None:
    """Why a command does nothing: a line on stderr, or a document with the one problem."""
    if as_json:
        say_json({"ok": False, "problems": [{"message": detail}]})
    else:
        say(detail, file=sys.stderr, style=WRONG)


def counted(count: int, noun: str) -> str:
    """`1 entry`, `2 entries`."""
    several = noun[:-1] + "ies" if noun.endswith("y") else noun + "s"
    return f"{count} {noun if count == 1 else several}"


def clock(milliseconds: float, timespec: str = "seconds") -> str:
    """A time since the epoch as RFC 3339, in UTC."""
    moment = datetime.fromtimestamp(milliseconds / 1000, UTC)
    return moment.isoformat(timespec=timespec).replace("+00:00", "Z")


class Console(rich.console.Console):
    """Prints texts as they are, without markup."""

    def print(self, *objects: Any, **options: Any) -> None:
        super().print(*(_shown(one) for one in objects), **options)


class Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        super().error(printable(message))


def _shown(one: Any) -> Any:
    return printable(one) if isinstance(one, str) else one
