"""Stale markers: what says that a series has ended (Prometheus scrape/scrape.go).

A series ends when its source's next answer does not have it, or when the source is down (updateStaleMarkers). The
series of a source that is gone end later (`EndedTargets` in collect.py). Series that only another environment has seen
get no marker: a cold start is a restarted Prometheus.
"""

from __future__ import annotations

from collections.abc import Sequence

from ..model.samples import STALE, Samples, Series


class ActiveSeries:
    """The series of one target or JSON job that have not ended; without those that have their own timestamps, unless
    the job has `track_timestamps_staleness`."""

    def __init__(self) -> None:
        self.series: list[Series] = []

    def update(self, current: list[Series], samples: Samples, timestamp_ms: int) -> None:
        """Adds a marker to `samples` for each active series that is not in `current`, which become the active ones."""
        if current != self.series:
            still = set(current)
            samples.extend(stale_markers([series for series in self.series if series not in still], timestamp_ms))
        self.series = current


def stale_markers(series: Sequence[Series], timestamp_ms: int) -> Samples:
    """Samples that end these series."""
    return Samples(list(series), [STALE] * len(series), [timestamp_ms] * len(series))
