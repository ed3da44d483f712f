"""Bytes to outcome over real sockets: for every way a receiver can answer, the right counts, a message to act on, and
nothing else lost."""

from __future__ import annotations

import email.utils
import re
import time
from collections.abc import Iterator
from typing import Any

import pytest

from lambda_remote_write.config.yaml_reader import ConfigError
from lambda_remote_write.model.delivery import Delivery
from sandbox.amp import Authorization, Limits, Received, Receiver, SigV4
from sandbox.api import Api
from sandbox.server import Answer, Fault
from tests.rig import made
from tests.rig.delivery import KEYS, QUICK, Clock, HastyOnce, Rig, accounting, endpoint_of, in_order, rig, unlike
from tests.rig.made import noise
from tests.rig.tables import table

SAID = b"user=123_ws-sandbox: err: something is wrong\n"


@pytest.fixture
def clock() -> Clock:
    return Clock(stands=True)


@pytest.fixture
def amp(clock: Clock) -> Iterator[Receiver]:
    with Receiver(now=clock.time) as receiver:
        yield receiver


@pytest.fixture
def one(amp: Receiver, clock: Clock) -> Iterator[Rig]:
    with rig(amp.url, clock=clock) as made_rig:
        yield made_rig


@pytest.fixture
def hasty(amp: Receiver, clock: Clock) -> Iterator[Rig]:
    with rig(amp.url, clock=clock, transport=HastyOnce(amp)) as made_rig:
        yield made_rig


def message(delivery: Delivery) -> str:
    (detail,) = [*delivery.rejected.first_examples.values(), *delivery.undelivered.first_examples.values()]
    return detail


# --- One bad answer, then good ones -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "fault",
    [
        pytest.param(Fault.status(200), id="200"),
        pytest.param(Fault.status(200, b'{"status":"ok"}'), id="200 with a body"),
        pytest.param(Fault.status(202), id="202"),
        pytest.param(Fault.status(299), id="299"),
        pytest.param(Fault.half_answer(), id="half an answer, its status whole"),
        pytest.param(Fault.dead_keep_alive(), id="dead keep-alive"),
    ],
)
def test_success_is_any_2xx_and_takes_one_attempt_each(amp: Receiver, one: Rig, fault: Fault) -> None:
    """Remote write 1.0: a 2xx is success; the sender MUST NOT retry it and MUST ignore the body."""
    amp.script(fault)
    delivery = one.deliver(one.points())
    assert accounting(delivery) == (6, {}, {}, {})
    assert (delivery.attempts, delivery.requests) == (3, 3)
    assert one.clock.slept == []
    assert in_order(amp)


@pytest.mark.parametrize(
    ("fault", "wait"),
    [
        pytest.param(Fault.status(408), 0.01, id="408"),
        pytest.param(Fault.status(429), 0.01, id="429"),
        pytest.param(Fault.status(429, headers={"Retry-After": "7"}), 7, id="429 with seconds"),
        pytest.param(Fault.status(500), 0.01, id="500"),
        pytest.param(Fault.status(503, headers={"Retry-After": "3"}), 3, id="503 with seconds"),
        pytest.param(Fault.status(599), 0.01, id="599"),
        pytest.param(Fault.garbage(), 0.01, id="garbage"),
        pytest.param(Fault.garbage(b""), 0.01, id="an answer of no bytes"),
        pytest.param(Fault.reset(), 0.01, id="reset after the body was read"),
        pytest.param(Fault.reset(before_body=True), 0.01, id="reset before the body was read"),
        pytest.param(Fault.lost_answer(), 0.01, id="lost answer"),
    ],
)
def test_trouble_is_retried_until_it_is_over(amp: Receiver, one: Rig, fault: Fault, wait: float) -> None:
    """Remote write 1.0: 5xx MUST be retried with backoff, 429 MAY be; so are 408 and no answer. Nothing is lost."""
    amp.script(fault)
    assert_retried_once(amp, one, wait)


@pytest.mark.parametrize("fault", [Fault.hang(), Fault.drip(0.1)], ids=["hang", "an answer a byte at a time"])
def test_an_answer_that_takes_too_long_is_retried(amp: Receiver, hasty: Rig, fault: Fault) -> None:
    amp.script(fault)
    assert_retried_once(amp, hasty, 0.01)


def assert_retried_once(amp: Receiver, one: Rig, wait: float) -> None:
    delivery = one.deliver(one.points())
    assert accounting(delivery) == (6, {}, {}, {})
    assert (delivery.attempts, delivery.requests) == (4, 3)
    assert one.clock.slept == [pytest.approx(wait, rel=0.11)]
    assert in_order(amp)
    assert {len(points) for points in amp.samples.values()} == {3}


@pytest.mark.parametrize(("ahead", "wait"), [(20, 20), (-20, 0.01)], ids=["to come", "past"])
def test_a_date_to_come_back_at_is_kept(amp: Receiver, one: Rig, ahead: float, wait: float) -> None:
    date = email.utils.formatdate(one.clock.time() + ahead, usegmt=True)
    amp.script(Fault.status(429, headers={"Retry-After": date}))
    assert accounting(one.deliver(one.points())) == (6, {}, {}, {})
    assert one.clock.slept == [pytest.approx(wait, abs=0.002 if wait < 1 else 1.1)]  # a date has whole seconds


@pytest.mark.parametrize("status", [400, 405, 413, 415, 422, 451], ids=str)
def test_a_refusal_for_good_costs_its_own_request_only(amp: Receiver, one: Rig, status: int) -> None:
    """Remote write 1.0: other 4xx MUST NOT be retried. The receiver names one offender, so all of it is "up to"."""
    amp.script(Fault.status(status, SAID))
    delivery = one.deliver(one.points())
    assert accounting(delivery) == (4, {f"http_{status}": 2}, {}, {})
    assert (delivery.attempts, delivery.requests) == (3, 2)
    assert message(delivery).startswith(f"up to 2 samples: {status}: ")
    assert "something is wrong" in message(delivery)
    assert {len(points) for points in amp.samples.values()} == {2}


@pytest.mark.parametrize("status", [301, 304, 401, 403, 404], ids=str)
def test_what_a_person_must_mend_stops_the_run_and_keeps_the_data(amp: Receiver, one: Rig, status: int) -> None:
    amp.always(Fault.status(status, SAID))
    delivery = one.deliver(one.points())
    assert accounting(delivery) == (0, {}, {}, {f"http_{status}": 6})
    assert delivery.attempts == (2 if status == 403 else 1)
    assert message(delivery).startswith(f"{status}: ")
    assert ("something is wrong" in message(delivery)) == (status != 304)


def test_what_was_accepted_before_the_stop_stays_accepted(amp: Receiver, one: Rig) -> None:
    amp.script(None)
    amp.always(Fault.status(404))
    assert accounting(one.deliver(one.points())) == (2, {}, {}, {"http_404": 4})


def test_202_is_accepted_with_a_warning(amp: Receiver, one: Rig) -> None:
    """A receiver with replica election answers so for samples that it drops."""
    amp.always(Fault.status(202))
    (warning,) = one.deliver(one.points()).warnings
    assert "202" in warning
    assert "replica" in warning


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308], ids=str)
def test_a_redirect_is_never_followed(amp: Receiver, one: Rig, status: int) -> None:
    with Receiver(now=one.clock.time) as elsewhere:
        amp.always(Fault.status(status, headers={"Location": elsewhere.url}))
        delivery = one.deliver(one.points())
        assert elsewhere.connections == 0
    assert "put the final address into url" in message(delivery)


# --- Bad answers only -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fault", "reason", "words"),
    [
        pytest.param(Fault.status(408), "http_408", ["408", "gave up waiting"], id="408"),
        pytest.param(Fault.status(429, SAID), "http_429", ["throttles", "something is wrong"], id="429"),
        pytest.param(Fault.status(500, SAID), "http_500", ["500", "trouble", "something is wrong"], id="500"),
        pytest.param(Fault.status(503), "http_503", ["503", "trouble"], id="503"),
        pytest.param(Fault.garbage(), "unavailable", ["127.0.0.1", "not a valid HTTP answer"], id="garbage"),
        pytest.param(Fault.reset(), "unavailable", ["127.0.0.1", "broke", "waiting for the answer"], id="reset"),
        pytest.param(Fault.reset(before_body=True), "unavailable", ["127.0.0.1", "broke"], id="reset before the body"),
    ],
)
def test_trouble_without_end_is_undelivered_when_the_time_is_up(
    amp: Receiver, one: Rig, fault: Fault, reason: str, words: list[str]
) -> None:
    amp.always(fault)
    delivery = one.deliver(one.points(), seconds=20)
    assert accounting(delivery) == (0, {}, {}, {reason: 6})
    assert delivery.attempts >= 2
    assert [word for word in words if word not in message(delivery)] == []
    assert sum(one.clock.slept) < 20


def test_answers_that_never_come_are_undelivered_when_the_time_is_up(amp: Receiver, one: Rig) -> None:
    """Each attempt waits for the rest of the time, which is short and stands still meanwhile."""
    amp.always(Fault.hang())
    delivery = one.deliver(one.points(), seconds=0.1)
    assert accounting(delivery) == (0, {}, {}, {"unavailable": 6})
    assert delivery.attempts == 4
    words = ("127.0.0.1", "timed out", "waiting for the answer")
    assert [word for word in words if word not in message(delivery)] == []
    assert sum(one.clock.slept) < 0.1


@table(
    "url, words",
    [
        ("refused", "http://127.0.0.1:1/api/v1/remote_write", ["127.0.0.1", "no connection", "refused"]),
        ("no such name", "http://receiver.invalid/api/v1/remote_write", ["receiver.invalid", "does not resolve"]),
    ],
)
def test_a_receiver_that_cannot_be_reached(clock: Clock, url: str, words: list[str]) -> None:
    with rig(url, clock=clock) as made_rig:
        delivery = made_rig.deliver(made_rig.points(), seconds=5)
    assert accounting(delivery) == (0, {}, {}, {"unavailable": 6})
    assert [word for word in words if word not in message(delivery)] == []


@pytest.mark.parametrize(
    "header", ["86400", "9" * 30, "Fri, 31 Dec 9999 23:59:59 GMT"], ids=["a day", "absurd", "a late date"]
)
def test_an_answer_that_asks_for_more_time_than_there_is_ends_the_run_at_once(
    amp: Receiver, one: Rig, header: str
) -> None:
    amp.always(Fault.status(429, SAID, {"Retry-After": header}))
    delivery = one.deliver(one.points())
    assert accounting(delivery) == (0, {}, {}, {"http_429": 6})
    assert (delivery.attempts, one.clock.slept) == (1, [])


@pytest.mark.parametrize(
    "fault",
    [
        pytest.param(Fault.hang(), id="hang"),
        pytest.param(Fault.drip(0.2), id="drip"),
        pytest.param(Fault.status(503), id="503"),
        pytest.param(Fault.hang_mid_answer(), id="hang in the body"),
        pytest.param(Fault.status(503, delay_seconds=0.3), id="slow 503"),
    ],
)
def test_the_deadline_is_kept(fault: Fault) -> None:
    """In real time: neither an answer that does not end nor the backoff reaches beyond it."""
    with (
        Receiver(limits=Limits(max_age_seconds=0.001)) as amp,
        rig(amp.url, clock=Clock(really_sleeps=True), remote_timeout="30s") as made_rig,
    ):
        amp.always(fault)
        started = time.monotonic()
        made_rig.deliver(made_rig.points(times=10), seconds=0.4)
        assert time.monotonic() - started < 8


def test_without_time_nothing_is_sent(amp: Receiver, one: Rig) -> None:
    delivery = one.deliver(one.points(), seconds=0)
    assert accounting(delivery) == (0, {}, {}, {"deadline": 6})
    assert (delivery.attempts, amp.requests) == (0, [])
    assert "time was up" in message(delivery)


def test_trouble_that_was_overcome_is_not_blamed_for_the_deadline(clock: Clock) -> None:
    """What stops the run is named, not what went wrong before and was mended."""

    def time_passes(record: Received) -> None:
        clock.ahead += 5

    with Receiver(now=clock.time, on_request=time_passes) as amp, rig(amp.url, clock=clock) as made_rig:
        amp.script(Fault.status(503))
        delivery = made_rig.deliver(made_rig.points(), seconds=8)
    assert accounting(delivery) == (2, {}, {}, {"deadline": 4})


# --- Attempts ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("failures", [1, 3, 6], ids=str)
def test_it_recovers_after_so_many_failures(amp: Receiver, one: Rig, failures: int) -> None:
    amp.script(*[Fault.status(500)] * failures)
    delivery = one.deliver(one.points())
    assert accounting(delivery) == (6, {}, {}, {})
    assert delivery.attempts == 3 + failures
    assert delivery.bytes_sent == sum(len(record.body) for record in amp.requests)
    assert one.clock.slept == [pytest.approx(0.01 * 2**n, rel=0.11) for n in range(failures)]


def test_the_backoff_starts_anew_for_the_next_request_and_never_exceeds_the_maximum(
    amp: Receiver, clock: Clock
) -> None:
    amp.script(*[Fault.status(500)] * 6, None, Fault.status(500))
    with rig(amp.url, clock=clock, queue_config=QUICK | {"min_backoff": "1s", "max_backoff": "4s"}) as made_rig:
        assert accounting(made_rig.deliver(made_rig.points())) == (6, {}, {}, {})
    assert clock.slept == [pytest.approx(wait, rel=0.11) for wait in (1, 2, 4, 4, 4, 4, 1)]


def test_retries_are_numbered_from_the_first_retry_on(amp: Receiver, one: Rig) -> None:
    amp.script(Fault.status(500), Fault.status(503))
    delivery = one.deliver(one.points(times=2))
    assert [record.headers["Retry-Attempt"] for record in amp.requests] == [None, "1", "2", None]
    assert (delivery.requests, delivery.attempts, delivery.retries) == (2, 4, 2)


def test_every_attempt_sends_the_same_bytes_under_a_new_signature(amp: Receiver, clock: Clock) -> None:
    amp.script(Fault.status(500), Fault.status(500))
    with rig(amp.url, clock=clock, queue_config=QUICK | {"min_backoff": "1100ms"}) as made_rig:
        made_rig.deliver(made_rig.points(times=1))
    assert len({record.body for record in amp.requests}) == 1
    assert len({record.headers["X-Amz-Date"] for record in amp.requests}) == 3
    assert len({record.headers["Authorization"] for record in amp.requests}) == 3


def test_retries_that_outlive_the_signatures_five_minutes_are_still_taken(amp: Receiver, one: Rig) -> None:
    amp.script(Fault.status(503, headers={"Retry-After": "400"}))
    assert accounting(one.deliver(one.points(), seconds=900)) == (6, {}, {}, {})


def test_429_is_refused_for_good_when_the_config_says_so(amp: Receiver, clock: Clock) -> None:
    amp.script(Fault.status(429, SAID))
    with rig(amp.url, clock=clock, queue_config=QUICK | {"retry_on_http_429": "false"}) as made_rig:
        delivery = made_rig.deliver(made_rig.points())
    assert accounting(delivery) == (4, {"http_429": 2}, {}, {})
    assert "throttles" in message(delivery)


def test_the_age_is_looked_at_before_each_attempt(amp: Receiver, clock: Clock) -> None:
    """What became too old while waiting is dropped by itself; the rest of its request goes on."""
    amp.script(Fault.status(503, headers={"Retry-After": "30"}))
    queue = {"sample_age_limit": "60s", "max_samples_per_send": "10", "min_backoff": "10ms"}
    with rig(amp.url, clock=clock, queue_config=queue) as made_rig:
        delivery = made_rig.deliver(made_rig.points(times=4, step_ms=10_000, age_ms=45_000))
    assert accounting(delivery) == (4, {}, {"too_old": 4}, {})
    assert delivery.attempts == 2
    assert {tuple(value for _, value in points) for points in amp.samples.values()} == {(3.0, 4.0)}


def test_a_request_that_became_too_old_altogether_is_not_sent_again(amp: Receiver, clock: Clock) -> None:
    amp.script(Fault.status(503, headers={"Retry-After": "30"}))
    with rig(amp.url, clock=clock, queue_config=QUICK | {"sample_age_limit": "60s"}) as made_rig:
        delivery = made_rig.deliver(made_rig.points(times=2, step_ms=30_000, age_ms=50_000))
    assert accounting(delivery) == (2, {}, {"too_old": 2}, {})
    assert delivery.attempts == 2
    assert "sample_age_limit" in delivery.dropped.first_examples["too_old"]


# --- Lost answers -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("faults", "reason"),
    [
        pytest.param([Fault.lost_answer(), Fault.status(400, SAID)], "maybe_stored", id="lost answer, then 400"),
        pytest.param(
            [Fault.lost_answer(), Fault.status(503), Fault.status(400, SAID)], "maybe_stored", id="lost, 503, 400"
        ),
        pytest.param([Fault.status(503), Fault.status(400, SAID)], "http_400", id="503, then 400"),
        pytest.param([Fault.lost_answer(), Fault.status(415, SAID)], "http_415", id="lost answer, then 415"),
    ],
)
def test_a_400_after_a_lost_answer_may_speak_of_samples_that_are_stored(
    amp: Receiver, one: Rig, faults: list[Fault], reason: str
) -> None:
    amp.script(*faults)
    delivery = one.deliver(one.points())
    assert accounting(delivery) == (4, {reason: 2}, {}, {})
    assert ("may have stored it" in message(delivery)) == (reason == "maybe_stored")
    assert "something is wrong" in message(delivery)


def test_a_400_after_an_answer_that_never_came_is_maybe_stored_too(amp: Receiver, hasty: Rig) -> None:
    amp.script(Fault.hang(), Fault.status(400, SAID))
    assert accounting(hasty.deliver(hasty.points())) == (4, {"maybe_stored": 2}, {}, {})


def test_a_400_to_what_a_dead_connection_sent_twice_is_maybe_stored_too(amp: Receiver, one: Rig) -> None:
    """The transport repeats a request whose kept connection broke: the receiver may have got it twice."""
    amp.script(None, Fault.lost_answer(), Fault.status(400, SAID))
    delivery = one.deliver(one.points())
    assert accounting(delivery) == (4, {"maybe_stored": 2}, {}, {})
    assert delivery.attempts == 3


def test_a_kept_connection_serves_the_next_request(amp: Receiver, one: Rig) -> None:
    one.deliver(one.points(times=5))
    assert amp.connections == 1


def test_a_connection_is_kept_when_a_success_has_a_body_in_chunks() -> None:
    """What the body says is of no interest; that it was read is."""
    with Api() as api:
        url = api.serve("/write", Answer(200, {"Content-Type": "text/plain"}, b"thank you", chunked=True))
        with rig(url, sigv4=None) as plain:
            delivery = plain.deliver(plain.points(times=5))
        assert delivery.attempts > 2
        assert not delivery.rejected.total()
        assert api.connections == 1


def test_connections_that_died_between_two_runs_cost_nothing(amp: Receiver, one: Rig) -> None:
    amp.script(Fault.dead_keep_alive())
    one.deliver(one.points(times=1))
    time.sleep(0.05)
    delivery = one.deliver(one.points(times=2, age_ms=5000))
    assert accounting(delivery) == (4, {}, {}, {})
    assert (delivery.attempts, one.clock.slept) == (2, [])


# --- Too large --------------------------------------------------------------------------------------------------------

BIG = {"max_samples_per_send": "1000", "min_backoff": "10ms"}


def test_a_413_on_a_large_body_splits_it_and_keeps_the_order(amp: Receiver, clock: Clock) -> None:
    amp.script(Fault.status(413))
    with rig(amp.url, clock=clock, queue_config=BIG) as made_rig:
        delivery = made_rig.deliver(unlike(60, clock))
    assert accounting(delivery) == (60, {}, {}, {})
    assert (delivery.attempts, delivery.requests) == (3, 2)
    sent = [made.WriteRequest(record.body, 0, 0) for record in amp.requests]
    whole, *halves = ([point[0]["n"] for point in made.points_in([one])] for one in sent)
    assert [*halves[0], *halves[1]] == whole


@table(
    "max_bytes, huge, count, expected",
    [
        ("all of it in smaller pieces", 150_000, 0, 200, (200, {}, {}, {})),
        ("one series that cannot be split costs itself only", 120_000, 200_000, 3, (3, {"http_413": 1}, {}, {})),
    ],
)
def test_a_receiver_with_a_smaller_limit(
    clock: Clock, max_bytes: int, huge: int, count: int, expected: tuple[int, dict[str, int], Any, Any]
) -> None:
    limits = Limits(max_body_bytes=max_bytes, max_labels_bytes=10**6)
    alone: list[made.Point] = [({"__name__": "m", "p": noise(huge)}, 1.0, clock.now_ms())] if huge else []
    with Receiver(now=clock.time, limits=limits) as amp, rig(amp.url, clock=clock, queue_config=BIG) as made_rig:
        assert accounting(made_rig.deliver([*alone, *unlike(count, clock)])) == expected
        assert amp.accepted == expected[0]


def test_a_413_on_a_small_body_is_not_about_its_size(amp: Receiver, one: Rig) -> None:
    amp.always(Fault.status(413))
    delivery = one.deliver(one.points())
    assert accounting(delivery) == (0, {"http_413": 6}, {}, {})
    assert delivery.attempts == 3
    assert "max_body_bytes" in message(delivery)


def test_413_for_ever_ends_and_counts_every_sample(amp: Receiver, clock: Clock) -> None:
    amp.always(Fault.status(413))
    with rig(amp.url, clock=clock, queue_config=BIG) as made_rig:
        delivery = made_rig.deliver(unlike(100, clock))
    assert accounting(delivery) == (0, {"http_413": 100}, {}, {})


# --- What the receiver says -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "detail",
    [
        pytest.param(b"x" * 1_000_000, id="a megabyte"),
        pytest.param(b"\xff" * 5000, id="no text"),
        pytest.param("é€😀".encode() * 500, id="cut inside a character"),
    ],
)
@pytest.mark.parametrize("chunked", [False, True], ids=["with a length", "chunked"])
def test_at_most_a_kilobyte_of_an_error_is_quoted(amp: Receiver, one: Rig, detail: bytes, chunked: bool) -> None:
    amp.always(Fault(instead=Answer(400, {}, detail, chunked=chunked), handled=False))
    quoted = re.search(r'it said: "(.*)"$', message(one.deliver(one.points(times=1))), re.DOTALL)
    assert quoted
    assert 1000 <= len(quoted[1].encode()) <= 1024


def test_a_large_error_does_not_cost_the_requests_after_it(amp: Receiver, one: Rig) -> None:
    amp.script(Fault.status(400, b"x" * 1_000_000))
    assert accounting(one.deliver(one.points())) == (4, {"http_400": 2}, {}, {})


def test_an_error_becomes_one_printable_line(amp: Receiver, one: Rig) -> None:
    amp.always(Fault.status(400, b'a\r\n{"level":"INFO"}\x1b[31m\x00b\xe2\x80\xa8c'))
    detail = message(one.deliver(one.points(times=1)))
    assert detail.isprintable()
    assert 'it said: "a {"level":"INFO"} [31m b c"' in detail


def test_an_error_whose_body_breaks_off_is_quoted_as_far_as_it_came(amp: Receiver, one: Rig) -> None:
    amp.always(Fault(instead=Answer(400, {}, b"too old sample" + b"." * 500), handled=False, sent=0.5, ending="reset"))
    assert accounting(one.deliver(one.points(times=1))) == (0, {"http_400": 2}, {}, {})


# --- Who may write ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("auth", "words"),
    [
        pytest.param(SigV4(region="eu-west-1"), ["sigv4.region", "valid region"], id="wrong region"),
        pytest.param(SigV4(secret_key="other"), ["403", "signature we calculated"], id="wrong secret"),
        pytest.param(SigV4(access_key="AKIDOTHER"), ["403", "security token"], id="wrong access key"),
        pytest.param(SigV4(expired=True), ["403", "expired"], id="expired"),
        pytest.param(SigV4(token="needed"), ["403", "security token"], id="no session token"),
    ],
)
def test_a_403_says_what_to_look_at(auth: SigV4, words: list[str]) -> None:
    with Receiver(auth=auth) as amp, rig(amp.url) as made_rig:
        delivery = made_rig.deliver(made_rig.points())
    assert accounting(delivery) == (0, {}, {}, {"http_403": 6})
    assert delivery.attempts == 2
    assert [word for word in words if word not in message(delivery)] == []
    assert KEYS.secret_key not in message(delivery)


@pytest.mark.parametrize("minutes", [10, -10], ids=["receiver ahead", "receiver behind"])
def test_a_clock_that_is_wrong_is_named(clock: Clock, minutes: int) -> None:
    with Receiver(now=lambda: clock.time() + 60 * minutes) as amp, rig(amp.url, clock=clock) as made_rig:
        delivery = made_rig.deliver(made_rig.points())
    assert accounting(delivery) == (0, {}, {}, {"http_403": 6})
    assert "the clock must be right" in message(delivery)
    assert ("Signature expired" if minutes > 0 else "Signature not yet current") in message(delivery)


def test_a_workspace_that_is_not_there_is_named(amp: Receiver, clock: Clock) -> None:
    with rig(amp.url.replace("ws-sandbox", "ws-other"), clock=clock) as made_rig:
        delivery = made_rig.deliver(made_rig.points())
    assert accounting(delivery) == (0, {}, {}, {"http_404": 6})
    assert delivery.attempts == 1
    assert "check the workspace id" in message(delivery)
    assert "Workspace not found" in message(delivery)


def test_other_receivers_take_basic_authentication(clock: Clock) -> None:
    auth = {"username": "me", "password": "secret"}
    with Receiver(auth=Authorization("Basic bWU6c2VjcmV0"), now=clock.time) as amp:
        with rig(amp.url, clock=clock, sigv4=None, basic_auth=auth) as good:
            assert accounting(good.deliver(good.points())) == (6, {}, {}, {})
        with rig(amp.url, clock=clock, sigv4=None, basic_auth=auth | {"password": "other"}) as bad:
            delivery = bad.deliver(bad.points(age_ms=5000))
    assert accounting(delivery) == (0, {}, {}, {"http_401": 6})
    assert delivery.attempts == 1
    assert "basic_auth" in message(delivery)


def test_a_secret_that_cannot_be_read_stops_the_run_and_is_named(amp: Receiver) -> None:
    auth = {"username": "me", "password_file": "/nowhere/password"}
    with rig(amp.url, sigv4=None, basic_auth=auth) as made_rig:
        delivery = made_rig.deliver(made_rig.points())
    assert accounting(delivery) == (0, {}, {}, {"misconfigured": 6})
    assert "/nowhere/password" in message(delivery)
    assert amp.requests == []


@pytest.mark.parametrize(
    "name",
    ["content-encoding", "Content-Type", "X-Prometheus-Remote-Write-Version", "USER-AGENT", "Authorization"],
    ids=lambda name: f"custom headers MUST NOT override {name}",
)
def test_reserved_headers(name: str) -> None:
    with pytest.raises(ConfigError):
        endpoint_of("http://127.0.0.1/", headers={name: "x"})


# --- Rules of the receiver, and an outage -----------------------------------------------------------------------------


def test_a_rule_of_the_receiver_costs_the_samples_it_names_and_leaves_the_others(clock: Clock) -> None:
    """Cortex keeps the valid rest of a refused request; the counts still say "up to" the whole of it."""
    with Receiver(now=clock.time, limits=Limits(out_of_order_seconds=0)) as amp, rig(amp.url, clock=clock) as made_rig:
        made_rig.deliver(made_rig.points(times=1, age_ms=5_000))
        points = made_rig.points(times=2, step_ms=8_000)
        delivery = made_rig.deliver(points)
    assert accounting(delivery) == (2, {"sample-out-of-order": 2}, {}, {})
    assert "out of order sample" in message(delivery)


def test_a_sample_that_grows_too_old_during_an_outage_is_counted_once(amp: Receiver, clock: Clock) -> None:
    """Its neighbour in the same request stays in hand, and the counts balance."""
    amp.always(Fault.status(503))
    with rig(amp.url, clock=clock, queue_config=QUICK | {"sample_age_limit": "10s"}) as made_rig:
        now_ms = clock.now_ms()
        points = [({"__name__": "old"}, 1.0, now_ms - 9_000), ({"__name__": "young"}, 2.0, now_ms)]
        delivery = made_rig.deliver(points, seconds=6.0)
    assert delivery.dropped.counts == {"too_old": 1}
    assert delivery.undelivered.total() == 1
