"""The query of a URL."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from urllib.parse import parse_qsl, quote_plus, unquote, unquote_plus, urlencode, urlsplit, urlunsplit

_MIN_ANYWHERE = 8  # characters of a value that is looked for outside its parameter


def with_query(url: str, parameters: Mapping[str, str | Sequence[str]], encode: Callable[..., str] = quote_plus) -> str:
    """The URL with these query parameters set, to one value or several; its other parameters stay. `encode` is as
    urllib.parse.quote_plus."""
    if not parameters:
        return url
    parts = urlsplit(url)
    given = [part for part in parts.query.split("&") if part]
    kept = [part for part in given if unquote_plus(part.partition("=")[0]) not in parameters]
    return urlunsplit(parts._replace(query="&".join([*kept, urlencode(parameters, doseq=True, quote_via=encode)])))


def added_parameters(url: str, before: str) -> set[tuple[str, str]]:
    """What the query of `url` has and that of `before` had not."""
    return set(parse_qsl(urlsplit(url).query)) - set(parse_qsl(urlsplit(before).query))


def holds_one_of(url: str, parameters: Iterable[tuple[str, str]]) -> bool:
    """Whether one of these parameters stands in the URL, or its value under another name or in the path."""
    given, text = parse_qsl(urlsplit(url).query), unquote_plus(url)
    return any(
        one in given or (len(one[1]) >= _MIN_ANYWHERE and (one[1] in text or one[1] in unquote(url)))
        for one in parameters
    )
