"""`ec2_sd_configs`: the instances of one account and region, with Prometheus's labels.

There is no filter by state: without one in the config, a stopped instance with a private address is a target too.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

from ..config.sd_configs import Ec2Sd
from .aws import Api, Now, place, present, tags
from .target_groups import ADDRESS, DiscoveryError, Parts, Refresh, TargetGroup, at

_PREFIX = "__meta_ec2_"
_PAGE = 1000


def refresher(config: Ec2Sd, client: Callable[[], Any], now: Now) -> Refresh:
    return Instances(config, client, now).refresh


class Instances:
    """Describes the instances; the zones only once, because they hardly ever change."""

    def __init__(self, config: Ec2Sd, client: Callable[[], Any], now: Now) -> None:
        self._config, self._client, self._now = config, client, now
        self._zones: Mapping[str, str] | None = None

    def refresh(self, deadline: float) -> Parts:
        api = Api("ec2", place(self._config), self._client, self._now, deadline)
        zones = self._zones = self._zones or _zones(api)
        filters = [{"Name": name, "Values": list(values)} for name, values in self._config.filters]
        arguments: dict[str, Any] = {"MaxResults": _PAGE, **({"Filters": filters} if filters else {})}
        targets = [
            target
            for page in api.pages("describe_instances", "NextToken", **arguments)
            for owner, instance in _instances(page)
            if (target := _target(instance, owner, self._config, zones or {}))
        ]
        return {"": (TargetGroup(self._config.region, tuple(targets)),)}


def _zones(api: Api) -> Mapping[str, str] | None:
    """Zone names -> ids, which are the same in every account. None without the permission: then one label is empty."""
    try:
        answer = api.call("describe_availability_zones")
    except DiscoveryError:
        return None
    zones = answer.get("AvailabilityZones") or ()
    return {zone["ZoneName"]: zone["ZoneId"] for zone in zones if "ZoneName" in zone and "ZoneId" in zone}


def _instances(page: Mapping[str, Any]) -> Iterator[tuple[str | None, Mapping[str, Any]]]:
    """Each instance and the account that owns it."""
    for reservation in page.get("Reservations") or ():
        for instance in reservation.get("Instances") or ():
            yield reservation.get("OwnerId"), instance


def _target(
    instance: Mapping[str, Any], owner: str | None, config: Ec2Sd, zones: Mapping[str, str]
) -> dict[str, str] | None:
    """The instance's labels; None for one without a private address."""
    primary, all_ipv6 = _ipv6_addresses(instance)
    default_ipv6 = next(filter(None, [*primary, *all_ipv6]), None)
    private_ip = instance.get("PrivateIpAddress") or None
    host = private_ip or default_ipv6
    if not host:
        return None
    labels = {
        "ami": instance.get("ImageId"),
        "architecture": instance.get("Architecture") or None,
        "default_ipv6_address": default_ipv6,
        "instance_id": instance.get("InstanceId"),
        "instance_lifecycle": instance.get("InstanceLifecycle") or None,
        "instance_state": (instance.get("State") or {}).get("Name"),
        "instance_type": instance.get("InstanceType", ""),
        "ipv6_addresses": _joined(all_ipv6) if all_ipv6 else None,
        "owner_id": owner,
        "platform": instance.get("Platform") or None,
        "primary_ipv6_addresses": _joined(primary) if primary else None,
        "private_dns_name": instance.get("PrivateDnsName"),
        "private_ip": private_ip,
        "region": config.region,
        **_place(instance, zones),
    }
    if instance.get("PublicIpAddress"):  # without it the public name is not used, either
        labels |= {"public_ip": instance["PublicIpAddress"], "public_dns_name": instance.get("PublicDnsName")}
    return {ADDRESS: at(host, config.port), **present(labels, _PREFIX), **tags(instance.get("Tags"), f"{_PREFIX}tag_")}


def _place(instance: Mapping[str, Any], zones: Mapping[str, str]) -> dict[str, str | None]:
    """The zone, and inside a VPC the networks."""
    found: dict[str, str | None] = {}
    zone = (instance.get("Placement") or {}).get("AvailabilityZone")
    if zone is not None:
        found = {"availability_zone": zone, "availability_zone_id": zones.get(zone, "")}
    if instance.get("VpcId"):
        subnets = dict.fromkeys(one["SubnetId"] for one in _interfaces(instance))
        found |= {"vpc_id": instance["VpcId"], "primary_subnet_id": instance.get("SubnetId")}
        found["subnet_id"] = _joined(subnets)
    return found


def _interfaces(instance: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """The network interfaces inside a VPC."""
    if not instance.get("VpcId"):
        return []
    return [one for one in instance.get("NetworkInterfaces") or () if one.get("SubnetId")]


def _ipv6_addresses(instance: Mapping[str, Any]) -> tuple[list[str], list[str]]:
    """The primary addresses, each at the index of its device (gaps are empty), and all of them."""
    primary: list[str] = []
    found: list[str] = []
    for interface in _interfaces(instance):
        index = (interface.get("Attachment") or {}).get("DeviceIndex", -1)
        for address in interface.get("Ipv6Addresses") or ():
            if "Ipv6Address" not in address:
                continue
            found.append(address["Ipv6Address"])
            if address.get("IsPrimaryIpv6") and index >= 0:
                primary += [""] * (index + 1 - len(primary))
                primary[index] = address["Ipv6Address"]
    return primary, found


def _joined(values: Iterable[str]) -> str:
    """With commas around every value, so that `.*,value,.*` matches it."""
    return f",{','.join(values)},"
