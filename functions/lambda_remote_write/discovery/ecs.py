"""`ecs_sd_configs`: the tasks of ECS clusters in one account and region, with Prometheus's labels.

A task with its own network interface has its own address; any other has its instance's.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

from ..config.sd_configs import EcsSd
from .aws import Api, Now, batches, place, present, tags
from .target_groups import ADDRESS, DiscoveryError, Gone, Groups, Parts, Refresh, TargetGroup, at

_PREFIX = "__meta_ecs_"
_BATCH = 100  # clusters, tasks or container instances of one describe call
_SERVICE_BATCH = 10
_LISTED = "ACTIVE"  # a DRAINING service "is no longer visible in the console or in the ListServices API operation"
_FILTER_BATCH = 200  # values of one EC2 filter

Item = Mapping[str, Any]
Client = Callable[[str], Any]


def refresher(config: EcsSd, client: Client, now: Now) -> Refresh:
    """Each cluster is one part of the list."""
    return partial(_refresh, config, client, now)


def _refresh(config: EcsSd, client: Client, now: Now, deadline: float) -> Parts:
    ecs = Api("ecs", place(config), partial(client, "ecs"), now, deadline)
    region = _Region(config, ecs, partial(Api, "ec2", place(config), partial(client, "ec2"), now, deadline))
    names: Iterable[str] = config.clusters or _listed(ecs, "list_clusters", "clusterArns")
    parts: dict[str, Groups | DiscoveryError] = {}
    for batch in batches(names, _BATCH):
        answer = ecs.call("describe_clusters", clusters=batch, include=["TAGS"])
        for cluster in answer["clusters"]:
            parts[cluster["clusterArn"]] = _part(region, cluster)
        for missing in answer.get("failures") or ():
            name = missing.get("arn", "a cluster")
            parts[name] = Gone(f"{name}: {missing.get('reason', 'MISSING')}; check the name in clusters")
    return parts


def _listed(ecs: Api, operation: str, key: str, **arguments: Any) -> list[str]:
    pages = ecs.pages(operation, "nextToken", maxResults=_BATCH, **arguments)
    return [arn for page in pages for arn in page[key]]


@dataclass(frozen=True, slots=True)
class _Region:
    """The clients of one config. `ec2` is made only for tasks that need it: Fargate without public addresses does
    not."""

    config: EcsSd
    ecs: Api
    ec2: Callable[[], Api]


def _part(region: _Region, cluster: Item) -> Groups | DiscoveryError:
    arn = cluster["clusterArn"]
    try:
        tasks = _described(region.ecs, "tasks", _listed(region.ecs, "list_tasks", "taskArns", cluster=arn), arn, _BATCH)
        surroundings = _surroundings(region, arn, tasks)
    except DiscoveryError as error:
        return error
    targets = [_target(region.config, cluster, task, surroundings) for task in tasks]
    return (TargetGroup(arn, tuple(target for target in targets if target)),)


def _described(ecs: Api, kind: str, arns: Iterable[str], cluster: str, size: int) -> list[Item]:
    """Tasks or services with their tags."""
    return [
        item
        for batch in batches(arns, size)
        for item in ecs.call(f"describe_{kind}", cluster=cluster, include=["TAGS"], **{kind: batch})[kind]
    ]


@dataclass(frozen=True, slots=True)
class _Surroundings:
    """What belongs to the tasks of one cluster: services by name, EC2 instance ids by container instance, instances by
    id, public addresses by network interface."""

    services: Mapping[str, Item]
    instance_ids: Mapping[str, str]
    instances: Mapping[str, Item]
    public_ips: Mapping[str, str]


def _surroundings(region: _Region, cluster: str, tasks: list[Item]) -> _Surroundings:
    names = filter(None, map(_service_name, tasks))
    services = _described(region.ecs, "services", names, cluster, _SERVICE_BATCH)
    hosts = [task["containerInstanceArn"] for task in tasks if task.get("containerInstanceArn")]
    instance_ids = {
        host["containerInstanceArn"]: host["ec2InstanceId"]
        for batch in batches(hosts, _BATCH)
        for host in region.ecs.call("describe_container_instances", cluster=cluster, containerInstances=batch)[
            "containerInstances"
        ]
        if host.get("ec2InstanceId")
    }
    interfaces = list(filter(None, ((_eni(task) or {}).get("networkInterfaceId") for task in tasks)))
    instances: dict[str, Item] = {}
    public_ips: dict[str, str] = {}
    if instance_ids or interfaces:
        ec2 = region.ec2()
        instances, public_ips = _instances(ec2, instance_ids.values()), _public_ips(ec2, interfaces)
    listed = {one["serviceName"]: one for one in services if one.get("status", _LISTED) == _LISTED}
    return _Surroundings(listed, instance_ids, instances, public_ips)


def _instances(ec2: Api, ids: Iterable[str]) -> dict[str, Item]:
    """By a filter and not by id: an id that was just terminated would fail the whole call."""
    return {
        instance["InstanceId"]: instance
        for batch in batches(ids, _FILTER_BATCH)
        for page in ec2.pages("describe_instances", "NextToken", Filters=[_filter("instance-id", batch)])
        for reservation in page["Reservations"]
        for instance in reservation["Instances"]
        if instance.get("PrivateIpAddress")
    }


def _public_ips(ec2: Api, interfaces: Iterable[str]) -> dict[str, str]:
    return {
        interface["NetworkInterfaceId"]: interface["Association"]["PublicIp"]
        for batch in batches(interfaces, _FILTER_BATCH)
        for page in ec2.pages(
            "describe_network_interfaces", "NextToken", Filters=[_filter("network-interface-id", batch)]
        )
        for interface in page["NetworkInterfaces"]
        if (interface.get("Association") or {}).get("PublicIp")
    }


def _filter(name: str, values: Iterable[str]) -> dict[str, Any]:
    return {"Name": name, "Values": list(values)}


def _eni(task: Item) -> dict[str, str] | None:
    """The details of the task's own network interface (few while it starts); None in its instance's network."""
    for attachment in task.get("attachments") or ():
        if attachment.get("type") == "ElasticNetworkInterface":
            details = attachment.get("details") or ()
            return {one["name"]: one["value"] for one in details if "name" in one and "value" in one}
    return None


def _target(config: EcsSd, cluster: Item, task: Item, around: _Surroundings) -> dict[str, str] | None:
    """The task's labels; None for one that has no address (yet)."""
    host_id = around.instance_ids.get(task.get("containerInstanceArn", ""))
    host = around.instances.get(host_id or "", {})
    network = _network(task, host, around)
    address = network["ip_address"]
    if not address:
        return None
    labels: dict[str, str | None] = {
        "availability_zone": task.get("availabilityZone"),
        "cluster": cluster.get("clusterName"),
        "cluster_arn": cluster.get("clusterArn"),
        "container_instance_arn": task.get("containerInstanceArn"),
        "desired_status": task.get("desiredStatus"),
        "ec2_instance_id": host_id,
        "ec2_instance_private_ip": host.get("PrivateIpAddress"),
        "ec2_instance_public_ip": host.get("PublicIpAddress"),
        "ec2_instance_type": host.get("InstanceType"),
        "health_status": task.get("healthStatus", ""),
        "last_status": task.get("lastStatus"),
        "launch_type": task.get("launchType", ""),
        "platform_family": task.get("platformFamily"),
        "platform_version": task.get("platformVersion"),
        "region": config.region,
        "task_arn": task.get("taskArn"),
        "task_definition": task.get("taskDefinitionArn"),
        "task_group": task.get("group"),
        **network,
    }
    return {
        ADDRESS: at(address, config.port),
        **present(labels, _PREFIX),
        **tags(cluster.get("tags"), f"{_PREFIX}tag_cluster_", "key", "value"),
        **_service(task, around),
        **tags(task.get("tags"), f"{_PREFIX}tag_task_", "key", "value"),
        **tags(host.get("Tags"), f"{_PREFIX}tag_ec2_"),
    }


def _network(task: Item, host: Item, around: _Surroundings) -> dict[str, str | None]:
    details = _eni(task)
    if details is not None:
        return {
            "network_mode": "awsvpc",
            "ip_address": details.get("privateIPv4Address"),
            "subnet_id": details.get("subnetId"),
            "public_ip": around.public_ips.get(details.get("networkInterfaceId", "")),
        }
    return {
        "network_mode": "bridge",  # or host: ECS does not say which
        "ip_address": host.get("PrivateIpAddress"),
        "subnet_id": host.get("SubnetId"),
        "public_ip": host.get("PublicIpAddress"),
    }


def _service(task: Item, around: _Surroundings) -> dict[str, str]:
    service = around.services.get(_service_name(task), {})
    labels = {
        "service": service.get("serviceName"),
        "service_arn": service.get("serviceArn"),
        "service_status": service.get("status"),
    }
    return {**present(labels, _PREFIX), **tags(service.get("tags"), f"{_PREFIX}tag_service_", "key", "value")}


def _service_name(task: Item) -> str:
    """The group of a task that a service started has the service's name."""
    kind, _, name = task.get("group", "").partition(":")
    return str(name) if kind == "service" else ""
