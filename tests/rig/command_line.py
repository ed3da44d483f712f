"""`pusher` in a process of its own, run from these sources."""

from __future__ import annotations

import os
import subprocess
import sys
from functools import cache
from pathlib import Path

from lambda_remote_write_cli.main import _MODULES
from tests.rig.delivery import ENVIRONMENT
from tests.rig.fork_server import forked_program

ROOT = Path(__file__).parents[2]
SOURCES = {"PYTHONPATH": f"{ROOT / 'functions'}:{ROOT / 'cli'}"}  # for any Python process that imports ours


def pusher_command(*arguments: str | Path) -> list[str]:
    """The command itself. `-P` keeps Python from importing out of the working directory."""
    return [sys.executable, "-P", "-m", "lambda_remote_write_cli", *map(str, arguments)]


def environment(**variables: str) -> dict[str, str]:
    """All the variables that the process gets: of the caller's own, only PATH; keys that the sandbox accepts."""
    return {"PATH": os.environ["PATH"], "COLUMNS": "200", **SOURCES, **ENVIRONMENT, **variables}


@cache
def pusher_program() -> Path:
    """The command as a program that does not import anew."""
    modules = [f"lambda_remote_write_cli.{name}" for name in _MODULES.values()]
    return forked_program(
        ["lambda_remote_write_cli"], ["lambda_remote_write_cli.main", *modules], SOURCES["PYTHONPATH"].split(os.pathsep)
    )


@cache
def aws_program() -> Path:
    """Version 1 of AWS's command line, likewise. AWS_ENDPOINT_URL holds for every service: for SQS that version prefers
    an old address."""
    program = forked_program(["awscli"], ["awscli.clidriver", "awscli.handlers"])
    wrapper = program.with_name("aws")
    wrapper.write_text(f'#!/bin/sh\nexec {program} --endpoint-url "$AWS_ENDPOINT_URL" "$@"\n')
    wrapper.chmod(0o755)
    return wrapper


def pusher(*arguments: str | Path, cwd: Path | None = None, **variables: str) -> subprocess.CompletedProcess[str]:
    """Runs it to its end."""
    is_as_usual = not any(name.startswith(("PYTHON", "LC_", "LANG")) for name in variables)
    command = [str(pusher_program()), *map(str, arguments)] if is_as_usual else pusher_command(*arguments)
    return subprocess.run(
        command, env=environment(**variables), cwd=cwd, capture_output=True, text=True, timeout=300, check=False
    )


def start(*arguments: str | Path, **variables: str) -> subprocess.Popen[str]:
    """Starts it."""
    return subprocess.Popen(
        pusher_command(*arguments),
        env=environment(**variables),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
