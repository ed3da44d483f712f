"""Scrapes targets side by side. Each gives one Scrape; a failed one has an error and `up 0`. Ends the series of those
that are gone."""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from ..config.schema import Job
from ..deadline import BoundedCall, Calls
from ..http.fetch import Fetcher
from ..model.samples import Samples
from ..model.scrape import Scrape
from .schedule import Tick
from .staleness import ActiveSeries, stale_markers
from .targets import Target
from .up import Synthetic

_MAX_THREADS = 128  # scrapes at the same time: enough that some that hang do not hold up the rest
_SPARE_SECONDS = 0.5  # after the deadline, for a scraper's own error
_AFTER_INTERVALS = 2.1  # after which the series of a source that is gone end
_LATE = "no answer within the run's time; a name look-up may hang"
_NOT_BEGUN = f"not begun within the run's time, in which {_MAX_THREADS} scrapes at a time came before it"


class Scraper(ABC):
    """A target, and what its environment remembers of it. `fetch` runs in a thread of its own; everything else runs in
    one thread, one scraper after the other."""

    def __init__(self, target: Target[Job], synthetic: Synthetic) -> None:
        self.target = target
        self.key, self.shard_key = target.identity, target.shard_key
        self.name, self.instance = target.job.job_name, target.instance
        self.is_target = bool(target.key)  # found, and one of many that its job may have: not the `url` of a JSON job
        self.interval_ms, self.offset_ms, self.timeout_ms = target.interval_ms, target.offset_ms(), target.timeout_ms
        self.forced_error = target.error  # why it is down without a request
        self.host, self.max_requests_per_host = target.host, target.job.max_requests_per_host
        self.synthetic = synthetic
        self.active = ActiveSeries()

    def is_due(self, tick: Tick) -> bool:
        return tick.takes(self.name, self.interval_ms, self.offset_ms)

    @abstractmethod
    def fetch(self, fetcher: Fetcher, deadline: float) -> Any:
        """The answer, before `deadline` (monotonic seconds); any exception is a failed scrape. A late thread may still
        be here within another run: only `to_scrape` changes what the scraper remembers."""

    @abstractmethod
    def to_scrape(self, response: ScrapeResponse, run: int, now_ms: int) -> Scrape:
        """An answer -> samples, `up` and stale markers. `run` is the number of the run."""

    def end(self, timestamp_ms: int) -> Samples:
        """Stale markers for all series of a scraper that the config or discovery no longer has."""
        return stale_markers([*self.active.series, *self.synthetic.series], timestamp_ms)

    @abstractmethod
    def makes_same_series(self, other: Scraper) -> bool:
        """Whether the other one, of a target with the same identity, would make the same series."""

    @abstractmethod
    def mark_seen(self, run: int) -> None:
        """Marks the series in use, so that the series cache keeps them."""

    @abstractmethod
    def prune(self, oldest_kept: int) -> None:
        """Forgets series last seen before the run `oldest_kept`."""


@dataclass(slots=True)
class _Ending:
    source: Scraper
    missed_ms: int | None = None  # when it would have been scraped next


class EndedTargets:
    """The sources that are gone, but whose series have not ended yet, by key. A target may come back: Prometheus waits
    just over two intervals, and writes the markers with the time of the first scrape that was missed
    (endOfRunStaleness)."""

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


@dataclass(slots=True)
class ScrapeResponse:
    """What a fetching thread hands over: an answer, or why there is none. Times in monotonic seconds."""

    started_ms: int
    started: float
    masked: Callable[[str], str]  # hides secrets in messages that quote the answer
    answer: Any = None
    error: str = ""
    ended: float = 0.0

    def seconds(self) -> float:
        return (self.ended or time.monotonic()) - self.started


def collect(
    scrapers: Sequence[Scraper], fetcher: Fetcher, now_ms: Callable[[], int], deadline: float, run: int
) -> list[Scrape]:
    """Scrapes side by side, of one host as many as `max_requests_per_host` allows, and turns the answers into scrapes
    one after the other, as they come. `deadline` is monotonic seconds, `run` the number of this run. Scrapes come back
    in the order of the scrapers."""
    begun: dict[int, ScrapeResponse] = {}

    def begin(index: int) -> ScrapeResponse:
        begun[index] = ScrapeResponse(now_ms(), time.monotonic(), fetcher.masked, error=_LATE)
        return fetch(scrapers[index], fetcher, now_ms, deadline)

    bounded = [
        BoundedCall(partial(begin, index), one.host, one.max_requests_per_host) for index, one in enumerate(scrapers)
    ]
    calls = Calls(bounded, _MAX_THREADS)
    started_ms, started = now_ms(), time.monotonic()
    scrapes: dict[int, Scrape] = {}
    for index, response in calls.until(deadline, _SPARE_SECONDS):
        scrapes[index] = to_scrape(scrapers[index], response, run, now_ms())
    waiting = calls.waiting()
    for index, one in enumerate(scrapers):
        if index not in scrapes:
            why = one.forced_error or (_waited(one) if index in waiting else _NOT_BEGUN)
            late = begun.get(index) or ScrapeResponse(started_ms, started, fetcher.masked, error=why)
            scrapes[index] = to_scrape(one, late, run, now_ms())
    return [scrapes[index] for index in range(len(scrapers))]


def _waited(scraper: Scraper) -> str:
    limit = scraper.max_requests_per_host
    return (
        f"its turn has not come within the run's time: of {scraper.host} at most {limit} scrapes are under way at the "
        "same time, as max_requests_per_host says"
    )


def fetch(scraper: Scraper, fetcher: Fetcher, now_ms: Callable[[], int], deadline: float) -> ScrapeResponse:
    """One answer, within the scraper's own timeout and the deadline. Raises nothing."""
    response = ScrapeResponse(now_ms(), time.monotonic(), fetcher.masked)
    if scraper.forced_error:
        response.error, response.ended = scraper.forced_error, response.started
        return response
    try:
        timeout = scraper.timeout_ms / 1000
        response.answer = scraper.fetch(fetcher, min(deadline, response.started + timeout))
    except Exception as error:
        response.error = explained(error)
    response.ended = time.monotonic()
    return response


def to_scrape(scraper: Scraper, response: ScrapeResponse, run: int, now_ms: int) -> Scrape:
    """The samples of one scraper, and messages without secrets. A bug in one must not affect the others."""
    try:
        scrape = scraper.to_scrape(response, run, now_ms)
    except Exception as error:
        detail = f"{type(error).__name__}: {error}, which is a bug"[:500]
        scrape = Scrape(scraper.name, scraper.instance, response.started_ms, error=detail)
    scrape.is_target = scraper.is_target
    hide_secrets(scrape, response.masked)
    return scrape


def hide_secrets(scrape: Scrape, masked: Callable[[str], str]) -> None:
    """Masks every message of a scrape: they quote an answer, which may repeat the secrets of its request."""
    scrape.error = masked(scrape.error) if scrape.error else ""
    scrape.notes = [masked(note) for note in scrape.notes]
    for result in scrape.metrics:
        result.failed = masked(result.failed) if result.failed else ""
        if result.unknown_states.count:
            result.unknown_states = result.unknown_states.rewritten(masked)
    for reasons in (scrape.skipped, scrape.dropped, *(result.skipped for result in scrape.metrics)):
        reasons.rewrite(masked)


def explained(error: Exception) -> str:
    """Why a scrape failed: the message of an error of this package; another error is a bug, and its class is named."""
    own = type(error).__module__.startswith(__name__.partition(".")[0])
    return str(error) if own else f"{type(error).__name__}: {error}"[:500]
