"""The shell that a deployment runs in: what it prints, whom it asks, how time passes, where it may write."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[1]


def _say(line: str) -> None:
    print(line, flush=True)


@dataclass(frozen=True, slots=True)
class Shell:
    """`now` is unix seconds. `build` is a folder for what outlives a deployment and is in no commit."""

    is_terminal: bool
    say: Callable[[str], None] = _say
    ask: Callable[[str], str] = input
    now: Callable[[], float] = time.time
    sleep: Callable[[float], None] = time.sleep
    build: Path = ROOT / "build"

    def confirmed(self, question: str) -> bool:
        try:
            return self.ask(f"{question} [y/N]: ").strip().lower() in ("y", "yes")
        except EOFError:
            return False


def this_shell() -> Shell:
    return Shell(sys.stdin.isatty())
