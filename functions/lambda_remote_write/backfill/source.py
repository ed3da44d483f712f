"""What a backfill reads, part by part, and its position there. Each kind of source has its own module."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Protocol

from ..json_api.statesets import unlisted
from ..model.drop_reasons import DropReason
from ..model.reason_counts import ReasonCounts
from ..model.samples import Samples
from ..model.scrape import Scrape


class SourceFailed(Exception):
    """The source cannot be read any further. The message names the source, the place, and what to do."""


@dataclass(frozen=True, slots=True)
class Mark:
    """A position in a source. In a file, `at` is a byte of the decompressed text of file number `file`, where line
    number `line` begins; in a time range, `at` is milliseconds. `family` is the TYPE line that is in force there."""

    at: int = 0
    file: int = 0
    line: int = 1
    family: tuple[str, ...] = ()

    def is_at(self, other: Mark) -> bool:
        """Whether both are the same position."""
        return (self.file, self.at) == (other.file, other.at)


@dataclass(slots=True)
class Part:
    """A window of a range, or some lines of a file, with its samples. `where` describes it, `after` is the mark at its
    end, `share` (0 to 1) how much of the source has been read by then. `skipped` counts records without a sample,
    `dropped` samples that are not sent."""

    where: str
    after: Mark
    share: float
    samples: Samples = field(default_factory=Samples)
    skipped: ReasonCounts = field(default_factory=ReasonCounts)
    dropped: ReasonCounts = field(default_factory=ReasonCounts)
    records: int = 0
    span: tuple[int, int] | None = None  # milliseconds, for a window; both included
    is_fetched: bool = True
    notes: list[str] = field(default_factory=list)


class Source(Protocol):
    """What a backfill reads from."""

    @property
    def identity(self) -> list[str]:
        """Names what is read and its version. A mark is valid only for the same identity."""

    @property
    def windows(self) -> int | None:
        """How many parts there are; None when that is not known."""

    def place(self, mark: Mark) -> str:
        """Describes the position of a mark."""

    def parts(self, mark: Mark, deadline: float, until: Mark | None = None) -> Iterator[Part]:
        """Yields the parts from a mark on, oldest first where the source has an order. With `until`, the first part
        ends there, as it did when it was read before. `deadline` is monotonic seconds. Raises SourceFailed; the parts
        yielded before that are valid."""

    def forget(self) -> None:
        """Forgets all series, because they no longer fit in memory."""


def within(samples: Samples, start_ms: int | None, end_ms: int | None, skipped: ReasonCounts, detail: str) -> Samples:
    """The samples between two times, both included; the others are counted in `skipped`."""
    stamps = samples.timestamps_ms
    low, high = start_ms if start_ms is not None else -(2**62), end_ms if end_ms is not None else 2**62
    if not stamps or (min(stamps) >= low and max(stamps) <= high):
        return samples
    kept = [index for index, stamp in enumerate(stamps) if low <= stamp <= high]
    skipped.add(DropReason.OUTSIDE_RANGE, detail, len(stamps) - len(kept))
    return samples.pick(kept)


def unlisted_states(scrape: Scrape, where: str, *, quoting: bool = True) -> list[str]:
    """Notes on records whose state the config does not list; without their texts unless `quoting`."""
    results = [one for one in scrape.metrics if one.unknown_states.count]
    return [f"{where}: {unlisted(one, quoting=quoting)}" for one in results]
