"""How long to wait: doubling, capped, jittered, what the receiver asks, and never beyond the deadline."""

from __future__ import annotations

import email.utils

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lambda_remote_write.remote_write.backoff import BackoffPolicy, next_wait, retry_after_seconds

NOW = 1_716_480_000.0
MIDDLE = BackoffPolicy(0.03, 5.0, random=lambda: 0.5)


def test_backoff_doubles_from_the_minimum_and_is_capped_at_the_maximum() -> None:
    waits = [MIDDLE.wait_seconds(attempt) for attempt in range(1, 11)]
    assert waits == pytest.approx([0.03, 0.06, 0.12, 0.24, 0.48, 0.96, 1.92, 3.84, 5.0, 5.0])


@given(st.integers(1, 10**9), st.floats(0, 1, exclude_max=True))
def test_jitter_is_a_tenth_at_most_either_way(attempt: int, drawn: float) -> None:
    """However many attempts: capped before doubling, so nothing overflows."""
    wait = BackoffPolicy(0.03, 5.0, random=lambda: drawn).wait_seconds(attempt)
    assert wait == pytest.approx(MIDDLE.wait_seconds(attempt), rel=0.1000001)


def test_jitter_reaches_both_ends_and_is_there_by_default() -> None:
    ends = [BackoffPolicy(1.0, 5.0, random=lambda end=end: end).wait_seconds(1) for end in (0.0, 1.0)]
    assert ends == pytest.approx([0.9, 1.1])
    assert len({BackoffPolicy(1.0, 5.0).wait_seconds(1) for _ in range(10)}) > 1


def http_date(seconds_from_now: float) -> str:
    return email.utils.formatdate(NOW + seconds_from_now, usegmt=True)


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        pytest.param(None, None, id="absent"),
        pytest.param("7", 7.0, id="seconds"),
        pytest.param(" 7 ", 7.0, id="seconds between spaces"),
        pytest.param("0", 0.0, id="zero"),
        pytest.param("007", 7.0, id="leading zeros"),
        pytest.param(http_date(90), 90.0, id="date"),
        pytest.param(http_date(90).replace("GMT", "-0000"), 90.0, id="date without a zone"),
        pytest.param("Thu, 23 May 2024 18:01:30 +0200", 90.0, id="date of another zone"),
        pytest.param("Thursday, 23-May-24 16:01:30 GMT", 90.0, id="date of RFC 850"),
        pytest.param(http_date(-90), 0.0, id="past date"),
        pytest.param("-5", None, id="negative"),
        pytest.param("1.5", None, id="fraction"),
        pytest.param("", None, id="empty"),
        pytest.param("soon", None, id="garbage"),
        pytest.param("٣", None, id="digits of another script"),
        pytest.param("Thu, 99 May 2024 16:01:30 GMT", None, id="no such day"),
        pytest.param("Thu, 23 May 99999 16:01:30 GMT", None, id="no such year"),
    ],
)
def test_retry_after_in_both_forms(header: str | None, seconds: float | None) -> None:
    assert retry_after_seconds(header, NOW) == seconds


@pytest.mark.parametrize("header", ["9" * 12, "9" * 400, "Fri, 31 Dec 9999 23:59:59 GMT"], ids=["big", "huge", "late"])
def test_an_absurd_retry_after_lies_beyond_every_run(header: str) -> None:
    seconds = retry_after_seconds(header, NOW)
    assert seconds is not None
    assert seconds > 900
    assert next_wait(MIDDLE, 1, seconds, 900.0) is None


@given(st.one_of(st.text(), st.text(alphabet="0123456789 ,:-+GMTaeMonJ", max_size=40)))
def test_no_header_can_break_it(header: str) -> None:
    seconds = retry_after_seconds(header, NOW)
    assert seconds is None or seconds >= 0


@pytest.mark.parametrize(
    ("attempt", "retry_after", "left", "wait"),
    [
        pytest.param(1, None, 10.0, 0.03, id="backoff"),
        pytest.param(4, None, 10.0, 0.24, id="backoff of the fourth"),
        pytest.param(4, 3.0, 10.0, 3.0, id="retry-after instead of the backoff"),
        pytest.param(4, 0.0, 10.0, 0.24, id="retry-after zero says nothing: backoff"),
        pytest.param(9, 1.0, 10.0, 1.0, id="retry-after below the backoff"),
        pytest.param(1, 0.001, 10.0, 0.03, id="never below the minimum"),
        pytest.param(1, 11.0, 10.0, None, id="retry-after beyond the deadline"),
        pytest.param(9, None, 5.0, None, id="backoff up to the deadline leaves no time to ask"),
        pytest.param(1, None, 0.0, None, id="no time left"),
        pytest.param(1, None, -1.0, None, id="the deadline has passed"),
    ],
)
def test_the_next_wait_ends_before_the_deadline(
    attempt: int, retry_after: float | None, left: float, wait: float | None
) -> None:
    assert next_wait(MIDDLE, attempt, retry_after, left) == (None if wait is None else pytest.approx(wait))


@given(st.floats(0, 1), st.integers(1, 30))
def test_the_waits_of_one_request_never_shrink(first: float, attempt: int) -> None:
    """Its jitter is drawn once: senders drift apart all the same."""
    drawn = iter([first, *([0.0, 1.0] * 30)])
    policy = BackoffPolicy(0.03, 5.0, lambda: next(drawn)).of_one_request()
    waits = [policy.wait_seconds(one) for one in range(1, attempt + 1)]
    assert waits == sorted(waits)
    assert waits[0] == pytest.approx(0.03 * (0.9 + 0.2 * first))
