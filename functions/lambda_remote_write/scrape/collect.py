"""ACT 1: outside -> samples. Every due source gives a Scrape; a dead one is a Scrape with an error and `up 0`."""

from __future__ import annotations

import contextlib
import queue
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from ..http.fetch import Fetcher
from ..model.scrape import Scrape

_MAX_THREADS = 128  # sources asked at the same time: enough that those that hang do not hold up the rest
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


@dataclass(frozen=True, slots=True)
class Edges:
    """What collecting needs of the outside world: HTTP, and the wall clock in milliseconds."""

    fetcher: Fetcher
    now_ms: Callable[[], int]


def collect(sources: Sequence[Source], edges: Edges, deadline: float, run: int) -> list[Scrape]:
    """Asks side by side and settles one after the other, as the answers come. `deadline` is monotonic seconds, `run`
    the number of this run. Scrapes come back in the order of the sources."""
    late = ScrapeResponse(edges.now_ms(), time.monotonic(), edges.fetcher.masked, error=_LATE)
    answers: queue.SimpleQueue[tuple[int, ScrapeResponse]] = queue.SimpleQueue()
    waiting: queue.SimpleQueue[int] = queue.SimpleQueue()
    for index in range(len(sources)):
        waiting.put(index)
    for _ in range(min(_MAX_THREADS, len(sources))):
        threading.Thread(target=_ask_all, args=(sources, waiting, answers, edges, deadline), daemon=True).start()
    scrapes: list[Scrape | None] = [None] * len(sources)
    for _ in sources:
        try:
            index, fetched = answers.get(timeout=max(deadline + 0.5 - time.monotonic(), 0.01))
        except queue.Empty:  # a thread hangs where no timeout reaches, as in a name look-up: its answer is not awaited
            _take_all(waiting)  # when it wakes up, within another run, it asks nobody else
            break
        scrapes[index] = settle(sources[index], fetched, run, edges.now_ms())
    return [
        scrape or settle(source, late, run, edges.now_ms()) for source, scrape in zip(sources, scrapes, strict=True)
    ]


def _ask_all(
    sources: Sequence[Source],
    waiting: queue.SimpleQueue[int],
    answers: queue.SimpleQueue[tuple[int, ScrapeResponse]],
    edges: Edges,
    deadline: float,
) -> None:
    while True:
        try:
            index = waiting.get_nowait()
        except queue.Empty:
            return
        answers.put((index, ask(sources[index], edges, deadline)))


def _take_all(waiting: queue.SimpleQueue[int]) -> None:
    with contextlib.suppress(queue.Empty):
        while True:
            waiting.get_nowait()


def ask(source: Source, edges: Edges, deadline: float) -> ScrapeResponse:
    """One source's answer, within its own timeout and the deadline."""
    fetched = ScrapeResponse(edges.now_ms(), time.monotonic(), edges.fetcher.masked)
    try:
        timeout = source.timeout_ms / 1000
        fetched.answer = source.fetch(edges.fetcher, min(deadline, fetched.started + timeout))
    except Exception as error:
        fetched.error = explained(error)
    fetched.ended = time.monotonic()
    return fetched


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
