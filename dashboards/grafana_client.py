"""Grafana's HTTP API, as far as an import needs it. Every failure is a GrafanaError, whose text says what to do."""

from __future__ import annotations

import json
from collections.abc import Collection
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import requests
from requests.auth import AuthBase

TIMEOUT_SECONDS = 30
# The list of a dashboard's versions is the longest answer; each entry has some hundred bytes.
MAX_ANSWER_BYTES = 10_000_000
MADE_HERE = "Administration > Users and access > Service accounts"


class GrafanaError(Exception):
    """Why an import ended, in a sentence that says what to do."""


@dataclass(frozen=True, slots=True)
class GrafanaAnswer:
    status: int
    body: Any

    @property
    def message(self) -> str:
        found = self.body.get("message", "") if isinstance(self.body, dict) else ""
        return str(found).strip() or "it gives no reason"


class _Bearer(AuthBase):
    """Sets the header itself: without this, requests would let a .netrc replace it."""

    def __init__(self, token: str) -> None:
        self._token = token

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        if self._token:
            request.headers["Authorization"] = f"Bearer {self._token}"
        return request


class Grafana:
    """One Grafana, at the URL under which `/api` lies. The token goes to this origin only."""

    def __init__(self, url: str, token: str) -> None:
        self.url = url.rstrip("/")
        self._token = token

    def version(self) -> tuple[int, int]:
        """Major and minor version. Asked without the token, until it is known that this is a Grafana."""
        answer = self._ask("GET", "/api/health", None, "")
        if answer.status != 200 or not isinstance(answer.body, dict) or "database" not in answer.body:
            raise GrafanaError(self._no_grafana(f"/api/health answers {answer.status} and not as Grafana does"))
        told = answer.body.get("version") or self._version_for_users()
        major, _, rest = str(told).partition(".")
        minor = rest.partition(".")[0]
        if not (major.isdecimal() and minor.isdecimal()):
            raise GrafanaError(f"{self.url} does not say which version of Grafana it is, but {told!r}")
        return int(major), int(minor)

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
        raise GrafanaError(f"Grafana did not {doing}: it answers {answer.status}, {answer.message}")

    def _version_for_users(self) -> str:
        """With `hide_version`, strangers are not told the version."""
        doing, role = "read its version", "Viewer"
        settings = self.ask("GET", "/api/frontend/settings", doing, role).body
        return str(settings.get("buildInfo", {}).get("version", "")) if isinstance(settings, dict) else ""

    def _ask(self, method: str, path: str, body: Any, token: str) -> GrafanaAnswer:
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
            ) as answer:
                self._refuse_redirect(answer)
                raw = answer.raw.read(MAX_ANSWER_BYTES, decode_content=True)
        except (requests.RequestException, OSError) as error:
            raise GrafanaError(f"{self.url} cannot be reached: {_reason(error)}. Check URL and the network.") from None
        try:
            return GrafanaAnswer(answer.status_code, json.loads(raw))
        except ValueError:
            kind = answer.headers.get("Content-Type", "no Content-Type").partition(";")[0]
            raise GrafanaError(self._no_grafana(f"{path} answers {answer.status_code} with {kind}, not JSON")) from None

    def _refuse_redirect(self, answer: requests.Response) -> None:
        if answer.is_redirect:
            to = urlsplit(answer.headers["Location"])
            place = f"{to.scheme}://{to.netloc.rpartition('@')[2]}{to.path}" if to.netloc else to.path
            raise GrafanaError(
                f"{self.url} redirects to {place}, and the token is not sent there. Give the address of Grafana as URL."
            )

    def _no_grafana(self, why: str) -> str:
        return f"{self.url} is no Grafana: {why}. Give the address of its first page as URL, without a page's path."


def _reason(error: BaseException) -> str:
    """The innermost cause: requests wraps it several times."""
    while error.__context__ is not None:
        error = error.__context__
    return str(getattr(error, "strerror", None) or error) or type(error).__name__
