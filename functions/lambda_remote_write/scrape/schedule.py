"""Which jobs and targets are due at a tick of the schedule. Each has a grid on absolute time: its interval, and a
stable offset from its name, so that it keeps its slot across cold starts and not all jobs run at once. A job whose
interval is the tick or less runs on every tick.
"""

from __future__ import annotations

import time
from dataclasses import dataclass


def wall_clock_ms() -> int:
    return time.time_ns() // 1_000_000


@dataclass(frozen=True, slots=True)
class Tick:
    """One run of the schedule: its time, that of the run before (None: not known) and the interval, in milliseconds. If
    `jobs` is set, these jobs run, whatever their grid is."""

    scheduled_ms: int
    last_ms: int | None
    tick_ms: int
    jobs: frozenset[str] | None = None

    def takes(self, job_name: str, interval_ms: int, offset_ms: int) -> bool:
        """True when the grid has a point after the last tick and not after this one. After a cold start the last tick
        is assumed to be one interval ago."""
        if self.jobs is not None:
            return job_name in self.jobs
        if interval_ms <= self.tick_ms:
            return True
        last_ms = self.scheduled_ms - self.tick_ms if self.last_ms is None else self.last_ms
        return (self.scheduled_ms - offset_ms) // interval_ms > (last_ms - offset_ms) // interval_ms
