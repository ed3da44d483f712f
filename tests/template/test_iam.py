"""`pusher iam` against the template: rendered with the parameters that it prints, a role has the policy that it
prints."""

from __future__ import annotations

import json
import re
import shlex
from pathlib import Path
from typing import Any

import pytest

from lambda_remote_write_cli.doctor import command as doctor_command
from lambda_remote_write_cli.iam import command as iam_command
from lambda_remote_write_cli.main import main
from tests.rig.aws import Aws
from tests.rig.delivery import ENVIRONMENT
from tests.rig.grants import KEY, statements_of
from tests.rig.stack import ACCOUNT, PSEUDO, ROOT, Stack

EXAMPLES = [
    "json-api/config.yaml", "backfill/config.yaml", "node-exporter/prometheus.yml", "ec2-discovery/prometheus.yml",
    "convert/adot-collector.pusher.yaml", "convert/json-exporter.pusher.yaml", "convert/prometheus.yml",
]  # fmt: skip
HERE, WORKSPACE = "eu-west-1", "ws-12345678-1234-1234-1234-123456789012"
MANY = f"""
json_configs:
  - job_name: orders
    url: https://abc123.execute-api.eu-west-1.amazonaws.com/prod/orders
    sigv4: {{region: eu-west-1, service: execute-api}}
    metrics: [{{name: orders, value: n}}]
  - job_name: devices
    static_configs: [{{targets: [device]}}]
    basic_auth: {{username: admin, password_ref: "ssm:/devices/password"}}
    headers: {{X-Key: {{ref: "secretsmanager:arn:aws:secretsmanager:eu-west-1:{ACCOUNT}:secret:key-a1B2c3#k"}}}}
    metrics: [{{name: temperature, value: t}}]
scrape_configs:
  - job_name: listed
    file_sd_configs: [{{files: ["s3://lists/targets/a*.json", "s3://lists/targets/b.json", "s3://more/x.json"]}}]
    ec2_sd_configs: [{{region: eu-west-1, role_arn: "arn:aws:iam::210987654321:role/ec2-reader"}}]
  - job_name: tasks
    ecs_sd_configs: [{{region: eu-west-1}}]
remote_write:
  - workspace: {WORKSPACE}
  - {{workspace: ws-other, sigv4: {{region: us-east-1}}}}
  - {{workspace: ws-theirs, name: theirs, sigv4: {{role_arn: "arn:aws:iam::210987654321:role/writer"}}}}
"""
OWN_SPOOL = f"spool: {{location: s3://mine/pusher}}\nremote_write: [{{workspace: {WORKSPACE}}}]\njson_configs: []\n"
WITHOUT = "json_configs: []\n"  # the workspace is one that the stack makes


@pytest.fixture(autouse=True)
def nothing_of_this_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("PUSHER_WORKSPACE", "AWS_PROFILE", "AWS_ENDPOINT_URL"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("PUSHER_SPOOL", "s3://of-this-shell")  # not the stack's


def iam(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, config: Path | str, region: str, *more: str
) -> Any:
    monkeypatch.setenv("AWS_REGION", region)
    assert main(["iam", str(config), "--json", "--account", ACCOUNT, "--stack", "metrics", *more]) == 0
    return json.loads(capsys.readouterr().out)


def rendered(template: dict[str, Any], translated: dict[str, Any], region: str, parameters: dict[str, str]) -> Stack:
    class Here(Stack):
        pseudo = PSEUDO | {"AWS::Region": region}

    return Here(template, translated, **parameters)


def normalised(statements: list[dict[str, Any]], region: str) -> list[dict[str, Any]]:
    """In one order, single values as lists; what a stack names itself under the names that `pusher iam` prints."""
    names = {
        "<Workspace.Arn>": f"arn:aws:aps:{region}:{ACCOUNT}:workspace/WORKSPACE",
        "<SpoolBucket.Arn>": "arn:aws:s3:::SPOOL-BUCKET",
        "<FailureQueue.Arn>": f"arn:aws:sqs:{region}:{ACCOUNT}:FAILURE-QUEUE",
        "<PusherLogGroup.Arn>": f"arn:aws:logs:{region}:{ACCOUNT}:log-group:/aws/lambda/metrics/pusher:*",
        "<OperatorLogGroup.Arn>": f"arn:aws:logs:{region}:{ACCOUNT}:log-group:/aws/lambda/metrics/operator:*",
    }
    text = json.dumps(statements)
    for reference, name in names.items():
        text = text.replace(reference, name)
    found = json.loads(text)
    for one in found:
        for key in ("Action", "Resource"):
            one[key] = sorted([one[key]] if isinstance(one[key], str) else one[key])
    return sorted(found, key=lambda one: str(one["Sid"]))


def sids(statements: list[dict[str, Any]]) -> list[str]:
    return [one.get("Sid", "") for one in statements]


@pytest.mark.parametrize(("role", "of_template"), [("push", "PusherRole"), ("operator", "OperatorRole")])
@pytest.mark.parametrize("example", EXAMPLES)
def test_with_the_printed_parameters_the_role_of_an_example_is_the_printed_policy(
    template: dict[str, Any], translated: dict[str, Any], capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch, example: str, role: str, of_template: str,
) -> None:  # fmt: skip
    region = "us-east-1" if example.startswith("node-exporter") else "ap-northeast-2"
    found = iam(capsys, monkeypatch, ROOT / "examples" / example, region, "--role", role)
    stack = rendered(template, translated, region, found["parameters"])
    assert stack.broken_rules() == []
    assert normalised(found["policy"]["Statement"], region) == normalised(statements_of(stack, of_template), region)


def test_every_example_with_a_config_is_one_of_these() -> None:
    configs = {
        str(path.relative_to(ROOT / "examples"))
        for path in (ROOT / "examples").rglob("*.y*ml")
        if path.name not in ("alertmanager.yaml", "adot-collector.yaml", "json-exporter.yml")
    }
    assert configs == set(EXAMPLES)


@pytest.mark.parametrize("role", ["push", "operator"])
@pytest.mark.parametrize("text", [MANY, OWN_SPOOL, WITHOUT], ids=["much", "a spool of one's own", "nothing"])
def test_what_the_template_cannot_know_is_a_policy_of_its_own(
    template: dict[str, Any], translated: dict[str, Any], capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, text: str, role: str,
) -> None:  # fmt: skip
    """The template's role and that policy together are the printed one, with each Sid once, as IAM wants it."""
    config = tmp_path / "config.yaml"
    config.write_text(text)
    found = iam(capsys, monkeypatch, config, HERE, "--role", role, "--kms-key", KEY)
    own = iam(capsys, monkeypatch, config, HERE, "--role", "sources")["policy"]["Statement"]
    parameters = found["parameters"]
    attached = [parameters.pop("SourcePolicyArns")] if own else []
    assert attached == ([f"arn:aws:iam::{ACCOUNT}:policy/metrics-sources"] if own else [])
    stack = rendered(template, translated, HERE, parameters)
    name = {"push": "PusherRole", "operator": "OperatorRole"}[role]
    both = [{"Sid": ""} | one for one in (*statements_of(stack, name), *own)]
    printed = [{"Sid": ""} | one for one in found["policy"]["Statement"]]
    assert normalised(printed, HERE) == normalised(both, HERE)
    named = [sid for sid in sids(printed) if sid]
    assert len(named) == len(set(named))


def test_the_own_policy_has_apis_other_workspaces_and_buckets(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    config = tmp_path / "config.yaml"
    config.write_text(MANY)
    found = iam(capsys, monkeypatch, config, HERE, "--role", "sources")
    own = [(one["Action"], one["Resource"]) for one in found["policy"]["Statement"]]
    assert own == [
        ("aps:RemoteWrite", [f"arn:aws:aps:us-east-1:{ACCOUNT}:workspace/ws-other"]),
        ("s3:GetObject", "arn:aws:s3:::more/x.json*"),
        ("s3:ListBucket", "arn:aws:s3:::more"),
        ("execute-api:Invoke", f"arn:aws:execute-api:{HERE}:{ACCOUNT}:abc123/prod/GET/orders"),
    ]
    assert {(one["role"], str(one["statement"]["Action"])[:18]) for one in found["assumed_roles"]} == {
        ("arn:aws:iam::210987654321:role/writer", "aps:RemoteWrite"),
        ("arn:aws:iam::210987654321:role/ec2-reader", "['ec2:DescribeInst"),
    }
    assert found["parameters"] == {
        "WorkspaceId": WORKSPACE,
        "SecretArns": f"arn:aws:secretsmanager:{HERE}:{ACCOUNT}:secret:key-a1B2c3",
        "SsmParameterArns": f"arn:aws:ssm:{HERE}:{ACCOUNT}:parameter/devices/password",
        "AssumeRoleArns": "arn:aws:iam::210987654321:role/writer,arn:aws:iam::210987654321:role/ec2-reader",
        "SourcePolicyArns": f"arn:aws:iam::{ACCOUNT}:policy/metrics-sources",
        "EcsDiscovery": "yes",
        "DiscoveryBucketArn": "arn:aws:s3:::lists",
        "DiscoveryPrefix": "targets/",
    }


@pytest.mark.parametrize("place", ["s3://configs/pusher/c.yaml", "ssm:/pusher/config"])
def test_a_remote_config_is_allowed_too(
    template: dict[str, Any], translated: dict[str, Any], capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch, place: str,
) -> None:  # fmt: skip
    """The object with its versions, or the parameter; either is also what the parameter Config names."""
    with Aws() as aws:
        for name, value in ENVIRONMENT.items():
            monkeypatch.setenv(name, value)
        monkeypatch.setenv("AWS_ENDPOINT_URL", aws.url)
        where = {"LocationConstraint": HERE}
        aws.client("s3").create_bucket(Bucket="configs", CreateBucketConfiguration=where)
        aws.client("s3").put_object(Bucket="configs", Key="pusher/c.yaml", Body=WITHOUT.encode())
        aws.client("ssm").put_parameter(Name="/pusher/config", Value=WITHOUT, Type="String")
        found = iam(capsys, monkeypatch, place, HERE)
    parameters = found["parameters"]
    assert parameters["Config"] == place
    assert parameters.keys() - {"Config"} == {"ConfigObjectArn" if place.startswith("s3") else "SsmParameterArns"}
    stack = rendered(template, translated, HERE, parameters)
    printed = normalised(found["policy"]["Statement"], HERE)
    assert printed == normalised(statements_of(stack, "PusherRole"), HERE)


def test_parameters_are_such_that_the_template_takes_them(
    template: dict[str, Any], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """One on a line, as `Name=Value`."""
    config = tmp_path / "config.yaml"
    config.write_text(MANY)
    monkeypatch.setenv("AWS_REGION", HERE)
    assert main(["iam", str(config), "--account", ACCOUNT, "--parameters"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 8
    for line in lines:
        name, _, value = line.partition("=")
        assert name in template["Parameters"]
        assert value
        assert " " not in value


OPERATIONS = (ROOT / "docs" / "operations.md").read_text()
WRITTEN = [
    *re.findall(r"^(pusher (?:iam|doctor) .+?)(?:  +#.*)?$", OPERATIONS, re.MULTILINE),
    *(example.line for command in (iam_command.COMMAND, doctor_command.COMMAND) for example in command.examples),
]


@pytest.mark.slow
@pytest.mark.parametrize("line", sorted(set(WRITTEN)))
def test_a_command_that_is_written_down_works(
    line: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """There is no network for `doctor` here, which its exit status says."""
    (tmp_path / "pusher.yaml").write_text(MANY if " iam " in line else WITHOUT)
    monkeypatch.chdir(tmp_path)
    for name, value in (*ENVIRONMENT.items(), ("AWS_REGION", HERE), ("AWS_ENDPOINT_URL", "http://127.0.0.1:1")):
        monkeypatch.setenv(name, value)
    monkeypatch.delenv("PUSHER_SPOOL")
    assert main(shlex.split(line)[1:]) == (1 if " doctor " in line else 0)
    assert capsys.readouterr().out


def test_without_an_account_the_word_stands_for_it_and_a_note_says_so(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for name in ("AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE"):
        monkeypatch.setenv(name, str(tmp_path / "none"))
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_REGION", HERE)
    assert main(["iam", str(ROOT / "examples" / "json-api" / "config.yaml")]) == 0
    out = capsys.readouterr().out
    assert f"  SecretArns=arn:aws:secretsmanager:{HERE}:ACCOUNT:secret:usage-api-??????" in out
    assert "note: ACCOUNT stands for your account: --account 123456789012 fills it in" in out
    monkeypatch.delenv("AWS_REGION")
    monkeypatch.delenv("AWS_DEFAULT_REGION", raising=False)
    assert main(["iam", str(ROOT / "examples" / "json-api" / "config.yaml")]) == 2
    assert capsys.readouterr().err.startswith("no region: set AWS_REGION")
