"""What is due: the schedule is the tick, each job (and each target) has its own grid on absolute time.

A job's grid is its `scrape_interval` plus a stable offset from its name, so that a job keeps its slot across cold
starts and jobs of equal interval do not all run at once. A job at or below the tick runs on every tick.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass


def offset_ms(job_name: str, interval_ms: int) -> int:
    digest = hashlib.md5(job_name.encode(), usedforsecurity=False).digest()
    return int.from_bytes(digest[-8:]) % interval_ms


@dataclass(frozen=True, slots=True)
class Tick:
    """One run of the schedule: its time and the one before, in milliseconds (None: not known), and the time between.

    `jobs` names the jobs that are wanted, whatever their grid says.
    """

    scheduled_ms: int
    last_ms: int | None
    tick_ms: int
    jobs: frozenset[str] | None = None

    def takes(self, job_name: str, interval_ms: int, offset_ms: int) -> bool:
        """True when the grid (interval and offset) has a point after the last tick, up to and with this one; after a
        cold start the tick before is assumed."""
        if self.jobs is not None:
            return job_name in self.jobs
        if interval_ms <= self.tick_ms:
            return True
        last_ms = self.scheduled_ms - self.tick_ms if self.last_ms is None else self.last_ms
        return (self.scheduled_ms - offset_ms) // interval_ms > (last_ms - offset_ms) // interval_ms
