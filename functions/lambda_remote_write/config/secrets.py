"""Secrets by reference: written in the config as a literal, a file or a `*_ref`, fetched only when used.

A Secret prints as `<secret>` everywhere. References are `secretsmanager:NAME[#json-key]`, `ssm:/path` and `env:NAME`.
"""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ..report.mask import Mask

_KEEP_SECONDS = 300.0  # long enough to cost nothing, short enough for a rotated secret
_AGAIN_SECONDS = 30.0  # until a secret that is refused, and has not been rotated, is fetched once more
_REFERENCE = re.compile(r"env:[A-Za-z_][A-Za-z0-9_.-]*|ssm:/[\w./-]+|secretsmanager:[\w/+=.@:!-]+(?:#.+)?")
_OWN_CREDENTIALS = re.compile(r"AWS_(ACCESS_KEY_ID|SECRET_ACCESS_KEY|SESSION_TOKEN|CONTAINER_.*)", re.IGNORECASE)
_NAME_MARKS = {"secretsmanager": "/_+=.@-", "ssm": "/_.-"}
_NAMES = {  # of CreateSecret and PutParameter; an ARN has colons, a managed secret "!", a version of a parameter ":"
    "secretsmanager": re.compile(r"[\w/+=.@:!-]+", re.ASCII),
    "ssm": re.compile(r"/[\w./-]+(?::[\w.-]+)?", re.ASCII),
}
_SCHEMES = ("secretsmanager", "ssm", "env")


class SecretError(Exception):
    """A secret that cannot be read. The message names the reference, never the value."""


@dataclass(frozen=True, slots=True)
class Secret:
    """Where a secret is: exactly one of a literal, a file path or a reference."""

    literal: str | None = field(default=None, repr=False)
    file: str | None = None
    reference: str | None = None

    def __repr__(self) -> str:
        return "<secret>"

    __str__ = __repr__


@dataclass(frozen=True, slots=True)
class SecretText:
    """A text with secrets in it, each of which passes `escape` before it takes its place."""

    parts: tuple[str | Secret, ...] = field(repr=False)
    escape: Callable[[str], str] = str

    @property
    def secrets(self) -> list[Secret]:
        return [part for part in self.parts if isinstance(part, Secret)]


def parse_reference(text: str) -> str:
    """Checks the form of a reference. Raises ValueError with what is allowed."""
    scheme, _, name = text.partition(":")
    name_of_all = name.partition("#")[0] if scheme == "secretsmanager" else name
    if scheme not in _SCHEMES or not name_of_all or (scheme == "ssm" and not name.startswith("/")):
        raise ValueError("a reference is secretsmanager:NAME[#json-key], ssm:/path or env:NAME")
    if scheme in _NAMES and not _NAMES[scheme].fullmatch(name_of_all):
        raise ValueError(f"a name has letters, digits and {_NAME_MARKS[scheme]}, and no wildcard, comma or space")
    if scheme == "env" and _OWN_CREDENTIALS.fullmatch(name):
        raise ValueError("the function's own AWS credentials are sent to no source; where AWS is asked, use sigv4")
    return text


def looks_like_reference(text: str) -> bool:
    """Whether a whole text has the form of a reference, wherever it stands."""
    return _REFERENCE.fullmatch(text.strip()) is not None


@dataclass(frozen=True, slots=True)
class _CachedSecret:
    """A secret, and when it was fetched. It `is_confirmed` when it is what was refused before."""

    at: float
    text: str = field(repr=False)
    is_confirmed: bool = False


class SecretStore:
    """Fetches secrets and keeps those of AWS for five minutes. `aws_client(service)` makes a boto3 client;
    `now` is monotonic seconds. `mask` knows every revealed secret; text of other programs is shown through it only."""

    def __init__(self, env_vars: Mapping[str, str], aws_client: Callable[[str], Any], now: Callable[[], float]) -> None:
        self._env_vars, self._aws_client, self._now = env_vars, aws_client, now
        self.mask = Mask()
        self._kept: dict[str, _CachedSecret] = {}
        self._refused: dict[str, str] = {}  # what was forgotten, by reference
        self._failed: dict[str, tuple[float, str]] = {}  # what could not be fetched in this run: when, and why
        self._run_began: float | None = None
        self._locks: dict[str, threading.Lock] = {}
        self._lock = threading.Lock()

    def reveal(self, secret: Secret, *, is_public: bool = False) -> str:
        """The secret's text; a file's without the white space around it, as in Prometheus. Unless it `is_public`, as
        a certificate, messages do not show it from now on. Raises SecretError."""
        text = self._text_of(secret)
        if not is_public:
            self.mask.add(text)
        return text

    def fill(self, text: SecretText) -> str:
        """The text with its secrets. Raises SecretError."""
        return "".join(part if isinstance(part, str) else text.escape(self.reveal(part)) for part in text.parts)

    def _text_of(self, secret: Secret) -> str:
        if secret.literal is not None:
            return secret.literal
        if secret.file is not None:
            return _read_file(secret.file)
        return self._fetch(secret.reference or "")

    def now(self) -> float:
        """Monotonic seconds, as `forget` takes them."""
        return self._now()

    def begin_run(self) -> None:
        """Until the next run each secret is fetched once, readable or not, however many targets refuse it."""
        self._run_began = self._now()
        self._failed.clear()

    def forget(self, secrets: Iterable[Secret] | None = None, asked_at: float = float("inf")) -> bool:
        """Drops what is kept of these secrets, or of all: the next use fetches again. After a 401 or 403 to a request
        made at `asked_at`, a secret may have been rotated that is older than the request. True when one was dropped."""
        with self._lock:
            of_these = list(self._kept) if secrets is None else [one.reference or "" for one in secrets]
            old = {one for one in of_these if one in self._kept and self._is_old(self._kept[one], asked_at)}
            self._refused |= {reference: self._kept.pop(reference).text for reference in old}
            return bool(old)

    def _is_old(self, kept: _CachedSecret, asked_at: float) -> bool:
        """Whether it may be another one now. What this run has fetched is the newest there is: many targets that refuse
        one token cost one call a run. Where there are no runs, one that was fetched anew and was what had been refused
        is not fetched a third time at once."""
        if self._run_began is not None:
            return kept.at < min(self._run_began, asked_at)
        return kept.at <= asked_at and not (kept.is_confirmed and self._now() - kept.at < _AGAIN_SECONDS)

    def is_recent(self, at: float, seconds: float) -> bool:
        """Whether something was done in the run that goes on; where there are no runs, in the last `seconds`."""
        return self.is_of_this_run(at) if self._run_began is not None else self._now() - at < seconds

    def is_of_this_run(self, at: float) -> bool:
        """Whether something was done in the run that goes on. False where there are no runs."""
        return self._run_began is not None and at >= self._run_began

    def _fetch(self, reference: str) -> str:
        scheme, _, name = reference.partition(":")
        if scheme == "env":
            if name not in self._env_vars:
                raise SecretError(f"{reference}: the environment has no variable {name}")
            return self._env_vars[name]
        with self._lock:
            lock = self._locks.setdefault(reference, threading.Lock())
        with lock:  # one slow reference holds up only those who want the same
            kept = self._kept.get(reference)
            if kept and self._now() - kept.at < _KEEP_SECONDS:
                return kept.text
            text = self._from_aws(reference, scheme, name)
            with self._lock:
                is_confirmed = self._refused.pop(reference, None) == text
                self._kept[reference] = _CachedSecret(self._now(), text, is_confirmed)
            return text

    def _from_aws(self, reference: str, scheme: str, name: str) -> str:
        """Raises SecretError, within a run the same one for a while: to ask again for each of many targets would cost
        them their time."""
        at, why = self._failed.get(reference, (float("-inf"), ""))
        if self._now() - at < _AGAIN_SECONDS:
            raise SecretError(why)
        try:
            return self._from_ssm(reference, name) if scheme == "ssm" else self._from_secrets_manager(reference, name)
        except SecretError as error:
            if self._run_began is not None:
                self._failed[reference] = self._now(), str(error)
            raise

    def _from_ssm(self, reference: str, name: str) -> str:
        try:
            answer = self._aws_client("ssm").get_parameter(Name=name, WithDecryption=True)
            return str(answer["Parameter"]["Value"])
        except Exception as error:  # botocore's errors are made at run time; any of them means the same here
            raise SecretError(f"{reference}: {_detail(error)}; does the role allow ssm:GetParameter on it?") from None

    def _from_secrets_manager(self, reference: str, name: str) -> str:
        secret_id, _, json_key = name.partition("#")
        try:
            text = str(self._aws_client("secretsmanager").get_secret_value(SecretId=secret_id)["SecretString"])
        except KeyError:
            raise SecretError(f"{reference}: the secret is binary; a text secret is expected") from None
        except Exception as error:
            allow = "secretsmanager:GetSecretValue"
            raise SecretError(f"{reference}: {_detail(error)}; does the role allow {allow} on it?") from None
        return _json_member(reference, text, json_key) if json_key else text


def _read_file(path: str) -> str:
    try:
        return Path(path).read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "not UTF-8 text"
        raise SecretError(f"{path}: {reason}") from None


def _json_member(reference: str, text: str, key: str) -> str:
    try:
        document = json.loads(text)
        value = document[key]
    except (ValueError, KeyError, TypeError, RecursionError):
        raise SecretError(f"{reference}: the secret has no JSON key {key!r}") from None
    return value if isinstance(value, str) else json.dumps(value)


def _detail(error: Exception) -> str:
    """What AWS said, cut short; botocore puts no secret values into its errors."""
    return f"{type(error).__name__}: {str(error)[:300]}"
