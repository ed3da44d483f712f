"""What a shard's runs tell each other, in one small object of the store: which endpoint has a backlog, how far each job
has come, which jobs are down, which version of the config was the last good one.

It is read at the start of every run, while the sources are scraped, and written only when something but the clock has
changed, or every ten minutes. There is no lock: a write that finds another writer's object takes that over first.
"""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Collection
from dataclasses import asdict, dataclass, field
from functools import partial

import msgspec

from ..deadline import Call, DeadlineExceeded
from ..model.scrape import HighWaterMark
from ..store import Changed, NotStored, Object, Store, StoreError

_HEARTBEAT_MS = 600_000
_FORGET_MS = 86_400_000  # a job that has left the config, and has not come back for a day
_TRIES = 3
_SPARE_SECONDS = 0.1
_PAUSE_SECONDS = 0.2  # after a reading that failed, and twice as long after each more
_ELSEWHERE_SECONDS = 3.0
_MAX_PROBLEM_CHARACTERS = 300


@dataclass(frozen=True, slots=True)
class Unread:
    """An entry that runs could not read: since when, and the fingerprint of the damaged bytes that they got ("" for
    none)."""

    since_ms: int
    fingerprint: str = ""


@dataclass(slots=True)
class Facts:
    """The content of the state object. `backlog` has the newest entry's key for each endpoint that has any, `unread`
    the entries that could not be read, by key; `problems` say of jobs that are down, or have a failed metric, why."""

    backlog: dict[str, str]
    jobs: dict[str, HighWaterMark]
    config_version: str
    written_ms: int
    problems: dict[str, str] = field(default_factory=dict)  # an older version has written neither
    unread: dict[str, Unread] = field(default_factory=dict)

    def encoded(self) -> bytes:
        return json.dumps(asdict(self), separators=(",", ":"), sort_keys=True).encode()


def decoded(content: bytes) -> Facts:
    """Raises ValueError for anything that is no state object."""
    try:
        return msgspec.convert(json.loads(content), Facts)
    except msgspec.ValidationError as error:
        raise ValueError(f"{type(error).__name__}: {error}") from None


class State:
    """The state object as this environment knows it. Safe for several threads; deadlines are monotonic seconds."""

    def __init__(self, store: Store | None, shard: str, now_ms: Callable[[], int]) -> None:
        """Without a store this is the memory of one environment, and nothing else."""
        self._store, self._key, self._now_ms = store, f"state/{shard}", now_ms
        self.facts = Facts({}, {}, "", 0)
        self.is_known = False  # it was read, or is known to be missing
        self.problem = ""  # why this run acts on memory alone
        self._etag: str | None = None  # "" when there is no object; None before the first look
        self._is_changed = False
        self._cleared: dict[str, str] = {}  # endpoint -> the newest entry that was drained since the last write
        self._new_problems: dict[str, str] = {}  # job -> its problem as it was found since the last write
        self._elsewhere: dict[str, HighWaterMark] | None = None  # what other shards' objects say
        self._lock = threading.RLock()
        self._reading: tuple[Call[Object | None], float] | None = None  # and its deadline

    # reading

    def start_reading(self, deadline: float) -> None:
        """Reads in the background; `await_read` takes over what came."""
        self.problem = ""
        if self._store is None:
            return
        etag = self._etag or "" if self.is_known else ""  # what was not understood is read in full again
        read = partial(_read_patiently, self._store, self._key, etag, deadline, not self.is_known)
        self._reading = Call(read), deadline

    def await_read(self) -> None:
        """Waits for the reading that was started. An object that cannot be read leaves memory in force."""
        with self._lock:
            reading, self._reading = self._reading, None
            if reading is None:
                return
            try:
                call, deadline = reading
                self._take_over(call.result(deadline + _SPARE_SECONDS))
            except DeadlineExceeded:
                self.problem = "the state object cannot be read, this run acts on memory: no answer in time"
            except (StoreError, ValueError) as error:
                self.problem = f"the state object cannot be read, this run acts on memory: {error}"

    def _take_over(self, found: Object | None) -> None:
        """Another writer's facts join those of this environment. Raises ValueError."""
        self.is_known = True
        if found is None:  # unchanged, or missing
            self._etag = self._etag or ""
            return
        self._etag = found.etag
        if not found.etag:  # there is none
            return
        try:
            theirs = decoded(found.content)
        except ValueError:
            self.is_known = False
            raise
        ours, self.facts = self.facts, theirs
        for endpoint, drained in self._cleared.items():
            if theirs.backlog.get(endpoint, "") <= drained:
                theirs.backlog.pop(endpoint, None)
        if self._is_changed:
            for endpoint, key in ours.backlog.items():
                theirs.backlog[endpoint] = max(key, theirs.backlog.get(endpoint, ""))
            theirs.config_version = ours.config_version or theirs.config_version
            theirs.unread |= ours.unread
        for job, mark in ours.jobs.items():
            theirs.jobs[job] = mark.merged(theirs.jobs[job]) if job in theirs.jobs else mark
        for job, problem in self._new_problems.items():
            self._record_problem(theirs, job, problem)

    # changing

    def has_backlog(self, endpoint: str) -> bool:
        with self._lock:
            return bool(self.facts.backlog.get(endpoint))

    def will_spool(self, endpoint: str, key: str, deadline: float) -> None:
        """Says that an endpoint has a backlog, before its entry is written, so that the next run looks for it. If the
        object cannot be written, that is no reason to lose the entry."""
        with self._lock:
            if self.facts.backlog.get(endpoint, "") >= key:
                return
            was_known = self.has_backlog(endpoint)
            self.facts.backlog[endpoint] = key
            self._cleared.pop(endpoint, None)
            self._is_changed = True
            if not was_known:
                self.save(deadline)

    def is_drained(self, endpoint: str, newest_key: str) -> None:
        """Nothing waits for an endpoint any more, up to and with this entry and the one that was known."""
        with self._lock:
            known = self.facts.backlog.get(endpoint)
            if known is not None:
                del self.facts.backlog[endpoint]
                self._cleared[endpoint] = max(newest_key, known)
                self._is_changed = True

    def unread(self, key: str) -> Unread | None:
        """What earlier runs have noted of an entry that they could not read."""
        with self._lock:
            return self.facts.unread.get(key)

    def note_unread(self, key: str, unread: Unread) -> None:
        with self._lock:
            if self.facts.unread.get(key) != unread:
                self.facts.unread[key] = unread
                self._is_changed = True

    def forget_unread(self, is_over: Callable[[str], bool]) -> None:
        """Forgets entries, by key, that were read meanwhile, or are gone."""
        with self._lock:
            for key in list(filter(is_over, self.facts.unread)):
                del self.facts.unread[key]
                self._is_changed = True

    def mark_of(self, job: str) -> HighWaterMark | None:
        """How far a job has come, as far as it is known: also by the shard that had it before the split changed."""
        self.await_read()
        with self._lock:
            return self.facts.jobs.get(job) or self._marks_elsewhere().get(job)

    def _marks_elsewhere(self) -> dict[str, HighWaterMark]:
        """The marks in the objects of other shards. They are read once, for a job that this one does not know; a store
        that has failed already is not read again."""
        if not self.is_known:
            return {}
        if self._elsewhere is None:
            self._elsewhere = {}
            try:
                self._read_elsewhere(self._elsewhere, time.monotonic() + _ELSEWHERE_SECONDS)
            except (StoreError, ValueError) as error:
                self.problem = f"how far jobs had come in other shards is not known: {error}"
        return self._elsewhere

    def _read_elsewhere(self, marks: dict[str, HighWaterMark], deadline: float) -> None:
        keys = self._store.list("state/", deadline) if self._store is not None else []
        for key in keys:
            if key == self._key or not key.removeprefix("state/").isdigit() or self._store is None:
                continue
            found = _read(self._store, key, "", deadline)
            for job, mark in decoded(found.content).jobs.items() if found and found.etag else ():
                marks[job] = mark.merged(marks[job]) if job in marks else mark

    def mark(self, job: str, mark: HighWaterMark, *, is_exact: bool) -> None:
        """How far a job has come. Marks that must be exact are written with this run, others with the next write."""
        with self._lock:
            known = self.facts.jobs.get(job)
            self.facts.jobs[job] = mark.merged(known) if known else mark
            self._is_changed = self._is_changed or (is_exact and known != self.facts.jobs[job])

    def set_problem(self, job: str, problem: str) -> None:
        """What is wrong with a job, "" when it is well. Only the change from one to the other is worth a write."""
        with self._lock:
            self._new_problems[job] = problem
            self._record_problem(self.facts, job, problem)

    def _record_problem(self, facts: Facts, job: str, problem: str) -> None:
        self._is_changed = self._is_changed or (job in facts.problems) != bool(problem)
        if problem:
            facts.problems[job] = problem[:_MAX_PROBLEM_CHARACTERS]
        else:
            facts.problems.pop(job, None)

    def problems(self) -> dict[str, str]:
        """Job -> what is wrong with it, as this or another environment found it."""
        with self._lock:
            return dict(self.facts.problems)

    def is_well_in(self, shard: str, job: str, deadline: float) -> bool:
        """Whether the state object of another shard does not call a job down; False when that is not known."""
        if self._store is None:
            return False
        try:
            found = _read(self._store, f"state/{shard}", "", deadline)
            return found is not None and bool(found.etag) and job not in decoded(found.content).problems
        except (StoreError, ValueError):
            return False

    def use_config(self, version: str) -> None:
        with self._lock:
            if version and version != self.facts.config_version:
                self.facts.config_version = version
                self._is_changed = True

    # writing

    @property
    def is_heartbeat_due(self) -> bool:
        return abs(self._now_ms() - self.facts.written_ms) >= _HEARTBEAT_MS

    def save(self, deadline: float, jobs: Collection[str] = ()) -> None:
        """Writes what has changed, over what another writer has written meanwhile. `jobs` are those of the config."""
        with self._lock:
            if self._reading is not None:
                self.await_read()
            if self._store is None or not (self._is_changed or self.is_heartbeat_due):
                self._new_problems = self._new_problems if self.problem else {}  # the object says the same
                return
            self._forget_jobs(jobs)
            try:
                self._write(self._store, deadline)
            except (StoreError, ValueError) as error:
                self.problem = f"the state object cannot be written: {error}"

    def _write(self, store: Store, deadline: float) -> None:
        if self._etag is None:  # it has not been read yet: others may have written it
            self._take_over(_read(store, self._key, "", deadline))
        for _ in range(_TRIES):
            self.facts.written_ms = self._now_ms()
            try:
                self._etag = store.put(self._key, self.facts.encoded(), deadline, self._etag)
                self._is_changed, self._cleared, self._new_problems, self.is_known = False, {}, {}, True
                return
            except Changed:  # another writer was faster
                self._take_over(_read(store, self._key, "", deadline))
        raise Changed(f"{store.place}/{self._key}: other runs write it all the time")

    def _forget_jobs(self, jobs: Collection[str]) -> None:
        oldest_ms = self._now_ms() - _FORGET_MS
        known = self.facts.jobs
        if jobs:
            self.facts.jobs = {job: mark for job, mark in known.items() if job in jobs or mark.scraped_ms > oldest_ms}
            self.facts.problems = {job: why for job, why in self.facts.problems.items() if job in jobs}


def _read_patiently(store: Store, key: str, etag: str, deadline: float, is_patient: bool) -> Object | None:
    """Reads the object; a patient reading retries a store that fails until the deadline: an environment that knows
    nothing yet needs the answer."""
    pause = _PAUSE_SECONDS
    while True:
        try:
            return _read(store, key, etag, deadline)
        except StoreError:
            if not is_patient or time.monotonic() + pause >= deadline:
                raise
        time.sleep(pause)
        pause *= 2


def _read(store: Store, key: str, etag: str, deadline: float) -> Object | None:
    """The object; None when it is unchanged, one without ETag when there is none. What is no state object is read
    again: it may be written over only when every reading gives the same bytes."""
    first = _get(store, key, etag, deadline)
    if _is_understood(first):
        return first
    for _ in range(_TRIES - 1):
        if time.monotonic() + _PAUSE_SECONDS >= deadline:
            raise StoreError(f"{store.place}/{key}: it is no state object, and there is no time to read it again")
        time.sleep(_PAUSE_SECONDS)
        again = _get(store, key, etag, deadline)
        if _is_understood(again):
            return again
        if again != first:
            raise StoreError(f"{store.place}/{key}: the store does not give the same bytes each time")
    return first


def _get(store: Store, key: str, etag: str, deadline: float) -> Object | None:
    try:
        found = store.get(key, deadline, etag)
    except NotStored:
        return Object(b"", "")
    if found is not None and not found.etag:
        raise StoreError(f"{store.place}/{key}: an answer without an ETag")
    return found


def _is_understood(found: Object | None) -> bool:
    try:
        return found is None or not found.etag or bool(decoded(found.content))
    except ValueError:
        return False
