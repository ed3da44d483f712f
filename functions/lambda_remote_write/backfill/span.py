"""A time range that a source is queried for, window by window, oldest first."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass

from .source import Mark, Part, SourceFailed
from .times import shown

TRIES = 3
PAUSE_SECONDS = 1.0


@dataclass(frozen=True, slots=True)
class Span:
    """A time range in milliseconds, both ends included, in windows of `window_ms` at most. No receiver accepts samples
    from before `oldest_ms`: that part of the range is reported, but not fetched."""

    start_ms: int
    end_ms: int
    window_ms: int
    oldest_ms: int = 0

    def windows(self, mark: Mark) -> Iterator[tuple[int, int]]:
        """The windows from a mark on."""
        at = max(mark.at, self.start_ms)
        while at <= self.end_ms:
            end = min(at + self.window_ms - 1, self.end_ms)
            if self.end_ms - end == 1:  # both ends are included: a range of whole windows has one moment more
                end = self.end_ms
            if at < self.oldest_ms:
                end = min(self.oldest_ms - 1, self.end_ms)
            yield at, end
            at = end + 1

    @property
    def count(self) -> int:
        first = max(self.start_ms, self.oldest_ms)
        wanted = max(-(-max(self.end_ms - first, 1) // self.window_ms), 0) if first <= self.end_ms else 0
        return wanted + (1 if self.oldest_ms > self.start_ms else 0)

    def share(self, at: int) -> float:
        return min(max((at - self.start_ms) / max(self.end_ms + 1 - self.start_ms, 1), 0.0), 1.0)

    def part(self, start_ms: int, end_ms: int, *, is_fetched: bool = True) -> Part:
        """A window without samples yet."""
        where, share = f"{shown(start_ms)} to {shown(end_ms)}", self.share(end_ms + 1)
        return Part(where, Mark(end_ms + 1), share, span=(start_ms, end_ms), is_fetched=is_fetched)


class RangeSource(ABC):
    """A source that is queried for a range. `name` is its job's."""

    def __init__(self, name: str, span: Span, step_ms: int) -> None:
        """Windows are not halved below `step_ms`."""
        self._name, self._span, self._step_ms = name, span, max(step_ms, 1)

    @property
    def identity(self) -> list[str]:
        return [f"{self._span.start_ms}-{self._span.end_ms}"]

    @property
    def windows(self) -> int | None:
        return self._span.count

    def place(self, mark: Mark) -> str:
        return f"{self._name}, from {shown(max(mark.at, self._span.start_ms))} on"

    def parts(self, mark: Mark, deadline: float, until: Mark | None = None) -> Iterator[Part]:
        if until is not None:  # fetched even if it has become too old: some of it may have been sent
            yield from self._fetched(max(mark.at, self._span.start_ms), until.at - 1, deadline)
        for start_ms, end_ms in self._span.windows(until or mark):
            if start_ms < self._span.oldest_ms:
                yield self._span.part(start_ms, end_ms, is_fetched=False)
            else:
                yield from self._fetched(start_ms, end_ms, deadline)

    @abstractmethod
    def _fetched(self, start_ms: int, end_ms: int, deadline: float) -> Iterator[Part]:
        """Fetches one window; in halves, when the source has more for it than fits. Raises SourceFailed."""

    def _halves(self, start_ms: int, end_ms: int, deadline: float, why: str) -> Iterator[Part]:
        half = (end_ms + 1 - start_ms) // 2 // self._step_ms * self._step_ms
        if not half:
            raise self._failed(start_ms, end_ms, f"{why}, in the shortest window")
        yield from self._fetched(start_ms, start_ms + half - 1, deadline)
        yield from self._fetched(start_ms + half, end_ms, deadline)

    def _failed(self, start_ms: int, end_ms: int, why: str) -> SourceFailed:
        return SourceFailed(f"{self._name}: {shown(start_ms)} to {shown(end_ms)}: {why}")
