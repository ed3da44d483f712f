"""How far a backfill has come, in the state store: written with every part that is done, read by whoever goes on."""

from __future__ import annotations

import secrets
import time
from dataclasses import replace

from ..config.schema import Config
from ..store import Changed, NotStored, Store, StoreError
from .checkpoint import BadToken, Checkpoint, decoded, fingerprint
from .request import BadRequest, Request
from .source import Mark

_PREFIX = "state/backfill/"
_SECONDS = 5.0
_SPARE_SECONDS = 2.0  # after the deadline: what is done must be known to the next invocation


class ConcurrentRun(Exception):
    """Another invocation has taken the backfill over. The message says what to do."""


class Keeper:
    """Keeps progress in `store` until `deadline` (monotonic seconds). Without a store the token is all there is."""

    def __init__(self, store: Store | None, deadline: float) -> None:
        self._store, self._deadline = store, deadline
        self._etag: str | None = None  # of what this invocation has written
        self.warning = ""

    def keep(self, checkpoint: Checkpoint) -> None:
        """A store that fails is a warning: the answer's token says the same. The first write takes the backfill over;
        raises AnotherAtWork when another invocation has done that since."""
        if self._store is None:
            return
        try:
            until = min(time.monotonic() + _SECONDS, self._deadline + _SPARE_SECONDS)
            self._etag = self._store.put(_PREFIX + checkpoint.id, checkpoint.encoded(), until, self._etag)
        except Changed:
            raise ConcurrentRun("another invocation of this backfill is at work: wait for its answer") from None
        except StoreError as error:
            self._etag = None  # nobody knows whether it was written
            self.warning = f"the progress cannot be kept, only the answer's token has it: {error}"


def begin(request: Request, config: Config, store: Store | None, deadline: float) -> Checkpoint:
    """A new backfill. Windows that a killed one of the same request has left wide come back with it."""
    fresh = Checkpoint(request, fingerprint(config, request.job), Mark(), secrets.token_hex(4))
    try:
        left = _kept(store, fresh, deadline).widened_from if store is not None and request.widen else {}
    except (StoreError, BadToken):
        left = {}
    return replace(fresh, widened_from=left)


def begin_again(request: Request, config: Config, store: Store | None, deadline: float) -> Checkpoint:
    """One that goes on from what the state store has of the same request; a new one when it has nothing yet. Raises
    BadRequest."""
    if store is None:
        raise BadRequest("resume: nothing is kept without a spool: give the token of the answer, or set spool.location")
    try:
        kept = _kept(store, Checkpoint(request, fingerprint(config, request.job), Mark()), deadline)
    except NotStored:
        return begin(request, config, store, deadline)
    except (StoreError, BadToken) as error:
        raise BadRequest(f"resume: {error}") from None
    # Relative times mean what they meant when it was begun.
    same = replace(request, start_ms=kept.request.start_ms, end_ms=kept.request.end_ms)
    return replace(kept, request=same).taken_up()


def go_on(given: Checkpoint, config: Config, store: Store | None, deadline: float) -> Checkpoint:
    """A token's progress, or what a killed invocation has done after it. Raises BadRequest."""
    if given.config != fingerprint(config, given.request.job):
        detail = (
            "it was made under another config (what the job's records mean, relabelling, endpoints, external labels)"
        )
        raise BadRequest(f"resume: {detail}: start again without resume")
    try:
        kept = _kept(store, given, deadline) if store is not None else given
    except (StoreError, BadToken):
        return given
    if kept.run != given.run or given.position > kept.position:
        return given
    return replace(kept, request=given.request).taken_up()


def _kept(store: Store, checkpoint: Checkpoint, deadline: float) -> Checkpoint:
    """Raises StoreError and BadToken."""
    found = store.get(_PREFIX + checkpoint.id, deadline)
    return decoded(found.content if found else b"")
