"""Which jobs are due: the schedule is the tick, each job has its own grid on absolute time.

A job's grid is its `scrape_interval` plus a stable offset from its name, so that a job keeps its slot across cold
starts and jobs of equal interval do not all run at once. A job at or below the tick runs on every tick.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable

from ..config.schema import JsonJob


def offset_ms(job_name: str, interval_ms: int) -> int:
    digest = hashlib.md5(job_name.encode(), usedforsecurity=False).digest()
    return int.from_bytes(digest[-8:]) % interval_ms


def is_due(job: JsonJob, scheduled_ms: int, last_tick_ms: int, tick_ms: int) -> bool:
    """True when the job's grid has a point after the last tick, up to and with the scheduled time."""
    if job.scrape_interval_ms <= tick_ms:
        return True
    offset = offset_ms(job.job_name, job.scrape_interval_ms)
    newest_slot = (scheduled_ms - offset) // job.scrape_interval_ms
    return newest_slot > (last_tick_ms - offset) // job.scrape_interval_ms


def due_jobs(jobs: Iterable[JsonJob], scheduled_ms: int, last_tick_ms: int | None, tick_ms: int) -> list[JsonJob]:
    """The due jobs in the order of the config; without a last tick (a cold start) the one before is assumed."""
    last_ms = scheduled_ms - tick_ms if last_tick_ms is None else last_tick_ms
    return [job for job in jobs if is_due(job, scheduled_ms, last_ms, tick_ms)]
