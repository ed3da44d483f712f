"""Keys that look like ways through folders are keys: asked for, signed and read as AWS's own client does it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import ParamValidationError
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lambda_remote_write.aws.s3 import S3, S3Store
from lambda_remote_write.config_source import Unreadable
from lambda_remote_write.dependencies import Dependencies
from lambda_remote_write.store import StoreError
from sandbox.s3 import KEYS, ObjectStore
from sandbox.server import Request
from tests.rig.aws import REGION, Aws
from tests.rig.clock import soon
from tests.rig.delivery import no_session, objects_at

ODD = [
    "a//b", "//a", "/a", "/", "a/", "a//", ".", "..", "./a", "../a", "a/.", "a/..", "a/./b", "a/../b", "a/../../b",
    "...", "a b", "a+b", "a%2Fb", "a%2e%2e/b", "%", "ü/é€", "a?b=c", "a#b", "a;b", "a&b", "~-_.", "(*)'!", "a:b@c",
    '"\\', "\t", "a\nb", "\U0001f600",
]  # fmt: skip


@pytest.fixture(scope="module")
def asked() -> list[Request]:
    return []


@pytest.fixture(scope="module")
def bucket(asked: list[Request]) -> Iterator[ObjectStore]:
    """It refuses what is not signed as botocore's S3SigV4Auth signs what came over the wire."""
    with ObjectStore(on_request=lambda operation, request: asked.append(request)) as found:
        yield found


@pytest.fixture(scope="module")
def objects(bucket: ObjectStore) -> S3:
    return objects_at(bucket.base_url)


@pytest.fixture(scope="module")
def theirs(bucket: ObjectStore) -> Any:
    return boto3.client(
        "s3", endpoint_url=bucket.base_url, region_name=KEYS.region, aws_access_key_id=KEYS.access_key,
        aws_secret_access_key=KEYS.secret_key,
        config=Config(
            s3={"addressing_style": "path"}, retries={"total_max_attempts": 1},
            request_checksum_calculation="when_required", response_checksum_validation="when_required",
        ),
    )  # fmt: skip


def same_for_both(bucket: ObjectStore, asked: list[Request], objects: S3, theirs: Any, key: str) -> None:
    objects.put("spool", key, key.encode(), soon())
    assert bucket.objects.pop(key) == key.encode()
    assert theirs.get_object(Bucket="spool", Key=key)["Body"].read() == key.encode()
    assert objects.get("spool", key, soon()) == key.encode()
    botocores, own = asked[-2:]
    assert own.path == botocores.path
    assert objects.get_range("spool", key, 0, 1, "", soon()).size == len(key.encode())
    assert objects.list("spool", key, soon()) == [key]
    assert objects.delete("spool", key, soon(), bucket.etag(key))
    assert bucket.objects == {}


@pytest.mark.parametrize("key", ODD, ids=repr)
def test_a_key_goes_over_the_wire_and_is_signed_as_botocore_does_it(
    bucket: ObjectStore, asked: list[Request], objects: S3, theirs: Any, key: str
) -> None:
    same_for_both(bucket, asked, objects, theirs, key)


parts = st.sampled_from(["", ".", "..", "...", "a", "%2e", "%2F", " ", "+", "é"]) | st.text(
    st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=6
)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(st.lists(parts, min_size=1, max_size=5).map("/".join).filter(bool))
def test_any_key(bucket: ObjectStore, asked: list[Request], objects: S3, theirs: Any, key: str) -> None:
    same_for_both(bucket, asked, objects, theirs, key)


@pytest.mark.parametrize("prefix", ["a//b", "a/../b", "./a", "/deep"])
def test_a_store_below_an_odd_prefix(bucket: ObjectStore, objects: S3, prefix: str) -> None:
    store = S3Store(objects, f"s3://spool/{prefix}")
    etag = store.put("spool/x/0/1", b"one", soon(), "")
    assert list(bucket.objects) == [f"{prefix}/spool/x/0/1"]
    assert store.list("spool/", soon()) == ["spool/x/0/1"]
    assert store.folders("spool/", soon()) == ["x/"]
    assert store.delete("spool/x/0/1", soon(), etag)


def test_every_key_is_the_one_that_moto_has() -> None:
    """moto decides by itself which object a path names."""
    with Aws() as aws:
        client = aws.client("s3")
        client.create_bucket(Bucket="spool", CreateBucketConfiguration={"LocationConstraint": REGION})
        objects = aws.objects()
        keys = [key for key in ODD if "\n" not in key]  # of which its routes know nothing
        for key in keys:
            client.put_object(Bucket="spool", Key=key, Body=key.encode())
        assert {key: objects.get("spool", key, soon()) for key in keys} == {key: key.encode() for key in keys}
        for key in keys:
            objects.put("spool", key, b"new", soon())
            assert client.get_object(Bucket="spool", Key=key)["Body"].read() == b"new"


@pytest.mark.parametrize(
    "name", ["a\x1b[2J", "a\nb", "a b", "ü", "a#", "a?b", "127.0.0.1:80#", "a@b", "a%2e", "", "x" * 256]
)
def test_what_is_no_name_of_a_bucket_sends_no_request(
    objects: S3, theirs: Any, asked: list[Request], name: str
) -> None:
    """It would be no address, or that of another host. botocore refuses the same names."""
    asked.clear()
    with pytest.raises(ParamValidationError):
        theirs.get_object(Bucket=name, Key="k")
    for read in (
        lambda: objects.get(name, "k", soon()),
        lambda: objects.list(name, "k", soon()),
        lambda: objects.put(name, "k", b"", soon()),
    ):
        with pytest.raises(StoreError, match="no name of a bucket"):
            read()
    assert asked == []


@pytest.mark.parametrize("location", ["s3://a\x1b[2J/k", "s3://ü#/k"])
def test_a_config_in_no_bucket_is_unreadable(location: str) -> None:
    dependencies = Dependencies({"AWS_ACCESS_KEY_ID": "a", "AWS_SECRET_ACCESS_KEY": "b"}, session=no_session)
    with pytest.raises(Unreadable, match="no name of a bucket"):
        dependencies.config_source(location).load()
