"""Growing past one function: JSON jobs and targets split by hash, one invocation for each shard.

A shard has its own spool prefix and state. What waits in a prefix is older than anything that is sent now, so that a
series must not move to another shard while its old one has a backlog: the number of shards changes only when nothing
waits anywhere, and at a tick that all shards know beforehand. Until then the old split stays.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass, field

from .store import Changed, NotStored, Store, StoreError

KEY = "state/split"
_TICKS_AHEAD = 2  # the next tick looks again whether something waits, the one after it is the first of the new split
_MAX_SHARDS = 100


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

    def __str__(self) -> str:
        return self.label or f"{self.index}/{self.count}"


WHOLE = Shard()
"""All of it, where nothing is split."""

OPERATOR = Shard(0, 0, "operator")
"""What people push by hand: no job of the schedule, a spool of its own."""


def hashmod(key: str, modulus: int) -> int:
    """As relabelling does it: the last eight bytes of the MD5, modulo (Prometheus model/relabel, Hashmod)."""
    digest = hashlib.md5(key.encode("utf-8", "surrogatepass"), usedforsecurity=False).digest()
    return int.from_bytes(digest[8:], "big") % modulus


@dataclass(frozen=True, slots=True)
class Turn:
    """What an invocation does: the shards that it runs, and what people should know about the split."""

    shards: Sequence[Shard]
    notes: Sequence[str] = ()


@dataclass(frozen=True, slots=True)
class _Agreed:
    """The split in force, and the one from `from_ms` on, when one is agreed upon."""

    count: int
    next_count: int = 0
    from_ms: int = 0

    def at(self, time_ms: int) -> int:
        return self.next_count if self.next_count and time_ms >= self.from_ms else self.count

    def encoded(self) -> bytes:
        return json.dumps({"count": self.count, "next": self.next_count, "from_ms": self.from_ms}).encode()


@dataclass(slots=True)
class Split:
    """The split as this environment knows it, kept in `store` (None: the split is what is wanted)."""

    store: Store | None
    tick_ms: int
    _settled: int = 0  # a split that was found in force, with none to come: nobody has to look again
    _etag: str | None = field(default=None)

    def turn(self, index: int | None, wanted: int, scheduled_ms: int, deadline: float) -> Turn:
        """What shard `index` (None: all of them) of `wanted` ones does at a tick. `deadline` is monotonic seconds."""
        if self.store is None or self._settled == wanted:
            return Turn(_shards(index, wanted, wanted))
        try:
            agreed = self._agreed(self.store, wanted, deadline)
            return self._turn(self.store, agreed, index, wanted, scheduled_ms, deadline)
        except StoreError as error:
            said = f"nobody knows which split is in force, {wanted} is taken for it: {error}"
            return Turn(_shards(index, wanted, wanted), [said])

    def _turn(
        self, store: Store, agreed: _Agreed, index: int | None, wanted: int, scheduled_ms: int, deadline: float
    ) -> Turn:
        count = agreed.at(scheduled_ms)
        if count == wanted:
            if agreed.next_count and index in (0, None):
                self._write(store, _Agreed(wanted), deadline)
            elif not agreed.next_count:
                self._settled = wanted
            return Turn(_shards(index, wanted, wanted))
        note = self._prepare(store, agreed, wanted, scheduled_ms, deadline) if index in (0, None) else ""
        said = f"the split into {count} shards stays until nothing waits in the spool; {wanted} are wanted"
        return Turn(_shards(index, wanted, count), [note or said])

    def _prepare(self, store: Store, agreed: _Agreed, wanted: int, scheduled_ms: int, deadline: float) -> str:
        """Agrees upon the new split when nothing waits, and takes that back when something waits again."""
        count, is_empty = agreed.at(scheduled_ms), not waiting(store, deadline)
        if agreed.next_count == wanted and agreed.at(scheduled_ms) != wanted:
            if is_empty:
                return f"from the next tick on there are {wanted} shards"
            self._write(store, _Agreed(count), deadline)
            return ""
        if not is_empty:
            return ""
        from_ms = scheduled_ms + _TICKS_AHEAD * self.tick_ms
        self._write(store, _Agreed(count, wanted, from_ms), deadline)
        return f"in {_TICKS_AHEAD} ticks there will be {wanted} shards instead of {count}"

    def _agreed(self, store: Store, wanted: int, deadline: float) -> _Agreed:
        try:
            found = store.get(KEY, deadline)
        except NotStored:
            return self._first(store, wanted, deadline)
        self._etag = found.etag if found else None
        return _decoded(found.content if found else b"")

    def _first(self, store: Store, wanted: int, deadline: float) -> _Agreed:
        """Where nobody has split anything: there was one shard, unless nothing has run here before."""
        if wanted == 1:
            return _Agreed(1)
        is_new = not store.list("state/", deadline, 1) and not waiting(store, deadline)
        self._etag = ""
        first = _Agreed(wanted if is_new else 1)
        self._write(store, first, deadline)
        return first

    def _write(self, store: Store, agreed: _Agreed, deadline: float) -> None:
        try:
            self._etag = store.put(KEY, agreed.encoded(), deadline, self._etag)
        except Changed:  # another shard was faster: the next tick sees what it has written
            self._etag = None


def _shards(index: int | None, wanted: int, count: int) -> list[Shard]:
    """The shards of a split into `count` that are the turn of shard `index` of `wanted`: while an old split stays, the
    ones that have no schedule any more go to those that have one."""
    turns = range(wanted) if index is None else [index]
    return [Shard(one, count) for turn in turns for one in range(turn, count, wanted)]


def waiting(store: Store, deadline: float) -> bool:
    """Whether anything of the split waits in the spool. Raises StoreError."""
    return any(_is_of_split(key) for key in store.list("spool/", deadline))


def _is_of_split(key: str) -> bool:
    parts = key.split("/")
    return len(parts) > 2 and parts[2].isdigit()


def _decoded(content: bytes) -> _Agreed:
    """Raises StoreError."""
    try:
        found = json.loads(content)
        agreed = _Agreed(int(found["count"]), int(found["next"]), int(found["from_ms"]))
    except (ValueError, TypeError, KeyError) as error:
        raise StoreError(f"{KEY} cannot be read ({type(error).__name__}); delete it when nothing waits") from None
    if not 1 <= agreed.count <= _MAX_SHARDS or not 0 <= agreed.next_count <= _MAX_SHARDS:
        raise StoreError(f"{KEY} names {agreed.count} and {agreed.next_count} shards, which cannot be")
    return agreed
