"""ACT 1: outside -> samples. Every due job gives a Scrape; a dead source is one with an error and `up 0`."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from ..model import Intern, InvalidSeries, Metadata, Samples, Scrape, Series, Tally
from .document import NotJson
from .fetch import Fetcher, FetchError
from .json_api import JsonSource, Page
from .mapping import ScrapeFailed

_MAX_THREADS = 16  # jobs asked at the same time: enough that a few hanging ones do not hold up the rest
_EXPECTED = (FetchError, NotJson, ScrapeFailed)


@dataclass(slots=True)
class _Fetched:
    """What a fetching thread hands back: pages or the error that ended it."""

    source: JsonSource
    started_ms: int
    started: float
    pages: list[Page] | None = None
    error: Exception | None = None


@dataclass(frozen=True, slots=True)
class Edges:
    """What collecting needs of the outside world: HTTP, and the wall clock in milliseconds."""

    fetcher: Fetcher
    now_ms: Callable[[], int]


def collect(sources: Sequence[JsonSource], intern: Intern, edges: Edges, deadline: float, run: int) -> list[Scrape]:
    """Fetches side by side and maps one after the other, as they come. `deadline` is monotonic seconds, `run` the
    number of this run. Scrapes come back in the order of the sources."""
    answers: queue.SimpleQueue[_Fetched] = queue.SimpleQueue()
    waiting = queue.SimpleQueue[JsonSource]()
    for source in sources:
        waiting.put(source)
    for _ in range(min(_MAX_THREADS, len(sources))):
        threading.Thread(target=_fetch_all, args=(waiting, answers, edges, deadline), daemon=True).start()
    scrapes: dict[str, Scrape] = {}
    while len(scrapes) < len(sources):
        try:
            fetched = answers.get(timeout=max(deadline + 0.5 - time.monotonic(), 0.01))
        except queue.Empty:  # a thread hangs where no timeout reaches, as in a name look-up: its answer is not awaited
            break
        scrapes[fetched.source.job.job_name] = _scrape(fetched, intern, edges, run)
    late = FetchError("no answer within the run's time")
    for source in sources:
        if source.job.job_name not in scrapes:
            fetched = _Fetched(source, edges.now_ms(), time.monotonic(), error=late)
            scrapes[source.job.job_name] = _scrape(fetched, intern, edges, run)
    return [scrapes[source.job.job_name] for source in sources]


def _fetch_all(
    waiting: queue.SimpleQueue[JsonSource], answers: queue.SimpleQueue[_Fetched], edges: Edges, deadline: float
) -> None:
    while True:
        try:
            source = waiting.get_nowait()
        except queue.Empty:
            return
        fetched = _Fetched(source, edges.now_ms(), time.monotonic())
        try:
            timeout = source.job.scrape_timeout_ms / 1000
            fetched.pages = source.fetch(edges.fetcher, min(deadline, fetched.started + timeout))
        except Exception as error:
            fetched.error = error
        answers.put(fetched)


def _scrape(fetched: _Fetched, intern: Intern, edges: Edges, run: int) -> Scrape:
    """Maps what was fetched; whatever goes wrong ends in this scrape's `error`."""
    source = fetched.source
    target = source.mapper.target
    scrape = Scrape(source.job.job_name, target["instance"], fetched.started_ms)
    added = 0
    try:
        if fetched.error:
            raise fetched.error
        added = source.map(fetched.pages or [], scrape, run, edges.now_ms())
        metrics = source.job.metrics
        scrape.metadata = tuple(Metadata(one.name, one.type, one.help, one.unit) for one in metrics)
    except Exception as error:
        scrape.error = str(error) if isinstance(error, _EXPECTED) else f"{type(error).__name__}: {error}"[:500]
    scrape.duration_seconds = time.monotonic() - fetched.started
    scraped = len(scrape.samples) + scrape.dropped.total()
    after_relabel = scraped - scrape.dropped.counts["metric_relabel"]
    if scrape.error:  # nothing of it counts, but one still sees by how much a limit was crossed
        scrape.samples, scrape.dropped = Samples(), Tally()
    values = {
        "up": 0.0 if scrape.error else 1.0,
        "scrape_duration_seconds": scrape.duration_seconds,
        "scrape_samples_scraped": float(scraped),
        "scrape_samples_post_metric_relabeling": float(after_relabel),
        "scrape_series_added": float(added),
    }
    _add_synthetic(scrape, target, values, intern, run)
    return scrape


def _add_synthetic(scrape: Scrape, target: dict[str, str], values: dict[str, float], intern: Intern, run: int) -> None:
    """The series Prometheus makes for every target, with the target's labels; relabelling does not touch them."""
    for name, value in values.items():
        try:
            series: Series = intern({**target, "__name__": name})
        except InvalidSeries as error:
            scrape.dropped.add(error.reason, str(error))
            continue
        series.seen = run
        scrape.samples.add(series, value, scrape.started_ms)
