"""Bytes of an answer -> a JSON document. Numbers keep their text where a label prints them."""

from __future__ import annotations

import json
import re
from typing import Any

import msgspec

_CHARSET = re.compile(r"charset\s*=\s*\"?([A-Za-z0-9_.:-]+)", re.I)


_PLAIN = msgspec.json.Decoder()


class NotJson(ValueError):
    """The answer is no JSON document; the message says where it breaks."""


class ExactFloat(float):
    """A number with a fraction or exponent that remembers how it was written."""

    __slots__ = ("text",)
    text: str

    def __new__(cls, text: str) -> ExactFloat:
        number = super().__new__(cls, text)
        number.text = text
        return number


_EXACT = msgspec.json.Decoder(float_hook=ExactFloat)


def decode(content: bytes, content_type: str = "", *, exact: bool = False) -> Any:
    """JSON text -> dicts, lists and scalars; `exact` makes every float an ExactFloat. Raises NotJson.

    The last of two equal keys wins. Bare NaN and Infinity, which Python services like to write, are read as numbers.
    """
    if content.startswith(b"\xef\xbb\xbf"):
        content = content[3:]
    charset = _CHARSET.search(content_type)
    if charset and charset[1].lower().replace("_", "-") not in ("utf-8", "utf8", "us-ascii"):
        content = _recoded(content, charset[1])
    try:
        return (_EXACT if exact else _PLAIN).decode(content)
    except (msgspec.DecodeError, ValueError):
        return _lenient(content, content_type, exact)
    except RecursionError:
        raise NotJson("the document is nested too deeply") from None


def _recoded(content: bytes, charset: str) -> bytes:
    try:
        return content.decode(charset).encode()
    except (LookupError, UnicodeError):
        raise NotJson(f"the body is not the {charset} text it claims to be") from None


def _integer(text: str) -> int | float:
    """A whole number; one with more digits than Python reads is a float that remembers them."""
    try:
        return int(text)
    except ValueError:
        return ExactFloat(text)


def _lenient(content: bytes, content_type: str, exact: bool) -> Any:
    """Python's own reader takes what msgspec refuses without need (NaN, very long integers), and says where real
    errors stand."""
    try:
        text = content.decode()
    except UnicodeDecodeError as error:
        raise NotJson(f"the body is not UTF-8: byte {error.start} is {content[error.start]:#04x}") from None
    try:
        number = ExactFloat if exact else float
        return json.loads(text, parse_float=number, parse_constant=number, parse_int=_integer)
    except json.JSONDecodeError as error:
        looks = ", it looks like HTML" if text.lstrip()[:1] == "<" else ""
        kind = f" (Content-Type {content_type.partition(';')[0]}{looks})" if content_type or looks else ""
        size = f"{len(content)} bytes"
        raise NotJson(
            f"the body is not JSON: {error.msg}, line {error.lineno} column {error.colno} of {size}{kind}"
        ) from None
    except (RecursionError, ValueError) as error:
        said = "nested too deeply" if isinstance(error, RecursionError) else str(error)
        raise NotJson(f"the document is not usable: {said:.200}") from None
