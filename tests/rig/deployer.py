"""`make deploy` against moto, with a stand-in for `sam` and a user who types what a test says."""

from __future__ import annotations

import io
import json
import os
import time
import zipfile
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import nullcontext, redirect_stdout
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any
from wsgiref.types import StartResponse, WSGIEnvironment

import boto3
from moto.cloudformation.models import Event, Stack, cloudformation_backends
from moto.core.models import DEFAULT_ACCOUNT_ID

from deploy.__main__ import deploy
from deploy.errors import DeployError
from deploy.shell import Shell
from lambda_remote_write_cli.main import main
from tests.rig.aws import REGION, Aws
from tests.rig.sam import OUTPUTS, sam

LOG = OUTPUTS["PusherLogGroupName"]
SENTENCE = "3 samples accepted"
CONFIG = """\
json_configs:
  - job_name: usage
    url: {url}/usage
    metrics: [{{name: requests_total, records: "[]", value: apiRequestCount, labels: {{projectCode: projectCode}}}}]
remote_write: [{{url: "{receiver}"}}]
"""


class AwsForDeployers(Aws):
    """With the one operation of Lambda that `pusher doctor` asks for and moto lacks."""

    def _serve(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        if not environ["PATH_INFO"].endswith("/account-settings"):
            return super()._serve(environ, start_response)
        limits = {"ConcurrentExecutions": 1000, "UnreservedConcurrentExecutions": 1000}
        start_response("200 OK", [("Content-Type", "application/json")])
        return [json.dumps({"AccountLimit": limits}).encode()]


@cache
def shared_session() -> Any:
    """One for all: to load the models of services takes longer than a deployment."""
    return boto3.Session("testing", "testing", region_name=REGION)


@dataclass(frozen=True, slots=True)
class Done:
    """What a deployment printed itself, and its exit status; `error` is the sentence that it ended with."""

    status: int
    lines: list[str]
    error: str = ""

    @property
    def text(self) -> str:
        return "\n".join(self.lines)


@dataclass(slots=True)
class Deployer:
    """`run` takes the variables of make's command line. `types` answers a question instead of `answer`, and
    `while_it_waits` is called when time passes."""

    aws: Aws
    folder: Path
    is_terminal: bool = True
    answer: str = "y"
    types: Callable[[], str] | None = None
    now: float = field(default_factory=time.time)
    while_it_waits: Callable[[], None] = lambda: None
    session: Callable[[], Any] = shared_session
    env_vars: dict[str, str] = field(default_factory=dict)
    questions: list[str] = field(default_factory=list)

    def run(self, **variables: str) -> Done:
        lines = list[str]()
        (self.folder / "answer").write_text(self.answer)
        shell = Shell(
            self.is_terminal,
            say=lines.append,
            ask=self._asked,
            now=lambda: self.now,
            sleep=self._sleep,
            run=self._program,
            session=self.session,
            build=self.folder / "build",
        )
        try:
            status = deploy(self._environment() | variables, shell)
        except DeployError as error:
            return Done(error.status, lines, str(error))
        return Done(status, lines)

    @property
    def calls(self) -> list[dict[str, Any]]:
        """Those of sam, in order."""
        file = self.folder / "calls"
        return [json.loads(line) for line in file.read_text().splitlines()] if file.exists() else []

    @property
    def commands(self) -> list[str]:
        return [call["command"] for call in self.calls]

    def fails(self, command: str) -> None:
        (self.folder / "fails").write_text(command)

    def stack(self, name: str = "metrics") -> Stack:
        """As moto has it."""
        found: Stack = cloudformation_backends[DEFAULT_ACCOUNT_ID][REGION].get_stack(name)
        return found

    def parameters(self, name: str = "metrics") -> Mapping[str, str]:
        (found,) = self.aws.client("cloudformation").describe_stacks(StackName=name)["Stacks"]
        return {one["ParameterKey"]: one["ParameterValue"] for one in found["Parameters"]}

    def happened(self, resource: str, kind: str, status: str, reason: str = "") -> None:
        """One of the stack's events, of now."""
        stack = self.stack()
        stack.events.append(Event(stack.stack_id, stack.name, resource, "", kind, status, reason, None))

    def prepare(self) -> None:
        """Makes what a stack's outputs name, for `pusher doctor`."""
        self.logs()
        place = {"LocationConstraint": REGION}
        self.aws.client("s3").create_bucket(Bucket=OUTPUTS["SpoolBucketName"], CreateBucketConfiguration=place)
        trust = json.dumps({"Version": "2012-10-17", "Statement": []})
        role = self.aws.client("iam").create_role(RoleName="metrics-PusherRole", AssumeRolePolicyDocument=trust)
        code = io.BytesIO()
        with zipfile.ZipFile(code, "w") as file:
            file.writestr("app.py", "")
        self.aws.client("lambda").create_function(
            FunctionName=OUTPUTS["PusherFunctionName"], Runtime="python3.13", Handler="app.handler",
            Role=role["Role"]["Arn"], Code={"ZipFile": code.getvalue()},
        )  # fmt: skip

    def logs(self, *messages: str) -> None:
        """The function has written these lines just now."""
        client = self.aws.client("logs")
        if not client.describe_log_groups(logGroupNamePrefix=LOG)["logGroups"]:
            client.create_log_group(logGroupName=LOG)
            client.create_log_stream(logGroupName=LOG, logStreamName="1")
        events = [{"timestamp": int(self.now * 1000), "message": message} for message in messages]
        if events:
            client.put_log_events(logGroupName=LOG, logStreamName="1", logEvents=events)

    def _asked(self, question: str) -> str:
        self.questions.append(question)
        return self.types() if self.types else self.answer

    def _sleep(self, seconds: float) -> None:
        self.now += seconds
        self.while_it_waits()

    def _program(self, command: Sequence[str], env_vars: Mapping[str, str], is_captured: bool) -> tuple[int, str]:
        """In this process, where it begins in milliseconds."""
        printed = io.StringIO()
        before = dict(os.environ)
        os.environ.clear()
        os.environ.update(env_vars)
        try:
            with redirect_stdout(printed) if is_captured else nullcontext():
                status = (
                    main(command[3:])
                    if "lambda_remote_write_cli" in command
                    else sam(command[2:], self.folder, self.aws.client)
                )
        except SystemExit as end:  # argparse's
            status = int(end.code or 0)
        finally:
            os.environ.clear()
            os.environ.update(before)
        return status, printed.getvalue()

    def _environment(self) -> dict[str, str]:
        return {**os.environ, "SAM": "sam", "STACK": "metrics", **self.env_vars}


def report_line(level: str = "INFO", message: str = SENTENCE) -> str:
    return json.dumps({"level": level, "message": message, "report": {"action": "push"}})
