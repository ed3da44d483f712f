"""One entry of `json_configs`: fetches the pages of its API, has them mapped to samples, and adds `up` and stale
markers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ..config.scalars import print_duration
from ..config.schema import JsonJob
from ..http.fetch import Fetcher, SourceRequest
from ..json_api.mapping import Observe
from ..json_api.pagination import JsonPage, PageWalk
from ..json_api.reader import JsonReader
from ..model.drop_reasons import DropReason
from ..model.reason_counts import ReasonCounts
from ..model.samples import Intern, Metadata, Samples
from ..model.scrape import HighWaterMark, Scrape
from ..relabel import hashmod
from . import up
from .collect import Scraper, ScrapeResponse, explained

MarkOf = Callable[[str], HighWaterMark | None]
"""How far a job has come, in other environments too."""


class JsonScraper(Scraper):
    """A JSON job and what its environment remembers of it."""

    def __init__(
        self,
        job: JsonJob,
        intern: Intern,
        observe: Observe | None = None,
        mark_of: MarkOf = lambda job: None,
        age_limit_ms: int = 0,
    ) -> None:
        """Every endpoint refuses samples older than `age_limit_ms` (0: one of them takes any age)."""
        self.reader = JsonReader(job, intern, observe)
        target = self.reader.mapper.target
        super().__init__(up.Synthetic(target, up.NAMES, intern))
        self.job, self._mark_of, self._age_limit_ms = job, mark_of, age_limit_ms
        self._is_first = True  # scrape with samples in this environment
        self._is_stamped = all(metric.timestamp for metric in job.metrics)
        self.name, self.instance = job.job_name, target["instance"]
        # A job whose labels the config changes is another one, and the first one ends.
        self.key = "\xff".join([self.name, *(part for pair in sorted(target.items()) for part in pair)])
        self.interval_ms, self.timeout_ms = job.scrape_interval_ms, job.scrape_timeout_ms
        self.offset_ms = hashmod(self.name, self.interval_ms)

    def mark_seen(self, run: int) -> None:
        """The mapper has marked its series."""

    def prune(self, oldest_kept: int) -> None:
        self.reader.mapper.prune(oldest_kept)

    def fetch(self, fetcher: Fetcher, deadline: float) -> Any:
        """The pages that the API returns. Raises FetchError and NotJson."""
        return fetch_pages(self.job, self.reader, fetcher, deadline)

    def to_scrape(self, response: ScrapeResponse, run: int, now_ms: int) -> Scrape:
        """Maps the pages; whatever goes wrong becomes the scrape's `error`."""
        scrape = Scrape(self.name, self.instance, response.started_ms, error=response.error)
        added = 0
        if not response.error:
            try:
                added = self.reader.to_samples(response.answer, scrape, run, now_ms)
                metrics = self.job.metrics
                scrape.metadata = tuple(Metadata(one.name, one.type, one.help, one.unit) for one in metrics)
            except Exception as error:
                scrape.error = explained(error)
        scrape.duration_seconds = response.seconds()
        scraped = len(scrape.samples) + scrape.dropped.total()
        after_relabel = scraped - scrape.dropped.counts[DropReason.METRIC_RELABEL]
        if scrape.error:  # nothing of it counts, but the synthetic series show by how much a limit was crossed
            scrape.samples, scrape.dropped = Samples(), ReasonCounts()
        elif scrape.metrics and len(scrape.failed) == len(scrape.metrics):
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
        """Sets the job's high-water mark. The first scrape of an environment drops what another one has sent."""
        series = len(scrape.samples)
        if not self._is_stamped or not series:
            scrape.mark = HighWaterMark(scrape.started_ms, scrape.started_ms, series=series)
            return
        stamps = scrape.samples.timestamps_ms
        oldest_ms, newest_ms = min(stamps), max(stamps)
        scrape.mark = HighWaterMark(scrape.started_ms, newest_ms, oldest_ms, series)
        before = self._mark_of(self.name) if self._is_first else None
        self._is_first = False
        if before is None:
            return
        too_old_ms = scrape.started_ms - self._age_limit_ms if self._age_limit_ms else before.oldest_ms
        repeated_ms = max(before.oldest_ms, min(before.newest_ms, too_old_ms))
        if oldest_ms <= repeated_ms:
            detail = "not newer than what the job has sent from another environment"
            scrape.samples = _newer_than(repeated_ms, scrape.samples, scrape.dropped, DropReason.NOT_NEWER, detail)
        if oldest_ms < too_old_ms:  # and newer than what the job has sent: it was missed
            detail = f"too late for every endpoint: older than {print_duration(self._age_limit_ms)}"
            scrape.samples = _newer_than(too_old_ms - 1, scrape.samples, scrape.dropped, DropReason.TOO_OLD, detail)


def fetch_pages(job: JsonJob, reader: JsonReader, fetcher: Fetcher, deadline: float) -> list[JsonPage]:
    """Every page of the job's answer, before `deadline` (monotonic seconds). The body limit is for all pages together.
    Raises FetchError and NotJson."""
    walk, left_bytes, codes = PageWalk(job), job.limits.body_size_bytes, job.valid_status_codes
    for url, body in walk.requests():
        request = SourceRequest(
            job.method,
            url,
            job.http,
            left_bytes,
            lambda status: status in codes if codes else 200 <= status < 300,
            job.headers,
            body,
            allow_link_local=job.allow_link_local,
        )
        found = fetcher.fetch(request, deadline)
        left_bytes -= len(found.content)
        walk.add(reader.page(found.content, found.content_type, found.status, found.headers))
    return walk.pages


def _newer_than(oldest_ms: int, samples: Samples, dropped: ReasonCounts, reason: str, detail: str) -> Samples:
    kept = [index for index, stamp in enumerate(samples.timestamps_ms) if stamp > oldest_ms]
    if len(kept) < len(samples):
        dropped.add(reason, detail, len(samples) - len(kept))
    return samples.pick(kept)
