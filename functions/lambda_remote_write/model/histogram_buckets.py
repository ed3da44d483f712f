"""The buckets of a native histogram: spans and counts, checked, made compact, made coarser.

Rules: Prometheus model/histogram (Validate, Compact, ReduceResolution).
"""

from __future__ import annotations

import itertools
import math
import operator
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace

from .samples import Histogram

EXPONENTIAL = range(-4, 9)  # the schemas whose boundaries are powers of two to the power of -schema
Spans = tuple[tuple[int, int], ...]
Buckets = tuple[float, ...]
Counts = Mapping[int, float]  # observations by the index of their bucket, in rising order


class BadHistogram(ValueError):
    """A histogram that contradicts itself, or has too many buckets; the message says in what."""


def check(one: Histogram) -> None:
    """Raises BadHistogram when spans, buckets and count do not fit together."""
    if one.schema not in EXPONENTIAL:
        raise BadHistogram(f"the schema {one.schema} is none of {EXPONENTIAL.start} to {EXPONENTIAL.stop - 1}")
    observed = one.zero_count
    for side, spans, buckets in (
        ("negative", one.negative_spans, one.negative_buckets),
        ("positive", one.positive_spans, one.positive_buckets),
    ):
        wanted = sum(length for _, length in spans)
        if wanted != len(buckets):
            raise BadHistogram(f"its spans need {wanted} {side} buckets, it has {len(buckets)}")
        if any(offset < 0 for offset, _ in spans[1:]):
            raise BadHistogram(f"its {side} spans overlap")
        counts = list(buckets if one.is_float else itertools.accumulate(buckets))
        if any(count < 0 for count in counts):
            raise BadHistogram(f"a {side} bucket has a negative count")
        observed += sum(counts)
    if one.is_float:
        if one.count < 0 or one.zero_count < 0:
            raise BadHistogram("a count is negative")
    elif observed > one.count or (observed != one.count and not math.isnan(one.sum)):
        raise BadHistogram(f"its buckets have {observed:g} observations, its count says {one.count:g}")


def compact(one: Histogram, max_empty: int = 0) -> Histogram:
    """The histogram without empty buckets, but for `max_empty` at most in a row between others."""
    return _rebuilt(one, one.schema, lambda counts: _filled(counts, max_empty))


def coarser(one: Histogram) -> Histogram:
    """The histogram in the next lower schema: every two neighbouring buckets become one."""
    return _rebuilt(one, one.schema - 1, _halved)


def within(one: Histogram, max_schema: int, max_buckets: int) -> Histogram:
    """The histogram in the best resolution that `native_histogram_min_bucket_factor` (as a schema) and
    `native_histogram_bucket_limit` (0: none) allow. Raises BadHistogram when none does."""
    while one.schema > max_schema:
        one = coarser(one)
    while max_buckets and len(one.negative_buckets) + len(one.positive_buckets) > max_buckets:
        if one.schema <= EXPONENTIAL.start:
            raise BadHistogram(f"it has more than native_histogram_bucket_limit, {max_buckets} buckets")
        one = coarser(one)
    return one


def schema_of(min_factor: float) -> int:
    """The finest schema in which a bucket is at least `min_factor` times as wide as the one before."""
    if min_factor <= 1:
        return EXPONENTIAL.stop - 1
    return min(max(math.floor(-math.log2(math.log2(min_factor))), EXPONENTIAL.start), EXPONENTIAL.stop - 1)


def _rebuilt(one: Histogram, schema: int, change: Callable[[Counts], Counts]) -> Histogram:
    """The histogram with other buckets on both sides."""
    found = []
    for spans, buckets in ((one.negative_spans, one.negative_buckets), (one.positive_spans, one.positive_buckets)):
        absolute = buckets if one.is_float else itertools.accumulate(buckets)
        counts = change(dict(zip(_indices(spans), absolute, strict=False)))
        values = tuple(counts.values())
        found.append((_spans_of(counts), values if one.is_float else tuple(map(operator.sub, values, (0, *values)))))
    (negative_spans, negative_buckets), (positive_spans, positive_buckets) = found
    return replace(
        one,
        schema=schema,
        negative_spans=negative_spans,
        negative_buckets=negative_buckets,
        positive_spans=positive_spans,
        positive_buckets=positive_buckets,
    )


def _halved(counts: Counts) -> Counts:
    """Bucket i ends at base ** i, so that 2k - 1 and 2k go to k."""
    halved: dict[int, float] = {}
    for index, count in counts.items():
        place = (index + 1) >> 1
        halved[place] = halved.get(place, 0) + count
    return halved


def _filled(counts: Counts, max_empty: int) -> Counts:
    filled: dict[int, float] = {}
    end = None  # behind the last bucket that is kept
    for index, count in counts.items():
        if not count:
            continue
        if end is not None and index - end <= max_empty:
            filled |= dict.fromkeys(range(end, index), 0)
        filled[index] = count
        end = index + 1
    return filled


def _indices(spans: Spans) -> Iterator[int]:
    """The index of each bucket: a span's offset counts from the end of the one before it."""
    at = 0
    for offset, length in spans:
        at += offset
        yield from range(at, at + length)
        at += length


def _spans_of(counts: Mapping[int, float]) -> Spans:
    spans: list[tuple[int, int]] = []
    end = 0
    for index in counts:  # in rising order
        if spans and index == end:
            spans[-1] = (spans[-1][0], spans[-1][1] + 1)
        else:
            spans.append((index - end, 1))
        end = index + 1
    return tuple(spans)
