"""Connections: to a host itself or through a proxy, with TLS or without, each within the time of its exchange.

urllib3 connects, tunnels and makes TLS; http.client, on which its connections stand, writes requests and reads answers.
What is ours: the guard against addresses, one deadline for all steps, and the few kept connections of each host.
Of a push of 1,000 series this takes 13 % more CPU than requests written and answers read by hand. urllib3's pools would
take 28 %, and httpcore 29 %; of a push of 100,000 series the three take 1, 4 and 10 % (`python -m bench http`).
"""

from __future__ import annotations

import contextlib
import functools
import http.client
import logging
import socket
import ssl
import time
import weakref
from dataclasses import replace
from typing import Any

from urllib3.connection import HTTPConnection, HTTPSConnection, ProxyConfig
from urllib3.util import Url, make_headers

from .. import USER_AGENT
from .address import check_addresses, parsed
from .errors import explained
from .response import Response
from .types import ConnectionOptions, HttpRequest

logging.getLogger("urllib3").setLevel(logging.ERROR)  # a warning quotes heads and addresses as they are

_KEPT_PER_HOST = 8


class Connection(HTTPConnection):
    """Serves one exchange at a time, within whose deadline it connects, sends and is read."""

    sock: Any

    def __init__(self, options: ConnectionOptions, host: str, port: int, **more: Any) -> None:
        super().__init__(host, port, **more)
        self._options, self._deadline, self._step = options, 0.0, ""
        self._for_proxy = {} if self.proxy is None else _proxy_headers(options)

    def ask(self, request: HttpRequest, target: str, name: str, deadline: float) -> Response:
        """The answer, of which the body is still to be read. Raises TransportError; `name` is the host's in it."""
        self._deadline, self._step = deadline, "connecting"
        is_kept = self.sock is not None
        try:
            if not is_kept:
                self.connect()
            self._step = "sending the request"
            self.sock.settimeout(self._left_seconds())
            # It may have answered before it closed.
            with contextlib.suppress(BrokenPipeError, ConnectionResetError, ssl.SSLEOFError):
                http.client.HTTPConnection.request(self, request.method, target, request.body, self._headers(request))
            self._step = "waiting for the answer"
            return http.client.HTTPConnection.getresponse(self)  # type: ignore[return-value]  # of `response_class`
        except Exception as error:
            raise explained(error, name, self._step, is_kept=is_kept, is_at_proxy=self._is_at_proxy()) from None

    def _headers(self, request: HttpRequest) -> dict[str, str]:
        given = {name.lower() for name in request.headers}
        own = {} if "user-agent" in given else {"User-Agent": USER_AGENT}
        return {**own, **request.headers, **({} if self.proxy_is_tunneling else self._for_proxy)}

    def _is_at_proxy(self) -> bool:
        """Whether the proxy is all that was reached, if that."""
        is_connecting = self._step == "connecting" and not self.has_connected_to_proxy
        return self.proxy is not None and (is_connecting or self._step == "asking the proxy")

    def _left_seconds(self) -> float:
        """A socket's timeout may not be zero."""
        return max(self._deadline - time.monotonic(), 0.001)

    # what the libraries call

    def response_class(self, sock: Any, method: str | None = None) -> Response:  # type: ignore[override]
        return Response(sock, self._deadline, method)

    def _new_conn(self) -> socket.socket:
        if path := self._options.unix_socket:
            return _connect_unix(path, self._left_seconds())
        return _connect(self._dns_host, self.port, self._options, self._deadline)

    def _tunnel(self) -> None:
        self._step = "asking the proxy"
        super()._tunnel()
        self._step = "connecting"


class SecureConnection(Connection, HTTPSConnection):
    pass


def _connect(host: str, port: int, options: ConnectionOptions, deadline: float) -> socket.socket:
    """TCP to the first address that answers; each address gets its share of the time, so that one dead address
    does not use up the time of the next."""
    addresses = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    if options.refuse_link_local:
        check_addresses(host, port, [str(address[0]) for *_, address in addresses], options)
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


class HostConnections:
    """The connections to one host, or to a proxy for it. Each serves one exchange at a time."""

    def __init__(self, options: ConnectionOptions, url: Url) -> None:
        self._options, self._url = options, url
        self._kept: list[Connection] = []
        self._is_closed = False
        weakref.finalize(self, _close_all, self._kept)

    def take(self) -> Connection:
        """A kept connection that the other side has not closed, else a new one."""
        while self._kept:
            with contextlib.suppress(IndexError):  # another thread was quicker
                connection = self._kept.pop()
                if connection.is_connected:
                    return connection
                connection.close()
        return self._new()

    def _new(self) -> Connection:
        options, url = self._options, self._url
        proxy = parsed(options.proxy_url) if options.proxy_url else None
        has_tls = "https" in (url.scheme, proxy and proxy.scheme)
        # Reading the CA bundle takes longer than a push, so only TLS pays for it.
        tls = _tls_options(options) if has_tls else {}
        kind = SecureConnection if has_tls else Connection
        if proxy is None:
            return kind(options, *_host_and_port(url), **tls)
        tls["proxy_config"] = ProxyConfig(tls.get("ssl_context"), False, None, None)
        connection = kind(replace(options, refuse_link_local=False), *_host_and_port(proxy), proxy=proxy, **tls)
        if url.scheme == "https":
            connection.set_tunnel(*_host_and_port(url), _proxy_headers(options), scheme=proxy.scheme or "http")
        return connection

    def keep(self, connection: Connection) -> None:
        if self._is_closed or len(self._kept) >= _KEPT_PER_HOST:
            connection.close()
        else:
            self._kept.append(connection)

    def close(self) -> None:
        self._is_closed = True
        _close_all(self._kept)


def _host_and_port(url: Url) -> tuple[str, int]:
    default = 443 if url.scheme == "https" else 80
    return (url.host or "").strip("[]"), default if url.port is None else url.port


def _close_all(connections: list[Connection]) -> None:
    while connections:
        connections.pop().close()


def _tls_options(options: ConnectionOptions) -> dict[str, Any]:
    plain = replace(
        options,
        proxy_url="",
        proxy_headers=(),
        refuse_link_local=False,
        refuse_loopback=False,
        runtime_port=0,
        unix_socket="",
    )
    found: dict[str, Any] = {"ssl_context": _tls_context(plain)}
    if options.server_name:
        found |= {"server_hostname": options.server_name, "assert_hostname": options.server_name}
    if not options.verify:
        found |= {"cert_reqs": "CERT_NONE", "assert_hostname": False}
    return found


def _proxy_headers(options: ConnectionOptions) -> dict[str, str]:
    headers = dict(options.proxy_headers)
    auth = parsed(options.proxy_url).auth
    if auth:
        headers |= make_headers(proxy_basic_auth=auth)
    return headers


@functools.lru_cache(maxsize=16)
def _tls_context(options: ConnectionOptions) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.options &= ~ssl.OP_IGNORE_UNEXPECTED_EOF  # Python before 3.11.4 sets it: a cut answer would count as whole
    versions = {"TLS10": "TLSv1", "TLS11": "TLSv1_1", "TLS12": "TLSv1_2", "TLS13": "TLSv1_3"}
    context.minimum_version = ssl.TLSVersion[versions[options.min_version]]
    if options.max_version:
        context.maximum_version = ssl.TLSVersion[versions[options.max_version]]
    if not options.verify:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    elif options.ca:
        context.load_verify_locations(cadata=options.ca)
    else:
        import certifi

        context.load_verify_locations(certifi.where())
    if options.cert:
        _load_client_certificate(context, options)
    return context


def _load_client_certificate(context: ssl.SSLContext, options: ConnectionOptions) -> None:
    """OpenSSL reads certificate and key from a file only."""
    import tempfile

    with tempfile.NamedTemporaryFile("w", suffix=".pem") as file:
        file.write(f"{options.cert}\n{options.key}\n")
        file.flush()
        context.load_cert_chain(file.name)
