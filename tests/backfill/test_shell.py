"""What a backfill from a shell says when a real receiver refuses: what happened, in plain lines."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from sandbox.api import Api
from sandbox.prometheus import Prometheus
from sandbox.server import Answer, Request
from tests.rig.blocks import Found, dumped
from tests.rig.command_line import pusher
from tests.rig.needs import Peer

MINUTE = 60


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
    assert "prom: 0 of 150 samples accepted, 150 rejected by the receiver" in detail
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
