"""Prometheus's functions over the samples of one series, for where there is no Prometheus: `irate`, `deriv`, `idelta`
and the value itself.

Source: promql/functions.go and promql/engine.go of Prometheus 3. A range ends at its time and begins just after
`time - range`; stale markers are in no range, and end the value of their series.
"""

from __future__ import annotations

import bisect
import math
import struct
from collections.abc import Callable, Sequence

LOOKBACK_MS = 300_000  # how long a value lasts without a new sample
_STALE = struct.pack(">Q", 0x7FF0000000000002)

Point = tuple[int, float]
"""Milliseconds since the epoch, and the value."""
Function = Callable[[Sequence[Point]], float | None]
"""Of the samples in a range, oldest first; None where PromQL gives no result."""


def value(points: Sequence[Point], at_ms: int) -> float | None:
    """What the series shows at a time, as an instant query answers; `points` are in the order of time."""
    found = _between(points, at_ms - LOOKBACK_MS, at_ms)
    return None if not found or _is_stale(found[-1][1]) else found[-1][1]


def over(function: Function, points: Sequence[Point], at_ms: int, range_ms: int) -> float | None:
    """A function over the range that ends at a time; `points` are in the order of time."""
    found = _between(points, at_ms - range_ms, at_ms)
    return function([one for one in found if not _is_stale(one[1])])


def irate(points: Sequence[Point]) -> float | None:
    """The rate of a counter between its last two samples, per second. A counter that decreased was reset to zero."""
    if len(points) < 2 or points[-1][0] == points[-2][0]:
        return None
    (before_ms, before), (last_ms, last) = points[-2:]
    return (last if last < before else last - before) / ((last_ms - before_ms) / 1000)


def idelta(points: Sequence[Point]) -> float | None:
    """The difference of the last two samples of a gauge."""
    return points[-1][1] - points[-2][1] if len(points) > 1 and points[-1][0] != points[-2][0] else None


def deriv(points: Sequence[Point]) -> float | None:
    """The slope of a gauge per second, by linear regression."""
    if len(points) < 2:
        return None
    first_ms, first = points[0]
    if all(one == first for _, one in points):
        return math.nan if math.isinf(first) else 0.0
    count, xs = len(points), [(stamp_ms - first_ms) / 1000 for stamp_ms, _ in points]
    ys = [one for _, one in points]
    sum_x, sum_y = _sum(xs), _sum(ys)
    covariance = _sum([x * y for x, y in zip(xs, ys, strict=True)]) - sum_x * sum_y / count
    return covariance / (_sum([x * x for x in xs]) - sum_x * sum_x / count)


def _sum(numbers: Sequence[float]) -> float:
    """Kahan's summation in Neumaier's version, as Prometheus sums."""
    total = lost = 0.0
    for number in numbers:
        now = total + number
        if math.isinf(now):
            lost = 0.0
        elif abs(total) >= abs(number):
            lost += (total - now) + number
        else:
            lost += (number - now) + total
        total = now
    return total + lost


def _between(points: Sequence[Point], after_ms: int, until_ms: int) -> Sequence[Point]:
    start = bisect.bisect_right(points, after_ms, key=lambda one: one[0])
    return points[start : bisect.bisect_right(points, until_ms, lo=start, key=lambda one: one[0])]


def _is_stale(number: float) -> bool:
    return number != number and struct.pack(">d", number) == _STALE
