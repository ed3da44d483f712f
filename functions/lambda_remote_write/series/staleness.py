"""Stale markers: what says that a series has ended (Prometheus scrape/scrape.go, updateStaleMarkers).

A source knows which series its last answer had. Those that the next one does not have get a marker; so do all of them
when it fails. What another environment has seen, nobody here knows: a cold start is a restarted Prometheus.
"""

from __future__ import annotations

from collections.abc import Collection

from ..model.samples import STALE, Samples, Series


class ActiveSeries:
    """The series of one source that have not ended. Those with timestamps of their own are never among them, unless
    the job asks for it."""

    def __init__(self) -> None:
        self.series: list[Series] = []

    def update(self, current: list[Series], samples: Samples, timestamp_ms: int) -> None:
        """Adds a marker to `samples` for each series that is not in `current`, which are alive from now on."""
        if current != self.series:
            still: Collection[Series] = set(current)
            ended = [series for series in self.series if series not in still]
            samples.extend(_markers(ended, timestamp_ms))
        self.series = current

    def end(self, timestamp_ms: int) -> Samples:
        """Markers for all of them: the source is no more."""
        return _markers(self.series, timestamp_ms)


def _markers(series: list[Series], timestamp_ms: int) -> Samples:
    count = len(series)
    return Samples(list(series), [STALE] * count, [timestamp_ms] * count)
