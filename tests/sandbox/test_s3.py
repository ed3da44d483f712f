"""The bucket of the sandbox does what S3's documentation says, seen through AWS's own client and through ours."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError

from lambda_remote_write.aws.s3 import S3Store
from lambda_remote_write.store import Changed, NotStored, StoreError
from sandbox.amp import SigV4
from sandbox.s3 import ObjectStore, etag_of
from sandbox.server import Fault
from tests.rig.clock import soon
from tests.rig.delivery import objects_at

KEYS = SigV4(service="s3")


@pytest.fixture
def bucket() -> Iterator[ObjectStore]:
    with ObjectStore() as found:
        yield found


def client(bucket: ObjectStore, secret: str = KEYS.secret_key) -> Any:
    return boto3.client(
        "s3",
        endpoint_url=bucket.base_url,
        region_name=KEYS.region,
        aws_access_key_id=KEYS.access_key,
        aws_secret_access_key=secret,
        config=Config(
            s3={"addressing_style": "path"}, retries={"total_max_attempts": 1},
            request_checksum_calculation="when_required", response_checksum_validation="when_required",
        ),
    )  # fmt: skip


def ours(bucket: ObjectStore, prefix: str = "") -> S3Store:
    return S3Store(objects_at(bucket.base_url), f"s3://{bucket.bucket}{prefix}")


def code_of(error: pytest.ExceptionInfo[ClientError]) -> str:
    return str(error.value.response["Error"]["Code"])


# --- AWS's own client -------------------------------------------------------------------------------------------------


def test_objects_come_back(bucket: ObjectStore) -> None:
    s3 = client(bucket)
    key = "a b/ü+%2F/=.x"
    assert s3.put_object(Bucket="spool", Key=key, Body=b"x" * 1000)["ETag"] == etag_of(b"x" * 1000)
    assert s3.get_object(Bucket="spool", Key=key)["Body"].read() == b"x" * 1000
    s3.delete_object(Bucket="spool", Key=key)
    s3.delete_object(Bucket="spool", Key=key)  # S3 does not tell that it was gone
    with pytest.raises(ClientError) as raised:
        s3.get_object(Bucket="spool", Key=key)
    assert code_of(raised) == "NoSuchKey"


def test_listings_go_by_the_thousand(bucket: ObjectStore) -> None:
    for number in range(2_500):
        bucket.put(f"spool/a/0/{number:05d}", b"")
    bucket.put("dead/x", b"")
    pages = list(client(bucket).get_paginator("list_objects_v2").paginate(Bucket="spool", Prefix="spool/"))
    assert [len(page["Contents"]) for page in pages] == [1000, 1000, 500]
    found = [one["Key"] for page in pages for one in page["Contents"]]
    assert found == sorted(found)
    top = client(bucket).list_objects_v2(Bucket="spool", Delimiter="/")
    assert [one["Prefix"] for one in top["CommonPrefixes"]] == ["dead/", "spool/"]


def test_conditions(bucket: ObjectStore) -> None:
    s3 = client(bucket)
    first = s3.put_object(Bucket="spool", Key="k", Body=b"1", IfNoneMatch="*")["ETag"]
    for conditions in ({"IfNoneMatch": "*"}, {"IfMatch": etag_of(b"other")}):
        with pytest.raises(ClientError) as raised:
            s3.put_object(Bucket="spool", Key="k", Body=b"2", **conditions)
        assert code_of(raised) == "PreconditionFailed"
    assert s3.put_object(Bucket="spool", Key="k", Body=b"2", IfMatch=first)["ETag"] == etag_of(b"2")
    with pytest.raises(ClientError) as raised:
        s3.delete_object(Bucket="spool", Key="k", IfMatch=first)
    assert code_of(raised) == "PreconditionFailed"
    assert bucket.objects == {"k": b"2"}


@pytest.mark.parametrize(("wanted", "found"), [("bytes=0-3", b"0123"), ("bytes=7-99", b"789")])
def test_a_range_is_part_of_an_object(bucket: ObjectStore, wanted: str, found: bytes) -> None:
    bucket.put("k", b"0123456789")
    part = client(bucket).get_object(Bucket="spool", Key="k", Range=wanted, IfMatch=bucket.etag("k"))
    assert part["Body"].read() == found
    assert part["ContentRange"].endswith("/10")
    with pytest.raises(ClientError) as raised:
        client(bucket).get_object(Bucket="spool", Key="k", Range="bytes=10-11")
    assert raised.value.response["ResponseMetadata"]["HTTPStatusCode"] == 416
    with pytest.raises(ClientError) as raised:
        client(bucket).get_object(Bucket="spool", Key="k", Range=wanted, IfMatch='"other"')
    assert code_of(raised) == "PreconditionFailed"


def test_a_wrong_secret_and_a_wrong_clock_are_refused() -> None:
    with ObjectStore() as bucket, pytest.raises(ClientError) as raised:
        client(bucket, secret="wrong").put_object(Bucket="spool", Key="k", Body=b"1")
    assert code_of(raised) == "SignatureDoesNotMatch"
    with ObjectStore(now=lambda: time.time() + 1_000) as late, pytest.raises(ClientError) as raised:
        client(late).put_object(Bucket="spool", Key="k", Body=b"1")
    assert code_of(raised) == "RequestTimeTooSkewed"


# --- Our client -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("prefix", ["", "/deep/er"])
def test_our_store_does_what_a_store_does(bucket: ObjectStore, prefix: str) -> None:
    store = ours(bucket, prefix)
    key = "spool/a%2Fb/0/0000000000001-x"
    etag = store.put(key, b"one", soon(), "")
    found = store.get(key, soon())
    assert found is not None
    assert (found.content, found.etag) == (b"one", etag)
    assert store.get(key, soon(), etag) is None
    with pytest.raises(Changed):
        store.put(key, b"two", soon(), "")
    with pytest.raises(Changed):
        store.put(key, b"two", soon(), etag_of(b"other"))
    with pytest.raises(Changed):
        store.put("missing", b"two", soon(), etag)
    newer = store.put(key, b"two", soon(), etag)
    store.put("spool/b/0/0000000000002-y", b"", soon())
    assert store.list("spool/", soon()) == [key, "spool/b/0/0000000000002-y"]
    assert store.list("spool/", soon(), 1) == [key]
    assert store.folders("spool/", soon()) == ["a%2Fb/", "b/"]
    assert not store.delete(key, soon(), etag)
    assert store.delete(key, soon(), newer)
    assert not store.delete(key, soon(), newer)
    with pytest.raises(NotStored):
        store.get(key, soon())


@pytest.mark.parametrize(
    ("fault", "words"),
    [
        pytest.param(Fault.status(500), "500", id="500"),
        pytest.param(Fault.status(503), "503", id="503"),
        pytest.param(Fault.status(403), "the role needs s3:PutObject", id="403"),
        pytest.param(Fault.reset(), "the connection broke", id="reset"),
        pytest.param(Fault.hang(), "timed out", id="hang"),
        pytest.param(Fault.drip(0.2), "timed out", id="drip"),
        pytest.param(Fault.garbage(), "not a valid HTTP answer", id="garbage"),
    ],
)
def test_a_write_that_fails_says_where_and_why(bucket: ObjectStore, fault: Fault, words: str) -> None:
    bucket.always("put", fault)
    with pytest.raises(StoreError, match=words) as raised:
        ours(bucket).put("k", b"1", time.monotonic() + 0.5)
    assert "s3://spool/k" in str(raised.value)
    if not fault.handled:
        assert bucket.objects == {}


def test_a_stale_listing_and_the_count_of_requests(bucket: ObjectStore) -> None:
    store = ours(bucket)
    store.put("a", b"", soon())
    bucket.freeze_lists()
    store.put("b", b"", soon())
    assert store.list("", soon()) == ["a"]
    bucket.thaw_lists()
    assert store.list("", soon()) == ["a", "b"]
    assert dict(bucket.counts) == {"put": 2, "list": 2}


def test_our_ranges_say_how_large_the_object_is_and_notice_another_one(bucket: ObjectStore) -> None:
    """Reading goes on in the same bytes, or not at all."""
    bucket.put("k", b"0123456789")
    objects = ours(bucket)._objects
    first = objects.get_range("spool", "k", 0, 4, "", soon())
    assert (first.content, first.etag, first.size) == (b"0123", bucket.etag("k"), 10)
    assert objects.get_range("spool", "k", 8, 4, first.etag, soon()).content == b"89"
    assert objects.get_range("spool", "k", 10, 4, first.etag, soon()).content == b""
    assert objects.head("spool", "k", soon()).size == 10
    bucket.put("k", b"abcdefghij")
    with pytest.raises(Changed):
        objects.get_range("spool", "k", 4, 4, first.etag, soon())
    bucket.put("empty", b"")
    assert (objects.head("spool", "empty", soon()).size, objects.head("spool", "empty", soon()).content) == (0, b"")
    with pytest.raises(NotStored):
        objects.head("spool", "nowhere", soon())
