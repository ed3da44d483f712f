"""How a request looks on the wire. Each test's sentence is the specification's, with its level first.

Sources: https://prometheus.io/docs/specs/prw/remote_write_spec/ and …/remote_write_spec_2_0/; scenarios as in
https://github.com/prometheus/compliance (remotewrite/sender).
"""

from __future__ import annotations

import cramjam
import pytest

from tests.rig.compliance import MESSAGES, Run, Write

pytestmark = pytest.mark.slow

VERSIONS = {"v1": "0.1.0", "v2": "2.0.0"}
TYPES = {"v1": "application/x-protobuf", "v2": f"application/x-protobuf;proto={MESSAGES['v2']}"}


def test_method(writes: list[Write]) -> None:
    """MUST: the message is sent in the body of an HTTP POST request."""
    assert {one.request.method for one in writes} == {"POST"}


def test_block_format(writes: list[Write]) -> None:
    """MUST: the message is compressed with Google's Snappy, in the block format."""
    for one in writes:
        assert len(bytes(cramjam.snappy.decompress_raw(one.body))) > 0


def test_not_framed(writes: list[Write]) -> None:
    """MUST NOT: the framed format of Snappy is not used."""
    for one in writes:
        assert not one.body.startswith(b"\xff\x06\x00\x00sNaPpY")
        with pytest.raises(cramjam.DecompressionError):
            cramjam.snappy.decompress(one.body)


def test_content_encoding(writes: list[Write]) -> None:
    """MUST: the header Content-Encoding is snappy."""
    assert all(one.header("Content-Encoding") == ["snappy"] for one in writes)


def test_content_type(writes: list[Write]) -> None:
    """MUST: the header Content-Type is application/x-protobuf, in 2.0 with the message's name as its parameter."""
    assert all(one.header("Content-Type") == [TYPES[one.protocol]] for one in writes)


def test_version_header(writes: list[Write]) -> None:
    """MUST: the header X-Prometheus-Remote-Write-Version is 0.1.0, and for a 2.0 message 2.0.0."""
    assert all(one.header("X-Prometheus-Remote-Write-Version") == [VERSIONS[one.protocol]] for one in writes)


def test_user_agent(writes: list[Write]) -> None:
    """MUST: the header User-Agent names the sender and its version, as RFC 9110 has it."""
    for one in writes:
        (agent,) = one.header("User-Agent")
        name, slash, version = agent.partition("/")
        assert name
        assert slash
        assert version[0].isdigit()


def test_custom_headers(writes: list[Write]) -> None:
    """MAY: senders allow users to send custom headers."""
    assert all(one.header("X-Tenant") == ["a b"] for one in writes)


def test_length(writes: list[Write]) -> None:
    """MUST: an HTTP/1.1 request says how long its body is."""
    assert all(one.header("Content-Length") == [str(len(one.body))] for one in writes)


def test_first_attempts_say_nothing_of_retries(writes: list[Write]) -> None:
    """MUST NOT: what was accepted is not sent again, so that no request is an attempt of a former one."""
    assert not any(one.header("Retry-Attempt") for one in writes)
    bodies = [one.body for one in writes if one.series]  # metadata is sent again, every send_interval
    assert len(set(bodies)) == len(bodies)


def test_message(writes: list[Write]) -> None:
    """MUST: the body is a message of the protocol's schema: it has no field that the schema does not know."""
    for one in writes:
        known = type(one.message)()
        known.CopyFrom(one.message)
        known.DiscardUnknownFields()
        assert known == one.message
        assert known.ByteSize() == one.message.ByteSize()


def test_no_empty_requests(writes: list[Write]) -> None:
    """SHOULD: a request carries something."""
    for one in writes:
        assert one.series or one.message.metadata


def test_reserved_fields(v1: list[Write]) -> None:
    """MUST NOT: field 2 of a 1.0 message is Cortex's, and unused here."""
    for one in v1:
        assert {field.number for field, _ in one.message.ListFields()} <= {1, 3}


def test_ended_well(steady: Run) -> None:
    """SHOULD: a sender that gets SIGTERM sends what it has, and ends without an error."""
    assert steady.status == 0, steady.log_text
