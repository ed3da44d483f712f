"""How a request looks on the wire. Each test's sentence is the specification's, with its level first.

Sources: https://prometheus.io/docs/specs/prw/remote_write_spec/ and …/remote_write_spec_2_0/; scenarios as in
https://github.com/prometheus/compliance (remotewrite/sender).
"""

from __future__ import annotations

import pytest

from tests.rig.compliance import PROTOCOLS, Run, Write


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


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_ended_well(steady: Run, protocol: str) -> None:
    """SHOULD: a sender that is told to stop sends what it has, and ends without an error."""
    assert len(steady.writes[protocol]) > 0
    assert steady.status == 0, steady.detail
