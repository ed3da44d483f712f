"""A deployed stack in moto, as the commands of a runbook find it: outputs, alarms, log, queue, bucket, executions."""

from __future__ import annotations

import io
import json
import re
import shlex
import time
import zipfile
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import Any
from urllib.parse import urlsplit
from wsgiref.types import StartResponse, WSGIEnvironment

from botocore.model import OperationModel
from botocore.session import get_session
from botocore.validate import ParamValidator
from moto.core.models import DEFAULT_ACCOUNT_ID
from moto.stepfunctions.models import stepfunctions_backends

from tests.rig.aws import REGION, Aws
from tests.rig.stack import Stack

NAME = "metrics"
Invoke = Callable[[dict[str, Any]], Any]

_QUOTA = {"QuotaCode": "L-5A151448", "QuotaName": "Active series per workspace", "Value": 10_000_000.0}
_CONFIGURATION = {"outOfOrderTimeWindowInSeconds": 60, "status": {"statusCode": "ACTIVE"}}
# Operations that moto lacks, by service. A request is checked against the service's model, and gets this answer.
MISSING: Mapping[tuple[str, str], Mapping[str, Any]] = {
    ("service-quotas", "GetServiceQuota"): {"Quota": _QUOTA},
    ("service-quotas", "GetAWSDefaultServiceQuota"): {"Quota": _QUOTA},
    ("service-quotas", "RequestServiceQuotaIncrease"): {"RequestedQuota": {"Id": "1", "Status": "PENDING"}},
    ("amp", "DescribeWorkspaceConfiguration"): {"workspaceConfiguration": _CONFIGURATION},
    ("amp", "UpdateWorkspaceConfiguration"): {"status": {"statusCode": "UPDATING"}},
}


class StackInAws(Aws):
    """A context. `invoke` answers for OperatorFunction once it is set; `bucket`, `outputs` are known after `deploy`."""

    invoke: Invoke

    def deploy(self, stack: Stack) -> None:
        """Makes what the runbooks' commands ask for, with the outputs and alarms that the template has."""
        self.bucket = f"{NAME}-spoolbucket-1a2b"
        self.client("s3").create_bucket(Bucket=self.bucket, CreateBucketConfiguration={"LocationConstraint": REGION})
        made = self.client("sqs").create_queue(QueueName=f"{NAME}-FailureQueue-1A2B")["QueueUrl"]
        self.queue = f"{self.url}{urlsplit(made).path}"  # where the command line sends what is for this queue
        self.workspace = self.client("amp").create_workspace(alias="lambda-remote-write")["workspaceId"]
        self.machine = self._state_machine()
        for name in ("PusherFunction", "OperatorFunction"):
            self._function(name)
        for log in ("pusher", "operator"):
            self.client("logs").create_log_group(logGroupName=_log_group(log))
            self.client("logs").create_log_stream(logGroupName=_log_group(log), logStreamName="2026/12/01/[$LATEST]1")
        self._schedule()
        self._outputs(stack)
        for name, alarm in stack.of_type("AWS::CloudWatch::Alarm").items():
            self._alarm(name, alarm)

    def log(self, name: str, lines: Sequence[str]) -> None:
        """Writes lines of just now into the log of the pusher or the operator."""
        now_ms = int(time.time() * 1000)
        events = [{"timestamp": now_ms - len(lines) + index, "message": line} for index, line in enumerate(lines)]
        client, group = self.client("logs"), _log_group(name)
        client.put_log_events(logGroupName=group, logStreamName="2026/12/01/[$LATEST]1", logEvents=events)

    def execution(self, name: str, status: str, given: Mapping[str, Any]) -> None:
        """An execution of the state machine that ended so."""
        client = self.client("stepfunctions")
        arn = client.start_execution(stateMachineArn=self.machine, name=name, input=json.dumps(given))["executionArn"]
        machine = stepfunctions_backends[DEFAULT_ACCOUNT_ID][REGION].describe_state_machine(self.machine)
        (execution,) = (one for one in machine.executions if one.execution_arn == arn)
        execution.status = status

    def metric(self, namespace: str, name: str, **dimensions: str) -> None:
        """A datapoint of a minute ago: what a command asks up to ends with a whole second, which may be this one's."""
        pairs = [{"Name": key, "Value": value} for key, value in dimensions.items()]
        at = datetime.now(UTC) - timedelta(minutes=1)
        data = {"MetricName": name, "Dimensions": pairs, "Value": 7.0, "Timestamp": at}
        self.client("cloudwatch").put_metric_data(Namespace=namespace, MetricData=[data])

    def summary(self, name: str, summary: Mapping[str, Any]) -> None:
        """What an execution wrote into the bucket."""
        self.client("s3").put_object(Bucket=self.bucket, Key=f"backfill/{name}.json", Body=json.dumps(summary).encode())

    def _state_machine(self) -> str:
        states = {"StartAt": "Begin", "States": {"Begin": {"Type": "Pass", "End": True}}}
        role = f"arn:aws:iam::{DEFAULT_ACCOUNT_ID}:role/backfill"
        made = self.client("stepfunctions").create_state_machine(
            name=f"{NAME}-BackfillStateMachine-1A2B", definition=json.dumps(states), roleArn=role
        )
        return str(made["stateMachineArn"])

    def _function(self, name: str) -> None:
        trust = {"Version": "2012-10-17", "Statement": []}
        role = self.client("iam").create_role(RoleName=f"{NAME}-{name}", AssumeRolePolicyDocument=json.dumps(trust))
        variables = {"PUSHER_SPOOL": f"s3://{self.bucket}", "PUSHER_WORKSPACE": self.workspace}
        self.client("lambda").create_function(
            FunctionName=_function_name(name), Runtime="python3.13", Handler="app.handler", Role=role["Role"]["Arn"],
            Code={"ZipFile": _zip()}, Timeout=50, MemorySize=256, Environment={"Variables": variables},
        )  # fmt: skip

    def _schedule(self) -> None:
        arn = f"arn:aws:lambda:{REGION}:{DEFAULT_ACCOUNT_ID}:function:{_function_name('PusherFunction')}"
        self.client("scheduler").create_schedule(
            Name=f"{NAME}-PusherFunctionTick-1A2B", ScheduleExpression="rate(1 minute)",
            FlexibleTimeWindow={"Mode": "OFF"},
            Target={"Arn": arn, "RoleArn": f"arn:aws:iam::{DEFAULT_ACCOUNT_ID}:role/scheduler"},
        )  # fmt: skip

    def _outputs(self, stack: Stack) -> None:
        known = {
            "PusherFunctionName": _function_name("PusherFunction"),
            "OperatorFunctionName": _function_name("OperatorFunction"),
            "WorkspaceId": self.workspace,
            "FailureQueueUrl": self.queue,
            "SpoolBucketName": self.bucket,
            "BackfillStateMachineArn": self.machine,
            "PusherLogGroupName": _log_group("pusher"),
            "OperatorLogGroupName": _log_group("operator"),
        }
        outputs = {name: {"Value": known.get(name, "another")} for name in stack.outputs()}
        body = {"Resources": {"Topic": {"Type": "AWS::SNS::Topic"}}, "Outputs": outputs}
        self.client("cloudformation").create_stack(StackName=NAME, TemplateBody=json.dumps(body))

    def _alarm(self, name: str, alarm: Mapping[str, Any]) -> None:
        taken = {key: value for key, value in alarm.items() if key != "Tags"}
        for key in ("Threshold", "Period", "EvaluationPeriods"):
            if key in taken:
                taken[key] = int(taken[key])
        self.client("cloudwatch").put_metric_alarm(AlarmName=f"{NAME}-{name}-1A2B3C", **taken)
        self.client("cloudwatch").set_alarm_state(
            AlarmName=f"{NAME}-{name}-1A2B3C", StateValue="ALARM", StateReason="Threshold Crossed"
        )

    def _serve(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        body = environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
        environ["wsgi.input"] = io.BytesIO(body)
        operation = environ.get("HTTP_X_AMZ_TARGET", "").rpartition(".")[2]
        if missing := _missing(environ["REQUEST_METHOD"], environ["PATH_INFO"], operation, body):
            return _answer(start_response, *missing)
        if environ["PATH_INFO"].endswith("/invocations"):
            return _answer(start_response, 200, self.invoke(json.loads(body)))
        if operation == "FilterLogEvents":
            moto = b"".join(super()._serve(environ, lambda *_: lambda _: None))
            return _answer(start_response, 200, _filtered(json.loads(body).get("filterPattern", ""), json.loads(moto)))
        return super()._serve(environ, start_response)


def _missing(method: str, path: str, target: str, body: bytes) -> tuple[int, Mapping[str, Any]] | None:
    """The status and the answer to a request that moto cannot answer, if it is one."""
    for (service, name), answer in MISSING.items():
        model = _operation(service, name)
        uri = re.sub(r"\{(\w+)\}", r"(?P<\1>[^/]+)", str(model.http["requestUri"]))
        named = None if uri == "/" else re.fullmatch(uri, path)  # "/" has the operation in its target
        if target == name or (named and method == model.http["method"]):
            given = (json.loads(body) if body else {}) | (named.groupdict() if named else {})
            assert model.input_shape is not None
            found = ParamValidator().validate(given, model.input_shape)
            refusal = {"__type": "ValidationException", "message": found.generate_report()}
            return (400, refusal) if found.has_errors() else (200, answer)
    return None


@cache
def _operation(service: str, name: str) -> OperationModel:
    """Kept, because reading a service's model takes longer than a request."""
    return get_session().get_service_model(service).operation_model(name)


def _answer(start_response: StartResponse, status: int, value: Any) -> list[bytes]:
    body = json.dumps(value).encode()
    start_response(f"{status} OK", [("Content-Type", "application/x-amz-json-1.1"), ("Content-Length", str(len(body)))])
    return [body]


def _filtered(pattern: str, found: dict[str, Any]) -> dict[str, Any]:
    """moto knows no filter pattern for JSON, and takes several terms for one text."""
    keeps = _pattern(pattern)
    return found | {"events": [one for one in found["events"] if keeps(one["message"])]}


def _pattern(text: str) -> Callable[[str], bool]:
    """`{ $.a.b = "c" }`, or terms of which one has to be there (`?a ?b`), or one term."""
    if selector := re.fullmatch(r'\{ \$\.([\w.]+) = "([^"]*)" \}', text):
        names, value = selector[1].split("."), selector[2]
        return lambda line: line.startswith("{") and _member(json.loads(line), names) == value
    terms = [term.lstrip("?") for term in shlex.split(text)]
    return lambda line: not terms or any(term in line for term in terms)


def _member(value: Any, names: Sequence[str]) -> Any:
    for name in names:
        value = value.get(name) if isinstance(value, dict) else None
    return value


def _log_group(name: str) -> str:
    return f"/aws/lambda/{NAME}/{name}"


def _function_name(name: str) -> str:
    return f"{NAME}-{name}-1A2B3C"


def _zip() -> bytes:
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as file:
        file.writestr("app.py", "def handler(event, context): pass\n")
    return content.getvalue()
