"""The token bucket of `max_samples_per_second`: a second's worth at once, the rest spread, and never past the run."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lambda_remote_write.remote_write.rate_limit import RateLimiter

PLENTY = 1e9  # seconds that are left of a run


@pytest.mark.parametrize(
    ("rate", "asked", "waits"),
    [
        pytest.param(10, [(10, 0.0)], [0.0], id="a second's worth at once"),
        pytest.param(10, [(4, 0.0), (6, 0.0)], [0.0, 0.0], id="a second's worth in two parts"),
        pytest.param(10, [(10, 0.0), (5, 0.0)], [0.0, 0.5], id="then what comes is spread"),
        pytest.param(10, [(10, 0.0), (5, 0.5)], [0.0, 0.0], id="time refills it"),
        pytest.param(10, [(10, 0.0), (10, 100.0), (1, 100.0)], [0.0, 0.0, 0.1], id="it holds a second's worth at most"),
        pytest.param(10, [(50, 0.0), (10, 0.0)], [0.0, 5.0], id="more than the rate goes and delays the next"),
        pytest.param(10, [(10, 0.0), (50, 0.0)], [0.0, 1.0], id="more than the rate waits for a full bucket"),
        pytest.param(10, [(50, 0.0), (1, 5.0)], [0.0, 0.0], id="the debt is paid by time"),
        pytest.param(10, [(10, 0.0), (5, 0.0), (5, 0.0)], [0.0, 0.5, 1.0], id="who asks at once goes one by one"),
        pytest.param(1, [(1, 0.0), (1, 0.25)], [0.0, 0.75], id="one a second"),
        pytest.param(0, [(10**9, 0.0), (10**9, 0.0)], [0.0, 0.0], id="0 is no limit"),
        pytest.param(10, [(50, 0.0), (0, 0.0)], [0.0, 0.0], id="metadata has no samples and never waits"),
        pytest.param(10, [(10, 7.5), (5, 7.5)], [0.0, 0.5], id="the clock may begin anywhere"),
    ],
)
def test_how_long_a_request_waits(rate: int, asked: list[tuple[int, float]], waits: list[float]) -> None:
    """A request waits until the bucket has what it takes, or is full."""
    rate_limiter = RateLimiter(rate)
    assert [rate_limiter.wait_seconds(samples, now, PLENTY) for samples, now in asked] == pytest.approx(waits)


@pytest.mark.parametrize("refused", [1, 2, 7])
def test_a_wait_beyond_what_is_left_takes_nothing(refused: int) -> None:
    """However often the run is too short for a request, the next one waits no longer for that."""
    rate_limiter = RateLimiter(10)
    rate_limiter.wait_seconds(50, 0.0, PLENTY)
    assert [rate_limiter.wait_seconds(10, 0.0, 3.0) for _ in range(refused)] == [None] * refused
    assert rate_limiter.wait_seconds(10, 0.0, PLENTY) == pytest.approx(5.0)


@pytest.mark.parametrize("rate", [1, 10, 1_000])
def test_a_wait_within_what_is_left_is_granted(rate: int) -> None:
    """Only a wait that is longer than what is left of the run is refused."""
    rate_limiter = RateLimiter(rate)
    rate_limiter.wait_seconds(2 * rate, 0.0, PLENTY)
    assert rate_limiter.wait_seconds(rate, 0.0, 2.01) == pytest.approx(2.0)


asks = st.tuples(st.integers(0, 200), st.floats(0, 5), st.one_of(st.floats(0.01, 4), st.just(PLENTY)))


@given(st.integers(1, 50), st.lists(asks, max_size=30))
def test_no_window_lets_more_through(rate: int, requests: list[tuple[int, float, float]]) -> None:
    """In any window of t seconds at most rate * (t + 1) samples go, and one request; the refused count for nothing."""
    rate_limiter, now, sent = RateLimiter(rate), 0.0, list[tuple[float, int]]()
    for samples, pause, left in requests:
        wait = rate_limiter.wait_seconds(samples, now, left)
        if wait is not None:
            assert 0 <= wait <= left
            now += wait
            sent.append((now, samples))
        now += pause
    largest = max((samples for _, samples in sent), default=0)
    for first, (start, _) in enumerate(sent):
        total = 0
        for stop, samples in sent[first:]:
            total += samples
            assert total <= rate * (stop - start + 1) + largest + 1e-6


@given(st.integers(1, 50), st.lists(st.integers(1, 100), min_size=1, max_size=20))
def test_who_asks_at_the_same_moment_is_spread_all_the_same(rate: int, requests: list[int]) -> None:
    """Senders side by side that ask before any of them has waited get turns one after another."""
    rate_limiter = RateLimiter(rate)
    waits = [rate_limiter.wait_seconds(samples, 0.0, PLENTY) for samples in requests]
    gone = 0
    for before, wait in zip([0, *requests], waits, strict=False):
        gone += before
        assert wait is not None
        assert gone <= rate * (wait + 1) + 1e-6


def test_threads_share_one_bucket() -> None:
    """Eight threads that ask for a second's worth each wait 0 to 7 seconds, each another one."""
    rate_limiter = RateLimiter(10)
    with ThreadPoolExecutor(8) as pool:
        waits = list(pool.map(lambda _: rate_limiter.wait_seconds(10, 0.0, PLENTY), range(8)))
    assert sorted(wait for wait in waits if wait is not None) == pytest.approx(list(range(8)))
