"""The reading side of a connection: within the time of its exchange, and with every early end of the stream noticed."""

from __future__ import annotations

import io
import ssl
import time
from http.client import IncompleteRead
from typing import Any


class TimedReader(io.RawIOBase):
    """A socket's reading side whose every read gets what is left of the exchange's time. `is_cut` is True once TLS has
    ended without a close_notify: anybody on the way could have ended it there."""

    def __init__(self, sock: Any, deadline: float) -> None:
        self._sock, self.deadline, self.is_cut = sock, deadline, False
        self._raw = sock.makefile("rb", buffering=0)

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int | None:
        left = self.deadline - time.monotonic()
        if left <= 0:
            raise TimeoutError("timed out")
        self._sock.settimeout(left)
        try:
            count: int | None = self._raw.readinto(buffer)
        except ssl.SSLEOFError:  # not raised further: what came before it would be lost with it
            self.is_cut = True
            return 0
        return count

    def close(self) -> None:
        if not self.closed:
            self._raw.close()
        super().close()


class AnswerReader(io.BufferedReader):
    """Raises IncompleteRead where an answer breaks off, but http.client and urllib3 would take it as whole.

    They read heads, interim heads, the answer to CONNECT, chunk sizes and trailers line by line, and take the end of
    the stream as the empty line that closes each of them (RFC 9112, 2.1 and 7.1). Neither has a setting for that, so
    their reader refuses to end within such a part: every line there has its line feed, or the answer is cut.
    """

    def __init__(self, raw: TimedReader, buffer_bytes: int) -> None:
        super().__init__(raw, buffer_bytes)
        self._timed, self._has_begun = raw, False

    def begin(self, deadline: float) -> None:
        """The next line is the first one of an answer, which is to be read before `deadline`."""
        self._timed.deadline, self._has_begun = deadline, False

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
