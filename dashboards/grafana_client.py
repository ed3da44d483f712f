"""Grafana's HTTP API, as far as an import needs it. Every failure is a GrafanaError, whose text says what to do."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Collection
from dataclasses import dataclass
from ssl import SSLCertVerificationError
from typing import Any
from urllib.parse import urlsplit

import requests
from requests.auth import AuthBase
from requests.exceptions import ProxyError
from urllib3.exceptions import HTTPError

TIMEOUT_SECONDS = 30
BODY_SECONDS = 60
# The list of a dashboard's versions is the longest answer; each entry has some hundred bytes.
MAX_ANSWER_BYTES = 10_000_000
MAX_MESSAGE = 500
LOOPBACK = ("localhost", "127.0.0.1", "::1")
# A proxy of the environment must not read the token where the way to Grafana is not encrypted.
NO_PROXY = {"http": "", "https": "", "all": ""}
VERSION = re.compile(r"([0-9]{1,4})\.([0-9]{1,4})\b.*", re.DOTALL)
MADE_HERE = "Administration > Users and access > Service accounts"


class GrafanaError(Exception):
    """Why an import ended, in a sentence that says what to do."""


@dataclass(frozen=True, slots=True)
class GrafanaAnswer:
    """`asked` is the request's method and path."""

    asked: str
    status: int
    body: Any

    @property
    def message(self) -> str:
        found = self.body.get("message", "") if isinstance(self.body, dict) else ""
        return one_line(found) or "it gives no reason"

    def map(self, *keys: str) -> dict[str, Any]:
        """The map at these keys, the whole answer without any. Raises GrafanaError."""
        found = self._at(keys)
        if not isinstance(found, dict):
            raise self._strange(keys, "map")
        return found

    def text(self, *keys: str) -> str:
        """The text at these keys. Raises GrafanaError."""
        found = self._at(keys)
        if not isinstance(found, str) or not found:
            raise self._strange(keys, "text")
        return found

    def maps(self, *keys: str) -> list[dict[str, Any]]:
        """The list of maps at these keys. Raises GrafanaError."""
        found = self._at(keys)
        if not isinstance(found, list) or not all(isinstance(one, dict) for one in found):
            raise self._strange(keys, "list of maps")
        return found

    def _at(self, keys: Collection[str]) -> Any:
        found = self.body
        for key in keys:
            found = found.get(key) if isinstance(found, dict) else None
        return found

    def _strange(self, keys: Collection[str], expected: str) -> GrafanaError:
        where = ".".join(keys) or "the answer"
        return GrafanaError(
            f"{self.asked} is not answered as Grafana does: {where} is no {expected}. Look whether URL leads to "
            "Grafana itself, and whether its version is one that docs/grafana.md names."
        )


def one_line(text: object) -> str:
    """What Grafana says, for a message."""
    line = "".join(char if char.isprintable() else "?" for char in " ".join(str(text).split()))
    return line if len(line) <= MAX_MESSAGE else f"{line[: MAX_MESSAGE - 1]}…"


def without_secrets(url: str) -> str:
    """A URL without user, password, query and fragment."""
    try:
        parts = urlsplit(url)
    except ValueError:
        return "no URL"
    host = parts.netloc.rpartition("@")[2]
    return one_line(f"{parts.scheme}://{host}{parts.path}" if host else parts.path)


class _Bearer(AuthBase):
    """Sets the header itself: without this, requests would let a .netrc replace it."""

    def __init__(self, token: str) -> None:
        self._token = token

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        if self._token:
            request.headers["Authorization"] = f"Bearer {self._token}"
        return request


class Grafana:
    """One Grafana, at the URL under which `/api` lies. The token goes to this origin only. An answer's body has
    `body_seconds`."""

    def __init__(self, url: str, token: str, body_seconds: float = BODY_SECONDS) -> None:
        self._body_seconds = body_seconds
        self.url = url.rstrip("/")
        self._token = token

    def version(self) -> tuple[int, int]:
        """Major and minor version. Asked without the token, until it is known that this is a Grafana."""
        answer = self._ask("GET", "/api/health", None, "")
        if answer.status != 200 or not isinstance(answer.body, dict) or "database" not in answer.body:
            raise GrafanaError(self._no_grafana(f"/api/health answers {answer.status} and not as Grafana does"))
        told = answer.body.get("version") or self._version_for_users()
        found = VERSION.fullmatch(str(told))
        if found is None:
            shown = repr(one_line(told))
            raise GrafanaError(f"{self.url} does not say which version of Grafana it is, but {shown}")
        return int(found[1]), int(found[2])

    def ask(
        self, method: str, path: str, doing: str, role: str, body: Any = None, expected: Collection[int] = (200,)
    ) -> GrafanaAnswer:
        """An answer whose status is an expected one. `doing` and `role` are for the sentence about a token that may
        not: what it was for, and the role that may."""
        answer = self._ask(method, path, body, self._token)
        if answer.status in expected:
            return answer
        if answer.status == 401:
            raise GrafanaError(
                f"{self.url} refuses the token: GRAFANA_TOKEN is wrong, expired or of another Grafana. Make a token of "
                f"a service account with the role Admin there ({MADE_HERE})."
            )
        if answer.status == 403:
            raise GrafanaError(
                f"the token may not {doing} ({answer.message}): give its service account the role {role} ({MADE_HERE})."
            )
        again = "Rename what has the name, or run this again if another import was running."
        advice = f". {again}" if answer.status == 409 else ""
        raise GrafanaError(f"Grafana did not {doing}: it answers {answer.status}, {answer.message}{advice}")

    def _version_for_users(self) -> str:
        """With `hide_version`, only users see the version."""
        doing, role = "read its version", "Viewer"
        return self.ask("GET", "/api/frontend/settings", doing, role).text("buildInfo", "version")

    def _ask(self, method: str, path: str, body: Any, token: str) -> GrafanaAnswer:
        proxies = NO_PROXY if urlsplit(self.url).hostname in LOOPBACK else None
        try:
            with requests.request(
                method,
                self.url + path,
                json=body,
                auth=_Bearer(token),
                headers={"Accept": "application/json"},
                timeout=TIMEOUT_SECONDS,
                allow_redirects=False,
                stream=True,
                proxies=proxies,
            ) as answer:
                self._refuse_redirect(answer)
                raw = _body_of(answer, self._body_seconds)
        except (requests.RequestException, HTTPError, OSError, ValueError) as error:
            raise GrafanaError(f"{self.url} cannot be reached: {_why(error)}") from None
        try:
            return GrafanaAnswer(f"{method} {path}", answer.status_code, json.loads(raw))
        except (ValueError, RecursionError):
            kind = answer.headers.get("Content-Type", "no Content-Type").partition(";")[0]
            raise GrafanaError(self._no_grafana(f"{path} answers {answer.status_code} with {kind}, not JSON")) from None

    def _refuse_redirect(self, answer: requests.Response) -> None:
        if answer.is_redirect:
            place = without_secrets(answer.headers["Location"])
            raise GrafanaError(
                f"{self.url} redirects to {place}, and the token is not sent there. Give the address of Grafana as URL."
            )

    def _no_grafana(self, why: str) -> str:
        return f"{self.url} is no Grafana: {why}. Give the address of its first page as URL, without a page's path."


def _body_of(answer: requests.Response, seconds: float) -> bytes:
    """As far as it is read. Raises TimeoutError for one that trickles."""
    body, until = bytearray(), time.monotonic() + seconds
    while len(body) < MAX_ANSWER_BYTES and (part := answer.raw.read1(65_536, decode_content=True)):
        body += part
        if time.monotonic() > until:
            raise TimeoutError(f"the answer has not ended after {seconds:g} s")
    return bytes(body)


def _why(error: BaseException) -> str:
    """The innermost cause, which requests wraps several times, and what to do about it."""
    cause = error
    while cause.__context__ is not None:
        cause = cause.__context__
    reason = str(getattr(cause, "strerror", None) or cause).rstrip(".") or type(cause).__name__
    if isinstance(error, ProxyError):
        advice = "Check the proxy that HTTPS_PROXY names; NO_PROXY leaves out the hosts that it lists."
    elif isinstance(cause, SSLCertVerificationError):
        advice = "Check URL, and name the file of an authority of your own in REQUESTS_CA_BUNDLE."
    else:
        advice = "Check URL and the network."
    return f"{reason}. {advice}"
