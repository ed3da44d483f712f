"""Asks a source over HTTP: who we are, redirects that never take credentials elsewhere, gzip, bounded bodies."""

from __future__ import annotations

import ipaddress
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from urllib.parse import urljoin, urlsplit

from zlib_ng import zlib_ng as zlib  # unpacks in a third of the standard library's time

from .. import USER_AGENT
from ..channel import auth_headers, channel_for, merged
from ..config.nodes import shown_url
from ..config.schema import HttpClientConfig
from ..config.secrets import Secret, SecretError, SecretStore
from ..oauth2 import TokenError, TokenStore
from ..transport import Answer, HttpRequest, Transport, TransportError

_MAX_REDIRECTS = 10
_REDIRECTS = (301, 302, 303, 307, 308)
_MAX_MESSAGE = 200  # characters of a source's own error message
_UNPACKED_BYTES = 256 * 1024  # at once


class FetchError(Exception):
    """A source that gave no usable answer. The message names what to look at, without payload, query or credentials."""


class BodyTooLarge(FetchError):
    """The body has crossed its limit."""


@dataclass(frozen=True, slots=True)
class SourceRequest:
    """What to ask, before authentication. `headers` values may be secrets."""

    method: str
    url: str = field(repr=False)
    headers: Sequence[tuple[str, Secret]] = ()
    body: bytes | None = field(default=None, repr=False)
    public_headers: Sequence[tuple[str, str]] = (("Accept", "application/json"),)  # sent after a redirect too
    compressed: bool = True  # gzip is asked for
    allow_link_local: bool = False
    unix_socket: str = ""  # the path that is dialled, whatever the URL, and the URL of a redirect, says


@dataclass(frozen=True, slots=True)
class Opened:
    """An answer that is being read: uncompressed pieces."""

    content_type: str
    pieces: Iterator[bytes] = field(repr=False)


@dataclass(frozen=True, slots=True)
class Body:
    """An answer read whole, uncompressed."""

    content: bytearray = field(repr=False)
    content_type: str


def origin(url: str) -> tuple[str, str, int]:
    """Scheme, host and port of a URL: credentials never go to another one."""
    parts = urlsplit(url)
    return parts.scheme, (parts.hostname or "").lower(), parts.port or (443 if parts.scheme == "https" else 80)


def is_loopback(url: str) -> bool:
    """Whether the URL names this machine itself."""
    host = (urlsplit(url).hostname or "").lower()
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")


class Fetcher:
    """Fetches from sources; keeps OAuth2 tokens while the environment is warm. Safe for several threads."""

    def __init__(self, transport: Transport, secrets: SecretStore, environment: Mapping[str, str]) -> None:
        self._transport, self._secrets, self._environment = transport, secrets, environment
        self._tokens = TokenStore(transport, secrets, environment)

    def fetch(
        self,
        request: SourceRequest,
        client: HttpClientConfig,
        *,
        max_bytes: int,
        deadline: float,
        is_success: Callable[[int], bool],
    ) -> Body:
        """One answer, read to its end before `deadline` (monotonic seconds). Raises FetchError."""
        with self.open(request, client, max_bytes=max_bytes, deadline=deadline, is_success=is_success) as opened:
            content = bytearray()
            for piece in opened.pieces:
                content += piece
            return Body(content, opened.content_type)

    @contextmanager
    def open(
        self,
        request: SourceRequest,
        client: HttpClientConfig,
        *,
        max_bytes: int,
        deadline: float,
        is_success: Callable[[int], bool],
    ) -> Iterator[Opened]:
        """One answer, to be read piece by piece before `deadline`. Raises FetchError, while it is read too.

        A 401 or 403 makes secrets and tokens be fetched anew, once.
        """
        try:
            answer, url = self._follow(request, client, deadline)
            if answer.status in (401, 403) and not is_success(answer.status) and client.may_renew:
                answer.__exit__(None, None, None)
                self._secrets.forget()
                self._tokens.forget(client.oauth2)
                answer, url = self._follow(request, client, deadline)
            with answer:
                self._secrets.mask.add_cookies(answer.headers.get("Set-Cookie", ""))
                if not is_success(answer.status):
                    raise FetchError(self._refused(answer, url, request, client))
                yield Opened(
                    answer.headers.get("Content-Type", ""), in_time(self._decoded(answer, max_bytes), deadline, url)
                )
        except (TransportError, SecretError, TokenError, FetchError) as error:
            kind = type(error) if isinstance(error, FetchError) else FetchError
            raise kind(self.masked(str(error))) from None

    def masked(self, text: str) -> str:
        """A message that may quote what a source said, without the secrets that this process knows of."""
        return self._secrets.mask(text)

    def _refused(self, answer: Answer, url: str, request: SourceRequest, client: HttpClientConfig) -> str:
        """An answer with a bad status in words, its own message among them."""
        from .refusal import MAX_ERROR_BYTES, asked_schemes, credentials_used, message_of, not_let_in  # seldom needed

        hint = _hint(answer.status)
        if answer.status in (401, 403):
            asked = asked_schemes(answer.headers.get("WWW-Authenticate", ""))
            names = [name for name, _ in request.headers]
            hint = not_let_in(credentials_used(client, names, request.url), asked)
            if origin(url) != origin(request.url):
                hint += "; a redirect has led to another origin, where credentials are never sent"
        headers = answer.headers
        body = answer.read(MAX_ERROR_BYTES)
        text = message_of(body, headers.get("Content-Type", ""), headers.get("Content-Encoding", ""))
        said = f'it says "{quoted}"' if (quoted := self._secrets.mask.quoted(text, _MAX_MESSAGE)) else ""
        details = "; ".join(filter(None, (hint, said)))
        return f"{shown_url(url)} answered {answer.status}{f': {details}' if details else ''}"

    def _decoded(self, answer: Answer, max_bytes: int) -> Iterator[bytes]:
        """The body uncompressed. Raises FetchError at `max_bytes` (0: no bound), before more than that is held."""
        encoding = answer.headers.get("Content-Encoding", "identity").strip().lower()
        if encoding not in ("identity", "", "gzip", "x-gzip"):
            shown = self._secrets.mask.quoted(answer.headers.get("Content-Encoding", ""), 30)
            raise FetchError(f"the answer is encoded as '{shown}', which was not asked for; gzip is understood")
        size = 0
        for piece in _gunzipped(answer.chunks()) if "gzip" in encoding else answer.chunks():
            size += len(piece)
            if max_bytes and size >= max_bytes:
                raise BodyTooLarge(f"the body has {max_bytes} bytes or more: raise body_size_limit, or ask for less")
            yield piece

    def _follow(self, request: SourceRequest, client: HttpClientConfig, deadline: float) -> tuple[Answer, str]:
        url, method, body = request.url, request.method, request.body
        for _ in range(_MAX_REDIRECTS + 1):
            at_home = origin(url) == origin(request.url)
            public = {"User-Agent": USER_AGENT, **dict(request.public_headers)}
            headers = merged(public, self._headers(request, client, deadline)) if at_home else public
            headers |= {"Accept-Encoding": "gzip" if request.compressed else "identity"}
            tls = client.tls if at_home else replace(client.tls, cert=None, key=None, server_name="")
            channel = channel_for(url, tls, client.proxy, self._secrets, self._environment)
            guarded = not request.allow_link_local
            stranger = guarded and not at_home and not is_loopback(request.url)
            channel = replace(
                channel, refuse_link_local=guarded, refuse_loopback=stranger, unix_socket=request.unix_socket
            )
            left = deadline - time.monotonic()
            answer = self._transport.send(HttpRequest(method, url, headers, body), channel, left)
            location = answer.headers.get("Location")
            if answer.status not in _REDIRECTS or not client.follow_redirects or not location:
                return answer, url
            with answer:
                url, method, body = self._redirected(url, location, method, body, answer.status)
        raise FetchError(f"{shown_url(request.url)} redirected more than {_MAX_REDIRECTS} times")

    def _redirected(
        self, url: str, location: str, method: str, body: bytes | None, status: int
    ) -> tuple[str, str, bytes | None]:
        try:
            target = urljoin(url, location)
            scheme, host, _ = origin(target)
        except ValueError:
            scheme, host = "", ""
        if scheme not in ("http", "https") or not host:
            raise FetchError(f"{shown_url(url)} redirected to something that is no http address")
        if status == 303 or (status in (301, 302) and method == "POST"):
            return target, "GET", None
        if body is not None and origin(target) != origin(url):
            raise FetchError(
                f"{shown_url(url)} redirected a {method} to another origin, {shown_url(target)}: not followed"
            )
        return target, method, body

    def _headers(self, request: SourceRequest, client: HttpClientConfig, deadline: float) -> dict[str, str]:
        own = {name: self._secrets.reveal(secret, is_public=True) for name, secret in request.headers}
        for name, value in own.items():
            self._secrets.mask.add_header(name, value)
        self._secrets.mask.add_request(request.url, request.body)
        headers = merged(auth_headers(client, self._secrets), own)
        if client.oauth2:
            headers["Authorization"] = f"Bearer {self._tokens.token(client.oauth2, deadline)}"
        return headers


def _hint(status: int) -> str:
    if status in _REDIRECTS:
        return "a redirect, and follow_redirects is false (or it names no target)"
    return "too many requests; a longer scrape_interval may help" if status == 429 else ""


def in_time(pieces: Iterable[bytes], deadline: float, url: str) -> Iterator[bytes]:
    """The pieces, as long as there is time: unpacking them and what is done with them counts too. Raises FetchError."""
    for piece in pieces:
        if time.monotonic() > deadline:
            said = "timed out while the body was unpacked and read; it is large, or unpacks to much"
            raise FetchError(f"{urlsplit(url).netloc}: {said}")
        yield piece


def _gunzipped(chunks: Iterator[bytes]) -> Iterator[bytes]:
    """Gzip members in pieces of at most so many bytes, so that a bomb is noticed while it is small."""
    decoder = zlib.decompressobj(wbits=31)
    fed = False
    try:
        for chunk in chunks:
            data = chunk
            while data:
                if decoder.eof:
                    decoder = zlib.decompressobj(wbits=31)
                fed = True
                yield decoder.decompress(data, _UNPACKED_BYTES)
                data = decoder.unconsumed_tail or (decoder.unused_data if decoder.eof else b"")
    except zlib.error as error:  # type: ignore[misc]  # its stubs call it a variable
        raise FetchError(f"the body is not the gzip it claims to be ({error})") from None
    if fed and not decoder.eof:
        raise FetchError("the gzip body ends before its end")
