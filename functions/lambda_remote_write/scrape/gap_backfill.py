"""Fills gaps: a JSON job whose config has `backfill` first requests what earlier runs missed, oldest first, and then
its fresh answer.

AMP refuses a sample older than the newest one of its series, so a gap can only be filled before the next sample is
sent. Until then the fresh answer waits: the API still has it.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime

from ..config import templates
from ..config.schema import Backfill, JsonJob
from ..config.timestamp import BadTimestamp, Format
from ..http.fetch import Fetcher
from ..json_api.mapping import Observe
from ..json_api.pagination import Pages
from ..json_api.reader import JsonReader
from ..json_api.values import ScrapeFailed
from ..model.samples import Intern, Samples
from ..model.scrape import HighWaterMark, Scrape
from .collect import ScrapeResponse, explained
from .json_scraper import JsonScraper, MarkOf
from .targets import Target, address_of

_LATE_INTERVALS = 1.5  # a schedule fires somewhere within its minute
_MAX_FAILURES = 3  # runs in a row that cannot have the range; the last of them sends the fresh samples all the same
_FRESH_SECONDS = 0.5  # left for the fresh answer at least
_NO_LIMIT_MS = 10**12


@dataclass(frozen=True, slots=True)
class Gap:
    """What is missing, in milliseconds, both ends included. From `missed_ms` up to `start_ms` it is too old for every
    endpoint."""

    start_ms: int
    end_ms: int
    missed_ms: int

    @property
    def span(self) -> str:
        return f"{_clock(self.start_ms)} to {_clock(self.end_ms)}"


@dataclass(slots=True)
class _GapAnswer:
    """What the API returned: windows of the gap (last millisecond, reader, pages), and the fresh answer, None when the
    run had no time left for it."""

    windows: list[tuple[int, JsonReader, Pages]] = field(default_factory=list)
    pages: Pages | None = None
    span: str = ""  # of the gap, for people
    notes: list[str] = field(default_factory=list)
    error: str = ""
    failures: int = 0  # runs in a row, this one included


def gap_of(mark: HighWaterMark | None, every_ms: int, now_ms: int, age_limit_ms: int) -> Gap | None:
    """The gap of a job that should run `every_ms`; None when it missed nothing, or its high-water mark is not known."""
    if mark is None or not mark.newest_ms or now_ms - mark.scraped_ms <= _LATE_INTERVALS * every_ms:
        return None
    oldest_ms = now_ms - age_limit_ms if age_limit_ms else 0
    missed_ms = mark.newest_ms + 1
    start_ms = max(missed_ms, oldest_ms)
    return Gap(start_ms, now_ms, missed_ms) if start_ms < now_ms else None


def windows(gap: Gap, longest_ms: int) -> Iterator[tuple[int, int]]:
    """(start, end) of the parts of a gap, oldest first, both included; neighbours share no millisecond."""
    for start_ms in range(gap.start_ms, gap.end_ms + 1, longest_ms):
        yield start_ms, min(start_ms + longest_ms - 1, gap.end_ms)


def rounded_up(form: Format, milliseconds: int) -> int:
    """The first time at or after this one that the format can write, in whole seconds, minutes, hours or days: rounded
    down, it would leave points between two windows that are in neither request."""
    for coarse in (0, 999, 59_999, 3_599_999, 86_399_999):
        with contextlib.suppress(BadTimestamp):
            written = form.milliseconds(form.written(milliseconds + coarse))
            if written >= milliseconds:
                return written
    return milliseconds


def ranged(job: JsonJob, backfill: Backfill, start_ms: int, end_ms: int) -> JsonJob:
    """The job for one range. Its own query parameters stay unless `backfill` sets them."""
    words = {
        "start": backfill.format.written(start_ms),
        "end": backfill.format.written(rounded_up(backfill.format, end_ms)),
        "step": str(backfill.step_ms // 1000 or 1),
    }
    params = {name: (templates.filled(value, words.get, str),) for name, value in backfill.query}
    body, method = job.body, job.method
    if backfill.body is not None:
        escape = templates.escape_of_body(backfill.body, job.http.content_type)
        body, method = templates.filled(backfill.body, words.get, escape), "POST"
    return replace(
        job,
        url=templates.filled(backfill.url, words.get, templates.in_url) or job.url,
        params=tuple((dict(job.params) | params).items()),
        body=body,
        method=method,
        metrics=backfill.metrics,
        limits=replace(job.limits, sample_limit=0),  # it is for one fresh answer
    )


def with_key(job: JsonJob, why: str) -> str:
    """Why a metric failed in an answer for a range, with the key that says where such an answer has its records."""
    if ": records " not in why or job.backfill is None:
        return why
    if job.backfill.has_own_shape(job.metrics):
        return why.replace(": records ", ": backfill.records ", 1)
    return f"{why}. Where an answer for a range has another shape, backfill.records says where its records are"


class GapBackfill(JsonScraper):
    """A JSON job with `backfill`. `age_limit_ms` is the age at which every endpoint refuses a sample (0: none does)."""

    def __init__(
        self,
        target: Target[JsonJob],
        intern: Intern,
        observe: Observe | None,
        mark_of: MarkOf,
        every_ms: int,
        age_limit_ms: int,
        now_ms: Callable[[], int],
    ) -> None:
        super().__init__(target, intern, now_ms, observe, mark_of, age_limit_ms)
        self._every_ms = every_ms
        self._failures = 0
        self.timeout_ms = _NO_LIMIT_MS  # each request has scrape_timeout; the run's time limits all of them together

    def fetch(self, fetcher: Fetcher, deadline: float) -> _GapAnswer:
        """The gap, and then the fresh answer if the run's time suffices. What fails is the answer's `error`."""
        answer = _GapAnswer(failures=self._failures)
        gap = gap_of(self._mark_of(self.name), self._every_ms, self._now_ms(), self._age_limit_ms)
        if gap is not None and not self._fetch_gap(gap, answer, fetcher, deadline):
            return answer
        try:
            answer.pages = self._fetch_pages(self.reader, fetcher, deadline)
        except Exception as error:
            answer.error = explained(error)
        return answer

    def _fetch_gap(self, gap: Gap, answer: _GapAnswer, fetcher: Fetcher, deadline: float) -> bool:
        """As many windows of the gap as the time allows. True when fresh samples may be sent: the gap is complete, or
        this is the last of too many runs that failed."""
        backfill = self.job.backfill
        assert backfill is not None  # noqa: S101 - environment.py makes no others
        answer.span = gap.span
        if gap.missed_ms < gap.start_ms:
            lost = f"{_clock(gap.missed_ms)} to {_clock(gap.start_ms)}"
            answer.notes.append(f"the gap {lost} stays: no endpoint accepts samples that old")
        longest = 0.0
        for start_ms, end_ms in windows(gap, backfill.window_ms):
            began = time.monotonic()
            if answer.windows and deadline - began < 2 * longest + _FRESH_SECONDS:
                detail = f"the gap is filled up to {_clock(start_ms)} of {_clock(gap.end_ms)}; the next run continues"
                answer.notes.append(detail)
                return False
            job = ranged(self.job, backfill, start_ms, end_ms)
            reader = JsonReader(job, address_of(job), self.target.labels, self._intern)
            try:
                pages = self._fetch_pages(reader, fetcher, deadline)
            except Exception as error:
                return self._fail(answer, replace(gap, start_ms=start_ms), explained(error))
            answer.windows.append((end_ms, reader, pages))
            longest = max(longest, time.monotonic() - began)
        return True

    def _fetch_pages(self, reader: JsonReader, fetcher: Fetcher, deadline: float) -> Pages:
        timeout = time.monotonic() + self.job.scrape_timeout_ms / 1000
        return reader.fetch(fetcher, min(deadline, timeout), self._now_ms())

    def _fail(self, answer: _GapAnswer, left: Gap, why: str) -> bool:
        """The API does not return the range. Earlier windows are sent; fresh samples wait a few runs for the rest."""
        answer.failures += 1
        if answer.failures >= _MAX_FAILURES:
            answer.notes.append(_stays(left.span, why))
            return True
        detail = f"the gap {left.span} is not filled yet, and fresh samples wait for it: {why}"
        if answer.windows:
            answer.notes.append(detail)
        else:
            answer.error = detail
        return False

    def to_scrape(self, response: ScrapeResponse, run: int, now_ms: int) -> Scrape:
        answer = response.answer
        if response.error or not isinstance(answer, _GapAnswer):
            return super().to_scrape(response, run, now_ms)
        self._failures = answer.failures
        if answer.error:
            return super().to_scrape(replace(response, error=answer.error, answer=None), run, now_ms)
        filled = Scrape(self.name, self.instance, response.started_ms)
        try:
            for _, reader, pages in answer.windows:
                self._map_window(reader, pages, filled, run, now_ms)
        except Exception as error:
            self._failures += 1
            why = f"the answer for a gap cannot be read: {explained(error)}"
            if self._failures < _MAX_FAILURES or answer.pages is None:
                return super().to_scrape(replace(response, error=why, answer=None), run, now_ms)
            filled = Scrape(self.name, self.instance, response.started_ms)
            answer.notes.append(_stays(answer.span, why))
        scrape = super().to_scrape(replace(response, answer=answer.pages or Pages()), run, now_ms)
        if scrape.error:
            return scrape
        if answer.pages is not None:
            self._failures = 0
        return self._joined(scrape, filled, answer)

    def _map_window(self, reader: JsonReader, pages: Pages, filled: Scrape, run: int, now_ms: int) -> None:
        """Adds one window's samples. Raises ScrapeFailed when every metric failed in it."""
        before = len(filled.metrics)
        reader.to_samples(pages, filled, run, now_ms)
        results = filled.metrics[before:]
        if all(one.failed for one in results):
            raise ScrapeFailed("; ".join(with_key(self.job, one.failed) for one in results))

    def _joined(self, scrape: Scrape, filled: Scrape, answer: _GapAnswer) -> Scrape:
        """Gap and fresh answer in one scrape, the gap first."""
        samples = Samples()
        samples.extend(filled.samples)
        samples.extend(scrape.samples)
        scrape.samples = samples
        scrape.skipped.merge(filled.skipped)
        scrape.dropped.merge(filled.dropped)
        results = {one.metric: one for one in scrape.metrics}
        for one in filled.metrics:
            if one.metric in results:
                results[one.metric].merge(one)
        scrape.records += filled.records
        scrape.notes += answer.notes
        if answer.pages is None:
            before = self._mark_of(self.name)
            filled_ms = max((end_ms for end_ms, *_ in answer.windows), default=0)
            scrape.mark = replace(before, newest_ms=filled_ms) if before else None
        return scrape


def _stays(span: str, why: str) -> str:
    return f"the gap {span} stays: its backfill failed {_MAX_FAILURES} times, the last time with: {why}"


def _clock(milliseconds: int) -> str:
    return datetime.fromtimestamp(milliseconds / 1000, UTC).strftime("%H:%M:%SZ")
