"""Remote write 1.0 bytes (proto/remote.proto, proto/types.proto), without message objects.

A WriteRequest is a concatenation of length-delimited TimeSeries, so that each series is encoded only once and each
sample appends its value and timestamp. Field numbers are in the .proto files; proto3 omits a zero value and a zero
timestamp.
"""

from __future__ import annotations

import functools
import math
import operator
import struct
from collections.abc import Iterable, Iterator, Sequence

from ...model.samples import Exemplar, Metadata
from ...series.label_codec import SAMPLE_BYTES, _label, _label_bytes, double, integer, message, text, varint
from .columns import SampleBlock
from .metadata import cut_to_size, type_number

_VALUE_AND_TAIL = struct.Struct("<d7s").pack
_MAX_AT_ONCE = 2_000  # values that one Struct packs: it takes a hundred bytes of memory for each
_PREFIX = operator.attrgetter("prefix")
_ZERO_BYTES = 9
_HISTOGRAM = b"\x22"
# What precedes the labels of a zero, by the length of the prefix, where tag and length take three bytes.
_MIN_FAST, _MAX_FAST = 128 - SAMPLE_BYTES + 6, 1024
_ZERO_HEADS = [b"\x0a" + varint(max(length - 6 + _ZERO_BYTES, 0)) for length in range(_MAX_FAST)]
_ZERO_TAG = b"\x12\x07"
_POINT_HEAD = b"\x12\x10\x09"


def encode(block: SampleBlock) -> bytes:
    """A WriteRequest with a TimeSeries for each sample, or one for adjacent samples of the same series."""
    values = block.fast_path_values()
    if values is None:
        return b"".join(_encode_runs_slow(block))
    return b"".join(_encode_runs_fast(block, values) if block.has_neighbours() else _encode_each_fast(block, values))


def _encode_runs_fast(block: SampleBlock, values: Sequence[float]) -> Iterator[bytes]:
    """One TimeSeries for adjacent samples of a series, as in a backfill."""
    tails = block.tails()
    points = [_POINT_HEAD + point for point in values_and_tails(values, tails)]
    for index in zeros_among(values):
        points[index] = _ZERO_TAG + tails[index]
    start = 0
    for stop in block.changes():
        labels, fields = _label_bytes(block.series[start].prefix), b"".join(points[start:stop])
        yield b"\x0a" + varint(len(labels) + len(fields)) + labels + fields
        start = stop


def _encode_each_fast(block: SampleBlock, values: Sequence[float]) -> list[bytes]:
    pieces, tails = [b""] * (2 * len(values)), block.tails()
    pieces[::2] = block.prefixes or map(_PREFIX, block.series)
    pieces[1::2] = values_and_tails(values, tails)
    for index in zeros_among(values):
        at, prefix = 2 * index, pieces[2 * index]
        is_fast = _MIN_FAST <= len(prefix) < _MAX_FAST
        pieces[at] = _ZERO_HEADS[len(prefix)] + prefix[3:-3] if is_fast else _zero_head(prefix)
        pieces[at + 1] = _ZERO_TAG + tails[index]
    return pieces


def values_and_tails(values: Sequence[float], tails: Sequence[bytes]) -> Iterable[bytes]:
    """Each value as eight bytes, followed by its seven-byte tail."""
    if len(values) > _MAX_AT_ONCE:
        return map(_VALUE_AND_TAIL, values, tails)
    both: list[float | bytes] = [0.0] * (2 * len(values))
    both[::2], both[1::2] = values, tails
    packed, cut = _structs(len(values))
    return cut.unpack(packed.pack(*both))


@functools.lru_cache(maxsize=8)  # nearly all requests of a push have the same number of samples
def _structs(count: int) -> tuple[struct.Struct, struct.Struct]:
    return struct.Struct("<" + count * "d7s"), struct.Struct(count * "15s")


def zeros_among(values: Sequence[float]) -> list[int]:
    """The indexes of zeros, which are omitted on the wire. A negative zero is not."""
    if 0.0 not in values:
        return []
    copysign = math.copysign
    return [index for index, value in enumerate(values) if not value and copysign(1.0, value) > 0.0]


def _zero_head(prefix: bytes) -> bytes:
    """The head of a TimeSeries with one zero, up to the end of its labels. It is not cached with the series: many
    series stay at zero, and it is as large as the other head."""
    labels = _label_bytes(prefix)
    return b"\x0a" + varint(len(labels) + _ZERO_BYTES) + labels


def _encode_runs_slow(block: SampleBlock) -> Iterator[bytes]:
    for start, stop in block.runs():
        labels, points = _label_bytes(block.series[start].prefix), block.points(start, stop, _HISTOGRAM)
        exemplars = b"".join(map(_encode_exemplar, block.exemplars_of(start, stop)))
        in_order = exemplars + points if points.startswith(_HISTOGRAM) else points + exemplars
        yield message(b"\x0a", labels + in_order)


def _encode_exemplar(exemplar: Exemplar) -> bytes:
    labels = b"".join([_label(name.encode(), value.encode()) for name, value in exemplar.labels])
    value = double(b"\x11", exemplar.value) + integer(b"\x18", exemplar.timestamp_ms)
    return message(b"\x1a", labels + value)


@functools.lru_cache(maxsize=8192)  # the same entries are sent again and again
def encode_metadata(metadata: Metadata) -> bytes:
    """One MetricMetadata field of a WriteRequest, its help cut so that AMP takes it."""
    help_text, unit = cut_to_size(metadata)
    fields = integer(b"\x08", type_number(metadata)) + text(b"\x12", metadata.name)
    return message(b"\x1a", fields + text(b"\x22", help_text) + text(b"\x2a", unit))
