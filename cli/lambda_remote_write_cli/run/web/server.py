"""An HTTP server for a handful of clients at a time: one request a connection, a thread for each, and a bound on
connections, bytes and seconds, so that a client that is slow on purpose costs nothing but its own connection."""

from __future__ import annotations

import contextlib
import http.client
import io
import socket
import socketserver
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from email.message import Message
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler
from typing import Any

MAX_CONNECTIONS = 16
_MAX_LINE, _MAX_HEAD, _MAX_BODY = 4_096, 16_384, 65_536  # bytes of a request
_SECONDS = 10.0  # for all of a request, and for all of an answer
_POLL_SECONDS = 0.05  # between looks at connections that are overdue, and the longest that `close` waits
_LATE_SECONDS = 86_400.0  # while an answer is being made nothing is overdue
TEXT = "text/plain; charset=utf-8"
_BUSY = (
    b"HTTP/1.1 503 Service Unavailable\r\nConnection: close\r\nContent-Length: 43\r\n\r\n"
    b"too many connections at once; try again now"
)
_HEADERS = {
    "Cache-Control": "no-store",
    "Connection": "close",
    "Content-Security-Policy": "default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
}


@dataclass(frozen=True, slots=True)
class Request:
    """`path` has no query."""

    method: str
    path: str
    headers: Message


@dataclass(frozen=True, slots=True)
class Response:
    """`headers` come on top of those that every answer has, and replace them."""

    status: int
    body: bytes
    content_type: str = TEXT
    headers: Mapping[str, str] = field(default_factory=dict)


def plain(status: int, text: str, **headers: str) -> Response:
    """A line of text."""
    return Response(status, f"{text}\n".encode("utf-8", "replace"), headers=headers)


Respond = Callable[[Request], Response]


class Server:
    """Answers what comes to `listener`, until the process ends or `close` is called. `respond` is called in threads of
    its own, and raises nothing. A client has `seconds` for all of its request, and for all of the answer."""

    def __init__(self, listener: socket.socket, respond: Respond, seconds: float = _SECONDS) -> None:
        self.address: tuple[str, int] = listener.getsockname()[:2]
        self._server = _BoundedServer(listener, respond, seconds)

    def start(self) -> None:
        threading.Thread(target=self._server.serve_forever, args=(_POLL_SECONDS,), name="web", daemon=True).start()

    def close(self) -> None:
        """Ends at once, whatever its clients do."""
        self._server.shutdown()
        self._server.server_close()


class _BoundedServer(socketserver.ThreadingMixIn, socketserver.TCPServer):
    daemon_threads, block_on_close = True, False

    def __init__(self, listener: socket.socket, respond: Respond, seconds: float) -> None:
        super().__init__(listener.getsockname()[:2], _Handler, bind_and_activate=False)
        self.socket.close()
        self.socket, self.respond, self.seconds = listener, respond, seconds
        self._overdue_at: dict[socket.socket, float] = {}  # monotonic seconds, by connection
        self._lock = threading.Lock()

    def get_request(self) -> tuple[socket.socket, Any]:
        try:
            return super().get_request()
        except OSError:
            time.sleep(_POLL_SECONDS)  # no file descriptor is left, for one; to try again at once would only cost time
            raise

    def process_request(self, request: Any, client_address: Any) -> None:
        request.settimeout(self.seconds)
        with self._lock:
            is_full = len(self._overdue_at) >= MAX_CONNECTIONS
            if not is_full:
                self._overdue_at[request] = time.monotonic() + self.seconds
        if not is_full:
            super().process_request(request, client_address)
            return
        request.setblocking(False)
        with contextlib.suppress(OSError):
            request.send(_BUSY)
        self.shutdown_request(request)

    def shutdown_request(self, request: Any) -> None:
        """Its end, whatever became of it: also when no thread could be had for it."""
        with self._lock:
            self._overdue_at.pop(request, None)
        super().shutdown_request(request)

    def allow(self, request: socket.socket, seconds: float) -> None:
        """The next step of a connection may take so long."""
        with self._lock:
            self._overdue_at[request] = time.monotonic() + seconds

    def service_actions(self) -> None:
        """Cuts connections that are overdue, whatever they trickle; their threads end with an error."""
        now = time.monotonic()
        with self._lock:
            overdue = [one for one, at in self._overdue_at.items() if at <= now]
        for one in overdue:
            with contextlib.suppress(OSError):  # it has ended meanwhile
                one.shutdown(socket.SHUT_RDWR)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """The client went away, or was cut: what `respond` does raises nothing."""


class _HeadReader:
    """Lines of a request's head, whose sum is bounded."""

    def __init__(self, source: io.BufferedIOBase) -> None:
        self._source, self._left = source, _MAX_HEAD

    def readline(self, limit: int = -1) -> bytes:
        line = self._source.readline(self._left + 1 if limit < 0 else min(limit, self._left + 1))
        self._left -= len(line)
        if self._left < 0:
            raise http.client.LineTooLong("header")
        return line

    def read(self, size: int) -> bytes:
        return self._source.read(size)

    def close(self) -> None:
        self._source.close()


class _Handler(BaseHTTPRequestHandler):
    server: _BoundedServer
    protocol_version = "HTTP/1.1"

    def setup(self) -> None:
        super().setup()
        self.rfile = _HeadReader(self.rfile)  # type: ignore[assignment]

    def handle(self) -> None:
        """One request."""
        self.close_connection, self.command, self.requestline = True, "", ""
        self.raw_requestline = self.rfile.readline(_MAX_LINE + 1)
        if len(self.raw_requestline) > _MAX_LINE:
            self.send_error(HTTPStatus.REQUEST_URI_TOO_LONG)
        elif self.raw_requestline and self.parse_request() and self._has_body_read():
            self.server.allow(self.connection, _LATE_SECONDS)
            self._answer(self.server.respond(Request(self.command, self.path.partition("?")[0], self.headers)))

    def _has_body_read(self) -> bool:
        """Reads and forgets a body, so that the answer is not lost with what is unread."""
        length = self.headers.get("Content-Length", "0")
        if self.request_version == "HTTP/0.9" or "Transfer-Encoding" in self.headers or not length.isdecimal():
            self.send_error(HTTPStatus.BAD_REQUEST)
            return False
        if len(length) > 9 or int(length) > _MAX_BODY:
            self.send_error(HTTPStatus.REQUEST_ENTITY_TOO_LARGE)
            return False
        self.rfile.read(int(length))
        return True

    def send_error(self, code: int, message: str | None = None, explain: str | None = None) -> None:
        """What is wrong with a request that is not even read."""
        self._answer(plain(code, message or HTTPStatus(code).phrase))

    def _answer(self, response: Response) -> None:
        self.server.allow(self.connection, self.server.seconds)
        self.request_version = self.protocol_version  # whatever was asked in, the answer has a head
        self.send_response_only(response.status)
        own = {"Date": self.date_time_string(), "Content-Type": response.content_type}
        length = {"Content-Length": str(len(response.body))}
        for name, value in {**_HEADERS, **own, **length, **response.headers}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(response.body)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the name that the library gives it
        """Requests are no messages of the process."""
