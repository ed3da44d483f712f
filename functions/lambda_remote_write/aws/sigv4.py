"""Signs one attempt with SigV4, over the compressed body, after every other header is final."""

from __future__ import annotations

import functools
import hashlib
import hmac
import time
from dataclasses import dataclass
from urllib.parse import quote, unquote_to_bytes, urlsplit

import requests
from requests_aws4auth import AWS4Auth, AWS4SigningKey

from ..config.schema import SigV4
from ..http import HttpRequest, parsed
from .credentials import Credentials

# Proxies rewrite these, CloudFront in front of an API too; a signature over them would break (botocore signs none of
# them: its client adds the last two after the signature).
_UNSIGNED = frozenset(("user-agent", "accept-encoding", "content-length"))
_UNRESERVED = "-_.~"  # beside letters and digits (RFC 3986, 2.3)
_DEFAULT_PORTS = (("https", 443), ("http", 80))


def signed(request: HttpRequest, sigv4: SigV4, credentials: Credentials, now_ms: int) -> dict[str, str]:
    """The request's headers with its signature added; the date in it is `now_ms`, so each attempt is signed anew."""
    stamp = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime(now_ms / 1000))
    body_hash = hashlib.sha256(request.body or b"").hexdigest()
    url = _verbatim(request.url) if request.is_verbatim else _normalised(request.url)
    template = _template(request.method, url, tuple(request.headers.items()), sigv4, credentials)
    canonical = template.canonical.replace(_ANY_HASH, body_hash).replace(_ANY_STAMP, stamp)
    key, scope = _key(sigv4, credentials, stamp[:8])
    digest = hashlib.sha256(canonical.encode()).hexdigest()
    text = f"AWS4-HMAC-SHA256\n{stamp}\n{scope}\n{digest}"
    signature = hmac.new(key, text.encode(), hashlib.sha256).hexdigest()
    return template.headers | {
        "x-amz-date": stamp,
        "x-amz-content-sha256": body_hash,
        "Authorization": f"AWS4-HMAC-SHA256 Credential={credentials.access_key}/{scope}, "
        f"SignedHeaders={template.names}, Signature={signature}",
    }


def signable(url: str, service: str) -> str:
    """The URL as it goes over the wire, in the one form that every reader signs alike: spaces of the query as %20, no
    default port, nothing that the client changes later. S3 signs the key that a path means."""
    parts = parsed(url)
    path = _key_path(parts.path or "") if service == "s3" else requests.utils.unquote_unreserved(parts.path or "")
    query = "&".join(_strict(pair) for pair in parts.query.split("&") if pair) if parts.query else None
    port = None if (parts.scheme, parts.port) in _DEFAULT_PORTS else parts.port
    return parsed(parts._replace(path=path, query=query, port=port, fragment=None).url).url


def _strict(pair: str) -> str:
    """`name=value` or `name` of a query, strictly encoded: a plus is a space there, and never stays one."""
    return "=".join(quote(unquote_to_bytes(part.replace("+", " ")), safe=_UNRESERVED) for part in pair.split("=", 1))


def _key_path(path: str) -> str:
    return quote(unquote_to_bytes(path), safe="/~")


_ANY_STAMP, _ANY_HASH = "\0stamp\0", "\0hash\0"  # no header can hold them


@dataclass(frozen=True, slots=True)
class _Template:
    """What is the same in all requests to one address with these headers: the library makes it once."""

    canonical: str
    names: str
    headers: dict[str, str]


@functools.lru_cache(maxsize=64)
def _template(
    method: str, url: str, headers: tuple[tuple[str, str], ...], sigv4: SigV4, credentials: Credentials
) -> _Template:
    every = {**dict(headers), "x-amz-date": _ANY_STAMP, "x-amz-content-sha256": _ANY_HASH}
    if credentials.session_token:
        every["x-amz-security-token"] = credentials.session_token
    names = frozenset(name.lower() for name in every) - _UNSIGNED
    signer = _Signer(credentials.access_key, credentials.secret_key, sigv4.region, sigv4.service)
    unsigned = _Unsigned(method, url, every, b"")
    canonical_headers, signed_names = signer.get_canonical_headers(unsigned, names | {"host", "x-amz-*"})
    canonical = signer.get_canonical_request(unsigned, canonical_headers, signed_names)
    return _Template(_text(canonical), _text(signed_names), every)


@functools.lru_cache(maxsize=16)
def _key(sigv4: SigV4, credentials: Credentials, day: str) -> tuple[bytes, str]:
    """The signing key of a day (YYYYMMDD), and its scope."""
    key = AWS4SigningKey(credentials.secret_key, sigv4.region, sigv4.service, day)
    return key.key, key.scope


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


def _verbatim(url: str) -> str:
    """The same for a request that is verbatim: only the host is normalised."""
    scheme, _, rest = url.partition("://")
    host, _, path = rest.partition("/")
    return _normalised(f"{scheme}://{host}/") + path


class _Signer(AWS4Auth):  # type: ignore[misc]
    """What the library gets wrong, where AWS's signers agree: runs of white space count as one space everywhere, a
    semicolon ends no path, and bytes of a query that are no UTF-8 stay what they are. A path in S3 is signed as it goes
    over the wire, since keys may hold `//` and `..`: "You do not normalize URI paths for requests to Amazon S3" (IAM
    User Guide, "Create a signed AWS API request")."""

    def get_canonical_request(self, req: _Unsigned, cano_headers: str, signed_headers: str) -> str:
        url = urlsplit(req.url)
        path, query = self.amz_cano_path(url.path), self.amz_cano_querystring(url.query)
        return "\n".join([req.method, path, query, cano_headers, signed_headers, req.headers["x-amz-content-sha256"]])

    def amz_cano_path(self, path: str) -> str:
        return _key_path(path) if self.service == "s3" else str(super().amz_cano_path(path))

    @staticmethod
    def amz_cano_querystring(qs: str) -> str:
        pairs = (_strict(pair).partition("=") for pair in qs.split("&") if pair)
        return "&".join(f"{name}={value}" for name, _, value in sorted(pairs))

    @staticmethod
    def amz_norm_whitespace(text: str | bytes) -> str:
        return " ".join(_text(text).split())


def _text(value: str | bytes) -> str:
    return value.decode() if isinstance(value, bytes) else value
