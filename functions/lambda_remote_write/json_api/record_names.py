"""`name: {path, prefix}` of a metric: the names that its records have, made legal.

A name begins with the prefix. Every character that a metric's name may not have becomes `_`, and one that would begin
with a digit gets a `_` in front, so that no digit is lost.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from ..model.drop_reasons import DropReason
from ..model.samples import RefusedSeries
from ..model.scrape import EXTRA_SYNTHETIC_NAMES, SYNTHETIC_NAMES

_ILLEGAL = re.compile(r"[^a-zA-Z0-9_:]")
_RESERVED = frozenset(SYNTHETIC_NAMES + EXTRA_SYNTHETIC_NAMES)


def legal_name(text: str) -> str:
    """Any text, not an empty one, as a metric's name."""
    name = _ILLEGAL.sub("_", text)
    return f"_{name}" if name[0].isdigit() else name


class RecordNames:
    """The names of one metric: what the records of a scrape say, and the legal name of each."""

    def __init__(self, prefix: str) -> None:
        self._prefix = prefix
        self._legal: dict[str, str] = {}
        self._found: dict[str, None] = {}  # in this scrape, as the records say

    def start(self, spare: int) -> None:
        """Begins a scrape; forgets the names of earlier ones when there are more than `spare`."""
        self._found = {}
        if len(self._legal) > spare:
            self._legal.clear()

    def add(self, keys: Iterable[str | tuple[str, ...]]) -> None:
        """Notes the names of records. A key is the name alone, or the name and the labels."""
        self._found.update(dict.fromkeys(key if isinstance(key, str) else key[0] for key in keys))

    def legal(self, text: str) -> str:
        found = self._legal.get(text)
        if found is None:
            found = self._legal[text] = legal_name(self._prefix + text)
        return found

    def refused(self, name: str, metric: str) -> RefusedSeries | None:
        """Why there may be no series of a legal name; None when there may."""
        if name not in _RESERVED:
            return None
        detail = f"metric {metric}: a record has the name {name}, of which every scrape makes a series itself"
        return RefusedSeries(DropReason.RESERVED_NAME, detail)

    def legal_names(self) -> tuple[str, ...]:
        """The legal names in this scrape, each once."""
        return tuple(name for name in dict.fromkeys(map(self.legal, self._found)) if name not in _RESERVED)

    def clash(self) -> str:
        """Two names of this scrape that became the same one, in words; "" when each has its own."""
        first: dict[str, str] = {}
        for text in self._found:
            other = first.setdefault(self.legal(text), text)
            if other != text:
                return f"the names {other!r:.60} and {text!r:.60} both become {self.legal(text):.80}"
        return ""
