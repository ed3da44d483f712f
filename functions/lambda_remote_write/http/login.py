"""Logs in at a source for a token or cookies: once for all targets that share a login, kept while the environment is
warm, renewed after its lifetime and when it is refused."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any
from urllib.parse import urljoin

import msgspec

from ..config.expression_context import BudgetExceeded, Document, Evaluation, ExpressionFailed, Position
from ..config.http_client import header_value
from ..config.schema import HttpClientConfig, Login, TokenUse
from ..config.secrets import SecretStore
from ..config.yaml_reader import shown_url
from ..deadline import exclusive
from . import content_coding
from .address import origin
from .attempts import AGAIN_SECONDS, MAX_REFUSALS, PAUSE_SECONDS, Attempts
from .authentication import AuthenticationError, Refusal
from .body_kind import kind_of_body
from .conditional import Body
from .cookies import Cookies
from .error_body import message_of, said_in
from .fetch import MAX_ERROR_BYTES, REDIRECTS, BodyTooLarge, FetchError, SourceRequest, is_2xx, redirected
from .oauth2 import shape
from .options import merged
from .query import with_query
from .response import Headers
from .types import HttpRequest

MAX_TOKEN_CHARACTERS = 16_384  # servers refuse headers of more than 8 to 32 kB
MAX_ANSWER_BYTES = 1_000_000
MAX_REDIRECTS = 5
_MAX_LOGINS = 10_000  # that are kept: a login for each target, as lists of targets change
_IN_A_ROW_SECONDS = 3_600.0  # between refusals of new logins
_MAX_MESSAGE = 200  # characters of the answer's own error message
_CHECK = "check the user and password that login sends"
_REFUSALS = {
    **dict.fromkeys((400, 401, 403, 422), _CHECK),
    423: "the account is locked",
    429: "it allows no more logins or sessions for now",
}


class LoginError(AuthenticationError):
    """No token. The message names the address and what to check."""


class LoginRefused(LoginError):
    """The answer lets nothing in: the user or password may be wrong."""


@dataclass(frozen=True, slots=True)
class LoginRequest:
    """Who logs in, where, and how that address is reached: targets with the same share what it gives."""

    login: Login
    url: str = field(repr=False)
    client: HttpClientConfig = field(repr=False)
    allow_link_local: bool = False
    unix_socket: str = ""

    @classmethod
    def of(cls, request: SourceRequest, login: Login) -> LoginRequest:
        """A login at the source's own origin passes the same proxy that asks for basic_auth, if one does."""
        url, client = urljoin(request.url, login.url), request.client
        if origin(url) == origin(request.url):
            basic, tls, socket = login.basic_auth or client.basic_auth, client.tls, request.unix_socket
        else:
            basic, tls, socket = login.basic_auth, replace(client.tls, server_name=""), ""
        query = tuple((name, (value,)) for name, value in login.query)
        own = HttpClientConfig(
            basic_auth=basic, tls=tls, proxy=client.proxy, follow_redirects=False, secret_params=query
        )
        return cls(login, url, own, request.allow_link_local, socket)

    @property
    def place(self) -> str:
        return f"login {shown_url(self.url)}"


@dataclass(frozen=True, slots=True)
class LoggedIn:
    """What a login has given. Times as `SecretStore.now`."""

    token: str = field(repr=False)
    cookies: Cookies = field(repr=False)
    since: float


@dataclass(frozen=True, slots=True)
class _RefusedLogins:
    """How many new logins in a row an address has refused, from when the newest is, and when it was refused."""

    times: int = 0
    newest: float = float("-inf")
    at: float = float("-inf")


class _State:
    """What is known of an account. `refusing` has the addresses that refuse what it gives even when it is new: the
    user may lack a right there, or a wrong password got a cookie all the same."""

    def __init__(self, secrets: SecretStore) -> None:
        self.lock = threading.Lock()
        self.kept: LoggedIn | None = None
        self.renewed = float("-inf")
        self.attempts = Attempts(secrets)
        self.refusing: dict[str, _RefusedLogins] = {}


class LoginStore:
    """The logins of one environment, by account. Safe for several threads."""

    def __init__(
        self,
        fetch: Callable[[SourceRequest, float], Body],
        secrets: SecretStore,
        wall_clock: Callable[[], float] = time.time,
    ) -> None:
        self._fetch, self.secrets, self._wall_clock = fetch, secrets, wall_clock
        self._states: dict[LoginRequest, _State] = {}
        self._lock = threading.Lock()

    def logged_in(self, account: LoginRequest, deadline: float) -> LoggedIn:
        """The kept login or a new one, before `deadline` (monotonic seconds). Raises LoginError and SecretError.

        Those who share an account wait for one login, none of them beyond its own time.
        """
        state = self._state(account)
        with exclusive(state.lock, deadline, LoginError(f"{account.place}: no answer within the time")):
            kept = state.kept
            lifetime = account.login.lifetime_ms / 1000
            if kept and self.secrets.now() - kept.since < lifetime and not kept.cookies.are_over:
                return kept
            if why := state.attempts.reason_to_wait(deadline - time.monotonic()):
                raise LoginError(why)
            state.kept = self._tried(account, state.attempts, deadline)
            return state.kept

    def forget(self, account: LoginRequest, refusal: Refusal, url: str) -> bool:
        """What was sent to `url` is refused: the next use logs in again, once a run, and not for an address that has
        refused new logins too. True when another request is worth its while: there is, or will be, another login than
        the one that was refused."""
        state, is_first = self._state(account), refusal.tries == 1
        with self._lock:
            if state.kept is None or state.kept.since > refusal.asked_at:
                return is_first
            is_useless = self._is_useless(state, state.kept.since, url)
            if not is_first or is_useless or self.secrets.is_of_this_run(state.renewed):
                return False
            state.renewed, state.kept = self.secrets.now(), None
            return True

    def _is_useless(self, state: _State, since: float, url: str) -> bool:
        """Whether this address refuses whatever a login gives, for now."""
        now, seen = self.secrets.now(), state.refusing.get(url) or _RefusedLogins()
        if self.secrets.is_recent(since, AGAIN_SECONDS) and seen.newest != since:
            times = seen.times if now - seen.at < _IN_A_ROW_SECONDS else 0
            state.refusing.pop(url, None)
            state.refusing[url] = seen = _RefusedLogins(times + 1, since, now)
            while len(state.refusing) > _MAX_LOGINS:
                del state.refusing[next(iter(state.refusing))]
        return seen.times >= MAX_REFUSALS and now - seen.at < PAUSE_SECONDS

    def _state(self, account: LoginRequest) -> _State:
        with self._lock:
            state = self._states.get(account) or _State(self.secrets)
            self._states[account] = state
            while len(self._states) > _MAX_LOGINS:
                del self._states[next(iter(self._states))]
            return state

    def _tried(self, account: LoginRequest, attempts: Attempts, deadline: float) -> LoggedIn:
        """A new login; once more when a secret of the one that is refused was rotated."""
        asked_at, began = self.secrets.now(), time.monotonic()
        try:
            try:
                found = self._log_in(account, deadline)
            except LoginRefused as error:
                if not self.secrets.forget(account.login.held, asked_at):
                    raise
                attempts.failed(str(error), is_refusal=True)
                found = self._log_in(account, deadline)
        except LoginError as error:
            had = deadline - began if time.monotonic() >= deadline else float("inf")
            is_refusal = isinstance(error, LoginRefused)
            raise LoginError(attempts.failed(str(error), is_refusal=is_refusal, had_seconds=had)) from None
        attempts.succeeded()
        return found

    def _log_in(self, account: LoginRequest, deadline: float) -> LoggedIn:
        """Raises LoginError, of which LoginRefused is one, and SecretError."""
        cookies = Cookies(self._wall_clock)
        try:
            answer = self._follow(account, cookies, deadline)
        except BodyTooLarge:
            detail = f"it has {MAX_ANSWER_BYTES} bytes or more"
            raise LoginRefused(f"{account.place} answered with no token that can be used: {detail}") from None
        except FetchError as error:
            raise LoginError(f"{account.place}: {error}") from None
        if not is_2xx(answer.status):
            kind = LoginRefused if answer.status in _REFUSALS else LoginError
            check = _REFUSALS.get(answer.status, "")
            detail = f"{': ' if check else ''}{check}{self._said(_message(answer))}"
            raise kind(f"{account.place} answered {answer.status}{detail}")
        token = self._token(account, answer) if account.login.token else ""
        if (account.login.use.cookies or not account.login.token) and not cookies.values:
            why = "; ".join(dict.fromkeys(cookies.refused)) or _CHECK
            raise LoginRefused(
                f"{account.place} answered {answer.status} without a cookie to keep: {why}{self._holds(answer)}"
            )
        return LoggedIn(token, cookies, self.secrets.now())

    def _follow(self, account: LoginRequest, cookies: Cookies, deadline: float) -> Body:
        """The last answer. Redirects are followed within the origin, with the cookies so far, as a browser does after a
        form. Raises FetchError."""
        login, url = account.login, account.url
        method, body = login.method, login.body
        for _ in range(MAX_REDIRECTS + 1):
            answer = self._fetch(_request(account, url, method, body, cookies.header(url)), deadline)
            cookies.add(answer.headers.lines("Set-Cookie"), url)
            location = answer.headers.get("Location")
            if answer.status not in REDIRECTS or not location:
                return answer
            target = redirected(url, location, method, None, answer.status)[0]
            if origin(target) != origin(url):
                detail = f"it redirected to another origin, {shown_url(target)}: not followed"
                detail += ", as a user, a token or a cookie never goes to one"
                raise FetchError(f"{detail}; if the login is there, set login.url to it")
            url, method, body = redirected(url, location, method, body, answer.status)
        raise FetchError(f"it redirected more than {MAX_REDIRECTS} times")

    def _token(self, account: LoginRequest, answer: Body) -> str:
        """Raises LoginRefused."""
        document = _document(answer)
        found = _found(account, answer, document)
        text = str(found).strip() if isinstance(found, str | int) and not isinstance(found, bool) else ""
        is_page = isinstance(document, str) and text.startswith("<")
        if not text or is_page:
            where = account.login.token.text.strip() if account.login.token else ""
            what = "no text" if found is not None and not text else "no token"
            raise LoginRefused(
                f"{account.place} answered {answer.status} with {what} at {where:.80}: {_CHECK}, and token"
                f"{self._holds(answer)}"
            )
        if len(text) > MAX_TOKEN_CHARACTERS:
            detail = f"it has {len(text)} characters, and one has {MAX_TOKEN_CHARACTERS} at most"
            raise LoginRefused(f"{account.place} answered with no token that can be used: {detail}")
        try:
            return header_value(text)
        except ValueError as error:
            raise LoginRefused(f"{account.place} answered with no token that can be used: {error}") from None

    def _holds(self, answer: Body) -> str:
        """What an answer with a good status is, and its message if it has one; no other value of it."""
        content = bytes(answer.content)
        said = self._said(said_in(content))
        kind = "" if content.lstrip()[:1] in (b"{", b"[") else kind_of_body(content[:1000], answer.content_type)
        is_kind = f"; {kind}" if kind and kind != "this is plain text" else ""
        return self.secrets.mask(f"; it answered {shape(content, answer.content_type)}") + is_kind + said

    def _said(self, text: str) -> str:
        quoted = self.secrets.mask.quoted(text, _MAX_MESSAGE)
        return f'; it says "{quoted}"' if quoted else ""


def _request(account: LoginRequest, url: str, method: str, body: Any, cookie: str) -> SourceRequest:
    login = account.login
    is_first = url == account.url
    return SourceRequest(
        method,
        url,
        account.client if is_first else replace(account.client, secret_params=()),
        MAX_ANSWER_BYTES,
        _any_status,
        headers=[one for one in login.headers if body is not None or one[0].lower() != "content-type"],
        body=body,
        public_headers=(("Accept", "application/json"), *((("Cookie", cookie),) if cookie else ())),
        accept_encoding=content_coding.IDENTITY,
        allow_link_local=account.allow_link_local,
        unix_socket=account.unix_socket,
    )


def _any_status(status: int) -> bool:
    return True


def _document(answer: Body) -> Any:
    """JSON, or the text that it is instead."""
    try:
        return msgspec.json.decode(answer.content.removeprefix(b"\xef\xbb\xbf"))
    except (msgspec.DecodeError, ValueError, RecursionError):
        return answer.content.decode("utf-8-sig", "replace").strip()


def _found(account: LoginRequest, answer: Body, document: Any) -> Any:
    """What `token` finds; None when it cannot be applied."""
    shared = Evaluation(decode=lambda text: msgspec.json.decode(text.encode()), left_bytes=MAX_ANSWER_BYTES)
    whole = Document(document, answer.status, answer.headers, shared)
    try:
        token = account.login.token
        return token.one(document, Position(whole, (document,))) if token else None
    except (ExpressionFailed, BudgetExceeded):
        return None


def _message(answer: Body) -> str:
    return message_of(bytes(answer.content[:MAX_ERROR_BYTES]), answer.content_type, "")


@dataclass(frozen=True, slots=True)
class Session:
    """Sends what a login has given."""

    account: LoginRequest
    logins: LoginStore
    url: str = field(repr=False)  # without its query

    @classmethod
    def of(cls, request: SourceRequest, login: Login, logins: LoginStore) -> Session:
        return cls(LoginRequest.of(request, login), logins, request.url.partition("?")[0])

    def authenticated(self, request: HttpRequest, deadline: float) -> HttpRequest:
        account, mask = self.account, self.logins.secrets.mask
        found = self.logins.logged_in(account, deadline)
        use, token = account.login.use, account.login.token
        if token is None or use.cookies:
            mask.add(*found.cookies.values)
            request = _with_cookie(request, _cookie(account, found, request.url))
        if token is None:
            return request
        mask.add(found.token)
        return _with_token(request, use, found.token)

    def renew(self, refusal: Refusal) -> bool:
        return self.logins.forget(self.account, refusal, self.url)

    def drop(self) -> None:
        """An answer with a good status was none: it counts against the login, not against one address, since any number
        of them may answer so for good."""
        self.logins.forget(self.account, Refusal(200, Headers(), float("inf")), "")


def _cookie(account: LoginRequest, found: LoggedIn, url: str) -> str:
    """Raises LoginError."""
    cookie = found.cookies.header(url)
    if not cookie:
        detail = f"its cookies are for {', '.join(found.cookies.places):.200}, and none goes to {shown_url(url)}"
        raise LoginError(f"{account.place}: {detail} (they go by Domain, Path, Secure and Expires)")
    return cookie


def _with_token(request: HttpRequest, use: TokenUse, token: str) -> HttpRequest:
    if use.query:
        return replace(request, url=with_query(request.url, {use.query: token}))
    if use.header.lower() == "cookie":
        return _with_cookie(request, use.prefix + token)
    return replace(request, headers=merged(request.headers, {use.header: use.prefix + token}))


def _with_cookie(request: HttpRequest, cookie: str) -> HttpRequest:
    """Behind those that the config has."""
    own = [value for name, value in request.headers.items() if name.lower() == "cookie"]
    return replace(request, headers=merged(request.headers, {"Cookie": "; ".join([*own, cookie])}))
