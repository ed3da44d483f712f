"""What is asked of a JSON API, and the pages that it answers with."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from ..config.expression import Records
from ..config.expression_context import Document, Evaluation
from ..config.schema import HttpClientConfig, JsonJob, Pagination
from ..http.conditional import Body, StoredAnswer, has_own_conditions
from ..http.fetch import is_2xx
from ..http.response import Headers

CURSOR = "{cursor}"
"""The placeholder in a job's `body` that the next page's cursor replaces."""


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
        )

    @property
    def may_be_conditional(self) -> bool:
        """Whether its answer may be remembered: no request with a body has one that may, and a condition that the
        config has itself stands."""
        return self.method == "GET" and not has_own_conditions([name for name, _ in self.http.http_headers])

    @property
    def has_cursor_in_body(self) -> bool:
        return self.pagination is not None and self.pagination.style == "cursor" and CURSOR in (self.body or "")


@dataclass(slots=True)
class JsonPage:
    """One page: its body, its size in bytes, the document decoded from it (None while it is not decoded yet), and the
    status and headers of its answer."""

    content: bytes | bytearray = field(repr=False)
    content_type: str
    document: Any = field(repr=False)
    size: int
    status: int = 200
    headers: Headers = field(default_factory=Headers, repr=False)

    @staticmethod
    def of(body: Body, document: Any) -> JsonPage:
        size = 0 if body.is_not_modified else len(body.content)  # as it was sent
        return JsonPage(body.content, body.content_type, document, size, body.status, body.headers)

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
