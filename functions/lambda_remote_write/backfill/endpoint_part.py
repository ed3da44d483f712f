"""One part on its way to one endpoint, slice by slice: what the receiver has of it is not sent again when the time was
up in the middle."""

from __future__ import annotations

from collections.abc import Sequence

from ..model.delivery import Delivery, PendingRequest
from ..model.reason_counts import ReasonCounts
from ..model.samples import Samples, Series
from ..remote_write.encode.decode import unpack
from .acceptance import Judged, merged
from .checkpoint import PartProgress
from .receiver import Receiver
from .sort import arrange, digest
from .source import Part


class EndpointPart:
    """What one endpoint gets of a part. Of its samples, in the order in which they are sent, `settled` are settled."""

    def __init__(self, part: Part, receiver: Receiver, progress: PartProgress, deadline: float) -> None:
        """`progress` is how far the endpoint had come with it; `deadline` is monotonic seconds."""
        self.receiver, dropped = receiver, ReasonCounts()
        dropped.merge(part.dropped)
        self._samples = receiver.arranged(part.samples, dropped)
        self.is_changed = progress.samples > 0 and digest(self._samples, progress.samples) != progress.digest
        if self.is_changed:  # all of it is sent again, and any of it may be there
            progress = PartProgress(maybe_stored=len(self._samples), furthest=max(progress.samples, progress.furthest))
        self._begun = progress
        self.settled, self._doubt_until = self._begun.samples, self._begun.samples + self._begun.maybe_stored
        self._slices = receiver.judge(self._samples, self.settled, deadline)
        self.judged = merged(self._slices)
        self._sent, self._booked = 0, 0
        self._accounting = self._new_books()
        self._refused: list[Samples] = []
        self.rejected = 0  # samples of the part that the receiver has refused
        if not self.settled:  # what goes no further is booked with the first samples
            self._accounting.collected += dropped.total()
            self._accounting.dropped.merge(dropped)

    def _new_books(self) -> Delivery:
        return Delivery(self.receiver.name)

    @property
    def is_sent(self) -> bool:
        return self._sent == len(self._slices)

    @property
    def is_booked(self) -> bool:
        """Whether everything that is settled is booked."""
        return self._booked == self._sent

    @property
    def has_progress(self) -> bool:
        """Whether more of the part is settled than in any invocation before."""
        return self.settled > max(self._begun.samples, self._begun.furthest)

    def send(self, deadline: float, *, maybe_stored: bool) -> list[PendingRequest]:
        """Sends the next slice. Returns what is left of it when the receiver does not take any more in this run; the
        slice then counts as not sent. `maybe_stored` says that anything of the part may have arrived before."""
        judged, accounting = self._slices[self._sent], self._new_books()
        accounting.collected = len(judged)
        left = self.receiver.send(
            judged, accounting, deadline, maybe_stored=maybe_stored or self.settled < self._doubt_until
        )
        if not left:
            self._sent += 1
            self.settled += len(judged)
            self._refused += [unpack(one.request)[0] for one in accounting.dead]
            self.rejected += accounting.rejected.total()
            accounting.dead.clear()
            self._accounting.merge(accounting)
        elif accounting.accepted or accounting.rejected.total() or any(one.request.maybe_stored for one in left):
            self._doubt_until = max(self._doubt_until, self.settled + len(judged))
        return left

    def book(self) -> tuple[Delivery, Judged, Samples]:
        """What became of the samples that were settled since the last time, and those that nobody has: they were
        impossible, or refused where that is kept."""
        accounting, self._accounting = self._accounting, self._new_books()
        judged = merged(self._slices[self._booked : self._sent])
        nowhere = (
            arrange(_one_each([judged.impossible, *self._refused]), ReasonCounts())
            if self._refused
            else judged.impossible
        )
        self._booked, self._refused = self._sent, []
        return accounting, judged, nowhere

    def progress(self) -> PartProgress:
        """How far the endpoint has come with the part."""
        found = digest(self._samples, self.settled) if self.settled else ""
        return PartProgress(self.settled, found, max(self._doubt_until - self.settled, 0), self._begun.furthest)


def _one_each(parts: Sequence[Samples]) -> Samples:
    """All of them in one, with one object for each series: what was decoded from requests has others."""
    whole, known = Samples(), dict[bytes, Series]()
    for part in parts:
        whole.series += [known.setdefault(series.prefix, series) for series in part.series]
        whole.values += part.values
        whole.timestamps_ms += part.timestamps_ms
    return whole
