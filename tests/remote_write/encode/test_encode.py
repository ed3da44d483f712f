"""Remote write 1.0 and 2.0: what the protobuf stubs decode is what was given, whatever it was; the bytes are those that
the stubs make, and 2.0 keeps the rules of its tables."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence

import cramjam
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lambda_remote_write.model.delivery import WriteRequest
from lambda_remote_write.model.reason_counts import ReasonCounts
from lambda_remote_write.model.samples import STALE, Exemplar, Histogram, Metadata, Samples
from lambda_remote_write.remote_write import request_size
from lambda_remote_write.remote_write.encode import v1, v2
from lambda_remote_write.remote_write.encode.generated import remote_pb2, types_pb2
from lambda_remote_write.remote_write.encode.generated.io.prometheus.write.v2 import types_pb2 as types_2_pb2
from lambda_remote_write.series import label_codec
from tests.rig import made

LABELS = {"__name__": "m", "a": "b"}
HISTOGRAM = Histogram(6, 7.5, 0, 0.001, 1, positive_spans=((0, 2),), positive_buckets=(2, 1))
versions = pytest.mark.parametrize("version", [1, 2], ids=["1.0", "2.0"])


def encoded(samples: Samples, version: int, families: Sequence[Metadata] = ()) -> bytes:
    """As the stubs order it."""
    block = made.block(samples)
    raw = v1.encode(block) if version == 1 else v2.encode(block, {one.name: one for one in families})
    message = remote_pb2.WriteRequest if version == 1 else types_2_pb2.Request
    assert message.FromString(raw).SerializeToString() == raw
    return raw


def encoded_1(points: list[made.Point]) -> bytes:
    return encoded(made.samples_of(points), 1)


def decoded(samples: Samples, families: Sequence[Metadata] = ()) -> types_2_pb2.Request:
    return types_2_pb2.Request.FromString(encoded(samples, 2, families))


def as_request(raw: bytes, version: int) -> WriteRequest:
    return WriteRequest(cramjam.snappy.compress_raw(raw), 0, 0, version=version)


def request_of(samples: Samples) -> WriteRequest:
    (request,) = request_size.pack(samples, made.protocol(), made.NOW_MS, ReasonCounts())
    return request


# --- Whatever is given ------------------------------------------------------------------------------------------------

families = st.lists(
    st.builds(
        Metadata,
        st.sampled_from(["m", "a:b", "other"]),
        st.sampled_from(made.FAMILY_TYPES),
        st.text(max_size=9),
        st.text(max_size=3),
    ),
    max_size=3,
)


@versions
@made.with_pages
@given(made.pages(), families)
def test_whatever_a_page_gives_decodes_to_the_same(version: int, samples: Samples, families: list[Metadata]) -> None:
    """Samples in order, exemplars and starts once and beside the newest sample of their series."""
    request = as_request(encoded(samples, version, families), version)
    assert made.points_in([request]) == made.bits_of_samples(samples)
    assert made.exemplars_in([request]) == made.exemplar_bits(samples)
    assert version == 1 or made.starts_in([request]) == made.start_bits(samples)


@versions
@given(st.lists(st.tuples(made.label_sets, made.values, made.stamps), max_size=8))
def test_plain_samples_decode_to_the_same(version: int, points: list[made.Point]) -> None:
    raw = encoded(made.samples_of(points), version)
    assert made.points_in([as_request(raw, version)]) == made.as_bits(points)
    assert version == 2 or raw == made.stub_message(points).SerializeToString(deterministic=True)


@versions
@pytest.mark.parametrize("stamps", [1, 3], ids=["one time", "several times"])
def test_samples_and_zeros_on_the_fast_path_decode_to_the_same(version: int, stamps: int) -> None:
    """Labels of every length; what is kept for a zero serves the next run too; a negative zero is written."""
    points: list[made.Point] = [
        ({"__name__": f"m{n % 7}", "n": "x" * (n // 4 + 1)}, [0.0, -0.0, 1.5, STALE][n % 4], made.NOW_MS + n % stamps)
        for n in range(1200)
    ]
    samples = made.samples_of(points)
    for _ in range(2):  # the second time from what the series keep
        raw = encoded(samples, version)
        assert made.points_in([as_request(raw, version)]) == made.as_bits(points)
        assert version == 2 or raw == made.stub_message(points).SerializeToString()


# --- 1.0 --------------------------------------------------------------------------------------------------------------

_OF_OUR_DAYS = st.integers(made.NOW_MS - 10**9, made.NOW_MS)
_FEW_SERIES = st.sampled_from([{"__name__": "m", "a": text} for text in ("a", "b", "c" * 120)])


_FAST = st.tuples(_FEW_SERIES, st.sampled_from([0.0, -0.0, 1.5, 1e300]), _OF_OUR_DAYS)
_ANY = st.tuples(_FEW_SERIES, made.values, made.stamps)


@given(st.lists(_FAST, min_size=1, max_size=40) | st.lists(_ANY, min_size=2, max_size=20))
def test_neighbours_of_one_series_share_a_time_series(points: list[made.Point]) -> None:
    """What a backfill sends: runs of one series, the zeros among them written as the stubs do."""
    assert encoded_1(points) == made.stub_message(points).SerializeToString(deterministic=True)


@pytest.mark.parametrize("bits", made.SPECIAL_BITS.values(), ids=made.SPECIAL_BITS)
@pytest.mark.parametrize("stamp", made.SPECIAL_STAMPS.values(), ids=made.SPECIAL_STAMPS)
def test_special_values_and_times_keep_every_bit(bits: int, stamp: int) -> None:
    raw = encoded_1([(LABELS, made.of_bits(bits), stamp)])
    assert raw == made.stub_message([(LABELS, made.of_bits(bits), stamp)]).SerializeToString()
    (series,) = remote_pb2.WriteRequest.FromString(raw).timeseries
    assert [(made.bits_of(sample.value), sample.timestamp) for sample in series.samples] == [(bits, stamp)]


@pytest.mark.parametrize("count", [1, 2, 1000], ids=["one sample", "two", "a thousand"])
def test_the_fast_path_and_the_slow_path_encode_the_same_message(count: int) -> None:
    """A timestamp of another century turns the whole batch to the other encoder."""
    points = made.numbered(count)
    with_old = [*points, ({"__name__": "z"}, 1.0, 0)]
    assert encoded_1(with_old) == encoded_1(points) + encoded_1(with_old[-1:])
    assert encoded_1(with_old) == made.stub_message(with_old).SerializeToString()


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


@given(made.histograms, made.stamps)
def test_histogram_bytes_equal_what_the_stubs_serialise(histogram: made.Histogram, stamp: int) -> None:
    raw = encoded_1([(LABELS, histogram, stamp)])
    assert remote_pb2.WriteRequest.FromString(raw).SerializeToString() == raw
    (entry,) = remote_pb2.WriteRequest.FromString(raw).timeseries
    assert [(made.bits_in_message(one), one.timestamp) for one in entry.histograms] == [
        (made.value_bits(histogram), stamp)
    ]


def test_floats_and_histograms_of_a_series_keep_their_order() -> None:
    """A receiver takes the samples of a TimeSeries before its histograms: what comes later goes into another."""
    histogram = made.Histogram(1, 1.0, 0, 0.0, 1)
    points: list[made.Point] = [(LABELS, histogram, made.NOW_MS), (LABELS, STALE, made.NOW_MS + 1)]
    message = remote_pb2.WriteRequest.FromString(encoded_1(points))
    assert [(len(entry.samples), len(entry.histograms)) for entry in message.timeseries] == [(0, 1), (1, 0)]


def test_exemplars_go_with_the_newest_sample_of_their_series() -> None:
    series, other = made.cache().intern(LABELS), made.cache().intern({"__name__": "other"})
    samples = Samples([series, other, series], [1.0, 2.0, 3.0], [made.NOW_MS, made.NOW_MS, made.NOW_MS + 1])
    samples.exemplars[series] = (Exemplar((("trace_id", "žluťoučký"),), 0.5, made.NOW_MS),)
    entries = made.unpacked(request_of(samples)).timeseries
    assert [[exemplar.value for exemplar in entry.exemplars] for entry in entries] == [[], [], [0.5]]
    assert [(label.name, label.value) for label in entries[2].exemplars[0].labels] == [("trace_id", "žluťoučký")]


@given(st.lists(st.integers(2**35, 2**42 - 1), min_size=100, max_size=200, unique=True))
def test_many_times_in_one_request_are_written_as_the_stubs_write_them(stamps: list[int]) -> None:
    """From February 1971 to May 2109, from tables."""
    points: list[made.Point] = [(LABELS, 1.5, stamp) for stamp in sorted(stamps)]
    assert encoded_1(points) == made.stub_message(points).SerializeToString(deterministic=True)


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


def test_the_body_is_a_snappy_block_and_not_the_framed_format() -> None:
    request = request_of(made.samples_of(made.numbered(3)))
    assert made.points_in([request]) == made.as_bits(made.numbered(3))
    assert not request.body.startswith(b"\xff\x06\x00\x00sNaPpY")
    with pytest.raises(cramjam.DecompressionError):
        cramjam.snappy.decompress(request.body)


# --- What the specification of 2.0 says -------------------------------------------------------------------------------


def starts_of(message: types_2_pb2.Request) -> list[list[int]]:
    return [[point.start_timestamp for point in (*one.samples, *one.histograms)] for one in message.timeseries]


def with_everything() -> Samples:
    """Two points of a counter, a gauge, a histogram that ends, an exemplar and two starts."""
    intern = made.cache().intern
    counter, gauge = intern({"__name__": "c_total", "B": "1", "a": "1"}), intern({"__name__": "g", "a": "__name__"})
    native = intern({"__name__": "h", "le": "c_total"})
    samples = Samples()
    for series, value, stamp in [
        (counter, 1.0, 0), (counter, 2.0, 1), (gauge, 0.0, 0), (native, HISTOGRAM, 0), (native, STALE, 5),
    ]:  # fmt: skip
        samples.add(series, value, made.NOW_MS + stamp)
    samples.exemplars[counter] = (Exemplar((("trace_id", "a"), ("c_total", "__name__")), 0.5, made.NOW_MS),)
    samples.starts_ms = {counter: made.NOW_MS - 9, native: made.NOW_MS - 8}
    return samples


FAMILIES = [
    Metadata("c", "counter", "What it counts.", "a"),
    Metadata("g", "gauge", "", ""),
    Metadata("x", "info", "", ""),
]


def refs_of(message: types_2_pb2.Request) -> list[Sequence[int]]:
    return [refs for one in message.timeseries for refs in (one.labels_refs, *(e.labels_refs for e in one.exemplars))]


def labels_of(message: types_2_pb2.Request) -> list[list[str]]:
    return [list(made.resolved(one.labels_refs, message.symbols)) for one in message.timeseries]


def described(message: types_2_pb2.Request, at: int) -> tuple[str, str]:
    """Help and unit of a series."""
    metadata = message.timeseries[at].metadata
    return message.symbols[metadata.help_ref], message.symbols[metadata.unit_ref]


# What the message is asked for, and what it says.
SPECIFIED: dict[str, tuple[Callable[[types_2_pb2.Request], object], object]] = {
    "the symbols table MUST be deduplicated":
        (lambda message: len(message.symbols) - len(set(message.symbols)), 0),
    "the first symbol MUST be an empty string": (lambda message: message.symbols[0], ""),
    "references MUST point to existing symbols":
        (lambda message: [ref for refs in refs_of(message) for ref in refs if ref >= len(message.symbols)], []),
    "the length of labels_refs MUST be a multiple of two":
        (lambda message: [refs for refs in refs_of(message) if len(refs) % 2], []),
    "a TimeSeries MUST have samples or histograms, and MUST NOT have both":
        (lambda message: [one for one in message.timeseries if bool(one.samples) == bool(one.histograms)], []),
    "labels MUST be sorted by name":
        (lambda message: [names for names in labels_of(message) if names != sorted(names, key=str.encode)], []),
    "samples MUST be sorted by time, oldest first":
        (lambda message: [[sample.timestamp - made.NOW_MS for sample in one.samples] for one in message.timeseries],
         [[0, 1], [0], [], [5]]),
    "a stale marker MUST be the NaN of its bits, for a histogram too":
        (lambda message: made.bits_of(message.timeseries[3].samples[0].value), 0x7FF0000000000002),
    "start_timestamp SHOULD be given where it is known":
        (starts_of, [[0, made.NOW_MS - 9], [0], [0], [made.NOW_MS - 8]]),
    "exemplars SHOULD be sent if there are any":
        (lambda message: made.resolved(message.timeseries[0].exemplars[0].labels_refs, message.symbols),
         {"trace_id": "a", "c_total": "__name__"}),
    "metadata SHOULD go along with each series":
        (lambda message: ([one.metadata.type for one in message.timeseries], described(message, 0)),
         ([1, 2, 0, 0], ("What it counts.", "a"))),
    "a reference of 0 means that there is no help and no unit":
        (lambda message: described(message, 1), ("", "")),
}  # fmt: skip


@pytest.mark.parametrize("sentence", SPECIFIED)
def test_a_request_of_everything(sentence: str) -> None:
    ask, expected = SPECIFIED[sentence]
    assert ask(decoded(with_everything(), FAMILIES)) == expected


def test_a_label_value_that_is_called_like_the_name_is_not_taken_for_it() -> None:
    labels = {"A": "__name__", "__name__": "g"}
    (series,) = decoded(made.samples_of([(labels, 1.0, made.NOW_MS)]), FAMILIES).timeseries
    assert series.metadata.type == types_2_pb2.Metadata.METRIC_TYPE_GAUGE


def test_strings_travel_once_per_request() -> None:
    text = "a long label value that repeats"
    raw = encoded(made.samples_of([(LABELS | {"n": str(n), "text": text}, 1.0, made.NOW_MS) for n in range(9)]), 2)
    assert raw.count(text.encode()) == 1


def test_metadata_without_anything_to_say_is_left_out() -> None:
    (series,) = decoded(made.samples_of([(LABELS, 1.0, made.NOW_MS)])).timeseries
    assert not series.HasField("metadata")


@given(st.characters(codec="utf-8"), st.integers(0, 1100), st.sampled_from(["", "µ", "u" * 1100]))
def test_help_and_unit_are_cut_to_amps_kilobyte(char: str, count: int, unit: str) -> None:
    message = decoded(made.samples_of([(LABELS, 1.0, made.NOW_MS)]), [Metadata("m", "gauge", char * count, unit)])
    detail, symbols = message.timeseries[0].metadata, message.symbols
    size = len("m") + len("gauge") + len(symbols[detail.help_ref].encode()) + len(symbols[detail.unit_ref].encode())
    assert size < 1024
    assert (char * count).startswith(symbols[detail.help_ref])


# --- Which family a metric belongs to ---------------------------------------------------------------------------------

BELONGS = {
    "counter": {"a", "a_total", "a_created"},
    "gauge": {"a"},
    "histogram": {"a", "a_bucket", "a_sum", "a_count", "a_created"},
    "gaugehistogram": {"a", "a_bucket", "a_gsum", "a_gcount"},
    "summary": {"a", "a_sum", "a_count", "a_created"},
    "info": {"a", "a_info"},
    "stateset": {"a"},
    "unknown": {"a"},
}
ENDINGS = [
    "", "_total", "_created", "_bucket", "_sum", "_count", "_gsum", "_gcount", "_info", "_x", "total", "_", "_a_total",
]  # fmt: skip


@pytest.mark.parametrize("kind", BELONGS)
def test_the_metrics_of_a_family(kind: str) -> None:
    metrics = [f"a{ending}" for ending in ENDINGS]
    samples = made.samples_of([({"__name__": metric}, 1.0, made.NOW_MS) for metric in metrics])
    described = [one.HasField("metadata") for one in decoded(samples, [Metadata("a", kind, "help", "")]).timeseries]
    assert set(itertools.compress(metrics, described)) == BELONGS[kind]


def test_a_family_of_the_metrics_own_name_comes_first() -> None:
    families = [Metadata("a", "histogram", "of the histogram", ""), Metadata("a_count", "gauge", "of the gauge", "")]
    message = decoded(made.samples_of([({"__name__": "a_count"}, 1.0, made.NOW_MS)]), families)
    assert message.symbols[message.timeseries[0].metadata.help_ref] == "of the gauge"
