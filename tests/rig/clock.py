"""The clock of tests whose time stands still."""

from __future__ import annotations

from dataclasses import dataclass


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
