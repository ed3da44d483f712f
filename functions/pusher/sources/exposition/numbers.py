"""Numbers as Go's `strconv.ParseFloat` reads them, less the hexadecimal ones: what a sample's value may be."""

from __future__ import annotations

import math
import re
import struct
from collections.abc import Sequence

NORMAL_NAN: float = struct.unpack("<d", (0x7FF8000000000001).to_bytes(8, "little"))[0]
"""The NaN of a value: Go's, whose bits differ from Python's."""

_FLOAT = re.compile(rb"[+-]?(?:(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?|(inf(?:inity)?))|(nan)", re.IGNORECASE)
_PLAIN = b"0123456789.eE+- \n"
_WORDS = b"0123456789.eE+- \nnaNiIfFtTyY"


def go_float(text: bytes) -> float:
    """One number. Raises ValueError for what Go refuses: `1_000`, `0x1p-2`, `1e999`, white space, `+NaN`."""
    match = _FLOAT.fullmatch(text)
    if match is None:
        raise ValueError(f"{text[:50]!r:.60} is no number".replace("b'", "'", 1))
    if match[2]:
        return NORMAL_NAN
    value = float(text)
    if math.isinf(value) and not match[1]:
        raise ValueError(f"{text[:50].decode()} is out of range")
    return value


_HEXADECIMAL = re.compile(r"[+-]?0x_?(?:[0-9a-f]+(?:_[0-9a-f]+)*\.?[0-9a-f]*|\.[0-9a-f]+)p[+-]?[0-9]+", re.IGNORECASE)
_BETWEEN_DIGITS = re.compile(r"(?<=[0-9])_(?=[0-9])")


def go_literal(text: str) -> float:
    """One number as a label may hold it: hexadecimal ones and underscores between digits too. Raises ValueError."""
    if not _HEXADECIMAL.fullmatch(text):
        return go_float(_BETWEEN_DIGITS.sub("", text).encode())
    try:
        return float.fromhex(text.replace("_", ""))
    except OverflowError:
        raise ValueError(f"{text[:50]} is out of range") from None


def go_floats(texts: Sequence[bytes]) -> list[float] | None:
    """Many numbers at once, or None when some text needs a look of its own (which it may pass)."""
    joined = b"\n".join(texts)
    return None if b" " in joined else _floats(texts, joined)


def floats_after_a_space(texts: Sequence[bytes]) -> list[float] | None:
    """Many numbers, one space before each, or None when some text needs a look of its own."""
    joined = b"\n".join(texts)
    led = joined.count(b"\n ") + joined.startswith(b" ")
    return _floats(texts, joined) if led == len(texts) == joined.count(b" ") else None


def _floats(texts: Sequence[bytes], joined: bytes) -> list[float] | None:
    """`joined` are the texts in lines; Python takes the space before a number, and what Go refuses is found here."""
    if joined.count(b"\n") != len(texts) - 1 and texts:
        return None
    has_words = bool(joined.translate(None, _PLAIN))
    if has_words and (joined.translate(None, _WORDS) or b"+n" in (lowered := joined.lower()) or b"-n" in lowered):
        return None
    try:
        values = list(map(float, texts))
    except ValueError:
        return None
    if not has_words:
        return values if math.isfinite(sum(values)) or all(map(math.isfinite, values)) else None
    if math.inf in values or -math.inf in values:
        return None
    return [value if value == value else NORMAL_NAN for value in values]
