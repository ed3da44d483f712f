"""One endpoint's backlog in one run: drained oldest first before anything fresh goes out; what is left of the run joins
its end.

Other runs may do the same at the same time. Whoever removes an entry books its samples; a run that finds an entry gone
when it wants to book it leaves that to the other one.

An entry that cannot be read keeps its place, and what comes after it waits, for as long as the receiver may still take
its samples. It is set aside only when a later run reads the same damaged bytes.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass, field, replace

from ..config.schema import SpoolConfig
from ..model.delivery import Delivery, PendingRequest, WriteRequest
from ..model.drop_reasons import DropReason
from ..model.reason_counts import ReasonCounts
from ..remote_write.encode.packing import samples_alone
from ..state.state import State, Unread
from ..store import MAX_LISTED, Changed, Keys, NotStored, StoreError
from .entry import Entry, with_maybe_stored
from .spool import Damaged, RunId, Spool, Stored, endpoint_of, started_ms_of

_FIRST_SHARE = 0.4
_SENDING_SECONDS = 10.0  # that fresh samples need, unless the caller says otherwise
_PAUSE_SECONDS, _LONGEST_PAUSE_SECONDS = 0.5, 4.0  # between listings that fail
_PATIENCE_MS = 3_600_000  # for an entry that cannot be read, where the receiver takes samples of any age
# Dead letters that go back into their entry when they cannot be written.
_RETURNING = (DropReason.TOO_OLD, DropReason.OVERTAKEN)
_UNKNOWN = (
    "backlog_unknown: the spool cannot be listed, so it is not known whether older samples wait there. Fresh samples "
    "were sent; older ones of the same series may be refused as overtaken, and are then kept under dead/"
)
_ELSEWHERE_SAID = "another run, at the same time, has settled this entry of the spool and booked its samples"

Send = Callable[[Sequence[WriteRequest], Delivery, bool], list[PendingRequest]]
"""Sends requests (which may share no series) and books them -> those that are left."""


@dataclass(slots=True)
class SpoolState:
    """The spool as one environment knows it. `mode` is the config's; `dead_letter_reasons` names what goes under
    dead/."""

    spool: Spool
    state: State
    mode: str = "on_failure"
    dead_letter_reasons: frozenset[str] = frozenset((DropReason.TOO_OLD,))
    known: dict[str, set[str]] = field(default_factory=dict)  # entries that this environment has written, by endpoint
    settled: dict[str, str] = field(default_factory=dict)  # ETags of entries that are done, but could not be removed
    looked: set[str] = field(default_factory=set)  # endpoints whose entries were listed in this environment
    passed: set[str] = field(default_factory=set)  # endpoints that got fresh samples while the backlog was unknown
    orphaned: dict[str, int] = field(default_factory=dict)  # entries of endpoints that the config does not have

    @classmethod
    def of(cls, config: SpoolConfig, spool: Spool, state: State, before: SpoolState | None) -> SpoolState:
        """As the config says. What is known of the same spool stays known."""
        reasons = frozenset({DropReason.TOO_OLD, *(("rejected",) if config.keeps_rejected else ())})
        if before is not None and before.spool.store.place == spool.store.place:
            return replace(before, mode=config.mode, dead_letter_reasons=reasons)
        return cls(spool, state, config.mode, reasons)

    def must_look(self, endpoint: str) -> bool:
        """A listing costs as much as a write: only where something says that there may be entries. A run that was
        killed is followed by a new environment, which looks; one that writes ahead may be killed at any time."""
        if self.mode == "always" or endpoint not in self.looked or self.known.get(endpoint):
            return True
        return self.state.has_backlog(endpoint) or self.state.is_heartbeat_due

    def expects_entries(self, endpoint: str) -> bool:
        """Memory or the state object says that something waits."""
        return bool(self.known.get(endpoint)) or self.state.has_backlog(endpoint)

    def find_orphaned(self, endpoints: Collection[str], deadline: float) -> str:
        """Counts the entries of other endpoints than these. Returns why that failed, "" if it did not."""
        try:
            self.orphaned = self.spool.orphaned_entries(endpoints, deadline)
        except StoreError as error:
            return f"the spool cannot be listed: {error}"
        return ""

    def warnings(self) -> list[str]:
        """What to do about orphaned entries."""
        return [_orphaned(endpoint, count) for endpoint, count in self.orphaned.items()]


def _orphaned(endpoint: str, count: int) -> str:
    entries = f"{count} entr{'y' if count == 1 else 'ies'}"
    advice = "put it back to deliver them, or delete them with: pusher spool CONFIG delete --endpoint"
    return f"the spool holds {entries} of {endpoint}, an endpoint that the config does not have: {advice} {endpoint}"


class SpoolDrain:
    """What waits for one endpoint, and this run's own entry. `accounting` are those of the whole run; `deadline` is the
    store's, in monotonic seconds. The receiver takes samples up to `age_limit_ms` old, of any age when it is 0."""

    def __init__(
        self, spool_state: SpoolState, run: RunId, accounting: Delivery, deadline: float, age_limit_ms: int = 0
    ) -> None:
        self._spool_state, self._run, self._accounting, self.deadline = spool_state, run, accounting, deadline
        self._spool = spool_state.spool
        self._age_limit_ms = age_limit_ms
        self._unread_since_ms = 0  # the entry before this one could not be read since then
        self._overdue: list[str] = []  # entries that cannot be read, for which nothing waits any more
        self._endpoint = accounting.endpoint
        self._own: Stored | None = None
        self._newest_key = ""
        self._is_cut = False

    # what other runs have left

    def drain(self, send: Send, until: float, sending_seconds: float = _SENDING_SECONDS) -> bool:
        """Sends what waits, oldest first, until `until` (monotonic seconds). True when fresh samples may go: nothing
        waits any more, or the store does not tell and no more than `sending_seconds` are left. Whatever is wrong with
        the store is a warning."""
        spool_state = self._spool_state
        spool_state.state.await_read()
        if not spool_state.must_look(self._endpoint):
            return True
        try:
            keys = self._listed(until, sending_seconds)
        except StoreError as error:
            return self._may_go_unlisted(error)
        spool_state.looked.add(self._endpoint)
        spool_state.passed.discard(self._endpoint)
        for index, key in enumerate(keys):
            if time.monotonic() >= until or not self._drain_one(key, send, until):
                self._wait_with(keys[index:])
                return False
        if self._is_cut:  # there may be more, for the next run
            self._wait_with([self._newest_key])
            return False
        self._wait_with([])
        if not self._overdue:
            spool_state.state.is_drained(self._endpoint, self._newest_key)
        return True

    def _wait_with(self, keys: Sequence[str]) -> None:
        """These entries, oldest first, are for the next run, after those that it tries to read once more. The
        environment knows of them from now on, so that the next run looks."""
        waiting, left = self._accounting.waiting, [*self._overdue, *keys]
        unlisted = {key for key in self._spool_state.known.get(self._endpoint, ()) if key > self._newest_key}
        self._spool_state.known[self._endpoint] = unlisted | set(left)
        waiting.entries = len(left)
        if self._overdue or (left and not waiting.oldest_ms):
            waiting.oldest_ms = started_ms_of(left[0])

    def _listed(self, until: float, sending_seconds: float) -> Keys:
        """The entries. Where nothing says whether there are any, a store that fails is asked again for as long as
        sending can wait; once fresh samples have passed an unknown backlog, waiting keeps no order any more."""
        now = time.monotonic()
        latest = until - min(sending_seconds, (1 - _FIRST_SHARE) * (until - now))
        for pause in _pauses(latest - now):
            try:
                return self._keys(_part_of(until))
            except StoreError as error:
                is_known = self._endpoint in self._spool_state.looked or self._spool_state.expects_entries(
                    self._endpoint
                )
                if is_known or self._endpoint in self._spool_state.passed or isinstance(error, NotStored):
                    raise
                if not self._spool.wait(pause, latest):
                    raise
        return self._keys(_part_of(until))

    @property
    def is_unknown(self) -> bool:
        """Fresh samples may go although the store did not tell whether something waits."""
        return self._accounting.backlog_unknown

    def _may_go_unlisted(self, error: StoreError) -> bool:
        """Whether fresh samples may go although the spool cannot be listed: not past a backlog that is known of."""
        self._accounting.warn(f"the spool cannot be listed: {error}")
        if self._spool_state.expects_entries(self._endpoint):
            return False
        if self._endpoint not in self._spool_state.looked:
            self._accounting.backlog_unknown = True
            self._accounting.warn(_UNKNOWN)
            self._spool_state.passed.add(self._endpoint)
        return True

    def _keys(self, until: float) -> Keys:
        """The entries that other runs have left; a listing that is behind the times lacks none that is known of."""
        spool_state, endpoint = self._spool_state, self._endpoint
        listed = self._spool.keys(endpoint, until)
        known = spool_state.known.get(endpoint, set()) | {spool_state.state.facts.backlog.get(endpoint, "")}
        self._is_cut = len(listed) >= MAX_LISTED
        if self._is_cut:  # what comes after the end of the listing is not next
            known = {key for key in known if key <= listed[-1]}
        keys = sorted({*listed, *known} - {"", self._own.key if self._own else ""})
        self._newest_key = keys[-1] if keys else ""
        if not self._is_cut:
            spool_state.state.forget_unread(lambda key: endpoint_of(key) == endpoint and key not in keys)
        return keys

    def _drain_one(self, key: str, send: Send, until: float) -> bool:
        """One entry; False when something of it is left."""
        accounting = self._accounting
        try:
            if self._has_removed_settled(key, until):
                return True
            stored = self._spool.load(key, until)
        except NotStored:  # another run's, or never written
            self._spool_state.state.forget_unread(lambda other: other == key)
            return True
        except Damaged as damaged:
            return self._judge(damaged)
        except StoreError as error:
            return self._hold(key, str(error))
        self._unread_since_ms = 0
        self._spool_state.state.forget_unread(lambda other: other == key)
        part = Delivery(self._endpoint, taken=stored.entry.samples)
        left = self._bury_of_entry(part, self._send_entry(stored.entry, send, part), key)
        self._settle(stored, left, part)
        accounting.merge(part)
        accounting.waiting.drained += not left
        accounting.waiting.oldest_ms = min((one.request.oldest_ms for one in left), default=0)
        return not left

    def _has_removed_settled(self, key: str, until: float) -> bool:
        """Removes an entry that an earlier run has settled. False when it is none, or not the same any more."""
        etag = self._spool_state.settled.get(key)
        if etag is None:
            return False
        is_removed = self._spool.remove_version(key, etag, until)
        del self._spool_state.settled[key]
        return is_removed

    def _send_entry(self, entry: Entry, send: Send, part: Delivery) -> list[PendingRequest]:
        """Sends an entry and returns what is left of it. Requests that a receiver has refused as overtaken are not sent
        again: they are here because they could not be kept under dead/."""
        part.dead = [one for one in entry.pending if one.reason == DropReason.OVERTAKEN]
        for one in part.dead:
            part.rejected.add(one.reason, one.detail, one.request.samples)
        return send([one.request for one in entry.pending if one.reason != DropReason.OVERTAKEN], part, entry.disjoint)

    # entries that cannot be read

    def _judge(self, damaged: Damaged) -> bool:
        """Sets an entry aside when an earlier run has read the same bytes; until then it is held."""
        noted = self._spool_state.state.unread(damaged.key)
        if noted is None or noted.fingerprint != damaged.fingerprint:
            return self._hold(damaged.key, f"{damaged}, at every read of this run", damaged.fingerprint)
        try:
            aside = self._spool.set_aside(damaged, self.deadline)
        except NotStored:  # another run has set it aside
            return True
        except StoreError as error:
            return self._hold(damaged.key, f"{damaged}; and it cannot be set aside: {error}", damaged.fingerprint)
        self._spool_state.state.forget_unread(lambda key: key == damaged.key)
        self._book_set_aside(damaged, aside)
        return True

    def _book_set_aside(self, damaged: Damaged, aside: str) -> None:
        """Its samples leave the spool unsent, as many as its header says."""
        accounting, samples, size = self._accounting, damaged.samples, len(damaged.found.content)
        detail = f"the entry {damaged.key} is damaged ({damaged}); it is set aside as {aside}"
        accounting.waiting.unreadable += 1
        if not samples:
            accounting.warn(f"{detail}. How many samples its {size} bytes held is not known: no count has them")
            return
        accounting.warn(detail)
        accounting.taken += samples
        accounting.dropped.add(DropReason.UNREADABLE, detail, samples)
        accounting.dead_lettered += samples

    def _hold(self, key: str, why: str, fingerprint: str = "") -> bool:
        """Leaves an entry that could not be read to later runs. True when what comes after it need not wait any longer:
        its samples are too old by now, or it could not be read for an hour."""
        state, now_ms = self._spool_state.state, self._run.started_ms
        noted = state.unread(key) or Unread(self._unread_since_ms or now_ms)
        self._unread_since_ms = noted.since_ms
        state.note_unread(key, Unread(noted.since_ms, fingerprint or noted.fingerprint))
        is_too_old = 0 < self._age_limit_ms < now_ms - started_ms_of(key)
        if is_too_old or now_ms - noted.since_ms >= _PATIENCE_MS:
            self._overdue.append(key)
            self._accounting.warn(f"an entry of the spool cannot be read, and what comes after it goes past it: {why}")
            return True
        self._accounting.warn(f"an entry of the spool cannot be read, and what comes after it waits: {why}")
        return False

    def _settle(self, stored: Stored, left: list[PendingRequest], part: Delivery) -> None:
        """What is left of an entry takes its place, and an entry of which nothing is left goes. Books what is left."""
        _record(part.spooled, left)
        try:
            if not left and not self._spool.remove(stored, self.deadline):
                _leave_to_the_other(part)
            if left and not _is_as_it_was(stored, left):
                self._spool.replace(stored, left, self.deadline)
        except (Changed, NotStored):
            left.clear()
            _leave_to_the_other(part)
        except StoreError as error:  # the entry stays as it was
            part.warn(f"an entry of the spool cannot be updated, and what is done of it may be sent again: {error}")
            if not left:
                self._spool_state.settled[stored.key] = stored.etag

    # what this run leaves

    def write_ahead(self, requests: Sequence[WriteRequest], *, disjoint: bool) -> None:
        """With mode `always`, the requests are in the spool before they are sent: a killed run loses nothing."""
        if self._spool_state.mode != "always" or not requests:
            return
        ahead = Entry(
            self._endpoint, self._run.started_ms, list(map(PendingRequest, with_maybe_stored(requests))), disjoint
        )
        try:
            self._own = self._spool.keep(ahead, self._run, _part_of(self.deadline))
        except StoreError as error:
            self._accounting.warn(f"the spool takes nothing ahead of sending, and a killed run would lose it: {error}")

    def keep(self, left: list[PendingRequest], part: Delivery, *, disjoint: bool) -> list[PendingRequest]:
        """Puts what is left of the fresh requests at the end of the backlog, and books it. Returns what could not be
        kept, which is booked as undelivered."""
        left = [_without_metadata(one) for one in left if one.request.samples]
        lost = list[PendingRequest]()
        if self._own is not None:
            self._settle(self._own, left, part)
        elif left:
            lost = self._keep_anew(Entry(self._endpoint, self._run.started_ms, left, disjoint), part)
        if left and not lost:
            waiting = self._accounting.waiting
            waiting.entries += 1
            waiting.oldest_ms = waiting.oldest_ms or min(one.request.oldest_ms for one in left)
            key = self._spool.key(self._endpoint, self._run)
            self._spool_state.known.setdefault(self._endpoint, set()).add(key)
        return lost

    def _keep_anew(self, entry: Entry, part: Delivery) -> list[PendingRequest]:
        """Returns what could not be kept."""
        spool_state = self._spool_state
        try:
            key = self._spool.key(self._endpoint, self._run)
            spool_state.state.will_spool(self._endpoint, key, _part_of(self.deadline))
            self._spool.keep(entry, self._run, self.deadline)
        except StoreError as error:
            detail = f"the spool did not take them: {error}; they were not sent because: {entry.pending[0].detail}"
            part.undelivered.add(DropReason.SPOOL_FAILED, detail, entry.samples)
            return list(entry.pending)
        _record(part.spooled, entry.pending)
        return []

    # what nobody sends again

    def write_dead_letters(self) -> None:
        """Keeps what is dead of the fresh requests, for people to look at."""
        self._bury(self._accounting, "")

    def _bury(self, accounting: Delivery, source: str) -> bool:
        dead, samples = accounting.dead, sum(one.request.samples for one in accounting.dead)
        accounting.dead = []
        try:
            if dead:
                self._spool.write_dead_letters(self._endpoint, self._run, dead, self.deadline, source)
        except StoreError as error:
            accounting.warn(f"{samples} samples that are not sent again could not be kept under dead/: {error}")
            return False
        accounting.dead_lettered += samples
        return True

    def _bury_of_entry(self, part: Delivery, left: list[PendingRequest], source: str) -> list[PendingRequest]:
        """Buries what became too old in the spool, or was overtaken, before its entry goes. When that fails it stays
        there, the oldest of what is left."""
        returning = [one for one in part.dead if one.reason in _RETURNING]
        if self._bury(part, source):
            return left
        for one in returning:
            reasons = part.rejected if one.reason == DropReason.OVERTAKEN else part.dropped
            reasons.counts[one.reason] -= one.request.samples
        return [*returning, *left]


def _pauses(seconds: float) -> Iterator[float]:
    """Longer and longer ones, no more together than there is time for."""
    pause = _PAUSE_SECONDS
    while pause < seconds:
        yield pause
        seconds -= pause
        pause = min(2 * pause, _LONGEST_PAUSE_SECONDS)


def _part_of(deadline: float) -> float:
    """A deadline that leaves time for what comes after: a store that hangs must not cost the samples in hand."""
    now = time.monotonic()
    return now + _FIRST_SHARE * (deadline - now)


def _is_as_it_was(stored: Stored, left: Sequence[PendingRequest]) -> bool:
    """Nothing of the entry has changed, so that it need not be written again."""
    return [_fate(one) for one in left] == [_fate(one) for one in stored.entry.pending]


def _fate(one: PendingRequest) -> tuple[WriteRequest, bool]:
    """What is sent, and whether it will be sent at all."""
    return one.request, one.reason != DropReason.OVERTAKEN


def _record(spooled: ReasonCounts, left: Sequence[PendingRequest]) -> None:
    for one in left:
        spooled.add(one.reason, one.detail, one.request.samples)


def _leave_to_the_other(part: Delivery) -> None:
    """The other run has booked these samples: here they only leave the books."""
    count = part.accepted + sum(reasons.total() for reasons in part.reason_counts().values())
    part.accepted, part.dropped = 0, ReasonCounts()
    for reasons in part.reason_counts().values():
        reasons.counts.clear()
    part.dropped.add(DropReason.SETTLED_ELSEWHERE, _ELSEWHERE_SAID, count)


def _without_metadata(one: PendingRequest) -> PendingRequest:
    """Metadata is sent again anyway."""
    return replace(one, request=samples_alone(one.request)) if one.request.metadata else one
