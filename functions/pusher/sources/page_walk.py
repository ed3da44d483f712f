"""What looks wrong in a walk over pages that came to its end: no way to a second page, or pages that overlap."""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import Any

import msgspec

from ..config.mask import cut, printable
from ..config.schema import JsonJob, Pagination
from ..expression import Expression

_SHOWN = 80  # characters of a record in a message
_SHOWN_KEYS = 8


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
    if path is None or path.one(document) or _is_there(path, document) or not _records(job, document):
        return
    what = "a next link" if pagination.style == "next_link" else "a cursor"
    yield (
        f"pagination.path {path.text!r:.80} has never found {what}, so only one page was read: "
        f"{_what_stands(path, document)}; set pagination.path, or leave pagination out if there is one page only"
    )


def _is_there(path: Expression, document: Any) -> bool:
    """Whether the document has a member at a plain path, with whatever value."""
    if not path.path:
        return False
    value = document
    for name in path.path:
        if type(value) is not dict or name not in value:
            return False
        value = value[name]
    return True


def _what_stands(path: Expression, document: Any) -> str:
    """How far a path gets, and what there is instead."""
    value, walked = document, []
    for name in path.path or ():
        if type(value) is not dict or name not in value:
            break
        value = value[name]
        walked.append(name)
    place = ".".join(walked) or "the page"
    if type(value) is not dict:
        kind = {list: "a list", str: "a text", bool: "a boolean", type(None): "null"}.get(type(value), "a number")
        return f"{place} is {kind}"
    keys = list(map(str, value))
    missing = (path.path or ())[len(walked) : len(walked) + 1]
    near = difflib.get_close_matches(missing[0], keys, n=1) if missing else []
    hint = f'; did you mean "{".".join([*walked, near[0]])}"?' if near else ""
    shown = ", ".join(cut(printable(key), 40) for key in keys[:_SHOWN_KEYS])
    more = f" and {len(keys) - _SHOWN_KEYS} more" if len(keys) > _SHOWN_KEYS else ""
    return f"{place} has the keys {shown}{more}{hint}" if keys else f"{place} is an empty object"


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
    example = cut(printable(both[0].decode()), _SHOWN)
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
