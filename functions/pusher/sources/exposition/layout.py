"""The lines of a target's last page, in their order. A page is nearly always laid out like the one before, so that
comparing is enough, and no line has to be looked up."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import compress
from typing import Literal

from ...model import Series
from .numbers import floats_after_a_space

_COMMENT, _SAMPLE = 0, 1
Entry = Series | Literal[False] | None


@dataclass(slots=True)
class Layout:
    """Lists by line. A head is what does not change: a whole comment, or the bytes before a sample's space and value.
    The entry is a sample's series, False when relabelling drops it, None for a comment."""

    heads: list[bytes] = field(default_factory=list)
    lengths: list[int] = field(default_factory=list)
    entries: list[Entry] = field(default_factory=list)
    is_sample: bytearray = field(default_factory=bytearray)

    def __len__(self) -> int:
        return len(self.heads)

    def add_comment(self, line: bytes) -> None:
        self._add(line, None, _COMMENT)

    def add_sample(self, head: bytes, entry: Series | Literal[False]) -> None:
        self._add(head, entry, _SAMPLE)

    def _add(self, head: bytes, entry: Entry, kind: int) -> None:
        self.heads.append(head)
        self.lengths.append(len(head))
        self.entries.append(entry)
        self.is_sample.append(kind)

    def extend(self, other: Layout, start: int, stop: int) -> None:
        """Adds these lines of another layout."""
        self.heads += other.heads[start:stop]
        self.lengths += other.lengths[start:stop]
        self.entries += other.entries[start:stop]
        self.is_sample += other.is_sample[start:stop]

    def samples(self, lines: Sequence[bytes], at: int) -> tuple[list[Series], list[float], int] | None:
        """Lines that are like those from place `at` on -> series, values, and how many samples they hold with those
        that are dropped; None when a line is not like that."""
        stop = at + len(lines)
        heads = self.heads[at:stop]
        if len(heads) < len(lines) or not all(map(bytes.startswith, lines, heads)):
            return None
        rests = [line[length:] for line, length in zip(lines, self.lengths[at:stop], strict=True)]
        entries, kinds = self.entries[at:stop], self.is_sample[at:stop]
        count = kinds.count(_SAMPLE)
        if count < len(lines):
            if any(rest for rest, kind in zip(rests, kinds, strict=True) if not kind):
                return None  # a comment that goes on
            rests, entries = list(compress(rests, kinds)), list(compress(entries, kinds))
        values = floats_after_a_space(rests)
        if values is None:
            return None
        if not all(entries):
            values, entries = list(compress(values, entries)), list(compress(entries, entries))
        return entries, values, count  # type: ignore[return-value]  # comments and dropped ones are gone

    def place_after(self, head: bytes, start: int, stop: int) -> int | None:
        """The place behind the line with this head, looked for between two places."""
        try:
            return self.heads.index(head, start, stop) + 1
        except ValueError:
            return None

    def last_comments(self, start: int, stop: int) -> Sequence[bytes]:
        """The comments between two places, the last one first."""
        return [self.heads[at] for at in range(min(stop, len(self)) - 1, start - 1, -1) if not self.is_sample[at]]
