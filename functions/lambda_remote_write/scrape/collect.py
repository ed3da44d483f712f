"""Collects: every due source gives a Scrape, one that is down a Scrape with an error and `up 0`."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Protocol

from ..deadline import calls_until
from ..http.fetch import Fetcher
from ..model.scrape import Scrape

_MAX_THREADS = 128  # sources asked at the same time: enough that those that hang do not hold up the rest
_SPARE_SECONDS = 0.5  # after the deadline, for a source's own error
_LATE = "no answer within the run's time; a name look-up may hang"


class Source(Protocol):
    """A JSON job or a target: it is asked in a thread of its own, and settled one after the other."""

    @property
    def key(self) -> str: ...
    @property
    def name(self) -> str: ...  # of its job
    @property
    def instance(self) -> str: ...
    @property
    def interval_ms(self) -> int: ...
    @property
    def offset_ms(self) -> int: ...  # in its interval, on absolute time
    @property
    def timeout_ms(self) -> int: ...
    @property
    def is_target(self) -> bool: ...  # one of many that its job may have
    def fetch(self, fetcher: Fetcher, deadline: float) -> Any:
        """What the source answers, before `deadline` (monotonic seconds). Any exception is its failure. It may come
        too late, within another run: what the source remembers is changed in `settle` only."""

    def settle(self, fetched: ScrapeResponse, run: int, now_ms: int) -> Scrape:
        """What it answered -> its samples."""


@dataclass(slots=True)
class ScrapeResponse:
    """What a fetching thread hands over: an answer, or the error that ended it."""

    started_ms: int
    started: float
    masked: Callable[[str], str]  # what every message that quotes the answer passes
    answer: Any = None
    error: str = ""
    ended: float = 0.0

    def seconds(self) -> float:
        return (self.ended or time.monotonic()) - self.started


def collect(
    sources: Sequence[Source], fetcher: Fetcher, now_ms: Callable[[], int], deadline: float, run: int
) -> list[Scrape]:
    """Asks sources side by side and turns their answers into scrapes one after the other, as they come. `deadline` is
    monotonic seconds, `run` the number of this run. Scrapes come back in the order of the sources."""
    late = ScrapeResponse(now_ms(), time.monotonic(), fetcher.masked, error=_LATE)
    calls = [partial(ask, source, fetcher, now_ms, deadline) for source in sources]
    scrapes: dict[int, Scrape] = {}
    for index, response in calls_until(calls, deadline + _SPARE_SECONDS, _MAX_THREADS):
        scrapes[index] = settle(sources[index], response, run, now_ms())
    return [scrapes.get(index) or settle(source, late, run, now_ms()) for index, source in enumerate(sources)]


def ask(source: Source, fetcher: Fetcher, now_ms: Callable[[], int], deadline: float) -> ScrapeResponse:
    """One source's answer, within its own timeout and the deadline. Raises nothing."""
    response = ScrapeResponse(now_ms(), time.monotonic(), fetcher.masked)
    try:
        timeout = source.timeout_ms / 1000
        response.answer = source.fetch(fetcher, min(deadline, response.started + timeout))
    except Exception as error:
        response.error = explained(error)
    response.ended = time.monotonic()
    return response


def settle(source: Source, fetched: ScrapeResponse, run: int, now_ms: int) -> Scrape:
    """The samples of one source, and messages without secrets. A bug in settling one must not cost the others."""
    try:
        scrape = source.settle(fetched, run, now_ms)
    except Exception as error:
        detail = f"{type(error).__name__}: {error}, which is a bug"[:500]
        scrape = Scrape(source.name, source.instance, fetched.started_ms, error=detail, is_target=source.is_target)
    hide_secrets(scrape, fetched.masked)
    return scrape


def hide_secrets(scrape: Scrape, masked: Callable[[str], str]) -> None:
    """Masks every message of a scrape: they quote what a source says, and it may repeat what it was sent."""
    scrape.error = masked(scrape.error) if scrape.error else ""
    scrape.notes = [masked(note) for note in scrape.notes]
    for result in scrape.metrics:
        result.failed = masked(result.failed) if result.failed else ""
    for reasons in (scrape.skipped, scrape.dropped, *(result.skipped for result in scrape.metrics)):
        reasons.rewrite(masked)


def explained(error: Exception) -> str:
    """A source's failure in words: its own, or a bug's."""
    own = type(error).__module__.startswith(__package__.partition(".")[0])
    return str(error) if own else f"{type(error).__name__}: {error}"[:500]
