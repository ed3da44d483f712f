"""From sources into the queues: every source at its own interval, each in a thread of its own, of one host as many at
the same time as `max_requests_per_host` allows."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Sequence
from dataclasses import replace

from lambda_remote_write.config.schema import JsonJob
from lambda_remote_write.config.yaml_reader import shown_url
from lambda_remote_write.deadline import ConcurrencyLimiter
from lambda_remote_write.dependencies import Dependencies
from lambda_remote_write.environment import Environment
from lambda_remote_write.model.delivery import WriteRequest
from lambda_remote_write.model.drop_reasons import DropReason
from lambda_remote_write.model.reason_counts import ReasonCounts
from lambda_remote_write.model.scrape import HighWaterMark, Scrape
from lambda_remote_write.remote_write.batches import Batch, rollback
from lambda_remote_write.remote_write.endpoint import EndpointState
from lambda_remote_write.scrape import collect
from lambda_remote_write.scrape.schedule import Tick
from lambda_remote_write.state.state import State

from .last_scrapes import LastScrapes
from .messages import Problems, Say, bug
from .schedule import ClockWatch, Schedule
from .sender import Sender
from .status import JobStatus, TargetState, TargetStatus

_DISCOVERY_SECONDS = 15.0  # of which discovery gets a third
_GAP_SECONDS = 60.0  # for a scrape that backfills a gap, where its interval is shorter
_LOOK_SECONDS = 0.02
_MAX_FAMILIES = 20_000  # with metadata, as many as AMP keeps


_Due = tuple[collect.Scraper, Environment]
"""A source whose time has come, and the environment in which it has."""


class Marks:
    """A job's own next scrape counts from its last one, delivered or not (`ahead`, by the mark's name). Another process
    counts from what the state object says, which gets a mark only when every endpoint has finished with the scrape's
    samples."""

    def __init__(self) -> None:
        self.ahead: dict[str, HighWaterMark] = {}
        self._waiting: deque[tuple[int, str, HighWaterMark, bool]] = deque()  # by number: its name, mark, is_exact
        self._lock = threading.Lock()

    def scraped(self, number: int, scrape: Scrape, *, is_exact: bool) -> None:
        """A scrape was put into the queues as part `number`."""
        if scrape.mark is None:
            return
        with self._lock:
            name = scrape.mark_name
            known = self.ahead.get(name)
            self.ahead[name] = scrape.mark.merged(known) if known else scrape.mark
            self._waiting.append((number, name, scrape.mark, is_exact))

    def finished(self, number: int, state: State) -> None:
        """Every endpoint has finished its parts up to this number."""
        with self._lock:
            while self._waiting and self._waiting[0][0] <= number:
                _, name, mark, is_exact = self._waiting.popleft()
                state.mark(name, mark, is_exact=is_exact)

    def lost(self) -> None:
        """Something was lost: jobs go on from where all was safe, so that they request again what they can."""
        with self._lock:
            self.ahead.clear()
            self._waiting.clear()


class Scraping:
    """Scrapes what `environment` has into the queues of `senders`, which belong to its endpoints in their order."""

    def __init__(self, environment: Environment, dependencies: Dependencies, say: Say) -> None:
        self.environment = environment
        self.senders: list[Sender] = []
        self.marks = Marks()
        self.lock = threading.Lock()  # of everything that is not a source's own
        self._dependencies, self._say = dependencies, say
        self._schedule, self._clock = Schedule(dependencies.now_ms), ClockWatch(dependencies.now_ms)
        self._looked_ms = dependencies.now_ms()
        self._down, self._discovery, self._dropped = Problems(say), Problems(say), Problems(say)
        self._failed, self._skipped = Problems(say), Problems(say)
        self._notes: dict[str, list[str]] = {}  # of each source's last scrape
        self._last = LastScrapes()
        self._busy: set[str] = set()  # keys of sources that are being scraped, or wait for their turn
        self._limiter = ConcurrencyLimiter[_Due]()
        self._is_ending = False
        self._number = 0  # of the last part that was put into the queues
        environment.progress.ahead = self.marks.ahead

    def take_over(self, environment: Environment, senders: list[Sender]) -> None:
        """Goes on with a config that was read again. The caller has the lock."""
        environment.progress.ahead = self.marks.ahead
        self.environment, self.senders = environment, senders

    def start_due(self) -> float | None:
        """Starts the scrapes whose time has come. Returns how long until the next one, None without any source."""
        for source in self._schedule.due(self.environment.sources(), self._busy):
            self._busy.add(source.key)
            due = source, self.environment
            self._start(self._limiter.admit(due, source.host, source.max_requests_per_host))
        self._end_gone()
        if detail := self._clock.step():
            self._say(detail)
        return self._schedule.wait_seconds()

    def finish(self, seconds: float) -> None:
        """Waits for the scrapes that are under way, for so long at most: what they bring is flushed too. Those that
        wait for their turn do not begin any more."""
        self._is_ending = True
        self._busy -= {source.key for source, _ in self._limiter.waiting()}
        until = time.monotonic() + seconds
        while self._busy and time.monotonic() < until:
            time.sleep(_LOOK_SECONDS)

    def discover(self) -> None:
        """Brings the targets up to date."""
        environment = self.environment
        found = environment.find(time.monotonic() + _DISCOVERY_SECONDS)
        with self.lock:
            if environment is not self.environment:
                return
            environment.sync(found)
            for pool in environment.pools:
                self._discovery.note(pool.job.job_name, "discovery", "; ".join(pool.messages()))
            keys = {source.key for source in environment.sources()}
            self._down.keep(keys)
            self._last.keep(keys)
            self._notes = {key: notes for key, notes in self._notes.items() if key in keys}

    def targets(self) -> list[TargetStatus]:
        """Every target and its last scrape."""
        return [self._target(source) for source in self.environment.sources()]

    def _target(self, source: collect.Scraper) -> TargetStatus:
        target, last = source.target, self._last.of(source)
        found = TargetStatus(source.name, shown_url(target.url), target.labels, isinstance(target.job, JsonJob))
        if last is None:
            return found
        return replace(
            found,
            state=TargetState.DOWN if last.error else TargetState.UP,
            error=last.error,
            scraped_ms=last.started_ms,
            duration_seconds=last.duration_seconds,
            samples=last.samples,
            failed=last.failed,
        )

    def jobs(self) -> list[JobStatus]:
        """Every job of the config."""
        return [
            JobStatus(
                name=pool.job.job_name,
                is_json=isinstance(pool.job, JsonJob),
                interval_ms=pool.job.scrape_interval_ms,
                targets=len(pool.scrapers),
                dropped_targets=len(pool.targets.dropped),
                scrapes=self._last.scrapes(pool.job.job_name),
                failed_scrapes=self._last.failed(pool.job.job_name),
                is_discovery_failing=bool(pool.warnings),
                messages=pool.messages(),
            )
            for pool in self.environment.pools
        ]

    def warnings(self) -> list[str]:
        """What there is to say of the config and of the spool now."""
        environment = self.environment
        of_state = [one for one in (environment.state.problem, environment.progress.warning) if one]
        of_spool = environment.spool_state.warnings() if environment.spool_state else []
        return [*environment.config.warnings, *of_state, *of_spool]

    def lost(self, endpoint: EndpointState, requests: Sequence[WriteRequest]) -> None:
        """Samples that are lost have not been sent: the same record may come again, and a gap is requested again."""
        with self.lock:
            rollback(requests, endpoint.find)
            self.marks.lost()

    def _start(self, due: Sequence[_Due]) -> None:
        for source, environment in due:
            if self._is_ending:
                self._busy.discard(source.key)  # admitted after `finish` had looked at those that wait
            else:
                threading.Thread(target=self._scrape_or_say, args=(source, environment), daemon=True).start()

    def _scrape_or_say(self, source: collect.Scraper, environment: Environment) -> None:
        """A source outlives whatever goes wrong with one scrape."""
        try:
            self._scrape(source, environment)
        except Exception as error:
            self._say(f"{source.name} {source.instance}: a scrape is lost: {bug(error)}")
            with self.lock:
                self._last.record_bug(source, bug(error), self._dependencies.now_ms())
        finally:
            self._busy.discard(source.key)
            self._start(self._limiter.release(source.host))

    def _scrape(self, source: collect.Scraper, environment: Environment) -> None:
        deadline = time.monotonic() + max(source.interval_ms / 1000, _GAP_SECONDS)
        fetched = collect.fetch(source, environment.fetcher, self._dependencies.now_ms, deadline)
        with self.lock:
            if environment is not self.environment and not any(source is one for one in self.environment.sources()):
                self._schedule.again(source.key)  # the config has changed meanwhile
                return
            scrape = collect.to_scrape(source, fetched, self.environment.next_run(), self._dependencies.now_ms())
            self._last.record(source, scrape)
            self._put([scrape])
            self._tell(source, scrape)
            self.environment.finish_run(busy=self._busy - {source.key})

    def _tell(self, source: collect.Scraper, scrape: Scrape) -> None:
        """Sources are distinguished by their keys: targets of a job may share an instance."""
        who = f"{scrape.job} {scrape.instance}"
        self._down.note(source.key, who, f"down: {scrape.error}" if scrape.error else "")
        for result in scrape.metrics:  # a metric that failed with the whole job has been reported
            about, of_metric = f"{source.key} {result.metric}", f"{who} {result.metric}"
            is_failed = result.failed and not scrape.error
            self._failed.note(about, of_metric, f"failed: {result.failed}" if is_failed else "")
            examples = result.skipped.first_examples
            reasons = "; ".join(f"{count}, {why}: {examples[why]}" for why, count in result.skipped.counts.items())
            self._skipped.note(about, of_metric, f"records skipped: {reasons}" if reasons else "")
        for note in scrape.notes:
            if note not in self._notes.get(source.key, ()):
                self._say(f"{scrape.job}: {note}")
        self._notes[source.key] = scrape.notes
        self._discovery.note("progress", "gaps", self.environment.progress.warning)

    def _put(self, scrapes: Sequence[Scrape]) -> None:
        batch = Batch(scrapes)
        self._number += 1
        for endpoint, sender in zip(self.environment.endpoints, self.senders, strict=True):
            dropped = ReasonCounts()
            ordered, _ = batch.ordered_for(endpoint, dropped, self._dependencies.now_ms())
            sender.put(self._number, ordered, dropped, batch.metadata, _MAX_FAMILIES)
            self._tell_dropped(f"{sender.endpoint_name}: {scrapes[0].job}", dropped)
        with_backfill = {job.job_name for job in self.environment.config.json_jobs if job.backfill}
        for scrape in scrapes:
            self.marks.scraped(self._number, scrape, is_exact=scrape.job in with_backfill)

    def _tell_dropped(self, who: str, dropped: ReasonCounts) -> None:
        """The first of each reason; the reason may be usual, as with an API that repeats what it had."""
        for reason, count in dropped.counts.items():
            if reason != DropReason.METRIC_RELABEL:
                detail = f"{count} samples dropped, {reason}: {dropped.first_examples[reason]}"
                self._dropped.note(f"{who} {reason}", who, detail)

    def _end_gone(self) -> None:
        """The last markers of targets and jobs that are gone."""
        now_ms = self._dependencies.now_ms()
        tick, self._looked_ms = Tick(now_ms, self._looked_ms, tick_ms=0), now_ms
        with self.lock:
            scrapes = self.environment.ended(tick, self._busy)
            if scrapes:
                self._put(scrapes)
