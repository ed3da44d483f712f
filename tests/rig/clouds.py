"""EC2 and ECS as boto3 clients that hold data, answer page by page, and refuse on command."""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from typing import Any

from botocore.exceptions import ClientError

Item = dict[str, Any]


class Client:
    """`denied` operations answer with that error code, `hung` ones wait until `release` is set."""

    page = 2

    def __init__(self) -> None:
        self.calls: list[tuple[str, Item]] = []
        self.denied: dict[str, str] = {}
        self.hung: set[str] = set()
        self.release = threading.Event()

    def names(self) -> list[str]:
        return [name for name, _ in self.calls]

    def _called(self, operation: str, arguments: Mapping[str, Any]) -> None:
        self.calls.append((operation, dict(arguments)))
        if operation in self.hung:
            self.release.wait(30)
        if operation in self.denied:
            answer = {"Error": {"Code": self.denied[operation], "Message": "no"}}
            raise ClientError(answer, operation.title().replace("_", ""))  # type: ignore[arg-type]

    def _page(self, items: Sequence[Any], token: str | None) -> tuple[list[Any], str | None]:
        start = int(token or 0)
        end = start + self.page
        return list(items[start:end]), str(end) if end < len(items) else None


def _wanted(item: Item, filters: Sequence[Mapping[str, Any]]) -> bool:
    """The filters that the tests use."""
    values = {
        "instance-state-name": item.get("State", {}).get("Name"),
        "instance-id": item.get("InstanceId"),
        "network-interface-id": item.get("NetworkInterfaceId"),
        **{f"tag:{tag['Key']}": tag.get("Value") for tag in item.get("Tags", ())},
    }
    return all(values.get(one["Name"]) in one["Values"] for one in filters)


class Ec2(Client):
    """Instances with their owners, zones, network interfaces."""

    def __init__(self, instances: Sequence[Item] = (), interfaces: Sequence[Item] = ()) -> None:
        super().__init__()
        self.instances, self.interfaces = list(instances), list(interfaces)
        self.zones = {"eu-west-1a": "euw1-az3", "eu-west-1b": "euw1-az1"}

    def describe_availability_zones(self, **arguments: Any) -> Item:
        self._called("describe_availability_zones", arguments)
        return {"AvailabilityZones": [{"ZoneName": name, "ZoneId": zone} for name, zone in self.zones.items()]}

    def describe_instances(self, NextToken: str | None = None, **arguments: Any) -> Item:  # noqa: N803
        self._called("describe_instances", arguments)
        wanted = [one for one in self.instances if _wanted(one, arguments.get("Filters", ()))]
        items, token = self._page(wanted, NextToken)
        answer: Item = {"Reservations": [{"OwnerId": "111122223333", "Instances": [one]} for one in items]}
        return {**answer, "NextToken": token} if token else answer

    def describe_network_interfaces(self, NextToken: str | None = None, **arguments: Any) -> Item:  # noqa: N803
        self._called("describe_network_interfaces", arguments)
        wanted = [one for one in self.interfaces if _wanted(one, arguments["Filters"])]
        items, token = self._page(wanted, NextToken)
        return {"NetworkInterfaces": items, **({"NextToken": token} if token else {})}


class Ecs(Client):
    """Clusters, services, tasks and container instances. A task's `clusterArn` says where it runs."""

    def __init__(
        self, clusters: Sequence[Item], services: Sequence[Item], tasks: Sequence[Item], hosts: Sequence[Item]
    ) -> None:
        super().__init__()
        self.clusters, self.services, self.tasks, self.hosts = list(clusters), list(services), list(tasks), list(hosts)

    def list_clusters(self, nextToken: str | None = None, **arguments: Any) -> Item:  # noqa: N803
        self._called("list_clusters", arguments)
        items, token = self._page([one["clusterArn"] for one in self.clusters], nextToken)
        return {"clusterArns": items, **({"nextToken": token} if token else {})}

    def describe_clusters(self, **arguments: Any) -> Item:
        self._called("describe_clusters", arguments)
        known = {name: one for one in self.clusters for name in (one["clusterArn"], one["clusterName"])}
        failures = [{"arn": f"arn:{name}", "reason": "MISSING"} for name in arguments["clusters"] if name not in known]
        found = [self._shown(known[name], arguments) for name in arguments["clusters"] if name in known]
        return {"clusters": found, "failures": failures}

    def list_tasks(self, nextToken: str | None = None, **arguments: Any) -> Item:  # noqa: N803
        self._called("list_tasks", arguments)
        self._called(f"list_tasks {arguments['cluster']}", {})
        arns = [one["taskArn"] for one in self.tasks if one["clusterArn"] == arguments["cluster"]]
        items, token = self._page(arns, nextToken)
        return {"taskArns": items, **({"nextToken": token} if token else {})}

    def describe_tasks(self, **arguments: Any) -> Item:
        self._called("describe_tasks", arguments)
        return {"tasks": [self._shown(one, arguments) for one in self.tasks if one["taskArn"] in arguments["tasks"]]}

    def describe_services(self, **arguments: Any) -> Item:
        self._called("describe_services", arguments)
        assert len(arguments["services"]) <= 10
        here = [one for one in self.services if one["clusterArn"] == arguments["cluster"]]
        return {
            "services": [self._shown(one, arguments) for one in here if one["serviceName"] in arguments["services"]]
        }

    def describe_container_instances(self, **arguments: Any) -> Item:
        self._called("describe_container_instances", arguments)
        wanted = arguments["containerInstances"]
        return {"containerInstances": [one for one in self.hosts if one["containerInstanceArn"] in wanted]}

    def _shown(self, item: Item, arguments: Item) -> Item:
        """Tags are shown to those who ask for them."""
        return item if "TAGS" in arguments.get("include", ()) else {**item, "tags": []}
