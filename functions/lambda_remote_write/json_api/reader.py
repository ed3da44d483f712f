"""Reads the answers of one target of a JSON job: decodes pages, checks `fail_if`, maps records to samples."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ..config.expression import Expression
from ..config.expression_context import BudgetExceeded, Document, ExpressionFailed, Position
from ..config.expression_trace import is_true
from ..config.schema import JsonJob
from ..config.shown_json import first_characters
from ..http.conditional import Body, StoredAnswer
from ..http.fetch import Fetcher
from ..model.samples import Intern, Labels
from ..model.scrape import Scrape
from .decode import NotJson, evaluation, format_of, record_reader
from .mapping import JobMapper, Observe
from .pagination import ApiRequest, JsonPage, Pages, fetch_pages
from .values import InexactNumber, ScrapeFailed

_MESSAGE_CHARACTERS = 200  # of what fail_message finds


class JsonReader:
    """`fetch` decodes in the thread that fetches; `to_samples` maps, and alone changes what the job remembers."""

    def __init__(
        self,
        job: JsonJob,
        url: str,
        labels: Labels,
        intern: Intern,
        observe: Observe | None = None,
        unix_socket: str = "",
    ) -> None:
        """`url` is the target's, with its parameters, and `labels` and `unix_socket` are the target's."""
        self.job, self.request = job, ApiRequest.of(job, url, labels, unix_socket)
        self.mapper = JobMapper(job, labels, intern, observe)
        self._columns = record_reader(job)
        self._has_followed = False  # an answer of this environment led to a second page
        self._stored: StoredAnswer | None = None  # to be asked about again
        self._fetcher: Fetcher | None = None  # what the newest answer came by

    def fetch(self, fetcher: Fetcher, deadline: float, now_ms: int) -> Pages:
        """Every page of the answer, before `deadline` (monotonic seconds); `now_ms` is what templates say. Raises
        FetchError and NotJson."""
        self._fetcher = fetcher
        return fetch_pages(self.request.at(now_ms), self.page, fetcher, deadline, self._stored)

    def page(self, body: Body) -> JsonPage:
        """A page with its document, in which the next page's address may be. Raises NotJson."""
        page = JsonPage.of(body, self.job.body_format)
        if self._columns is None:
            page.document = page.decoded(exact=self.mapper.exact)
        return page

    def to_samples(self, answer: Pages, scrape: Scrape, run: int, now_ms: int) -> int:
        """Fills the scrape; returns how many series are new. Raises NotJson and ScrapeFailed."""
        pages, scrape.pages_end, scrape.not_modified = answer.pages, answer.end, answer.is_not_modified
        self._stored = None
        scrape.pages, scrape.body_bytes = len(pages), sum(page.size for page in pages)
        try:
            documents = self._documents(pages, list(map(self._document, pages)), scrape.started_ms)
            self._check(documents)
        except (NotJson, ScrapeFailed):
            self._renew_login()
            raise
        try:
            added = self.mapper.map(documents, scrape, run, now_ms)
        except InexactNumber:
            self.mapper.exact = True  # later answers are decoded so at once
            decoded = [page.decoded(exact=True) for page in pages]
            documents = self._documents(pages, decoded, scrape.started_ms)
            added = self.mapper.map(documents, scrape, run, now_ms)
        _account_for_bodies(pages, documents, scrape)
        self._check_pagination(answer, scrape)
        if all(one.failed for one in scrape.metrics):
            self._renew_login()
        else:  # an answer that was no good is asked for in full
            self._stored = answer.stored
        return added

    def _renew_login(self) -> None:
        """Many APIs tell of a session that has ended with 200: in the document, or with a page to log in."""
        if self._fetcher:
            self._fetcher.renew_login(self.request.source())

    def _document(self, page: JsonPage) -> Any:
        """Columns are read here, where they are used and in the thread that keeps their values; the bytes are let go of
        at once."""
        if self._columns is None:
            return page.document
        columns = self._columns.read(page.content, page.content_type)
        if columns is None:
            return page.decoded(exact=self.mapper.exact)
        page.content = b""
        return columns

    def _documents(self, pages: Sequence[JsonPage], values: Sequence[Any], now_ms: int) -> list[Document]:
        """Decoded pages, with what expressions may ask about their answers."""
        shared = evaluation(self.request.max_bytes, now_ms, exact=self.mapper.exact)
        return [page.answer(value, shared) for page, value in zip(pages, values, strict=True)]

    def _check(self, documents: Sequence[Document]) -> None:
        """Raises ScrapeFailed when the API itself says that it has failed, or when that cannot be judged."""
        condition, message = self.job.fail_if, self.job.fail_message
        for document in documents if condition is not None else ():
            if condition is not None and is_true(_judged("fail_if", condition, document)):
                found = _judged("fail_message", message, document) if message is not None else None
                shown = first_characters(found, _MESSAGE_CHARACTERS)
                raise ScrapeFailed(f"fail_if {condition.text} is true{f': {shown}' if found is not None else ''}")

    def _check_pagination(self, answer: Pages, scrape: Scrape) -> None:
        if self.job.pagination is None:
            return
        from .page_warnings import warnings  # most jobs have one page

        scrape.more_pages = answer.left_out
        scrape.notes += filter(None, [answer.left_out])
        self._has_followed = self._has_followed or len(answer.pages) > 1
        documents = self._documents(answer.pages, [page.document for page in answer.pages], scrape.started_ms)
        scrape.notes += warnings(self.request, documents, has_followed=self._has_followed)


def _account_for_bodies(pages: Sequence[JsonPage], documents: Sequence[Document], scrape: Scrape) -> None:
    """What of the bodies could not be read counts as records without samples, of no metric."""
    for page, document in zip(pages, documents, strict=True):
        scrape.records += page.skipped.total()
        scrape.skipped.merge(page.skipped)
        is_unstated = not page.body_format.format and format_of(page.content_type) == "text"
        if is_unstated and isinstance(document.value, str) and scrape.failed:
            _explain_text(page, scrape)


def _explain_text(page: JsonPage, scrape: Scrape) -> None:
    """Says where a metric has failed that the body was read as one text, and what it looks like."""
    from ..http.body_kind import advice, kind_of_body

    key = advice(page.content, page.content_type)
    detail = f"{kind_of_body(page.content, page.content_type)}{'' if key.endswith('format: text') else key}"
    for one in scrape.metrics:
        if one.failed:
            one.failed += f". The body is read as one text, as its Content-Type says; {detail}"


def _judged(key: str, expression: Expression, document: Document) -> Any:
    """What `fail_if` or `fail_message` finds. Raises ScrapeFailed."""
    try:
        return expression.one(document.value, Position(document, (document.value,)))
    except ExpressionFailed as error:
        detail = "so the answer is not taken as a good one" if key == "fail_if" else "and fail_if is true"
        raise ScrapeFailed(f"{key} {error}; {detail}") from None
    except BudgetExceeded as error:
        raise ScrapeFailed(f"{key}: {error}") from None
