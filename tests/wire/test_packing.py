"""Requests stay inside their bounds, and whatever is cut loses nothing but what it says."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pusher.config.schema import QueueConfig
from pusher.model import Metadata, Tally, WriteRequest
from pusher.wire.packing import pack, pack_metadata, split, without_old
from tests.wire import made

points_of_few_series = st.lists(
    st.tuples(
        st.sampled_from([{"__name__": "m", "n": str(size), "pad": "x" * size} for size in (1, 9, 90, 300)]),
        made.values,
        st.integers(made.NOW_MS - 100_000, made.NOW_MS),
    ),
    max_size=30,
)


def queue(max_samples: int = 1000, max_bytes: int = 1_000_000, age_ms: int = 0) -> QueueConfig:
    return QueueConfig(max_samples_per_send=max_samples, max_body_bytes=max_bytes, sample_age_limit_ms=age_ms)


def stated(requests: list[WriteRequest]) -> None:
    """What a request says of itself is true."""
    for request in requests:
        points = made.points_in([request])
        stamps = [stamp for _, _, stamp in points]
        raw = made.unpacked(request).SerializeToString()
        assert request.samples == len(points)
        assert request.oldest_ms == min(stamps)
        assert request.raw_bytes == len(raw)


@given(points_of_few_series, st.integers(1, 12), st.integers(60, 2000))
def test_nothing_is_lost_and_the_order_is_kept(points: list[made.Point], max_samples: int, max_bytes: int) -> None:
    """Every sample is in one request, in order, or a counted drop because it fits none alone."""
    dropped = Tally()
    requests = pack(made.samples_of(points), queue(max_samples, max_bytes), made.NOW_MS, dropped)
    stated(requests)
    assert all(request.samples <= max_samples for request in requests)
    assert all(request.raw_bytes <= max_bytes and len(request.body) <= max_bytes for request in requests)
    fitting = [point for point in points if made.stub_message([point]).ByteSize() < max_bytes]
    assert made.points_in(requests) == made.as_bits(fitting)
    assert dict(dropped.counts) == ({"too_large": len(points) - len(fitting)} if len(fitting) < len(points) else {})


def noise(size: int) -> str:
    """Text that compresses badly."""
    return "".join(random.Random(1).choices("".join(map(chr, range(33, 127))), k=size))


@pytest.mark.parametrize("padding", ["x" * 3000, noise(3000)], ids=["compresses well", "compresses badly"])
def test_a_thousand_long_series_stay_below_a_megabyte(padding: str) -> None:
    """The raw size counts as well as the compressed one: AMP does not say of what its megabyte is."""
    requests = pack(made.samples_of(made.numbered(1000, padding=padding)), queue(), made.NOW_MS, Tally())
    assert len(requests) > 1
    assert max(request.raw_bytes for request in requests) < 1_000_000
    assert max(len(request.body) for request in requests) < 1_000_000
    assert made.points_in(requests) == made.as_bits(made.numbered(1000, padding=padding))


def test_incompressible_text_that_grows_in_compression_stays_below_the_bound() -> None:
    points = made.numbered(1, padding=noise(5000))
    raw_bytes = made.stub_message(points).ByteSize()
    (request,) = pack(made.samples_of(points), queue(max_bytes=2 * raw_bytes), made.NOW_MS, Tally())
    assert len(request.body) > request.raw_bytes
    bound, dropped = len(request.body), Tally()
    assert pack(made.samples_of(points), queue(max_bytes=bound), made.NOW_MS, dropped) == []
    assert dropped.total() == 1


def test_one_sample_that_fits_nowhere_is_a_counted_drop_with_its_size() -> None:
    points = [*made.numbered(2), ({"__name__": "huge", "a": "x" * 5000}, 1.0, made.NOW_MS), *made.numbered(5)[2:]]
    dropped = Tally()
    requests = pack(made.samples_of(points), queue(max_bytes=2000), made.NOW_MS, dropped)
    assert made.points_in(requests) == made.as_bits(made.numbered(5))
    assert dict(dropped.counts) == {"too_large": 1}
    assert "2000" in dropped.first["too_large"]


@pytest.mark.parametrize(
    ("count", "max_samples", "sizes"),
    [
        pytest.param(0, 5, [], id="nothing"),
        pytest.param(5, 5, [5], id="exactly full"),
        pytest.param(6, 5, [5, 1], id="one more"),
        pytest.param(3, 1, [1, 1, 1], id="one each"),
    ],
)
def test_requests_are_filled_to_max_samples_per_send(count: int, max_samples: int, sizes: list[int]) -> None:
    requests = pack(made.samples_of(made.numbered(count)), queue(max_samples), made.NOW_MS, Tally())
    assert [request.samples for request in requests] == sizes


@pytest.mark.parametrize(
    ("age_ms", "kept"),
    [
        pytest.param(0, 4, id="no limit"),
        pytest.param(60_000, 2, id="exactly the limit is young"),
        pytest.param(59_999, 1, id="a millisecond less"),
    ],
)
def test_what_is_too_old_before_it_is_packed_is_dropped_and_counted(age_ms: int, kept: int) -> None:
    points: list[made.Point] = [({"__name__": "m"}, 1.0, made.NOW_MS - age) for age in (7_200_000, 60_001, 60_000, 0)]
    dropped = Tally()
    requests = pack(made.samples_of(points), queue(age_ms=age_ms), made.NOW_MS, dropped)
    assert made.points_in(requests) == made.as_bits(points[4 - kept :])
    assert dropped.counts.get("too_old", 0) == 4 - kept
    if dropped.counts:
        assert "7200 s old" in dropped.first["too_old"]


# --- Cutting what is already packed -----------------------------------------------------------------------------------


def packed(points: list[made.Point]) -> WriteRequest:
    (request,) = pack(made.samples_of(points), queue(), made.NOW_MS, Tally())
    return request


@given(points_of_few_series.filter(bool))
def test_splitting_loses_nothing(points: list[made.Point]) -> None:
    request = packed(points)
    halves = split(request)
    stated(halves)
    assert made.points_in(halves) == made.as_bits(points)
    assert len(halves) == (2 if len(made.unpacked(request).timeseries) > 1 else 1)


@given(points_of_few_series.filter(bool))
def test_splitting_ends_with_one_series_each(points: list[made.Point]) -> None:
    waiting, done = [packed(points)], []
    while waiting:
        halves = split(waiting.pop(0))
        if len(halves) == 1:
            done += halves
        else:
            waiting = halves + waiting
    assert made.points_in(done) == made.as_bits(points)
    assert len(done) == len(made.stub_message(points).timeseries)


@given(points_of_few_series.filter(bool), st.integers(made.NOW_MS - 110_000, made.NOW_MS + 1))
def test_cutting_by_age_takes_the_old_samples_and_no_other(points: list[made.Point], oldest_ms: int) -> None:
    young = without_old(packed(points), oldest_ms)
    kept = [point for point in points if point[2] >= oldest_ms]
    assert made.points_in([young] if young else []) == made.as_bits(kept)
    assert (young is None) == (not kept)
    if young:
        stated([young])


def test_cutting_by_age_leaves_metadata_alone() -> None:
    (request,) = pack_metadata([Metadata("m", "gauge", "h", "")], 2000, 1_000_000)
    assert without_old(request, 2**62) is request


# --- Metadata ---------------------------------------------------------------------------------------------------------


def entries(count: int, size: int = 4) -> list[Metadata]:
    return [Metadata(f"m{n}", "gauge", noise(size), "") for n in range(count)]


def names_in(requests: list[WriteRequest]) -> list[str]:
    return [entry.metric_family_name for request in requests for entry in made.unpacked(request).metadata]


@pytest.mark.parametrize("count", [0, 1, 2, 3, 5], ids=str)
def test_metadata_goes_in_requests_of_its_own_of_at_most_so_many_entries(count: int) -> None:
    requests = pack_metadata(entries(count), 2, 1_000_000)
    assert names_in(requests) == [f"m{n}" for n in range(count)]
    assert all(request.metadata <= 2 and request.samples == 0 for request in requests)
    assert sum(request.metadata for request in requests) == count
    assert all(not made.unpacked(request).timeseries for request in requests)


def test_metadata_with_long_help_stays_below_the_bound_too() -> None:
    requests = pack_metadata(entries(2000, 1000), 2000, 1_000_000)
    assert names_in(requests) == [f"m{n}" for n in range(2000)]
    assert max(request.raw_bytes for request in requests) < 1_000_000
    assert max(len(request.body) for request in requests) < 1_000_000


def test_splitting_metadata_loses_nothing() -> None:
    (request,) = pack_metadata(entries(5), 5, 1_000_000)
    halves = split(request)
    assert names_in(halves) == [f"m{n}" for n in range(5)]
    assert [half.metadata for half in halves] == [2, 3]
