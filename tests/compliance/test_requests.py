"""How a request looks on the wire. Each sentence is the specification's, with its level first.

Sources: https://prometheus.io/docs/specs/prw/remote_write_spec/ and …/remote_write_spec_2_0/; scenarios as in
https://github.com/prometheus/compliance (remotewrite/sender).
"""

from __future__ import annotations

from collections.abc import Callable

import cramjam
import pytest

from tests.rig.compliance import MESSAGES, Run, Write

pytestmark = pytest.mark.slow

VERSIONS = {"v1": "0.1.0", "v2": "2.0.0"}
TYPES = {"v1": "application/x-protobuf", "v2": f"application/x-protobuf;proto={MESSAGES['v2']}"}


FRAMED = b"\xff\x06\x00\x00sNaPpY"


def is_snappy(one: Write) -> bool:
    """In the block format; what cannot be decompressed raises."""
    return len(bytes(cramjam.snappy.decompress_raw(one.body))) > 0


def names_sender(one: Write) -> bool:
    (agent,) = one.header("User-Agent")
    name, slash, version = agent.partition("/")
    return bool(name and slash and version[0].isdigit())


def has_known_fields(one: Write) -> bool:
    known = type(one.message)()
    known.CopyFrom(one.message)
    known.DiscardUnknownFields()
    return bool(known == one.message and known.ByteSize() == one.message.ByteSize())


OF_EACH: dict[str, Callable[[Write], object]] = {
    "MUST: the message is sent in the body of an HTTP POST request":
        lambda one: one.request.method == "POST",
    "MUST: the message is compressed with Google's Snappy, in the block format": is_snappy,
    "MUST NOT: the framed format of Snappy is not used":
        lambda one: not one.body.startswith(FRAMED),
    "MUST: the header Content-Encoding is snappy":
        lambda one: one.header("Content-Encoding") == ["snappy"],
    "MUST: the header Content-Type is application/x-protobuf, in 2.0 with the message's name as its parameter":
        lambda one: one.header("Content-Type") == [TYPES[one.protocol]],
    "MUST: the header X-Prometheus-Remote-Write-Version is 0.1.0, and for a 2.0 message 2.0.0":
        lambda one: one.header("X-Prometheus-Remote-Write-Version") == [VERSIONS[one.protocol]],
    "MUST: the header User-Agent names the sender and its version, as RFC 9110 has it": names_sender,
    "MAY: senders allow users to send custom headers":
        lambda one: one.header("X-Tenant") == ["a b"],
    "MUST: an HTTP/1.1 request says how long its body is":
        lambda one: one.header("Content-Length") == [str(len(one.body))],
    "MUST NOT: what was accepted is not sent again, so that no request is an attempt of a former one":
        lambda one: not one.header("Retry-Attempt"),
    "MUST: the body is a message of the protocol's schema: it has no field that the schema does not know":
        has_known_fields,
    "SHOULD: a request carries something":
        lambda one: one.series or one.message.metadata,
    "MUST NOT: field 2 of a 1.0 message is Cortex's, and unused here":
        lambda one: one.protocol == "v2" or {field.number for field, _ in one.message.ListFields()} <= {1, 3},
}  # fmt: skip


@pytest.mark.parametrize("sentence", OF_EACH)
def test_each_request(writes: list[Write], sentence: str) -> None:
    assert [one for one in writes if not OF_EACH[sentence](one)] == []


def test_nothing_is_sent_twice(writes: list[Write]) -> None:
    """MUST NOT: what was accepted is not sent again."""
    bodies = [one.body for one in writes if one.series]  # metadata is sent again, every send_interval
    assert len(set(bodies)) == len(bodies)


def test_ended_well(steady: Run) -> None:
    """SHOULD: a sender that gets SIGTERM sends what it has, and ends without an error."""
    assert steady.status == 0, steady.log_text
