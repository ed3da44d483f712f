"""A backfill, part by part: read, check, send, acknowledge."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from ..config.schema import Config
from ..model.delivery import Delivery, PendingRequest
from ..model.drop_reasons import DropReason
from ..series.cache import MAX_SERIES
from .acceptance import Acceptance
from .answer import Row, Summary, answer, totals_of
from .checkpoint import Checkpoint, PartProgress
from .checkpoint_store import CheckpointStore, ConcurrentRun
from .endpoint_part import PartSender
from .export import NotWritten
from .out_of_order_window import WidenedWindow
from .receiver import Receiver
from .request import BadRequest
from .setup import Host, ProgressEvent, environment_for, export_of, source_of
from .source import Part, SourceFailed

_SPARE_SECONDS = 2.0  # reserved for the end of an invocation
_PATIENCE_SECONDS = 300.0  # with a receiver that accepts nothing, before the invocation gives up
_YEAR_2000_MS = 946_684_800_000
_SAVE_SECONDS, _SAVE_SHARE = 1.0, 0.1  # between two checkpoints within a part; their share of the time
_MAX_STALLED = 3
_KILLED = "each was killed or interrupted. Give it more time, or the function more memory"
_PASSING = (DropReason.DEADLINE, "unavailable", "no_result", "http_408", "http_429", "http_5")  # prefixes


class BackfillRun:
    """One invocation of a request. `run` does as much as fits into its time."""

    def __init__(self, config: Config, host: Host, checkpoint: Checkpoint, deadline: float, note: str = "") -> None:
        """Continues from `checkpoint`; `deadline` is monotonic seconds. Raises BadRequest."""
        request, dependencies = checkpoint.request, host.dependencies
        self._request, self._host, self._started = request, host, time.monotonic()
        self._deadline = self._until = deadline
        self._environment = environment_for(config, request, dependencies)
        self._receivers = [
            Receiver(one, dependencies, force=request.force, keeps_rejected=bool(request.export))
            for one in self._environment.endpoints
        ]
        self._totals = totals_of(checkpoint.totals, self._receivers)
        self._totals.invocations += not request.plan
        for receiver in self._receivers:
            receiver.ask(deadline)
        rules = [receiver.rules for receiver in self._receivers]
        self._source = source_of(config, request, self._environment, host, rules, deadline)
        self._checkpoint = _of_the_same(checkpoint, tuple(self._source.identity))
        self._export = export_of(request, host, objects=self._totals.objects, size=self._totals.export_bytes)
        self._exported_before = self._totals.exported
        self._checkpoint_store = CheckpointStore(None if request.dry_run else host.store, deadline)
        self._summary = Summary(notes=[note] if note else [])
        self._obstacle = ""  # why this invocation ends early, and what helps
        self._save_at = 0.0  # when the checkpoint within a part is due, in monotonic seconds

    def run(self) -> dict[str, Any]:
        """Returns the answer, which also has every failure of a source or a receiver."""
        if not self._request.plan:
            try:
                self._run()
            except ConcurrentRun as error:
                self._summary.stopped, self._summary.is_done = str(error), False
        return self._answer()

    def _run(self) -> None:
        """Raises ConcurrentRun."""
        was_killed = self._checkpoint.stalled >= _MAX_STALLED  # without a kill, the last invocation has stopped
        self._save(is_open=True, stalled=self._checkpoint.stalled + 1)
        with WidenedWindow(self._request, self._receivers, self._save, self._deadline, self._checkpoint) as window:
            self._until = window.until
            if was_killed:
                self._obstacle = f"{self._here()}: {_KILLED}"
            else:
                self._walk()
        self._summary.warn(*window.warnings)
        self._stop_when_stalled()
        if self._summary.is_done and not self._summary.rows and self._totals.parts:
            self._summary.notes.append("it was done before: without resume it starts again")
        self._save(is_open=False)

    def _stop_when_stalled(self) -> None:
        """Stops a backfill whose invocations make no progress, so that it does not send the same for ever. A stopped
        one is resumed after a change: its count starts again."""
        is_stalled = not self._summary.is_done and self._checkpoint.stalled >= _MAX_STALLED
        if is_stalled and not self._summary.stopped:
            detail = f"{_MAX_STALLED} invocations in a row made no progress"
            self._summary.stopped = f"{detail}; {self._obstacle or self._here()}"
        if self._summary.stopped or self._summary.is_done:
            self._checkpoint = replace(self._checkpoint, stalled=0)

    def _here(self) -> str:
        return self._source.place(self._checkpoint.mark)

    def _walk(self) -> None:
        """Part by part, until all is done, the time is up, or a failure needs a person."""
        try:
            self._summary.is_done = self._walk_on()
        except SourceFailed as error:
            self._fail(error)
        except NotWritten as error:
            self._summary.stopped = str(error)
        finally:
            self._close_export()

    def _walk_on(self) -> bool:
        longest, started = 0.0, 0.0
        for part in self._source.parts(self._checkpoint.mark, self._until, self._checkpoint.part_end):
            started = started or time.monotonic()  # reaching the first part is not repeated
            self._check_is_same(part)
            row = self._summary.row(part)
            if not all(self._finish(part, receiver, row) for receiver in self._receivers):
                return False
            self._acknowledge(part)
            longest, started = max(longest, time.monotonic() - started), time.monotonic()
            if self._until - started < 2 * longest + _SPARE_SECONDS and part.share < 1.0:
                self._summary.notes.append(f"the time is up after {part.where}; the next invocation goes on")
                return False
        return True

    # one part

    def _finish(self, part: Part, receiver: Receiver, row: Row) -> bool:
        """Checks, sends and counts one part for one endpoint. False when something of it is left."""
        name, checkpoint = receiver.name, self._checkpoint
        if name in checkpoint.finished:
            return True
        if not part.is_fetched:
            row["endpoints"][name] = {"impossible": None, "reasons": {DropReason.TOO_OLD: "all of it"}}
            return True
        sender = PartSender(part, receiver, checkpoint.within.get(name, PartProgress()), self._until)
        row["endpoints"][name] = {**sender.acceptance.counts(), "reasons": dict(sender.acceptance.reasons.counts)}
        self._summary.warn(*_hints(part, sender.acceptance))
        if sender.is_changed:
            self._summary.notes.append(f"{part.where}: the source gives other samples than before: all are sent again")
        if self._request.dry_run:
            receiver.sent(sender.acceptance)
            receiver.totals.add(Delivery(name), sender.acceptance)
            return True
        is_sent = self._send(part, sender)
        if sender.rejected:
            row["endpoints"][name]["rejected"] = sender.rejected
        return is_sent

    def _send(self, part: Part, sender: PartSender) -> bool:
        """Sends what the endpoint does not have of a part. False when something of it is left."""
        while not sender.is_sent:
            until = min(self._until, time.monotonic() + _PATIENCE_SECONDS)
            left = sender.send(until, maybe_stored=self._checkpoint.maybe_stored)
            if left:
                self._leave(part, sender, left)
                return False
            # Each acknowledgement writes the whole export: that happens only once a part.
            if self._export is None and time.monotonic() >= self._save_at:
                self._acknowledge_within(part, sender)
        self._record(sender)
        name, within = sender.receiver.name, dict(self._checkpoint.within)
        within.pop(name, None)
        finished = (*self._checkpoint.finished, name)
        self._checkpoint = replace(self._checkpoint, finished=finished, within=within, part_end=part.after, stalled=0)
        return True

    def _record(self, sender: PartSender) -> None:
        """Counts what is finished, after exporting its impossible or rejected samples. Raises NotWritten."""
        accounting, acceptance, lost = sender.take_results()
        if self._export is not None and not self._request.force:
            self._export.write(lost, self._until)
            self._export.flush(self._until)
            self._totals.exported = self._exported_before + self._export.samples
            self._totals.objects, self._totals.export_bytes = self._export.objects, self._export.size
        sender.receiver.totals.add(accounting, acceptance)

    def _acknowledge_within(self, part: Part, sender: PartSender) -> None:
        """Saves how much of the part an endpoint has. Raises NotWritten and ConcurrentRun."""
        if not sender.is_recorded:
            self._record(sender)
        within = {**self._checkpoint.within, sender.receiver.name: sender.progress()}
        stalled = 0 if sender.has_progress else self._checkpoint.stalled
        self._save(within=within, part_end=part.after, stalled=stalled)

    def _check_is_same(self, part: Part) -> None:
        """The checkpoint's progress within a part is valid for that part only. When the source returns another part
        instead, all of it is sent and counts as maybe stored."""
        end, within = self._checkpoint.part_end, self._checkpoint.within
        if end is None or part.after.is_at(end):
            return
        furthest = {name: PartProgress(furthest=max(one.samples, one.furthest)) for name, one in within.items()}
        self._checkpoint = replace(self._checkpoint, part_end=None, within=furthest, finished=(), maybe_stored=True)

    def _acknowledge(self, part: Part) -> None:
        """Every endpoint is finished with the part: it is not read again. Raises ConcurrentRun."""
        self._totals.add(part)
        self._summary.notes += part.notes
        self._save(mark=part.after, maybe_stored=False, finished=(), within={}, part_end=None, stalled=0)
        if len(self._environment.series) > MAX_SERIES:
            self._forget()
        self._host.tell(ProgressEvent(self._totals.parts, self._source.windows, self._totals.samples, part.share))

    def _leave(self, part: Part, sender: PartSender, left: list[PendingRequest]) -> None:
        """Leaves the rest of a part, from the first unanswered request on, to the next invocation. Raises NotWritten
        and ConcurrentRun."""
        self._acknowledge_within(part, sender)
        name, reason, detail = sender.receiver.name, left[0].reason, left[0].detail
        if reason.startswith(_PASSING):
            why = f"{part.where}: {name}: {reason}: {detail}"
            count = f" after {sender.finished} samples of it" if sender.finished else ""
            self._summary.notes.append(f"{why}; the next invocation goes on{count}")
            self._obstacle = f"{why}. {_advice(sender.receiver, reason)}"
        else:
            self._summary.stopped = f"{name}: {detail}"

    def _fail(self, error: SourceFailed) -> None:
        """A source that failed because the time was up is read again by the next invocation."""
        if time.monotonic() >= self._until - _SPARE_SECONDS:
            self._summary.notes.append(f"the time was up: {error}; the next invocation goes on")
            shorter = "" if self._request.files else ", or ask for a shorter window"
            self._obstacle = f"{self._here()}: {error}. Give an invocation more time{shorter}"
        else:
            self._summary.stopped = str(error)

    def _forget(self) -> None:
        """Bounds memory: forgets all series."""
        self._environment.series.keep(set())
        self._source.forget()
        for receiver in self._receivers:
            receiver.forget()

    # the end

    def _save(self, **changes: Any) -> None:
        """Changes the checkpoint and saves it."""
        self._checkpoint = replace(self._checkpoint, totals=self._totals.as_json(self._receivers), **changes)
        began = time.monotonic()
        self._checkpoint_store.save(self._checkpoint)
        ended = time.monotonic()
        self._save_at = ended + max(_SAVE_SECONDS, (ended - began) / _SAVE_SHARE)

    def _close_export(self) -> None:
        if self._export is None:
            return
        try:
            self._export.close(self._deadline + _SPARE_SECONDS)
        except NotWritten as error:
            self._summary.stopped, self._summary.is_done = self._summary.stopped or str(error), False

    def _answer(self) -> dict[str, Any]:
        self._summary.warn(self._checkpoint_store.warning)
        found = answer(self._request, self._source.windows, self._totals, self._receivers, self._summary)
        found["seconds"] = round(time.monotonic() - self._started, 3)
        if not self._summary.is_done:
            request, totals = replace(self._request, plan=False), self._totals.as_json(self._receivers)
            found["resume"] = replace(self._checkpoint, request=request, totals=totals).as_text()
        return found


def _of_the_same(checkpoint: Checkpoint, identity: tuple[str, ...]) -> Checkpoint:
    """The checkpoint with its source's identity. Raises BadRequest when the source has changed."""
    if checkpoint.identity and checkpoint.identity != identity:
        changed = next((old for old in checkpoint.identity if old not in identity), "the files")
        raise BadRequest(f"resume: what it was made for has changed ({changed}): start again without resume")
    return replace(checkpoint, identity=identity)


def _advice(receiver: Receiver, reason: str) -> str:
    """What helps when several invocations could not send one request to an endpoint."""
    if reason != DropReason.DEADLINE:
        return f"Find out why {receiver.name} accepts nothing"
    limit = ", raise max_samples_per_second" if receiver.endpoint.config.queue.max_samples_per_second else ""
    return f"Give an invocation more time{limit}, or lower max_samples_per_send of {receiver.name}"


def _hints(part: Part, acceptance: Acceptance) -> Iterator[str]:
    """The likely mistakes behind the times of these samples."""
    if len(part.samples) and max(part.samples.timestamps_ms) < _YEAR_2000_MS:
        yield "some samples are from the last century: is the unit of their times right?"
    if acceptance.reasons.counts[DropReason.BEHIND_WINDOW] and part.span is None:
        yield "some samples are behind the newest one of their series: a file is read in order, so sort it by time"
