"""Service discovery: the `*_sd_configs` of a job -> target groups, refreshed across the runs of an environment."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, MutableMapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from ..aws.s3 import S3
from ..config.sd_configs import AwsSd, DnsSd, Ec2Sd, EcsSd, FileSd, HttpSd, JsonSd, SdConfig, StaticConfig
from ..config.yaml_reader import shown_url
from ..http.fetch import Fetcher
from . import aws, dns, ec2, ecs, file, http
from .dns import system_resolver
from .refresh import DiscoveryResult, TargetList
from .target_groups import DiscoveryError, TargetGroup, group

__all__ = [
    "Clients",
    "Discovery",
    "DiscoveryError",
    "DiscoveryResult",
    "TargetGroup",
    "TargetLists",
    "discover",
    "static_groups",
    "system_resolver",
]

_KEYS: dict[type[SdConfig], str] = {
    FileSd: "file_sd_configs",
    HttpSd: "http_sd_configs",
    JsonSd: "json_sd_configs",
    DnsSd: "dns_sd_configs",
    Ec2Sd: "ec2_sd_configs",
    EcsSd: "ecs_sd_configs",
}
TargetLists = MutableMapping[SdConfig, TargetList]
"""The lists of all jobs by config: as in Prometheus, jobs with the same config share one."""


@dataclass(frozen=True, slots=True)
class Clients:
    """What discovery asks. `client(service, config)` makes (or keeps) a boto3 client with the config's credentials,
    `resolver()` a dnspython resolver; `now` is the monotonic clock in seconds. All are called from several threads."""

    fetcher: Fetcher
    objects: S3
    client: Callable[[str, AwsSd], Any]
    resolver: Callable[[], Any]
    now: Callable[[], float]


class Discovery:
    """The targets of one job. `shared` has the lists of all jobs, so that a changed config keeps them. Thread-safe."""

    def __init__(self, configs: Sequence[SdConfig], clients: Clients, shared: TargetLists | None = None) -> None:
        lists = {} if shared is None else shared
        self._static = static_groups(configs)
        self._lists = [
            lists.setdefault(one, _target_list(one, clients)) for config in configs for one in _parts(config)
        ]  # fmt: skip
        self.is_static = not self._lists  # all targets are in the config

    def start(self, deadline: float) -> None:
        """Starts the refreshes that are due, without waiting."""
        for one in self._lists:
            one.start(deadline)

    def targets(self, deadline: float) -> DiscoveryResult:
        """The targets that are known by the deadline (monotonic seconds). Never raises: a failure is a warning."""
        self.start(deadline)
        return self._found(deadline)

    def _found(self, deadline: float) -> DiscoveryResult:
        found = DiscoveryResult(list(self._static))
        for target_list in self._lists:
            one = target_list.found(deadline)
            found.groups += one.groups
            found.warnings += one.warnings
            found.is_unknown = found.is_unknown or one.is_unknown
        return found


def static_groups(configs: Iterable[SdConfig]) -> list[TargetGroup]:
    """The targets that the config itself has."""
    static = (config for config in configs if isinstance(config, StaticConfig))
    return [group(str(index), list(one.targets), dict(one.labels)) for index, one in enumerate(static)]


def discover(discoveries: Sequence[Discovery], deadline: float) -> list[DiscoveryResult]:
    """The targets of several jobs, all lists refreshed side by side."""
    for one in discoveries:
        one.start(deadline)
    return [one._found(deadline) for one in discoveries]


def _parts(config: SdConfig) -> Iterator[SdConfig]:
    """A config of several files or names as one for each: a bad one must not affect the others."""
    if isinstance(config, FileSd):
        yield from (replace(config, files=(file,)) for file in config.files)
    elif isinstance(config, DnsSd):
        yield from (replace(config, names=(name,)) for name in config.names)
    elif not isinstance(config, StaticConfig):
        yield config


def _target_list(config: SdConfig, clients: Clients) -> TargetList:
    now = clients.now
    match config:
        case FileSd():
            place = config.files[0]
            refresh = file.refresher(place, clients.objects)
        case HttpSd():
            place, refresh = shown_url(config.url), http.refresher(config, clients.fetcher)
        case JsonSd():
            from . import json  # a list in Prometheus's own form needs no expressions

            place, refresh = shown_url(config.url), json.refresher(config, clients.fetcher)
        case DnsSd():
            place = config.names[0]
            refresh = dns.refresher(config, place, clients.resolver)
        case Ec2Sd():
            place, refresh = aws.place(config), ec2.refresher(config, partial(clients.client, "ec2", config), now)
        case EcsSd():
            refresh = ecs.refresher(config, lambda service: clients.client(service, config), now)
            place = aws.place(config)
        case _:
            raise TypeError(f"{type(config).__name__} is not refreshed")
    return TargetList(_KEYS[type(config)], place, refresh, config.refresh_interval_ms, now)
