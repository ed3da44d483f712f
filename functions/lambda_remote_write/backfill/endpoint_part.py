"""Sends one part to one endpoint, slice by slice. When the time is up in between, the finished slices are not sent
again."""

from __future__ import annotations

from collections.abc import Sequence

from ..model.delivery import Delivery, PendingRequest
from ..model.reason_counts import ReasonCounts
from ..model.samples import Samples, Series
from ..remote_write.encode.decode import unpack
from .acceptance import Acceptance, merged
from .checkpoint import PartProgress
from .receiver import Receiver
from .sort import digest, sort_samples
from .source import Part


class PartSender:
    """What one endpoint gets of a part. The first `finished` of its samples, in send order, are finished."""

    def __init__(self, part: Part, receiver: Receiver, progress: PartProgress, deadline: float) -> None:
        """`progress` is how much of it the endpoint has; `deadline` is monotonic seconds."""
        self.receiver, dropped = receiver, ReasonCounts()
        dropped.merge(part.dropped)
        self._samples = receiver.relabelled(part.samples, dropped)
        self.is_changed = progress.samples > 0 and digest(self._samples, progress.samples) != progress.digest
        if self.is_changed:  # all of it is sent again; any of it may have arrived before
            progress = PartProgress(maybe_stored=len(self._samples), furthest=max(progress.samples, progress.furthest))
        self._start = progress
        self.finished, self._maybe_stored_until = progress.samples, progress.samples + progress.maybe_stored
        self._slices = receiver.check_acceptance(self._samples, self.finished, deadline)
        self.acceptance = merged(self._slices)
        self._sent, self._recorded = 0, 0
        self._accounting = Delivery(receiver.name)
        self._refused: list[Samples] = []
        self.rejected = 0  # samples of the part that the receiver has rejected
        if not self.finished:  # dropped samples are counted together with the first ones
            self._accounting.collected += dropped.total()
            self._accounting.dropped.merge(dropped)

    @property
    def is_sent(self) -> bool:
        return self._sent == len(self._slices)

    @property
    def is_recorded(self) -> bool:
        """Whether `take_results` has returned everything that is finished."""
        return self._recorded == self._sent

    @property
    def has_progress(self) -> bool:
        """Whether more of the part is finished than in any invocation before."""
        return self.finished > max(self._start.samples, self._start.furthest)

    def send(self, deadline: float, *, maybe_stored: bool) -> list[PendingRequest]:
        """Sends the next slice. Returns the requests of it that are not finished; the slice then counts as not sent.
        `maybe_stored` says that any sample of the part may have arrived before."""
        acceptance, accounting = self._slices[self._sent], Delivery(self.receiver.name)
        accounting.collected = len(acceptance)
        left = self.receiver.send(
            acceptance, accounting, deadline, maybe_stored=maybe_stored or self.finished < self._maybe_stored_until
        )
        if not left:
            self._sent += 1
            self.finished += len(acceptance)
            self._refused += [unpack(one.request)[0] for one in accounting.dead]
            self.rejected += accounting.rejected.total()
            accounting.dead.clear()
            self._accounting.merge(accounting)
        elif accounting.accepted or accounting.rejected.total() or any(one.request.maybe_stored for one in left):
            self._maybe_stored_until = max(self._maybe_stored_until, self.finished + len(acceptance))
        return left

    def take_results(self) -> tuple[Delivery, Acceptance, Samples]:
        """The counts and classes of the samples that were finished since the last call, and those among them that no
        receiver has: impossible ones, and rejected ones where the receiver keeps them."""
        accounting, self._accounting = self._accounting, Delivery(self.receiver.name)
        acceptance = merged(self._slices[self._recorded : self._sent])
        lost = (
            sort_samples(_with_shared_series([acceptance.impossible, *self._refused]), ReasonCounts())
            if self._refused
            else acceptance.impossible
        )
        self._recorded, self._refused = self._sent, []
        return accounting, acceptance, lost

    def progress(self) -> PartProgress:
        """How much of the part the endpoint has."""
        found = digest(self._samples, self.finished) if self.finished else ""
        return PartProgress(
            self.finished, found, max(self._maybe_stored_until - self.finished, 0), self._start.furthest
        )


def _with_shared_series(parts: Sequence[Samples]) -> Samples:
    """All samples in one, with one object for each series: series decoded from requests are other objects."""
    whole, known = Samples(), dict[bytes, Series]()
    for part in parts:
        whole.series += [known.setdefault(series.prefix, series) for series in part.series]
        whole.values += part.values
        whole.timestamps_ms += part.timestamps_ms
    return whole
