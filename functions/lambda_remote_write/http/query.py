"""The query of a URL."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from urllib.parse import quote_plus, unquote_plus, urlencode, urlsplit, urlunsplit


def with_query(url: str, parameters: Mapping[str, str | Sequence[str]], encode: Callable[..., str] = quote_plus) -> str:
    """The URL with these query parameters set, to one value or several; its other parameters stay. `encode` is as
    urllib.parse.quote_plus."""
    if not parameters:
        return url
    parts = urlsplit(url)
    given = [part for part in parts.query.split("&") if part]
    kept = [part for part in given if unquote_plus(part.partition("=")[0]) not in parameters]
    return urlunsplit(parts._replace(query="&".join([*kept, urlencode(parameters, doseq=True, quote_via=encode)])))
