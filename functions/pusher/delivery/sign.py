"""Signs one attempt with SigV4, over the compressed body, after every other header is final."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from datetime import UTC, date, datetime

import requests
from requests_aws4auth import AWS4Auth

from ..config.schema import SigV4
from ..transport import HttpRequest
from .credentials import Credentials

# Proxies rewrite these; a signature over them would break (botocore leaves the first out too).
_UNSIGNED = frozenset(("user-agent", "content-length"))


def signed(request: HttpRequest, sigv4: SigV4, credentials: Credentials, now_ms: int) -> dict[str, str]:
    """The request's headers with its signature added; the date in it is `now_ms`, so each attempt is signed anew."""
    stamp = datetime.fromtimestamp(now_ms / 1000, UTC).strftime("%Y%m%dT%H%M%SZ")
    headers = {**request.headers, "x-amz-date": stamp}
    names = frozenset(name.lower() for name in headers) - _UNSIGNED
    unsigned = _Unsigned(request.method, _normalised(request.url), headers, request.body or b"")
    _signer(sigv4, credentials, names)(unsigned)
    return {name: _text(value) for name, value in unsigned.headers.items()}


@dataclass(slots=True)
class _Unsigned:
    """What the signer reads and writes of a request: requests' own prepared one costs more than the signature."""

    method: str
    url: str
    headers: dict[str, str]
    body: bytes


@functools.lru_cache(maxsize=64)
def _normalised(url: str) -> str:
    """The URL as it goes over the wire, its path percent-encoded."""
    return requests.Request("GET", url).prepare().url or url


@functools.lru_cache(maxsize=16)
def _signer(sigv4: SigV4, credentials: Credentials, names: frozenset[str]) -> _Signer:
    """The signer of these credentials; it keeps the day's signing key."""
    return _Signer(
        credentials.access_key,
        credentials.secret_key,
        sigv4.region,
        sigv4.service,
        session_token=credentials.session_token or None,
        include_hdrs=names | {"host", "x-amz-*"},
    )


class _Signer(AWS4Auth):  # type: ignore[misc]
    """Runs of white space count as one space everywhere: the library leaves those between quotes and fails on an
    apostrophe, AWS's signers do neither."""

    @classmethod
    def get_request_date(cls, req: _Unsigned) -> date:
        """The day of our own x-amz-date; the library would try every format a date can have."""
        stamp = req.headers["x-amz-date"]
        return date(int(stamp[:4]), int(stamp[4:6]), int(stamp[6:8]))

    @staticmethod
    def amz_norm_whitespace(text: str | bytes) -> str:
        return " ".join(_text(text).split())


def _text(value: str | bytes) -> str:
    return value.decode() if isinstance(value, bytes) else value
