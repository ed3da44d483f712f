"""HTTP/1.1 on an open connection: the bytes of a request, and the answer to it.

A short answer that lies in the buffer as a whole is taken from there, since that is what a receiver gives a hundred
times in a push; any other is http.client's.
"""

from __future__ import annotations

import http.client
import io
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from .. import USER_AGENT
from .types import HttpRequest

_WITH_LENGTH = ("POST", "PUT", "PATCH")
_SHORT = re.compile(rb"HTTP/1\.1 (2[0-9][0-9]) [^\r\n]*\r\n((?:[!#-9;-~]+:[^\r\n]*\r\n)*)\r\n")
_HEADER = re.compile(rb"([^:]+):([^\r\n]*)\r\n")
_MAX_LENGTH_DIGITS = 18
_LENGTH = re.compile(r"[0-9]+")


def request_bytes(request: HttpRequest, target: str, host: str) -> bytes:
    """Head and body. The headers' values hold no line break: the caller has seen to it."""
    body, headers = request.body, request.headers
    given = {name.lower() for name in headers}
    lines = [f"{request.method} {target} HTTP/1.1"]
    if "host" not in given:
        lines.append(f"Host: {host}")
    if "accept-encoding" not in given:
        lines.append("Accept-Encoding: identity")
    if "user-agent" not in given:
        lines.append(f"User-Agent: {USER_AGENT}")
    if body is not None or request.method in _WITH_LENGTH:
        lines.append(f"Content-Length: {len(body or b'')}")
    lines += [f"{name}: {value}" for name, value in headers.items() if name.lower() != "content-length"]
    return "\r\n".join([*lines, "", ""]).encode("latin-1") + (body or b"")


class Headers(Mapping[str, str]):
    """An answer's headers by name, however that is written. Of one that stands several times the first line counts, as
    in Go's `Header.Get`, which Prometheus reads; `joined` has all of them."""

    def __init__(self, pairs: Iterable[tuple[str, str]]) -> None:
        self._values: dict[str, str] = {}
        self._more: dict[str, list[str]] = {}  # lines behind the first
        for name, value in pairs:
            key = name.lower()
            if key in self._values:
                self._more.setdefault(key, []).append(value)
            else:
                self._values[key] = value

    def joined(self, name: str) -> str:
        """The lines of a header that is a list, with commas between (RFC 9110, 5.3); "" when there is none."""
        key = name.lower()
        return ", ".join([self._values.get(key, ""), *self._more.get(key, ())])

    def __getitem__(self, name: str) -> str:
        return self._values[name.lower()]

    def __iter__(self) -> Iterator[str]:
        return iter(self._values)

    def __len__(self) -> int:
        return len(self._values)


class Reply:
    """An answer whose head was read."""

    status: int
    headers: Headers

    def chunks(self, size: int) -> Iterator[bytes]:
        """The body, chunk by chunk. Raises what sockets and http.client raise, IncompleteRead when it breaks off."""
        raise NotImplementedError

    def is_at_end(self) -> bool:
        """Whether the next answer may follow on the same connection."""
        raise NotImplementedError


class _Short(Reply):
    def __init__(self, status: int, headers: Headers, body: bytes) -> None:
        self.status, self.headers, self._body = status, headers, body

    def chunks(self, size: int) -> Iterator[bytes]:
        if self._body:
            yield self._body

    def is_at_end(self) -> bool:
        return True


class _Long(Reply):
    def __init__(self, response: FinalResponse) -> None:
        self._response = response
        if response.length == 0:  # a status without a body, whatever else the head says
            response.chunked = False
        self.status = response.status
        self.headers = Headers(response.pairs)
        is_switching = response.status < 200  # 101: what follows is another protocol
        self._is_last = is_switching or response.will_close or _closes(self.headers)
        self._is_broken = False

    def chunks(self, size: int) -> Iterator[bytes]:
        response = self._response
        try:
            while piece := response.read(size):
                yield piece
            if response.length:
                raise http.client.IncompleteRead(b"", response.length)
        except Exception:
            self._is_broken = True  # http.client closes its reader at a chunk without a size, too
            raise

    def is_at_end(self) -> bool:
        if self._response.length == 0:
            self._response.read()  # an answer without a body is at its end only once that was read
        return self._response.isclosed() and not self._is_last and not self._is_broken


class FinalResponse(http.client.HTTPResponse):
    """Skips interim answers, as Go's client does: http.client knows 100 alone, and 103 would be taken for the answer
    (RFC 9110, 15.2). After 101 another protocol follows, so that it is the last one."""

    def _read_status(self) -> tuple[str, int, str]:
        found: tuple[str, int, str] = super()._read_status()  # type: ignore[misc]
        while 100 <= found[1] < 200 and found[1] != http.client.SWITCHING_PROTOCOLS:
            http.client.parse_headers(self.fp)
            found = super()._read_status()  # type: ignore[misc]
        return found

    def begin(self) -> None:
        super().begin()
        self.pairs = [(name, value.strip(" \t")) for name, value in self.headers.items()]
        check_framing(self.pairs)


def check_framing(pairs: Iterable[tuple[str, str]]) -> None:
    """Raises HTTPException for a head that leaves open where its answer ends, as Go's client does (RFC 9112, 6.3)."""
    lengths, codings = set[str](), list[str]()
    for name, value in pairs:
        if len(name) == len("Content-Length") and name.lower() == "content-length":
            lengths.add(value.strip(" \t\r\n"))
        elif len(name) == len("Transfer-Encoding") and name.lower() == "transfer-encoding":
            codings.append(value.lower())
    if len(lengths) > 1 or not all(map(_LENGTH.fullmatch, lengths)):
        raise http.client.HTTPException(f"bad Content-Length {', '.join(sorted(lengths))}")
    if codings not in ([], ["chunked"]):
        raise http.client.HTTPException(f"unsupported Transfer-Encoding {', '.join(codings)}")


def read_reply(sock: Any, method: str) -> Reply:
    """The answer that comes next. Raises what sockets and http.client raise."""
    short = _short(sock.makefile("rb"))
    if short:
        return short
    response = FinalResponse(sock, method=method)
    response.begin()
    return _Long(response)


def _closes(headers: Headers) -> bool:
    """Whether the connection ends with this answer; `Connection` is a list, over several lines too."""
    return "connection" in headers and "close" in headers.joined("connection").lower()


def _short(reader: io.BufferedReader) -> Reply | None:
    """A success that has come whole and with nothing behind it; None, and nothing taken, for any other answer."""
    come = reader.peek()
    head = _SHORT.match(come)
    if head is None:
        return None
    headers = Headers(
        (name.decode(), value.strip(b" \t").decode("latin-1")) for name, value in _HEADER.findall(head[2])
    )
    if "Transfer-Encoding" in headers or _closes(headers):
        return None
    length = headers.joined("Content-Length")
    if head[1] == b"204" and (length.isdecimal() or "Content-Length" not in headers):
        length = "0"
    if not length.isdecimal() or len(length) > _MAX_LENGTH_DIGITS or head.end() + int(length) != len(come):
        return None
    reader.read(len(come))
    return _Short(int(head[1]), headers, come[head.end() :])
