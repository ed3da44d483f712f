"""`pusher backfill` as a person uses it: a process, its output and its exit status."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from sandbox.amp import Receiver
from sandbox.api import Api
from sandbox.example import usage_config
from tests.rig.command_line import pusher

pytestmark = pytest.mark.slow

MINUTE = 60


@pytest.fixture
def config(tmp_path: Path, receiver: Receiver) -> Iterator[Path]:
    with Api() as api:
        path = tmp_path / "config.yaml"
        text = usage_config(api.url, receiver.url, ranges=True)
        path.write_text(f"{text}spool: {{location: {tmp_path / 'kept'}}}\n")
        yield path


def records(ages: list[int]) -> str:
    """NDJSON of one project, with these ages in minutes."""
    now = int(time.time())
    rows = [{"currentTime": now - MINUTE * age, "apiRequestCount": age, "projectCode": "4"} for age in ages]
    return "".join(json.dumps(row) + "\n" for row in rows)


def test_a_range_of_the_api_arrives_and_the_status_is_0(config: Path, receiver: Receiver) -> None:
    """Relative times stand on the command line as they are written, with their minus."""
    done = pusher("backfill", config, "--job", "custom_exporter", "--start", "-50m", "--end", "-20m")
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("backfill done: ")
    assert receiver.accepted > 3 * 29
    assert receiver.refused == 0
    assert f"{receiver.accepted} of {receiver.accepted} samples accepted" in done.stdout


def test_a_dry_run_sends_nothing_and_shows_the_table(config: Path, receiver: Receiver, tmp_path: Path) -> None:
    file = tmp_path / "usage.ndjson"
    file.write_text(records([90, 61, 40, 30]))
    done = pusher("backfill", config, "--job", "custom_exporter", "--from", file, "--dry-run")
    assert done.returncode == 1  # two of them can never be accepted
    assert "2 can be accepted, 0 only inside the out-of-order window, 2 impossible" in done.stdout
    assert "too_old 2" in done.stdout
    assert (receiver.requests, list((tmp_path / "kept").rglob("backfill*"))) == ([], [])


def test_resume_serves_the_first_time_too(config: Path, receiver: Receiver, tmp_path: Path) -> None:
    """Nothing was recorded before: it begins, and says so. Once it is done, nothing is sent again."""
    arguments = ("backfill", config, "--job", "custom_exporter", "--start", "-50m", "--end", "-20m", "--resume")
    done = pusher(*arguments)
    assert done.returncode == 0, done.stderr
    assert "it begins" in done.stdout
    accepted = receiver.accepted
    assert accepted > 3 * 29
    assert pusher(*arguments).returncode == 0
    assert receiver.accepted == accepted


def test_json_is_the_whole_answer(config: Path, receiver: Receiver, tmp_path: Path) -> None:
    file, export = tmp_path / "usage.ndjson", tmp_path / "old.om"
    file.write_text(records([90, 40]))
    arguments = ("--job", "custom_exporter", "--from", file, "--export", export, "--json")
    done = pusher("backfill", config, *arguments)
    answer = json.loads(done.stdout)
    assert done.returncode == 1
    assert (answer["done"], answer["samples"], answer["exported"]) == (True, 2, 1)
    (endpoint,) = answer["endpoints"]
    assert (endpoint["accepted"], endpoint["dropped"]["too_old"]["count"]) == (1, 1)
    assert export.read_text().endswith("# EOF\n")
    assert receiver.accepted == 1


def test_what_was_asked_wrongly_exits_2_and_names_every_mistake(config: Path, receiver: Receiver) -> None:
    done = pusher("backfill", config, "--job", "custom_exportr", "--start", "noon", "--step", "1 minute")
    assert done.returncode == 2
    for word in ("custom_exporter", "'noon'", "RFC 3339", "step: '1 minute'"):
        assert word in done.stderr
    as_json = pusher("backfill", config, "--job", "custom_exporter", "--json")
    assert as_json.returncode == 2
    assert "start: is required" in json.loads(as_json.stdout)["problems"][0]["message"]
    assert receiver.requests == []


def test_plan_shows_what_each_shard_gets(config: Path) -> None:
    done = pusher("plan", config, "--shards", "2", "--json")
    split = json.loads(done.stdout)["split"]
    assert [row["shard"] for row in split] == [0, 1]
    assert sorted(job for row in split for job in row["jobs"]) == ["custom_exporter"]
    assert "shard 1: 0 targets" in pusher("plan", config, "--shards", "2").stdout
