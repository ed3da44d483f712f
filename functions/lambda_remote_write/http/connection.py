"""Connections: to a host itself or through a proxy, with TLS or without, each within the time of its exchange."""

from __future__ import annotations

import contextlib
import functools
import logging
import socket
import ssl
import threading
import time
import weakref
from dataclasses import replace
from typing import Any, ClassVar

import urllib3
from urllib3 import exceptions as urllib3_errors
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool

from .address import check_addresses
from .http1 import FinalResponse, Reply, read_reply, request_bytes
from .reader import AnswerReader, TimedReader
from .types import ConnectionOptions, HttpRequest

logging.getLogger("urllib3").setLevel(logging.ERROR)  # a warning quotes heads and addresses as they are

CHUNK_BYTES = 256 * 1024
_KEPT_PER_HOST = 8


class _Exchange(threading.local):
    """The exchange of this thread: what it is doing, for the message and for telling a dead kept connection; how long
    it may take; through which channel, for the guard against addresses that hold credentials."""

    reused = False
    step = "connecting"
    deadline = 0.0
    channel = ConnectionOptions()


current = _Exchange()


def left_seconds() -> float:
    """What is left of the time of this thread's exchange; a socket's timeout may not be zero."""
    return max(current.deadline - time.monotonic(), 0.001)


class _TimedSocket:
    """A socket that is read against a deadline, through one buffer as long as nobody closes that; everything else is
    the socket itself."""

    def __init__(self, sock: Any) -> None:
        self._sock = sock
        if hasattr(sock, "suppress_ragged_eofs"):  # of TLS: by default the end without a close_notify is an end
            sock.suppress_ragged_eofs = False
        self._reader: AnswerReader | None = None

    def makefile(self, *_: Any, **__: Any) -> AnswerReader:
        """For one answer, which is read within the time of this thread's exchange."""
        if self._reader is None or self._reader.closed:
            self._reader = AnswerReader(TimedReader(self._sock, current.deadline), CHUNK_BYTES)
        self._reader.begin(current.deadline)
        return self._reader

    def close(self) -> None:
        """The socket itself stays open for an answer that is still being read."""
        self._reader = None
        self._sock.close()

    def stop_reading(self) -> None:
        if self._reader is not None:
            self._reader.close()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._sock, name)


class _TotalTimeout:
    """Mixed into urllib3's connections: connecting, sending and reading share one timeout."""

    sock: Any
    host: str
    port: int
    default_port: ClassVar[int]
    response_class: Any = FinalResponse  # of an answer that the library reads, through a proxy
    _requests = 0

    def ask(self, request: HttpRequest, target: str) -> Reply:
        """One exchange, without a proxy: head and body go out together, a system call and a packet less."""
        current.reused, self._requests = self._requests > 0, self._requests + 1
        if self.sock is None:
            self.connect()
        current.step = "sending the request"
        self.sock.settimeout(left_seconds())
        # It may have answered before it closed.
        with contextlib.suppress(BrokenPipeError, ConnectionResetError, ssl.SSLEOFError):
            self.sock.sendall(request_bytes(request, target, self._host_header()))
        current.step = "waiting for the answer"
        return read_reply(self.sock, request.method)

    def _host_header(self) -> str:
        host = f"[{self.host.strip('[]')}]" if ":" in self.host else self.host
        return host if self.port == self.default_port else f"{host}:{self.port}"

    def _new_conn(self) -> socket.socket:
        current.step = "connecting"
        try:
            if path := current.channel.unix_socket:
                return _connect_unix(path, left_seconds())
            return _connect(getattr(self, "_dns_host", self.host), self.port, left_seconds())
        except socket.gaierror as error:
            raise urllib3_errors.NameResolutionError(self.host, self, error) from error  # type: ignore[arg-type]
        except TimeoutError as error:
            raise urllib3_errors.ConnectTimeoutError(self, "timed out") from error
        except OSError as error:
            raise urllib3_errors.NewConnectionError(self, str(error)) from error  # type: ignore[arg-type]

    def connect(self) -> None:
        super().connect()  # type: ignore[misc]
        self.sock = _TimedSocket(self.sock)

    def close(self) -> None:
        self._requests = 0
        super().close()  # type: ignore[misc]

    def drop(self) -> None:
        """Closes the connection, whatever is still to be read from it."""
        if isinstance(self.sock, _TimedSocket):
            self.sock.stop_reading()
        self.close()

    # through a proxy, the library asks

    def _tunnel(self) -> None:
        current.step = "asking the proxy"
        plain, self.sock = self.sock, _TimedSocket(self.sock)
        super()._tunnel()  # type: ignore[misc]
        self.sock = plain

    def request(self, *args: Any, **kwargs: Any) -> None:
        current.reused, self._requests = self._requests > 0, self._requests + 1
        current.step = "sending the request"
        if self.sock is not None:
            self.sock.settimeout(left_seconds())
        super().request(*args, **kwargs)  # type: ignore[misc]

    def getresponse(self) -> Any:
        current.step = "waiting for the answer"
        return super().getresponse()  # type: ignore[misc]


def _connect(host: str, port: int, timeout_seconds: float) -> socket.socket:
    """TCP to the first address that answers; each address gets its share of the time, so that one dead address
    does not cost the others."""
    deadline = time.monotonic() + timeout_seconds
    addresses = socket.getaddrinfo(host.strip("[]"), port, type=socket.SOCK_STREAM)
    if current.channel.refuse_link_local:
        check_addresses(host, port, [str(address[0]) for *_, address in addresses], current.channel)
    last: OSError = OSError("no address")
    for index, (family, kind, protocol, _, address) in enumerate(addresses):
        sock = socket.socket(family, kind, protocol)
        try:
            sock.settimeout(max((deadline - time.monotonic()) / (len(addresses) - index), 0.001))
            sock.connect(address)
            sock.settimeout(max(deadline - time.monotonic(), 0.001))
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        except OSError as error:
            sock.close()
            last = error
        else:
            return sock
    raise last


def _connect_unix(path: str, timeout_seconds: float) -> socket.socket:
    """To a socket in the file system, or with a leading @ to an abstract one, as Go reads a path."""
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        sock.settimeout(timeout_seconds)
        sock.connect(f"\0{path[1:]}" if path.startswith("@") else path)
    except TimeoutError:
        sock.close()
        raise
    except (OSError, ValueError) as error:
        sock.close()
        raise OSError(f"{path}: {getattr(error, 'strerror', None) or error}") from None
    return sock


class _Http(_TotalTimeout, HTTPConnection):
    pass


class _Https(_TotalTimeout, HTTPSConnection):
    pass


class _HttpPool(HTTPConnectionPool):
    ConnectionCls = _Http


class _HttpsPool(HTTPSConnectionPool):
    ConnectionCls = _Https

    def _validate_conn(self, conn: Any) -> None:
        """Connects, without the library's warning at every request: insecure_skip_verify is the config's decision."""
        if conn.is_closed:
            conn.connect()


class Host:
    """The connections to one host, without a proxy between. Each serves one exchange at a time."""

    def __init__(self, channel: ConnectionOptions, url: urllib3.util.Url) -> None:
        self._channel, self._url = channel, url
        self._kept: list[_Http | _Https] = []
        self._is_closed = False
        weakref.finalize(self, _close_all, self._kept)

    def take(self) -> _Http | _Https:
        """A kept connection that the other side has not closed, else a new one."""
        while self._kept:
            with contextlib.suppress(IndexError):  # another thread was quicker
                connection = self._kept.pop()
                if connection.is_connected:
                    return connection
                connection.drop()
        return self._new()

    def _new(self) -> _Http | _Https:
        host, port = self._url.host or "", self._url.port
        if self._url.scheme != "https":  # reading the CA bundle takes longer than a push, so only TLS pays for it
            return _Http(host, 80 if port is None else port)
        return _Https(host, 443 if port is None else port, **_tls_options(self._channel))

    def keep(self, connection: _Http | _Https) -> None:
        if self._is_closed or len(self._kept) >= _KEPT_PER_HOST:
            connection.drop()
        else:
            self._kept.append(connection)

    def close(self) -> None:
        self._is_closed = True
        _close_all(self._kept)


def _close_all(connections: list[_Http | _Https]) -> None:
    while connections:
        connections.pop().drop()


def proxy_pool(channel: ConnectionOptions, uses_tls: bool) -> urllib3.PoolManager:
    """Connections through the channel's proxy."""
    options = _tls_options(channel) if uses_tls else {}
    headers = _proxy_headers(channel)
    pool = urllib3.ProxyManager(
        channel.proxy_url, proxy_headers=headers, num_pools=64, maxsize=_KEPT_PER_HOST, **options
    )
    pool.pool_classes_by_scheme = {"http": _HttpPool, "https": _HttpsPool}
    return pool


def _tls_options(channel: ConnectionOptions) -> dict[str, Any]:
    plain = replace(
        channel,
        proxy_url="",
        proxy_headers=(),
        refuse_link_local=False,
        refuse_loopback=False,
        runtime_port=0,
        unix_socket="",
    )
    options: dict[str, Any] = {"ssl_context": _shared_tls_context(plain)}
    if channel.server_name:
        options |= {"server_hostname": channel.server_name, "assert_hostname": channel.server_name}
    if not channel.verify:
        options |= {"cert_reqs": "CERT_NONE", "assert_hostname": False}
    return options


def _proxy_headers(channel: ConnectionOptions) -> dict[str, str]:
    headers = dict(channel.proxy_headers)
    auth = urllib3.util.parse_url(channel.proxy_url).auth
    if auth:
        headers |= urllib3.util.make_headers(proxy_basic_auth=auth)
    return headers


@functools.lru_cache(maxsize=16)
def _shared_tls_context(channel: ConnectionOptions) -> ssl.SSLContext:
    return _tls_context(channel)


def _tls_context(channel: ConnectionOptions) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    versions = {"TLS10": "TLSv1", "TLS11": "TLSv1_1", "TLS12": "TLSv1_2", "TLS13": "TLSv1_3"}
    context.minimum_version = ssl.TLSVersion[versions[channel.min_version]]
    if channel.max_version:
        context.maximum_version = ssl.TLSVersion[versions[channel.max_version]]
    if not channel.verify:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    elif channel.ca:
        context.load_verify_locations(cadata=channel.ca)
    else:
        import certifi

        context.load_verify_locations(certifi.where())
    if channel.cert:
        _load_client_certificate(context, channel)
    return context


def _load_client_certificate(context: ssl.SSLContext, channel: ConnectionOptions) -> None:
    """OpenSSL reads certificate and key from a file only."""
    import tempfile

    with tempfile.NamedTemporaryFile("w", suffix=".pem") as file:
        file.write(f"{channel.cert}\n{channel.key}\n")
        file.flush()
        context.load_cert_chain(file.name)
