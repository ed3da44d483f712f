"""Which parameters a deployment sets: those of the command line, and what the config needs and the stack lacks."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase

from botocore.exceptions import ClientError

from .cloud import DENIED, Cloud, code_of
from .errors import DeployError
from .programs import Programs
from .settings import Settings
from .stack import Stack
from .template import Parameter


@dataclass(slots=True)
class ParameterChanges:
    """The values that change, notes for the reader, and which of the values the config needs."""

    values: dict[str, str] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    of_config: list[str] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Needs:
    """What `pusher iam` says of a config: parameters of the template, and notes for a reader."""

    parameters: Mapping[str, str]
    notes: Sequence[str] = ()


def needs(programs: Programs, location: str, account: str, stack: str, variables: Mapping[str, str]) -> Needs:
    """Raises DeployError."""
    status, output = programs.pusher_output(
        "iam", location, "--json", "--account", account, "--stack", stack, **variables
    )
    if status:
        raise DeployError("the parameters that the config needs are not known: pusher iam failed, as it says above")
    found = json.loads(output)
    return Needs(found["parameters"], found["notes"])


def changes(settings: Settings, stack: Stack, known: Mapping[str, Parameter], wanted: Needs) -> ParameterChanges:
    """What the command line gives counts more than what the config needs; a list keeps what it has."""
    found = ParameterChanges()
    for name, value in settings.parameters.items():
        if stack.is_new or stack.parameter(name, known[name].default) != value:
            found.values[name] = value
    for name, value in wanted.parameters.items():
        given = settings.parameters.get(name, stack.parameter(name, known[name].default))
        lacking = _lacking(known[name], given, value)
        if not lacking or (name == "WorkspaceId" and value == stack.output(name)):  # which the stack has created
            continue
        if name in settings.parameters:
            by = settings.given_with[name]
            found.notes.append(f"the config needs {name} = {lacking}, and {by} gives {given or 'an empty one'}")
        else:
            found.values[name] = f"{given},{lacking}" if known[name].is_list and given else lacking
            found.of_config.append(name)
    found.notes += wanted.notes if found.of_config else ()
    return found


def check_policies(cloud: Cloud, found: ParameterChanges) -> None:
    """That the policies exist which the roles are to get: CloudFormation would find out last. Raises DeployError."""
    for arn in filter(None, found.values.get("SourcePolicyArns", "").split(",")):
        try:
            cloud.client("iam").get_policy(PolicyArn=arn)
        except ClientError as error:
            if code_of(error) == "NoSuchEntity":
                notes = "".join(f"\n  {note}" for note in found.notes)
                raise DeployError(f"there is no policy {arn}, which the config needs. Make it first:{notes}") from None
            if code_of(error) not in DENIED:  # CloudFormation asks for less
                raise


def lines(found: ParameterChanges, stack: Stack, known: Mapping[str, Parameter]) -> list[str]:
    """A line for each value that changes: what it was and what it will be."""
    return [
        f"  {name}: {_shown(stack.parameter(name, known[name].default))} -> {_shown(value)}"
        for name, value in found.values.items()
    ]


def _shown(value: str) -> str:
    return value or "empty"


def _lacking(parameter: Parameter, given: str, wanted: str) -> str:
    """What of the wanted value the given one does not have."""
    if not parameter.is_list:
        return "" if given == wanted else wanted
    patterns = [one for one in given.split(",") if one]
    return ",".join(one for one in wanted.split(",") if not any(_covers(pattern, one) for pattern in patterns))


def _covers(pattern: str, arn: str) -> bool:
    """IAM's wildcards: `?` in the wanted ARN is a character like any other."""
    return pattern == arn or fnmatchcase(arn, pattern.replace("[", "[[]"))
