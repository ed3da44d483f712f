"""Signs one attempt with SigV4, over the compressed body, after every other header is final."""

from __future__ import annotations

from datetime import UTC, datetime

import requests
from requests_aws4auth import AWS4Auth

from ..config.schema import SigV4
from ..transport import HttpRequest
from .credentials import Credentials

# Proxies rewrite these; a signature over them would break (botocore leaves the first out too).
_UNSIGNED = ("user-agent", "content-length")


def signed(request: HttpRequest, sigv4: SigV4, credentials: Credentials, now_ms: int) -> dict[str, str]:
    """The request's headers with its signature added; the date in it is `now_ms`, so each attempt is signed anew."""
    date = datetime.fromtimestamp(now_ms / 1000, UTC).strftime("%Y%m%dT%H%M%SZ")
    headers = {**request.headers, "X-Amz-Date": date}
    prepared = requests.Request(request.method, request.url, headers=headers, data=request.body).prepare()
    names = {name.lower() for name in prepared.headers} - set(_UNSIGNED)
    auth = _Signer(
        credentials.access_key,
        credentials.secret_key,
        sigv4.region,
        sigv4.service,
        session_token=credentials.session_token or None,
        include_hdrs=names | {"host", "x-amz-*"},
    )
    auth(prepared)
    return {str(name): _text(value) for name, value in prepared.headers.items() if name.lower() != "content-length"}


class _Signer(AWS4Auth):  # type: ignore[misc]
    """Runs of white space count as one space everywhere: the library leaves those between quotes and fails on an
    apostrophe, AWS's signers do neither."""

    @staticmethod
    def amz_norm_whitespace(text: str | bytes) -> str:
        return " ".join(_text(text).split())


def _text(value: str | bytes) -> str:
    return value.decode() if isinstance(value, bytes) else value
