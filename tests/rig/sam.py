"""Stands for `sam`, whose transform is CloudFormation's own: it checks what it is given, writes it down, and then does
to a stack in moto what a change set would. Of the folder, the file `calls` gets a line of JSON for each call; `answer`
has what a user types, and `fails` names a call that fails."""

from __future__ import annotations

import argparse
import itertools
import json
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import yaml
from botocore.exceptions import ClientError

from deploy.template import parameters

OUTPUTS = {
    "PusherFunctionName": "metrics-PusherFunction-1A2B3C",
    "PusherLogGroupName": "/aws/lambda/metrics/pusher",
    "SpoolBucketName": "metrics-spoolbucket-1a2b",
    "GrafanaRoleArn": "arn:aws:iam::123456789012:role/metrics-GrafanaRole",
}
_DEPLOYMENTS = itertools.count()
WORKSPACE = "ws-0a1b2c3d-0000-0000-0000-000000000000"


def sam(arguments: Sequence[str], folder: Path, client: Callable[[str], Any]) -> int:
    """The exit status."""
    options = _parser().parse_args(arguments)
    given = _parameters(options.parameter_overrides)
    names = ("PUSHER_CONFIG_FILE", "ARCH", "PYTHON_VERSION", "MAKEFLAGS")
    call = {**vars(options), "parameter_overrides": given, "env": {name: os.environ.get(name) for name in names}}
    with (folder / "calls").open("a") as log:
        log.write(json.dumps(call) + "\n")
    if _text(folder / "fails") == options.command:
        return 1
    if options.command == "deploy" and (not options.confirm_changeset or _text(folder / "answer") == "y"):
        _deploy(options, given, client("cloudformation"))
    return 0


def _parser() -> argparse.ArgumentParser:
    """The options that `make deploy` may use, and no others."""
    parser = argparse.ArgumentParser()
    commands = parser.add_subparsers(dest="command", required=True)
    build, deploy = commands.add_parser("build"), commands.add_parser("deploy")
    for one in (build, deploy):
        one.add_argument("--parameter-overrides", default="")
    for name in ("--stack-name", "--region"):
        deploy.add_argument(name, required=True)
    deploy.add_argument("--confirm-changeset", action=argparse.BooleanOptionalAction, required=True)
    return parser


def _parameters(text: str) -> dict[str, str]:
    if text.startswith("file://"):
        found: dict[str, str] = yaml.safe_load(Path(text.removeprefix("file://")).read_text())
        return found
    return dict(pair.split("=", 1) for pair in text.split())


def _deploy(options: argparse.Namespace, given: dict[str, str], client: Any) -> None:
    before = _before(client, options.stack_name)
    known = parameters()
    values = {**{name: one.default for name, one in known.items()}, **before, **given}
    call: Any = client.update_stack if before else client.create_stack
    call(
        StackName=options.stack_name,
        TemplateBody=json.dumps(_template(values)),
        Parameters=[{"ParameterKey": name, "ParameterValue": value} for name, value in values.items()],
    )


def _before(client: Any, name: str) -> dict[str, str]:
    try:
        (found,) = client.describe_stacks(StackName=name)["Stacks"]
    except ClientError:
        return {}
    return {one["ParameterKey"]: one["ParameterValue"] for one in found["Parameters"]}


def _template(values: dict[str, str]) -> dict[str, Any]:
    """One that changes each time, as one with a new artefact."""
    topic = {"Type": "AWS::SNS::Topic", "Properties": {"DisplayName": f"deployment {next(_DEPLOYMENTS)}"}}
    names = {name: {"Type": "String"} for name in values}
    return {"Parameters": names, "Resources": {"Topic": topic}, "Outputs": _outputs(values)}


def _outputs(values: dict[str, str]) -> dict[str, Any]:
    found = OUTPUTS | {"WorkspaceId": values["WorkspaceId"] or WORKSPACE}
    if not values["GrafanaPrincipalArn"]:
        del found["GrafanaRoleArn"]
    return {name: {"Value": value} for name, value in found.items()}


def _text(file: Path) -> str:
    return file.read_text().strip() if file.exists() else ""
