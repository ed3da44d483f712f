"""Where the process stands at one moment: values, made for /metrics and the status page from what is live."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum

from lambda_remote_write.config.load import YamlDocument

from .messages import AttemptCounts


class TargetState(StrEnum):
    UP = "up"
    DOWN = "down"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class TargetStatus:
    """A target and its last scrape. `url` has neither user nor query; times in milliseconds, 0 before the first
    scrape. `failed` says of metrics of a JSON job why they have failed."""

    job: str
    url: str
    labels: Mapping[str, str]
    is_json: bool
    state: TargetState = TargetState.UNKNOWN
    error: str = ""
    scraped_ms: int = 0
    duration_seconds: float = 0.0
    samples: int = 0
    failed: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class JobStatus:
    """A job: its scrapes since the process started, and what discovery says. `dropped_targets` were found, and are not
    scraped."""

    name: str
    is_json: bool
    interval_ms: int
    targets: int
    dropped_targets: int
    scrapes: int
    failed_scrapes: int
    is_discovery_failing: bool
    messages: Sequence[str]


@dataclass(frozen=True, slots=True)
class EndpointStatus:
    """An endpoint since the process started. `samples` are by outcome and reason; times in milliseconds, 0 for none.
    `problem` says why it takes nothing at present."""

    name: str
    url: str
    senders: int
    queue_samples: int
    queue_capacity: int
    queue_oldest_ms: int
    has_spool: bool
    spool_entries: int
    spool_oldest_ms: int
    samples: Mapping[tuple[str, str], int]
    bytes_sent: int
    attempts: AttemptCounts
    problem: str


@dataclass(frozen=True, slots=True)
class ReloadStatus:
    """The last time that the config was read. `error` says why it was refused; `success_ms` is when one was taken."""

    success_ms: int
    error: str = ""


@dataclass(frozen=True, slots=True)
class ProcessStatus:
    """The process. `place` is where its config is, `documents` the files of the config in use."""

    version: str
    name: str
    place: str
    started_ms: int
    now_ms: int
    is_ready: bool
    targets: Sequence[TargetStatus]
    jobs: Sequence[JobStatus]
    endpoints: Sequence[EndpointStatus]
    warnings: Sequence[str]
    reload: ReloadStatus
    documents: Sequence[YamlDocument]
    cached_series: int
