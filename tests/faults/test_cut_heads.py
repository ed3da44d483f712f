"""An answer that breaks off within its head is a failure for a receiver, for every operation of S3 and for boto3: never
an empty list, an empty object or a word about what the other side can do. That our transport calls it a broken
connection, whichever way it came, is in tests/http/test_cut_answers.py; what each other reader makes of a broken
connection is in its own tests."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from botocore.exceptions import ResponseStreamingError

from lambda_remote_write.aws.s3 import S3
from lambda_remote_write.dependencies import Dependencies, boto3_session
from lambda_remote_write.store import StoreError
from sandbox.amp import Receiver
from sandbox.s3 import ObjectStore
from sandbox.server import Answer, Fault, LoopbackServer
from tests.rig.clock import soon
from tests.rig.delivery import Clock, no_session, rig
from tests.rig.discovery import ENVIRONMENT

pytestmark = pytest.mark.slow  # every read is cut once

LINES = [pytest.param(1, id="after the status line"), pytest.param(2, id="after a header")]


# --- Receivers --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("lines", LINES)
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


# --- S3 ---------------------------------------------------------------------------------------------------------------


@pytest.fixture
def bucket() -> Iterator[ObjectStore]:
    with ObjectStore(auth=None) as made:
        made.put("k", b"content")
        yield made


@pytest.fixture
def objects(bucket: ObjectStore) -> Iterator[S3]:
    dependencies = Dependencies({**ENVIRONMENT, "AWS_ENDPOINT_URL_S3": bucket.base_url}, session=no_session)
    yield dependencies.objects
    dependencies.transport.close()


OPERATIONS: dict[str, Callable[[S3], object]] = {
    "get": lambda s3: s3.get("spool", "k", soon()),
    "get if changed": lambda s3: s3.get_changed("spool", "k", '"x"', soon(), 100),
    "get a version": lambda s3: s3.get_version("spool", "k", "1", soon(), 100),
    "head": lambda s3: s3.head("spool", "k", soon()),
    "get a range": lambda s3: s3.get_range("spool", "k", 2, 3, "", soon()),
    "get a range behind the end": lambda s3: s3.get_range("spool", "k", 20, 3, "", soon()),
    "list": lambda s3: s3.list("spool", "", soon()),
    "list the first": lambda s3: s3.first("spool", "", soon(), 10),
    "folders": lambda s3: s3.folders("spool", "", soon()),
    "put": lambda s3: s3.put("spool", "k", b"new", soon()),
    "put a new one": lambda s3: s3.put("spool", "other", b"new", soon(), ""),
    "delete": lambda s3: s3.delete("spool", "k", soon()),
    "delete a missing one": lambda s3: s3.delete("spool", "other", soon(), '"x"'),
}


@pytest.mark.parametrize("lines", LINES)
@pytest.mark.parametrize("act", OPERATIONS.values(), ids=list(OPERATIONS))
def test_no_operation_of_s3_is_done(bucket: ObjectStore, objects: S3, act: Callable[[S3], object], lines: int) -> None:
    """Each is a StoreError: neither an empty object nor an empty list, neither written nor gone."""
    bucket.always("*", Fault.cut_head(lines))
    with pytest.raises(StoreError, match=r"s3://spool.*the connection broke"):
        act(objects)


# --- AWS's own client -------------------------------------------------------------------------------------------------

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


@pytest.mark.slow
@pytest.mark.parametrize("aws_that_dies", [1, 2, 3], ids=lambda lines: f"{lines} lines", indirect=True)
@pytest.mark.parametrize("call", CALLS.values(), ids=list(CALLS))
def test_a_call_of_boto3_fails(aws_that_dies: LoopbackServer, call: Callable[[Any], object]) -> None:
    """botocore alone gives an empty answer, which says that there are no tasks or that a secret has no text."""
    with pytest.raises(ResponseStreamingError, match="the connection broke"):
        call(boto3_session("", "eu-west-1"))
