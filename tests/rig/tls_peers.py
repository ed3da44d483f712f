"""Other parties of a fetch: a TLS server with its own certificates, and a proxy. All on loopback, all small."""

from __future__ import annotations

import select
import socket
import ssl
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import cast
from urllib.parse import urlsplit

OK_ANSWER = (
    b'HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 7\r\nConnection: close\r\n\r\n{"v":1}'
)


@dataclass(frozen=True, slots=True)
class Certificates:
    """PEM files of a throw-away CA, a server certificate for `names` and a client certificate."""

    folder: Path

    def path(self, name: str) -> str:
        return str(self.folder / f"{name}.pem")

    def text(self, name: str) -> str:
        return (self.folder / f"{name}.pem").read_text(encoding="ascii")


def make_certificates(folder: Path, server_names: str) -> Certificates:
    """`server_names` is a subjectAltName, as DNS:api.test,IP:127.0.0.1."""

    def openssl(*arguments: str) -> None:
        subprocess.run(["openssl", *arguments], cwd=folder, check=True, capture_output=True)

    key = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2")
    usage = ("-addext", "keyUsage=critical,keyCertSign,cRLSign")
    openssl("req", "-x509", *key, *usage, "-subj", "/CN=Test CA", "-keyout", "ca-key.pem", "-out", "ca.pem")
    for name, alternative in (("server", server_names), ("client", "DNS:client.test")):
        signer = ("-CA", "ca.pem", "-CAkey", "ca-key.pem", "-addext", f"subjectAltName={alternative}")
        kind = ("-addext", "basicConstraints=critical,CA:FALSE", "-subj", f"/CN={name}")
        openssl("req", "-x509", *key, *signer, *kind, "-keyout", f"{name}-key.pem", "-out", f"{name}.pem")
    return Certificates(folder)


@dataclass(slots=True)
class Seen:
    """What a peer saw: request texts, names of client certificates, handshakes that failed."""

    requests: list[str] = field(default_factory=list)
    clients: list[str] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)
    port: int = 0


def _server_context(certificates: Certificates) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificates.path("server"), certificates.path("server-key"))
    return context


@contextmanager
def tls_server(certificates: Certificates, answer: bytes = OK_ANSWER, *, client: str = "none") -> Iterator[Seen]:
    """Gives every connection the same answer. `client` certificates: none, wanted or required."""
    context = _server_context(certificates)
    if client != "none":
        context.load_verify_locations(certificates.path("ca"))
        context.verify_mode = ssl.CERT_REQUIRED if client == "required" else ssl.CERT_OPTIONAL
    seen = Seen()

    def serve(connection: socket.socket) -> None:
        try:
            with context.wrap_socket(connection, server_side=True) as secure:
                head = head_of(secure)
                if not head:
                    return
                seen.requests.append(head)
                certificate = secure.getpeercert()
                if certificate:
                    subject = cast("tuple[tuple[tuple[str, str], ...], ...]", certificate["subject"])
                    seen.clients.append(dict(pair[0] for pair in subject)["commonName"])
                secure.sendall(answer)
        except OSError as error:
            seen.failures.append(str(error))

    with listening(serve) as port:
        seen.port = port
        yield seen


@contextmanager
def proxy(
    *,
    drip_seconds: float = 0.0,
    refuse: bytes = b"",
    delay_seconds: float = 0.0,
    certificates: Certificates | None = None,
) -> Iterator[Seen]:
    """A forward proxy for http and a tunnel for https, itself over TLS with `certificates`. `refuse` is sent instead of
    doing its work; the answer to CONNECT can come byte by byte, or late."""
    seen = Seen()

    def serve(connection: socket.socket) -> None:
        with suppress(OSError), _secured(connection, certificates) as connection:
            head = head_of(connection)
            seen.requests.append(head)
            if refuse:
                connection.sendall(refuse)
                return
            method, target = head.split(" ")[:2]
            parts = urlsplit(target if method != "CONNECT" else f"//{target}")
            time.sleep(delay_seconds)
            with socket.create_connection((parts.hostname or "", parts.port or 80), timeout=2) as upstream:
                if method == "CONNECT":
                    for byte in b"HTTP/1.1 200 Connection established\r\n\r\n":
                        connection.sendall(bytes([byte]))
                        time.sleep(drip_seconds)
                else:
                    upstream.sendall(head.replace(target, parts.path or "/", 1).encode("latin-1"))
                _relay(connection, upstream)

    with listening(serve) as port:
        seen.port = port
        yield seen


def head_of(connection: socket.socket) -> str:
    """The head of a request, or what came of it before the end."""
    data = b""
    while b"\r\n\r\n" not in data:
        piece = connection.recv(65536)
        if not piece:
            break
        data += piece
    return data.decode("latin-1")


def _secured(connection: socket.socket, certificates: Certificates | None) -> socket.socket:
    if certificates is None:
        return connection
    return _server_context(certificates).wrap_socket(connection, server_side=True)


def _relay(client: socket.socket, upstream: socket.socket) -> None:
    """Until one of both ends, or is silent for long. In one thread: two must not share a TLS connection."""
    ways = {client: upstream, upstream: client}
    while ready := [client] if _has_decrypted(client) else select.select(ways, [], [], 2)[0]:
        for source in ready:
            piece = source.recv(65536)
            if not piece:
                return
            ways[source].sendall(piece)


def _has_decrypted(connection: socket.socket) -> bool:
    return isinstance(connection, ssl.SSLSocket) and connection.pending() > 0


@contextmanager
def listening(serve: object, listener: socket.socket | None = None) -> Iterator[int]:
    """Calls `serve(connection)` in a thread for each connection; on leaving, all of them end. Gives the port, where
    the listener is not another one."""
    listener = listener or socket.create_server(("127.0.0.1", 0))
    listener.settimeout(0.02)
    ending = threading.Event()
    threads: list[threading.Thread] = []
    connections: list[socket.socket] = []

    def accept() -> None:
        while not ending.is_set():
            with suppress(TimeoutError):
                connection, _ = listener.accept()
                connection.settimeout(2)
                connections.append(connection)
                threads.append(threading.Thread(target=_closing, args=(serve, connection), daemon=True))
                threads[-1].start()

    acceptor = threading.Thread(target=accept, daemon=True)
    acceptor.start()
    try:
        yield listener.getsockname()[1]
    finally:
        ending.set()
        acceptor.join()
        listener.close()
        for connection in connections:
            with suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
        for thread in threads:
            thread.join(timeout=3)


def _closing(serve: object, connection: socket.socket) -> None:
    with connection, suppress(ConnectionError):  # a client that refuses the certificate may leave at any time
        serve(connection)  # type: ignore[operator]
