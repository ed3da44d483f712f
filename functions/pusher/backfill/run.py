"""A backfill, part by part: read, judge, send, acknowledge."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from ..config.schema import Config
from ..model import Delivery, Kept
from ..wire.series import MAX_SERIES
from .answer import Account, Row, answer, totals_of
from .export import NotWritten
from .judge import Judged
from .keeping import AnotherAtWork, Keeper
from .opening import Edges, Told, export_of, source_of, warm_for
from .receiver import Receiver
from .request import BadRequest
from .source import Part, SourceFailed
from .token import Checkpoint
from .widening import Widening

_SPARE_SECONDS = 2.0  # of an invocation's time, for its end
_PATIENCE_SECONDS = 300.0  # with a receiver that takes nothing, until that is told
_YEAR_2000_MS = 946_684_800_000
_PASSING = ("deadline", "unavailable", "no_result", "http_408", "http_429", "http_5")  # how such reasons begin


class Backfill:
    """One invocation of a request. `run` does as much as the time suffices for."""

    def __init__(self, config: Config, edges: Edges, begun: Checkpoint, deadline: float) -> None:
        """`begun` is how far it had come; `deadline` is monotonic seconds. Raises BadRequest."""
        request, outside = begun.request, edges.outside
        self._request, self._edges, self._started = request, edges, time.monotonic()
        self._deadline = self._until = deadline
        self._warm = warm_for(config, request, outside)
        self._receivers = [Receiver(one, outside, force=request.force) for one in self._warm.remotes]
        self._totals = totals_of(begun.totals, self._receivers)
        self._totals.invocations += not request.plan
        for receiver in self._receivers:
            receiver.ask(deadline)
        rules = [receiver.rules for receiver in self._receivers]
        self._source = source_of(config, request, self._warm, edges, rules, deadline)
        self._checkpoint = _of_the_same(begun, tuple(self._source.identity))
        self._export = export_of(request, edges, objects=self._totals.objects, size=self._totals.export_bytes)
        self._exported_before = self._totals.exported
        self._keeper = Keeper(None if request.dry_run else edges.store, deadline)
        self._account = Account()

    def run(self) -> dict[str, Any]:
        """The whole way, or as far as the time goes -> the answer. Raises nothing that a source or a receiver does."""
        if not self._request.plan:
            try:
                self._run()
            except AnotherAtWork as error:
                self._account.stopped, self._account.is_done = str(error), False
        return self._answer()

    def _run(self) -> None:
        """Raises AnotherAtWork."""
        self._keep(is_open=True)
        with Widening(self._request, self._receivers, self._keep, self._deadline, self._checkpoint) as widening:
            self._until = widening.until
            self._walk()
        self._account.warn(*widening.warnings)
        if self._account.is_done and not self._account.rows and self._totals.parts:
            self._account.notes.append("it was done before, and nothing was left: without resume it begins anew")
        self._keep(is_open=False)

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
        longest, begun = 0.0, 0.0
        for part in self._source.parts(self._checkpoint.mark, self._until):
            begun = begun or time.monotonic()  # the way to the first part is not gone again
            row = self._account.row(part)
            if not all(self._settle(part, receiver, row) for receiver in self._receivers):
                return False
            self._acknowledge(part)
            longest, begun = max(longest, time.monotonic() - begun), time.monotonic()
            if self._until - begun < 2 * longest + _SPARE_SECONDS and part.share < 1.0:
                self._account.notes.append(f"the time is up after {part.where}; the next invocation goes on")
                return False
        return True

    # one part

    def _settle(self, part: Part, receiver: Receiver, row: Row) -> bool:
        """One part for one endpoint: judged, sent, booked. False when something of it is left."""
        if receiver.name in self._checkpoint.settled:
            return True
        if not part.is_fetched:
            row["endpoints"][receiver.name] = {"impossible": None, "reasons": {"too_old": "all of it"}}
            return True
        books = Delivery(receiver.name, collected=len(part.samples) + part.dropped.total())
        books.dropped.merge(part.dropped)
        judged = receiver.judge(part.samples, books.dropped, self._until)
        row["endpoints"][receiver.name] = {**judged.counts(), "reasons": dict(judged.reasons.counts)}
        self._account.warn(*_hints(part, judged))
        if self._request.dry_run:
            receiver.sent(judged)
            receiver.tallies.add(Delivery(receiver.name), judged)
            return True
        until = min(self._until, time.monotonic() + _PATIENCE_SECONDS)
        left = receiver.send(judged, books, until, doubt=self._checkpoint.doubt)
        if left:
            self._leave(receiver, left)
            return False
        if self._export is not None and not self._request.force:
            self._export.write(judged.impossible, self._until)
            self._export.flush(self._until)
        receiver.tallies.add(books, judged)
        self._checkpoint = replace(self._checkpoint, settled=(*self._checkpoint.settled, receiver.name))
        return True

    def _acknowledge(self, part: Part) -> None:
        """Every endpoint has what it can take of the part: nobody reads it again. Raises AnotherAtWork."""
        if self._export is not None:
            self._totals.exported = self._exported_before + self._export.stored
            self._totals.objects, self._totals.export_bytes = self._export.objects, self._export.size
        self._totals.add(part)
        self._account.notes += part.notes
        self._keep(mark=part.after, doubt=False, settled=())
        if len(self._warm.series) > MAX_SERIES:
            self._forget()
        self._edges.tell(Told(self._totals.parts, self._source.windows, self._totals.samples, part.share))

    def _leave(self, receiver: Receiver, left: list[Kept]) -> None:
        """Something of a part is left: all of it is sent again, and the receiver may then have some of it already."""
        self._keep(doubt=True)
        reason, said = left[0].reason, left[0].said
        if reason.startswith(_PASSING):
            self._account.notes.append(f"{receiver.name}: {reason}: {said}; the next invocation goes on")
        else:
            self._account.stopped = f"{receiver.name}: {said}"

    def _fail(self, error: SourceFailed) -> None:
        """A source that was cut off by the end of the time is asked again, as long as that leads on."""
        is_out_of_time = time.monotonic() >= self._until - _SPARE_SECONDS
        if is_out_of_time and self._account.rows:
            self._account.notes.append(f"the time was up: {error}; the next invocation goes on")
        else:
            self._account.stopped = str(error)

    def _forget(self) -> None:
        """Memory is bounded: all series go, and are made again as they come."""
        self._warm.series.keep(set())
        self._source.forget()
        for receiver in self._receivers:
            receiver.forget()

    # the end

    def _keep(self, **changes: Any) -> None:
        """Changes the progress, and keeps it."""
        self._checkpoint = replace(self._checkpoint, totals=self._totals.as_json(self._receivers), **changes)
        self._keeper.keep(self._checkpoint)

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


def _of_the_same(begun: Checkpoint, identity: tuple[str, ...]) -> Checkpoint:
    """The progress, when its source is still what it was. Raises BadRequest."""
    if begun.identity and begun.identity != identity:
        changed = next((old for old in begun.identity if old not in identity), "the files")
        raise BadRequest(f"resume: what it was made for has changed ({changed}): start again without resume")
    return replace(begun, identity=identity)


def _hints(part: Part, judged: Judged) -> Iterator[str]:
    """What most likely is wrong with samples of such times."""
    if len(part.samples) and max(part.samples.timestamps_ms) < _YEAR_2000_MS:
        yield "there are samples of the last century: is the unit of their times right?"
    if judged.reasons.counts["behind_window"] and part.span is None:
        yield "there are samples behind what their series have: a file is read in order, so sort it by time"
