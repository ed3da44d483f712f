"""Sources that are no more: their series end, but not at once, because a target may come back.

Prometheus waits just over two intervals and writes the markers with the time of the first scrape that was missed
(scrape/scrape.go, endOfRunStaleness).
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import Protocol

from ..model.samples import Samples
from ..model.scrape import Scrape
from ..series.staleness import ActiveSeries
from .schedule import Tick

_AFTER_INTERVALS = 2.1


class Leaver(Protocol):
    """A source that may end."""

    active: ActiveSeries

    @property
    def key(self) -> str: ...
    @property
    def name(self) -> str: ...
    @property
    def instance(self) -> str: ...
    @property
    def interval_ms(self) -> int: ...
    def is_due(self, tick: Tick) -> bool: ...
    def end(self, timestamp_ms: int) -> Samples: ...
    def mark_seen(self, run: int) -> None: ...


@dataclass(slots=True)
class _Leave:
    source: Leaver
    missed_ms: int | None = None  # when it would have been scraped next


class EndedTargets:
    """The sources that are about to end, by key."""

    def __init__(self) -> None:
        self._leaves: dict[str, _Leave] = {}

    def add(self, source: Leaver) -> None:
        self._leaves.setdefault(source.key, _Leave(source))

    def back(self, key: str) -> Leaver | None:
        """A source that is there again after all; it has missed nothing, or at most two scrapes."""
        leave = self._leaves.pop(key, None)
        return leave.source if leave else None

    def ended(self, tick: Tick, now_ms: int, busy: Collection[str] = ()) -> list[Scrape]:
        """The markers of sources gone for long enough. One that is being asked (`busy`, by key) misses nothing yet:
        its last samples may be newer than `now_ms`, and would swallow the markers."""
        over = []
        for key, leave in list(self._leaves.items()):
            if key in busy:
                continue
            if leave.missed_ms is None and leave.source.is_due(tick):
                leave.missed_ms = now_ms
            if leave.missed_ms is None:
                continue
            waited_ms = abs(now_ms - leave.missed_ms)  # a clock that was set back must not keep them for that long
            if waited_ms >= _AFTER_INTERVALS * leave.source.interval_ms:
                del self._leaves[key]
                over.append(_last_scrape(leave.source, leave.missed_ms))
        return over

    def mark_seen(self, run: int) -> None:
        for leave in self._leaves.values():
            leave.source.mark_seen(run)


def _last_scrape(source: Leaver, missed_ms: int) -> Scrape:
    return Scrape(source.name, source.instance, missed_ms, samples=source.end(missed_ms))
