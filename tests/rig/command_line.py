"""`pusher` in a process of its own, run from these sources."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from tests.rig.delivery import ENVIRONMENT

ROOT = Path(__file__).parents[2]
SOURCES = {"PYTHONPATH": f"{ROOT / 'functions'}:{ROOT / 'cli'}"}  # for any Python process that imports ours


def pusher_command(*arguments: str | Path) -> list[str]:
    """The command itself. `-P` keeps Python from importing out of the working directory."""
    return [sys.executable, "-P", "-m", "lambda_remote_write_cli", *map(str, arguments)]


def environment(**variables: str) -> dict[str, str]:
    """All the variables that the process gets: of the caller's own, only PATH; keys that the sandbox accepts."""
    return {"PATH": os.environ["PATH"], "COLUMNS": "200", **SOURCES, **ENVIRONMENT, **variables}


def pusher(*arguments: str | Path, cwd: Path | None = None, **variables: str) -> subprocess.CompletedProcess[str]:
    """Runs it to its end."""
    return subprocess.run(
        pusher_command(*arguments), env=environment(**variables), cwd=cwd,
        capture_output=True, text=True, timeout=300, check=False,
    )  # fmt: skip


def start(*arguments: str | Path, **variables: str) -> subprocess.Popen[str]:
    """Starts it."""
    return subprocess.Popen(
        pusher_command(*arguments),
        env=environment(**variables),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
