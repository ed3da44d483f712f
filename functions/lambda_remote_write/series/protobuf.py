"""The part of protobuf's encoding that hand-written messages need (protobuf.dev, "Encoding"). As in proto3, a field
with its default value is left out."""

from __future__ import annotations

import functools
import struct
from collections.abc import Iterable

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
