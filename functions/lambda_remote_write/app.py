"""Lambda entry points: event -> action -> report. The only place that catches everything."""

from __future__ import annotations

import contextlib
import json
import time
from collections.abc import Callable, Collection, Mapping
from dataclasses import replace
from typing import Any

from .config.env_vars import read_env_vars
from .config.scalars import print_duration
from .config.schema import Config
from .config.yaml_reader import ConfigError
from .config_source import Loaded, Unreadable, not_loaded
from .dependencies import Dependencies
from .environment import Environment
from .events import BadEvent, parse_event
from .push import push
from .report.log import ALARM_METRICS, NO_METRICS, RunLog
from .report.report import Report
from .scrape.schedule import Tick
from .series.cache import MAX_SERIES
from .state.shards import OPERATOR, WHOLE, Resharding, Shard, ShardAssignment
from .state.state import State
from .store import Store

_RESERVE_SECONDS = 3.0  # of the function's timeout, for the report
_WITHOUT_CONTEXT_SECONDS = 60.0
_STATE_SECONDS = 3.0
_CONFIG_SHARE = 0.3  # of the time that is left, and twelve seconds, to read the config
_OLDEST_WAITING_SECONDS = 600.0  # without metrics, when what waits is old enough to fail a run


class PushFailed(Exception):
    """Samples are undelivered: the invocation fails, so that the alarm sees it. The report is in the log. Without
    metrics, this is also how an alarm sees what is lost, down or waiting for long."""


class BackfillStopped(Exception):
    """A backfill needs a change before it can continue; the message says which, and how to continue."""


class App:
    """One environment's function. Made once, at the first invocation."""

    def __init__(self, dependencies: Dependencies, actions: Collection[str] = ("push", "plan")) -> None:
        self._dependencies, self._actions = dependencies, actions
        self._source = dependencies.config_source()
        self._metrics = dependencies.env_vars.get("PUSHER_METRICS", "") or ALARM_METRICS
        self._run_log = RunLog(dependencies.env_vars.get("POWERTOOLS_SERVICE_NAME", ""), self._metrics)
        self._loaded: Loaded | None = None  # at the last invocation
        self._environments: dict[Shard, Environment] = {}  # the one used last at the end
        self._split: Resharding | None = None

    def handle(self, event: Any, context: Any) -> dict[str, Any]:
        """An event -> the report. Raises PushFailed, BackfillStopped, BadEvent, ConfigError or Unreadable, each logged
        once."""
        request_id = str(getattr(context, "aws_request_id", ""))
        facts = {"request_id": request_id, "cold_start": self._loaded is None}
        try:
            action, options = parse_event(event, self._actions)
            if action not in self._actions:
                other = "PusherFunction" if action == "push" else "OperatorFunction"
                raise BadEvent(f"action: this function never does {action}; invoke {other} with this event")
            deadline = deadline_of(context)
            self._loaded = loaded = self._load(deadline)
            if loaded.refused:
                self._run_log.refused(loaded.refused, facts)
            result = _ACTIONS[action](self, loaded.config, options, deadline, facts)
            return result | ({"config_refused": loaded.refused} if loaded.refused else {})
        except (PushFailed, BackfillStopped):
            raise
        except (ConfigError, Unreadable) as error:
            self._run_log.refused(not_loaded(self._source.location, error), facts)
            raise
        except Exception as error:
            self._run_log.refused(f"{type(error).__name__}: {error}", facts)
            raise

    def _environment(self, config: Config, shard: Shard) -> Environment:
        """The memory for one shard. Shards share the limit of series: those used longest ago go first."""
        environments = self._environments
        before = environments.pop(shard, None)
        if before is None or before.config is not config:
            before = Environment(config, self._dependencies, before=before, gap_backfill=True, shard=shard)
        environments[shard] = before
        while len(environments) > 1 and sum(len(one.series) for one in environments.values()) > MAX_SERIES:
            del environments[next(iter(environments))]
        before.config_refused = self._loaded.refused if self._loaded else ""
        if self._loaded and self._loaded.pinned and not self._loaded.refused:
            before.state.use_config(self._loaded.pinned)
        return before

    def _load(self, deadline: float) -> Loaded:
        """The config to use. A new environment that finds a bad one, or cannot read it, takes the last good one, which
        other environments have left a note of."""
        now = time.monotonic()
        try:
            return self._source.load(now + _CONFIG_SHARE * (deadline - now))
        except (ConfigError, Unreadable) as error:
            if pinned := self._last_good_version():
                now = time.monotonic()
                with contextlib.suppress(ConfigError, Unreadable):
                    return self._source.load_pinned(pinned, error, now + _CONFIG_SHARE * (deadline - now))
            raise

    def _last_good_version(self) -> str:
        """As the state object says, where one is known without the config."""
        location = self._dependencies.env_vars.get("PUSHER_SPOOL", "")
        if not location or not self._source.keeps_versions:
            return ""
        state = State(self._dependencies.store(location), WHOLE.name, self._dependencies.now_ms)
        state.start_reading(time.monotonic() + _STATE_SECONDS)
        state.await_read()
        return state.facts.config_version

    def _push(
        self, config: Config, options: Mapping[str, Any], deadline: float, facts: dict[str, Any]
    ) -> dict[str, Any]:
        turn = self._turn(config, options, deadline)
        reports = []
        for place, shard in enumerate(turn.shards):
            environment = self._environment(config, shard)
            now = time.monotonic()
            until = now + (deadline - now) / (len(turn.shards) - place)
            notes = [*turn.notes, *self._clock_notes(environment)]
            report = push(environment, self._tick(environment, options), until)
            report = replace(report, shard=str(shard), warnings=[*notes, *report.warnings])
            self._run_log.report(report, facts)
            reports.append(report)
        failed = [report.summary() for report in reports if report.failed or self._must_ring(report)]
        if failed:
            raise PushFailed("; ".join(failed))
        if len(reports) == 1:
            return reports[0].as_dict()
        return {
            "action": "push",
            "ok": not any(report.jobs_down for report in reports),
            "shards": [one.as_dict() for one in reports],
            "warnings": list(turn.notes),
        }

    def _must_ring(self, report: Report) -> bool:
        """Whether a run has to fail because no metric says what is wrong with it."""
        text = self._dependencies.env_vars.get("PUSHER_OLDEST_WAITING_SECONDS", "")
        limit = float(text) if text.isdecimal() else _OLDEST_WAITING_SECONDS
        is_wrong = report.lost or report.jobs_down or report.oldest_waiting_seconds > limit
        return self._metrics == NO_METRICS and bool(is_wrong)

    def _turn(self, config: Config, options: Mapping[str, Any], deadline: float) -> ShardAssignment:
        """The shards that are this invocation's: the event's, or all of them when it names none."""
        index, wanted = options.get("shard"), options.get("shards") or self._named_shards or 1
        if index is not None and index >= wanted:
            raise BadEvent(f"shard: {index} is none of {wanted} shards; the first one is 0")
        if self._split is None:
            self._split = Resharding(self._store(config), config.tick_ms, is_fixed=bool(self._named_shards))
        scheduled_ms = options.get("scheduled_ms") or self._dependencies.now_ms()
        return self._split.turn(index, wanted, scheduled_ms, min(deadline, time.monotonic() + _STATE_SECONDS))

    @property
    def _named_shards(self) -> int:
        """As the template says to the function, whose environments end when that changes; 0 when it does not."""
        text = self._dependencies.env_vars.get("PUSHER_SHARDS", "")
        return int(text) if text.isdecimal() else 0

    def _store(self, config: Config) -> Store | None:
        location = config.spool.location
        return self._dependencies.store(location) if location else None

    def _tick(self, environment: Environment, options: Mapping[str, Any]) -> Tick:
        """What is wanted: the named jobs, or what is due at the event's scheduled time (now, when it names none)."""
        now_ms, config = self._dependencies.now_ms(), environment.config
        names = options.get("jobs")
        if names is not None:
            return Tick(now_ms, None, config.tick_ms, frozenset(_known(names, config)))
        # A time ahead of the clock would count as the last tick, and no job would be due until it has come.
        scheduled_ms = min(options.get("scheduled_ms") or now_ms, now_ms + config.tick_ms)
        last_ms = None if _clock_was_set_back(environment, now_ms) else environment.last_tick_ms
        tick = Tick(scheduled_ms, last_ms, config.tick_ms)
        environment.last_tick_ms = max(scheduled_ms, last_ms or scheduled_ms)
        return tick

    def _clock_notes(self, environment: Environment) -> list[str]:
        now_ms = self._dependencies.now_ms()
        if environment.last_tick_ms is None or not _clock_was_set_back(environment, now_ms):
            return []
        size = print_duration((environment.last_tick_ms - now_ms) // 1000 * 1000)
        return [
            f"the clock was set back by about {size}: what is not newer than its series' last sample is dropped "
            "(not_newer) until that time has come again"
        ]

    def _plan(
        self, config: Config, options: Mapping[str, Any], deadline: float, facts: dict[str, Any]
    ) -> dict[str, Any]:
        from .plan import plan  # a schedule never plans

        names = options.get("jobs")
        jobs = _known(names, config) if names is not None else None
        return plan(config, self._dependencies, deadline, options.get("shards") or self._named_shards or 1, jobs)

    def _spool(
        self, config: Config, options: Mapping[str, Any], deadline: float, facts: dict[str, Any]
    ) -> dict[str, Any]:
        from .spool_inspect import NoSpool, TooMuch, inspect  # nor does it look into the spool

        try:
            return inspect(self._environment(config, OPERATOR), options, deadline)
        except (NoSpool, TooMuch) as error:
            raise BadEvent(str(error)) from None

    def _push_samples(
        self, config: Config, options: Mapping[str, Any], deadline: float, facts: dict[str, Any]
    ) -> dict[str, Any]:
        from .push_samples import BadSamples, push_samples

        try:
            report = push_samples(self._environment(config, OPERATOR), options, deadline)
        except BadSamples as error:
            raise BadEvent(str(error)) from None
        self._run_log.report(report, facts)
        if report.failed:
            raise PushFailed(report.summary())
        return report.as_dict() | {"action": "push_samples"}

    def _backfill(
        self, config: Config, options: Mapping[str, Any], deadline: float, facts: dict[str, Any]
    ) -> dict[str, Any]:
        from .backfill import invoke

        host = invoke.Host(self._dependencies, self._store(config))
        try:
            answer = invoke.backfill(options, config, host, deadline)
        except invoke.BadRequest as error:
            raise BadEvent(str(error)) from None
        self._run_log.action(invoke.sentence(answer), {"backfill": answer, **facts}, is_error=bool(answer["stopped"]))
        if answer["stopped"]:
            going_on = json.dumps({"action": "backfill", "resume": answer["resume"]})
            raise BackfillStopped(f"{answer['stopped']}. Mend that, and go on with {going_on}")
        return answer


def _known(names: Collection[str], config: Config) -> Collection[str]:
    """The names, when the config has them all. Raises BadEvent."""
    known = config.job_names()
    unknown = [name for name in names if name not in known]
    if unknown:
        raise BadEvent(f"jobs: no job is named {unknown[0]!r}; the config has {', '.join(known) or 'none'}")
    return names


def _clock_was_set_back(environment: Environment, now_ms: int) -> bool:
    """The last tick lies ahead of all that may come now, so that it says nothing about what is due."""
    return environment.last_tick_ms is not None and environment.last_tick_ms > now_ms + environment.config.tick_ms


_Action = Callable[[App, Config, Mapping[str, Any], float, dict[str, Any]], dict[str, Any]]
_ACTIONS: dict[str, _Action] = {
    "push": App._push,
    "plan": App._plan,
    "spool": App._spool,
    "push_samples": App._push_samples,
    "backfill": App._backfill,
}


def deadline_of(context: Any) -> float:
    """When this invocation must have reported, in monotonic seconds: the remaining time less a reserve."""
    remaining = getattr(context, "get_remaining_time_in_millis", None)
    seconds = remaining() / 1000 if remaining else _WITHOUT_CONTEXT_SECONDS
    return time.monotonic() + max(seconds - min(_RESERVE_SECONDS, seconds / 4), 0.1)


_apps: dict[tuple[str, ...], App] = {}


def _app(*actions: str) -> App:
    """The environment's function, made at its first invocation."""
    if actions not in _apps:
        _apps[actions] = App(Dependencies(read_env_vars()), actions)
    return _apps[actions]


def push_handler(event: Any, context: Any) -> dict[str, Any]:
    """PusherFunction: what the schedule invokes."""
    return _app("push", "plan").handle(event, context)


def operator_handler(event: Any, context: Any) -> dict[str, Any]:
    """OperatorFunction: what people invoke. Of a scheduled job it sends what a backfill has found to be in order, and
    nothing else."""
    return _app("plan", "spool", "push_samples", "backfill").handle(event, context)
