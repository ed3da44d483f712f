"""Stale markers, which end a series (Prometheus scrape/scrape.go, updateStaleMarkers).

A series gets a marker when the next scrape does not have it, or fails. A cold start is like a restarted Prometheus: it
does not know the series of other environments.
"""

from __future__ import annotations

from collections.abc import Collection

from ..model.samples import STALE, Samples, Series


class ActiveSeries:
    """The series of one target or JSON job that have not ended; without those that have their own timestamps, unless
    the job has `track_timestamps_staleness`."""

    def __init__(self) -> None:
        self.series: list[Series] = []

    def update(self, current: list[Series], samples: Samples, timestamp_ms: int) -> None:
        """Makes `current` the active series. Adds a marker to `samples` for each other one."""
        if current != self.series:
            still: Collection[Series] = set(current)
            ended = [series for series in self.series if series not in still]
            samples.extend(_markers(ended, timestamp_ms))
        self.series = current

    def end(self, timestamp_ms: int) -> Samples:
        """Markers for all of them."""
        return _markers(self.series, timestamp_ms)


def _markers(series: list[Series], timestamp_ms: int) -> Samples:
    count = len(series)
    return Samples(list(series), [STALE] * count, [timestamp_ms] * count)
