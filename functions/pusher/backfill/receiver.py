"""One endpoint in a backfill: what it can take is judged first, then sent, and every sample is in its books."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from ..batch import protocol_of
from ..delivery import deliver
from ..delivery.entry import with_doubt
from ..delivery.outbox import Outbox
from ..delivery.refusals import AGE_ADVICE
from ..model import Delivery, Kept, Samples, Tally
from ..report import tally_dict
from ..warm import Outside, Remote
from ..wire import packing
from .arrange import arrange
from .judge import AMP_MAX_AGE_MS, IMPOSSIBLE, Judged, Rules, advance, joined, judge_slices
from .newest import Newest
from .workspace import NotAnswered, Workspace

_REFRESH_SECONDS = 60.0  # the schedule goes on meanwhile
_QUERY_SECONDS = 30.0
_NEVER = 2**62  # a run that will not come
_DEFAULT_WINDOW_SECONDS = 60  # of every workspace, unless somebody has changed it


@dataclass(slots=True)
class Tallies:
    """What became of the samples of all parts that are done, for one endpoint."""

    books: Delivery
    classes: dict[str, int] = field(default_factory=lambda: {"accepted": 0, "window": 0, "impossible": 0})
    reasons: Tally = field(default_factory=Tally)

    def add(self, books: Delivery, judged: Judged) -> None:
        """A part that is done."""
        self.books.merge(books)
        for name, count in judged.counts().items():
            self.classes[name] += count
        self.reasons.merge(judged.reasons)

    def as_json(self) -> dict[str, Any]:
        books = self.books
        return {
            "endpoint": books.endpoint,
            "collected": books.collected,
            "accepted": books.accepted,
            "rejected": tally_dict(books.rejected),
            "dropped": tally_dict(books.dropped),
            "classes": dict(self.classes),
            "reasons": tally_dict(self.reasons),
            "requests": books.requests,
            "retries": books.retries,
            "bytes_sent": books.bytes_sent,
            "warnings": list(books.warnings),
        }

    @classmethod
    def from_json(cls, found: Mapping[str, Any]) -> Tallies:
        """Raises ValueError, TypeError and KeyError."""
        books = Delivery(str(found["endpoint"]))
        for name in ("collected", "accepted", "requests", "retries", "bytes_sent"):
            setattr(books, name, int(found[name]))
        books.rejected, books.dropped = tally_of(found["rejected"]), tally_of(found["dropped"])
        books.warnings = list(map(str, found["warnings"]))
        return cls(books, {str(key): int(value) for key, value in found["classes"].items()}, tally_of(found["reasons"]))


def tally_of(found: Mapping[str, Mapping[str, Any]]) -> Tally:
    """What `tally_dict` has made of a tally, back. Raises ValueError, TypeError and KeyError."""
    tally = Tally()
    for reason, entry in found.items():
        tally.add(str(reason), str(entry["first"]), int(entry["count"]))
    return tally


class Receiver:
    """An endpoint and what is known of its receiver. Deadlines are monotonic seconds."""

    def __init__(self, remote: Remote, outside: Outside, *, force: bool, keeps_refused: bool = False) -> None:
        """`keeps_refused` leaves requests that are refused in the books as dead, to be exported."""
        endpoint, now_ms = remote.endpoint, outside.now_ms
        self.remote, self._now_ms, self._force = remote, now_ms, force
        self.tallies = Tallies(Delivery(endpoint.name))
        self.rules = Rules(now_ms(), AMP_MAX_AGE_MS if endpoint.is_amp else endpoint.max_age_ms)
        self.workspace = Workspace(remote.poster, endpoint, outside) if endpoint.is_amp else None
        buries = frozenset({"rejected"} if keeps_refused else ())
        self._edges = deliver.Edges(
            remote.poster, now_ms, sleep=outside.sleep, pace=remote.pace, buries=buries, escape=remote.escape
        )
        self._newest: Newest | None = None
        self._asked_at = 0.0
        self.window_seconds: int | None = None  # of the workspace, when it says

    @property
    def name(self) -> str:
        return self.remote.endpoint.name

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
        self._newest = Newest(self.remote.endpoint, self.remote.poster, self._now_ms)
        head_ms = self._newest.head_ms(until)
        if head_ms is None:
            said = "the newest sample of the workspace, the clock is taken for it, and that of each series"
            self._do_not_know(f"{said}: {self._newest.unknown}")
        self.rules.head_ms = max(self._now_ms() if head_ms is None else head_ms, self.rules.head_ms)

    def _do_not_know(self, said: str) -> None:
        if said not in self.rules.unknown:
            self.rules.unknown.append(said)

    def arranged(self, samples: Samples, dropped: Tally) -> Samples:
        """The samples as this endpoint gets them, in order. Those that it does not get are counted in `dropped`."""
        view = self.remote.view
        seen = packing.through(view, samples, dropped) if view else samples
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
        most = self.remote.endpoint.queue.max_samples_per_send
        return judge_slices(arranged, self.rules, most, start=start, force=self._force)

    # sending

    def send(self, judged: Judged, books: Delivery, deadline: float, *, doubt: bool) -> list[Kept]:
        """Sends what can be taken (all of it, when that is forced), and books it in `books`. Returns what is left when
        the receiver does not take any more in this run."""
        possible = judged.accepted
        if len(judged.window):
            possible = arrange(joined([judged.accepted, judged.window]), books.dropped)
        protocol, now_ms = protocol_of(self.remote, ()), self._now_ms()
        requests = packing.pack(possible, protocol, now_ms, books.dropped)
        if self._force:  # in requests of their own: one that is refused may cost its whole request
            requests += packing.pack(judged.impossible, protocol, now_ms, books.dropped)
        else:
            for reason in IMPOSSIBLE:
                if judged.reasons.counts[reason]:
                    books.dropped.add(reason, judged.reasons.first[reason], judged.reasons.counts[reason])
        outbox = Outbox(with_doubt(requests) if doubt else requests, books)
        deliver.deliver(self.remote.endpoint, outbox, self._edges, deadline)
        left = outbox.close()
        books.rejected.rewrite(lambda said: said.replace(AGE_ADVICE, f"set max_age of {self.name} to what it takes"))
        if not left:
            self.sent(judged)
        return left

    def sent(self, judged: Judged) -> None:
        """What was judged has gone out: later samples of the same series are compared with it."""
        advance(judged.accepted)
        self.rules.head_ms = max(self.rules.head_ms, max(judged.accepted.timestamps_ms, default=0))

    def forget(self) -> None:
        """Lets go of all series; what the workspace has of them is asked again."""
        if self.remote.view:
            self.remote.view.prune(_NEVER)
        if self._newest is not None:
            self._newest.forget()
