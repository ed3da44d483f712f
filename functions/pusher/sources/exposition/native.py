"""Native histograms: what Prometheus refuses is refused, and empty buckets are left out as Prometheus leaves them out.

Rules: Prometheus model/histogram (Validate, Compact).
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import accumulate

from ...model import Histogram
from .page import BadPage

Spans = tuple[tuple[int, int], ...]


def compacted(histogram: Histogram, max_empty: int = 0) -> Histogram:
    """The same histogram without its empty buckets, but for `max_empty` at most in a row between others. Raises BadPage
    when its counts contradict each other."""
    positive = _counts(histogram.positive_spans, histogram.positive_buckets, histogram.is_float)
    negative = _counts(histogram.negative_spans, histogram.negative_buckets, histogram.is_float)
    if not histogram.is_float:
        _check_count(histogram, sum(positive) + sum(negative))
    positive_spans, positive = _without_empty(histogram.positive_spans, positive, max_empty)
    negative_spans, negative = _without_empty(histogram.negative_spans, negative, max_empty)
    return replace(
        histogram,
        positive_spans=positive_spans,
        positive_buckets=tuple(positive) if histogram.is_float else _deltas(positive),
        negative_spans=negative_spans,
        negative_buckets=tuple(negative) if histogram.is_float else _deltas(negative),
    )


def _deltas(counts: list[float]) -> tuple[float, ...]:
    return tuple(count - before for before, count in zip([0, *counts], counts, strict=False))


def _counts(spans: Spans, buckets: Sequence[float], is_float: bool) -> list[float]:
    """The observations in each bucket."""
    if any(offset < 0 for offset, _ in spans[1:]):
        raise BadPage("a native histogram: only the first span may have a negative offset")
    wanted = sum(length for _, length in spans)
    if wanted != len(buckets):
        raise BadPage(f"a native histogram: its spans need {wanted} buckets, it has {len(buckets)}")
    counts = list(buckets) if is_float else list(accumulate(buckets))
    if any(count < 0 for count in counts):
        raise BadPage("a native histogram: a bucket has less than no observations")
    return counts


def _check_count(histogram: Histogram, in_buckets: float) -> None:
    """Observations of NaN are in no bucket, but in the sum."""
    found = in_buckets + histogram.zero_count
    if found > histogram.count or (found < histogram.count and not math.isnan(histogram.sum)):
        raise BadPage(f"a native histogram: {found} observations in its buckets, its count is {histogram.count}")


def _places(spans: Spans) -> Iterator[int]:
    """Which buckets the spans name."""
    start = 0
    for offset, length in spans:
        start += offset
        yield from range(start, start + length)
        start += length


def _without_empty(spans: Spans, counts: list[float], max_empty: int) -> tuple[Spans, list[float]]:
    if all(counts) and all(length and (offset > 0 or not at) for at, (offset, length) in enumerate(spans)):
        return spans, counts
    kept: list[float] = []
    found: list[tuple[int, int]] = []
    end = 0  # behind the last bucket that is kept
    for place, count in zip(_places(spans), counts, strict=True):
        if not count:
            continue
        empty = place - end
        if found and empty <= max_empty:
            found[-1] = (found[-1][0], found[-1][1] + empty + 1)
            kept += [0] * empty
        else:
            found.append((empty, 1))
        kept.append(count)
        end = place + 1
    return tuple(found), kept
