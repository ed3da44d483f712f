"""Checkpoints in the state store: written with every finished part, read by the invocation that continues."""

from __future__ import annotations

import secrets
import time
from dataclasses import replace

from ..config.schema import Config
from ..store import Changed, NotStored, Store, StoreError
from .checkpoint import BadCheckpoint, Checkpoint, decoded, fingerprint
from .request import BadRequest, Request
from .source import Mark

_PREFIX = "state/backfill/"
_SECONDS = 5.0
_SPARE_SECONDS = 2.0  # after the deadline: the next invocation must know what is finished


class ConcurrentRun(Exception):
    """Another invocation works on this backfill. The message says what to do."""


class CheckpointStore:
    """Saves checkpoints in `store` until `deadline` (monotonic seconds). Without a store only the answer has them."""

    def __init__(self, store: Store | None, deadline: float) -> None:
        self._store, self._deadline = store, deadline
        self._etag: str | None = None  # of what this invocation has written
        self.warning = ""

    def save(self, checkpoint: Checkpoint) -> None:
        """A failure of the store is a warning, because the answer has the checkpoint too. The first write takes the
        backfill over. Raises ConcurrentRun when another invocation has taken it over since."""
        if self._store is None:
            return
        try:
            until = min(time.monotonic() + _SECONDS, self._deadline + _SPARE_SECONDS)
            self._etag = self._store.put(_PREFIX + checkpoint.id, checkpoint.encoded(), until, self._etag)
        except Changed:
            raise ConcurrentRun("another invocation of this backfill is at work: wait for its answer") from None
        except StoreError as error:
            self._etag = None  # it may have been written
            self.warning = f"the checkpoint cannot be stored, only the answer's resume has it: {error}"


def start(request: Request, config: Config, store: Store | None, deadline: float) -> Checkpoint:
    """A new backfill. It restores the windows that a killed one of the same request has left wide."""
    fresh = Checkpoint(request, fingerprint(config, request.job), Mark(), secrets.token_hex(4))
    try:
        widened = _load(store, fresh, deadline).widened_from if store is not None and request.widen else {}
    except (StoreError, BadCheckpoint):
        widened = {}
    return replace(fresh, widened_from=widened)


def resume_stored(request: Request, config: Config, store: Store | None, deadline: float) -> Checkpoint:
    """The checkpoint of the same request in the state store; a new one when there is none. Raises BadRequest."""
    if store is None:
        raise BadRequest("resume: nothing is stored without a spool: give the answer's resume, or set spool.location")
    try:
        found = _load(store, Checkpoint(request, fingerprint(config, request.job), Mark()), deadline)
    except NotStored:
        return start(request, config, store, deadline)
    except (StoreError, BadCheckpoint) as error:
        raise BadRequest(f"resume: {error}") from None
    # Relative times keep the meaning that they had at the start.
    same = replace(request, start_ms=found.request.start_ms, end_ms=found.request.end_ms)
    return replace(found, request=same).resumed()


def resume_checkpoint(given: Checkpoint, config: Config, store: Store | None, deadline: float) -> Checkpoint:
    """The given checkpoint, or a later one that a killed invocation has stored. Raises BadRequest."""
    if given.config != fingerprint(config, given.request.job):
        about = "what the job's records mean, relabelling, endpoints, external labels"
        raise BadRequest(f"resume: it was made under another config ({about}): start again without resume")
    try:
        found = _load(store, given, deadline) if store is not None else given
    except (StoreError, BadCheckpoint):
        return given
    if found.run != given.run or given.position > found.position:
        return given
    return replace(found, request=given.request).resumed()


def _load(store: Store, checkpoint: Checkpoint, deadline: float) -> Checkpoint:
    """Raises StoreError and BadCheckpoint."""
    found = store.get(_PREFIX + checkpoint.id, deadline)
    return decoded(found.content if found else b"")
