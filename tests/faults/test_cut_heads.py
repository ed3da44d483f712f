"""An answer that breaks off within its head is a failure for a receiver and for boto3: never an empty list or a word
about what the other side can do. That our transport calls it a broken connection, whichever way it came, is in
tests/http/test_cut_answers.py; what each other reader makes of a broken connection is in its own tests."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from botocore.exceptions import ResponseStreamingError

from lambda_remote_write.dependencies import boto3_session
from sandbox.amp import Receiver
from sandbox.server import Answer, Fault, LoopbackServer
from tests.rig.delivery import Clock, rig
from tests.rig.discovery import ENVIRONMENT

pytestmark = pytest.mark.slow  # every read is cut once


@pytest.mark.parametrize("lines", [1, 2], ids=["after the status line", "after a header"])
def test_a_receiver_of_2_0_still_gets_2_0(lines: int) -> None:
    """The request is sent again, and nothing is said of the receiver. The first time it was stored, too."""
    clock, message = Clock(), "io.prometheus.write.v2.Request"
    with Receiver(auth=None, now=clock.time) as receiver:
        receiver.script(Fault.cut_head(lines))
        with rig(receiver.url, clock=clock, protobuf_message=message, sigv4=None) as one:
            delivery = one.deliver(one.points(times=2))
            assert (delivery.collected, delivery.accepted, delivery.warnings) == (4, 4, [])
            assert one.endpoint.client.version == 2
        versions = [record.headers["X-Prometheus-Remote-Write-Version"] for record in receiver.requests]
        assert versions == ["2.0.0"] * 3


CALLS: dict[str, Callable[[Any], object]] = {
    "ecs": lambda session: session.client("ecs").list_tasks(cluster="c"),
    "ec2": lambda session: session.client("ec2").describe_instances(),
    "ssm": lambda session: session.client("ssm").get_parameter(Name="/n"),
    "secretsmanager": lambda session: session.client("secretsmanager").get_secret_value(SecretId="s"),
    "sts": lambda session: session.client("sts").assume_role(
        RoleArn="arn:aws:iam::123456789012:role/r", RoleSessionName="ours"
    ),
}


@pytest.fixture
def aws_that_dies(monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> Iterator[LoopbackServer]:
    """What the AWS services are for boto3 here. Its own retries are a session's and no part of this."""
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, ENVIRONMENT[name])
    with LoopbackServer(lambda _: Answer.json({"taskArns": []}, headers={"X-A": "b"})) as server:
        server.plan = lambda method, path: Fault.cut_head(request.param)
        monkeypatch.setenv("AWS_ENDPOINT_URL", server.base_url)
        yield server


@pytest.mark.parametrize("aws_that_dies", [1, 2, 3], ids=lambda lines: f"{lines} lines", indirect=True)
@pytest.mark.parametrize("call", CALLS.values(), ids=list(CALLS))
def test_a_call_of_boto3_fails(aws_that_dies: LoopbackServer, call: Callable[[Any], object]) -> None:
    """botocore alone gives an empty answer, which says that there are no tasks or that a secret has no text."""
    with pytest.raises(ResponseStreamingError, match="the connection broke"):
        call(boto3_session("", "eu-west-1"))
