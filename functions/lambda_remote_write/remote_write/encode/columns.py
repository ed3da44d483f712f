"""The samples of one request in columns, and what both versions of the protocol encode alike."""

from __future__ import annotations

import functools
import itertools
import operator
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar, cast

from ...model.samples import Exemplar, Histogram, Samples, Series, Value, _are_one, earliest, has_histograms, latest
from ...series.label_codec import double, integer, message, varint
from . import histogram

Beside = TypeVar("Beside")

_TAG = b"\x10"
_MANY_TIMES = 64  # distinct times in one request from which tables pay off
_SIX_BYTE_MS = range(2**35, 2**42)  # February 1971 to May 2109, in milliseconds


@dataclass(frozen=True, slots=True)
class SampleBlock:
    """Samples in columns. `exemplars` and `starts_ms` are keyed by the index of their sample."""

    series: Sequence[Series]
    values: Sequence[Value]
    timestamps_ms: Sequence[int]
    exemplars: Mapping[int, tuple[Exemplar, ...]]
    starts_ms: Mapping[int, int]
    histograms: int
    prefixes: Sequence[bytes] | None = None  # given if no series occurs twice

    def fast_path_values(self) -> Sequence[float] | None:
        """The values if the fast path can encode the block: floats with six-byte times and nothing else; else None."""
        if self.histograms or self.exemplars or self.starts_ms or not self.series:
            return None
        if earliest(self.timestamps_ms) not in _SIX_BYTE_MS or latest(self.timestamps_ms) not in _SIX_BYTE_MS:
            return None
        return cast(Sequence[float], self.values)

    def has_neighbours(self) -> bool:
        """Whether two adjacent samples are of one series."""
        if self.prefixes is not None:
            return False
        return any(map(operator.is_, self.series, itertools.islice(self.series, 1, None)))

    def changes(self) -> list[int]:
        """The indexes where another series begins, and the end of the block."""
        is_same = map(operator.is_, self.series, itertools.islice(self.series, 1, None))
        return [*(place for place, same in enumerate(is_same, 1) if not same), len(self.series)]

    def tails(self) -> list[bytes]:
        """The timestamp fields of samples on the fast path: seven bytes each."""
        stamps = self.timestamps_ms
        if _are_one(stamps):
            return [timestamp_field(stamps[0])] * len(stamps)
        distinct = set(stamps)
        if len(distinct) > _MANY_TIMES:
            return _many_fields(stamps)
        fields = {stamp: timestamp_field(stamp) for stamp in distinct}
        return list(map(fields.__getitem__, stamps))

    def runs(self) -> Iterator[tuple[int, int]]:
        """(start, stop) of adjacent samples that share a TimeSeries: of one series, and either floats or histograms."""
        at, count = 0, len(self.series)
        while at < count:
            start, series, is_histogram = at, self.series[at], isinstance(self.values[at], Histogram)
            at += 1
            while at < count and self.series[at] is series and isinstance(self.values[at], Histogram) is is_histogram:
                at += 1
            yield start, at

    def points(self, start: int, stop: int, histogram_tag: bytes) -> bytes:
        """The samples of a run, or its histograms, as fields of a TimeSeries."""
        return b"".join([self._point(place, histogram_tag) for place in range(start, stop)])

    def _point(self, place: int, histogram_tag: bytes) -> bytes:
        value, timestamp_ms, start_ms = self.values[place], self.timestamps_ms[place], self.starts_ms.get(place, 0)
        if isinstance(value, Histogram):
            return message(histogram_tag, histogram.encode(value, timestamp_ms, start_ms))
        encoded = double(b"\x09", value) + timestamp_field(timestamp_ms) + integer(b"\x18", start_ms)
        return message(b"\x12", encoded)

    def exemplars_of(self, start: int, stop: int) -> list[Exemplar]:
        """The exemplars of a run."""
        if not self.exemplars:
            return []
        return [exemplar for place in range(start, stop) for exemplar in self.exemplars.get(place, ())]


def _many_fields(timestamps_ms: Sequence[int]) -> list[bytes]:
    """Timestamp fields from tables that map 14 bits of a number to two bytes of its varint."""
    first, middle = _tables()
    last = {high: varint(high) for high in {stamp >> 28 for stamp in timestamps_ms}}
    return [first[stamp & 16383] + middle[stamp >> 14 & 16383] + last[stamp >> 28] for stamp in timestamps_ms]


@functools.cache  # built when a backfill needs them, not in a cold start
def _tables() -> tuple[list[bytes], list[bytes]]:
    """14 bits -> two varint bytes with the continuation bit; the first table has the field's tag before them."""
    middle = [bytes((low & 127 | 128, low >> 7 | 128)) for low in range(16384)]
    return [_TAG + pair for pair in middle], middle


def timestamp_field(timestamp_ms: int) -> bytes:
    return integer(_TAG, timestamp_ms)


class SampleBlocks:
    """Samples to be cut. Exemplars and the start of a series go with its newest sample."""

    def __init__(self, samples: Samples, *, exemplars: bool = True, starts: bool = True) -> None:
        self._samples = samples
        self._has_histograms = has_histograms(samples.values)
        self._exemplars: dict[int, tuple[Exemplar, ...]] = {}
        self._starts_ms: dict[int, int] = {}
        if not (exemplars and samples.exemplars) and not (starts and samples.starts_ms):
            return
        newest = dict(zip(samples.series, range(len(samples)), strict=True))
        if exemplars:
            self._exemplars = {newest[one]: some for one, some in samples.exemplars.items() if one in newest and some}
        if starts:
            self._starts_ms = {newest[one]: start for one, start in samples.starts_ms.items() if one in newest}

    def cut(self, start: int, stop: int) -> SampleBlock:
        samples, values = self._samples, self._samples.values[start:stop]
        return SampleBlock(
            samples.series[start:stop],
            values,
            samples.timestamps_ms[start:stop],
            _between(self._exemplars, start, stop),
            _between(self._starts_ms, start, stop),
            list(map(type, values)).count(Histogram) if self._has_histograms else 0,
            samples.prefixes and samples.prefixes[start:stop],
        )


def _between(by_place: Mapping[int, Beside], start: int, stop: int) -> dict[int, Beside]:
    """The entries for indexes from `start` up to `stop`, keyed by their index in the block that begins at `start`."""
    if not by_place:
        return {}
    return {place - start: by_place[place] for place in range(start, stop) if place in by_place}
