"""Content codings: gzip, deflate and zstd (RFC 9110 8.4, RFC 8878), said or not, whole, cut, wrong and as bombs."""

from __future__ import annotations

import gzip
import sys
import tracemalloc
import zlib
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lambda_remote_write.http.content_coding import (
    ALL,
    GZIP,
    CodingError,
    beginning,
    of_document,
    of_page,
    of_undeclared,
)
from sandbox.server import Answer
from tests.rig.json_source import NOW_MS, Rig, error
from tests.rig.tables import table

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

METRIC = "{name: m, value: v}"
SEVEN = b'{"v":' + b" " * 600_000 + b"7}"
ZEROS = b"0" * (16 << 20)


def raw_deflate(content: bytes) -> bytes:
    packer = zlib.compressobj(wbits=-15)
    return packer.compress(content) + packer.flush()


def frames(*contents: bytes, level: int = 3, window_log: int = 0) -> bytes:
    """Each content in a zstd frame of its own."""
    options = {zstd.CompressionParameter.compression_level: level}
    if window_log:
        options |= {zstd.CompressionParameter.window_log: window_log}
    return b"".join(_frame(content, options) for content in contents)


def _frame(content: bytes, options: dict[int, int]) -> bytes:
    """As a server makes it that does not know how long the content is: the window stands in the header."""
    packer = zstd.ZstdCompressor(options=options)
    return packer.compress(content) + packer.flush()


def served(rig: Rig, content: bytes, encoding: str = "", content_type: str = "application/json") -> None:
    said = {"Content-Encoding": encoding} if encoding else {}
    rig.api.serve("/doc", Answer(200, {"Content-Type": content_type} | said, content))


def in_pieces(content: bytes, size: int = 1) -> Iterator[bytes]:
    return (content[at : at + size] for at in range(0, len(content), size))


READ = [
    ("zstd", "zstd", frames(SEVEN)),
    ("zstd in capitals", "ZSTD", frames(SEVEN)),
    ("several frames of zstd", "zstd", frames(SEVEN[:5], SEVEN[5:])),
    ("a skippable frame of zstd", "zstd", b"\x50\x2a\x4d\x18\x04\x00\x00\x00skip" + frames(SEVEN)),
    ("zstd with a window of 8 MB", "zstd", frames(SEVEN, window_log=23)),
    ("zstd, then gzip", "zstd, gzip", gzip.compress(frames(SEVEN))),
    ("gzip, then zstd", "gzip, zstd", frames(gzip.compress(SEVEN))),
    ("gzip unsaid", "", gzip.compress(SEVEN)),
    ("several members of gzip unsaid", "", gzip.compress(SEVEN[:3]) + gzip.compress(SEVEN[3:])),
    ("zstd unsaid", "", frames(SEVEN)),
    ("deflate unsaid", "", zlib.compress(SEVEN)),
    ("deflate of another level unsaid", "", zlib.compress(SEVEN, 1)),
    ("gzip unsaid beside a charset", "utf-8", gzip.compress(SEVEN)),
]


@table("encoding, content", READ)
def test_a_document_is_unpacked(rig: Rig, encoding: str, content: bytes) -> None:
    served(rig, content, encoding, "application/octet-stream")
    assert error(rig.push(rig.job(METRIC))) == ""
    assert rig.lines() == [f"m 7 @{NOW_MS}"]


BAD = [
    ("zstd cut short", frames(SEVEN)[:-5], "zstd", "the zstd body ends before its end"),
    ("zstd cut in its header", frames(SEVEN)[:3], "zstd", "the zstd body ends before its end"),
    ("no zstd", b'{"v":7}', "zstd", "the body is not the zstd it claims to be"),
    ("zstd and something behind it", frames(SEVEN) + b"x" * 9, "zstd", "the body is not the zstd"),
    ("a window of 128 MB", frames(SEVEN, window_log=27), "zstd", "a window of more than 8 MB"),
    ("zstd cut short, unsaid", frames(SEVEN)[:-5], "", "the zstd body ends before its end"),
    ("gzip cut short, unsaid", gzip.compress(SEVEN)[:-9], "", "the gzip body ends before its end"),
    ("deflate cut short, unsaid", zlib.compress(SEVEN)[:-5], "", "the deflate body ends before its end"),
    ("brotli", b"\x0b\x02\x80{}\x03", "br", "'br', which was not asked for; gzip, deflate and zstd are understood"),
]


@table("content, encoding, detail", BAD)
def test_a_bad_body_is_a_sentence_and_costs_nothing_else(rig: Rig, content: bytes, encoding: str, detail: str) -> None:
    served(rig, content, encoding)
    rig.serve('{"v": 5}', "/good")
    report = rig.push(rig.job(METRIC), rig.job(METRIC, name="good", path="/good"))
    assert detail in error(report)
    assert [job["up"] for job in report["jobs"]] == [0, 1]
    assert rig.lines() == [f"m 5 @{NOW_MS}"]


def one_frame(times: int) -> bytes:
    packer = zstd.ZstdCompressor()
    return b"".join(packer.compress(ZEROS) for _ in range(times)) + packer.flush()


BOMBS = [
    ("one frame of zstd", "zstd", one_frame(16)),
    ("zstd", "zstd", frames(ZEROS) * 160),
    ("zstd unsaid", "", frames(ZEROS) * 160),
    ("gzip unsaid", "", gzip.compress(ZEROS, 6) * 160),
    ("deflate", "deflate", zlib.compress(ZEROS)),
    ("zstd in gzip", "zstd, gzip", gzip.compress(frames(ZEROS) * 160)),
    ("gzip in zstd", "gzip, zstd", frames(gzip.compress(ZEROS, 6) * 160)),
    ("gzip four times", "gzip, gzip, gzip, gzip", gzip.compress(gzip.compress(gzip.compress(gzip.compress(ZEROS))))),
]


@table("encoding, content", BOMBS)
def test_a_bomb_is_stopped_at_the_limit(rig: Rig, encoding: str, content: bytes) -> None:
    """Gigabytes of zeros cost neither their time nor their memory."""
    served(rig, content, encoding)
    app = rig.app(rig.job(METRIC, keys="body_size_limit: 8MB"))
    tracemalloc.start()
    try:
        report = app.handle({}, None)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert "8388608 bytes or more: raise body_size_limit" in error(report)
    assert peak < 64 << 20


@table("encoding, content", [bomb for bomb in BOMBS if bomb[1]])
def test_a_bomb_is_unpacked_in_small_pieces(encoding: str, content: bytes) -> None:
    """So that no more than one of them is unpacked beyond the limit."""
    taken, sizes = 0, list[int]()
    for piece in of_document(in_pieces(content, 256 << 10), encoding, ALL):
        taken += len(piece)
        sizes.append(len(piece))
        if taken > 8 << 20:
            break
    assert taken > 8 << 20
    assert max(sizes) <= 256 << 10


TEXTS = [
    ("x and a control character", b"x\x01 is the first"),
    ("x^2", b"x^2 + y^2 = z^2"),
    ("less of x^2", b"x^2 "),
    ("latin-1", "xÚ, the name of a place".encode("latin-1")),
    ("the first byte of gzip", b"\x1f"),
    ("the first bytes of gzip", b"\x1f\x8b"),
    ("nothing", b""),
]


@table("content", TEXTS)
def test_a_text_that_begins_like_a_coding_stays_itself(content: bytes) -> None:
    assert b"".join(of_undeclared(content, "")) == content


@given(st.binary(max_size=2000), st.sampled_from(["", "identity", "utf-8"]))
def test_what_names_no_coding_and_is_none_stays_itself(content: bytes, encoding: str) -> None:
    if content.startswith((b"\x1f\x8b\x08", b"\x28\xb5\x2f\xfd", b"\x78")):
        return
    assert b"".join(of_undeclared(content, encoding)) == content


@pytest.mark.parametrize("encoding", ["gzip", "deflate", "zstd, identity"])
def test_what_was_unpacked_as_its_header_says_is_not_unpacked_again(encoding: str) -> None:
    packed = gzip.compress(SEVEN)  # its bytes hold the time
    assert b"".join(of_undeclared(packed, encoding)) == packed


@pytest.mark.parametrize("size", [1, 7, 100_000])
@table("encoding, content", READ)
def test_pieces_may_be_of_any_size(encoding: str, content: bytes, size: int) -> None:
    declared = b"".join(of_document(in_pieces(content, size), encoding, ALL))
    assert b"".join(of_undeclared(declared, encoding)) == SEVEN


def test_where_gzip_alone_is_asked_for_nothing_else_is_unpacked() -> None:
    """As for http_sd_configs, which Prometheus reads so."""
    assert b"".join(of_document(iter([gzip.compress(SEVEN)]), "gzip", GZIP)) == SEVEN
    with pytest.raises(CodingError, match="'zstd', which was not asked for; gzip is understood"):
        of_document(iter([frames(SEVEN)]), "zstd", GZIP)


def test_a_page_of_metrics_is_unpacked_only_where_it_says_gzip() -> None:
    """Prometheus 3.16, scrape/scrape.go: readResponse."""
    packed = gzip.compress(b"a 1\n")
    assert b"".join(of_page(iter([packed]), "gzip")) == b"a 1\n"
    assert [b"".join(of_page(iter([packed]), coding)) for coding in ("", "GZIP", "deflate")] == [packed] * 3
    with pytest.raises(CodingError, match="zstd, which was not asked for"):
        of_page(iter([packed]), "zstd")


@pytest.mark.parametrize("encoding", ["zstd", "deflate", "gzip", ""])
def test_an_error_quotes_a_message_that_is_packed(rig: Rig, encoding: str) -> None:
    """A server that packs its answers packs its errors too."""
    packers = {"zstd": frames, "deflate": raw_deflate, "gzip": gzip.compress, "": gzip.compress}
    content = packers[encoding](b'{"message": "no such report"}')
    rig.api.serve("/doc", Answer(404, {"Content-Encoding": encoding} if encoding else {}, content))
    assert 'answered 404: it says "no such report"' in error(rig.push(rig.job(METRIC)))


def test_of_a_cut_error_the_beginning_is_there() -> None:
    content = gzip.compress(bytes(range(256)) * 64)
    assert beginning(content[:200], "gzip", 100) == bytes(range(100))
    assert beginning(b"no gzip", "gzip", 100) == b""
