"""The bytes are those that the protobuf stubs make, whatever the labels, values and timestamps."""

from __future__ import annotations

import cramjam
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lambda_remote_write.model.delivery import WriteRequest
from lambda_remote_write.model.reason_counts import ReasonCounts
from lambda_remote_write.model.samples import STALE, Exemplar, Metadata, Samples
from lambda_remote_write.remote_write import request_size
from lambda_remote_write.remote_write.encode import v1
from lambda_remote_write.remote_write.encode.generated import remote_pb2, types_pb2
from lambda_remote_write.series import label_codec
from tests.rig import made

LABELS = {"__name__": "m", "a": "b"}


def encoded(points: list[made.Point]) -> bytes:
    return v1.encode(made.block(made.samples_of(points)))


def request_of(samples: Samples) -> WriteRequest:
    (request,) = request_size.pack(samples, made.protocol(), made.NOW_MS, ReasonCounts())
    return request


_OF_OUR_DAYS = st.integers(made.NOW_MS - 10**9, made.NOW_MS)
_FEW_SERIES = st.sampled_from([{"__name__": "m", "a": text} for text in ("a", "b", "c" * 120)])


_FAST = st.tuples(_FEW_SERIES, st.sampled_from([0.0, -0.0, 1.5, 1e300]), _OF_OUR_DAYS)
_ANY = st.tuples(_FEW_SERIES, made.values, made.stamps)


@given(st.lists(_FAST, min_size=1, max_size=40) | st.lists(_ANY, min_size=2, max_size=20))
def test_neighbours_of_one_series_share_a_time_series(points: list[made.Point]) -> None:
    """What a backfill sends: runs of one series, the zeros among them written as the stubs do."""
    assert encoded(points) == made.stub_message(points).SerializeToString(deterministic=True)


@given(st.lists(st.tuples(made.label_sets, made.values, made.stamps), max_size=8))
def test_bytes_equal_what_the_stubs_serialise(points: list[made.Point]) -> None:
    assert encoded(points) == made.stub_message(points).SerializeToString(deterministic=True)


@pytest.mark.parametrize("bits", made.SPECIAL_BITS.values(), ids=made.SPECIAL_BITS)
@pytest.mark.parametrize("stamp", made.SPECIAL_STAMPS.values(), ids=made.SPECIAL_STAMPS)
def test_special_values_and_times_keep_every_bit(bits: int, stamp: int) -> None:
    raw = encoded([(LABELS, made.of_bits(bits), stamp)])
    assert raw == made.stub_message([(LABELS, made.of_bits(bits), stamp)]).SerializeToString()
    (series,) = remote_pb2.WriteRequest.FromString(raw).timeseries
    assert [(made.bits_of(sample.value), sample.timestamp) for sample in series.samples] == [(bits, stamp)]


@pytest.mark.parametrize("count", [1, 2, 1000], ids=["one sample", "two", "a thousand"])
def test_the_fast_path_and_the_slow_path_encode_the_same_message(count: int) -> None:
    """A timestamp of another century turns the whole batch to the other encoder."""
    points = made.numbered(count)
    with_old = [*points, ({"__name__": "z"}, 1.0, 0)]
    assert encoded(with_old) == encoded(points) + encoded(with_old[-1:])
    assert encoded(with_old) == made.stub_message(with_old).SerializeToString()


@pytest.mark.parametrize("stamps", [1, 3], ids=["one time", "several times"])
def test_zeros_are_left_out_on_the_fast_path_at_every_run(stamps: int) -> None:
    """The head that is kept for a zero serves the next run too; a negative zero is written."""
    points = [
        ({"__name__": "m", "n": "x" * (n + 1)}, [0.0, -0.0, 1.0][n % 3], made.NOW_MS + n % stamps) for n in range(300)
    ]
    samples, expected = made.samples_of(points), made.stub_message(points).SerializeToString()
    assert v1.encode(made.block(samples)) == expected
    assert v1.encode(made.block(samples)) == expected


@given(st.integers(-(2**63), 2**64 - 1))
def test_a_varint_is_the_one_of_protobuf(number: int) -> None:
    signed = number - 2**64 if number >= 2**63 else number
    message = types_pb2.Sample(timestamp=signed).SerializeToString()
    assert (b"\x10" + label_codec.varint(number) if number else b"") == message


@given(made.label_sets)
def test_labels_come_back_from_a_prefix(labels: dict[str, str]) -> None:
    found = label_codec.labels_of(made.cache().intern(labels).prefix)
    assert found == labels
    assert list(found) == sorted(labels, key=str.encode)


# --- Native histograms and exemplars ----------------------------------------------------------------------------------


@given(made.histograms, made.stamps)
def test_histogram_bytes_equal_what_the_stubs_serialise(histogram: made.Histogram, stamp: int) -> None:
    raw = encoded([(LABELS, histogram, stamp)])
    assert remote_pb2.WriteRequest.FromString(raw).SerializeToString() == raw
    (entry,) = remote_pb2.WriteRequest.FromString(raw).timeseries
    assert [(made.bits_in_message(one), one.timestamp) for one in entry.histograms] == [
        (made.value_bits(histogram), stamp)
    ]


@made.with_pages
@given(made.pages())
def test_whatever_a_page_gives_decodes_to_the_same(samples: Samples) -> None:
    """Samples in order, exemplars once and beside the newest sample of their series, bytes as the stubs order them."""
    raw = v1.encode(made.block(samples))
    request = WriteRequest(cramjam.snappy.compress_raw(raw), 0, 0)
    assert made.points_in([request]) == made.bits_of_samples(samples)
    assert made.exemplars_in([request]) == made.exemplar_bits(samples)
    assert remote_pb2.WriteRequest.FromString(raw).SerializeToString() == raw


def test_floats_and_histograms_of_a_series_keep_their_order() -> None:
    """A receiver takes the samples of a TimeSeries before its histograms: what comes later goes into another."""
    histogram = made.Histogram(1, 1.0, 0, 0.0, 1)
    points: list[made.Point] = [(LABELS, histogram, made.NOW_MS), (LABELS, STALE, made.NOW_MS + 1)]
    message = remote_pb2.WriteRequest.FromString(encoded(points))
    assert [(len(entry.samples), len(entry.histograms)) for entry in message.timeseries] == [(0, 1), (1, 0)]


def test_exemplars_go_with_the_newest_sample_of_their_series() -> None:
    series, other = made.cache().intern(LABELS), made.cache().intern({"__name__": "other"})
    samples = Samples([series, other, series], [1.0, 2.0, 3.0], [made.NOW_MS, made.NOW_MS, made.NOW_MS + 1])
    samples.exemplars[series] = (Exemplar((("trace_id", "žluťoučký"),), 0.5, made.NOW_MS),)
    entries = made.unpacked(request_of(samples)).timeseries
    assert [[exemplar.value for exemplar in entry.exemplars] for entry in entries] == [[], [], [0.5]]
    assert [(label.name, label.value) for label in entries[2].exemplars[0].labels] == [("trace_id", "žluťoučký")]


# --- Metadata ---------------------------------------------------------------------------------------------------------


def decoded_metadata(metadata: Metadata) -> types_pb2.MetricMetadata:
    (entry,) = remote_pb2.WriteRequest.FromString(v1.encode_metadata(metadata)).metadata
    return entry


@pytest.mark.parametrize("kind", made.FAMILY_TYPES)
def test_type_help_and_unit_travel(kind: str) -> None:
    entry = decoded_metadata(Metadata("temperature_celsius", kind, "How wärm.", "celsius"))
    assert types_pb2.MetricMetadata.MetricType.Name(entry.type) == kind.upper()
    assert (entry.metric_family_name, entry.help, entry.unit) == ("temperature_celsius", "How wärm.", "celsius")


@given(
    made.metric_names,
    st.sampled_from(made.FAMILY_TYPES),
    st.sampled_from(["", "celsius", "µ"]),
    st.characters(codec="utf-8"),
    st.data(),
)
def test_help_is_cut_to_amps_kilobyte_between_characters(
    name: str, kind: str, unit: str, char: str, data: st.DataObject
) -> None:
    """AMP takes 1 KB over name, type, unit and help; a cut never leaves half a character."""
    text = data.draw(st.text(st.characters(codec="utf-8"), max_size=5)) + char * data.draw(st.integers(0, 1100))
    entry = decoded_metadata(Metadata(name, kind, text, unit))
    size = len(name) + len(kind) + len(unit.encode()) + len(entry.help.encode())
    assert size < 1024
    assert text.startswith(entry.help)
    if entry.help != text:
        assert size + len(text[len(entry.help)].encode()) > 1023
    assert entry.unit == unit


@pytest.mark.parametrize("unit", ["", "x" * 600], ids=["long name", "long name and unit"])
def test_a_name_that_leaves_no_room_costs_help_and_unit_only(unit: str) -> None:
    entry = decoded_metadata(Metadata("n" * 1000, "gauge", "help " * 10, unit))
    assert len(entry.metric_family_name) + len("gauge") + len(entry.help) + len(entry.unit) < 1024


# --- Snappy -----------------------------------------------------------------------------------------------------------


def test_the_body_is_a_snappy_block_and_not_the_framed_format() -> None:
    request = request_of(made.samples_of(made.numbered(3)))
    assert made.points_in([request]) == made.as_bits(made.numbered(3))
    assert not request.body.startswith(b"\xff\x06\x00\x00sNaPpY")
    with pytest.raises(cramjam.DecompressionError):
        cramjam.snappy.decompress(request.body)


@given(st.lists(st.integers(2**35, 2**42 - 1), min_size=100, max_size=200, unique=True))
def test_many_times_in_one_request_are_written_as_the_stubs_write_them(stamps: list[int]) -> None:
    """From February 1971 to May 2109, from tables."""
    points: list[made.Point] = [(LABELS, 1.5, stamp) for stamp in sorted(stamps)]
    assert encoded(points) == made.stub_message(points).SerializeToString(deterministic=True)
