"""A deployed stack whose runs have gone wrong, and a shell for the commands of its runbooks."""

from __future__ import annotations

import importlib.util
import os
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from sandbox.amp import Receiver
from sandbox.api import Api
from tests.rig.clock import StandingClock
from tests.rig.command_line import SOURCES, aws_program, pusher_program
from tests.rig.delivery import ENVIRONMENT
from tests.rig.faulty_function import NOT_ALLOWED, OPERATOR, REPORT, SERIES_LIMIT, TIMED_OUT, FaultyFunction
from tests.rig.needs import Peer, Require
from tests.rig.runbooks import Shell, run_after_setup
from tests.rig.stack import Stack, load_template, translate
from tests.rig.stack_in_aws import StackInAws

TOPIC = "arn:aws:sns:eu-west-1:123456789012:alerts"
EVERY_ALARM = {"AlarmTopicArn": TOPIC, "DiscardedSamplesAlarm": "yes"}


@pytest.fixture(scope="session")
def full_stack() -> Stack:
    """The template with every alarm."""
    template = load_template()
    return Stack(template, translate(template), **EVERY_ALARM)


@pytest.fixture
def programs(require: Require, peer: Peer, tmp_path: Path) -> Path:
    """A folder with `aws` and `pusher`."""
    require(importlib.util.find_spec("awscli"), "awscli")
    peer("jq")
    folder = tmp_path / "bin"
    folder.mkdir()
    (folder / "aws").symlink_to(aws_program())
    (folder / "pusher").symlink_to(pusher_program())
    return folder


@pytest.fixture(scope="session")
def cloud() -> Iterator[StackInAws]:
    """One for all pages, and emptied for each: moto takes seconds to load each service."""
    with StackInAws() as aws:
        yield aws


@pytest.fixture
def world(
    cloud: StackInAws, full_stack: Stack, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> Iterator[tuple[StackInAws, FaultyFunction]]:
    """A run was refused, one found the receiver closed to it, so that samples wait; a metric has failed in the last."""
    aws = cloud
    aws.reset()
    with ExitStack() as opened:
        clock = StandingClock(int(time.time() * 1000) - 240_000)
        api, amp = (opened.enter_context(one) for one in (Api(now=clock.time), Receiver(now=clock.time)))
        aws.deploy(full_stack)
        function = FaultyFunction(tmp_path, api, amp, clock, capsys, spool=f"s3://{aws.bucket}")
        function.env_vars = {"AWS_ENDPOINT_URL_S3": aws.url, "AWS_REGION": "us-east-1"}
        aws.invoke = lambda event: function.app(OPERATOR).handle(event, None)
        yield aws, function


def happened(aws: StackInAws, function: FaultyFunction) -> None:
    """What the log, the spool, the queue and the state machine then have."""
    lines = [TIMED_OUT, REPORT]
    function.amp.always(SERIES_LIMIT)
    lines += function.lines({})
    function.value = "valeur"
    function.amp.always(NOT_ALLOWED)
    lines += function.lines({})
    lines += function.lines_after_edit("json_configs: 7\n")
    aws.log("pusher", lines)
    aws.log("operator", ['{"timestamp": "now", "backfill": {"action": "backfill", "parts": 3, "windows": 9}}'])
    function.amp.always(None)
    given = {"job": "usage", "start": "-2h"}
    last = {"parts": 3, "windows": 9, "stopped": "the API fails", "endpoints": [{"endpoint": "amp", "accepted": 10}]}
    failure = {"error": "BackfillStopped", "cause": "the API fails", "event": given, "last": last}
    aws.execution("june", "FAILED", given)
    aws.summary("june", failure)
    aws.summary("june-again", {"done": True, "stopped": ""})
    aws.execution("july", "TIMED_OUT", given)
    aws.metric("AWS/Lambda", "Invocations", FunctionName="metrics-PusherFunction-1A2B3C")
    aws.metric("AWS/Prometheus", "DiscardedSamples", AnyName="any value")
    message = '{"requestContext": {"condition": "RetriesExhausted"}, "requestPayload": {"action": "plan"}}'
    aws.client("sqs").send_message(QueueUrl=aws.queue, MessageBody=message)


@pytest.fixture
def shell(world: tuple[StackInAws, FaultyFunction], programs: Path, tmp_path: Path) -> Shell:
    """Runs the commands in bash, after those of the index, in the folder of the config."""
    aws, function = world
    happened(aws, function)
    environment = {
        **ENVIRONMENT, "PATH": f"{programs}{os.pathsep}{os.environ['PATH']}", "COLUMNS": "200", "HOME": str(tmp_path),
        "PYTHONPATH": os.pathsep.join([SOURCES["PYTHONPATH"], *sys.path]), "AWS_ENDPOINT_URL": aws.url,
        "AWS_MAX_ATTEMPTS": "1",
    }  # fmt: skip

    return lambda commands: run_after_setup("bash", commands, tmp_path, environment)
