"""Colours are for terminals; what a pipe gets is whole lines without escapes."""

from __future__ import annotations

import os
import pty
import subprocess
from pathlib import Path

import pytest

from sandbox.api import Api
from tests.rig.command_line import environment, pusher_command

LABEL = "a-name-that-is-longer-than-a-narrow-terminal-is-wide"
CONFIG = """json_configs:
  - job_name: usage
    url: {url}/usage
    labels: {{{label}: x}}
    metrics: [{{name: requests, records: "[]", value: apiRequestCount, labels: {{p: projectCode}}}}]
  - job_name: gone
    url: {url}/404
    metrics: [{{name: gone, value: a}}]
remote_write: [{{url: 'http://h/'}}]
"""


@pytest.fixture
def config(api: Api, tmp_path: Path) -> Path:
    path = tmp_path / "a.yaml"
    path.write_text(CONFIG.format(url=api.url, label=LABEL.replace("-", "_")))
    return path


def on_a_terminal(*arguments: str | Path, **variables: str) -> str:
    """What the command prints there. The terminal is this side's to close."""
    ours, theirs = pty.openpty()
    given = environment(**{"TERM": "xterm-256color", **variables})
    process = subprocess.Popen(pusher_command(*arguments), env=given, stdout=theirs, stderr=theirs, stdin=theirs)
    os.close(theirs)
    read = bytearray()
    while True:
        try:
            piece = os.read(ours, 65_536)
        except OSError:  # Linux's way to say that the other side is closed
            break
        if not piece:
            break
        read += piece
    process.wait()
    os.close(ours)
    return read.decode()


def test_colours_on_a_terminal(config: Path) -> None:
    text = on_a_terminal("plan", config)
    assert "\x1b[1musage: " in text
    assert "\x1b[31mgone: down: " in text


@pytest.mark.parametrize("variables", [{"NO_COLOR": "1"}, {"TERM": "dumb"}], ids=str)
def test_no_colours_where_the_user_wants_none(config: Path, variables: dict[str, str]) -> None:
    ours = on_a_terminal("check", config, **variables)
    assert "no mistakes" in ours
    assert "\x1b[3" not in ours


def test_a_pipe_gets_whole_lines(config: Path) -> None:
    """However narrow the terminal is from which it was started."""
    command = pusher_command("plan", config)
    done = subprocess.run(command, env=environment(COLUMNS="40"), capture_output=True, text=True, check=False)
    assert "\x1b" not in done.stdout + done.stderr
    lines = [line for line in done.stdout.splitlines() if line.startswith("  requests{")]
    assert lines
    assert all("} " in line and " old" in line for line in lines)
