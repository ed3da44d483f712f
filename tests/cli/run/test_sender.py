"""The time that a sender gives its deliveries."""

from __future__ import annotations

import threading
import time

import pytest

from lambda_remote_write.remote_write.rate_limit import RateLimiter
from lambda_remote_write_cli.run.sender import NEVER, Patience
from tests.rig.clock import Clocks


def test_its_clock_runs_while_the_process_lives() -> None:
    """A rate limit refills by it: the clock must not stand still."""
    clocks = Clocks()
    patience, rate_limiter = Patience(clocks.monotonic), RateLimiter(10)
    assert rate_limiter.wait_seconds(10, patience.monotonic(), NEVER) == 0
    assert rate_limiter.wait_seconds(5, patience.monotonic(), NEVER) == pytest.approx(0.5)
    clocks.pass_by(100)
    assert rate_limiter.wait_seconds(10, patience.monotonic(), NEVER) == 0
    assert not patience.is_over


def test_an_end_that_is_set_comes() -> None:
    clocks = Clocks()
    patience = Patience(clocks.monotonic)
    patience.end_in(60)
    assert NEVER - patience.monotonic() == pytest.approx(60)
    clocks.pass_by(59)
    patience.end_in(60)  # told once more
    assert not patience.is_over
    clocks.pass_by(1)
    assert patience.is_over


def test_a_sleep_ends_with_it() -> None:
    patience = Patience()
    sleeper = threading.Thread(target=patience.sleep, args=(600,), daemon=True)
    sleeper.start()
    patience.end_in(0.05)
    sleeper.join(10)
    assert not sleeper.is_alive()


def test_a_backoff_is_as_long_while_flushing() -> None:
    patience = Patience()
    patience.end_in(60)
    started = time.monotonic()
    patience.sleep(0.3)
    assert time.monotonic() - started >= 0.3
