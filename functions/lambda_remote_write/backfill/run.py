"""A backfill, part by part: read, judge, send, acknowledge."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from ..config.schema import Config
from ..model.delivery import Delivery, PendingRequest
from ..series.cache import MAX_SERIES
from .acceptance import Judged
from .answer import Account, Row, answer, totals_of
from .checkpoint import Checkpoint, PartProgress
from .checkpoint_store import ConcurrentRun, Keeper
from .endpoint_part import EndpointPart
from .export import NotWritten
from .out_of_order_window import Widening
from .receiver import Receiver
from .request import BadRequest
from .setup import Edges, ProgressEvent, export_of, source_of, warm_for
from .source import Part, SourceFailed

_SPARE_SECONDS = 2.0  # of an invocation's time, for its end
_PATIENCE_SECONDS = 300.0  # with a receiver that takes nothing, until that is told
_YEAR_2000_MS = 946_684_800_000
_KEEP_SECONDS, _KEEP_SHARE = 1.0, 0.1  # between two writes of how far a part has come; of the time, at most
_MAX_STALLED = 3
_KILLED = "each was killed or interrupted. Give it more time, or the function more memory"
_PASSING = ("deadline", "unavailable", "no_result", "http_408", "http_429", "http_5")  # how such reasons begin


class Backfill:
    """One invocation of a request. `run` does as much as the time suffices for."""

    def __init__(self, config: Config, edges: Edges, checkpoint: Checkpoint, deadline: float, note: str = "") -> None:
        """`checkpoint` is how far it had come; `deadline` is monotonic seconds. Raises BadRequest."""
        request, dependencies = checkpoint.request, edges.dependencies
        self._request, self._edges, self._started = request, edges, time.monotonic()
        self._deadline = self._until = deadline
        self._environment = warm_for(config, request, dependencies)
        self._receivers = [
            Receiver(one, dependencies, force=request.force, keeps_refused=bool(request.export))
            for one in self._environment.endpoints
        ]
        self._totals = totals_of(checkpoint.totals, self._receivers)
        self._totals.invocations += not request.plan
        for receiver in self._receivers:
            receiver.ask(deadline)
        rules = [receiver.rules for receiver in self._receivers]
        self._source = source_of(config, request, self._environment, edges, rules, deadline)
        self._checkpoint = _of_the_same(checkpoint, tuple(self._source.identity))
        self._export = export_of(request, edges, objects=self._totals.objects, size=self._totals.export_bytes)
        self._exported_before = self._totals.exported
        self._keeper = Keeper(None if request.dry_run else edges.store, deadline)
        self._account = Account(notes=[note] if note else [])
        self._obstacle = ""  # why this invocation ends before all is done, and what helps
        self._keep_at = 0.0  # when how far a part has come is written again, in monotonic seconds

    def run(self) -> dict[str, Any]:
        """The whole way, or as far as the time goes -> the answer. Raises nothing that a source or a receiver does."""
        if not self._request.plan:
            try:
                self._run()
            except ConcurrentRun as error:
                self._account.stopped, self._account.is_done = str(error), False
        return self._answer()

    def _run(self) -> None:
        """Raises AnotherAtWork."""
        was_killed = self._checkpoint.stalled >= _MAX_STALLED  # an invocation that ends by itself stops before that
        self._keep(is_open=True, stalled=self._checkpoint.stalled + 1)
        with Widening(self._request, self._receivers, self._keep, self._deadline, self._checkpoint) as widening:
            self._until = widening.until
            if was_killed:
                self._obstacle = f"{self._here()}: {_KILLED}"
            else:
                self._walk()
        self._account.warn(*widening.warnings)
        self._stop_when_stalled()
        if self._account.is_done and not self._account.rows and self._totals.parts:
            self._account.notes.append("it was done before, and nothing was left: without resume it begins anew")
        self._keep(is_open=False)

    def _stop_when_stalled(self) -> None:
        """Invocations that lead nowhere end, instead of sending the same again for ever. Whoever goes on has changed
        something: the count begins anew."""
        is_stalled = not self._account.is_done and self._checkpoint.stalled >= _MAX_STALLED
        if is_stalled and not self._account.stopped:
            detail = f"{_MAX_STALLED} invocations in a row made no progress"
            self._account.stopped = f"{detail}; {self._obstacle or self._here()}"
        if self._account.stopped or self._account.is_done:
            self._checkpoint = replace(self._checkpoint, stalled=0)

    def _here(self) -> str:
        return self._source.place(self._checkpoint.mark)

    def _walk(self) -> None:
        """Part by part, until all is done, the time is up, or somebody has to change something."""
        try:
            self._account.is_done = self._walk_on()
        except SourceFailed as error:
            self._fail(error)
        except NotWritten as error:
            self._account.stopped = str(error)
        finally:
            self._close_export()

    def _walk_on(self) -> bool:
        longest, started = 0.0, 0.0
        for part in self._source.parts(self._checkpoint.mark, self._until, self._checkpoint.part_end):
            started = started or time.monotonic()  # the way to the first part is not gone again
            self._check_is_same(part)
            row = self._account.row(part)
            if not all(self._settle(part, receiver, row) for receiver in self._receivers):
                return False
            self._acknowledge(part)
            longest, started = max(longest, time.monotonic() - started), time.monotonic()
            if self._until - started < 2 * longest + _SPARE_SECONDS and part.share < 1.0:
                self._account.notes.append(f"the time is up after {part.where}; the next invocation goes on")
                return False
        return True

    # one part

    def _settle(self, part: Part, receiver: Receiver, row: Row) -> bool:
        """One part for one endpoint: judged, sent, booked. False when something of it is left."""
        name, checkpoint = receiver.name, self._checkpoint
        if name in checkpoint.settled:
            return True
        if not part.is_fetched:
            row["endpoints"][name] = {"impossible": None, "reasons": {"too_old": "all of it"}}
            return True
        going = EndpointPart(part, receiver, checkpoint.within.get(name, PartProgress()), self._until)
        row["endpoints"][name] = {**going.judged.counts(), "reasons": dict(going.judged.reasons.counts)}
        self._account.warn(*_hints(part, going.judged))
        if going.is_changed:
            self._account.notes.append(f"{part.where}: the source gives other samples than before: all are sent again")
        if self._request.dry_run:
            receiver.sent(going.judged)
            receiver.tallies.add(Delivery(name), going.judged)
            return True
        is_sent = self._send(part, going)
        if going.rejected:
            row["endpoints"][name]["rejected"] = going.rejected
        return is_sent

    def _send(self, part: Part, going: EndpointPart) -> bool:
        """All of a part that an endpoint does not have yet. False when something of it is left."""
        while not going.is_sent:
            until = min(self._until, time.monotonic() + _PATIENCE_SECONDS)
            left = going.send(until, maybe_stored=self._checkpoint.maybe_stored)
            if left:
                self._leave(part, going, left)
                return False
            # An export is written as a whole with each acknowledgement: it takes its time once a part.
            if self._export is None and time.monotonic() >= self._keep_at:
                self._acknowledge_within(part, going)
        self._record(going)
        name, within = going.receiver.name, dict(self._checkpoint.within)
        within.pop(name, None)
        settled = (*self._checkpoint.settled, name)
        self._checkpoint = replace(self._checkpoint, settled=settled, within=within, part_end=part.after, stalled=0)
        return True

    def _record(self, going: EndpointPart) -> None:
        """Counts what is settled; what is impossible or refused of it is in the export first. Raises NotWritten."""
        accounting, judged, nowhere = going.book()
        if self._export is not None and not self._request.force:
            self._export.write(nowhere, self._until)
            self._export.flush(self._until)
            self._totals.exported = self._exported_before + self._export.stored
            self._totals.objects, self._totals.export_bytes = self._export.objects, self._export.size
        going.receiver.tallies.add(accounting, judged)

    def _acknowledge_within(self, part: Part, going: EndpointPart) -> None:
        """An endpoint has some of the part: it is not sent that again. Raises NotWritten and AnotherAtWork."""
        if not going.is_booked:
            self._record(going)
        within = {**self._checkpoint.within, going.receiver.name: going.progress()}
        stalled = 0 if going.has_progress else self._checkpoint.stalled
        self._keep(within=within, part_end=part.after, stalled=stalled)

    def _check_is_same(self, part: Part) -> None:
        """What is known of the part under way holds for just this part. Where a source gives another one in its place,
        all of it is sent, and may be there already."""
        end, within = self._checkpoint.part_end, self._checkpoint.within
        if end is None or part.after.is_at(end):
            return
        furthest = {name: PartProgress(furthest=max(one.samples, one.furthest)) for name, one in within.items()}
        self._checkpoint = replace(self._checkpoint, part_end=None, within=furthest, settled=(), maybe_stored=True)

    def _acknowledge(self, part: Part) -> None:
        """Every endpoint has what it can take of the part: nobody reads it again. Raises AnotherAtWork."""
        self._totals.add(part)
        self._account.notes += part.notes
        self._keep(mark=part.after, maybe_stored=False, settled=(), within={}, part_end=None, stalled=0)
        if len(self._environment.series) > MAX_SERIES:
            self._forget()
        self._edges.tell(ProgressEvent(self._totals.parts, self._source.windows, self._totals.samples, part.share))

    def _leave(self, part: Part, going: EndpointPart, left: list[PendingRequest]) -> None:
        """Something of a part is left: the next invocation sends it, beginning with the request that was not
        answered. Raises NotWritten and AnotherAtWork."""
        self._acknowledge_within(part, going)
        name, reason, detail = going.receiver.name, left[0].reason, left[0].detail
        if reason.startswith(_PASSING):
            why = f"{part.where}: {name}: {reason}: {detail}"
            count = f" after {going.settled} samples of it" if going.settled else ""
            self._account.notes.append(f"{why}; the next invocation goes on{count}")
            self._obstacle = f"{why}. {_advice(going.receiver, reason)}"
        else:
            self._account.stopped = f"{name}: {detail}"

    def _fail(self, error: SourceFailed) -> None:
        """A source that was cut off by the end of the time is asked again, as long as that leads on."""
        if time.monotonic() >= self._until - _SPARE_SECONDS:
            self._account.notes.append(f"the time was up: {error}; the next invocation goes on")
            shorter = "" if self._request.files else ", or ask for a shorter window"
            self._obstacle = f"{self._here()}: {error}. Give an invocation more time{shorter}"
        else:
            self._account.stopped = str(error)

    def _forget(self) -> None:
        """Memory is bounded: all series go, and are made again as they come."""
        self._environment.series.keep(set())
        self._source.forget()
        for receiver in self._receivers:
            receiver.forget()

    # the end

    def _keep(self, **changes: Any) -> None:
        """Changes the progress, and keeps it."""
        self._checkpoint = replace(self._checkpoint, totals=self._totals.as_json(self._receivers), **changes)
        began = time.monotonic()
        self._keeper.keep(self._checkpoint)
        ended = time.monotonic()
        self._keep_at = ended + max(_KEEP_SECONDS, (ended - began) / _KEEP_SHARE)

    def _close_export(self) -> None:
        if self._export is None:
            return
        try:
            self._export.close(self._deadline + _SPARE_SECONDS)
        except NotWritten as error:
            self._account.stopped, self._account.is_done = self._account.stopped or str(error), False

    def _answer(self) -> dict[str, Any]:
        self._account.warn(self._keeper.warning)
        found = answer(self._request, self._source.windows, self._totals, self._receivers, self._account)
        found["seconds"] = round(time.monotonic() - self._started, 3)
        if not self._account.is_done:
            going_on = replace(self._checkpoint, request=replace(self._request, plan=False))
            found["resume"] = replace(going_on, totals=self._totals.as_json(self._receivers)).token()
        return found


def _of_the_same(checkpoint: Checkpoint, identity: tuple[str, ...]) -> Checkpoint:
    """The progress, when its source is still what it was. Raises BadRequest."""
    if checkpoint.identity and checkpoint.identity != identity:
        changed = next((old for old in checkpoint.identity if old not in identity), "the files")
        raise BadRequest(f"resume: what it was made for has changed ({changed}): start again without resume")
    return replace(checkpoint, identity=identity)


def _advice(receiver: Receiver, reason: str) -> str:
    """What helps when an endpoint has not taken one request in the time of several invocations."""
    if reason != "deadline":
        return f"See why {receiver.name} takes nothing"
    limit = ", raise max_samples_per_second" if receiver.endpoint.config.queue.max_samples_per_second else ""
    return f"Give an invocation more time{limit}, or lower max_samples_per_send of {receiver.name}"


def _hints(part: Part, judged: Judged) -> Iterator[str]:
    """What most likely is wrong with samples of such times."""
    if len(part.samples) and max(part.samples.timestamps_ms) < _YEAR_2000_MS:
        yield "there are samples of the last century: is the unit of their times right?"
    if judged.reasons.counts["behind_window"] and part.span is None:
        yield "there are samples behind what their series have: a file is read in order, so sort it by time"
