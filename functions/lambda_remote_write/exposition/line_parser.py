"""Parses a page as it arrives. A line in its place of the last page costs a comparison and a number, another known one
a look-up. New ones are parsed, and only those of an uncommon form by the grammar of their format."""

from __future__ import annotations

import contextlib
import functools
import math
import re
from abc import ABC, abstractmethod
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from decimal import Decimal
from itertools import compress
from typing import Literal, NamedTuple, TypeGuard

from ..model.samples import Exemplar, Series
from . import fast_path, nhcb
from .go_float import go_float, go_floats, go_literal
from .labels import Unterminated, label_dict, unescaped
from .page import NO_TIME, BadPage, CacheEntry, MetadataLine, Page, PreviousPage, Resolve, ScrapeCache

_MAX_LINE_BYTES = 1 << 24  # held in memory until the line ends
_MAX_QUOTED_BYTES = 1 << 20  # of a line with quoted texts that continue in the next
_MAX_REREAD_BYTES = 1 << 21  # such a line is parsed again wherever one of its texts may end
_CLOSES = re.compile(rb'(?:[^"\\]|\\.)*(?:"|\\\Z)')  # a line that ends a quoted text, or breaks off within an escape
_MAX_RECORDED_LINES = 1_000_000  # a page may have any number of empty lines
_NORMALISED = {"histogram": "le", "summary": "quantile"}
_PAIR = re.compile(r'([a-zA-Z_][a-zA-Z0-9_]*)="([^"\\\0]*+(?:\\[^\n\0][^"\\\0]*+)*+)"')


class Line(NamedTuple):
    """One sample line, parsed. `identity` is its bytes before the value; `labels` begin with the metric's name; times
    are still text (b"" for none). `exemplar` is labels, value and time. `mistake` follows a complete sample: that
    counts as scraped, and the scrape fails."""

    identity: bytes
    labels: Sequence[tuple[str, str]]
    value: bytes
    timestamp: bytes = b""
    exemplar: tuple[tuple[tuple[str, str], ...], bytes, bytes] | None = None
    mistake: str = ""


@dataclass(frozen=True, slots=True)
class ParseOptions:
    """What to read of a page beside its samples."""

    honor_timestamps: bool = True
    exemplars: bool = False
    starts: bool = False
    native_histograms: bool = False
    classic_histograms: bool = False  # of those that are native too
    custom_buckets: bool = False  # native histograms in place of classic ones
    max_buckets: int = 0  # of a native histogram; 0 for any number
    max_schema: int = 8


class LineReader(ABC):
    """What both text formats share. `feed` it the page in pieces, then `close` it.

    Lines are read in the fastest of three ways that works: compared with the last page (`_take_same`), looked up
    together (`_take_all`), or one by one, parsed where they are new (`_read_by_line`).
    """

    _continues = False  # a quoted text may continue in the next line
    _has_start_times = False

    def __init__(self, cache: ScrapeCache, resolve: Resolve, parse_options: ParseOptions) -> None:
        self._cache, self._resolve, self._parse_options = cache, resolve, parse_options
        self.page = Page()
        self._rest: list[bytes] = []  # a line that has not ended yet, in pieces
        self._line = 0  # lines before the current ones
        self._type, self._family = "unknown", ""  # of the last TYPE line
        self._ended = False  # the page has declared its end
        self._place = 0  # in the previous page
        self._this_page: PreviousPage | None = None  # its lines, once they differ from the previous page
        self._is_open, self._open_bytes = False, 0  # the line so far ends within a quoted text
        self._reread = 0  # bytes parsed again because a quoted text continued
        self._is_regular = True  # every line so far can be recorded
        self._is_all_new = False  # a TYPE line made the entries that were looked up invalid
        has_start_times = parse_options.starts and self._has_start_times
        self._needs_more = parse_options.custom_buckets or has_start_times  # than the labels of a line

    def feed(self, piece: bytes) -> None:
        """The next piece of the page. Raises BadPage."""
        if self._ended and piece:
            self._after_end(self._line + 1)
        end = piece.rfind(b"\n")
        if end < 0 or self._ended or self._stays_open(piece):
            self._rest.append(piece)
            if sum(map(len, self._rest)) > _MAX_LINE_BYTES:
                raise BadPage(f"a line of more than {_MAX_LINE_BYTES} bytes", self._line + 1)
            return
        data = b"".join([*self._rest, piece[: end + 1]])
        self._rest = [piece[end + 1 :]]
        self._read(data)

    def _stays_open(self, piece: bytes) -> bool:
        """Whether a quoted text continues beyond this piece, so that nothing can be parsed yet. Raises BadPage."""
        if not self._is_open or b'"' in piece:
            self._is_open = False
            return False
        self._open_bytes += len(piece)
        if self._open_bytes > _MAX_QUOTED_BYTES:
            raise BadPage("a quoted text without an end", self._line + 1)
        return True

    @abstractmethod
    def close(self) -> Page:
        """The end of the page. Raises BadPage when it may not end here."""

    # each format

    @abstractmethod
    def _after_end(self, line: int) -> None:
        """Something follows the declared end. Raises BadPage if that is a mistake."""

    @abstractmethod
    def _comment(self, line: bytes) -> bool:
        """Takes a line without a sample; False for one with a sample. Raises BadPage."""

    @abstractmethod
    def _parse(self, line: bytes) -> Line:
        """Raises BadPage and Unterminated."""

    @abstractmethod
    def _timestamp_ms(self, text: bytes) -> int:
        """Raises BadPage."""

    # lines

    def _read(self, data: bytes) -> None:
        """Complete lines, each with its line break."""
        if not self._take_same(data):
            lines = data[:-1].split(b"\n")
            parts = [line.rpartition(b" ") for line in lines]
            self._cache.index_previous_page()
            known = self._cache.entries.get
            found = [known(part[0]) for part in parts]
            self._begin_this_page()
            if not self._take_all(lines, found, parts):
                self._read_by_line(lines, found, parts)
            head = lines[-1] if found[-1] is None else parts[-1][0]
            with contextlib.suppress(ValueError):  # where the previous page continues like this one
                heads = self._cache.previous_page.heads
                self._place = heads.index(head, self._place, self._place + 4 * len(lines)) + 1
            self._line += len(lines)

    def _take_same(self, data: bytes) -> bool:
        old, at = self._cache.previous_page, self._place
        found = old.samples(data, at)
        if found is None:
            return False
        series, values, count, place = found
        comments = old.last_comments(at, place) if self._cache.is_contradicted else ()
        if not all(map(self._cache.comments.__contains__, comments)):
            return False
        self._place = place
        self.page.series += series
        self.page.values += values
        self.page.scraped += count
        self._line += self._place - at
        if self._this_page is not None:
            self._this_page.extend(old, at, self._place)
        self._remember_type(self._cache.last_type(old.last_comments(at, self._place)))
        return True

    def _begin_this_page(self) -> None:
        """From here on the page differs from the previous one."""
        if self._this_page is None and self._is_regular:
            self._this_page = PreviousPage()
            self._this_page.extend(self._cache.previous_page, 0, self._place)

    def _keep_this_page(self) -> None:
        """The page was good: the next one is compared with it."""
        if self._place < len(self._cache.previous_page):
            self._begin_this_page()
        if self._this_page is not None or not self._is_regular:
            self._cache.keep_page(self._this_page)

    def _take_all(
        self, lines: Sequence[bytes], found: list[CacheEntry | None], parts: Sequence[tuple[bytes, bytes, bytes]]
    ) -> bool:
        """Lines that are all known: series with their values, and comments. False, with nothing taken, when one has to
        be read by itself."""
        comments = [line for line, entry in zip(lines, found, strict=True) if entry is None]
        if not all(map(self._cache.comments.__contains__, comments)):
            return False
        entries = [entry for entry in found if entry is not None]
        values = go_floats([part[2] for part, entry in zip(parts, found, strict=True) if entry is not None])
        if values is None or not all(map(_can_be_recorded, entries)):
            return False
        self.page.series += compress(entries, entries)  # type: ignore[arg-type]
        self.page.values += compress(values, entries)
        self.page.scraped += len(entries)
        for line, part, entry in zip(lines, parts, found, strict=True):
            self._record(line if entry is None else part[0], entry)
        self._remember_type(self._cache.last_type(reversed(comments)))
        return True

    def _record(self, head: bytes, entry: CacheEntry | None) -> None:
        """Records a line for the next page. One that is neither a comment nor a series with only its value makes the
        page one that cannot be recorded."""
        page = self._this_page
        if page is None:
            return
        if len(page) <= _MAX_RECORDED_LINES and (entry is None or _can_be_recorded(entry)):
            page.add(head, entry)
        else:
            self._give_up_this_page()

    def _give_up_this_page(self) -> None:
        """The next page cannot be compared with this one."""
        if self._this_page is not None:
            self._cache.entries |= self._this_page.entries_by_head()
        self._this_page, self._is_regular = None, False

    def _read_by_line(
        self, lines: Sequence[bytes], found: list[CacheEntry | None], parts: Sequence[tuple[bytes, bytes, bytes]]
    ) -> None:
        """One by one, in the page's order."""
        at, values, self._is_all_new = 0, _values(lines, parts), False
        while at < len(lines) and not self._ended:
            entry, (head, _, last), value = None if self._is_all_new else found[at], parts[at], values[at]
            if entry is None and self._take_stamped(head, last):
                at += 1
                continue
            if entry is None and value is not None:
                entry = self._fast_path(head)
                if entry is not None and (self._this_page is None or not _can_be_recorded(entry)):
                    self._cache.entries[head] = entry  # the recorded page will not have it
            if entry is None or not self._take(entry, value, last):
                at += self._unknown(lines, at)
                continue
            self._record(head, entry)
            at += 1
        if at < len(lines):
            self._after_end(self._line + at + 1)

    def _fast_path(self, head: bytes) -> CacheEntry | None:
        """The entry of a new identity of the common form; None when the grammar has to parse or refuse it."""
        if self._needs_more or not fast_path.is_likely(head):
            return None
        try:
            metric, labels = fast_path.read(head.decode())
            names = tuple([name for name, _ in labels])
            if "le" not in names and "quantile" not in names:
                return self._fast_intern(metric, names, labels)
            known = self._cache.entries  # its label depends on the TYPE line above the first one
            if head not in known:
                known[head] = self._fast_intern(metric, names, list(map(self._normalised, labels)))
            return known[head]
        except (UnicodeDecodeError, BadPage, fast_path.NeedsGrammar):
            return None

    def _fast_intern(self, metric: str, names: tuple[str, ...], labels: Sequence[tuple[str, str]]) -> CacheEntry:
        found = self._cache.fast_intern(metric, names, labels) if self._cache.fast_intern else None
        return self._resolve(label_dict([("__name__", metric), *labels])) if found is None else found

    def _normalised(self, label: tuple[str, str]) -> tuple[str, str]:
        name, value = label
        return (name, canonical_float(value)) if name == _NORMALISED.get(self._type) else label

    def _take(self, entry: CacheEntry, value: float | None, last: bytes) -> bool:
        """One known line with its value, None if not read yet. False when its last word is not a value."""
        try:
            number = go_float(last) if value is None else value
        except ValueError:
            return False
        self.page.add(entry, number, NO_TIME)
        self.page.scraped += 1
        return True

    def _take_stamped(self, head: bytes, last: bytes) -> bool:
        """A known identity in `identity value timestamp`; False for any other line."""
        identity, _, value = head.rpartition(b" ")
        entry = self._cache.entries.get(identity)
        if entry is None:
            return False
        try:
            number, stamp = go_float(value), self._timestamp_ms(last)
        except (ValueError, BadPage):
            return False
        self._give_up_this_page()
        self.page.add(entry, number, stamp if self._parse_options.honor_timestamps else NO_TIME)
        self.page.scraped += 1
        return True

    def _unknown(self, lines: Sequence[bytes], at: int) -> int:
        """Takes the line at `at`, with those in which its quoted text continues. Returns how many."""
        line, count = lines[at], 1
        try:
            if line in self._cache.comments:  # and no later one has contradicted it
                self._remember_type(self._cache.last_type([line]))
                self._record(line, None)
                return 1
            if self._comment(line):
                self._record(line, None)
                if self._ended:
                    self._give_up_this_page()
                return 1
            while True:
                try:
                    self._sample(line)
                except Unterminated:
                    if not self._continues:
                        raise BadPage("a quoted text does not end in its line") from None
                    self._give_up_this_page()
                    more = self._until_closed(line, lines, at + count)
                    line = b"\n".join([line, *lines[at + count : at + count + more]])
                    count += more
                    if at + count == len(lines) and not (more and _CLOSES.match(lines[-1])):
                        self._rest.insert(0, line + b"\n")
                        self._is_open = True
                        self._reread += len(line)
                        self._line -= count
                        return count
                else:
                    return count
        except BadPage as error:
            raise BadPage(f"{error.message}: {_shown(line)}", self._line + at + 1) from None
        except UnicodeDecodeError:
            self._count_misnamed(line)
            raise BadPage(f"not UTF-8: {_shown(line)}", self._line + at + 1) from None

    def _until_closed(self, line: bytes, lines: Sequence[bytes], start: int) -> int:
        """How many lines continue the quoted text at the end of `line`, up to one that may close it (all if none does).
        Refuses a page that would be parsed again and again."""
        end = next((at for at in range(start, len(lines)) if _CLOSES.match(lines[at])), len(lines) - 1)
        self._open_bytes = len(line) + sum(map(len, lines[start : end + 1])) + end + 1 - start
        self._reread += len(line)
        if self._open_bytes > _MAX_QUOTED_BYTES or self._reread > _MAX_REREAD_BYTES:
            raise BadPage("a quoted text without an end, or too many of them over several lines")
        return end + 1 - start

    # comments

    def _set_metadata(self, line: bytes, metadata: MetadataLine) -> None:
        cache = self._cache
        cache.comments[line] = metadata
        if not metadata.name:
            return
        family = cache.set_metadata(metadata.name, metadata.field, metadata.text)
        before = family.lines.get(metadata.field, line)
        if before != line:  # if the earlier line comes again, it sets something new
            cache.comments.pop(before, None)
            cache.is_contradicted = True
            # A type decides what is part of a histogram.
            if metadata.field == "type" and self._parse_options.custom_buckets:
                cache.entries.clear()
                cache.previous_page, self._place = PreviousPage(), 0
                self._is_all_new = True
        family.lines[metadata.field] = line
        self._remember_type(metadata if metadata.field == "type" else None)

    def _remember_type(self, line: MetadataLine | None) -> None:
        if line:
            self._type, self._family = line.text, line.name

    # samples

    def _sample(self, line: bytes) -> None:
        parsed = self._parse(line)
        number = _number(parsed.value)
        stamp = self._timestamp_ms(parsed.timestamp) if parsed.timestamp else NO_TIME
        example = None
        if parsed.exemplar:
            labels, value, time = parsed.exemplar
            example = Exemplar(labels, _number(value), self._timestamp_ms(time) if time else NO_TIME)
        self.page.scraped += 1  # also when its labels are wrong, as in Prometheus
        entry = self._entry(parsed)
        if example and isinstance(entry, Series) and self._parse_options.exemplars:
            self.page.exemplars.append((entry, example))
        self.page.add(entry, number, stamp if self._parse_options.honor_timestamps else NO_TIME)
        if parsed.mistake:
            raise BadPage(parsed.mistake)
        if len(line) == len(parsed.identity) + 1 + len(parsed.value) and not parsed.timestamp:
            self._record(parsed.identity, entry)
        else:
            self._give_up_this_page()

    def _count_misnamed(self, line: bytes) -> None:
        """Prometheus counts a line as scraped whose only mistake is a name that is not UTF-8."""
        with contextlib.suppress(BadPage, Unterminated):
            parsed = self._parse(line.decode("utf-8", "replace").encode())
            _number(parsed.value)
            self.page.scraped += not any("\ufffd" in value for _, value in parsed.labels[1:])

    def spellings(self, series: Collection[Series]) -> int:
        """In how many ways the page writes these series: labels in another order count, and so do identities that
        relabelling merges."""
        page = self._cache.previous_page if self._this_page is None else self._this_page
        heads = page.entries_by_head() if self._is_regular else self._cache.entries
        return sum(entry in series for entry in heads.values())

    def _entry(self, line: Line) -> CacheEntry:
        """The entry of the line's identity, cached from now on."""
        known, parse_options = self._cache.entries, self._parse_options
        entry = known.get(line.identity)
        if entry is None:
            labels, part = label_dict(list(map(self._normalised, line.labels))), None
            if parse_options.custom_buckets and self._type == "histogram":
                classic = parse_options.classic_histograms
                part = nhcb.part_of(labels, self._family, self._cache, self._resolve, classic=classic)
            entry = known[line.identity] = self._resolve(labels) if part is None else part
            if isinstance(entry, Series) and parse_options.starts:
                self._tie(entry, labels)
        return entry

    def _tie(self, series: Series, labels: dict[str, str]) -> None:  # noqa: B027 - a format may have nothing to tie
        """Remembers which line has the start time of this series."""


def _can_be_recorded(entry: CacheEntry) -> TypeGuard[Series | Literal[False]]:
    """Whether a page with this line can be recorded: a series, or one that relabelling drops."""
    return isinstance(entry, Series) or entry is False


def _values(lines: Sequence[bytes], parts: Sequence[tuple[bytes, bytes, bytes]]) -> list[float | None]:
    """The value at the end of each line that may have a sample, None for a comment; None for all when one has to be
    read by itself."""
    may_hold = [line[:1] not in b"#" for line in lines]
    values = go_floats([part[2] for part in compress(parts, may_hold)])
    if values is None:
        return [None] * len(lines)
    rest = iter(values)
    return [next(rest) if holds else None for holds in may_hold]


def fast_identity(line: re.Match[str]) -> tuple[bytes, list[tuple[str, str]]]:
    """A line of the common form -> its identity, and `__name__` and the labels in their order. The groups are the name,
    the labels and the value."""
    name, labels = line[1], line[2]
    pairs = [("__name__", name), *(_PAIR.findall(labels) if labels else ())]
    if labels and "\\" in labels:
        pairs = [(label, unescaped(quoted)) for label, quoted in pairs]
    return line.string[: line.start(3) - 1].encode(), pairs


def _number(text: bytes) -> float:
    try:
        return go_float(text)
    except ValueError as error:
        raise BadPage(str(error)) from None


@functools.lru_cache(maxsize=1024)  # a page has few boundaries, on many lines
def canonical_float(text: str) -> str:
    """The value of `le` or `quantile` as OpenMetrics writes it: `1` -> `1.0`, `+inf` -> `+Inf`; other text as it is."""
    try:
        return format_float(go_literal(text))
    except ValueError:
        return text


def format_float(value: float) -> str:
    """Go's shortest form with a point or an exponent (Prometheus model/textparse, formatOpenMetricsFloat)."""
    if value != value:
        return "NaN"
    if value in (math.inf, -math.inf):
        return "+Inf" if value > 0 else "-Inf"
    if value == 0:
        return "0.0"
    number = Decimal(repr(value)).normalize()
    if -4 <= number.adjusted() < 6:
        text = format(number, "f")
        return text if "." in text else f"{text}.0"
    digits, _, exponent = format(number, "e").partition("e")
    return f"{digits}e{int(exponent):+03d}"


def _shown(line: bytes) -> str:
    text = line[:100].decode("utf-8", "replace")
    return repr(text) + ("…" if len(line) > 100 else "")
