"""Remote write 2.0 bytes (proto/io/prometheus/write/v2/types.proto), without message objects.

A request has each string once, in a symbol table whose first entry is empty; series, exemplars and metadata refer to
it. Each series carries the metadata of its family.
"""

from __future__ import annotations

import itertools
import struct
from collections.abc import Iterable, Iterator, Mapping, Sequence

from ...model.samples import Exemplar, Metadata
from ...series.cache import strings_of
from ...series.label_codec import double, integer, message, varint
from .columns import SampleBlock
from .metadata import cut_to_size, family_of, type_number
from .v1 import zeros_among

_POINT = struct.Struct("<3sd7s").pack
_POINT_HEAD = b"\x12\x10\x09"  # of a sample of 16 bytes, up to its value
_ZERO_HEAD = b"\x12\x07"  # of a sample that is only a timestamp
_HISTOGRAM = b"\x1a"


def encode(block: SampleBlock, families: Mapping[str, Metadata]) -> bytes:
    """A Request with a TimeSeries for each sample, or one for adjacent samples of the same series and kind."""
    symbols = _Symbols()
    described = _Described(families, symbols)
    values = None if block.has_neighbours() else block.fast_path_values()
    parts = _runs_slow(block, symbols) if values is None else _each_fast(block, values)
    series = [
        message(b"\x2a", _refs(strings, symbols) + fields + described[_metric_of(strings)]) for strings, fields in parts
    ]
    return b"".join([message(b"\x22", symbol.encode("utf-8", "replace")) for symbol in symbols] + series)


class _Symbols(dict[str, bytes]):
    """String -> its encoded reference in the symbol table."""

    def __init__(self) -> None:
        super().__init__({"": varint(0)})

    def __missing__(self, text: str) -> bytes:
        reference = self[text] = varint(len(self))
        return reference


class _Described(dict[str, bytes]):
    """Metric -> the metadata field of its series; empty when its family is unknown."""

    def __init__(self, families: Mapping[str, Metadata], symbols: _Symbols) -> None:
        super().__init__()
        self._families, self._symbols = families, symbols

    def __missing__(self, metric: str) -> bytes:
        family = family_of(metric, self._families)
        field = self[metric] = self._encoded(family) if family else b""
        return field

    def _encoded(self, family: Metadata) -> bytes:
        help_text, unit = cut_to_size(family)
        encoded = integer(b"\x08", type_number(family))
        encoded += b"\x18" + self._symbols[help_text] if help_text else b""
        encoded += b"\x20" + self._symbols[unit] if unit else b""
        return message(b"\x2a", encoded)


def _refs(strings: Iterable[str], symbols: _Symbols) -> bytes:
    encoded = b"".join(map(symbols.__getitem__, strings))
    return b"\x0a" + varint(len(encoded)) + encoded


def _metric_of(strings: Sequence[str]) -> str:
    at = strings.index("__name__")
    while at % 2:  # this is the value of another label
        at = strings.index("__name__", at + 1)
    return strings[at + 1]


def _each_fast(block: SampleBlock, values: Sequence[float]) -> Iterator[tuple[tuple[str, ...], bytes]]:
    tails = block.tails()
    fields = list(map(_POINT, itertools.repeat(_POINT_HEAD), values, tails))
    for index in zeros_among(values):
        fields[index] = _ZERO_HEAD + tails[index]
    return zip(map(strings_of, block.series), fields, strict=True)


def _runs_slow(block: SampleBlock, symbols: _Symbols) -> Iterator[tuple[tuple[str, ...], bytes]]:
    for start, stop in block.runs():
        exemplars = [_encode_exemplar(exemplar, symbols) for exemplar in block.exemplars_of(start, stop)]
        yield strings_of(block.series[start]), block.points(start, stop, _HISTOGRAM) + b"".join(exemplars)


def _encode_exemplar(exemplar: Exemplar, symbols: _Symbols) -> bytes:
    refs = _refs(itertools.chain.from_iterable(exemplar.labels), symbols) if exemplar.labels else b""
    value = double(b"\x11", exemplar.value) + integer(b"\x18", exemplar.timestamp_ms)
    return message(b"\x22", refs + value)
