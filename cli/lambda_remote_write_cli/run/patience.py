"""How long a sender goes on: for ever while the process runs, and for a while after it was asked to stop."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

NEVER = 1e9  # monotonic seconds; no process lives that long


class Patience:
    """The clock and the sleep of an endpoint's deliveries, whose deadline is NEVER. The clock runs as the monotonic one
    does. When an end is set, it jumps ahead, so that NEVER comes at that end."""

    def __init__(self, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._monotonic = monotonic
        self._ends_at: float | None = None
        self._changed = threading.Condition()

    def end_in(self, seconds: float) -> None:
        """No delivery goes on for longer than this from now. An earlier end stays."""
        with self._changed:
            ends_at = self._monotonic() + seconds
            self._ends_at = ends_at if self._ends_at is None else min(self._ends_at, ends_at)
            self._changed.notify_all()

    def give_up(self) -> None:
        """A delivery has come to nothing. While flushing, that is the end: the requests after it are not tried."""
        if self._ends_at is not None:
            self.end_in(0)

    def monotonic(self) -> float:
        now, ends_at = self._monotonic(), self._ends_at
        return now if ends_at is None else NEVER - (ends_at - now)

    @property
    def is_over(self) -> bool:
        return self.monotonic() >= NEVER

    def sleep(self, seconds: float) -> None:
        """Sleeps for so long, and not beyond the end. A backoff is not cut short by being told to stop: a receiver in
        trouble is not helped by a sender that flushes faster."""
        with self._changed:
            until = self._monotonic() + seconds
            while (left := self._left(until)) > 0:
                self._changed.wait(left)

    def _left(self, until: float) -> float:
        ends_at = until if self._ends_at is None else min(until, self._ends_at)
        return ends_at - self._monotonic()
