"""The four panels of the metric, as Grafana would draw them: each function at each minute, by projectCode. A real
Prometheus computes them where there is one, else `range_functions` from the receiver's samples."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from functools import partial

from sandbox import range_functions
from sandbox.amp import Receiver
from sandbox.prometheus import Prometheus
from sandbox.range_functions import Point

METRIC, LABEL = "api_requests_total", "projectCode"
RANGE = "10m"

_RANGE_MS = 600_000
_STEP_SECONDS = 60
_COMPUTE: Mapping[str, Callable[[Sequence[Point], int], float | None]] = {
    "value": range_functions.value,
    "irate": partial(range_functions.over, range_functions.irate, range_ms=_RANGE_MS),
    "deriv": partial(range_functions.over, range_functions.deriv, range_ms=_RANGE_MS),
    "idelta": partial(range_functions.over, range_functions.idelta, range_ms=_RANGE_MS),
}
FUNCTIONS = tuple(_COMPUTE)

Lines = dict[str, list[float | None]]
"""projectCode -> a number for each minute; None where the function has no result."""
Panels = Callable[[Sequence[int]], dict[str, Lines]]
"""Each of FUNCTIONS at these unix times, which are a minute apart."""


def expression(function: str) -> str:
    """PromQL."""
    return METRIC if function == "value" else f"{function}({METRIC}[{RANGE}])"


def of_receiver(receiver: Receiver) -> Panels:
    """Computed here."""

    def panels(times: Sequence[int]) -> dict[str, Lines]:
        oldest_ms = times[0] * 1000 - _RANGE_MS if times else 0
        series = {
            dict(labels)[LABEL]: sorted(one for one in points if one[0] > oldest_ms)
            for labels, points in sorted(receiver.series(METRIC).items())
        }
        return {
            function: {
                project: [_finite(compute(points, at * 1000)) for at in times] for project, points in series.items()
            }
            for function, compute in _COMPUTE.items()
        }

    return panels


def of_prometheus(prometheus: Prometheus) -> Panels:
    """Asked of a Prometheus that got the same requests."""

    def panel(function: str, times: Sequence[int]) -> Lines:
        lines: Lines = {}
        for one in prometheus.query_range(expression(function), times[0], times[-1], _STEP_SECONDS):
            found = {int(at): _finite(float(number)) for at, number in one["values"]}
            lines[one["metric"][LABEL]] = [found.get(at) for at in times]
        return dict(sorted(lines.items()))

    return lambda times: {function: panel(function, times) if times else {} for function in FUNCTIONS}


def _finite(number: float | None) -> float | None:
    """JSON has no other numbers."""
    return number if number is not None and math.isfinite(number) else None
