"""Labels <-> the encoded head of a TimeSeries message (remote write 1.0), which is the identity of a series; with the
few rules of protobuf's encoding that hand-written messages need (protobuf.dev, "Encoding"). A field with its default
value is left out, as proto3 does."""

from __future__ import annotations

import functools
import struct
from collections.abc import Iterable, Sequence

from ..model.samples import STALE, Labels

# A sample with a timestamp of our time is 18 bytes: tag and length (2), value (1 + 8), timestamp (1 + a varint of 6).
SAMPLE_BYTES = 18
_STALE_BYTES = struct.pack("<d", STALE)


_MAX_FIELDS = 16_384  # labels whose encoded fields are cached


def series_prefix(pairs: Sequence[tuple[bytes, bytes]]) -> bytes:
    """Sorted label pairs -> the head of a TimeSeries with one sample of SAMPLE_BYTES, up to its value."""
    return prefix_of(b"".join([_label(name, value) for name, value in pairs]))


def encoded_labels(labels: Labels) -> bytes:
    """Valid labels -> their fields, sorted: code points sort as their UTF-8. Raises UnicodeEncodeError."""
    return b"".join(map(label_field, sorted(labels.items())))


def prefix_of(labels: bytes) -> bytes:
    """Encoded labels -> the head of a TimeSeries with one sample of SAMPLE_BYTES, up to its value."""
    return b"\x0a" + varint(len(labels) + SAMPLE_BYTES) + labels + b"\x12\x10\x09"


class _Fields(dict[tuple[str, str], bytes]):
    """Label -> its field. Most labels of a page are on many of its lines."""

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
    """A prefix -> its labels in their order: name, value, name, value."""
    encoded, at, found = _label_bytes(prefix), 0, []
    while at < len(encoded):
        _, at = _length_at(encoded, at + 1)
        for _ in ("name", "value"):
            length, start = _length_at(encoded, at + 1)
            at = start + length
            found.append(encoded[start:at].decode())
    return found


def _length_at(encoded: bytes, at: int) -> tuple[int, int]:
    """The varint at `at`, and its end."""
    number, shift = encoded[at] & 0x7F, 7
    while encoded[at] & 0x80:
        at += 1
        number |= (encoded[at] & 0x7F) << shift
        shift += 7
    return number, at + 1


def labels_of(prefix: bytes) -> dict[str, str]:
    """A prefix -> its labels in their order."""
    strings = strings_of(prefix)
    return dict(zip(strings[::2], strings[1::2], strict=True))


def is_stale(value: float) -> bool:
    """Whether a NaN has the bits of the stale marker."""
    return struct.pack("<d", value) == _STALE_BYTES


# --- Rules of protobuf's encoding ---

eight_bytes = struct.Struct("<d").pack
_POSITIVE_ZERO = eight_bytes(0.0)


@functools.lru_cache(maxsize=4096)
def varint(number: int) -> bytes:
    """A protobuf varint; a negative int64 takes ten bytes."""
    number &= 0xFFFF_FFFF_FFFF_FFFF
    out = bytearray()
    while number > 0x7F:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    out.append(number)
    return bytes(out)


def zigzag(number: int) -> bytes:
    """A varint of type sint32 or sint64."""
    return varint(number << 1 if number >= 0 else ~(number << 1))


def message(tag: bytes, encoded: bytes) -> bytes:
    """A length-delimited field: a message, a string, a packed list."""
    return tag + varint(len(encoded)) + encoded


def text(tag: bytes, value: str) -> bytes:
    return message(tag, value.encode("utf-8", "replace")) if value else b""


def double(tag: bytes, value: float) -> bytes:
    """A negative zero is not the default: its bits differ."""
    packed = eight_bytes(value)
    return b"" if packed == _POSITIVE_ZERO else tag + packed


def integer(tag: bytes, number: int) -> bytes:
    return tag + varint(number) if number else b""


def packed_doubles(tag: bytes, values: Iterable[float]) -> bytes:
    encoded = b"".join(map(eight_bytes, values))
    return message(tag, encoded) if encoded else b""


def packed_sint64(tag: bytes, numbers: Iterable[float]) -> bytes:
    encoded = b"".join([zigzag(int(number)) for number in numbers])
    return message(tag, encoded) if encoded else b""
