"""Every combination of parameters that the rules let through makes a stack that CloudFormation and IAM take.

A resource is resolved with all values of all the parameters that decide over it, or over what it refers to. A
parameter that decides over nothing there cannot break it.
"""

from __future__ import annotations

import itertools
import json
import re
from collections.abc import Iterator
from functools import cache
from typing import Any

import pytest
from botocore.session import get_session

from tests.rig.grants import (
    BOUNDARY,
    BUCKET,
    GRAFANA,
    KEY,
    OBJECT,
    PARAMETER,
    POLICIES,
    READER,
    SECRETS,
    TOPIC,
    WORKSPACE,
)
from tests.rig.stack import Stack, StackOf, references

GIVEN = {
    "WorkspaceId": WORKSPACE,
    "Config": "s3://configs/pusher/config.yaml",
    "ConfigObjectArn": OBJECT,
    "SecretArns": ",".join(SECRETS),
    "SsmParameterArns": PARAMETER,
    "KmsKeyArn": KEY,
    "AssumeRoleArns": READER,
    "SourcePolicyArns": ",".join(POLICIES),
    "DiscoveryBucketArn": BUCKET,
    "BackfillBucketArn": BUCKET,
    "SubnetIds": "subnet-1,subnet-2",
    "SecurityGroupIds": "sg-1",
    "S3EndpointVpcId": "vpc-1",
    "S3EndpointRouteTableIds": "rtb-1",
    "PermissionsBoundaryArn": BOUNDARY,
    "AlarmTopicArn": TOPIC,
    "RunbookUrl": "https://wiki.example.com/runbooks",
    "GrafanaPrincipalArn": GRAFANA,
    "GrafanaExternalId": "between-us",
}
TOGETHER = [("SubnetIds", "SecurityGroupIds"), ("S3EndpointVpcId", "S3EndpointRouteTableIds")]


class Combinations:
    """The template's resources and outputs, and the values of parameters that decide over each."""

    def __init__(self, template: dict[str, Any], translated: dict[str, Any]) -> None:
        self._template, self._translated = template, translated
        self.decide = cache(self._decide)

    def of(self, value: Any) -> Iterator[dict[str, str]]:
        """All the combinations that decide over a resource or an output; the rest stays at its default."""
        names = sorted(
            set().union(*(self.decide(name) for name in references(value))) & set(self._template["Parameters"])
        )
        for chosen in itertools.product(*(self._values(name) for name in names)):
            parameters = dict(zip(names, chosen, strict=True))
            for one, other in TOGETHER:  # what the rules demand
                if parameters.get(one):
                    parameters[other] = GIVEN[other]
            yield parameters

    def _values(self, name: str) -> list[str]:
        return [
            str(value) for value in self._template["Parameters"][name].get("AllowedValues", ["", GIVEN.get(name, "1")])
        ]

    def _decide(self, name: str) -> frozenset[str]:
        """The parameters behind a condition, behind the condition of a resource, or in a mapping's key."""
        if name in self._template["Conditions"]:
            behind = references(self._template["Conditions"][name])
            return frozenset(behind).union(*map(self.decide, behind))
        condition = self._translated["Resources"].get(name, {}).get("Condition")
        return self.decide(condition) if condition else frozenset()


def empty_places(value: Any, place: str = "") -> Iterator[str]:
    """Where a list or a mapping has nothing in it: IAM and CloudFormation refuse most of those."""
    if value in ([], {}, [""]):
        yield place
    elif isinstance(value, dict):
        for key, item in value.items():
            yield from empty_places(item, f"{place}.{key}")
    elif isinstance(value, list):
        for item in value:
            yield from empty_places(item, f"{place}[]")


def test_every_combination_resolves(template: dict[str, Any], translated: dict[str, Any]) -> None:
    """No reference to what is not there, and nothing empty is left."""
    combinations, count = Combinations(template, translated), 0
    whole = {**translated["Resources"], **{f"Outputs.{name}": one for name, one in template["Outputs"].items()}}
    for name, found in whole.items():
        for parameters in combinations.of(found):
            stack = Stack(template, translated, **parameters)
            assert not stack.broken_rules(), parameters
            if stack.conditions.get(found.get("Condition"), True):
                assert list(empty_places(stack.resolve(found))) == [], (name, parameters)
            count += 1
    assert count > 1000


@pytest.mark.parametrize(
    ("parameters", "detail"),
    [
        pytest.param({}, [], id="no VPC"),
        pytest.param({"SubnetIds": "subnet-1", "SecurityGroupIds": "sg-1"}, [], id="subnets and groups"),
        pytest.param({"SubnetIds": "subnet-1"}, ["SubnetIds need SecurityGroupIds too."], id="subnets alone"),
        pytest.param(
            {"SubnetIds": "subnet-1,subnet-2"}, ["SubnetIds need SecurityGroupIds too."], id="two subnets alone"
        ),
        pytest.param({"SecurityGroupIds": "sg-1"}, ["SecurityGroupIds need SubnetIds too."], id="groups alone"),
        pytest.param({"S3EndpointVpcId": "vpc-1", "S3EndpointRouteTableIds": "rtb-1,rtb-2"}, [], id="endpoint"),
        pytest.param(
            {"S3EndpointVpcId": "vpc-1"}, ["S3EndpointVpcId needs S3EndpointRouteTableIds too."], id="VPC alone"
        ),
        pytest.param(
            {"S3EndpointRouteTableIds": "rtb-1"},
            ["S3EndpointRouteTableIds need S3EndpointVpcId too."],
            id="tables alone",
        ),
    ],
)
def test_half_a_network_is_refused_before_anything_is_made(
    stack_of: StackOf, parameters: dict[str, str], detail: list[str]
) -> None:
    """CloudFormation evaluates rules before it creates or updates any resource."""
    assert stack_of(**parameters).broken_rules() == detail


# --- Limits ----------------------------------------------------------------------------------------------------------

REGION, ACCOUNT, NAME = "eusc-de-east-1", "123456789012", "s" * 128  # a stack's name has at most 128 characters
ID = "0a1b2c3d-4e5f-6071-8293-a4b5c6d7e8f9"
LONGEST = {
    "AWS::Partition": "aws-us-gov",
    "AWS::Region": REGION,
    "AWS::AccountId": ACCOUNT,
    "AWS::URLSuffix": "cloud.adc-e.uk",
    "AWS::StackName": NAME,
    "AWS::StackId": f"arn:aws-us-gov:cloudformation:{REGION}:{ACCOUNT}:stack/{NAME}/{ID}",
}
PARAMETER_BYTES = 4096  # CloudFormation, quotas: "Parameter values", "4,096 bytes"
MANAGED, INLINE, TRUST = 6144, 10240, 2048  # IAM, quotas; white space is not counted
ATTACHED = 10  # IAM, quotas: managed policies that are attached to a role


class Long(Stack):
    """A stack whose name, region and resources are as long as they come."""

    pseudo = LONGEST

    def _of_resource(self, name: str, detail: str) -> str:
        super()._of_resource(name, detail)
        generated = {"SpoolBucket": 63, "Workspace": 39, "FailureQueue": 80}.get(name, 64)
        own = NAME if name.endswith("LogGroup") else "n" * generated
        return f"arn:aws-us-gov:service:{REGION}:{ACCOUNT}:resource-type/{own}" if "." in detail else own


def listed(arn: str, count: int) -> str:
    """So many ARNs, each different."""
    return ",".join(f"{arn}{number:03}" for number in range(count))


def as_many(arn: str) -> str:
    """As many ARNs as a parameter holds."""
    return listed(arn, (PARAMETER_BYTES + 1) // (len(arn) + 4))


SECRET = f"arn:aws:secretsmanager:{REGION}:{ACCOUNT}:secret:production/metrics/api-??????-"
ROLE = f"arn:aws:iam::{ACCOUNT}:role/production/metrics/reader-of-another-account"
EVERYTHING = GIVEN | {
    "ConfigObjectArn": f"arn:aws-us-gov:s3:::{'b' * 63}/{'k' * 1024}",
    "DiscoveryBucketArn": f"arn:aws-us-gov:s3:::{'b' * 63}",
    "BackfillBucketArn": f"arn:aws-us-gov:s3:::{'b' * 63}",
    "GrafanaPrincipalArn": f"arn:aws-us-gov:iam::{ACCOUNT}:role/{'p' * 510}/{'r' * 64}",
    "GrafanaExternalId": "x" * 1224,
    "QueryWorkspace": "yes",
    "Backfill": "widen",
    "Ec2Discovery": "yes",
    "EcsDiscovery": "yes",
    "RunbookUrl": f"https://{'w' * 504}",
    "DiscardedSamplesAlarm": "yes",
    "Dashboard": "yes",
    "Rules": "yes",
}


PARTITIONS = ["aws", "aws-cn", "aws-us-gov", "aws-eusc", "aws-iso", "aws-iso-b", "aws-iso-e"]


@cache
def partitions() -> dict[str, tuple[str, str]]:
    """Of all partitions that botocore knows: the suffix of host names, and one region."""
    found = get_session().get_data("partitions")["partitions"]
    return {one["id"]: (one["outputs"]["dnsSuffix"], next(iter(one["regions"]))) for one in found}


@pytest.mark.parametrize("partition", PARTITIONS)
def test_arns_and_host_names_are_those_of_the_partition(
    template: dict[str, Any], translated: dict[str, Any], partition: str
) -> None:
    """AWS::Partition and AWS::URLSuffix are as botocore has them. Principals of services and the names of gateway
    endpoints are the same everywhere."""
    suffix, region = partitions()[partition]

    class There(Stack):
        pseudo = LONGEST | {"AWS::Partition": partition, "AWS::URLSuffix": suffix, "AWS::Region": region}

    key = f"arn:{partition}:kms:{region}:{ACCOUNT}:key/1"
    stack = There(template, translated, WorkspaceId=WORKSPACE, KmsKeyArn=key, QueryWorkspace="yes", Backfill="widen")
    url = f"https://aps-workspaces.{region}.{suffix}/workspaces/{WORKSPACE}/api/v1/remote_write"
    assert stack.outputs()["RemoteWriteUrl"] == url
    assert f"secretsmanager.{region}.{suffix}" in json.dumps(stack.resources)
    assert set(re.findall(r"arn:([\w-]+):", json.dumps([stack.resources, stack.outputs()]))) == {partition}


@pytest.mark.parametrize("partition", PARTITIONS)
def test_a_parameter_takes_arns_of_every_partition(template: dict[str, Any], partition: str) -> None:
    region = partitions()[partition][1]
    for name, given in GIVEN.items():
        pattern = template["Parameters"][name].get("AllowedPattern")
        if pattern and given.startswith("arn:aws:"):
            there = re.sub(r":(kms|sns):[\w-]+:", rf":\1:{region}:", given.replace("arn:aws:", f"arn:{partition}:"))
            assert re.fullmatch(pattern, there), (name, there)


def size(document: Any) -> int:
    return len(json.dumps(document, separators=(",", ":")))


@pytest.mark.parametrize(
    "lists",
    [
        pytest.param((listed(SECRET, 40), listed(PARAMETER, 40), listed(ROLE, 40)), id="40 each"),
        pytest.param((as_many(SECRET), as_many(PARAMETER), as_many(ROLE)), id="as many as a parameter holds"),
        pytest.param((as_many("arn:aws:s"), as_many("arn:aws:p"), as_many("arn:aws:r")), id="as many short ones"),
    ],
)
def test_policies_stay_below_iams_limits(
    template: dict[str, Any], translated: dict[str, Any], lists: tuple[str, str, str]
) -> None:
    assert all(len(one) <= PARAMETER_BYTES for one in lists)
    given = dict(zip(("SecretArns", "SsmParameterArns", "AssumeRoleArns"), lists, strict=True))
    for name in ("DiscoveryPrefix", "BackfillPrefix"):
        given[name] = "p" * template["Parameters"][name]["MaxLength"]
    for workspace in ("", WORKSPACE):
        stack = Long(template, translated, **{**EVERYTHING, **given, "WorkspaceId": workspace})
        for name, policy in stack.of_type("AWS::IAM::ManagedPolicy").items():
            assert size(policy["PolicyDocument"]) <= MANAGED, name
        for name, role in stack.of_type("AWS::IAM::Role").items():
            assert sum(size(policy["PolicyDocument"]) for policy in role["Policies"]) <= INLINE, name
            assert size(role["AssumeRolePolicyDocument"]) <= TRUST, name
            in_a_vpc = len([one for one in stack.of_type("AWS::IAM::ManagedPolicy").values() if "Roles" in one])
            assert len(role.get("ManagedPolicyArns", [])) + in_a_vpc <= ATTACHED, name


NAMES = {
    "AWS::APS::Workspace": [("Alias", "amp", "CreateWorkspace", "alias")],
    "AWS::APS::RuleGroupsNamespace": [("Name", "amp", "CreateRuleGroupsNamespace", "name")],
    "AWS::Logs::LogGroup": [("LogGroupName", "logs", "CreateLogGroup", "logGroupName")],
    "AWS::IAM::Role": [("Description", "iam", "CreateRole", "Description")],
    "AWS::IAM::ManagedPolicy": [("Description", "iam", "CreatePolicy", "Description")],
    "AWS::Lambda::Function": [("Description", "lambda", "CreateFunction", "Description")],
    "AWS::Scheduler::Schedule": [("Description", "scheduler", "CreateSchedule", "Description")],
    "AWS::CloudWatch::Alarm": [("AlarmDescription", "cloudwatch", "PutMetricAlarm", "AlarmDescription")],
    "AWS::Logs::QueryDefinition": [
        ("Name", "logs", "PutQueryDefinition", "name"),
        ("QueryString", "logs", "PutQueryDefinition", "queryString"),
    ],
}


@pytest.mark.parametrize("kind", NAMES)
def test_a_stack_with_the_longest_name_stays_below_each_limit(
    template: dict[str, Any], translated: dict[str, Any], kind: str
) -> None:
    """The limits are those that the services' own models state."""
    stack = Long(template, translated, **{**EVERYTHING, "Shards": "16", "WorkspaceId": ""})
    for property_name, service, operation, member in NAMES[kind]:
        shape = get_session().get_service_model(service).operation_model(operation).input_shape.members[member]
        for name, properties in stack.of_type(kind).items():
            assert len(properties[property_name]) <= shape.metadata["max"], name


def test_the_name_of_a_dashboard_is_one_that_cloudwatch_takes(
    template: dict[str, Any], translated: dict[str, Any]
) -> None:
    """PutDashboard: "The name of the dashboard. If a dashboard with this name already exists, this call modifies that
    dashboard". "The valid characters are A-Z, a-z, 0-9, "-", and "_"". At most 255 of them."""
    stack = Long(template, translated, **{**EVERYTHING, "WorkspaceId": ""})
    assert re.fullmatch(r"[\w-]{1,255}", stack["CloudWatchDashboard"]["DashboardName"], re.ASCII)


def test_few_resources_have_names_of_ours(template: dict[str, Any], translated: dict[str, Any]) -> None:
    """CloudFormation makes all others itself, of the stack's and the resource's name, within each service's limit;
    but those that people look for, whose names contain the stack's."""
    stack = Long(template, translated, **{**EVERYTHING, "Shards": "16", "WorkspaceId": ""})
    names = {
        "Name",
        "FunctionName",
        "RoleName",
        "ManagedPolicyName",
        "QueueName",
        "BucketName",
        "AlarmName",
        "StateMachineName",
    }
    # Of the first FunctionName says of which function, of the others CloudFormation demands a name.
    others = {"AWS::Lambda::EventInvokeConfig", "AWS::APS::RuleGroupsNamespace", "AWS::Logs::QueryDefinition"}
    assert not [
        name for name, one in stack.resources.items() if one["Type"] not in others and names & set(one["Properties"])
    ]
    assert all(NAME in one["Name"] for one in stack.of_type("AWS::Logs::QueryDefinition").values())


def test_variables_of_the_longest_name_and_config_fit(template: dict[str, Any], translated: dict[str, Any]) -> None:
    """Lambda, quotas: "Environment variables: 4 KB, for all environment variables associated with the function, in
    aggregate". A longer config would fail only while the function is made."""
    longest = "s3://" + "k" * (template["Parameters"]["Config"]["MaxLength"] - 5)
    stack = Long(template, translated, **{**EVERYTHING, "Config": longest})
    for function in stack.of_type("AWS::Lambda::Function").values():
        assert size(function["Environment"]["Variables"]) <= 4096
