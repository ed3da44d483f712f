"""One endpoint in a backfill: what it can take is judged first, then sent, and every sample is in its books."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from ..dependencies import Dependencies
from ..model.delivery import Delivery, PendingRequest
from ..model.reason_counts import ReasonCounts
from ..model.samples import Samples
from ..remote_write import send
from ..remote_write.batches import protocol_of
from ..remote_write.encode import packing
from ..remote_write.endpoint import EndpointState
from ..remote_write.queue import SendQueue
from ..remote_write.refusals import AGE_ADVICE
from ..report.report import reasons_dict
from ..spool.entry import with_maybe_stored
from .acceptance import AMP_MAX_AGE_MS, IMPOSSIBLE, Judged, Rules, advance, joined, judge_slices
from .newest_samples import Newest
from .sort import arrange
from .workspace import NotAnswered, Workspace

_REFRESH_SECONDS = 60.0  # the schedule goes on meanwhile
_QUERY_SECONDS = 30.0
_NEVER = 2**62  # a run that will not come
_DEFAULT_WINDOW_SECONDS = 60  # of every workspace, unless somebody has changed it


@dataclass(slots=True)
class Tallies:
    """What became of the samples of all parts that are done, for one endpoint."""

    accounting: Delivery
    classes: dict[str, int] = field(default_factory=lambda: {"accepted": 0, "window": 0, "impossible": 0})
    reasons: ReasonCounts = field(default_factory=ReasonCounts)

    def add(self, accounting: Delivery, judged: Judged) -> None:
        """A part that is done."""
        self.accounting.merge(accounting)
        for name, count in judged.counts().items():
            self.classes[name] += count
        self.reasons.merge(judged.reasons)

    def as_json(self) -> dict[str, Any]:
        accounting = self.accounting
        return {
            "endpoint": accounting.endpoint,
            "collected": accounting.collected,
            "accepted": accounting.accepted,
            "rejected": reasons_dict(accounting.rejected),
            "dropped": reasons_dict(accounting.dropped),
            "classes": dict(self.classes),
            "reasons": reasons_dict(self.reasons),
            "requests": accounting.requests,
            "retries": accounting.retries,
            "bytes_sent": accounting.bytes_sent,
            "warnings": list(accounting.warnings),
        }

    @classmethod
    def from_json(cls, found: Mapping[str, Any]) -> Tallies:
        """Raises ValueError, TypeError and KeyError."""
        accounting = Delivery(str(found["endpoint"]))
        for name in ("collected", "accepted", "requests", "retries", "bytes_sent"):
            setattr(accounting, name, int(found[name]))
        accounting.rejected, accounting.dropped = tally_of(found["rejected"]), tally_of(found["dropped"])
        accounting.warnings = list(map(str, found["warnings"]))
        return cls(
            accounting, {str(key): int(value) for key, value in found["classes"].items()}, tally_of(found["reasons"])
        )


def tally_of(found: Mapping[str, Mapping[str, Any]]) -> ReasonCounts:
    """What `reasons_dict` has made of a tally, back. Raises ValueError, TypeError and KeyError."""
    reasons = ReasonCounts()
    for reason, entry in found.items():
        reasons.add(str(reason), str(entry["example"]), int(entry["count"]))
    return reasons


class Receiver:
    """An endpoint and what is known of its receiver. Deadlines are monotonic seconds."""

    def __init__(
        self, endpoint: EndpointState, dependencies: Dependencies, *, force: bool, keeps_refused: bool = False
    ) -> None:
        """`keeps_refused` leaves requests that are refused in the books as dead, to be exported."""
        config, now_ms = endpoint.config, dependencies.now_ms
        self.endpoint, self._now_ms, self._force = endpoint, now_ms, force
        self.tallies = Tallies(Delivery(config.name))
        self.rules = Rules(now_ms(), AMP_MAX_AGE_MS if config.is_amp else config.max_age_ms)
        self.workspace = Workspace(endpoint.client, config, dependencies) if config.is_amp else None
        dead_letter_reasons = frozenset({"rejected"} if keeps_refused else ())
        self._options = send.SendOptions(now_ms, sleep=dependencies.sleep, dead_letter_reasons=dead_letter_reasons)
        self._newest: Newest | None = None
        self._asked_at = 0.0
        self.window_seconds: int | None = None  # of the workspace, when it says

    @property
    def name(self) -> str:
        return self.endpoint.config.name

    # before anything is sent

    def ask(self, deadline: float) -> None:
        """Asks the workspace what it takes late. What it does not say is stated in `rules.unknown`, and taken for the
        worse."""
        if self.workspace is None:
            if not self.rules.max_age_ms:
                self._do_not_know("how old a sample may be: set max_age of this endpoint")
            return
        until = min(deadline, time.monotonic() + _QUERY_SECONDS)
        try:
            self.window_seconds = self.workspace.describe(until).window_seconds
        except NotAnswered as error:
            self._do_not_know(f"the out-of-order window, {_DEFAULT_WINDOW_SECONDS} s is assumed: {error}")
        window = _DEFAULT_WINDOW_SECONDS if self.window_seconds is None else self.window_seconds
        self.rules.window_ms = window * 1000
        self._ask_for_newest(deadline)

    def _ask_for_newest(self, deadline: float) -> None:
        self._asked_at = time.monotonic()
        until = min(deadline, self._asked_at + _QUERY_SECONDS)
        self._newest = Newest(self.endpoint.config, self.endpoint.client, self._now_ms)
        head_ms = self._newest.head_ms(until)
        if head_ms is None:
            detail = "the newest sample of the workspace, the clock is taken for it, and that of each series"
            self._do_not_know(f"{detail}: {self._newest.unknown}")
        self.rules.head_ms = max(self._now_ms() if head_ms is None else head_ms, self.rules.head_ms)

    def _do_not_know(self, detail: str) -> None:
        if detail not in self.rules.unknown:
            self.rules.unknown.append(detail)

    def arranged(self, samples: Samples, dropped: ReasonCounts) -> Samples:
        """The samples as this endpoint gets them, in order. Those that it does not get are counted in `dropped`."""
        view = self.endpoint.view
        seen = packing.apply_write_relabel(view, samples, dropped) if view else samples
        return arrange(seen, dropped)

    def judge(self, arranged: Samples, start: int, deadline: float) -> list[Judged]:
        """The samples from number `start` on by what becomes of them, in slices of one request each."""
        self.rules.now_ms = self._now_ms()
        if self._newest is not None:
            if time.monotonic() - self._asked_at > _REFRESH_SECONDS:
                self._ask_for_newest(deadline)
            was_known = not self._newest.unknown
            self._newest.learn(arranged, min(deadline, time.monotonic() + _QUERY_SECONDS))
            if was_known and self._newest.unknown:
                self._do_not_know(f"the newest sample of each series: {self._newest.unknown}")
        most = self.endpoint.config.queue.max_samples_per_send
        return judge_slices(arranged, self.rules, most, start=start, force=self._force)

    # sending

    def send(
        self, judged: Judged, accounting: Delivery, deadline: float, *, maybe_stored: bool
    ) -> list[PendingRequest]:
        """Sends what can be taken (all of it, when that is forced), and books it in `accounting`. Returns what is left
        when the receiver does not take any more in this run."""
        possible = judged.accepted
        if len(judged.window):
            possible = arrange(joined([judged.accepted, judged.window]), accounting.dropped)
        protocol, now_ms = protocol_of(self.endpoint, ()), self._now_ms()
        requests = packing.pack(possible, protocol, now_ms, accounting.dropped)
        if self._force:  # in requests of their own: one that is refused may cost its whole request
            requests += packing.pack(judged.impossible, protocol, now_ms, accounting.dropped)
        else:
            for reason in IMPOSSIBLE:
                if judged.reasons.counts[reason]:
                    accounting.dropped.add(reason, judged.reasons.first_examples[reason], judged.reasons.counts[reason])
        send_queue = SendQueue(with_maybe_stored(requests) if maybe_stored else requests, accounting)
        send.deliver(self.endpoint, send_queue, self._options, deadline)
        left = send_queue.close()
        accounting.rejected.rewrite(
            lambda detail: detail.replace(AGE_ADVICE, f"set max_age of {self.name} to what it takes")
        )
        if not left:
            self.sent(judged)
        return left

    def sent(self, judged: Judged) -> None:
        """What was judged has gone out: later samples of the same series are compared with it."""
        advance(judged.accepted)
        self.rules.head_ms = max(self.rules.head_ms, max(judged.accepted.timestamps_ms, default=0))

    def forget(self) -> None:
        """Lets go of all series; what the workspace has of them is asked again."""
        if self.endpoint.view:
            self.endpoint.view.prune(_NEVER)
        if self._newest is not None:
            self._newest.forget()
