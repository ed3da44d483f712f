"""What a page gives, and what an environment remembers of a target's pages: the entries of its lines, and the lines of
the last page in their order. The next page nearly always has the same ones, so that comparing is enough."""

from __future__ import annotations

from array import array
from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from itertools import compress
from typing import Literal, NamedTuple

from ..model.samples import Exemplar, FastIntern, Histogram, Metadata, RefusedSeries, Series, Value
from .go_float import floats_before_breaks

NO_TIME = -(2**63)
"""The timestamp of a sample or exemplar without one: the sample gets the scrape's, an exemplar its sample's."""


@dataclass(frozen=True, slots=True)
class HistogramPart:
    """A series of a classic histogram that becomes part of a native one: `_bucket` (with its boundary), `_count` or
    `_sum`. `kept` is the classic series itself, None when it is not wanted too; `reset_hint` is the native one's."""

    histogram: tuple[tuple[str, str], ...]
    ending: str
    boundary: float
    kept: CacheEntry | None
    reset_hint: int = 0

    def __bool__(self) -> bool:
        return False


CacheEntry = Series | RefusedSeries | HistogramPart | Literal[False]
"""What a raw identity of a page stands for: a series, one that no endpoint accepts, a part of a native histogram, or
False: dropped by metric_relabel_configs."""

Resolve = Callable[[dict[str, str]], CacheEntry]
"""Labels as the page has them -> their entry. Raises BadPage."""


class BadPage(Exception):
    """The whole scrape fails. `line` counts from one; 0 when there is no line to name."""

    def __init__(self, message: str, line: int = 0) -> None:
        self.message, self.line = message, line
        super().__init__(f"line {line}: {message}" if line else message)


@dataclass(slots=True)
class Family:
    """Type, help and unit of a metric family, and the comment line of each, by field."""

    type: str = "unknown"
    help: str = ""
    unit: str = ""
    lines: dict[str, bytes] = field(default_factory=dict)


class MetadataLine(NamedTuple):
    """A comment that sets the `type`, `help` or `unit` of a family; without a name it sets nothing."""

    field: str = ""
    name: str = ""
    text: str = ""


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
    entries: list[Series | Literal[False] | None] = field(default_factory=list)
    is_sample: bytearray = field(default_factory=bytearray)
    _head_words: list[bytes] = field(default_factory=list)
    _is_value: bytearray = field(default_factory=bytearray)
    _head_starts: array[int] = field(default_factory=lambda: array("I", [0]))
    _starts: array[int] = field(default_factory=lambda: array("I", [0]))

    def __len__(self) -> int:
        return len(self.heads)

    def add(self, head: bytes, entry: Series | Literal[False] | None) -> None:
        self.heads.append(head)
        self.entries.append(entry)
        self.is_sample.append(entry is not None)

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

    def last_comments(self, start: int, stop: int) -> Iterator[bytes]:
        """The comments between two places, the last one first."""
        at = self.is_sample.rfind(False, start, stop)
        while at >= 0:
            yield self.heads[at]
            at = self.is_sample.rfind(False, start, at)


@dataclass(slots=True)
class ScrapeCache:
    """What an environment remembers of one target, so that each raw identity is parsed and relabelled once.

    `previous_page` has the series of the last page; `entries` those of pages that could not be recorded or that differ
    from the last one, by the bytes before a line's value. `comments` are whole lines that set nothing new. `groups` and
    `created` tie a series to the one with its start time (OpenMetrics `_created`); `histograms` are the native ones
    that classic ones become, by their labels.
    """

    entries: dict[bytes, CacheEntry] = field(default_factory=dict)
    comments: dict[bytes, MetadataLine] = field(default_factory=dict)
    families: dict[str, Family] = field(default_factory=dict)
    groups: dict[Series, tuple[str, ...]] = field(default_factory=dict)
    created: dict[tuple[str, ...], Series] = field(default_factory=dict)
    histograms: dict[tuple[tuple[str, str], ...], CacheEntry] = field(default_factory=dict)
    previous_page: PreviousPage = field(default_factory=PreviousPage)
    fast_intern: FastIntern | None = None  # set where labels are taken as they are
    is_contradicted: bool = False  # a later line contradicts a comment of the previous page
    _is_indexed: bool = True  # `entries` has the series of the previous page, too
    _metadata: tuple[Metadata, ...] | None = None

    def set_metadata(self, name: str, field_name: str, text: str) -> Family:
        family = self.families.setdefault(name, Family())
        setattr(family, field_name, text)
        self._metadata = None
        return family

    def metadata(self) -> tuple[Metadata, ...]:
        """The families as their comments describe them; the same tuple until a comment changes one."""
        if self._metadata is None:
            described = self.families.items()
            self._metadata = tuple(Metadata(name, one.type, one.help, one.unit) for name, one in described)
        return self._metadata

    def last_type(self, comments: Iterable[bytes]) -> MetadataLine | None:
        """The last TYPE line of comments in reverse order."""
        found = (self.comments.get(line) for line in comments)
        return next((one for one in found if one and one.field == "type"), None)

    def index_previous_page(self) -> None:
        """From now on `entries` has the series of the previous page."""
        if not self._is_indexed:
            self.entries |= self.previous_page.entries_by_head()
            self._is_indexed = True

    def keep_page(self, page: PreviousPage | None) -> None:
        """Keeps the lines of a good page; None for one that could not be recorded. Under another TYPE line the same
        identity may stand for another series, so that identities which the page did not have are forgotten (Prometheus
        scrape/scrape.go, iterDone). A page that was not recorded keeps them, within the scraper's bound."""
        if page is None:
            self.index_previous_page()
            self.previous_page = PreviousPage()
        else:
            self.previous_page, self.entries = page, {}
            page.take_apart()
            comments = page.last_comments(0, len(page)) if self.is_contradicted else ()
            self.is_contradicted = not all(map(self.comments.__contains__, comments))
        self._is_indexed = page is None

    def forget_comments(self) -> None:
        """The next page sets them again."""
        self.comments.clear()
        self.families.clear()
        self.keep_page(None)
        self._metadata = None

    def forget(self, is_kept: Callable[[Series], bool]) -> None:
        """Forgets other series, and what stands for none."""
        self.keep_page(None)
        entries = self.entries.items()
        self.entries = {key: one for key, one in entries if isinstance(one, Series) and is_kept(one)}
        self.groups = {series: key for series, key in self.groups.items() if is_kept(series)}
        self.created = {key: series for key, series in self.created.items() if is_kept(series)}
        self.histograms.clear()


@dataclass(slots=True)
class Page:
    """The samples of one page. `series` and `values` get the scrape's time; `stamped` have their own, in milliseconds.

    `scraped` counts all samples of the page, `kept` those that relabelling left, duplicates included.
    """

    series: list[Series] = field(default_factory=list)
    values: list[Value] = field(default_factory=list)
    stamped: list[tuple[Series, Value, int]] = field(default_factory=list)
    stamped_at: dict[Series, int] = field(default_factory=dict)  # how many of `series` came before its first one
    exemplars: list[tuple[Series, Exemplar]] = field(default_factory=list)
    starts_ms: dict[Series, int] = field(default_factory=dict)
    refused: list[RefusedSeries] = field(default_factory=list)
    parts: list[tuple[HistogramPart, float, int]] = field(default_factory=list)
    scraped: int = 0

    def add(self, entry: CacheEntry, value: Value, timestamp_ms: int) -> None:
        """One sample that counts as scraped already."""
        if isinstance(entry, Series):
            if timestamp_ms == NO_TIME:
                self.series.append(entry)
                self.values.append(value)
            else:
                self.stamped.append((entry, value, timestamp_ms))
                self.stamped_at.setdefault(entry, len(self.series))
        elif isinstance(entry, RefusedSeries):
            self.refused.append(entry)
        elif isinstance(entry, HistogramPart):
            if not isinstance(value, Histogram):
                self.parts.append((entry, value, timestamp_ms))
            if entry.kept is None:
                self.scraped -= 1
            else:
                self.add(entry.kept, value, timestamp_ms)

    @property
    def kept(self) -> int:
        return len(self.series) + len(self.stamped)
