"""Waiting for an answer that several share: `exclusive`. tests/test_late_threads.py has the threads that hang."""

from __future__ import annotations

import threading
import time

import pytest

from lambda_remote_write.deadline import exclusive

LATE = TimeoutError("no answer within the time")


def test_an_answer_that_another_waits_for_is_waited_for_until_the_deadline() -> None:
    lock = threading.Lock()
    with lock, pytest.raises(TimeoutError, match="no answer within the time"), exclusive(lock, time.monotonic(), LATE):
        pytest.fail("two have the lock")


def test_the_next_has_its_turn_after_a_failure() -> None:
    lock = threading.Lock()
    with pytest.raises(ValueError, match="refused"), exclusive(lock, time.monotonic(), LATE):
        raise ValueError("refused")
    assert not lock.locked()
