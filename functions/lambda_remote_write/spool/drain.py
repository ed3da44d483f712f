"""Drains one endpoint's backlog in one run, oldest first, before fresh samples are sent. Requests that the run cannot
deliver become the newest entry of the backlog.

Several runs may drain at the same time. The run that removes an entry accounts for its samples; a run that finds the
entry gone leaves that to the other run.

An unreadable entry keeps its place, and later entries wait, as long as the receiver may still accept its samples. It is
set aside only when a later run reads the same damaged bytes.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass, field, replace

from ..config.schema import SpoolConfig
from ..model.delivery import Delivery, PendingRequest, WriteRequest
from ..model.drop_reasons import DropReason
from ..model.reason_counts import ReasonCounts
from ..remote_write.request_size import samples_alone
from ..state.state import State, Unread
from ..store import MAX_LISTED, Changed, Keys, NotStored, StoreError
from .entry import Entry, with_maybe_stored
from .spool import Damaged, RunId, Spool, Stored, endpoint_of, started_ms_of

_FIRST_SHARE = 0.4
_SENDING_SECONDS = 10.0  # that fresh samples need by default
_PAUSE_SECONDS, _LONGEST_PAUSE_SECONDS = 0.5, 4.0  # between listings that fail
_PATIENCE_MS = 3_600_000  # with an unreadable entry, if the receiver accepts samples of any age
# Dead letters that stay in their entry if they cannot be stored under dead/.
_RETURNING = (DropReason.TOO_OLD, DropReason.OVERTAKEN)
_UNKNOWN = (
    "backlog_unknown: the spool cannot be listed, so it is not known whether older samples wait there. Fresh samples "
    "were sent; older ones of the same series may be refused as overtaken, and are then kept under dead/"
)
_ELSEWHERE = "another run has finished this entry of the spool at the same time and counted its samples"

Send = Callable[[Sequence[WriteRequest], Delivery, bool], list[PendingRequest]]
"""Sends requests, accounts for them and returns those that are left. The flag says that they share no series."""


@dataclass(slots=True)
class SpoolState:
    """What one environment knows of the spool. `mode` is the config's; requests with one of the `dead_letter_reasons`
    are stored under dead/."""

    spool: Spool
    state: State
    mode: str = "on_failure"
    dead_letter_reasons: frozenset[str] = frozenset((DropReason.TOO_OLD,))
    known: dict[str, set[str]] = field(default_factory=dict)  # entries that this environment has written, by endpoint
    finished: dict[str, str] = field(default_factory=dict)  # ETags of finished entries that could not be removed
    listed: set[str] = field(default_factory=set)  # endpoints whose entries were listed in this environment
    overtaken: set[str] = field(default_factory=set)  # endpoints that got fresh samples before an unknown backlog
    orphaned: dict[str, int] = field(default_factory=dict)  # entries of endpoints that the config does not have
    waiting: dict[str, list[str]] = field(default_factory=dict)  # entries as far as they were listed, oldest first

    @classmethod
    def of(cls, config: SpoolConfig, spool: Spool, state: State, before: SpoolState | None) -> SpoolState:
        """As the config says. What is known of the same spool stays known."""
        reasons = frozenset({DropReason.TOO_OLD, *(("rejected",) if config.keeps_rejected else ())})
        if before is not None and before.spool.store.place == spool.store.place:
            return replace(before, mode=config.mode, dead_letter_reasons=reasons)
        return cls(spool, state, config.mode, reasons)

    def must_list(self, endpoint: str) -> bool:
        """Whether there may be entries: a listing costs as much as a write. After a killed run a new environment lists
        the entries; in mode `always` a run may be killed between its two writes."""
        if self.mode == "always" or endpoint not in self.listed or self.known.get(endpoint):
            return True
        return self.state.has_backlog(endpoint) or self.state.is_heartbeat_due

    def expects_entries(self, endpoint: str) -> bool:
        """Whether memory or the state object says that entries wait."""
        return bool(self.known.get(endpoint)) or self.state.has_backlog(endpoint)

    def waiting_entries(self, endpoint: str) -> tuple[int, int]:
        """How many entries wait, as far as this environment has listed or written them, and when the run of the oldest
        one started (milliseconds; 0 when none waits). Asks no store."""
        keys = self.waiting.get(endpoint, [])[:]
        return len(keys), started_ms_of(keys[0]) if keys else 0

    def find_orphaned(self, endpoints: Collection[str], deadline: float) -> str:
        """Counts the entries of other endpoints than these. Returns why that failed, "" if it did not."""
        try:
            self.orphaned = self.spool.orphaned_entries(endpoints, deadline)
        except StoreError as error:
            return f"the spool cannot be listed: {error}"
        return ""

    def warnings(self) -> list[str]:
        """What to do about orphaned entries."""
        advice = "put it back to deliver them, or delete them with: pusher spool CONFIG delete --endpoint"
        return [
            f"the spool holds {count} entr{'y' if count == 1 else 'ies'} of {endpoint}, an endpoint that the config "
            f"does not have: {advice} {endpoint}"
            for endpoint, count in self.orphaned.items()
        ]


class SpoolDrain:
    """The waiting entries of one endpoint, and this run's own entry. `accounting` is that of the whole run; `deadline`
    (monotonic seconds) is for the store. The receiver accepts samples up to `age_limit_ms` old; 0 is any age."""

    def __init__(
        self, spool_state: SpoolState, run: RunId, accounting: Delivery, deadline: float, age_limit_ms: int = 0
    ) -> None:
        self._spool_state, self._run, self._accounting, self.deadline = spool_state, run, accounting, deadline
        self._spool = spool_state.spool
        self._age_limit_ms = age_limit_ms
        self._unread_since_ms = 0  # the entry before this one could not be read since then
        self._overdue: list[str] = []  # unreadable entries that later ones no longer wait for
        self._endpoint = accounting.endpoint
        self._own: Stored | None = None
        self._newest_key = ""
        self._is_cut = False

    # entries of other runs

    def drain(self, send: Send, until: float, sending_seconds: float = _SENDING_SECONDS) -> bool:
        """Sends waiting entries, oldest first, until `until` (monotonic seconds). True when fresh samples may be sent:
        no entry waits, or the store does not answer and only `sending_seconds` are left. A failure of the store is a
        warning."""
        spool_state = self._spool_state
        spool_state.state.await_read()
        if not spool_state.must_list(self._endpoint):
            return True
        try:
            keys = self._list_patiently(until, sending_seconds)
        except StoreError as error:
            return self._may_go_unlisted(error)
        spool_state.listed.add(self._endpoint)
        spool_state.overtaken.discard(self._endpoint)
        for index, key in enumerate(keys):
            self._note_waiting([*self._overdue, *keys[index:]])
            if time.monotonic() >= until or not self._drain_one(key, send, until):
                self._leave_waiting(keys[index:])
                return False
        if self._is_cut:  # there may be more, for the next run
            self._leave_waiting([self._newest_key])
            return False
        self._leave_waiting([])
        if not self._overdue:
            spool_state.state.is_drained(self._endpoint, self._newest_key)
        return True

    def _leave_waiting(self, keys: Sequence[str]) -> None:
        """Leaves entries, oldest first, to the next run, after the unreadable ones that it tries again. The environment
        remembers them, so that the next run lists the entries."""
        waiting, left = self._accounting.waiting, [*self._overdue, *keys]
        unlisted = {key for key in self._spool_state.known.get(self._endpoint, ()) if key > self._newest_key}
        self._spool_state.known[self._endpoint] = unlisted | set(left)
        self._note_waiting(left)
        waiting.entries = len(left)
        if self._overdue or (left and not waiting.oldest_ms):
            waiting.oldest_ms = started_ms_of(left[0])

    def _note_waiting(self, left: Sequence[str]) -> None:
        """These entries wait, and those that the environment has written since the listing."""
        known = self._spool_state.known.get(self._endpoint, ())
        unlisted = sorted(key for key in known if key > self._newest_key and key not in left)
        self._spool_state.waiting[self._endpoint] = [*left, *unlisted]

    def _list_patiently(self, until: float, sending_seconds: float) -> Keys:
        """Lists the entries. If it is unknown whether there are any, a failing store is retried as long as sending can
        wait; after fresh samples have overtaken an unknown backlog, waiting would not restore the order."""
        now = time.monotonic()
        latest = until - min(sending_seconds, (1 - _FIRST_SHARE) * (until - now))
        for pause in _pauses(latest - now):
            try:
                return self._keys(_part_of(until))
            except StoreError as error:
                endpoint, state = self._endpoint, self._spool_state
                is_known = endpoint in state.listed or state.expects_entries(endpoint)
                may_wait = not is_known and endpoint not in state.overtaken and not isinstance(error, NotStored)
                if not may_wait or not self._spool.wait(pause, latest):
                    raise
        return self._keys(_part_of(until))

    @property
    def is_unknown(self) -> bool:
        """Whether fresh samples may be sent although it is unknown whether entries wait."""
        return self._accounting.backlog_unknown

    def _may_go_unlisted(self, error: StoreError) -> bool:
        """Whether fresh samples may be sent although the spool cannot be listed: not before a known backlog."""
        self._accounting.warn(f"the spool cannot be listed: {error}")
        if self._spool_state.expects_entries(self._endpoint):
            return False
        if self._endpoint not in self._spool_state.listed:
            self._accounting.backlog_unknown = True
            self._accounting.warn(_UNKNOWN)
            self._spool_state.overtaken.add(self._endpoint)
        return True

    def _keys(self, until: float) -> Keys:
        """The entries of other runs: the listing, which may be stale, and the known ones."""
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
        """Drains one entry. False when requests of it are left."""
        accounting = self._accounting
        try:
            if self._has_removed_finished(key, until):
                return True
            stored = self._spool.load(key, until)
        except NotStored:  # another run's, or never written
            self._spool_state.state.forget_unread(lambda other: other == key)
            return True
        except Damaged as damaged:
            return self._handle_damaged(damaged)
        except StoreError as error:
            return self._leave_unread(key, str(error))
        self._unread_since_ms = 0
        self._spool_state.state.forget_unread(lambda other: other == key)
        part = Delivery(self._endpoint, taken=stored.entry.samples)
        left = self._store_dead_letters_of(part, self._send_entry(stored.entry, send, part), key)
        self._finish_entry(stored, left, part)
        accounting.merge(part)
        accounting.waiting.drained += not left
        accounting.waiting.oldest_ms = min((one.request.oldest_ms for one in left), default=0)
        return not left

    def _has_removed_finished(self, key: str, until: float) -> bool:
        """Removes an entry that an earlier run has finished. False for another entry, or if it was changed since."""
        etag = self._spool_state.finished.get(key)
        if etag is None:
            return False
        is_removed = self._spool.remove_version(key, etag, until)
        del self._spool_state.finished[key]
        return is_removed

    def _send_entry(self, entry: Entry, send: Send, part: Delivery) -> list[PendingRequest]:
        """Sends an entry and returns the requests left of it. Overtaken ones are not sent again: they are in the entry
        only because they could not be stored under dead/."""
        part.dead = [one for one in entry.pending if one.reason == DropReason.OVERTAKEN]
        for one in part.dead:
            part.rejected.add(one.reason, one.detail, one.request.samples)
        return send([one.request for one in entry.pending if one.reason != DropReason.OVERTAKEN], part, entry.disjoint)

    # entries that cannot be read

    def _handle_damaged(self, damaged: Damaged) -> bool:
        """Sets an entry aside if an earlier run has read the same bytes; until then it keeps its place."""
        noted = self._spool_state.state.unread(damaged.key)
        if noted is None or noted.fingerprint != damaged.fingerprint:
            return self._leave_unread(damaged.key, f"{damaged}, at every read of this run", damaged.fingerprint)
        try:
            aside = self._spool.set_aside(damaged, self.deadline)
        except NotStored:  # another run has set it aside
            return True
        except StoreError as error:
            return self._leave_unread(damaged.key, f"{damaged}; it cannot be set aside: {error}", damaged.fingerprint)
        self._spool_state.state.forget_unread(lambda key: key == damaged.key)
        self._record_set_aside(damaged, aside)
        return True

    def _record_set_aside(self, damaged: Damaged, aside: str) -> None:
        """Counts the samples in the header of an entry that was set aside as dropped."""
        accounting, samples, size = self._accounting, damaged.samples, len(damaged.found.content)
        detail = f"the entry {damaged.key} is damaged ({damaged}); it is set aside as {aside}"
        accounting.waiting.unreadable += 1
        if not samples:
            accounting.warn(f"{detail}. The number of samples in its {size} bytes is not known: no count includes them")
            return
        accounting.warn(detail)
        accounting.taken += samples
        accounting.dropped.add(DropReason.UNREADABLE, detail, samples)
        accounting.dead_lettered += samples

    def _leave_unread(self, key: str, why: str, fingerprint: str = "") -> bool:
        """Leaves an unreadable entry to later runs. True when later entries need not wait any longer: its samples are
        too old by now, or it has been unreadable for an hour."""
        state, now_ms = self._spool_state.state, self._run.started_ms
        noted = state.unread(key) or Unread(self._unread_since_ms or now_ms)
        self._unread_since_ms = noted.since_ms
        state.note_unread(key, Unread(noted.since_ms, fingerprint or noted.fingerprint))
        is_too_old = 0 < self._age_limit_ms < now_ms - started_ms_of(key)
        if is_too_old or now_ms - noted.since_ms >= _PATIENCE_MS:
            self._overdue.append(key)
            self._accounting.warn(f"an entry of the spool cannot be read, and later entries go past it: {why}")
            return True
        self._accounting.warn(f"an entry of the spool cannot be read, and later entries wait: {why}")
        return False

    def _finish_entry(self, stored: Stored, left: list[PendingRequest], part: Delivery) -> None:
        """Replaces an entry by the requests left of it, or removes it if none are. Counts those left as spooled."""
        _record(part.spooled, left)
        try:
            if not left and not self._spool.remove(stored, self.deadline):
                _record_finished_elsewhere(part)
            if left and not _is_unchanged(stored, left):
                self._spool.replace(stored, left, self.deadline)
        except (Changed, NotStored):
            left.clear()
            _record_finished_elsewhere(part)
        except StoreError as error:  # the entry stays as it was
            part.warn(f"an entry of the spool cannot be updated, and finished requests may be sent again: {error}")
            if not left:
                self._spool_state.finished[stored.key] = stored.etag

    # the entry of this run

    def write_ahead(self, requests: Sequence[WriteRequest], *, disjoint: bool) -> None:
        """In mode `always`, stores the requests before they are sent, so that a killed run loses nothing."""
        if self._spool_state.mode != "always" or not requests:
            return
        ahead = Entry(
            self._endpoint, self._run.started_ms, list(map(PendingRequest, with_maybe_stored(requests))), disjoint
        )
        try:
            self._own = self._spool.keep(ahead, self._run, _part_of(self.deadline))
        except StoreError as error:
            self._accounting.warn(
                f"the spool did not store the samples before sending, and a killed run would lose them: {error}"
            )

    def keep(self, left: list[PendingRequest], part: Delivery, *, disjoint: bool) -> list[PendingRequest]:
        """Stores the fresh requests that are left as the newest entry and counts them. Returns those that could not be
        stored, which are counted as undelivered."""
        left = [_without_metadata(one) for one in left if one.request.samples]
        lost = list[PendingRequest]()
        if self._own is not None:
            self._finish_entry(self._own, left, part)
        elif left:
            lost = self._keep_new(Entry(self._endpoint, self._run.started_ms, left, disjoint), part)
        if left and not lost:
            waiting = self._accounting.waiting
            waiting.entries += 1
            waiting.oldest_ms = waiting.oldest_ms or min(one.request.oldest_ms for one in left)
            key = self._spool.key(self._endpoint, self._run)
            self._spool_state.known.setdefault(self._endpoint, set()).add(key)
            self._spool_state.waiting.setdefault(self._endpoint, []).append(key)
        return lost

    def _keep_new(self, entry: Entry, part: Delivery) -> list[PendingRequest]:
        """Returns the requests that could not be stored."""
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

    # dead letters

    def write_dead_letters(self) -> None:
        """Stores the dead letters among the fresh requests, for inspection."""
        self._store_dead_letters(self._accounting, "")

    def _store_dead_letters(self, accounting: Delivery, source: str) -> bool:
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

    def _store_dead_letters_of(self, part: Delivery, left: list[PendingRequest], source: str) -> list[PendingRequest]:
        """Stores requests of an entry that became too old or were overtaken as dead letters, before the entry is
        removed. If that fails they stay in the entry, before the others. Returns what is left of the entry."""
        returning = [one for one in part.dead if one.reason in _RETURNING]
        if self._store_dead_letters(part, source):
            return left
        for one in returning:
            reasons = part.rejected if one.reason == DropReason.OVERTAKEN else part.dropped
            reasons.counts[one.reason] -= one.request.samples
        return [*returning, *left]


def _pauses(seconds: float) -> Iterator[float]:
    """Growing pauses whose sum is less than `seconds`."""
    pause = _PAUSE_SECONDS
    while pause < seconds:
        yield pause
        seconds -= pause
        pause = min(2 * pause, _LONGEST_PAUSE_SECONDS)


def _part_of(deadline: float) -> float:
    """An earlier deadline, so that a store that hangs leaves time to send the samples."""
    now = time.monotonic()
    return now + _FIRST_SHARE * (deadline - now)


def _is_unchanged(stored: Stored, left: Sequence[PendingRequest]) -> bool:
    """Whether an entry need not be written again."""
    return [_resend(one) for one in left] == [_resend(one) for one in stored.entry.pending]


def _resend(one: PendingRequest) -> tuple[WriteRequest, bool]:
    """The request, and whether it will be sent again."""
    return one.request, one.reason != DropReason.OVERTAKEN


def _record(spooled: ReasonCounts, left: Sequence[PendingRequest]) -> None:
    for one in left:
        spooled.add(one.reason, one.detail, one.request.samples)


def _record_finished_elsewhere(part: Delivery) -> None:
    """Takes the samples out of this run's counts, because the other run counts them."""
    count = part.accepted + sum(reasons.total() for reasons in part.reason_counts().values())
    part.accepted, part.dropped = 0, ReasonCounts()
    for reasons in part.reason_counts().values():
        reasons.counts.clear()
    part.dropped.add(DropReason.SETTLED_ELSEWHERE, _ELSEWHERE, count)


def _without_metadata(one: PendingRequest) -> PendingRequest:
    """Removes the metadata, which later runs send again anyway."""
    return replace(one, request=samples_alone(one.request)) if one.request.metadata else one
