"""An answer, read by http.client within the time of its exchange, and more strictly than http.client does it: one that
breaks off, or leaves open where it ends, is an error.
"""

from __future__ import annotations

import http.client
import io
import re
import ssl
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from http.client import IncompleteRead
from typing import Any

from .errors import is_tls_cut

CHUNK_BYTES = 256 * 1024
_LENGTH = re.compile(r"[0-9]+")
_CHARSET = re.compile(r"charset\s*=\s*\"?([A-Za-z0-9_.:-]+)", re.IGNORECASE)


class Headers(Mapping[str, str]):
    """An answer's headers by name, however that is written. Of one that stands several times the first line counts, as
    in Go's `Header.Get`, which Prometheus reads; `joined` has all of them."""

    def __init__(self, pairs: Iterable[tuple[str, str]] = ()) -> None:
        self._values: dict[str, list[str]] = {}
        for name, value in pairs:
            self._values.setdefault(name.lower(), []).append(value)

    def lines(self, name: str) -> Sequence[str]:
        return self._values.get(name.lower(), ())

    def joined(self, name: str) -> str:
        """The lines of a header that is a list, with commas between (RFC 9110, 5.3); "" when there is none."""
        return ", ".join(self.lines(name))

    def updated(self, newer: Headers) -> Headers:
        """These with newer ones over them, but for those that describe the body."""
        found = Headers()
        about = {name: lines for name, lines in newer._values.items() if not name.startswith("content-")}
        found._values = self._values | about
        return found

    def __getitem__(self, name: str) -> str:
        return self._values[name.lower()][0]

    def __iter__(self) -> Iterator[str]:
        return iter(self._values)

    def __len__(self) -> int:
        return len(self._values)


def declared_charset(content_type: str) -> str:
    """The charset that a Content-Type names, "" if none."""
    charset = _CHARSET.search(content_type)
    return charset[1] if charset else ""


class Response(http.client.HTTPResponse):
    """The answer that comes next on a socket, to be read before `deadline` (monotonic seconds).

    Skips interim answers, as Go's client does: http.client knows 100 alone, and 103 would be taken for the answer (RFC
    9110, 15.2). After 101 another protocol follows, so that it is the last one.
    """

    def __init__(self, sock: Any, deadline: float, method: str | None) -> None:
        super().__init__(_TimedReader(sock, deadline), method=method)  # type: ignore[arg-type]  # makefile is all it needs
        self._is_broken = False

    def _read_status(self) -> tuple[str, int, str]:
        found: tuple[str, int, str] = super()._read_status()  # type: ignore[misc]
        while 100 <= found[1] < 200 and found[1] != http.client.SWITCHING_PROTOCOLS:
            http.client.parse_headers(self.fp)
            found = super()._read_status()  # type: ignore[misc]
        return found

    def begin(self) -> None:
        super().begin()
        # White space at a value's end is no part of it (RFC 9112, 5.1); http.client leaves it there.
        self.fields = Headers((name, value.strip(" \t")) for name, value in self.headers.items())
        _check_framing(self.fields)
        if self.length == 0:  # a status without a body, whatever else the head says
            self.chunked = False

    def chunks(self) -> Iterator[bytes]:
        """The body, chunk by chunk. Raises what sockets and http.client raise, IncompleteRead when it breaks off."""
        try:
            while piece := self.read(CHUNK_BYTES):
                yield piece
            if self.length:
                raise IncompleteRead(b"", self.length)
        except Exception:
            self._is_broken = True  # http.client closes its reader at a chunk without a size, too
            raise

    def is_at_end(self) -> bool:
        """Whether the next answer may follow on the same connection."""
        if self.length == 0:
            self.read()  # an answer without a body is at its end only once that was read
        # `Connection` is a list, over several lines too; http.client looks at the first.
        is_last = self.status < 200 or self.will_close or "close" in self.fields.joined("Connection").lower()
        return self.isclosed() and not is_last and not self._is_broken


def _check_framing(headers: Headers) -> None:
    """Raises HTTPException for a head that leaves open where its answer ends, as Go's client does (RFC 9112, 6.3)."""
    lengths = {value.strip("\r\n \t") for value in headers.lines("Content-Length")}
    codings = [value.lower() for value in headers.lines("Transfer-Encoding")]
    if len(lengths) > 1 or not all(map(_LENGTH.fullmatch, lengths)):
        raise http.client.HTTPException(f"bad Content-Length {', '.join(sorted(lengths))}")
    if codings not in ([], ["chunked"]):
        raise http.client.HTTPException(f"unsupported Transfer-Encoding {', '.join(codings)}")


class _TimedReader(io.RawIOBase):
    """A socket's reading side whose every read gets what is left of the exchange's time. `is_cut` is True once TLS has
    ended without a close_notify: a third party may have cut it there."""

    def __init__(self, sock: Any, deadline: float) -> None:
        if hasattr(sock, "suppress_ragged_eofs"):  # of TLS: by default the end without a close_notify is an end
            sock.suppress_ragged_eofs = False
        self._sock, self._deadline, self.is_cut = sock, deadline, False
        self._raw = sock.makefile("rb", buffering=0)

    def makefile(self, mode: str) -> _StrictReader:
        return _StrictReader(self, CHUNK_BYTES)

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int | None:
        left = self._deadline - time.monotonic()
        if left <= 0:
            raise TimeoutError("timed out")
        self._sock.settimeout(left)
        try:
            count: int | None = self._raw.readinto(buffer)
        except ssl.SSLError as error:
            if not is_tls_cut(error):
                raise
            self.is_cut = True  # not raised further: what came before it would be lost with it
            return 0
        return count

    def close(self) -> None:
        if not self.closed:
            self._raw.close()
        super().close()


class _StrictReader(io.BufferedReader):
    """Raises IncompleteRead where an answer breaks off, but http.client would take it as whole.

    It reads heads, interim heads, the answer to CONNECT, chunk sizes and trailers line by line, and takes the end of
    the stream as the empty line that closes each of them (RFC 9112, 2.1 and 7.1). It has no setting for that, so its
    reader refuses to end within such a part: every line there has its line feed, or the answer is cut.
    """

    def __init__(self, raw: _TimedReader, buffer_bytes: int) -> None:
        super().__init__(raw, buffer_bytes)
        self._timed, self._has_begun = raw, False

    def readline(self, size: int | None = -1) -> bytes:
        line = super().readline(size)
        if line.endswith(b"\n") or len(line) == size:  # of a line that is too long, the library raises its own error
            self._has_begun = True
        elif line or self._has_begun:
            raise IncompleteRead(line)
        return line  # empty: the connection ended before any answer, for which the library has an error too

    def read(self, size: int | None = -1) -> bytes:
        """A body without a length ends with the connection, but over TLS only with a close_notify (RFC 9112, 8: "an
        incomplete close in TLS would leave the response incomplete")."""
        data = super().read(size)
        if not data and size != 0 and self._timed.is_cut:
            raise IncompleteRead(b"")
        return data
