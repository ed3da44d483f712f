"""Backfill by hand in the stack: what each parameter lets the operator function do, and the machine for long ones."""

from __future__ import annotations

import json
from typing import Any

import pytest

from lambda_remote_write.backfill.files import area_of
from tests.rig.grants import BOUNDARY, BUCKET, WORKSPACES, grants, statements_of, variables_of
from tests.rig.stack import ACCOUNT, ROOT, StackOf
from tests.rig.state_machine import DEFINITION

ASKS = {"aps:DescribeWorkspaceConfiguration", "aps:QueryMetrics"}
WIDENS = {"aps:UpdateWorkspaceConfiguration"}


@pytest.mark.parametrize(("workspace", "arn"), WORKSPACES)
@pytest.mark.parametrize(("backfill", "actions"), [("no", []), ("yes", [ASKS]), ("widen", [ASKS, WIDENS])])
def test_the_operator_may_ask_the_workspace_and_change_it_when_the_parameter_says_so(
    stack_of: StackOf, backfill: str, actions: list[set[str]], workspace: str, arn: str
) -> None:
    statements = statements_of(stack_of(WorkspaceId=workspace, Backfill=backfill), "OperatorRole")
    of_workspaces = [(found, places) for found, places in grants(statements) if "aps:" in str(found)]
    assert of_workspaces == [*((found, {arn}) for found in actions), ({"aps:RemoteWrite"}, {arn})]


@pytest.mark.parametrize(
    "parameters",
    [
        pytest.param({"Backfill": "no"}, id="no"),
        pytest.param({"Backfill": "widen"}, id="widen"),
        pytest.param({"BackfillBucketArn": BUCKET}, id="files"),
        pytest.param({"BackfillHours": "168"}, id="hours"),
    ],
)
def test_no_backfill_gives_the_schedules_function_anything(stack_of: StackOf, parameters: dict[str, str]) -> None:
    before, after = stack_of(), stack_of(**parameters)
    assert statements_of(before, "PusherRole") == statements_of(after, "PusherRole")
    assert not [one for one in statements_of(after, "PusherRole") if "Workspace" in str(one["Action"])]


@pytest.mark.parametrize("prefix", ["history/", ""])
def test_the_operator_reads_files_where_its_role_lets_it_and_nowhere_else(stack_of: StackOf, prefix: str) -> None:
    """Its role reads the config and the lists of targets, too, which are no files with samples. Lambda sets
    AWS_LAMBDA_FUNCTION_NAME (Lambda Developer Guide, "Defined runtime environment variables")."""
    runtime = {"AWS_LAMBDA_FUNCTION_NAME": "operator"}
    given = stack_of(BackfillBucketArn=BUCKET, BackfillPrefix=prefix)
    bucket = BUCKET.rpartition(":")[2]
    assert area_of(runtime | variables_of(given, "OperatorFunction")) == f"s3://{bucket}/{prefix}"
    assert area_of(runtime | variables_of(stack_of(BackfillPrefix=prefix), "OperatorFunction")) == ""


@pytest.mark.parametrize(
    ("parameters", "there"),
    [
        ({}, True),
        ({"Backfill": "widen"}, True),
        ({"Backfill": "no"}, False),
        ({"Spool": "no"}, False),  # its summary would have no place
    ],
)
def test_the_machine_is_there_unless_switched_off(stack_of: StackOf, parameters: dict[str, str], there: bool) -> None:
    stack = stack_of(**parameters)
    assert ("BackfillStateMachine" in stack.resources) is there
    assert ("BackfillRole" in stack.resources) is there
    assert ("BackfillStateMachineArn" in stack.outputs()) is there


def test_the_machine_runs_the_definition_under_its_own_role(template: dict[str, Any], stack_of: StackOf) -> None:
    assert template["Resources"]["BackfillStateMachine"]["Properties"]["DefinitionUri"] == DEFINITION
    machine = stack_of()["BackfillStateMachine"]
    assert machine["StateMachineType"] == "STANDARD"  # an express one ends after five minutes
    assert machine["RoleArn"] == "<BackfillRole.Arn>"
    assert machine["DefinitionSubstitutions"] == {
        "Partition": "aws",
        "OperatorFunctionArn": "<OperatorFunction.Arn>",
        "SpoolBucket": "<SpoolBucket>",
        "TimeoutSeconds": 86400,
    }


def test_the_machine_ends_after_the_hours_given(template: dict[str, Any], stack_of: StackOf) -> None:
    for hours in template["Parameters"]["BackfillHours"]["AllowedValues"]:
        machine = stack_of(BackfillHours=str(hours))["BackfillStateMachine"]
        assert machine["DefinitionSubstitutions"]["TimeoutSeconds"] == hours * 3600


def test_the_machine_may_invoke_the_operator_and_write_summaries(stack_of: StackOf) -> None:
    stack = stack_of(PermissionsBoundaryArn=BOUNDARY)
    assert grants(statements_of(stack, "BackfillRole")) == [
        ({"lambda:InvokeFunction"}, {"<OperatorFunction.Arn>"}),
        ({"s3:PutObject"}, {"<SpoolBucket.Arn>/backfill/*"}),
    ]
    (trust,) = stack["BackfillRole"]["AssumeRolePolicyDocument"]["Statement"]
    assert trust["Principal"] == {"Service": "states.amazonaws.com"}
    assert trust["Condition"] == {"StringEquals": {"aws:SourceAccount": ACCOUNT}}


def test_the_recorded_backfill_is_what_the_machine_takes_but_for_its_action() -> None:
    event = json.loads((ROOT / "events/backfill.json").read_text())
    assert event.pop("action") == "backfill"
    assert {"job", "start", "end"} <= set(event)
