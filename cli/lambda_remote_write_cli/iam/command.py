"""`pusher iam`: the least policy for a config, and the template's parameters that give it."""

from __future__ import annotations

import argparse
import re
import sys
from typing import Any

from lambda_remote_write.aws.credentials import aws_patience
from lambda_remote_write.aws.iam import ACCOUNT
from lambda_remote_write.config.partitions import checked_region
from lambda_remote_write.dependencies import Dependencies
from lambda_remote_write.report.printable import json_text

from ..command import Add, BadUsage, Command, Example, add_config, stack_name
from ..stack_config import load_as_stack, of_stack, region_of, with_env_vars
from ..terminal import say, say_json
from . import policy
from .needs import Needs, StackPlace, needs_of

_ACCOUNT = re.compile(r"[0-9]{12}", re.ASCII)
_KEY = re.compile(r"arn:aws[a-z-]*:kms:[a-z0-9-]+:\d{12}:key/.+", re.ASCII)  # as the template takes it


def run(options: argparse.Namespace, dependencies: Dependencies) -> int:
    region = region_of(dependencies)
    if not region:
        raise BadUsage("no region: set AWS_REGION to that of the stack, as AWS_REGION=eu-west-1")
    try:
        checked_region(region)
    except ValueError as error:
        raise BadUsage(f"AWS_REGION: {region!r:.100} is {error}") from None
    place = StackPlace(region, options.account or _account_of(dependencies, region), options.stack)
    config = load_as_stack(options.config, of_stack(_without_spool(dependencies), region))
    needs = needs_of(config, options.config, place)
    document = policy.document(policy.statements_of(options.role, needs, place, options.kms_key))
    if options.json:
        say_json(_as_json(options, needs, place, document))
    elif options.parameters:
        _print_parameters(policy.parameters_of(needs, place, options.kms_key))
    else:
        _print_document(document)
        if not options.document:
            _print_rest(needs, place, options.kms_key)
    return 0


def _add_arguments(add: Add) -> None:
    add_config(add)
    add("--role", choices=policy.ROLES, default="push", help="push (the default), operator, or sources: what the "
        "template cannot know, for a managed policy of yours")  # fmt: skip
    add("--parameters", action="store_true", help="print the template's parameters alone, as Name=Value")
    add("--document", action="store_true", help="print the policy document alone")
    add("--account", type=_account, default="", metavar="ID", help="your account (default: that of the credentials)")
    add(
        "--stack",
        type=stack_name,
        default="lambda-remote-write",
        metavar="NAME",
        help="its name (default: lambda-remote-write)",
    )
    add("--kms-key", type=_key, default="", metavar="ARN", help="the key of secrets, parameters and objects in S3")


def _account(text: str) -> str:
    if text and not _ACCOUNT.fullmatch(text):
        raise argparse.ArgumentTypeError("an account is 12 digits")
    return text


def _key(text: str) -> str:
    if text and not _KEY.fullmatch(text):
        raise argparse.ArgumentTypeError("the ARN of a key (not of an alias) is expected")
    return text


def _without_spool(dependencies: Dependencies) -> Dependencies:
    """The spool of this shell is not the stack's."""
    env_vars = {name: value for name, value in dependencies.env_vars.items() if name != "PUSHER_SPOOL"}
    return with_env_vars(dependencies, env_vars)


def _account_of(dependencies: Dependencies, region: str) -> str:
    """The account of the credentials here; a word that stands for it where there are none, or no network."""
    try:
        client = dependencies.session("", region).client("sts", region_name=region, config=aws_patience())
        return str(client.get_caller_identity()["Account"])
    except Exception:  # botocore's errors are made at run time; a note says how to give the account
        return ACCOUNT


def _as_json(
    options: argparse.Namespace, needs: Needs, place: StackPlace, document: dict[str, Any]
) -> dict[str, object]:
    return {
        "ok": True,
        "role": options.role,
        "policy": document,
        "parameters": policy.parameters_of(needs, place, options.kms_key),
        "assumed_roles": [dict(one) for one in needs.of_others],
        "notes": policy.notes_of(needs, place),
    }


def _print_document(document: dict[str, Any]) -> None:
    """What was asked for, so that it is printed with `-q` too."""
    for line in json_text(document, indent=2).splitlines():
        say(line, sys.stdout)


def _print_parameters(parameters: dict[str, str]) -> None:
    for name, value in parameters.items():
        say(f"{name}={value}", sys.stdout)


def _print_rest(needs: Needs, place: StackPlace, kms_key: str) -> None:
    parameters = policy.parameters_of(needs, place, kms_key)
    say("")
    say("parameters of the template that allow it:" if parameters else "the template allows it without a parameter")
    for name, value in parameters.items():
        say(f"  {name}={value}")
    for one in needs.of_others:
        say(f"needs, for {one['role']}: {json_text(one['statement'])}")
    for note in policy.notes_of(needs, place):
        say(f"note: {note}")


COMMAND = Command(
    "iam",
    "print the least policy for a config, and the template's parameters that give it",
    _add_arguments,
    run,
    (
        Example("pusher iam pusher.yaml", "the policy of the scheduled function's role, and the parameters"),
        Example("pusher iam pusher.yaml --parameters", "Name=Value lines, for make deploy PARAMETERS= and samconfig"),
        Example("pusher iam pusher.yaml --role sources --document", "what the template cannot know, as a document"),
    ),
)
