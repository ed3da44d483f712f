"""Objects in S3 over a real socket: signed with a session token, listed page by page; errors say what to do."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from lambda_remote_write.aws.s3 import S3
from lambda_remote_write.config.secrets import SecretStore
from lambda_remote_write.http import Transport
from lambda_remote_write.store import NotStored, StoreError
from sandbox.amp import SigV4
from sandbox.s3 import ObjectStore
from sandbox.server import Fault
from tests.rig.clock import soon
from tests.rig.discovery import ENVIRONMENT, REGION, no_request

NOW_MS = 1_716_479_897_000


@pytest.fixture
def bucket() -> Iterator[ObjectStore]:
    """It lists two keys a page."""
    keys = SigV4(access_key="AKIDEXAMPLE", secret_key="secret", token="token", region=REGION, service="s3")
    with ObjectStore(bucket="b", auth=keys, now=lambda: NOW_MS / 1000) as found:
        found.max_keys = 2
        yield found


@pytest.fixture
def s3(bucket: ObjectStore) -> Iterator[S3]:
    transport = Transport()
    yield s3_with(transport, AWS_ENDPOINT_URL_S3=bucket.base_url)
    transport.close()


def s3_with(transport: Transport, **env_vars: str) -> S3:
    given = {**ENVIRONMENT, **env_vars}
    return S3(given, transport, SecretStore(given, no_request, time.monotonic), no_request, lambda: NOW_MS)


def test_get_changed(bucket: ObjectStore, s3: S3) -> None:
    """An object that is as it was is not sent again."""
    bucket.put("k", b"12345")
    first = s3.get_changed("b", "k", "", soon(), 100)
    assert first
    assert (first.content, first.etag) == (b"12345", bucket.etag("k"))
    assert s3.get_changed("b", "k", first.etag, soon(), 100) is None
    bucket.put("k", b"123456")
    again = s3.get_changed("b", "k", first.etag, soon(), 100)
    assert again
    assert again.content == b"123456"


@pytest.mark.parametrize("prefix", ["", "a b+c/&=", "ü/~(1)'", "a%2Fb"])
def test_list(bucket: ObjectStore, s3: S3, prefix: str) -> None:
    """All pages, by any prefix, the keys as they are."""
    keys = [f"{prefix}{name}" for name in ("1", "2 3", "4+5", "6%20", "ü", "<&>", "\x07")]
    for key in [*keys, "zz/other"]:
        bucket.put(key, b"")
    expected = sorted(keys) if prefix else sorted([*keys, "zz/other"])
    assert s3.list("b", prefix, soon()) == expected
    assert bucket.counts["list"] == 4


def test_list_nothing(s3: S3) -> None:
    """An empty bucket has no keys."""
    assert s3.list("b", "x", soon()) == []


GET, LIST = (lambda s3: s3.get("b", "k/x", soon())), (lambda s3: s3.list("b", "k/", soon()))
ELSEWHERE = {"x-amz-bucket-region": "us-east-1"}
ERRORS: dict[str, tuple[Callable[[S3], Any], Fault, str]] = {
    "get-403": (GET, Fault.status(403), "s3://b/k/x: S3 answered 403: the role needs s3:GetObject on this object"),
    "list-403": (LIST, Fault.status(403), "s3://b/k/*: S3 answered 403: the role needs s3:ListBucket on this bucket"),
    "get-404": (GET, Fault.status(404), "s3://b/k/x: S3 answered 404: there is no such bucket or object"),
    "region": (
        GET,
        Fault.status(301, headers={"x-amz-bucket-region": "us-east-1"}),
        "in another region (us-east-1)",
    ),
    "region-unknown": (GET, Fault.status(301), "S3 answered 301: the bucket is in another region"),
    "503": (GET, Fault.status(503), "s3://b/k/x: S3 answered 503"),
    "304-unasked": (GET, Fault.status(304), "s3://b/k/x: S3 answered 304"),
    "no-xml": (LIST, Fault.status(200, b"{}"), "s3://b/k/*: S3 answered something that is no listing"),
    "cut": (GET, Fault.half_answer(), "s3://b/k/x: 127.0.0.1"),
    "reset": (LIST, Fault.reset(), "s3://b/k/*: 127.0.0.1"),
}


@pytest.mark.parametrize(("ask", "fault", "detail"), ERRORS.values(), ids=ERRORS)
def test_errors(bucket: ObjectStore, s3: S3, ask: Callable[[S3], Any], fault: Fault, detail: str) -> None:
    """They name bucket and key, and what to allow."""
    bucket.put("k/x", b"content")
    bucket.always("*", fault)
    with pytest.raises(StoreError) as raised:
        ask(s3)
    assert detail in str(raised.value)
    assert isinstance(raised.value, NotStored) == ("404" in detail)


def test_too_long(bucket: ObjectStore, s3: S3) -> None:
    """An object is not read beyond what is expected of it."""
    bucket.put("k", b"x" * 1001)
    assert len(s3.get("b", "k", soon(), max_bytes=1001)) == 1001
    with pytest.raises(StoreError, match="s3://b/k: it has more than 1000 bytes"):
        s3.get("b", "k", soon(), max_bytes=1000)


def test_deadline(bucket: ObjectStore, s3: S3) -> None:
    """It is for the whole exchange; after it nothing is asked."""
    bucket.always("get", Fault.hang())
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
