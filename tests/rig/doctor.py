"""A config before `pusher doctor`, in a world of moto's AWS, the stand-in for AMP and an API."""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any
from wsgiref.types import StartResponse, WSGIEnvironment

import pytest

from lambda_remote_write.config.env_vars import read_env_vars
from lambda_remote_write.dependencies import Dependencies
from lambda_remote_write_cli.command import Command
from lambda_remote_write_cli.doctor.command import COMMAND, checks_of, examination_of
from lambda_remote_write_cli.doctor.examination import Examination
from lambda_remote_write_cli.doctor.findings import Finding, run
from lambda_remote_write_cli.doctor.stack_description import StackDescription
from lambda_remote_write_cli.main import main, parser
from sandbox.amp import Receiver, SigV4
from sandbox.api import Api
from tests.rig.aws import Aws

REGION = "us-east-1"
KEYS = SigV4()


@dataclass
class Patient:
    """A config, and what `doctor` says of it."""

    config: Path
    aws: AwsWithLimit
    api: Api
    receiver: Receiver
    capsys: pytest.CaptureFixture[str]
    monkeypatch: pytest.MonkeyPatch
    ahead_ms: int = 0  # of this machine's clock
    status: int = field(default=-1, init=False)

    def write(self, **keys: Any) -> None:
        """JSON is YAML. The endpoint is the stand-in, unless `keys` say otherwise."""
        endpoint = {"name": "amp", "url": self.receiver.url, "sigv4": {"region": KEYS.region}}
        self.config.write_text(json.dumps({"json_configs": [], "remote_write": [endpoint], **keys}))

    def at(self, url: str) -> None:
        """AWS is at this address from now on."""
        self.monkeypatch.setenv("AWS_ENDPOINT_URL", url)

    def examination(self, *options: str) -> Examination:
        return examination_of(self._options(*options), self._dependencies())

    def look(self, start: str, *options: str, facts: StackDescription | None = None) -> dict[str, Finding]:
        """Runs only the checks whose names begin so, of a stack with these facts."""
        examination = self.examination(*options)
        examination = replace(examination, stack=facts) if facts else examination
        found = [check for check in checks_of(examination) if check.name.startswith(start)]
        return {one.check: one for one in run(found, time.monotonic() + 20)}

    def doctor(self, *options: str) -> dict[str, dict[str, str]]:
        """All its findings by check; `status` is then the exit status."""
        self.status = COMMAND.run(self._options(*options), self._dependencies())
        document = json.loads(self.capsys.readouterr().out)
        assert document["ok"] == (self.status == 0)
        return {one["check"]: one for one in document["checks"]}

    def _options(self, *options: str) -> argparse.Namespace:
        commands: dict[str, Command] = {"doctor": COMMAND}
        return parser(commands).parse_args(["doctor", str(self.config), "--json", "--timeout", "20", *options])

    def _dependencies(self) -> Dependencies:
        return Dependencies(read_env_vars(), lambda: int(time.time() * 1000) + self.ahead_ms)

    def text(self, *options: str) -> str:
        self.status = main(["doctor", str(self.config), "--timeout", "20", *options])
        return self.capsys.readouterr().out


class AwsWithLimit(Aws):
    """With GetAccountSettings of Lambda, which moto lacks; it is forbidden when `limit` is None."""

    limit: int | None = 1000

    def _serve(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        if "/account-settings" not in environ["PATH_INFO"]:
            return super()._serve(environ, start_response)
        headers = [("Content-Type", "application/json")]
        if self.limit is None:
            start_response("403 Forbidden", [*headers, ("x-amzn-ErrorType", "AccessDeniedException")])
            return [b"{}"]
        start_response("200 OK", headers)
        limit = {"ConcurrentExecutions": self.limit, "UnreservedConcurrentExecutions": self.limit}
        return [json.dumps({"AccountLimit": limit}).encode()]
