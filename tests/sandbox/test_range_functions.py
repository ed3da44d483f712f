"""irate, deriv, idelta and the value itself are what Prometheus computes."""

from __future__ import annotations

import itertools
import math
import struct
from collections.abc import Iterator, Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sandbox import prometheus
from sandbox.page import panels
from sandbox.range_functions import Point, deriv, idelta, irate, over, value
from sandbox.simulation import START, Simulation, Switch
from tests.rig.needs import Peer
from tests.rig.remote_write_client import series_at, write_to

(STALE,) = struct.unpack(">d", struct.pack(">Q", 0x7FF0000000000002))
MINUTE = 60_000
T0 = START * 1000  # all that one server gets is of the same hour
RANGE = 10 * MINUTE


def points(*values: float, every: int = MINUTE, start: int = T0) -> list[Point]:
    return [(start + at * every, one) for at, one in enumerate(values)]


# The documentation of Prometheus: irate is of the last two data points and adjusts for counter resets, idelta is the
# difference of the last two samples, deriv is a simple linear regression; a range is open on its left.
@pytest.mark.parametrize(
    ("function", "samples", "at_ms", "expected"),
    [
        pytest.param(irate, points(1, 10, 130), T0 + 2 * MINUTE, 2.0, id="irate looks at the last two samples"),
        pytest.param(irate, points(100, 30), T0 + MINUTE, 0.5, id="irate counts from zero after a reset"),
        pytest.param(irate, points(100), T0, None, id="irate needs two samples"),
        pytest.param(idelta, points(1, 100, 30), T0 + 2 * MINUTE, -70, id="idelta knows no reset"),
        pytest.param(idelta, points(7), T0, None, id="idelta needs two samples"),
        pytest.param(deriv, points(0, 60, 120, 180), T0 + 3 * MINUTE, 1.0, id="deriv is the slope"),
        pytest.param(deriv, points(0, 120, 0), T0 + 2 * MINUTE, 0.0, id="deriv is a regression over all samples"),
        pytest.param(deriv, points(5, 5, 5), T0 + 2 * MINUTE, 0.0, id="deriv of a constant is zero"),
        pytest.param(deriv, points(5), T0, None, id="deriv needs two samples"),
        pytest.param(irate, points(1, 2), T0 + RANGE, None, id="the range is open on its left"),
        pytest.param(irate, points(1, 61), T0 + RANGE - 1, 1.0, id="a range has what is after its left end"),
        pytest.param(irate, [*points(1, 61), (T0 + MINUTE + 1, STALE)], T0 + 2 * MINUTE, 1.0, id="no stale markers"),
    ],
)  # fmt: skip
def test_functions(function: object, samples: Sequence[Point], at_ms: int, expected: float | None) -> None:
    assert over(function, samples, at_ms, RANGE) == (  # type: ignore[arg-type]
        expected if expected is None else pytest.approx(expected, abs=1e-12)
    )


@pytest.mark.parametrize(
    ("samples", "at_ms", "expected"),
    [
        pytest.param(points(1, 2), T0 + MINUTE + 30_000, 2, id="the newest sample lasts"),
        pytest.param(points(1, 2), T0 + 30_000, 1, id="later samples are not seen"),
        pytest.param(points(1), T0 + 5 * MINUTE - 1, 1, id="for five minutes"),
        pytest.param(points(1), T0 + 5 * MINUTE, None, id="and then no more"),
        pytest.param(points(1, STALE), T0 + MINUTE, None, id="a stale marker ends it"),
        pytest.param([], T0, None, id="no sample"),
    ],
)
def test_the_value(samples: Sequence[Point], at_ms: int, expected: float | None) -> None:
    assert value(samples, at_ms) == expected


# --- Beside a real one -----------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def server(peer: Peer) -> Iterator[prometheus.Prometheus]:
    peer("prometheus")
    with prometheus.Prometheus() as running:
        yield running


def write(server: prometheus.Prometheus, name: str, samples: Sequence[Point]) -> None:
    write_to(server.write_url, series_at({"__name__": name}, samples))


STEP = 37_000
TIMES = range(T0, T0 + 30 * MINUTE, STEP)


def asked(server: prometheus.Prometheus, expression: str) -> list[float | None]:
    """At each of TIMES."""
    found: dict[int, float] = {}
    for one in server.query_range(expression, TIMES[0] / 1000, TIMES[-1] / 1000, STEP / 1000):
        found |= {round(float(at) * 1000): float(text) for at, text in one["values"]}
    return [found.get(at) for at in TIMES]


def same(ours: Sequence[float | None], theirs: Sequence[float | None]) -> bool:
    return len(ours) == len(theirs) and all(
        (a is None) == (b is None)
        and (a is None or b is None or a == b or (math.isnan(a) and math.isnan(b)) or math.isclose(a, b, rel_tol=1e-12))
        for a, b in zip(ours, theirs, strict=True)
    )


NUMBERS = st.one_of(
    st.integers(0, 10**6).map(float),
    st.floats(allow_nan=False, width=64, min_value=-1e12, max_value=1e12),
    st.sampled_from([math.inf, -math.inf, STALE, 0.0]),
)
GAPS = st.one_of(st.just(MINUTE), st.integers(1, 7 * MINUTE))
SERIES = st.lists(st.tuples(GAPS, NUMBERS), min_size=1, max_size=25)
SERIES_NUMBERS = itertools.count()  # no example meets another's series
# Counters that climb and are reset now and then.
COUNTERS = st.lists(st.tuples(GAPS, st.one_of(st.integers(0, 1000), st.none())), min_size=2, max_size=25)


def counter(steps: Sequence[tuple[int, int | None]]) -> list[tuple[int, float]]:
    found, total = [], 0
    for gap, step in steps:
        total = 0 if step is None else total + step
        found.append((gap, float(total)))
    return found


@settings(max_examples=60)
@given(steps=st.one_of(SERIES, COUNTERS.map(counter)))
def test_made_up_series_give_what_prometheus_gives(
    server: prometheus.Prometheus, steps: Sequence[tuple[int, float]]
) -> None:
    name, at_ms, samples = f"made_{next(SERIES_NUMBERS)}", T0 - 5 * MINUTE, []
    for gap, one in steps:
        at_ms += gap
        if at_ms > T0 + 40 * MINUTE:
            break
        samples.append((at_ms, one))
    if not samples:
        return
    write(server, name, samples)
    assert same([value(samples, at) for at in TIMES], asked(server, name))
    for function in (irate, idelta, deriv):
        ours = [over(function, samples, at, RANGE) for at in TIMES]
        assert same(ours, asked(server, f"{function.__name__}({name}[10m])")), function.__name__


def test_the_demos_panels_are_those_of_prometheus(server: prometheus.Prometheus) -> None:
    """With an outage, a gap that is filled, and samples that are split."""
    with Simulation(forward_url=server.write_url) as world:
        for switch in (None, Switch.OUTAGE, None, Switch.API_DOWN, None, Switch.THROTTLED, None):
            world.set_switches(*filter(None, [switch]))
            for _ in range(7):
                world.run_minute()
        times = [minute.at for minute in world.minutes]
        ours, theirs = panels.of_receiver(world.receiver)(times), panels.of_prometheus(server)(times)
        assert list(ours) == list(theirs) == ["value", "irate", "deriv", "idelta"]
        for function, found in ours.items():
            expected = theirs[function]
            assert list(found) == list(expected) == ["4", "5", "6"]
            assert all(same(found[project], expected[project]) for project in found), function
            assert sum(number is not None for number in found["5"]) > 40
