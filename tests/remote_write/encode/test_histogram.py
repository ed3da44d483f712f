"""Native histograms: what a receiver does not take is made smaller as Prometheus does it, or dropped with a reason."""

from __future__ import annotations

import math
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lambda_remote_write.model.histogram_buckets import coarser
from lambda_remote_write.model.reason_counts import ReasonCounts
from lambda_remote_write.model.samples import Histogram, Metadata, Samples
from lambda_remote_write.remote_write import request_size
from lambda_remote_write.remote_write.encode import histogram
from tests.rig import made


def made_of(negative: dict[int, int], positive: dict[int, int], schema: int, *, is_float: bool = False) -> Histogram:
    """A histogram of bucket index -> count."""
    negative_spans, negative_buckets = packed(negative, is_float)
    positive_spans, positive_buckets = packed(positive, is_float)
    total = sum(negative.values()) + sum(positive.values())
    return Histogram(
        total, 1.0, schema, 0.0, 0, negative_spans, negative_buckets, positive_spans, positive_buckets, is_float
    )


def packed(counts: dict[int, int], is_float: bool) -> tuple[tuple[tuple[int, int], ...], tuple[float, ...]]:
    """A span for each bucket, which is allowed, and the counts or their differences."""
    spans, buckets, end, before = [], [], 0, 0
    for index, count in sorted(counts.items()):
        spans.append((index - end, 1))
        buckets.append(count if is_float else count - before)
        end, before = index + 1, count
    return tuple(spans), tuple(buckets)


def counted(spans: tuple[tuple[int, int], ...], buckets: tuple[float, ...], is_float: bool) -> dict[int, float]:
    """Bucket index -> count, from spans and buckets."""
    return dict(_counted(spans, buckets, is_float))


def _counted(
    spans: tuple[tuple[int, int], ...], buckets: tuple[float, ...], is_float: bool
) -> Iterator[tuple[int, float]]:
    at, place, before = 0, 0, 0.0
    for offset, length in spans:
        at += offset
        for _ in range(length):
            before = buckets[place] if is_float else before + buckets[place]
            yield at, before
            at, place = at + 1, place + 1
    assert place == len(buckets)


counts = st.dictionaries(st.integers(-40, 40), st.integers(0, 100), max_size=20)


@given(counts, counts, st.integers(-3, 8), st.booleans())
def test_the_next_coarser_schema_holds_the_same_observations(
    negative: dict[int, int], positive: dict[int, int], schema: int, is_float: bool
) -> None:
    """A bucket of schema s ends at 2 ** (i / 2 ** s): each goes whole into the one of schema s - 1 that contains it."""
    fine = made_of(negative, positive, schema, is_float=is_float)
    coarse = coarser(fine)
    assert (coarse.schema, coarse.count, coarse.sum) == (schema - 1, fine.count, fine.sum)
    for given_counts, spans, buckets in (
        (negative, coarse.negative_spans, coarse.negative_buckets),
        (positive, coarse.positive_spans, coarse.positive_buckets),
    ):
        expected: dict[int, float] = {}
        for index, count in given_counts.items():
            expected[math.ceil(index / 2)] = expected.get(math.ceil(index / 2), 0) + count
        assert counted(spans, buckets, is_float) == expected
        assert all(offset >= 0 for offset, _ in spans[1:])


def of_buckets(count: int, schema: int = 0, step: int = 1) -> Histogram:
    return made_of({}, {step * n: 1 for n in range(count)}, schema)


@pytest.mark.parametrize(
    ("one", "schema", "buckets"),
    [
        pytest.param(of_buckets(200), 0, 200, id="200 buckets"),
        pytest.param(of_buckets(201, step=1), -1, 101, id="one more is halved once"),
        pytest.param(of_buckets(801, 8), 5, 101, id="four times as many are halved until they fit"),
        pytest.param(
            made_of(dict.fromkeys(range(150), 1), dict.fromkeys(range(150), 1), 3), 2, 152, id="both sides count"
        ),
        pytest.param(of_buckets(5, 12), 8, 2, id="a schema that is finer than AMP's"),
        pytest.param(of_buckets(5, -4), -4, 5, id="the coarsest"),
    ],
)
def test_amp_gets_the_best_resolution_that_it_takes(one: Histogram, schema: int, buckets: int) -> None:
    taken = histogram.for_amp(one)
    assert (taken.schema, len(taken.negative_buckets) + len(taken.positive_buckets)) == (schema, buckets)
    assert len(histogram.encode(taken, made.NOW_MS)) <= 2048


def test_a_histogram_of_few_buckets_and_many_bytes_is_made_smaller_too() -> None:
    one = made_of({}, {3 * n: 2**60 * (n % 2) for n in range(190)}, 3)
    assert len(histogram.encode(one, made.NOW_MS)) > 2048
    taken = histogram.for_amp(one)
    assert len(histogram.encode(taken, made.NOW_MS)) <= 2048
    assert taken.schema < 3


@pytest.mark.parametrize(
    ("one", "reason"),
    [
        pytest.param(made_of({}, {0: 1}, -53), "custom_buckets", id="custom buckets"),
        pytest.param(made_of({}, {0: 1}, -5), "histogram_schema", id="a schema coarser than AMP's"),
        pytest.param(of_buckets(201, -4, step=2), "histogram_too_large", id="too large in the coarsest schema"),
    ],
)
def test_what_amp_takes_in_no_resolution_is_refused(one: Histogram, reason: str) -> None:
    with pytest.raises(histogram.InvalidHistogram, match="AMP") as caught:
        histogram.for_amp(one)
    assert caught.value.reason == reason


# --- What goes to which endpoint --------------------------------------------------------------------------------------

CUSTOM = made_of({}, {0: 1}, -53)
LARGE = of_buckets(201)


@pytest.mark.parametrize("version", [1, 2], ids=["1.0", "2.0"])
@pytest.mark.parametrize(
    ("one", "is_amp", "dropped"),
    [
        pytest.param(of_buckets(3), False, {}, id="a small one"),
        pytest.param(of_buckets(3), True, {}, id="a small one for AMP"),
        pytest.param(LARGE, False, {}, id="a large one"),
        pytest.param(LARGE, True, {}, id="a large one for AMP"),
        pytest.param(of_buckets(201, -4, step=2), True, {"histogram_too_large": 1}, id="too large for AMP"),
        pytest.param(CUSTOM, False, {"custom_buckets": 1}, id="custom buckets"),
        pytest.param(CUSTOM, True, {"custom_buckets": 1}, id="custom buckets for AMP"),
    ],
)
def test_histograms_that_an_endpoint_does_not_take_are_counted_drops(
    one: Histogram, is_amp: bool, dropped: dict[str, int], version: int
) -> None:
    if one is CUSTOM and not is_amp and version == 2:
        dropped = {}
    points: list[made.Point] = [({"__name__": "m"}, one, made.NOW_MS), ({"__name__": "n"}, 1.0, made.NOW_MS)]
    reasons, protocol = ReasonCounts(), made.protocol(version=version, is_amp=is_amp)
    (request,) = request_size.pack(made.samples_of(points), protocol, made.NOW_MS, reasons)
    assert dict(reasons.counts) == dropped
    assert (request.samples, request.histograms) == (2 - len(dropped), 1 - len(dropped))
    if not dropped:
        points[0] = (points[0][0], coarser(LARGE) if is_amp and one is LARGE else one, made.NOW_MS)
        assert made.points_in([request]) == made.as_bits(points)


@pytest.mark.parametrize("version", [1, 2], ids=["1.0", "2.0"])
def test_without_send_native_histograms_they_are_counted_and_the_key_is_named(version: int) -> None:
    points: list[made.Point] = [({"__name__": "m"}, LARGE, made.NOW_MS), ({"__name__": "n"}, 1.0, made.NOW_MS)]
    reasons, protocol = ReasonCounts(), made.protocol(version=version, send_native_histograms=False)
    requests = request_size.pack(made.samples_of(points), protocol, made.NOW_MS, reasons)
    assert made.points_in(requests) == made.as_bits(points[1:])
    assert dict(reasons.counts) == {"native_histograms_off": 1}
    assert "send_native_histograms: true" in reasons.first_examples["native_histograms_off"]


@pytest.mark.parametrize("version", [1, 2], ids=["1.0", "2.0"])
@pytest.mark.parametrize("wanted", [True, False], ids=["send_exemplars", "without"])
def test_exemplars_are_sent_only_where_they_are_wanted(wanted: bool, version: int) -> None:
    samples = made.samples_of([({"__name__": "m"}, 1.0, made.NOW_MS)])
    samples.exemplars[samples.series[0]] = (made.Exemplar((("trace_id", "x"),), 1.0, made.NOW_MS),)
    reasons, protocol = ReasonCounts(), made.protocol(version=version, send_exemplars=wanted)
    (request,) = request_size.pack(samples, protocol, made.NOW_MS, reasons)
    assert len(made.exemplars_in([request])) == request.exemplars == int(wanted)
    assert reasons.counts == {}


def test_starts_have_a_place_in_2_0_only() -> None:
    samples = made.samples_of([({"__name__": "m"}, 1.0, made.NOW_MS)])
    samples.starts_ms[samples.series[0]] = made.NOW_MS - 5
    for version, expected in ((1, []), (2, [made.NOW_MS - 5])):
        (request,) = request_size.pack(samples, made.protocol(version=version), made.NOW_MS, ReasonCounts())
        found = [getattr(s, "start_timestamp", 0) for _, one in made.entries_in(request) for s in one.samples]
        assert [start for start in found if start] == expected


def test_metadata_travels_with_the_series_of_2_0_only() -> None:
    family = Metadata("m", "gauge", "help", "")
    for version in (1, 2):
        protocol = made.protocol(version=version, families=[family])
        (request,) = request_size.pack(made.samples_of(made.numbered(1)), protocol, made.NOW_MS, ReasonCounts())
        assert (b"help" in request.body) == (version == 2)
        assert request.metadata == 0


def test_nothing_is_sent_when_nothing_is_taken() -> None:
    reasons = ReasonCounts()
    samples = made.samples_of([({"__name__": "m"}, CUSTOM, made.NOW_MS)])
    assert request_size.pack(samples, made.protocol(), made.NOW_MS, reasons) == []
    assert request_size.pack(Samples(), made.protocol(version=2), made.NOW_MS, reasons) == []
    assert reasons.total() == 1
