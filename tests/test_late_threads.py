"""A thread that hangs where no timeout reaches, and wakes up when the run is over: it changes nothing any more."""

from __future__ import annotations

import fcntl
import threading
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest

from lambda_remote_write.deadline import BoundedCall, Call, Calls, ConcurrencyLimiter, DeadlineExceeded, call_until
from lambda_remote_write.dependencies import Dependencies
from lambda_remote_write.environment import Environment
from lambda_remote_write.model.samples import NEVER_MS
from lambda_remote_write.push import push
from lambda_remote_write.scrape import collect
from lambda_remote_write.store import DirectoryStore, PunctualStore, Store, StoreError
from sandbox.amp import Receiver
from sandbox.api import Api
from sandbox.server import Answer, Fault
from tests.rig.delivery import ENVIRONMENT, no_session
from tests.rig.push import SYNTHETIC, config_text, endpoint, job, tick, warm_over
from tests.rig.scraping import Recorder, environment, job_at
from tests.rig.stores import MemoryStore, StoreInFront

pytestmark = pytest.mark.slow

SAMPLES = 8  # three records, and five that the job has anyway


class Hanging(StoreInFront):
    """A store of which one operation hangs until it is released, and is then done all the same; only for keys with
    `part` in them."""

    def __init__(self, inner: Store, operation: str, part: str) -> None:
        super().__init__(inner)
        self._operation, self._part = operation, part
        self.released, self.reached, self.done = threading.Event(), threading.Event(), threading.Event()

    def _do(self, operation: str, key: str, act: Callable[[], Any]) -> Any:
        if operation != self._operation or self._part not in key or self.released.is_set():
            return act()
        self.reached.set()
        self.released.wait(60)
        try:
            return act()
        finally:
            self.done.set()


class World(Dependencies):
    """The outside world with one store, which is punctual as all stores of `Dependencies` are."""

    def __init__(self, store: Store) -> None:
        super().__init__(ENVIRONMENT, session=no_session)
        self._given = PunctualStore(store)

    def store(self, location: str) -> Store:
        return self._given


def environment_over(store: Store, api: Api, amp: Receiver, mode: str) -> AbstractContextManager[Environment]:
    """An API that repeats its last records, one endpoint, and a spool in `store`."""
    at = int(time.time() * 1000)
    url = api.serve("/r", lambda _: Answer.json([{"id": str(n), "value": n, "at": at} for n in range(3)]))
    text = config_text([job(url)], [endpoint(amp, "amp")], spool={"location": "memory", "mode": mode})
    return warm_over(World(store), text)


def marks(environment: Environment) -> dict[bytes, int]:
    return {one.prefix: one.last_ms for one in environment.series.since(0) if one.last_ms != NEVER_MS}


@pytest.mark.parametrize(
    ("operation", "mode"),
    [
        pytest.param("put", "on_failure", id="write"),
        pytest.param("put", "always", id="write ahead"),
        pytest.param("list", "on_failure", id="listing"),
        pytest.param("delete", "always", id="removal"),
    ],
)
def test_a_spool_that_hangs_makes_one_book_of_a_run(operation: str, mode: str, api: Api, receiver: Receiver) -> None:
    store = Hanging(MemoryStore(), operation, "spool/")
    receiver.always(None if operation == "delete" else Fault.status(503))
    with environment_over(store, api, receiver, mode) as environment:
        try:
            report = push(environment, tick(environment), time.monotonic() + 1)
            assert report.balances
            before = report.as_dict(), marks(environment)
            assert environment.spool_state is not None
            facts, known = environment.state.facts.encoded(), deepcopy(environment.spool_state.known)
        finally:
            store.released.set()
        assert store.reached.is_set()
        assert store.done.wait(20)
        time.sleep(0.2)  # for what the thread would do now
        assert (report.as_dict(), marks(environment)) == before
        assert environment.state.facts.encoded() == facts
        assert environment.spool_state.known == known
        receiver.always(None)
        later = push(environment, tick(environment), time.monotonic() + 10)
        assert later.balances
        assert later.deliveries[0].undelivered.total() == 0
    assert len(receiver.samples) == SAMPLES


def test_a_write_that_hangs_is_undelivered_and_the_next_run_sends_the_record_again(
    api: Api, receiver: Receiver
) -> None:
    """Whether it arrives is unknown: the record counts as not sent."""
    store = Hanging(MemoryStore(), "put", "spool/")
    receiver.always(Fault.status(503))
    with environment_over(store, api, receiver, "on_failure") as environment:
        (delivery,) = push(environment, tick(environment), time.monotonic() + 1).deliveries
        assert delivery.undelivered.counts == {"spool_failed": delivery.collected}
        receiver.always(None)
        fresh = push(environment, tick(environment), time.monotonic() + 10).deliveries[0]
        assert fresh.accepted == SAMPLES  # the three records, although they have not moved, and five new ones
        store.released.set()
        assert store.done.wait(20)


@pytest.mark.slow
@pytest.mark.parametrize("operation", ["get", "put"])
def test_a_state_object_that_hangs_does_not_hold_up_a_run(operation: str, api: Api, receiver: Receiver) -> None:
    store = Hanging(MemoryStore(), operation, "state/")
    with environment_over(store, api, receiver, "on_failure") as environment:
        started = time.monotonic()
        report = push(environment, tick(environment), started + 8)
        assert time.monotonic() - started < 30
        store.released.set()
        assert report.deliveries[0].accepted == report.deliveries[0].collected
        assert any("the state object cannot be" in detail for detail in report.warnings)


@pytest.mark.parametrize("content_type", ["text/plain; version=0.0.4", "application/openmetrics-text; version=1.0.0"])
def test_a_page_that_is_read_too_late_shares_nothing_with_the_next_scrape(content_type: str) -> None:
    """What a target's lines were read as belongs to the run that waits for them."""
    page = Answer(200, {"Content-Type": content_type}, b"a 1\n# EOF\n")
    with Recorder(page) as target, environment(job_at(target.address)) as warm:
        warm.discover(time.monotonic() + 10)
        (source,), now_ms, fetcher = warm.sources(), warm.dependencies.now_ms, warm.fetcher
        first = collect.fetch(source, fetcher, now_ms, time.monotonic() + 10)
        assert not collect.to_scrape(source, first, 1, now_ms()).error
        late = collect.fetch(source, fetcher, now_ms, time.monotonic() + 10)
        given_up = collect.ScrapeResponse(now_ms(), time.monotonic(), fetcher.masked, error="late")
        assert collect.to_scrape(source, given_up, 2, now_ms()).error == "late"
        next_one = collect.fetch(source, fetcher, now_ms, time.monotonic() + 10)
        assert first.answer.cache is late.answer.cache
        assert next_one.answer.cache is not late.answer.cache
        scrape = collect.to_scrape(source, next_one, 3, now_ms())
        assert (scrape.error, len(scrape.samples)) == ("", 1 + SYNTHETIC)


# --- The pieces -------------------------------------------------------------------------------------------------------


def test_a_late_result_can_be_taken_later() -> None:
    released = threading.Event()
    late = Call(lambda: released.wait(20))
    with pytest.raises(DeadlineExceeded):
        late.result(time.monotonic() + 0.05)
    released.set()
    assert late.result(time.monotonic() + 20)


def test_an_error_is_raised_where_the_result_is_waited_for() -> None:
    with pytest.raises(ZeroDivisionError):
        call_until(lambda: 1 / 0, float("inf"))


def test_calls_side_by_side_give_their_results_as_they_come() -> None:
    released = threading.Event()
    functions = [lambda: released.wait(20), lambda: "first"]
    results = Calls([BoundedCall(one) for one in functions], max_threads=2).until(time.monotonic() + 20)
    assert next(results) == (1, "first")
    released.set()
    assert list(results) == [(0, True)]


def test_what_has_not_begun_by_the_deadline_never_begins() -> None:
    released, begun = threading.Event(), list[str]()

    def hang() -> None:
        begun.append("one")
        released.wait(20)

    calls = Calls([BoundedCall(hang), BoundedCall(hang)], max_threads=1)
    assert list(calls.until(time.monotonic() + 0.05)) == []
    released.set()
    time.sleep(0.1)  # for what the thread would do now
    assert begun == ["one"]


def test_of_one_key_no_more_calls_are_under_way_than_each_allows() -> None:
    """One that waits holds up only those behind it with the same key; one without a limit never waits, and counts."""
    limiter = ConcurrencyLimiter[str]()
    assert [limiter.admit(name, "h", 2) for name in ("a", "b", "c", "d")] == [["a"], ["b"], [], []]
    assert limiter.admit("other", "i", 1) == ["other"]
    assert limiter.admit("free", "h", 0) == ["free"]
    assert limiter.waiting() == {"c", "d"}
    assert [limiter.release("h"), limiter.release("h"), limiter.release("h")] == [[], ["c"], ["d"]]
    assert limiter.waiting() == set()


def test_limits_of_several_jobs_count_against_the_same_calls() -> None:
    """First come, first served: the smaller limit waits until there are as few, and the larger ones behind it too."""
    limiter = ConcurrencyLimiter[str]()
    for name in ("a", "b", "c"):
        limiter.admit(name, "h", 3)
    assert [limiter.admit("small", "h", 1), limiter.admit("large", "h", 3)] == [[], []]
    assert [limiter.release("h"), limiter.release("h"), limiter.release("h")] == [[], [], ["small", "large"]]


def test_a_call_that_waits_for_its_turn_takes_no_thread() -> None:
    """With two threads, and many calls of a slow key, another key's calls all end."""
    released, calls = threading.Event(), list[BoundedCall[object]]()
    calls += [BoundedCall(lambda: released.wait(20), "slow", 1) for _ in range(50)]
    calls += [BoundedCall(lambda: "well", "quick", 1) for _ in range(50)]
    both = Calls(calls, max_threads=2)
    results = both.until(time.monotonic() + 20)
    assert [next(results) for _ in range(50)] == [(index, "well") for index in range(50, 100)]
    assert both.waiting() == set(range(1, 50))
    released.set()
    assert len(list(results)) == 50


def test_what_waits_for_its_turn_at_the_deadline_never_begins() -> None:
    """Also when a call before it ends later."""
    released, begun = threading.Event(), list[str]()

    def hang() -> None:
        begun.append("one")
        released.wait(20)

    calls = Calls([BoundedCall(hang, "h", 1), BoundedCall(hang, "h", 1)], max_threads=8)
    assert list(calls.until(time.monotonic() + 1.5)) == []  # long enough for the first one to begin on any machine
    assert calls.waiting() == {1}
    released.set()
    time.sleep(0.1)  # for what the thread would do now
    assert begun == ["one"]


def test_a_folder_whose_lock_another_process_has_is_waited_for_until_the_deadline(tmp_path: Path) -> None:
    """And is not written after it."""
    store = DirectoryStore(tmp_path)
    store.put("a", b"1", time.monotonic() + 5)
    with (tmp_path / ".lock").open("ab") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        for act in (store.put, lambda key, _, until: store.delete(key, until)):
            with pytest.raises(StoreError, match=r"\.lock: another process"):
                act("a", b"2", time.monotonic() + 0.1)
    time.sleep(0.1)
    found = store.get("a", time.monotonic() + 5)
    assert found is not None
    assert found.content == b"1"
