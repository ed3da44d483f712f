"""What the first block of the runbooks defines, in bash and in zsh, with an `aws` that answers as the test says."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from tests.rig.command_line import SOURCES
from tests.rig.needs import Peer
from tests.rig.runbooks import FOLDER, blocks, run_after_setup

# Prints the outputs of the stack or the messages of the log, or copies the payload into the answer.
AWS = """#!/bin/sh
case "$1 $2" in
"cloudformation describe-stacks") cat outputs.json ;;
"logs filter-log-events") cat messages.json ;;
"lambda invoke") echo "$@" >> invoked; cat "${6#fileb://}" > "$7" ;;
esac
"""
OUTPUTS = {"PusherFunctionName": "pusher", "OperatorFunctionName": "operator", "WorkspaceId": "ws-1"}
Paste = Callable[[str], str]


def run_line(at: str, shard: str, jobs: Sequence[Mapping[str, Any]], **report: Any) -> str:
    found = {"action": "push", "shard": shard, "jobs": jobs, **report}
    return json.dumps({"timestamp": at, "report": {key: value for key, value in found.items() if value != ""}})


@pytest.fixture(params=["bash", pytest.param("zsh", marks=pytest.mark.peer)])
def paste(request: pytest.FixtureRequest, peer: Peer, tmp_path: Path) -> Paste:
    """Runs the block of the index, then the commands, and returns what they print."""
    shell = peer("zsh") if request.param == "zsh" else "bash"
    peer("jq")
    (tmp_path / "aws").write_text(AWS)
    (tmp_path / "aws").chmod(0o755)
    (tmp_path / "outputs.json").write_text(json.dumps([{"OutputKey": k, "OutputValue": v} for k, v in OUTPUTS.items()]))
    environment = {"PATH": f"{tmp_path}{os.pathsep}{os.environ['PATH']}", "HOME": str(tmp_path), **SOURCES}
    if "LD_LIBRARY_PATH" in os.environ:
        environment["LD_LIBRARY_PATH"] = os.environ["LD_LIBRARY_PATH"]

    def run(commands: str) -> str:
        done = run_after_setup(shell, commands, tmp_path, environment)
        assert done.returncode == 0, done.stderr
        assert done.stderr == ""
        return done.stdout

    return run


def test_an_event_reaches_the_operator_as_it_was_written(paste: Paste, tmp_path: Path) -> None:
    """`echo` of zsh would turn the two characters of a line's end into one, which JSON does not allow."""
    event = {"action": "push_samples", "format": "openmetrics", "text": 'a{b="\\\\"} 1\n# EOF\n'}
    (tmp_path / "event.json").write_text(json.dumps(event))
    paste('operator "$(jq -c . event.json)" answer.json')
    assert json.loads((tmp_path / "answer.json").read_text()) == event


def test_the_operator_has_all_of_its_900_seconds(paste: Paste, tmp_path: Path) -> None:
    """By itself the AWS command line gives up after 60 seconds and invokes the function again."""
    paste("operator '{}' answer.json")
    words = (tmp_path / "invoked").read_text().split()
    assert int(words[words.index("--cli-read-timeout") + 1]) > 900


def test_a_stack_without_a_spool_sets_none(paste: Paste, tmp_path: Path) -> None:
    """`pusher` refuses the address of a bucket without a name."""
    assert paste('echo "[$PUSHER_SPOOL]"') == "[]\n"


def test_every_shard_and_every_job_is_shown_however_rare_its_scrapes(paste: Paste, tmp_path: Path) -> None:
    """The last line of the log is that of one shard, and has only the jobs that were due."""
    bad = {"up": 0, "error": "answered 503"}
    lines = [
        run_line("t1", "0/2", [{"job": "hourly", **bad}, {"job": "a", "up": 1}], jobs_down={"hourly": "old"}),
        run_line("t2", "1/2", [{"job": "b", **bad}], jobs_down={"b": "answered 503"}),
        run_line("t3", "0/2", [{"job": "a", "up": 1}], jobs_down={"hourly": "answered 503"}),
    ]
    (tmp_path / "messages.json").write_text(json.dumps(lines))
    assert paste("last_runs | jq -r .timestamp").split() == ["t3", "t2"]
    scrapes = paste("last_scrapes | jq -r '[.job, .shard, .at] | @tsv'").splitlines()
    assert scrapes == ["a\t0/2\tt3", "b\t1/2\tt2", "hourly\t0/2\tt1"]
    which, exactly = blocks(FOLDER / "jobs-down.md")[:2]
    assert paste(which).splitlines() == ["hourly: answered 503", "b: answered 503"]
    assert '"job": "hourly"' in paste(exactly)


def test_without_shards_there_is_one_last_run(paste: Paste, tmp_path: Path) -> None:
    (tmp_path / "messages.json").write_text(json.dumps([run_line(at, "", []) for at in ("t1", "t2")]))
    assert paste("last_runs | jq -r .timestamp").split() == ["t2"]
