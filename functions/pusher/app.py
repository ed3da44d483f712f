"""Lambda entry points: event -> action -> report. The only place that catches everything."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Collection, Mapping
from dataclasses import replace
from datetime import datetime
from typing import Any

from .config.environment import read_environment
from .config.nodes import ConfigError
from .config.scalars import print_duration
from .config.schema import Config
from .config_source import Loaded, Unreadable, not_loaded
from .delivery.state import State
from .logs import ALARM_METRICS, NO_METRICS, Journal
from .push import push
from .report import Report
from .shards import MAX_SHARDS, OPERATOR, WHOLE, Shard, Split, Turn
from .sources.due import Tick
from .warm import Outside, Warm
from .wire.series import MAX_SERIES

_RESERVE_SECONDS = 3.0  # of the function's timeout, for the report
_WITHOUT_CONTEXT_SECONDS = 60.0
_STATE_SECONDS = 3.0
_CONFIG_SHARE = 0.3  # of the time that is left, and twelve seconds, to read the config
_OLDEST_WAITING_SECONDS = 600.0  # without metrics, when what waits is old enough to fail a run
BACKFILL_KEYS = (  # as in backfill.request, which a schedule does not import
    "job", "start", "end", "step", "window", "from", "format", "columns", "endpoint", "force", "dry_run", "export",
    "widen_out_of_order", "resume", "plan",
)  # fmt: skip


class PushFailed(Exception):
    """Samples are undelivered: the invocation fails, so that the alarm sees it. The report is in the log. Without
    metrics, this is also how an alarm sees what is lost, down or waiting for long."""


class BadEvent(Exception):
    """The event is none of ours; the message says what is allowed."""


class BackfillStopped(Exception):
    """A backfill cannot go on before somebody has changed something; the message says what, and how it goes on."""


class App:
    """One environment's function. Made once, at the first invocation."""

    def __init__(self, outside: Outside, actions: Collection[str] = ("push", "plan")) -> None:
        self._outside, self._actions = outside, actions
        self._source = outside.config_source()
        self._metrics = outside.environment.get("PUSHER_METRICS", "") or ALARM_METRICS
        self._journal = Journal(outside.environment.get("POWERTOOLS_SERVICE_NAME", ""), self._metrics)
        self._loaded_config: Config | None = None
        self._pinned = ""
        self._warms: dict[Shard, Warm] = {}  # the one used last at the end
        self._split: Split | None = None

    def handle(self, event: Any, context: Any) -> dict[str, Any]:
        """An event -> the report. Raises PushFailed, BackfillStopped, BadEvent, ConfigError or Unreadable, each logged
        once."""
        request_id = str(getattr(context, "aws_request_id", ""))
        facts = {"request_id": request_id, "cold_start": self._loaded_config is None}
        try:
            action, options = parse_event(event, self._actions)
            if action not in self._actions:
                other = "PusherFunction" if action == "push" else "OperatorFunction"
                raise BadEvent(f"action: this function never does {action}; invoke {other} with this event")
            deadline = deadline_of(context)
            config, refused = self._load(deadline)
            if refused:
                self._journal.refused(refused, facts)
            result = _ACTIONS[action](self, config, options, deadline, facts)
            return result | ({"config_refused": refused} if refused else {})
        except (PushFailed, BackfillStopped):
            raise
        except (ConfigError, Unreadable) as error:
            self._journal.refused(not_loaded(self._source.location, error), facts)
            raise
        except Exception as error:
            self._journal.refused(f"{type(error).__name__}: {error}", facts)
            raise

    def _load(self, deadline: float) -> tuple[Config, str]:
        """The config in use, and what is wrong with a newer one that is not."""
        loaded = self._loaded(deadline)
        self._loaded_config = loaded.config
        self._pinned = loaded.pinned if not loaded.refused else ""
        return loaded.config, loaded.refused

    def _warm(self, config: Config, shard: Shard) -> Warm:
        """The memory for one shard. Shards share what an environment may hold: those used longest ago go first."""
        before = self._warms.pop(shard, None)
        if before is None or before.config is not config:
            before = Warm(config, self._outside, before=before, heals=True, shard=shard)
        self._warms[shard] = before
        while len(self._warms) > 1 and sum(len(warm.series) for warm in self._warms.values()) > MAX_SERIES:
            del self._warms[next(iter(self._warms))]
        if self._pinned:
            before.state.use_config(self._pinned)
        return before

    def _loaded(self, deadline: float) -> Loaded:
        """The config to use. A new environment that finds a bad one, or cannot read it, takes the last good one, which
        other environments have left a note of."""
        now = time.monotonic()
        try:
            return self._source.load(now + _CONFIG_SHARE * (deadline - now))
        except (ConfigError, Unreadable) as error:
            pinned = self._last_good_version()
            if not pinned:
                raise
            try:
                now = time.monotonic()
                return self._source.load_pinned(pinned, error, now + _CONFIG_SHARE * (deadline - now))
            except (ConfigError, Unreadable):
                raise error from None

    def _last_good_version(self) -> str:
        """As the state object says, where one is known without the config."""
        location = self._outside.environment.get("PUSHER_SPOOL", "")
        if not location or not self._source.keeps_versions:
            return ""
        state = State(self._outside.store(location), WHOLE.name, self._outside.now_ms)
        state.start_reading(time.monotonic() + _STATE_SECONDS)
        state.await_read()
        return state.facts.config_version

    def _push(
        self, config: Config, options: Mapping[str, Any], deadline: float, facts: dict[str, Any]
    ) -> dict[str, Any]:
        turn = self._turn(config, options, deadline)
        reports = []
        for place, shard in enumerate(turn.shards):
            warm = self._warm(config, shard)
            now = time.monotonic()
            until = now + (deadline - now) / (len(turn.shards) - place)
            notes = [*turn.notes, *self._clock_notes(warm)]
            report = push(warm, self._tick(warm, options), until)
            report = replace(report, shard=str(shard), warnings=[*notes, *report.warnings])
            self._journal.report(report, facts)
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
        text = self._outside.environment.get("PUSHER_OLDEST_WAITING_SECONDS", "")
        limit = float(text) if text.isdecimal() else _OLDEST_WAITING_SECONDS
        is_wrong = report.lost or report.jobs_down or report.oldest_waiting_seconds > limit
        return self._metrics == NO_METRICS and bool(is_wrong)

    def _turn(self, config: Config, options: Mapping[str, Any], deadline: float) -> Turn:
        """The shards that are this invocation's: the event's, or all of them when it names none."""
        index, wanted = options.get("shard"), options.get("shards") or self._shards
        if index is not None and index >= wanted:
            raise BadEvent(f"shard: {index} is none of {wanted} shards; the first one is 0")
        if self._split is None:
            location = config.spool.location
            store, is_fixed = self._outside.store(location) if location else None, bool(self._named_shards)
            self._split = Split(store, config.tick_ms, is_fixed=is_fixed)
        scheduled_ms = options.get("scheduled_ms") or self._outside.now_ms()
        return self._split.turn(index, wanted, scheduled_ms, min(deadline, time.monotonic() + _STATE_SECONDS))

    @property
    def _shards(self) -> int:
        return self._named_shards or 1

    @property
    def _named_shards(self) -> int:
        """As the template says to the function, whose environments end when that changes; 0 when it does not."""
        text = self._outside.environment.get("PUSHER_SHARDS", "")
        return int(text) if text.isdecimal() else 0

    def _tick(self, warm: Warm, options: Mapping[str, Any]) -> Tick:
        """What is wanted: the named jobs, or what is due at the event's scheduled time (now, when it names none)."""
        now_ms, config = self._outside.now_ms(), warm.config
        names = options.get("jobs")
        if names is not None:
            return Tick(now_ms, None, config.tick_ms, frozenset(_known(names, config)))
        # A time ahead of the clock would count as the last tick, and no job would be due until it has come.
        scheduled_ms = min(options.get("scheduled_ms") or now_ms, now_ms + config.tick_ms)
        last_ms = None if _clock_was_set_back(warm, now_ms) else warm.last_tick_ms
        tick = Tick(scheduled_ms, last_ms, config.tick_ms)
        warm.last_tick_ms = max(scheduled_ms, last_ms or scheduled_ms)
        return tick

    def _clock_notes(self, warm: Warm) -> list[str]:
        now_ms = self._outside.now_ms()
        if warm.last_tick_ms is None or not _clock_was_set_back(warm, now_ms):
            return []
        size = print_duration((warm.last_tick_ms - now_ms) // 1000 * 1000)
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
        return plan(config, self._outside, deadline, options.get("shards") or self._shards, jobs)

    def _spool(
        self, config: Config, options: Mapping[str, Any], deadline: float, facts: dict[str, Any]
    ) -> dict[str, Any]:
        from .inspect_spool import NoSpool, TooMuch, inspect  # nor does it look into the spool

        try:
            return inspect(self._warm(config, OPERATOR), options, deadline)
        except (NoSpool, TooMuch) as error:
            raise BadEvent(str(error)) from None

    def _push_samples(
        self, config: Config, options: Mapping[str, Any], deadline: float, facts: dict[str, Any]
    ) -> dict[str, Any]:
        from .pushed_samples import BadSamples, push_samples

        try:
            report = push_samples(self._warm(config, OPERATOR), options, deadline)
        except BadSamples as error:
            raise BadEvent(str(error)) from None
        self._journal.report(report, facts)
        if report.failed:
            raise PushFailed(report.summary())
        return report.as_dict() | {"action": "push_samples"}

    def _backfill(
        self, config: Config, options: Mapping[str, Any], deadline: float, facts: dict[str, Any]
    ) -> dict[str, Any]:
        from .backfill import invoke

        location = config.spool.location
        store = self._outside.store(location) if location else None
        try:
            answer = invoke.backfill(options, config, invoke.Edges(self._outside, store), deadline)
        except invoke.BadRequest as error:
            raise BadEvent(str(error)) from None
        self._journal.said(invoke.sentence(answer), {"backfill": answer, **facts}, is_error=bool(answer["stopped"]))
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


def _clock_was_set_back(warm: Warm, now_ms: int) -> bool:
    """The last tick lies ahead of all that may come now, so that it says nothing about what is due."""
    return warm.last_tick_ms is not None and warm.last_tick_ms > now_ms + warm.config.tick_ms


_Action = Callable[[App, Config, Mapping[str, Any], float, dict[str, Any]], dict[str, Any]]
_ACTIONS: dict[str, _Action] = {
    "push": App._push,
    "plan": App._plan,
    "spool": App._spool,
    "push_samples": App._push_samples,
    "backfill": App._backfill,
}
_SPOOL_COMMANDS = ("list", "show", "export")


def parse_event(event: Any, actions: Collection[str] = ("push", "plan")) -> tuple[str, dict[str, Any]]:
    """A schedule's event, `{}` or one of ours -> (action, options). `actions` are what the function does. Raises
    BadEvent."""
    if event is None:
        event = {}
    if not isinstance(event, dict):
        raise BadEvent('the event must be a JSON object, as {} or {"action": "push"}')
    if event.get("source") in ("aws.events", "aws.scheduler") and "detail-type" in event:
        return "push", {"scheduled_ms": _time_ms("time", event.get("time"))}
    action = event.get("action", "push")
    if not isinstance(action, str) or action not in _ACTIONS:
        raise BadEvent(f"action: {action!r:.60} is unknown; allowed are {', '.join(actions)}")
    readers = _OPTIONS[action]
    unknown = sorted(set(event) - {"action", *readers})
    if unknown:
        allowed = ", ".join(sorted({"action", *readers}))
        raise BadEvent(f"{unknown[0]!r:.60} is unknown for action {action}; allowed are {allowed}")
    options: dict[str, Any] = {}
    for key, (name, read) in readers.items():
        if key in event:
            options[name] = read(key, event[key])
    return action, options


def _names(key: str, value: Any) -> list[str]:
    if not isinstance(value, list) or not all(isinstance(name, str) for name in value) or not value:
        raise BadEvent(f"{key}: a list of job names is expected")
    return value


def _command(key: str, value: Any) -> str:
    if value not in _SPOOL_COMMANDS:
        raise BadEvent(f"{key}: {value!r:.60} is unknown; allowed are {', '.join(_SPOOL_COMMANDS)}")
    return str(value)


def _text(key: str, value: Any) -> str:
    if not isinstance(value, str) or not value:
        raise BadEvent(f"{key}: a text is expected")
    return value


def _boolean(key: str, value: Any) -> bool:
    if not isinstance(value, bool):
        raise BadEvent(f"{key}: true or false is expected")
    return value


def _index(key: str, value: Any) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value < MAX_SHARDS:
        raise BadEvent(f"{key}: {value!r:.60} is no shard; a number from 0 on is expected")
    return value


def _count(key: str, value: Any) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or not 1 <= value <= MAX_SHARDS:
        raise BadEvent(f"{key}: {value!r:.60} is not allowed; a number from 1 to {MAX_SHARDS} is expected")
    return value


def _as_it_is(key: str, value: Any) -> Any:
    return value


def _time_ms(key: str, text: Any) -> int:
    try:
        moment = datetime.fromisoformat(text)
        if moment.tzinfo is None:
            raise ValueError
        return int(moment.timestamp() * 1000)
    except (TypeError, ValueError):
        raise BadEvent(f"{key}: {text!r:.60} is no time; RFC 3339 is expected, as 2024-05-23T16:00:00Z") from None


_Reader = Callable[[str, Any], Any]
_OPTIONS: dict[str, dict[str, tuple[str, _Reader]]] = {  # of each action: key of the event -> its option, who reads it
    "push": {
        "jobs": ("jobs", _names),
        "scheduled_time": ("scheduled_ms", _time_ms),
        "shard": ("shard", _index),
        "shards": ("shards", _count),
    },
    "plan": {"jobs": ("jobs", _names), "shards": ("shards", _count)},
    "spool": {
        "command": ("command", _command),
        "endpoint": ("endpoint", _text),
        "key": ("key", _text),
        "dead": ("dead", _boolean),
    },
    # These two have readers of their own, which tell every mistake at once.
    "push_samples": {key: (key, _as_it_is) for key in ("samples", "format", "text", "s3")},
    "backfill": {key: (key, _as_it_is) for key in BACKFILL_KEYS},
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
        _apps[actions] = App(Outside(read_environment()), actions)
    return _apps[actions]


def push_handler(event: Any, context: Any) -> dict[str, Any]:
    """PusherFunction: what the schedule invokes."""
    return _app("push", "plan").handle(event, context)


def operator_handler(event: Any, context: Any) -> dict[str, Any]:
    """OperatorFunction: what people invoke. Of a scheduled job it sends what a backfill has judged to be in order, and
    nothing else."""
    return _app("plan", "spool", "push_samples", "backfill").handle(event, context)
