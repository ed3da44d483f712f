"""What a page gives, and what an environment remembers of a target's pages."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Literal, NamedTuple

from ..model.samples import Exemplar, Histogram, Metadata, PlainIntern, Series, Value
from .previous_page import PreviousPage

NO_TIME = -(2**63)
"""The timestamp of what has none of its own: the sample's is meant."""


@dataclass(frozen=True, slots=True)
class Refused:
    """A series that no receiver takes: the reason under which its samples are counted, and the words for it."""

    reason: str
    message: str

    def __bool__(self) -> bool:
        return False


@dataclass(frozen=True, slots=True)
class Part:
    """A series of a classic histogram that becomes part of a native one: `_bucket` (with its boundary), `_count` or
    `_sum`. `kept` is the classic series itself, None when it is not wanted too; `reset_hint` is the native one's."""

    histogram: tuple[tuple[str, str], ...]
    ending: str
    boundary: float
    kept: CacheEntry | None
    reset_hint: int = 0

    def __bool__(self) -> bool:
        return False


CacheEntry = Series | Refused | Part | Literal[False]
"""What a raw identity of a page stands for: a series, one that no receiver takes, a part of a native histogram, or
False: dropped by metric_relabel_configs."""

Resolve = Callable[[dict[str, str]], CacheEntry]
"""Labels as the page has them -> what they stand for. Raises BadPage."""


class BadPage(Exception):
    """The page cannot be taken: nothing of it counts. `line` counts from one, 0 when there is no line to name."""

    def __init__(self, message: str, line: int = 0) -> None:
        self.message, self.line = message, line
        super().__init__(f"line {line}: {message}" if line else message)


@dataclass(slots=True)
class Family:
    """Type, help and unit of a metric family, and the comments that say so, by field."""

    type: str = "unknown"
    help: str = ""
    unit: str = ""
    lines: dict[str, bytes] = field(default_factory=dict)


class MetadataLine(NamedTuple):
    """What a comment says: `type`, `help` or `unit` of a family; one without a name says nothing."""

    field: str = ""
    name: str = ""
    text: str = ""


@dataclass(slots=True)
class ScrapeCache:
    """What a warm environment knows of one target: every raw identity is parsed and relabelled once.

    The series of the last page are in its `layout`; `known` has those of pages that have none, or that differ from the
    last one. It is keyed by the bytes before a line's value, `comments` by whole lines that say nothing new.
    `groups` and `created` tie a series to the one that says when it began (OpenMetrics `_created`); `histograms` are
    the native ones that classic ones become, by their labels.
    """

    known: dict[bytes, CacheEntry] = field(default_factory=dict)
    comments: dict[bytes, MetadataLine] = field(default_factory=dict)
    families: dict[str, Family] = field(default_factory=dict)
    groups: dict[Series, tuple[str, ...]] = field(default_factory=dict)
    created: dict[tuple[str, ...], Series] = field(default_factory=dict)
    histograms: dict[tuple[tuple[str, str], ...], CacheEntry] = field(default_factory=dict)
    layout: PreviousPage = field(default_factory=PreviousPage)
    plain: PlainIntern | None = None  # where labels are taken as they are
    is_contradicted: bool = False  # a comment of the layout may no longer be true
    _is_looked_up: bool = True
    _metadata: tuple[Metadata, ...] = ()
    _is_told: bool = False

    def say(self, name: str, field_name: str, text: str) -> Family:
        """Takes over what a comment says of a family."""
        family = self.families.setdefault(name, Family())
        setattr(family, field_name, text)
        self._is_told = False
        return family

    def metadata(self) -> tuple[Metadata, ...]:
        """The families as the comments describe them; the same tuple until one says something else."""
        if not self._is_told:
            described = self.families.items()
            self._metadata = tuple(Metadata(name, one.type, one.help, one.unit) for name, one in described)
            self._is_told = True
        return self._metadata

    def last_type(self, comments: Iterable[bytes]) -> MetadataLine | None:
        """Of comments, the last one first, what the last TYPE line says."""
        found = (self.comments.get(line) for line in comments)
        return next((said for said in found if said and said.field == "type"), None)

    def look_up(self) -> None:
        """From now on `known` has what the layout has."""
        if not self._is_looked_up:
            self.known |= self.layout.entries_by_head()
            self._is_looked_up = True

    def keep(self, layout: PreviousPage | None) -> None:
        """The layout of a page that was taken; None of one that has to be looked up again. Of identities that such a
        page did not have is then only forgotten what it takes to bound them; else all of them are: under another TYPE
        line the same identity may stand for another series (Prometheus scrape/scrape.go, iterDone)."""
        if layout is None:
            self.look_up()
            self.layout = PreviousPage()
        else:
            self.layout, self.known = layout, {}
            layout.take_apart()
            comments = layout.last_comments(0, len(layout)) if self.is_contradicted else ()
            self.is_contradicted = not all(map(self.comments.__contains__, comments))
        self._is_looked_up = layout is None

    def forget_comments(self) -> None:
        """The next page says it all again."""
        self.comments.clear()
        self.families.clear()
        self.keep(None)
        self._is_told = False

    def forget(self, is_kept: Callable[[Series], bool]) -> None:
        """Lets go of what belongs to other series, or to none."""
        self.keep(None)
        known = self.known.items()
        self.known = {key: one for key, one in known if isinstance(one, Series) and is_kept(one)}
        self.groups = {series: key for series, key in self.groups.items() if is_kept(series)}
        self.created = {key: series for key, series in self.created.items() if is_kept(series)}
        self.histograms.clear()


@dataclass(slots=True)
class Page:
    """The samples of one page: those that get the scrape's time, those with a timestamp of their own (milliseconds).

    `scraped` counts all samples of the page, `kept` those that relabelling left, duplicates included. An exemplar
    without a timestamp has NO_TIME.
    """

    series: list[Series] = field(default_factory=list)
    values: list[Value] = field(default_factory=list)
    stamped: list[tuple[Series, Value, int]] = field(default_factory=list)
    stamped_at: dict[Series, int] = field(default_factory=dict)  # how many of `series` came before its first one
    exemplars: list[tuple[Series, Exemplar]] = field(default_factory=list)
    starts_ms: dict[Series, int] = field(default_factory=dict)
    refused: list[Refused] = field(default_factory=list)
    parts: list[tuple[Part, float, int]] = field(default_factory=list)
    scraped: int = 0

    def add(self, entry: CacheEntry, value: Value, timestamp_ms: int) -> None:
        """One sample that counts as scraped already. NO_TIME is the scrape's."""
        if isinstance(entry, Series):
            if timestamp_ms == NO_TIME:
                self.series.append(entry)
                self.values.append(value)
            else:
                self.stamped.append((entry, value, timestamp_ms))
                self.stamped_at.setdefault(entry, len(self.series))
        elif isinstance(entry, Refused):
            self.refused.append(entry)
        elif isinstance(entry, Part):
            if not isinstance(value, Histogram):
                self.parts.append((entry, value, timestamp_ms))
            if entry.kept is None:
                self.scraped -= 1
            else:
                self.add(entry.kept, value, timestamp_ms)

    @property
    def kept(self) -> int:
        return len(self.series) + len(self.stamped)
