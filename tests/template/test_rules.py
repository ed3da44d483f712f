"""The rules that a stack puts into its workspace are those of rules/."""

from __future__ import annotations

import json
from fnmatch import fnmatch
from typing import Any

import pytest
import yaml
from botocore.session import get_session

from generate import rules
from tests.rig.grants import WORKSPACES
from tests.rig.stack import ROOT, StackOf

WIKI = "https://wiki.example.com/runbooks"
MAX_BYTES = 1_000_000  # AMP, quotas: "Rule group namespace definition file size"
NAME_LENGTH = 64  # CloudFormation, AWS::APS::RuleGroupsNamespace, Name: "Maximum: 64"


def rules_of(stack_of: StackOf, **parameters: str) -> dict[str, Any]:
    (found,) = stack_of(Rules="yes", **parameters).of_type("AWS::APS::RuleGroupsNamespace").values()
    return found


def test_the_template_has_the_rules_as_they_are() -> None:
    """`make rules` leaves no diff."""
    template = rules.TEMPLATE.read_text()
    assert rules.written(template) == template


def test_a_change_of_the_rules_reaches_the_template_and_nothing_else() -> None:
    template = rules.TEMPLATE.read_text()
    older = template.replace("groups:\n          - name: pusher\n", "groups:\n          - name: older\n\n", 1)
    assert older != template
    assert rules.written(older) == template


def test_by_default_a_stack_has_no_rules(stack_of: StackOf) -> None:
    assert not stack_of().of_type("AWS::APS::RuleGroupsNamespace")


@pytest.mark.parametrize(("workspace", "arn"), WORKSPACES)
def test_they_go_to_the_workspace_of_the_stack(stack_of: StackOf, workspace: str, arn: str) -> None:
    assert rules_of(stack_of, WorkspaceId=workspace)["Workspace"] == arn


def test_they_are_valid_yaml_with_links_to_your_runbooks(stack_of: StackOf) -> None:
    own = yaml.safe_load(rules.RULES.read_text().replace("docs/runbooks/", f"{WIKI}/"))
    assert yaml.safe_load(rules_of(stack_of, RunbookUrl=WIKI)["Data"]) == own
    assert yaml.safe_load(rules_of(stack_of)["Data"]) == yaml.safe_load(rules.RULES.read_text())


def test_their_name_is_the_stacks_own_and_fits(stack_of: StackOf) -> None:
    found = rules_of(stack_of)
    assert found["Name"] == "lambda-remote-write-0a1b2c3d-4e5f-6071-8293-a4b5c6d7e8f9"
    assert len(found["Name"]) <= NAME_LENGTH
    assert len(found["Data"].encode()) <= MAX_BYTES
    assert {tag["Key"]: tag["Value"] for tag in found["Tags"]} == {
        "application": "lambda-remote-write",
        "stack": "metrics",
    }


def test_the_statement_for_deployers_names_what_cloudformation_does(stack_of: StackOf) -> None:
    """It creates, reads, changes, tags and deletes the namespace."""
    text = (ROOT / "docs" / "rules.md").read_text().partition("```json\n")[2].partition("```")[0]
    statement = json.loads(text)
    service = get_session().get_service_model("amp")
    of_namespaces = {name for name in service.operation_names if name.endswith(("RuleGroupsNamespace", "Resource"))}
    assert {action.removeprefix("aps:") for action in statement["Action"]} == of_namespaces
    workspace, namespace = statement["Resource"]
    assert workspace == "arn:aws:aps:REGION:ACCOUNT:workspace/WORKSPACE"
    prefix, _, name = namespace.rpartition("/")
    assert prefix == "arn:aws:aps:REGION:ACCOUNT:rulegroupsnamespace/WORKSPACE"
    assert fnmatch(rules_of(stack_of)["Name"], name)
