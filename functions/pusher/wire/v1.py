"""Remote write 1.0 bytes (proto/remote.proto, proto/types.proto), without building message objects.

A WriteRequest is a concatenation of length-delimited TimeSeries, so a series is encoded once and each sample appends
its value and timestamp. Field numbers are in the .proto files; proto3 leaves out a zero value and a zero timestamp.
"""

from __future__ import annotations

import functools
import math
import operator
import struct
from collections.abc import Iterable, Iterator, Sequence

from ..model import STALE, Exemplar, Labels, Metadata
from . import protobuf
from .block import Block
from .metadata import cut_to_size, type_number
from .protobuf import varint

_VALUE_AND_TAIL = struct.Struct("<d7s").pack
_MAX_AT_ONCE = 2_000  # values that one Struct packs: it takes a hundred bytes for each
_PREFIX = operator.attrgetter("prefix")
# A sample of today's dates is 18 bytes: tag and length (2), value (1 + 8), timestamp (1 + a varint of 6).
_USUAL_SAMPLE = 18
_USUAL_ZERO = 9
_HISTOGRAM = b"\x22"
_STALE_BYTES = struct.pack("<d", STALE)
_MAX_FIELDS = 16_384  # labels whose fields are kept
# What precedes the labels of a zero, by the length of the prefix, where tag and length take the usual three bytes.
_MIN_USUAL, _MAX_USUAL = 128 - _USUAL_SAMPLE + 6, 1024
_ZERO_HEADS = [b"\x0a" + varint(max(length - 6 + _USUAL_ZERO, 0)) for length in range(_MAX_USUAL)]
_ZERO_TAG = b"\x12\x07"
_USUAL_POINT = b"\x12\x10\x09"


def series_prefix(pairs: Sequence[tuple[bytes, bytes]]) -> bytes:
    """Sorted label pairs -> the head of a TimeSeries that holds one usual sample, up to its value."""
    return prefix_of(b"".join([_label(name, value) for name, value in pairs]))


def encoded_labels(labels: Labels) -> bytes:
    """Valid labels -> their fields, in order: code points sort as their UTF-8 does. Raises UnicodeEncodeError."""
    return b"".join(map(label_field, sorted(labels.items())))


def prefix_of(labels: bytes) -> bytes:
    """Encoded labels -> the head of a TimeSeries that holds one usual sample, up to its value."""
    return b"\x0a" + varint(len(labels) + _USUAL_SAMPLE) + labels + b"\x12\x10\x09"


class _Fields(dict[tuple[str, str], bytes]):
    """Label -> its field. Most labels of a page stand on many of its lines."""

    def __missing__(self, label: tuple[str, str]) -> bytes:
        if len(self) >= _MAX_FIELDS:
            self.clear()
        name, value = label
        field = self[label] = _label(name.encode(), value.encode())
        return field


label_field = _Fields().__getitem__
"""A valid label, name and value -> its field. Raises UnicodeEncodeError."""


def _label(name: bytes, value: bytes) -> bytes:
    fields = b"\x0a" + varint(len(name)) + name + b"\x12" + varint(len(value)) + value
    return b"\x0a" + varint(len(fields)) + fields


def _label_bytes(prefix: bytes) -> bytes:
    start = 1
    while prefix[start] & 0x80:
        start += 1
    return prefix[start + 1 : -3]


def strings_of(prefix: bytes) -> list[str]:
    """The labels back from a prefix, in their order: name, value, name, value."""
    encoded, at, found = _label_bytes(prefix), 0, []
    while at < len(encoded):
        _, at = _length_at(encoded, at + 1)
        for _ in ("name", "value"):
            length, start = _length_at(encoded, at + 1)
            at = start + length
            found.append(encoded[start:at].decode())
    return found


def _length_at(encoded: bytes, at: int) -> tuple[int, int]:
    """The varint at a place, and where it ends."""
    number, shift = encoded[at] & 0x7F, 7
    while encoded[at] & 0x80:
        at += 1
        number |= (encoded[at] & 0x7F) << shift
        shift += 7
    return number, at + 1


def labels_of(prefix: bytes) -> dict[str, str]:
    """The labels back from a prefix, in their order."""
    strings = strings_of(prefix)
    return dict(zip(strings[::2], strings[1::2], strict=True))


def is_stale(value: float) -> bool:
    """Whether a NaN is the stale marker: only its bits tell."""
    return struct.pack("<d", value) == _STALE_BYTES


def encode(block: Block) -> bytes:
    """A WriteRequest with one TimeSeries for each sample, or one for neighbours of the same series."""
    values = block.usual_values()
    if values is None:
        return b"".join(_encode_runs(block))
    return b"".join(_encode_usual_runs(block, values) if block.has_neighbours() else _encode_plain(block, values))


def _encode_usual_runs(block: Block, values: Sequence[float]) -> Iterator[bytes]:
    """Neighbours of one series in one TimeSeries: what a backfill is made of."""
    tails = block.tails()
    points = [_USUAL_POINT + point for point in values_and_tails(values, tails)]
    for index in zeros_among(values):
        points[index] = _ZERO_TAG + tails[index]
    start = 0
    for stop in block.changes():
        labels, fields = _label_bytes(block.series[start].prefix), b"".join(points[start:stop])
        yield b"\x0a" + varint(len(labels) + len(fields)) + labels + fields
        start = stop


def _encode_plain(block: Block, values: Sequence[float]) -> list[bytes]:
    pieces, tails = [b""] * (2 * len(values)), block.tails()
    pieces[::2] = block.prefixes or map(_PREFIX, block.series)
    pieces[1::2] = values_and_tails(values, tails)
    for index in zeros_among(values):
        at, prefix = 2 * index, pieces[2 * index]
        is_usual = _MIN_USUAL <= len(prefix) < _MAX_USUAL
        pieces[at] = _ZERO_HEADS[len(prefix)] + prefix[3:-3] if is_usual else _zero_head(prefix)
        pieces[at + 1] = _ZERO_TAG + tails[index]
    return pieces


def values_and_tails(values: Sequence[float], tails: Sequence[bytes]) -> Iterable[bytes]:
    """Each value in its eight bytes, with the seven that follow it."""
    if len(values) > _MAX_AT_ONCE:
        return map(_VALUE_AND_TAIL, values, tails)
    both: list[float | bytes] = [0.0] * (2 * len(values))
    both[::2], both[1::2] = values, tails
    packed, cut = _structs(len(values))
    return cut.unpack(packed.pack(*both))


@functools.lru_cache(maxsize=8)  # nearly all requests of a push hold the same number of samples
def _structs(count: int) -> tuple[struct.Struct, struct.Struct]:
    return struct.Struct("<" + count * "d7s"), struct.Struct(count * "15s")


def zeros_among(values: Sequence[float]) -> list[int]:
    """The places of the zeros, which are not written; a negative zero is."""
    if 0.0 not in values:
        return []
    copysign = math.copysign
    return [index for index, value in enumerate(values) if not value and copysign(1.0, value) > 0.0]


def _zero_head(prefix: bytes) -> bytes:
    """The head of a TimeSeries that holds one usual zero, up to its labels' end. It is not kept with the series: many
    stay at zero, and it is as large as the other head."""
    labels = _label_bytes(prefix)
    return b"\x0a" + varint(len(labels) + _USUAL_ZERO) + labels


def _encode_runs(block: Block) -> Iterator[bytes]:
    for start, stop in block.runs():
        labels, points = _label_bytes(block.series[start].prefix), block.points(start, stop, _HISTOGRAM)
        exemplars = b"".join(map(_encode_exemplar, block.exemplars_of(start, stop)))
        in_order = exemplars + points if points.startswith(_HISTOGRAM) else points + exemplars
        yield protobuf.message(b"\x0a", labels + in_order)


def _encode_exemplar(exemplar: Exemplar) -> bytes:
    labels = b"".join([_label(name.encode(), value.encode()) for name, value in exemplar.labels])
    value = protobuf.double(b"\x11", exemplar.value) + protobuf.integer(b"\x18", exemplar.timestamp_ms)
    return protobuf.message(b"\x1a", labels + value)


@functools.lru_cache(maxsize=8192)  # the same entries go out every minute
def encode_metadata(metadata: Metadata) -> bytes:
    """One MetricMetadata field of a WriteRequest, its help cut so that AMP takes it."""
    help_text, unit = cut_to_size(metadata)
    fields = protobuf.integer(b"\x08", type_number(metadata)) + protobuf.text(b"\x12", metadata.name)
    return protobuf.message(b"\x1a", fields + protobuf.text(b"\x22", help_text) + protobuf.text(b"\x2a", unit))
