"""A request, what became of an attempt to send it, and what became of every sample of one endpoint in a run."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import Enum

from .drop_reasons import DropReason
from .reason_counts import ReasonCounts


@dataclass(frozen=True, slots=True)
class WriteRequest:
    """One remote-write body, compressed. Times in milliseconds; a metadata request has no samples. `samples` counts
    native histograms too, which `histograms` counts again; `version` is the protocol's, 1 or 2. `maybe_stored` says
    that an earlier attempt got no answer, so that a refusal may mean that the receiver has it already."""

    body: bytes
    samples: int
    raw_bytes: int
    oldest_ms: int = 0
    newest_ms: int = 0
    metadata: int = 0
    histograms: int = 0
    exemplars: int = 0
    version: int = 1
    maybe_stored: bool = False


class Outcome(Enum):
    """What became of one attempt, decided by the status alone."""

    ACCEPTED = "the receiver took it"
    UNAVAILABLE = "no answer, or one that asks to come back: retry within the deadline"
    REJECTED = "refused for good: never sent again"
    TOO_LARGE = "the body is too large: split it"
    OTHER_VERSION = "the receiver does not speak this version of the protocol: send it in version 1"
    MISCONFIGURED = "the receiver takes nothing until the configuration is changed: stop"


@dataclass(frozen=True, slots=True)
class PendingRequest:
    """A request that is kept, and why: `reason` is a word of the report, `detail` what the receiver or the clock
    said."""

    request: WriteRequest
    reason: str = ""
    detail: str = ""


@dataclass(slots=True)
class Waiting:
    """What of one endpoint waits in the spool: entries, and the time of their oldest sample in milliseconds (0 when
    nothing waits). `drained` counts the entries that this run has finished, `unreadable` those that it set aside."""

    entries: int = 0
    oldest_ms: int = 0
    drained: int = 0
    unreadable: int = 0


@dataclass(slots=True)
class Delivery:
    """What became of the samples for one endpoint in one run: those that it `collected`, and those `taken` from the
    spool. The classic series that a histogram becomes count as collected, each. `spooled` are in the spool when the
    run ends, `undelivered` are lost. `dead` are requests that are not sent again but kept for people
    to look at: `dead_lettered` counts the samples that got there. `backlog_unknown` says that fresh samples were sent
    although the store did not tell whether older ones wait."""

    endpoint: str
    collected: int = 0
    taken: int = 0
    accepted: int = 0
    spooled: ReasonCounts = field(default_factory=ReasonCounts)
    rejected: ReasonCounts = field(default_factory=ReasonCounts)
    dropped: ReasonCounts = field(default_factory=ReasonCounts)
    undelivered: ReasonCounts = field(default_factory=ReasonCounts)
    requests: int = 0
    attempts: int = 0
    retries: int = 0
    bytes_sent: int = 0
    metadata_accepted: int = 0
    metadata_rejected: int = 0
    exemplars_accepted: int = 0
    dead: list[PendingRequest] = field(default_factory=list)
    dead_lettered: int = 0
    waiting: Waiting = field(default_factory=Waiting)
    backlog_unknown: bool = False
    warnings: list[str] = field(default_factory=list)

    @property
    def balances(self) -> bool:
        """The identity every run keeps: what was collected or taken is accounted for, each sample once."""
        return not self.unaccounted

    @property
    def unaccounted(self) -> int:
        """How many samples that were collected or taken have no outcome."""
        refused = sum(reasons.total() for reasons in self.reason_counts().values())
        return self.collected + self.taken - self.accepted - refused

    def reason_counts(self) -> dict[str, ReasonCounts]:
        """What became of the samples that were not accepted."""
        names = ("spooled", "rejected", "dropped", "undelivered")
        return {name: getattr(self, name) for name in names}

    def merge(self, part: Delivery) -> None:
        """Adds the outcomes of a part of this delivery."""
        for name in _SUMMED:
            setattr(self, name, getattr(self, name) + getattr(part, name))
        for name, reasons in self.reason_counts().items():
            reasons.merge(getattr(part, name))
        self.dead += part.dead
        for message in part.warnings:
            self.warn(message)

    def record_undelivered(self, left: Sequence[PendingRequest]) -> None:
        """Requests that were not sent and are not kept. Metadata is not accounted for."""
        for one in left:
            if one.request.samples:
                self.undelivered.add(one.reason, one.detail, one.request.samples)
            else:
                self.warn(f"metadata not sent: {one.detail}")

    def record_bug(self, error: Exception) -> None:
        """What is not accounted for is lost to a bug."""
        detail = self.warn_of_bug(error)
        if unknown := self.unaccounted:
            self.undelivered.add(DropReason.NO_RESULT, detail, unknown)

    def without_samples(self) -> Delivery:
        """The accounting of metadata and self-metrics requests, whose samples do not count."""
        names = ("requests", "attempts", "retries", "bytes_sent", "metadata_accepted", "metadata_rejected", "warnings")
        return Delivery(self.endpoint, **{name: getattr(self, name) for name in names})

    def warn(self, message: str) -> None:
        if message not in self.warnings:
            self.warnings.append(message)

    def warn_of_bug(self, error: Exception) -> str:
        """Returns the warning."""
        detail = f"{type(error).__name__}: {error}, which is a bug"
        self.warn(detail)
        return detail


_SUMMED = (
    "collected", "taken", "accepted", "requests", "attempts", "retries", "bytes_sent", "metadata_accepted",
    "metadata_rejected", "exemplars_accepted", "dead_lettered",
)  # fmt: skip
