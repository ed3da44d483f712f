"""Relabel rules that the converters write: what another program did to labels and names, in Prometheus's words."""

from __future__ import annotations

import re

from .tree import Entry, List, Map, listing, mapping, scalar


def rules_of(block: Map, key: str) -> List:
    """The list of rules at a key; it is made when there is none."""
    entry = block.get(key)
    if entry is None or not isinstance(entry.value, List):
        entry = block.put(key, List())
    assert isinstance(entry.value, List)  # noqa: S101 - it was made a list just now
    return entry.value


def rule(source_labels: tuple[str, ...] = (), *, flow: bool = True, **pairs: str) -> Entry:
    """One rule, as an item of its list."""
    found = mapping(flow, **pairs)
    if source_labels:
        found.entries.insert(0, Entry("source_labels", listing(*map(scalar, source_labels), flow=True)))
    return Entry("", found)


def escaped(text: str) -> str:
    """The text as RE2 matches it literally."""
    return re.sub(r"([^A-Za-z0-9_ :/-])", r"\\\1", text)


def anchored(pattern: str) -> str | None:
    """A pattern that is searched for, as Go's MatchString does -> one that matches the whole text, as a relabel rule's
    does. None where the anchors inside it cannot be moved."""
    begins, ends = pattern.startswith("^"), pattern.endswith("$") and not pattern.endswith("\\$")
    inner = pattern[begins : len(pattern) - ends]
    has_anchor, has_choice = _looked_through(inner)
    if has_anchor or (has_choice and (begins or ends)):
        return None
    inner = f"(?:{inner})" if has_choice else inner
    before = "" if begins or inner.startswith(".*") else ".*"
    return f"{before}{inner}{'' if ends or inner.endswith('.*') else '.*'}"


def _looked_through(pattern: str) -> tuple[bool, bool]:
    """Whether an anchor stands in a pattern, and whether a `|` stands outside its groups."""
    depth, in_class, has_anchor, has_choice = 0, False, False, False
    for char in re.sub(r"\\.", "", pattern):
        if in_class:
            in_class = char != "]"
        elif char == "[":
            in_class = True
        elif char in "()":
            depth += 1 if char == "(" else -1
        has_anchor = has_anchor or (char in "^$" and not in_class)
        has_choice = has_choice or (char == "|" and not in_class and depth == 0)
    return has_anchor, has_choice


def one_of(names: list[str]) -> str:
    """A pattern for any of some names."""
    found = "|".join(map(escaped, names))
    return f"(?:{found})" if len(names) > 1 else found
