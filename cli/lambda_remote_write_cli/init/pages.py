"""How an API may continue its answer on further pages."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qsl, urljoin, urlsplit

from lambda_remote_write.http.response import Headers
from lambda_remote_write.json_api.link_header import next_link

from .names import quoted_key, snake, words

_OFFSETS = ("startat", "offset", "start", "skip", "from", "firstresult")
_TOTALS = ("total", "totalcount", "totalresults", "count", "totalsize", "totalitems", "totalelements")
_LINKS = ("next", "nextlink", "nexturl", "nextpage", "nextpageurl", "nextpagelink", "odatanextlink")
_CURSORS = (
    "nextcursor",
    "nextpagetoken",
    "nexttoken",
    "cursor",
    "endcursor",
    "continuationtoken",
    "continue",
    "scrollid",
)
_MAX_DEPTH = 3
OF_PAGES = words(
    "start_at max_results offset limit start skip page per_page page_size page_number size current_page total_pages "
    "pages page_count count_per_page rows"
)
"""Numbers at the top of a page that say which page it is."""


@dataclass(frozen=True, slots=True)
class Paging:
    """`pagination` of the job; without keys, what the user has to find out."""

    keys: Mapping[str, Any]
    note: str


class _Link(str):
    """The `href` of a link that is an object."""

    __slots__ = ()


def paging_of(document: Any, headers: Headers, url: str) -> Paging | None:
    """What an answer says of more pages; None when it says nothing."""
    with suppress(ValueError):
        if next_link(headers.joined("Link"), url):
            return Paging({"style": "link_header"}, "the header Link names a next page")
    if not isinstance(document, dict):
        return None
    members = {snake(path[-1]).replace("_", ""): (path, value) for path, value in reversed(list(_members(document)))}
    return _linked(members, url) or _counted(members, document) or _cursor(members)


def _members(value: Mapping[str, Any], path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any]]:
    for key, item in value.items():
        if isinstance(item, dict) and len(path) < _MAX_DEPTH:
            if isinstance(item.get("href"), str):
                yield (*path, key), _Link(item["href"])
            yield from _members(item, (*path, key))
        elif not isinstance(item, list | dict):
            yield (*path, key), item


def _linked(members: Mapping[str, tuple[tuple[str, ...], Any]], url: str) -> Paging | None:
    for name in _LINKS:
        path, value = members.get(name, ((), None))
        if not isinstance(value, str) or not (value.startswith(("http://", "https://", "/", "?")) or "?" in value):
            continue
        expression = ".".join(map(quoted_key, (*path, "href") if isinstance(value, _Link) else path))
        if urlsplit(urljoin(url, value)).netloc != urlsplit(url).netloc:
            return Paging({}, f"{expression} names a next page on another host: does it need pagination?")
        return Paging({"style": "next_link", "path": expression}, "the answer names a next page")
    return None


def _counted(members: Mapping[str, tuple[tuple[str, ...], Any]], document: Mapping[str, Any]) -> Paging | None:
    total = next((members[name] for name in _TOTALS if _is_count(members.get(name))), None)
    longest = max((len(value) for value in document.values() if isinstance(value, list)), default=0)
    offset = next((members[name] for name in _OFFSETS if _is_count(members.get(name))), None)
    if total and offset and longest and total[1] > offset[1] + longest:
        path = ".".join(map(quoted_key, total[0]))
        keys = {"style": "offset", "parameter": offset[0][-1], "total": path}
        return Paging(keys, f"{longest} of {total[1]} records are on this page: is {offset[0][-1]} the parameter?")
    page = next((members[name] for name in ("page", "pagenumber", "currentpage") if _is_count(members.get(name))), None)
    pages = next((members[name] for name in ("pages", "totalpages", "lastpage", "pagecount") if name in members), None)
    if page and pages and isinstance(pages[1], int) and pages[1] > page[1]:
        return Paging(
            {"style": "page", "parameter": page[0][-1]}, f"page {page[1]} of {pages[1]}: is this the parameter?"
        )
    if total and longest and total[1] > longest:
        name = ".".join(map(quoted_key, total[0]))
        return Paging({}, f"{name} is {total[1]}, and this page has {longest} records: does the API need pagination?")
    return None


def _is_count(found: tuple[tuple[str, ...], Any] | None) -> bool:
    return found is not None and isinstance(found[1], int) and not isinstance(found[1], bool)


def _cursor(members: Mapping[str, tuple[tuple[str, ...], Any]]) -> Paging | None:
    for name in _CURSORS:
        path, value = members.get(name, ((), None))
        if value and isinstance(value, str):
            expression = ".".join(map(quoted_key, path))
            detail = f"pagination: {{style: cursor, path: {expression}, parameter: …}}"
            return Paging({}, f"{expression} continues the answer; which parameter takes it? {detail}")
    return None


def parameters(url: str) -> dict[str, list[str]]:
    """The query of a URL, as `params`."""
    found: dict[str, list[str]] = {}
    for name, value in parse_qsl(urlsplit(url).query, keep_blank_values=True):
        found.setdefault(name, []).append(value)
    return found
