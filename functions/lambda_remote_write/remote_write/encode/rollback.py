"""Samples that were packed and not delivered count as unsent again."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from ...model.delivery import WriteRequest
from ...model.samples import Series
from ...series.order import rollback_series
from .decode import unpack


def rollback(requests: Iterable[WriteRequest], find: Callable[[bytes], Series | None]) -> None:
    """Samples that could not be delivered have not been sent: the next run may send the same record again.

    `find` gives the series of an encoded prefix.
    """
    for samples, _ in (unpack(request) for request in requests if request.samples):
        for unsent, timestamp_ms in zip(samples.series, samples.timestamps_ms, strict=True):
            series = find(unsent.prefix)
            if series is not None:
                rollback_series(series, timestamp_ms)
