"""One exchange: a request goes out on a kept or new connection, and its answer is read in pieces."""

from __future__ import annotations

import contextlib
import re
import threading
import time
from collections.abc import Iterable, Iterator
from dataclasses import replace
from types import TracebackType

import urllib3
from urllib3.exceptions import ClosedPoolError

from .address import check_name, parsed
from .connection import CHUNK_BYTES, Host, current, left_seconds, proxy_pool
from .errors import explained, is_dead_connection
from .http1 import Headers, Reply
from .types import ConnectionOptions, HttpRequest, TransportError

_MAX_IDLE_SECONDS = 30.0  # a connection that idled longer (or was frozen) is likely gone on the other side
_MAX_SOURCE_HOSTS = 400  # of which connections are kept: a process has 1,024 file descriptors, in Lambda too
_MAX_UNUSED_SECONDS = 300.0  # then a source's host gives its place up; Prometheus's own idle timeout
_NO_HEADER_TEXT = re.compile(r"[^\t\x20-\x7e\x80-\xff]")


class Answer:
    """Status and headers of an answer whose body is read in pieces, within the exchange's total timeout.

    `resent` is True when a kept connection turned out dead and the request was sent again on a new one.
    """

    def __init__(self, response: _Response, host: str, resent: bool) -> None:
        self._response, self._host = response, host
        self.status = response.status
        self.headers = response.headers
        self.resent = resent

    def chunks(self) -> Iterator[bytes]:
        """The body as it comes. Raises TransportError."""
        try:
            yield from self._response.chunks()
        except Exception as error:
            raise explained(error, self._host, "reading the body") from None

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
        self._response.finish()


class _DirectAnswer:
    """An answer of a host itself."""

    def __init__(self, host: Host, request: HttpRequest, target: str) -> None:
        self._host, self._connection = host, host.take()
        try:
            self._reply: Reply = self._connection.ask(request, target)
        except BaseException:
            self._connection.drop()
            raise
        self.status, self.headers = self._reply.status, self._reply.headers

    def chunks(self) -> Iterator[bytes]:
        return self._reply.chunks(CHUNK_BYTES)

    def finish(self) -> None:
        """The connection serves again, unless something of the answer is still to come."""
        is_at_end = False
        with contextlib.suppress(Exception):
            is_at_end = self._reply.is_at_end()
        if is_at_end:
            self._host.keep(self._connection)
        else:
            self._connection.drop()


class _ProxiedAnswer:
    """An answer that came through a proxy."""

    def __init__(self, pool: urllib3.PoolManager, request: HttpRequest) -> None:
        self._response: urllib3.BaseHTTPResponse = pool.urlopen(
            request.method,
            parsed(request.url).url,  # the proxy sees what was judged
            body=request.body,
            headers=dict(request.headers),
            timeout=urllib3.Timeout(total=left_seconds()),
            retries=False,
            redirect=False,
            assert_same_host=False,
            preload_content=False,
            decode_content=False,
        )
        self.status = self._response.status
        self.headers = Headers(self._response.headers.iteritems())

    def chunks(self) -> Iterator[bytes]:
        return self._response.stream(CHUNK_BYTES, decode_content=False)

    def finish(self) -> None:
        is_final = self.status >= 200  # after 101 another protocol follows
        if is_final and (self._response.closed or getattr(self._response, "length_remaining", None) == 0):
            self._response.drain_conn()  # an answer without a body is at its end only once that was read
            self._response.release_conn()
        else:
            self._response.close()


_Response = _DirectAnswer | _ProxiedAnswer


_Key = tuple[ConnectionOptions, str | None, str | None]


class Transport:
    """Keeps connections by channel. Safe for several threads.

    A source that was not used for `unused_seconds` gives its place up when another one needs it.
    """

    def __init__(self, unused_seconds: float = _MAX_UNUSED_SECONDS) -> None:
        self._unused_seconds = unused_seconds
        self._pools: dict[tuple[ConnectionOptions, bool], urllib3.PoolManager] = {}
        self._hosts: dict[_Key, Host] = {}
        self._sources: dict[_Key, float] = {}  # those of the hosts that sources are: when used, the last one last
        self._last_used = time.time()
        self._lock = threading.Lock()

    def send(
        self, request: HttpRequest, channel: ConnectionOptions, timeout_seconds: float, *, is_source: bool = False
    ) -> Answer:
        """One exchange; the timeout is for all of it, the body's reading included. Raises TransportError.

        Connections of any number of receivers and stores are kept, but only those of the first so many sources.

        A kept connection that died without an answer costs nothing: the request goes out once more on a new one.
        """
        try:
            host = parsed(request.url).netloc or ""
        except ValueError:
            raise TransportError("protocol", "an address that is none: host or host:port is expected") from None
        if timeout_seconds <= 0:
            raise TransportError("timeout", f"{host}: no time was left to ask")
        _check_headers([*request.headers.items(), *channel.proxy_headers], host)
        deadline = time.monotonic() + timeout_seconds
        try:
            return Answer(self._open(request, channel, deadline, is_source=is_source), host, resent=False)
        except Exception as error:
            # Closed: another thread has just given up this proxy's connections, and nothing was sent.
            is_closed = isinstance(error, ClosedPoolError)
            if not is_closed and not (current.reused and is_dead_connection(error)):
                raise explained(error, host, current.step) from None
        if not is_closed:
            self._give_up(channel, request.url)
        try:
            return Answer(self._open(request, channel, deadline, is_source=is_source), host, resent=not is_closed)
        except Exception as error:
            raise explained(error, host, current.step) from None

    def _open(self, request: HttpRequest, channel: ConnectionOptions, deadline: float, *, is_source: bool) -> _Response:
        current.reused, current.step, current.deadline = False, "connecting", deadline
        current.channel = replace(channel, refuse_link_local=False) if channel.proxy_url else channel
        self._last_used = time.time()
        if not channel.proxy_url:
            host = self._host(channel, request.url, is_source=is_source)
            target = _verbatim_target(request.url) if request.is_verbatim else parsed(request.url).request_uri
            return _DirectAnswer(host, request, target)
        if channel.refuse_link_local:
            check_name(parsed(request.url).host or "", parsed(request.url).port or 0, channel)
        return _ProxiedAnswer(self._pool(channel, request.url), request)

    def _host(self, channel: ConnectionOptions, url: str, *, is_source: bool) -> Host:
        """The host with its kept connections.

        Sources are scraped in turn, so that the one used least recently is the one that comes next: giving its place to
        another would end every connection just before its use. Those that have a place keep it while they are used.
        """
        parts = parsed(url)
        key = channel, parts.scheme, parts.netloc
        with self._lock:
            host, gone = self._hosts.get(key), None
            if host is None:
                host = Host(channel, parts)
                if is_source and len(self._sources) >= _MAX_SOURCE_HOSTS:
                    gone = self._unused_source()
                    if gone is None:
                        host.close()  # its connection serves once
                        return host
                self._hosts[key] = host
            if is_source:
                self._sources.pop(key, None)
                self._sources[key] = time.monotonic()
        if gone is not None:
            gone.close()
        return host

    def _unused_source(self) -> Host | None:
        """The source that was not used for longest, taken out, when that is long enough."""
        key, used = next(iter(self._sources.items()))
        if time.monotonic() - used < self._unused_seconds:
            return None
        del self._sources[key]
        return self._hosts.pop(key)

    def _pool(self, channel: ConnectionOptions, url: str) -> urllib3.PoolManager:
        key = channel, any(address.startswith("https:") for address in (url.lower(), channel.proxy_url.lower()))
        with self._lock:
            pool = self._pools.get(key)
            if pool is None:
                pool = self._pools[key] = proxy_pool(*key)
            return pool

    def _give_up(self, channel: ConnectionOptions, url: str) -> None:
        """The connections to one host have died."""
        if channel.proxy_url:
            self.close(channel)
            return
        parts = parsed(url)
        with self._lock:
            key = channel, parts.scheme, parts.netloc
            host = self._hosts.pop(key, None)
            self._sources.pop(key, None)
        if host is not None:
            host.close()

    def drop_idle(self) -> None:
        """At the start of a run: gives up connections that idled (or were frozen) too long to be trusted."""
        if abs(time.time() - self._last_used) > _MAX_IDLE_SECONDS:
            self.close()

    def close(self, channel: ConnectionOptions | None = None) -> None:
        with self._lock:
            for host in [key for key in self._hosts if channel in (None, key[0])]:
                self._hosts.pop(host).close()
                self._sources.pop(host, None)
            for key in [key for key in self._pools if channel in (None, key[0])]:
                self._pools.pop(key).clear()


def _verbatim_target(url: str) -> str:
    """Path and query as they stand in an `http://` or `https://` URL."""
    return "/" + url.partition("://")[2].partition("/")[2]


def _check_headers(headers: Iterable[tuple[str, str]], host: str) -> None:
    """Raises TransportError for a value that no header can hold. Nobody else looks at it on the way to a host itself,
    and a library's own error would print it, while it is likely a secret."""
    for name, value in headers:
        if _NO_HEADER_TEXT.search(value):
            detail = f"{host}: the value of header {name} holds a line break or a character that no header may hold"
            raise TransportError("protocol", f"{detail}; look at the secret or value it comes from")
