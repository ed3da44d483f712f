"""Pagination of a JSON API: the request for each page, made from the page before."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urljoin

from ..config.expression import Expression, Records
from ..config.expression_context import BudgetExceeded, Document, Evaluation, ExpressionFailed, Position
from ..config.schema import BY_CONTENT_TYPE, BodyFormat, HttpClientConfig, JsonJob, Pagination
from ..config.shown_json import kind_of
from ..config.yaml_reader import shown_url
from ..http import content_coding, parsed
from ..http.fetch import Body, Fetcher, FetchError, SourceRequest, is_2xx, origin
from ..http.query import with_query
from ..model.reason_counts import ReasonCounts
from .decode import decode_body, evaluation
from .values import label_text

CURSOR = "{cursor}"
"""The placeholder in a job's `body` that the next page's cursor replaces."""
_ACCEPT = {
    **dict.fromkeys(("", "json"), "application/json"),
    "ndjson": "application/x-ndjson, application/json;q=0.9, */*;q=0.5",
    "csv": "text/csv, */*;q=0.5",
    "xml": "application/xml, text/xml, */*;q=0.5",
    "text": "text/plain, */*;q=0.5",
}
"""What a request asks for, by the job's `format`."""
_MAX_LINK = 8_000  # characters: servers refuse longer request lines, and errors show the address


@dataclass(slots=True)
class JsonPage:
    """One page: its body and its size in bytes, how it is read, the status and headers of its answer, the document
    decoded from it (None while it is not decoded yet), and what of that cannot be read."""

    content: bytes | bytearray = field(repr=False)
    content_type: str
    size: int
    body_format: BodyFormat
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    document: Any = field(default=None, repr=False)
    skipped: ReasonCounts = field(default_factory=ReasonCounts)

    @staticmethod
    def of(body: Body, body_format: BodyFormat) -> JsonPage:
        """A page that is not decoded yet."""
        size = len(body.content)
        return JsonPage(body.content, body.content_type, size, body_format, body.status, body.headers)

    def decoded(self, *, exact: bool) -> Any:
        """The document. Raises NotJson."""
        self.skipped = ReasonCounts()  # a page may be decoded twice
        return decode_body(self.content, self.content_type, self.body_format, self.skipped, exact=exact)

    def answer(self, document: Any, evaluation: Evaluation) -> Document:
        """A document of the page, with what expressions may ask about its answer."""
        return Document(document, self.status, self.headers, evaluation)


@dataclass(frozen=True, slots=True)
class ApiRequest:
    """What is asked of an API, page by page, with the query parameters in `url`. A status that `is_success` does not
    name is an error; the bodies of all pages together have `max_bytes` at most. `lists` are the records of a page."""

    url: str = field(repr=False)
    http: HttpClientConfig = field(repr=False)
    max_bytes: int
    lists: Sequence[Records]
    pagination: Pagination | None = None
    method: str = "GET"
    body: str | None = field(default=None, repr=False)
    is_success: Callable[[int], bool] = is_2xx
    allow_link_local: bool = False
    unix_socket: str = ""
    body_format: BodyFormat = BY_CONTENT_TYPE

    @staticmethod
    def of(job: JsonJob, url: str, unix_socket: str = "") -> ApiRequest:
        """The request of a job to one of its targets."""
        codes = job.valid_status_codes
        return ApiRequest(
            url,
            job.http,
            job.limits.body_size_bytes,
            [metric.records for metric in job.metrics if metric.records.is_list],
            job.pagination,
            job.method,
            job.body,
            codes.__contains__ if codes else is_2xx,
            job.allow_link_local,
            unix_socket,
            job.body_format,
        )


class PageWalk:
    """The pages of one answer. `requests` makes the request for a page after the page before it was given to `add`."""

    def __init__(self, request: ApiRequest, pages: Sequence[JsonPage] = ()) -> None:
        self._request, self.pages = request, list(pages)
        pagination = request.pagination
        self._evaluation = evaluation(request.max_bytes, 0)  # pagination.path knows no now()
        self._has_cursor_in_body = (
            pagination is not None and pagination.style == "cursor" and CURSOR in (request.body or "")
        )

    def requests(self) -> Iterator[tuple[str, bytes | None]]:
        """URL and body of each request. Raises FetchError when a page names no usable next page."""
        pagination, url = self._request.pagination, self._request.url
        if pagination is None:
            yield url, self._body("")
            return
        if pagination.style == "page":
            url = with_query(url, {pagination.parameter: str(pagination.first_page)})
        first, cursor, seen = url, "", set[tuple[str, bytes | None]]()
        while len(self.pages) < pagination.max_pages:
            request = url, self._body(cursor)
            if request in seen:
                what = f"cursor {cursor!r:.60}" if self._has_cursor_in_body else shown_url(url)
                raise FetchError(f"page {len(self.pages)} names a page that was read before: {what}")
            seen.add(request)
            yield request
            if not self.has_more():
                return
            if self._has_cursor_in_body:
                cursor = self._cursor(pagination)
            else:
                url = self._next_url(pagination, url, first)

    def add(self, page: JsonPage) -> None:
        """Raises FetchError when the API returned the page before once more."""
        if self.pages and page.content == self.pages[-1].content:
            pagination, detail = self._request.pagination, f"page {len(self.pages) + 1} is the same as the one before"
            if pagination is None or pagination.style == "next_link":
                raise FetchError(f"{detail}: the address at pagination.path leads to the same answer")
            raise FetchError(f"{detail}: does the API know {pagination.parameter!r}, pagination.parameter?")
        self.pages.append(page)

    def has_more(self) -> bool:
        """Whether the last page names another one; with page numbers, whether it has records."""
        pagination = self._request.pagination
        if pagination is None:
            return False
        return self._record_count() > 0 if pagination.style == "page" else bool(self._pointer())

    def _body(self, cursor: str) -> bytes | None:
        body = self._request.body
        if body is not None and self._has_cursor_in_body:
            body = body.replace(CURSOR, json.dumps(cursor)[1:-1])
        return body.encode() if body is not None else None

    def _pointer(self) -> Any:
        """What pagination.path finds on the last page: a link or a cursor."""
        pagination = self._request.pagination
        return found_by(pagination.path, self._last()) if pagination and pagination.path else None

    def _last(self) -> Document:
        """The last page, for expressions."""
        page = self.pages[-1]
        return page.answer(page.document, self._evaluation)

    def _record_count(self) -> int:
        document = self.pages[-1].document
        if self._request.pagination and self._request.pagination.path:
            found = self._pointer()
            return len(found) if isinstance(found, list | dict) else int(found is not None)
        if isinstance(document, list):
            return len(document)
        if not self._request.lists:
            raise FetchError("style page needs pagination.path here: the list that is empty on the last page")
        try:
            return sum(len(group.records) for records in self._request.lists for group in records.walk(self._last()))
        except BudgetExceeded as error:
            raise FetchError(str(error)) from None

    def _next_url(self, pagination: Pagination, url: str, first: str) -> str:
        if pagination.style == "page":
            return with_query(first, {pagination.parameter: str(pagination.first_page + len(self.pages))})
        if pagination.style == "cursor":
            return with_query(first, {pagination.parameter: self._cursor(pagination)})
        link = self._pointer()
        if not isinstance(link, str):
            raise FetchError(f"page {len(self.pages)}: pagination.path finds {kind_of(link)}; a next link is a text")
        return self._linked(url, link)

    def _cursor(self, pagination: Pagination) -> str:
        """The last page's cursor as text."""
        cursor, page = self._pointer(), self.pages[-1]
        if isinstance(cursor, float):  # as the document wrote it
            exact = page.decoded(exact=True)
            shared = evaluation(self._request.max_bytes, 0, exact=True)
            cursor = found_by(pagination.path, page.answer(exact, shared))
        if isinstance(cursor, list | dict):
            detail = f"pagination.path finds {kind_of(cursor)}; a cursor is a text or a number"
            raise FetchError(f"page {len(self.pages)}: {detail}")
        text = label_text(cursor, exact=True)
        try:
            text.encode()
        except UnicodeEncodeError:
            raise FetchError(f"page {len(self.pages)}: pagination.path finds a text that is not Unicode") from None
        return text

    def _linked(self, url: str, link: str) -> str:
        """The address of a next link. Raises FetchError when it leaves the job's own origin: credentials stay there."""
        if len(link) > _MAX_LINK:
            raise FetchError(f"the next link has more than {_MAX_LINK:,} characters")
        try:
            target = parsed(urljoin(url, link)).url
            is_same_origin = origin(target) == origin(self._request.url)
        except ValueError:
            raise FetchError("the next link is no address") from None
        if not is_same_origin:
            home = shown_url(self._request.url)
            raise FetchError(f"the next link leaves {home} for {shown_url(target)}: not followed")
        return target


def found_by(path: Expression | None, answer: Document) -> Any:
    """What pagination.path finds in an answer. Raises FetchError."""
    try:
        return path.one(answer.value, Position(answer, (answer.value,))) if path else None
    except (ExpressionFailed, BudgetExceeded) as error:
        raise FetchError(f"pagination.path {error}") from None


def fetch_pages(
    request: ApiRequest, read: Callable[[Body], JsonPage], fetcher: Fetcher, deadline: float
) -> list[JsonPage]:
    """Every page of an API's answer, before `deadline` (monotonic seconds); `read` decodes a body.
    Raises FetchError, and what `read` raises."""
    walk, left_bytes = PageWalk(request), request.max_bytes
    for url, body in walk.requests():
        page = SourceRequest(
            request.method,
            url,
            request.http,
            left_bytes,
            request.is_success,
            body=body,
            public_headers=(("Accept", _ACCEPT[request.body_format.format]),),
            accept_encoding=content_coding.ALL,
            allow_link_local=request.allow_link_local,
            unix_socket=request.unix_socket,
        )
        found = fetcher.fetch(page, deadline)
        left_bytes -= len(found.content)
        walk.add(read(found))
    return walk.pages


def pages_left_out(request: ApiRequest, pages: Sequence[JsonPage]) -> str:
    """Says that `max_pages` ended the walk before the API did, "" if it did not."""
    pagination = request.pagination
    if pagination is None or len(pages) < pagination.max_pages or not PageWalk(request, pages).has_more():
        return ""
    return f"stopped after {len(pages)} pages, max_pages; the API has more"
