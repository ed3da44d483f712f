"""An answer that breaks off is an error, wherever it breaks off and whichever way it comes. RFC 9112, 8: "If a response
terminates in the middle of the header section (before the empty line is received) [...] the client cannot assume that
meaning has been conveyed"."""

from __future__ import annotations

import socket
import ssl
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass

import pytest

from lambda_remote_write.http import ConnectionOptions, HttpRequest, Transport, TransportError
from lambda_remote_write.http.errors import explained
from tests.rig.tls_peers import Certificates, head_of, listening, make_certificates

pytestmark = pytest.mark.slow  # every byte of an answer is cut once

ESTABLISHED = b"HTTP/1.1 200 Connection established\r\nVia: 1.1 test\r\n\r\n"
OK = b"HTTP/1.1 200 OK\r\n"
BROKEN = ("reset", "protocol", "proxy")  # kinds of an error; the last where a proxy ends without a word
CHUNKED = OK + b"Transfer-Encoding: chunked\r\n\r\n"


@dataclass(frozen=True, slots=True)
class Way:
    """`scheme` is the target's; `proxy` that of a proxy before it. `notifies`: TLS ends with a close_notify."""

    scheme: str
    proxy: str = ""
    notifies: bool = True

    @property
    def is_cut(self) -> bool:
        """Whether anything between the two sides could have ended the connection."""
        return "https" in (self.scheme, self.proxy) and not self.notifies


WAYS = {
    "plain": Way("http"),
    "TLS": Way("https"),
    "TLS without a notice": Way("https", notifies=False),
    "proxy": Way("http", "http"),
    "tunnel": Way("https", "http"),
    "tunnel without a notice": Way("https", "http", notifies=False),
    "TLS proxy": Way("http", "https"),
    "TLS proxy without a notice": Way("http", "https", notifies=False),
}
PLAIN, CUT_TLS = WAYS["plain"], WAYS["TLS without a notice"]
every_way = pytest.mark.parametrize("way", WAYS.values(), ids=list(WAYS))


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    return make_certificates(tmp_path_factory.mktemp("tls"), "IP:127.0.0.1,DNS:target.test")


class Peer:
    """A server, a proxy, or a tunnel with the server behind it. Each connection gets the `first` answers, then
    `answer`, and ends. `requests` is what it was asked, `tunnels` how often for a tunnel."""

    def __init__(self, certificates: Certificates, way: Way) -> None:
        self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._context.load_cert_chain(certificates.path("server"), certificates.path("server-key"))
        self._ca, self._way = certificates.text("ca"), way
        self.first: Sequence[bytes] = ()
        self.answer, self.established = b"", ESTABLISHED
        self.requests, self.tunnels, self.port = 0, 0, 0

    def serve(self, connection: socket.socket) -> None:
        way = self._way
        with suppress(OSError):
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            if "https" in (way.proxy, way.scheme if not way.proxy else ""):
                self._serve_tls(connection)
            elif way.proxy and way.scheme == "https":
                self._serve_tunnel(connection)
            else:
                self._serve(connection)

    def _serve_tls(self, connection: socket.socket) -> None:
        with self._context.wrap_socket(connection, server_side=True) as secure:
            self._serve(secure)
            if self._way.notifies:
                secure.unwrap()

    def _serve_tunnel(self, connection: socket.socket) -> None:
        if head_of(connection):
            self.tunnels += 1
            connection.sendall(self.established)
            if self.established == ESTABLISHED:
                self._serve_tls(connection)

    def _serve(self, connection: socket.socket) -> None:
        for answer in (*self.first, self.answer):
            if not head_of(connection):
                return
            self.requests += 1
            connection.sendall(answer)

    def ask(self, transport: Transport, method: str = "GET") -> object:
        """Status and body of a whole answer, or the kind of its error."""
        try:
            with transport.send(self.request(method), self.connection_options, 5) as answer:
                return answer.status, b"".join(answer.chunks())
        except TransportError as error:
            return error.kind

    def ask_once(self, method: str = "GET") -> object:
        """The same over a connection of its own."""
        transport = Transport()
        try:
            return self.ask(transport, method)
        finally:
            transport.close()

    def request(self, method: str = "GET") -> HttpRequest:
        host = "target.test" if self._way.proxy else f"127.0.0.1:{self.port}"
        return HttpRequest(method, f"{self._way.scheme}://{host}/", {})

    @property
    def connection_options(self) -> ConnectionOptions:
        proxy = f"{self._way.proxy}://127.0.0.1:{self.port}" if self._way.proxy else ""
        return ConnectionOptions(ca=self._ca, proxy_url=proxy)


@contextmanager
def peer_of(certificates: Certificates, way: Way) -> Iterator[Peer]:
    peer = Peer(certificates, way)
    with listening(peer.serve) as peer.port:
        yield peer


ANSWERS = {
    "length": ("GET", OK + b"Content-Length: 5\r\nX-A: b\r\n\r\nhello", (200, b"hello")),
    "trailers": ("GET", CHUNKED + b"5;a=b\r\nhello\r\n10\r\n0123456789abcdef\r\n0\r\nX: 1\r\nY: 2\r\n\r\n",
                 (200, b"hello0123456789abcdef")),
    "no trailers": ("GET", CHUNKED + b"5\r\nhello\r\n0\r\n\r\n", (200, b"hello")),
    "no body": ("POST", OK + b"Content-Length: 0\r\nX-A: b\r\n\r\n", (200, b"")),
    "204": ("POST", b"HTTP/1.1 204 No Content\r\nX-A: b\r\n\r\n", (204, b"")),
    "304": ("GET", b"HTTP/1.1 304 Not Modified\r\nETag: \"x\"\r\nContent-Length: 5\r\n\r\n", (304, b"")),
    "to HEAD": ("HEAD", OK + b"Content-Length: 5\r\n\r\n", (200, b"")),
    "a refusal": ("POST", b"HTTP/1.1 400 Bad Request\r\nContent-Length: 3\r\n\r\nbad", (400, b"bad")),
    "interim": ("POST", b"HTTP/1.1 100 Continue\r\nX-A: b\r\n\r\n" + OK + b"Content-Length: 2\r\n\r\nok", (200, b"ok")),
    "bare line feeds": ("GET", b"HTTP/1.1 200 OK\nContent-Length: 2\n\nok", (200, b"ok")),
}  # fmt: skip


EVERYWHERE = ("length", "trailers")  # each byte of an answer is a handshake: the others come without TLS only
CASES = {
    f"{name}, {way_name}": (way, *answer)
    for name, answer in ANSWERS.items()
    for way_name, way in WAYS.items()
    if name in EVERYWHERE or "https" not in (way.scheme, way.proxy)
}


@pytest.mark.parametrize(("way", "method", "whole", "expected"), CASES.values(), ids=list(CASES))
def test_an_answer_that_is_cut_at_any_byte_is_an_error(
    certificates: Certificates, way: Way, method: str, whole: bytes, expected: object
) -> None:
    """A head ends with an empty line (RFC 9112, 2.1) and so does a chunked body (7.1); a body with a Content-Length
    "is incomplete if the size of the message body received (in octets) is less than the value given" (8)."""
    with peer_of(certificates, way) as peer:
        taken = []
        for length in range(len(whole)):
            peer.answer = whole[:length]
            found = peer.ask_once(method)
            if found not in BROKEN:
                taken.append((whole[:length], found))
        assert taken == []
        peer.answer = whole
        assert peer.ask_once(method) == expected


@every_way
@pytest.mark.parametrize("body", [b"", b"hello"], ids=["empty", "hello"])
def test_a_body_without_a_length_ends_with_its_connection(certificates: Certificates, way: Way, body: bytes) -> None:
    """RFC 9112, 8: such a response "is considered complete unless an error was indicated by the underlying connection
    (e.g., an "incomplete close" in TLS would leave the response incomplete, as described in Section 9.8)"."""
    with peer_of(certificates, way) as peer:
        peer.answer = OK + b"Connection: close\r\n\r\n" + body
        assert peer.ask_once() == ("reset" if way.is_cut else (200, body))


@pytest.mark.parametrize("size", [262_144, 262_143, 524_288, 700_000], ids=str)
def test_a_long_body_without_a_length_is_cut_with_its_tls(certificates: Certificates, size: int) -> None:
    """Also where the pieces in which it is read end just where the stream does."""
    with peer_of(certificates, CUT_TLS) as peer:
        peer.answer = OK + b"\r\n" + bytes(size)
        assert peer.ask_once() == "reset"


def test_a_refusal_is_quoted_as_far_as_it_came(certificates: Certificates) -> None:
    """Its status is known, and many servers end TLS without a notice after an error."""
    transport = Transport()
    with peer_of(certificates, CUT_TLS) as peer:
        peer.answer = b"HTTP/1.1 400 Bad Request\r\n\r\nno such label"
        with transport.send(peer.request("POST"), peer.connection_options, 5) as answer:
            assert (answer.status, answer.read(1000)) == (400, b"no such label")
    transport.close()


@every_way
def test_the_error_says_that_the_connection_broke(certificates: Certificates, way: Way) -> None:
    """And not that TLS failed: that would say that nothing of the request has left, and point at certificates."""
    transport = Transport()
    with peer_of(certificates, way) as peer:
        peer.answer = OK + b"Content-Le"
        with pytest.raises(TransportError, match="the connection broke while waiting for the answer") as caught:
            transport.send(peer.request(), peer.connection_options, 5)
    assert caught.value.kind == "reset"
    transport.close()


EOF = ssl.SSLEOFError(ssl.SSL_ERROR_EOF, "EOF occurred in violation of protocol")


@pytest.mark.parametrize(
    ("step", "kind"),
    [
        ("connecting", "tls"),
        ("sending the request", "reset"),
        ("waiting for the answer", "reset"),
        ("reading the body", "reset"),
    ],
)
def test_an_end_of_tls_without_a_notice_is_a_failure_of_tls_only_in_its_handshake(step: str, kind: str) -> None:
    """Afterwards the request may have left: kind `tls` says that it has not."""
    assert explained(EOF, "host", step).kind == kind


def test_a_tunnel_whose_answer_is_cut_is_none(certificates: Certificates) -> None:
    """RFC 9110, 9.3.6: the tunnel begins "immediately after the blank line that concludes the successful response's
    header section". Nothing is sent into it before."""
    with peer_of(certificates, WAYS["tunnel"]) as peer:
        peer.answer = OK + b"Content-Length: 2\r\n\r\nok"
        assert peer.ask_once() == (200, b"ok")
        peer.requests, taken = 0, []
        for length in range(len(ESTABLISHED)):
            peer.established = ESTABLISHED[:length]
            found = peer.ask_once()
            if found not in BROKEN:
                taken.append((length, found))
        assert (taken, peer.requests, peer.tunnels) == ([], 0, 1 + len(ESTABLISHED))


# --- On a kept connection --------------------------------------------------------------------------------------------

WHOLE = OK + b"Content-Length: 2\r\n\r\nok"
kept_ways = pytest.mark.parametrize("way", [PLAIN, CUT_TLS, WAYS["proxy"]], ids=["plain", "TLS", "proxy"])
BEGUN = {
    "within the status line": b"HTTP/1.1 2",
    "after the status line": OK,
    "within the head's end": WHOLE[:-3],
    "after an interim head": b"HTTP/1.1 100 Continue\r\n\r\n",
    "within the body": WHOLE[:-1],
}


@kept_ways
@pytest.mark.parametrize("come", BEGUN.values(), ids=list(BEGUN))
def test_an_answer_that_had_begun_is_not_asked_for_again(certificates: Certificates, way: Way, come: bytes) -> None:
    """The request was carried out, perhaps: who made it decides what to do."""
    transport = Transport()
    with peer_of(certificates, way) as peer:
        peer.first, peer.answer = [WHOLE], come
        assert [peer.ask(transport, "POST") for _ in range(2)] == [(200, b"ok"), "reset"]
        assert peer.requests == 2
        transport.close()


@kept_ways
def test_a_kept_connection_that_ends_without_a_word_is_replaced(certificates: Certificates, way: Way) -> None:
    """As it is when the other side had closed it before the request came."""
    transport = Transport()
    with peer_of(certificates, way) as peer:
        peer.first, peer.answer = [WHOLE], b""
        assert [peer.ask(transport, "POST") for _ in range(3)] == [(200, b"ok")] * 3
        assert peer.requests == 5  # the second and the third came twice
        transport.close()
