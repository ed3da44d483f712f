"""Growing past one function: JSON jobs and targets split by hash, one invocation for each shard.

A shard has its own spool prefix and state. What waits in a prefix is older than anything that is sent now, so that a
series must not move to another shard while its old one has a backlog: the number of shards changes only when nothing
waits anywhere. The change is announced two ticks before; the first shard that runs at its tick looks again whether
something waits, and decides for all of them. Until then the old split stays.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import Annotated
from urllib.parse import unquote

import msgspec

from ..relabel import hashmod
from ..store import Changed, NotStored, Store, StoreError

KEY = "state/split"
_TICKS_AHEAD = 2  # the tick in between takes the change back when something waits again
_TRIES = 3
MAX_SHARDS = 100


@dataclass(frozen=True, slots=True)
class Shard:
    """One of `count` parts of the work. `label` names one that is not part of the split."""

    index: int = 0
    count: int = 1
    label: str = ""

    @property
    def name(self) -> str:
        """As it stands in keys of the store."""
        return self.label or str(self.index)

    def takes(self, key: str) -> bool:
        """Whether a job or target with this key is this shard's."""
        return self.count > 0 and (self.count == 1 or hashmod(key, self.count) == self.index)

    def others(self, keys: Iterable[str]) -> list[int]:
        """The other shards that take jobs or targets with these keys."""
        return sorted({hashmod(key, self.count) for key in keys} - {self.index}) if self.count > 1 else []

    def __str__(self) -> str:
        return self.label or f"{self.index}/{self.count}"


WHOLE = Shard()
"""All of it, where nothing is split."""

OPERATOR = Shard(0, 0, "operator")
"""What people push by hand: no job of the schedule, a spool of its own."""


@dataclass(frozen=True, slots=True)
class ShardAssignment:
    """What an invocation does: the shards that it runs, and what people should know about the split."""

    shards: Sequence[Shard]
    notes: Sequence[str] = ()


class _Damaged(StoreError):
    """The object is there, and says nothing."""


@dataclass(frozen=True, slots=True)
class ReshardPlan:
    """The split in force. `next_count` may follow it at the tick `from_ms`, when nothing waits then; `before` was the
    split of the ticks before `since_ms`."""

    count: Annotated[int, msgspec.Meta(ge=1, le=MAX_SHARDS)]
    next_count: Annotated[int, msgspec.Meta(ge=0, le=MAX_SHARDS)] = 0
    from_ms: int = 0
    before: Annotated[int, msgspec.Meta(ge=0, le=MAX_SHARDS)] = 0
    since_ms: int = 0

    def at(self, time_ms: int) -> int:
        return self.before if self.before and time_ms < self.since_ms else self.count

    def encoded(self) -> bytes:
        return json.dumps(asdict(self)).encode()


class Resharding:
    """The split as this environment knows it, kept in `store` (None: the split is what is wanted)."""

    def __init__(self, store: Store | None, tick_ms: int, *, is_fixed: bool = False) -> None:
        """`is_fixed` says that this environment ends when another number of shards is wanted."""
        self._store, self._tick_ms, self._is_fixed = store, tick_ms, is_fixed
        self._known: ReshardPlan | None = None
        self._etag = ""
        self._waiting: list[str] = []  # endpoints of which something waits
        self._is_one = False  # there is one shard, and no more are to come: no need to look again

    def turn(self, index: int | None, wanted: int, scheduled_ms: int, deadline: float) -> ShardAssignment:
        """What shard `index` (None: all of them) of `wanted` ones does at a tick. `deadline` is monotonic seconds."""
        if self._store is None or (self._is_one and wanted == 1):
            return ShardAssignment(_shards(index, wanted, wanted))
        problem = ""
        try:
            agreed = self._agreed(self._store, wanted, scheduled_ms, deadline)
        except StoreError as error:
            agreed = self._guess(wanted, scheduled_ms, is_damaged=isinstance(error, _Damaged))
            count = agreed.at(scheduled_ms)
            problem = f"the number of shards in force is not known, {count} is assumed: {error}"
        count = agreed.at(scheduled_ms)
        self._is_one = self._is_fixed and count == wanted == 1 and not agreed.next_count and not problem
        notes = [one for one in (problem, _note(agreed, count, wanted, self._waiting)) if one]
        return ShardAssignment(_shards(index, wanted, count), notes)

    def _guess(self, wanted: int, scheduled_ms: int, *, is_damaged: bool) -> ReshardPlan:
        """What the others most likely do, who can read the object, or cannot read it either."""
        known = self._known
        if known is None or is_damaged:
            return ReshardPlan(wanted)
        is_time = known.next_count and scheduled_ms >= known.from_ms
        return ReshardPlan(known.next_count) if is_time else known

    def _agreed(self, store: Store, wanted: int, scheduled_ms: int, deadline: float) -> ReshardPlan:
        """What all shards agree on at this tick: the first one decides. Raises StoreError."""
        agreed = self._read(store, wanted, deadline)
        for _ in range(_TRIES):
            decision = _decided(agreed, wanted, scheduled_ms, self._tick_ms, lambda: self._is_waiting(store, deadline))
            if decision == agreed or self._write(store, decision, deadline):
                return decision
            agreed = self._read(store, wanted, deadline)
        return agreed

    def _is_waiting(self, store: Store, deadline: float) -> bool:
        self._waiting = waiting(store, deadline)
        return bool(self._waiting)

    def _read(self, store: Store, wanted: int, deadline: float) -> ReshardPlan:
        try:
            return self._get(store, deadline)
        except NotStored:
            return self._first(store, wanted, deadline)

    def _get(self, store: Store, deadline: float) -> ReshardPlan:
        """Raises NotStored, too."""
        found = store.get(KEY, deadline, self._etag if self._known else "")
        if found is not None:
            self._known, self._etag = _decoded(found.content), found.etag
        if self._known is None:
            raise StoreError(f"{KEY} cannot be read")
        return self._known

    def _first(self, store: Store, wanted: int, deadline: float) -> ReshardPlan:
        """Where there is no plan yet: there was one shard, unless nothing has run here before."""
        self._known, self._etag = None, ""
        if wanted == 1:
            return ReshardPlan(1)
        is_new = not store.list("state/", deadline, 1) and not waiting(store, deadline)
        first = ReshardPlan(wanted if is_new else 1)  # another shard may have written its own
        return first if self._write(store, first, deadline) else self._get(store, deadline)

    def _write(self, store: Store, agreed: ReshardPlan, deadline: float) -> bool:
        """False when another shard was faster."""
        try:
            self._etag = store.put(KEY, agreed.encoded(), deadline, self._etag)
        except Changed:
            return False
        self._known = agreed
        return True


def _decided(
    agreed: ReshardPlan, wanted: int, scheduled_ms: int, tick_ms: int, is_waiting: Callable[[], bool]
) -> ReshardPlan:
    """What becomes of an agreement at a tick."""
    count = agreed.at(scheduled_ms)
    if agreed.next_count and scheduled_ms >= agreed.from_ms:  # the tick of the change
        if agreed.next_count != wanted or is_waiting():
            return ReshardPlan(agreed.count)
        return ReshardPlan(agreed.next_count, before=agreed.count, since_ms=scheduled_ms)
    if scheduled_ms < agreed.since_ms or (count == wanted and not agreed.next_count):
        return agreed
    if count == wanted or is_waiting():  # the change is not wanted any more, or not possible
        return ReshardPlan(agreed.count) if agreed.next_count else agreed
    if agreed.next_count == wanted:
        return agreed
    return ReshardPlan(agreed.count, wanted, scheduled_ms + _TICKS_AHEAD * tick_ms)


def _note(agreed: ReshardPlan, count: int, wanted: int, waits: Sequence[str]) -> str:
    if count == wanted:
        return ""
    if agreed.next_count == wanted:
        return (
            f"two ticks after this was agreed there will be {wanted} shards instead of {count}, if nothing waits then"
        )
    of_whom = f" (of {', '.join(waits)})" if waits else ""
    return f"the split into {count} shards stays until nothing waits in the spool{of_whom}; {wanted} are wanted"


def _shards(index: int | None, wanted: int, count: int) -> list[Shard]:
    """The shards of a split into `count` that are the turn of shard `index` of `wanted`: while an old split stays, the
    ones that have no schedule any more go to those that have one."""
    turns = range(wanted) if index is None else [index]
    return [Shard(one, count) for turn in turns for one in range(turn, count, wanted)]


def waiting(store: Store, deadline: float) -> list[str]:
    """The endpoints of which anything waits in the spool, in any shard. What people have pushed by hand does not count.
    Raises StoreError."""
    found = []
    for endpoint in store.folders("spool/", deadline):
        shards = store.folders(f"spool/{endpoint}", deadline)
        if any(shard.rstrip("/").isdigit() for shard in shards):
            found.append(unquote(endpoint.rstrip("/")))
    return found


def _decoded(content: bytes) -> ReshardPlan:
    """Raises StoreError."""
    try:
        return msgspec.json.decode(content, type=ReshardPlan)
    except ValueError as error:  # msgspec's own are such errors, too
        raise _Damaged(f"{KEY} cannot be read: {error}; delete it when nothing waits") from None
