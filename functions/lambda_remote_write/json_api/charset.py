"""Bodies in any charset -> UTF-8. In this order decide: the job's `charset`, the Content-Type, a byte order mark, an
XML declaration, zeros as in UTF-16 (RFC 4627, 3). Without any of them a body is UTF-8."""

from __future__ import annotations

import codecs
import re
from contextlib import suppress

from ..config.charset import codec_of
from ..config.schema import BodyFormat
from ..http.response import declared_charset

_MARKS = (  # the longer ones first
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
_ZEROS = {"x0x0": "utf-16-le", "0x0x": "utf-16-be", "x000": "utf-32-le", "000x": "utf-32-be"}
"""Which of the first four bytes are zero, when characters of ASCII begin a text."""
_WIDER = {"shift_jis": "cp932", "gb2312": "gb18030", "gbk": "gb18030", "euc_kr": "cp949", "big5": "big5hkscs"}
"""What servers mean by the name of a charset when it is not that, as browsers read it (WHATWG Encoding, 4.2)."""
_CONTROLS = re.compile(rb"[\x80-\x9f]")
_XML_DECLARATION = re.compile(rb"<\?xml[^>]{0,100}?\sencoding\s*=\s*[\"']([A-Za-z0-9._:-]+)[\"']")


class NotText(ValueError):
    """A body that is not in the charset that it should be in."""


def in_utf8(content: bytes | bytearray, content_type: str, body_format: BodyFormat) -> bytes:
    """The body in UTF-8, without byte order mark, and without the zeros that devices send at its end. Raises
    NotText."""
    charset, said_by = _charset(content, content_type, body_format)
    try:
        codec = _in_order(codec_of(charset), content)
    except ValueError:
        raise NotText(f"the body is {charset:.40} text, as {said_by}, which is no charset that is known") from None
    try:
        text = _decoded(content, "utf-8" if codec == "ascii" else codec)
    except UnicodeDecodeError as error:
        if not said_by or codec == "utf-8":
            raise NotText(f"the body is not UTF-8: byte {error.start} is {content[error.start]:#04x}") from None
        raise NotText(f"the body is not {charset:.40} text, as {said_by}") from None
    except UnicodeError:  # a codec that says no more
        raise NotText(f"the body is not {charset:.40} text, as {said_by}") from None
    try:
        return text.removeprefix("\ufeff").rstrip("\x00").encode()
    except UnicodeEncodeError:  # UTF-7 may hold halves of characters
        raise NotText(f"the body is not {charset:.40} text, as {said_by}: it has half a character") from None


def _decoded(content: bytes | bytearray, codec: str) -> str:
    """Raises UnicodeError. A text in ISO-8859-1 with bytes that are control characters there is one in windows-1252, as
    browsers read it (WHATWG Encoding, 4.2): there they are the euro sign, quotes and dashes."""
    if codec == "iso8859-1" and _CONTROLS.search(content):
        with suppress(UnicodeDecodeError):
            return content.decode("windows-1252")
    try:
        return content.decode(codec)
    except UnicodeDecodeError:
        if codec in _WIDER and not _is_utf8(content):
            return content.decode(_WIDER[codec])
        raise


def _is_utf8(content: bytes | bytearray) -> bool:
    try:
        content.decode()
    except UnicodeDecodeError:
        return False
    return True


def _in_order(codec: str, content: bytes | bytearray) -> str:
    """The codec; of UTF-16 and UTF-32 without a mark, that of the order in which the bytes stand."""
    if codec not in ("utf-16", "utf-32") or any(content.startswith(mark) for mark, _ in _MARKS):
        return codec
    found = _by_zeros(content)
    return found if found.startswith(codec) else codec


def _by_zeros(content: bytes | bytearray) -> str:
    return _ZEROS.get("".join("x" if byte else "0" for byte in content[:4]), "utf-8")


def _charset(content: bytes | bytearray, content_type: str, body_format: BodyFormat) -> tuple[str, str]:
    """The charset, and what says so."""
    if body_format.charset:
        return body_format.charset, "the key charset says"
    if declared := declared_charset(content_type):
        return declared, "its Content-Type says"
    for mark, charset in _MARKS:
        if content.startswith(mark):
            return charset, "its byte order mark says"
    if found := _XML_DECLARATION.match(content.lstrip()[:200]):
        said = found[1].decode()  # a declaration of UTF-16 in ASCII, as .NET writes it, is wrong
        return (
            ("utf-8", "")
            if said.lower().startswith(("utf-16", "utf-32", "ucs"))
            else (said, "its XML declaration says")
        )
    return _by_zeros(content), ""
