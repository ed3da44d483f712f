"""A job's API, queried for a time range."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import replace

from ..config.schema import JsonJob
from ..config.timestamp import BadTimestamp, Format
from ..http.fetch import BodyTooLarge, Fetcher
from ..json_api.pagination import ApiRequest, Pages, fetch_pages
from ..json_api.reader import JsonReader
from ..model.drop_reasons import DropReason
from ..model.reason_counts import ReasonCounts
from ..model.samples import Intern
from ..model.scrape import Scrape
from ..scrape.collect import explained, hide_secrets
from ..scrape.gap_backfill import ranged, rounded_up, with_key
from ..scrape.targets import address_of, url_target
from .source import Part, SourceFailed, unlisted_states, within
from .span import PAUSE_SECONDS, TRIES, RangeSource, Span


class ApiSource(RangeSource):
    """A JSON job whose config says how to query its API for a range."""

    def __init__(
        self, job: JsonJob, span: Span, intern: Intern, fetcher: Fetcher, now_ms: Callable[[], int],
        sleep: Callable[[float], None],
    ) -> None:  # fmt: skip
        if job.backfill is None:
            raise ValueError("the job has no backfill")
        super().__init__(job.job_name, span, job.backfill.step_ms)
        self._job, self._backfill = job, job.backfill
        self._fetcher, self._now_ms, self._sleep = fetcher, now_ms, sleep
        self._intern, self._run = intern, 0
        self._of_ranges = replace(job, metrics=job.backfill.metrics)
        self._target = url_target(job)
        self.forget()

    def forget(self) -> None:
        self._reader = JsonReader(self._of_ranges, self._target.url, self._target.labels, self._intern)

    def _fetched(self, start_ms: int, end_ms: int, deadline: float) -> Iterator[Part]:
        part = self._span.part(start_ms, end_ms)
        try:
            answer = self._pages(start_ms, end_ms, deadline)
            scrape = self._mapped(answer, part.where)
        except BodyTooLarge as error:
            yield from self._halves(start_ms, end_ms, deadline, explained(error))
            return
        if scrape.more_pages:
            yield from self._halves(start_ms, end_ms, deadline, scrape.more_pages)
            return
        detail = f"{part.where}: the API returns records outside of the requested range: does it know the parameters?"
        form = self._backfill.format
        asked = within(scrape.samples, _rounded_down(form, start_ms), rounded_up(form, end_ms), scrape.skipped, detail)
        part.samples = within(asked, start_ms, end_ms, ReasonCounts(), "")  # the rest belongs to a neighbouring window
        part.skipped, part.dropped, part.records = scrape.skipped, scrape.dropped, scrape.records
        self._note_failed(part, scrape)
        part.notes += unlisted_states(scrape, part.where)
        if not scrape.records and not scrape.failed:
            part.notes.append(f"{part.where}: the API has nothing")
        yield part

    def _note_failed(self, part: Part, scrape: Scrape) -> None:
        """A metric whose records are missing must not look like an empty window: it counts as skipped."""
        for one in scrape.metrics:
            if one.failed:
                detail = f"{part.where}: {with_key(self._job, one.failed)}"
                part.notes.append(detail)
                if not one.records:
                    part.skipped.add(DropReason.RECORDS_MISSING, detail, subject=one.metric)

    def _pages(self, start_ms: int, end_ms: int, deadline: float) -> Pages:
        """The API's answer for one window, after a few tries. Raises SourceFailed and BodyTooLarge."""
        job = ranged(self._job, self._backfill, start_ms, end_ms)
        request = ApiRequest.of(job, address_of(job), self._target.labels).at(self._now_ms())
        for tries_left in range(TRIES - 1, -1, -1):
            until = min(deadline, time.monotonic() + self._job.scrape_timeout_ms / 1000)
            try:
                return fetch_pages(request, self._reader.page, self._fetcher, until)
            except BodyTooLarge:
                raise
            except Exception as error:
                if not tries_left or time.monotonic() + PAUSE_SECONDS >= deadline:
                    raise self._failed(start_ms, end_ms, self._fetcher.masked(explained(error))) from None
                self._sleep(PAUSE_SECONDS)
        raise AssertionError("the last try has returned or raised")

    def _mapped(self, answer: Pages, where: str) -> Scrape:
        self._run += 1
        now_ms = self._now_ms()
        scrape = Scrape(self._job.job_name, self._target.instance, now_ms)
        try:
            self._reader.to_samples(answer, scrape, self._run, now_ms)
        except Exception as error:
            detail = self._fetcher.masked(explained(error))
            raise SourceFailed(f"{self._job.job_name}: {where}: the answer cannot be read: {detail}") from None
        hide_secrets(scrape, self._fetcher.masked)
        return scrape


def _rounded_down(form: Format, milliseconds: int) -> int:
    """A time as precise as the format writes it."""
    try:
        return min(form.milliseconds(form.written(milliseconds)), milliseconds)
    except BadTimestamp:
        return milliseconds
