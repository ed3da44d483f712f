"""A loopback HTTP server that misbehaves on command; the stand-ins for AMP and for the API are built on it."""

from __future__ import annotations

import json
import socket
import socketserver
import struct
import sys
import threading
import time
import traceback
from collections import deque
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from email.message import Message
from http.client import responses
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Literal, Self
from urllib.parse import parse_qsl

# Declared when an answer without a body is to be cut short: there must be something to miss.
CUT_EMPTY_BODY_BYTES = 64
# With a linger time of zero, close() throws the connection away: the peer sees a reset, not an end.
LINGER_RESET = struct.pack("ii", 1, 0)


@dataclass(frozen=True, slots=True)
class Answer:
    """One HTTP answer; `fault` says how it is sent when not plainly."""

    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""
    fault: Fault | None = None
    chunked: bool = False

    @classmethod
    def json(cls, value: Any, status: int = 200, headers: Mapping[str, str] | None = None) -> Answer:
        body = json.dumps(value, separators=(",", ":")).encode()
        return cls(status, {"Content-Type": "application/json", **(headers or {})}, body)


@dataclass(frozen=True, slots=True)
class Fault:
    """One way to misbehave. Made by the class methods; `dataclasses.replace` combines two of them."""

    instead: Answer | None = None  # sent in place of the application's answer
    handled: bool = True  # the application sees the request, so its effects happen
    reads_body: bool = True
    delay_seconds: float = 0.0  # before the first byte of the answer
    drip_seconds: float = 0.0  # between the bytes of the answer
    drips_head: bool = True  # else the drip begins with the body
    raw: bytes | None = None  # sent as it is, in place of an HTTP answer
    silent: bool = False  # no byte of an answer is sent
    sent: float = 1.0  # part of the answer's body that is sent
    head_lines: int | None = None  # of the answer's head that are sent, and nothing else of it; None for all
    ending: Literal["keep", "close", "reset", "hang"] = "keep"

    @classmethod
    def status(
        cls, status: int, body: bytes = b"", headers: Mapping[str, str] | None = None, delay_seconds: float = 0.0
    ) -> Fault:
        """A status of our choice; the application never sees the request."""
        return cls(instead=Answer(status, headers or {}, body), handled=False, delay_seconds=delay_seconds)

    @classmethod
    def delay(cls, seconds: float) -> Fault:
        """The application's answer, late."""
        return cls(delay_seconds=seconds)

    @classmethod
    def drip(cls, pause_seconds: float) -> Fault:
        """The application's answer, status line included, one byte at a time."""
        return cls(drip_seconds=pause_seconds)

    @classmethod
    def drip_body(cls, pause_seconds: float) -> Fault:
        """The application's answer: its head at once, its body one byte at a time."""
        return cls(drip_seconds=pause_seconds, drips_head=False)

    @classmethod
    def reset(cls, before_body: bool = False) -> Fault:
        """RST before or after the request's body was read; the application never sees the request."""
        return cls(handled=False, reads_body=not before_body, silent=True, ending="reset")

    @classmethod
    def reset_mid_answer(cls, sent: float = 0.5) -> Fault:
        """RST after part of the answer's body."""
        return cls(sent=sent, ending="reset")

    @classmethod
    def hang(cls) -> Fault:
        """No answer until the server is closed; the application never sees the request."""
        return cls(handled=False, silent=True, ending="hang")

    @classmethod
    def hang_mid_answer(cls, sent: float = 0.5) -> Fault:
        """Part of the answer's body, then nothing until the server is closed."""
        return cls(sent=sent, ending="hang")

    @classmethod
    def half_answer(cls, sent: float = 0.5) -> Fault:
        """Content-Length promises more than is sent before the connection ends."""
        return cls(sent=sent, ending="close")

    @classmethod
    def cut_head(cls, lines: int = 1) -> Fault:
        """The connection ends within the answer's head, after so many lines of it."""
        return cls(head_lines=lines, ending="close")

    @classmethod
    def garbage(cls, raw: bytes = b"\x15\x03\x03\x00\x02\x02\x16 this is not HTTP\r\n\r\n") -> Fault:
        """Bytes that are no HTTP answer; the application never sees the request."""
        return cls(handled=False, raw=raw, ending="close")

    @classmethod
    def lost_answer(cls) -> Fault:
        """The application does its work, but its answer is lost on the way."""
        return cls(silent=True, ending="reset")

    @classmethod
    def dead_keep_alive(cls) -> Fault:
        """A good answer; then the connection is closed without having been announced as closing."""
        return cls(ending="close")


class FaultScript:
    """Which request misbehaves how: a queue consumed one per request, then the permanent one. Thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._queue: deque[Fault | None] = deque()
        self._permanent: Fault | None = None

    def script(self, *faults: Fault | None) -> None:
        """Queue behaviours for the next requests; None stands for a request that is treated well."""
        with self._lock:
            self._queue.extend(faults)

    def always(self, fault: Fault | None) -> None:
        """Behave so whenever the queue is empty; None ends it."""
        with self._lock:
            self._permanent = fault

    def end(self) -> None:
        """All requests are treated well from now on."""
        with self._lock:
            self._queue.clear()
            self._permanent = None

    def next(self) -> Fault | None:
        with self._lock:
            return self._queue.popleft() if self._queue else self._permanent


@dataclass(frozen=True, slots=True)
class Request:
    """One HTTP request as it arrived; `headers` is case-insensitive and keeps repetitions."""

    method: str
    path: str
    query: str
    headers: Message
    body: bytes
    received_at: float
    fault: Fault | None = None

    @property
    def params(self) -> dict[str, str]:
        """The decoded query parameters; of a repeated one the last."""
        return dict(parse_qsl(self.query, keep_blank_values=True))


Responder = Callable[[Request], Answer | Fault]
Planner = Callable[[str, str], Fault | None]


class LoopbackServer:
    """Answers on 127.0.0.1 with what `respond` returns, the way the request's fault says.

    `plan(method, path)` chooses the fault before the body is read. A request whose fault is not `handled` is still
    shown to `respond`, which may record it but must not act on it. A responder that raises answers 500; leaving the
    `with` block raises its exception.
    """

    def __init__(
        self,
        respond: Responder,
        *,
        plan: Planner | None = None,
        now: Callable[[], float] = time.time,
        port: int = 0,
    ) -> None:
        """`port` 0 is any that is free. Raises OSError when it is taken."""
        self.respond = respond
        self.plan: Planner = plan or (lambda method, path: None)
        self.now = now
        self.errors: list[Exception] = []
        self._closing = threading.Event()
        self._server = _Server(self, port)
        self.port: int = self._server.server_address[1]
        self.base_url = f"http://127.0.0.1:{self.port}"
        # A short poll interval, because it is how long close() waits.
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,), name="sandbox", daemon=True)
        self._thread.start()

    @property
    def connections(self) -> int:
        """How many connections were accepted so far."""
        return self._server.accepted

    def pause(self, seconds: float | None) -> None:
        """Sleep, or until the server closes when None; ends the request when the server closes meanwhile."""
        if self._closing.wait(seconds):
            raise ConnectionAbortedError("the server is closing")

    def close(self) -> None:
        """Stop listening and end every connection, hung ones included. May be called twice."""
        if self._closing.is_set():
            return
        self._closing.set()
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()
        self._server.end_connections()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        self.close()
        if kind is None and self.errors:
            raise self.errors[0]


class Served:
    """What all stand-ins share: a server, which ends with the `with` block."""

    _server: LoopbackServer

    @property
    def connections(self) -> int:
        return self._server.connections

    def close(self) -> None:
        self._server.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: Any) -> None:
        self._server.__exit__(*exc)


class StandIn(Served):
    """One with faults for its next requests, whichever they are."""

    _faults: FaultScript

    def script(self, *faults: Fault | None) -> None:
        """Queue behaviours for the next requests, one each; None is a request treated well."""
        self._faults.script(*faults)

    def always(self, fault: Fault | None) -> None:
        """Treat every request so while nothing is queued; None ends it."""
        self._faults.always(fault)


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128

    def __init__(self, owner: LoopbackServer, port: int) -> None:
        self.owner = owner
        self.accepted = 0
        self.to_reset: set[socket.socket] = set()
        self._open: set[socket.socket] = set()
        self._changed = threading.Condition()
        super().__init__(("127.0.0.1", port), _Handler)

    def server_bind(self) -> None:
        # HTTPServer's own asks the resolver for the host's name, which can take seconds and is never used here.
        socketserver.TCPServer.server_bind(self)
        self.server_name, self.server_port = "127.0.0.1", self.server_address[1]

    def process_request(self, request: Any, client_address: Any) -> None:
        with self._changed:
            self.accepted += 1
            self._open.add(request)
        super().process_request(request, client_address)

    def shutdown_request(self, request: Any) -> None:
        if request in self.to_reset:
            # An orderly shutdown would send FIN first, and the client would see an end instead of a reset.
            self.to_reset.discard(request)
            self.close_request(request)
        else:
            super().shutdown_request(request)
        with self._changed:
            self._open.discard(request)
            self._changed.notify_all()

    def end_connections(self) -> None:
        with self._changed:
            for connection in self._open:
                with suppress(OSError):
                    connection.shutdown(socket.SHUT_RDWR)
            self._changed.wait_for(lambda: not self._open, timeout=2)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    server: _Server

    def handle(self) -> None:
        # A client that gave up, or a server that closes, ends the connection and nothing else.
        with suppress(ConnectionError, TimeoutError):
            super().handle()

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the name is http.server's
        """Silence: callers record requests themselves."""

    def _serve(self) -> None:
        owner = self.server.owner
        path, _, query = self.path.partition("?")
        fault = owner.plan(self.command, path)
        body = self._read_body() if fault is None or fault.reads_body else b""
        if body is None:
            self._send(Answer(411), Fault(ending="close"))
            return
        answer = self._ask(Request(self.command, path, query, self.headers, body, owner.now(), fault))
        fault = fault or answer.fault or Fault()
        self._send(fault.instead or answer, fault)

    do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = _serve  # noqa: N815 - the names are http.server's

    def _read_body(self) -> bytes | None:
        """The body, or None when its length was not stated."""
        if "Transfer-Encoding" in self.headers:
            return None
        length = int(self.headers.get("Content-Length", 0))
        body = self.rfile.read(length)
        if len(body) < length:
            raise ConnectionResetError("the client left before the end of its body")
        return body

    def _ask(self, request: Request) -> Answer:
        try:
            answer = self.server.owner.respond(request)
        except Exception as error:  # the responder is a test's or ours: whatever it raises belongs to the test
            self.server.owner.errors.append(error)
            traceback.print_exc(file=sys.stderr)
            return Answer(500, body=repr(error).encode())
        return Answer(fault=answer) if isinstance(answer, Fault) else answer

    def _send(self, answer: Answer, fault: Fault) -> None:
        owner = self.server.owner
        if fault.delay_seconds:
            owner.pause(fault.delay_seconds)
        payload = b"" if fault.silent else self._encode(answer, fault) if fault.raw is None else fault.raw
        if fault.head_lines is not None:
            payload = b"".join(payload.splitlines(keepends=True)[: fault.head_lines])
        if fault.drip_seconds:
            head = 0 if fault.drips_head else payload.find(b"\r\n\r\n") + 4
            self.wfile.write(payload[:head])
            for position in range(head, len(payload)):
                self.wfile.write(payload[position : position + 1])
                owner.pause(fault.drip_seconds)
        elif payload:
            self.wfile.write(payload)
        self._end(fault)

    def _encode(self, answer: Answer, fault: Fault) -> bytes:
        body, length = answer.body, len(answer.body)
        if fault.sent < 1:
            length = length or CUT_EMPTY_BODY_BYTES
            body = body[: int(len(body) * fault.sent)]
        headers = {"Date": self.date_time_string(), **answer.headers}
        if answer.chunked:
            headers["Transfer-Encoding"] = "chunked"
            body = _chunks(body, complete=fault.sent == 1)
        else:
            headers["Content-Length"] = str(length)
        head = [f"HTTP/1.1 {answer.status} {responses.get(answer.status, 'Unknown')}"]
        head += [f"{name}: {value}" for name, value in headers.items()]
        return "\r\n".join([*head, "", ""]).encode("latin-1") + body

    def _end(self, fault: Fault) -> None:
        if fault.ending == "hang":
            self.server.owner.pause(None)
        if fault.ending == "reset":
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, LINGER_RESET)
            self.server.to_reset.add(self.connection)
        if fault.ending != "keep":
            self.close_connection = True


def _chunks(body: bytes, complete: bool) -> bytes:
    pieces = [body[at : at + 1024] for at in range(0, len(body), 1024)]
    encoded = b"".join(b"%x\r\n%b\r\n" % (len(piece), piece) for piece in pieces)
    return encoded + b"0\r\n\r\n" if complete else encoded
