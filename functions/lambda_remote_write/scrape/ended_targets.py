"""Scrapers that the config or discovery no longer has. Their series end a little later, because a target may return.

Prometheus waits just over two intervals and writes the markers with the time of the first scrape that was missed
(scrape/scrape.go, endOfRunStaleness).
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from ..model.scrape import Scrape
from .collect import Scraper
from .schedule import Tick

_AFTER_INTERVALS = 2.1


@dataclass(slots=True)
class _Ended:
    scraper: Scraper
    missed_ms: int | None = None  # when it would have been scraped next


class EndedTargets:
    """The scrapers whose stale markers are still to be written."""

    def __init__(self) -> None:
        self._ended: dict[str, _Ended] = {}  # by key

    def add(self, scraper: Scraper) -> None:
        self._ended.setdefault(scraper.key, _Ended(scraper))

    def resume(self, key: str) -> Scraper | None:
        """A scraper that is wanted again before its series have ended; it has missed two scrapes at most."""
        found = self._ended.pop(key, None)
        return found.scraper if found else None

    def ended(self, tick: Tick, now_ms: int, busy: Collection[str] = ()) -> list[Scrape]:
        """The markers of scrapers gone for long enough. One that is scraping (`busy`, by key) misses nothing yet: its
        last samples may be newer than `now_ms`, and a receiver would refuse the markers."""
        scrapes = []
        for key, one in list(self._ended.items()):
            if key in busy:
                continue
            if one.missed_ms is None and one.scraper.is_due(tick):
                one.missed_ms = now_ms
            if one.missed_ms is None:
                continue
            waited_ms = abs(now_ms - one.missed_ms)  # a clock that was set back must not keep them for that long
            if waited_ms >= _AFTER_INTERVALS * one.scraper.interval_ms:
                del self._ended[key]
                scrapes.append(_last_scrape(one.scraper, one.missed_ms))
        return scrapes

    def mark_seen(self, run: int) -> None:
        for one in self._ended.values():
            one.scraper.mark_seen(run)


def _last_scrape(scraper: Scraper, missed_ms: int) -> Scrape:
    return Scrape(scraper.name, scraper.instance, missed_ms, samples=scraper.end(missed_ms))
