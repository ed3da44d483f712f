"""One list of targets over the runs of an environment: refreshed when it is due, kept when the refresh fails."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial

from ..config.scalars import print_duration
from ..deadline import Call
from .target_groups import MAX_TARGETS, TOO_MANY, DiscoveryError, Gone, Groups, Parts, Refresh, TargetGroup

_ANSWER_SECONDS = 0.1  # a refresh ends before the deadline, so that its own error is reported
_EARLY = 0.1  # of the interval: a run may be a little early
_RETRY_SECONDS = 10.0  # after a failure, unless the interval is shorter


@dataclass(slots=True)
class DiscoveryResult:
    """The target groups of a job. `is_unknown` says that a list failed of which there is no earlier one: there may be
    targets that are not scraped."""

    groups: list[TargetGroup] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    is_unknown: bool = False


@dataclass(frozen=True, slots=True)
class _ReadPart:
    groups: Groups
    read_at: float


@dataclass(frozen=True, slots=True)
class _Running:
    """A refresh under way; times are monotonic seconds."""

    call: Call[Parts | DiscoveryError]
    started: float
    deadline: float


class TargetList:
    """One list. Warnings name it by `key` and `place`; `now` is monotonic seconds. Thread-safe."""

    def __init__(self, key: str, place: str, refresh: Refresh, interval_ms: int, now: Callable[[], float]) -> None:
        self._key, self._place, self._refresh, self._now = key, place, refresh, now
        self._late = DiscoveryError(f"{place}: no answer within the run's time")
        self._interval = interval_ms / 1000 * (1 - _EARLY)
        self._parts: dict[str, _ReadPart] = {}
        self._failures: dict[str, DiscoveryError] = {}  # by part; "" is the whole list
        self._due_at = float("-inf")
        self._running: _Running | None = None
        self._lock = threading.Lock()

    def start(self, deadline: float) -> None:
        """Begins a refresh if one is due. One that an earlier run gave up counts only if it has ended since."""
        with self._lock:
            self._take()
            now = self._now()
            is_running = self._running is not None and now < self._running.deadline
            if not is_running and self._due_at <= now < deadline:
                self._running = _Running(Call(partial(_refreshed, self._refresh, self._place, deadline)), now, deadline)

    def found(self, deadline: float) -> DiscoveryResult:
        """The list as it is known by the deadline."""
        running = self._running
        if running:
            running.call.wait(deadline - self._now())
        with self._lock:
            self._take()
            is_untried = running is None and self._due_at == float("-inf") and not self._failures
            is_late = self._running is not None or is_untried
            failures = {"": self._late} if is_late else self._failures
            groups = [group for part in self._parts.values() for group in part.groups]
            warnings = [self._warning(key, error) for key, error in failures.items()]
            warnings += [f"{self._key}: {group.error}" for group in groups if group.error]
            return DiscoveryResult(groups, warnings, is_unknown=not all(map(self._kept, failures)))

    def _take(self) -> None:
        """Takes over the result of a refresh that has ended."""
        running = self._running
        if running is None or not running.call.wait(0.0):
            return
        result, started = running.call.result(0.0), running.started
        self._running, self._due_at = None, started + min(_RETRY_SECONDS, self._interval)
        if isinstance(result, DiscoveryError):
            self._failures = {"": result}
            return
        self._failures = {key: part for key, part in result.items() if isinstance(part, DiscoveryError)}
        self._parts = self._merged(result, started)
        if not self._failures:
            self._due_at = started + self._interval

    def _merged(self, parts: Parts, read_at: float) -> dict[str, _ReadPart]:
        """The new parts; a failed one keeps its last groups, unless it no longer exists."""
        found = {}
        for key, part in parts.items():
            if not isinstance(part, DiscoveryError):
                found[key] = _ReadPart(part, read_at)
            elif key in self._parts and not isinstance(part, Gone):
                found[key] = self._parts[key]
        return found

    def _kept(self, key: str) -> list[_ReadPart]:
        """The last good groups of a failed part, or of the whole list."""
        return [part for name, part in self._parts.items() if key in ("", name)]

    def _warning(self, key: str, error: DiscoveryError) -> str:
        kept = self._kept(key)
        if not kept:
            return f"{self._key}: {error}; no targets are known"
        seconds = round(self._now() - min(part.read_at for part in kept))
        count = sum(len(group.targets) for part in kept for group in part.groups)
        shown = f"{count} target{'' if count == 1 else 's'}"
        return f"{self._key}: {error}; the list of {print_duration(seconds * 1000)} ago stays in use ({shown})"


def _refreshed(refresh: Refresh, place: str, deadline: float) -> Parts | DiscoveryError:
    try:
        parts = refresh(deadline - _ANSWER_SECONDS)
        return {key: _bounded(part, key or place) for key, part in parts.items()}
    except DiscoveryError as error:
        return error
    except Exception as error:
        return DiscoveryError(f"{type(error).__name__}: {error}, which is a bug"[:500])


def _bounded(part: Groups | DiscoveryError, place: str) -> Groups | DiscoveryError:
    if isinstance(part, DiscoveryError) or sum(len(group.targets) for group in part) <= MAX_TARGETS:
        return part
    return DiscoveryError(f"{place}: {TOO_MANY}")
