"""S3 as a store, AWS's and others': whether an object was there when it was deleted, which decides who counts it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from lambda_remote_write.aws.s3 import S3Store
from lambda_remote_write.dependencies import Dependencies
from lambda_remote_write.model.delivery import PendingRequest, WriteRequest
from lambda_remote_write.spool.entry import Entry
from lambda_remote_write.spool.spool import RunId, Spool
from lambda_remote_write.store import StoreError
from sandbox.s3 import ObjectStore
from sandbox.server import Fault
from tests.rig.clock import soon
from tests.rig.delivery import KEYS, no_session

KINDS: dict[str, dict[str, Any]] = {
    "404 for a missing key": {},
    "204 for a missing key": {"says_missing": False},
    "204 whatever the condition": {"conditional_delete": False},
}
every_kind = pytest.mark.parametrize("kind", KINDS)


@contextmanager
def store_of(kind: str) -> Iterator[tuple[ObjectStore, S3Store]]:
    with ObjectStore(auth=None) as bucket:
        for name, value in KINDS[kind].items():
            setattr(bucket, name, value)
        keys = {"AWS_ACCESS_KEY_ID": KEYS.access_key, "AWS_SECRET_ACCESS_KEY": KEYS.secret_key}
        dependencies = Dependencies({"AWS_ENDPOINT_URL_S3": bucket.base_url, **keys}, session=no_session)
        yield bucket, S3Store(dependencies.objects, f"s3://{bucket.bucket}/p")
        dependencies.transport.close()


@every_kind
def test_only_the_object_that_was_seen_is_deleted(kind: str) -> None:
    """True for that one, and False when it is gone or another, whatever the store answers."""
    with store_of(kind) as (bucket, store):
        seen = store.put("k", b"one", soon())
        newer = store.put("k", b"two", soon())
        assert store.delete("k", soon(), seen) is False
        assert bucket.objects == {"p/k": b"two"}
        assert store.delete("k", soon(), newer) is True
        assert store.delete("k", soon(), newer) is False
        assert bucket.objects == {}


@every_kind
def test_an_empty_object_is_an_object(kind: str) -> None:
    with store_of(kind) as (bucket, store):
        etag = store.put("k", b"", soon())
        assert store.delete("k", soon(), etag) is True
        assert bucket.objects == {}


@every_kind
def test_of_two_runs_that_finish_an_entry_one_counts_it(kind: str) -> None:
    with store_of(kind) as (bucket, store):
        first, second = Spool(store), Spool(store)
        entry = Entry("amp", 5, [PendingRequest(WriteRequest(b"x", 1, 1))])
        key = first.keep(entry, RunId(5, "x"), soon()).key
        seen = [first.load(key, soon()), second.load(key, soon())]
        assert [first.remove(seen[0], soon()), second.remove(seen[1], soon())] == [True, False]
        assert bucket.objects == {}


@every_kind
def test_a_deletion_whose_answer_was_lost_is_this_runs_own(kind: str) -> None:
    """Over a fresh connection, and over a kept one, on which the request is sent again."""
    with store_of(kind) as (bucket, store):
        spool = Spool(store, sleep=lambda seconds: None)
        entry = Entry("amp", 5, [PendingRequest(WriteRequest(b"x", 1, 1))])
        for lost in (1, 2):
            stored = spool.keep(entry, RunId(5, "x"), soon())
            bucket.script("delete", *[Fault.lost_answer()] * lost)
            assert spool.remove(stored, soon()) is True
        assert bucket.objects == {}


@every_kind
def test_a_look_that_fails_is_no_answer(kind: str) -> None:
    """Neither gone nor there: who asked tries again."""
    with store_of(kind) as (bucket, store):
        etag = store.put("k", b"one", soon())
        bucket.always("*", Fault.status(500))
        with pytest.raises(StoreError, match="S3 answered 500"):
            store.delete("k", soon(), etag)


def test_a_put_whose_answers_are_all_lost_is_kept() -> None:
    """What the bucket has waits there, and does not count as undelivered."""
    with store_of("404 for a missing key") as (bucket, store):
        spool = Spool(store, sleep=lambda seconds: None)
        entry = Entry("amp", 5, [PendingRequest(WriteRequest(b"x", 1, 1))])
        bucket.always("put", Fault.lost_answer())
        stored = spool.keep(entry, RunId(5, "x"), soon())
        bucket.always("put", None)
        assert spool.load(stored.key, soon()) == stored


AWS = ["", "https://s3.eu-west-1.amazonaws.com", "https://bucket.vpce-1-2.s3.eu-west-1.vpce.amazonaws.com/",
       "https://s3.cn-north-1.amazonaws.com.cn"]  # fmt: skip
OTHERS = ["http://127.0.0.1:9000", "https://minio.example.com", "https://s3.amazonaws.com.example.com"]


@pytest.mark.parametrize(("endpoint", "expected"), [*((one, True) for one in AWS), *((one, False) for one in OTHERS)])
def test_aws_itself_is_not_asked_twice(endpoint: str, *, expected: bool) -> None:
    """It says of a missing key that it is missing, and each request there has its price."""
    assert Dependencies({"AWS_ENDPOINT_URL_S3": endpoint}, session=no_session).objects._is_aws is expected
