"""One HTTP exchange over a real socket, with a *total* timeout: a server that drips bytes is cut off at its time.

No redirects, no retries of answers, no environment proxies: whoever calls decides those. Connections are kept
between invocations, but not trusted after a freeze.
"""

from __future__ import annotations

import contextlib
import functools
import io
import ipaddress
import re
import socket
import ssl
import threading
import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from types import TracebackType
from typing import Any

import urllib3
from urllib3 import exceptions as errors
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool

_MAX_IDLE_SECONDS = 30.0  # a connection that idled longer (or was frozen) is likely gone on the other side
_CHUNK_BYTES = 256 * 1024
_MAX_HOSTS = 400
_KEPT_PER_HOST = 8
_METADATA_ADDRESSES = (ipaddress.ip_address("fd00:ec2::254"), ipaddress.ip_address("fd00:ec2::23"))
_NO_HEADER_TEXT = re.compile(r"[^\t\x20-\x7e\x80-\xff]")


class TransportError(Exception):
    """No answer. The message names the host, the step that failed and the likely cause.

    `kind` is one of dns, connect, tls, timeout, reset, protocol, proxy, refused.
    """

    def __init__(self, kind: str, message: str) -> None:
        self.kind = kind
        super().__init__(message)


@dataclass(frozen=True, slots=True)
class Channel:
    """How a connection is made, all secrets resolved: equal channels share connections."""

    ca: str = field(default="", repr=False)
    cert: str = field(default="", repr=False)
    key: str = field(default="", repr=False)
    server_name: str = ""
    verify: bool = True
    min_version: str = "TLS12"
    max_version: str = ""
    proxy_url: str = field(default="", repr=False)
    proxy_headers: tuple[tuple[str, str], ...] = field(default=(), repr=False)
    refuse_link_local: bool = False
    refuse_loopback: bool = False


@dataclass(frozen=True, slots=True)
class HttpRequest:
    method: str
    url: str = field(repr=False)
    headers: Mapping[str, str] = field(repr=False)
    body: bytes | None = field(default=None, repr=False)


class Answer:
    """Status and headers of an answer whose body is read in pieces, within the exchange's total timeout.

    `resent` is True when a kept connection turned out dead and the request was sent again on a new one.
    """

    def __init__(self, response: urllib3.BaseHTTPResponse, host: str, resent: bool) -> None:
        self._response, self._host = response, host
        self.status = response.status
        self.headers = response.headers
        self.resent = resent

    def chunks(self) -> Iterator[bytes]:
        """The body as it comes. Raises TransportError."""
        try:
            yield from self._response.stream(_CHUNK_BYTES, decode_content=False)
        except Exception as error:
            raise _explained(error, self._host, "reading the body") from None

    def read(self, limit: int) -> bytes:
        """At most `limit` bytes of the body; the connection is given up when there are more."""
        taken = bytearray()
        try:
            for chunk in self.chunks():
                taken += chunk
                if len(taken) >= limit:
                    break
        except TransportError:
            pass  # what was read before the break serves as well
        return bytes(taken[:limit])

    def __enter__(self) -> Answer:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._response.closed or getattr(self._response, "length_remaining", None) == 0:
            self._response.drain_conn()  # an answer without a body is at its end only once that was read
            self._response.release_conn()
        else:
            self._response.close()


class Transport:
    """Keeps connections by channel. Safe for several threads."""

    def __init__(self) -> None:
        self._pools: dict[tuple[Channel, bool], urllib3.PoolManager] = {}
        self._hosts: dict[tuple[Channel, str | None, str | None], HTTPConnectionPool] = {}
        self._last_used = time.time()
        self._lock = threading.Lock()

    def send(self, request: HttpRequest, channel: Channel, timeout_seconds: float) -> Answer:
        """One exchange; the timeout is for all of it, the body's reading included. Raises TransportError.

        A kept connection that died without an answer costs nothing: the request goes out once more on a new one.
        """
        host = _host(request.url)
        if timeout_seconds <= 0:
            raise TransportError("timeout", f"{host}: no time was left to ask")
        _check_headers([*request.headers.items(), *channel.proxy_headers], host)
        deadline = time.monotonic() + timeout_seconds
        try:
            return Answer(self._open(request, channel, deadline), host, resent=False)
        except Exception as error:
            # Closed: another thread has just given up this host's connections, and nothing was sent.
            is_closed = isinstance(error, errors.ClosedPoolError)
            if not is_closed and not (_thread.reused and _is_dead_connection(error)):
                raise _explained(error, host, _thread.step) from None
        if not is_closed:
            self._give_up(channel, request.url)
        try:
            return Answer(self._open(request, channel, deadline), host, resent=not is_closed)
        except Exception as error:
            raise _explained(error, host, _thread.step) from None

    def _open(self, request: HttpRequest, channel: Channel, deadline: float) -> urllib3.BaseHTTPResponse:
        _thread.reused, _thread.step, _thread.deadline = False, "connecting", deadline
        _thread.channel = replace(channel, refuse_link_local=False) if channel.proxy_url else channel
        if channel.refuse_link_local and channel.proxy_url:
            _check_named_address(_parsed(request.url).host or "", channel)
        self._last_used = time.time()
        pool, target = self._route(channel, request.url)
        response: urllib3.BaseHTTPResponse = pool.urlopen(
            request.method,
            target,
            body=request.body,
            headers=dict(request.headers),
            timeout=urllib3.Timeout(total=_left_seconds()),
            retries=False,
            redirect=False,
            assert_same_host=False,
            preload_content=False,
            decode_content=False,
        )
        return response

    def _route(self, channel: Channel, url: str) -> tuple[Any, str]:
        """Who sends, and what is written into the request line. Without a proxy the connections of one host are asked
        directly: finding them anew costs more than a small request."""
        if channel.proxy_url:
            return self._pool(channel, url), url
        parts = _parsed(url)
        key = channel, parts.scheme, parts.netloc
        with self._lock:
            pool = self._hosts.get(key)
            if pool is None:
                pool = self._hosts[key] = _host_pool(channel, parts)
            # A process has 1,024 file descriptors, in Lambda too: the oldest host's connections go.
            gone = self._hosts.pop(next(iter(self._hosts))) if len(self._hosts) > _MAX_HOSTS else None
        if gone is not None:
            gone.close()
        return pool, parts.request_uri

    def _pool(self, channel: Channel, url: str) -> urllib3.PoolManager:
        key = channel, any(address.startswith("https:") for address in (url.lower(), channel.proxy_url.lower()))
        with self._lock:
            pool = self._pools.get(key)
            if pool is None:
                pool = self._pools[key] = _new_pool(*key)
            return pool

    def _give_up(self, channel: Channel, url: str) -> None:
        """The connections to one host have died."""
        if channel.proxy_url:
            self.close(channel)
            return
        parts = _parsed(url)
        with self._lock:
            pool = self._hosts.pop((channel, parts.scheme, parts.netloc), None)
        if pool is not None:
            pool.close()

    def drop_idle(self) -> None:
        """At the start of a run: gives up connections that idled (or were frozen) too long to be trusted."""
        if abs(time.time() - self._last_used) > _MAX_IDLE_SECONDS:
            self.close()

    def close(self, channel: Channel | None = None) -> None:
        with self._lock:
            for host in [key for key in self._hosts if channel in (None, key[0])]:
                self._hosts.pop(host).close()
            for key in [key for key in self._pools if channel in (None, key[0])]:
                self._pools.pop(key).clear()


@functools.lru_cache(maxsize=256)
def _parsed(url: str) -> urllib3.util.Url:
    return urllib3.util.parse_url(url)


def _host(url: str) -> str:
    return _parsed(url).netloc or ""


# connections


class _Thread(threading.local):
    """What the exchange of this thread is doing: for the message, and for telling a dead kept connection."""

    reused = False
    step = "connecting"
    deadline = 0.0
    channel = Channel()


_thread = _Thread()


def _left_seconds() -> float:
    """What is left of the time of this thread's exchange; a socket's timeout may not be zero."""
    return max(_thread.deadline - time.monotonic(), 0.001)


def _check_headers(headers: Iterable[tuple[str, str]], host: str) -> None:
    """Raises TransportError for a value that no header can hold: the library's own error would print it, and it is
    likely a secret."""
    for name, value in headers:
        if _NO_HEADER_TEXT.search(value):
            said = f"{host}: the value of header {name} holds a line break or a character that no header may hold"
            raise TransportError("protocol", f"{said}; look at the secret or value it comes from")


class _TimedReader(io.RawIOBase):
    """A socket's reading side whose every read gets what is left of the exchange's time."""

    def __init__(self, sock: Any, deadline: float) -> None:
        self._sock, self._deadline = sock, deadline
        self._raw = sock.makefile("rb", buffering=0)

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int | None:
        left = self._deadline - time.monotonic()
        if left <= 0:
            raise TimeoutError("timed out")
        self._sock.settimeout(left)
        count: int | None = self._raw.readinto(buffer)
        return count

    def close(self) -> None:
        if not self.closed:
            self._raw.close()
        super().close()


class _TimedSocket:
    """A socket whose `makefile` reads against a deadline; everything else is the socket itself."""

    def __init__(self, sock: Any) -> None:
        self._sock = sock
        self.deadline = _thread.deadline

    def makefile(self, *_: Any, **__: Any) -> io.BufferedReader:
        return io.BufferedReader(_TimedReader(self._sock, self.deadline), _CHUNK_BYTES)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._sock, name)


class _TotalTimeout:
    """Mixed into urllib3's connections: connecting, sending and reading share one timeout."""

    sock: Any
    timeout: Any
    host: str
    port: int
    _requests = 0
    _held: list[bytes] | None = None

    def _new_conn(self) -> socket.socket:
        _thread.step = "connecting"
        try:
            return _connect(getattr(self, "_dns_host", self.host), self.port, _left_seconds())
        except socket.gaierror as error:
            raise errors.NameResolutionError(self.host, self, error) from error  # type: ignore[arg-type]
        except TimeoutError as error:
            raise errors.ConnectTimeoutError(self, "timed out") from error
        except OSError as error:
            raise errors.NewConnectionError(self, str(error)) from error  # type: ignore[arg-type]

    def connect(self) -> None:
        super().connect()  # type: ignore[misc]
        self.sock = _TimedSocket(self.sock)

    def _tunnel(self) -> None:
        _thread.step = "asking the proxy"
        plain, self.sock = self.sock, _TimedSocket(self.sock)
        super()._tunnel()  # type: ignore[misc]
        self.sock = plain

    def request(self, *args: Any, **kwargs: Any) -> None:
        """Headers and body go out together: one system call and one packet less."""
        _thread.reused, self._requests = self._requests > 0, self._requests + 1
        _thread.step = "sending the request"
        if self.sock is not None:
            self.sock.settimeout(_left_seconds())
        held: list[bytes] = []
        self._held = held
        try:
            super().request(*args, **kwargs)  # type: ignore[misc]
        finally:
            self._held = None
        self.send(b"".join(held))

    def putheader(self, header: str | bytes, *values: Any) -> None:
        """`_check_headers` has looked at every header before; the library would look at each again, twice."""
        if isinstance(header, str) and len(values) == 1 and isinstance(values[0], str):
            self._output(f"{header}: {values[0]}".encode("latin-1"))  # type: ignore[attr-defined]
        else:
            super().putheader(header, *values)  # type: ignore[misc]

    def send(self, data: Any) -> None:
        if self._held is not None:
            self._held.append(data)
        else:
            super().send(data)  # type: ignore[misc]

    def getresponse(self) -> Any:
        _thread.step = "waiting for the answer"
        if isinstance(self.sock, _TimedSocket):
            self.sock.deadline = _thread.deadline
        return super().getresponse()  # type: ignore[misc]

    def close(self) -> None:
        self._requests = 0
        super().close()  # type: ignore[misc]


def _connect(host: str, port: int, timeout_seconds: float) -> socket.socket:
    """TCP to the first address that answers; each address gets its share of the time, so that one dead address
    does not cost the others."""
    deadline = time.monotonic() + timeout_seconds
    addresses = socket.getaddrinfo(host.strip("[]"), port, type=socket.SOCK_STREAM)
    if _thread.channel.refuse_link_local:
        _check_addresses(host, [str(address[0]) for *_, address in addresses], _thread.channel)
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


def _check_named_address(host: str, channel: Channel) -> None:
    """Where a proxy resolves the names, only an address that stands in the URL can be judged here."""
    with contextlib.suppress(ValueError):
        ipaddress.ip_address(host.strip("[]").partition("%")[0])
        _check_addresses(host, [host.strip("[]")], channel)


def _check_addresses(host: str, addresses: Iterable[str], channel: Channel) -> None:
    """Link-local addresses hold an instance's or a function's credentials, and behind Lambda's loopback its runtime
    listens: no page of metrics is there, and none may redirect there."""
    for address in addresses:
        parsed = ipaddress.ip_address(address.partition("%")[0])
        parsed = getattr(parsed, "ipv4_mapped", None) or parsed
        if parsed.is_link_local or parsed in _METADATA_ADDRESSES:
            said = f"{parsed} is a link-local or metadata address, which gives out credentials"
        elif parsed.is_loopback and channel.refuse_loopback:
            said = f"another host redirects to {parsed}, which is this machine itself"
        else:
            continue
        raise TransportError("refused", f"{host}: {said}; if you mean it, set allow_link_local: true in the job")


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


def _host_pool(channel: Channel, url: urllib3.util.Url) -> HTTPConnectionPool:
    """Connections to one host. Reading the CA bundle takes longer than a push, so only TLS pays for it."""
    port = url.port or (443 if url.scheme == "https" else 80)
    if url.scheme != "https":
        return _HttpPool(url.host or "", port, maxsize=_KEPT_PER_HOST)
    return _HttpsPool(url.host or "", port, maxsize=_KEPT_PER_HOST, **_tls_options(channel))


def _new_pool(channel: Channel, uses_tls: bool) -> urllib3.PoolManager:
    """Connections through the channel's proxy."""
    options = _tls_options(channel) if uses_tls else {}
    headers = _proxy_headers(channel)
    pool = urllib3.ProxyManager(
        channel.proxy_url, proxy_headers=headers, num_pools=64, maxsize=_KEPT_PER_HOST, **options
    )
    pool.pool_classes_by_scheme = {"http": _HttpPool, "https": _HttpsPool}
    return pool


def _tls_options(channel: Channel) -> dict[str, Any]:
    plain = replace(channel, proxy_url="", proxy_headers=(), refuse_link_local=False, refuse_loopback=False)
    options: dict[str, Any] = {"ssl_context": _shared_tls_context(plain)}
    if channel.server_name:
        options |= {"server_hostname": channel.server_name, "assert_hostname": channel.server_name}
    if not channel.verify:
        options |= {"cert_reqs": "CERT_NONE", "assert_hostname": False}
    return options


def _proxy_headers(channel: Channel) -> dict[str, str]:
    headers = dict(channel.proxy_headers)
    auth = urllib3.util.parse_url(channel.proxy_url).auth
    if auth:
        headers |= urllib3.util.make_headers(proxy_basic_auth=auth)
    return headers


@functools.lru_cache(maxsize=16)
def _shared_tls_context(channel: Channel) -> ssl.SSLContext:
    return _tls_context(channel)


def _tls_context(channel: Channel) -> ssl.SSLContext:
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


def _load_client_certificate(context: ssl.SSLContext, channel: Channel) -> None:
    """OpenSSL reads certificate and key from a file only."""
    import tempfile

    with tempfile.NamedTemporaryFile("w", suffix=".pem") as file:
        file.write(f"{channel.cert}\n{channel.key}\n")
        file.flush()
        context.load_cert_chain(file.name)


# errors

_TLS_HINT = "is it an https port, and does tls_config trust its certificate?"
_REFUSED_HINT = "does anything listen on this port, and may this network reach it?"
_BROKEN_HINT = "the other side, or something between, closed it"
_SLOW_HINT = "the other side is slow or stuck"
_SLOW_HINTS = {"connecting": "a security group, route or firewall may drop the packets"}


def _parts(error: BaseException) -> tuple[object, ...]:
    """The error, and what a ProtocolError wraps."""
    return (error, *error.args) if isinstance(error, errors.ProtocolError) else (error,)


def _is_dead_connection(error: BaseException) -> bool:
    """The other side closed a kept connection before it answered anything."""
    return any(isinstance(part, ConnectionError) for part in _parts(error))


def _explained(error: Exception, host: str, step: str) -> TransportError:
    """A library's error -> one that names host, step and likely cause."""
    cause = error.__cause__ or error
    if isinstance(error, TransportError):
        return error
    if isinstance(error, errors.NameResolutionError):
        return TransportError(
            "dns", f"{host}: the name does not resolve ({cause}); check the host name, or the VPC's DNS"
        )
    if isinstance(error, errors.ProxyError):
        inner = error.original_error
        return TransportError("proxy", f"{host}: the proxy failed while {step} ({inner})")
    if isinstance(error, errors.SSLError | ssl.SSLError):
        return TransportError("tls", f"{host}: TLS failed while {step} ({_tls_reason(error)}); {_TLS_HINT}")
    if isinstance(error, errors.NewConnectionError | ConnectionRefusedError):
        return TransportError("connect", f"{host}: no connection ({cause}); {_REFUSED_HINT}")
    if any(isinstance(part, errors.TimeoutError | TimeoutError) for part in _parts(error)):
        return TransportError("timeout", f"{host}: timed out while {step}; {_SLOW_HINTS.get(step, _SLOW_HINT)}")
    if any(isinstance(part, ConnectionError | errors.IncompleteRead) for part in _parts(error)):
        return TransportError("reset", f"{host}: the connection broke while {step}; {_BROKEN_HINT}")
    if isinstance(error, errors.HTTPError):
        return TransportError("protocol", f"{host}: not a valid HTTP answer while {step} ({_short(error)})")
    return TransportError("protocol", f"{host}: {type(error).__name__} while {step} ({_short(error)})")


def _tls_reason(error: Exception) -> str:
    inner = error.args[0] if error.args and isinstance(error.args[0], Exception) else error
    return str(getattr(inner, "verify_message", "") or getattr(inner, "reason", "") or inner)


def _short(error: Exception) -> str:
    return str(error)[:200]
