"""What looks wrong in a walk over pages that came to its end: no way to a second page, or pages that overlap."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import Any

import msgspec

from ..config.expression_trace import SHOWN_CHARACTERS, Kind, nearest_path, shown
from ..config.schema import JsonJob, Pagination
from ..report.mask import cut, printable


def warnings(job: JsonJob, documents: Sequence[Any], *, has_followed: bool) -> list[str]:
    """Warnings with the key to set. `has_followed` says that the way to a next page was found before."""
    pagination = job.pagination
    if pagination is None or not documents:
        return []
    found: list[str] = []
    if pagination.style != "page" and len(documents) == 1 and not has_followed:
        found += _no_way_on(job, pagination, documents[0])
    return [*found, *_overlaps(job, pagination, documents)]


# --- No way to a second page ------------------------------------------------------------------------------------------


def _no_way_on(job: JsonJob, pagination: Pagination, document: Any) -> Iterator[str]:
    """A path that finds nothing on the first page. A null, an empty text or false there is the API's word for the last
    page, and a page without records needs no next one."""
    path = pagination.path
    if path is None or path.one(document) or not _records(job, document):
        return
    trace = path.trace(document)
    if path.path and (trace.kind is Kind.FOUND or trace.value is None):
        return
    what = "a next link" if pagination.style == "next_link" else "a cursor"
    near = nearest_path(path.text, document, lists=False)
    hint = f'; did you mean "{near}"?' if near else ""
    yield (
        f"pagination.path {path.text!r:.80} has never found {what}, so only one page was read: "
        f"{trace.path or 'the page'} is {shown(trace.value)}{hint}; "
        "set pagination.path, or leave pagination out if there is one page only"
    )


# --- Pages that overlap -----------------------------------------------------------------------------------------------


def _overlaps(job: JsonJob, pagination: Pagination, documents: Sequence[Any]) -> Iterator[str]:
    """Records that stand on two pages in a row; the first such pair of pages is told, with how many there are."""
    pages = [list(map(_as_text, _records(job, document))) for document in documents]
    shared = [(number, _in_common(*pair)) for number, pair in enumerate(pairwise(pages), start=1)]
    shared = [(number, both) for number, both in shared if both]
    if not shared:
        return
    number, both = shared[0]
    records = f"{len(both)} record{'s' if len(both) > 1 else ''}"
    more = f" (and so on, {len(shared)} times)" if len(shared) > 1 else ""
    example = cut(printable(both[0].decode()), SHOWN_CHARACTERS)
    yield (f"pages {number} and {number + 1} have {records} in common{more}, as {example}: {_advice(pagination)}")


def _as_text(record: Any) -> bytes:
    try:
        return msgspec.json.encode(record, enc_hook=str)
    except (ValueError, RecursionError):  # half a character, as "\\ud800" without its other half
        return repr(record).encode("utf-8", "backslashreplace")


def _in_common(one: Sequence[bytes], other: Sequence[bytes]) -> list[bytes]:
    """Records of both pages. Such as are equal on one page already, as plain numbers may be, say nothing when they are
    on two."""
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


def _records(job: JsonJob, document: Any) -> list[Any]:
    """The records of one page: those of the list that ends empty, else those of the first metric that has any."""
    pagination = job.pagination
    if pagination and pagination.style == "page" and pagination.path:
        found = pagination.path.one(document)
        return list(found.values()) if isinstance(found, dict) else found if isinstance(found, list) else []
    if isinstance(document, list):
        return document
    for metric in job.metrics:
        if metric.records.is_list:
            records = [record for group in metric.records.walk(document) for record in group.records]
            if records:
                return records
    return []
