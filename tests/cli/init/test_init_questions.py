"""The questions of `pusher init`, on a real terminal: Enter takes what is shown, and Ctrl-C writes nothing."""

from __future__ import annotations

import json
import os
import pty
import select
import signal
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path

import pytest

from tests.rig import init_command
from tests.rig.command_line import environment, pusher_command

DOCUMENT = {
    "servers": [
        {"name": "a", "requestCount": 3015, "load": 0.5, "uptimeMs": 1000, "at": init_command.NOW_MS // 1000},
        {"name": "b", "requestCount": 17, "load": 0.25, "uptimeMs": 2000, "at": init_command.NOW_MS // 1000},
    ]
}


class Terminal:
    """The command on a terminal of its own."""

    def __init__(self, folder: Path, *words: str) -> None:
        self._master, slave = pty.openpty()
        self.process = subprocess.Popen(
            pusher_command("init", *words), cwd=folder, env=environment(TERM="dumb"),
            stdin=slave, stdout=slave, stderr=slave, start_new_session=True,
            preexec_fn=lambda: _take_terminal(slave),
        )  # fmt: skip
        os.close(slave)
        self.text = ""

    def answer(self, waits_for: str, answer: str) -> None:
        """Writes the answer once this stands on the terminal, behind what was answered before."""
        self.read_until(waits_for)
        self.text = ""
        os.write(self._master, answer.encode())

    def read_until(self, waits_for: str) -> None:
        deadline = time.monotonic() + 60
        while waits_for not in self.text:
            assert time.monotonic() < deadline, self.text
            if not self._read():
                break
        assert waits_for in self.text

    def leave(self, key: str) -> int:
        """The exit status. The key is pressed again until it is heard: a signal that arrives just before the process
        begins to read does not end the reading."""
        heard = "stopped"
        os.write(self._master, key.encode())
        while heard not in self.text and self.process.poll() is None:
            before = self.text
            if not self._read():
                break
            if self.text == before and self.process.poll() is None:
                os.write(self._master, key.encode())
        return self.end()

    def end(self) -> int:
        while self._read():
            pass
        os.close(self._master)
        return self.process.wait(60)

    def _read(self) -> bool:
        if not select.select([self._master], [], [], 1.0)[0]:
            return self.process.poll() is None
        try:
            piece = os.read(self._master, 65_536)
        except OSError:  # the other side is closed
            return False
        self.text += piece.decode("utf-8", "replace")
        return bool(piece)


def _take_terminal(slave: int) -> None:
    """As a shell starts it: a run in the background hands down that Ctrl-C is ignored."""
    import fcntl
    import termios

    signal.signal(signal.SIGINT, signal.SIG_DFL)
    fcntl.ioctl(slave, termios.TIOCSCTTY, 0)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "servers.json").write_text(json.dumps(DOCUMENT))
    return tmp_path


def test_answers_are_written_and_enter_takes_what_is_shown(folder: Path) -> None:
    terminal = Terminal(folder, "servers.json", "--url", "https://api.example.com/v1/servers")
    terminal.answer("Enter keeps them", "\n")
    terminal.answer("the time of these values?", "y\n")
    terminal.answer("servers_request_count = 3015: counter or gauge? [counter]", "\n")
    terminal.answer("load = 0.5: counter or gauge? [gauge]", "?\n")
    terminal.answer("x leave the metric out", "l\n")
    terminal.answer("uptime_seconds = 1000: counter or gauge? [gauge]", "g\n")
    terminal.answer("its unit is seconds?", "\n")
    status = terminal.end()

    text = (folder / "pusher.yaml").read_text()
    assert status == 0
    assert "name: servers_request_count_total\n        type: counter\n" in text
    assert "name: servers_load\n        # type: gauge" in text
    assert "type: gauge\n        unit: seconds\n" in text
    assert text.count("        timestamp: {path: at, format: unix}\n") == 3
    assert "labels: {server: name}" in text


@pytest.mark.parametrize("key", ["\x03", "\x04"], ids=["Ctrl-C", "Ctrl-D"])
def test_the_questions_can_be_left_and_nothing_is_written(key: str, folder: Path) -> None:
    terminal = Terminal(folder, "servers.json")
    terminal.answer("Enter keeps them", "\n")
    terminal.read_until("the time of these values?")
    status = terminal.leave(key)

    assert status == 2
    assert "stopped: nothing was written" in terminal.text
    assert "Traceback" not in terminal.text
    assert sorted(file.name for file in folder.iterdir()) == ["servers.json"]


def _session(answers: Sequence[str]) -> tuple[init_command.Proposal, list[str]]:
    return init_command.questioned(DOCUMENT, answers)


@pytest.mark.parametrize(
    ("answers", "types"),
    [
        (["", "n", "", "", "", ""], ["counter", "gauge", "gauge"]),
        (["", "n", "g", "c", "l", ""], ["gauge", "counter", ""]),
        (["", "n", "a"], ["counter", "gauge", "gauge"]),
        (["", "n", "x", "what", "gauge", "x"], ["gauge"]),
        (["server", "n", "counter", "", "", ""], ["counter", "gauge", "gauge"]),
    ],
    ids=["enter", "each", "all others as shown", "left out", "without a label"],
)
def test_each_answer_has_its_effect(answers: list[str], types: list[str]) -> None:
    proposal, _ = _session(answers)

    assert [metric.type for metric in proposal.metrics] == types
    assert all(metric.name.endswith("_total") == (metric.type == "counter") for metric in proposal.metrics)
    assert ("server" in proposal.groups[0].labels) == (answers[0] != "server")


def test_a_time_without_zone_is_asked_for_its_zone() -> None:
    document = [{"at": "2026-11-29 14:06:00", "v": 1.5, "name": "a"}]
    proposal, prompts = init_command.questioned(document, ["", "", "Mars/Base", "Asia/Seoul", ""])
    stamp = proposal.groups[0].stamp

    assert stamp is not None
    assert (stamp.format, stamp.timezone) == ("%Y-%m-%d %H:%M:%S", "Asia/Seoul")
    assert sum("which one is it in?" in prompt for prompt in prompts) == 2
