"""Patterns of file names as Prometheus reads them: Go's filepath.Match and filepath.Glob.

`*` is any text without a slash, `?` one character but a slash, `[a-c]` and `[^a-c]` a choice, `\\c` the character c.
Unlike Python's `glob`, `*` takes names with a leading dot, too, and `**` is nothing of its own.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator

RULE_PATH = re.compile(r"[^*]*(\*[^/]*)?")
"""What `scrape_config_files` and `rule_files` may be: a `*` stands in the last part only (config.go, patRulePath)."""

_META = re.compile(r"[*?\[\\]")
_END = r"\\.|[^\]\\-]"  # of a range: any character, of these three only behind a \
_RANGE = re.compile(rf"({_END})(?:-({_END}))?", re.DOTALL)
_TOKEN = re.compile(rf"\[(?P<not>\^?+)(?P<choice>(?:(?:{_END})(?:-(?:{_END}))?)+)\]|\\.|[^\[\\]", re.DOTALL)
_ANY = {"*": "[^/]*", "?": "[^/]"}


def is_pattern(text: str) -> bool:
    """Whether the text stands for more than the one name that it is."""
    return _META.search(text) is not None


def fixed_part(pattern: str) -> str:
    """The text with which every name begins that matches."""
    return _META.split(pattern, maxsplit=1)[0]


def compiled(pattern: str) -> re.Pattern[str]:
    """A pattern for `fullmatch`. Raises ValueError for one that Go would call bad."""
    parts, at = [], 0
    while at < len(pattern):
        token = _TOKEN.match(pattern, at)
        if token is None:
            raise ValueError(_why_bad(pattern[at:]))
        parts.append(_as_regex(token))
        at = token.end()
    return re.compile("".join(parts), re.DOTALL)


def _as_regex(token: re.Match[str]) -> str:
    if token[0] in _ANY:
        return _ANY[token[0]]
    if not token["choice"]:
        return re.escape(token[0].removeprefix("\\"))
    ranges = [[end.removeprefix("\\") for end in one.groups() if end] for one in _RANGE.finditer(token["choice"])]
    inside = "".join(f"{re.escape(ends[0])}-{re.escape(ends[-1])}" for ends in ranges if ends[0] <= ends[-1])
    nothing = "[^/]" if token["not"] else "(?!)"
    return f"(?!/)[{token['not']}{inside}]" if inside else nothing


def _why_bad(rest: str) -> str:
    if rest[0] == "\\":
        return "a \\ stands at its end"
    return "a choice in [ ] is not complete" if "]" in rest else "a [ has no ]"


def find(pattern: str) -> list[str]:
    """The files that match, in order; what cannot be looked into has none. Raises ValueError for a bad pattern."""
    compiled(pattern)
    return sorted(_found(pattern))


def _found(pattern: str) -> Iterator[str]:
    if not is_pattern(pattern):
        if os.path.lexists(pattern):
            yield pattern
        return
    folder, slash, name = pattern.rpartition("/")
    matches = compiled(name).fullmatch
    for parent in _found(folder) if folder else [slash]:
        place = f"{parent}{slash}" if folder else slash
        try:
            names = os.listdir(place or ".")
        except OSError:
            continue
        yield from (f"{place}{one}" for one in names if matches(one))
