"""docs/testing.md: its config, its test file, its commands and its example of drift."""

from __future__ import annotations

import argparse
import re
import shlex
from pathlib import Path

import pytest
import yaml

from lambda_remote_write_cli.golden.command import COMMAND
from lambda_remote_write_cli.main import main

PAGE = (Path(__file__).parents[3] / "docs" / "testing.md").read_text(encoding="utf-8")
CONFIG, TEST, WORKFLOW = re.findall(r"^```yaml\n(.*?)^```", PAGE, re.M | re.S)
(DRIFT,) = re.findall(r"^```text\n(.*?)^```", PAGE, re.M | re.S)
COMMANDS = re.findall(r"^```bash\n(pusher .*?)^```", PAGE, re.M | re.S)


def words(text: str) -> str:
    """A long line is wrapped on the page."""
    return " ".join(text.split())


def test_the_file_tests_the_config_and_the_drift_is_as_shown(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("pusher.yaml").write_text(CONFIG)
    Path("pusher_test.yaml").write_text(TEST)
    assert main(["test", "pusher_test.yaml"]) == 0
    assert capsys.readouterr().out == "pusher_test.yaml: usage: ok, 3 samples\n"
    Path("pusher_test.yaml").write_text(TEST.replace("apiRequestCount", "requestCount"))
    assert main(["test", "pusher_test.yaml"]) == 1
    assert words(capsys.readouterr().out) == words(DRIFT)


@pytest.mark.parametrize("line", COMMANDS)
def test_the_commands_are_ones_of_ours(line: str) -> None:
    """What they do is tested beside this file."""
    parser = argparse.ArgumentParser(exit_on_error=True)
    COMMAND.add_arguments(parser.add_argument)
    name, command, *arguments = shlex.split(line)
    assert (name, command) == ("pusher", "test")
    assert parser.parse_args(arguments)


def test_the_workflow_runs_what_the_page_says() -> None:
    steps = [step["run"] for step in yaml.safe_load(WORKFLOW)["jobs"]["test"]["steps"] if "run" in step]
    assert steps[1:] == ["pusher check pusher.yaml", "pusher test pusher_test.yaml"]


def test_every_key_of_a_test_file_is_in_the_table() -> None:
    """As the reader names them."""
    source = (Path(__file__).parents[3] / "cli/lambda_remote_write_cli/golden/file.py").read_text(encoding="utf-8")
    keys = set(
        re.findall(r'(?:section|top)\.(?:text|read|read_list|texts|map|text_map|integer|sections)\("(\w+)"', source)
    )
    named = {word for code in re.findall(r"`([^`\n]+)`", PAGE) for word in re.findall(r"\w+", code)}
    assert keys - {"targets", "labels"} <= named
