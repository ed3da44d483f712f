"""Puts samples into the order a receiver takes, the part a storage plays in front of Prometheus's own remote write.

Each series keeps `last_ms`, the newest timestamp handed to delivery. A sample that is not newer is dropped: a receiver
would refuse the whole request for it.
"""

from __future__ import annotations

import operator

from ..model.drop_reasons import DropReason
from ..model.reason_counts import ReasonCounts
from ..model.samples import NEVER_MS, Samples, Series, earliest

_LAST_MS = operator.attrgetter("last_ms")
_PREFIX = operator.attrgetter("prefix")


class PrefixCache:
    """The prefixes of series that were put in order last: most runs of an endpoint have the same ones, in the same
    order. The list of series is kept by reference: nobody changes one that was put in order."""

    def __init__(self) -> None:
        self._series: list[Series] = []
        self._prefixes: list[bytes] = []

    def prefixes_of(self, series: list[Series]) -> list[bytes] | None:
        """The prefix of each; None when one stands twice."""
        if series != self._series:
            if len(set(series)) < len(series):
                return None
            self._series, self._prefixes = series, list(map(_PREFIX, series))
        return self._prefixes


def order(samples: Samples, dropped: ReasonCounts, cache: PrefixCache | None = None) -> Samples:
    """Samples in any order -> those newer than what their series had, oldest first within each series.

    Counts the others in `dropped` as `not_newer`, and moves `last_ms` of every series it lets pass.
    """
    if not samples or _advance_all(samples, cache or PrefixCache()):
        return samples
    return _sorted(samples, dropped)


def without_history(samples: Samples, oldest_allowed_ms: int, dropped: ReasonCounts) -> Samples:
    """Leaves out what an API repeats of the time before a series sent its first sample: what is too old of a series
    that has never sent anything, when the same answer has a younger sample of it. It is counted as `not_newer`."""
    if not samples or earliest(samples.timestamps_ms) >= oldest_allowed_ms:
        return samples
    points = list(zip(samples.series, samples.timestamps_ms, strict=True))
    beginning = {series for series, at_ms in points if at_ms >= oldest_allowed_ms and series.last_ms == NEVER_MS}
    kept = [at for at, (series, at_ms) in enumerate(points) if at_ms >= oldest_allowed_ms or series not in beginning]
    if len(kept) < len(points):
        detail = "older than the first sample that is sent of its series: what an API repeats of the past"
        dropped.add(DropReason.NOT_NEWER, detail, len(points) - len(kept))
    return samples.pick(kept)


def forget(samples: Samples) -> None:
    """None of these samples has been sent, as far as anybody knows."""
    for series, timestamp_ms in zip(samples.series, samples.timestamps_ms, strict=True):
        rollback_series(series, timestamp_ms)


def rollback_series(series: Series, timestamp_ms: int) -> None:
    """A sample of this time may come again."""
    series.last_ms = min(series.last_ms, timestamp_ms - 1)


def _advance_all(samples: Samples, cache: PrefixCache) -> bool:
    """The usual run: every sample is newer than its series and no series comes twice. False leaves nothing moved."""
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
        detail = "a sample not newer than what its series has sent: the record did not move or was revised"
        dropped.add(DropReason.NOT_NEWER, detail, len(samples) - len(kept))
    return samples.pick(kept)
