"""Service discovery: what a job's config says about its targets -> groups of targets, refreshed across warm runs."""

from __future__ import annotations

from collections.abc import Callable, Iterator, MutableMapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from ..config.sd_configs import AwsSd, DnsSd, Ec2Sd, EcsSd, FileSd, HttpSd, SdConfig, StaticConfig
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
    "system_resolver",
]

TargetLists = MutableMapping[SdConfig, TargetList]
"""The lists of all jobs by what they were asked with: jobs with the same config share one, as in Prometheus."""


@dataclass(frozen=True, slots=True)
class Clients:
    """What discovery asks. `client(service, config)` makes (or keeps) a boto3 client with the config's credentials,
    `resolver()` a dnspython resolver; `now` is the monotonic clock in seconds. All are called from several threads."""

    fetcher: Fetcher
    objects: file.Objects
    client: Callable[[str, AwsSd], Any]
    resolver: Callable[[], Any]
    now: Callable[[], float]


class Discovery:
    """The targets of one job. `shared` holds the lists of all jobs: a new config that gets it keeps what is known.

    Safe for several threads.
    """

    def __init__(self, configs: Sequence[SdConfig], clients: Clients, shared: TargetLists | None = None) -> None:
        sources = {} if shared is None else shared
        self._static = [
            group(str(index), list(config.targets), dict(config.labels))
            for index, config in enumerate(config for config in configs if isinstance(config, StaticConfig))
        ]
        self._sources = [
            sources.setdefault(one, _source(one, clients)) for config in configs for one in _parts(config)
        ]  # fmt: skip

    def start(self, deadline: float) -> None:
        """Begins what is due, without waiting for it."""
        for source in self._sources:
            source.start(deadline)

    def targets(self, deadline: float) -> DiscoveryResult:
        """The targets as they are known at the deadline (monotonic seconds) at the latest. Never raises: what could
        not be had is a warning."""
        self.start(deadline)
        return self._found(deadline)

    def _found(self, deadline: float) -> DiscoveryResult:
        found = DiscoveryResult(list(self._static))
        for source in self._sources:
            one = source.found(deadline)
            found.groups += one.groups
            found.warnings += one.warnings
            found.is_unknown = found.is_unknown or one.is_unknown
        return found


def discover(discoveries: Sequence[Discovery], deadline: float) -> list[DiscoveryResult]:
    """The targets of several jobs, all lists asked for side by side."""
    for one in discoveries:
        one.start(deadline)
    return [one._found(deadline) for one in discoveries]


def _parts(config: SdConfig) -> Iterator[SdConfig]:
    """A config of several files or names as one for each: a bad one must neither hold up nor spoil the others."""
    if isinstance(config, FileSd):
        yield from (replace(config, files=(file,)) for file in config.files)
    elif isinstance(config, DnsSd):
        yield from (replace(config, names=(name,)) for name in config.names)
    elif not isinstance(config, StaticConfig):
        yield config


def _source(config: SdConfig, clients: Clients) -> TargetList:
    now = clients.now
    if isinstance(config, FileSd):
        refresh, place = file.refresher(config.files[0], clients.objects), config.files[0]
        return TargetList("file_sd_configs", place, refresh, config.refresh_interval_ms, now)
    if isinstance(config, HttpSd):
        refresh, place = http.refresher(config, clients.fetcher), shown_url(config.url)
        return TargetList("http_sd_configs", place, refresh, config.refresh_interval_ms, now)
    if isinstance(config, DnsSd):
        refresh, place = dns.refresher(config, config.names[0], clients.resolver), config.names[0]
        return TargetList("dns_sd_configs", place, refresh, config.refresh_interval_ms, now)
    if isinstance(config, Ec2Sd):
        refresh = ec2.refresher(config, partial(clients.client, "ec2", config), now)
        return TargetList("ec2_sd_configs", aws.place(config), refresh, config.refresh_interval_ms, now)
    if isinstance(config, EcsSd):
        refresh = ecs.refresher(config, lambda service: clients.client(service, config), now)
        return TargetList("ecs_sd_configs", aws.place(config), refresh, config.refresh_interval_ms, now)
    raise TypeError(f"{type(config).__name__} is not refreshed")
