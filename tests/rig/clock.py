"""Clocks that a test moves, and a deadline that it does not reach."""

from __future__ import annotations

import time
from dataclasses import dataclass


def soon() -> float:
    """A deadline that no test should need: monotonic seconds."""
    return time.monotonic() + 10


@dataclass(slots=True)
class StandingClock:
    """A wall clock that moves only when a test moves it or sleeps on it. Milliseconds since the epoch."""

    ms: int

    def now_ms(self) -> int:
        return self.ms

    def time(self) -> float:
        return self.ms / 1000

    def sleep(self, seconds: float) -> None:
        self.ms += int(seconds * 1000)


class Clocks:
    """The wall clock and the monotonic one: they move together, until the wall clock is set."""

    def __init__(self, at: float = 1_800_000_000.0) -> None:
        self._at, self._monotonic, self._set_by = at, 1_000.0, 0.0

    def pass_by(self, seconds: float) -> None:
        self._monotonic += seconds

    def set_by(self, seconds: float) -> None:
        """The wall clock alone is moved."""
        self._set_by += seconds

    def monotonic(self) -> float:
        return self._monotonic

    def now_ms(self) -> int:
        return round((self._at + self._monotonic - 1_000.0 + self._set_by) * 1000)
