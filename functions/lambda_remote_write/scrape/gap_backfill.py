"""Gaps heal themselves: a JSON job that says how its API is asked for a range of time gets what runs have missed,
oldest first, before its fresh answer.

AMP takes nothing that is older than what its series has, so that a gap can be filled only before the next sample goes
out. Until it is filled, the job's fresh answer waits: the API still has it.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime

from ..config.schema import Backfill, JsonJob
from ..config.timestamp import BadTimestamp, Format
from ..http.fetch import Fetcher
from ..json_api.mapping import Observe, ScrapeFailed
from ..model.samples import Intern, Samples
from ..model.scrape import HighWaterMark, Scrape
from .collect import ScrapeResponse, explained
from .json_scraper import JsonSource, Known, Page

_LATE_INTERVALS = 1.5  # a schedule fires somewhere within its minute
_MAX_FAILURES = 3  # of the API's range, one after the other; then the gap is given up, and the fresh answer goes out
_FRESH_SECONDS = 0.5  # are left for the fresh answer at least
_NO_LIMIT_MS = 10**12


@dataclass(frozen=True, slots=True)
class Gap:
    """What is missing, in milliseconds, both ends included. What lies before `start_ms` from `missed_ms` on is too old
    for the receiver."""

    start_ms: int
    end_ms: int
    missed_ms: int

    @property
    def span(self) -> str:
        return f"{_clock(self.start_ms)} to {_clock(self.end_ms)}"


@dataclass(slots=True)
class _Answer:
    """What the API gave: windows of the gap, each with the source that reads it, and its fresh answer, unless there
    was no time for that yet (None)."""

    windows: list[tuple[int, JsonSource, list[Page]]] = field(default_factory=list)
    pages: list[Page] | None = None
    notes: list[str] = field(default_factory=list)
    error: str = ""
    failures: int = 0  # of gaps, one after the other


def gap_of(mark: HighWaterMark | None, every_ms: int, now_ms: int, age_limit_ms: int) -> Gap | None:
    """The gap of a job that should run `every_ms`; None when it missed nothing, or nobody knows how far it came."""
    if mark is None or not mark.newest_ms or now_ms - mark.scraped_ms <= _LATE_INTERVALS * every_ms:
        return None
    oldest_ms = now_ms - age_limit_ms if age_limit_ms else 0
    missed_ms = mark.newest_ms + 1
    start_ms = max(missed_ms, oldest_ms)
    return Gap(start_ms, now_ms, missed_ms) if start_ms < now_ms else None


def windows(gap: Gap, longest_ms: int) -> Iterator[tuple[int, int]]:
    """(start, end) of the parts of a gap, oldest first, both included; neighbours share no millisecond."""
    start_ms = gap.start_ms
    while start_ms <= gap.end_ms:
        end_ms = min(start_ms + longest_ms - 1, gap.end_ms)
        yield start_ms, end_ms
        start_ms = end_ms + 1


def rounded_up(form: Format, milliseconds: int) -> int:
    """A time as the format can write it, not before the one that is meant: in whole seconds, minutes, hours or days, or
    points between two windows would be asked for in neither."""
    for coarse in (0, 999, 59_999, 3_599_999, 86_399_999):
        with contextlib.suppress(BadTimestamp):
            written = form.milliseconds(form.written(milliseconds + coarse))
            if written >= milliseconds:
                return written
    return milliseconds


def ranged(job: JsonJob, backfill: Backfill, start_ms: int, end_ms: int) -> JsonJob:
    """The job as it asks for one range: its own query parameters stay, where `backfill` does not name them."""
    words = {
        "{start}": backfill.format.written(start_ms),
        "{end}": backfill.format.written(rounded_up(backfill.format, end_ms)),
        "{step}": str(backfill.step_ms // 1000 or 1),
    }

    def filled(text: str) -> str:
        for placeholder, word in words.items():
            text = text.replace(placeholder, word)
        return text

    query = dict(job.query) | {name: filled(value) for name, value in backfill.query}
    body = filled(backfill.body) if backfill.body is not None else job.body
    method = "POST" if backfill.body is not None else job.method
    return replace(
        job,
        url=backfill.url or job.url,
        query=tuple(query.items()),
        body=body,
        method=method,
        metrics=backfill.metrics,
        limits=replace(job.limits, sample_limit=0),  # which is meant for one answer
    )


def with_key(job: JsonJob, why: str) -> str:
    """Why a metric failed in an answer for a range, with the key that says where its records are there."""
    if ": records " not in why or job.backfill is None:
        return why
    if job.backfill.has_own_shape(job.metrics):
        return why.replace(": records ", ": backfill.records ", 1)
    return f"{why}. Where an answer for a range has another shape, backfill.records says where its records are"


class GapBackfill(JsonSource):
    """A JSON job whose API can be asked for ranges. `age_limit_ms` is how late the receivers take a sample."""

    def __init__(
        self,
        job: JsonJob,
        intern: Intern,
        observe: Observe | None,
        known: Known,
        every_ms: int,
        age_limit_ms: int,
        now_ms: Callable[[], int],
    ) -> None:
        super().__init__(job, intern, observe, known, age_limit_ms)
        self._intern, self._now_ms = intern, now_ms
        self._every_ms = every_ms
        self._failures = 0

    @property
    def timeout_ms(self) -> int:
        """The run's own time is the limit: each request of a gap has `scrape_timeout`."""
        return _NO_LIMIT_MS

    def fetch(self, fetcher: Fetcher, deadline: float) -> _Answer:
        """What is missing, and then the fresh answer; without the latter when the run's time does not suffice.
        `deadline` is monotonic seconds. Raises nothing: what fails is the answer's `error`."""
        answer = _Answer(failures=self._failures)
        gap = gap_of(self.known.mark_of(self.name), self._every_ms, self._now_ms(), self._age_limit_ms)
        if gap is not None and not self._fetch_gap(gap, answer, fetcher, deadline):
            return answer
        try:
            answer.pages = self.pages(fetcher, min(deadline, self._timeout_from_now()))
        except Exception as error:
            answer.error = explained(error)
        return answer

    def _fetch_gap(self, gap: Gap, answer: _Answer, fetcher: Fetcher, deadline: float) -> bool:
        """The windows of a gap, as many as the time is long; True when that is all of it, or it was given up."""
        backfill = self.job.backfill
        assert backfill is not None  # noqa: S101 - only such jobs are healing sources
        if answer.failures >= _MAX_FAILURES:
            answer.failures = 0
            answer.notes.append(f"a gap is given up from {gap.span}, after {_MAX_FAILURES} failures")
            return True
        if gap.missed_ms < gap.start_ms:
            lost = f"{_clock(gap.missed_ms)} to {_clock(gap.start_ms)}"
            answer.notes.append(f"a gap cannot be healed from {lost}: the receivers take nothing so old")
        longest = 0.0
        for start_ms, end_ms in windows(gap, backfill.window_ms):
            began = time.monotonic()
            if answer.windows and deadline - began < 2 * longest + _FRESH_SECONDS:
                detail = f"a gap is healed up to {_clock(start_ms)} of {_clock(gap.end_ms)}; the next run goes on"
                answer.notes.append(detail)
                return False
            source = JsonSource(ranged(self.job, backfill, start_ms, end_ms), self._intern)
            try:
                pages = source.pages(fetcher, min(deadline, self._timeout_from_now()))
            except Exception as error:
                return self._fail(answer, replace(gap, start_ms=start_ms), explained(error))
            answer.windows.append((end_ms, source, pages))
            longest = max(longest, time.monotonic() - began)
        return True

    def _fail(self, answer: _Answer, left: Gap, why: str) -> bool:
        """The API does not give the range. What came before it is kept; the fresh answer waits a few runs for it."""
        answer.failures += 1
        detail = f"a gap cannot be healed yet from {left.span}, and fresh samples wait for it: {why}"
        if answer.windows:
            answer.notes.append(detail)
        else:
            answer.error = detail
        return False

    def _timeout_from_now(self) -> float:
        return time.monotonic() + self.job.scrape_timeout_ms / 1000

    def settle(self, fetched: ScrapeResponse, run: int, now_ms: int) -> Scrape:
        answer = fetched.answer
        if fetched.error or not isinstance(answer, _Answer):
            return super().settle(fetched, run, now_ms)
        self._failures = answer.failures
        if answer.error:
            return super().settle(replace(fetched, error=answer.error, answer=None), run, now_ms)
        healed = Scrape(self.name, self.instance, fetched.started_ms)
        try:
            for _, source, pages in answer.windows:
                _map_window(source, pages, healed, run, now_ms, lambda why: with_key(self.job, why))
        except Exception as error:
            self._failures += 1
            detail = f"the answer for a gap cannot be read: {explained(error)}"
            return super().settle(replace(fetched, error=detail, answer=None), run, now_ms)
        scrape = super().settle(replace(fetched, answer=answer.pages or []), run, now_ms)
        if scrape.error:
            return scrape
        if answer.pages is not None:
            self._failures = 0
        return self._joined(scrape, healed, answer)

    def _joined(self, scrape: Scrape, healed: Scrape, answer: _Answer) -> Scrape:
        """Gap and fresh answer in one scrape, the gap first."""
        samples = Samples()
        samples.extend(healed.samples)
        samples.extend(scrape.samples)
        scrape.samples = samples
        for mine, its in ((scrape.skipped, healed.skipped), (scrape.dropped, healed.dropped)):
            mine.merge(its)
        results = {one.metric: one for one in scrape.metrics}
        for one in healed.metrics:
            if one.metric in results:
                results[one.metric].merge(one)
        scrape.records += healed.records
        scrape.notes += answer.notes
        healed_ms = max((end_ms for end_ms, *_ in answer.windows), default=0)
        if answer.pages is None:
            before = self.known.mark_of(self.name)
            scrape.mark = replace(before, newest_ms=healed_ms) if before else None
        return scrape


def _map_window(
    source: JsonSource, pages: list[Page], healed: Scrape, run: int, now_ms: int, explained_by: Callable[[str], str]
) -> None:
    """Adds one window's samples. Raises ScrapeFailed when its answer has none of what the metrics look for."""
    before = len(healed.metrics)
    source.map(pages, healed, run, now_ms)
    results = healed.metrics[before:]
    if all(one.failed for one in results):
        raise ScrapeFailed("; ".join(explained_by(one.failed) for one in results))


def _clock(milliseconds: int) -> str:
    return datetime.fromtimestamp(milliseconds / 1000, UTC).strftime("%H:%M:%SZ")
