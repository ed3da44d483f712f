"""A stack of an earlier release updates to today's template: it replaces nothing, above all not what holds data.

CloudFormation's resource schemas, which cfn-lint ships, say which properties replace a resource (createOnlyProperties).
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from cfnlint.schema import PROVIDER_SCHEMA_MANAGER

from tests.rig.aws import Aws
from tests.rig.stack import Stack, load_template, translate

EARLIER = sorted(Path(__file__).parent.glob("template-*.yaml"))
HOLDS_DATA = {"Workspace": "AWS::APS::Workspace", "SpoolBucket": "AWS::S3::Bucket"}
STACKS: Mapping[str, dict[str, str]] = {
    "as it comes": {},
    "workspace of the user": {"WorkspaceId": "ws-0123", "Spool": "no"},
    "all that can be switched on": {
        "QueryWorkspace": "yes", "Config": "s3://metrics/a.yaml", "ConfigObjectArn": "arn:aws:s3:::metrics/a.yaml",
        "SecretArns": "arn:aws:secretsmanager:eu-west-1:123456789012:secret:api",
        "SsmParameterArns": "arn:aws:ssm:eu-west-1:123456789012:parameter/api",
        "KmsKeyArn": "arn:aws:kms:eu-west-1:123456789012:key/1",
        "AssumeRoleArns": "arn:aws:iam::123456789012:role/reader",
        "SourcePolicyArns": "arn:aws:iam::123456789012:policy/source",
        "Ec2Discovery": "yes", "EcsDiscovery": "yes", "DiscoveryBucketArn": "arn:aws:s3:::targets",
        "Backfill": "widen", "BackfillBucketArn": "arn:aws:s3:::past",
        "SubnetIds": "subnet-1", "SecurityGroupIds": "sg-1",
        "S3EndpointVpcId": "vpc-1", "S3EndpointRouteTableIds": "rtb-1",
        "Shards": "16", "ReservedConcurrency": "shards",
        "PermissionsBoundaryArn": "arn:aws:iam::123456789012:policy/boundary",
        "Metrics": "all", "AlarmTopicArn": "arn:aws:sns:eu-west-1:123456789012:alarms",
        "Rules": "yes", "DiscardedSamplesAlarm": "yes", "Dashboard": "yes",
        "GrafanaPrincipalArn": "arn:aws:iam::123456789012:role/grafana", "GrafanaExternalId": "1",
    },
}  # fmt: skip


@pytest.fixture(scope="module", params=EARLIER, ids=lambda path: path.stem)
def earlier(request: pytest.FixtureRequest) -> tuple[dict[str, Any], dict[str, Any]]:
    """The template of a release, and what SAM makes of it."""
    template = load_template(request.param)
    return template, translate(template)


@pytest.fixture(scope="module")
def today() -> tuple[dict[str, Any], dict[str, Any]]:
    template = load_template()
    return template, translate(template)


@pytest.fixture(params=list(STACKS))
def update(
    earlier: tuple[dict[str, Any], dict[str, Any]],
    today: tuple[dict[str, Any], dict[str, Any]],
    request: pytest.FixtureRequest,
) -> tuple[Stack, Stack]:
    """A stack before and after. Parameters that the release does not have get today's defaults."""
    parameters = STACKS[request.param]
    return Stack(*earlier, **parameters), Stack(*today, **parameters)


def found_at(properties: Any, path: list[str]) -> Iterator[Any]:
    """What stands at a path of a schema, where * is every item of a list."""
    if not path:
        yield properties
    elif path[0] == "*":
        for item in properties:
            yield from found_at(item, path[1:])
    elif isinstance(properties, dict) and path[0] in properties:
        yield from found_at(properties[path[0]], path[1:])


def replaced_by(kind: str) -> list[list[str]]:
    """The paths of the properties whose update replaces a resource of this type."""
    schema = PROVIDER_SCHEMA_MANAGER.get_resource_schema("us-east-1", kind).schema
    pointers = [*schema.get("createOnlyProperties", ()), *schema.get("conditionalCreateOnlyProperties", ())]
    return [pointer.removeprefix("/properties/").split("/") for pointer in pointers]


def replacing(kind: str, before: dict[str, Any], after: dict[str, Any]) -> list[str]:
    """The properties that differ and whose update replaces the resource."""
    return [
        "/".join(path)
        for path in replaced_by(kind)
        if list(found_at(before.get("Properties", {}), path)) != list(found_at(after.get("Properties", {}), path))
    ]


def test_no_resource_is_removed_or_becomes_another(update: tuple[Stack, Stack]) -> None:
    before, after = update
    kinds = {name: resource["Type"] for name, resource in before.resources.items()}
    assert len(kinds) > 20
    assert {name: after.resources[name]["Type"] for name in kinds if name in after.resources} == kinds


def test_no_resource_is_replaced(update: tuple[Stack, Stack]) -> None:
    before, after = update
    assert {
        name: found
        for name, resource in before.resources.items()
        if name in after.resources and (found := replacing(resource["Type"], resource, after.resources[name]))
    } == {}


def test_what_holds_data_stays_when_the_stack_goes(update: tuple[Stack, Stack]) -> None:
    before, after = update
    for name, kind in HOLDS_DATA.items():
        for resource in (one.resources[name] for one in (before, after) if name in before.resources):
            assert resource["Type"] == kind
            assert resource["DeletionPolicy"] == "RetainExceptOnCreate"
            assert resource["UpdateReplacePolicy"] == "Retain"


def test_what_replaces_a_bucket_is_seen() -> None:
    assert ["BucketName"] in replaced_by("AWS::S3::Bucket")
    assert ["KmsKeyArn"] in replaced_by("AWS::APS::Workspace")
    named = {"Properties": {"BucketName": "a"}}
    assert replacing("AWS::S3::Bucket", {"Properties": {}}, named) == ["BucketName"]
    assert replacing("AWS::S3::Bucket", named, named) == []


def test_every_parameter_is_still_there_and_takes_what_it_took(
    earlier: tuple[dict[str, Any], dict[str, Any]], today: tuple[dict[str, Any], dict[str, Any]]
) -> None:
    """An update with previous values fails where one of them is no longer allowed."""
    for name, before in earlier[0]["Parameters"].items():
        after = today[0]["Parameters"][name]
        assert (after["Type"], after["Default"]) == (before["Type"], before["Default"]), name
        assert set(before.get("AllowedValues", ())) <= set(after.get("AllowedValues", ())), name
        assert after.get("MinValue", 0) <= before.get("MinValue", 0), name
        assert after.get("MaxValue", 0) >= before.get("MaxValue", 0), name


def test_parameters_that_are_new_have_a_default(
    earlier: tuple[dict[str, Any], dict[str, Any]], today: tuple[dict[str, Any], dict[str, Any]]
) -> None:
    new = today[0]["Parameters"].keys() - earlier[0]["Parameters"].keys()
    assert [name for name in new if "Default" not in today[0]["Parameters"][name]] == []


def test_every_output_is_still_there(update: tuple[Stack, Stack]) -> None:
    before, after = update
    assert before.outputs().items() <= after.outputs().items()


IN_MOTO = ("SpoolBucket", "FailureQueue")  # moto makes no workspaces


def part_of(template: dict[str, Any]) -> str:
    resources = {name: template["Resources"][name] for name in IN_MOTO}
    kept = {name: template[name] for name in ("Parameters", "Conditions")}
    return json.dumps({"AWSTemplateFormatVersion": "2010-09-09", **kept, "Resources": resources})


@pytest.mark.slow
def test_an_updated_stack_keeps_its_bucket_with_what_is_in_it(
    earlier: tuple[dict[str, Any], dict[str, Any]], today: tuple[dict[str, Any], dict[str, Any]]
) -> None:
    with Aws() as aws:
        client, s3 = aws.client("cloudformation"), aws.client("s3")

        def ids() -> dict[str, str]:
            found = client.describe_stack_resources(StackName="metrics")["StackResources"]
            return {one["LogicalResourceId"]: one["PhysicalResourceId"] for one in found}

        client.create_stack(StackName="metrics", TemplateBody=part_of(earlier[1]))
        before = ids()
        s3.put_object(Bucket=before["SpoolBucket"], Key="spool/1", Body=b"waiting")
        client.update_stack(StackName="metrics", TemplateBody=part_of(today[1]))
        assert ids() == before
        assert before.keys() >= {"SpoolBucket", "FailureQueue"}
        assert s3.get_object(Bucket=before["SpoolBucket"], Key="spool/1")["Body"].read() == b"waiting"
