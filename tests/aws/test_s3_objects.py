"""Objects in S3 over a real socket: signed as botocore signs, listed page by page, with errors that say what to do."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Any
from urllib.parse import parse_qsl, quote, unquote
from xml.sax.saxutils import escape

import pytest
from botocore.auth import S3SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

from lambda_remote_write.aws.s3 import S3
from lambda_remote_write.config.secrets import SecretStore
from lambda_remote_write.http import Transport
from lambda_remote_write.store import NotStored, StoreError
from sandbox.server import Answer, Fault, LoopbackServer, Request
from tests.rig.discovery import ENVIRONMENT, REGION, no_request

NOW_MS = 1_716_479_897_000
SIGNER = S3SigV4Auth(Credentials("AKIDEXAMPLE", "secret", "token"), "s3", REGION)


class Store:
    """One bucket named `b` that holds `objects`, lists two keys a page, and takes only what botocore would sign."""

    page = 2

    def __init__(self) -> None:
        self.objects: dict[str, bytes] = {}
        self.instead: Answer | Fault | None = None
        self.requests: list[Request] = []
        self.server = LoopbackServer(self._respond)

    def _respond(self, request: Request) -> Answer | Fault:
        self.requests.append(request)
        if self.instead:
            return self.instead
        assert self._is_signed(request)
        query = dict(parse_qsl(request.query, keep_blank_values=True))
        if "list-type" in query:
            return self._list(query)
        key = unquote(request.path).removeprefix("/b/")
        if key not in self.objects:
            return Answer(404)
        etag = f'"{len(self.objects[key])}"'
        if request.headers.get("If-None-Match") == etag:
            return Answer(304, {"ETag": etag})
        return Answer(200, {"ETag": etag}, self.objects[key])

    def _list(self, query: dict[str, str]) -> Answer:
        keys = sorted(key for key in self.objects if key.startswith(query["prefix"]))
        start = int(query.get("continuation-token", "+0/=").strip("+/=") or 0)
        shown = keys[start : start + self.page]
        more = start + self.page < len(keys)
        token = f"<NextContinuationToken>+{start + self.page}/=</NextContinuationToken>" if more else ""
        shown = [quote(key, safe="/") if query.get("encoding-type") == "url" else key for key in shown]
        listed = "".join(f"<Contents><Key>{escape(key)}</Key></Contents>" for key in shown)
        head = (
            '<?xml version="1.0" encoding="UTF-8"?><ListBucketResult xmlns="http://s3.amazonaws.com/doc/2006-03-01/">'
        )
        return Answer(200, {}, f"{head}{token}{listed}</ListBucketResult>".encode())

    def _is_signed(self, request: Request) -> bool:
        authorization = request.headers["Authorization"]
        names = authorization.partition("SignedHeaders=")[2].partition(",")[0].split(";")
        query = f"?{request.query}" if request.query else ""
        headers = {name: request.headers[name] for name in names}
        signed = AWSRequest("GET", f"{self.server.base_url}{request.path}{query}", headers=headers)
        signed.context["timestamp"] = request.headers["x-amz-date"]
        canonical = SIGNER.canonical_request(signed)
        assert {"host", "x-amz-date", "x-amz-security-token", "x-amz-content-sha256"} <= set(names)
        return bool(authorization.endswith(SIGNER.signature(SIGNER.string_to_sign(signed, canonical), signed)))


@pytest.fixture
def store() -> Iterator[Store]:
    made = Store()
    with made.server:
        yield made


@pytest.fixture
def s3(store: Store) -> Iterator[S3]:
    transport = Transport()
    yield s3_with(transport, AWS_ENDPOINT_URL_S3=store.server.base_url)
    transport.close()


def s3_with(transport: Transport, **env_vars: str) -> S3:
    given = {**ENVIRONMENT, **env_vars}
    return S3(given, transport, SecretStore(given, no_request, time.monotonic), no_request, lambda: NOW_MS)


def soon() -> float:
    return time.monotonic() + 5


KEYS = [
    "plain.json",
    "a b/c+d&e=f/ü~(1).yaml",
    "a?b#c%41.yml",
    "'quoted\".json",
    "*.json",
    "über/%2F.json",
]


@pytest.mark.parametrize("key", KEYS)
def test_get(store: Store, s3: S3, key: str) -> None:
    """Any key is found as it is written, and signed as botocore signs it."""
    store.objects[key] = b"content"
    assert s3.get("b", key, soon()) == b"content"
    stamp = datetime.fromtimestamp(NOW_MS / 1000, UTC).strftime("%Y%m%dT%H%M%SZ")
    assert store.requests[0].headers["x-amz-date"] == stamp


def test_get_changed(store: Store, s3: S3) -> None:
    """An object that is as it was is not sent again."""
    store.objects["k"] = b"12345"
    first = s3.get_changed("b", "k", "", soon(), 100)
    assert first
    assert (first.content, first.etag) == (b"12345", '"5"')
    assert s3.get_changed("b", "k", first.etag, soon(), 100) is None
    store.objects["k"] = b"123456"
    again = s3.get_changed("b", "k", first.etag, soon(), 100)
    assert again
    assert again.content == b"123456"


@pytest.mark.parametrize("prefix", ["", "a b+c/&=", "ü/~(1)'", "a%2Fb"])
def test_list(store: Store, s3: S3, prefix: str) -> None:
    """All pages, by any prefix, the keys as they are."""
    keys = [f"{prefix}{name}" for name in ("1", "2 3", "4+5", "6%20", "ü", "<&>", "\x07")]
    store.objects = dict.fromkeys([*keys, "zz/other"], b"")
    expected = sorted(keys) if prefix else sorted([*keys, "zz/other"])
    assert s3.list("b", prefix, soon()) == expected
    assert len(store.requests) == 4


def test_list_nothing(s3: S3) -> None:
    """An empty bucket has no keys."""
    assert s3.list("b", "x", soon()) == []


GET, LIST = (lambda s3: s3.get("b", "k/x", soon())), (lambda s3: s3.list("b", "k/", soon()))
ERRORS: dict[str, tuple[Callable[[S3], Any], Answer | Fault, str]] = {
    "get-403": (GET, Answer(403), "s3://b/k/x: S3 answered 403: the role needs s3:GetObject on this object"),
    "list-403": (LIST, Answer(403), "s3://b/k/*: S3 answered 403: the role needs s3:ListBucket on this bucket"),
    "get-404": (GET, Answer(404), "s3://b/k/x: S3 answered 404: there is no such bucket or object"),
    "region": (GET, Answer(301, {"x-amz-bucket-region": "us-east-1"}), "the bucket is in another region (us-east-1)"),
    "region-unknown": (GET, Answer(301), "S3 answered 301: the bucket is in another region"),
    "503": (GET, Answer(503), "s3://b/k/x: S3 answered 503"),
    "304-unasked": (GET, Answer(304), "s3://b/k/x: S3 answered 304"),
    "no-xml": (LIST, Answer(200, {}, b"{}"), "s3://b/k/*: S3 answered something that is no listing"),
    "cut": (GET, Answer(200, {}, b"half", fault=Fault.half_answer()), "s3://b/k/x: 127.0.0.1"),
    "reset": (LIST, Fault.reset(), "s3://b/k/*: 127.0.0.1"),
}


@pytest.mark.parametrize(("ask", "instead", "detail"), ERRORS.values(), ids=ERRORS)
def test_errors(store: Store, s3: S3, ask: Callable[[S3], Any], instead: Answer | Fault, detail: str) -> None:
    """They name bucket and key, and what to allow."""
    store.instead = instead
    with pytest.raises(StoreError) as raised:
        ask(s3)
    assert detail in str(raised.value)
    assert isinstance(raised.value, NotStored) == ("404" in detail)


def test_too_long(store: Store, s3: S3) -> None:
    """An object is not read beyond what is expected of it."""
    store.objects["k"] = b"x" * 1001
    assert len(s3.get("b", "k", soon(), max_bytes=1001)) == 1001
    with pytest.raises(StoreError, match="s3://b/k: it has more than 1000 bytes"):
        s3.get("b", "k", soon(), max_bytes=1000)


def test_deadline(store: Store, s3: S3) -> None:
    """It is for the whole exchange; after it nothing is asked."""
    store.instead = Fault.hang()
    started = time.monotonic()
    with pytest.raises(StoreError, match="timed out"):
        s3.get("b", "k", started + 0.3)
    assert time.monotonic() - started < 10
    with pytest.raises(StoreError, match="no time was left"):
        s3.get("b", "k", started)


ADDRESSES = [
    ({}, "bucket", "https://bucket.s3.eu-west-1.amazonaws.com/a%20b"),
    ({}, "dotted.bucket", "https://s3.eu-west-1.amazonaws.com/dotted.bucket/a%20b"),
    ({"AWS_REGION": ""}, "bucket", "https://bucket.s3.us-east-1.amazonaws.com/a%20b"),
    ({"AWS_ENDPOINT_URL": "http://h:1/"}, "bucket", "http://h:1/bucket/a%20b"),
    ({"AWS_ENDPOINT_URL": "http://h:1", "AWS_ENDPOINT_URL_S3": "http://h:2"}, "bucket", "http://h:2/bucket/a%20b"),
]


@pytest.mark.parametrize(("env_vars", "bucket", "url"), ADDRESSES, ids=["virtual", "dots", "no-region", "all", "s3"])
def test_addresses(env_vars: dict[str, str], bucket: str, url: str) -> None:
    """The bucket's own name where its certificate allows, the environment's endpoint when there is one."""
    assert s3_with(Transport(), **env_vars)._url(bucket, "a b") == url
