"""What a receiver can take late, decided before anything is sent (docs/backfill.md).

AMP takes nothing older than an hour. A sample newer than its series' newest is in order; any other needs the
out-of-order window, which is counted back from the workspace's newest sample. Another receiver takes what `max_age` of
its config says, in any order.
"""

from __future__ import annotations

import operator
from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import Enum

from ..config.scalars import print_duration
from ..model.reason_counts import ReasonCounts
from ..model.samples import Samples
from ..series.label_limits import MAX_AHEAD_MS
from .sort import piece
from .times import shown

AMP_MAX_AGE_MS = 3_600_000
IMPOSSIBLE = ("too_far_in_future", "too_old", "behind_window")
"""The reasons why a sample is impossible."""
_HEAD_MS = 3_600_000  # half a block: behind the newest sample of all by more, nothing is in order any more
_MARGIN_MS = 15_000  # what would become too old while it is on its way
_LAST_MS = operator.attrgetter("last_ms")


class Class(Enum):
    """What becomes of a sample at a receiver."""

    ACCEPTED = "accepted"
    WINDOW = "only inside the out-of-order window"
    IMPOSSIBLE = "impossible"


@dataclass(slots=True)
class Rules:
    """What is known of one receiver. Times in milliseconds; `max_age_ms` is 0 for no limit, `window_ms` None where any
    order is taken. `head_ms` is the newest sample of all that it has."""

    now_ms: int
    max_age_ms: int = 0
    window_ms: int | None = None
    head_ms: int = 0
    unknown: list[str] = field(default_factory=list)

    @property
    def oldest_ms(self) -> int | None:
        """The time before which nothing is taken; None for no such time."""
        return self.now_ms - self.max_age_ms + min(_MARGIN_MS, self.max_age_ms // 10) if self.max_age_ms else None

    @property
    def order_start_ms(self) -> int:
        """Before this time nothing is in order, however new it is for its series (Prometheus tsdb/head_append.go)."""
        return self.head_ms - _HEAD_MS if self.window_ms is not None else -(2**62)

    @property
    def window_start_ms(self) -> int:
        """From here on samples are taken in any order."""
        return self.head_ms - (self.window_ms or 0)


@dataclass(slots=True)
class Judged:
    """Samples by their class. `reasons` says why not all are accepted."""

    accepted: Samples
    window: Samples
    impossible: Samples
    reasons: ReasonCounts

    def counts(self) -> dict[str, int]:
        return {"accepted": len(self.accepted), "window": len(self.window), "impossible": len(self.impossible)}

    def __len__(self) -> int:
        return len(self.accepted) + len(self.window) + len(self.impossible)


def merged(some: Sequence[Judged]) -> Judged:
    """What was judged apart, as one; nothing of nothing."""
    if len(some) == 1:
        return some[0]
    reasons = ReasonCounts()
    for one in some:
        reasons.merge(one.reasons)
    accepted, window = joined([one.accepted for one in some]), joined([one.window for one in some])
    return Judged(accepted, window, joined([one.impossible for one in some]), reasons)


def judge_slices(samples: Samples, rules: Rules, most: int, *, start: int = 0, force: bool = False) -> list[Judged]:
    """Samples, arranged, from number `start` on -> their classes, in slices of which at most `most` samples are sent.
    All are judged by what the receiver has now. With `force` the impossible are sent, too."""
    found, sent = list[list[Judged]](), 0
    for at in range(start, len(samples), most):
        judged = judge(piece(samples, at, at + most), rules)
        count = len(judged) if force else len(judged) - len(judged.impossible)
        if not found or sent + count > most:
            found.append([])
            sent = 0
        found[-1].append(judged)
        sent += count
    return list(map(merged, found))


def judge(samples: Samples, rules: Rules) -> Judged:
    """Samples, arranged, -> their classes. A series' `last_ms` is the newest sample that the receiver has of it."""
    stamps, oldest_ms = samples.timestamps_ms, rules.oldest_ms
    latest_ms = rules.now_ms + MAX_AHEAD_MS
    if not stamps:
        return Judged(samples, Samples(), Samples(), ReasonCounts())
    is_young = (oldest_ms is None or min(stamps) >= oldest_ms) and min(stamps) >= rules.order_start_ms
    if is_young and max(stamps) <= latest_ms and all(map(operator.gt, stamps, map(_LAST_MS, samples.series))):
        return Judged(samples, Samples(), Samples(), ReasonCounts())
    reasons, places = ReasonCounts(), {kind: list[int]() for kind in Class}
    for index, (series, stamp) in enumerate(zip(samples.series, stamps, strict=True)):
        kind, reason = _class_of(stamp, series.last_ms, rules, latest_ms)
        places[kind].append(index)
        if reason:
            reasons.add(reason, _detail(reason, stamp, series.last_ms, rules))
    accepted, window, impossible = (samples.pick(places[kind]) for kind in Class)
    return Judged(accepted, window, impossible, reasons)


def _class_of(stamp: int, newest_ms: int, rules: Rules, latest_ms: int) -> tuple[Class, str]:
    if stamp > latest_ms:
        return Class.IMPOSSIBLE, "too_far_in_future"
    if rules.oldest_ms is not None and stamp < rules.oldest_ms:
        return Class.IMPOSSIBLE, "too_old"
    if stamp > newest_ms and stamp >= rules.order_start_ms:
        return Class.ACCEPTED, ""
    if rules.window_ms is None or (rules.window_ms and stamp >= rules.window_start_ms):
        return Class.WINDOW, "out_of_order"
    return Class.IMPOSSIBLE, "behind_window"


def _detail(reason: str, stamp: int, newest_ms: int, rules: Rules) -> str:
    when = shown(stamp)
    match reason:
        case "too_far_in_future":
            return f"{when} lies ahead of the clock ({shown(rules.now_ms)}): is the unit or time zone right?"
        case "too_old":
            return f"{when} is older than {print_duration(rules.max_age_ms)}, and the receiver takes nothing so old"
        case "out_of_order":
            return f"{when} {_behind(stamp, newest_ms, rules)}"
        case _:
            window = print_duration(rules.window_ms or 0)
            detail = f"the out-of-order window of {window} begins at {shown(rules.window_start_ms)}"
            return f"{when} {_behind(stamp, newest_ms, rules)}, and {detail}"


def _behind(stamp: int, newest_ms: int, rules: Rules) -> str:
    if stamp > newest_ms:
        return f"is more than an hour behind the newest sample of the workspace ({shown(rules.head_ms)})"
    return f"is not newer than the newest sample of its series ({shown(newest_ms)})"


def advance(samples: Samples) -> None:
    """These samples, which were in order, have been sent: their series have nothing newer."""
    for series, stamp in zip(samples.series, samples.timestamps_ms, strict=True):
        series.last_ms = stamp


def joined(parts: Sequence[Samples]) -> Samples:
    """Samples of several classes in one, without more copies than needed."""
    some = [part for part in parts if len(part)]
    if len(some) == 1:
        return some[0]
    whole = Samples()
    for part in some:
        whole.extend(part)
    return whole
