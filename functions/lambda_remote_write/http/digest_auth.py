"""Digest access authentication (RFC 7616, and RFC 2069 for old servers): the password itself is never sent.

The first request to an origin goes without credentials, and its 401 brings a challenge, which is kept while the
environment is warm: each further request counts up with it.
"""

from __future__ import annotations

import hashlib
import re
import secrets as random
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import NamedTuple
from urllib.parse import quote

from ..config.schema import DigestAuth
from ..config.secrets import Secret, SecretStore
from ..report.mask import cut, printable
from .address import origin, parsed
from .authentication import AuthenticationError, Refusal
from .options import merged
from .types import HttpRequest

_MAX_CHARACTERS = 8_192  # of WWW-Authenticate that are looked at
_MAX_CHALLENGES = 10_000  # that are kept, as lists of targets change
_HASHES = {"MD5": "md5", "SHA-256": "sha256", "SHA-512-256": "sha512_256"}  # the strongest last
_SESSION = "-SESS"
_QOPS = ("auth", "auth-int")  # in the order of our choice
_NAME = r"[!#$%&'*+.^_`|~0-9A-Za-z-]+"
_PART = re.compile(
    rf"(?P<name>{_NAME})[ \t]*=[ \t]*(?:\"(?P<quoted>(?:[^\"\\]|\\.)*)\"|(?P<plain>[^\s,\"]+))(?=[ \t]*(?:,|$))"
    rf"|(?P<scheme>{_NAME})(?:[ \t]+(?P<token68>[A-Za-z0-9._~+/-]+=*)(?=[ \t]*(?:,|$)))?"
)


class UnknownDigest(AuthenticationError):
    """A challenge that cannot be answered. The message names what is unknown in it."""


@dataclass(slots=True)
class Challenge:
    """What a server asks with, and how often it was answered. `qop` is "" for a server of RFC 2069."""

    realm: str
    nonce: str = field(repr=False)
    algorithm: str = "MD5"
    qop: str = ""
    opaque: str | None = None
    is_stale: bool = False
    hides_user: bool = False
    names_algorithm: bool = False
    cnonce: str = field(default_factory=lambda: random.token_hex(16))
    count: int = 0

    def hashed(self, text: str | bytes) -> str:
        """In hexadecimal."""
        data = text.encode() if isinstance(text, str) else text
        return hashlib.new(_hash_of(self.algorithm), data, usedforsecurity=False).hexdigest()

    @property
    def is_session(self) -> bool:
        return self.algorithm.upper().endswith(_SESSION)

    @property
    def strength(self) -> int:
        return list(_HASHES).index(self.algorithm.upper().removesuffix(_SESSION))


class Credentials(NamedTuple):
    username: str
    password: str


class ChallengeStore:
    """The newest challenge of each origin and socket. Safe for several threads."""

    def __init__(self, secrets: SecretStore) -> None:
        self.secrets = secrets
        self._kept: dict[tuple[object, ...], Challenge] = {}
        self._lock = threading.Lock()

    def next(self, key: tuple[object, ...]) -> tuple[Challenge, int] | None:
        """The challenge and the count of this answer to it; None before the first challenge."""
        with self._lock:
            kept = self._kept.get(key)
            if kept is None:
                return None
            kept.count += 1
            return kept, kept.count

    def keep(self, key: tuple[object, ...], challenge: Challenge) -> None:
        """A challenge with the nonce that is known goes on being counted."""
        with self._lock:
            kept = self._kept.get(key)
            if kept is None or (kept.nonce, kept.algorithm) != (challenge.nonce, challenge.algorithm):
                self._kept.pop(key, None)
                self._kept[key] = challenge
            while len(self._kept) > _MAX_CHALLENGES:
                del self._kept[next(iter(self._kept))]

    def drop(self, key: tuple[object, ...]) -> None:
        with self._lock:
            self._kept.pop(key, None)


class Digest:
    """Answers the challenges to the requests for one answer of a source."""

    def __init__(self, digest_auth: DigestAuth, challenges: ChallengeStore, unix_socket: str) -> None:
        self._config, self._challenges, self._unix_socket = digest_auth, challenges, unix_socket
        self._key: tuple[object, ...] = ()
        self._has_answered, self._problem = False, ""

    def authenticated(self, request: HttpRequest, deadline: float) -> HttpRequest:
        if self._problem:
            raise UnknownDigest(self._problem)
        self._key = origin(request.url), self._unix_socket, self._config
        found = self._challenges.next(self._key)
        self._has_answered = found is not None
        if found is None:
            return request
        header = authorization(*found, self._credentials(), request)
        self._challenges.secrets.mask.add_passing(
            *re.findall(r'response="(\w+)"', header)
        )  # weak passwords are guessed
        return replace(request, headers=merged(request.headers, {"Authorization": header}))

    def renew(self, refusal: Refusal) -> bool:
        """True for a challenge to answer: the first, one whose nonce is new because ours had become stale, or when the
        password was rotated."""
        if refusal.status != 401:
            return False
        try:
            challenge = chosen(refusal.headers.joined("WWW-Authenticate"))
        except UnknownDigest as error:
            self._problem = str(error)
            return True  # to fail with it
        if challenge is None:
            self._challenges.drop(self._key)
            return False
        self._challenges.keep(self._key, challenge)
        if not self._has_answered or challenge.is_stale or refusal.tries == 1:
            return True  # not every server says that a nonce from before is stale
        if self._challenges.secrets.forget(self._held(), refusal.asked_at):
            return True
        self._challenges.drop(self._key)  # so that the next run does not offer the same credentials twice
        return False

    def _held(self) -> list[Secret]:
        return [one for one in (self._config.username, self._config.password) if one]

    def _credentials(self) -> Credentials:
        store, config = self._challenges.secrets, self._config
        username = store.reveal(config.username) if config.username else ""
        return Credentials(username, store.reveal(config.password) if config.password else "")


# --- Challenges -------------------------------------------------------------------------------------------------------


def chosen(www_authenticate: str) -> Challenge | None:
    """The strongest challenge for Digest; None when there is none. Raises UnknownDigest when none can be answered."""
    found, problems = [], []
    for scheme, parameters in _challenges(www_authenticate):
        if scheme.lower() == "digest":
            try:
                found.append(_challenge(parameters))
            except UnknownDigest as error:
                problems.append(str(error))
    if problems and not found:
        raise UnknownDigest(problems[0])
    return max(found, key=lambda one: one.strength, default=None)


def _challenges(www_authenticate: str) -> Iterator[tuple[str, dict[str, str]]]:
    """Schemes and their parameters, which are separated by commas as the challenges are (RFC 9110, 11.6.1)."""
    scheme, parameters = "", dict[str, str]()
    for part in _PART.finditer(www_authenticate[:_MAX_CHARACTERS]):
        if part["scheme"]:
            yield scheme, parameters
            scheme, parameters = part["scheme"], {}
        else:
            quoted = part["quoted"]
            value = part["plain"] if quoted is None else re.sub(r"\\(.)", r"\1", quoted)
            parameters.setdefault(part["name"].lower(), value)
    yield scheme, parameters


def _challenge(parameters: dict[str, str]) -> Challenge:
    """Raises UnknownDigest."""
    algorithm = parameters.get("algorithm", "MD5")
    if not _hash_of(algorithm):
        known = ", ".join(filter(_hash_of, _HASHES))
        raise UnknownDigest(
            _asks(f"algorithm {_shown(algorithm)}, which is unknown: known are {known}, also with -sess")
        )
    offered = [one.strip().lower() for one in parameters.get("qop", "").split(",") if one.strip()]
    qop = next((one for one in _QOPS if one in offered), "")
    if offered and not qop:
        raise UnknownDigest(_asks(f"qop {_shown(parameters['qop'])}, which is unknown: known are {', '.join(_QOPS)}"))
    if not parameters.get("nonce"):
        raise UnknownDigest("it asks for Digest without a nonce, which no client can answer")
    return Challenge(
        realm=parameters.get("realm", ""),
        nonce=parameters["nonce"],
        algorithm=algorithm,
        qop=qop,
        opaque=parameters.get("opaque"),
        is_stale=parameters.get("stale", "").lower() == "true",
        hides_user=parameters.get("userhash", "").lower() == "true",
        names_algorithm="algorithm" in parameters,
    )


def _asks(detail: str) -> str:
    return f"it asks for Digest with {detail}"


def _shown(text: str) -> str:
    return cut(printable(text), 40)


def _hash_of(algorithm: str) -> str:
    """hashlib's name; "" for one that is not known here."""
    name = _HASHES.get(algorithm.upper().removesuffix(_SESSION), "")
    return name if name in hashlib.algorithms_available else ""


# --- The answer to one ------------------------------------------------------------------------------------------------


def authorization(challenge: Challenge, count: int, credentials: Credentials, request: HttpRequest) -> str:
    """The header's value for the answer number `count` to a challenge (RFC 7616, 3.4)."""
    uri = parsed(request.url).request_uri
    values = {"realm": challenge.realm, "nonce": challenge.nonce, "uri": uri}
    values["response"] = _response(challenge, count, credentials, request, uri)
    if challenge.opaque is not None:
        values["opaque"] = challenge.opaque
    if challenge.qop or challenge.is_session:
        values["cnonce"] = challenge.cnonce
    parts = [_user(challenge, credentials.username), *(f"{name}={_quoted(value)}" for name, value in values.items())]
    if challenge.names_algorithm:
        parts.append(f"algorithm={challenge.algorithm}")
    if challenge.qop:
        parts += [f"qop={challenge.qop}", f"nc={count:08x}"]
    return f"Digest {', '.join(parts)}"


def _response(challenge: Challenge, count: int, credentials: Credentials, request: HttpRequest, uri: str) -> str:
    """3.4.1; without a qop as in RFC 2069, 2.1.2."""
    hashed = challenge.hashed
    of_user = hashed(f"{credentials.username}:{challenge.realm}:{credentials.password}")
    if challenge.is_session:
        of_user = hashed(f"{of_user}:{challenge.nonce}:{challenge.cnonce}")
    of_body = f":{hashed(request.body or b'')}" if challenge.qop == "auth-int" else ""
    of_request = hashed(f"{request.method}:{uri}{of_body}")
    if not challenge.qop:
        return hashed(f"{of_user}:{challenge.nonce}:{of_request}")
    counted = f"{challenge.nonce}:{count:08x}:{challenge.cnonce}:{challenge.qop}"
    return hashed(f"{of_user}:{counted}:{of_request}")


def _user(challenge: Challenge, username: str) -> str:
    """3.4.4, and 3.4.1 for names beyond what a quoted text holds."""
    if challenge.hides_user:
        hashed = challenge.hashed(f"{username}:{challenge.realm}")
        return f"username={_quoted(hashed)}, userhash=true"
    if username.isascii() and username.isprintable():
        return f"username={_quoted(username)}"
    return f"username*=UTF-8''{quote(username, safe='')}"


def _quoted(text: str) -> str:
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'
