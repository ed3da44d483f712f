"""Numbers as Go's `strconv.ParseFloat` reads them. Prometheus refuses hexadecimal ones as a sample's value."""

from __future__ import annotations

import contextlib
import math
import re
import struct
from collections.abc import Sequence

import msgspec

NORMAL_NAN: float = struct.unpack("<d", (0x7FF8000000000001).to_bytes(8, "little"))[0]
"""Go's NaN, whose bits differ from Python's."""

_FLOAT = re.compile(rb"[+-]?(?:(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?|(inf(?:inity)?))|(nan)", re.IGNORECASE)
_NUMBER_BYTES = b"0123456789.eE+-,\n"
_WORD_BYTES = b"0123456789.eE+-,\nnaNiIfFtTyY"
_JSON_FLOATS = msgspec.json.Decoder(list[float]).decode


def go_float(text: bytes) -> float:
    """One number. Raises ValueError for what Go refuses: `1_000`, `0x1p-2`, `1e999`, white space, `+NaN`."""
    match = _FLOAT.fullmatch(text)
    if match is None:
        raise ValueError(f"{text[:50]!r:.60} is not a number".replace("b'", "'", 1))
    if match[2]:
        return NORMAL_NAN
    value = float(text)
    if math.isinf(value) and not match[1]:
        raise ValueError(f"{text[:50].decode()} is out of range")
    return value


_HEXADECIMAL = re.compile(r"[+-]?0x_?(?:[0-9a-f]+(?:_[0-9a-f]+)*\.?[0-9a-f]*|\.[0-9a-f]+)p[+-]?[0-9]+", re.IGNORECASE)
_BETWEEN_DIGITS = re.compile(r"(?<=[0-9])_(?=[0-9])")


def go_literal(text: str) -> float:
    """One number in a label, also hexadecimal or with underscores between digits. Raises ValueError."""
    if not _HEXADECIMAL.fullmatch(text):
        return go_float(_BETWEEN_DIGITS.sub("", text).encode())
    try:
        return float.fromhex(text.replace("_", ""))
    except OverflowError:
        raise ValueError(f"{text[:50]} is out of range") from None


def go_floats(texts: Sequence[bytes]) -> list[float] | None:
    """Many numbers at once; None when one of them has to be read by itself (it may still be valid)."""
    joined = b",".join(texts)
    if joined.count(b",") != max(len(texts) - 1, 0) or b" " in joined or b"\n" in joined:
        return None
    return _floats(texts, joined)


def floats_before_breaks(texts: Sequence[bytes]) -> list[float] | None:
    """Many numbers, each with a line break behind it; None when one of them has to be read by itself. A text has no
    space, and a line break only at its end."""
    joined = b",".join(texts)
    if joined.count(b"\n") != len(texts) or joined.count(b",") != max(len(texts) - 1, 0):
        return None
    return _floats(texts, joined)


def _floats(texts: Sequence[bytes], joined: bytes) -> list[float] | None:
    """`joined` has commas between the texts. The JSON decoder is the fastest one, and Go reads every JSON number alike,
    except the sign of a zero."""
    has_negative_zero = b"-0," in joined or b"-0\n" in joined or joined.endswith(b"-0")
    if not has_negative_zero and b"\t" not in joined and b"\r" not in joined:
        with contextlib.suppress(msgspec.MsgspecError):
            values = _JSON_FLOATS(b"[%b]" % joined)
            return values if len(values) == len(texts) else None
    return _floats_beyond_json(texts, joined)


def _floats_beyond_json(texts: Sequence[bytes], joined: bytes) -> list[float] | None:
    """Words, plus signs, points without a digit on one side. Python strips line breaks; the rest of what only Python
    accepts is refused here."""
    has_words = bool(joined.translate(None, _NUMBER_BYTES))
    lowered = joined.lower() if has_words else b""
    if has_words and (joined.translate(None, _WORD_BYTES) or b"+n" in lowered or b"-n" in lowered):
        return None
    try:
        values = list(map(float, texts))
    except ValueError:
        return None
    if not has_words:
        return values if math.isfinite(sum(values)) or all(map(math.isfinite, values)) else None
    if values.count(math.inf) + values.count(-math.inf) != lowered.count(b"inf"):
        return None  # a number that is out of range
    return [value if value == value else NORMAL_NAN for value in values]
