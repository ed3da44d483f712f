"""The spool in the stack: a bucket that keeps what it holds, roles that may do just what each function does with it,
alarms, and nothing of it where it is left out."""

from __future__ import annotations

import json
from fnmatch import fnmatchcase
from typing import Any

import pytest

from tests.rig.grants import WORKSPACES, grants, statements_of, variables_of
from tests.rig.stack import REGION, Stack, StackOf

FOLDERS = {f"<SpoolBucket.Arn>/{folder}/*" for folder in ("spool", "dead", "state")}
OWN = {
    f"<SpoolBucket.Arn>/{keys}"
    for keys in ("spool/*/operator/*", "dead/*/operator/*", "state/operator", "state/backfill/*", "backfill/*")
}
WRITES: dict[str, list[tuple[set[str], set[str]]]] = {
    "PusherRole": [({"s3:PutObject", "s3:DeleteObject"}, FOLDERS)],
    "OperatorRole": [
        ({"s3:PutObject", "s3:DeleteObject"}, OWN),
        ({"s3:PutObject"}, {"<SpoolBucket.Arn>/export/*"}),
    ],
}


def test_the_bucket_is_closed_encrypted_and_kept(stack_of: StackOf) -> None:
    bucket = stack_of()["SpoolBucket"]
    assert bucket["PublicAccessBlockConfiguration"] == {
        "BlockPublicAcls": True, "BlockPublicPolicy": True, "IgnorePublicAcls": True, "RestrictPublicBuckets": True
    }  # fmt: skip
    (encryption,) = bucket["BucketEncryption"]["ServerSideEncryptionConfiguration"]
    assert encryption["ServerSideEncryptionByDefault"] == {"SSEAlgorithm": "AES256"}
    assert bucket["OwnershipControls"] == {"Rules": [{"ObjectOwnership": "BucketOwnerEnforced"}]}
    assert "BucketName" not in bucket


def test_only_tls_reaches_the_bucket(stack_of: StackOf) -> None:
    policy = stack_of()["SpoolBucketPolicy"]
    (statement,) = policy["PolicyDocument"]["Statement"]
    assert policy["Bucket"] == "<SpoolBucket>"
    assert (statement["Effect"], statement["Principal"], statement["Action"]) == ("Deny", "*", "s3:*")
    assert set(statement["Resource"]) == {"<SpoolBucket.Arn>", "<SpoolBucket.Arn>/*"}
    assert statement["Condition"] == {"Bool": {"aws:SecureTransport": "false"}}


def test_parameters_say_how_long_things_are_kept(stack_of: StackOf) -> None:
    def lives(stack: Stack) -> dict[str, Any]:
        rules = stack["SpoolBucket"]["LifecycleConfiguration"]["Rules"]
        return {rule["Prefix"]: str(rule["ExpirationInDays"]) for rule in rules if "Prefix" in rule}

    by_hand = ("dead/", "backfill/", "state/backfill/", "export/")
    assert lives(stack_of()) == {"spool/": "7"} | dict.fromkeys(by_hand, "90")
    assert lives(stack_of(SpoolDays="2", DeadDays="30")) == {"spool/": "2"} | dict.fromkeys(by_hand, "30")


def test_no_lifecycle_takes_the_state_of_the_schedule(stack_of: StackOf) -> None:
    rules = stack_of()["SpoolBucket"]["LifecycleConfiguration"]["Rules"]
    expiring = tuple(rule["Prefix"] for rule in rules if "ExpirationInDays" in rule)
    assert not [key for key in ("state/0", "state/15", "state/operator", "state/split") if key.startswith(expiring)]


@pytest.mark.parametrize(("role", "writes"), WRITES.items())
def test_each_function_may_do_what_it_does(stack_of: StackOf, role: str, writes: list[Any]) -> None:
    before, after = statements_of(stack_of(Spool="no"), role), statements_of(stack_of(), role)
    added = [statement for statement in after if statement not in before]
    assert grants(added) == [*writes, ({"s3:GetObject"}, FOLDERS), ({"s3:ListBucket"}, {"<SpoolBucket.Arn>"})]


@pytest.mark.parametrize(
    ("prefix", "allowed"),
    [
        pytest.param(None, True, id="a read of a missing object names no prefix, and must not answer 403"),
        *((pytest.param(prefix, True, id=prefix)) for prefix in ("spool/amp/0/", "spool/", "dead/", "state/0")),
        *((pytest.param(prefix, False, id=prefix or "the whole bucket")) for prefix in ("", "other/", "spool")),
    ],
)
def test_what_may_be_listed(stack_of: StackOf, prefix: str | None, allowed: bool) -> None:
    (statement,) = [one for one in statements_of(stack_of(), "PusherRole") if one["Action"] == "s3:ListBucket"]
    (patterns,) = (found["s3:prefix"] for kind, found in statement["Condition"].items() if kind == "StringLikeIfExists")
    assert (prefix is None or any(fnmatchcase(prefix, pattern) for pattern in patterns)) is allowed


@pytest.mark.parametrize("function", ["PusherFunction", "OperatorFunction"])
def test_a_stack_without_a_spool_has_nothing_of_it(stack_of: StackOf, function: str) -> None:
    stack = stack_of(Spool="no")
    assert "PUSHER_SPOOL" not in variables_of(stack, function)
    assert not [name for name in stack.resources if name.startswith(("Spool", "Dead", "OldestWaiting"))]
    assert not [name for name in stack.outputs() if name.startswith("Spool")]
    assert "s3:" not in json.dumps(stack.resources)


@pytest.mark.parametrize(("workspace", "arn"), WORKSPACES)
@pytest.mark.parametrize("role", ["PusherRole", "OperatorRole"])
def test_queries_are_allowed_on_one_workspace_when_asked_for(
    stack_of: StackOf, role: str, workspace: str, arn: str
) -> None:
    before = statements_of(stack_of(WorkspaceId=workspace), role)
    after = statements_of(stack_of(WorkspaceId=workspace, QueryWorkspace="yes"), role)
    assert grants([one for one in after if one not in before]) == [({"aps:QueryMetrics"}, {arn})]


def test_a_gateway_endpoint_for_s3_when_asked_for(stack_of: StackOf) -> None:
    assert stack_of().of_type("AWS::EC2::VPCEndpoint") == {}
    stack = stack_of(S3EndpointVpcId="vpc-1", S3EndpointRouteTableIds="rtb-1,rtb-2")
    (endpoint,) = stack.of_type("AWS::EC2::VPCEndpoint").values()
    assert endpoint["VpcEndpointType"] == "Gateway"
    assert endpoint["ServiceName"] == f"com.amazonaws.{REGION}.s3"
    assert (endpoint["VpcId"], endpoint["RouteTableIds"]) == ("vpc-1", ["rtb-1", "rtb-2"])
    # "If you don't attach an endpoint policy, we attach the default endpoint policy", which "allows full access": the
    # neighbours in these subnets fetch layers of ECR and packages of the system from buckets of others, unsigned too.
    assert "PolicyDocument" not in endpoint
