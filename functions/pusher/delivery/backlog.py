"""One endpoint's backlog in one run: drained oldest first before anything fresh goes out; what is left of the run joins
its end.

Other runs may do the same at the same time. Whoever removes an entry books its samples; a run that finds an entry gone
when it wants to book it leaves that to the other one.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

from ..model import Delivery, Kept, Tally, WriteRequest
from ..store import MAX_LISTED, Changed, Keys, NotStored, StoreError
from ..wire.packing import samples_alone
from .entry import Entry, Unreadable, with_doubt
from .spool import Run, Spool, Stored, started_ms_of
from .state import State

_FIRST_SHARE = 0.4
_ELSEWHERE = "settled_elsewhere"
_ELSEWHERE_SAID = "another run, at the same time, has settled this entry of the spool and booked its samples"

Send = Callable[[Sequence[WriteRequest], Delivery, bool], list[Kept]]
"""Sends requests (which may share no series) and books them -> those that are left."""


@dataclass(slots=True)
class Depot:
    """The spool as one environment knows it. `mode` is the config's; `buries` names what goes under dead/."""

    spool: Spool
    state: State
    mode: str = "on_failure"
    buries: frozenset[str] = frozenset(("too_old",))
    known: dict[str, set[str]] = field(default_factory=dict)  # entries that this environment has written, by endpoint
    settled: set[str] = field(default_factory=set)  # entries that are done, but could not be removed
    looked: set[str] = field(default_factory=set)  # endpoints whose entries were listed in this environment

    def must_look(self, endpoint: str) -> bool:
        """A listing costs as much as a write: only where something says that there may be entries. A run that was
        killed is followed by a new environment, which looks; one that writes ahead may be killed at any time."""
        if self.mode == "always" or endpoint not in self.looked or self.known.get(endpoint):
            return True
        return self.state.has_backlog(endpoint) or self.state.is_heartbeat_due


class Backlog:
    """What waits for one endpoint, and this run's own entry. `books` are those of the whole run; `deadline` is the
    store's, in monotonic seconds."""

    def __init__(self, depot: Depot, run: Run, books: Delivery, deadline: float) -> None:
        self._depot, self._run, self._books, self.deadline = depot, run, books, deadline
        self._endpoint = books.endpoint
        self._own: Stored | None = None
        self._newest_key = ""
        self._is_cut = False

    # what other runs have left

    def drain(self, send: Send, until: float) -> bool:
        """Sends what waits, oldest first, until `until` (monotonic seconds). True when nothing waits any more, so that
        fresh samples may go; whatever is wrong with the store is a warning."""
        depot, waiting = self._depot, self._books.waiting
        depot.state.await_read()
        if not depot.must_look(self._endpoint):
            return True
        try:
            keys = self._keys(_part_of(until))
        except StoreError as error:
            self._books.warn(f"the spool cannot be listed: {error}")
            return not (depot.known.get(self._endpoint) or depot.state.has_backlog(self._endpoint))
        depot.looked.add(self._endpoint)
        for index, key in enumerate(keys):
            if time.monotonic() >= until or not self._drain_one(key, send, until):
                waiting.entries = len(keys) - index
                waiting.oldest_ms = waiting.oldest_ms or started_ms_of(key)
                return False
        depot.known.pop(self._endpoint, None)
        if self._is_cut:  # there may be more, for the next run
            waiting.entries, waiting.oldest_ms = 1, started_ms_of(self._newest_key)
            return False
        depot.state.is_drained(self._endpoint, self._newest_key)
        return True

    def _keys(self, until: float) -> Keys:
        """The entries that other runs have left; a listing that is behind the times lacks none that is known of."""
        depot, endpoint = self._depot, self._endpoint
        listed = depot.spool.keys(endpoint, until)
        known = depot.known.get(endpoint, set()) | {depot.state.facts.backlog.get(endpoint, "")}
        self._is_cut = len(listed) >= MAX_LISTED
        if self._is_cut:  # what comes after the end of the listing is not next
            known = {key for key in known if key <= listed[-1]}
        keys = sorted({*listed, *known} - {"", self._own.key if self._own else ""})
        self._newest_key = keys[-1] if keys else ""
        return keys

    def _drain_one(self, key: str, send: Send, until: float) -> bool:
        """One entry; False when something of it is left."""
        spool, books = self._depot.spool, self._books
        try:
            if key in self._depot.settled:
                spool.forget(key, until)
                self._depot.settled.discard(key)
                return True
            stored = spool.load(key, until)
        except NotStored:  # another run's, or never written
            return True
        except Unreadable as error:
            return self._set_aside(key, error)
        except StoreError as error:
            books.warn(f"an entry of the spool cannot be read: {error}")
            return False
        part = Delivery(self._endpoint, taken=stored.entry.samples)
        left = self._bury_of_entry(part, send(stored.entry.requests, part, stored.entry.disjoint), key)
        self._settle(stored, left, part)
        books.merge(part)
        books.waiting.drained += not left
        books.waiting.oldest_ms = min((one.request.oldest_ms for one in left), default=0)
        return not left

    def _set_aside(self, key: str, error: Unreadable) -> bool:
        """An unreadable entry must not hold up the others."""
        try:
            aside = self._depot.spool.set_aside(key, self.deadline)
        except StoreError as failed:
            self._books.warn(f"the entry {key} cannot be read ({error}), and cannot be set aside: {failed}")
            return False
        self._books.waiting.unreadable += 1
        self._books.warn(f"the entry {key} cannot be read ({error}); it is set aside as {aside}")
        return True

    def _settle(self, stored: Stored, left: list[Kept], part: Delivery) -> None:
        """What is left of an entry takes its place, and an entry of which nothing is left goes. Books what is left."""
        spool = self._depot.spool
        _book(part.spooled, left)
        try:
            if not left and not spool.remove(stored, self.deadline):
                _leave_to_the_other(part)
            if left and not _is_as_it_was(stored, left):
                spool.replace(stored, left, self.deadline)
        except (Changed, NotStored):
            left.clear()
            _leave_to_the_other(part)
        except StoreError as error:  # the entry stays as it was
            part.warn(f"an entry of the spool cannot be updated, and what is done of it may be sent again: {error}")
            if not left:
                self._depot.settled.add(stored.key)

    # what this run leaves

    def write_ahead(self, requests: Sequence[WriteRequest], *, disjoint: bool) -> None:
        """With mode `always`, the requests are in the spool before they are sent: a killed run loses nothing."""
        if self._depot.mode != "always" or not requests:
            return
        ahead = Entry(self._endpoint, self._run.started_ms, list(map(Kept, with_doubt(requests))), disjoint)
        try:
            self._own = self._depot.spool.keep(ahead, self._run, _part_of(self.deadline))
        except StoreError as error:
            self._books.warn(f"the spool takes nothing ahead of sending, and a killed run would lose it: {error}")

    def keep(self, left: list[Kept], part: Delivery, *, disjoint: bool) -> list[Kept]:
        """Puts what is left of the fresh requests at the end of the backlog, and books it. Returns what could not be
        kept, which is booked as undelivered."""
        left = [_without_metadata(one) for one in left if one.request.samples]
        lost = list[Kept]()
        if self._own is not None:
            self._settle(self._own, left, part)
        elif left:
            lost = self._keep_anew(Entry(self._endpoint, self._run.started_ms, left, disjoint), part)
        if left and not lost:
            waiting = self._books.waiting
            waiting.entries += 1
            waiting.oldest_ms = waiting.oldest_ms or min(one.request.oldest_ms for one in left)
            key = self._depot.spool.key(self._endpoint, self._run)
            self._depot.known.setdefault(self._endpoint, set()).add(key)
        return lost

    def _keep_anew(self, entry: Entry, part: Delivery) -> list[Kept]:
        """Returns what could not be kept."""
        depot = self._depot
        try:
            key = depot.spool.key(self._endpoint, self._run)
            depot.state.will_spool(self._endpoint, key, _part_of(self.deadline))
            depot.spool.keep(entry, self._run, self.deadline)
        except StoreError as error:
            said = f"the spool did not take them: {error}; they were not sent because: {entry.kept[0].said}"
            part.undelivered.add("spool_failed", said, entry.samples)
            return list(entry.kept)
        _book(part.spooled, entry.kept)
        return []

    # what nobody sends again

    def bury(self) -> None:
        """Keeps what is dead of the fresh requests, for people to look at."""
        self._bury(self._books, "")

    def _bury(self, books: Delivery, source: str) -> bool:
        dead, samples = books.dead, sum(one.request.samples for one in books.dead)
        books.dead = []
        try:
            if dead:
                self._depot.spool.bury(self._endpoint, self._run, dead, self.deadline, source)
        except StoreError as error:
            books.warn(f"{samples} samples that are not sent again could not be kept under dead/: {error}")
            return False
        books.buried += samples
        return True

    def _bury_of_entry(self, part: Delivery, left: list[Kept], source: str) -> list[Kept]:
        """Buries what became too old in the spool before its entry goes. When that fails it stays there, the oldest
        of what is left."""
        old = [one for one in part.dead if one.reason == "too_old"]
        if self._bury(part, source):
            return left
        for one in old:
            part.dropped.counts[one.reason] -= one.request.samples
        return [*old, *left]


def _part_of(deadline: float) -> float:
    """A deadline that leaves time for what comes after: a store that hangs must not cost the samples in hand."""
    now = time.monotonic()
    return now + _FIRST_SHARE * (deadline - now)


def _is_as_it_was(stored: Stored, left: Sequence[Kept]) -> bool:
    """Nothing of the entry has changed, so that it need not be written again."""
    before = stored.entry.kept
    return len(left) == len(before) and all(
        one.request == other.request for one, other in zip(left, before, strict=True)
    )


def _book(spooled: Tally, left: Sequence[Kept]) -> None:
    for one in left:
        spooled.add(one.reason, one.said, one.request.samples)


def _leave_to_the_other(part: Delivery) -> None:
    """The other run has booked these samples: here they only leave the books."""
    count = part.accepted + sum(tally.total() for tally in part.tallies().values())
    part.accepted, part.dropped = 0, Tally()
    for tally in part.tallies().values():
        tally.counts.clear()
    part.dropped.add(_ELSEWHERE, _ELSEWHERE_SAID, count)


def _without_metadata(one: Kept) -> Kept:
    """Metadata is sent again anyway."""
    return replace(one, request=samples_alone(one.request)) if one.request.metadata else one
