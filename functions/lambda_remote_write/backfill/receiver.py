"""One endpoint in a backfill: checks which samples it will accept, sends those, and counts every sample."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from ..dependencies import Dependencies
from ..model.delivery import Delivery, PendingRequest
from ..model.reason_counts import ANYTHING, ReasonCounts
from ..model.samples import Samples
from ..remote_write import request_size, send
from ..remote_write.batches import protocol_of
from ..remote_write.endpoint import EndpointState
from ..remote_write.queue import SendQueue
from ..remote_write.refusals import AGE_ADVICE
from ..report.report import reasons_dict
from ..spool.entry import with_maybe_stored
from .acceptance import AMP_MAX_AGE_MS, IMPOSSIBLE, Acceptance, Rules, advance, check_slices, joined
from .newest_samples import NewestSamples
from .sort import sort_samples
from .workspace import NotAnswered, Workspace

_REFRESH_SECONDS = 60.0  # scheduled runs send samples meanwhile
_QUERY_SECONDS = 30.0
_COUNTS = ("collected", "accepted", "requests", "retries", "bytes_sent")
_NEVER = 2**62  # later than every run
_DEFAULT_WINDOW_SECONDS = 60  # of a workspace whose window was not changed


@dataclass(slots=True)
class EndpointTotals:
    """Counts of one endpoint over all finished parts."""

    accounting: Delivery
    classes: Counter[str] = field(default_factory=lambda: Counter(accepted=0, window=0, impossible=0))
    reasons: ReasonCounts = field(default_factory=ReasonCounts)

    def add(self, accounting: Delivery, acceptance: Acceptance) -> None:
        """Adds a finished part."""
        self.accounting.merge(accounting)
        self.classes.update(acceptance.counts())
        self.reasons.merge(acceptance.reasons)

    def as_json(self) -> dict[str, Any]:
        accounting = self.accounting
        return {
            "endpoint": accounting.endpoint,
            **{name: getattr(accounting, name) for name in _COUNTS},
            "rejected": reasons_dict(accounting.rejected),
            "dropped": reasons_dict(accounting.dropped),
            "classes": dict(self.classes),
            "reasons": reasons_dict(self.reasons),
            "warnings": list(accounting.warnings),
        }

    @classmethod
    def from_json(cls, found: Mapping[str, Any]) -> EndpointTotals:
        """Raises ValueError, TypeError and KeyError."""
        accounting = Delivery(str(found["endpoint"]))
        for name in _COUNTS:
            setattr(accounting, name, int(found[name]))
        accounting.rejected = reason_counts_of(found["rejected"])
        accounting.dropped = reason_counts_of(found["dropped"])
        accounting.warnings = list(map(str, found["warnings"]))
        classes = Counter({str(key): int(value) for key, value in found["classes"].items()})
        return cls(accounting, classes, reason_counts_of(found["reasons"]))


def reason_counts_of(found: Mapping[str, Mapping[str, Any]]) -> ReasonCounts:
    """The inverse of `reasons_dict` and `skipped_dict`. Raises ValueError, TypeError, KeyError and AttributeError."""
    reasons = ReasonCounts()
    for reason, entry in found.items():
        examples = entry["examples"] if "examples" in entry else {ANYTHING: entry["example"]}
        reasons.counts[str(reason)] = int(entry["count"])
        reasons.examples[str(reason)] = {str(subject): str(example) for subject, example in examples.items()}
    return reasons


class Receiver:
    """An endpoint and what its receiver accepts. Deadlines are monotonic seconds."""

    def __init__(
        self, endpoint: EndpointState, dependencies: Dependencies, *, force: bool, keeps_rejected: bool = False
    ) -> None:
        """`keeps_rejected` keeps rejected requests in `Delivery.dead`, for the export."""
        config, now_ms = endpoint.config, dependencies.now_ms
        self.endpoint, self._now_ms, self._force = endpoint, now_ms, force
        self.totals = EndpointTotals(Delivery(config.name))
        self.rules = Rules(now_ms(), AMP_MAX_AGE_MS if config.is_amp else config.max_age_ms)
        self.workspace = Workspace(endpoint.client, config, dependencies) if config.is_amp else None
        dead_letter_reasons = frozenset({"rejected"} if keeps_rejected else ())
        self._options = send.SendOptions(now_ms, sleep=dependencies.sleep, dead_letter_reasons=dead_letter_reasons)
        self._newest: NewestSamples | None = None
        self._asked_at = 0.0
        self.window_seconds: int | None = None  # of the workspace, when it is known

    @property
    def name(self) -> str:
        return self.endpoint.config.name

    # before sending

    def ask(self, deadline: float) -> None:
        """Asks the workspace which late samples it accepts. What it does not say is named in `rules.unknown`, and the
        worse case is assumed."""
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
        self._newest = NewestSamples(self.endpoint.config, self.endpoint.client, self._now_ms)
        head_ms = self._newest.head_ms(until)
        if head_ms is None:
            detail = "the newest sample of the workspace (assumed to be as new as the clock) and of each series"
            self._do_not_know(f"{detail}: {self._newest.unknown}")
        self.rules.head_ms = max(self._now_ms() if head_ms is None else head_ms, self.rules.head_ms)

    def _do_not_know(self, detail: str) -> None:
        if detail not in self.rules.unknown:
            self.rules.unknown.append(detail)

    def relabelled(self, samples: Samples, dropped: ReasonCounts) -> Samples:
        """The samples that this endpoint gets, in send order; the others are counted in `dropped`."""
        view = self.endpoint.view
        return sort_samples(view.apply(samples, dropped) if view else samples, dropped)

    def check_acceptance(self, samples: Samples, start: int, deadline: float) -> list[Acceptance]:
        """Checks sorted samples from index `start` on, in slices of one request each."""
        self.rules.now_ms = self._now_ms()
        if self._newest is not None:
            if time.monotonic() - self._asked_at > _REFRESH_SECONDS:
                self._ask_for_newest(deadline)
            was_known = not self._newest.unknown
            self._newest.learn(samples, min(deadline, time.monotonic() + _QUERY_SECONDS))
            if was_known and self._newest.unknown:
                self._do_not_know(f"the newest sample of each series: {self._newest.unknown}")
        most = self.endpoint.config.queue.max_samples_per_send
        return check_slices(samples, self.rules, most, start=start, force=self._force)

    # sending

    def send(
        self, acceptance: Acceptance, accounting: Delivery, deadline: float, *, maybe_stored: bool
    ) -> list[PendingRequest]:
        """Sends the acceptable samples (with `force`, all) and counts them in `accounting`. Returns the requests that
        the receiver did not answer for good in this run."""
        possible = acceptance.accepted
        if len(acceptance.window):
            possible = sort_samples(joined([acceptance.accepted, acceptance.window]), accounting.dropped)
        protocol, now_ms = protocol_of(self.endpoint, ()), self._now_ms()
        requests = request_size.pack(possible, protocol, now_ms, accounting.dropped)
        if self._force:  # separately: one rejected sample may cost its whole request
            requests += request_size.pack(acceptance.impossible, protocol, now_ms, accounting.dropped)
        else:
            for reason in IMPOSSIBLE:
                if count := acceptance.reasons.counts[reason]:
                    accounting.dropped.add(reason, acceptance.reasons.first_examples[reason], count)
        send_queue = SendQueue(with_maybe_stored(requests) if maybe_stored else requests, accounting)
        send.deliver(self.endpoint, send_queue, self._options, deadline)
        left = send_queue.close()
        accounting.rejected.rewrite(
            lambda detail: detail.replace(AGE_ADVICE, f"set max_age of {self.name} to what it accepts")
        )
        if not left:
            self.sent(acceptance)
        return left

    def sent(self, acceptance: Acceptance) -> None:
        """Records that the accepted samples have been sent, so that later ones are compared with them."""
        advance(acceptance.accepted)
        self.rules.head_ms = max(self.rules.head_ms, max(acceptance.accepted.timestamps_ms, default=0))

    def forget(self) -> None:
        """Forgets all series. The workspace is asked about them again."""
        if self.endpoint.view:
            self.endpoint.view.prune(_NEVER)
        if self._newest is not None:
            self._newest.forget()
