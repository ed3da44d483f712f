"""The lines of a target's last page, in their order. The next page nearly always has the same ones, so that comparing
is enough, and no line has to be looked up."""

from __future__ import annotations

from array import array
from bisect import bisect_left
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import compress
from typing import Literal

from ..model.samples import Series
from .go_float import floats_before_breaks

_COMMENT, _SAMPLE = 0, 1
Entry = Series | Literal[False] | None


_IS_HEAD = bytes.maketrans(b"\0\1", b"\1\0")  # from a mask of values


@dataclass(slots=True)
class PreviousPage:
    """Lists by line. A head is the part that stays: a whole comment, or the bytes before a sample's space and value.
    The entry is a sample's series, False when relabelling drops it, None for a comment.

    To compare it, a page is split at its spaces: `_head_words` are the words of the heads in their order (the last one
    of a comment with its line break), `_is_value` marks the values among all words of the page. `_head_starts` and
    `_starts` are where each line begins in the one and the other, and the end. The lines `a 1` and `# b c` have the
    words `a`, `1`, `#`, `b`, `c`: all but the second are head words, and `_is_value` is 0 1 0 0 0.
    """

    heads: list[bytes] = field(default_factory=list)
    entries: list[Entry] = field(default_factory=list)
    is_sample: bytearray = field(default_factory=bytearray)
    _head_words: list[bytes] = field(default_factory=list)
    _is_value: bytearray = field(default_factory=bytearray)
    _head_starts: array[int] = field(default_factory=lambda: array("I", [0]))
    _starts: array[int] = field(default_factory=lambda: array("I", [0]))

    def __len__(self) -> int:
        return len(self.heads)

    def add_comment(self, line: bytes) -> None:
        self._add(line, None, _COMMENT)

    def add_sample(self, head: bytes, entry: Series | Literal[False]) -> None:
        self._add(head, entry, _SAMPLE)

    def _add(self, head: bytes, entry: Entry, kind: int) -> None:
        self.heads.append(head)
        self.entries.append(entry)
        self.is_sample.append(kind)

    def entries_by_head(self) -> dict[bytes, Series | Literal[False]]:
        """The samples' entries by their heads."""
        return {head: entry for head, entry in zip(self.heads, self.entries, strict=True) if entry is not None}

    def extend(self, other: PreviousPage, start: int, stop: int) -> None:
        """Adds these lines of another page."""
        self.take_apart()
        other.take_apart()
        self.heads += other.heads[start:stop]
        self.entries += other.entries[start:stop]
        self.is_sample += other.is_sample[start:stop]
        word, first = other._head_starts, other._starts
        words_moved, moved = len(self._head_words) - word[start], len(self._is_value) - first[start]
        self._head_words += other._head_words[word[start] : word[stop]]
        self._is_value += other._is_value[first[start] : first[stop]]
        self._head_starts.extend([at + words_moved for at in word[start + 1 : stop + 1]])
        self._starts.extend([at + moved for at in first[start + 1 : stop + 1]])

    def take_apart(self) -> None:
        """Splits the lines that were added, for the comparison."""
        done = len(self._starts) - 1
        once = dict[bytes, bytes]().setdefault  # comments repeat the same words
        for head, kind in zip(self.heads[done:], self.is_sample[done:], strict=True):
            if kind:
                words = head.split(b" ")
                self._is_value += bytes(len(words)) + b"\1"
            else:
                words = [once(word, word) for word in (head + b"\n").split(b" ")]
                self._is_value += bytes(len(words))
            self._head_words += words
            self._head_starts.append(len(self._head_words))
            self._starts.append(len(self._is_value))

    def samples(self, lines: bytes, at: int) -> tuple[list[Series], list[float], int, int] | None:
        """Lines, each with its break, that equal those from place `at` on -> series, values, how many samples there are
        with the dropped ones, and the place behind them; None when a line differs."""
        if at == len(self):
            return None
        words = lines.replace(b"\n", b"\n ").split(b" ")  # and an empty one
        start = self._starts[at]
        end = start + len(words) - 1
        stop = bisect_left(self._starts, end, at)
        if stop > len(self) or self._starts[stop] != end:
            return None
        is_value = self._is_value[start:end]
        heads = list(compress(words, is_value.translate(_IS_HEAD)))
        if heads != self._head_words[self._head_starts[at] : self._head_starts[stop]]:
            return None
        values = floats_before_breaks(list(compress(words, is_value)))
        if values is None:
            return None
        count, entries = len(values), self.entries[at:stop]
        if not all(entries):
            taken = entries if count == len(entries) else list(compress(entries, self.is_sample[at:stop]))
            values, entries = list(compress(values, taken)), list(compress(taken, taken))
        return entries, values, count, stop  # type: ignore[return-value]  # comments and dropped ones are gone

    def place_after(self, head: bytes, start: int, stop: int) -> int | None:
        """The place behind the line with this head between two places."""
        try:
            return self.heads.index(head, start, stop) + 1
        except ValueError:
            return None

    def last_comments(self, start: int, stop: int) -> Iterator[bytes]:
        """The comments between two places, the last one first."""
        at = self.is_sample.rfind(_COMMENT, start, stop)
        while at >= 0:
            yield self.heads[at]
            at = self.is_sample.rfind(_COMMENT, start, at)
