"""Sorts samples into send order: series by series, oldest first, each time once."""

from __future__ import annotations

import hashlib
import operator
from itertools import islice

from ..model.drop_reasons import DropReason
from ..model.reason_counts import ReasonCounts
from ..model.samples import Samples, Series

_DUPLICATE = "two samples of one series have the same time; the last one counts"


def digest(samples: Samples, count: int) -> str:
    """A hash over the series and the times of the first `count` samples."""
    found = hashlib.blake2b(digest_size=8)
    found.update(b"".join(series.prefix for series in samples.series[:count]))
    found.update(",".join(map(str, samples.timestamps_ms[:count])).encode())
    return found.hexdigest()


def sort_samples(samples: Samples, dropped: ReasonCounts) -> Samples:
    """Samples in any order -> the same in send order. Series keep the order in which they first appear. Of several
    samples of a series with one time the last wins; the others are counted in `dropped`."""
    if len(samples) < 2:
        return samples
    places: dict[Series, list[int]] = {}
    for index, series in enumerate(samples.series):
        try:
            places[series].append(index)
        except KeyError:
            places[series] = [index]
    stamps = samples.timestamps_ms
    is_sorted = True
    for series, indices in places.items():
        times = [stamps[index] for index in indices]
        if not all(map(operator.lt, times, islice(times, 1, None))):
            last = dict(zip(times, indices, strict=True))
            dropped.add(DropReason.DUPLICATE, _DUPLICATE, len(times) - len(last)) if len(last) < len(times) else None
            places[series] = [last[time] for time in sorted(last)]
            is_sorted = False
    order = [index for indices in places.values() for index in indices]
    if is_sorted and all(map(operator.lt, order, islice(order, 1, None))):
        return samples
    pick = operator.itemgetter(*order) if len(order) > 1 else lambda column: (column[order[0]],)
    return Samples(list(pick(samples.series)), list(pick(samples.values)), list(pick(stamps)))
