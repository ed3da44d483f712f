"""The process: how it starts, which signals it handles, and how it ends."""

from __future__ import annotations

import contextlib
import queue
import signal
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from functools import partial

from lambda_remote_write import __version__
from lambda_remote_write.config.scalars import print_duration
from lambda_remote_write.config.yaml_reader import ConfigError, shown_url
from lambda_remote_write.config_source import Loaded, Unreadable, not_loaded
from lambda_remote_write.dependencies import Dependencies
from lambda_remote_write.environment import Environment
from lambda_remote_write.spool.spool import ALL_SHARDS, Spool
from lambda_remote_write.state.shards import Shard

from .messages import Problems, Say, bug
from .scraping import Scraping
from .sender import Sender, Tools
from .status import ProcessStatus, ReloadStatus

FLUSH_SECONDS = 60.0  # after a signal, as Prometheus's flush deadline
_DISCOVER_SECONDS = 5.0  # how often discovery is looked at; each mechanism keeps its own refresh_interval
_SAVE_SECONDS = 60.0  # how often the state object is written, when it has changed
_LOOK_SECONDS = 1.0
_STORE_SECONDS = 10.0
_LAST_SCRAPES_SECONDS = 2.0  # after a signal, for those that are under way
_LISTED = 10  # jobs and endpoints in a message
_IDLE_SECONDS = 0.5  # the longest that the main loop sleeps


_STOPPING = "the process is stopping"


class _Reload:
    """An order to read the config again. `refusal` becomes why it was refused, "" when it is in use."""

    def __init__(self) -> None:
        self.refusal = Future[str]()


_Order = _Reload | None
"""None is the order to stop."""


class Runner:
    """`load` reads the config `place`; `name` is this process's own in the spool. After the end is asked for, what
    waits is sent for `flush_seconds` at most."""

    def __init__(
        self,
        load: Callable[[], Loaded],
        place: str,
        name: str,
        dependencies: Dependencies,
        say: Say,
        flush_seconds: float = FLUSH_SECONDS,
    ) -> None:
        """Raises ConfigError and Unreadable."""
        self._load, self._place, self._dependencies, self._say = load, place, dependencies, say
        self._flush_seconds = flush_seconds
        self._name, self._shard = name, Shard(label=f"run-{name}")
        self._loaded = load()
        self._started_ms = dependencies.now_ms()
        self._reload = ReloadStatus(self._started_ms)
        environment = Environment(self._loaded.config, dependencies, gap_backfill=True, shard=self._shard)
        self._scraping = Scraping(environment, dependencies, say)
        self._tools = Tools(dependencies.now_ms, say, self._scraping.lost)
        self._scraping.senders = [
            Sender(endpoint, environment.spool_state, self._tools) for endpoint in environment.endpoints
        ]
        self._flushing: list[Sender] = []  # of endpoints that the config has no more
        self._problems = Problems(say)
        self._orders: queue.SimpleQueue[_Order] = queue.SimpleQueue()  # which a signal may fill at any moment
        self._stopped = threading.Event()
        self._is_started = self._is_stopping = False

    def stop(self) -> None:
        self._is_stopping = True
        self._orders.put(None)

    def reload(self) -> Future[str]:
        """Has the config read again. The result says why it was refused, "" when it is in use."""
        order = _Reload()
        self._orders.put(order)
        return order.refusal

    @property
    def is_ready(self) -> bool:
        """Whether it scrapes and sends: it has started, and was not asked to stop."""
        return self._is_started and not self._is_stopping

    def obey_signals(self) -> None:
        """SIGINT and SIGTERM stop it, SIGHUP makes it read the config again. To be called in the main thread."""
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, lambda *_: self.stop())
        signal.signal(signal.SIGHUP, lambda *_: self.reload())

    def run(self) -> int:
        """Runs until it is stopped, and returns the exit status."""
        self._say_started()
        self._scraping.environment.state.start_reading(time.monotonic() + _STORE_SECONDS)
        for sender in self._scraping.senders:
            sender.start()
        self._problems.guard("discovery", self._scraping.discover)
        watching = [threading.Thread(target=act, daemon=True) for act in (self._discover_again, self._watch)]
        for thread in watching:
            thread.start()
        self._is_started = True
        self._obey()
        self._flush()
        for thread in watching:
            thread.join(_STORE_SECONDS)
        self._problems.guard("the state object", self._save)
        self._say("stopped")
        return 0

    def _obey(self) -> None:
        """Scrapes and handles signals until one says stop."""
        while True:
            wait_seconds = self._scraping.start_due()
            try:
                limit = _IDLE_SECONDS if wait_seconds is None else min(wait_seconds, _IDLE_SECONDS)
                order = self._orders.get(timeout=limit)
            except queue.Empty:
                continue
            if order is None:
                return
            self._problems.guard("the new config", partial(self._obey_reload, order))

    def _obey_reload(self, order: _Reload) -> None:
        """One reading answers everybody who waits for one by now."""
        orders = [order, *self._waiting_reloads()]
        try:
            refusal = self._read_again()
        except Exception as error:
            refusal = bug(error)
            raise
        finally:
            success_ms = self._reload.success_ms if refusal else self._dependencies.now_ms()
            self._reload = ReloadStatus(success_ms, refusal)
            for one in orders:
                one.refusal.set_result(refusal)

    def _waiting_reloads(self) -> list[_Reload]:
        """Takes them out of the orders; one to stop stays there."""
        found: list[_Order] = []
        with contextlib.suppress(queue.Empty):
            while True:
                found.append(self._orders.get_nowait())
        if None in found:
            self._orders.put(None)
        return [one for one in found if one is not None]

    def _refuse_reloads(self) -> None:
        """Answers those that came with the order to stop, or after it."""
        for order in self._waiting_reloads():
            order.refusal.set_result(_STOPPING)

    def status(self) -> ProcessStatus:
        """Where it stands now. May be called by any thread, and holds up none."""
        scraping, masked = self._scraping, self._dependencies.secrets.mask
        environment = scraping.environment
        return ProcessStatus(
            version=__version__,
            name=self._name,
            place=self._place,
            started_ms=self._started_ms,
            now_ms=self._dependencies.now_ms(),
            is_ready=self.is_ready,
            targets=scraping.targets(),
            jobs=scraping.jobs(),
            endpoints=[sender.status() for sender in self._senders_by_name().values()],
            warnings=[*map(masked, scraping.warnings())],
            reload=self._reload,
            documents=self._loaded.documents,
            cached_series=len(environment.series),
        )

    def _senders_by_name(self) -> dict[str, Sender]:
        """The sender of each endpoint; one that is flushing counts for a name that no other has."""
        alive = [sender for sender in self._flushing if sender.is_alive()]
        return {sender.endpoint_name: sender for sender in [*alive, *self._scraping.senders]}

    # what it says of itself

    def _say_started(self, why: str = "") -> None:
        config, spool_state = self._scraping.environment.config, self._scraping.environment.spool_state
        intervals = {job.job_name: job.scrape_interval_ms for job in config.jobs}
        jobs = [f"{name} every {print_duration(interval_ms)}" for name, interval_ms in intervals.items()]
        endpoints = [f"{one.name} at {shown_url(one.url)}" for one in config.endpoints]
        keeps = f"the spool {spool_state.spool.store.place} as {self._shard}" if spool_state else "memory only"
        self._say(
            f"{why}pusher {__version__}: config {self._place}; jobs: {_listed(jobs)}; "
            f"endpoints: {_listed(endpoints)}; what waits is kept in {keeps}"
        )
        for warning in config.warnings:
            self._say(f"warning: {warning}")

    def _say_of_others(self) -> None:
        """What processes with other names have left waits until it is moved: a container has a new name with
        every start."""
        spool_state = self._scraping.environment.spool_state
        if spool_state is None:
            return
        everybody = Spool(spool_state.spool.store, ALL_SHARDS)
        for endpoint in self._scraping.environment.config.endpoints:
            keys = everybody.keys(endpoint.name, time.monotonic() + _STORE_SECONDS)
            owners = {key.split("/")[2] for key in keys} - {self._shard.name}
            others = sorted(owner.removeprefix("run-") for owner in owners if owner.startswith("run-"))
            if others:
                advice = f"start with --name {others[0]}, or send them with: pusher spool {self._place} drain"
                what = f"the spool has entries of {_listed(others)}, which no process sends"
                self._say(f"{endpoint.shown_name}: {what}: {advice}")

    # what goes on beside

    def _discover_again(self) -> None:
        while not self._stopped.wait(_DISCOVER_SECONDS):
            self._problems.guard("discovery", self._scraping.discover)

    def _watch(self) -> None:
        """Says what there is to say, and keeps how far the jobs have come."""
        self._problems.guard("the spool", self._say_of_others)
        save_at = time.monotonic() + _SAVE_SECONDS
        while any(sender.is_alive() for sender in self._all_senders()):
            for sender in self._all_senders():
                sender.look()
            if time.monotonic() >= save_at:
                save_at = time.monotonic() + _SAVE_SECONDS
                self._problems.guard("the state object", self._save)
            time.sleep(_LOOK_SECONDS)

    def _all_senders(self) -> list[Sender]:
        return [*self._scraping.senders, *self._flushing]

    def _save(self) -> None:
        """Jobs continue from what every endpoint has finished, also in the process after this one."""
        scraping = self._scraping
        state = scraping.environment.state
        scraping.marks.finished(min((one.queue.finished_number for one in scraping.senders), default=0), state)
        state.save(time.monotonic() + _STORE_SECONDS, scraping.environment.config.job_names())
        self._problems.note("state", "the state object", state.problem)

    # the config again, and the end

    def _read_again(self) -> str:
        """A good config takes over what the one before it knows; a bad one changes nothing. Returns why it is
        refused."""
        try:
            loaded = self._load()
        except (ConfigError, Unreadable) as error:
            refusal = not_loaded(self._place, error)
            self._say(f"the new config is refused, the old one stays: {refusal}")
            return refusal
        scraping = self._scraping
        with scraping.lock:
            environment = Environment(
                loaded.config, self._dependencies, before=scraping.environment, gap_backfill=True, shard=self._shard
            )
            scraping.take_over(environment, self._senders_for(environment))
        self._loaded = loaded
        self._say_started("the config was read again. ")
        scraping.discover()
        return ""

    def _senders_for(self, environment: Environment) -> list[Sender]:
        """The senders that are known go on, new endpoints get one, the others flush and end."""
        known, senders = {one.endpoint_name: one for one in self._scraping.senders}, list[Sender]()
        flushing = {one.endpoint_name: one for one in self._flushing if one.is_alive()}
        for endpoint in environment.endpoints:
            name = endpoint.config.name
            sender = known.pop(name, None)
            if sender is not None:
                sender.use(endpoint, environment.spool_state)
            else:
                sender = Sender(endpoint, environment.spool_state, self._tools, after=flushing.get(name))
                sender.start()
            senders.append(sender)
        for gone in known.values():
            gone.stop(self._flush_seconds)
        self._flushing = [*flushing.values(), *known.values()]
        return senders

    def _flush(self) -> None:
        self._stopped.set()
        self._refuse_reloads()
        self._scraping.finish(_LAST_SCRAPES_SECONDS)
        waiting = sum(len(sender.queue) for sender in self._all_senders())
        self._say(f"flushing {waiting} samples, at most {self._flush_seconds:.0f} s")
        for sender in self._scraping.senders:
            sender.stop(self._flush_seconds)
        for sender in self._all_senders():
            sender.join()


def _listed(items: Sequence[str]) -> str:
    more = f" and {len(items) - _LISTED} more" if len(items) > _LISTED else ""
    return ", ".join(items[:_LISTED]) + more if items else "none"
