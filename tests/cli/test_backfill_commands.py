"""`pusher backfill` as a person uses it: a process, its output and its exit status."""

from __future__ import annotations

import json
import os
import re
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from sandbox.amp import Receiver
from sandbox.api import Api
from sandbox.example import usage_config
from sandbox.prometheus import Prometheus
from sandbox.server import Answer, Request
from tests.rig.blocks import Found, dumped
from tests.rig.command_line import environment, pusher, pusher_command
from tests.rig.needs import Peer

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


def test_quiet_prints_nothing_of_what_went_well(config: Path, receiver: Receiver, tmp_path: Path) -> None:
    file = tmp_path / "usage.ndjson"
    for ages, status in (([40, 30], 0), ([90, 61], 1)):
        file.write_text(records(ages))
        done = pusher("backfill", config, "--job", "custom_exporter", "--from", file, "--dry-run", "-q")
        assert (done.returncode, bool(done.stdout), done.stderr) == (status, bool(status), "")


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


def test_a_reader_that_stops_is_no_traceback(tmp_path: Path) -> None:
    """As in `pusher backfill … --json | head -1`."""
    config = tmp_path / "c.yaml"
    config.write_text("remote_write: [{url: 'http://127.0.0.1:9/'}]\n")
    (tmp_path / "a.prom").write_text("a 1 1759000000000\n" * 3)
    backfill = pusher_command("backfill", config, "--from", tmp_path / "a.prom", "--dry-run")
    env_vars = environment(HOME=str(tmp_path))
    read, write = os.pipe()
    os.close(read)
    with subprocess.Popen(backfill, env=env_vars, stdout=write, stderr=subprocess.PIPE) as process:
        os.close(write)
        _, detail = process.communicate(timeout=60)
    assert b"Traceback" not in detail
    assert process.returncode == 1


# --- When a real receiver refuses -------------------------------------------------------------------------------------


@pytest.fixture
def server(peer: Peer) -> Iterator[Prometheus]:
    """One that takes nothing out of order: older than an hour behind its newest sample is out of bounds."""
    peer("prometheus")
    peer("promtool")
    with Prometheus(out_of_order_window="0s") as server:
        yield server


def shell(folder: Path, config: object, *arguments: str) -> tuple[int, str]:
    """Status and words of `pusher backfill`, behind a pipe."""
    (folder / "pusher.yaml").write_text(json.dumps(config))
    done = pusher("backfill", "pusher.yaml", *arguments, cwd=folder, XDG_STATE_HOME=str(folder / "state"))
    assert "Traceback" not in done.stderr, done.stderr
    return done.returncode, done.stdout


def config_of(server: Prometheus, *jobs: object, **keys: object) -> dict[str, object]:
    endpoint = {"url": server.write_url, "name": "prom", **keys}
    return {"remote_write": [endpoint], "json_configs": list(jobs), "self_metrics": False}


def refused(
    folder: Path, server: Prometheus, newest: str, points: list[tuple[int, float]], at_once: int
) -> tuple[int, str, Found]:
    """Status, words and export of a backfill of a series `a`, so many samples in a request, after the newest sample."""
    (folder / "now.om").write_text(f"{newest}\n# EOF\n")
    assert shell(folder, config_of(server), "--from", "now.om")[0] == 0
    (folder / "half.om").write_text("".join(f"a {value} {at}\n" for at, value in points) + "# EOF\n")
    small = config_of(server, queue_config={"max_samples_per_send": at_once})
    status, detail = shell(folder, small, "--from", "half.om", "--export", "out.om")
    return status, detail, dumped((folder / "out.om").read_bytes(), folder)


def test_rejected_samples_are_reported_as_such_and_exported(tmp_path: Path, server: Prometheus) -> None:
    """One series is new, the other one has a sample of now: of the old one nothing may come after it."""
    now = int(time.time())
    points = [(now - 3 * 3600 + MINUTE * index, float(index)) for index in range(150)]
    status, detail, exported = refused(tmp_path, server, f"a 1 {now}", points, 50)
    assert status == 1
    assert "0 accepted, 150 rejected" in detail.splitlines()[0]
    assert "): 0 of 150 samples accepted, 150 rejected by the receiver" in detail
    assert "can be accepted" not in detail
    assert "requests" not in detail.replace("two requests have overtaken", "")
    assert "AMP" not in detail
    assert "set max_age of prom" in detail
    assert "150 samples exported" in detail
    assert exported == {(("__name__", "a"),): [(at * 1000, value) for at, value in points]}


def test_only_refused_samples_are_exported(tmp_path: Path, server: Prometheus) -> None:
    """Of a file that is half too old the other half arrives."""
    now = int(time.time())
    points = [(now - 4 * 3600, 1.0), (now - 3 * 3600, 2.0), (now - 600, 3.0), (now - 60, 4.0)]
    _, detail, exported = refused(tmp_path, server, f"b 1 {now}", points, 1)
    assert "2 accepted, 2 rejected" in detail
    assert exported == {(("__name__", "a"),): [(at * 1000, value) for at, value in points[:2]]}
    assert [one["value"][1] for one in server.query("a")] == ["4"]


def test_rows_that_say_the_same_are_one_and_no_line_is_broken(tmp_path: Path, server: Prometheus) -> None:
    """Twelve windows with ten samples each, whose labels are long."""
    start = int(time.time()) // 600 * 600 - 7200

    def answer(request: Request) -> Answer:
        times = range(start, start + 7200, 60)
        return Answer.json(
            [{"at": at, "v": 1} for at in times if int(request.params["a"]) <= at < int(request.params["b"])]
        )

    with Api() as api:
        api.serve("/range", answer)
        job = {
            "job_name": "a-name-that-is-rather-long-for-a-job-of-a-test", "url": f"{api.url}/range",
            "backfill": {"query": {"a": "{start}", "b": "{end}"}, "format": "unix", "window": "10m"},
            "metrics": [{"name": "m", "value": "v", "timestamp": {"path": "at", "format": "unix"}}],
        }  # fmt: skip
        arguments = ("--job", str(job["job_name"]), "--start", str(start), "--end", str(start + 7199))
        status, detail = shell(tmp_path, config_of(server, job), *arguments)
    assert status == 0, detail
    rows = [line for line in detail.splitlines() if re.match(r"\d{4}-\d\d-\d\dT", line)]
    assert len(rows) <= 3, detail
    assert any("(12 parts)" in row and "prom" in row and "120" in row for row in rows), detail
    assert max(map(len, detail.splitlines())) > 80
    assert all(line == line.rstrip() for line in detail.splitlines())
