"""EC2 instances as targets: every label, from a fake that holds data and from moto over a real socket."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import boto3
import pytest

from tests.rig.aws import REGION, Aws
from tests.rig.clouds import Ec2, Item
from tests.rig.discovery import Rig, addresses
from tests.rig.tables import listed, table

pytestmark = pytest.mark.slow  # moto answers slowly

EC2 = "__meta_ec2_"

CASES = dict(listed("discovery/ec2.yaml"))
FULL: Item = CASES["every label"]["instance"]


def named(labels: Mapping[str, Any]) -> dict[str, Any]:
    return {name if name.startswith("__") else f"{EC2}{name}": value for name, value in labels.items()}


FULL_LABELS = named(CASES["every label"]["labels"])
ENTRY = "ec2_sd_configs: [{port: 9100}]"


def with_ec2(make_rig: Callable[..., Rig], ec2: Ec2) -> Rig:
    return make_rig(client=lambda service, config: ec2)


def labels(make_rig: Callable[..., Rig], instance: Item) -> list[dict[str, str]]:
    return with_ec2(make_rig, Ec2([instance])).targets(ENTRY)


@table("case", list(CASES.items()))
def test_labels(make_rig: Callable[..., Rig], case: dict[str, Any]) -> None:
    """What Prometheus would set, and nothing else; labels of what AWS does not say are absent."""
    (found,) = labels(make_rig, {key: value for key, value in case["instance"].items() if value is not None})
    if "labels" in case:
        assert found == named(case["labels"])
    else:
        expected = named(case["among"])
        assert {name: found.get(name) for name in expected} == expected


def test_without_a_private_address(make_rig: Callable[..., Rig]) -> None:
    """A terminated instance is no target."""
    assert labels(make_rig, {"InstanceId": "i-1", "State": {"Name": "terminated"}, "PublicIpAddress": "1.2.3.4"}) == []


def numbered(count: int) -> list[Item]:
    states = ("running", "stopped")
    return [
        {"InstanceId": f"i-{n}", "PrivateIpAddress": f"10.0.0.{n}", "State": {"Name": states[n % 2]}}
        for n in range(count)
    ]


def test_pages(make_rig: Callable[..., Rig]) -> None:
    """All pages are read; nothing filters by state."""
    ec2 = Ec2(numbered(5))
    found = with_ec2(make_rig, ec2).found("ec2_sd_configs: [{}]")
    assert addresses(found) == [f"10.0.0.{n}:80" for n in range(5)]
    assert ec2.names() == ["describe_availability_zones"] + ["describe_instances"] * 3
    assert "Filters" not in ec2.calls[-1][1]


def test_filters(make_rig: Callable[..., Rig]) -> None:
    """They go to AWS as they are written."""
    ec2 = Ec2(numbered(5))
    entry = "ec2_sd_configs: [{filters: [{name: instance-state-name, values: [running, pending]}]}]"
    assert addresses(with_ec2(make_rig, ec2).found(entry)) == ["10.0.0.0:80", "10.0.0.2:80", "10.0.0.4:80"]
    assert ec2.calls[-1][1]["Filters"] == [{"Name": "instance-state-name", "Values": ["running", "pending"]}]


def test_zones_denied(make_rig: Callable[..., Rig]) -> None:
    """Without that permission one label is empty, and that is all; the zones are asked for again later."""
    ec2 = Ec2([FULL])
    ec2.denied["describe_availability_zones"] = "UnauthorizedOperation"
    rig = with_ec2(make_rig, ec2)
    discovery = rig.discovery(ENTRY)
    found = discovery.targets(rig.deadline())
    assert found.warnings == []
    assert dict(found.groups[0].targets[0]) == {**FULL_LABELS, f"{EC2}availability_zone_id": ""}
    ec2.denied.clear()
    rig.clock.ahead += 60
    assert dict(discovery.targets(rig.deadline()).groups[0].targets[0]) == FULL_LABELS


def test_zones_are_asked_for_once(make_rig: Callable[..., Rig]) -> None:
    """They hardly ever change."""
    ec2 = Ec2([FULL])
    rig = with_ec2(make_rig, ec2)
    discovery = rig.discovery(ENTRY)
    for _ in range(3):
        discovery.targets(rig.deadline())
        rig.clock.ahead += 60
    assert ec2.names().count("describe_availability_zones") == 1
    assert ec2.names().count("describe_instances") == 3


def test_instances_denied(make_rig: Callable[..., Rig]) -> None:
    """The warning says what to allow."""
    ec2 = Ec2([FULL])
    ec2.denied["describe_instances"] = "UnauthorizedOperation"
    found = with_ec2(make_rig, ec2).found(ENTRY)
    assert found.groups == []
    (warning,) = found.warnings
    assert warning.startswith("ec2_sd_configs: eu-west-1: ClientError: An error occurred (UnauthorizedOperation)")
    assert warning.endswith("; does the role allow ec2:DescribeInstances?; no targets are known")


def test_throttled(make_rig: Callable[..., Rig]) -> None:
    """The last good list stays, half a new one is not mixed in."""
    ec2 = Ec2(numbered(5))
    rig = with_ec2(make_rig, ec2)
    discovery = rig.discovery("ec2_sd_configs: [{}]")
    discovery.targets(rig.deadline())
    ec2.instances = numbered(3)
    ec2.denied["describe_instances"] = "RequestLimitExceeded"
    rig.clock.ahead += 61
    found = discovery.targets(rig.deadline())
    assert len(addresses(found)) == 5
    (warning,) = found.warnings
    assert "does the role allow" not in warning
    assert warning.endswith("the list of 1m1s ago stays in use (5 targets)")


def test_unreachable(make_rig: Callable[..., Rig]) -> None:
    """The warning says how a function in a VPC reaches EC2."""
    (warning,) = make_rig("http://127.0.0.1:1").found("ec2_sd_configs: [{}]").warnings
    assert "EndpointConnectionError" in warning
    assert "a function in a VPC reaches ec2 through a NAT gateway or an interface endpoint" in warning


# --- moto -------------------------------------------------------------------------------------------------------------


def launched(aws: Aws, **arguments: Any) -> Any:
    client = aws.client("ec2")
    image = client.describe_images()["Images"][0]["ImageId"]
    made = client.run_instances(ImageId=image, MinCount=1, MaxCount=1, InstanceType="t3.micro", **arguments)
    return made["Instances"][0]


def test_moto(aws: Aws, cloud: Rig) -> None:
    """The same labels out of what boto3 makes of a real answer."""
    subnet = aws.client("ec2").describe_subnets()["Subnets"][0]
    tags = [{"Key": "aws-like:name", "Value": "web"}, {"Key": "env", "Value": "prod"}]
    instance = launched(
        aws,
        SubnetId=subnet["SubnetId"],
        TagSpecifications=[{"ResourceType": "instance", "Tags": tags}],
    )
    zones = {
        zone["ZoneName"]: zone["ZoneId"]
        for zone in aws.client("ec2").describe_availability_zones()["AvailabilityZones"]
    }
    (described,) = aws.client("ec2").describe_instances()["Reservations"]
    now = described["Instances"][0]
    (target,) = cloud.targets(ENTRY)
    expected = {
        "__address__": f"{instance['PrivateIpAddress']}:9100",
        f"{EC2}ami": instance["ImageId"],
        f"{EC2}architecture": "x86_64",
        f"{EC2}availability_zone": subnet["AvailabilityZone"],
        f"{EC2}availability_zone_id": zones[subnet["AvailabilityZone"]],
        f"{EC2}instance_id": instance["InstanceId"],
        f"{EC2}instance_state": "running",
        f"{EC2}instance_type": "t3.micro",
        f"{EC2}owner_id": described["OwnerId"],
        f"{EC2}primary_subnet_id": subnet["SubnetId"],
        f"{EC2}private_dns_name": now["PrivateDnsName"],
        f"{EC2}private_ip": instance["PrivateIpAddress"],
        f"{EC2}public_dns_name": now["PublicDnsName"],
        f"{EC2}public_ip": now["PublicIpAddress"],
        f"{EC2}region": REGION,
        f"{EC2}subnet_id": f",{subnet['SubnetId']},",
        f"{EC2}tag_aws_like_name": "web",
        f"{EC2}tag_env": "prod",
        f"{EC2}vpc_id": subnet["VpcId"],
    }
    assert {name: value for name, value in target.items() if not name.endswith("platform")} == expected


def test_moto_assumed_role(aws: Aws, cloud: Rig) -> None:
    """Another account's instances are seen with the keys of the assumed role, which are renewed before their end."""
    role = "arn:aws:iam::444455556666:role/seen"
    keys = aws.client("sts").assume_role(RoleArn=role, RoleSessionName="test")["Credentials"]
    there = boto3.client(
        "ec2",
        endpoint_url=aws.url,
        region_name=REGION,
        aws_access_key_id=keys["AccessKeyId"],
        aws_secret_access_key=keys["SecretAccessKey"],
        aws_session_token=keys["SessionToken"],
    )
    image = there.describe_images()["Images"][0]["ImageId"]
    there.run_instances(ImageId=image, MinCount=1, MaxCount=1)
    discovery = cloud.discovery(f"ec2_sd_configs: [{{role_arn: '{role}', external_id: ours}}]")
    made = []
    for seconds in (0, 60, 3600 - 300):
        cloud.clock.ahead += seconds
        (target,) = discovery.targets(cloud.deadline()).groups[0].targets
        assert target[f"{EC2}owner_id"] == "444455556666"
        made.append(list(cloud.session.made))
    assert made == [["sts", "ec2"], ["sts", "ec2"], ["sts", "ec2"] * 2]
