"""Content codings (RFC 9110, 8.4): bodies are unpacked in small pieces, so that a bomb is noticed while it is small."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

from zlib_ng import zlib_ng as zlib  # unpacks in a third of the standard library's time

from ..report.mask import cut, printable

GZIP, IDENTITY = "gzip", "identity"
ALL = "gzip, deflate, zstd"
"""What `Accept-Encoding` says for a document: all that is understood."""

_PIECE_BYTES = 256 * 1024  # unpacked at once
_MAX_CODINGS = 4  # of one body, each of which is unpacked
_WINDOW_LOG = 23  # 8 MB, the most that a zstd frame may demand over HTTP (RFC 9659, 3)
_FOREIGN = frozenset(("br", "zstd", "compress", "x-compress", "exi", "pack200-gzip", "dcb", "dcz", "aes128gcm"))
_DEFLATE_METHOD = 8  # in the first byte of zlib's format; no raw stream of a text begins so
_SNIFFED_BYTES = 512  # enough to tell a deflate stream from a text
_GZIP_MAGIC, _ZSTD_MAGIC = b"\x1f\x8b\x08", b"\x28\xb5\x2f\xfd"
_ZLIB_MAGIC = (b"\x78\x01", b"\x78\x5e", b"\x78\x9c", b"\x78\xda")


class CodingError(Exception):
    """A body whose coding is not understood, or that is not what it claims to be."""


def of_page(pieces: Iterator[bytes], content_encoding: str) -> Iterator[bytes]:
    """A page of metrics: only `gzip`, written so, is unpacked, `zstd` fails, and any other is read as it is (Prometheus
    3.16 scrape/scrape.go, readResponse). Raises CodingError."""
    if content_encoding == "zstd":
        raise CodingError("the page is compressed with zstd, which was not asked for")
    return _inflated(pieces, GZIP, may_be_empty=False) if content_encoding == GZIP else pieces


def of_document(pieces: Iterator[bytes], content_encoding: str, accepted: str) -> Iterator[bytes]:
    """A document: whatever says that it is gzip or deflate, in any order, and zstd where it was `accepted`. Where all
    are and nothing is said, the first bytes decide. Raises CodingError."""
    known = 0
    for coding in reversed([part.strip().lower() for part in content_encoding.split(",")][:_MAX_CODINGS]):
        if coding in _FOREIGN and coding not in accepted:
            understood = "gzip, deflate and zstd are" if accepted == ALL else "gzip is"
            shown = cut(printable(content_encoding), 30)
            raise CodingError(f"the answer is encoded as '{shown}', which was not asked for; {understood} understood")
        if coding in (GZIP, "x-gzip", "deflate", "zstd"):
            pieces, known = _unpacked(pieces, coding.removeprefix("x-")), known + 1
    return pieces if known or accepted != ALL else _sniffed(pieces)


def beginning(content: bytes, content_encoding: str, most: int) -> bytes:
    """The first bytes of a document of which only the first are there; none when it cannot be unpacked."""
    found = b""
    with suppress(CodingError):
        for piece in of_document(iter([content]), content_encoding, ALL):
            found += piece
            if len(found) >= most:
                break
    return found[:most]


def _sniffed(pieces: Iterator[bytes]) -> Iterator[bytes]:
    """The body, unpacked when its first bytes are surely those of a coding that its headers do not name."""
    head = b""
    for piece in pieces:
        head += piece
        if len(head) >= _SNIFFED_BYTES:
            break
    coding = _coding_of(head)
    whole = itertools.chain([head] if head else [], pieces)
    yield from _unpacked(whole, coding) if coding else whole


def _coding_of(head: bytes) -> str:
    if head.startswith(_GZIP_MAGIC):
        return GZIP
    if head.startswith(_ZSTD_MAGIC):
        return "zstd"
    return "deflate" if head.startswith(_ZLIB_MAGIC) and _is_zlib(head) else ""


def _is_zlib(head: bytes) -> bool:
    """Whether the first bytes are those of zlib, or a whole body is: two bytes are too few, because a text may begin
    with `x^`."""
    decoder = zlib.decompressobj()
    try:
        return bool(decoder.decompress(head, _PIECE_BYTES)) and (decoder.eof or len(head) >= _SNIFFED_BYTES)
    except zlib.error:  # type: ignore[misc]  # its stubs call it a variable
        return False


def _unpacked(pieces: Iterator[bytes], coding: str) -> Iterator[bytes]:
    return _of_zstd(pieces) if coding == "zstd" else _inflated(pieces, coding)


def _inflated(chunks: Iterator[bytes], coding: str, *, may_be_empty: bool = True) -> Iterator[bytes]:
    """The members of a `gzip` body, or a `deflate` one as it is meant, in zlib's format (RFC 9110, 8.4.1.2), or raw, as
    some servers send it."""
    decoder = None
    try:
        for chunk in chunks:
            data = chunk
            while data:
                if decoder is None or (decoder.eof and coding == GZIP):
                    raw_or_zlib = 15 if data[0] & 0x0F == _DEFLATE_METHOD else -15
                    decoder = zlib.decompressobj(wbits=31 if coding == GZIP else raw_or_zlib)
                yield decoder.decompress(data, _PIECE_BYTES)
                data = decoder.unconsumed_tail or (decoder.unused_data if decoder.eof else b"")
                if data and decoder.eof and coding == "deflate":
                    raise CodingError("something follows the deflate body")
    except zlib.error as error:  # type: ignore[misc]
        raise CodingError(f"the body is not the {coding} it claims to be ({error})") from None
    if decoder is None and not may_be_empty:
        raise CodingError(f"the body is not the {coding} it claims to be (it is empty)")
    if decoder and not decoder.eof:
        yield decoder.flush()
    if decoder and not decoder.eof:
        raise CodingError(f"the {coding} body ends before its end")


def _of_zstd(chunks: Iterator[bytes]) -> Iterator[bytes]:
    """The frames of a `zstd` body (RFC 8878)."""
    zstd = _zstd()
    options = {zstd.DecompressionParameter.window_log_max: _WINDOW_LOG}
    decoder: Any = None
    try:
        for chunk in chunks:
            data = chunk
            while data or (decoder and not decoder.eof and not decoder.needs_input):
                if decoder is None or decoder.eof:
                    decoder = zstd.ZstdDecompressor(options=options)
                yield decoder.decompress(data, _PIECE_BYTES)
                data = decoder.unused_data if decoder.eof else b""
    except zstd.ZstdError as error:
        if "memory" in str(error):
            raise CodingError("the zstd body demands a window of more than 8 MB, the most over HTTP") from None
        raise CodingError(f"the body is not the zstd it claims to be ({error})") from None
    if decoder and not decoder.eof:
        raise CodingError("the zstd body ends before its end")


def _zstd() -> Any:
    try:
        from compression import zstd  # type: ignore[import-not-found,unused-ignore]  # of Python 3.14
    except ImportError:
        from backports import zstd  # type: ignore[no-redef,unused-ignore]
    return zstd
