"""Asks a source over HTTP: who we are, redirects that never take credentials elsewhere, gzip, bounded bodies."""

from __future__ import annotations

import time
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from urllib.parse import urljoin, urlsplit

from .. import USER_AGENT
from ..channel import auth_headers, channel_for, merged
from ..config.nodes import shown_url
from ..config.schema import HttpClientConfig
from ..config.secrets import Secret, SecretError, SecretStore
from ..oauth2 import TokenError, TokenStore
from ..transport import Answer, HttpRequest, Transport, TransportError

_MAX_REDIRECTS = 10
_REDIRECTS = (301, 302, 303, 307, 308)


class FetchError(Exception):
    """A source that gave no usable answer. The message names what to look at, without payload, query or credentials."""


@dataclass(frozen=True, slots=True)
class SourceRequest:
    """What to ask, before authentication. `headers` values may be secrets."""

    method: str
    url: str = field(repr=False)
    headers: Sequence[tuple[str, Secret]] = ()
    body: bytes | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class Body:
    """An answer read whole, uncompressed."""

    content: bytearray = field(repr=False)
    content_type: str


def origin(url: str) -> tuple[str, str, int]:
    """Scheme, host and port of a URL: credentials never go to another one."""
    parts = urlsplit(url)
    return parts.scheme, (parts.hostname or "").lower(), parts.port or (443 if parts.scheme == "https" else 80)


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
        """One answer, read to its end before `deadline` (monotonic seconds). Raises FetchError.

        A 401 or 403 makes secrets and tokens be fetched anew, once.
        """
        try:
            answer, url = self._follow(request, client, deadline)
            if answer.status in (401, 403) and not is_success(answer.status) and self._can_renew(request, client):
                answer.__exit__(None, None, None)
                self._secrets.forget()
                self._tokens.forget(client.oauth2)
                answer, url = self._follow(request, client, deadline)
            with answer:
                if not is_success(answer.status):
                    raise FetchError(f"{shown_url(url)} answered {answer.status}{_hint(answer)}")
                content = bytearray()
                for piece in _decoded(answer, max_bytes):
                    content += piece
                return Body(content, answer.headers.get("Content-Type", ""))
        except (TransportError, SecretError, TokenError) as error:
            raise FetchError(str(error)) from None

    def _can_renew(self, request: SourceRequest, client: HttpClientConfig) -> bool:
        held = [secret for _, values in client.http_headers for secret in values]
        held += [secret for secret in _credentials(client) if secret]
        return client.oauth2 is not None or any(secret.literal is None for secret in held)

    def _follow(self, request: SourceRequest, client: HttpClientConfig, deadline: float) -> tuple[Answer, str]:
        url, method, body = request.url, request.method, request.body
        for _ in range(_MAX_REDIRECTS + 1):
            at_home = origin(url) == origin(request.url)
            headers = self._headers(request, client, deadline) if at_home else {"User-Agent": USER_AGENT}
            headers |= {"Accept-Encoding": "gzip"}
            tls = client.tls if at_home else replace(client.tls, cert=None, key=None, server_name="")
            channel = channel_for(url, tls, client.proxy, self._secrets, self._environment)
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
        defaults = {"User-Agent": USER_AGENT, "Accept": "application/json"}
        own = {name: self._secrets.reveal(secret) for name, secret in request.headers}
        headers = merged(defaults, auth_headers(client, self._secrets), own)
        if client.oauth2:
            headers["Authorization"] = f"Bearer {self._tokens.token(client.oauth2, deadline)}"
        return headers


def _credentials(client: HttpClientConfig) -> list[Secret | None]:
    basic, authorization = client.basic_auth, client.authorization
    found = [basic.username, basic.password] if basic else []
    return [*found, authorization.credentials] if authorization else found


def _hint(answer: Answer) -> str:
    if answer.status in (401, 403):
        return ": it does not take our credentials; check basic_auth, authorization or oauth2"
    if answer.status in _REDIRECTS:
        return ": a redirect, and follow_redirects is false (or it names no target)"
    if answer.status == 429:
        return ": too many requests; a longer scrape_interval may help"
    return ""


def _decoded(answer: Answer, max_bytes: int) -> Iterator[bytes]:
    """The body uncompressed. Raises FetchError at `max_bytes` (0: no bound), before more than that is held."""
    encoding = answer.headers.get("Content-Encoding", "identity").strip().lower()
    if encoding not in ("identity", "", "gzip", "x-gzip"):
        raise FetchError(f"the answer is encoded as {encoding!r:.30}, which was not asked for; gzip is understood")
    size = 0
    for piece in _gunzipped(answer.chunks()) if "gzip" in encoding else answer.chunks():
        size += len(piece)
        if max_bytes and size >= max_bytes:
            raise FetchError(f"the body has {max_bytes} bytes or more: raise body_size_limit, or ask for less")
        yield piece


def _gunzipped(chunks: Iterator[bytes]) -> Iterator[bytes]:
    """Gzip members in pieces of at most 1 MiB, so that a bomb is noticed while it is small."""
    decoder = zlib.decompressobj(wbits=31)
    fed = False
    try:
        for chunk in chunks:
            data = chunk
            while data:
                if decoder.eof:
                    decoder = zlib.decompressobj(wbits=31)
                fed = True
                yield decoder.decompress(data, 1 << 20)
                data = decoder.unconsumed_tail or (decoder.unused_data if decoder.eof else b"")
    except zlib.error as error:
        raise FetchError(f"the body is not the gzip it claims to be ({error})") from None
    if fed and not decoder.eof:
        raise FetchError("the gzip body ends before its end")
