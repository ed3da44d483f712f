"""The `Link` header (RFC 8288): links with parameters, of which one leads to the next page."""

from __future__ import annotations

import re
from collections.abc import Iterator
from urllib.parse import urljoin

_TARGET = re.compile(r"[\s,]*<([^>]*)>")
_PARAMETER = re.compile(r"\s*;\s*([^\s=;,<>\"]*)\s*(?:=\s*(?:\"((?:[^\"\\]|\\.)*)\"|([^\s;,\"]*)))?")
_ESCAPED = re.compile(r"\\(.)")
_REST = re.compile(r"[\s,]*")
_COMMA = re.compile(r"\s*(?:,|\Z)")
_SHOWN = 60  # characters of a header that cannot be read


def next_link(header: str, page_url: str) -> str | None:
    """The target of the first link whose relation is `next`, as it is written; None when there is none. A link with an
    `anchor` is one of another resource (3.2), and Sentry's `results="false"` says that its page is empty. Raises
    ValueError for a header that breaks off before such a link."""
    for target, parameters in _links(header):
        relations = parameters.get("rel", "").lower().split()  # several, without case (3.3)
        anchor = parameters.get("anchor")
        if "next" in relations and (anchor is None or urljoin(page_url, anchor) == page_url):
            return target.strip() if parameters.get("results") != "false" else None
    return None


def _links(header: str) -> Iterator[tuple[str, dict[str, str]]]:
    """Targets with their parameters, by name in lower case; of one that stands twice the first counts (3.3)."""
    at = 0
    while not _REST.fullmatch(header, at):
        found = _TARGET.match(header, at)
        if found is None:
            raise ValueError(_malformed(header, at))
        at, parameters = found.end(), dict[str, str]()
        while parameter := _PARAMETER.match(header, at):
            name, quoted, plain = parameter.groups()
            value = _ESCAPED.sub(r"\1", quoted) if quoted is not None else (plain or "").strip("'")
            parameters.setdefault(name.lower(), value)
            at = parameter.end()
        if not (comma := _COMMA.match(header, at)):
            raise ValueError(_malformed(header, at))
        at = comma.end()
        yield found[1], parameters


def _malformed(header: str, at: int) -> str:
    return f'the Link header is malformed at {header[at : at + _SHOWN].strip()!r}; <URL>; rel="next" is expected'
