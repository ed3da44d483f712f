"""How long to wait before the next attempt, by attempt number, policy, clock and deadline. Independent of HTTP."""

from __future__ import annotations

import email.utils
import random
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC

_JITTER = 0.1
_MAX_RETRY_AFTER_SECONDS = 86_400.0  # a longer one counts as a day; no run lasts so long


@dataclass(frozen=True, slots=True)
class BackoffPolicy:
    """`queue_config`'s backoff: doubles from the minimum to the maximum, in seconds, ±10 %."""

    min_seconds: float
    max_seconds: float
    random: Callable[[], float] = random.random

    def of_one_request(self) -> BackoffPolicy:
        """A copy with one jitter for all waits, so that no wait is shorter than the one before."""
        jitter = self.random()
        return replace(self, random=lambda: jitter)

    def wait_seconds(self, attempt: int) -> float:
        """The wait after the failed attempt number `attempt` (the first is 1)."""
        base = min(self.max_seconds, self.min_seconds * 2.0 ** min(attempt - 1, 60))
        return base * (1 + _JITTER * (2 * self.random() - 1))


def retry_after_seconds(header: str | None, now_seconds: float) -> float | None:
    """`Retry-After` in either form (seconds, or an HTTP date) -> seconds from now; None when absent or unreadable."""
    if header is None:
        return None
    text = header.strip()
    if text.isascii() and text.isdigit():
        return min(float(text[:12]), _MAX_RETRY_AFTER_SECONDS)
    try:
        moment = email.utils.parsedate_to_datetime(text)
        if moment.tzinfo is None:  # HTTP dates are GMT
            moment = moment.replace(tzinfo=UTC)
        return min(max(moment.timestamp() - now_seconds, 0.0), _MAX_RETRY_AFTER_SECONDS)
    except (TypeError, ValueError, OverflowError):
        return None


def next_wait(policy: BackoffPolicy, attempt: int, retry_after: float | None, left_seconds: float) -> float | None:
    """Seconds to wait before the next attempt; None when the run ends before that.

    As in Prometheus, a `Retry-After` of zero (or of a past date) is ignored: the backoff applies.
    """
    wait = max(retry_after, policy.min_seconds) if retry_after else policy.wait_seconds(attempt)
    return wait if wait < left_seconds else None
