"""What a check finds, and how checks run: side by side, each until the deadline."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from enum import Enum

from lambda_remote_write.deadline import Call, DeadlineExceeded

WAIT_LONGER = "--timeout SECONDS waits longer"
_UNEXPECTED = "run doctor again; if it stays, report it with this line: doctor has no better words for it"


class Status(Enum):
    OK = "ok"
    WARNING = "warning"
    FAILED = "FAIL"
    UNKNOWN = "not known"

    @property
    def is_good(self) -> bool:
        return self in (Status.OK, Status.WARNING)


@dataclass(frozen=True, slots=True)
class Finding:
    """One line: what was looked at, how it is, and what to do about it ("" for nothing)."""

    check: str
    status: Status
    detail: str
    fix: str = ""


Look = Callable[[float], Iterable[Finding]]
"""Looks at one thing until the deadline (monotonic seconds)."""


@dataclass(frozen=True, slots=True)
class Check:
    """`name` is that of its finding when it has not ended in time."""

    name: str
    look: Look


def ok(check: str, detail: str) -> Finding:
    return Finding(check, Status.OK, detail)


def warning(check: str, detail: str, fix: str = "") -> Finding:
    return Finding(check, Status.WARNING, detail, fix)


def failed(check: str, detail: str, fix: str) -> Finding:
    return Finding(check, Status.FAILED, detail, fix)


def unknown(check: str, detail: str, fix: str) -> Finding:
    return Finding(check, Status.UNKNOWN, detail, fix)


def run(checks: Sequence[Check], deadline: float) -> Iterator[Finding]:
    """The findings of all checks, in their order. One that fails or hangs holds up no other one beyond the deadline."""
    calls = [(check, _started(check, deadline)) for check in checks]
    for check, call in calls:
        try:
            yield from call.result(deadline)
        except DeadlineExceeded:
            yield unknown(check.name, "no answer in time", f"is there a network? {WAIT_LONGER}")
        except Exception as error:  # one check must not end the others
            yield unknown(check.name, f"{type(error).__name__}: {error}"[:300], _UNEXPECTED)


def _started(check: Check, deadline: float) -> Call[list[Finding]]:
    return Call(lambda: list(check.look(deadline)))
