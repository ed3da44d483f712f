"""The action `backfill` of an event and of the command line. Its answer says what was done and how to continue."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from ..config.schema import Config
from .checkpoint import BadCheckpoint, Checkpoint, from_text
from .checkpoint_store import resume_checkpoint, resume_stored, start
from .request import BadRequest, as_text, read
from .run import BackfillRun
from .setup import Host, ProgressEvent

__all__ = ["BadRequest", "Host", "ProgressEvent", "backfill", "sentence"]

_STATE_SECONDS = 10.0


def backfill(given: Mapping[str, Any], config: Config, host: Host, deadline: float) -> dict[str, Any]:
    """Does as much of a backfill as fits before `deadline` (monotonic seconds). Raises BadRequest."""
    checkpoint = _checkpoint(given, config, host, deadline)
    is_new = given.get("resume") is True and not checkpoint.identity
    note = "nothing of this backfill was recorded before: it begins" if is_new else ""
    return BackfillRun(config, host, checkpoint, deadline, note).run()


def _checkpoint(given: Mapping[str, Any], config: Config, host: Host, deadline: float) -> Checkpoint:
    resume = given.get("resume", False)
    until = min(deadline, time.monotonic() + _STATE_SECONDS)
    rest = {key: value for key, value in given.items() if key != "resume"}
    if isinstance(resume, str) and resume:
        try:
            checkpoint = from_text(resume)
        except BadCheckpoint as error:
            raise BadRequest(f"resume: {error}") from None
        _check_agrees(rest, checkpoint)
        found = resume_checkpoint(checkpoint, config, host.store, until)
        return replace(found, request=replace(found.request, plan=bool(rest.get("plan"))))
    if not isinstance(resume, bool):
        raise BadRequest(f"resume: the resume text of an answer is expected (or true), not {resume!r:.60}")
    request = read(rest, config, host.dependencies.now_ms())
    return (resume_stored if resume else start)(request, config, host.store, until)


def _check_agrees(given: Mapping[str, Any], checkpoint: Checkpoint) -> None:
    """Raises BadRequest if keys beside a checkpoint ask for another backfill."""
    asked = dict(checkpoint.request.asked)
    for key, value in given.items():
        known = asked.get(key, "nothing")
        if key != "plan" and as_text(value) != known:  # a plan of what is left is one too
            detail = f"{as_text(value):.60} is not what resume was made for ({known:.60})"
            raise BadRequest(f"{key}: {detail}: leave it out")


def sentence(answer: Mapping[str, Any]) -> str:
    """One line with the result of a backfill."""
    classes = {
        kind: sum(one["classes"][kind] for one in answer["endpoints"]) for kind in ("accepted", "window", "impossible")
    }
    unasked = ", and what is too old was not asked for" if answer["unasked"] else ""
    parts = f"{answer['parts']} part{'' if answer['parts'] == 1 else 's'}"
    of_all = f"of {answer['samples']} samples in {parts}{unasked}"
    state = "done" if answer["done"] else "stopped" if answer["stopped"] else "to be continued"
    why = f"; {answer['stopped']}" if answer["stopped"] else ""
    if answer["dry_run"]:
        counts = f"{classes['accepted']} can be accepted, {classes['window']} only inside the out-of-order window"
        return f"dry run {state}: {counts}, {classes['impossible']} impossible {of_all}{why}"
    accepted = sum(one["accepted"] for one in answer["endpoints"])
    reasons = Counter[str]()
    for one in answer["endpoints"]:
        reasons.update({reason: entry["count"] for reason, entry in one["rejected"].items()})
    rejected = f"{reasons.total()} rejected"
    if reasons:
        rejected += f" ({', '.join(f'{reason} {count}' for reason, count in reasons.items())})"
    return f"backfill {state}: {accepted} accepted, {rejected}, {classes['impossible']} impossible {of_all}{why}"
