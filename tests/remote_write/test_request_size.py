"""Requests stay inside their bounds, and whatever is cut loses nothing but what it says."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import cramjam
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lambda_remote_write.config.schema import QueueConfig
from lambda_remote_write.model.delivery import WriteRequest
from lambda_remote_write.model.reason_counts import ReasonCounts
from lambda_remote_write.model.samples import Metadata, Samples
from lambda_remote_write.remote_write import request_size
from lambda_remote_write.remote_write.request_size import cut_by_age, in_version_1, pack_metadata, split
from lambda_remote_write.series.cache import SeriesLimits
from tests.rig import made
from tests.rig.made import noise

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


def pack(
    samples: Samples, queue: QueueConfig, now_ms: int, dropped: ReasonCounts, version: int = 1
) -> list[WriteRequest]:
    return request_size.pack(samples, made.protocol(queue, version=version), now_ms, dropped)


versions = pytest.mark.parametrize("version", [1, 2], ids=["1.0", "2.0"])


def stated(requests: list[WriteRequest]) -> None:
    """What a request says of itself is true."""
    for request in requests:
        points = made.points_in([request])
        stamps = [stamp for _, _, stamp in points]
        assert request.samples == len(points)
        assert request.histograms == sum(isinstance(value, dict) for _, value, _ in points)
        assert request.exemplars == len(made.exemplars_in([request]))
        assert request.oldest_ms == min(stamps)
        assert request.raw_bytes == cramjam.snappy.decompress_raw_len(request.body)


@versions
@given(points_of_few_series, st.integers(1, 12), st.integers(60, 2000))
def test_nothing_is_lost_and_the_order_is_kept(
    version: int, points: list[made.Point], max_samples: int, max_bytes: int
) -> None:
    """Every sample is in one request, in order, or a counted drop because it fits none alone."""
    dropped = ReasonCounts()
    requests = pack(made.samples_of(points), queue(max_samples, max_bytes), made.NOW_MS, dropped, version)
    stated(requests)
    assert all(request.samples <= max_samples for request in requests)
    assert all(request.raw_bytes <= max_bytes and len(request.body) <= max_bytes for request in requests)
    fitting = [point for point in points if made.stub_bytes([point], version) < max_bytes]
    assert made.points_in(requests) == made.as_bits(fitting)
    assert dict(dropped.counts) == ({"too_large": len(points) - len(fitting)} if len(fitting) < len(points) else {})


@versions
@made.with_pages
@given(made.pages(), st.integers(1, 5))
def test_of_everything_on_a_page_nothing_is_lost_or_sent_twice(version: int, page: Samples, max_samples: int) -> None:
    requests = pack(page, queue(max_samples), made.NOW_MS, dropped := ReasonCounts(), version)
    stated(requests)
    sent = [point for point in made.bits_of_samples(page) if version == 2 or not is_custom(point)]
    assert made.points_in(requests) == sent
    assert dropped.total() == len(page) - len(sent)
    if not dropped.total():
        assert made.exemplars_in(requests) == made.exemplar_bits(page)
        assert version == 1 or made.starts_in(requests) == made.start_bits(page)


def is_custom(point: made.Seen) -> bool:
    return isinstance(point[1], dict) and point[1]["schema"] == -53


@versions
@pytest.mark.parametrize("padding", ["x" * 3000, noise(3000)], ids=["compresses well", "compresses badly"])
def test_a_thousand_long_series_stay_below_a_megabyte(padding: str, version: int) -> None:
    """The raw size counts as well as the compressed one: AMP does not say of what its megabyte is."""
    points = [({"__name__": "m", "p": f"{padding}{n}"}, 1.0, made.NOW_MS) for n in range(1000)]
    requests = pack(made.samples_of(points), queue(), made.NOW_MS, ReasonCounts(), version)
    assert len(requests) > 1
    assert max(request.raw_bytes for request in requests) < 1_000_000
    assert max(len(request.body) for request in requests) < 1_000_000
    assert made.points_in(requests) == made.as_bits(points)


def test_incompressible_text_that_grows_in_compression_stays_below_the_bound() -> None:
    points = made.numbered(1, padding=noise(5000))
    raw_bytes = made.stub_message(points).ByteSize()
    (request,) = pack(made.samples_of(points), queue(max_bytes=2 * raw_bytes), made.NOW_MS, ReasonCounts())
    assert len(request.body) > request.raw_bytes
    bound, dropped = len(request.body), ReasonCounts()
    assert pack(made.samples_of(points), queue(max_bytes=bound), made.NOW_MS, dropped) == []
    assert dropped.total() == 1


def test_one_sample_that_fits_nowhere_is_a_counted_drop_with_its_size() -> None:
    points = [*made.numbered(2), ({"__name__": "huge", "a": "x" * 5000}, 1.0, made.NOW_MS), *made.numbered(5)[2:]]
    dropped = ReasonCounts()
    requests = pack(made.samples_of(points), queue(max_bytes=2000), made.NOW_MS, dropped)
    assert made.points_in(requests) == made.as_bits(made.numbered(5))
    assert dict(dropped.counts) == {"too_large": 1}
    assert "2000" in dropped.first_examples["too_large"]


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
    requests = pack(made.samples_of(made.numbered(count)), queue(max_samples), made.NOW_MS, ReasonCounts())
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
    dropped = ReasonCounts()
    requests = pack(made.samples_of(points), queue(age_ms=age_ms), made.NOW_MS, dropped)
    assert made.points_in(requests) == made.as_bits(points[4 - kept :])
    assert dropped.counts.get("too_old", 0) == 4 - kept
    if dropped.counts:
        assert "7200 s old" in dropped.first_examples["too_old"]


# --- Cutting what is already packed -----------------------------------------------------------------------------------

(METADATA,) = pack_metadata([Metadata("m", "gauge", "h", "")], 1, 1_000_000)


def packed(points: list[made.Point], version: int = 1) -> WriteRequest:
    (request,) = pack(made.samples_of(points), queue(), made.NOW_MS, ReasonCounts(), version)
    return request


@versions
def test_points_of_one_series_share_its_labels_after_a_split_too(version: int) -> None:
    points: list[made.Point] = [({"__name__": "m"}, 1.0, made.NOW_MS + n) for n in range(4)]
    assert [len(made.entries_in(half)) for half in split(packed(points, version))] == [1, 1]


@versions
@made.with_pages
@given(made.pages())
def test_splitting_keeps_everything_that_a_page_gives(version: int, page: Samples) -> None:
    family = Metadata("m", "gauge", "what travels along", "")
    protocol = made.protocol(families=[family], version=version)
    for request in request_size.pack(page, protocol, made.NOW_MS, ReasonCounts()):
        halves = split(request)
        stated(halves)
        assert [half.version for half in halves] == [version] * min(2, request.samples)
        assert made.points_in(halves) == made.points_in([request])
        assert made.exemplars_in(halves) == made.exemplars_in([request])
        assert metadata_2(halves) == metadata_2([request])
        assert version == 1 or made.starts_in(halves) == made.starts_in([request])


def metadata_2(requests: list[WriteRequest]) -> dict[str, tuple[int, str]]:
    """Metric -> type and help of requests of version 2."""
    return {
        labels["__name__"]: (entry.metadata.type, made.unpacked_2(request).symbols[entry.metadata.help_ref])
        for request in requests
        if request.version == 2
        for labels, entry in made.entries_in(request)
    }


@versions
@given(points_of_few_series.filter(bool))
def test_splitting_ends_with_one_sample_each(version: int, points: list[made.Point]) -> None:
    waiting, done = [packed(points, version)], []
    while waiting:
        halves = split(waiting.pop(0))
        if len(halves) == 1:
            done += halves
        else:
            waiting = halves + waiting
    assert made.points_in(done) == made.as_bits(points)
    assert len(done) == len(points)


@versions
@given(points_of_few_series.filter(bool), st.integers(made.NOW_MS - 110_000, made.NOW_MS + 1))
def test_cutting_by_age_takes_the_old_samples_and_no_other(
    version: int, points: list[made.Point], oldest_ms: int
) -> None:
    for part, expected in zip(
        cut_by_age(packed(points, version), oldest_ms),
        ([one for one in points if one[2] >= oldest_ms], [one for one in points if one[2] < oldest_ms]),
        strict=True,
    ):
        assert made.points_in([part] if part else []) == made.as_bits(expected)
        assert (part is None) == (not expected)
        if part:
            stated([part])


@pytest.mark.parametrize("is_maybe_stored", [True, False], ids=["maybe stored", "surely not"])
@pytest.mark.parametrize(
    ("cut", "version"),
    [
        pytest.param(split, 1, id="halves of 1.0"),
        pytest.param(split, 2, id="halves of 2.0"),
        pytest.param(
            lambda request: split(request_size.with_metadata(request, METADATA))[:1], 1, id="without its metadata"
        ),
        pytest.param(lambda request: cut_by_age(request, made.NOW_MS + 2), 1, id="young and old"),
        pytest.param(lambda request: in_version_1(request, made.endpoint(), made.NOW_MS, ReasonCounts()), 2, id="1.0"),
    ],
)
def test_a_part_of_what_may_be_stored_may_be_stored_too(
    cut: Callable[[WriteRequest], Sequence[WriteRequest]], version: int, is_maybe_stored: bool
) -> None:
    """A 400 to a sample that is stored already is no loss, also when the request has been cut since."""
    points: list[made.Point] = [({"__name__": "m"}, 1.0, made.NOW_MS + n) for n in range(4)]
    parts = cut(replace(packed(points, version), maybe_stored=is_maybe_stored))
    assert len(made.points_in(parts)) == 4
    assert {part.maybe_stored for part in parts} == {is_maybe_stored}


# --- From 2.0 back to 1.0 ---------------------------------------------------------------------------------------------


@made.with_pages
@given(made.pages())
def test_a_request_of_2_0_becomes_the_same_in_1_0(page: Samples) -> None:
    """But for starts, which it has no place for, and custom buckets, which it has none for either and counts."""
    dropped = ReasonCounts()
    for request in pack(page, queue(), made.NOW_MS, ReasonCounts(), 2):
        spoken = in_version_1(request, made.protocol().endpoint, made.NOW_MS, dropped)
        stated(spoken)
        points = made.points_in([request])
        assert all(one.version == 1 for one in spoken)
        assert made.points_in(spoken) == [point for point in points if not is_custom(point)]
        assert dropped.total() == sum(map(is_custom, points))
        if not dropped.total():
            assert made.exemplars_in(spoken) == made.exemplars_in([request])


def test_labels_that_1_0_repeats_take_more_requests() -> None:
    points = [({"__name__": "m", "n": str(n), "p": "x" * 3000}, 1.0, made.NOW_MS) for n in range(1000)]
    (request,) = pack(made.samples_of(points), queue(), made.NOW_MS, ReasonCounts(), 2)
    spoken = in_version_1(request, made.protocol(queue()).endpoint, made.NOW_MS, ReasonCounts())
    assert max(one.raw_bytes for one in spoken) < 1_000_000
    assert made.points_in(spoken) == made.as_bits(points)


UTF8 = SeriesLimits(utf8_names=True)


@pytest.mark.parametrize(
    ("labels", "spelt"),
    [
        pytest.param({"__name__": "http.requests"}, {"__name__": "http_requests"}, id="a metric with a dot"),
        pytest.param({"__name__": "m", "k8s.pod": "x"}, {"__name__": "m", "k8s_pod": "x"}, id="a label with a dot"),
        pytest.param({"__name__": "m", "a:b": "x"}, {"__name__": "m", "a_b": "x"}, id="a label with a colon"),
        pytest.param({"__name__": "a:b", "B": "é.e"}, {"__name__": "a:b", "B": "é.e"}, id="names of 1.0"),
    ],
)
def test_names_that_1_0_does_not_allow_are_escaped_after_a_fall_back(
    labels: dict[str, str], spelt: dict[str, str]
) -> None:
    points = [(labels, 1.0, made.NOW_MS), ({"__name__": "other"}, 1.0, made.NOW_MS)]
    protocol = made.protocol(version=2)
    collected = made.samples_of(points, made.cache(limits=UTF8))
    (request,) = request_size.pack(collected, protocol, made.NOW_MS, ReasonCounts())
    assert made.points_in([request]) == made.as_bits(points)
    dropped, later = ReasonCounts(), ReasonCounts()
    spoken = in_version_1(request, protocol.endpoint, made.NOW_MS, dropped)
    samples = made.samples_of(points, made.cache(limits=UTF8))
    next_run = request_size.pack(samples, replace(protocol, version=1), made.NOW_MS, later)
    for requests, reasons in ((spoken, dropped), (next_run, later)):
        assert made.points_in(requests) == made.as_bits([(spelt, *points[0][1:]), points[1]])
        assert dict(reasons.counts) == {}


def test_samples_of_series_that_become_one_stay_in_order_and_each_time_stands_once() -> None:
    names = ({"__name__": "a.b"}, {"__name__": "a_b"}, {"__name__": "c"})
    points = [(one, float(step), made.NOW_MS + step) for one in names for step in range(3)]
    protocol, dropped = made.protocol(version=2), ReasonCounts()
    collected = made.samples_of(points, made.cache(limits=UTF8))
    (request,) = request_size.pack(collected, protocol, made.NOW_MS, ReasonCounts())
    spoken = in_version_1(request, protocol.endpoint, made.NOW_MS, dropped)
    assert made.points_in(spoken) == made.as_bits(points[3:])
    assert dict(dropped.counts) == {"not_newer": 3}


def test_cutting_by_age_leaves_metadata_alone() -> None:
    (request,) = pack_metadata([Metadata("m", "gauge", "h", "")], 2000, 1_000_000)
    assert cut_by_age(request, 2**62) == (request, None)


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
