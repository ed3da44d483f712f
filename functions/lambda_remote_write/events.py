"""What an event asks for: its action, and the options that it gives."""

from __future__ import annotations

from collections.abc import Callable, Collection
from datetime import datetime
from typing import Any

from .state.shards import MAX_SHARDS

BACKFILL_KEYS = (  # as in backfill.request, which a schedule does not import
    "job", "start", "end", "step", "window", "from", "format", "columns", "endpoint", "force", "dry_run", "export",
    "widen_out_of_order", "resume", "plan",
)  # fmt: skip


class BadEvent(Exception):
    """The event is none of ours; the message says what is allowed."""


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
    if not isinstance(action, str) or action not in _OPTIONS:
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
    if type(value) is not int or not 0 <= value < MAX_SHARDS:
        raise BadEvent(f"{key}: {value!r:.60} is no shard; a number from 0 on is expected")
    return value


def _count(key: str, value: Any) -> int:
    if type(value) is not int or not 1 <= value <= MAX_SHARDS:
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
