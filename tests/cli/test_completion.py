"""Completion in the shells themselves: commands, options, and the jobs of the config that stands on the line."""

from __future__ import annotations

import os
import pty
import select
import subprocess
import sys
import time
from pathlib import Path

import pytest

from lambda_remote_write_cli.main import main
from tests.rig.command_line import environment
from tests.rig.needs import Peer

CONFIG = "scrape_configs: [{job_name: some_job}]\nremote_write: [{url: 'http://h/'}]\n"
LINES = {"a command": ("pusher pl", "plan"), "an option": ("pusher plan --sh", "--shards")}
LINES |= {"a job": ("pusher plan a.yaml --job ", "some_job"), "a shell": ("pusher completion z", "zsh")}
BASH = """eval "$(pusher completion bash)"
COMP_LINE=$1 COMP_POINT=${#1} COMP_WORDS=($1) COMP_TYPE=9
_python_argcomplete pusher
printf '%s\\n' "${COMPREPLY[@]}"
"""
ZSH = (  # without its line editor until it knows where its modules are
    "[[ -z $ZSH_MODULES ]] || module_path=($ZSH_MODULES); unset LD_LIBRARY_PATH; zmodload zsh/zle; setopt zle",
    "autoload -U compinit; compinit -u -D",
    'eval "$(pusher completion zsh)"; print rea""dy',
)
FISH = "pusher completion fish | source\ncomplete -C $argv[1]\n"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Where `pusher` is on PATH, with a config."""
    (tmp_path / "bin").mkdir()
    command = tmp_path / "bin" / "pusher"
    command.write_text(f'#!/bin/sh\nexec {sys.executable} -P -m lambda_remote_write_cli "$@"\n')
    command.chmod(0o755)
    (tmp_path / "a.yaml").write_text(CONFIG)
    return tmp_path


def variables(folder: Path) -> dict[str, str]:
    found = environment(HOME=str(folder), TERM="dumb")
    return found | {"PATH": f"{folder / 'bin'}{os.pathsep}{found['PATH']}"}


def completed(shell: str, script: str, line: str, folder: Path) -> list[str]:
    (folder / "script").write_text(script)
    command = [shell, str(folder / "script"), line]
    done = subprocess.run(command, cwd=folder, env=variables(folder), capture_output=True, text=True, check=True)
    return done.stdout.split()


@pytest.mark.slow
@pytest.mark.parametrize(("line", "expected"), LINES.values(), ids=LINES)
def test_bash(line: str, expected: str, folder: Path) -> None:
    assert completed("bash", BASH, line, folder)[:1] == [expected]


@pytest.mark.parametrize(("line", "expected"), LINES.values(), ids=LINES)
def test_fish(line: str, expected: str, folder: Path, peer: Peer) -> None:
    assert completed(peer("fish"), FISH, line, folder)[:1] == [expected]


def test_zsh(folder: Path, peer: Peer) -> None:
    """Typed on a terminal: zsh completes nowhere else."""
    process, terminal = pty.fork()
    if process == 0:  # pragma: no cover - it becomes zsh
        os.chdir(folder)
        os.execve(peer("zsh"), ["zsh", "-f", "-i", "+Z"], variables(folder))
    read = ""

    def until(text: str) -> None:
        nonlocal read
        deadline = time.monotonic() + 60
        while text not in read:
            assert select.select([terminal], [], [], max(deadline - time.monotonic(), 0))[0], read
            read += os.read(terminal, 65_536).decode(errors="replace")

    for line in ZSH:
        os.write(terminal, f"{line}\n".encode())
    until("ready")
    os.write(terminal, b"pusher plan --sh\t")
    until("--shards")
    os.write(terminal, b"\x15exit\n")
    os.waitpid(process, 0)
    os.close(terminal)


def test_an_unknown_shell_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["completion", "tcsh"])
    assert ended.value.code == 2
    assert "choose from 'bash', 'zsh', 'fish'" in capsys.readouterr().err
