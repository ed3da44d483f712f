"""Every command of every runbook runs as it stands, in the order of its page, against a stack in which things have gone
wrong, and prints what a reader of the page looks for."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.rig.faulty_function import FaultyFunction
from tests.rig.runbooks import FOLDER, INDEX, REFUSALS, Shell, blocks, pages
from tests.rig.stack_in_aws import StackInAws

pytestmark = pytest.mark.slow

# What the commands of a page must show of what has happened.
SHOWN = {
    "errors": ["Task timed out after 50.05 seconds", "RetriesExhausted", "50050.12 ms", "no mistakes", "ALARM"],
    "silence": ["metrics-PusherFunctionTick-1A2B\tENABLED", "Invocations", "the role may not write", "ACTIVE", "ALARM"],
    "jobs-down": ["usage: metric requests_total: none of 2 records gives a sample", "down from here", "ALARM"],
    "metric-failed": ["none of 2 records gives a sample", "value_missing", "nearest path that exists is value"],
    "targets-down": ["127.0.0.1:1", "Connection refused", '["node",1,2]'],
    "lost-samples": ["per_user_series_limit", "quota-code L-5A151448", "ALARM"],
    "oldest-waiting": ["the role may not write", "spool/amp/0/", "ACTIVE", "ALARM"],
    "bad-config": ["1 the new config is refused, ", "config.yaml:1: json_configs: a list is expected", "no mistakes"],
    "series-growth": ["10000000.0", "no mistakes"],
    "new-series-limited": ["new_series_limit is not set here", "no mistakes"],
    "discarded-samples": ["lambda-remote-write", "AnyName", "loggingConfiguration", "ALARM"],
    "backfill-failed": ["BackfillStopped: the API fails", '"accepted": 10', "june-again", '"done": true'],
    "backfill-timed-out": ["july", '"start": "-2h"', "60"],
    "refusals": ["per_user_series_limit", "UPDATING", "PENDING", "lambda-remote-write"],
}


def page_name(page: Path) -> str:
    return page.stem


@pytest.mark.parametrize("page", [*pages(), REFUSALS], ids=page_name)
def test_the_commands_of_a_page_run_and_show_what_has_happened(shell: Shell, page: Path) -> None:
    found = list(dict.fromkeys(blocks(page)))
    assert found
    steps = "\n".join(f"echo '--- block {number}' >&2\n{block}" for number, block in enumerate(found, 1))
    done = shell(steps)
    assert done.returncode == 0, done.stderr + done.stdout
    complaints = [line for line in done.stderr.splitlines() if line and not line.startswith("--- block")]
    assert complaints == []
    assert [word for word in SHOWN[page.stem] if word not in done.stdout] == [], done.stdout


def test_a_schedule_that_was_disabled_by_hand_runs_again(
    world: tuple[StackInAws, FaultyFunction], shell: Shell
) -> None:
    """A deployment would not see it: for CloudFormation the schedule's parameter has not changed."""
    scheduler = world[0].client("scheduler")
    (name,) = (one["Name"] for one in scheduler.list_schedules()["Schedules"])
    before = scheduler.get_schedule(Name=name)
    kept = {key: before[key] for key in ("ScheduleExpression", "FlexibleTimeWindow", "Target")}
    scheduler.update_schedule(Name=name, State="DISABLED", **kept)
    (block,) = (one for one in blocks(FOLDER / "silence.md") if "update-schedule" in one)
    done = shell(block)
    assert (done.returncode, done.stderr) == (0, "")
    after = scheduler.get_schedule(Name=name)
    assert (after["State"], {key: after[key] for key in kept}) == ("ENABLED", kept)


def test_version_2_opens_no_pager_which_would_swallow_what_is_pasted_after_it(shell: Shell) -> None:
    done = shell("python3 -c 'import os; print(repr(os.environ[\"AWS_PAGER\"]))'")
    assert done.stdout == "''\n", done.stderr


def test_the_index_sets_every_variable_that_a_page_uses(shell: Shell) -> None:
    (setup,) = blocks(INDEX)
    names = [
        "STACK",
        "REGION",
        "CONFIG",
        "SINCE",
        "FUNCTION",
        "OPERATOR",
        "WORKSPACE",
        "QUEUE",
        "BUCKET",
        "BACKFILL",
        "LOG",
    ]
    done = shell("\n".join(f'echo "{name}=${name}"' for name in names))
    assert done.returncode == 0, done.stderr
    values = dict(line.split("=", 1) for line in done.stdout.splitlines())
    assert set(values) == set(names)
    assert all(value not in ("", "None") for value in values.values()), values
    assert "output" in setup
