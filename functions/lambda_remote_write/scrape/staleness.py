"""Stale markers: what says that a series has ended (Prometheus scrape/scrape.go).

A series ends when its source's next answer does not have it, or when the source is down (updateStaleMarkers). The
series of a source that is gone end later, because a target may come back: Prometheus waits just over two intervals, and
writes the markers with the time of the first scrape that was missed (endOfRunStaleness). Series that only another
environment has seen get no marker: a cold start is a restarted Prometheus.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from ..model.scrape import Scrape
from .collect import Scraper
from .schedule import Tick

_AFTER_INTERVALS = 2.1


@dataclass(slots=True)
class _Ending:
    source: Scraper
    missed_ms: int | None = None  # when it would have been scraped next


class EndedTargets:
    """The sources that are gone, but whose series have not ended yet, by key."""

    def __init__(self) -> None:
        self._endings: dict[str, _Ending] = {}

    def add(self, source: Scraper) -> None:
        self._endings.setdefault(source.key, _Ending(source))

    def resume(self, key: str) -> Scraper | None:
        """A source that is there again; it has missed at most two scrapes."""
        ending = self._endings.pop(key, None)
        return ending.source if ending else None

    def ended(self, tick: Tick, now_ms: int, busy: Collection[str] = ()) -> list[Scrape]:
        """The markers of sources that have been gone for long enough. One that is being scraped (`busy`, by key) has
        missed nothing yet: its last samples may be newer than `now_ms`, and the markers would be dropped."""
        scrapes = []
        for key, ending in list(self._endings.items()):
            if key in busy:
                continue
            if ending.missed_ms is None and ending.source.is_due(tick):
                ending.missed_ms = now_ms
            if ending.missed_ms is None:
                continue
            waited_ms = abs(now_ms - ending.missed_ms)  # a clock that was set back must not keep them for that long
            if waited_ms >= _AFTER_INTERVALS * ending.source.interval_ms:
                del self._endings[key]
                source, missed_ms = ending.source, ending.missed_ms
                scrapes.append(Scrape(source.name, source.instance, missed_ms, samples=source.end(missed_ms)))
        return scrapes

    def mark_seen(self, run: int) -> None:
        for ending in self._endings.values():
            ending.source.mark_seen(run)
