"""What an environment keeps between invocations: connections, interned series, tokens, when metadata went out, what
waits in the spool."""

from __future__ import annotations

import secrets
import threading
import time
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from . import config_source
from .config.schema import Config, Endpoint, JsonJob, ScrapeJob
from .config.secrets import SecretStore
from .delivery.attempt import Poster
from .delivery.backlog import Depot
from .delivery.credentials import CredentialsProvider, aws_patience
from .delivery.pace import Pace
from .delivery.spool import Run, Spool
from .delivery.state import State
from .job_health import JobHealth
from .model import Delivery, Intern, JobMark, Labels, Scrape, Series
from .newcomers import Newcomers
from .progress import Progress
from .s3 import S3, S3Store
from .self_metrics import EndpointFacts
from .shards import WHOLE, Shard
from .sources import names
from .sources.due import Tick
from .sources.fetch import Fetcher
from .sources.json_api import JsonSource
from .sources.leaving import Leaving
from .sources.mapping import Observe
from .store import DirectoryStore, PunctualStore, Store, StoreError
from .transport import Transport
from .wire.order import PrefixCache
from .wire.series import AMP_LIMITS, MAX_SERIES, NO_LIMITS, EndpointView, SeriesCache, SeriesLimits, legacy_prefix

if TYPE_CHECKING:  # only a config that scrapes needs them, and importing them would lengthen every cold start
    from .aws_clients import AwsClients
    from .sources import discovery
    from .sources.pool import ScrapePool
    from .sources.scrape import TargetSource

_DISCOVERY_SHARE = 1 / 3  # of the time for asking sources
_STATE_SHARE, _STATE_SECONDS = 0.25, 5.0  # of the run's time, and at most, for reading the state object


def wall_clock_ms() -> int:
    return time.time_ns() // 1_000_000


def boto3_session(profile: str, region: str) -> Any:
    """A boto3 session whose clients have a run's patience. It costs more than a whole push to import: only profiles,
    roles, secrets and a config in SSM need it."""
    import boto3
    import botocore.session

    session = botocore.session.Session(profile=profile or None)
    session.set_default_client_config(aws_patience(attempts=3))  # it only reads: SSM, secrets, discovery
    session.register("before-parse", _refuse_empty)
    return boto3.Session(botocore_session=session, region_name=region or None)


def _refuse_empty(**event: Any) -> None:
    """botocore takes an answer that was cut within its head as one with nothing in it: no tasks, no secret. All the
    operations that are called here answer with a body."""
    response = event["response_dict"]
    if response["status_code"] == 200 and not response["body"]:
        from botocore.exceptions import ResponseStreamingError

        raise ResponseStreamingError(error="the connection broke, or the answer is empty")


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
        self._clients: dict[str, Any] = {}
        self._lock = threading.Lock()
        self.secrets = SecretStore(environment, self._client, time.monotonic)
        self.objects = S3(environment, self.transport, self.secrets, session, now_ms)
        self._aws_clients: AwsClients | None = None

    def _client(self, service: str) -> Any:
        """Made once: that costs more than asking."""
        with self._lock:
            if service not in self._clients:
                self._clients[service] = self.session("", self.environment.get("AWS_REGION", "")).client(service)
            return self._clients[service]

    def discovery_edges(self, fetcher: Fetcher) -> discovery.Edges:
        from .aws_clients import AwsClients
        from .sources import discovery

        if self._aws_clients is None:
            self._aws_clients = AwsClients(self.environment, self.secrets, self.session, self.now_ms)
        return discovery.Edges(fetcher, self.objects, self._aws_clients, discovery.system_resolver, time.monotonic)

    def store(self, location: str) -> Store:
        """`s3://BUCKET[/PREFIX]`, or a folder."""
        is_bucket = location.startswith("s3://")
        return PunctualStore(S3Store(self.objects, location) if is_bucket else DirectoryStore(location))

    def config_source(self, location: str = "", *, has_schedule: bool = True) -> config_source.ConfigSource:
        place = location or self.environment.get("PUSHER_CONFIG", "")
        edges = config_source.Edges(
            self.environment, self.transport, self.secrets, self.session, self.now_ms, has_schedule
        )
        return config_source.ConfigSource(place, edges)


class Remote:
    """One endpoint, and what the environment remembers of it."""

    def __init__(
        self,
        endpoint: Endpoint,
        outside: Outside,
        series: SeriesCache,
        view: EndpointView | None,
        escape: Callable[[Labels], Labels],
    ) -> None:
        """`view` has the endpoint's own series, and is None where it gets those of all, `series`. `escape` makes names
        legacy."""
        self.endpoint, self.escape = endpoint, escape
        self._series, self._view, self._speaks_legacy = series, view, False
        self._lock = threading.Lock()
        self.metadata_sent_ms: dict[str, int] = {}  # by metric
        self.own_facts = EndpointFacts()
        self.pace = Pace(endpoint.queue.max_samples_per_second)
        self.prefixes = PrefixCache()
        credentials = None
        if endpoint.sigv4:
            credentials = CredentialsProvider(
                endpoint.sigv4, outside.environment, outside.secrets, outside.session, lambda: outside.now_ms() / 1000
            )
        self.poster = Poster(
            endpoint, outside.transport, outside.secrets, credentials, outside.environment, outside.now_ms
        )

    @property
    def has_fallen_back(self) -> bool:
        """Whether the receiver has refused 2.0, and gets 1.0."""
        return self.poster.version < self.endpoint.version

    @property
    def view(self) -> EndpointView | None:
        """The endpoint's own series; None where it gets those of all. After a fall back they are such as any endpoint
        of 1.0 has."""
        with self._lock:
            if self.has_fallen_back and not self._speaks_legacy:
                self._view, self._speaks_legacy = self._legacy_view(), True
            return self._view

    def _legacy_view(self) -> EndpointView:
        endpoint, limits = self.endpoint, replace(_limits(self.endpoint), utf8_names=False)
        classic = endpoint.convert_nhcb_to_classic
        view = EndpointView(endpoint.write_relabel, limits, self.escape, classic_histograms=classic)
        view.remember_legacy((self._view or self._series).marks())
        return view

    def find(self) -> Callable[[bytes], Series | None]:
        """How this endpoint's series are found by their encoded prefix, in whichever version it was made."""
        view = self.view
        if view is None:
            return self._series.find
        return view.find_legacy if self._speaks_legacy else view.find


@dataclass(frozen=True, slots=True)
class Begun:
    """A run that has begun: its number in this environment, and what it is known by outside."""

    number: int
    run: Run
    is_cold_start: bool


class Warm:
    """The memory of a warm environment for one config. A changed config inherits, from the memory `before` it, what
    still fits: above all which samples each series has sent."""

    def __init__(
        self,
        config: Config,
        outside: Outside,
        before: Warm | None = None,
        observers: Mapping[str, Observe] = MappingProxyType({}),
        *,
        heals: bool = False,
        shard: Shard = WHOLE,
    ) -> None:
        """`observers` are told of every new series of a job, by its name. With `heals`, sources ask for what runs have
        missed. `shard` is which part of the jobs and targets is this one's."""
        self.config, self.outside, self._observers, self._heals = config, outside, observers, heals
        self.run: int = before.run if before else 0
        self._first_run = self.run + 1  # under this config
        self.shard = shard
        self.last_tick_ms: int | None = before.last_tick_ms if before else None
        self.fetcher: Fetcher = (
            before.fetcher if before else Fetcher(outside.transport, outside.secrets, outside.environment)
        )
        self.limits = _common_limits(config.endpoints)
        same = before if before and before._makes_the_same_series(self) else None
        self.series: SeriesCache = same.series if same else SeriesCache(self._external_labels(), self.limits)
        self.takes_any_name: bool = any(one.version > 1 for one in config.endpoints)
        self.intern: Intern = names.escaping(self.series.intern, config.name_escaping, metric_names=self.takes_any_name)
        self.remotes = [
            Remote(one, outside, self.series, self._view(one, same), self._escape) for one in config.endpoints
        ]
        self.depot: Depot | None = self._depot(before.depot if before else None)
        memory = before.state if before and not before.depot else State(None, shard.name, outside.now_ms)
        self.state: State = self.depot.state if self.depot else memory
        self.progress = Progress(config, self.state, [remote.poster for remote in self.remotes])
        self.health: JobHealth = JobHealth(self.state, before.health if before else None)
        self.newcomers: Newcomers = Newcomers(config, self.state, before.newcomers if before else None)
        self._strangers: dict[str, int] = before._strangers if before else {}
        self.leaving: Leaving = before.leaving if before else Leaving()
        self._lists: discovery.Sources = before._lists if before else {}
        self.jobs = [self._json_source(job) for job in config.jobs if shard.takes(job.job_name)]
        self.pools = [self._pool(job) for job in config.scrape_jobs]
        if before:
            self._inherit(before)

    # what a config shares with the one before it

    def _external_labels(self) -> Sequence[tuple[str, str]]:
        """Under names that the series' own labels have there, too."""
        labels = self.config.external_labels
        if self.limits.utf8_names:
            return labels
        return tuple(names.escaped(dict(labels), self.config.name_escaping).items())

    def _makes_the_same_series(self, other: Warm) -> bool:
        return (self._external_labels(), self.limits) == (other._external_labels(), other.limits)

    def _escape(self, labels: Labels) -> Labels:
        """Labels of a series for a receiver that takes legacy names only: escaped as its job says."""
        schemes = {job.job_name: job.name_escaping for job in self.config.scrape_jobs}
        return names.escaped(labels, schemes.get(labels.get("job", ""), self.config.name_escaping))

    def _view(self, endpoint: Endpoint, same: Warm | None) -> EndpointView | None:
        """The endpoint's own series; None for the only endpoint when it gets them as they are."""
        classic = endpoint.convert_nhcb_to_classic
        if not endpoint.write_relabel and not classic and len(self.config.endpoints) == 1:
            return None
        limits = _limits(endpoint)
        for remote in same.remotes if same else ():
            known = remote.endpoint
            is_same = (known.name, known.write_relabel) == (endpoint.name, endpoint.write_relabel)
            has_same_names = _limits(known) == limits and not remote.has_fallen_back
            if remote.view and is_same and has_same_names and known.convert_nhcb_to_classic == classic:
                return remote.view
        held = limits == self.limits and not endpoint.write_relabel and not classic
        return EndpointView(endpoint.write_relabel, None if held else limits, self._escape, classic_histograms=classic)

    def _inherit(self, before: Warm) -> None:
        """Every endpoint that was there before keeps its marks, whichever way it sees its series now; sources that the
        config does not have any more leave."""
        known = {remote.endpoint.name: remote.view or before.series for remote in before.remotes}
        for remote in self.remotes:
            series, had = remote.view or self.series, known.get(remote.endpoint.name)
            if had is not None and had is not series:
                series.remember(had.marks())
        for source in before.sources():
            if before.series is not self.series:  # the same labels are other objects there
                source.alive.series = [self._own_series(one) for one in source.alive.series]
            self.leaving.add(source)
        for job in self.jobs:
            back = self.leaving.back(job.key)
            if back is not None:
                job.alive = back.alive

    def _own_series(self, other: Series) -> Series:
        """The series of the same labels here, under names that are taken here."""
        takes_all = self.limits.utf8_names
        return self.series.interned(other.prefix if takes_all else legacy_prefix(other.prefix, self._escape))

    def _depot(self, before: Depot | None) -> Depot | None:
        """The spool of the config; what is known of the same one stays known."""
        config, outside = self.config.spool, self.outside
        if not config.location:
            return None
        store = outside.store(config.location)
        buries = frozenset(("too_old", "rejected") if config.keeps_rejected else ("too_old",))
        if before is not None and before.spool.store.place == store.place:
            return replace(before, mode=config.mode, buries=buries)
        spool = Spool(store, self.shard.name, outside.sleep)
        return Depot(spool, State(store, self.shard.name, outside.now_ms), config.mode, buries)

    # sources

    def _json_source(self, job: JsonJob) -> JsonSource:
        observe = self._observers.get(job.job_name)
        limits_ms = [endpoint.queue.sample_age_limit_ms for endpoint in self.config.endpoints]
        age_limit_ms = 0 if 0 in limits_ms else max(limits_ms, default=0)
        if job.backfill is None or not self._heals:
            return JsonSource(job, self.intern, observe, self.progress, age_limit_ms)
        from .sources.heal import HealingSource

        every_ms = max(job.scrape_interval_ms, self.config.tick_ms)
        return HealingSource(job, self.intern, observe, self.progress, every_ms, age_limit_ms, self.outside.now_ms)

    def _pool(self, job: ScrapeJob) -> ScrapePool:
        from .sources import discovery
        from .sources.pool import ScrapePool
        from .sources.scrape import Receivers, TargetSource

        endpoints = self.config.endpoints
        receivers = Receivers(
            exemplars=any(one.send_exemplars for one in endpoints),
            starts=any(one.version > 1 for one in endpoints),
            utf8_names=self.limits.utf8_names,
        )
        finder = discovery.Discovery(job.discovery, self.outside.discovery_edges(self.fetcher), self._lists)
        observe, series = self._observers.get(job.job_name), self.series
        return ScrapePool(
            job, finder, lambda one: TargetSource(one, series, receivers, observe), self.leaving, self.shard.takes
        )

    def sources(self) -> list[JsonSource | TargetSource]:
        """Every JSON job, and every target as it was discovered last."""
        return [*self.jobs, *(source for pool in self.pools for source in pool.sources.values())]

    def discover(self, deadline: float, jobs: Collection[str] | None = None) -> None:
        """Brings the targets of all scrape jobs (or of these) up to date, side by side, in a third of the time until
        `deadline` (monotonic seconds) at most."""
        self.sync(self.find(deadline, jobs))

    def find(self, deadline: float, jobs: Collection[str] | None = None) -> list[tuple[ScrapePool, discovery.Found]]:
        """The part of discovery that waits."""
        pools = [pool for pool in self.pools if jobs is None or pool.job.job_name in jobs]
        if not pools:
            return []
        from .sources import discovery

        now = time.monotonic()
        found = discovery.discover([one.finder for one in pools], now + (deadline - now) * _DISCOVERY_SHARE)
        return list(zip(pools, found, strict=True))

    def sync(self, found: Iterable[tuple[ScrapePool, discovery.Found]]) -> None:
        for pool, groups in found:
            pool.sync(groups)

    def due_sources(self, tick: Tick) -> list[JsonSource | TargetSource]:
        """What is to be asked in this run, of the targets as they are known."""
        return [source for source in self.sources() if source.is_due(tick)]

    def ended(self, tick: Tick, busy: Collection[str] = ()) -> list[Scrape]:
        """The last markers of targets and jobs that are gone."""
        return self.leaving.ended(tick, self.outside.now_ms(), busy)

    def undiscovered(self) -> dict[str, str]:
        """The jobs of which nobody knows all targets, with the reason."""
        return {pool.job.job_name: pool.warnings[0] for pool in self.pools if pool.is_unknown}

    def warnings(self) -> list[str]:
        """What a run should tell. What there is to say of the config itself, its first run here tells for all."""
        of_config = self.config.warnings if self.run <= self._first_run else ()
        said = [*of_config, *(said for pool in self.pools for said in pool.messages())]
        said += [one for one in (self.state.problem, self.progress.warning) if one]
        return [*said, *(_of_a_stranger(name, count) for name, count in self._strangers.items())]

    # runs

    def begin(self, deadline: float) -> Begun:
        """Starts a run: the state object is read from now on. `deadline` is monotonic seconds."""
        is_cold_start = self.run == 0
        self.outside.secrets.begin_run()
        number, run = self.next_run(), Run(self.outside.now_ms(), secrets.token_hex(4))
        self.newcomers.start(self.series)
        self.progress.warning = ""
        now = time.monotonic()
        self.state.start_reading(now + min(_STATE_SECONDS, _STATE_SHARE * (deadline - now)))
        return Begun(number, run, is_cold_start)

    def judge(self, scraped: Sequence[tuple[JsonSource | TargetSource, Scrape]]) -> None:
        """What the scrapes of a run say of their jobs. A job whose targets are unknown keeps what was said of it."""
        unknown = self.undiscovered()
        self.health.update(scraped, self.sources(), [name for name in self._own_jobs() if name not in unknown])

    def _own_jobs(self) -> list[str]:
        """The jobs of which this shard may have a part."""
        return [*(job.name for job in self.jobs), *(pool.job.job_name for pool in self.pools)]

    def jobs_down(self, deadline: float) -> dict[str, str]:
        """Why jobs are down or have a failed metric, since their last own scrape. A job of which discovery has never
        given the targets is down, too. `deadline` is monotonic seconds."""
        known = set(self.config.job_names())
        problems = {job: why for job, why in self.health.problems().items() if job in known}
        part = {job for job in problems if self._is_well_elsewhere(job, deadline)}
        return self.undiscovered() | {job: why for job, why in problems.items() if job not in part}

    def _is_well_elsewhere(self, job: str, deadline: float) -> bool:
        """Whether another shard has targets of this job, and does not call it down."""
        keys = [key for pool in self.pools if pool.job.job_name == job for key in pool.shard_keys()]
        return any(self.state.is_well_in(str(index), job, deadline) for index in self.shard.others(keys))

    def end(self, scrapes: Sequence[Scrape], deliveries: Sequence[Delivery], deadline: float) -> None:
        """Ends a run: what other environments should know goes into the state object."""
        self.state.await_read()
        if not any(delivery.undelivered.total() for delivery in deliveries):
            self._mark_jobs(scrapes)
        if self.depot and (self.run == 1 or self.state.is_heartbeat_due):
            self._look_for_strangers(self.depot, deadline)
        self.state.save(deadline, self.config.job_names())
        self.finish_run()

    def _mark_jobs(self, scrapes: Sequence[Scrape]) -> None:
        """Nothing of this run is lost, so that every job has come as far as its scrape."""
        healable = {job.job_name for job in self.config.jobs if job.backfill}
        series: dict[str, int] = {}
        for scrape in scrapes:
            series[scrape.job] = series.get(scrape.job, 0) + len(scrape.samples)
        for scrape in scrapes:
            mark = JobMark(scrape.started_ms, scrape.started_ms, series=series[scrape.job])
            if not scrape.is_target and scrape.mark is None:
                continue
            self.state.mark(scrape.job, scrape.mark or mark, is_exact=scrape.job in healable)

    def _look_for_strangers(self, depot: Depot, deadline: float) -> None:
        known = [endpoint.name for endpoint in self.config.endpoints]
        try:
            self._strangers = depot.spool.strangers(known, deadline)
        except StoreError as error:
            self.state.problem = self.state.problem or f"the spool cannot be listed: {error}"

    def next_run(self) -> int:
        """Starts a run: its number, with connections that a freeze may have killed given up."""
        self.outside.transport.drop_idle()
        self.run += 1
        return self.run

    def finish_run(self, busy: Collection[str] = ()) -> None:
        """Keeps memory bounded: series not seen for longest go first. Sources that are being asked (`busy`, by key)
        keep what they hold until another time."""
        if len(self.series) <= MAX_SERIES:
            return
        for source in self.sources():
            source.mark_seen(self.run)
        self.leaving.mark_seen(self.run)
        oldest_kept = self.series.prune()
        for source in self.sources():
            if source.key not in busy:
                source.prune(oldest_kept)
        for remote in self.remotes:
            if view := remote.view:
                view.prune(oldest_kept)


def _of_a_stranger(endpoint: str, count: int) -> str:
    entries = f"{count} entr{'y' if count == 1 else 'ies'}"
    advice = "put it back to deliver them, or delete them with: pusher spool CONFIG delete --endpoint"
    return f"the spool holds {entries} of {endpoint}, an endpoint that the config does not have: {advice} {endpoint}"


def _limits(endpoint: Endpoint) -> SeriesLimits:
    return replace(AMP_LIMITS if endpoint.is_amp else NO_LIMITS, utf8_names=endpoint.version > 1)


def _common_limits(endpoints: Sequence[Endpoint]) -> SeriesLimits:
    """What holds for every series: AMP's limits when nobody else gets them, legacy names when nobody takes others and
    no `write_relabel_configs` sees the series before: it finds the names as they are, as in Prometheus."""
    common = AMP_LIMITS if all(one.is_amp for one in endpoints) else NO_LIMITS
    return replace(common, utf8_names=any(one.version > 1 or one.write_relabel for one in endpoints))
