"""The least policy of a deployer allows what CloudFormation calls for each resource of the template, and little else.

What it calls is in tests/testdata/deployer/handlers.json: the permissions of the handlers in the schemas of
CloudFormation's registry, as the module github.com/aws-cloudformation/rain v1.24.4 carries them."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import cfnlint
import pytest

from tests.rig.stack import ROOT, load_template, translate

pytestmark = pytest.mark.slow
FOLDER = ROOT / "examples" / "deployer"
POLICIES = {name: json.loads((FOLDER / name).read_text()) for name in ("policy.json", "policy-with-boundary.json")}
HANDLERS: dict[str, list[str]] = json.loads((ROOT / "tests/testdata/deployer/handlers.json").read_text())
MOST_CHARACTERS = 6_144  # of a managed policy, without white space
PLACE, ACCOUNT, STACK = "eu-west-1:123456789012", "123456789012", "lambda-remote-write"

# A resource of each type, named as CloudFormation names it. Actions that support no resources are asked for on `*`.
NAMED = {
    "AWS::APS::RuleGroupsNamespace": f"arn:aws:aps:{PLACE}:rulegroupsnamespace/ws-1/pusher",
    "AWS::APS::Workspace": f"arn:aws:aps:{PLACE}:workspace/ws-1",
    "AWS::CloudWatch::Alarm": f"arn:aws:cloudwatch:{PLACE}:alarm:{STACK}-ErrorsAlarm-1A2B",
    "AWS::CloudWatch::Dashboard": f"arn:aws:cloudwatch::{ACCOUNT}:dashboard/{STACK}-eu-west-1",
    "AWS::EC2::VPCEndpoint": f"arn:aws:ec2:{PLACE}:vpc-endpoint/vpce-1",
    "AWS::IAM::ManagedPolicy": f"arn:aws:iam::{ACCOUNT}:policy/{STACK}-PushPolicy-1A2B",
    "AWS::IAM::Role": f"arn:aws:iam::{ACCOUNT}:role/{STACK}-PusherRole-1A2B",
    "AWS::Lambda::EventInvokeConfig": f"arn:aws:lambda:{PLACE}:function:{STACK}-PusherFunction-1A2B",
    "AWS::Lambda::Function": f"arn:aws:lambda:{PLACE}:function:{STACK}-PusherFunction-1A2B",
    "AWS::Logs::LogGroup": f"arn:aws:logs:{PLACE}:log-group:/aws/lambda/{STACK}/pusher",
    "AWS::Logs::QueryDefinition": "*",
    "AWS::S3::Bucket": f"arn:aws:s3:::{STACK}-spoolbucket-1a2b",
    "AWS::S3::BucketPolicy": f"arn:aws:s3:::{STACK}-spoolbucket-1a2b",
    "AWS::SQS::Queue": f"arn:aws:sqs:{PLACE}:{STACK}-FailureQueue-1A2B",
    "AWS::SQS::QueuePolicy": f"arn:aws:sqs:{PLACE}:{STACK}-FailureQueue-1A2B",
    "AWS::Scheduler::Schedule": f"arn:aws:scheduler:{PLACE}:schedule/default/{STACK}-PusherFunctionTick-1A2B",
    "AWS::StepFunctions::StateMachine": f"arn:aws:states:{PLACE}:stateMachine:BackfillStateMachine-1A2B",
}
ELSEWHERE = {"iam:PassRole": NAMED["AWS::IAM::Role"], "s3:GetObject": "arn:aws:s3:::aws-sam-cli-managed-default-1/a"}
ELSEWHERE |= {f"iam:{name}RolePolicy": NAMED["AWS::IAM::Role"] for name in ("Attach", "Detach")}
ELSEWHERE |= {"s3:GetObjectVersion": ELSEWHERE["s3:GetObject"]}  # the artefact
ON_ALL = re.compile(r"logs:Describe(LogGroups|QueryDefinitions)|cloudwatch:DescribeAlarms|ec2:Describe.*")

# What handlers call for properties that the template does not have.
NOT_USED = {
    r"kms:.*|logs:(Dis)?[Aa]ssociateKmsKey": "nothing is encrypted with a key of the user's",
    r"(elasticfilesystem|firehose|s3tables|vpc-lattice|vpce):.*": "none is used",
    r"logs:.*(LogDeliver(y|ies)|ResourcePolic(y|ies))|s3:REST\.PUT\.OBJECT": "no log is delivered anywhere else",
    r"logs:(Put|Delete)(DataProtection|Index)Policy|logs:DeleteIndexPolicy": "the log groups have none",
    r"aps:.*(AlertManagerDefinition|LoggingConfiguration)": "the workspace is created without",
    r"iam:(Attach|Detach)(Group|User)Policy": "policies are attached to roles alone",
    r"lambda:(GetCodeSigningConfig|(Put|Delete)FunctionCodeSigningConfig)": "the code is not signed",
    r"lambda:(GetLayerVersion|PutFunctionRecursionConfig|PutRuntimeManagementConfig)": "defaults stay",
    r"[sS]3:.*(Accelerate|Analytics|Metrics|Inventory|IntelligentTiering|Replication|ObjectLock|Notification|Website"
    r"|CORS|Cors|Logging|Acl|MetadataTable).*|s3:DeleteObject": "the bucket has none",
    r"s3:(Put|Get)BucketVersioning|s3:DeleteBucket(Encryption|Lifecycle)": "the bucket has no versions; it keeps these",
}
# What `sam deploy` and `make deploy` call themselves.
OF_TOOLS = {
    *(f"cloudformation:{name}" for name in (
        "ContinueUpdateRollback", "CreateChangeSet", "DeleteChangeSet", "DeleteStack", "DescribeChangeSet",
        "DescribeStackEvents", "DescribeStacks", "ExecuteChangeSet", "GetTemplate", "GetTemplateSummary",
    )),
    "s3:PutObject", "s3:PutBucketVersioning",  # the artefact and its bucket, the config
    "logs:FilterLogEvents", "lambda:GetAccountSettings", "lambda:GetFunctionConfiguration",  # the first run, doctor
    "lambda:InvokeFunction",  # OperatorFunction, by hand
    "aps:RemoteWrite", "aps:QueryMetrics",  # doctor's empty write, pusher query
    # Properties that the registry got later than the schemas here.
    "aps:DescribeWorkspaceConfiguration", "aps:UpdateWorkspaceConfiguration",
    "aps:DescribeAlertManagerDefinition", "aps:DescribeLoggingConfiguration",  # asked for by every reading
}  # fmt: skip


def texts(value: str | list[str]) -> list[str]:
    return [value] if isinstance(value, str) else value


def allows(policy: dict[str, Any], action: str, resource: str) -> bool:
    return any(
        action in texts(statement["Action"]) and any(fnmatchcase(resource, one) for one in texts(statement["Resource"]))
        for statement in policy["Statement"]
    )


def actions(policy: dict[str, Any]) -> set[str]:
    return {action for statement in policy["Statement"] for action in texts(statement["Action"])}


def needed() -> Iterator[tuple[str, str]]:
    """(action, resource) of all handlers, for what the template has."""
    for kind, called in HANDLERS.items():
        for action in called:
            if not any(re.fullmatch(pattern, action) for pattern in NOT_USED):
                yield action, "*" if ON_ALL.fullmatch(action) else ELSEWHERE.get(action, NAMED[kind])


def test_every_type_of_the_template_is_looked_at() -> None:
    kinds = {one["Type"] for one in translate(load_template())["Resources"].values()}
    assert kinds == set(HANDLERS) == set(NAMED)


@pytest.mark.parametrize("name", POLICIES)
def test_all_that_cloudformation_calls_is_allowed(name: str) -> None:
    wanted = set(needed())
    if name == "policy-with-boundary.json":
        wanted = {one for one in wanted if one[0] != "iam:DeleteRolePermissionsBoundary"}
    assert len(wanted) > 100
    assert sorted(one for one in wanted if not allows(POLICIES[name], *one)) == []


@pytest.mark.parametrize("name", POLICIES)
def test_nothing_else_is_allowed(name: str) -> None:
    assert sorted(actions(POLICIES[name]) - {action for action, _ in needed()} - OF_TOOLS) == []


@pytest.mark.parametrize("name", POLICIES)
def test_every_action_exists(name: str) -> None:
    """In the service authorization reference, as cfn-lint has it."""
    known = json.loads((Path(cfnlint.__file__).parent / "data/AdditionalSpecs/Policies.json").read_text())
    for action in actions(POLICIES[name]):
        service, _, operation = action.partition(":")
        assert operation.lower() in known[service]["Actions"], action


@pytest.mark.parametrize("name", POLICIES)
def test_a_managed_policy_holds_it(name: str) -> None:
    assert len(json.dumps(POLICIES[name], separators=(",", ":"))) <= MOST_CHARACTERS


@pytest.mark.parametrize("name", POLICIES)
def test_nothing_of_another_stack_is_in_reach(name: str) -> None:
    another = [one.replace(STACK, "another") for one in NAMED.values() if STACK in one]
    changing = {action for action in actions(POLICIES[name]) if not re.match(r"\w+:(Get|Describe|List)", action)}
    reached = [(action, one) for action in changing for one in another if allows(POLICIES[name], action, one)]
    without_names = next(one for one in POLICIES[name]["Statement"] if one["Sid"] == "WithoutNames")
    assert [action for action, _ in reached if action not in without_names["Action"]] == []


def test_with_a_boundary_no_role_is_made_or_changed_without_it() -> None:
    with_boundary, plain = POLICIES["policy-with-boundary.json"], POLICIES["policy.json"]
    (statement,) = [one for one in with_boundary["Statement"] if "iam:CreateRole" in texts(one["Action"])]
    assert statement["Condition"] == {
        "StringEquals": {"iam:PermissionsBoundary": f"arn:aws:iam::{ACCOUNT}:policy/BOUNDARY"}
    }
    granting = {"iam:CreateRole", "iam:PutRolePolicy", "iam:AttachRolePolicy", "iam:PutRolePermissionsBoundary"}
    assert granting <= set(statement["Action"])
    assert actions(plain) - actions(with_boundary) == {"iam:DeleteRolePermissionsBoundary"}
