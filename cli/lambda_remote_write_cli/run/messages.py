"""What the process says: every problem when it begins, what goes on once a minute, and when it is over."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, replace

from lambda_remote_write.config.scalars import print_duration
from lambda_remote_write.model.delivery import Outcome
from lambda_remote_write.model.reason_counts import ReasonCounts
from lambda_remote_write.remote_write.client import WriteResponse
from lambda_remote_write.remote_write.retryable import classify, meaning
from lambda_remote_write.scrape.schedule import wall_clock_ms

_AGAIN_SECONDS = 60.0
_FAILING_SECONDS = 2.0  # a retry that helps at once is not worth a line
_SILENT_SECONDS = 10.0  # a request that takes so long has a receiver that hangs, or is very slow
_AWAY = (Outcome.UNAVAILABLE, Outcome.MISCONFIGURED)

Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class AttemptCounts:
    """Attempts to send requests of one endpoint: how many were answered, by status (0 for no answer), how many were
    not the first of their request, and when one was accepted last (milliseconds, 0 for never)."""

    answers: Mapping[int, int]
    retries: int = 0
    last_success_ms: int = 0

    def with_attempt(self, attempt: int) -> AttemptCounts:
        return replace(self, retries=self.retries + 1) if attempt > 1 else self

    def with_answer(self, status: int, now_ms: int) -> AttemptCounts:
        answers = {**self.answers, status: self.answers.get(status, 0) + 1}
        is_accepted = bool(status) and classify(status) is Outcome.ACCEPTED
        return AttemptCounts(answers, self.retries, now_ms if is_accepted else self.last_success_ms)


class ReceiverWatch:
    """Says when an endpoint takes nothing, and when it takes samples again. Safe for several threads."""

    def __init__(
        self,
        name: str,
        say: Say,
        monotonic: Callable[[], float] = time.monotonic,
        now_ms: Callable[[], int] = wall_clock_ms,
    ) -> None:
        self._name, self._say, self._monotonic, self._now_ms = name, say, monotonic, now_ms
        self._counts = AttemptCounts({})
        self._since: float | None = None  # when the first request that was not taken went out
        self._said_at: float | None = None
        self._why = ""
        self._lock = threading.Lock()

    def asked(self, attempt: int = 1) -> None:
        """A request goes out."""
        with self._lock:
            self._counts = self._counts.with_attempt(attempt)
            if self._since is None:
                self._since, self._why = self._monotonic(), ""

    def answered(self, response: WriteResponse) -> None:
        with self._lock:
            self._counts = self._counts.with_answer(response.status, self._now_ms())
            if not response.status:
                self._why = response.message
            elif classify(response.status) in _AWAY:
                detail = f', and said "{response.message[:200]}"' if response.message else ""
                self._why = f"it answered {response.status}{detail}: {meaning(response.status)}"
            else:
                self._recover()

    def _recover(self) -> None:
        if self._said_at is not None and self._since is not None:
            self._say(f"{self._name}: takes samples again, after {_seconds(self._monotonic() - self._since)}")
        self._since = self._said_at = None

    def counts(self) -> AttemptCounts:
        """What was counted since the process started."""
        return self._counts

    def problem(self) -> str:
        """Why the receiver takes nothing at present, "" while it does."""
        with self._lock:
            if self._since is None or not self._why:
                return ""
            return f"takes nothing, for {_seconds(self._monotonic() - self._since)}: {self._why}"

    def look(self, waiting: str) -> None:
        """To be called every second; `waiting` tells what waits for the endpoint."""
        with self._lock:
            if self._since is None:
                return
            now = self._monotonic()
            is_new = self._said_at is None
            is_time = now - self._since >= (_FAILING_SECONDS if self._why else _SILENT_SECONDS)
            if is_time if self._said_at is None else now - self._said_at >= _AGAIN_SECONDS:
                self._said_at = now
                why = self._why or "it has not answered yet"
                lasts = f"for {_seconds(now - self._since)}"
                again = "" if is_new else "still "
                self._say(f"{self._name}: {again}takes nothing, {lasts}: {why}; {waiting}")


class LossLog:
    """Says what was not delivered: a reason when it occurs first, and then once a minute with the count since."""

    def __init__(self, name: str, say: Say, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._name, self._say, self._monotonic = name, say, monotonic
        self._counts: Counter[tuple[str, str]] = Counter()
        self._examples: dict[tuple[str, str], str] = {}
        self._said_at: dict[tuple[str, str], float] = {}
        self._lock = threading.Lock()

    def add(self, fate: str, reasons: ReasonCounts) -> None:
        with self._lock:
            for reason, count in reasons.counts.items():
                self._counts[fate, reason] += count
                self._examples.setdefault((fate, reason), reasons.first_examples[reason])

    def warn(self, message: str) -> None:
        """Something else that people should know, at most once a minute."""
        with self._lock:
            now, said_at = self._monotonic(), self._said_at.get((message, ""))
            if said_at is None or now - said_at >= _AGAIN_SECONDS:
                self._say(f"{self._name}: {message}")
                # Messages may hold ever new texts: what was said long ago is forgotten.
                self._said_at = {key: at for key, at in self._said_at.items() if now - at < _AGAIN_SECONDS}
                self._said_at[message, ""] = now

    def look(self, *, is_end: bool = False) -> None:
        with self._lock:
            now = self._monotonic()
            for what, count in list(self._counts.items()):
                said_at = self._said_at.get(what)
                if is_end or said_at is None or now - said_at >= _AGAIN_SECONDS:
                    fate, reason = what
                    self._say(f"{self._name}: {count} samples {fate}, {reason}: {self._examples.pop(what)}")
                    self._said_at[what] = now
                    del self._counts[what]


class Problems:
    """Says a problem when it begins, and that it is over."""

    def __init__(self, say: Say) -> None:
        self._say = say
        self._known: dict[str, str] = {}  # what is wrong at present: key -> who has it

    def note(self, key: str, who: str, problem: str) -> None:
        """The state of what `key` names; `problem` is "" when all is well."""
        if problem and key not in self._known:
            self._say(f"{who}: {problem}")
            self._known[key] = who
        elif not problem and key in self._known:
            self._say(f"{self._known.pop(key)}: well again")

    def keep(self, keys: Collection[str]) -> None:
        """Whatever has another key is no more."""
        self._known = {key: who for key, who in self._known.items() if key in keys}

    def guard(self, what: str, act: Callable[[], None]) -> None:
        """Does something that is done again later: no exception ends it for good."""
        try:
            act()
        except Exception as error:
            self.note(f"bug {what}", what, bug(error))
        else:
            self.note(f"bug {what}", what, "")


def bug(error: Exception) -> str:
    return f"{type(error).__name__}: {error}, which is a bug"


def _seconds(seconds: float) -> str:
    return print_duration(max(round(seconds), 1) * 1000)
