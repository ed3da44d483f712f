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

from ...model.samples import Exemplar, Metadata
from ...series import protobuf
from ...series.label_codec import SAMPLE_BYTES, _label, _label_bytes
from ...series.protobuf import varint
from .columns import Block
from .metadata import cut_to_size, type_number

_VALUE_AND_TAIL = struct.Struct("<d7s").pack
_MAX_AT_ONCE = 2_000  # values that one Struct packs: it takes a hundred bytes for each
_PREFIX = operator.attrgetter("prefix")
_USUAL_ZERO = 9
_HISTOGRAM = b"\x22"
# What precedes the labels of a zero, by the length of the prefix, where tag and length take the usual three bytes.
_MIN_USUAL, _MAX_USUAL = 128 - SAMPLE_BYTES + 6, 1024
_ZERO_HEADS = [b"\x0a" + varint(max(length - 6 + _USUAL_ZERO, 0)) for length in range(_MAX_USUAL)]
_ZERO_TAG = b"\x12\x07"
_USUAL_POINT = b"\x12\x10\x09"


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
