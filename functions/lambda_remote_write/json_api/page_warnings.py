"""Warnings about the pages of an API that look wrong, once the last one was read."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise

from ..config.expression_context import BudgetExceeded, Document, Position
from ..config.expression_trace import Kind, nearest_path
from ..config.shown_json import SHOWN_CHARACTERS, shown
from ..http.fetch import FetchError
from ..report.mask import cut, printable
from .page_styles import Offset, PageStyle, found_by, record_text, style_of
from .pagination import ApiRequest


def warnings(request: ApiRequest, documents: Sequence[Document], *, has_followed: bool) -> list[str]:
    """Each names the key to set. `has_followed` says that an earlier answer led to a second page."""
    pagination = request.pagination
    if pagination is None or not documents:
        return []
    style = style_of(request, pagination)
    try:
        overlaps = list(_overlaps(style, documents))
        found = [*overlaps, *_not_found(style, documents, has_followed)]
        if isinstance(style, Offset) and len(documents) < pagination.max_pages:
            found += _not_the_total(style, documents, may_be_more=bool(overlaps))
        return found
    except (BudgetExceeded, FetchError):  # a warning is worth no more
        return []


def _not_found(style: PageStyle, documents: Sequence[Document], has_followed: bool) -> Iterator[str]:
    """What the first page should have and does not. With null, an empty text or false in place of a link the API says
    that this is the last page, and a page without records needs no next one."""
    sought, document = style.sought, documents[0]
    if sought is None or (sought.leads_on and (has_followed or len(documents) > 1)):
        return
    if found_by(sought.key, sought.expression, document) or not style.records(document):
        return
    path = sought.expression
    trace = path.trace(document.value, Position(document, (document.value,)))
    if path.path and (trace.kind is Kind.FOUND or trace.value is None):
        return
    near = nearest_path(path.text, document.value, lists=False)
    hint = f'; did you mean "{near}"?' if near else ""
    yield (
        f"pagination.{sought.key} {path.text!r:.80} has never found {sought.what}, {sought.without}: "
        f"{trace.path or 'the page'} is {shown(trace.value)}{hint}; set pagination.{sought.key}, or {sought.instead}"
    )


def _overlaps(style: PageStyle, documents: Sequence[Document]) -> Iterator[str]:
    """Records on two pages in a row: the first such pair of pages, and how many pairs there are."""
    pages = [list(map(record_text, style.records(document))) for document in documents] if len(documents) > 1 else []
    shared = [(number, _in_common(*pair)) for number, pair in enumerate(pairwise(pages), start=1)]
    shared = [(number, both) for number, both in shared if both]
    if not shared:
        return
    number, both = shared[0]
    records = f"{len(both)} record{'s' if len(both) > 1 else ''}"
    more = f" (and so on, {len(shared)} times)" if len(shared) > 1 else ""
    example = cut(printable(both[0].decode()), SHOWN_CHARACTERS)
    yield f"pages {number} and {number + 1} have {records} in common{more}, such as {example}: {style.overlap}"


def _not_the_total(style: Offset, documents: Sequence[Document], *, may_be_more: bool) -> Iterator[str]:
    """Records that no page had although the last one tells of them, or that it does not tell of."""
    total, count = style.total(documents[-1]), sum(len(style.records(document)) for document in documents)
    if total is None or count == total or (may_be_more and count > total):
        return
    key = "step the API's page size" if count < total else "total the number of all records"
    detail = f"is pagination.{key}, or does the list change while it is read?"
    yield f"the pages have {count} records together, and pagination.total finds {total}: {detail}"


def _in_common(one: Sequence[bytes], other: Sequence[bytes]) -> list[bytes]:
    """Records of both pages; none where one page alone has equal records, as plain numbers may be."""
    others = set(other)
    return [record for record in one if record in others] if len(set(one)) == len(one) else []
