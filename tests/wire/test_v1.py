"""The bytes are those that the protobuf stubs make, whatever the labels, values and timestamps."""

from __future__ import annotations

import itertools

import cramjam
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pusher.config.schema import QueueConfig
from pusher.model import Metadata, Tally
from pusher.wire import packing, v1
from pusher.wire.generated import remote_pb2, types_pb2
from tests.wire import made

QUEUE = QueueConfig(sample_age_limit_ms=0)
LABELS = {"__name__": "m", "a": "b"}


def encoded(points: list[made.Point]) -> bytes:
    return b"".join(v1.encode_samples(made.samples_of(points)))


@given(st.lists(st.tuples(made.label_sets, made.values, made.stamps), max_size=8))
def test_bytes_equal_what_the_stubs_serialise(points: list[made.Point]) -> None:
    assert encoded(points) == made.stub_message(points).SerializeToString(deterministic=True)


@given(made.label_sets, st.lists(st.tuples(made.values, made.stamps), min_size=2, max_size=20))
def test_points_of_one_series_share_a_time_series(labels: dict[str, str], points: list[tuple[float, int]]) -> None:
    series = [(labels, value, stamp) for value, stamp in points]
    assert encoded(series) == made.stub_message(series).SerializeToString()


@pytest.mark.parametrize("bits", made.SPECIAL_BITS.values(), ids=made.SPECIAL_BITS)
@pytest.mark.parametrize("stamp", made.SPECIAL_STAMPS.values(), ids=made.SPECIAL_STAMPS)
def test_special_values_and_times_keep_every_bit(bits: int, stamp: int) -> None:
    raw = encoded([(LABELS, made.of_bits(bits), stamp)])
    assert raw == made.stub_message([(LABELS, made.of_bits(bits), stamp)]).SerializeToString()
    (series,) = remote_pb2.WriteRequest.FromString(raw).timeseries
    assert [(made.bits_of(sample.value), sample.timestamp) for sample in series.samples] == [(bits, stamp)]


def test_a_stale_marker_stays_a_signalling_nan_on_the_wire() -> None:
    raw = encoded([(LABELS, made.of_bits(0x7FF0000000000002), made.NOW_MS)])
    assert bytes.fromhex("0200 0000 0000 f07f") in raw


@pytest.mark.parametrize("count", [1, 2, 1000], ids=["one sample", "two", "a thousand"])
def test_the_usual_batch_and_the_unusual_one_are_the_same_message(count: int) -> None:
    """A zero anywhere turns the whole batch to the other encoder."""
    points = made.numbered(count)
    with_zero = [*points, ({"__name__": "z"}, 0.0, made.NOW_MS)]
    assert encoded(with_zero) == encoded(points) + encoded(with_zero[-1:])
    assert encoded(with_zero) == made.stub_message(with_zero).SerializeToString()


@given(st.integers(-(2**63), 2**64 - 1))
def test_a_varint_is_the_one_of_protobuf(number: int) -> None:
    signed = number - 2**64 if number >= 2**63 else number
    message = types_pb2.Sample(timestamp=signed).SerializeToString()
    assert (b"\x10" + v1.varint(number) if number else b"") == message


@given(made.label_sets)
def test_labels_come_back_from_a_prefix(labels: dict[str, str]) -> None:
    found = v1.labels_of(made.cache().intern(labels).prefix)
    assert found == labels
    assert list(found) == sorted(labels, key=str.encode)


@given(st.lists(st.tuples(made.label_sets, made.values, made.stamps), max_size=8))
def test_fields_put_together_are_the_body(points: list[made.Point]) -> None:
    raw = made.stub_message(points).SerializeToString()
    fields = list(v1.fields_of(raw))
    assert b"".join(fields) == raw
    stamps = [v1.timestamps_of(field) for field in fields]
    expected = [list(group) for _, group in itertools.groupby(points, key=lambda point: dict(point[0]))]
    assert stamps == [[stamp for _, _, stamp in group] for group in expected]


# --- Metadata ---------------------------------------------------------------------------------------------------------


def decoded_metadata(metadata: Metadata) -> types_pb2.MetricMetadata:
    (entry,) = remote_pb2.WriteRequest.FromString(v1.encode_metadata(metadata)).metadata
    return entry


TYPES = ["counter", "gauge", "histogram", "gaugehistogram", "summary", "info", "stateset", "unknown"]


@pytest.mark.parametrize("kind", TYPES)
def test_type_help_and_unit_travel(kind: str) -> None:
    entry = decoded_metadata(Metadata("temperature_celsius", kind, "How wärm.", "celsius"))
    assert types_pb2.MetricMetadata.MetricType.Name(entry.type) == kind.upper()
    assert (entry.metric_family_name, entry.help, entry.unit) == ("temperature_celsius", "How wärm.", "celsius")


def test_metadata_bytes_equal_what_the_stubs_serialise() -> None:
    message = remote_pb2.WriteRequest()
    message.metadata.add(type="COUNTER", metric_family_name="a_total", help="h", unit="bytes")
    assert v1.encode_metadata(Metadata("a_total", "counter", "h", "bytes")) == message.SerializeToString()


@given(
    made.metric_names,
    st.sampled_from(TYPES),
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
    (request,) = packing.pack(made.samples_of(made.numbered(3)), QUEUE, made.NOW_MS, Tally())
    assert made.points_in([request]) == made.as_bits(made.numbered(3))
    assert not request.body.startswith(b"\xff\x06\x00\x00sNaPpY")
    with pytest.raises(cramjam.DecompressionError):
        cramjam.snappy.decompress(request.body)
