"""How a source learns who asks, where a fixed header does not do: tokens, challenges, signatures."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol

from .response import Headers
from .types import HttpRequest


class AuthenticationError(Exception):
    """There is nothing to authenticate with. The message says what to check."""


@dataclass(frozen=True, slots=True)
class Refusal:
    """A 401 or 403, and when its request was ready (as `SecretStore.now`). `tries` counts how many were sent for the
    same answer."""

    status: int
    headers: Headers = field(repr=False)
    asked_at: float
    tries: int = 1


class Authentication(Protocol):
    """Authenticates the requests for one answer to the source's own origin; those of a redirect elsewhere never pass
    it."""

    def authenticated(self, request: HttpRequest, deadline: float) -> HttpRequest:
        """The request with what it needs, before `deadline` (monotonic seconds). All other headers are final. Raises
        AuthenticationError and SecretError."""

    def renew(self, refusal: Refusal) -> bool:
        """Drops what was refused. True when another request is worth its while; after a second refusal that is so only
        for an answer to another challenge."""


class Signature(Authentication, Protocol):
    """One that AWS checks, which says in a code of its own what is wrong with it, with 400 too."""

    def is_refused(self, headers: Mapping[str, str], body: bytes) -> bool:
        """Whether an error with these headers and this beginning of its body is about who asks."""

    def explained(self, headers: Mapping[str, str], body: bytes) -> str:
        """What such an error means, and what to do."""
