"""Keeps undelivered requests in order until they can be delivered: a write-ahead log in a store.

    spool/<endpoint>/<shard>/<start of the run, 13 digits of milliseconds>-<run id>     sent first, oldest first
    dead/<endpoint>/<shard>/<the same>                                                  dead letters: never sent again

An entry is removed only after each of its requests was accepted, rejected for good, or stored under dead/.
"""

from __future__ import annotations

import contextlib
import hashlib
import itertools
import time
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from typing import TypeVar
from urllib.parse import quote, unquote

from ..model.delivery import PendingRequest
from ..store import MAX_BYTES, MAX_LISTED, Changed, Keys, NotStored, Object, Store, StoreError, md5_etag
from . import entry as entries
from .entry import Entry, UnreadableEntry

SPOOL, DEAD = "spool", "dead"
ALL_SHARDS = ""  # for inspecting the spool, not for writing to it
_TRIES = 3
_PAUSE_SECONDS = 0.2
_CHECK_SHARE = 1 / 8  # of the time for a write: reserved to check whether it was done, when no answer came
_READS = 3  # of unreadable bytes, before a run treats the entry as damaged
_ASIDE = ".unreadable"

Result = TypeVar("Result")


@dataclass(frozen=True, slots=True)
class RunId:
    """One run of the function: its start in milliseconds and a unique id."""

    started_ms: int
    id: str

    @property
    def name(self) -> str:
        return f"{self.started_ms:013d}-{self.id}"


@dataclass(frozen=True, slots=True)
class Stored:
    """An entry as stored, with its key and ETag."""

    key: str
    etag: str
    entry: Entry


class Damaged(UnreadableEntry):
    """Every read returned the same unreadable bytes with the store's ETag. Only another run can tell whether they are
    damaged in the store or on the way from it."""

    def __init__(self, key: str, found: Object, problem: str) -> None:
        super().__init__(problem)
        self.key, self.found = key, found

    @property
    def fingerprint(self) -> str:
        """The same for the same bytes of the same object."""
        return f"{self.found.etag} {hashlib.sha256(self.found.content).hexdigest()}"

    @property
    def samples(self) -> int | None:
        """The count in its header; None when that is damaged too."""
        return entries.counted_samples(self.found.content)


class Spool:
    """The entries of one shard (or of ALL_SHARDS, shard by shard) for every endpoint. Deadlines are monotonic seconds.
    Every method retries and then raises StoreError. Thread-safe."""

    def __init__(self, store: Store, shard: str = "0", sleep: Callable[[float], None] = time.sleep) -> None:
        self.store, self.shard, self._sleep = store, shard, sleep

    def keys(self, endpoint: str, deadline: float, part: str = SPOOL) -> Keys:
        """An endpoint's entries, oldest first, MAX_LISTED at most."""
        return self._retry(lambda until: self.store.list(self._folder(part, endpoint), until, MAX_LISTED), deadline)

    def load(self, key: str, deadline: float) -> Stored:
        """Raises NotStored when the entry is gone. Unreadable bytes are read again, because they may have been damaged
        on the way: raises Damaged if each read returns the same bytes, else StoreError."""
        place, problem, reads = f"{self.store.place}/{key}", "", list[Object]()
        while len(reads) < (1 if key.endswith(_ASIDE) else _READS):  # what was set aside is known to be damaged
            if reads and not self.wait(_PAUSE_SECONDS, deadline):
                raise StoreError(f"{place}: {problem}, and there is no time to read it again")
            found = self._read(key, deadline)
            try:
                return Stored(key, found.etag, entries.decode(found.content))
            except UnreadableEntry as error:
                problem = str(error)
            reads.append(found)
        if any(found != reads[0] for found in reads):
            raise StoreError(f"{place}: {problem}, and the store does not return the same bytes each time")
        raise Damaged(key, reads[0], problem)

    def _read(self, key: str, deadline: float) -> Object:
        found = self._retry(lambda until: self.store.get(key, until), deadline)
        if found is None:  # "unchanged" is possible only for a request with an ETag
            raise NotStored(f"{self.store.place}/{key}: it cannot be read")
        if not found.etag:
            raise StoreError(f"{self.store.place}/{key}: an answer without an ETag")
        return found

    def keep(self, entry: Entry, run: RunId, deadline: float) -> Stored:
        """Writes the entry of this run, over one that it has written before."""
        return self._write(self.key(entry.endpoint, run), entry, deadline, None)

    def replace(self, old: Stored, pending: Sequence[PendingRequest], deadline: float) -> Stored:
        """Replaces an entry by the requests left of it. Raises Changed when the entry is gone or was changed."""
        left = Entry(old.entry.endpoint, old.entry.started_ms, pending, old.entry.disjoint)
        return self._write(old.key, left, deadline, old.etag)

    def remove(self, old: Stored, deadline: float) -> bool:
        """False when another run has removed or changed the entry."""
        return self.remove_version(old.key, old.etag, deadline)

    def remove_version(self, key: str, etag: str, deadline: float) -> bool:
        """Removes an entry if its ETag still matches. False when it does not, or when the entry is gone."""
        tries = itertools.count()

        def delete(until: float) -> bool:
            is_again = next(tries) > 0
            return self.store.delete(key, until, etag) or (is_again and self._is_gone(key, until))

        return self._retry(delete, deadline)

    def delete(self, key: str, deadline: float) -> bool:
        """Deletes an entry without comparing ETags. False when there was none."""
        return self._retry(lambda until: self.store.delete(key, until), deadline)

    def set_aside(self, damaged: Damaged, deadline: float) -> str:
        """Moves a damaged entry under dead/ unchanged and returns its new key. The entry is removed only after the copy
        was checked and if its ETag still matches: raises Changed when another run was faster."""
        key, found = damaged.key, damaged.found
        if self._retry(lambda until: self.store.get(key, until, found.etag), deadline) is not None:
            raise StoreError(f"{self.store.place}/{key}: the store does not confirm the bytes that it returned")
        aside = f"{DEAD}/{key.partition('/')[2]}{_ASIDE}"
        etag = self._retry(lambda until: self.store.put(aside, found.content, until), deadline)
        if etag != found.etag and etag == md5_etag(found.content):  # this store derives ETags from the bytes
            self.remove_version(aside, etag, deadline)
            raise StoreError(f"{self.store.place}/{key}: the store holds other bytes than it returned")
        if self._read(aside, deadline).content != found.content:
            raise StoreError(f"{self.store.place}/{aside}: the copy is not what was written")
        if not self.remove_version(key, found.etag, deadline):
            raise Changed(f"{self.store.place}/{key}: another run was faster")
        return aside

    def write_dead_letters(
        self, endpoint: str, run: RunId, dead: Sequence[PendingRequest], deadline: float, source: str = ""
    ) -> str:
        """Stores requests that are never sent again, for inspection. `source` is the key of the entry that they come
        from, if it was another run's. Returns the key."""
        name = f"{source.rpartition('/')[2]}-" if source else ""
        key = f"{self._folder(DEAD, endpoint)}{name}{run.name}"
        self._write(key, Entry(endpoint, run.started_ms, dead), deadline, None)
        return key

    def key(self, endpoint: str, run: RunId) -> str:
        return f"{self._folder(SPOOL, endpoint)}{run.name}"

    def orphaned_entries(self, known: Collection[str], deadline: float, part: str = SPOOL) -> dict[str, int]:
        """How many entries this shard has for endpoints other than the `known` ones, by endpoint."""
        folders = self._retry(lambda until: self.store.folders(f"{part}/", until), deadline)
        names = [unquote(folder.rstrip("/")) for folder in folders]
        counts = {name: len(self.keys(name, deadline, part)) for name in names if name not in known}
        return {name: count for name, count in counts.items() if count}

    def _folder(self, part: str, endpoint: str) -> str:
        name = quote(endpoint, safe="")
        of_endpoint = f"{part}/{name if name.strip('.') else name.replace('.', '%2E')}/"
        return f"{of_endpoint}{self.shard}/" if self.shard else of_endpoint

    def _write(self, key: str, entry: Entry, deadline: float, expected: str | None) -> Stored:
        content = entries.encode(entry)
        if len(content) > MAX_BYTES:  # a larger one could not be read again
            raise StoreError(f"{self.store.place}/{key}: an entry of {len(content)} bytes; {MAX_BYTES} is the limit")
        return Stored(key, self._put(key, content, deadline, expected), entry)

    def _put(self, key: str, content: bytes, deadline: float, expected: str | None) -> str:
        """Returns the ETag. A write has failed only if a read afterwards does not find its content."""
        last = deadline - max(deadline - time.monotonic(), 0.0) * _CHECK_SHARE

        def put(until: float) -> str:
            try:
                return self.store.put(key, content, min(until, last), expected)
            except Changed:
                return self._etag_if_ours(key, content, until)

        try:
            return self._retry(put, deadline)
        except (NotStored, Changed):
            raise
        except StoreError as error:
            with contextlib.suppress(StoreError):
                return self._etag_if_ours(key, content, deadline)
            raise error from None

    # a write or a removal may have been done although its answer was lost

    def _etag_if_ours(self, key: str, content: bytes, deadline: float) -> str:
        """Raises Changed if the object is not what this run has written."""
        try:
            found = self.store.get(key, deadline)
        except NotStored:
            found = None
        if found is None or found.content != content:
            raise Changed(f"{self.store.place}/{key}: another run was faster")
        return found.etag

    def _is_gone(self, key: str, deadline: float) -> bool:
        try:
            self.store.get(key, deadline)
            return False
        except NotStored:
            return True

    def _retry(self, operation: Callable[[float], Result], deadline: float) -> Result:
        """Retries an operation when the store fails, each time with a share of the remaining time."""
        for tries_left in range(_TRIES, 0, -1):
            now = time.monotonic()
            try:
                return operation(now + max(deadline - now, 0.0) / min(tries_left, 2))
            except (NotStored, Changed):
                raise
            except StoreError:
                if tries_left == 1 or not self.wait(_PAUSE_SECONDS, deadline):
                    raise
        raise AssertionError("the last try has returned or raised")

    def wait(self, seconds: float, deadline: float) -> bool:
        """Waits for the store to recover. False, without waiting, when that would reach the deadline."""
        if time.monotonic() + seconds >= deadline:
            return False
        self._sleep(seconds)
        return True


def endpoint_of(key: str) -> str:
    """The endpoint of an entry, by its key."""
    return unquote(key.split("/")[1])


def started_ms_of(key: str) -> int:
    """The start of the run that wrote an entry, by its key; 0 for another key."""
    digits = key.rpartition("/")[2][:13]
    return int(digits) if digits.isascii() and digits.isdigit() else 0
