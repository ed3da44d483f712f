"""The shell that a deployment runs in: what it prints, whom it asks, how time passes, where it may write."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]


Run = Callable[[Sequence[str], Mapping[str, str], bool], tuple[int, str]]
"""A command and its variables, and whether its stdout is wanted instead of shown -> its exit status, and the stdout."""


def run_program(command: Sequence[str], env_vars: Mapping[str, str], is_captured: bool) -> tuple[int, str]:
    """In the root of the checkout."""
    stdout = subprocess.PIPE if is_captured else None
    done = subprocess.run(command, cwd=ROOT, env=dict(env_vars), stdout=stdout, text=True, check=False)
    return done.returncode, done.stdout or ""


def boto3_session() -> Any:
    """Of boto3, as the environment says."""
    import boto3

    return boto3.Session()


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
    run: Run = run_program
    session: Callable[[], Any] = boto3_session
    build: Path = ROOT / "build"

    def confirmed(self, question: str) -> bool:
        try:
            return self.ask(f"{question} [y/N]: ").strip().lower() in ("y", "yes")
        except EOFError:
            return False


def this_shell() -> Shell:
    return Shell(sys.stdin.isatty())
