"""A range of time asked of a job's API, window by window, oldest first."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

from ..config.schema import JsonJob
from ..config.timestamp import BadTimestamp, Format
from ..http.fetch import BodyTooLarge, Fetcher
from ..json_api.pagination import JsonPage
from ..json_api.reader import JsonReader
from ..model.reason_counts import ReasonCounts
from ..model.samples import Intern
from ..model.scrape import Scrape
from ..scrape.collect import explained, hide_secrets
from ..scrape.gap_backfill import ranged, rounded_up, with_key
from ..scrape.json_scraper import fetch_pages
from .source import Mark, Part, SourceFailed, within
from .times import shown

MAX_WINDOWS = 20_000
_TRIES = 3
_PAUSE_SECONDS = 1.0


@dataclass(frozen=True, slots=True)
class Span:
    """A range of time in milliseconds, both ends included, in windows of `window_ms` at most. Before `oldest_ms` nobody
    wants anything: that part is told, not fetched."""

    start_ms: int
    end_ms: int
    window_ms: int
    oldest_ms: int = 0

    def windows(self, mark: Mark) -> Iterator[tuple[int, int]]:
        """The windows from a mark on."""
        at = max(mark.at, self.start_ms)
        while at <= self.end_ms:
            end = min(at + self.window_ms - 1, self.end_ms)
            if self.end_ms - end == 1:  # both ends are included: a range of whole windows has one moment more
                end = self.end_ms
            if at < self.oldest_ms:
                end = min(self.oldest_ms - 1, self.end_ms)
            yield at, end
            at = end + 1

    @property
    def count(self) -> int:
        first = max(self.start_ms, self.oldest_ms)
        wanted = max(-(-max(self.end_ms - first, 1) // self.window_ms), 0) if first <= self.end_ms else 0
        return wanted + (1 if self.oldest_ms > self.start_ms else 0)

    def share(self, at: int) -> float:
        return min(max((at - self.start_ms) / max(self.end_ms + 1 - self.start_ms, 1), 0.0), 1.0)

    def under_way(self, mark: Mark, until: Mark) -> tuple[int, int]:
        """The window that began at `mark` and ended at `until`."""
        return max(mark.at, self.start_ms), until.at - 1

    def place(self, mark: Mark) -> str:
        return f"from {shown(max(mark.at, self.start_ms))} on"

    def part(self, start_ms: int, end_ms: int, *, is_fetched: bool = True) -> Part:
        """A window with nothing in it yet."""
        where = f"{shown(start_ms)} to {shown(end_ms)}"
        share = self.share(end_ms + 1)
        return Part(where, Mark(end_ms + 1), share, span=(start_ms, end_ms), is_fetched=is_fetched)


class ApiSource:
    """A JSON job whose config says how its API is asked for a range."""

    def __init__(
        self, job: JsonJob, span: Span, intern: Intern, fetcher: Fetcher, now_ms: Callable[[], int],
        sleep: Callable[[float], None],
    ) -> None:  # fmt: skip
        if job.backfill is None:
            raise ValueError("the job has no backfill")
        self._job, self._span, self._backfill = job, span, job.backfill
        self._fetcher, self._now_ms, self._sleep = fetcher, now_ms, sleep
        self._intern, self._run = intern, 0
        self._of_ranges = replace(job, metrics=job.backfill.metrics)
        self._reader = JsonReader(self._of_ranges, intern)

    @property
    def identity(self) -> list[str]:
        return [f"{self._span.start_ms}-{self._span.end_ms}"]

    @property
    def windows(self) -> int | None:
        return self._span.count

    def forget(self) -> None:
        self._reader = JsonReader(self._of_ranges, self._intern)

    def place(self, mark: Mark) -> str:
        return f"{self._job.job_name}, {self._span.place(mark)}"

    def parts(self, mark: Mark, deadline: float, until: Mark | None = None) -> Iterator[Part]:
        if until is not None:
            yield from self._fetched(*self._span.under_way(mark, until), deadline)
        for start_ms, end_ms in self._span.windows(until or mark):
            if start_ms < self._span.oldest_ms:
                yield self._span.part(start_ms, end_ms, is_fetched=False)
            else:
                yield from self._fetched(start_ms, end_ms, deadline)

    def _fetched(self, start_ms: int, end_ms: int, deadline: float) -> Iterator[Part]:
        """One window; in halves, when the API has more for it than fits."""
        part = self._span.part(start_ms, end_ms)
        try:
            pages = self._pages(start_ms, end_ms, deadline)
            scrape = self._mapped(pages, part.where)
        except BodyTooLarge as error:
            yield from self._halves(start_ms, end_ms, deadline, explained(error))
            return
        if scrape.more_pages:
            yield from self._halves(start_ms, end_ms, deadline, scrape.more_pages)
            return
        detail = (
            f"{part.where}: the API answers outside of the range that it was asked for: does it know the parameters?"
        )
        form = self._backfill.format
        asked = within(scrape.samples, _rounded_down(form, start_ms), rounded_up(form, end_ms), scrape.skipped, detail)
        part.samples = within(asked, start_ms, end_ms, ReasonCounts(), "")  # the rest is a neighbour's
        part.skipped, part.dropped, part.records = scrape.skipped, scrape.dropped, scrape.records
        self._tell_failed(part, scrape)
        if not scrape.records and not scrape.failed:
            part.notes.append(f"{part.where}: the API has nothing")
        yield part

    def _tell_failed(self, part: Part, scrape: Scrape) -> None:
        """A metric whose records are missing is no sample that was skipped, and must not pass for an empty window."""
        for one in scrape.metrics:
            if one.failed:
                detail = f"{part.where}: {with_key(self._job, one.failed)}"
                part.notes.append(detail)
                if not one.records:
                    part.skipped.add("records_missing", detail, subject=one.metric)

    def _halves(self, start_ms: int, end_ms: int, deadline: float, why: str) -> Iterator[Part]:
        step_ms = max(self._backfill.step_ms, 1)
        half = (end_ms + 1 - start_ms) // 2 // step_ms * step_ms
        if not half:
            where = f"{shown(start_ms)} to {shown(end_ms)}"
            raise SourceFailed(f"{self._job.job_name}: {where}: {why}, in the shortest window that is asked for")
        yield from self._fetched(start_ms, start_ms + half - 1, deadline)
        yield from self._fetched(start_ms + half, end_ms, deadline)

    def _pages(self, start_ms: int, end_ms: int, deadline: float) -> Sequence[JsonPage]:
        """What the API answers for one window, after a few tries. Raises SourceFailed and BodyTooLarge."""
        job = ranged(self._job, self._backfill, start_ms, end_ms)
        for tries_left in range(_TRIES - 1, -1, -1):
            until = min(deadline, time.monotonic() + self._job.scrape_timeout_ms / 1000)
            try:
                return fetch_pages(job, self._reader, self._fetcher, until)
            except BodyTooLarge:
                raise
            except Exception as error:
                if not tries_left or time.monotonic() + _PAUSE_SECONDS >= deadline:
                    where = f"{shown(start_ms)} to {shown(end_ms)}"
                    detail = self._fetcher.masked(explained(error))
                    raise SourceFailed(f"{self._job.job_name}: {where}: {detail}") from None
                self._sleep(_PAUSE_SECONDS)
        raise AssertionError("the last try has returned or raised")

    def _mapped(self, pages: Sequence[JsonPage], where: str) -> Scrape:
        self._run += 1
        now_ms = self._now_ms()
        scrape = Scrape(self._job.job_name, self._job.instance, now_ms)
        try:
            self._reader.to_samples(pages, scrape, self._run, now_ms)
        except Exception as error:
            detail = self._fetcher.masked(explained(error))
            raise SourceFailed(f"{self._job.job_name}: {where}: the answer cannot be read: {detail}") from None
        hide_secrets(scrape, self._fetcher.masked)
        return scrape


def _rounded_down(form: Format, milliseconds: int) -> int:
    """A time as the format writes it."""
    try:
        return min(form.milliseconds(form.written(milliseconds)), milliseconds)
    except BadTimestamp:
        return milliseconds


def with_window(job: JsonJob, window_ms: int, step_ms: int) -> JsonJob:
    """The job with another window or step than its config says (0 for the same)."""
    if job.backfill is None:
        return job
    found = job.backfill
    return replace(
        job,
        backfill=replace(found, window_ms=window_ms or found.window_ms, step_ms=step_ms or found.step_ms),
    )
