"""One target of a JSON job: fetches the pages of its API, has them mapped to samples, and adds `up` and stale
markers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from ..config.scalars import print_duration
from ..config.schema import JsonJob, Metric
from ..http.fetch import Fetcher
from ..json_api.mapping import Observe
from ..json_api.reader import JsonReader
from ..model.drop_reasons import DropReason
from ..model.reason_counts import ReasonCounts
from ..model.samples import Intern, Metadata, Samples
from ..model.scrape import SYNTHETIC_NAMES, HighWaterMark, Scrape
from .collect import Scraper, ScrapeResponse, explained
from .targets import Target
from .up import Synthetic

MarkOf = Callable[[str], HighWaterMark | None]
"""How far a job, or one target of it, has come, in other environments too."""


class JsonScraper(Scraper):
    """A target of a JSON job and what its environment remembers of it."""

    def __init__(
        self,
        target: Target[JsonJob],
        intern: Intern,
        now_ms: Callable[[], int],
        observe: Observe | None = None,
        mark_of: MarkOf = lambda job: None,
        age_limit_ms: int = 0,
    ) -> None:
        """Every endpoint refuses samples older than `age_limit_ms` (0: one of them takes any age)."""
        job = target.job
        self.reader = JsonReader(job, target.url, target.labels, intern, observe, target.unix_socket)
        super().__init__(target, Synthetic(target.labels, SYNTHETIC_NAMES, intern))
        self.job, self._mark_of, self._age_limit_ms = job, mark_of, age_limit_ms
        self._is_first = True  # scrape with samples in this environment
        self._is_stamped = all(metric.timestamp for metric in job.metrics)
        self._intern, self._now_ms = intern, now_ms

    def makes_same_series(self, other: Scraper) -> bool:
        return isinstance(other, JsonScraper) and self._intern is other._intern and self.target == other.target

    def mark_seen(self, run: int) -> None:
        """The mapper has marked its series."""

    def prune(self, oldest_kept: int) -> None:
        self.reader.mapper.prune(oldest_kept)

    def fetch(self, fetcher: Fetcher, deadline: float) -> Any:
        """The pages that the API returns. Raises FetchError and NotJson."""
        return self.reader.fetch(fetcher, deadline, self._now_ms())

    def to_scrape(self, response: ScrapeResponse, run: int, now_ms: int) -> Scrape:
        """Maps the pages; whatever goes wrong becomes the scrape's `error`."""
        scrape = Scrape(self.name, self.instance, response.started_ms, error=response.error)
        scrape.mark_name = self.shard_key
        added = 0
        if not response.error:
            try:
                added = self.reader.to_samples(response.answer, scrape, run, now_ms)
                scrape.metadata = _metadata(self.job.metrics, scrape)
            except Exception as error:
                scrape.error = explained(error)
        scrape.duration_seconds = response.seconds()
        scraped = len(scrape.samples) + scrape.dropped.total()
        after_relabel = scraped - scrape.dropped.counts[DropReason.METRIC_RELABEL]
        if scrape.error:  # nothing of it counts, but the synthetic series show by how much a limit was crossed
            scrape.samples, scrape.dropped = Samples(), ReasonCounts()
        elif scrape.metrics and all(one.failed for one in scrape.metrics):
            scrape.error = "; ".join(scrape.failed.values())
        else:
            self._mark(scrape)
        current = [] if scrape.error else self.reader.mapper.unstamped
        self.active.update(current, scrape.samples, response.started_ms)
        is_up = 0.0 if scrape.error else 1.0
        values = [is_up, scrape.duration_seconds, float(scraped), float(after_relabel), float(added)]
        self.synthetic.add_to(scrape, values, run)
        return scrape

    def _mark(self, scrape: Scrape) -> None:
        """Sets the target's high-water mark. The first scrape of an environment drops what another one has sent."""
        series = len(scrape.samples)
        if not self._is_stamped or not series:
            if not self.is_target:  # of a job with many targets, how many series all have is known
                scrape.mark = HighWaterMark(scrape.started_ms, scrape.started_ms, series=series)
            return
        stamps = scrape.samples.timestamps_ms
        oldest_ms, newest_ms = min(stamps), max(stamps)
        scrape.mark = HighWaterMark(scrape.started_ms, newest_ms, oldest_ms, series)
        before = self._mark_of(scrape.mark_name) if self._is_first else None
        self._is_first = False
        if before is None:
            return
        too_old_ms = scrape.started_ms - self._age_limit_ms if self._age_limit_ms else before.oldest_ms
        repeated_ms = max(before.oldest_ms, min(before.newest_ms, too_old_ms))
        if oldest_ms <= repeated_ms:
            detail = "not newer than what was sent from another environment"
            scrape.samples = _newer_than(repeated_ms, scrape.samples, scrape.dropped, DropReason.NOT_NEWER, detail)
        if oldest_ms < too_old_ms:  # and newer than what the job has sent: it was missed
            detail = f"too late for every endpoint: older than {print_duration(self._age_limit_ms)}"
            scrape.samples = _newer_than(too_old_ms - 1, scrape.samples, scrape.dropped, DropReason.TOO_OLD, detail)


def _metadata(metrics: Sequence[Metric], scrape: Scrape) -> tuple[Metadata, ...]:
    """An entry for each metric, or for each name that its records have."""
    names = [
        result.names if one.record_name else (one.name,) for one, result in zip(metrics, scrape.metrics, strict=True)
    ]
    return tuple(
        Metadata(name, one.type, one.help, one.unit) for one, some in zip(metrics, names, strict=True) for name in some
    )


def _newer_than(oldest_ms: int, samples: Samples, dropped: ReasonCounts, reason: str, detail: str) -> Samples:
    kept = [index for index, stamp in enumerate(samples.timestamps_ms) if stamp > oldest_ms]
    if len(kept) < len(samples):
        dropped.add(reason, detail, len(samples) - len(kept))
    return samples.pick(kept)
