"""What differs between the samples that a test expects and those that a run gave."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from .sample_line import SampleLine


@dataclass(frozen=True, slots=True)
class Change:
    """A sample that is missing (`actual` is None), was not expected (`expected` is None), or has another value or
    time."""

    expected: SampleLine | None
    actual: SampleLine | None

    @property
    def kind(self) -> str:
        if self.actual is None:
            return "missing"
        return "unexpected" if self.expected is None else "different"

    @property
    def series(self) -> str:
        line = self.actual or self.expected
        return line.series if line else ""

    @property
    def labels(self) -> dict[str, str]:
        line = self.actual or self.expected
        return line.labels if line else {}


def changes(expected: Iterable[SampleLine], actual: Iterable[SampleLine]) -> list[Change]:
    """By series; an expected sample without a time is equal to one of any time."""
    wanted, found = _by_series(expected), _by_series(actual)
    return [change for series in sorted({*wanted, *found}) for change in _of_series(wanted[series], found[series])]


def _by_series(lines: Iterable[SampleLine]) -> dict[str, list[SampleLine]]:
    grouped = defaultdict[str, list[SampleLine]](list)
    for line in lines:
        grouped[line.series].append(line)
    return grouped


def _of_series(expected: Sequence[SampleLine], actual: Sequence[SampleLine]) -> list[Change]:
    left, missing = list(actual), list[SampleLine]()
    for line in expected:
        equal = next((one for one in left if _are_equal(line, one)), None)
        if equal is None:
            missing.append(line)
        else:
            left.remove(equal)
    both = min(len(missing), len(left))
    different = [Change(*pair) for pair in zip(missing[:both], left[:both], strict=True)]
    return [*different, *(Change(one, None) for one in missing[both:]), *(Change(None, one) for one in left[both:])]


def _are_equal(expected: SampleLine, actual: SampleLine) -> bool:
    is_time = expected.timestamp_ms is None or expected.timestamp_ms == actual.timestamp_ms
    return expected.value == actual.value and is_time
