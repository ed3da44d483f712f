"""Classic histograms -> native ones whose bucket boundaries are listed (`convert_classic_histograms_to_nhcb`).

Rules: Prometheus util/convertnhcb, model/textparse/nhcbparse.go and protobufparse.go. A classic histogram whose buckets
do not add up is dropped from a text page, and fails a protobuf page.
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Mapping
from dataclasses import dataclass, field

from ..model import histogram_buckets
from ..model.samples import Histogram
from .go_float import go_float
from .page import NO_TIME, BadPage, HistogramPart, Page, Resolve, ScrapeCache

SCHEMA = -53
_ENDINGS = ("_bucket", "_count", "_sum")
_MAX_INTEGER = 2**63  # counts from there on are floats


@dataclass(slots=True)
class _ClassicHistogram:
    """One classic histogram of a page."""

    buckets: dict[float, float] = field(default_factory=dict)
    count: float | None = None
    sum: float = 0.0
    timestamp_ms: int = NO_TIME
    reset_hint: int = 0


def part_of(
    labels: Mapping[str, str], family: str, cache: ScrapeCache, resolve: Resolve, *, classic: bool, reset_hint: int = 0
) -> HistogramPart | None:
    """A series of a histogram family -> its part in the native histogram; None for other series. `classic` keeps the
    series too. Raises BadPage."""
    name = labels["__name__"]
    ending = next((one for one in _ENDINGS if name == f"{family}{one}"), "")
    boundary = math.nan
    if ending == "_bucket":
        with contextlib.suppress(ValueError):
            boundary = go_float(labels.get("le", "").encode())
    if not ending or (ending == "_bucket" and math.isnan(boundary)):
        return None
    base = {label: value for label, value in labels.items() if label != "le"} | {"__name__": family}
    key = tuple(sorted(base.items()))
    if key not in cache.histograms:
        cache.histograms[key] = resolve(dict(base))
    kept = resolve(dict(labels)) if classic else None
    return HistogramPart(key, ending, boundary, kept, reset_hint)


def convert(page: Page, cache: ScrapeCache, *, is_strict: bool = False) -> None:
    """Adds the native histograms of the page's parts to its samples. Raises BadPage if `is_strict` and the buckets of a
    histogram do not add up."""
    groups: dict[tuple[tuple[str, str], ...], _ClassicHistogram] = {}
    for part, value, timestamp_ms in page.parts:
        new = _ClassicHistogram(timestamp_ms=timestamp_ms, reset_hint=part.reset_hint)
        found = groups.setdefault(part.histogram, new)
        if part.ending == "_bucket":
            found.buckets.setdefault(part.boundary, value)
        elif part.ending == "_count":
            found.count = value
        else:
            found.sum = value
    page.parts.clear()
    for key, found in groups.items():
        histogram = _histogram(found)
        if histogram is None and is_strict:
            raise BadPage(f"the buckets of histogram {dict(key)['__name__']:.50} do not add up")
        if histogram is not None:
            page.scraped += 1
            page.add(cache.histograms[key], histogram, found.timestamp_ms)


def _histogram(found: _ClassicHistogram) -> Histogram | None:
    if found.count is None and not found.buckets:  # a sum alone has no distribution
        return None
    bounds = sorted(found.buckets.items())
    count = bounds[-1][1] if found.count is None else found.count
    if not bounds or bounds[-1][0] != math.inf:
        bounds.append((math.inf, count))
    cumulative = [value for _, value in bounds]
    counts = [value - before for value, before in zip(cumulative, [0.0, *cumulative], strict=False)]
    if cumulative[-1] != count or not all(one >= 0 for one in counts):
        return None
    is_float = not all(value.is_integer() and value < _MAX_INTEGER for value in cumulative)
    deltas = [one - before for one, before in zip(counts, [0.0, *counts], strict=False)]
    whole = Histogram(
        count=count,
        sum=found.sum,
        schema=SCHEMA,
        zero_threshold=0.0,
        zero_count=0,
        positive_spans=((0, len(counts)),),
        positive_buckets=tuple(counts) if is_float else tuple(map(int, deltas)),
        is_float=is_float,
        reset_hint=found.reset_hint,
        custom_values=tuple(boundary for boundary, _ in bounds if boundary != math.inf),  # +Inf is implied
    )
    return histogram_buckets.compact(whole, max_empty=0 if is_float else 2)
