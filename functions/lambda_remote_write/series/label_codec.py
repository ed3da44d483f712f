"""TODO"""

from __future__ import annotations

import struct
from collections.abc import Sequence

from ..model.samples import STALE, Labels
from .protobuf import varint

# A sample of today's dates is 18 bytes: tag and length (2), value (1 + 8), timestamp (1 + a varint of 6).
SAMPLE_BYTES = 18


_STALE_BYTES = struct.pack("<d", STALE)


_MAX_FIELDS = 16_384  # labels whose fields are kept


def series_prefix(pairs: Sequence[tuple[bytes, bytes]]) -> bytes:
    """Sorted label pairs -> the head of a TimeSeries that holds one usual sample, up to its value."""
    return prefix_of(b"".join([_label(name, value) for name, value in pairs]))


def encoded_labels(labels: Labels) -> bytes:
    """Valid labels -> their fields, in order: code points sort as their UTF-8 does. Raises UnicodeEncodeError."""
    return b"".join(map(label_field, sorted(labels.items())))


def prefix_of(labels: bytes) -> bytes:
    """Encoded labels -> the head of a TimeSeries that holds one usual sample, up to its value."""
    return b"\x0a" + varint(len(labels) + SAMPLE_BYTES) + labels + b"\x12\x10\x09"


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
