"""`pusher_*`: what each run says of itself, as series beside the data."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from lambda_remote_write import __version__
from lambda_remote_write.config.load import parse_config
from lambda_remote_write.dependencies import Dependencies
from lambda_remote_write.environment import Environment
from lambda_remote_write.push import push
from lambda_remote_write.state.shards import OPERATOR, WHOLE, Shard
from sandbox.amp import Receiver
from sandbox.api import Api
from sandbox.server import Answer, Fault, Request
from tests.rig.delivery import ENVIRONMENT, Clock, no_session
from tests.rig.push import Runs, endpoint, tick

SAMPLES = Runs.SAMPLES


class World(Runs):
    """Runs with one endpoint, and what they say of themselves there."""

    def __init__(self, api: Api, amp: Receiver, folder: Path) -> None:
        super().__init__(api, folder, Clock())
        self.api, self.amp = api, amp
        self.clock.ahead = -3600.0

    def new_environment(self, **keys: Any) -> Environment:
        entry = endpoint(self.amp, "amp", **keys.pop("endpoint", {}))
        return self.environment([entry], **{"self_metrics": True} | keys)

    def last(self, name: str, **labels: str) -> float | None:
        """The newest value of the one series."""
        found = self.amp.series(name, **{"job": "pusher", "instance": "metrics", "shard": "0", **labels})
        assert len(found) <= 1, found
        return next((points[-1][1] for points in found.values()), None)

    def serve(self, fields: list[dict[str, Any]] | None) -> None:
        """The API's records with more fields each; with None the API fails."""

        def answer(_: Request) -> Answer:
            if fields is None:
                return Answer.json({"error": "no"}, 500)
            return Answer.json([record | more for record, more in zip(self.records(), fields, strict=True)])

        self.api.serve("/r", answer)

    def outcomes(self) -> dict[tuple[str, str], float]:
        """Of the last run: those that are not 0."""
        found = {}
        for labels, points in self.amp.series("pusher_run_samples").items():
            named = dict(labels)
            assert named["endpoint"] == "amp"
            found[named["outcome"], named.get("reason", "")] = points[-1][1]
        return {key: value for key, value in found.items() if value}


@pytest.fixture
def world(api: Api, tmp_path: Path) -> Iterator[World]:
    with Receiver() as amp:
        amp._now = lambda: found.clock.time()  # type: ignore[method-assign]
        found = World(api, amp, tmp_path / "kept")
        yield found
        found.dependencies.transport.close()


def test_a_healthy_run_says_what_it_was(world: World) -> None:
    before = world.clock.time()
    environment = world.new_environment()
    report = world.run(environment)
    assert world.outcomes() == {("collected", ""): SAMPLES, ("accepted", ""): SAMPLES}
    assert world.last("pusher_build_info", version=__version__) == 1
    assert world.last("pusher_run_cold_start") == 1
    assert world.last("pusher_run_requests", endpoint="amp") == 1
    assert world.last("pusher_run_retries", endpoint="amp") == 0
    assert (world.last("pusher_run_sent_bytes", endpoint="amp") or 0) > 100
    assert world.last("pusher_spool_entries", endpoint="amp") == 0
    assert world.last("pusher_spool_age_seconds", endpoint="amp") == 0
    assert world.last("pusher_series_cache_size") == SAMPLES
    assert world.last("pusher_series_cache_hit_ratio") == 0
    assert abs((world.last("pusher_last_success_timestamp_seconds", endpoint="amp") or 0) - before) < 5
    for stage in ("collect", "encode", "deliver"):
        assert 0 <= (world.last("pusher_run_stage_duration_seconds", endpoint="amp", stage=stage) or 0) < 5
    assert report.totals()["AcceptedSamples"] == SAMPLES  # its own series are not among them
    world.run(environment)
    assert world.last("pusher_run_cold_start") == 0
    assert world.last("pusher_series_cache_hit_ratio") == 1


def test_trouble_shows_and_goes_back_to_zero(world: World) -> None:
    environment = world.new_environment(endpoint={"queue_config": {"min_backoff": "1ms", "max_backoff": "2ms"}})
    world.run(environment)
    world.amp.script(Fault.status(503), Fault.status(500), Fault.status(400, b"no"))
    world.run(environment)
    assert world.outcomes() == {("collected", ""): SAMPLES, ("rejected", "http_400"): SAMPLES}
    assert world.last("pusher_run_retries", endpoint="amp") == 2
    world.run(environment)
    assert world.outcomes() == {("collected", ""): SAMPLES, ("accepted", ""): SAMPLES}
    assert world.last("pusher_run_samples", outcome="rejected", reason="http_400") == 0


def test_what_was_spooled_shows_as_taken_once_it_is_delivered(world: World) -> None:
    """A receiver that is down gets no series about it; CloudWatch's metrics survive."""
    environment = world.new_environment()
    world.run(environment)
    world.amp.always(Fault.status(404))
    for _ in range(2):
        report = world.run(environment)
        assert report.deliveries[0].spooled.total() >= SAMPLES
    assert report.alarm_metrics()["OldestWaitingSeconds"] == pytest.approx(60, abs=2)
    world.amp.always(None)
    world.run(environment)
    assert world.outcomes() == {("collected", ""): SAMPLES, ("taken", ""): 2 * SAMPLES, ("accepted", ""): 3 * SAMPLES}
    assert {len(points) for points in world.amp.series("pusher_run_requests").values()} == {2}


@pytest.mark.slow  # the time of a run is what is too short
def test_a_backlog_that_one_run_cannot_drain_shows_its_depth_and_age(world: World) -> None:
    """The receiver takes requests, but the time is too short for all of them."""
    environment = world.new_environment()
    world.amp.always(Fault.status(404))
    for _ in range(16):
        world.run(environment)
    world.amp.always(Fault.delay(0.3))
    world.run(environment, seconds=4.0)
    assert (world.last("pusher_spool_entries", endpoint="amp") or 0) >= 2
    assert 60 <= (world.last("pusher_spool_age_seconds", endpoint="amp") or 0) <= 16 * 60


def test_another_environment_writes_the_same_series(world: World) -> None:
    """Values are of one run each: nothing adds up, nothing resets."""
    world.run(world.new_environment())
    first = set(world.amp.samples)
    world.run(world.new_environment())
    assert set(world.amp.samples) == first
    assert world.last("pusher_run_cold_start") == 1
    assert world.amp.refused == 0


def test_relabelling_of_the_endpoint_can_drop_them(world: World) -> None:
    rules = [{"source_labels": ["__name__"], "regex": "pusher_.*", "action": "drop"}]
    report = world.run(world.new_environment(endpoint={"write_relabel_configs": rules}))
    assert world.amp.series("pusher_build_info") == {}
    assert report.deliveries[0].dropped.total() == 0


def test_they_can_be_left_out(world: World) -> None:
    world.run(world.new_environment(self_metrics=False))
    assert len(world.amp.samples) == SAMPLES


def test_a_receiver_that_refuses_them_costs_no_data_and_little_time(world: World) -> None:
    world.amp.script(None, *[Fault.status(400, b"no self-metrics")] * 2)
    report = world.run(world.new_environment())
    assert not report.failed
    assert report.deliveries[0].accepted == SAMPLES
    assert report.deliveries[0].rejected.total() == 0
    assert any("self-metrics refused" in detail for detail in report.deliveries[0].warnings)


@pytest.mark.slow
def test_a_receiver_that_fails_for_them_alone_does_not_hold_up_the_run(world: World) -> None:
    world.amp.script(None, *[Fault.hang()] * 3)
    started = time.monotonic()
    report = world.run(world.new_environment(), seconds=30.0)
    assert time.monotonic() - started < 25
    assert not report.failed
    assert any("not sent" in detail for detail in report.deliveries[0].warnings)


def test_metadata_comes_along(world: World) -> None:
    world.run(world.new_environment())
    assert world.amp.metadata["pusher_spool_age_seconds"].type == "gauge"
    assert world.amp.metadata["requests_total"].type == "counter"
    assert len(world.amp.requests) == 2  # the data, and both of these together


def test_records_of_a_job_show_by_outcome_and_reason_and_go_back_to_zero(world: World) -> None:
    environment = world.new_environment()
    world.run(environment)
    assert world.last("pusher_job_records", job="usage", outcome="mapped", reason="") == 3
    world.more = [{"id": "a", "value": "x", "at": 1}]
    world.run(environment)
    assert world.last("pusher_job_records", job="usage", outcome="mapped", reason="") == 3
    assert world.last("pusher_job_records", job="usage", outcome="skipped", reason="not_a_number") == 1
    world.more = []
    world.run(environment)
    assert world.last("pusher_job_records", job="usage", outcome="skipped", reason="not_a_number") == 0


def test_a_job_that_is_down_and_one_with_a_failed_metric_show_and_go_back_to_zero(world: World) -> None:
    """As in JobsDown, a failed metric counts as well. Of an API that fails, no metric is said to have failed."""
    environment = world.new_environment()
    other = {"name": "others_total", "records": "[]", "value": "other", "labels": {"id": "id"}}
    config = json.loads(world.text([endpoint(world.amp, "amp")], self_metrics=True))
    config["json_configs"][0]["metrics"].append(other)
    environment = Environment(
        parse_config(json.dumps(config), "c", ENVIRONMENT), world.dependencies, before=environment
    )
    shown = []
    for records in (3 * [{"other": 1}], 3 * [{}], None, 3 * [{"other": 1}]):
        world.serve(records)
        world.run(environment)
        names = ("pusher_job_down", "pusher_job_failed_metrics")
        shown.append(tuple(world.last(name, job="usage") for name in names))
    assert shown == [(0, 0), (1, 1), (1, 0), (0, 0)]


def test_a_job_that_left_the_config_is_not_down(world: World) -> None:
    world.serve(None)
    environment = world.new_environment()
    world.run(environment)
    assert world.last("pusher_job_down", job="usage") == 1
    config = json.loads(world.text([endpoint(world.amp, "amp")], self_metrics=True))
    config["json_configs"][0]["job_name"] = "renamed"
    world.run(Environment(parse_config(json.dumps(config), "c", ENVIRONMENT), world.dependencies, before=environment))
    assert [world.last("pusher_job_down", job=job) for job in ("usage", "renamed")] == [0, 1]


def test_a_job_that_has_lost_its_targets_says_nothing(world: World) -> None:
    """Another shard may have some, and what it says of the job counts."""
    config = json.loads(world.text([endpoint(world.amp, "amp")], self_metrics=True))
    (job,) = config["json_configs"]
    target = job.pop("url").removeprefix("http://").partition("/")[0]
    environment = None
    for targets in ([target], []):
        job["static_configs"] = [{"targets": targets}]
        parsed = parse_config(json.dumps(config), "c", ENVIRONMENT)
        environment = Environment(parsed, world.dependencies, before=environment)
        world.run(environment)
    assert [len(points) for points in world.amp.series("pusher_job_down").values()] == [1]
    assert [len(points) for points in world.amp.series("pusher_build_info").values()] == [2]


@pytest.mark.parametrize(
    ("env_vars", "shard", "expected"),
    [
        ({"PUSHER_TICK": "15m"}, WHOLE, (900, 1)),
        ({"PUSHER_TICK": "1m"}, Shard(0, 4), (60, 4)),
        ({}, WHOLE, (None, None)),
        ({"PUSHER_TICK": "1m"}, OPERATOR, (None, None)),
    ],
    ids=["a schedule", "four shards", "no schedule", "by hand beside a schedule"],
)
def test_a_schedule_shows_with_its_shards(
    env_vars: dict[str, str], shard: Shard, expected: tuple[float | None, ...], world: World
) -> None:
    """Rules tell by these two how long a silence may be, and whom they are for."""
    dependencies = Dependencies(
        {**world.dependencies.env_vars, **env_vars}, world.clock.now_ms, no_session, world.clock.sleep
    )
    text = world.text([endpoint(world.amp, "amp")], self_metrics=True)
    environment = Environment(parse_config(text, "c", {**ENVIRONMENT, **env_vars}), dependencies, shard=shard)
    push(environment, tick(environment), time.monotonic() + 10)
    dependencies.transport.close()
    names = ("pusher_schedule_interval_seconds", "pusher_shards")
    assert tuple(world.last(name, shard=shard.name) for name in names) == expected


def test_series_that_a_limit_holds_back_show(world: World) -> None:
    """A run may add one: of three series two wait, of eight six, and then of three none."""
    environment = world.new_environment(new_series_limit=1)
    world.run(environment)
    assert world.last("pusher_new_series_limited") == 2
    world.more = [{"id": f"more-{number}", "value": 1, "at": world.clock.now_ms()} for number in range(5)]
    world.run(environment)
    assert world.last("pusher_new_series_limited") == 6
    world.more = []
    world.run(environment)
    assert world.last("pusher_new_series_limited") == 0
