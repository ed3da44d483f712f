"""Requests and answers as they go over the wire: an answer is what http.client reads, but for a head without its end or
with lengths that leave it open, and a connection serves again only where RFC 9112 allows it."""

from __future__ import annotations

import contextlib
import gc
import http.client
import io
import re
import socket
import struct
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import pytest
import urllib3
from urllib3.connection import HTTPConnection

from lambda_remote_write import USER_AGENT
from lambda_remote_write.http import Answer, ConnectionOptions, HttpRequest, Transport, TransportError
from lambda_remote_write.http.connection import HostConnections
from lambda_remote_write.http.response import Response
from sandbox.api import Api
from sandbox.server import Answer as Served
from sandbox.server import Fault, Request
from tests.rig.tls_peers import listening

pytestmark = pytest.mark.slow  # what a slow or broken peer sends takes real time

PLAIN = ConnectionOptions()
CUT_OFF = "cut off"
INTERIM = re.compile(rb"HTTP/1\.1 100 [^\r\n]*\r\n(X: 1\r\n)?\r\n")
Read = tuple[int, dict[str, str], bytes, bool] | str


class Wire:
    """A socket of which the whole answer has come, and which keeps what is sent."""

    def __init__(self, come: bytes = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", *, is_raw: bool = True) -> None:
        self._come, self._is_raw = io.BytesIO(come), is_raw
        self.sent = b""

    def makefile(self, *_: Any, **__: Any) -> Any:
        return self._come if self._is_raw else io.BufferedReader(self._come)  # type: ignore[arg-type]

    def sendall(self, data: bytes) -> None:
        self.sent += data

    def settimeout(self, seconds: float) -> None:
        pass

    def close(self) -> None:
        pass


def response_of(come: bytes) -> Response:
    response = Response(Wire(come), time.monotonic() + 60, "GET")
    response.begin()
    return response


def by_us(come: bytes) -> Read:
    """Status, headers, body and whether the connection serves again; or what is wrong."""
    try:
        response = response_of(come)
        body = b"".join(response.chunks())
        return response.status, stripped(response.fields), body, response.is_at_end()
    except http.client.IncompleteRead:
        return CUT_OFF
    except http.client.HTTPException as error:
        return type(error).__name__


def is_framed(headers: Any) -> bool:
    """Whether lengths and codings say where the body ends: RFC 9112, 6.3, and 6.1 for a client that knows `chunked`
    alone. Go's client refuses the others."""
    lengths = {length.strip(" \t\r\n") for length in headers.get_all("Content-Length", [])}
    codings = [coding.lower() for coding in headers.get_all("Transfer-Encoding", [])]
    return len(lengths) < 2 and all(one.isascii() and one.isdigit() for one in lengths) and codings[:2] in (
        [], ["chunked"]
    )  # fmt: skip


def by_http_client(come: bytes) -> Read:
    """The same of http.client alone, except that it does not mind a head without the empty line at its end, and guesses
    where an answer ends of which that is not clear."""
    final = come[interim.end() :] if (interim := INTERIM.match(come)) else come
    if final and not re.search(rb"\n\r?\n", final):
        return CUT_OFF
    try:
        response = http.client.HTTPResponse(Wire(come, is_raw=False), method="GET")  # type: ignore[arg-type]
        response.begin()
        if not is_framed(response.headers):
            return "HTTPException"
        return response.status, stripped(response.headers), response.read(), not response.will_close
    except http.client.IncompleteRead:
        return CUT_OFF
    except http.client.HTTPException as error:
        return type(error).__name__


def stripped(headers: Any) -> dict[str, str]:
    """The first value of each header. White space at its end is no part of it (RFC 9112, 5.1); http.client leaves it
    there."""
    return {name.lower(): headers[name].strip(" \t") for name in headers}


# --- Answers that have come whole ------------------------------------------------------------------------------------

OK = "HTTP/1.1 200 OK\r\n"
FIVE = "Content-Length: 5\r\n"
WHOLE = {
    "plain": f"{OK}{FIVE}\r\nhello",
    "no reason": f"HTTP/1.1 200 \r\n{FIVE}\r\nhello",
    "no reason and no space": f"HTTP/1.1 200\r\n{FIVE}\r\nhello",
    "two spaces in the status line": f"HTTP/1.1  200 OK\r\n{FIVE}\r\nhello",
    "latin-1 in the reason": f"HTTP/1.1 200 \xe9\r\n{FIVE}\r\nhello",
    "a status of four digits": f"HTTP/1.1 2000 OK\r\n{FIVE}\r\nhello",
    "HTTP/1.0": f"HTTP/1.0 200 OK\r\n{FIVE}\r\nhello",
    "HTTP/1.0, kept": f"HTTP/1.0 200 OK\r\n{FIVE}Connection: keep-alive\r\n\r\nhello",
    "HTTP/2": f"HTTP/2 200 OK\r\n{FIVE}\r\nhello",
    "no answer at all": "",
    "100 before it": f"HTTP/1.1 100 Continue\r\n\r\n{OK}{FIVE}\r\nhello",
    "100 with a header before it": f"HTTP/1.1 100 Continue\r\nX: 1\r\n\r\n{OK}{FIVE}\r\nhello",
    "204": "HTTP/1.1 204 No Content\r\n\r\n",
    "204 with a length and no body": f"HTTP/1.1 204 No Content\r\n{FIVE}\r\n",
    "204 with a body": f"HTTP/1.1 204 No Content\r\n{FIVE}\r\nhello",
    "204, closing": "HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n",
    "304": "HTTP/1.1 304 Not Modified\r\n\r\n",
    "lower case": f"{OK}content-length: 5\r\n\r\nhello",
    "length without a space": f"{OK}Content-Length:5\r\n\r\nhello",
    "length among spaces and tabs": f"{OK}Content-Length: \t 5 \t\r\n\r\nhello",
    "space before the colon": f"{OK}Content-Length : 5\r\n\r\nhello",
    "length with zeros before": f"{OK}Content-Length: 0005\r\n\r\nhello",
    "length with a plus": f"{OK}Content-Length: +5\r\n\r\nhello",
    "negative length": f"{OK}Content-Length: -5\r\n\r\nhello",
    "length with a point": f"{OK}Content-Length: 5.0\r\n\r\nhello",
    "length with an underscore": f"{OK}Content-Length: 0_5\r\n\r\nhello",
    "hexadecimal length": f"{OK}Content-Length: 0x5\r\n\r\nhello",
    "length with a digit beyond ASCII": f"{OK}Content-Length: \xb2\r\n\r\nhe",
    "length with white space beyond ASCII": f"{OK}Content-Length: 5\xa0\r\n\r\nhello",
    "empty length": f"{OK}Content-Length:\r\n\r\nhello",
    "no length": f"{OK}\r\nhello",
    "no length and no body": f"{OK}\r\n",
    "the same length twice": f"{OK}{FIVE}{FIVE}\r\nhello",
    "two lengths": f"{OK}{FIVE}Content-Length: 4\r\n\r\nhello",
    "two lengths, the longer last": f"{OK}Content-Length: 4\r\n{FIVE}\r\nhello",
    "two lengths, in two cases": f"{OK}content-length: 4\r\n{FIVE}\r\nhello",
    "a list of lengths": f"{OK}Content-Length: 5, 5\r\n\r\nhello",
    "length zero": f"{OK}Content-Length: 0\r\n\r\n",
    "length zero and a body": f"{OK}Content-Length: 0\r\n\r\nhello",
    "too short a body": f"{OK}{FIVE}\r\nhell",
    "something behind": f"{OK}{FIVE}\r\nhello!",
    "another answer behind": f"{OK}{FIVE}\r\nhello{OK}{FIVE}\r\nwrong",
    "a line break behind": f"{OK}{FIVE}\r\nhello\r\n",
    "a body with a head's end": f"{OK}{FIVE}\r\n\r\n\r\nx",
    "a body like an answer": f"{OK}Content-Length: {len(OK) + 2}\r\n\r\n{OK}\r\n",
    "a binary body": f"{OK}{FIVE}\r\n\0\xff\r\n\x80",
    "chunked": f"{OK}Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
    "chunked, in capitals": f"{OK}TRANSFER-ENCODING: CHUNKED\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
    "chunked, with extension and trailer": f"{OK}Transfer-Encoding: chunked\r\n\r\n5;a=b\r\nhello\r\n0\r\nX: 1\r\n\r\n",
    "chunked, with a length": f"{OK}{FIVE}Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
    "chunked, cut off": f"{OK}Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n",
    "another coding, with a length": f"{OK}{FIVE}Transfer-Encoding: identity\r\n\r\nhello",
    "an empty coding": f"{OK}{FIVE}Transfer-Encoding:\r\n\r\nhello",
    "closing": f"{OK}{FIVE}Connection: close\r\n\r\nhello",
    "closing, in capitals": f"{OK}{FIVE}CONNECTION: CLOSE\r\n\r\nhello",
    "closing, in a list": f"{OK}{FIVE}Connection: x, Close\r\n\r\nhello",
    "an empty Connection": f"{OK}{FIVE}Connection:\r\n\r\nhello",
    "several values": f"{OK}{FIVE}X: 1\r\nx: 2\r\nX: 1\r\n\r\nhello",
    "cookies": f"{OK}{FIVE}Set-Cookie: a=1, b\r\nSet-Cookie: c=2\r\n\r\nhello",
    "an empty value": f"{OK}X:\r\nY: \r\n{FIVE}\r\nhello",
    "a value of white space": f"{OK}X: \t \r\n{FIVE}\r\nhello",
    "a value with colons": f"{OK}X: a:b: c\r\n{FIVE}\r\nhello",
    "latin-1 in a value": f"{OK}X: \xe9\x85\xa0\r\n{FIVE}\r\nhello",
    "control characters in a value": f"{OK}X: a\0b\x0bc\x1cd\r\n{FIVE}\r\nhello",
    "an odd name": f"{OK}X!(#$~: 1\r\n{FIVE}\r\nhello",
    "a quotation mark in a name": f'{OK}"X": 1\r\n{FIVE}\r\nhello',
    "no name": f"{OK}: 1\r\n{FIVE}\r\nhello",
    "a space in a name": f"{OK}X Y: 1\r\n{FIVE}\r\nhello",
    "a name beyond ASCII": f"{OK}\xe9: 1\r\n{FIVE}\r\nhello",
    "a header without a colon": f"{OK}X\r\n{FIVE}\r\nhello",
    "a folded header": f"{OK}X: a\r\n b\r\n{FIVE}\r\nhello",
    "a folded length": f"{OK}Content-Length:\r\n 5\r\n\r\nhello",
    "a folded line first": f"{OK} X: 1\r\n{FIVE}\r\nhello",
    "bare line feeds": f"{OK}{FIVE}\r\nhello".replace("\r\n", "\n"),
    "a bare line feed in the head": f"{OK}X: 1\n{FIVE}\r\nhello",
    "a bare line feed at the head's end": f"{OK}{FIVE}\nhello",
    "a bare carriage return in a value": f"{OK}X: a\rb\r\n{FIVE}\r\nhello",
    "a length hidden behind a carriage return": f"{OK}X: a\rContent-Length: 4\r\n{FIVE}\r\nhello",
    "no head's end": f"{OK}{FIVE}",
    "no head's end and no length": f"{OK}X: 1\r\n",
    "a status line alone": OK,
}  # fmt: skip


@pytest.mark.parametrize("come", [text.encode("latin-1") for text in WHOLE.values()], ids=list(WHOLE))
def test_an_answer_is_what_http_client_reads(come: bytes) -> None:
    assert by_us(come) == by_http_client(come)


def test_white_space_around_a_value_is_no_part_of_it() -> None:
    """RFC 9112, 5.1."""
    assert response_of(f"{OK}X: \t a  b \t\r\n{FIVE}\r\nhello".encode()).fields["X"] == "a  b"


# --- Requests --------------------------------------------------------------------------------------------------------

REQUESTS = {
    "get": HttpRequest("GET", "http://host/metrics", {}),
    "no path": HttpRequest("GET", "http://host", {}),
    "a query without a path": HttpRequest("GET", "http://host?a=b", {}),
    "a fragment": HttpRequest("GET", "http://host/a?b#c", {}),
    "what must be escaped": HttpRequest("GET", "http://host/a b/\xe9?q=[x]&r={\u2603}", {}),
    "what is escaped": HttpRequest("GET", "http://host/a%2fb%20c", {}),
    "dots": HttpRequest("GET", "http://host/a/../b/./c", {}),
    "the default port": HttpRequest("GET", "http://host:80/", {}),
    "another port": HttpRequest("GET", "http://host:8080/", {}),
    "the port of TLS": HttpRequest("GET", "http://host:443/", {}),
    "capitals": HttpRequest("GET", "HTTP://HOST/A", {}),
    "a dot at the end": HttpRequest("GET", "http://host.:81/", {}),
    "IPv4": HttpRequest("GET", "http://127.0.0.1:9090/", {}),
    "IPv6": HttpRequest("GET", "http://[::1]/", {}),
    "IPv6 and a port": HttpRequest("GET", "http://[2001:DB8::1]:9090/", {}),
    "a user": HttpRequest("GET", "http://user:word@host/", {}),
    "headers": HttpRequest("GET", "http://host/", {"Accept": "a;q=0.5", "X-Empty": "", "X-Latin": "\xe9", "X": "a\tb"}),
    "headers in other cases": HttpRequest(
        "GET", "http://host/", {"host": "other", "ACCEPT-ENCODING": "gzip", "user-AGENT": "me"}
    ),
    "post": HttpRequest("POST", "http://host/", {"Content-Type": "x"}, b"body"),
    "post, binary": HttpRequest("POST", "http://host/", {}, b"\r\n\r\n\0\xff"),
    "post, empty": HttpRequest("POST", "http://host/", {}, b""),
    "post, none": HttpRequest("POST", "http://host/", {}),
    "put, none": HttpRequest("PUT", "http://host/", {}),
    "patch, none": HttpRequest("PATCH", "http://host/", {}),
    "delete, none": HttpRequest("DELETE", "http://host/", {}),
    "get, empty": HttpRequest("GET", "http://host/", {}, b""),
    "get, with a body": HttpRequest("GET", "http://host/", {}, b"body"),
    "a length in another case": HttpRequest("POST", "http://host/", {"content-LENGTH": "4"}, b"body"),
}  # fmt: skip


def parts(sent: bytes) -> tuple[bytes, list[bytes], bytes]:
    """Request line, headers (names in lower case, sorted) and body."""
    head, _, body = sent.partition(b"\r\n\r\n")
    first, *headers = head.split(b"\r\n")
    named = [header.partition(b": ") for header in headers]
    return first, sorted(name.lower() + b": " + value for name, _, value in named), body


@pytest.mark.parametrize("request_", REQUESTS.values(), ids=list(REQUESTS))
def test_a_request_is_what_http_client_writes(request_: HttpRequest) -> None:
    url = urllib3.util.parse_url(request_.url)
    ours, theirs = HostConnections(PLAIN, url).take(), HTTPConnection((url.host or "").strip("[]"), url.port or 80)
    ours.sock, theirs.sock = Wire(), Wire()
    ours.ask(request_, url.request_uri, "host", time.monotonic() + 60)
    headers = {"User-Agent": USER_AGENT, **request_.headers}
    if any(name.lower() == "user-agent" for name in request_.headers):
        del headers["User-Agent"]
    theirs.request(request_.method, url.request_uri, request_.body, headers)
    assert parts(ours.sock.sent) == parts(theirs.sock.sent)


@pytest.mark.parametrize(("url", "host"), [("https://host:443/", "host"), ("https://host:80/", "host:80")])
def test_the_port_of_tls_is_not_named(url: str, host: str) -> None:
    parsed = urllib3.util.parse_url(url)
    connection = HostConnections(PLAIN, parsed).take()
    connection.sock = Wire()
    connection.ask(HttpRequest("GET", url, {}), "/", "host", time.monotonic() + 60)
    assert f"host: {host}".encode() in parts(connection.sock.sent)[1]


# --- Over a real socket ----------------------------------------------------------------------------------------------

Segments = Sequence[bytes | float]  # what is sent, and seconds between


class Peer:
    """A server that answers each request with the next given segments, whichever connection it comes on; a connection
    ends after an answer that ends with None."""

    def __init__(self, *answers: Sequence[bytes | float | None], reads_body: bool = True) -> None:
        self._answers, self._reads_body = list(answers), reads_body
        self._lock, self._listening = threading.Lock(), listening(self._serve)
        self.answered = threading.Semaphore(0)  # one more for each answer that has been sent to its end
        self.open: list[socket.socket] = []
        self.requests: list[bytes] = []

    @property
    def connections(self) -> int:
        return len(self.open)

    def _serve(self, sock: socket.socket) -> None:
        self.open.append(sock)
        with contextlib.suppress(OSError):
            while request := self._request(sock):
                with self._lock:
                    self.requests.append(request)
                    answer = self._answers.pop(0)
                for segment in answer:
                    if segment is None:
                        return
                    if isinstance(segment, bytes):
                        sock.sendall(segment)
                    else:
                        time.sleep(segment)
                self.answered.release()

    def _request(self, sock: socket.socket) -> bytes:
        come = b""
        while b"\r\n\r\n" not in come:
            more = sock.recv(65_536)
            if not more:
                return b""
            come += more
        head, _, body = come.partition(b"\r\n\r\n")
        lengths = [line.split(b":")[1] for line in head.split(b"\r\n") if line.lower().startswith(b"content-length:")]
        while self._reads_body and lengths and len(body) < int(lengths[0]):
            body += sock.recv(1 << 20)
        return head + b"\r\n\r\n" + body

    def __enter__(self) -> Peer:
        self.url = f"http://127.0.0.1:{self._listening.__enter__()}/"
        return self

    def __exit__(self, *_: object) -> None:
        self._listening.__exit__(None, None, None)


@pytest.fixture
def transport() -> Iterator[Transport]:
    """Whatever was left open shows as a ResourceWarning, which is an error here."""
    made = Transport()
    yield made
    made.close()
    del made
    gc.collect()


def body_of(answer: Answer) -> bytes:
    with answer:
        return b"".join(answer.chunks())


Options = Callable[[Peer], ConnectionOptions]


@pytest.fixture(params=["direct", "proxy"])
def options(request: pytest.FixtureRequest) -> Options:
    """Asks the peer itself, or as a proxy."""
    return lambda peer: ConnectionOptions(proxy_url=peer.url) if request.param == "proxy" else PLAIN


def ask(
    transport: Transport,
    peer: Peer,
    body: bytes | None = None,
    seconds: float = 2.0,
    options: ConnectionOptions = PLAIN,
) -> Answer:
    return transport.send(HttpRequest("GET" if body is None else "POST", peer.url, {}, body), options, seconds)


GOOD: Segments = [f"{OK}{FIVE}\r\nhello".encode()]
RIGHT: Segments = [f"{OK}{FIVE}\r\nright".encode()]
SEGMENTS = {
    "one": GOOD,
    "within the status line": [b"HTTP/1.", 0.03, b"1 200 OK\r\nContent-Length: 5\r\n\r\nhello"],
    "within a header": [f"{OK}Content-Le".encode(), 0.03, b"ngth: 5\r\n\r\nhello"],
    "within the head's end": [f"{OK}{FIVE}\r".encode(), 0.03, b"\nhello"],
    "between head and body": [f"{OK}{FIVE}\r\n".encode(), 0.03, b"hello"],
    "within the body": [f"{OK}{FIVE}\r\nhe".encode(), 0.03, b"llo"],
    "100 by itself": [b"HTTP/1.1 100 Continue\r\n\r\n", 0.03, *GOOD],
    "chunks": [f"{OK}Transfer-Encoding: chunked\r\n\r\n".encode(), b"2\r\nhe\r", 0.03, b"\n3\r\nllo\r\n0\r\n", b"\r\n"],
}


@pytest.mark.parametrize("segments", SEGMENTS.values(), ids=list(SEGMENTS))
def test_an_answer_comes_in_segments_and_the_connection_serves_again(transport: Transport, segments: Segments) -> None:
    with Peer(segments, segments, RIGHT) as peer:
        assert [body_of(ask(transport, peer)) for _ in range(3)] == [b"hello", b"hello", b"right"]
        assert peer.connections == 1


NO_BODY = {
    "204": ["HTTP/1.1 204 No Content\r\n\r\n"],
    "204 with a length": [f"HTTP/1.1 204 No Content\r\n{FIVE}\r\n"],
    "204 in two segments": ["HTTP/1.1 204 No Content\r\nX: 1\r\n", 0.03, "\r\n"],
    "204 said to be chunked": ["HTTP/1.1 204 No Content\r\nTransfer-Encoding: chunked\r\n\r\n"],
    "304 said to be chunked": ["HTTP/1.1 304 Not Modified\r\nTransfer-Encoding: chunked\r\n\r\n"],
    "304 with a length": [f"HTTP/1.1 304 Not Modified\r\n{FIVE}\r\n"],
}


@pytest.mark.parametrize("is_read", [False, True], ids=["left", "read"])
@pytest.mark.parametrize("segments", NO_BODY.values(), ids=list(NO_BODY))
def test_an_answer_without_a_body_ends_with_its_head(
    transport: Transport, segments: list[str | float], is_read: bool
) -> None:
    """RFC 9112, 6.3: whatever its header says of a body. A push reads no body after a success."""
    come = [one.encode() if isinstance(one, str) else one for one in segments]
    with Peer(come, RIGHT) as peer:
        with ask(transport, peer, b"x", 0.4) as answer:
            assert answer.status in (204, 304)
            assert not is_read or b"".join(answer.chunks()) == b""
        assert body_of(ask(transport, peer)) == b"right"
        assert peer.connections == 1


CLOSING = {
    "close": f"{OK}{FIVE}Connection: close\r\n\r\nhello",
    "in a list": f"{OK}{FIVE}Connection: x, close\r\n\r\nhello",
    "in a second header": f"{OK}{FIVE}Connection: keep-alive\r\nConnection: close\r\n\r\nhello",
    "HTTP/1.0": f"HTTP/1.0 200 OK\r\n{FIVE}\r\nhello",
}


@pytest.mark.parametrize("come", CLOSING.values(), ids=list(CLOSING))
def test_a_connection_that_is_said_to_close_is_not_used_again(transport: Transport, come: str) -> None:
    """RFC 9112, 9.6, also where the server is slow to close it. Several headers of one name are one list."""
    with Peer([come.encode()], RIGHT) as peer:
        assert body_of(ask(transport, peer)) == b"hello"
        assert body_of(ask(transport, peer)) == b"right"
        assert peer.connections == 2


BEHIND = {
    "in the same segment": [f"{OK}{FIVE}\r\nhello{OK}{FIVE}\r\nwrong".encode()],
    "later": [*GOOD, 0.03, f"{OK}{FIVE}\r\nwrong".encode()],
    "half of it later": [f"{OK}{FIVE}\r\nhello{OK}".encode(), 0.03, f"{FIVE}\r\nwrong".encode()],
    "after a long body": [f"{OK}Content-Length: 9\r\n\r\n".encode(), 0.03, f"123456789{OK}{FIVE}\r\nwrong".encode()],
    "after 204": [f"HTTP/1.1 204 No Content\r\n{FIVE}\r\nwrong".encode()],
}


@pytest.mark.parametrize("segments", BEHIND.values(), ids=list(BEHIND))
def test_what_follows_an_answer_is_not_the_next_one(transport: Transport, segments: Segments) -> None:
    """RFC 9112, 9.2: it belongs to no request."""
    with Peer(segments, RIGHT) as peer:
        body_of(ask(transport, peer))
        assert peer.answered.acquire(timeout=10)
        assert body_of(ask(transport, peer)) == b"right"


def test_a_proxy_is_asked_for_the_whole_address_without_its_fragment(transport: Transport) -> None:
    """RFC 9112, 3.2.2, and RFC 9110, 7.1."""
    with Peer(GOOD) as peer:
        request = HttpRequest("GET", "http://target.test:81/a?b#c", {})
        body_of(transport.send(request, ConnectionOptions(proxy_url=peer.url), 5))
        assert peer.requests[0].startswith(b"GET http://target.test:81/a?b HTTP/1.1\r\nHost: target.test:81\r\n")


def head(status: str, *headers: str) -> str:
    return "".join(f"{line}\r\n" for line in (f"HTTP/1.1 {status}", *headers, ""))


INTERIM_ANSWERS = {
    "100": [head("100 Continue")],
    "102": [head("102 Processing", "X: 1")],
    "103": [head("103 Early Hints", "Link: </x>", "Content-Type: text/html")],
    "unknown": [head("199 Odd")],
    "with a length": [head("103 Early Hints", "Content-Length: 9")],
    "closing": [head("103 Early Hints", "Connection: close")],
    "several": [head("100 Continue"), head("102 Processing"), head("103 Early Hints"), head("100 Continue")],
    "many": [head("102 Processing")] * 300,
}


@pytest.mark.parametrize("is_late", [False, True], ids=["at once", "later"])
@pytest.mark.parametrize("interim", INTERIM_ANSWERS.values(), ids=list(INTERIM_ANSWERS))
def test_interim_answers_are_skipped(
    transport: Transport, interim: list[str], options: Options, *, is_late: bool
) -> None:
    """RFC 9110, 15.2: "A client MUST be able to parse one or more 1xx responses received prior to a final response"."""
    before = "".join(interim).encode()
    answer: Segments = [before, 0.05, *GOOD] if is_late else [before + f"{OK}{FIVE}\r\nhello".encode()]
    with Peer(answer, RIGHT) as peer:
        with ask(transport, peer, options=options(peer)) as found:
            assert (found.status, dict(found.headers)) == (200, {"content-length": "5"})
            assert b"".join(found.chunks()) == b"hello"
        assert body_of(ask(transport, peer, options=options(peer))) == b"right"
        assert peer.connections == 1


def test_switching_protocols_is_the_last_answer(transport: Transport, options: Options) -> None:
    """RFC 9110, 15.2.2: what follows is another protocol, which nothing here asks for."""
    late: Segments = [head("101 Switching Protocols", "X: 1").encode(), 0.3, f"{OK}{FIVE}\r\nwrong".encode()]
    with Peer(late, RIGHT) as peer:
        with ask(transport, peer, options=options(peer)) as answer:
            assert answer.status == 101
        assert body_of(ask(transport, peer, options=options(peer))) == b"right"


def test_interim_answers_without_end_are_cut_at_the_time(transport: Transport) -> None:
    endless: Segments = [part for _ in range(60) for part in (head("102 Processing").encode(), 0.02)]
    with Peer(endless) as peer, pytest.raises(TransportError, match="timed out while waiting for the answer"):
        ask(transport, peer, seconds=0.3)


def test_the_first_line_of_a_header_counts(transport: Transport, options: Options) -> None:
    """Go's Header.Get, by which Prometheus reads Content-Type, Content-Encoding, Location and Retry-After."""
    twice = head("200 OK", "X: 1", FIVE.strip(), "x: 2", "X: 3", "Y:", "Y: 4") + "hello"
    with Peer([twice.encode()]) as peer, ask(transport, peer, options=options(peer)) as answer:
        assert (answer.headers["x"], answer.headers["Y"]) == ("1", "")
        assert (answer.headers.joined("X"), answer.headers.joined("Z")) == ("1, 2, 3", "")


UNCLEAR = {
    "two lengths": [FIVE, "Content-Length: 4\r\n"],
    "a list of lengths": ["Content-Length: 5, 5\r\n"],
    "a length with a plus": ["Content-Length: +5\r\n"],
    "an empty length": ["Content-Length:\r\n"],
    "a length beside chunks": ["Transfer-Encoding: chunked\r\n", FIVE, "Content-Length: 4\r\n"],
    "a coding that is not chunked": ["Transfer-Encoding: gzip\r\n", FIVE],
    "two codings": ["Transfer-Encoding: chunked\r\n", "Transfer-Encoding: identity\r\n"],
}


@pytest.mark.parametrize("lines", UNCLEAR.values(), ids=list(UNCLEAR))
def test_an_answer_of_which_the_end_is_unclear_is_an_error(
    transport: Transport, lines: list[str], options: Options
) -> None:
    """RFC 9112, 6.3: the client "MUST close the connection to the server and discard the received response"."""
    with Peer([f"{OK}{''.join(lines)}\r\n5\r\nhello\r\n0\r\n\r\n".encode()], RIGHT) as peer:
        with pytest.raises(TransportError, match=r"bad Content-Length|unsupported Transfer-Encoding"):
            body_of(ask(transport, peer, options=options(peer)))
        assert body_of(ask(transport, peer, options=options(peer))) == b"right"
        assert peer.connections == 2


BROKEN = {
    "a chunk without a size": [f"{OK}Transfer-Encoding: chunked\r\n\r\nzz\r\nhello\r\n0\r\n\r\n".encode()],
    "a chunk that never ends": [f"{OK}Transfer-Encoding: chunked\r\n\r\n5\r\nhe".encode(), 0.5],
    "a body that never ends": [f"{OK}{FIVE}\r\nhe".encode(), 0.5],
}


@pytest.mark.parametrize("segments", BROKEN.values(), ids=list(BROKEN))
def test_a_connection_whose_answer_was_broken_is_given_up(transport: Transport, segments: Segments) -> None:
    """Where the next answer would begin on it is unknown (RFC 9112, 6.3 and 8)."""
    never_ends = 0.5 in segments  # then the time may be up before the head is here, on a busy machine
    where = r"reading the body|waiting for the answer" if never_ends else "reading the body"
    with Peer(segments, RIGHT) as peer:
        with pytest.raises(TransportError, match=where):
            body_of(ask(transport, peer, seconds=0.2))
        assert body_of(ask(transport, peer)) == b"right"
        assert peer.connections == 2


def test_a_broken_answer_that_was_not_read_raises_nothing(transport: Transport) -> None:
    """A push looks at the status only."""
    with Peer([f"{OK}Transfer-Encoding: chunked\r\n\r\nzz\r\n".encode()], RIGHT) as peer:
        with ask(transport, peer, b"x", 0.3) as answer:
            assert answer.status == 200
        assert body_of(ask(transport, peer)) == b"right"


@pytest.mark.parametrize("kept", [False, True], ids=["fresh", "kept"])
@pytest.mark.parametrize("ending", ["close", "reset"])
def test_an_answer_that_comes_before_the_body_was_sent_is_read(transport: Transport, kept: bool, ending: str) -> None:
    """A receiver that refuses a large body by its head answers, and closes with most of the body unread."""
    refusal = b"HTTP/1.1 413 Too Large\r\nContent-Length: 9\r\nConnection: close\r\n\r\ntoo large"
    first = [GOOD] if kept else []
    with Peer(*first, [refusal, 0.05, None], RIGHT, reads_body=False) as peer:
        if kept:
            body_of(ask(transport, peer))
        if ending == "reset":
            for sock in peer.open:
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        answer = ask(transport, peer, b"x" * 8_000_000)
        assert (answer.status, answer.resent, answer.read(100)) == (413, False, b"too large")
        with answer:
            pass
        assert body_of(ask(transport, peer)) == b"right"
        assert len(peer.requests) == 2 + kept


@contextlib.contextmanager
def answering_once(answer: bytes) -> Iterator[tuple[str, list[socket.socket]]]:
    """A server that answers the first request of one connection, and then leaves that alone -> its URL, and the
    connection."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        taken: list[socket.socket] = []

        def serve() -> None:
            taken.append(server.accept()[0])
            taken[0].recv(65_536)
            taken[0].sendall(answer)

        thread = threading.Thread(target=serve)
        thread.start()
        yield f"http://127.0.0.1:{server.getsockname()[1]}/", taken
        thread.join()
        taken[0].close()


def test_a_kept_connection_that_does_not_take_the_request_is_cut_in_time(transport: Transport) -> None:
    """In the time of this exchange: the one before had more."""
    with answering_once(f"{OK}{FIVE}\r\nhello".encode()) as (url, _):
        body_of(transport.send(HttpRequest("GET", url, {}), PLAIN, 10))
        started = time.monotonic()
        with pytest.raises(TransportError, match="timed out while sending the request"):
            transport.send(HttpRequest("POST", url, {}, b"x" * 50_000_000), PLAIN, 0.3)
        assert time.monotonic() - started < 6


def test_when_one_kept_connection_has_died_the_others_are_not_tried(transport: Transport) -> None:
    with Peer(GOOD, GOOD, [None], RIGHT) as peer:
        for answer in [ask(transport, peer) for _ in range(2)]:
            body_of(answer)
        assert peer.connections == 2
        assert body_of(ask(transport, peer)) == b"right"
        assert peer.connections == 3


def test_an_answer_that_is_left_unread_ends_its_connection_at_once(transport: Transport) -> None:
    """Also the last one of its connection, whose reader has the socket to itself."""
    with answering_once(f"{OK}{FIVE}Connection: close\r\n\r\nhe".encode()) as (url, taken):
        answer = transport.send(HttpRequest("GET", url, {}), PLAIN, 5)
        with answer:
            pass
        taken[0].settimeout(5)
        assert taken[0].recv(1) == b""
        assert answer.status == 200


def test_threads_get_their_own_answers(transport: Transport) -> None:
    """Short and long ones, some left unread, over connections that end without a word."""

    def serve(request: Request) -> Served:
        number = int(request.params["n"])
        fault = Fault.dead_keep_alive() if number % 11 == 0 else None
        size = (0, 1, 700, 40_000, 600_000)[number % 5]
        return Served(200, {"X-N": str(number)}, f"{number}:".encode() * size, fault=fault, chunked=number % 3 == 0)

    wrong: list[object] = []

    def work(start: int) -> None:
        for number in range(start, 200, 6):
            try:
                with transport.send(HttpRequest("GET", f"{api.url}/n?n={number}", {}), PLAIN, 10) as answer:
                    body = b"" if number % 7 == 0 else b"".join(answer.chunks())
            except TransportError as error:
                wrong.append(error)
                continue
            if answer.headers["X-N"] != str(number) or body.strip(f"{number}:".encode()):
                wrong.append(number)

    with Api() as api:
        api.serve("/n", serve)
        threads = [threading.Thread(target=work, args=(start,)) for start in range(6)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert wrong == []


def test_closing_while_others_ask_leaves_nothing_open(transport: Transport) -> None:
    """Answers under way are read to their end; their connections are closed behind them."""
    with Api() as api:
        api.serve("/doc", Served(200, {}, b"x" * 100_000))
        request = HttpRequest("GET", f"{api.url}/doc", {})
        open_answers = [transport.send(request, PLAIN, 5) for _ in range(4)]
        transport.close()
        assert [len(body_of(answer)) for answer in open_answers] == [100_000] * 4
        assert len(body_of(transport.send(request, PLAIN, 5))) == 100_000
        assert api.connections == 5
