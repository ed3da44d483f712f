"""What the last scrape of each target came to, and how many scrapes each job has had."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field

from lambda_remote_write.model.scrape import Scrape
from lambda_remote_write.scrape.collect import Scraper


@dataclass(frozen=True, slots=True)
class LastScrape:
    """`error` is "" for a target that is up; `failed` says of metrics of a JSON job why they have failed."""

    error: str
    started_ms: int = 0
    duration_seconds: float = 0.0
    samples: int = 0
    failed: Mapping[str, str] = field(default_factory=dict)


class LastScrapes:
    """One thread at a time writes, under the caller's lock; any thread reads."""

    def __init__(self) -> None:
        self._last: dict[str, LastScrape] = {}
        self._scrapes, self._failed = Counter[str](), Counter[str]()

    def record(self, source: Scraper, scrape: Scrape) -> None:
        failed = {} if scrape.error else scrape.failed  # those of a job that is down have failed with it
        last = LastScrape(scrape.error, scrape.started_ms, scrape.duration_seconds, len(scrape.samples), failed)
        self._record(source, last)

    def record_bug(self, source: Scraper, detail: str, now_ms: int) -> None:
        self._record(source, LastScrape(detail, now_ms))

    def _record(self, source: Scraper, last: LastScrape) -> None:
        self._last[source.key] = last
        self._scrapes[source.name] += 1
        self._failed[source.name] += bool(last.error)

    def keep(self, keys: Collection[str]) -> None:
        """Forgets targets that are gone."""
        self._last = {key: last for key, last in self._last.items() if key in keys}

    def of(self, source: Scraper) -> LastScrape | None:
        return self._last.get(source.key)

    def scrapes(self, job: str) -> int:
        """How many scrapes of a job have ended since the process started."""
        return self._scrapes[job]

    def failed(self, job: str) -> int:
        """How many of them failed."""
        return self._failed[job]
