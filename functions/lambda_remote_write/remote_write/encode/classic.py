"""Native histograms with custom buckets -> the equivalent classic series (`convert_nhcb_to_classic`).

Rules: Prometheus storage/remote/queue_manager.go (convertAndEnqueueNHCB) and model/histogram/convert.go, 3.16: after
write_relabel_configs, for both versions of the protocol, with or without `send_native_histograms`.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Container, Iterable, Iterator, Sequence
from dataclasses import dataclass

from ...exposition.line_parser import format_float
from ...model.reason_counts import ReasonCounts
from ...model.samples import STALE, Histogram, Labels, Samples, Series, has_histograms
from ...series import label_codec
from .histogram import CUSTOM_BUCKETS

Own = Callable[[Labels], Series | str]
"""Labels -> the endpoint's series, or the reason why there is none."""


@dataclass(frozen=True, slots=True)
class _ClassicSeries:
    """The series of one histogram: a bucket for each boundary and one for +Inf, `_count` and `_sum`."""

    boundaries: tuple[float, ...]
    series: tuple[Series | str, ...]

    def without(self, boundaries: Container[float]) -> Iterator[Series | str]:
        """The buckets with other boundaries."""
        return (one for one, bound in zip(self.series, self.boundaries, strict=False) if bound not in boundaries)


class ClassicHistograms:
    """Converts the histograms of one endpoint. Remembers the buckets of each, so that it can end them."""

    def __init__(self, own: Own) -> None:
        self._own = own
        self._known: dict[Series, _ClassicSeries] = {}

    def convert(self, samples: Samples, dropped: ReasonCounts) -> tuple[Samples, int]:
        """Replaces such histograms by classic samples. Returns the samples and by how many they grew, dropped ones
        included. A stale marker of a histogram ends its classic series."""
        if not self._known and not has_histograms(samples.values):
            return samples, 0
        made = _Made(samples, dropped)
        for series, value, timestamp_ms in zip(samples.series, samples.values, samples.timestamps_ms, strict=True):
            before = self._known.get(series)
            is_native = isinstance(value, Histogram)
            if isinstance(value, Histogram) and value.schema == CUSTOM_BUCKETS:
                now = self._known[series] = self._classic(series, value.custom_values, before)
                made.add(now.series, _values(value), timestamp_ms, samples.starts_ms.get(series, 0))
                if before and before is not now:
                    made.end(before.without(now.boundaries), timestamp_ms)
            elif before and (is_native or label_codec.is_stale(value)):  # type: ignore[arg-type]  # a float then
                del self._known[series]
                made.end(before.series, timestamp_ms)
                if is_native:
                    made.samples.add(series, value, timestamp_ms)
            else:
                made.samples.add(series, value, timestamp_ms)
        return made.samples, len(made.samples) + made.refused - len(samples)

    def _classic(self, series: Series, boundaries: tuple[float, ...], before: _ClassicSeries | None) -> _ClassicSeries:
        if before and before.boundaries == boundaries:
            return before
        labels = label_codec.labels_of(series.prefix)
        name = labels["__name__"]
        buckets = [
            self._own({**labels, "__name__": f"{name}_bucket", "le": format_float(boundary)})
            for boundary in (*boundaries, math.inf)
        ]
        rest = [self._own({**labels, "__name__": f"{name}{ending}"}) for ending in ("_count", "_sum")]
        return _ClassicSeries(boundaries, (*buckets, *rest))

    def prune(self, is_kept: Container[Series]) -> list[Series]:
        """Forgets all histograms but `is_kept`. Returns the classic series of those."""
        self._known = {series: one for series, one in self._known.items() if series in is_kept}
        every = itertools.chain.from_iterable(one.series for one in self._known.values())
        return [series for series in every if isinstance(series, Series)]


class _Made:
    """Collects the converted samples. Those without a series are counted in `dropped`."""

    def __init__(self, given: Samples, dropped: ReasonCounts) -> None:
        self.samples = Samples(exemplars=given.exemplars, starts_ms=dict(given.starts_ms))
        self.refused, self._dropped = 0, dropped

    def add(self, series: Sequence[Series | str], values: Iterable[float], timestamp_ms: int, start_ms: int) -> None:
        for one, value in zip(series, values, strict=True):
            if isinstance(one, str):
                self.refused += 1
                self._dropped.add(one, "a classic series of a histogram, which the receiver does not take")
                continue
            self.samples.add(one, value, timestamp_ms)
            if start_ms:
                self.samples.starts_ms[one] = start_ms

    def end(self, series: Iterable[Series | str], timestamp_ms: int) -> None:
        every = list(series)
        self.add(every, [STALE] * len(every), timestamp_ms, 0)


def _values(one: Histogram) -> list[float]:
    """The values of its classic series, in the order of `_ClassicSeries.series`."""
    counts, at = [0.0] * (len(one.custom_values) + 1), 0
    buckets = iter(one.positive_buckets if one.is_float else itertools.accumulate(one.positive_buckets))
    for offset, length in one.positive_spans:
        at += offset
        for place in range(at, at + length):
            counts[place] = float(next(buckets))
        at += length
    if label_codec.is_stale(one.sum):
        return [STALE] * (len(counts) + 2)
    return [*itertools.accumulate(counts), float(one.count), one.sum]
