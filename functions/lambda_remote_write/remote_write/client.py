"""One attempt: final headers, signature, POST, and what the receiver answered. Redirects are not followed."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

import msgspec

from .. import USER_AGENT
from ..aws.credentials import CredentialsError, CredentialsProvider
from ..aws.sigv4 import signed
from ..config.schema import RemoteWriteConfig
from ..config.secrets import SecretError, SecretStore
from ..http import Answer, ConnectionOptions, HttpRequest, Transport, TransportError, one_line
from ..http.oauth2 import TokenError, TokenStore
from ..http.options import auth_headers, connection_options, merged
from ..model.delivery import WriteRequest

_MAX_ERROR_BYTES = 1024  # of a refusal's text; the rest of a long one is not read
_WRITTEN_HEADER = "X-Prometheus-Remote-Write-{}-Written"
_NOTHING_SENT = ("dns", "connect", "tls", "refused")  # kinds of a TransportError
_BOTH = {"Content-Encoding": "snappy", "User-Agent": USER_AGENT}
HEADERS = {
    1: _BOTH | {"Content-Type": "application/x-protobuf", "X-Prometheus-Remote-Write-Version": "0.1.0"},
    2: _BOTH
    | {
        "Content-Type": "application/x-protobuf;proto=io.prometheus.write.v2.Request",
        "X-Prometheus-Remote-Write-Version": "2.0.0",
    },
}
"""Of a write request, by the version of the protocol."""


@dataclass(frozen=True, slots=True)
class WrittenCounts:
    """Counts of what a receiver of 2.0 has written. A missing or unreadable count is 0."""

    samples: int = 0
    histograms: int = 0
    exemplars: int = 0

    def of(self, request: WriteRequest) -> int:
        """The number of written samples of the request, histograms included; never more than it has."""
        floats = request.samples - request.histograms
        return min(self.samples, floats) + min(self.histograms, request.histograms)


@dataclass(frozen=True, slots=True)
class WriteResponse:
    """The result of one attempt. `status` is 0 without an answer; `message` is the receiver's text or the transport's
    error. `fixable` marks a failure that needs a person (no credentials, a bad certificate). `unsent` means that
    nothing of the request was sent, `resent` that the transport sent it twice because a kept connection had died.
    `written` are the receiver's counts for a request of version 2; None when it gives none."""

    status: int
    message: str = ""
    retry_after: str | None = None
    fixable: bool = False
    unsent: bool = False
    resent: bool = False
    written: WrittenCounts | None = None

    @property
    def is_unanswered(self) -> bool:
        """Whether the receiver may have the request without having answered."""
        return not self.status and not self.unsent


class NoAnswer(Exception):
    """A receiver has not answered a query. The message says why."""


class QueryResult(msgspec.Struct):
    """A series of an instant vector: its labels, and the time in seconds and the value (Prometheus, "HTTP API")."""

    metric: dict[str, str]
    value: tuple[float, str]

    def value_ms(self) -> int:
        """The value of a query for a time in seconds. Raises NoAnswer."""
        try:
            return round(float(self.value[1]) * 1000)
        except (ValueError, OverflowError):
            raise NoAnswer("a query returned something that is not a time") from None


class _Data(msgspec.Struct):
    result: list[QueryResult]


class _QueryAnswer(msgspec.Struct):
    data: _Data


class RemoteWriteClient:
    """Sends requests to one endpoint: remote write and queries. `version` of the protocol is the configured one until
    the receiver refuses it."""

    def __init__(
        self,
        endpoint: RemoteWriteConfig,
        transport: Transport,
        secrets: SecretStore,
        credentials: CredentialsProvider | None,
        env_vars: Mapping[str, str],
        now_ms: Callable[[], int],
    ) -> None:
        self.version = endpoint.version
        self._tokens = TokenStore(transport, secrets, env_vars)
        self._endpoint, self._transport, self._secrets = endpoint, transport, secrets
        self._credentials, self._env_vars, self._now_ms = credentials, env_vars, now_ms

    def post(self, request: WriteRequest, attempt: int, left_seconds: float, *, renewed: bool = False) -> WriteResponse:
        """Attempt number `attempt` of a request, within `remote_timeout` and the rest of the run.

        `renewed` fetches new credentials first. Raises nothing: every failure is a WriteResponse.
        """
        endpoint = self._endpoint
        timeout_seconds = min(endpoint.remote_timeout_ms / 1000, left_seconds)
        try:
            headers = HEADERS[request.version] | ({"Retry-Attempt": str(attempt - 1)} if attempt > 1 else {})
            post = HttpRequest("POST", endpoint.url, headers, request.body)
            post = self.authorised(post, time.monotonic() + timeout_seconds, renewed=renewed)
            with self._transport.send(post, self.connection_options(), timeout_seconds) as answer:
                detail = answer.read(_MAX_ERROR_BYTES)  # of a success too, so that the connection can be reused
                text = "" if 200 <= answer.status < 300 else self._words(answer, detail)
                says = written(answer.headers) if request.version > 1 else None  # for 1.0 they have no meaning
                retry_after = answer.headers.get("Retry-After")
                return WriteResponse(answer.status, text, retry_after, resent=answer.resent, written=says)
        except TransportError as error:
            is_fixable = error.kind == "tls" and "certificate" in str(error).lower()
            return WriteResponse(0, self.masked(str(error)), fixable=is_fixable, unsent=error.kind in _NOTHING_SENT)
        except TokenError as error:
            return WriteResponse(0, self.masked(str(error)), unsent=True)
        except (CredentialsError, SecretError) as error:
            return WriteResponse(0, self.masked(str(error)), fixable=True, unsent=True)

    def ask(self, request: HttpRequest, timeout_seconds: float, max_bytes: int) -> tuple[int, bytes]:
        """Another request to the same receiver, authorised -> status and the first bytes of the body. Raises
        NoAnswer."""
        try:
            ready = self.authorised(request, time.monotonic() + timeout_seconds)
            with self._transport.send(ready, self.connection_options(), timeout_seconds) as answer:
                return answer.status, answer.read(max_bytes)
        except (TransportError, TokenError, CredentialsError, SecretError) as error:
            raise NoAnswer(self.masked(str(error))) from None

    def query(self, request: HttpRequest, timeout_seconds: float, max_bytes: int, parameter: str) -> list[QueryResult]:
        """A PromQL query -> its instant vector. `parameter` of the template allows it. Raises NoAnswer."""
        status, body = self.ask(request, timeout_seconds, max_bytes)
        if status != 200:
            hint = f"; the role needs aps:QueryMetrics (parameter {parameter})" if status == 403 else ""
            raise NoAnswer(f"a query was answered {status}{hint}")
        try:
            return msgspec.json.decode(body, type=_QueryAnswer).data.result
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise NoAnswer(f"the answer to a query cannot be read ({type(error).__name__})") from None

    def masked(self, text: str) -> str:
        """Masks the secrets of this process in a text of the receiver or about it."""
        return self._secrets.mask(text)

    def _words(self, answer: Answer, text: bytes) -> str:
        """The text of a refusal for a log line: at most 1,024 bytes, with secrets masked."""
        self._secrets.mask.add_cookies(answer.headers.joined("Set-Cookie"))
        words = one_line(self.masked(text.decode("utf-8", "replace")))
        return words.encode()[:_MAX_ERROR_BYTES].decode("utf-8", "ignore")

    def authorised(self, request: HttpRequest, deadline: float, *, renewed: bool = False) -> HttpRequest:
        """The request with the config's headers, credentials and signature. Raises TokenError, CredentialsError and
        SecretError."""
        endpoint = self._endpoint
        if renewed:
            self._secrets.forget(endpoint.http.held, self._secrets.now())
            self._tokens.forget(endpoint.http.oauth2, self._secrets.now())
        headers = merged(dict(endpoint.headers), auth_headers(endpoint.http, self._secrets), request.headers)
        for name, value in endpoint.headers:
            self._secrets.mask.add_header(name, value)
        self._secrets.mask.add_request(request.url)
        if endpoint.http.oauth2:
            headers["Authorization"] = f"Bearer {self._tokens.token(endpoint.http.oauth2, deadline)}"
        ready = replace(request, headers=headers)
        if endpoint.sigv4 is None or self._credentials is None:
            return ready
        credentials = self._credentials.get(renewed=renewed)
        self._secrets.mask.add(credentials.access_key, credentials.secret_key, credentials.session_token)
        return replace(ready, headers=signed(ready, endpoint.sigv4, credentials, self._now_ms()))

    def connection_options(self) -> ConnectionOptions:
        """How to connect to the receiver. Raises SecretError."""
        http = self._endpoint.http
        return connection_options(self._endpoint.url, http.tls, http.proxy, self._secrets, self._env_vars)


def written(headers: Mapping[str, str]) -> WrittenCounts | None:
    """The counts in the headers of an answer; None without any of them. A 2xx without counts does not prove that the
    receiver speaks 2.0."""
    found = [headers.get(_WRITTEN_HEADER.format(kind)) for kind in ("Samples", "Histograms", "Exemplars")]
    return WrittenCounts(*map(_count, found)) if any(found) else None


def _count(header: str | None) -> int:
    text = (header or "").strip()
    return int(text[:18]) if text.isascii() and text.isdigit() else 0
