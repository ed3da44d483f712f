"""A random history of sources, faults, cold starts and overlaps: every report balances, every series is in order, and
each sample is stored, waits, or was counted with a reason, at every step."""

from __future__ import annotations

import struct
import tempfile
import threading
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from lambda_remote_write.config.load import parse_config
from lambda_remote_write.dependencies import Dependencies
from lambda_remote_write.environment import Environment
from lambda_remote_write.model.samples import Samples
from lambda_remote_write.push import push
from lambda_remote_write.remote_write.encode.decode import unpack
from lambda_remote_write.report.report import Report
from lambda_remote_write.series import label_codec
from lambda_remote_write.spool import entry as entries
from lambda_remote_write.store import DirectoryStore, Object, Store, StoreError
from sandbox.amp import Limits, Receiver
from sandbox.api import Api
from sandbox.server import Fault
from tests.rig.delivery import ENVIRONMENT, Clock, no_session
from tests.rig.push import Source, config_text, endpoint, job, tick
from tests.rig.stores import StoreInFront

pytestmark = pytest.mark.slow

RUN_SECONDS = 0.3
PATIENT_SECONDS = 5.0
RUNS_TO_DRAIN = 40  # one for each 403 and 404 that is still scripted
WINDOW_MS = 60_000  # in which AMP takes a sample that another has overtaken
FOR_EVER = 1_000_000

FAULTS = {
    "400": Fault.status(400, b"no"),
    "403": Fault.status(403),
    "404": Fault.status(404),
    "429": Fault.status(429),
    "500": Fault.status(500),
    "503": Fault.status(503, headers={"Retry-After": "99"}),
    "reset before body": Fault.reset(before_body=True),
    "reset after body": Fault.reset(),
    "lost answer": Fault.lost_answer(),
    "garbage": Fault.garbage(),
    "hang": Fault.hang(),
}
STORING = {"lost answer"}  # the receiver may have it, and a refusal of the next attempt says nothing

Labels = tuple[tuple[str, str], ...]
Key = tuple[Labels, int]  # a series, and the milliseconds of its sample


def bits(value: float) -> bytes:
    return struct.pack("<d", value)


def keys_of(samples: Samples) -> list[tuple[Key, bytes]]:
    """Every sample with the bits of its value: a stale marker is a NaN."""
    found = []
    for series, value, stamp in zip(samples.series, samples.values, samples.timestamps_ms, strict=True):
        assert isinstance(value, float)
        found.append(((tuple(sorted(label_codec.labels_of(series.prefix).items())), stamp), bits(value)))
    return found


# --- The outside ------------------------------------------------------------------------------------------------------


@dataclass
class Weather:
    """Which operations of the store fail, and how often yet. An answer that is `lost` comes from one that was done."""

    failing: Counter[str] = field(default_factory=Counter)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def strikes(self, operation: str) -> bool:
        with self.lock:
            self.failing[operation] -= self.failing[operation] > 0
            return self.failing[operation] > 0

    def check(self, operation: str) -> None:
        if self.strikes(operation):
            raise StoreError(f"no {operation} today")


class FailingStore(StoreInFront):
    """A store that fails as the weather says."""

    def __init__(self, store: Store, weather: Weather) -> None:
        super().__init__(store)
        self._weather = weather

    def _do(self, operation: str, key: str, act: Callable[[], Any]) -> Any:
        self._weather.check(operation)
        found = act()
        if isinstance(found, Object) and self._weather.strikes("whole get"):
            return replace(found, content=found.content[: len(found.content) // 2])
        self._weather.check(f"answer to {operation}")
        return found


class Stormy(Dependencies):
    """An outside whose store fails as the weather says, and whose sleep is short."""

    def __init__(self, clock: Clock, weather: Weather) -> None:
        super().__init__(ENVIRONMENT, clock.now_ms, no_session, lambda seconds: time.sleep(min(seconds, 0.02)))
        self._weather = weather

    def store(self, location: str) -> Store:
        return FailingStore(super().store(location), self._weather)


# --- The ledger -------------------------------------------------------------------------------------------------------


class WarmEnvironment:
    """A warm environment, and what it was given to deliver."""

    def __init__(self, text: str, clock: Clock, weather: Weather) -> None:
        self.dependencies = Stormy(clock, weather)
        self.environment = Environment(parse_config(text, "config.yaml", ENVIRONMENT), self.dependencies)
        self.handed: set[Key] = set()
        self.newest_ms: dict[Labels, int] = {}
        self.is_in_time = True  # no run was cut off, whose threads may go on and change the store after its report

    def push(self, seconds: float) -> Report:
        deadline = time.monotonic() + seconds
        report = push(self.environment, tick(self.environment), deadline)
        self.is_in_time = self.is_in_time and time.monotonic() < deadline
        return report


@dataclass
class EndpointTotals:
    """All reports of one endpoint together. `explained` counts what they name as not delivered, but for repetitions of
    what the same environment had handed over before."""

    explained: int = 0
    waiting: int = 0  # samples that must be in the spool by the reports
    is_exact: bool = True  # nothing happened after which the spool may hold more than the reports say

    def enter(self, report: Report, number: int, repeated: int) -> None:
        delivery = report.deliveries[number]
        assert delivery.balances, report.as_dict()
        elsewhere = delivery.dropped.counts["settled_elsewhere"]
        named = delivery.rejected.total() + delivery.dropped.total() + delivery.undelivered.total()
        self.explained += named - elsewhere - min(repeated, delivery.dropped.counts["not_newer"])
        self.waiting += delivery.spooled.total() - delivery.taken + elsewhere
        self.is_exact = self.is_exact and not delivery.undelivered.total()


class Ledger:
    """What all runs were given and what became of it. A series that any source took back in time, where the one that
    delivers it could not know, may arrive out of order."""

    def __init__(self, names: Iterable[str]) -> None:
        self.totals = {name: EndpointTotals() for name in names}
        self.handed: defaultdict[Key, set[bytes]] = defaultdict(set)
        self.stepped_back: set[Labels] = set()
        self.is_in_time = True
        self._newest_ms: dict[Labels, int] = {}

    def enter(self, environment: WarmEnvironment, report: Report) -> None:
        given = [pair for scrape in report.scrapes for pair in keys_of(scrape.samples)]
        dropped = sum(scrape.dropped.total() for scrape in report.scrapes)
        repeated = sum(key in environment.handed for key, _ in given)
        for number, delivery in enumerate(report.deliveries):
            assert delivery.collected == len(given) + dropped
            self.totals[delivery.endpoint].is_exact &= environment.is_in_time
            self.totals[delivery.endpoint].enter(report, number, repeated)
        self.is_in_time &= environment.is_in_time
        for key, value in sorted(given):
            self._hand_over(environment, key, value)

    def _hand_over(self, environment: WarmEnvironment, key: Key, value: bytes) -> None:
        labels, stamp = key
        newest = self._newest_ms.get(labels, stamp)
        is_known = stamp <= environment.newest_ms.get(labels, stamp - 1)
        if not is_known and (stamp < newest or self.handed.get(key, {value}) != {value}):
            self.stepped_back.add(labels)
        self.handed[key].add(value)
        environment.handed.add(key)
        self._newest_ms[labels] = max(newest, stamp)
        environment.newest_ms[labels] = max(environment.newest_ms.get(labels, stamp), stamp)


# --- The machine ------------------------------------------------------------------------------------------------------


class Deliveries(RuleBasedStateMachine):
    """One API; two environments over one spool; AMP, and a Prometheus that takes all of a request or nothing."""

    def __init__(self) -> None:
        super().__init__()
        self.clock, self.weather = Clock(), Weather()
        self.clock.ahead = -86_400.0
        self.folder = tempfile.TemporaryDirectory()
        self.store = DirectoryStore(self.folder.name)
        self.api = Api()
        self.source = Source(self.api)
        self.receivers = {
            "amp": Receiver(now=self.clock.time),
            "prometheus": Receiver(now=self.clock.time, keep_valid=False, limits=Limits(out_of_order_seconds=0)),
        }
        self.ledger = Ledger(self.receivers)
        self.environments: list[WarmEnvironment] = []
        self.records: list[dict[str, Any]] = []
        self.produced: defaultdict[tuple[str, int], set[float]] = defaultdict(set)
        self.turn = 0
        self.has_overlapped = False
        self.is_calm = True  # nothing happened after which a receiver may refuse what is well-formed

    @initialize(mode=st.sampled_from(["on_failure", "always"]), size=st.sampled_from([1, 2, 100]))
    def begin(self, mode: str, size: int) -> None:
        queue = {"min_backoff": "5ms", "max_backoff": "10ms", "max_samples_per_send": size}
        endpoints = [
            endpoint(receiver, name, queue_config=queue, remote_timeout="100ms")
            for name, receiver in self.receivers.items()
        ]
        spool = {"location": self.folder.name, "mode": mode}
        self.text = config_text([job(self.source.url)], endpoints, spool=spool)
        self.source.records = self._serve
        self.environments = [WarmEnvironment(self.text, self.clock, self.weather) for _ in range(2)]

    def _serve(self) -> list[dict[str, Any]]:
        for record in self.records:
            self.produced[record["id"], record["at"]].add(float(record["value"]))
        return self.records

    # what the source says

    @rule(ids=st.sets(st.sampled_from("abc"), min_size=1), points=st.integers(1, 3), seconds=st.sampled_from([0, 5]))
    def source_moves(self, ids: set[str], points: int, seconds: int) -> None:
        """New points, several of a series in any order."""
        now_ms = self.clock.now_ms() - 1000 * seconds
        self.records = [self._record(name, now_ms - 1000 * age) for age in range(points) for name in sorted(ids)]

    @rule()
    def source_revises(self) -> None:
        self.records = [self._record(record["id"], record["at"]) for record in self.records]

    @rule(name=st.sampled_from("abc"), minutes=st.sampled_from([-120, -56, -54, -30, -1, 4, 9]), alone=st.booleans())
    def source_is_off(self, name: str, minutes: int, alone: bool) -> None:
        """A point that is too old, late, or in the future but within the receivers' limit."""
        record = self._record(name, self.clock.now_ms() + 60_000 * minutes)
        self.records = [record] if alone else [*self.records, record]

    def _record(self, name: str, at: int) -> dict[str, Any]:
        self.turn += 1
        return {"id": name, "value": self.turn, "at": at}

    # runs

    @rule(which=st.integers(0, 1))
    def push(self, which: int) -> None:
        """A source that has not moved repeats itself."""
        environment = self.environments[which]
        self.ledger.enter(environment, environment.push(RUN_SECONDS))
        self.clock.ahead += 60

    @rule(which=st.integers(0, 1), runs=st.integers(1, 3))
    def time_goes_by(self, which: int, runs: int) -> None:
        """The usual: new points, a run for each."""
        for _ in range(runs):
            self.records = [self._record(name, self.clock.now_ms()) for name in "ab"]
            self.push(which)

    @rule(
        name=st.sampled_from(["amp", "prometheus"]),
        fault=st.sampled_from(["404", "503"]),
        which=st.integers(0, 1),
        first=st.integers(1, 4),
    )
    def an_outage_ends(self, name: str, fault: str, which: int, first: int) -> None:
        """One run in which nothing gets through, and one that is stopped among its first requests."""
        receiver = self.receivers[name]
        receiver.always(FAULTS[fault])
        self.time_goes_by(which, 1)
        receiver.always(None)
        receiver.script(*[None] * (first - 1), FAULTS[fault])
        self.time_goes_by(1 - which, 2)

    @rule()
    def push_at_the_same_time(self) -> None:
        self.has_overlapped = True
        with ThreadPoolExecutor(2) as pool:
            reports = list(pool.map(lambda one: one.push(RUN_SECONDS), self.environments))
        for environment, report in zip(self.environments, reports, strict=True):
            self.ledger.enter(environment, report)
        self.clock.ahead += 60

    @rule(which=st.integers(0, 1))
    def cold_start(self, which: int) -> None:
        self.environments[which].dependencies.transport.close()
        self.environments[which] = WarmEnvironment(self.text, self.clock, self.weather)

    # what goes wrong

    @rule(
        name=st.sampled_from(["amp", "prometheus"]),
        fault=st.sampled_from(sorted(FAULTS)),
        count=st.sampled_from([1, 2, 5, FOR_EVER]),
    )
    def receiver_fails(self, name: str, fault: str, count: int) -> None:
        self.is_calm = self.is_calm and fault not in STORING
        if count == FOR_EVER:
            self.receivers[name].always(FAULTS[fault])
        else:
            self.receivers[name].script(*[FAULTS[fault]] * count)

    @rule()
    def receivers_recover(self) -> None:
        for receiver in self.receivers.values():
            receiver.always(None)

    @rule(
        operation=st.sampled_from(["get", "whole get", "put", "list", "delete", "answer to put", "answer to delete"]),
        count=st.sampled_from([1, 2, FOR_EVER]),
    )
    def store_fails(self, operation: str, count: int) -> None:
        self.is_calm = False
        for totals in self.ledger.totals.values():
            totals.is_exact = False
        self.weather.failing[operation] = count + 1

    @rule()
    def store_recovers(self) -> None:
        self.weather.failing.clear()

    @rule(seconds=st.sampled_from([-9, -3, 30, 600, 3000, 7200]))
    def clock_jumps(self, seconds: int) -> None:
        self.clock.ahead += seconds

    # what holds

    @invariant()
    def every_series_arrived_in_order(self) -> None:
        """Oldest first; AMP takes back only within its window what two runs at the same time have mixed up."""
        for name, receiver in self.receivers.items():
            for labels, points in receiver.samples.items():
                may_mix = name == "amp" and (self.has_overlapped or labels in self.ledger.stepped_back)
                newest_ms = points[0][0]
                for stamp, _ in points:
                    assert stamp >= newest_ms - (WINDOW_MS if may_mix else 0), (name, labels, points)
                    newest_ms = max(newest_ms, stamp)

    @invariant()
    def nothing_is_refused_without_a_cause(self) -> None:
        """The same order as the receiver sees it: it refuses what is late, as from a run that was cut off."""
        is_calm = self.is_calm and self.ledger.is_in_time
        if is_calm and not self.has_overlapped and not self.ledger.stepped_back:
            for name, receiver in self.receivers.items():
                assert receiver.refused == 0, (name, [one.answer.body for one in receiver.requests if one.refused])

    @invariant()
    def nothing_is_invented(self) -> None:
        for receiver in self.receivers.values():
            for labels, points in receiver.samples.items():
                names = dict(labels)
                for stamp, value in points:
                    assert bits(value) in self.ledger.handed.get((labels, stamp), ()), (labels, stamp, value)
                    if names["__name__"] == "requests_total":
                        assert value in self.produced[names["id"], stamp]

    @invariant()
    def nothing_intact_is_set_aside(self) -> None:
        """Whatever the way from the store made of it."""
        assert not [key for key in self.store.list("dead/", 0.0) if key.endswith(".unreadable")]

    @invariant()
    def nothing_is_missing_that_no_book_names(self) -> None:
        for name, receiver in self.receivers.items():
            totals = self.ledger.totals[name]
            waiting, dead = self._kept("spool", name), self._kept("dead", name)
            stored = {(labels, stamp) for labels, points in receiver.samples.items() for stamp, _ in points}
            missing = set(self.ledger.handed) - stored - set(waiting) - set(dead)
            assert len(missing) <= totals.explained, (name, len(missing), totals, sorted(missing)[:3])
            assert set(waiting) | set(dead) <= set(self.ledger.handed)
            if totals.is_exact:
                assert len(waiting) == totals.waiting, (name, len(waiting), totals)

    def _kept(self, part: str, name: str) -> list[Key]:
        found = []
        for key in self.store.list(f"{part}/{name}/", 0.0):
            content = self.store.get(key, 0.0)
            assert content is not None
            for request in entries.decode(content.content).requests:
                samples, _ = unpack(request)
                assert len(samples) == request.samples
                found += [kept for kept, _ in keys_of(samples)]
        return found

    # the end

    def teardown(self) -> None:
        try:
            if self.environments:
                self._all_ends_well()
        finally:
            for environment in self.environments:
                environment.dependencies.transport.close()
            for server in (*self.receivers.values(), self.api):
                server.close()
            self.folder.cleanup()

    def _all_ends_well(self) -> None:
        """Faults end, and a few runs later nothing waits."""
        self.receivers_recover()
        self.store_recovers()
        for run in range(RUNS_TO_DRAIN):
            environment = self.environments[run % 2]
            self.ledger.enter(environment, environment.push(PATIENT_SECONDS))
            self.clock.ahead += 5
            if run and not self.store.list("spool/", 0.0):
                break
        assert self.store.list("spool/", 0.0) == []
        self.every_series_arrived_in_order()
        self.nothing_is_invented()
        self.nothing_is_missing_that_no_book_names()


Deliveries.TestCase.settings = settings(
    max_examples=40, stateful_step_count=25, suppress_health_check=[HealthCheck.too_slow]
)
TestDeliveries = Deliveries.TestCase
