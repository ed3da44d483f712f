"""Samples, and the series, values, exemplars and metadata that they consist of: what collecting makes, and delivery
encodes."""

from __future__ import annotations

import struct
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import cast

Labels = Mapping[str, str]


class Series:
    """One interned series of a warm environment. Built once by `series/cache.py`, then only looked up.

    `prefix` is the encoded head of its TimeSeries message: everything before the eight bytes of a value.
    `last_ms` is the newest timestamp handed to delivery, `seen` the number of the last run that produced it.
    `strings` (label names and values) are made when 2.0 needs them.
    """

    __slots__ = ("last_ms", "prefix", "seen", "strings")

    def __init__(self, prefix: bytes) -> None:
        self.prefix = prefix
        self.strings: tuple[str, ...] = ()
        self.last_ms = NEVER_MS
        self.seen = 0


class InvalidSeries(Exception):
    """A label set that remote write (or AMP) does not allow. `reason` is the key under which drops are counted."""

    def __init__(self, reason: str, message: str) -> None:
        self.reason = reason
        super().__init__(message)

    @property
    def refused(self) -> RefusedSeries:
        return RefusedSeries(self.reason, str(self))


@dataclass(frozen=True, slots=True)
class RefusedSeries:
    """A label set that gives no series: the reason under which its samples are counted as dropped, and the detail."""

    reason: str
    message: str

    def __bool__(self) -> bool:
        return False


Intern = Callable[[Labels], Series]
"""Final labels of a sample (before external labels) -> the series. Raises InvalidSeries."""


FastIntern = Callable[[str, tuple[str, ...], Sequence[tuple[str, str]]], Series | None]
"""Metric, label names and labels of a page's line, valid and not empty -> the series with its target's labels; None
where the slow path has to look at the labels."""


STALE = struct.unpack("<d", (0x7FF0000000000002).to_bytes(8, "little"))[0]
"""The value that says a series has ended: one bit pattern of NaN (remote write 1.0, "Stale markers")."""


NEVER_MS = -(2**63)
"""`Series.last_ms` of a series that has sent nothing yet."""


@dataclass(frozen=True, slots=True)
class Exemplar:
    """An example behind a sample, as a trace. Labels in their order, milliseconds."""

    labels: tuple[tuple[str, str], ...]
    value: float
    timestamp_ms: int


@dataclass(frozen=True, slots=True)
class Histogram:
    """A native histogram. Spans are (offset, length). Buckets are deltas between neighbours' counts when the counts
    are integers, and the counts themselves when `is_float`. `reset_hint` is the number in the .proto files."""

    count: float
    sum: float
    schema: int
    zero_threshold: float
    zero_count: float
    negative_spans: tuple[tuple[int, int], ...] = ()
    negative_buckets: tuple[float, ...] = ()
    positive_spans: tuple[tuple[int, int], ...] = ()
    positive_buckets: tuple[float, ...] = ()
    is_float: bool = False
    reset_hint: int = 0
    custom_values: tuple[float, ...] = ()


Value = float | Histogram


@dataclass(slots=True)
class Samples:
    """Samples in columns: series, value and milliseconds of the same index belong together.

    `exemplars` and `starts_ms` (when a counter began, in milliseconds) belong to a series' newest sample here; only a
    page that has some fills them. `prefixes` are those of the series, set once the samples are in order and no series
    stands twice; no samples are added after that.
    """

    series: list[Series] = field(default_factory=list)
    values: list[Value] = field(default_factory=list)
    timestamps_ms: list[int] = field(default_factory=list)
    exemplars: dict[Series, tuple[Exemplar, ...]] = field(default_factory=dict)
    starts_ms: dict[Series, int] = field(default_factory=dict)
    prefixes: list[bytes] | None = None

    def __len__(self) -> int:
        return len(self.series)

    def add(self, series: Series, value: Value, timestamp_ms: int) -> None:
        self.series.append(series)
        self.values.append(value)
        self.timestamps_ms.append(timestamp_ms)

    def extend(self, other: Samples) -> None:
        self.series += other.series
        self.values += other.values
        self.timestamps_ms += other.timestamps_ms
        self.exemplars |= other.exemplars
        self.starts_ms |= other.starts_ms

    def pick(self, indices: list[int]) -> Samples:
        """The samples at these indices, in this order."""
        return Samples(
            [self.series[index] for index in indices],
            [self.values[index] for index in indices],
            [self.timestamps_ms[index] for index in indices],
            self.exemplars,
            self.starts_ms,
        )


@dataclass(frozen=True, slots=True)
class Metadata:
    """Type, help and unit of a metric family. `type` is a Prometheus word in lower case."""

    name: str
    type: str
    help: str
    unit: str


def earliest(timestamps_ms: Sequence[int]) -> int:
    """The earliest of some timestamps."""
    return timestamps_ms[0] if _are_one(timestamps_ms) else min(timestamps_ms)


def latest(timestamps_ms: Sequence[int]) -> int:
    """The latest of some timestamps."""
    return timestamps_ms[0] if _are_one(timestamps_ms) else max(timestamps_ms)


def _are_one(timestamps_ms: Sequence[int]) -> bool:
    """All are the same, as on a page without timestamps of its own. To count is cheaper than to compare."""
    return bool(timestamps_ms) and timestamps_ms.count(timestamps_ms[0]) == len(timestamps_ms)


def has_histograms(values: Sequence[Value]) -> bool:
    """Adding up asks a column of floats fastest: a histogram is no number."""
    try:
        sum(cast(Sequence[float], values))
    except TypeError:
        return True
    return False
