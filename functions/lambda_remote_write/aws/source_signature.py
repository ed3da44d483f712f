"""Signs the requests to a source: each attempt anew, as its job's `sigv4` says."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from dataclasses import replace

from ..config.schema import SigV4
from ..config.secrets import SecretStore
from ..deadline import exclusive
from ..http import HttpRequest
from ..http.authentication import AuthenticationError, Refusal
from .credentials import Credentials, CredentialsError, CredentialsProvider, CredentialsProviders
from .sigv4 import signable, signed

_AGAIN_SECONDS = 10.0


class SourceSignature:
    """Signs as one `sigv4` says; a Signature of http.authentication. Safe for several threads."""

    def __init__(
        self, sigv4: SigV4, credentials: CredentialsProvider, secrets: SecretStore, now_ms: Callable[[], int]
    ) -> None:
        self._sigv4, self._credentials, self._secrets, self._now_ms = sigv4, credentials, secrets, now_ms
        self._lock = threading.Lock()
        self._failed: tuple[float, str] | None = None  # when there were no credentials, and why
        self._renewed: tuple[float, bool] | None = None  # when they were renewed, and whether they became others

    def authenticated(self, request: HttpRequest, deadline: float) -> HttpRequest:
        """The request as it is signed goes over the wire: its URL is written in the one way that is signed."""
        credentials = self._get(deadline)
        self._secrets.mask.add(credentials.access_key, credentials.secret_key, credentials.session_token)
        ready = replace(request, url=signable(request.url, self._sigv4.service))
        headers = signed(ready, self._sigv4, credentials, self._now_ms())
        self._secrets.mask.add_passing(headers["Authorization"].rpartition("=")[2])  # it lets in for five minutes
        return replace(ready, headers=headers)

    def _get(self, deadline: float) -> Credentials:
        """Those who sign alike wait for one answer. A role that cannot be assumed is asked for once a run."""
        with exclusive(self._lock, deadline, AuthenticationError("sigv4: no AWS credentials within the time")):
            if self._failed and self._secrets.is_recent(self._failed[0], _AGAIN_SECONDS):
                raise AuthenticationError(self._failed[1])
            try:
                return self._credentials.get()
            except CredentialsError as error:
                self._failed = self._secrets.now(), f"sigv4: {error}"
                raise AuthenticationError(self._failed[1]) from None

    def renew(self, refusal: Refusal) -> bool:
        """Gets credentials anew, once a run: another request is worth its while when they are others by now."""
        with self._lock:
            if self._renewed and self._secrets.is_recent(self._renewed[0], _AGAIN_SECONDS):
                at, has_changed = self._renewed
                return has_changed and refusal.asked_at <= at
            try:
                before = self._credentials.get()
                has_changed = self._credentials.get(renewed=True) != before
            except CredentialsError:
                has_changed = False
            self._renewed = self._secrets.now(), has_changed
            return has_changed

    def is_refused(self, headers: Mapping[str, str], body: bytes) -> bool:
        from .refusal import code_of, is_about_credentials  # seldom needed

        return is_about_credentials(code_of(headers, body))

    def explained(self, headers: Mapping[str, str], body: bytes) -> str:
        from .refusal import explained

        return explained(self._sigv4, headers, body, self._now_ms())


class SourceSigner:
    """What signs for each `sigv4` of sources, kept while the environment is warm."""

    def __init__(self, providers: CredentialsProviders, secrets: SecretStore, now_ms: Callable[[], int]) -> None:
        self._providers, self._secrets, self._now_ms = providers, secrets, now_ms
        self._signatures: dict[SigV4, SourceSignature] = {}

    def __call__(self, sigv4: SigV4) -> SourceSignature:
        made = SourceSignature(sigv4, self._providers(sigv4), self._secrets, self._now_ms)
        return self._signatures.setdefault(sigv4, made)
