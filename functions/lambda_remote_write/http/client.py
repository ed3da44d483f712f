"""One exchange: a request goes out on a kept or new connection, and its answer is read in pieces."""

from __future__ import annotations

import contextlib
import re
import threading
import time
from collections.abc import Iterable, Iterator
from types import TracebackType

from urllib3.util import Url

from .address import check_name, parsed
from .connection import Connection, HostConnections
from .errors import DeadConnection, explained
from .response import Response
from .types import ConnectionOptions, HttpRequest, TransportError

_MAX_IDLE_SECONDS = 30.0  # a connection that idled longer (or was frozen) is likely gone on the other side
_MAX_SOURCE_HOSTS = 400  # of which connections are kept: a process has 1,024 file descriptors, in Lambda too
_MAX_UNUSED_SECONDS = 300.0  # then a source's host gives its place up; Prometheus's own idle timeout
_NO_HEADER_TEXT = re.compile(r"[^\t\x20-\x7e\x80-\xff]")


class Answer:
    """Status and headers of an answer whose body is read in pieces, within the exchange's total timeout.

    `resent` is True when a kept connection turned out dead and the request was sent again on a new one.
    """

    def __init__(self, response: Response, connection: Connection, host: HostConnections, name: str) -> None:
        self._response, self._connection, self._host, self._name = response, connection, host, name
        self.status, self.headers = response.status, response.fields
        self.resent = False
        self._read: bytes | None = None

    def chunks(self) -> Iterator[bytes]:
        """The body as it comes. Raises TransportError."""
        try:
            yield from self._response.chunks()
        except Exception as error:
            raise explained(error, self._name, "reading the body") from None

    def read(self, limit: int) -> bytes:
        """At most `limit` bytes of the body, the same again when it is called again; the connection is given up when
        there are more."""
        if self._read is not None:
            return self._read
        taken = bytearray()
        try:
            for chunk in self.chunks():
                taken += chunk
                if len(taken) >= limit:
                    break
        except TransportError:
            pass  # what was read before the break serves as well
        self._read = bytes(taken[:limit])
        return self._read

    def __enter__(self) -> Answer:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """The connection serves again, unless something of the answer is still to come."""
        is_at_end = False
        with contextlib.suppress(Exception):
            is_at_end = self._response.is_at_end()
        if is_at_end:
            self._host.keep(self._connection)
        else:
            self._response.close()
            self._connection.close()


_Key = tuple[ConnectionOptions, str | None, str | None]


class Transport:
    """Keeps connections by their options. Safe for several threads.

    A source that was not used for `unused_seconds` gives its place up when another one needs it.
    """

    def __init__(self, unused_seconds: float = _MAX_UNUSED_SECONDS) -> None:
        self._unused_seconds = unused_seconds
        self._hosts: dict[_Key, HostConnections] = {}
        self._sources: dict[_Key, float] = {}  # those of the hosts that sources are: when used, the last one last
        self._last_used = time.time()
        self._lock = threading.Lock()

    def send(
        self, request: HttpRequest, options: ConnectionOptions, timeout_seconds: float, *, is_source: bool = False
    ) -> Answer:
        """One exchange; the timeout is for all of it, the body's reading included. Raises TransportError.

        Connections of any number of receivers and stores are kept, but only those of the first so many sources.

        A kept connection that died without an answer costs nothing: the request goes out once more on a new one.
        """
        try:
            url = parsed(request.url)
        except ValueError:
            raise TransportError("protocol", "an address that is none: host or host:port is expected") from None
        name = url.netloc or ""
        if timeout_seconds <= 0:
            raise TransportError("timeout", f"{name}: no time was left to ask")
        _check_headers([*request.headers.items(), *options.proxy_headers], name)
        if options.proxy_url and options.refuse_link_local:
            check_name(url.host or "", url.port or 0, options)
        deadline = time.monotonic() + timeout_seconds
        self._last_used = time.time()
        key = _key(options, url)
        try:
            return self._exchange(request, key, url, deadline, is_source=is_source)
        except DeadConnection:
            self._give_up(key)
        answer = self._exchange(request, key, url, deadline, is_source=is_source)
        answer.resent = True
        return answer

    def _exchange(self, request: HttpRequest, key: _Key, url: Url, deadline: float, *, is_source: bool) -> Answer:
        host = self._host(key, url, is_source=is_source)
        connection = host.take()
        try:
            response = connection.ask(request, _target(request, key), url.netloc or "", deadline)
        except BaseException:
            connection.close()
            raise
        return Answer(response, connection, host, url.netloc or "")

    def _host(self, key: _Key, url: Url, *, is_source: bool) -> HostConnections:
        """The host with its kept connections.

        Sources are scraped in turn, so that the one used least recently is the one that comes next: giving its place to
        another would end every connection just before its use. Those that have a place keep it while they are used.
        """
        with self._lock:
            host, gone = self._hosts.get(key), None
            if host is None:
                host = HostConnections(key[0], url)
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

    def _unused_source(self) -> HostConnections | None:
        """The source that was not used for longest, taken out, when that is long enough."""
        key, used = next(iter(self._sources.items()))
        if time.monotonic() - used < self._unused_seconds:
            return None
        del self._sources[key]
        return self._hosts.pop(key)

    def _give_up(self, key: _Key) -> None:
        """The connections to one host have died."""
        with self._lock:
            host = self._hosts.pop(key, None)
            self._sources.pop(key, None)
        if host is not None:
            host.close()

    def drop_idle(self) -> None:
        """At the start of a run: gives up connections that idled (or were frozen) too long to be trusted."""
        if abs(time.time() - self._last_used) > _MAX_IDLE_SECONDS:
            self.close()

    def close(self) -> None:
        with self._lock:
            hosts = list(self._hosts.values())
            self._hosts.clear()
            self._sources.clear()
        for host in hosts:
            host.close()


def _key(options: ConnectionOptions, url: Url) -> _Key:
    """One connection to a proxy serves all hosts to which it forwards; a tunnel leads to one."""
    is_forwarded = bool(options.proxy_url) and url.scheme == "http"
    return options, url.scheme, None if is_forwarded else url.netloc


def _target(request: HttpRequest, key: _Key) -> str:
    """The target in the request line."""
    url = parsed(request.url)
    if key[2] is None:
        return url._replace(fragment=None).url  # the proxy sees what was checked
    if request.is_verbatim:  # path and query as they stand in an `http://` or `https://` URL
        return "/" + request.url.partition("://")[2].partition("/")[2]
    return url.request_uri


def _check_headers(headers: Iterable[tuple[str, str]], host: str) -> None:
    """Raises TransportError for a value that no header can hold. A library's own error would print it, while it is
    likely a secret."""
    for name, value in headers:
        if _NO_HEADER_TEXT.search(value):
            detail = f"{host}: the value of header {name} holds a line break or a character that no header may hold"
            raise TransportError("protocol", f"{detail}; look at the secret or value it comes from")
