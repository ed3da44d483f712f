"""The send queue: order, who may record outcomes, how many requests are sent concurrently; and pacing."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lambda_remote_write.config.schema import QueueConfig
from lambda_remote_write.model.delivery import Delivery, WriteRequest
from lambda_remote_write.remote_write.queue import QueueClosed, SendQueue
from lambda_remote_write.remote_write.send import connections
from sandbox.amp import Limits, Receiver
from sandbox.api import Api
from sandbox.server import Fault
from tests.rig import made
from tests.rig.delivery import Clock, in_order
from tests.rig.push import Source, config_text, endpoint, job, now_ms, run, warm_of


def send_queue(count: int) -> tuple[SendQueue, Delivery]:
    delivery = Delivery("amp")
    return SendQueue([WriteRequest(b"%d" % number, 1, 1) for number in range(count)], delivery), delivery


@pytest.mark.parametrize(
    ("requests", "disjoint", "keys", "expected"),
    [
        pytest.param(100, False, {}, 1, id="they share series"),
        pytest.param(1, True, {}, 1, id="one request"),
        pytest.param(4, True, {}, 1, id="few requests"),
        pytest.param(5, True, {}, 2, id="one more for every four"),
        pytest.param(100, True, {}, 4, id="four at most"),
        pytest.param(100, True, {"max_shards": 2}, 2, id="max_shards"),
        pytest.param(100, True, {"max_shards": 1}, 1, id="max_shards of one"),
        pytest.param(3, True, {"min_shards": 3}, 3, id="min_shards"),
        pytest.param(2, True, {"min_shards": 3}, 2, id="min_shards of few requests"),
        pytest.param(100, True, {"min_shards": 9}, 4, id="min_shards beyond four"),
    ],
)
def test_how_many_go_side_by_side(requests: int, disjoint: bool, keys: dict[str, int], expected: int) -> None:
    assert connections(made.endpoint(replace(QueueConfig(), **keys)), requests, disjoint) == expected


# --- Side by side, over sockets ---------------------------------------------------------------------------------------


def pushed(api: Api, amp: Receiver, records: Callable[[], Any], clock: Clock | None = None, **queue: str) -> Delivery:
    """One push of these records to an endpoint with this `queue_config`."""
    source = Source(api)
    source.records = records
    with warm_of(config_text([job(source.url)], [endpoint(amp, "amp", queue_config=queue)]), clock) as environment:
        return run(environment, seconds=20).deliveries[0]


def numbered(count: int, at: Callable[[], int] = now_ms) -> Callable[[], Any]:
    return lambda: [{"id": str(n), "value": n, "at": at()} for n in range(count)]


@pytest.mark.parametrize("shares", [False, True], ids=["no series twice", "series with several points"])
def test_only_requests_that_share_no_series_overtake_each_other(shares: bool, api: Api) -> None:
    together, most, lock = [0], [0], threading.Lock()
    with Receiver(limits=Limits(out_of_order_seconds=0)) as amp:
        points = 8 if shares else 1
        real = amp._server.respond

        def counting(request):  # type: ignore[no-untyped-def]
            with lock:
                together[0] += 1
                most[0] = max(most[0], together[0])
            time.sleep(0.03)
            try:
                return real(request)
            finally:
                with lock:
                    together[0] -= 1

        amp._server.respond = counting
        delivery = pushed(
            api,
            amp,
            lambda: [one | {"at": one["at"] - 1000 * age} for one in numbered(24 // points)() for age in range(points)],
            max_samples_per_send="2",
        )
        assert delivery.accepted == 29
        assert amp.refused == 0
        assert in_order(amp)
    assert most[0] == (1 if shares else 4)


def test_a_stop_of_one_stops_the_others_and_loses_nothing(api: Api, receiver: Receiver) -> None:
    receiver.script(None, None, None, Fault.status(404), Fault.status(404), Fault.status(404), Fault.status(404))
    delivery = pushed(api, receiver, numbered(40), max_samples_per_send="1", min_shards="4")
    assert delivery.accepted == receiver.accepted == len(receiver.samples)
    assert delivery.undelivered.total() == 45 - delivery.accepted >= 38
    assert len(receiver.requests) <= 7


# --- The rate ---------------------------------------------------------------------------------------------------------


def test_a_request_that_is_too_much_at_once_goes_in_pieces(api: Api) -> None:
    """AMP's token bucket refuses a request larger than what is in it: the same again would never get through."""
    clock = Clock()
    with Receiver(now=clock.time, limits=Limits(samples_per_second=4)) as amp:
        delivery = pushed(api, amp, numbered(20, clock.now_ms), clock, max_backoff="2s", min_backoff="1s")
        assert delivery.accepted == 25 == len(amp.samples)
        assert {record.status for record in amp.requests} == {200, 429}


def test_sending_is_paced(api: Api) -> None:
    clock = Clock()
    with Receiver(now=clock.time) as amp:
        queue = {"max_samples_per_second": "10", "max_samples_per_send": "5", "max_shards": "1"}
        delivery = pushed(api, amp, numbered(45, clock.now_ms), clock, **queue)
        assert delivery.accepted == 50
        assert clock.ahead > 3.5  # ten at once, forty at ten a second


def test_two_throttled_attempts_come_before_pieces(api: Api, receiver: Receiver) -> None:
    receiver.script(Fault.status(429), Fault.status(429))
    pushed(api, receiver, numbered(3))
    assert [record.sample_count for record in receiver.requests if record.sample_count] == [8, 8, 4, 4]


# --- The queue alone --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("taken", [0, 1, 3])
def test_what_was_never_sent_ran_out_of_time(taken: int) -> None:
    """A request without a result is left with the deadline as its reason, and a sentence about it."""
    queue, _ = send_queue(3)
    assert len(queue) == 3
    assert [queued and queued.pieces[0].body for queued in (queue.take() for _ in range(taken))] == [b"0", b"1", b"2"][
        :taken
    ]
    left = queue.close()
    assert [one.request.body for one in left] == [b"0", b"1", b"2"]
    assert {one.reason for one in left} == {"deadline"}
    assert all(one.detail for one in left)


def test_every_request_is_taken_once() -> None:
    """After the last one there is none, and threads that take at once get different ones."""
    queue, _ = send_queue(200)

    def take_all(_: int) -> list[bytes]:
        return [queued.pieces[0].body for queued in iter(queue.take, None)]

    with ThreadPoolExecutor(4) as pool:
        taken = [body for bodies in pool.map(take_all, range(4)) for body in bodies]
    assert sorted(taken, key=int) == [b"%d" % number for number in range(200)]
    assert queue.take() is None


def test_what_is_held_back_has_that_reason() -> None:
    """All of it comes back, in order, for the reason that was given."""
    queue, _ = send_queue(3)
    queue.hold_back("behind_backlog", "older samples go first")
    left = queue.close()
    assert [(one.request.body, one.reason, one.detail) for one in left] == [
        (body, "behind_backlog", "older samples go first") for body in (b"0", b"1", b"2")
    ]


def test_a_stop_leaves_what_is_under_way_its_own_reason() -> None:
    """Requests that others have taken keep theirs, the first stop counts, and nothing more is taken."""
    queue, _ = send_queue(4)
    first, second = queue.take(), queue.take()
    assert first is not None
    assert second is not None
    first.reason, second.reason, first.detail = "http_503", "http_429", "overloaded"
    queue.stop(first)
    queue.stop(second)
    assert queue.is_stopped
    assert queue.take() is None
    left = queue.close()
    assert [one.reason for one in left] == ["http_503", "http_429", "http_503", "http_503"]
    assert left[3].detail == first.detail


@pytest.mark.parametrize(
    ("is_in_flight", "is_maybe_stored", "expected"),
    [
        pytest.param(False, False, [False, False, False], id="nothing went out"),
        pytest.param(True, False, [True, False, False], id="the first piece is under way"),
        pytest.param(False, True, [True, False, False], id="an earlier attempt got no answer"),
    ],
)
def test_the_piece_in_flight_is_marked_as_maybe_stored(
    is_in_flight: bool, is_maybe_stored: bool, expected: list[bool]
) -> None:
    """Of a request in pieces only the first one can be under way."""
    queue, _ = send_queue(2)
    queued = queue.take()
    assert queued is not None
    queued.pieces.append(WriteRequest(b"0b", 1, 1))
    queued.in_flight = is_in_flight
    if is_maybe_stored:
        queued.mark_maybe_stored()
    left = queue.close()
    assert [one.request.body for one in left] == [b"0", b"0b", b"1"]
    assert [one.request.maybe_stored for one in left] == expected


def test_a_finished_request_is_not_left() -> None:
    """One that is under way for the last time and has nothing left is gone, without an error."""
    queue, _ = send_queue(1)
    queued = queue.take()
    assert queued is not None
    queued.pieces.clear()
    queued.in_flight = True
    assert queue.close() == []


def test_late_threads_do_not_change_the_accounting() -> None:
    """Closing waits for a thread that is recording; later ones get QueueClosed."""
    queue, delivery = send_queue(1)
    refused, started = list[int](), threading.Barrier(9)

    def record_many(_: int) -> None:
        started.wait()
        try:
            for _ in range(10_000):
                with queue.accounting() as accounting:
                    accounting.accepted += 1
        except QueueClosed:
            refused.append(1)

    with ThreadPoolExecutor(8) as pool:
        recording = pool.map(record_many, range(8))
        started.wait()
        time.sleep(0.01)
        queue.close()
        seen = delivery.accepted
    assert list(recording) == [None] * 8
    assert delivery.accepted == seen
    assert queue.take() is None


@given(st.integers(0, 300), st.booleans(), st.integers(1, 50), st.integers(1, 50))
def test_connections_keep_their_bounds(requests: int, disjoint: bool, least: int, most: int) -> None:
    """One where series are shared; never more than four, max_shards or requests; min_shards as far as these allow."""
    found = connections(made.endpoint(QueueConfig(min_shards=least, max_shards=most)), requests, disjoint)
    bound = max(min(4, most, requests), 1)
    assert 1 <= found <= bound
    if not disjoint:
        assert found == 1
    else:
        assert found >= min(least, bound)
