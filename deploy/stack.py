"""The stack as CloudFormation has it, and what each of its states means for a deployment."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from botocore.exceptions import ClientError

from lambda_remote_write.report.printable import printable

from .cloud import Cloud, code_of
from .errors import DeployError

NEW = ("", "REVIEW_IN_PROGRESS")  # the second is a stack whose first changes were never confirmed
_NEVER_CREATED = ("ROLLBACK_COMPLETE", "ROLLBACK_FAILED", "CREATE_FAILED")
_CONSEQUENCES = ("cancelled", "The following resource(s) failed")  # of another resource's failure


@dataclass(frozen=True, slots=True)
class Stack:
    """`status` is empty for one that does not exist. `last_event` changes with every deployment."""

    name: str
    status: str = ""
    reason: str = ""
    last_event: str = ""
    parameters: Mapping[str, str] | None = None
    outputs: Mapping[str, str] | None = None

    @property
    def is_new(self) -> bool:
        return self.status in NEW

    def is_changed_from(self, before: Stack) -> bool:
        """Whether a deployment has begun since."""
        return not self.is_new and (before.is_new or self.last_event != before.last_event)

    def parameter(self, name: str, default: str) -> str:
        return (self.parameters or {}).get(name, default)

    def output(self, name: str) -> str:
        return (self.outputs or {}).get(name, "")


def describe(cloud: Cloud, name: str) -> Stack:
    """Raises ClientError and BotoCoreError."""
    try:
        (found,) = cloud.client("cloudformation").describe_stacks(StackName=name)["Stacks"]
        events = cloud.client("cloudformation").describe_stack_events(StackName=name)["StackEvents"]  # newest first
    except ClientError as error:
        if code_of(error) == "ValidationError":  # "Stack with id … does not exist"
            return Stack(name)
        raise
    return Stack(
        name,
        found["StackStatus"],
        found.get("StackStatusReason", ""),
        events[0]["EventId"] if events else "",
        {one["ParameterKey"]: one.get("ParameterValue", "") for one in found.get("Parameters", ())},
        {one["OutputKey"]: one["OutputValue"] for one in found.get("Outputs", ())},
    )


def check(cloud: Cloud, stack: Stack) -> None:
    """Whether the stack can be created or updated now. Raises DeployError, ClientError and BotoCoreError."""
    status, command = stack.status, f"aws cloudformation %s --stack-name {stack.name} --region {cloud.region}"
    if stack.is_new:
        return
    if status in _NEVER_CREATED:
        raise DeployError(
            f"the stack {stack.name} was never created ({status}){_because(cloud, stack.name)} Such a stack can only "
            f"be deleted. Delete it, correct the cause, and deploy again:\n  {command % 'delete-stack'}\n"
            f"  {command % 'wait stack-delete-complete'}"
        )
    if status == "UPDATE_ROLLBACK_FAILED":
        raise DeployError(
            f"the last update of {stack.name} failed, and so did its rollback{_because(cloud, stack.name)} "
            f"Correct the cause, end the rollback, and deploy again:\n  {command % 'continue-update-rollback'}"
        )
    if status == "DELETE_FAILED":
        raise DeployError(
            f"the stack {stack.name} could not be deleted ({printable(stack.reason)}). Delete it, or deploy under "
            f"another name (STACK=…):\n  {command % 'delete-stack'}"
        )
    if status.endswith("_IN_PROGRESS"):
        raise DeployError(
            f"another deployment of {stack.name} is in progress ({status}). Wait until it has ended, and deploy "
            f"again:\n  {command % 'wait stack-update-complete'}"
        )


def first_failure(cloud: Cloud, name: str) -> str:
    """What failed first in the last operation on the stack, and why; or an empty text. Raises ClientError and
    BotoCoreError."""
    events = cloud.client("cloudformation").get_paginator("describe_stack_events").paginate(StackName=name)
    found = ""
    for event in (event for page in events for event in page["StackEvents"]):  # the newest first
        reason = event.get("ResourceStatusReason", "")
        if event["ResourceStatus"].endswith("_FAILED") and not _is_consequence(reason):
            found = f"{event['LogicalResourceId']} ({event['ResourceType']}): {printable(reason)}"
        if _begins(event, name):
            break
    return found


def _begins(event: Mapping[str, Any], name: str) -> bool:
    """Whether the event is the first of an operation: the user's own request for the whole stack."""
    is_stack = event["ResourceType"] == "AWS::CloudFormation::Stack" and event["LogicalResourceId"] == name
    return is_stack and event["ResourceStatus"] in ("CREATE_IN_PROGRESS", "UPDATE_IN_PROGRESS", "REVIEW_IN_PROGRESS")


def _is_consequence(reason: str) -> bool:
    return any(text in reason for text in _CONSEQUENCES)


def _because(cloud: Cloud, name: str) -> str:
    failure = first_failure(cloud, name)
    return f". What failed first: {failure}." if failure else "."
