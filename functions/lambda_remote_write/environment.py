"""What an environment keeps between invocations: connections, interned series, tokens, when metadata went out, what
waits in the spool."""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from .config.schema import Config, Job, JsonJob, RemoteWriteConfig, ScrapeJob
from .dependencies import Dependencies
from .http.fetch import Fetcher
from .json_api.mapping import Observe
from .model.delivery import Delivery
from .model.samples import Intern, Labels, Series
from .model.scrape import Scrape
from .new_series_limit import NewSeriesLimiter, limiter_of
from .remote_write.endpoint import EndpointState, view_of
from .remote_write.relabelled_series import RelabelledSeries, common_limits
from .scrape.collect import EndedTargets, Scraper
from .scrape.json_scraper import JsonScraper
from .scrape.pool import ScrapePool
from .scrape.schedule import Tick
from .scrape.targets import AnyJob, Target
from .series import name_escaping
from .series.cache import MAX_SERIES, SeriesCache, legacy_prefix
from .spool.drain import SpoolState
from .spool.spool import RunId, Spool
from .state.jobs import JobHealth, JobProgress
from .state.shards import WHOLE, Shard
from .state.state import State

if TYPE_CHECKING:  # only a config with targets to discover needs it, and importing it would lengthen every cold start
    from . import discovery

_DISCOVERY_SHARE = 1 / 3  # of the time for collecting
_STATE_SHARE, _STATE_SECONDS = 0.25, 5.0  # of the run's time, and at most, for reading the state object


@dataclass(frozen=True, slots=True)
class Run:
    """A run: its number in this environment, and what it is known by outside. Times are monotonic seconds."""

    number: int
    id: RunId
    is_cold_start: bool
    known_series: int  # in the cache at its start
    started: float
    deadline: float


class Environment:
    """The memory of a warm environment for one config. A changed config inherits, from the memory `before` it, what
    still fits: above all which samples each series has sent."""

    def __init__(
        self,
        config: Config,
        dependencies: Dependencies,
        before: Environment | None = None,
        observers: Mapping[str, Observe] = MappingProxyType({}),
        *,
        gap_backfill: bool = False,
        shard: Shard = WHOLE,
    ) -> None:
        """`observers`, by job, are called with every new series. With `gap_backfill`, scrapers ask for what runs have
        missed. `shard` is which part of the jobs and targets is this one's."""
        self.config, self.dependencies = config, dependencies
        self.config_refused: str = ""  # what is wrong with a newer config, which is therefore not in use
        self._observers, self._gap_backfill = observers, gap_backfill
        self.run: int = before.run if before else 0
        self._first_run = self.run + 1  # under this config
        self.shard = shard
        self.last_tick_ms: int | None = before.last_tick_ms if before else None
        self.fetcher: Fetcher = before.fetcher if before else dependencies.fetcher()
        self.limits = common_limits(config.endpoints)
        external = self._external_labels()
        same = before if before and (before._external_labels(), before.limits) == (external, self.limits) else None
        self.series: SeriesCache = same.series if same else SeriesCache(external, self.limits)
        self.takes_any_name: bool = any(one.version > 1 for one in config.endpoints)
        self.intern: Intern = name_escaping.escaping(
            self.series.intern, config.name_escaping, metric_names=self.takes_any_name
        )
        self.endpoints = [
            EndpointState(one, dependencies.client(one), self.series, self._view(one, same), self._escape)
            for one in config.endpoints
        ]
        self.spool_state: SpoolState | None = self._spool_state(before.spool_state if before else None)
        memory = before.state if before and not before.spool_state else State(None, shard.name, dependencies.now_ms)
        self.state: State = self.spool_state.state if self.spool_state else memory
        self.progress = JobProgress(config, self.state, [endpoint.client for endpoint in self.endpoints])
        self.health: JobHealth = JobHealth(self.state, before.health if before else None)
        self.new_series_limiter: NewSeriesLimiter | None = limiter_of(
            config, self.state, before.new_series_limiter if before else None
        )
        self.ended_targets: EndedTargets = before.ended_targets if before else EndedTargets()
        self._target_lists: discovery.TargetLists = before._target_lists if before else {}
        if before:
            self._inherit(before)
        self.pools: list[ScrapePool[Any]] = [
            *(self._pool(job, self._json_scraper) for job in config.json_jobs),
            *(self._pool(job, self._target_scraper) for job in config.scrape_jobs),
        ]

    # what a config shares with the one before it

    def _external_labels(self) -> Sequence[tuple[str, str]]:
        """Under names that the series' own labels have there, too."""
        labels = self.config.external_labels
        if self.limits.utf8_names:
            return labels
        return tuple(name_escaping.escaped(dict(labels), self.config.name_escaping).items())

    def _escape(self, labels: Labels) -> Labels:
        """Labels of a series for a receiver that takes legacy names only: escaped as its job says."""
        schemes = {job.job_name: job.name_escaping for job in self.config.scrape_jobs}
        return name_escaping.escaped(labels, schemes.get(labels.get("job", ""), self.config.name_escaping))

    def _view(self, config: RemoteWriteConfig, same: Environment | None) -> RelabelledSeries | None:
        """The endpoint's own series; None for the only endpoint when it gets them as they are."""
        if not config.write_relabel and not config.convert_nhcb_to_classic and len(self.config.endpoints) == 1:
            return None
        return view_of(config, self.limits, self._escape, same.endpoints if same else ())

    def _inherit(self, before: Environment) -> None:
        """Every endpoint that was there before keeps its marks, whichever way it sees its series now, and what it has
        said of its runs; sources that the config does not have any more leave."""
        known = {endpoint.config.name: endpoint for endpoint in before.endpoints}
        for endpoint in self.endpoints:
            if had := known.get(endpoint.config.name):
                endpoint.own_facts = had.own_facts
                if had.series is not endpoint.series:
                    endpoint.series.remember(had.series.marks())
        for source in before.sources():
            if before.series is not self.series:  # the same labels are other objects there
                source.active.series = [self._own_series(one) for one in source.active.series]
            self.ended_targets.add(source)

    def _own_series(self, other: Series) -> Series:
        """The series of the same labels here, under names that are taken here."""
        takes_all = self.limits.utf8_names
        return self.series.interned(other.prefix if takes_all else legacy_prefix(other.prefix, self._escape))

    def _spool_state(self, before: SpoolState | None) -> SpoolState | None:
        """The spool of the config; what is known of the same one stays known."""
        config, dependencies = self.config.spool, self.dependencies
        if not config.location:
            return None
        store = dependencies.store(config.location)
        spool = Spool(store, self.shard.name, dependencies.sleep)
        return SpoolState.of(config, spool, State(store, self.shard.name, dependencies.now_ms), before)

    # sources

    def _pool(self, job: AnyJob, make: Callable[[Target[AnyJob]], Scraper]) -> ScrapePool[AnyJob]:
        return ScrapePool(job, self._finder(job) if job.discovery else None, make, self.ended_targets, self.shard.takes)

    def _finder(self, job: Job) -> discovery.Discovery:
        from . import discovery

        clients = self.dependencies.discovery_clients(self.fetcher)
        return discovery.Discovery(job.discovery, clients, self._target_lists)

    def _json_scraper(self, target: Target[JsonJob]) -> Scraper:
        job = target.job
        observe = self._observers.get(job.job_name)
        limits_ms = [endpoint.queue.sample_age_limit_ms for endpoint in self.config.endpoints]
        age_limit_ms = 0 if 0 in limits_ms else max(limits_ms, default=0)
        if job.backfill is None or not self._gap_backfill:
            now_ms = self.dependencies.now_ms
            return JsonScraper(target, self.intern, now_ms, observe, self.progress.mark_of, age_limit_ms)
        from .scrape.gap_backfill import GapBackfill

        every_ms = max(job.scrape_interval_ms, self.config.tick_ms)
        return GapBackfill(
            target, self.intern, observe, self.progress.mark_of, every_ms, age_limit_ms, self.dependencies.now_ms
        )

    def _target_scraper(self, target: Target[ScrapeJob]) -> Scraper:
        from .scrape.target_scraper import EndpointFeatures, TargetScraper

        endpoints = self.config.endpoints
        features = EndpointFeatures(
            exemplars=any(one.send_exemplars for one in endpoints),
            start_times=any(one.version > 1 for one in endpoints),
            utf8_names=self.limits.utf8_names,
        )
        return TargetScraper(target, self.series, features, self._observers.get(target.job.job_name))

    def sources(self) -> list[Scraper]:
        """A scraper for every target, as it was discovered last, in the order of the config."""
        return [scraper for pool in self.pools for scraper in pool.scrapers.values()]

    def discover(self, deadline: float, jobs: Collection[str] | None = None) -> None:
        """Brings the targets of all jobs (or of these) up to date, side by side, in a third of the time until
        `deadline` (monotonic seconds) at most."""
        self.sync(self.find(deadline, jobs))

    def find(
        self, deadline: float, jobs: Collection[str] | None = None
    ) -> list[tuple[ScrapePool[Any], discovery.DiscoveryResult]]:
        """The part of discovery that waits."""
        wanted = [pool for pool in self.pools if jobs is None or pool.job.job_name in jobs]
        pools = [pool for pool in wanted if not pool.is_complete]
        if not pools:
            return []
        from . import discovery

        now = time.monotonic()
        finders = [one.finder for one in pools if one.finder]
        found = discovery.discover(finders, now + (deadline - now) * _DISCOVERY_SHARE)
        return list(zip(pools, found, strict=True))

    def sync(self, found: Iterable[tuple[ScrapePool[Any], discovery.DiscoveryResult]]) -> None:
        for pool, groups in found:
            pool.sync(groups)

    def due_sources(self, tick: Tick) -> list[Scraper]:
        """The targets that are due in this run."""
        return [source for source in self.sources() if source.is_due(tick)]

    def ended(self, tick: Tick, busy: Collection[str] = ()) -> list[Scrape]:
        """The last markers of targets and jobs that are gone."""
        return self.ended_targets.ended(tick, self.dependencies.now_ms(), busy)

    def undiscovered(self) -> dict[str, str]:
        """The jobs whose targets are not all known, with the reason."""
        return {pool.job.job_name: pool.warnings[0] for pool in self.pools if pool.is_unknown}

    def warnings(self) -> list[str]:
        """What a run should tell. What there is to say of the config itself, its first run here tells for all."""
        of_config = self.config.warnings if self.run <= self._first_run else ()
        detail = [*of_config, *(detail for pool in self.pools for detail in pool.messages())]
        detail += [one for one in (self.state.problem, self.progress.warning) if one]
        return [*detail, *(self.spool_state.warnings() if self.spool_state else ())]

    # runs

    def begin(self, deadline: float) -> Run:
        """Starts a run: the state object is read from now on. `deadline` is monotonic seconds."""
        started, is_cold_start = time.monotonic(), self.run == 0
        self.dependencies.secrets.begin_run()
        number, run_id = self.next_run(), RunId(self.dependencies.now_ms(), secrets.token_hex(4))
        self.progress.warning = ""
        self.state.start_reading(started + min(_STATE_SECONDS, _STATE_SHARE * (deadline - started)))
        return Run(number, run_id, is_cold_start, len(self.series), started, deadline)

    def update_health(self, scraped: Sequence[tuple[Scraper, Scrape]]) -> None:
        """Updates the health of the jobs that were scraped. A job whose targets are unknown keeps its health."""
        unknown = self.undiscovered()
        own = [pool.job.job_name for pool in self.pools]
        self.health.update(scraped, self.sources(), [name for name in own if name not in unknown])

    def jobs_down(self, deadline: float) -> dict[str, str]:
        """Why jobs are down or have a failed metric, since their last own scrape. A job of which discovery has never
        given the targets is down, too. `deadline` is monotonic seconds."""
        down = {job: why for job, why in self._problems().items() if not self._is_well_elsewhere(job, deadline)}
        return self.undiscovered() | down

    def jobs_down_here(self) -> dict[str, bool | None]:
        """Whether each job is down or has a failed metric, whatever other shards know; None for one without targets in
        this shard. What is no part of the split runs none."""
        if not self.shard.count:
            return {}
        undiscovered = self.undiscovered().keys()
        jobs = {source.name for source in self.sources()} | undiscovered
        down = self._problems().keys() | undiscovered
        return {job: job in down if job in jobs else None for job in self.config.job_names()}

    def _problems(self) -> dict[str, str]:
        known = set(self.config.job_names())
        return {job: why for job, why in self.health.problems().items() if job in known}

    def _is_well_elsewhere(self, job: str, deadline: float) -> bool:
        """Whether another shard has targets of this job, and does not call it down."""
        keys = [key for pool in self.pools if pool.job.job_name == job for key in pool.shard_keys()]
        return any(self.state.is_well_in(str(index), job, deadline) for index in self.shard.others(keys))

    def end(self, scrapes: Sequence[Scrape], deliveries: Sequence[Delivery], deadline: float) -> None:
        """Ends a run: what other environments should know goes into the state object."""
        self.state.await_read()
        if not any(delivery.undelivered.total() for delivery in deliveries):
            self.progress.record(scrapes)
        if self.spool_state and (self.run == 1 or self.state.is_heartbeat_due):
            problem = self.spool_state.find_orphaned([endpoint.name for endpoint in self.config.endpoints], deadline)
            self.state.problem = self.state.problem or problem
        self.state.save(deadline, self.config.job_names())
        self.finish_run()

    def next_run(self) -> int:
        """Starts a run: its number, with connections that a freeze may have killed given up."""
        self.dependencies.transport.drop_idle()
        self.run += 1
        return self.run

    def finish_run(self, busy: Collection[str] = ()) -> None:
        """Keeps memory bounded: series not seen for longest go first. Sources that are being scraped (`busy`, by key)
        keep what they hold until another time."""
        if len(self.series) <= MAX_SERIES:
            return
        for source in self.sources():
            source.mark_seen(self.run)
        self.ended_targets.mark_seen(self.run)
        oldest_kept = self.series.prune()
        for source in self.sources():
            if source.key not in busy:
                source.prune(oldest_kept)
        for endpoint in self.endpoints:
            if view := endpoint.view:
                view.prune(oldest_kept)
