"""Generated samples, and what they look like when the protobuf stubs encode them: the independent side of the tests."""

from __future__ import annotations

import struct
from collections.abc import Iterable, Mapping, Sequence

import cramjam
from hypothesis import strategies as st

from pusher.model import Samples, WriteRequest
from pusher.wire.generated import remote_pb2, types_pb2
from pusher.wire.series import SeriesCache, SeriesLimits

Point = tuple[Mapping[str, str], float, int]
NOW_MS = 1_716_480_000_000
NO_LIMITS = SeriesLimits()

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


def unpacked(request: WriteRequest) -> remote_pb2.WriteRequest:
    """A body decoded by another snappy than the one that made it."""
    return remote_pb2.WriteRequest.FromString(bytes(cramjam.snappy.decompress_raw(request.body)))


def points_in(requests: Iterable[WriteRequest]) -> list[tuple[dict[str, str], int, int]]:
    """Every sample in send order: labels, the bits of its value, milliseconds."""
    return [
        ({label.name: label.value for label in series.labels}, bits_of(sample.value), sample.timestamp)
        for request in requests
        for series in unpacked(request).timeseries
        for sample in series.samples
    ]


def as_bits(points: Iterable[Point]) -> list[tuple[dict[str, str], int, int]]:
    return [(dict(labels), bits_of(value), stamp) for labels, value, stamp in points]
