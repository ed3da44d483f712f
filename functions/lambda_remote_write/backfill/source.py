"""What a backfill reads, part by part, and how far it has come. Each kind of source is a module of its own."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Protocol

from ..model.reason_counts import ReasonCounts
from ..model.samples import Samples


class SourceFailed(Exception):
    """Nothing more comes from the source. The message names it, where, and what to do."""


@dataclass(frozen=True, slots=True)
class Mark:
    """How far a backfill has come: up to `at` of file number `file`, a byte of its unpacked text, where line number
    `line` begins; for a range `at` is a time in milliseconds. `family` is the TYPE line that holds there."""

    at: int = 0
    file: int = 0
    line: int = 1
    family: tuple[str, ...] = ()

    def as_json(self) -> list[Any]:
        return [self.at, self.file, self.line, list(self.family)]

    @classmethod
    def from_json(cls, found: list[Any]) -> Mark:
        """Raises ValueError and TypeError."""
        at, file, line, family = found
        return cls(int(at), int(file), int(line), tuple(map(str, family)))

    def is_at(self, other: Mark) -> bool:
        """Whether both are the same place."""
        return (self.file, self.at) == (other.file, other.at)


@dataclass(slots=True)
class Part:
    """A window of a range, or some lines of a file, with what it holds. `after` is the mark when it is done, `share`
    how much of everything that is, from 0 to 1; `where` says in words which part it is. `skipped` counts records that
    give no sample, `dropped` samples that go no further."""

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

    def times(self) -> tuple[int, int] | None:
        """From when to when its samples are, or would be."""
        if self.span:
            return self.span
        stamps = self.samples.timestamps_ms
        return (min(stamps), max(stamps)) if stamps else None


class Source(Protocol):
    """Something to backfill from."""

    @property
    def identity(self) -> list[str]:
        """Changes when a mark means something else: what is read, in which version."""

    @property
    def windows(self) -> int | None:
        """How many parts there are, when that is known."""

    def place(self, mark: Mark) -> str:
        """Where a mark is, in words."""

    def parts(self, mark: Mark, deadline: float, until: Mark | None = None) -> Iterator[Part]:
        """The parts from a mark on, oldest first where the source has an order. With `until` the first part is the one
        that ended there when it was read before. `deadline` is monotonic seconds. Raises SourceFailed; what was given
        out before stands."""

    def forget(self) -> None:
        """Lets go of all series: there are more of them than fit in memory."""


def within(
    samples: Samples, start_ms: int | None, end_ms: int | None, dependencies: ReasonCounts, detail: str
) -> Samples:
    """The samples between two times, both included; the others are counted in `dependencies`."""
    stamps = samples.timestamps_ms
    low, high = start_ms if start_ms is not None else -(2**62), end_ms if end_ms is not None else 2**62
    if not stamps or (min(stamps) >= low and max(stamps) <= high):
        return samples
    kept = [index for index, stamp in enumerate(stamps) if low <= stamp <= high]
    dependencies.add("outside_range", detail, len(stamps) - len(kept))
    return samples.pick(kept)
