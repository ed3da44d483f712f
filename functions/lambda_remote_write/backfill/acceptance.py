"""Decides before sending which late samples a receiver will accept (docs/backfill.md).

AMP rejects samples older than an hour. A sample newer than the newest one of its series is in order; any other needs
the out-of-order window, which ends at the workspace's newest sample. Another receiver accepts samples as old as
`max_age` of its config says, in any order.
"""

from __future__ import annotations

import operator
from collections.abc import Sequence
from dataclasses import dataclass, field

from ..config.scalars import print_duration
from ..model.drop_reasons import DropReason
from ..model.reason_counts import ReasonCounts
from ..model.samples import Samples
from ..series.label_limits import MAX_AHEAD_MS
from .times import shown

AMP_MAX_AGE_MS = 3_600_000
IMPOSSIBLE = (DropReason.TOO_FAR_IN_FUTURE, DropReason.TOO_OLD, DropReason.BEHIND_WINDOW)
"""The reasons why a sample is impossible."""
_HEAD_MS = 3_600_000  # half a block: no sample further behind the newest one of the workspace is in order
_MARGIN_MS = 15_000  # a sample closer to the limit would become too old on its way
_LAST_MS = operator.attrgetter("last_ms")


@dataclass(slots=True)
class Rules:
    """What one receiver accepts. Times are milliseconds. `max_age_ms` is 0 for no limit, `window_ms` None when it
    accepts any order. `head_ms` is its newest sample; `unknown` says what could not be found out."""

    now_ms: int
    max_age_ms: int = 0
    window_ms: int | None = None
    head_ms: int = 0
    unknown: list[str] = field(default_factory=list)

    @property
    def oldest_ms(self) -> int | None:
        """Older samples are rejected; None for no limit."""
        return self.now_ms - self.max_age_ms + min(_MARGIN_MS, self.max_age_ms // 10) if self.max_age_ms else None

    @property
    def order_start_ms(self) -> int:
        """No older sample is in order, not even the newest of its series (Prometheus tsdb/head_append.go)."""
        return self.head_ms - _HEAD_MS if self.window_ms is not None else -(2**62)

    @property
    def window_start_ms(self) -> int:
        """Newer samples are accepted in any order."""
        return self.head_ms - (self.window_ms or 0)


@dataclass(slots=True)
class Acceptance:
    """Samples by class: accepted, accepted only inside the out-of-order window, impossible. `reasons` says why some are
    not simply accepted."""

    accepted: Samples
    window: Samples
    impossible: Samples
    reasons: ReasonCounts

    def counts(self) -> dict[str, int]:
        return {"accepted": len(self.accepted), "window": len(self.window), "impossible": len(self.impossible)}

    def __len__(self) -> int:
        return len(self.accepted) + len(self.window) + len(self.impossible)


def merged(some: Sequence[Acceptance]) -> Acceptance:
    """Several in one; an empty one for none."""
    if len(some) == 1:
        return some[0]
    reasons = ReasonCounts()
    for one in some:
        reasons.merge(one.reasons)
    accepted, window = joined([one.accepted for one in some]), joined([one.window for one in some])
    return Acceptance(accepted, window, joined([one.impossible for one in some]), reasons)


def check_slices(samples: Samples, rules: Rules, most: int, *, start: int = 0, force: bool = False) -> list[Acceptance]:
    """Sorted samples from index `start` on -> their classes, in slices of which at most `most` samples are sent. All
    are checked against what the receiver has now. With `force` the impossible ones are sent too."""
    found, sent = list[list[Acceptance]](), 0
    for at in range(start, len(samples), most):
        part = slice(at, at + most)
        some = Samples(samples.series[part], samples.values[part], samples.timestamps_ms[part])
        acceptance = check_acceptance(some, rules)
        count = len(acceptance) if force else len(acceptance) - len(acceptance.impossible)
        if not found or sent + count > most:
            found.append([])
            sent = 0
        found[-1].append(acceptance)
        sent += count
    return list(map(merged, found))


def check_acceptance(samples: Samples, rules: Rules) -> Acceptance:
    """Sorted samples -> their classes. A series' `last_ms` is the newest sample that the receiver has of it."""
    stamps, oldest_ms = samples.timestamps_ms, rules.oldest_ms
    latest_ms = rules.now_ms + MAX_AHEAD_MS
    if not stamps:
        return Acceptance(samples, Samples(), Samples(), ReasonCounts())
    is_young = (oldest_ms is None or min(stamps) >= oldest_ms) and min(stamps) >= rules.order_start_ms
    if is_young and max(stamps) <= latest_ms and all(map(operator.gt, stamps, map(_LAST_MS, samples.series))):
        return Acceptance(samples, Samples(), Samples(), ReasonCounts())
    reasons, accepted, window, impossible = ReasonCounts(), list[int](), list[int](), list[int]()
    for index, (series, stamp) in enumerate(zip(samples.series, stamps, strict=True)):
        reason = _check_one(stamp, series.last_ms, rules, latest_ms)
        (impossible if reason in IMPOSSIBLE else window if reason else accepted).append(index)
        if reason:
            reasons.add(reason, _detail(reason, stamp, series.last_ms, rules))
    return Acceptance(samples.pick(accepted), samples.pick(window), samples.pick(impossible), reasons)


def _check_one(stamp: int, newest_ms: int, rules: Rules, latest_ms: int) -> str:
    """Why a sample is not simply accepted, "" if it is."""
    if stamp > latest_ms:
        return DropReason.TOO_FAR_IN_FUTURE
    if rules.oldest_ms is not None and stamp < rules.oldest_ms:
        return DropReason.TOO_OLD
    if stamp > newest_ms and stamp >= rules.order_start_ms:
        return ""
    if rules.window_ms is None or (rules.window_ms and stamp >= rules.window_start_ms):
        return DropReason.OUT_OF_ORDER
    return DropReason.BEHIND_WINDOW


def _detail(reason: str, stamp: int, newest_ms: int, rules: Rules) -> str:
    when = shown(stamp)
    match reason:
        case DropReason.TOO_FAR_IN_FUTURE:
            return f"{when} lies ahead of the clock ({shown(rules.now_ms)}): is the unit or time zone right?"
        case DropReason.TOO_OLD:
            return f"{when} is older than {print_duration(rules.max_age_ms)}, and the receiver accepts nothing so old"
        case DropReason.OUT_OF_ORDER:
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
    """Records that these samples, which were in order, are now the newest of their series."""
    for series, stamp in zip(samples.series, samples.timestamps_ms, strict=True):
        series.last_ms = stamp


def joined(parts: Sequence[Samples]) -> Samples:
    """Samples of several classes in one; the only ones are not copied."""
    some = [part for part in parts if len(part)]
    if len(some) == 1:
        return some[0]
    whole = Samples()
    for part in some:
        whole.extend(part)
    return whole
