"""Puts samples into the order that a receiver accepts, as Prometheus's storage does before remote write.

Each series keeps `last_ms`, the newest timestamp handed to delivery. A sample that is not newer is dropped: because of
it a receiver would refuse the whole request.
"""

from __future__ import annotations

import operator

from ..model.drop_reasons import DropReason
from ..model.reason_counts import ReasonCounts
from ..model.samples import NEVER_MS, Samples, Series, earliest

_LAST_MS = operator.attrgetter("last_ms")
_PREFIX = operator.attrgetter("prefix")


class PrefixCache:
    """The prefixes of the last list of series: most runs of an endpoint have the same series in the same order. The
    list is kept by reference, and must not change afterwards."""

    def __init__(self) -> None:
        self._series: list[Series] = []
        self._prefixes: list[bytes] = []

    def prefixes_of(self, series: list[Series]) -> list[bytes] | None:
        """The prefix of each; None when a series is there twice."""
        if series != self._series:
            if len(set(series)) < len(series):
                return None
            self._series, self._prefixes = series, list(map(_PREFIX, series))
        return self._prefixes


def order(samples: Samples, dropped: ReasonCounts, cache: PrefixCache | None = None) -> Samples:
    """Samples in any order -> those newer than their series' `last_ms`, which moves on; oldest first in each series.
    Counts the others in `dropped` as `not_newer`."""
    if not samples or _advance_all(samples, cache or PrefixCache()):
        return samples
    return _sorted(samples, dropped)


def without_history(samples: Samples, oldest_allowed_ms: int, dropped: ReasonCounts) -> Samples:
    """Drops history that an API repeats: samples that are too old of a series that has never sent any, when the same
    answer has a younger one of it. Counts them as `not_newer`."""
    if not samples or earliest(samples.timestamps_ms) >= oldest_allowed_ms:
        return samples
    points = list(zip(samples.series, samples.timestamps_ms, strict=True))
    beginning = {series for series, at_ms in points if at_ms >= oldest_allowed_ms and series.last_ms == NEVER_MS}
    kept = [at for at, (series, at_ms) in enumerate(points) if at_ms >= oldest_allowed_ms or series not in beginning]
    if len(kept) < len(points):
        detail = "older than the first sample sent of its series: the API repeats its history"
        dropped.add(DropReason.NOT_NEWER, detail, len(points) - len(kept))
    return samples.pick(kept)


def forget(samples: Samples) -> None:
    """Treats these samples as not sent."""
    for series, timestamp_ms in zip(samples.series, samples.timestamps_ms, strict=True):
        rollback_series(series, timestamp_ms)


def rollback_series(series: Series, timestamp_ms: int) -> None:
    """Lets a sample of this time be sent again."""
    series.last_ms = min(series.last_ms, timestamp_ms - 1)


def _advance_all(samples: Samples, cache: PrefixCache) -> bool:
    """The fast path: every sample is newer than its series, and no series is there twice. False changes nothing."""
    stamps = samples.timestamps_ms
    is_all_newer = max(map(_LAST_MS, samples.series), default=0) < earliest(stamps)
    if not is_all_newer and not all(map(operator.gt, stamps, map(_LAST_MS, samples.series))):
        return False
    prefixes = cache.prefixes_of(samples.series)
    if prefixes is None:
        return False
    for series, timestamp_ms in zip(samples.series, stamps, strict=True):
        series.last_ms = timestamp_ms
    samples.prefixes = prefixes
    return True


def _sorted(samples: Samples, dropped: ReasonCounts) -> Samples:
    place: dict[Series, int] = {}
    for series in samples.series:
        place.setdefault(series, len(place))
    stamps = samples.timestamps_ms
    by_series_and_time = sorted(range(len(samples)), key=lambda index: (place[samples.series[index]], stamps[index]))
    kept = []
    for index in by_series_and_time:
        series, timestamp_ms = samples.series[index], stamps[index]
        if timestamp_ms > series.last_ms:
            series.last_ms = timestamp_ms
            kept.append(index)
    if len(kept) < len(samples):
        detail = "not newer than the last sample sent of its series: the record did not change its time, or was revised"
        dropped.add(DropReason.NOT_NEWER, detail, len(samples) - len(kept))
    return samples.pick(kept)
