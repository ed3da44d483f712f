"""Samples reach a receiver in the order it takes, checked against a dict of the newest time per series."""

from __future__ import annotations

from collections import defaultdict

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lambda_remote_write.model.reason_counts import ReasonCounts
from lambda_remote_write.model.samples import Samples, Series
from lambda_remote_write.remote_write import request_size
from lambda_remote_write.remote_write.batches import rollback
from lambda_remote_write.series.order import order
from tests.rig import made

Given = list[tuple[int, int]]  # series number and time
OLDEST = -(2**63)


class Model:
    """The newest time per series, and nothing else."""

    def __init__(self) -> None:
        self.newest: dict[int, int] = defaultdict(lambda: OLDEST)

    def keep(self, points: Given) -> tuple[dict[int, list[tuple[int, int]]], int]:
        """What is kept per series, as (time, position given), and how many are not."""
        kept: dict[int, list[tuple[int, int]]] = defaultdict(list)
        for position in sorted(range(len(points)), key=lambda position: points[position][1]):
            series, stamp = points[position]
            if stamp > self.newest[series]:
                self.newest[series] = stamp
                kept[series].append((stamp, position))
        return dict(kept), len(points) - sum(map(len, kept.values()))


def samples_of(points: Given, series: dict[int, Series]) -> Samples:
    """The value of each sample is its position."""
    samples = Samples()
    for position, (number, stamp) in enumerate(points):
        samples.add(series[number], float(position), stamp)
    return samples


def by_series(samples: Samples, series: dict[int, Series]) -> dict[int, list[tuple[int, int]]]:
    numbers = {id(one): number for number, one in series.items()}
    found: dict[int, list[tuple[int, int]]] = defaultdict(list)
    for one, value, stamp in zip(samples.series, samples.values, samples.timestamps_ms, strict=True):
        found[numbers[id(one)]].append((stamp, int(value)))
    return dict(found)


times = st.one_of(st.integers(0, 8), st.sampled_from([OLDEST, OLDEST + 1, -1, 2**63 - 1, made.NOW_MS]))
runs = st.lists(st.lists(st.tuples(st.integers(0, 3), times), max_size=10), max_size=6)


@given(runs)
def test_each_run_keeps_what_the_model_keeps(runs: list[Given]) -> None:
    """Strictly increasing per series over all runs, and every other sample counted."""
    series = {number: Series(b"%d" % number) for number in range(4)}
    model = Model()
    for points in runs:
        dropped = ReasonCounts()
        kept = order(samples_of(points, series), dropped)
        expected, gone = model.keep(points)
        assert by_series(kept, series) == expected
        assert dropped.total() == dropped.counts["not_newer"] == gone
        assert {number: one.last_ms for number, one in series.items()} == {
            number: model.newest[number] for number in series
        }


@pytest.mark.parametrize(
    ("first", "second", "kept"),
    [
        pytest.param([(0, 5)], [(0, 5)], [], id="a record that does not move"),
        pytest.param([(0, 5)], [(0, 4)], [], id="an API that steps back"),
        pytest.param([(0, 5)], [(0, 6)], [6], id="a record that moves"),
        pytest.param([(0, 5), (1, 5)], [(0, 5), (1, 6)], [6], id="one of two moves"),
        pytest.param([(0, 3), (0, 1), (0, 2)], [(0, 4), (0, 2), (0, 3)], [4], id="the last points again, one new"),
        pytest.param([], [(0, 2), (0, 1)], [1, 2], id="newest first"),
        pytest.param([], [(0, 2), (0, 2)], [2], id="revised in one answer"),
    ],
)
def test_apis_that_repeat_themselves(first: Given, second: Given, kept: list[int]) -> None:
    series = {number: Series(b"%d" % number) for number in range(2)}
    order(samples_of(first, series), ReasonCounts())
    dropped = ReasonCounts()
    assert order(samples_of(second, series), dropped).timestamps_ms == kept
    assert dropped.total() == len(second) - len(kept)
    assert not dropped.total() or "not newer" in dropped.first_examples["not_newer"]


def test_nothing_is_moved_when_nothing_is_kept() -> None:
    series = {0: Series(b"0"), 1: Series(b"1")}
    order(samples_of([(0, 5), (1, 7)], series), ReasonCounts())
    assert len(order(samples_of([(0, 5), (1, 6), (0, 1)], series), ReasonCounts())) == 0
    assert (series[0].last_ms, series[1].last_ms) == (5, 7)


def test_nothing_at_all() -> None:
    dropped = ReasonCounts()
    assert len(order(Samples(), dropped)) == 0
    assert dropped.counts == {}


@pytest.mark.parametrize("version", [1, 2], ids=["1.0", "2.0"])
def test_what_could_not_be_delivered_may_be_sent_again(version: int) -> None:
    """Also of a series that came twice, and of histograms; of a series that is gone nothing is remembered."""
    cache = made.cache()
    histogram = made.Histogram(1, 1.0, 0, 0.0, 1)
    points: list[made.Point] = [
        ({"__name__": "twice", "A": "x"}, 1.0, 5),
        ({"__name__": "twice", "A": "x"}, 2.0, 7),
        ({"__name__": "native"}, histogram, 6),
    ]
    samples = made.samples_of(points, cache)
    order(samples, ReasonCounts())
    requests = request_size.pack(samples, made.protocol(version=version), made.NOW_MS, ReasonCounts())
    gone = made.samples_of([({"__name__": "gone"}, 1.0, 5)])
    requests += request_size.pack(gone, made.protocol(version=version), made.NOW_MS, ReasonCounts())
    rollback(requests, cache.find)
    assert [series.last_ms for series in samples.series] == [4, 4, 5]
    assert order(samples, ReasonCounts()).timestamps_ms == [5, 7, 6]
