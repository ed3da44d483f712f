"""One entry of `json_configs` against its API: ask page by page, decode once, map to samples."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, Protocol
from urllib.parse import unquote_plus, urlencode, urljoin, urlsplit, urlunsplit

from ..config import expression_trace
from ..config.expression import Scope
from ..config.scalars import print_duration
from ..config.schema import JsonJob
from ..config.yaml_reader import shown_url
from ..http import parsed
from ..http.fetch import Fetcher, FetchError, SourceRequest, origin
from ..json_api import pagination as page_rules
from ..json_api.decode import RecordReader, decode
from ..json_api.mapping import InexactNumber, JobMapper, Observe, ScrapeFailed, label_text
from ..model.reason_counts import ReasonCounts
from ..model.samples import Intern, Metadata, Samples
from ..model.scrape import HighWaterMark, Scrape
from . import up
from .collect import ScrapeResponse, explained
from .schedule import Tick, offset_ms
from .staleness import ActiveSeries

_MESSAGE_CHARACTERS = 200  # of what fail_message finds
CURSOR = "{cursor}"
"""Where a body says from which record on it wants the next page."""


@dataclass(slots=True)
class Page:
    """One answer: its bytes, and the document decoded from them."""

    content: bytes | bytearray = field(repr=False)
    content_type: str
    document: Any = field(repr=False)
    size: int


class Known(Protocol):
    """What is known of a job beyond this source's own memory."""

    def mark_of(self, job: str) -> HighWaterMark | None: ...


class _NobodyKnows:
    def mark_of(self, job: str) -> HighWaterMark | None:
        return None


class JsonSource:
    """A JSON job and what its environment remembers of it."""

    is_target = False

    def __init__(
        self,
        job: JsonJob,
        intern: Intern,
        observe: Observe | None = None,
        known: Known | None = None,
        age_limit_ms: int = 0,
    ) -> None:
        """`known` says how far the job has come in other environments. No endpoint takes what is older than
        `age_limit_ms` (0: some takes any age)."""
        self.job, self._age_limit_ms = job, age_limit_ms
        self.known: Known = known or _NobodyKnows()
        self._is_first = True  # in this environment
        self._has_followed = False  # the way from one page to the next has been found, in this environment
        self._is_stamped = all(metric.timestamp for metric in job.metrics)
        self.mapper = JobMapper(job, intern, observe)
        self._reader = record_reader(job)
        self._synthetic = up.Synthetic(self.mapper.target, up.NAMES, intern)
        self.active = ActiveSeries()

    @property
    def name(self) -> str:
        return self.job.job_name

    @property
    def key(self) -> str:
        """Two configs of a job with other labels for its series are two sources, of which the first one ends."""
        return "\xff".join([self.name, *(part for pair in sorted(self.mapper.target.items()) for part in pair)])

    @property
    def instance(self) -> str:
        return self.mapper.target["instance"]

    @property
    def interval_ms(self) -> int:
        return self.job.scrape_interval_ms

    @property
    def offset_ms(self) -> int:
        return offset_ms(self.name, self.interval_ms)

    @property
    def timeout_ms(self) -> int:
        return self.job.scrape_timeout_ms

    def is_due(self, tick: Tick) -> bool:
        return tick.takes(self.name, self.interval_ms, self.offset_ms)

    def mark_seen(self, run: int) -> None:
        """The mapper marks its series as it maps."""

    def prune(self, oldest_kept: int) -> None:
        """Lets go of series last seen before the run `oldest_kept`."""
        self.mapper.prune(oldest_kept)

    def fetch(self, fetcher: Fetcher, deadline: float) -> Any:
        """What the job's API answers now, before `deadline` (monotonic seconds). Raises as `pages` does."""
        return self.pages(fetcher, deadline)

    def pages(self, fetcher: Fetcher, deadline: float) -> list[Page]:
        """Every page, in order, before `deadline` (monotonic seconds).

        Raises FetchError and NotJson; the body limit is for all pages together.
        """
        pages: list[Page] = []
        left_bytes = self.job.limits.body_size_bytes
        for url, body in self._asked(pages):
            request = SourceRequest(
                self.job.method,
                url,
                self.job.headers,
                body,
                allow_link_local=self.job.allow_link_local,
            )
            found = fetcher.fetch(
                request, self.job.http, max_bytes=left_bytes, deadline=deadline, is_success=self._success
            )
            left_bytes -= len(found.content)
            page = Page(found.content, found.content_type, None, len(found.content))
            if pages and page.content == pages[-1].content:
                raise FetchError(self._same_page(len(pages) + 1))
            if self._reader is None:  # the next page's address may stand in this one
                page.document = decode(page.content, page.content_type, exact=self.mapper.exact)
            pages.append(page)
        return pages

    def _document(self, page: Page) -> Any:
        """The page's document. Columns are read here, where they are used and in the thread that keeps their values;
        the bytes are let go of at once. Raises NotJson."""
        if self._reader is None:
            return page.document
        columns = self._reader.read(page.content, page.content_type)
        if columns is None:
            return decode(page.content, page.content_type, exact=self.mapper.exact)
        page.content = b""
        return columns

    @property
    def _success(self) -> Callable[[int], bool]:
        codes = self.job.valid_status_codes
        return (lambda status: status in codes) if codes else (lambda status: 200 <= status < 300)

    def settle(self, fetched: ScrapeResponse, run: int, now_ms: int) -> Scrape:
        """Maps what was fetched; whatever goes wrong ends in the scrape's `error`."""
        scrape = Scrape(self.name, self.instance, fetched.started_ms, error=fetched.error)
        added = 0
        if not fetched.error:
            try:
                added = self.map(fetched.answer, scrape, run, now_ms)
                metrics = self.job.metrics
                scrape.metadata = tuple(Metadata(one.name, one.type, one.help, one.unit) for one in metrics)
            except Exception as error:
                scrape.error = explained(error)
        scrape.duration_seconds = fetched.seconds()
        scraped = len(scrape.samples) + scrape.dropped.total()
        after_relabel = scraped - scrape.dropped.counts["metric_relabel"]
        if scrape.error:  # nothing of it counts, but one still sees by how much a limit was crossed
            scrape.samples, scrape.dropped = Samples(), ReasonCounts()
        elif scrape.metrics and len(scrape.failed) == len(scrape.metrics):
            scrape.error = "; ".join(scrape.failed.values())
        else:
            self._mark(scrape)
        current = [] if scrape.error else self.mapper.unstamped
        self.active.update(current, scrape.samples, fetched.started_ms)
        is_up = 0.0 if scrape.error else 1.0
        values = [is_up, scrape.duration_seconds, float(scraped), float(after_relabel), float(added)]
        self._synthetic.add_to(scrape, values, run)
        return scrape

    def _mark(self, scrape: Scrape) -> None:
        """How far the job comes with this scrape. In a new environment, what another one has sent is left out."""
        series = len(scrape.samples)
        if not self._is_stamped or not series:
            scrape.mark = HighWaterMark(scrape.started_ms, scrape.started_ms, series=series)
            return
        stamps = scrape.samples.timestamps_ms
        oldest_ms, newest_ms = min(stamps), max(stamps)
        scrape.mark = HighWaterMark(scrape.started_ms, newest_ms, oldest_ms, series)
        known = self.known.mark_of(self.name) if self._is_first else None
        self._is_first = False
        if known is None:
            return
        too_old_ms = scrape.started_ms - self._age_limit_ms if self._age_limit_ms else known.oldest_ms
        repeated_ms = max(known.oldest_ms, min(known.newest_ms, too_old_ms))
        if oldest_ms <= repeated_ms:
            detail = "not newer than what the job has sent from another environment"
            scrape.samples = _newer_than(repeated_ms, scrape.samples, scrape.dropped, "not_newer", detail)
        if oldest_ms < too_old_ms:  # and newer than what the job has sent: it was missed
            detail = f"came too late for every endpoint, after {print_duration(self._age_limit_ms)}"
            scrape.samples = _newer_than(too_old_ms - 1, scrape.samples, scrape.dropped, "too_old", detail)

    def end(self, timestamp_ms: int) -> Samples:
        """Markers for all its series: the job is no more."""
        ended = self.active.end(timestamp_ms)
        ended.extend(self._synthetic.stale(timestamp_ms))
        return ended

    def map(self, pages: list[Page], scrape: Scrape, run: int, now_ms: int) -> int:
        """Fills the scrape; returns how many series are new. Raises ScrapeFailed."""
        scrape.pages = len(pages)
        scrape.body_bytes = sum(page.size for page in pages)
        documents = [self._document(page) for page in pages]
        self._check(documents)
        try:
            added = self.mapper.map(documents, scrape, run, now_ms)
        except InexactNumber:
            self.mapper.exact = True  # from now on at once
            documents = [decode(page.content, page.content_type, exact=True) for page in pages]
            scrape.skipped, scrape.dropped, scrape.samples, scrape.records = (
                ReasonCounts(),
                ReasonCounts(),
                Samples(),
                0,
            )
            scrape.metrics, scrape.notes = [], []
            added = self.mapper.map(documents, scrape, run, now_ms)
        if self.job.pagination and len(pages) >= self.job.pagination.max_pages and self._has_more(pages):
            scrape.more_pages = f"stopped after {len(pages)} pages, max_pages; the API has more"
            scrape.notes.append(scrape.more_pages)
        if self.job.pagination:
            documents = [page.document for page in pages]
            self._has_followed = self._has_followed or len(pages) > 1
            scrape.notes += page_rules.warnings(self.job, documents, has_followed=self._has_followed)
        return added

    def _check(self, documents: list[Any]) -> None:
        """Whether the API says itself that it has failed. Raises ScrapeFailed."""
        condition, message = self.job.fail_if, self.job.fail_message
        for document in documents if condition is not None else ():
            if condition is not None and expression_trace.is_true(condition.one(document)):
                detail = message.one(document) if message is not None else None
                words = (
                    f": {expression_trace.first_characters(detail, _MESSAGE_CHARACTERS)}" if detail is not None else ""
                )
                raise ScrapeFailed(f"fail_if {condition.text} holds{words}")

    # pages

    def _asked(self, pages: list[Page]) -> Iterator[tuple[str, bytes | None]]:
        """Address and body of the request for the next page, made after the one before has been put into `pages`."""
        if self._has_cursor_in_body:
            yield from self._cursors(pages)
        else:
            for url in self._urls(pages):
                yield url, _body_bytes(self.job.body)

    @property
    def _has_cursor_in_body(self) -> bool:
        pagination = self.job.pagination
        return pagination is not None and pagination.style == "cursor" and CURSOR in (self.job.body or "")

    def _cursors(self, pages: list[Page]) -> Iterator[tuple[str, bytes | None]]:
        """Requests whose body says where to go on: with an empty cursor first."""
        pagination, url = self.job.pagination, with_query(self.job.url, dict(self.job.query))
        assert pagination is not None  # noqa: S101 - _has_cursor_in_body said so
        cursor, seen = "", set[str]()
        while len(pages) < pagination.max_pages:
            if cursor in seen:
                raise FetchError(f"page {len(pages) + 1} names a cursor that was read before: {cursor!r:.60}")
            seen.add(cursor)
            yield url, _body_bytes((self.job.body or "").replace(CURSOR, json.dumps(cursor)[1:-1]))
            if not self._has_more(pages):
                return
            cursor = self._cursor_of(pages)

    def _urls(self, pages: list[Page]) -> Iterator[str]:
        """The address of the next page, made after the one before has been put into `pages`."""
        pagination = self.job.pagination
        first = with_query(self.job.url, dict(self.job.query))
        if pagination is None:
            yield first
            return
        if pagination.style == "page":
            first = with_query(first, {pagination.parameter: str(pagination.first_page)})
        seen, url = set(), first
        while url and len(pages) < pagination.max_pages:
            if url in seen:
                raise FetchError(f"page {len(pages) + 1} names a page that was read before: {shown_url(url)}")
            seen.add(url)
            yield url
            url = self._next_url(url, first, pages) if self._has_more(pages) else ""

    def _has_more(self, pages: list[Page]) -> bool:
        pagination = self.job.pagination
        if pagination is None:
            return False
        if pagination.style != "page":
            return bool(self._pointer(pages[-1]))
        return self._record_count(pages[-1]) > 0

    def _same_page(self, number: int) -> str:
        pagination = self.job.pagination
        detail = f"page {number} is the same as the one before"
        if pagination is None or pagination.style == "next_link":
            return f"{detail}: the address at pagination.path leads to the same answer"
        return f"{detail}: does the API know {pagination.parameter!r}, pagination.parameter?"

    def _pointer(self, page: Page) -> Any:
        """What the document says of the next page: a link or a cursor."""
        pagination = self.job.pagination
        return pagination.path.one(page.document) if pagination and pagination.path else None

    def _record_count(self, page: Page) -> int:
        if self.job.pagination and self.job.pagination.path:
            found = self._pointer(page)
            return len(found) if isinstance(found, list | dict) else int(found is not None)
        if isinstance(page.document, list):
            return len(page.document)
        lists = [metric.records for metric in self.job.metrics if metric.records.is_list]
        if not lists:
            raise FetchError("style page needs pagination.path here: the list that is empty on the last page")
        return sum(len(group.records) for records in lists for group in records.walk(page.document))

    def _next_url(self, url: str, first: str, pages: list[Page]) -> str:
        pagination = self.job.pagination
        assert pagination is not None  # noqa: S101 - _has_more said so
        if pagination.style == "page":
            return with_query(first, {pagination.parameter: str(pagination.first_page + len(pages))})
        if pagination.style == "cursor":
            return with_query(first, {pagination.parameter: self._cursor_of(pages)})
        pointer = self._pointer(pages[-1])
        if not isinstance(pointer, str):
            detail = f"a next link is a text, pagination.path finds {expression_trace.kind_of(pointer)}"
            raise FetchError(f"page {len(pages)}: {detail}")
        return self._linked(url, pointer)

    def _cursor_of(self, pages: list[Page]) -> str:
        """What the last page says of the next one, as text."""
        pagination, pointer = self.job.pagination, self._pointer(pages[-1])
        if isinstance(pointer, float):  # as the document wrote it
            exact = decode(pages[-1].content, pages[-1].content_type, exact=True)
            pointer = pagination.path.one(exact) if pagination and pagination.path else None
        if isinstance(pointer, list | dict):
            detail = f"a cursor is a text or a number, pagination.path finds {expression_trace.kind_of(pointer)}"
            raise FetchError(f"page {len(pages)}: {detail}")
        return label_text(pointer, exact=True)

    def _linked(self, url: str, link: str) -> str:
        """The next page's address, when it is on the job's own origin. Raises FetchError."""
        try:
            target = parsed(urljoin(url, link)).url
            at_home = origin(target) == origin(self.job.url)
        except ValueError:
            raise FetchError("the next link is no address") from None
        if not at_home:
            raise FetchError(f"the next link leaves {shown_url(self.job.url)} for {shown_url(target)}: not followed")
        return target


def _newer_than(oldest_ms: int, samples: Samples, dropped: ReasonCounts, reason: str, detail: str) -> Samples:
    kept = [index for index, stamp in enumerate(samples.timestamps_ms) if stamp > oldest_ms]
    if len(kept) < len(samples):
        dropped.add(reason, detail, len(samples) - len(kept))
    return samples.pick(kept)


def record_reader(job: JsonJob) -> RecordReader | None:
    """A reader for jobs whose document is a plain list and whose expressions are plain fields of its records; None for
    others."""
    metrics = job.metrics
    if job.pagination or job.fail_if or any(one.records.steps != metrics[0].records.steps for one in metrics):
        return None
    if any(one.value_map or one.value_regex is not None for one in metrics):  # they look at the text of a number
        return None
    step = metrics[0].records.steps[0]
    if len(metrics[0].records.steps) > 1 or step.path != ():
        return None
    labels = [expression for metric in metrics for _, expression in metric.labels]
    others = [metric.value for metric in metrics] + [one.timestamp.path for one in metrics if one.timestamp]
    read = [expression for expression in [*others, *labels] if expression.scope is not Scope.CONSTANT]
    if any(expression.scope is not Scope.RECORD or len(expression.path or ()) != 1 for expression in read):
        return None
    printed = {name for expression in labels if expression.scope is Scope.RECORD for name in expression.path or ()}
    return RecordReader([name for expression in read for name in expression.path or ()], printed)


def _body_bytes(body: str | None) -> bytes | None:
    return body.encode() if body is not None else None


def with_query(url: str, parameters: dict[str, str]) -> str:
    """The URL with these query parameters set; others it has stay as they are."""
    if not parameters:
        return url
    parts = urlsplit(url)
    given = [part for part in parts.query.split("&") if part]
    kept = [part for part in given if unquote_plus(part.partition("=")[0]) not in parameters]
    return urlunsplit(parts._replace(query="&".join([*kept, urlencode(parameters)])))
