"""Gaps are filled: what earlier runs missed is sent before the fresh answer, oldest first, once, within AMP's hour and
the run's time. The high-water mark comes from the environment, the state object, or the receiver."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lambda_remote_write.config.load import parse_config
from lambda_remote_write.config.schema import JsonJob
from lambda_remote_write.dependencies import Dependencies
from lambda_remote_write.environment import Environment
from lambda_remote_write.model.scrape import HighWaterMark
from lambda_remote_write.push import push
from lambda_remote_write.report.report import Report
from lambda_remote_write.scrape.gap_backfill import Gap, gap_of, ranged, windows
from lambda_remote_write.scrape.schedule import Tick
from sandbox.amp import Receiver
from sandbox.api import Api
from sandbox.prometheus import Prometheus
from sandbox.server import Answer, Fault, Request
from tests.rig.delivery import ENVIRONMENT, Clock, in_order, no_session
from tests.rig.needs import Peer
from tests.rig.push import config_text, endpoint, job
from tests.rig.tables import table

MINUTE = 60_000
HOUR = 60 * MINUTE
NOW = 1_800_000_000_000
LIMIT = 55 * MINUTE
BACKFILL = {"query": {"from": "{start}", "to": "{end}"}, "format": "unix_ms"}


# --- What is missing --------------------------------------------------------------------------------------------------


MARKS = [  # (id, how long ago the last run was, and its newest sample; the gap)
    ("in time", MINUTE, MINUTE, None),
    ("half a minute late: the schedule's jitter", 90_000, 95_000, None),
    ("a run missed", 91_000, 95_000, Gap(NOW - 94_999, NOW, NOW - 94_999)),
    ("more than is taken", HOUR, HOUR, Gap(NOW - LIMIT, NOW, NOW - HOUR + 1)),
    ("no sample so far", HOUR, NOW, None),
    ("a clock that went back", -HOUR, -HOUR, None),
    ("an API that is ahead", HOUR, 0, None),
]


@table("run, sample, gap", MARKS)
def test_a_gap_is_what_lies_between_the_last_sample_and_now(run: int, sample: int, gap: Gap | None) -> None:
    assert gap_of(HighWaterMark(NOW - run, NOW - sample), MINUTE, NOW, LIMIT) == gap
    assert gap_of(None, MINUTE, NOW, LIMIT) is None


def test_without_an_age_limit_a_gap_is_as_long_as_it_is() -> None:
    assert gap_of(HighWaterMark(1, 1), MINUTE, NOW, 0) == Gap(2, NOW, 2)


@given(st.integers(0, 10**9), st.integers(0, 10**7), st.integers(1, 10**6))
def test_windows_cover_a_gap_once_and_in_order(start: int, length: int, longest: int) -> None:
    longest = max(longest, length // 50 or 1)
    found = list(windows(Gap(start, start + length, start), longest))
    assert found[0][0] == start
    assert found[-1][1] == start + length
    assert all(first <= last < first + longest for first, last in found)
    assert all(after[0] == before[1] + 1 for before, after in itertools.pairwise(found))


def job_of(backfill: dict[str, Any], **keys: Any) -> JsonJob:
    text = config_text([job("http://api/x", backfill=backfill, **keys)], [])
    (found,) = parse_config(text, "c", ENVIRONMENT).jobs
    return found


@pytest.mark.parametrize(
    ("keys", "query"),
    [
        pytest.param({"format": "unix"}, {"from": "1716480000", "to": "1716480061"}, id="unix"),
        pytest.param({"format": "unix_ms"}, {"from": "1716480000000", "to": "1716480060999"}, id="unix_ms"),
        pytest.param({"format": "unix_ns"}, {"from": "1716480000000000000", "to": "1716480060999000000"}, id="unix_ns"),
        pytest.param({}, {"from": "2024-05-23T16:00:00.000Z", "to": "2024-05-23T16:01:00.999Z"}, id="rfc3339"),
        pytest.param(
            {"timezone": "Asia/Seoul"},
            {"from": "2024-05-24T01:00:00.000+09:00", "to": "2024-05-24T01:01:00.999+09:00"},
            id="rfc3339 in a zone",
        ),
        pytest.param(
            {"format": "%d/%m/%Y %H:%M:%S", "timezone": "Europe/Berlin"},
            {"from": "23/05/2024 18:00:00", "to": "23/05/2024 18:01:01"},
            id="strptime in a zone",
        ),
    ],
)
def test_how_a_range_is_asked_for(keys: dict[str, Any], query: dict[str, str]) -> None:
    found = job_of(
        {"query": {"from": "{start}", "to": "{end}", "by": "{step}s"}, **keys}, query={"a": "b", "to": "now"}
    )
    assert found.backfill is not None
    asked = ranged(found, found.backfill, 1_716_480_000_000, 1_716_480_060_999)
    assert dict(asked.params) == {name: (value,) for name, value in {"a": "b", "by": "60s", **query}.items()}
    assert (asked.method, asked.body, asked.url) == ("GET", None, "http://api/x")


def test_a_body_keeps_its_own_braces() -> None:
    backfill = {"body": '{"range": {"gte": {start}, "lte": {end}}}', "format": "unix", "url": "http://api/search"}
    found = job_of(backfill)
    assert found.backfill is not None
    asked = ranged(found, found.backfill, 5_000, 9_000)
    assert (asked.method, asked.url) == ("POST", "http://api/search")
    assert asked.body == '{"range": {"gte": 5, "lte": 9}}'


def test_a_range_may_stand_in_the_url() -> None:
    found = job_of({"url": "http://api/{start}/x?to={end}&by={step}&{y}", "timezone": "Asia/Seoul"})
    assert found.backfill is not None
    asked = ranged(found, found.backfill, 0, 999)
    expected = "1970-01-01T09%3A00%3A00.000%2B09%3A00/x?to=1970-01-01T09%3A00%3A00.999%2B09%3A00&by=60&{y}"
    assert asked.url == f"http://api/{expected}"


# --- End to end -------------------------------------------------------------------------------------------------------


@dataclass
class Meter:
    """An API with a point every minute, since ever; asked for a range it gives those of the range."""

    clock: Clock
    ranges: list[tuple[int, int]] = field(default_factory=list)
    fault: Fault | None = None  # of ranges
    delay_seconds: float = 0.0
    part: Callable[[int], float] = lambda minute: 0  # a number that each point has beside its value

    def answer(self, request: Request) -> Answer | Fault:
        now = self.clock.now_ms()
        if "from" not in request.params:
            return self.json(self.points(now // MINUTE * MINUTE, now))
        self.ranges.append((int(request.params["from"]), int(request.params["to"])))
        if self.fault:
            return self.fault
        time.sleep(self.delay_seconds)
        return self.json(self.points(*self.ranges[-1]))

    def json(self, points: list[dict[str, Any]]) -> Answer:
        return Answer.json([point | {"part": self.part(point["value"])} for point in points])

    @staticmethod
    def points(start: int, end: int) -> list[dict[str, Any]]:
        first = -(-start // MINUTE) * MINUTE
        return [{"id": name, "value": at // MINUTE, "at": at} for at in range(first, end + 1, MINUTE) for name in "ab"]


class World:
    """A function over such an API, and what its receiver holds."""

    def __init__(self, folder: Path, api: Api, amp: Receiver, clock: Clock) -> None:
        self.meter, self.clock, self.api, self.amp, self.folder = Meter(clock), clock, api, amp, folder
        self.url = api.serve("/meter", self.meter.answer)
        self.dependencies = Dependencies(ENVIRONMENT, clock.now_ms, no_session, clock.sleep)
        self.write_url = amp.url

    def new_environment(
        self, *, spool: bool = True, backfill: dict[str, Any] | None = None, metric: dict[str, Any] | None = None
    ) -> Environment:
        kept = {"spool": {"location": str(self.folder / "kept")}} if spool else {}
        entry = endpoint(self.amp, "amp") | {"url": self.write_url}
        meter = job(self.url, backfill=BACKFILL | (backfill or {}))
        meter["metrics"][0] |= metric or {}
        text = config_text([meter], [entry], **kept)
        return Environment(parse_config(text, "c", ENVIRONMENT), self.dependencies, gap_backfill=True)

    def run(self, environment: Environment, seconds: float = 10.0, pause: float = 1) -> Report:
        """One run, after which so many minutes pass."""
        tick = Tick(self.clock.now_ms(), None, MINUTE, frozenset(environment.config.job_names()))
        report = push(environment, tick, time.monotonic() + seconds)
        assert report.balances
        self.clock.ahead += 60 * pause
        return report

    def minutes(self) -> dict[str, list[int]]:
        """The stored points of each series, in minutes since the first of all."""
        found = {
            dict(labels)["id"]: [at // MINUTE for at, _ in points]
            for labels, points in self.amp.series("requests_total").items()
        }
        first = min((points[0] for points in found.values()), default=0)
        return {name: [at - first for at in points] for name, points in found.items()}

    def holds(self, count: int) -> bool:
        """Every minute from the first to now, in both series, each once and in order."""
        return self.minutes() == {name: list(range(count)) for name in "ab"} and in_order(self.amp)


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    clock = Clock()
    clock.ahead = -(time.time() % 60) + 20 - 3 * 3600  # a third of a minute past a full one
    with Api() as api, Receiver(now=clock.time) as amp:
        found = World(tmp_path, api, amp, clock)
        yield found
        found.dependencies.transport.close()


def test_no_range_is_asked_for_when_runs_come_in_time(world: World) -> None:
    environment = world.new_environment()
    for late in (1.0, 1.4, 0.6, 1.0):
        world.run(environment, pause=late)
    assert world.meter.ranges == []


@pytest.mark.parametrize("is_cold", [False, True], ids=["warm", "cold, from the state object"])
def test_what_was_missed_comes_before_the_fresh_answer(world: World, is_cold: bool) -> None:
    environment = world.new_environment()
    world.run(environment)
    world.run(environment, pause=20)
    report = world.run(world.new_environment() if is_cold else environment)
    assert world.holds(22)
    assert report.warnings == []
    assert report.deliveries[0].rejected.total() == world.amp.refused == 0
    world.run(environment)
    assert len(world.meter.ranges) == 1


def test_windows_are_asked_one_after_the_other(world: World) -> None:
    environment = world.new_environment(backfill={"window": "5m"})
    world.run(environment, pause=18)
    world.run(environment)
    assert world.holds(19)
    assert len(world.meter.ranges) == 4
    assert world.meter.ranges == sorted(world.meter.ranges)


def test_the_mark_comes_from_the_receiver_without_a_spool(world: World, peer: Peer) -> None:
    """A cold start without a spool: one signed query says how far the job had come."""
    with Prometheus(path=peer("prometheus")) as prometheus, Receiver(now=world.clock.time) as amp:
        world.clock.ahead += 2.5 * 3600  # near the present: the query is about the last hour
        amp.prometheus_url, amp.forward_url = prometheus.url, prometheus.write_url
        world.amp, world.write_url = amp, amp.url
        world.run(world.new_environment(spool=False), pause=20)
        report = world.run(world.new_environment(spool=False))
        assert report.warnings == []
        assert world.holds(21)
        assert len(world.meter.ranges) == 1


def test_a_receiver_that_refuses_the_query_is_a_warning(world: World) -> None:
    """Without a high-water mark there is no gap; the fresh answer is sent."""
    world.write_url = world.amp.url.replace("ws-sandbox", "ws-other")
    report = world.run(world.new_environment(spool=False))
    assert any("the last accepted time of usage is not known" in detail for detail in report.warnings)
    assert world.meter.ranges == []


NAMED = {"name": {"path": "id", "prefix": "meter_"}, "labels": {}}


def test_names_in_the_records_are_in_no_query(world: World) -> None:
    """A cold start without a spool cannot ask for the newest sample of names that it does not know."""
    report = world.run(world.new_environment(spool=False, metric=NAMED))
    (warning,) = [one for one in report.warnings if "the last accepted time of usage is not known" in one]
    assert "its records name its metrics" in warning
    assert world.meter.ranges == []
    assert {"meter_a", "meter_b"} <= {dict(labels)["__name__"] for labels in world.amp.samples}


def test_a_gap_of_names_in_the_records_is_filled(world: World) -> None:
    """From the environment, and from the state object of another one."""
    world.run(world.new_environment(metric=NAMED), pause=20)
    report = world.run(world.new_environment(metric=NAMED))
    assert report.warnings == []
    for name in ("meter_a", "meter_b"):
        (points,) = world.amp.series(name).values()
        assert len(points) == 21
    assert in_order(world.amp)


def test_what_is_too_old_stays_missing_and_is_reported(world: World) -> None:
    environment = world.new_environment()
    world.run(environment, pause=90)
    report = world.run(environment)
    (detail,) = [one for one in report.warnings if "no endpoint accepts samples that old" in one]
    assert detail.startswith("usage: the gap ")
    kept = world.minutes()["a"]
    assert kept[0] == 0
    assert kept[1:] == list(range(36, 91))  # fifty-five minutes are taken
    assert in_order(world.amp)


def test_fresh_samples_wait_while_a_range_cannot_be_had(world: World) -> None:
    environment = world.new_environment()
    world.run(environment, pause=10)
    world.meter.fault = Fault.status(500)
    report = world.run(environment)
    assert "fresh samples wait for it" in report.scrapes[0].error
    assert report.totals()["JobsDown"] == 1
    assert world.holds(1)
    world.meter.fault = None
    world.run(environment)
    assert world.holds(12)


@pytest.mark.parametrize(
    "fault", [Fault.status(404), Fault(instead=Answer.json([{"id": "a"}]))], ids=["404", "renamed"]
)
def test_a_range_that_always_fails_is_given_up_and_reported(world: World, fault: Fault) -> None:
    environment = world.new_environment()
    world.run(environment, pause=10)
    world.meter.fault = fault
    assert [bool(world.run(environment).scrapes[0].error) for _ in range(2)] == [True] * 2
    report = world.run(environment)
    assert not report.scrapes[0].error
    assert any("stays: its backfill failed 3 times" in detail for detail in report.warnings)
    assert world.minutes()["a"] == [0, 12]
    world.run(environment)
    assert world.minutes()["a"] == [0, 12, 13]


@pytest.mark.parametrize("down", range(1, 10))
def test_a_gap_is_filled_however_long_the_api_was_down(world: World, down: int) -> None:
    """What cannot be had while nothing can be had is no reason to give a gap up."""
    environment = world.new_environment()
    world.run(environment)
    world.api.always(Fault.status(503))
    assert all(world.run(environment).scrapes[0].error for _ in range(down))
    world.api.always(None)
    world.run(environment)
    assert world.holds(down + 2)


def test_a_slow_range_goes_on_in_the_next_run(world: World) -> None:
    environment = world.new_environment(backfill={"window": "1m"})
    world.meter.delay_seconds = 0.25
    world.run(environment, pause=12)
    report = world.run(environment, seconds=3.0)
    (detail,) = [one for one in report.warnings if "the next run continues" in one]
    assert "the gap is filled up to" in detail
    done = len(world.minutes()["a"])
    assert 1 < done < 12
    world.meter.delay_seconds = 0.0
    world.run(environment)
    assert world.holds(14)


def test_environments_that_alternate_see_no_gap(world: World) -> None:
    """Each was away for two minutes, and the state object says what the other did."""
    one, other = world.new_environment(), world.new_environment()
    for _ in range(3):
        world.run(one)
        world.run(other)
    assert world.meter.ranges == []
    assert world.holds(6)


def test_samples_that_were_not_delivered_nor_kept_are_missing_too(world: World) -> None:
    environment = world.new_environment(spool=False)
    world.run(environment)
    world.amp.always(Fault.status(404))
    for _ in range(4):
        world.run(environment)
    world.amp.always(None)
    world.run(environment)
    assert world.holds(6)


def test_a_cold_start_does_not_send_again_what_was_sent(world: World) -> None:
    """The record did not move, and was revised meanwhile: a receiver would refuse it."""
    world.run(world.new_environment(), pause=0)
    report = world.run(world.new_environment())
    assert report.deliveries[0].dropped.counts == {"not_newer": 2}
    assert world.amp.refused == 0


def test_a_fraction_in_a_later_window_loses_nothing_of_the_windows_before(world: World) -> None:
    """The first label with a fraction has its answer decoded again, as it is written: that answer alone."""
    now = world.clock.now_ms() // MINUTE
    world.meter.part = lambda minute: 1 if minute < now + 5 else 1.25
    metric = {"labels": {"id": "id", "part": "[part][0]"}}  # no plain name, of which columns would be read
    environment = world.new_environment(backfill={"window": "2m"}, metric=metric)
    world.run(environment, pause=10)
    report = world.run(environment)
    assert report.warnings == []
    points = [at // MINUTE for stored in world.amp.series("requests_total", id="a").values() for at, _ in stored]
    assert sorted(points) == list(range(min(points), min(points) + 11))
