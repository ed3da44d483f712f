"""The state machine as Step Functions would run it: moto interprets the definition, S3 is moto's, and its Lambda tasks
invoke a Python callable through a real socket.

The interpreter takes JSONPath; for JSONata it needs a Java machine. It differs from AWS in one thing that matters here:
it hands a Body for S3 on as it is, where Step Functions writes JSON. `_as_json` does that.
"""

from __future__ import annotations

import json
import os
import re
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from unittest.mock import patch
from urllib.parse import unquote

import boto3
from moto import mock_aws

from tests.rig.stack import ACCOUNT, REGION, ROOT, Stack

FUNCTION_ARN = f"arn:aws:lambda:{REGION}:{ACCOUNT}:function:operator"
BUCKET = "spool"
DEFINITION = "statemachine/backfill.asl.json"
DEADLINE_SECONDS = 60

Function = Callable[[Any], Any]


class Refused(Exception):
    """Lambda does not take the invocation: nothing runs. The code is that of its API, as TooManyRequestsException."""

    def __init__(self, code: str, status: int) -> None:
        super().__init__(code)
        self.code, self.status = code, status


class Killed(Exception):
    """The runtime ended the function, as Sandbox.Timedout or Runtime.ExitError."""


@dataclass(frozen=True, slots=True)
class Execution:
    """How an execution ended. `objects` is what the bucket then holds: key to bytes."""

    status: str
    output: Any
    error: str | None
    cause: str | None
    objects: Mapping[str, bytes]

    def document(self, key: str) -> Any:
        return json.loads(self.objects[key])


def definition_of(stack: Stack) -> str:
    """The definition with the stack's substitutions; the function and the bucket are those that `execute` has."""
    (machine,) = stack.of_type("AWS::StepFunctions::StateMachine").values()
    here = {"<OperatorFunction.Arn>": FUNCTION_ARN, "<SpoolBucket>": BUCKET}
    given = {name: here.get(value, str(value)) for name, value in machine["DefinitionSubstitutions"].items()}
    return re.sub(r"\$\{(\w+)\}", lambda found: given[found[1]], (ROOT / DEFINITION).read_text())


def hurried(definition: str) -> str:
    """The same with retries that wait for a second at most."""
    machine = json.loads(definition)
    for state in machine["States"].values():
        for retry in state.get("Retry", []):
            retry |= {"IntervalSeconds": 1, "BackoffRate": 1}
    return json.dumps(machine)


def execute(
    definition: str,
    function: Function,
    event: Any,
    *,
    name: str = "by-hand",
    objects: Mapping[str, bytes] | None = None,
) -> Execution:
    """Runs the definition to its end, with what the bucket holds before.

    `function` is called with each payload, in the server's threads. What it raises is the function's error, named by
    its class, but for Refused and Killed. Whatever it asks of AWS by itself is answered by moto as well.
    """
    with mock_aws(config={"stepfunctions": {"execute_state_machine": True}}), _lambda(function) as url:
        boto3.setup_default_session(region_name=REGION)
        assert boto3.DEFAULT_SESSION is not None
        boto3.DEFAULT_SESSION.events.register("provide-client-params.s3.PutObject", _as_json)
        s3 = boto3.client("s3")
        s3.create_bucket(Bucket=BUCKET, CreateBucketConfiguration={"LocationConstraint": REGION})
        for key, body in (objects or {}).items():
            s3.put_object(Bucket=BUCKET, Key=key, Body=body)
        with patch.dict(os.environ, {"AWS_ENDPOINT_URL_LAMBDA": url}):
            ended = _run(definition, event, name)
        kept = [found["Key"] for found in s3.list_objects_v2(Bucket=BUCKET).get("Contents", [])]
        return Execution(
            status=ended["status"],
            output=json.loads(ended["output"]) if "output" in ended else None,
            error=ended.get("error"),
            cause=ended.get("cause"),
            objects={key: s3.get_object(Bucket=BUCKET, Key=key)["Body"].read() for key in kept},
        )


def _run(definition: str, event: Any, name: str) -> Mapping[str, Any]:
    client = boto3.client("stepfunctions")
    role = f"arn:aws:iam::{ACCOUNT}:role/backfill"
    machine = client.create_state_machine(name="backfill", definition=definition, roleArn=role)["stateMachineArn"]
    arn = client.start_execution(stateMachineArn=machine, name=name, input=json.dumps(event))["executionArn"]
    deadline = time.monotonic() + DEADLINE_SECONDS
    while (ended := client.describe_execution(executionArn=arn))["status"] == "RUNNING":
        assert time.monotonic() < deadline, "the execution does not end"
        time.sleep(0.02)
    return ended


def _as_json(params: dict[str, Any], **_: Any) -> None:
    """A document as Body becomes JSON, as in Step Functions; others use this session as well."""
    if isinstance(body := params.get("Body"), dict):
        params["Body"] = json.dumps(body).encode()


@contextmanager
def _lambda(function: Function) -> Iterator[str]:
    """Lambda's Invoke for one function, on a loopback port."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("Invoke", (_Invoke,), {"function": staticmethod(function)}))
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


class _Invoke(BaseHTTPRequestHandler):
    function: Function

    def do_POST(self) -> None:
        payload = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        if unquote(self.path) != f"/2015-03-31/functions/{FUNCTION_ARN}/invocations":
            self._answer(404, {"Message": f"no {self.path}"}, {"x-amzn-ErrorType": "ResourceNotFoundException"})
            return
        try:
            self._answer(200, self.function(payload))
        except Refused as refused:
            self._answer(refused.status, {"Message": "refused"}, {"x-amzn-ErrorType": refused.code})
        except Exception as error:
            kind = str(error) if isinstance(error, Killed) else type(error).__name__
            document = {"errorMessage": str(error), "errorType": kind, "stackTrace": []}
            self._answer(200, document, {"X-Amz-Function-Error": "Unhandled"})

    def _answer(self, status: int, document: Any, headers: Mapping[str, str] | None = None) -> None:
        body = json.dumps(document).encode()
        self.send_response(status)
        for name, value in {"Content-Length": str(len(body)), "x-amzn-RequestId": "1-2-3", **(headers or {})}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: Any) -> None:
        pass
