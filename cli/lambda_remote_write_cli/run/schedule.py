"""When each source is scraped, and what the wall clock does meanwhile."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass

from lambda_remote_write.config.scalars import print_duration
from lambda_remote_write.scrape.collect import Scraper

_AT_ONCE_MS = 60_000  # jobs with intervals up to this are scraped at the start, so that a person sees something
_STEP_MS = 1_000  # a smaller one is a clock that is being adjusted


@dataclass(slots=True)
class _Slot:
    interval_ms: int
    at: float  # monotonic seconds


class Schedule:
    """The next scrape of every source, by the monotonic clock: a wall clock that is set stops nothing. Only the first
    slot of a long interval is on the source's own grid of absolute time."""

    def __init__(self, now_ms: Callable[[], int], monotonic: Callable[[], float] = time.monotonic) -> None:
        self._now_ms, self._monotonic = now_ms, monotonic
        self._slots: dict[str, _Slot] = {}

    def due(self, sources: Iterable[Scraper], busy: Collection[str]) -> list[Scraper]:
        """The sources whose time has come. One that is still being scraped (`busy`, by key) misses this turn."""
        now, known = self._monotonic(), self._slots
        self._slots, due = {}, list[Scraper]()
        for source in sources:
            slot = known.get(source.key)
            if slot is None or slot.interval_ms != source.interval_ms:
                slot = _Slot(source.interval_ms, now + self._first_wait(source))
            self._slots[source.key] = slot
            if slot.at <= now:
                interval = source.interval_ms / 1000
                slot.at += interval * ((now - slot.at) // interval + 1)
                if source.key not in busy:
                    due.append(source)
        return due

    def wait_seconds(self) -> float | None:
        """Until the next slot; None when there is no source."""
        if not self._slots:
            return None
        return max(min(slot.at for slot in self._slots.values()) - self._monotonic(), 0.0)

    def again(self, key: str) -> None:
        """This source's answer was of no use: it is scraped again now."""
        if key in self._slots:
            self._slots[key].at = self._monotonic()

    def _first_wait(self, source: Scraper) -> float:
        interval_ms = source.interval_ms
        if interval_ms <= _AT_ONCE_MS:
            return 0.0
        return (interval_ms - (self._now_ms() - source.offset_ms) % interval_ms) / 1000


class ClockWatch:
    """Compares the wall clock with the monotonic one."""

    def __init__(self, now_ms: Callable[[], int], monotonic: Callable[[], float] = time.monotonic) -> None:
        self._now_ms, self._monotonic = now_ms, monotonic
        self._apart_ms = self._apart()

    def _apart(self) -> int:
        return self._now_ms() - int(self._monotonic() * 1000)

    def step(self) -> str:
        """What to say of a step since the last call; "" when there was none."""
        apart_ms = self._apart()
        step_ms, self._apart_ms = apart_ms - self._apart_ms, apart_ms
        if abs(step_ms) < _STEP_MS:
            return ""
        size = print_duration(abs(step_ms))
        if step_ms > 0:
            return f"the clock has jumped ahead by {size}, as after a suspension; intervals go on as before"
        dropped = "what is not newer than its series' last sample is dropped (not_newer) until that time has come again"
        return f"the clock was set back by {size}; intervals go on as before, samples carry the new time, and {dropped}"
