"""One bad answer of S3 costs nothing: what only reads is tried three times. And what an answer says of a range."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator

import pytest

from lambda_remote_write.aws.s3 import S3
from lambda_remote_write.store import NotStored, StoreError
from sandbox.s3 import ObjectStore
from sandbox.server import Answer, Fault, LoopbackServer, Request
from tests.rig.delivery import objects_at

pytestmark = pytest.mark.slow  # timeouts are the subject

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
READS: dict[str, Callable[[S3], object]] = {
    "get": lambda s3: s3.get("spool", "k", soon()),
    "range": lambda s3: s3.get_range("spool", "k", 2, 3, "", soon()).content,
    "head": lambda s3: s3.head("spool", "k", soon()).size,
    "list": lambda s3: s3.list("spool", "", soon()),
    "first": lambda s3: s3.first("spool", "", soon(), 1),
    "version": lambda s3: s3.get_version("spool", "k", "1", soon(), 100).content,
}
FOUND = {"get": b"0123456789", "range": b"234", "head": 10, "list": ["k"], "first": ["k"], "version": b"0123456789"}


def soon() -> float:
    return time.monotonic() + 4


@pytest.fixture
def bucket() -> Iterator[ObjectStore]:
    with ObjectStore() as found:
        found.put("k", b"0123456789")
        yield found


@pytest.mark.parametrize("fault", PASSING.values(), ids=PASSING)
def test_one_bad_answer_costs_no_reading(bucket: ObjectStore, fault: Fault) -> None:
    bucket.script("*", fault)
    assert READS["get"](objects_at(bucket.base_url)) == FOUND["get"]


@pytest.mark.parametrize("how", READS)
def test_every_reading_is_tried_three_times(bucket: ObjectStore, how: str) -> None:
    objects = objects_at(bucket.base_url)
    bucket.script("*", Fault.status(503), Fault.status(503))
    assert READS[how](objects) == FOUND[how]
    bucket.counts.clear()
    bucket.always("*", Fault.status(503))
    with pytest.raises(StoreError, match="S3 answered 503"):
        READS[how](objects)
    assert bucket.counts.total() == 3


@pytest.mark.parametrize("status", [301, 400, 403, 404], ids=str)
def test_what_stays_as_it_is_is_not_asked_again(bucket: ObjectStore, status: int) -> None:
    bucket.always("*", Fault.status(status))
    with pytest.raises(StoreError, match=str(status)):
        objects_at(bucket.base_url).get("spool", "k", soon())
    assert bucket.counts.total() == 1


def test_a_write_is_the_callers_to_try_again(bucket: ObjectStore) -> None:
    """It may have been done."""
    bucket.always("put", Fault.status(503))
    with pytest.raises(StoreError, match="503"):
        objects_at(bucket.base_url).put("spool", "k", b"", soon())
    assert bucket.counts["put"] == 1


def test_tries_end_at_the_deadline(bucket: ObjectStore) -> None:
    bucket.always("get", Fault.hang())
    started = time.monotonic()
    with pytest.raises(StoreError, match="timed out"):
        objects_at(bucket.base_url).get("spool", "k", started + 1)
    assert time.monotonic() - started < 8


# --- Content-Range (RFC 9110, 14.4): `bytes 2-4/10`, or `bytes */10` with a 416 ---------------------------------------


def answered(status: int, headers: dict[str, str], body: bytes, start: int = 2, count: int = 3) -> tuple[bytes, int]:
    def answer(_: Request) -> Answer:
        return Answer(status, {"ETag": '"x"', **headers}, body)

    with LoopbackServer(answer) as server:
        found = objects_at(server.base_url).get_range("spool", "k", start, count, "", soon())
    return found.content, found.size


@pytest.mark.parametrize(
    ("status", "detail", "body", "start", "expected"),
    [
        pytest.param(206, "bytes 2-4/10", b"234", 2, (b"234", 10), id="a part"),
        pytest.param(206, "bytes 2-3/4", b"23", 2, (b"23", 4), id="less at the end"),
        pytest.param(416, "bytes */10", b"", 10, (b"", 10), id="nothing behind the end"),
        pytest.param(416, "bytes */0", b"", 0, (b"", 0), id="nothing in an empty object"),
        pytest.param(416, None, b"", 0, (b"", 0), id="nothing in an empty object, without a word"),
        pytest.param(416, None, b"", 10, (b"", 10), id="nothing behind the end, without a word"),
    ],
)
def test_a_range(status: int, detail: str | None, body: bytes, start: int, expected: tuple[bytes, int]) -> None:
    assert answered(status, {"Content-Range": detail} if detail else {}, body, start) == expected


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
        answered(206, {} if detail is None else {"Content-Range": detail}, b"234")


@pytest.mark.parametrize("detail", ["bytes 0-0/10", "bytes */", "bytes */*", "x"], ids=repr)
def test_a_416_that_says_something_else_is_an_error(detail: str) -> None:
    with pytest.raises(StoreError, match="Content-Range"):
        answered(416, {"Content-Range": detail}, b"")


def test_an_object_that_is_missing_is_missing() -> None:
    with pytest.raises(NotStored):
        answered(404, {}, b"")
