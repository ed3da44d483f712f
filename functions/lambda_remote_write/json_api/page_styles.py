"""The styles of pagination: how each finds the next page, and why a page is the last one."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import urljoin

import msgspec

from ..config.expression import Expression
from ..config.expression_context import BudgetExceeded, Document, ExpressionFailed, Position
from ..config.schema import Pagination
from ..config.shown_json import kind_of
from ..config.yaml_reader import shown_url
from ..http.address import origin, parsed
from ..http.fetch import FetchError
from ..http.query import with_query
from .decode import evaluation
from .link_header import next_link
from .values import label_text

if TYPE_CHECKING:  # it imports this module
    from .pagination import ApiRequest, WalkedPage

_MAX_LINK = 8_000  # characters: servers refuse longer request lines, and errors show the address
_MAX_DIGITS = 16  # of a number of records


@dataclass(frozen=True, slots=True)
class Sought:
    """An expression that finds something on the first page: its key, what it finds, what is the case without, and what
    to do where there is none. One that `leads_on` finds the next page."""

    key: str
    expression: Expression
    what: str
    without: str
    instead: str
    leads_on: bool = True

    @staticmethod
    def link(path: Expression | None, what: str) -> Sought | None:
        instead = "leave pagination out if there is one page only"
        return Sought("path", path, what, "so only one page was read", instead) if path else None


class PageStyle(ABC):
    """One style, for one walk."""

    sought: Sought | None = None
    leads_by = "pagination.path"
    same_page = "the address at pagination.path leads to the same answer"
    overlap = "does the list change while it is read, or does pagination.path find another page's address?"

    def __init__(self, request: ApiRequest, pagination: Pagination) -> None:
        self._request, self._pagination = request, pagination

    def first_url(self) -> str:
        return self._request.url

    @abstractmethod
    def end(self, page: WalkedPage) -> str:
        """Why this page is the last one; "" when it names another. Asked once for each page, in their order. Raises
        FetchError."""

    @abstractmethod
    def next(self, page: WalkedPage) -> tuple[str, str]:
        """URL and cursor of the page after this one, "" where the style has no cursor. Raises FetchError."""

    def records(self, answer: Document) -> list[Any]:
        """The records of one page: a list at the top, or the first of the metrics' lists that has some. Raises
        FetchError."""
        if isinstance(answer.value, list):
            return answer.value
        try:
            for records in self._request.lists:
                if found := [record for group in records.walk(answer) for record in group.records]:
                    return found
        except BudgetExceeded as error:
            raise FetchError(str(error)) from None
        return []

    def _pointer(self, page: WalkedPage) -> Any:
        return found_by("path", self._pagination.path, page.answer)

    def _with(self, value: object) -> str:
        """The first address, with `parameter` set."""
        return with_query(self._request.url, {self._pagination.parameter: str(value)})

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
            advice = "if that is the API too, write that address as url"
            raise FetchError(f"the next link leaves {home} for {shown_url(target)}: not followed; {advice}")
        return target


class NextLink(PageStyle):
    """`path` finds the next address in the page."""

    def __init__(self, request: ApiRequest, pagination: Pagination) -> None:
        super().__init__(request, pagination)
        self.sought = Sought.link(pagination.path, "a next link")

    def end(self, page: WalkedPage) -> str:
        return "" if self._pointer(page) else "no next link"

    def next(self, page: WalkedPage) -> tuple[str, str]:
        link = self._pointer(page)
        if not isinstance(link, str):
            instead = "; for the number of the next page write style: cursor" if kind_of(link) == "a number" else ""
            detail = f"pagination.path finds {kind_of(link)}; a next link is a text{instead}"
            raise FetchError(f"page {page.number}: {detail}")
        return self._linked(page.url, link), ""


class LinkHeader(PageStyle):
    """The header `Link` has the next address, with `rel="next"` (RFC 8288)."""

    leads_by = "the header Link"
    same_page = 'the address with rel="next" in the header Link leads to the same answer'
    overlap = "does the list change while it is read?"

    def end(self, page: WalkedPage) -> str:
        return "no Link header with rel=next" if self._link(page) is None else ""

    def next(self, page: WalkedPage) -> tuple[str, str]:
        return self._linked(page.url, self._link(page) or ""), ""

    def _link(self, page: WalkedPage) -> str | None:
        try:
            return next_link(page.page.headers.joined("Link"), page.url)
        except ValueError as error:
            raise FetchError(f"page {page.number}: {error}") from None


class Cursor(PageStyle):
    """`path` finds a cursor, which goes into `parameter`, or into `{cursor}` of the body."""

    def __init__(self, request: ApiRequest, pagination: Pagination) -> None:
        super().__init__(request, pagination)
        self.same_page = _unknown(pagination)
        self.sought = Sought.link(pagination.path, "a cursor")

    def end(self, page: WalkedPage) -> str:
        return "" if self._pointer(page) else "no cursor"

    def next(self, page: WalkedPage) -> tuple[str, str]:
        cursor = self._cursor(page)
        return (self._request.url if self._request.has_cursor_in_body else self._with(cursor)), cursor

    def _cursor(self, page: WalkedPage) -> str:
        """The page's cursor as text."""
        cursor, found = self._pointer(page), page.page
        if isinstance(cursor, float):  # as the document wrote it
            exact = found.decoded(exact=True)
            shared = evaluation(self._request.max_bytes, 0, exact=True)
            cursor = found_by("path", self._pagination.path, found.answer(exact, shared))
        if isinstance(cursor, list | dict):
            detail = f"pagination.path finds {kind_of(cursor)}; a cursor is a text or a number"
            raise FetchError(f"page {page.number}: {detail}")
        text = label_text(cursor, exact=True)
        try:
            text.encode()
        except UnicodeEncodeError:
            raise FetchError(f"page {page.number}: pagination.path finds a text that is not Unicode") from None
        return text


class _Counted(PageStyle):
    """`parameter` counts. `path` is the list that tells how many records a page has."""

    def __init__(self, request: ApiRequest, pagination: Pagination) -> None:
        super().__init__(request, pagination)
        self.same_page = _unknown(pagination)
        self._before: list[Any] = []  # the records of the page before

    def records(self, answer: Document) -> list[Any]:
        if self._pagination.path is None:
            return super().records(answer)
        return _listed(found_by("path", self._pagination.path, answer))

    def _count(self, page: WalkedPage) -> int:
        """How many records a page has; something that is no list at `path` counts as one."""
        if self._pagination.path is not None:
            found = self._pointer(page)
            if not isinstance(found, list | dict):
                return int(found is not None)
            records = _listed(found)
        elif not isinstance(page.answer.value, list) and not self._request.lists:
            style = self._pagination.style
            raise FetchError(f"style {style} needs pagination.path here: the list that is empty on the last page")
        else:
            records = self.records(page.answer)
        if len(records) > 1 and records == self._before and not _has_equal(records):
            raise FetchError(f"page {page.number} has the same records as the one before: {self.same_page}")
        self._before = records
        return len(records)


class PageNumber(_Counted):
    """`parameter` counts pages, until one has no records."""

    def __init__(self, request: ApiRequest, pagination: Pagination) -> None:
        super().__init__(request, pagination)
        first = pagination.first_page
        self.overlap = (
            f"pagination.parameter {pagination.parameter!r:.60} counts pages, {first}, {first + 1}, … and this API may "
            "count records, for which there is pagination.style offset; next_link and cursor are for an API whose "
            "answer names the next page"
        )

    def first_url(self) -> str:
        return self._with(self._pagination.first_page)

    def end(self, page: WalkedPage) -> str:
        return "" if self._count(page) else "a page without records"

    def next(self, page: WalkedPage) -> tuple[str, str]:
        return self._with(self._pagination.first_page + page.number), ""


class Offset(_Counted):
    """`parameter` counts records, by `step` or by those that a page has, up to `total` or to a page with fewer."""

    overlap = (
        "pagination.style offset goes on by pagination.step, or by the records that a page has: is step the API's page "
        "size, pagination.path the list that its offset counts, and does the list stay the same while it is read?"
    )

    def __init__(self, request: ApiRequest, pagination: Pagination) -> None:
        super().__init__(request, pagination)
        self._read = 0  # records, or steps, up to here
        if pagination.total is not None:
            without = "so pages are read until one is not full"
            self.sought = Sought("total", pagination.total, "a number", without, "leave it out", leads_on=False)

    def first_url(self) -> str:
        return self._with(self._pagination.first_offset)

    def end(self, page: WalkedPage) -> str:
        count, total, step = self._count(page), self.total(page.answer), self._pagination.step
        self._read += step or count
        if not count:
            return "a page without records"
        if total is not None:
            return f"total {total} reached" if self._read >= total else ""
        return f"a page with fewer records than step, {step}" if count < step else ""

    def next(self, page: WalkedPage) -> tuple[str, str]:
        return self._with(self._pagination.first_offset + self._read), ""

    def total(self, answer: Document) -> int | None:
        """The number of all records, as a page tells it; None where it does not. Raises FetchError."""
        found = found_by("total", self._pagination.total, answer)
        if found is None:
            return None
        number = _whole(found)
        if number is None:
            shown = f"{found!r:.60}" if isinstance(found, int | float | str) else kind_of(found)
            detail = "is not a number of records; without total, pages are read until one is not full"
            raise FetchError(f"pagination.total finds {shown}, which {detail}")
        return number


def _listed(found: Any) -> list[Any]:
    return list(found.values()) if isinstance(found, dict) else found if isinstance(found, list) else []


def _has_equal(records: list[Any]) -> bool:
    """Whether two of them are equal, as plain numbers may be: such records do not tell one page from another."""
    return len(set(map(record_text, records))) < len(records)


def record_text(record: Any) -> bytes:
    """A record as text that no other record has."""
    try:
        return msgspec.json.encode(record, enc_hook=str)
    except (ValueError, RecursionError):  # half a character, as "\\ud800" without its other half
        return repr(record).encode("utf-8", "backslashreplace")


def _whole(found: Any) -> int | None:
    """A number of records, or a text that is one, as headers have it."""
    if isinstance(found, str):
        digits = found.strip()
        return int(digits) if digits.isascii() and digits.isdigit() and len(digits) < _MAX_DIGITS else None
    is_number = isinstance(found, int | float) and not isinstance(found, bool) and math.isfinite(found)
    return int(found) if is_number and found >= 0 and found == int(found) else None


_STYLES: dict[str, type[PageStyle]] = {
    "next_link": NextLink,
    "link_header": LinkHeader,
    "cursor": Cursor,
    "page": PageNumber,
    "offset": Offset,
}


def style_of(request: ApiRequest, pagination: Pagination) -> PageStyle:
    return _STYLES[pagination.style](request, pagination)


def _unknown(pagination: Pagination) -> str:
    return f"does the API know {pagination.parameter!r}, pagination.parameter?"


def found_by(key: str, expression: Expression | None, answer: Document) -> Any:
    """What an expression of pagination finds in an answer. Raises FetchError."""
    try:
        return expression.one(answer.value, Position(answer, (answer.value,))) if expression else None
    except (ExpressionFailed, BudgetExceeded) as error:
        raise FetchError(f"pagination.{key} {error}") from None
