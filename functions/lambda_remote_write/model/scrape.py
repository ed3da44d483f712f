"""What one target gave in a run, and how far a job has come."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from .reason_counts import ReasonCounts
from .samples import Metadata, Samples

SYNTHETIC_NAMES = (
    "up",
    "scrape_duration_seconds",
    "scrape_samples_scraped",
    "scrape_samples_post_metric_relabeling",
    "scrape_series_added",
)
EXTRA_SYNTHETIC_NAMES = ("scrape_timeout_seconds", "scrape_sample_limit", "scrape_body_size_bytes")
"""The series that every scrape makes itself, and those of `extra_scrape_metrics`."""


@dataclass(frozen=True, slots=True)
class HighWaterMark:
    """How far a job, or one target of it, has come. `scraped_ms` is the start of its last run of which nothing was
    lost, `newest_ms` the time up to which its own timestamps are in; in the last answer they went from `oldest_ms` on.
    `series` is how many it had."""

    scraped_ms: int
    newest_ms: int = 0
    oldest_ms: int = 0
    series: int = 0

    def merged(self, other: HighWaterMark) -> HighWaterMark:
        """Of two environments' marks the later one."""
        later, earlier = (self, other) if self.scraped_ms >= other.scraped_ms else (other, self)
        newest_ms = max(later.newest_ms, earlier.newest_ms)
        return HighWaterMark(later.scraped_ms, newest_ms, later.oldest_ms, later.series)


_NAMED_STATES, _STATE_CHARACTERS = 10, 60  # of what an API says instead of the states that the config lists


@dataclass(slots=True)
class UnknownStates:
    """Records whose state `states` does not list: how many, and the first texts with how often each."""

    count: int = 0
    texts: dict[str, int] = field(default_factory=dict)

    def add(self, text: str, count: int = 1) -> None:
        self.count += count
        text = text[:_STATE_CHARACTERS].encode("utf-8", "replace").decode()  # half a character cannot be written
        if text in self.texts or len(self.texts) < _NAMED_STATES:
            self.texts[text] = self.texts.get(text, 0) + count

    def merge(self, other: UnknownStates) -> None:
        for text, count in other.texts.items():
            self.add(text, count)
        self.count += other.count - sum(other.texts.values())

    def rewritten(self, change: Callable[[str], str]) -> UnknownStates:
        """The same with the texts changed."""
        found = UnknownStates()
        for text, count in self.texts.items():
            found.add(change(text), count)
        found.count = self.count
        return found


@dataclass(slots=True)
class MetricResult:
    """What the records of one metric came to in one scrape: each was mapped or `skipped`, by reason. One that was
    mapped gives `samples_per_record`: one, or one for each state of a stateset.

    `merged` samples went into another one with the same series and time (`duplicates: sum`). `failed` says why the
    metric has failed, "" when it has not. `labels_not_found` are labels whose expression gave nothing in any record.
    `names` are those that records gave the metric, where they do.
    """

    metric: str
    records: int = 0
    merged: int = 0
    skipped: ReasonCounts = field(default_factory=ReasonCounts)
    failed: str = ""
    labels_not_found: tuple[str, ...] = ()
    samples_per_record: int = 1
    unknown_states: UnknownStates = field(default_factory=UnknownStates)
    names: tuple[str, ...] = ()

    @property
    def mapped(self) -> int:
        return self.records - self.skipped.total()

    @property
    def samples_mapped(self) -> int:
        """The samples that were collected, dropped or merged."""
        return self.mapped * self.samples_per_record

    def merge(self, other: MetricResult) -> None:
        """Adds what the same metric came to in another answer; whether it has failed is this one's."""
        self.records += other.records
        self.merged += other.merged
        self.skipped.merge(other.skipped)
        self.unknown_states.merge(other.unknown_states)
        self.names = tuple(dict.fromkeys(self.names + other.names))


@dataclass(slots=True)
class Scrape:
    """What one target gave in one run. A failed one has `error`, its synthetic series, and the markers of
    those that have ended with it. `is_target` is one of many that a job may have.

    `skipped` counts records that yield no sample, of all `metrics` together; `dropped` counts samples that go no
    further. `pages_end` says why the last page was the last, `more_pages` that some were left out, and why.
    `not_modified` says that the answer is that of the scrape before. `mark` is how far the job or target `mark_name`
    has come with it, once its samples are delivered or kept; `notes` are for people.
    """

    job: str
    instance: str
    started_ms: int
    error: str = ""
    duration_seconds: float = 0.0
    samples: Samples = field(default_factory=Samples)
    skipped: ReasonCounts = field(default_factory=ReasonCounts)
    dropped: ReasonCounts = field(default_factory=ReasonCounts)
    metrics: list[MetricResult] = field(default_factory=list)
    metadata: tuple[Metadata, ...] = ()
    records: int = 0
    pages: int = 0
    more_pages: str = ""
    pages_end: str = ""
    not_modified: bool = False
    body_bytes: int = 0
    is_target: bool = False
    mark: HighWaterMark | None = None
    mark_name: str = ""
    notes: list[str] = field(default_factory=list)

    def add(self, other: Scrape) -> None:
        """Adds what another answer of the same target came to."""
        if len(self.samples):
            self.samples.extend(other.samples)
        else:
            self.samples = other.samples
        self.skipped.merge(other.skipped)
        self.dropped.merge(other.dropped)
        self.metrics += other.metrics
        self.records += other.records
        self.notes += other.notes

    @property
    def failed(self) -> dict[str, str]:
        """Why metrics have failed, by their names."""
        return {one.metric: one.failed for one in self.metrics if one.failed}
