"""The nouns that travel between the acts: what a source returns, what is sent, what became of it."""

from __future__ import annotations

import struct
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from typing import Protocol

Labels = Mapping[str, str]


class Series:
    """One interned series of a warm environment. Built once by `wire.series`, then only looked up.

    `prefix` is the encoded head of its TimeSeries message: everything before the eight bytes of a value.
    `last_ms` is the newest timestamp handed to delivery, `seen` the number of the last run that produced it.
    `strings` (label names and values) are made when 2.0 needs them.
    """

    __slots__ = ("last_ms", "prefix", "seen", "strings")

    def __init__(self, prefix: bytes) -> None:
        self.prefix = prefix
        self.strings: tuple[str, ...] = ()
        self.last_ms = NEVER_MS
        self.seen = 0


class InvalidSeries(Exception):
    """A label set that remote write (or AMP) does not allow. `reason` is the key under which drops are counted."""

    def __init__(self, reason: str, message: str) -> None:
        self.reason = reason
        super().__init__(message)


Intern = Callable[[Labels], Series]
"""Final labels of a sample (before external labels) -> the series. Raises InvalidSeries."""

PlainIntern = Callable[[str, tuple[str, ...], Sequence[tuple[str, str]]], Series | None]
"""Metric, label names and labels of a page's line, valid and not empty -> the series with its target's labels; None
where the labels need a look."""


class Interner(Protocol):
    """Whoever keeps the series."""

    @property
    def intern(self) -> Intern: ...
    def plain(self, own: Mapping[str, str]) -> PlainIntern: ...


STALE = struct.unpack("<d", (0x7FF0000000000002).to_bytes(8, "little"))[0]
"""The value that says a series has ended: one bit pattern of NaN (remote write 1.0, "Stale markers")."""


NEVER_MS = -(2**63)
"""`Series.last_ms` of a series that has sent nothing yet."""

HELD = "new_series_limit"
"""The reason under which samples of series beyond that limit are dropped."""

LOSSES = ("too_old", "too_far_in_future", "unreadable", HELD)
"""Reasons of dropped samples that count as lost: the receiver should have had them."""

ANYTHING = "records"
"""What an example is about that concerns no metric."""

IGNORED = "null_ignored"
"""The reason of records whose value is null where `on_missing: ignore` says that this is normal."""


@dataclass(frozen=True, slots=True)
class Exemplar:
    """An example behind a sample, as a trace. Labels in their order, milliseconds."""

    labels: tuple[tuple[str, str], ...]
    value: float
    timestamp_ms: int


@dataclass(frozen=True, slots=True)
class Histogram:
    """A native histogram. Spans are (offset, length). Buckets are deltas between neighbours' counts when the counts
    are integers, and the counts themselves when `is_float`. `reset_hint` is the number in the .proto files."""

    count: float
    sum: float
    schema: int
    zero_threshold: float
    zero_count: float
    negative_spans: tuple[tuple[int, int], ...] = ()
    negative_buckets: tuple[float, ...] = ()
    positive_spans: tuple[tuple[int, int], ...] = ()
    positive_buckets: tuple[float, ...] = ()
    is_float: bool = False
    reset_hint: int = 0
    custom_values: tuple[float, ...] = ()


Value = float | Histogram


@dataclass(slots=True)
class Samples:
    """Samples in columns: series, value and milliseconds of the same index belong together.

    `exemplars` and `starts_ms` (when a counter began, in milliseconds) belong to a series' newest sample here; only a
    page that has some fills them. `prefixes` are those of the series, set by whoever has put the samples in order and
    seen that no series stands twice: nobody adds to them after that.
    """

    series: list[Series] = field(default_factory=list)
    values: list[Value] = field(default_factory=list)
    timestamps_ms: list[int] = field(default_factory=list)
    exemplars: dict[Series, tuple[Exemplar, ...]] = field(default_factory=dict)
    starts_ms: dict[Series, int] = field(default_factory=dict)
    prefixes: list[bytes] | None = None

    def __len__(self) -> int:
        return len(self.series)

    def add(self, series: Series, value: Value, timestamp_ms: int) -> None:
        self.series.append(series)
        self.values.append(value)
        self.timestamps_ms.append(timestamp_ms)

    def extend(self, other: Samples) -> None:
        self.series += other.series
        self.values += other.values
        self.timestamps_ms += other.timestamps_ms
        self.exemplars |= other.exemplars
        self.starts_ms |= other.starts_ms

    def pick(self, indices: list[int]) -> Samples:
        """The samples at these indices, in this order."""
        return Samples(
            [self.series[index] for index in indices],
            [self.values[index] for index in indices],
            [self.timestamps_ms[index] for index in indices],
            self.exemplars,
            self.starts_ms,
        )


@dataclass(slots=True)
class Tally:
    """Counts by reason, and of each reason the first occurrence in words: one for each subject, as a metric, that it
    concerns."""

    counts: Counter[str] = field(default_factory=Counter)
    examples: dict[str, dict[str, str]] = field(default_factory=dict)

    @property
    def first(self) -> dict[str, str]:
        """The first example of each reason."""
        return {reason: next(iter(found.values())) for reason, found in self.examples.items()}

    def add(self, reason: str, example: str, count: int = 1, subject: str = ANYTHING) -> None:
        self.counts[reason] += count
        self.examples.setdefault(reason, {}).setdefault(subject, example)

    def merge(self, other: Tally) -> None:
        self.counts.update(other.counts)
        for reason, found in other.examples.items():
            own = self.examples.setdefault(reason, {})
            own.update({subject: example for subject, example in found.items() if subject not in own})

    def rewrite(self, change: Callable[[str], str]) -> None:
        """Changes the words of every example."""
        for found in self.examples.values():
            found.update({subject: change(example) for subject, example in found.items()})

    def total(self) -> int:
        return self.counts.total()


@dataclass(frozen=True, slots=True)
class Metadata:
    """Type, help and unit of a metric family. `type` is a Prometheus word in lower case."""

    name: str
    type: str
    help: str
    unit: str


@dataclass(frozen=True, slots=True)
class JobMark:
    """How far a job has come. `scraped_ms` is the start of its last run of which nothing was lost, `newest_ms` the
    time up to which its own timestamps are in; in the last answer they went from `floor_ms` on. `series` is how many
    it had."""

    scraped_ms: int
    newest_ms: int = 0
    floor_ms: int = 0
    series: int = 0

    def merged(self, other: JobMark) -> JobMark:
        """Of two environments' marks the later one."""
        later, earlier = (self, other) if self.scraped_ms >= other.scraped_ms else (other, self)
        newest_ms = max(later.newest_ms, earlier.newest_ms)
        return JobMark(later.scraped_ms, newest_ms, later.floor_ms, later.series)


@dataclass(slots=True)
class MetricResult:
    """What the records of one metric came to in one scrape: each was mapped to a sample or `skipped`, by reason.

    `merged` samples went into another one with the same series and time (`duplicates: sum`). `failed` says why the
    metric has failed, "" when it has not. `labels_not_found` are labels whose expression gave nothing in any record.
    """

    metric: str
    records: int = 0
    merged: int = 0
    skipped: Tally = field(default_factory=Tally)
    failed: str = ""
    labels_not_found: tuple[str, ...] = ()

    @property
    def mapped(self) -> int:
        return self.records - self.skipped.total()

    def merge(self, other: MetricResult) -> None:
        """Adds what the same metric came to in another answer; whether it has failed is this one's."""
        self.records += other.records
        self.merged += other.merged
        self.skipped.merge(other.skipped)


@dataclass(slots=True)
class Scrape:
    """What one JSON job or target gave in one run. A failed one has `error`, its synthetic series, and the markers of
    those that have ended with it. `is_target` is one of many that a job may have.

    `skipped` counts records that yield no sample, of all `metrics` together; `dropped` counts samples that go no
    further. `more_pages` says that pages were left out, and why. `mark` is how far the job has come with it, once its
    samples are delivered or kept; `notes` are for people.
    """

    job: str
    instance: str
    started_ms: int
    error: str = ""
    duration_seconds: float = 0.0
    samples: Samples = field(default_factory=Samples)
    skipped: Tally = field(default_factory=Tally)
    dropped: Tally = field(default_factory=Tally)
    metrics: list[MetricResult] = field(default_factory=list)
    metadata: tuple[Metadata, ...] = ()
    records: int = 0
    pages: int = 0
    more_pages: str = ""
    body_bytes: int = 0
    is_target: bool = False
    mark: JobMark | None = None
    notes: list[str] = field(default_factory=list)

    @property
    def failed(self) -> dict[str, str]:
        """Why metrics have failed, by their names."""
        return {one.metric: one.failed for one in self.metrics if one.failed}


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
    MISCONFIGURED = "nothing will be taken until somebody changes the configuration: stop"


@dataclass(frozen=True, slots=True)
class Kept:
    """A request that is kept, and why: `reason` is a word of the report, `said` what the receiver or the clock said."""

    request: WriteRequest
    reason: str = ""
    said: str = ""


@dataclass(slots=True)
class Waiting:
    """What of one endpoint waits in the spool: entries, and the time of their oldest sample in milliseconds (0 when
    nothing waits). `drained` counts the entries that this run has settled, `unreadable` those that it set aside."""

    entries: int = 0
    oldest_ms: int = 0
    drained: int = 0
    unreadable: int = 0


@dataclass(slots=True)
class Delivery:
    """What became of the samples for one endpoint in one run: those that it `collected`, and those `taken` from the
    spool. The classic series that a histogram becomes count as collected, each. `spooled` are in the spool when the
    run ends, `undelivered` are nowhere. `dead` are requests that nobody will send again but that are kept for people
    to look at: `buried` counts the samples that got there. `backlog_unknown` says that fresh samples were sent
    although the store did not tell whether older ones wait."""

    endpoint: str
    collected: int = 0
    taken: int = 0
    accepted: int = 0
    spooled: Tally = field(default_factory=Tally)
    rejected: Tally = field(default_factory=Tally)
    dropped: Tally = field(default_factory=Tally)
    undelivered: Tally = field(default_factory=Tally)
    requests: int = 0
    attempts: int = 0
    retries: int = 0
    bytes_sent: int = 0
    metadata_accepted: int = 0
    metadata_rejected: int = 0
    exemplars_accepted: int = 0
    dead: list[Kept] = field(default_factory=list)
    buried: int = 0
    waiting: Waiting = field(default_factory=Waiting)
    backlog_unknown: bool = False
    warnings: list[str] = field(default_factory=list)

    @property
    def balances(self) -> bool:
        """The identity every run keeps: what was collected or taken is accounted for, each sample once."""
        return not self.unaccounted

    @property
    def unaccounted(self) -> int:
        """How many samples were collected or taken of which the books do not say what became of them."""
        return self.collected + self.taken - self.accepted - sum(tally.total() for tally in self.tallies().values())

    def tallies(self) -> dict[str, Tally]:
        """What became of the samples that were not accepted."""
        names = ("spooled", "rejected", "dropped", "undelivered")
        return {name: getattr(self, name) for name in names}

    def merge(self, part: Delivery) -> None:
        """Adds the books of a part of this delivery."""
        for name in _SUMMED:
            setattr(self, name, getattr(self, name) + getattr(part, name))
        for name, tally in self.tallies().items():
            tally.merge(getattr(part, name))
        self.dead += part.dead
        for message in part.warnings:
            self.warn(message)

    def warn(self, message: str) -> None:
        if message not in self.warnings:
            self.warnings.append(message)


_SUMMED = (
    "collected", "taken", "accepted", "requests", "attempts", "retries", "bytes_sent", "metadata_accepted",
    "metadata_rejected", "exemplars_accepted", "buried",
)  # fmt: skip
