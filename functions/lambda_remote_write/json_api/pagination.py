"""Pagination of a JSON API: what is asked of it, and the request for each page, made from the page before."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from ..config import templates
from ..config.expression import Records
from ..config.expression_context import Document, Evaluation
from ..config.schema import (
    BY_CONTENT_TYPE,
    DEFAULT_TEMPLATES,
    BodyFormat,
    HttpClientConfig,
    JsonJob,
    Pagination,
    Templates,
)
from ..config.secrets import Secret, SecretText
from ..config.yaml_reader import shown_url
from ..http import content_coding
from ..http.address import origin
from ..http.conditional import Body, StoredAnswer, has_own_conditions
from ..http.fetch import Fetcher, FetchError, SourceRequest, is_2xx
from ..http.response import Headers
from ..model.reason_counts import ReasonCounts
from .decode import NotJson, decode_body, evaluation

if TYPE_CHECKING:
    from .page_styles import PageStyle

_CURSOR = "{cursor}"
_NO_CONTENT = 204
_ACCEPT = {
    **dict.fromkeys(("", "json"), "application/json"),
    "ndjson": "application/x-ndjson, application/json;q=0.9, */*;q=0.5",
    "csv": "text/csv, */*;q=0.5",
    "xml": "application/xml, text/xml, */*;q=0.5",
    "text": "text/plain, */*;q=0.5",
}
"""What a request asks for, by the job's `format`."""


@dataclass(frozen=True, slots=True)
class ApiRequest:
    """What is asked of an API, page by page, with the query parameters in `url`. A status that `is_success` does not
    name is an error; the bodies of all pages together have `max_bytes` at most. `lists` are the records of a page.
    `labels` are the target's, for templates; `now_ms` is the time of one request, whose `url` was `template`."""

    url: str = field(repr=False)
    http: HttpClientConfig = field(repr=False)
    max_bytes: int
    lists: Sequence[Records]
    pagination: Pagination | None = None
    method: str = "GET"
    body: str | None = field(default=None, repr=False)
    templates: Templates = DEFAULT_TEMPLATES
    labels: Mapping[str, str] = field(default_factory=dict)
    is_success: Callable[[int], bool] = is_2xx
    allow_link_local: bool = False
    unix_socket: str = ""
    body_format: BodyFormat = BY_CONTENT_TYPE
    now_ms: int = 0
    template: str = field(default="", repr=False)

    @staticmethod
    def of(job: JsonJob, url: str, labels: Mapping[str, str], unix_socket: str = "") -> ApiRequest:
        """The request of a job to one of its targets."""
        codes = job.valid_status_codes
        return ApiRequest(
            url,
            job.http,
            job.limits.body_size_bytes,
            [metric.records for metric in job.metrics if metric.records.is_list],
            job.pagination,
            method=job.method,
            body=job.body,
            templates=job.templates,
            labels=labels,
            is_success=codes.__contains__ if codes else is_2xx,
            allow_link_local=job.allow_link_local,
            unix_socket=unix_socket,
            body_format=job.body_format,
        )

    def source(self) -> SourceRequest:
        """The request for the first page, before templates are filled, and without its body, which they make."""
        return SourceRequest(
            self.method,
            self.url,
            self.http,
            self.max_bytes,
            self.is_success,
            public_headers=(("Accept", _ACCEPT[self.body_format.format]),),
            accept_encoding=content_coding.ALL,
            allow_link_local=self.allow_link_local,
            unix_socket=self.unix_socket,
        )

    def at(self, now_ms: int) -> ApiRequest:
        """The request of this moment."""
        url = templates.url_at(self.url, self.templates.format, now_ms)
        return replace(self, url=url, now_ms=now_ms, template=self.url)

    @property
    def may_be_conditional(self) -> bool:
        """Whether its answer may be remembered: that of a GET whose URL stays the same, and where the config has no
        condition itself."""
        is_same = self.method == "GET" and self.url == self.template
        return is_same and not has_own_conditions([name for name, _ in self.http.http_headers])

    @property
    def has_cursor_in_body(self) -> bool:
        return self.pagination is not None and self.pagination.style == "cursor" and _CURSOR in (self.body or "")

    def body_with(self, cursor: str) -> bytes | SecretText | None:
        """The body of one page's request. Raises FetchError for a label that the target does not have."""
        if self.body is None:
            return None
        escape = templates.escape_of_body(self.body, self.http.content_type)
        is_first = self.has_cursor_in_body and not cursor and escape is templates.in_json
        body = templates.on_first_page(self.body) if is_first else self.body
        parts = templates.fill(body, lambda name: self._filled(name, cursor), escape)
        texts = [part for part in parts if isinstance(part, str)]
        return "".join(texts).encode() if len(texts) == len(parts) else SecretText(tuple(parts), escape)

    def _filled(self, name: str, cursor: str) -> str | Secret | None:
        kind, _, key = name.partition(".")
        if kind == "label":
            if key not in self.labels:
                raise FetchError(f"body has {{label.{key}}}, and the target has no label {key}")
            return self.labels[key]
        if kind == "ref":
            return dict(self.templates.refs).get(key)
        if kind == "cursor":
            return cursor if self.has_cursor_in_body else None
        return templates.time_of(name, self.templates.format, self.now_ms)


@dataclass(slots=True)
class JsonPage:
    """One page: its body and its size in bytes, how it is read, the status and headers of its answer, the document
    decoded from it (None while it is not decoded yet), what of that cannot be read, and where a redirect led."""

    content: bytes | bytearray = field(repr=False)
    content_type: str
    size: int
    body_format: BodyFormat
    status: int = 200
    headers: Headers = field(default_factory=Headers, repr=False)
    document: Any = field(default=None, repr=False)
    skipped: ReasonCounts = field(default_factory=ReasonCounts)
    moved_to: str = field(default="", repr=False)
    is_behind_last: bool = False  # it has no document: its status says that there is no content

    @staticmethod
    def of(body: Body, body_format: BodyFormat) -> JsonPage:
        """A page that is not decoded yet."""
        size = 0 if body.is_not_modified else len(body.content)  # as it was sent
        moved_to = body.moved_to
        return JsonPage(
            body.content, body.content_type, size, body_format, body.status, body.headers, moved_to=moved_to
        )

    def decoded(self, *, exact: bool) -> Any:
        """The document. Raises NotJson."""
        self.skipped = ReasonCounts()  # a page may be decoded twice
        if self.is_behind_last:
            return None
        return decode_body(self.content, self.content_type, self.body_format, self.skipped, exact=exact)

    def answer(self, document: Any, evaluation: Evaluation) -> Document:
        """A document of the page, with what expressions may ask about its answer."""
        return Document(document, self.status, self.headers, evaluation)


@dataclass(frozen=True, slots=True)
class Pages:
    """All pages of an answer. `end` says why the last one is the last, "" without pagination; it `is_cut` where
    max_pages ended the walk before the API did. `stored` is the only page, for the next request; it `is_not_modified`
    since the request before."""

    pages: Sequence[JsonPage] = ()
    end: str = ""
    is_cut: bool = False
    stored: StoredAnswer | None = None
    is_not_modified: bool = False

    @property
    def left_out(self) -> str:
        """Says that there are more pages; "" when there are none."""
        return f"stopped after {len(self.pages)} pages, max_pages; the API has more" if self.is_cut else ""


@dataclass(frozen=True, slots=True)
class WalkedPage:
    """A page of a walk: its number from 1 on, its address, and its document for expressions."""

    number: int
    url: str = field(repr=False)
    page: JsonPage
    answer: Document


class PageWalk:
    """The pages of one answer. `requests` makes the request for a page after the page before it was given to `add`;
    then `end` says why there are no more."""

    def __init__(self, request: ApiRequest) -> None:
        self._request, self.pages = request, list[JsonPage]()
        self.end, self.is_cut = "", False
        self._evaluation = evaluation(request.max_bytes, 0)  # pagination.path knows no now()
        self._style: PageStyle | None = None
        if request.pagination:
            from .page_styles import style_of  # most jobs have one page

            self._style = style_of(request, request.pagination)

    def requests(self) -> Iterator[tuple[str, bytes | SecretText | None]]:
        """URL and body of each request. Raises FetchError when a page names no usable next page."""
        pagination, style = self._request.pagination, self._style
        if pagination is None or style is None:
            yield self._request.url, self._request.body_with("")
            return
        url, cursor, seen = style.first_url(), "", set[tuple[str, bytes | SecretText | None]]()
        while True:
            request = url, self._request.body_with(cursor)
            if request in seen:
                what = f"cursor {cursor!r:.60}" if self._request.has_cursor_in_body else shown_url(url)
                detail = (
                    f"does {style.leads_by} name the next page? With max_pages: {len(self.pages)} it is the last one"
                )
                raise FetchError(f"page {len(self.pages)} names a page that was read before: {what}; {detail}")
            seen.add(request)
            yield request
            last = self._last(self._base(url))
            self.end = style.end(last)
            self.is_cut = not self.end and len(self.pages) >= pagination.max_pages
            if self.end or self.is_cut:
                self.end = self.end or "max_pages"
                return
            url, cursor = style.next(last)

    def add(self, page: JsonPage) -> None:
        """Raises FetchError when the API returned the page before once more."""
        if self._style and self.pages and page.content == self.pages[-1].content:
            detail = f"page {len(self.pages) + 1} is the same as the one before"
            raise FetchError(f"{detail}: {self._style.same_page}")
        self.pages.append(page)

    def _base(self, url: str) -> str:
        """The address of the last page, for relative links: within the job's own origin it is that of a redirect."""
        moved_to = self.pages[-1].moved_to
        return moved_to if moved_to and origin(moved_to) == origin(self._request.url) else url

    def _last(self, url: str) -> WalkedPage:
        """The last page, for expressions."""
        page = self.pages[-1]
        return WalkedPage(len(self.pages), url, page, page.answer(page.document, self._evaluation))


def fetch_pages(
    request: ApiRequest,
    read: Callable[[Body], JsonPage],
    fetcher: Fetcher,
    deadline: float,
    stored: StoredAnswer | None = None,
) -> Pages:
    """Every page of an API's answer, before `deadline` (monotonic seconds); `read` decodes a body. Whether the `stored`
    answer has changed is asked with the first request; an answer of several pages is not stored. Raises FetchError, and
    what `read` raises."""
    walk, left_bytes, bodies = PageWalk(request), request.max_bytes, list[Body]()
    for url, body in walk.requests():
        known = stored if not walk.pages else None
        page = replace(request.source(), url=url, max_bytes=left_bytes, body=body, stored=known)
        found = _fetched(request, page, fetcher, deadline)
        left_bytes -= len(found.content)
        bodies = [found] if not walk.pages else []
        if walk.pages and found.status == _NO_CONTENT:
            walk.add(replace(JsonPage.of(found, request.body_format), is_behind_last=True))
        else:
            walk.add(_read(page, found, read, fetcher))
    is_not_modified = any(found.is_not_modified for found in bodies)
    if bodies and not is_not_modified:
        stored = _stored(request, bodies[0], stored, fetcher) if not walk.is_cut else None
    return Pages(walk.pages, walk.end, walk.is_cut, stored if bodies else None, is_not_modified)


def _read(page: SourceRequest, body: Body, read: Callable[[Body], JsonPage], fetcher: Fetcher) -> JsonPage:
    """The page. Where a session has ended, one to log in may come in its place."""
    try:
        return read(body)
    except NotJson:
        fetcher.renew_login(page)
        raise


def _fetched(request: ApiRequest, page: SourceRequest, fetcher: Fetcher, deadline: float) -> Body:
    """One answer. Raises FetchError, which shows the template of a URL that is another one each time."""
    try:
        return fetcher.fetch(page, deadline)
    except FetchError as error:
        if request.url == request.template:
            raise
        message = str(error).replace(shown_url(request.url), shown_url(request.template))
        raise type(error)(message) from None


def _stored(request: ApiRequest, body: Body, before: StoredAnswer | None, fetcher: Fetcher) -> StoredAnswer | None:
    """The answer for the next request, in place of the one `before` it; None when it is to be asked for in full."""
    has_validator = "ETag" in body.headers or "Last-Modified" in body.headers
    return fetcher.memory.stored(body, before) if has_validator and request.may_be_conditional else None
