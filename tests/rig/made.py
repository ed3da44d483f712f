"""Generated samples, and what they look like when the protobuf stubs encode them: the independent side of the tests."""

from __future__ import annotations

import random
import struct
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import cramjam
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st

from lambda_remote_write.config.schema import QueueConfig, RemoteWriteConfig, SigV4
from lambda_remote_write.model.delivery import WriteRequest
from lambda_remote_write.model.samples import Exemplar, Histogram, Metadata, Samples, Value
from lambda_remote_write.remote_write.encode.columns import SampleBlock, SampleBlocks
from lambda_remote_write.remote_write.encode.generated import remote_pb2, types_pb2
from lambda_remote_write.remote_write.encode.generated.io.prometheus.write.v2 import types_pb2 as types_2_pb2
from lambda_remote_write.remote_write.request_size import Protocol
from lambda_remote_write.series import label_codec
from lambda_remote_write.series.cache import SeriesCache, SeriesLimits

Point = tuple[Mapping[str, str], Value, int]
NOW_MS = 1_716_480_000_000
NO_LIMITS = SeriesLimits()
NO_AGE_LIMIT = QueueConfig(sample_age_limit_ms=0)

SPECIAL_BITS = {
    "zero": 0x0000000000000000,
    "negative zero": 0x8000000000000000,
    "one": 0x3FF0000000000000,
    "infinity": 0x7FF0000000000000,
    "negative infinity": 0xFFF0000000000000,
    "python's nan": 0x7FF8000000000000,
    "prometheus's nan": 0x7FF8000000000001,
    "negative nan": 0xFFF8000000000000,
    "stale marker": 0x7FF0000000000002,
    "signalling nan": 0x7FF0000000000001,
    "smallest subnormal": 0x0000000000000001,
    "largest subnormal": 0x000FFFFFFFFFFFFF,
    "largest": 0x7FEFFFFFFFFFFFFF,
}
SPECIAL_STAMPS = {
    "zero": 0,
    "one": 1,
    "minus one": -1,
    "int64 min": -(2**63),
    "int64 max": 2**63 - 1,
    "before five bytes end": 2**35 - 1,
    "six bytes begin": 2**35,
    "six bytes end": 2**42 - 1,
    "seven bytes begin": 2**42,
    "today": NOW_MS,
}


def of_bits(bits: int) -> float:
    return float(struct.unpack("<d", bits.to_bytes(8, "little"))[0])


def bits_of(value: float) -> int:
    return int.from_bytes(struct.pack("<d", value), "little")


values = st.one_of(st.sampled_from(list(SPECIAL_BITS.values())), st.integers(0, 2**64 - 1)).map(of_bits)
stamps = st.one_of(
    st.integers(NOW_MS - 3_600_000, NOW_MS),
    st.sampled_from(list(SPECIAL_STAMPS.values())),
    st.integers(-(2**63), 2**63 - 1),
)
metric_names = st.from_regex(r"[a-zA-Z_:][a-zA-Z0-9_:]{0,20}", fullmatch=True)
label_names = st.from_regex(r"[a-zA-Z_][a-zA-Z0-9_]{0,20}", fullmatch=True).filter(lambda name: name != "__name__")
label_values = st.one_of(
    st.text(min_size=1, max_size=20), st.builds(str.__mul__, st.characters(codec="utf-8"), st.integers(1, 400))
)
label_sets = st.builds(
    lambda name, labels: {**labels, "__name__": name},
    metric_names,
    st.dictionaries(label_names, label_values.filter(bool), max_size=6),
)


def cache(external_labels: Sequence[tuple[str, str]] = (), limits: SeriesLimits = NO_LIMITS) -> SeriesCache:
    return SeriesCache(external_labels, limits)


int64s = st.integers(-(2**63), 2**63 - 1)
spans = st.lists(st.tuples(st.integers(-(2**31), 2**31 - 1), st.integers(0, 2**32 - 1)), max_size=2).map(tuple)
_shape = {
    "sum": values,
    "schema": st.integers(-53, 8),
    "zero_threshold": values,
    "negative_spans": spans,
    "positive_spans": spans,
    "reset_hint": st.integers(0, 3),
}
integer_histograms = st.builds(
    Histogram,
    count=st.integers(0, 2**64 - 1),
    zero_count=st.integers(0, 2**64 - 1),
    negative_buckets=st.lists(int64s, max_size=2).map(tuple),
    positive_buckets=st.lists(int64s, max_size=2).map(tuple),
    **_shape,
)
float_histograms = st.builds(
    Histogram,
    count=values,
    zero_count=values,
    negative_buckets=st.lists(values, max_size=2).map(tuple),
    positive_buckets=st.lists(values, max_size=2).map(tuple),
    is_float=st.just(True),
    custom_values=st.lists(values, max_size=2).map(tuple),
    **_shape,
)
histograms = st.one_of(integer_histograms, float_histograms)
exemplars = st.builds(
    Exemplar,
    labels=st.sampled_from([(), (("trace_id", "x"),), (("trace_id", "日本" * 80), ("m", "a")), (("a", "__name__"),)]),
    value=values,
    timestamp_ms=stamps,
)
LABEL_SETS = [
    {"__name__": "m"},
    {"__name__": "m", "A": "__name__", "a": "m"},
    {"__name__": "a:b", "long": "x" * 300},
    {"__name__": "other_total", "text": "žluťoučký kůň 😀"},
]
FAMILY_TYPES = ["counter", "gauge", "histogram", "gaugehistogram", "summary", "info", "stateset", "unknown"]


# A page takes a while to draw, longer still on a busy machine.
with_pages = settings(suppress_health_check=[HealthCheck.too_slow])


@st.composite
def pages(draw: st.DrawFn) -> Samples:
    """Anything a scrape can give: several points of few series, floats and histograms, exemplars and starts."""
    series = list(map(cache().intern, LABEL_SETS))
    samples = Samples()
    some = st.one_of(st.tuples(exemplars), st.tuples(exemplars, exemplars))
    points = st.tuples(st.sampled_from(series), st.one_of(values, histograms), stamps)
    for one, value, stamp in draw(st.lists(points, min_size=1, max_size=8)):
        samples.add(one, value, stamp)
    samples.exemplars = draw(st.dictionaries(st.sampled_from(series), some, max_size=2))
    samples.starts_ms = draw(st.dictionaries(st.sampled_from(series), stamps, max_size=2))
    return samples


def endpoint(queue: QueueConfig = NO_AGE_LIMIT, *, is_amp: bool = False, **keys: Any) -> RemoteWriteConfig:
    return RemoteWriteConfig(
        "test", "http://127.0.0.1/", sigv4=SigV4("eu-west-1") if is_amp else None, queue=queue, **keys
    )


def protocol(
    queue: QueueConfig = NO_AGE_LIMIT,
    families: Iterable[Metadata] = (),
    version: int = 1,
    **keys: Any,
) -> Protocol:
    """Everything that can be sent is, unless `keys` says otherwise."""
    everything: dict[str, Any] = {"send_exemplars": True, "send_native_histograms": True, "version": version}
    return Protocol(endpoint(queue, **everything | keys), version, {one.name: one for one in families})


def block(samples: Samples) -> SampleBlock:
    return SampleBlocks(samples, exemplars=True, starts=True).cut(0, len(samples))


def samples_of(points: Iterable[Point], series: SeriesCache | None = None) -> Samples:
    series = cache() if series is None else series
    samples = Samples()
    for labels, value, stamp in points:
        samples.add(series.intern(labels), value, stamp)
    return samples


def numbered(count: int, start_ms: int = NOW_MS, padding: str = "") -> list[Point]:
    """One sample each of so many series."""
    return [({"__name__": "m", "n": str(n), "p": padding or "x"}, float(n + 1), start_ms) for n in range(count)]


def stub_message(points: Iterable[Point]) -> remote_pb2.WriteRequest:
    """The message as the stubs build it; neighbours of one series share a TimeSeries."""
    message = remote_pb2.WriteRequest()
    before = None
    for labels, value, stamp in points:
        if before is None or dict(before) != dict(labels):
            pairs = sorted((name.encode(), text.encode()) for name, text in labels.items())
            message.timeseries.add(
                labels=[types_pb2.Label(name=name.decode(), value=text.decode()) for name, text in pairs]
            )
        before = labels
        message.timeseries[-1].samples.add(value=value, timestamp=stamp)
    return message


def stub_bytes(points: Iterable[Point], version: int) -> int:
    """How many bytes the stubs need for these points."""
    if version == 1:
        return int(stub_message(points).ByteSize())
    message, places = types_2_pb2.Request(), {"": 0}
    for labels, value, stamp in points:
        strings = [text for pair in labels.items() for text in pair]
        refs = [places.setdefault(text, len(places)) for text in strings]
        message.timeseries.add(labels_refs=refs).samples.add(value=value, timestamp=stamp)
    message.symbols.extend(places)
    return int(message.ByteSize())


def unpacked(request: WriteRequest) -> remote_pb2.WriteRequest:
    """A body decoded by another snappy than the one that made it."""
    return remote_pb2.WriteRequest.FromString(bytes(cramjam.snappy.decompress_raw(request.body)))


def unpacked_2(request: WriteRequest) -> types_2_pb2.Request:
    return types_2_pb2.Request.FromString(bytes(cramjam.snappy.decompress_raw(request.body)))


def entries_in(request: WriteRequest) -> list[tuple[dict[str, str], Any]]:
    """(labels, TimeSeries message) of either version."""
    if request.version == 1:
        return [({one.name: one.value for one in entry.labels}, entry) for entry in unpacked(request).timeseries]
    message = unpacked_2(request)
    return [(resolved(entry.labels_refs, message.symbols), entry) for entry in message.timeseries]


def resolved(refs: Sequence[int], symbols: Sequence[str]) -> dict[str, str]:
    return {symbols[name]: symbols[value] for name, value in zip(refs[::2], refs[1::2], strict=True)}


Seen = tuple[dict[str, str], Any, int]


def points_in(requests: Iterable[WriteRequest]) -> list[Seen]:
    """Every sample in send order: labels, the bits of its value or those of a histogram, milliseconds."""
    return [
        (labels, *point)
        for request in requests
        for labels, entry in entries_in(request)
        for point in [
            *((bits_of(sample.value), sample.timestamp) for sample in entry.samples),
            *((bits_in_message(histogram), histogram.timestamp) for histogram in entry.histograms),
        ]
    ]


def as_bits(points: Iterable[Point]) -> list[Seen]:
    return [(dict(labels), value_bits(value), stamp) for labels, value, stamp in points]


def value_bits(value: Value) -> Any:
    """What must come out of a value: its bits, or a histogram's fields with theirs."""
    if not isinstance(value, Histogram):
        return bits_of(value)
    number = bits_of if value.is_float else int
    return {
        "count": number(value.count),
        "sum": bits_of(value.sum),
        "schema": value.schema,
        "zero_threshold": bits_of(value.zero_threshold),
        "zero_count": number(value.zero_count),
        "negative_spans": list(value.negative_spans),
        "negative_buckets": [number(one) for one in value.negative_buckets],
        "positive_spans": list(value.positive_spans),
        "positive_buckets": [number(one) for one in value.positive_buckets],
        "is_float": value.is_float,
        "reset_hint": value.reset_hint,
        "custom_values": [bits_of(one) for one in value.custom_values],
    }


def bits_in_message(message: Any) -> dict[str, Any]:
    """The same, out of a Histogram message of either version."""
    is_float = message.WhichOneof("count") == "count_float"
    assert message.WhichOneof("zero_count") == ("zero_count_float" if is_float else "zero_count_int")
    negative = message.negative_counts if is_float else message.negative_deltas
    positive = message.positive_counts if is_float else message.positive_deltas
    assert not (message.negative_deltas or message.positive_deltas if is_float else message.negative_counts)
    number = bits_of if is_float else int
    return {
        "count": number(message.count_float if is_float else message.count_int),
        "sum": bits_of(message.sum),
        "schema": message.schema,
        "zero_threshold": bits_of(message.zero_threshold),
        "zero_count": number(message.zero_count_float if is_float else message.zero_count_int),
        "negative_spans": [(span.offset, span.length) for span in message.negative_spans],
        "negative_buckets": [number(one) for one in negative],
        "positive_spans": [(span.offset, span.length) for span in message.positive_spans],
        "positive_buckets": [number(one) for one in positive],
        "is_float": is_float,
        "reset_hint": message.reset_hint,
        "custom_values": [bits_of(one) for one in message.custom_values],
    }


def bits_of_samples(samples: Samples) -> list[Seen]:
    """What must come out of samples."""
    labels = [label_codec.labels_of(series.prefix) for series in samples.series]
    return as_bits(zip(labels, samples.values, samples.timestamps_ms, strict=True))


def exemplars_in(requests: Iterable[WriteRequest]) -> list[tuple[dict[str, str], dict[str, str], int, int]]:
    """Every exemplar in send order: its series' labels, its own, the bits of its value, milliseconds."""
    found = []
    for request in requests:
        symbols = unpacked_2(request).symbols if request.version == 2 else ()
        for labels, entry in entries_in(request):
            for exemplar in entry.exemplars:
                own = (
                    resolved(exemplar.labels_refs, symbols)
                    if request.version == 2
                    else {label.name: label.value for label in exemplar.labels}
                )
                found.append((labels, own, bits_of(exemplar.value), exemplar.timestamp))
    return found


def exemplar_bits(samples: Samples) -> list[tuple[dict[str, str], dict[str, str], int, int]]:
    """What must come out of samples: each series' exemplars once, where its newest sample is."""
    newest = {series: place for place, series in enumerate(samples.series)}
    return [
        (label_codec.labels_of(series.prefix), dict(exemplar.labels), bits_of(exemplar.value), exemplar.timestamp_ms)
        for series, _ in sorted(newest.items(), key=lambda item: item[1])
        for exemplar in samples.exemplars.get(series, ())
    ]


def starts_in(requests: Iterable[WriteRequest]) -> list[tuple[dict[str, str], int, int]]:
    """Every start that is set: labels, the time of its sample, the start; requests of version 2."""
    return [
        (labels, point.timestamp, point.start_timestamp)
        for request in requests
        for labels, entry in entries_in(request)
        for point in (*entry.samples, *entry.histograms)
        if point.start_timestamp
    ]


def start_bits(samples: Samples) -> list[tuple[dict[str, str], int, int]]:
    """What must come out of samples: each series' start once, at its newest sample."""
    newest = {series: place for place, series in enumerate(samples.series)}
    return [
        (label_codec.labels_of(series.prefix), samples.timestamps_ms[place], samples.starts_ms[series])
        for series, place in sorted(newest.items(), key=lambda item: item[1])
        if samples.starts_ms.get(series)
    ]


def noise(size: int) -> str:
    """Text that compresses badly."""
    return "".join(random.Random(1).choices("".join(map(chr, range(33, 127))), k=size))
