"""What an environment keeps between invocations: connections, interned series, tokens, when metadata went out."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any

from . import config_source
from .config.schema import Config, Endpoint
from .config.secrets import SecretStore
from .delivery.attempt import Poster
from .delivery.credentials import CredentialsProvider, aws_patience
from .sources.fetch import Fetcher
from .sources.json_api import JsonSource
from .transport import Transport
from .wire.series import AMP_LIMITS, NO_LIMITS, EndpointView, SeriesCache, SeriesLimits


def wall_clock_ms() -> int:
    return time.time_ns() // 1_000_000


def boto3_session(profile: str, region: str) -> Any:
    """A boto3 session whose clients have a run's patience. It costs more than a whole push to import: only profiles,
    roles, secrets and a config in SSM need it."""
    import boto3
    import botocore.session

    session = botocore.session.Session(profile=profile or None)
    session.set_default_client_config(aws_patience())
    return boto3.Session(botocore_session=session, region_name=region or None)


class Outside:
    """The outside world: environment variables, HTTP, AWS, the clock. Tests pass others."""

    def __init__(
        self,
        environment: Mapping[str, str],
        now_ms: Callable[[], int] = wall_clock_ms,
        session: Callable[[str, str], Any] = boto3_session,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self.environment, self.now_ms, self.session, self.sleep = environment, now_ms, session, sleep
        self.transport = Transport()
        self.secrets = SecretStore(environment, self._client, time.monotonic)

    def _client(self, service: str) -> Any:
        return self.session("", self.environment.get("AWS_REGION", "")).client(service)

    def config_source(self, location: str = "") -> config_source.ConfigSource:
        place = location or self.environment.get("PUSHER_CONFIG", "")
        edges = config_source.Edges(self.environment, self.transport, self.secrets, self.session, self.now_ms)
        return config_source.ConfigSource(place, edges)


class Target:
    """One endpoint, and what the environment remembers of it."""

    def __init__(self, endpoint: Endpoint, outside: Outside, view: EndpointView | None) -> None:
        self.endpoint, self.view = endpoint, view
        self.metadata_sent_ms: dict[str, int] = {}  # by metric
        credentials = None
        if endpoint.sigv4:
            credentials = CredentialsProvider(
                endpoint.sigv4, outside.environment, outside.secrets, outside.session, lambda: outside.now_ms() / 1000
            )
        self.poster = Poster(
            endpoint, outside.transport, outside.secrets, credentials, outside.environment, outside.now_ms
        )


class Warm:
    """The memory of a warm environment for one config. A changed config inherits, from the memory `before` it, what
    still fits: above all which samples each series has sent."""

    def __init__(self, config: Config, outside: Outside, before: Warm | None = None) -> None:
        self.config, self.outside = config, outside
        self.run: int = before.run if before else 0
        self.last_tick_ms: int | None = before.last_tick_ms if before else None
        self.fetcher: Fetcher = (
            before.fetcher if before else Fetcher(outside.transport, outside.secrets, outside.environment)
        )
        # AMP's limits hold for all series only when nobody else gets them.
        self.limits: SeriesLimits = AMP_LIMITS if all(one.is_amp for one in config.endpoints) else NO_LIMITS
        same = before if before and before._makes_the_same_series(self) else None
        self.series: SeriesCache = same.series if same else SeriesCache(config.external_labels, self.limits)
        self.sources = [JsonSource(job, self.series.intern) for job in config.jobs]
        self.targets = [Target(one, outside, self._view(one, same)) for one in config.endpoints]
        if before:
            self._inherit(before)

    def _makes_the_same_series(self, other: Warm) -> bool:
        return (self.config.external_labels, self.limits) == (other.config.external_labels, other.limits)

    def _view(self, endpoint: Endpoint, same: Warm | None) -> EndpointView | None:
        """The endpoint's own series; None for the only endpoint when it gets them as they are."""
        if not endpoint.write_relabel and len(self.config.endpoints) == 1:
            return None
        limits = AMP_LIMITS if endpoint.is_amp else NO_LIMITS
        for target in same.targets if same else ():
            known = target.endpoint
            if target.view and (known.name, known.write_relabel) == (endpoint.name, endpoint.write_relabel):
                return target.view
        held = limits == self.limits and not endpoint.write_relabel
        return EndpointView(endpoint.write_relabel, NO_LIMITS if held else limits)

    def _inherit(self, before: Warm) -> None:
        """Every endpoint that was there before keeps its marks, whichever way it sees its series now."""
        known = {target.endpoint.name: target.view or before.series for target in before.targets}
        for target in self.targets:
            series, had = target.view or self.series, known.get(target.endpoint.name)
            if had is not None and had is not series:
                series.remember(had.marks())

    def next_run(self) -> int:
        """Starts a run: its number, with connections that a freeze may have killed given up."""
        self.outside.transport.drop_idle()
        self.run += 1
        return self.run

    def finish_run(self) -> None:
        """Keeps memory bounded: series not seen for longest go first."""
        oldest_kept = self.series.prune()
        if oldest_kept:
            for source in self.sources:
                source.mapper.prune(oldest_kept)
            for target in self.targets:
                if target.view:
                    target.view.prune(oldest_kept)
