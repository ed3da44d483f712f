"""The process: every source at its own interval, a sender per endpoint, and what happens to them between start and
end."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Callable, Sequence
from types import FrameType

from .. import __version__
from ..batch import Batch
from ..config.nodes import ConfigError, shown_url
from ..config.scalars import print_duration
from ..config.schema import Config
from ..config_source import Unreadable, not_loaded
from ..model import Scrape, Tally, WriteRequest
from ..shards import Shard
from ..sources import collect
from ..sources.due import Tick
from ..warm import Outside, Remote, Warm
from ..wire import order
from .marks import Marks
from .messages import Problems, Say, bug
from .schedule import ClockWatch, Schedule
from .sender import Sender, Tools

FLUSH_SECONDS = 60.0  # after a signal, as Prometheus's flush deadline
_DISCOVERY_SECONDS = 5.0  # how often discovery is looked at; each mechanism keeps its own refresh_interval
_SAVE_SECONDS = 60.0  # how often the state object is written, when it has changed
_STORE_SECONDS = 10.0
_GAP_SECONDS = 60.0  # for a scrape that heals a gap, where its interval is shorter
_MAX_FAMILIES = 20_000  # with metadata, as many as AMP keeps
_LISTED = 10  # jobs and endpoints in a message
_IDLE_SECONDS = 0.5  # the longest that the main loop sleeps


class Runner:
    """`load` reads the config `place`; `name` is this process's own in the spool. After the end is asked for, what
    waits is sent for `flush_seconds` at most."""

    def __init__(
        self,
        load: Callable[[], Config],
        place: str,
        name: str,
        outside: Outside,
        say: Say,
        flush_seconds: float = FLUSH_SECONDS,
    ) -> None:
        """Raises ConfigError and Unreadable."""
        self._load, self._place, self._outside, self._say = load, place, outside, say
        self._flush_seconds = flush_seconds
        self._shard = Shard(label=f"run-{name}")
        self._warm = Warm(load(), outside, heals=True, shard=self._shard)
        self._marks = Marks()
        self._warm.progress.ahead = self._marks.ahead
        self._tools = Tools(outside.now_ms, say, self._lost)
        self._senders = [Sender(remote, self._warm.depot, self._tools) for remote in self._warm.remotes]
        self._flushing: list[Sender] = []  # of endpoints that the config has no more
        self._edges = collect.Edges(self._warm.fetcher, outside.now_ms)
        self._schedule, self._clock = Schedule(outside.now_ms), ClockWatch(outside.now_ms)
        self._problems = Problems(say)
        self._busy: set[str] = set()  # keys of sources that are being scraped
        self._number = 0  # of the last scrape that was put into the queues
        self._lock = threading.Lock()
        self._stop, self._wake, self._reload = threading.Event(), threading.Event(), threading.Event()

    # signals

    def stop(self, *_: int | FrameType | None) -> None:
        self._stop.set()
        self._wake.set()

    def reload(self, *_: int | FrameType | None) -> None:
        self._reload.set()
        self._wake.set()

    def obey_signals(self) -> None:
        """SIGINT and SIGTERM stop it, SIGHUP makes it read the config again. To be called in the main thread."""
        for number, handler in ((signal.SIGINT, self.stop), (signal.SIGTERM, self.stop), (signal.SIGHUP, self.reload)):
            signal.signal(number, handler)

    def run(self) -> int:
        """Runs until it is stopped, and returns the exit status."""
        self._say(self._started())
        self._say_warnings()
        self._warm.state.start_reading(time.monotonic() + _STORE_SECONDS)
        for sender in self._senders:
            sender.start()
        self._problems.guard("discovery", self._discover)
        threading.Thread(target=self._discover_again, name="discovery", daemon=True).start()
        watching = threading.Thread(target=self._watch, name="watch", daemon=True)
        watching.start()
        self._scrape_all()
        self._flush()
        watching.join(_STORE_SECONDS)
        self._save()
        self._say("stopped")
        return 0

    def _started(self) -> str:
        config = self._warm.config
        intervals = [
            (job.job_name, job.scrape_interval_ms) for found in (config.jobs, config.scrape_jobs) for job in found
        ]
        jobs = [f"{name} every {print_duration(interval_ms)}" for name, interval_ms in intervals]
        endpoints = [f"{one.name} at {shown_url(one.url)}" for one in config.endpoints]
        depot = self._warm.depot
        keeps = f"the spool {depot.spool.store.place} as {self._shard}" if depot else "memory only"
        return (
            f"pusher {__version__}: config {self._place}; jobs: {_listed(jobs)}; "
            f"endpoints: {_listed(endpoints)}; what waits is kept in {keeps}"
        )

    def _say_warnings(self) -> None:
        for warning in self._warm.config.warnings:
            self._say(f"warning: {warning}")

    # scraping

    def _scrape_all(self) -> None:
        """Starts every scrape at its time, each by itself: a slow source holds up no other."""
        looked_ms = self._outside.now_ms()
        while not self._stop.is_set():
            if self._reload.is_set():
                self._reload.clear()
                self._problems.guard("the new config", self._read_again)
            for source in self._schedule.due(self._warm.sources(), self._busy):
                self._busy.add(source.key)
                threading.Thread(target=self._scrape_or_say, args=(source, self._warm), daemon=True).start()
            now_ms = self._outside.now_ms()
            self._end(Tick(now_ms, looked_ms, tick_ms=0))
            looked_ms = now_ms
            if said := self._clock.step():
                self._say(said)
            wait_seconds = self._schedule.wait_seconds()
            self._wake.wait(_IDLE_SECONDS if wait_seconds is None else min(wait_seconds, _IDLE_SECONDS))
            self._wake.clear()

    def _scrape_or_say(self, source: collect.Source, warm: Warm) -> None:
        """A source outlives whatever goes wrong with one scrape."""
        try:
            self._scrape(source, warm)
        except Exception as error:
            self._say(f"{source.name} {source.instance}: a scrape is lost: {bug(error)}")
        finally:
            self._busy.discard(source.key)

    def _scrape(self, source: collect.Source, warm: Warm) -> None:
        until = time.monotonic() + max(source.interval_ms / 1000, _GAP_SECONDS)
        fetched = collect.ask(source, self._edges, until)
        with self._lock:
            if warm is not self._warm and not any(source is one for one in self._warm.sources()):
                self._schedule.again(source.key)  # the config has changed meanwhile
                return
            scrape = collect.settle(source, fetched, self._warm.next_run(), self._outside.now_ms())
            self._put([scrape])
            problem = f"down: {scrape.error}" if scrape.error else ""
            self._problems.note(source.key, f"{scrape.job} {scrape.instance}", problem)
            for note in scrape.notes:
                self._say(f"{scrape.job}: {note}")
            self._warm.finish_run(busy=self._busy - {source.key})

    def _put(self, scrapes: Sequence[Scrape]) -> None:
        batch = Batch(scrapes)
        self._number += 1
        for remote, sender in zip(self._warm.remotes, self._senders, strict=True):
            dropped = Tally()
            sender.put(self._number, batch.ordered_for(remote, dropped), batch.metadata, _MAX_FAMILIES)
            for reason, count in dropped.counts.items():
                if reason != "metric_relabel":
                    said = f"{count} samples {reason}: {dropped.first[reason]}"
                    key = f"{sender.endpoint_name} {reason} {dropped.first[reason]}"
                    self._problems.note(key, sender.endpoint_name, said)
        healable = {job.job_name for job in self._warm.config.jobs if job.backfill}
        for scrape in scrapes:
            self._marks.scraped(self._number, scrape, is_exact=scrape.job in healable)

    def _end(self, tick: Tick) -> None:
        with self._lock:
            scrapes = self._warm.ended(tick, self._busy)
            if scrapes:
                self._put(scrapes)

    def _lost(self, remote: Remote, requests: Sequence[WriteRequest]) -> None:
        """Samples that are lost have not been sent: the same record may come again, and a gap is asked for again."""
        with self._lock:
            order.take_back(requests, remote.find(self._warm))
            self._marks.lost()

    # what goes on beside

    def _discover(self) -> None:
        warm = self._warm
        found = warm.find(time.monotonic() + 3 * _DISCOVERY_SECONDS)
        with self._lock:
            if warm is not self._warm:
                return
            warm.sync(found)
            for pool in warm.pools:
                name = pool.job.job_name
                self._problems.note(f"discovery {name}", "discovery", "; ".join(pool.messages()))

    def _discover_again(self) -> None:
        while not self._stop.wait(_DISCOVERY_SECONDS):
            self._problems.guard("discovery", self._discover)

    def _watch(self) -> None:
        """Says what there is to say, and keeps how far the jobs have come."""
        save_at = time.monotonic() + _SAVE_SECONDS
        while any(sender.is_alive() for sender in self._all_senders()):
            for sender in self._all_senders():
                sender.look()
            if time.monotonic() >= save_at:
                save_at = time.monotonic() + _SAVE_SECONDS
                self._problems.guard("the state object", self._save)
            time.sleep(1.0)

    def _all_senders(self) -> list[Sender]:
        return [*self._senders, *self._flushing]

    def _save(self) -> None:
        """What every endpoint has settled is safe to count from, also for the process after this one."""
        warm = self._warm
        self._marks.settled(min((one.queue.settled_number for one in self._senders), default=0), warm.state)
        warm.state.save(time.monotonic() + _STORE_SECONDS, warm.config.job_names())
        self._problems.note("state", "the state object", warm.state.problem)

    # the config again, and the end

    def _read_again(self) -> None:
        """A good config takes over what the one before it knows; a bad one changes nothing."""
        try:
            config = self._load()
        except (ConfigError, Unreadable) as error:
            self._say(f"the new config is refused, the old one stays: {not_loaded(self._place, error)}")
            return
        with self._lock:
            warm = Warm(config, self._outside, before=self._warm, heals=True, shard=self._shard)
            warm.progress.ahead = self._marks.ahead
            self._warm, self._edges = warm, collect.Edges(warm.fetcher, self._outside.now_ms)
            self._senders = self._senders_for(warm)
        self._say(f"the config was read again. {self._started()}")
        self._say_warnings()
        self._discover()

    def _senders_for(self, warm: Warm) -> list[Sender]:
        """The senders that are known go on, new endpoints get one, the others flush and end."""
        known, senders = {one.endpoint_name: one for one in self._senders}, list[Sender]()
        flushing = {one.endpoint_name: one for one in self._flushing if one.is_alive()}
        for remote in warm.remotes:
            name = remote.endpoint.name
            sender = known.pop(name, None)
            if sender is not None:
                sender.use(remote, warm.depot)
            else:
                sender = Sender(remote, warm.depot, self._tools, after=flushing.get(name))
                sender.start()
            senders.append(sender)
        for gone in known.values():
            gone.stop(self._flush_seconds)
        self._flushing = [*flushing.values(), *known.values()]
        return senders

    def _flush(self) -> None:
        waiting = sum(len(sender.queue) for sender in self._all_senders())
        self._say(f"flushing {waiting} samples, at most {self._flush_seconds:.0f} s")
        for sender in self._senders:
            sender.stop(self._flush_seconds)
        for sender in self._all_senders():
            sender.join()


def _listed(items: Sequence[str]) -> str:
    more = f" and {len(items) - _LISTED} more" if len(items) > _LISTED else ""
    return ", ".join(items[:_LISTED]) + more if items else "none"
