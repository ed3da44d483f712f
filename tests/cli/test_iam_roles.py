"""The printed policies at work: each example is pushed as a role with its policy, over moto, which looks up who asks,
and over the stand-in for AMP. Without one of its statements something is refused.

moto evaluates no conditions, knows `*` but not `?`, and looks at resources in S3 and STS only; for the other services
the resource is `*` here.
"""

from __future__ import annotations

import json
import re
import time
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import pytest

from lambda_remote_write.config.env_vars import read_env_vars
from lambda_remote_write.config.load import parse_config
from lambda_remote_write.dependencies import Dependencies
from lambda_remote_write.environment import Environment
from lambda_remote_write.push import push
from lambda_remote_write_cli.main import main
from sandbox.amp import ACTIONS, Receiver, SigV4
from sandbox.api import Api
from sandbox.server import Fault
from tests.rig.aws import Aws
from tests.rig.push import tick
from tests.rig.stack import ACCOUNT, ROOT

pytestmark = pytest.mark.slow  # moto answers slowly

REGION, BUCKET = "us-east-1", "spool-of-the-stack"  # the region that the stand-ins take
ANYONE = {"Effect": "Allow", "Principal": {"AWS": "*"}, "Action": "sts:AssumeRole"}
# A status in a text, not a JSON number that happens to be 403.
REFUSED = re.compile(
    r"\b403\b(?![,}\]])|AccessDenied|UnauthorizedOperation|not authorized|the role needs|does the role allow"
)
OF_LAMBDA = {"WriteLogs", "KeepFailedEvents"}  # what Lambda itself does with the role
EVERY = {"WriteSamples", "ReadSpool", "ListSpool", "WriteSpool"}
# The region of the stack, and the statements that are removed: those of every config from one of them.
EXAMPLES = {
    "json-api/config.yaml": ("us-east-1", {"ReadSecrets"}),
    "backfill/config.yaml": ("us-east-1", {"AskForNewestSamples"}),
    "node-exporter/prometheus.yml": ("us-east-1", EVERY),
    "ec2-discovery/prometheus.yml": ("ap-northeast-2", {"DiscoverInstances"}),
}


@dataclass
class Stage:
    """An example's config with stand-ins in the place of what it names, and a role to push it with."""

    aws: Aws
    api: Api
    receiver: Receiver
    monkeypatch: pytest.MonkeyPatch
    text: str

    @cached_property
    def config(self) -> str:
        text = re.sub(r"https://aps-workspaces\S+", self.receiver.url, self.text)
        text = re.sub(r"10\.0\.\d\.\d+:9100", "127.0.0.1:1", text)
        text = re.sub(r"region: [\w-]+", f"region: {REGION}", text).replace("https://api.example.com", self.api.url)
        if "remote_write:" not in text:
            text += f"\nremote_write: [{{url: '{self.receiver.url}', sigv4: {{region: {REGION}}}}}]\n"
        return text

    def push_as(self, statements: list[dict[str, Any]]) -> str:
        """What the reports of two runs say: while the receiver is down, and afterwards, each in an environment of its
        own, so that the second one reads what waits."""
        self._assume(statements)
        dependencies, reports = Dependencies(read_env_vars(), sleep=lambda _: None), []
        config = parse_config(self.config, "config.yaml", dependencies.env_vars)
        for fault in (Fault.status(503), None):
            self.receiver.always(fault)
            environment = Environment(config, dependencies, gap_backfill=True)
            reports.append(push(environment, tick(environment), time.monotonic() + 8).as_dict())
        dependencies.transport.close()
        return json.dumps(reports)

    def _assume(self, statements: list[dict[str, Any]]) -> None:
        self.aws.enforce(float("inf"))
        self.aws.reset()
        self._furnish()
        iam, role = self.aws.client("iam"), "pusher"
        trust = json.dumps({"Version": "2012-10-17", "Statement": [ANYONE]})
        arn = iam.create_role(RoleName=role, AssumeRolePolicyDocument=trust)["Role"]["Arn"]
        document = {"Version": "2012-10-17", "Statement": [evaluated(one) for one in statements]}
        iam.put_role_policy(RoleName=role, PolicyName="printed", PolicyDocument=json.dumps(document))
        keys = self.aws.client("sts").assume_role(RoleArn=arn, RoleSessionName="push")["Credentials"]
        self.monkeypatch.setenv("AWS_ACCESS_KEY_ID", keys["AccessKeyId"])
        self.monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", keys["SecretAccessKey"])
        self.monkeypatch.setenv("AWS_SESSION_TOKEN", keys["SessionToken"])
        self.receiver.auth = SigV4(REGION, keys["AccessKeyId"], keys["SecretAccessKey"], keys["SessionToken"])
        granted = {action for one in statements for action in listed(one["Action"])}
        self.receiver.denied = frozenset(one for of in ACTIONS.values() for one in of.values()) - granted
        self.aws.enforce(0)

    def _furnish(self) -> None:
        self.aws.client("s3").create_bucket(
            Bucket=BUCKET, CreateBucketConfiguration={"LocationConstraint": "eu-west-1"}
        )
        secret = {"Name": "usage-api", "SecretString": '{"token": "t"}'}
        self.aws.client_in("secretsmanager", REGION).create_secret(**secret)


def listed(value: Any) -> list[str]:
    return [value] if isinstance(value, str) else list(value)


def evaluated(statement: dict[str, Any]) -> dict[str, Any]:
    """The statement as far as moto can evaluate it."""
    of_bucket = [one.replace("SPOOL-BUCKET", BUCKET) for one in listed(statement["Resource"])]
    kept = {key: value for key, value in statement.items() if key != "Condition"}
    return kept | {"Resource": of_bucket if ":s3:::" in of_bucket[0] else "*"}


@pytest.fixture(scope="module")
def aws() -> Iterator[Aws]:
    with Aws() as served:
        yield served
        served.enforce(float("inf"))


def printed(
    example: str, region: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> list[dict[str, Any]]:
    monkeypatch.setenv("AWS_REGION", region)
    assert main(["iam", str(ROOT / "examples" / example), "--json", "--account", ACCOUNT]) == 0
    statements: list[dict[str, Any]] = json.loads(capsys.readouterr().out)["policy"]["Statement"]
    return statements


@pytest.mark.parametrize(
    ("example", "region", "removed"), [(name, *one) for name, one in EXAMPLES.items()], ids=EXAMPLES
)
def test_an_example_does_nothing_that_its_policy_does_not_allow_and_needs_all_of_it(
    aws: Aws, api: Api, receiver: Receiver, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch,
    example: str, region: str, removed: set[str],
) -> None:  # fmt: skip
    for name in ("AWS_PROFILE", "AWS_DEFAULT_REGION", "PUSHER_WORKSPACE", "AWS_SESSION_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    statements = printed(example, region, capsys, monkeypatch)
    for name, value in (("AWS_ENDPOINT_URL", aws.url), ("AWS_REGION", REGION), ("PUSHER_SPOOL", f"s3://{BUCKET}")):
        monkeypatch.setenv(name, value)
    stage = Stage(aws, api, receiver, monkeypatch, (ROOT / "examples" / example).read_text())
    assert REFUSED.findall(stage.push_as(statements)) == []
    assert {one["Sid"] for one in statements} == EVERY | removed | OF_LAMBDA
    for sid in removed:
        report = stage.push_as([one for one in statements if one["Sid"] != sid])
        assert REFUSED.search(report), sid


@pytest.mark.parametrize(
    ("config", "region", "said"),
    [
        ({"sigv4": {"region": REGION, "role_arn": "x"}}, REGION, "workspace/ws-1"),
        ({"url": "https://r", "authorization": {"credentials_ref": "ssm:/a:3"}}, REGION, ':parameter/a"'),
        ({"sigv4": {"region": REGION}}, "eu west", "AWS_REGION: 'eu west' is not an AWS region"),
    ],
    ids=["a role that is no ARN", "a version of a parameter", "a region that is none"],
)
def test_odd_names_end_in_a_policy_or_a_sentence(
    config: dict[str, Any], region: str, said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.setenv("AWS_REGION", region)
    url = f"https://aps-workspaces.{REGION}.amazonaws.com/workspaces/ws-1/api/v1/remote_write"
    (tmp_path / "c.yaml").write_text(json.dumps({"json_configs": [], "remote_write": [{"url": url, **config}]}))
    main(["iam", str(tmp_path / "c.yaml"), "--json", "--account", ACCOUNT])
    assert said in capsys.readouterr().out
