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


def is_pattern(text: str) -> bool:
    """Whether the text stands for more than the one name that it is."""
    return _META.search(text) is not None


def fixed_part(pattern: str) -> str:
    """The text with which every name begins that matches."""
    return _META.split(pattern, maxsplit=1)[0]


def compiled(pattern: str) -> re.Pattern[str]:
    """A pattern for `fullmatch`. Raises ValueError for one that Go would call bad."""
    parts, rest = [], pattern
    while rest:
        char, rest = rest[0], rest[1:]
        if char == "*":
            parts.append("[^/]*")
        elif char == "?":
            parts.append("[^/]")
        elif char == "[":
            choice, rest = _choice(rest)
            parts.append(choice)
        else:
            char, rest = _literal(char, rest)
            parts.append(re.escape(char))
    return re.compile("".join(parts), re.DOTALL)


def _literal(char: str, rest: str) -> tuple[str, str]:
    if char != "\\":
        return char, rest
    if not rest:
        raise ValueError("a \\ stands at its end")
    return rest[0], rest[1:]


def _choice(rest: str) -> tuple[str, str]:
    """What stands behind a `[`, as one part of a regex, and what comes after its `]`."""
    is_negated = rest.startswith("^")
    rest, ranges = rest[is_negated:], list[str]()
    while rest and (not ranges or rest[0] != "]"):
        low, rest = _end_of_range(rest)
        high = low
        if rest.startswith("-"):
            high, rest = _end_of_range(rest[1:])
        if low <= high:
            ranges.append(f"{re.escape(low)}-{re.escape(high)}")
        else:
            ranges.append("")
    if not rest:
        raise ValueError("a [ has no ]")
    inside = "".join(ranges)
    nothing = "[^\\x00-\\U0010ffff]" if not is_negated else "[^/]"
    return (f"(?!/)[{'^' if is_negated else ''}{inside}]" if inside else nothing), rest[1:]


def _end_of_range(rest: str) -> tuple[str, str]:
    if not rest or rest[0] in "-]":
        raise ValueError("a choice in [ ] is not complete")
    return _literal(rest[0], rest[1:])


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
