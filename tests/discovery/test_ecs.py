"""ECS tasks as targets: every label, from fakes that hold data and from moto over a real socket."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from tests.rig.aws import REGION, Aws
from tests.rig.clouds import Client, Ec2, Ecs, Item
from tests.rig.discovery import Rig, addresses
from tests.rig.tables import listed, table

pytestmark = pytest.mark.slow  # moto answers slowly

ECS = "__meta_ecs_"
ARN = "arn:aws:ecs:eu-west-1:111122223333:"
PROD, LAB = f"{ARN}cluster/prod", f"{ARN}cluster/lab"


def eni(address: str, interface: str) -> Item:
    details = [{"name": "subnetId", "value": "subnet-a"}, {"name": "networkInterfaceId", "value": interface}]
    details.append({"name": "privateIPv4Address", "value": address})
    return {"type": "ElasticNetworkInterface", "details": details}


CASES = dict(listed("discovery/ecs.yaml"))
FARGATE, BRIDGE = CASES["fargate"]["task"], CASES["bridge"]["task"]
IN_LAB = {**FARGATE, "clusterArn": LAB, "taskArn": f"{ARN}task/lab/1", "attachments": [eni("10.9.9.9", "eni-9")]}
HOST: Item = {
    "InstanceId": "i-1",
    "InstanceType": "m5.large",
    "PrivateIpAddress": "10.0.0.5",
    "PublicIpAddress": "198.51.100.5",
    "SubnetId": "subnet-h",
    "Tags": [{"Key": "aws:rack", "Value": "7"}],
}


class Cloud:
    """Both services, and discovery that asks them."""

    def __init__(self, make_rig: Callable[..., Rig], *tasks: Item) -> None:
        self.ecs = Ecs(
            clusters=[
                {"clusterArn": PROD, "clusterName": "prod", "tags": [{"key": "env", "value": "prod"}]},
                {"clusterArn": LAB, "clusterName": "lab"},
            ],
            services=[
                {"clusterArn": PROD, "serviceName": "web", "serviceArn": f"{ARN}service/prod/web", "status": "ACTIVE",
                 "tags": [{"key": "team", "value": "a"}]},
                {"clusterArn": PROD, "serviceName": "old", "serviceArn": f"{ARN}service/prod/old",
                 "status": "DRAINING", "tags": [{"key": "team", "value": "b"}]},
            ],
            tasks=tasks,
            hosts=[{"containerInstanceArn": f"{ARN}container-instance/prod/h1", "ec2InstanceId": "i-1"}],
        )  # fmt: skip
        public = {"NetworkInterfaceId": "eni-1", "Association": {"PublicIp": "203.0.113.1"}}
        self.ec2 = Ec2([HOST], [public, {"NetworkInterfaceId": "eni-3"}])
        clients: dict[str, Client] = {"ecs": self.ecs, "ec2": self.ec2}
        self.rig = make_rig(client=lambda service, config: clients[service])

    def targets(self, entry: str = "ecs_sd_configs: [{port: 8080}]") -> list[dict[str, str]]:
        return self.rig.targets(entry)


@table("case", list(CASES.items()))
def test_labels(make_rig: Callable[..., Rig], case: dict[str, Any]) -> None:
    """What Prometheus would set for a task, and nothing else; without an address (yet) it is no target."""
    labels = case["labels"]
    named = {name if name.startswith("__") else f"{ECS}{name}": value for name, value in (labels or {}).items()}
    assert Cloud(make_rig, case["task"]).targets() == ([named] if labels else [])


def test_all_clusters_and_pages(make_rig: Callable[..., Rig]) -> None:
    """Without clusters all of them, page by page."""
    many = [{**FARGATE, "taskArn": f"t{n}", "attachments": [eni(f"10.0.2.{n}", f"eni-{n}")]} for n in range(7)]
    cloud = Cloud(make_rig, *many, IN_LAB)
    found = [target["__address__"] for target in cloud.targets()]
    assert found == [*(f"10.0.2.{n}:8080" for n in range(7)), "10.9.9.9:8080"]
    assert cloud.ecs.names().count("list_tasks") == 4 + 1


@pytest.mark.parametrize("name", ["lab", LAB], ids=["name", "arn"])
def test_named_clusters(make_rig: Callable[..., Rig], name: str) -> None:
    """Only those, and nothing lists the others."""
    cloud = Cloud(make_rig, FARGATE, IN_LAB)
    targets = cloud.targets(f"aws_sd_configs: [{{role: ecs, clusters: ['{name}']}}]")
    assert [target["__address__"] for target in targets] == ["10.9.9.9:80"]
    assert "list_clusters" not in cloud.ecs.names()


def test_an_empty_cluster_costs_two_calls(make_rig: Callable[..., Rig]) -> None:
    """Services, hosts and addresses are asked for only when there are tasks."""
    cloud = Cloud(make_rig)
    assert cloud.targets("ecs_sd_configs: [{clusters: [lab]}]") == []
    assert [name for name in cloud.ecs.names() if " " not in name] == ["describe_clusters", "list_tasks"]
    assert cloud.ec2.calls == []


def test_a_service_that_is_draining(make_rig: Callable[..., Rig]) -> None:
    """Prometheus takes services from ListServices, which does not have one that "moves from ACTIVE to DRAINING" (ECS
    API Reference, DeleteService). Its tasks run on, without its labels."""
    cloud = Cloud(make_rig, {**FARGATE, "group": "service:old"})
    (target,) = cloud.targets()
    assert target["__address__"] == "10.0.1.1:8080"
    assert target[f"{ECS}task_group"] == "service:old"
    assert not target.keys() & {f"{ECS}{name}" for name in ("service", "service_arn", "service_status")}
    assert f"{ECS}tag_service_team" not in target


def test_many_services(make_rig: Callable[..., Rig]) -> None:
    """They are described ten at a time, each once."""
    tasks = [{**FARGATE, "taskArn": f"t{n}", "group": f"service:s{n % 25}"} for n in range(50)]
    cloud = Cloud(make_rig, *tasks)
    cloud.ecs.page = 100
    assert len(cloud.targets()) == 50
    assert cloud.ecs.names().count("describe_services") == 3


def test_unknown_cluster(make_rig: Callable[..., Rig]) -> None:
    """A missing cluster is a warning; the others are found."""
    cloud = Cloud(make_rig, FARGATE)
    found = cloud.rig.found("ecs_sd_configs: [{clusters: [prod, prd]}]")
    assert addresses(found) == ["10.0.1.1:80"]
    assert found.warnings == ["ecs_sd_configs: arn:prd: MISSING; check the name in clusters; no targets are known"]


def test_one_cluster_fails(make_rig: Callable[..., Rig]) -> None:
    """It keeps its last targets; the others are as they are now."""
    cloud = Cloud(make_rig, FARGATE, IN_LAB)
    discovery = cloud.rig.discovery("ecs_sd_configs: [{}]")
    discovery.targets(cloud.rig.deadline())
    cloud.ecs.tasks = [{**FARGATE, "attachments": [eni("10.0.1.2", "eni-2")]}]
    cloud.ecs.denied[f"list_tasks {LAB}"] = "ThrottlingException"
    cloud.rig.clock.ahead += 60
    found = discovery.targets(cloud.rig.deadline())
    assert addresses(found) == ["10.0.1.2:80", "10.9.9.9:80"]
    (warning,) = found.warnings
    assert warning.startswith("ecs_sd_configs: eu-west-1: ClientError")
    assert warning.endswith("the list of 1m ago stays in use (1 target)")


DENIED = {
    "list_clusters": "ecs:ListClusters",
    "describe_clusters": "ecs:DescribeClusters",
    "list_tasks": "ecs:ListTasks",
    "describe_tasks": "ecs:DescribeTasks",
    "describe_services": "ecs:DescribeServices",
    "describe_container_instances": "ecs:DescribeContainerInstances",
    "describe_instances": "ec2:DescribeInstances",
    "describe_network_interfaces": "ec2:DescribeNetworkInterfaces",
}


@pytest.mark.parametrize(("operation", "action"), DENIED.items(), ids=DENIED)
def test_denied(make_rig: Callable[..., Rig], operation: str, action: str) -> None:
    """Every call is needed for some label, so a denied one is a warning with its permission."""
    cloud = Cloud(make_rig, FARGATE, BRIDGE)
    cloud.ecs.denied[operation] = cloud.ec2.denied[operation] = "AccessDeniedException"
    warning, *_ = cloud.rig.found("ecs_sd_configs: [{}]").warnings
    assert f"does the role allow {action}?" in warning


# --- moto -------------------------------------------------------------------------------------------------------------


def test_moto(aws: Aws, cloud: Rig) -> None:
    """The same labels out of what boto3 makes of real answers."""
    ecs, ec2 = aws.client("ecs"), aws.client("ec2")
    subnet = ec2.describe_subnets()["Subnets"][0]
    arn = ecs.create_cluster(clusterName="prod", tags=[{"key": "env", "value": "prod"}])["cluster"]["clusterArn"]
    ecs.create_cluster(clusterName="empty")
    container: Any = {"name": "web", "image": "web", "memory": 64, "cpu": 64}
    ecs.register_task_definition(family="web", networkMode="awsvpc", containerDefinitions=[container])
    ecs.run_task(
        cluster="prod",
        taskDefinition="web",
        launchType="FARGATE",
        networkConfiguration={"awsvpcConfiguration": {"subnets": [subnet["SubnetId"]], "securityGroups": []}},
        tags=[{"key": "app", "value": "web"}],
    )
    (task,) = ecs.describe_tasks(cluster="prod", tasks=ecs.list_tasks(cluster="prod")["taskArns"])["tasks"]
    (address,) = (
        detail["value"]
        for attachment in task["attachments"]
        for detail in attachment["details"]
        if detail["name"] == "privateIPv4Address"
    )
    (target,) = cloud.targets("ecs_sd_configs: [{port: 8080}]")
    expected = {
        "__address__": f"{address}:8080",
        f"{ECS}cluster": "prod",
        f"{ECS}cluster_arn": arn,
        f"{ECS}ip_address": address,
        f"{ECS}launch_type": "FARGATE",
        f"{ECS}network_mode": "awsvpc",
        f"{ECS}region": REGION,
        f"{ECS}subnet_id": subnet["SubnetId"],
        f"{ECS}tag_cluster_env": "prod",
        f"{ECS}tag_task_app": "web",
        f"{ECS}task_arn": task["taskArn"],
        f"{ECS}task_definition": task["taskDefinitionArn"],
    }
    assert {name: target.get(name) for name in expected} == expected


def test_moto_on_an_instance(aws: Aws, cloud: Rig) -> None:
    """A task in its instance's network is found at the instance."""
    ecs, ec2 = aws.client("ecs"), aws.client("ec2")
    image = ec2.describe_images()["Images"][0]["ImageId"]
    tags = [{"ResourceType": "instance", "Tags": [{"Key": "rack", "Value": "7"}]}]
    made = ec2.run_instances(ImageId=image, MinCount=1, MaxCount=1, InstanceType="m5.large", TagSpecifications=tags)[
        "Instances"
    ][0]
    ecs.create_cluster(clusterName="prod")
    document = json.dumps({"instanceId": made["InstanceId"]})
    host = ecs.register_container_instance(cluster="prod", instanceIdentityDocument=document)["containerInstance"]
    container: Any = {"name": "web", "image": "web", "memory": 64, "cpu": 64}
    ecs.register_task_definition(family="web", containerDefinitions=[container])
    ecs.run_task(cluster="prod", taskDefinition="web", launchType="EC2")
    (target,) = cloud.targets("ecs_sd_configs: [{port: 8080}]")
    expected = {
        "__address__": f"{made['PrivateIpAddress']}:8080",
        f"{ECS}container_instance_arn": host["containerInstanceArn"],
        f"{ECS}ec2_instance_id": made["InstanceId"],
        f"{ECS}ec2_instance_private_ip": made["PrivateIpAddress"],
        f"{ECS}ec2_instance_type": "m5.large",
        f"{ECS}network_mode": "bridge",
        f"{ECS}subnet_id": made["SubnetId"],
        f"{ECS}tag_ec2_rack": "7",
    }
    assert {name: target.get(name) for name in expected} == expected
