"""Native histograms with custom buckets as the classic series that they stand for.

Expectations: Prometheus 3.16, model/histogram/convert_test.go (TestConvertNHCBToClassicHistogram) and
storage/remote/queue_manager.go (convertAndEnqueueNHCB).
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from lambda_remote_write.model.reason_counts import ReasonCounts
from lambda_remote_write.model.samples import STALE, Histogram, Samples, Series, Value
from lambda_remote_write.remote_write.relabelled_series import RelabelledSeries
from lambda_remote_write.series import label_codec
from lambda_remote_write.series.cache import AMP_LIMITS, SeriesCache, SeriesLimits
from tests.rig import made

NONE = SeriesLimits()


def custom(
    boundaries: tuple[float, ...], buckets: tuple[float, ...], count: float, total: float, **keys: Any
) -> Histogram:
    spans = keys.pop("spans", ((0, len(buckets)),))
    return Histogram(count, total, -53, 0.0, 0, (), (), spans, buckets, custom_values=boundaries, **keys)


SPARSE = ((0, 2), (4, 1), (1, 2))
TEN = tuple(map(float, range(1, 11)))
TABLE = {
    "whole numbers": (custom((1, 2, 3), (10, 20, 30), 100, 100), [10, 40, 100, 100, 100, 100]),
    "floats": (custom((1, 2, 3), (20.0, 40.0, 60.0), 120, 100, is_float=True), [20, 60, 120, 120, 120, 100]),
    "empty": (custom((), (), 0, 0, spans=()), [0, 0, 0]),
    "empty buckets": (custom((1, 2, 3), (0, 10, 0), 20, 50), [0, 10, 20, 20, 20, 50]),
    "a bucket for +Inf": (custom((1, 2), (10, 20, 30), 100, 100), [10, 40, 100, 100, 100]),
    "one bucket": (custom((1,), (10,), 10, 20), [10, 10, 10, 20]),
    "gaps": (custom(TEN, (1, 2, 3, 4, 5), 35, 123, spans=SPARSE), [1, 4, 4, 4, 4, 4, 10, 10, 20, 35, 35, 35, 123]),
    "gaps in floats": (
        custom(TEN, (1, 2, 3, 4, 5), 15, 123, spans=SPARSE, is_float=True),
        [1, 3, 3, 3, 3, 3, 6, 6, 10, 15, 15, 15, 123],
    ),
    "ended": (custom((1, 2), (2, 1, 1), 9, STALE), [STALE] * 5),
}
HISTOGRAM = custom((1, 2.5), (1, 0, 1), 4, 5)
NATIVE = Histogram(3, 1, 0, 0.0, 0, positive_spans=((0, 1),), positive_buckets=(3,))


class Endpoint:
    """An endpoint with the key, and the series of the environment."""

    def __init__(self, limits: SeriesLimits = NONE) -> None:
        self.view = RelabelledSeries((), limits, classic_histograms=True)
        self.series = SeriesCache((), NONE)
        self.dropped = ReasonCounts()
        self.more = 0

    def gets(self, *samples: tuple[Series, Value], at_ms: int = 1) -> list[tuple[str, str]]:
        """What it gets of these: each series in Prometheus's notation, and its value's bits."""
        given = Samples([one for one, _ in samples], [value for _, value in samples], [at_ms] * len(samples))
        assert self.view.classic
        found, self.more = self.view.classic.convert(self.view.apply(given, self.dropped), self.dropped)
        assert set(found.timestamps_ms) <= {at_ms}
        return [(shown(one), told(value)) for one, value in zip(found.series, found.values, strict=True)]

    def named(self, name: str = "h", **labels: str) -> Series:
        return self.series.intern({"__name__": name, **labels})


def shown(series: Series) -> str:
    labels = label_codec.labels_of(series.prefix)
    name = labels.pop("__name__")
    return name + ",".join(f"{label}={value}" for label, value in labels.items()).join("{}" if labels else ("", ""))


def told(value: Value) -> str:
    return "native" if isinstance(value, Histogram) else f"{made.bits_of(value):016x}"


def of(values: list[float]) -> list[str]:
    return [told(float(value)) for value in values]


@pytest.mark.parametrize(("given", "values"), TABLE.values(), ids=TABLE)
def test_the_values(given: Histogram, values: list[float]) -> None:
    """Cumulative buckets, the last of them +Inf, then count and sum; all of one that has ended are stale."""
    endpoint = Endpoint()
    found = endpoint.gets((endpoint.named(), given))
    assert [value for _, value in found] == of(values)
    assert endpoint.more == len(values) - 1


def test_the_series() -> None:
    """Labels stay, and `le` is written as OpenMetrics writes a float."""
    endpoint = Endpoint()
    found = endpoint.gets((endpoint.named(job="j"), HISTOGRAM))
    assert [series for series, _ in found] == [
        "h_bucket{job=j,le=1.0}", "h_bucket{job=j,le=2.5}", "h_bucket{job=j,le=+Inf}", "h_count{job=j}", "h_sum{job=j}"
    ]  # fmt: skip


def test_other_samples_stay_as_they_are() -> None:
    endpoint = Endpoint()
    found = endpoint.gets((endpoint.named("a"), 1.0), (endpoint.named("n"), NATIVE), (endpoint.named(), HISTOGRAM))
    assert found[:2] == [("a", told(1.0)), ("n", "native")]
    assert len(found) == 7
    assert endpoint.gets((endpoint.named("a"), STALE)) == [("a", told(STALE))]


def test_a_marker_ends_every_classic_series_once() -> None:
    endpoint = Endpoint()
    before = endpoint.gets((endpoint.named(), HISTOGRAM))
    assert endpoint.gets((endpoint.named(), STALE), at_ms=2) == [(series, told(STALE)) for series, _ in before]
    assert endpoint.gets((endpoint.named(), STALE), at_ms=3) == [("h", told(STALE))]


def test_buckets_that_another_layout_does_not_have_end() -> None:
    endpoint = Endpoint()
    endpoint.gets((endpoint.named(), HISTOGRAM))
    found = dict(endpoint.gets((endpoint.named(), replace(HISTOGRAM, custom_values=(1, 3))), at_ms=2))
    ended = [series for series, value in found.items() if value == told(STALE)]
    assert ended == ["h_bucket{le=2.5}"]
    assert len(found) == 6


def test_one_that_becomes_another_kind_of_native_histogram_ends_its_classic_series() -> None:
    endpoint = Endpoint()
    before = endpoint.gets((endpoint.named(), HISTOGRAM))
    found = endpoint.gets((endpoint.named(), NATIVE), at_ms=2)
    assert found == [*((series, told(STALE)) for series, _ in before), ("h", "native")]


def test_classic_series_that_the_receiver_does_not_take_are_counted() -> None:
    """A bucket has a label more than its histogram: one too many for AMP."""
    endpoint = Endpoint(AMP_LIMITS)
    labels = {f"l{number}": "1" for number in range(AMP_LIMITS.labels - 1)}
    found = endpoint.gets((endpoint.named(**labels), HISTOGRAM))
    assert [series.partition("{")[0] for series, _ in found] == ["h_count", "h_sum"]
    assert endpoint.dropped.counts == {"too_many_labels": 3}
    assert endpoint.more == 4


def test_starts_go_with_the_classic_series() -> None:
    endpoint = Endpoint()
    assert endpoint.view.classic
    own = endpoint.view(endpoint.named())
    assert isinstance(own, Series)
    found, _ = endpoint.view.classic.convert(Samples([own], [HISTOGRAM], [5], starts_ms={own: 3}), ReasonCounts())
    assert [found.starts_ms.get(one) for one in found.series] == [3] * 5


def test_pruning_keeps_the_classic_series_of_what_is_kept() -> None:
    endpoint = Endpoint()
    one, other = endpoint.named("one"), endpoint.named("other")
    endpoint.gets((one, HISTOGRAM), (other, HISTOGRAM))
    one.seen = 2
    endpoint.view.prune(2)
    ended = endpoint.gets((one, STALE), (other, STALE), at_ms=2)
    assert [series for series, _ in ended if series.startswith("other")] == ["other"]
    assert sum(series.startswith("one_") for series, _ in ended) == 5
