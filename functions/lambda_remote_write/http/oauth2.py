"""OAuth2 tokens of sources and receivers: fetched once, kept while the environment is warm, renewed before they end."""

from __future__ import annotations

import base64
import re
import threading
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING
from urllib.parse import quote_plus, urlencode

import msgspec

from .. import USER_AGENT
from ..config.schema import OAuth2
from ..config.secrets import Secret, SecretStore
from ..config.yaml_reader import shown_url
from ..deadline import exclusive
from ..report.mask import cut, printable
from . import HttpRequest, Transport, TransportError
from .authentication import AuthenticationError, Refusal
from .options import connection_options, merged

if TYPE_CHECKING:
    from .attempts import Attempts

_TOKEN_SPARE_SECONDS = 30.0  # a token is renewed this long before it ends
_MAX_TOKEN_BYTES = 100_000
_REFUSALS = (400, 401, 403)  # of a client that is not let in (RFC 6749, 5.2, and what is answered instead)
_MAX_TYPE, _MAX_KEYS = 60, 8  # of an answer's Content-Type, and of its keys, in a message
_KEY = re.compile(r"[A-Za-z][A-Za-z0-9_.-]{0,39}")  # what a name of a member looks like, and a token does not
_ROTATES = (
    "gives a new refresh token for each use, and none can be kept: a function in Lambda has no memory of its own. Use "
    "grant_type client_credentials or password, or let the server's refresh tokens not rotate"
)


class TokenError(AuthenticationError):
    """No token. The message names the endpoint and what to check."""


class ClientRefused(TokenError):
    """The token endpoint does not let this client in. Some say so with 200."""


class TokenStore:
    """The tokens of one environment, by client. Safe for several threads."""

    def __init__(self, transport: Transport, secrets: SecretStore, env_vars: Mapping[str, str]) -> None:
        self._transport, self._secrets, self._env_vars = transport, secrets, env_vars
        self._tokens: dict[OAuth2, tuple[float, str, float]] = {}  # until when, the token, since when
        self._renewed: dict[OAuth2, float] = {}  # when a token was last dropped because it was refused
        self._attempts: dict[OAuth2, Attempts] = {}  # of those that send a user's password
        self._rotating: dict[OAuth2, str] = {}  # why a refresh token is sent no more
        self._locks: dict[OAuth2, threading.Lock] = {}
        self._forgetting = threading.Lock()

    def forget(self, oauth2: OAuth2 | None, asked_at: float = float("inf")) -> None:
        """The client's next use fetches a new token: a request made at `asked_at` (monotonic seconds) was refused. A
        token that is newer stays. Others are dropped once a run, those that it has fetched itself too: a token is
        another one each time, and may be revoked before it ends."""
        with self._forgetting:
            kept = self._tokens.get(oauth2) if oauth2 else None
            if not oauth2 or not kept or kept[2] > asked_at:
                return
            if not self._secrets.is_of_this_run(self._renewed.get(oauth2, float("-inf"))):
                self._renewed[oauth2] = self._secrets.now()
                self._tokens.pop(oauth2, None)

    def token(self, oauth2: OAuth2, deadline: float) -> str:
        """The kept token or a new one, before `deadline` (monotonic seconds). Raises TokenError and SecretError.

        Those who share a client wait for one fetch, none of them beyond its own time.
        """
        lock = self._locks.setdefault(oauth2, threading.Lock())
        late = TokenError(f"token endpoint {shown_url(oauth2.token_url)}: no token within the time")
        with exclusive(lock, deadline, late):
            kept = self._tokens.get(oauth2)
            if kept and kept[0] > time.time():
                return kept[1]
            token, seconds = self._tried(oauth2, deadline)
            until = time.time() + seconds - min(_TOKEN_SPARE_SECONDS, seconds / 2)
            self._tokens[oauth2] = until, token, self._secrets.now()
            return token

    def _tried(self, oauth2: OAuth2, deadline: float) -> tuple[str, float]:
        """A new token; a user's password is not tried more often than `Attempts` allows. Raises TokenError and
        SecretError."""
        if why := self._rotating.get(oauth2):
            raise TokenError(why)
        if not oauth2.tries_password:
            return self._fetch_anew(oauth2, deadline)
        from .attempts import Attempts  # few clients send a password

        attempts, began = self._attempts.setdefault(oauth2, Attempts(self._secrets)), time.monotonic()
        if why := attempts.reason_to_wait(deadline - began):
            raise TokenError(why)
        try:
            found = self._fetch_anew(oauth2, deadline)
        except TokenError as error:
            had = deadline - began if time.monotonic() >= deadline else float("inf")
            is_refusal = isinstance(error, ClientRefused)
            raise TokenError(attempts.failed(str(error), is_refusal=is_refusal, had_seconds=had)) from None
        attempts.succeeded()
        return found

    def _fetch_anew(self, oauth2: OAuth2, deadline: float) -> tuple[str, float]:
        """A new token; once more when a secret of the client that is refused was rotated."""
        asked_at = self._secrets.now()
        try:
            return self._fetch_token(oauth2, deadline)
        except ClientRefused:
            held = [value for value in (oauth2.client_secret, *oauth2.form.values()) if isinstance(value, Secret)]
            if not self._secrets.forget(held, asked_at):
                raise
            return self._fetch_token(oauth2, deadline)

    def _fetch_token(self, oauth2: OAuth2, deadline: float) -> tuple[str, float]:
        """The client-credentials grant (RFC 6749, 4.4), the password grant (4.3), or what `endpoint_params` make of it.
        Raises TokenError, of which ClientRefused is one.

        The client is named in a Basic header first and, when that is refused, in the form: the order of Go's client.
        """
        where = f"token endpoint {shown_url(oauth2.token_url)}"
        options = connection_options(oauth2.token_url, oauth2.tls, oauth2.proxy, self._secrets, self._env_vars)
        status, described = 0, ""
        for request in self._token_requests(oauth2):
            try:
                with self._transport.send(request, options, deadline - time.monotonic()) as answer:
                    status, content = answer.status, answer.read(_MAX_TOKEN_BYTES)
                    described = self._secrets.mask(shape(content, answer.headers.get("Content-Type", "")))
            except TransportError as error:
                raise TokenError(self._secrets.mask(f"{where}: {error}")) from None
            if 200 <= status < 300:  # as Go's client: some answer 201
                found = _parsed_token(content)
                if found is None:
                    detail = f"no JSON with an access_token, but {described}: check {_keys(oauth2)}"
                    raise ClientRefused(f"{where} answered {detail}")
                token, seconds = found
                self._secrets.mask.add(token)
                self._check_refresh_token(oauth2, content, where)
                return token, seconds
            if status not in _REFUSALS or b"invalid_grant" in content:  # naming the client otherwise changes nothing
                break
        kind = ClientRefused if status in _REFUSALS else TokenError
        raise kind(f"{where} answered {status}: check {_keys(oauth2)}; it answered {described}")

    def _check_refresh_token(self, oauth2: OAuth2, content: bytes, where: str) -> None:
        """A server that gives another refresh token for each use takes the one of the config no more. Raises
        TokenError, from now on without asking: some servers revoke all tokens when an old one is used again."""
        sent = dict(oauth2.endpoint_params).get("refresh_token")
        given = msgspec.json.decode(content).get("refresh_token")
        if sent and isinstance(given, str) and given and given != self._secrets.reveal(sent):
            self._secrets.mask.add(given)
            self._rotating[oauth2] = f"{where} {_ROTATES}"
            raise TokenError(self._rotating[oauth2])

    def _token_requests(self, oauth2: OAuth2) -> Iterator[HttpRequest]:
        secret = self._secrets.reveal(oauth2.client_secret) if oauth2.client_secret else ""
        form = {name: self._form_value(value) for name, value in oauth2.form.items()}
        headers = {
            "User-Agent": USER_AGENT,
            "Content-Type": "application/x-www-form-urlencoded",
            "Accept": "application/json",
        }
        basic = base64.b64encode(f"{quote_plus(oauth2.client_id)}:{quote_plus(secret)}".encode()).decode()
        self._secrets.mask.add(basic)
        self._secrets.mask.add_request(oauth2.token_url, urlencode(form).encode())
        with_basic = headers | {"Authorization": f"Basic {basic}"}
        yield HttpRequest("POST", oauth2.token_url, with_basic, urlencode(form).encode())
        form |= {"client_id": oauth2.client_id} | ({"client_secret": secret} if secret else {})
        yield HttpRequest("POST", oauth2.token_url, headers, urlencode(form).encode())

    def _form_value(self, value: str | Secret) -> str:
        """One that the config names plainly is a secret by its name alone, as `password`."""
        return value if isinstance(value, str) else self._secrets.reveal(value, is_public=value.literal is not None)


@dataclass(frozen=True, slots=True)
class BearerToken:
    """Sends the token of an OAuth2 client."""

    oauth2: OAuth2
    tokens: TokenStore

    def authenticated(self, request: HttpRequest, deadline: float) -> HttpRequest:
        token = self.tokens.token(self.oauth2, deadline)
        return replace(request, headers=merged(request.headers, {"Authorization": f"Bearer {token}"}))

    def renew(self, refusal: Refusal) -> bool:
        self.tokens.forget(self.oauth2, refusal.asked_at)
        return refusal.tries == 1


def _keys(oauth2: OAuth2) -> str:
    """What of the config the endpoint may refuse."""
    keys = ["client_id", "client_secret", "scopes"]
    keys += ["username", "password"] if oauth2.username or oauth2.password else []
    keys += ["endpoint_params"] if oauth2.endpoint_params else []
    return f"{', '.join(keys[:-1])} and {keys[-1]}"


def _parsed_token(content: bytes) -> tuple[str, float] | None:
    try:
        document = msgspec.json.decode(content)
        token, seconds = document["access_token"], float(document.get("expires_in") or 300)
        if isinstance(token, str) and token:
            return token, seconds
    except (msgspec.DecodeError, KeyError, TypeError, ValueError, AttributeError, RecursionError):
        pass
    return None


def shape(content: bytes, content_type: str) -> str:
    """What an answer is, without any value of it: it may hold a token under a name that we do not know."""
    kind = cut(printable(content_type), _MAX_TYPE) or "no Content-Type"
    try:
        document = msgspec.json.decode(content)
    except (msgspec.DecodeError, ValueError, RecursionError):
        return f"{len(content)} bytes that are no JSON ({kind})"
    if not isinstance(document, dict):
        return f"JSON that is no object ({kind})"
    keys = [key for key in document if _KEY.fullmatch(key)][:_MAX_KEYS]
    return f"JSON with the keys {', '.join(keys)} ({kind})" if keys else f"JSON without a usable key ({kind})"
