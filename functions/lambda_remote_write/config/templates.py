"""Templates in the URL, query and body of a JSON API's request: `{now}`, `{now-DURATION}`, in `backfill` `{start}`,
`{end}` and `{step}`, in a body also `{cursor}`, `{label.NAME}` and `{ref.NAME}`.

There are no others: every other brace stands for itself, as GraphQL's do. A text is filled in one pass, so that what
takes a placeholder's place is never read again.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Collection, Iterable, Iterator
from urllib.parse import quote, quote_plus

from . import scalars
from .secrets import Secret
from .timestamp import Format
from .yaml_reader import Section, did_you_mean

IN_URL = ("now",)
IN_BODY = ("now", "cursor", "label", "ref")
OF_RANGES = ("start", "end", "step")
_PLACEHOLDER = re.compile(r"\{(now(?:-[0-9][0-9a-z]*)?|start|end|step|cursor|(?:label|ref)\.[A-Za-z_][A-Za-z0-9_]*)\}")
_NOW = re.compile(r"\{(now(?:-[0-9][0-9a-z]*)?)\}")
_CURSOR_MEMBER = re.compile(r'(?<!\\)("\s*:\s*)"\{cursor\}"')
_NEARLY_NOW = re.compile(r"\{(\s*now\s*[-+][^{}]*)\}")
_BRACES = re.compile(r"\{([^{}]*)\}")
_LONGEST_MS = 50 * 365 * 86_400_000  # before now: a time before 1970 is a mistake
_HINTS = {
    "start": "stands in backfill only",
    "end": "stands in backfill only",
    "step": "stands in backfill only",
    "cursor": "stands in a body only; a query gets the cursor by pagination.parameter",
    "label": "stands in the body of a job only; labels reach url and query by relabel_configs, as __param_NAME",
    "ref": 'stands in a body only; a query takes {ref: "env:…"} as the value',
}

Fill = Callable[[str], "str | Secret | None"]
"""What stands for a placeholder, by its name; None leaves it as it is."""


def fill(text: str, value: Fill, escape: Callable[[str], str]) -> list[str | Secret]:
    """The text in parts, with texts escaped and secrets as they are."""
    parts: list[str | Secret] = []
    for index, part in enumerate(_PLACEHOLDER.split(text)):
        found = value(part) if index % 2 else part
        if found is None:
            parts.append(f"{{{part}}}")
        else:
            parts.append(escape(found) if index % 2 and isinstance(found, str) else found)
    return parts


def filled(text: str, value: Callable[[str], str | None], escape: Callable[[str], str]) -> str:
    """The same for texts without secrets."""
    return "".join(str(part) for part in fill(text, value, escape))


def names(text: str) -> list[str]:
    """The placeholders of a text."""
    return _PLACEHOLDER.findall(text)


def names_of(kind: str, texts: Iterable[str | None]) -> set[str]:
    """The names that stand in texts as `{kind.NAME}`."""
    found = (name.partition(".") for text in texts for name in names(text or ""))
    return {name for one, _, name in found if one == kind and name}


def time_of(name: str, form: Format, now_ms: int) -> str | None:
    """What `now` and `now-DURATION` stand for; None for other names."""
    if not (name == "now" or name.startswith("now-")):
        return None
    return form.written(now_ms - (scalars.duration_ms(name[4:]) if name != "now" else 0))


# escaping


def in_json(text: str) -> str:
    """Inside the quotes of a JSON text."""
    return json.dumps(text)[1:-1]


def in_url(text: str) -> str:
    """A time in a URL. The slashes of its format stay: a path means them, and a query may have them (RFC 3986, 3.4)."""
    return quote(text)


def begins_as_json(body: str) -> bool:
    return body.lstrip()[:1] in ("{", "[")


def escape_of_body(body: str, content_type: str) -> Callable[[str], str]:
    """By Content-Type, or what the body looks like where there is none."""
    media_type = content_type.partition(";")[0].strip().lower()
    if media_type == "application/x-www-form-urlencoded":
        return quote_plus
    is_json = "json" in media_type or (not media_type and begins_as_json(body))
    return in_json if is_json else str


def on_first_page(body: str) -> str:
    """A body of JSON, where a member that is the cursor alone is null: as a cursor most APIs refuse the empty text."""
    return _CURSOR_MEMBER.sub(r"\1null", body)


def quoted(text: str, *_: object) -> str:
    """A value of a query, percent-encoded but for its placeholders of times: these are filled in the URL."""
    parts = _NOW.split(text)
    return "".join(f"{{{part}}}" if index % 2 else quote_plus(part) for index, part in enumerate(parts))


def url_at(url: str, form: Format, now_ms: int) -> str:
    """The URL of one request."""
    return _NOW.sub(lambda found: in_url(time_of(found[1], form, now_ms) or ""), url)


# reading


def reader(section: Section, key: str, known: Collection[str], *, is_body: bool = False) -> Callable[[str], str]:
    """Checks a text with placeholders of these kinds. Raises ValueError for one that stands in the wrong place or is
    written wrongly; warns at `key` of what is nearly one, where braces are hardly meant otherwise."""

    def checked(text: str) -> str:
        if mistakes := list(dict.fromkeys(_mistakes(text, known, is_body=is_body))):
            raise ValueError("; ".join(mistakes))
        for word in () if is_body else _BRACES.findall(text):
            if not _PLACEHOLDER.fullmatch(f"{{{word}}}") and (near := did_you_mean(word, known)):
                section.warn(key, f"{{{word:.40}}} is no template, and is sent as it is{near}")
        return text

    return checked


def _mistakes(text: str, known: Collection[str], *, is_body: bool) -> Iterator[str]:
    for word in _NEARLY_NOW.findall(_NOW.sub("", text)):
        yield f"{{{word:.40}}} is not read; a time is {{now}} or {{now-DURATION}}, as {{now-1h30m}}"
    for name in names(text):
        kind = name.partition(".")[0].partition("-")[0]
        if kind in known:
            yield from _bad_duration(name)
        elif not is_body or "." in name:  # in a body, GraphQL may mean such a word
            yield f"{{{name}}} {_HINTS[kind]}"


def _bad_duration(name: str) -> Iterator[str]:
    if not name.startswith("now-"):
        return
    try:
        if scalars.duration_ms(name[4:]) > _LONGEST_MS:
            yield f"{{{name}}} is more than 50 years ago"
    except ValueError as error:
        yield f"{{{name}}}: {error}"


def url_reader(convert: Callable[[str], str], check: Callable[[str], str]) -> Callable[[str], str]:
    """A URL, through `convert`, whose path and query may have placeholders. Raises ValueError."""

    def checked(text: str) -> str:
        host = re.split(r"[/?#]", text.partition("://")[2], maxsplit=1)[0]
        if names(host):
            raise ValueError("a template stands behind the host, in the path or the query")
        return check(convert(text))

    return checked
