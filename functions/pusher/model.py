"""The nouns that travel between the acts: what a source returns, what is sent, what became of it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import Enum

Labels = Mapping[str, str]


class Series:
    """One interned series of a warm environment. Built once by `wire.series`, then only looked up.

    `prefix` is the encoded head of its TimeSeries message: everything before the eight bytes of a value.
    `last_ms` is the newest timestamp handed to delivery, `seen` the number of the last run that produced it.
    """

    __slots__ = ("last_ms", "prefix", "seen")

    def __init__(self, prefix: bytes) -> None:
        self.prefix = prefix
        self.last_ms = -(2**63)
        self.seen = 0


class InvalidSeries(Exception):
    """A label set that remote write (or AMP) does not allow. `reason` is the key under which drops are counted."""

    def __init__(self, reason: str, message: str) -> None:
        self.reason = reason
        super().__init__(message)


Intern = Callable[[Labels], Series]
"""Final labels of a sample (before external labels) -> the series. Raises InvalidSeries."""


@dataclass(slots=True)
class Samples:
    """Samples in columns: series, value and milliseconds of the same index belong together."""

    series: list[Series] = field(default_factory=list)
    values: list[float] = field(default_factory=list)
    timestamps_ms: list[int] = field(default_factory=list)

    def __len__(self) -> int:
        return len(self.series)

    def add(self, series: Series, value: float, timestamp_ms: int) -> None:
        self.series.append(series)
        self.values.append(value)
        self.timestamps_ms.append(timestamp_ms)

    def extend(self, other: Samples) -> None:
        self.series += other.series
        self.values += other.values
        self.timestamps_ms += other.timestamps_ms

    def pick(self, indices: list[int]) -> Samples:
        """The samples at these indices, in this order."""
        return Samples(
            [self.series[index] for index in indices],
            [self.values[index] for index in indices],
            [self.timestamps_ms[index] for index in indices],
        )


@dataclass(slots=True)
class Tally:
    """Counts by reason, and the first occurrence of each reason in words."""

    counts: Counter[str] = field(default_factory=Counter)
    first: dict[str, str] = field(default_factory=dict)

    def add(self, reason: str, example: str, count: int = 1) -> None:
        self.counts[reason] += count
        self.first.setdefault(reason, example)

    def merge(self, other: Tally) -> None:
        self.counts.update(other.counts)
        for reason, example in other.first.items():
            self.first.setdefault(reason, example)

    def total(self) -> int:
        return self.counts.total()


@dataclass(frozen=True, slots=True)
class Metadata:
    """Type, help and unit of a metric family. `type` is a Prometheus word in lower case."""

    name: str
    type: str
    help: str
    unit: str


@dataclass(slots=True)
class Scrape:
    """What one job gave in one run. A failed one has `error` and only its synthetic series.

    `skipped` counts records that yield no sample; `dropped` counts samples that go no further.
    """

    job: str
    instance: str
    started_ms: int
    error: str = ""
    duration_seconds: float = 0.0
    samples: Samples = field(default_factory=Samples)
    skipped: Tally = field(default_factory=Tally)
    dropped: Tally = field(default_factory=Tally)
    metadata: tuple[Metadata, ...] = ()
    records: int = 0
    pages: int = 0
    body_bytes: int = 0


@dataclass(frozen=True, slots=True)
class WriteRequest:
    """One remote-write body, compressed. Times in milliseconds; a metadata request has no samples."""

    body: bytes
    samples: int
    raw_bytes: int
    oldest_ms: int = 0
    metadata: int = 0


class Outcome(Enum):
    """What became of one attempt, decided by the status alone."""

    ACCEPTED = "the receiver took it"
    UNAVAILABLE = "no answer, or one that asks to come back: retry within the deadline"
    REJECTED = "refused for good: never sent again"
    TOO_LARGE = "the body is too large: split it"
    MISCONFIGURED = "nothing will be taken until somebody changes the configuration: stop"


@dataclass(slots=True)
class Delivery:
    """What became of the samples for one endpoint in one run."""

    endpoint: str
    collected: int = 0
    accepted: int = 0
    rejected: Tally = field(default_factory=Tally)
    dropped: Tally = field(default_factory=Tally)
    undelivered: Tally = field(default_factory=Tally)
    requests: int = 0
    attempts: int = 0
    bytes_sent: int = 0
    metadata_accepted: int = 0
    metadata_rejected: int = 0
    warnings: list[str] = field(default_factory=list)

    @property
    def balances(self) -> bool:
        """The identity every run keeps: what was collected is accounted for, each sample once."""
        gone = self.accepted + self.rejected.total() + self.dropped.total() + self.undelivered.total()
        return self.collected == gone
