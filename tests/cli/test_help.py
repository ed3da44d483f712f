"""What `--help` says: every command has examples that its parser takes, and what each exit status means."""

from __future__ import annotations

import re
import shlex

import pytest

from lambda_remote_write_cli import main as command_line
from lambda_remote_write_cli.command import Command

COMMANDS: dict[str, Command] = command_line.commands()


def help_of(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    with pytest.raises(SystemExit) as ended:
        command_line.main([*arguments, "--help"])
    assert ended.value.code == 0
    return capsys.readouterr().out


@pytest.mark.parametrize("name", COMMANDS)
def test_of_a_command(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    text = help_of(capsys, name)
    examples, _, exits = text.partition("\nexamples:\n")[2].partition("\nexit status:\n")
    assert re.findall(r"^ {2}(\S.*)$", examples, re.M) == [one.line for one in COMMANDS[name].examples]
    assert re.findall(r"^ {2}(\d) {2}\S", exits, re.M)[0] == "0"
    assert re.findall(r"^ {2}(\d) {2}\S", exits, re.M)[-1] == "2"
    assert {"-v, --verbose", "-q, --quiet"} <= set(re.findall(r"-[vq], --\w+", text))
    assert "--json" in text


def test_of_all(capsys: pytest.CaptureFixture[str]) -> None:
    text = help_of(capsys)
    listed = re.findall(r"^ {4}([a-z]+)(?: |$)", text, re.M)
    assert listed == list(COMMANDS)
    assert all(part in text for part in ("\nexamples:\n", "\nexit status:\n"))


LINES = [line for one in COMMANDS.values() for line in (example.line for example in one.examples)]


@pytest.mark.parametrize("line", LINES)
def test_examples_are_taken(line: str) -> None:
    """By the real parser; what the commands then do has tests of its own."""
    for call in re.findall(r"\bpusher ([^|)\n]+)", line):
        options = command_line.parser(COMMANDS).parse_args(command_line.with_relative_times(shlex.split(call)))
        assert options.command == call.split()[0]
