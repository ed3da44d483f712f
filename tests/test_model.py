"""Delivery as a machine of states: sources, faults, cold starts and overlapping environments at random. At each step
the books balance, every series is in order, and no sample is missing that no book names."""

from __future__ import annotations

import tempfile
import threading
import time
from pathlib import Path
from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from pusher.config.load import parse_config
from pusher.delivery import entry as entries
from pusher.push import push
from pusher.report import Report
from pusher.sources.due import Tick
from pusher.store import DirectoryStore, Keys, Object, Store, StoreError
from pusher.warm import Outside, Warm
from pusher.wire import v1
from pusher.wire.unpacking import unpack
from sandbox.amp import Limits, Receiver
from sandbox.api import Api
from sandbox.server import Answer, Fault, Request
from tests.delivery.rig import ENVIRONMENT, Clock, no_session
from tests.test_push import config_text, endpoint, job

NAMES = ("amp", "strict")
FAULTS = {
    "400": Fault.status(400, b"no"), "403": Fault.status(403), "404": Fault.status(404), "429": Fault.status(429),
    "500": Fault.status(500), "later": Fault.status(503, headers={"Retry-After": "99"}), "reset": Fault.reset(),
    "reset early": Fault.reset(before_body=True), "lost": Fault.lost_answer(), "garbage": Fault.garbage(),
    "hang": Fault.hang(), "half": Fault.half_answer(),
}  # fmt: skip
EXAMPLES = 60
_RUNS_TO_DRAIN = 12
Key = tuple[str, int]  # the id of a record, and its time


class FlakyStore:
    """A store of which some operations fail."""

    def __init__(self, store: Store, failing: set[str]) -> None:
        self._store, self._failing = store, failing

    @property
    def place(self) -> str:
        return self._store.place

    def _check(self, operation: str) -> None:
        if operation in self._failing:
            raise StoreError(f"{operation} fails")

    def get(self, key: str, deadline: float, etag: str = "") -> Object | None:
        self._check("get")
        return self._store.get(key, deadline, etag)

    def put(self, key: str, content: bytes, deadline: float, expected: str | None = None) -> str:
        self._check("put")
        return self._store.put(key, content, deadline, expected)

    def list(self, prefix: str, deadline: float, most: int = 1000) -> Keys:
        self._check("list")
        return self._store.list(prefix, deadline, most)

    def folders(self, prefix: str, deadline: float) -> Keys:
        self._check("list")
        return self._store.folders(prefix, deadline)

    def delete(self, key: str, deadline: float, expected: str = "") -> bool:
        self._check("delete")
        return self._store.delete(key, deadline, expected)


class FlakyOutside(Outside):
    """An outside whose store fails as told."""

    failing: set[str]

    def store(self, location: str) -> Store:
        return FlakyStore(super().store(location), self.failing)


class Machine(RuleBasedStateMachine):
    """Two environments of one function over one spool, and two receivers: one as AMP, one as a strict Prometheus."""

    def __init__(self) -> None:
        super().__init__()
        self.clock = Clock(really_sleeps=True)
        self.clock.ahead = -86_400.0
        self.folder = tempfile.TemporaryDirectory()
        self.api = Api()
        self.receivers = {
            "amp": Receiver(now=self.clock.time),
            "strict": Receiver(now=self.clock.time, keep_valid=False, limits=Limits(out_of_order_seconds=0)),
        }
        self.produced: set[Key] = set()
        self.named = dict.fromkeys(NAMES, 0)
        self.reports: list[Report] = []
        self.failing: set[str] = set()
        self.records: list[dict[str, Any]] = []
        self.has_overlapped = False
        self.lock = threading.Lock()

    @initialize(mode=st.sampled_from(["on_failure", "always"]), batch=st.sampled_from(["1", "2", "100"]))
    def begin(self, mode: str, batch: str) -> None:
        url = self.api.serve("/records", self._answer)
        queue = {"max_samples_per_send": batch, "min_backoff": "5ms", "max_backoff": "10ms"}
        self.text = config_text(
            [job(url)],
            [endpoint(self.receivers[name], name, queue_config=queue, remote_timeout="150ms") for name in NAMES],
            spool={"location": str(Path(self.folder.name) / "spool"), "mode": mode},
        )
        self.outside = FlakyOutside(ENVIRONMENT, self.clock.now_ms, no_session, self.clock.sleep)
        self.outside.failing = self.failing
        self.warm = [self._environment(), self._environment()]

    def _environment(self) -> Warm:
        return Warm(parse_config(self.text, "config.yaml", ENVIRONMENT), self.outside, heals=True)

    def _answer(self, request: Request) -> Answer:
        self.produced |= {(record["id"], record["at"]) for record in self.records}
        return Answer.json(self.records)

    # what happens

    @rule(
        which=st.integers(0, 1),
        ids=st.sets(st.sampled_from("abc"), min_size=1),
        points=st.integers(1, 3),
        repeats=st.booleans(),
    )
    def push(self, which: int, ids: set[str], points: int, repeats: bool) -> None:
        if not repeats or not self.records:
            at = self.clock.now_ms()
            self.records = [
                {"id": name, "value": at % 1000 + n, "at": at - 1000 * n} for name in sorted(ids) for n in range(points)
            ]
        self._push(which)
        self.clock.ahead += 60

    @rule()
    def push_both_at_once(self) -> None:
        """An at-least-once schedule: two environments, the same moment."""
        at = self.clock.now_ms()
        self.records = [{"id": "a", "value": at % 1000, "at": at}]
        self.has_overlapped = True
        threads = [threading.Thread(target=self._push, args=(which,)) for which in (0, 1)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        self.clock.ahead += 60

    def _push(self, which: int, seconds: float = 0.4) -> None:
        warm = self.warm[which]
        tick = Tick(self.clock.now_ms(), None, 60_000, frozenset(warm.config.job_names()))
        report = push(warm, tick, time.monotonic() + seconds)
        with self.lock:
            self.reports.append(report)
            for delivery in report.deliveries:
                tallies = (delivery.rejected, delivery.dropped, delivery.undelivered)
                self.named[delivery.endpoint] += sum(tally.total() for tally in tallies)

    @rule(name=st.sampled_from(NAMES), fault=st.sampled_from(sorted(FAULTS)), count=st.integers(0, 4))
    def break_receiver(self, name: str, fault: str, count: int) -> None:
        """For some requests, or until it is mended."""
        if count:
            self.receivers[name].script(*[FAULTS[fault]] * count)
        else:
            self.receivers[name].always(FAULTS[fault])

    @rule(name=st.sampled_from(NAMES))
    def mend_receiver(self, name: str) -> None:
        self.receivers[name].always(None)

    @rule(operation=st.sampled_from(["put", "get", "list", "delete"]))
    def break_store(self, operation: str) -> None:
        self.failing.add(operation)

    @rule()
    def mend_store(self) -> None:
        self.failing.clear()

    @rule(which=st.integers(0, 1))
    def cold_start(self, which: int) -> None:
        self.warm[which] = self._environment()

    @rule(minutes=st.sampled_from([1, 7, 70]))
    def pause(self, minutes: int) -> None:
        self.clock.ahead += 60 * minutes

    # what must hold

    @invariant()
    def the_books_balance(self) -> None:
        for report in self.reports:
            for delivery in report.deliveries:
                assert delivery.balances, report.as_dict()
        self.reports.clear()

    @invariant()
    def every_series_is_in_order(self) -> None:
        if self.has_overlapped:  # a receiver with a window takes what overtakes each other
            return
        for receiver in self.receivers.values():
            for points in receiver.samples.values():
                stamps = [stamp for stamp, _ in points]
                assert stamps == sorted(set(stamps))

    @invariant()
    def nothing_is_missing_that_no_book_names(self) -> None:
        for name, receiver in self.receivers.items():
            stored = {
                (dict(labels)["id"], stamp)
                for labels, points in receiver.series("requests_total").items()
                for stamp, _ in points
            }
            assert stored <= self.produced
            missing = self.produced - stored - self._kept(name)
            assert len(missing) <= self.named[name], (name, missing)

    def _kept(self, name: str) -> set[Key]:
        """What is in the spool, or dead."""
        store = DirectoryStore(Path(self.folder.name) / "spool")
        found: set[Key] = set()
        for part in ("spool", "dead"):
            for key in store.list(f"{part}/{name}/", 0.0):
                content = store.get(key, 0.0)
                assert content is not None
                for request in entries.decode(content.content).requests:
                    samples, _ = unpack(request)
                    for series, stamp in zip(samples.series, samples.timestamps_ms, strict=True):
                        labels = v1.labels_of(series.prefix)
                        if labels["__name__"] == "requests_total":
                            found.add((labels["id"], stamp))
        return found

    def teardown(self) -> None:
        try:
            if hasattr(self, "warm"):
                self._all_ends_well()
        finally:
            for server in (*self.receivers.values(), self.api):
                server.close()
            if hasattr(self, "outside"):
                self.outside.transport.close()
            self.folder.cleanup()

    def _all_ends_well(self) -> None:
        """Faults end, and a few runs later nothing waits."""
        self.failing.clear()
        for receiver in self.receivers.values():
            receiver.always(None)
        store = DirectoryStore(Path(self.folder.name) / "spool")
        for run in range(_RUNS_TO_DRAIN):  # the faults of the next requests are still to come
            self._push(run % 2, seconds=5.0)
            self.clock.ahead += 60
            if run and not store.list("spool/", 0.0):
                break
        self.the_books_balance()
        self.nothing_is_missing_that_no_book_names()
        assert store.list("spool/", 0.0) == []


Machine.TestCase.settings = settings(max_examples=EXAMPLES, stateful_step_count=25, deadline=None)
TestDelivery = Machine.TestCase
