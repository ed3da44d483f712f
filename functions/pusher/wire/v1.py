"""Remote write 1.0 bytes (proto/remote.proto, proto/types.proto), without building message objects.

A WriteRequest is a concatenation of length-delimited TimeSeries, so a series is encoded once and each sample appends
its value and timestamp. Field numbers are in the .proto files; proto3 leaves out a zero value and a zero timestamp.
"""

from __future__ import annotations

import functools
import itertools
import math
import operator
import struct
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from ..model import Metadata, Samples, Series

if TYPE_CHECKING:
    from .generated import types_pb2

_DOUBLE = struct.Struct("<d")
_POSITIVE_ZERO = _DOUBLE.pack(0.0)
_VALUE_AND_TAIL = struct.Struct("<d7s").pack
_PREFIX = operator.attrgetter("prefix")
# A sample of today's dates is 18 bytes: tag and length (2), value (1 + 8), timestamp (1 + a varint of 6).
_USUAL_SAMPLE = 18
_SIX_BYTE_MS = range(2**35, 2**42)  # February 1971 to May 2109, in milliseconds
METADATA_MAX_BYTES = 1023  # AMP: name, type, unit and help of an entry stay below 1 KB


_METADATA_TYPES = ("unknown", "counter", "gauge", "histogram", "gaugehistogram", "summary", "info", "stateset")
_ONE_BYTE = [bytes((number,)) for number in range(0x80)]


def varint(number: int) -> bytes:
    """A protobuf varint; a negative int64 takes ten bytes."""
    if 0 <= number < 0x80:
        return _ONE_BYTE[number]
    number &= 0xFFFF_FFFF_FFFF_FFFF
    out = bytearray()
    while number > 0x7F:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    out.append(number)
    return bytes(out)


def series_prefix(pairs: Sequence[tuple[bytes, bytes]]) -> bytes:
    """Sorted label pairs -> the head of a TimeSeries that holds one usual sample, up to its value."""
    labels = bytearray()
    for name, value in pairs:
        fields = b"\x0a" + varint(len(name)) + name + b"\x12" + varint(len(value)) + value
        labels += b"\x0a" + varint(len(fields)) + fields
    return b"\x0a" + varint(len(labels) + _USUAL_SAMPLE) + labels + b"\x12\x10\x09"


def _label_bytes(prefix: bytes) -> bytes:
    return _message_of(prefix)[:-3]


def labels_of(prefix: bytes) -> dict[str, str]:
    """The labels back from a prefix, in their order."""
    from .generated import types_pb2

    series = types_pb2.TimeSeries.FromString(_label_bytes(prefix))
    return {label.name: label.value for label in series.labels}


def encode_samples(samples: Samples) -> list[bytes]:
    """Samples in order -> pieces that joined are one encoded TimeSeries field per sample, or one for neighbours of the
    same series."""
    series, values, stamps = samples.series, samples.values, samples.timestamps_ms
    if not series:
        return []
    if min(stamps) not in _SIX_BYTE_MS or max(stamps) not in _SIX_BYTE_MS or _has_neighbours(series):
        return list(_encode_unusual(samples))
    tails = {stamp: _tail(stamp) for stamp in set(stamps)}
    pieces = [b""] * (2 * len(series))
    pieces[::2] = map(_PREFIX, series)
    pieces[1::2] = map(_VALUE_AND_TAIL, values, map(tails.__getitem__, stamps))
    if 0.0 in values:
        _leave_out_zeros(pieces, series, values, stamps)
    return pieces


@functools.lru_cache(maxsize=4096)
def _tail(timestamp_ms: int) -> bytes:
    return b"\x10" + varint(timestamp_ms)


def _leave_out_zeros(pieces: list[bytes], series: list[Series], values: list[float], stamps: list[int]) -> None:
    """A value of zero is not written (a negative zero is)."""
    for index, value in enumerate(values):
        if value == 0.0 and math.copysign(1.0, value) > 0:
            labels, tail = _label_bytes(series[index].prefix), _tail(stamps[index])
            pieces[2 * index] = b"\x0a" + varint(len(labels) + 2 + len(tail)) + labels + b"\x12" + varint(len(tail))
            pieces[2 * index + 1] = tail


def _has_neighbours(series: Sequence[object]) -> bool:
    return any(map(operator.is_, series, itertools.islice(series, 1, None)))


def _encode_unusual(samples: Samples) -> Iterator[bytes]:
    at, count = 0, len(samples)
    while at < count:
        series, fields = samples.series[at], bytearray()
        while at < count and samples.series[at] is series:
            sample = _encode_sample(samples.values[at], samples.timestamps_ms[at])
            fields += b"\x12" + varint(len(sample)) + sample
            at += 1
        labels = _label_bytes(series.prefix)
        yield b"\x0a" + varint(len(labels) + len(fields)) + labels + fields


def _encode_sample(value: float, timestamp_ms: int) -> bytes:
    packed = _DOUBLE.pack(value)
    encoded = b"" if packed == _POSITIVE_ZERO else b"\x09" + packed
    return encoded + (b"\x10" + varint(timestamp_ms) if timestamp_ms else b"")


def encode_metadata(metadata: Metadata) -> bytes:
    """One MetricMetadata field of a WriteRequest, its help cut so that AMP takes it."""
    help_bytes = metadata.help.encode("utf-8", "replace")
    room = METADATA_MAX_BYTES - len(metadata.name) - len(metadata.type) - len(metadata.unit.encode("utf-8", "replace"))
    kind = _METADATA_TYPES.index(metadata.type)
    message = b"\x08" + varint(kind) if kind else b""
    message += _text_field(b"\x12", metadata.name.encode())
    message += _text_field(b"\x22", help_bytes[: max(room, 0)].decode("utf-8", "ignore").encode())
    message += _text_field(b"\x2a", metadata.unit.encode("utf-8", "replace") if room >= 0 else b"")
    return b"\x1a" + varint(len(message)) + message


def _text_field(tag: bytes, text: bytes) -> bytes:
    return tag + varint(len(text)) + text if text else b""


def fields_of(body: bytes) -> Iterator[bytes]:
    """The top-level fields of an uncompressed WriteRequest, each with its tag and length."""
    at = 0
    while at < len(body):
        length, shift, cursor = 0, 0, at + 1
        while True:
            byte = body[cursor]
            length |= (byte & 0x7F) << shift
            cursor, shift = cursor + 1, shift + 7
            if byte < 0x80:
                break
        yield body[at : cursor + length]
        at = cursor + length


def timestamps_of(field: bytes) -> list[int]:
    """The sample timestamps of one TimeSeries field, in milliseconds."""
    return [sample.timestamp for sample in _series_of(field).samples]


def prefix_and_timestamps(field: bytes) -> tuple[bytes, list[int]]:
    """A TimeSeries field -> the prefix of its series (as `series_prefix` makes it) and its timestamps, in ms."""
    parts = fields_of(_message_of(field))
    labels = b"".join([part for part in parts if part.startswith(b"\x0a")])
    prefix = b"\x0a" + varint(len(labels) + _USUAL_SAMPLE) + labels + b"\x12\x10\x09"
    return prefix, timestamps_of(field)


def without_old_samples(field: bytes, oldest_allowed_ms: int) -> bytes:
    """A TimeSeries field with its young samples only; empty when there is none."""
    from .generated import types_pb2

    series = _series_of(field)
    young = [sample for sample in series.samples if sample.timestamp >= oldest_allowed_ms]
    if len(young) == len(series.samples):
        return field
    if not young:
        return b""
    message = types_pb2.TimeSeries(labels=series.labels, samples=young).SerializeToString()
    return b"\x0a" + varint(len(message)) + message


def _series_of(field: bytes) -> types_pb2.TimeSeries:
    from .generated import types_pb2  # only odd cases decode, so a cold start does not pay for protobuf

    return types_pb2.TimeSeries.FromString(_message_of(field))


def _message_of(field: bytes) -> bytes:
    """A length-delimited field without its tag (one byte) and length."""
    start = 1
    while field[start] & 0x80:
        start += 1
    return field[start + 1 :]
