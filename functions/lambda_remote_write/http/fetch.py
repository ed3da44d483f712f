"""Fetches from a source over HTTP: authentication, redirects that never take credentials elsewhere, bounded bodies."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import urljoin

from .. import USER_AGENT
from ..config.schema import HttpClientConfig, Login, SigV4
from ..config.secrets import Secret, SecretError, SecretStore, SecretText
from ..config.yaml_reader import shown_url
from . import Answer, HttpRequest, Transport, TransportError, content_coding, is_this_machine, parsed
from .address import origin
from .authentication import Authentication, AuthenticationError, Refusal, Signature
from .conditional import AnswerMemory, Body, StoredAnswer
from .options import auth_headers, connection_options, merged
from .query import added_parameters, holds_one_of, with_query
from .response import Headers
from .types import ConnectionOptions

if TYPE_CHECKING:
    from .login import Session

_MAX_REDIRECTS = 10
_MAX_TRIES = 3  # of a Digest: without credentials, with them, and with a nonce that is not stale
REDIRECTS = (301, 302, 303, 307, 308)
_MAX_MESSAGE = 200  # characters of a source's own error message
MAX_ERROR_BYTES = 8_192  # of an error's body: its message stands at its beginning


class FetchError(Exception):
    """A source that gave no usable answer. The message names what to look at, without payload, query or credentials."""


class BodyTooLarge(FetchError):
    """The body has crossed its limit."""


def is_200(status: int) -> bool:
    return status == 200


def is_2xx(status: int) -> bool:
    return 200 <= status < 300


AnyBody = TypeVar("AnyBody", bytes, SecretText)


@dataclass(frozen=True, slots=True)
class SourceRequest:
    """A request before authentication. `client` says how to authenticate and to connect. Values of `headers` may be
    secrets. The body of an answer has at most `max_bytes`. A status that `is_success` does not name is an error."""

    method: str
    url: str = field(repr=False)
    client: HttpClientConfig = field(repr=False)
    max_bytes: int
    is_success: Callable[[int], bool] = is_200
    headers: Sequence[tuple[str, Secret]] = ()
    body: bytes | SecretText | None = field(default=None, repr=False)
    public_headers: Sequence[tuple[str, str]] = (("Accept", "application/json"),)  # sent after a redirect too
    accept_encoding: str = content_coding.GZIP
    is_page: bool = False  # of metrics: compressed only where Prometheus says so
    allow_link_local: bool = False
    unix_socket: str = ""  # the path that is dialled, whatever the URL, and the URL of a redirect, says
    stored: StoredAnswer | None = None  # the answer of before: whether it has changed is asked

    @property
    def held(self) -> list[Secret]:
        """The secrets that it carries."""
        in_body = self.body.secrets if isinstance(self.body, SecretText) else []
        return [*self.client.held, *(secret for _, secret in self.headers), *in_body]

    @property
    def may_renew(self) -> bool:
        """Whether one of them may have changed since it was read."""
        return any(secret.literal is None for secret in self.held)


@dataclass(frozen=True, slots=True)
class Opened:
    """An answer that is being read: uncompressed pieces."""

    content_type: str
    pieces: Iterator[bytes] = field(repr=False)
    status: int = 200
    headers: Headers = field(default_factory=Headers, repr=False)
    sent_with: int = 0  # stands for the URL and headers of its request; 0 after a redirect
    not_modified: Body | None = field(default=None, repr=False)  # the stored answer, which has not changed
    moved_to: str = field(default="", repr=False)  # the address of a redirect


@dataclass(frozen=True, slots=True)
class _Sent:
    """The last answer of a request, the URL that it came from, and when its request was ready (as `SecretStore.now`).
    `sent_with` is 0 after a redirect; `stored` is what the source was asked about."""

    answer: Answer
    url: str = field(repr=False)
    at: float
    sent_with: int = 0
    stored: StoredAnswer | None = None
    hops: int = 0  # redirects before it


class Fetcher:
    """Fetches from sources; keeps tokens, logins and challenges while the environment is warm. `sign` gives what signs
    for a `sigv4`. Safe for several threads."""

    def __init__(
        self,
        transport: Transport,
        secrets: SecretStore,
        env_vars: Mapping[str, str],
        sign: Callable[[SigV4], Signature],
    ) -> None:
        self._transport, self._secrets, self._env_vars, self._sign = transport, secrets, env_vars, sign
        self._kept: dict[str, Any] = {}  # by key of the config: what authenticates while the environment is warm
        self.memory = AnswerMemory()
        port = env_vars.get("AWS_LAMBDA_RUNTIME_API", "").rpartition(":")[2]  # 127.0.0.1:9001
        self._runtime_port = int(port) if port.isdecimal() else 0

    def fetch(self, request: SourceRequest, deadline: float) -> Body:
        """One answer, read to its end before `deadline` (monotonic seconds). Raises FetchError."""
        with self.open(request, deadline) as opened:
            content = bytearray()
            for piece in opened.pieces:
                content += piece
            if request.accept_encoding == content_coding.ALL and content[:1] in content_coding.MAGIC_BYTES:
                content = self._unpacked_by_magic(content, opened, request.max_bytes)
            found = Body(
                content, opened.content_type, opened.status, opened.headers, opened.sent_with, moved_to=opened.moved_to
            )
            return opened.not_modified or found

    def _unpacked_by_magic(self, content: bytearray, opened: Opened, max_bytes: int) -> bytearray:
        """A document that may be packed without a word of it in its headers. Raises FetchError."""
        try:
            pieces = content_coding.of_undeclared(content, opened.headers.get("Content-Encoding", ""))
            return bytearray().join(_bounded(pieces, max_bytes))
        except content_coding.CodingError as error:
            raise FetchError(str(error)) from None

    @contextmanager
    def open(self, request: SourceRequest, deadline: float) -> Iterator[Opened]:
        """One answer, to be read piece by piece before `deadline`. Raises FetchError, while it is read too.

        A 401 or 403 makes the secrets and the token that it concerns be fetched anew, once.
        """
        try:
            sent = self._let_in(request, deadline)
            answer, url = sent.answer, sent.url
            with answer:
                self._secrets.mask.add_cookies(answer.headers.joined("Set-Cookie"))
                if answer.status == 304:
                    yield self._not_modified(sent)
                    return
                if not request.is_success(answer.status):
                    raise FetchError(self._refused(answer, url, request))
                pieces = _bounded(_unpacked(answer, request), request.max_bytes)
                content_type = answer.headers.get("Content-Type", "")
                pieces = in_time(pieces, deadline, url)
                moved_to = url if sent.hops else ""
                yield Opened(content_type, pieces, answer.status, answer.headers, sent.sent_with, moved_to=moved_to)
        except (TransportError, SecretError, AuthenticationError, FetchError, content_coding.CodingError) as error:
            kind = type(error) if isinstance(error, FetchError) else FetchError
            raise kind(self.masked(str(error))) from None

    def _not_modified(self, sent: _Sent) -> Opened:
        """What was stored. Raises FetchError when the source was not asked."""
        if sent.stored is None:
            detail = "answered 304, not modified, and was not asked; a cache or a header of this job may do so"
            raise FetchError(f"{shown_url(sent.url)} {detail}")
        body = sent.stored.freshened(sent.answer.headers)
        return Opened(body.content_type, iter(()), body.status, body.headers, not_modified=body)

    def _let_in(self, request: SourceRequest, deadline: float) -> _Sent:
        """The request that lets us in, or the last one that does not."""
        authentications = self._authentications(request)
        for tries in range(1, _MAX_TRIES + 1):
            sent = self._follow(request, authentications, deadline)
            answer = sent.answer
            is_refused = not request.is_success(answer.status) and self._is_refusal(answer, request.client)
            if not is_refused or origin(sent.url) != origin(request.url) or tries == _MAX_TRIES:
                break
            if not self._renew(request, authentications, Refusal(answer.status, answer.headers, sent.at, tries)):
                break
            answer.__exit__(None, None, None)
        return sent

    def _is_refusal(self, answer: Answer, client: HttpClientConfig) -> bool:
        """Whether the source does not let us in. AWS's JSON APIs say so with 400 (AWS JSON 1.1)."""
        if answer.status != 400 or client.sigv4 is None:
            return answer.status in (401, 403)
        return self._sign(client.sigv4).is_refused(answer.headers, answer.read(MAX_ERROR_BYTES))

    def _renew(self, request: SourceRequest, authentications: Sequence[Authentication], refusal: Refusal) -> bool:
        """Whether the request may be let in now: a token or secret that was refused may be another one by now."""
        renewed = [one.renew(refusal) for one in authentications]
        may_renew = request.may_renew and refusal.tries == 1
        if may_renew:
            self._secrets.forget(request.held, refusal.asked_at)
        return may_renew or any(renewed)

    def _authentications(self, request: SourceRequest) -> list[Authentication]:
        """In the order in which they pass a request on: what it becomes last is what a digest is made of."""
        client = request.client
        found: list[Authentication] = []  # most sources need none of these modules
        if client.oauth2:
            from .oauth2 import BearerToken, TokenStore

            tokens = self._kept.setdefault("oauth2", TokenStore(self._transport, self._secrets, self._env_vars))
            found.append(BearerToken(client.oauth2, tokens))
        if client.login:
            found.append(self._session(request, client.login))
        if client.digest_auth:
            from .digest_auth import ChallengeStore, Digest

            challenges = self._kept.setdefault("digest_auth", ChallengeStore(self._secrets))
            found.append(Digest(client.digest_auth, challenges, request.unix_socket))
        if client.sigv4:
            found.append(self._sign(client.sigv4))
        return found

    def renew_login(self, request: SourceRequest) -> None:
        """An answer with a good status was none. A session that has ended may answer so: the next run logs in again."""
        if request.client.login:
            self._session(request, request.client.login).drop()

    def _session(self, request: SourceRequest, login: Login) -> Session:
        from .login import LoginStore, Session  # few sources need them

        return Session.of(request, login, self._kept.setdefault("login", LoginStore(self.fetch, self._secrets)))

    def masked(self, text: str) -> str:
        """A message that may quote what a source said, without the secrets that this process knows of."""
        return self._secrets.mask(text)

    def _refused(self, answer: Answer, url: str, request: SourceRequest) -> str:
        """An answer with a bad status in words, its own message among them."""
        from .error_body import asked_schemes, credentials_used, message_of, not_let_in  # seldom needed

        headers, body, sigv4 = answer.headers, answer.read(MAX_ERROR_BYTES), request.client.sigv4
        hint = _hint(answer.status, request)
        if self._is_refusal(answer, request.client):
            asked = asked_schemes(headers.joined("WWW-Authenticate"))
            hint = not_let_in(credentials_used(request.client, request.url), asked)
            if origin(url) != origin(request.url):
                hint += "; a redirect has led to another origin, where credentials are never sent"
            elif sigv4:
                hint = f"{hint}; {self._sign(sigv4).explained(headers, body)}"
        text = message_of(body, headers.get("Content-Type", ""), headers.get("Content-Encoding", ""))
        detail = f'it says "{quoted}"' if (quoted := self._secrets.mask.quoted(text, _MAX_MESSAGE)) else ""
        details = "; ".join(filter(None, (hint, detail)))
        return f"{shown_url(url)} answered {answer.status}{f': {details}' if details else ''}"

    def _follow(self, request: SourceRequest, authentications: Sequence[Authentication], deadline: float) -> _Sent:
        url, method, client = self._addressed(request), request.method, request.client
        body = self._secrets.fill(request.body).encode() if isinstance(request.body, SecretText) else request.body
        hidden: set[tuple[str, str]] = set()  # parameters that are secrets or tokens
        for hop in range(_MAX_REDIRECTS + 1):
            at_home = origin(url) == origin(request.url)
            public = {"User-Agent": USER_AGENT, **dict(request.public_headers)}
            headers = merged(public, self._headers(request, url, body)) if at_home else public
            headers |= {"Accept-Encoding": request.accept_encoding}
            sent_with = 0 if hop else hash((url, *headers.items()))
            stored = request.stored if request.stored and request.stored.sent_with == sent_with else None
            headers |= stored.validators if stored else {}
            sent = HttpRequest(method, url, headers, body)
            for authentication in authentications if at_home else ():
                sent = authentication.authenticated(sent, deadline)
            options, asked_at = self._options(request, url, at_home=at_home), self._secrets.now()
            answer = self._transport.send(sent, options, deadline - time.monotonic(), is_source=True)
            location = answer.headers.get("Location")
            if answer.status not in REDIRECTS or not client.follow_redirects or not location:
                return _Sent(answer, url, asked_at, sent_with, stored, hop)
            with answer:
                hidden |= added_parameters(sent.url, url if hop else request.url) if at_home else set()
                came_from, (url, method, body) = url, redirected(url, location, method, body, answer.status)
            if origin(url) != origin(request.url) and holds_one_of(url, hidden):
                detail = "with a secret of this job in the address: not followed; if the API is there, set url to it"
                raise FetchError(f"{shown_url(came_from)} redirected to another origin, {shown_url(url)}, {detail}")
        raise FetchError(f"{shown_url(request.url)} redirected more than {_MAX_REDIRECTS} times")

    def _options(self, request: SourceRequest, url: str, *, at_home: bool) -> ConnectionOptions:
        """How `url` is reached. Away from the source's own origin no client certificate is shown, and this machine is
        not reached, unless the source is on it."""
        client, guarded = request.client, not request.allow_link_local
        tls = client.tls if at_home else replace(client.tls, cert=None, key=None, server_name="")
        return replace(
            connection_options(url, tls, client.proxy, self._secrets, self._env_vars),
            refuse_link_local=guarded,
            refuse_loopback=guarded and not at_home and not is_this_machine(parsed(request.url).host or ""),
            runtime_port=self._runtime_port if guarded else 0,
            unix_socket=request.unix_socket,
        )

    def _addressed(self, request: SourceRequest) -> str:
        """The URL with the parameters of its query that are secrets."""
        secret = request.client.secret_params
        params = {name: [self._secrets.reveal(one) for one in values] for name, values in secret}
        return with_query(request.url, params) if params else request.url

    def _headers(self, request: SourceRequest, url: str, body: bytes | None) -> dict[str, str]:
        own = {name: self._secrets.reveal(one, is_public=one.literal is not None) for name, one in request.headers}
        for name, value in own.items():
            self._secrets.mask.add_header(name, value)
        self._secrets.mask.add_request(url, body)
        return merged(auth_headers(request.client, self._secrets), own)


def redirected(
    url: str, location: str, method: str, body: AnyBody | None, status: int
) -> tuple[str, str, AnyBody | None]:
    """Where a redirect leads, and with which method and body. Raises FetchError."""
    try:
        parts = parsed(urljoin(url, location))
    except ValueError:
        parts = parsed("")
    target = parts.url
    if parts.scheme not in ("http", "https") or not parts.host:
        raise FetchError(f"{shown_url(url)} redirected to something that is no http address")
    if status == 303 or (status in (301, 302) and method == "POST"):
        return target, "GET", None
    if body is not None and origin(target) != origin(url):
        raise FetchError(f"{shown_url(url)} redirected a {method} to another origin, {shown_url(target)}: not followed")
    return target, method, body


def _hint(status: int, request: SourceRequest) -> str:
    if is_2xx(status):
        return "200 is expected" if request.is_success is is_200 else "valid_status_codes does not list it"
    if status in REDIRECTS:
        return "a redirect, and follow_redirects is false (or it names no target)"
    return "too many requests; a longer scrape_interval may help" if status == 429 else ""


def in_time(pieces: Iterable[bytes], deadline: float, url: str) -> Iterator[bytes]:
    """The pieces, as long as there is time: unpacking them and what is done with them counts too. Raises FetchError."""
    for piece in pieces:
        if time.monotonic() > deadline:
            detail = "timed out while the body was unpacked and read; it is large, or unpacks to much"
            raise FetchError(f"{parsed(url).netloc}: {detail}")
        yield piece


def _unpacked(answer: Answer, request: SourceRequest) -> Iterator[bytes]:
    encoding = answer.headers.get("Content-Encoding", "").strip()
    if not encoding:
        return answer.chunks()
    if request.is_page:
        return content_coding.of_page(answer.chunks(), encoding)
    return content_coding.of_document(answer.chunks(), encoding, request.accept_encoding)


def _bounded(pieces: Iterator[bytes], max_bytes: int) -> Iterator[bytes]:
    """The pieces. Raises BodyTooLarge at `max_bytes` (0: no bound), before more than that is held."""
    size = 0
    for piece in pieces:
        size += len(piece)
        if max_bytes and size >= max_bytes:
            raise BodyTooLarge(f"the body has {max_bytes} bytes or more: raise body_size_limit, or ask for less")
        yield piece
