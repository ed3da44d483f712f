"""Remote write 2.0 bytes (proto/io/prometheus/write/v2/types.proto), without building message objects.

Every string travels once per request, in a table of symbols whose first is empty; series, exemplars and metadata refer
to it. Metadata goes along with each series.
"""

from __future__ import annotations

import itertools
import struct
from collections.abc import Iterable, Iterator, Mapping, Sequence

from ...model.samples import Exemplar, Metadata
from ...series.cache import strings_of
from ...series.label_codec import double, integer, message, varint
from .columns import Block
from .metadata import cut_to_size, family_of, type_number
from .v1 import zeros_among

_USUAL_FIELD = struct.Struct("<3sd7s").pack
_USUAL_HEAD = b"\x12\x10\x09"  # of a sample of 16 bytes, up to its value
_USUAL_ZERO_HEAD = b"\x12\x07"  # of a sample that is only a timestamp
_HISTOGRAM = b"\x1a"


def encode(block: Block, families: Mapping[str, Metadata]) -> bytes:
    """A Request with one TimeSeries for each sample, or one for neighbours of the same series and kind."""
    symbols = _Symbols()
    described = _Described(families, symbols)
    values = None if block.has_neighbours() else block.usual_values()
    parts = _runs(block, symbols) if values is None else _plain(block, values)
    series = [
        message(b"\x2a", _refs(strings, symbols) + fields + described[_metric_of(strings)]) for strings, fields in parts
    ]
    return b"".join([message(b"\x22", symbol.encode("utf-8", "replace")) for symbol in symbols] + series)


class _Symbols(dict[str, bytes]):
    """Each string of a request once -> its reference, encoded."""

    def __init__(self) -> None:
        super().__init__({"": varint(0)})

    def __missing__(self, text: str) -> bytes:
        reference = self[text] = varint(len(self))
        return reference


class _Described(dict[str, bytes]):
    """Metric -> the metadata field of its series; nothing when its family is not known."""

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
    while at % 2:  # some other label has this value
        at = strings.index("__name__", at + 1)
    return strings[at + 1]


def _plain(block: Block, values: Sequence[float]) -> Iterator[tuple[tuple[str, ...], bytes]]:
    tails = block.tails()
    fields = list(map(_USUAL_FIELD, itertools.repeat(_USUAL_HEAD), values, tails))
    for index in zeros_among(values):
        fields[index] = _USUAL_ZERO_HEAD + tails[index]
    return zip(map(strings_of, block.series), fields, strict=True)


def _runs(block: Block, symbols: _Symbols) -> Iterator[tuple[tuple[str, ...], bytes]]:
    for start, stop in block.runs():
        exemplars = [_encode_exemplar(exemplar, symbols) for exemplar in block.exemplars_of(start, stop)]
        yield strings_of(block.series[start]), block.points(start, stop, _HISTOGRAM) + b"".join(exemplars)


def _encode_exemplar(exemplar: Exemplar, symbols: _Symbols) -> bytes:
    refs = _refs(itertools.chain.from_iterable(exemplar.labels), symbols) if exemplar.labels else b""
    value = double(b"\x11", exemplar.value) + integer(b"\x18", exemplar.timestamp_ms)
    return message(b"\x22", refs + value)
