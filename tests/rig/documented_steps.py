"""What a page tells its reader to do, done: files are written, commands run, one after the other.

A block below a line that ends in "`NAME`:" is the file of that name. `pusher` runs in this process, with the variables
that the page exports; `pusher init`, which asks questions, at a terminal of its own, where each is answered with Enter.
Commands of other programs are left to tests/docs/test_blocks.py.
"""

from __future__ import annotations

import os
import pty
import re
import subprocess
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from lambda_remote_write_cli.main import main
from tests.rig.command_line import SOURCES, pusher_command
from tests.rig.markdown import FENCE
from tests.rig.shell_commands import commands

_QUESTIONS = 20
NAMED = re.compile(r"`([\w./-]+\.\w+)`:\s*$")


@dataclass(frozen=True, slots=True)
class Step:
    """A file that was written, or the command `words` with the exit status that it had. `shown` is what stood on the
    terminal, if it had one."""

    name: str = ""
    words: tuple[str, ...] = ()
    status: int = 0
    shown: str = ""


def run(page: Path, folder: Path, instead: Mapping[str, str], export: Callable[[str, str], object]) -> Iterator[Step]:
    """Each step of a page, once it has been done in `folder`, which is the current one. `instead` are texts of the page
    and what this test has in their place; `export` sets a variable of the environment."""
    text = page.read_text()
    for given, here in instead.items():
        text = text.replace(given, here)
    for block in FENCE.finditer(text):
        above = text[: block.start()].rstrip().rpartition("\n\n")[2]
        named = NAMED.search(above)
        if block["language"] == "bash":
            for line in re.findall(r"^ *export (.*)$", block["content"], re.M):
                for name, value in re.findall(r"(\w+)=([^\s$]+)", line):
                    export(name, value)
            yield from _commands(block["content"])
        elif named:
            (folder / named[1]).write_text(block["content"])
            yield Step(name=named[1])


def _commands(text: str) -> Iterator[Step]:
    for words in commands(text):
        if words[:2] == ["pusher", "init"]:
            status, shown = _at_a_terminal(words[1:])
            yield Step(words=tuple(words), status=status, shown=shown)
        elif words[0] == "pusher":
            yield Step(words=tuple(words), status=_status(words[1:]))


def _status(words: Sequence[str]) -> int:
    """Options such as `--version` end the process."""
    try:
        return main(words)
    except SystemExit as end:
        return int(end.code or 0)


def _at_a_terminal(words: Sequence[str]) -> tuple[int, str]:
    """The exit status, and what the terminal shows. Enter waits for as many questions as there may be."""
    ours, its = pty.openpty()
    os.write(ours, b"\n" * _QUESTIONS)
    process = subprocess.Popen(pusher_command(*words), env={**os.environ, **SOURCES}, stdin=its, stdout=its, stderr=its)
    os.close(its)
    shown = b""
    with suppress(OSError):  # the other side is closed
        while piece := os.read(ours, 65_536):
            shown += piece
    os.close(ours)
    return process.wait(), shown.decode().replace("\r\n", "\n")
