"""S3 over a real socket, AWS's and others': any key, what each operation makes of bad answers, ranges, and whether an
object was there when it was deleted, which decides who counts it."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
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
from lambda_remote_write.model.delivery import PendingRequest, WriteRequest
from lambda_remote_write.spool.entry import Entry
from lambda_remote_write.spool.spool import RunId, Spool
from lambda_remote_write.store import NotStored, StoreError
from sandbox.amp import SigV4
from sandbox.s3 import KEYS, ObjectStore
from sandbox.server import Answer, Fault, LoopbackServer, Request
from tests.rig.aws import REGION, Aws
from tests.rig.clock import soon
from tests.rig.delivery import no_session, objects_at
from tests.rig.tables import table

WITH_TOKEN = SigV4(region=REGION, token="token", service="s3")
CONTENT = b"0123456789"
NOW_MS = 1_716_479_897_000


@pytest.fixture
def bucket() -> Iterator[ObjectStore]:
    """It wants the token of a role, and a signature of its time."""
    with ObjectStore(auth=WITH_TOKEN, now=lambda: NOW_MS / 1000) as found:
        found.put("k", CONTENT)
        yield found


@pytest.fixture
def s3(bucket: ObjectStore) -> S3:
    return objects_at(bucket.base_url, WITH_TOKEN, lambda: NOW_MS)


# --- What is answered -------------------------------------------------------------------------------------------------

READS: dict[str, tuple[Callable[[S3], object], object]] = {
    "get": (lambda s3: s3.get("spool", "k", soon()), CONTENT),
    "get a range": (lambda s3: s3.get_range("spool", "k", 2, 3, "", soon()).content, b"234"),
    "head": (lambda s3: s3.head("spool", "k", soon()).size, 10),
    "list": (lambda s3: s3.list("spool", "", soon()), ["k"]),
    "list the first": (lambda s3: s3.first("spool", "", soon(), 1), ["k"]),
    "get a version": (lambda s3: s3.get_version("spool", "k", "1", soon(), 100).content, CONTENT),
    "get a range behind the end": (lambda s3: s3.get_range("spool", "k", 20, 3, "", soon()).content, b""),
    "folders": (lambda s3: s3.folders("spool", "", soon()), []),
}
OPERATIONS: dict[str, Callable[[S3], object]] = {
    **{name: act for name, (act, _) in READS.items()},
    "get if changed": lambda s3: s3.get_changed("spool", "k", '"x"', soon(), 100),
    "put": lambda s3: s3.put("spool", "k", b"new", soon()),
    "put a new one": lambda s3: s3.put("spool", "other", b"new", soon(), ""),
    "delete": lambda s3: s3.delete("spool", "k", soon()),
    "delete a missing one": lambda s3: s3.delete("spool", "other", soon(), '"x"'),
}


def test_an_object_that_is_as_it_was_is_not_sent_again(bucket: ObjectStore, s3: S3) -> None:
    first = s3.get_changed("spool", "k", "", soon(), 100)
    assert first
    assert (first.content, first.etag) == (CONTENT, bucket.etag("k"))
    assert s3.get_changed("spool", "k", first.etag, soon(), 100) is None
    bucket.put("k", b"123456")
    again = s3.get_changed("spool", "k", first.etag, soon(), 100)
    assert again
    assert again.content == b"123456"


@pytest.mark.parametrize("prefix", ["", "a b+c/&=", "ü/~(1)'", "a%2Fb"])
def test_a_listing_has_all_pages(bucket: ObjectStore, s3: S3, prefix: str) -> None:
    """By any prefix, the keys as they are; none where nothing begins with it."""
    bucket.max_keys = 2
    keys = [f"{prefix}{name}" for name in ("1", "2 3", "4+5", "6%20", "ü", "<&>", "\x07")]
    for key in keys:
        bucket.put(key, b"")
    expected = sorted(keys) if prefix else sorted([*keys, "k"])
    assert s3.list("spool", prefix, soon()) == expected
    assert bucket.counts["list"] == 4
    assert s3.list("spool", "nothing", soon()) == []


GET, LIST = OPERATIONS["get"], (lambda s3: s3.list("spool", "k/", soon()))
ELSEWHERE = {"x-amz-bucket-region": "us-east-1"}


@table(
    "ask, fault, tries, detail",
    [
        (
            "get-403",
            GET,
            Fault.status(403),
            1,
            "spool/k: S3 answered 403: the role needs s3:GetObject on this object",
        ),
        ("list-403", LIST, Fault.status(403), 1, "/*: S3 answered 403: the role needs s3:ListBucket on this bucket"),
        ("get-404", GET, Fault.status(404), 1, "s3://spool/k: S3 answered 404: there is no such bucket or object"),
        ("region", GET, Fault.status(301, headers=ELSEWHERE), 1, "in another region (us-east-1)"),
        ("region-unknown", GET, Fault.status(301), 1, "S3 answered 301: the bucket is in another region"),
        ("400", GET, Fault.status(400), 1, "s3://spool/k: S3 answered 400"),
        ("503", GET, Fault.status(503), 3, "s3://spool/k: S3 answered 503"),
        ("304-unasked", GET, Fault.status(304), 1, "s3://spool/k: S3 answered 304"),
        ("no-xml", LIST, Fault.status(200, b"{}"), 1, "s3://spool/k/*: S3 answered something that is no listing"),
        ("cut", GET, Fault.half_answer(), 3, "s3://spool/k: 127.0.0.1"),
        ("reset", LIST, Fault.reset(), 3, "s3://spool/k/*: 127.0.0.1"),
    ],
)
def test_an_error_names_the_object_and_what_to_allow(
    bucket: ObjectStore, s3: S3, ask: Callable[[S3], object], fault: Fault, tries: int, detail: str
) -> None:
    """What stays as it is is not asked again."""
    bucket.always("*", fault)
    with pytest.raises(StoreError) as raised:
        ask(s3)
    assert detail in str(raised.value)
    assert isinstance(raised.value, NotStored) == ("404" in detail)
    assert bucket.counts.total() == tries


PASSING = {
    "500": Fault.status(500),
    "503": Fault.status(503),
    "429": Fault.status(429),
    "reset": Fault.reset(),
    "reset within the body": Fault.reset_mid_answer(),
    "half an answer": Fault.half_answer(),
    "timeout": Fault.hang(),
    "garbage": Fault.garbage(),
}


@pytest.mark.slow  # timeouts are the subject
@pytest.mark.parametrize("fault", PASSING.values(), ids=PASSING)
def test_one_bad_answer_costs_no_reading(bucket: ObjectStore, s3: S3, fault: Fault) -> None:
    bucket.script("*", fault)
    assert s3.get("spool", "k", time.monotonic() + 4) == CONTENT


@pytest.mark.slow
@pytest.mark.parametrize(("act", "found"), READS.values(), ids=READS)
def test_every_reading_is_tried_three_times(
    bucket: ObjectStore, s3: S3, act: Callable[[S3], object], found: object
) -> None:
    bucket.script("*", Fault.status(503), Fault.status(503))
    assert act(s3) == found
    bucket.counts.clear()
    bucket.always("*", Fault.status(503))
    with pytest.raises(StoreError, match="S3 answered 503"):
        act(s3)
    assert bucket.counts.total() == 3


def test_a_write_is_the_callers_to_try_again(bucket: ObjectStore, s3: S3) -> None:
    """It may have been done."""
    bucket.always("put", Fault.status(503))
    with pytest.raises(StoreError, match="503"):
        s3.put("spool", "k", b"", soon())
    assert bucket.counts["put"] == 1


@pytest.mark.slow  # every reading is cut three times
@pytest.mark.parametrize("lines", [1, 2], ids=["after the status line", "after a header"])
@pytest.mark.parametrize("act", OPERATIONS.values(), ids=OPERATIONS)
def test_no_operation_is_done_whose_answer_breaks_off_within_its_head(
    bucket: ObjectStore, s3: S3, act: Callable[[S3], object], lines: int
) -> None:
    """Each is a StoreError: neither an empty object nor an empty list, neither written nor gone."""
    bucket.always("*", Fault.cut_head(lines))
    with pytest.raises(StoreError, match=r"s3://spool.*the connection broke"):
        act(s3)


def test_an_object_is_not_read_beyond_what_is_expected_of_it(s3: S3) -> None:
    assert len(s3.get("spool", "k", soon(), max_bytes=10)) == 10
    with pytest.raises(StoreError, match="s3://spool/k: it has more than 9 bytes"):
        s3.get("spool", "k", soon(), max_bytes=9)


def test_the_deadline_is_for_all_tries_and_after_it_nothing_is_asked(bucket: ObjectStore, s3: S3) -> None:
    bucket.always("get", Fault.hang())
    started = time.monotonic()
    with pytest.raises(StoreError, match="timed out"):
        s3.get("spool", "k", started + 0.3)
    assert time.monotonic() - started < 8
    with pytest.raises(StoreError, match="no time was left"):
        s3.get("spool", "k", started)


# --- Addresses --------------------------------------------------------------------------------------------------------


@table(
    "env_vars, bucket, url",
    [
        ("virtual", {}, "bucket", "https://bucket.s3.eu-west-1.amazonaws.com/a%20b"),
        ("dots", {}, "dotted.bucket", "https://s3.eu-west-1.amazonaws.com/dotted.bucket/a%20b"),
        ("no-region", {"AWS_REGION": ""}, "bucket", "https://bucket.s3.us-east-1.amazonaws.com/a%20b"),
        ("all", {"AWS_ENDPOINT_URL": "http://h:1/"}, "bucket", "http://h:1/bucket/a%20b"),
        ("s3", {"AWS_ENDPOINT_URL": "http://h:1", "AWS_ENDPOINT_URL_S3": "http://h:2"}, "b", "http://h:2/b/a%20b"),
    ],
)
def test_addresses(env_vars: dict[str, str], bucket: str, url: str) -> None:
    """The bucket's own name where its certificate allows, the environment's endpoint when there is one."""
    assert Dependencies({"AWS_REGION": REGION, **env_vars}, session=no_session).objects._url(bucket, "a b") == url


AWS = ["", "https://s3.eu-west-1.amazonaws.com", "https://bucket.vpce-1-2.s3.eu-west-1.vpce.amazonaws.com/",
       "https://s3.cn-north-1.amazonaws.com.cn"]  # fmt: skip
OTHERS = ["http://127.0.0.1:9000", "https://minio.example.com", "https://s3.amazonaws.com.example.com"]


@pytest.mark.parametrize(("endpoint", "expected"), [*((one, True) for one in AWS), *((one, False) for one in OTHERS)])
def test_aws_itself_is_not_asked_twice(endpoint: str, *, expected: bool) -> None:
    """It says of a missing key that it is missing, and each request there has its price."""
    assert Dependencies({"AWS_ENDPOINT_URL_S3": endpoint}, session=no_session).objects._is_aws is expected


# --- Content-Range (RFC 9110, 14.4): `bytes 2-4/10`, or `bytes */10` with a 416 ---------------------------------------


def answered(status: int, detail: str | None, body: bytes, start: int = 2) -> tuple[bytes, int]:
    """What is made of an answer with this Content-Range to a question for three bytes."""
    headers = {"ETag": '"x"'} if detail is None else {"ETag": '"x"', "Content-Range": detail}
    with LoopbackServer(lambda _: Answer(status, headers, body)) as server:
        found = objects_at(server.base_url).get_range("spool", "k", start, 3, "", soon())
    return found.content, found.size


@table(
    "status, detail, body, start, expected",
    [
        ("a part", 206, "bytes 2-4/10", b"234", 2, (b"234", 10)),
        ("less at the end", 206, "bytes 2-3/4", b"23", 2, (b"23", 4)),
        ("nothing behind the end", 416, "bytes */10", b"", 10, (b"", 10)),
        ("nothing in an empty object", 416, "bytes */0", b"", 0, (b"", 0)),
        ("nothing in an empty object, without a word", 416, None, b"", 0, (b"", 0)),
        ("nothing behind the end, without a word", 416, None, b"", 10, (b"", 10)),
    ],
)
def test_a_range(status: int, detail: str | None, body: bytes, start: int, expected: tuple[bytes, int]) -> None:
    assert answered(status, detail, body, start) == expected


@pytest.mark.parametrize(
    "detail",
    [
        None, "", "bytes", "bytes 2-4", "bytes 2-4/", "bytes 2-4/*", "bytes 2-4/ten", "bytes */10", "2-4/10",
        "bytes 0-2/10", "bytes 2-5/10", "bytes 2-4/-1", "bytes ²-4/10", "bytes 2-4/10, bytes 2-4/10", "items 2-4/10",
        f"bytes 2-4/{'9' * 5000}",
    ],
    ids=lambda detail: repr(detail)[:30],
)  # fmt: skip
def test_a_range_that_is_not_what_was_asked_for_is_an_error_that_names_the_object(detail: str | None) -> None:
    with pytest.raises(StoreError, match=r"^s3://spool/k: 3 bytes from 2 on .*Content-Range"):
        answered(206, detail, b"234")


@pytest.mark.parametrize("detail", ["bytes 0-0/10", "bytes */", "bytes */*", "x"], ids=repr)
def test_a_416_that_says_something_else_is_an_error(detail: str) -> None:
    with pytest.raises(StoreError, match="Content-Range"):
        answered(416, detail, b"")


def test_an_object_that_is_missing_is_missing() -> None:
    with pytest.raises(NotStored):
        answered(404, None, b"")


# --- Stores that answer a deletion differently ------------------------------------------------------------------------

KINDS: dict[str, dict[str, Any]] = {
    "404 for a missing key": {},
    "204 for a missing key": {"says_missing": False},
    "204 whatever the condition": {"conditional_delete": False},
}
ENTRY = Entry("amp", 5, [PendingRequest(WriteRequest(b"x", 1, 1))])
every_kind = pytest.mark.parametrize("kind", KINDS)


@contextmanager
def store_of(kind: str) -> Iterator[tuple[ObjectStore, S3Store]]:
    with ObjectStore() as bucket:
        for name, value in KINDS[kind].items():
            setattr(bucket, name, value)
        yield bucket, S3Store(objects_at(bucket.base_url), f"s3://{bucket.bucket}/p")


@every_kind
@pytest.mark.parametrize("content", [b"two", b""], ids=["full", "empty"])
def test_only_the_object_that_was_seen_is_deleted(kind: str, content: bytes) -> None:
    """True for that one, and False when it is gone or another, whatever the store answers."""
    with store_of(kind) as (bucket, store):
        seen = store.put("k", b"one", soon())
        newer = store.put("k", content, soon())
        assert store.delete("k", soon(), seen) is False
        assert bucket.objects == {"p/k": content}
        assert store.delete("k", soon(), newer) is True
        assert store.delete("k", soon(), newer) is False
        assert bucket.objects == {}


@every_kind
def test_a_deletion_whose_answer_was_lost_is_this_runs_own(kind: str) -> None:
    """Over a fresh connection, and over a kept one, on which the request is sent again."""
    with store_of(kind) as (bucket, store):
        spool = Spool(store, sleep=lambda seconds: None)
        for lost in (1, 2):
            stored = spool.keep(ENTRY, RunId(5, "x"), soon())
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
        bucket.always("put", Fault.lost_answer())
        stored = spool.keep(ENTRY, RunId(5, "x"), soon())
        bucket.always("put", None)
        assert spool.load(stored.key, soon()) == stored


# --- Keys that look like ways through folders are keys: signed and read as AWS's own client does it -------------------

ODD = [
    "a//b", "//a", "/a", "/", "a/", "a//", ".", "..", "./a", "../a", "a/.", "a/..", "a/./b", "a/../b", "a/../../b",
    "...", "a b", "a+b", "a%2Fb", "a%2e%2e/b", "%", "ü/é€", "a?b=c", "a#b", "a;b", "a&b", "~-_.", "(*)'!", "a:b@c",
    '"\\', "\t", "a\nb", "\U0001f600",
]  # fmt: skip


@pytest.fixture(scope="module")
def asked() -> list[Request]:
    return []


@pytest.fixture(scope="module")
def checked(asked: list[Request]) -> Iterator[ObjectStore]:
    """It refuses what is not signed as botocore's S3SigV4Auth signs what came over the wire."""
    with ObjectStore(on_request=lambda operation, request: asked.append(request)) as found:
        yield found


@pytest.fixture(scope="module")
def objects(checked: ObjectStore) -> S3:
    return objects_at(checked.base_url)


@pytest.fixture(scope="module")
def theirs(checked: ObjectStore) -> Any:
    return boto3.client(
        "s3", endpoint_url=checked.base_url, region_name=KEYS.region, aws_access_key_id=KEYS.access_key,
        aws_secret_access_key=KEYS.secret_key,
        config=Config(
            s3={"addressing_style": "path"}, retries={"total_max_attempts": 1},
            request_checksum_calculation="when_required", response_checksum_validation="when_required",
        ),
    )  # fmt: skip


def same_for_both(checked: ObjectStore, asked: list[Request], objects: S3, theirs: Any, key: str) -> None:
    objects.put("spool", key, key.encode(), soon())
    assert checked.objects.pop(key) == key.encode()
    assert theirs.get_object(Bucket="spool", Key=key)["Body"].read() == key.encode()
    assert objects.get("spool", key, soon()) == key.encode()
    botocores, own = asked[-2:]
    assert own.path == botocores.path
    assert objects.get_range("spool", key, 0, 1, "", soon()).size == len(key.encode())
    assert objects.list("spool", key, soon()) == [key]
    assert objects.delete("spool", key, soon(), checked.etag(key))
    assert checked.objects == {}


@pytest.mark.parametrize("key", ODD, ids=repr)
def test_a_key_goes_over_the_wire_and_is_signed_as_botocore_does_it(
    checked: ObjectStore, asked: list[Request], objects: S3, theirs: Any, key: str
) -> None:
    same_for_both(checked, asked, objects, theirs, key)


parts = st.sampled_from(["", ".", "..", "...", "a", "%2e", "%2F", " ", "+", "é"]) | st.text(
    st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=6
)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(st.lists(parts, min_size=1, max_size=5).map("/".join).filter(bool))
def test_any_key(checked: ObjectStore, asked: list[Request], objects: S3, theirs: Any, key: str) -> None:
    same_for_both(checked, asked, objects, theirs, key)


@pytest.mark.parametrize("prefix", ["a//b", "a/../b", "./a", "/deep"])
def test_a_store_below_an_odd_prefix(checked: ObjectStore, objects: S3, prefix: str) -> None:
    store = S3Store(objects, f"s3://spool/{prefix}")
    etag = store.put("spool/x/0/1", b"one", soon(), "")
    assert list(checked.objects) == [f"{prefix}/spool/x/0/1"]
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
