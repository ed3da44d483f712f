"""Warnings about the pages of an API that look wrong, once the last one was read."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import Any

import msgspec

from ..config.expression_context import BudgetExceeded, Document, Position
from ..config.expression_trace import Kind, nearest_path
from ..config.schema import Pagination
from ..config.shown_json import SHOWN_CHARACTERS, shown
from ..http.fetch import FetchError
from ..report.mask import cut, printable
from .pagination import ApiRequest, found_by


def warnings(request: ApiRequest, documents: Sequence[Document], *, has_followed: bool) -> list[str]:
    """Each names the key to set. `has_followed` says that an earlier answer led to a second page."""
    pagination = request.pagination
    if pagination is None or not documents:
        return []
    try:
        if len(documents) > 1:
            return list(_overlaps(request, pagination, documents))
        needs_link = pagination.style != "page" and not has_followed
        return list(_no_next_page(request, pagination, documents[0])) if needs_link else []
    except (BudgetExceeded, FetchError):  # a warning is worth no more
        return []


def _no_next_page(request: ApiRequest, pagination: Pagination, document: Document) -> Iterator[str]:
    """A path that finds nothing on the first page. With null, an empty text or false there the API says that this is
    the last page, and a page without records needs no next one."""
    path = pagination.path
    if path is None or found_by(path, document) or not _records(request, document):
        return
    trace = path.trace(document.value, Position(document, (document.value,)))
    if path.path and (trace.kind is Kind.FOUND or trace.value is None):
        return
    what = "a next link" if pagination.style == "next_link" else "a cursor"
    near = nearest_path(path.text, document.value, lists=False)
    hint = f'; did you mean "{near}"?' if near else ""
    yield (
        f"pagination.path {path.text!r:.80} has never found {what}, so only one page was read: "
        f"{trace.path or 'the page'} is {shown(trace.value)}{hint}; "
        "set pagination.path, or leave pagination out if there is one page only"
    )


def _overlaps(request: ApiRequest, pagination: Pagination, documents: Sequence[Document]) -> Iterator[str]:
    """Records on two pages in a row: the first such pair of pages, and how many pairs there are."""
    pages = [list(map(_as_text, _records(request, document))) for document in documents]
    shared = [(number, _in_common(*pair)) for number, pair in enumerate(pairwise(pages), start=1)]
    shared = [(number, both) for number, both in shared if both]
    if not shared:
        return
    number, both = shared[0]
    records = f"{len(both)} record{'s' if len(both) > 1 else ''}"
    more = f" (and so on, {len(shared)} times)" if len(shared) > 1 else ""
    example = cut(printable(both[0].decode()), SHOWN_CHARACTERS)
    yield (f"pages {number} and {number + 1} have {records} in common{more}, such as {example}: {_advice(pagination)}")


def _as_text(record: Any) -> bytes:
    try:
        return msgspec.json.encode(record, enc_hook=str)
    except (ValueError, RecursionError):  # half a character, as "\\ud800" without its other half
        return repr(record).encode("utf-8", "backslashreplace")


def _in_common(one: Sequence[bytes], other: Sequence[bytes]) -> list[bytes]:
    """Records of both pages; none where one page alone has equal records, as plain numbers may be."""
    others = set(other)
    return [record for record in one if record in others] if len(set(one)) == len(one) else []


def _advice(pagination: Pagination) -> str:
    if pagination.style != "page":
        return "does the list change while it is read, or does pagination.path find another page's address?"
    return (
        f"pagination.parameter {pagination.parameter!r:.60} counts pages, {pagination.first_page}, "
        f"{pagination.first_page + 1}, … and this API may count records; ask for all of them on one page by a "
        "page size in query, or set pagination.style next_link or cursor if the answer names the next page"
    )


def _records(request: ApiRequest, document: Document) -> list[Any]:
    """The records of one page: of the list that is empty on the last page, else of the first list with records."""
    pagination = request.pagination
    if pagination and pagination.style == "page" and pagination.path:
        found = found_by(pagination.path, document)
        return list(found.values()) if isinstance(found, dict) else found if isinstance(found, list) else []
    if isinstance(document.value, list):
        return document.value
    for records in request.lists:
        if found := [record for group in records.walk(document) for record in group.records]:
            return found
    return []
