"""What the tables of all benches are made of."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Target:
    """One thing to reach: `found` may be at most `limit`."""

    what: str
    found: float
    limit: float
    unit: str = ""

    @property
    def is_met(self) -> bool:
        return self.found <= self.limit

    def line(self) -> str:
        verdict = "reached" if self.is_met else "MISSED"
        return f"  {verdict:<9}{self.what:<76}{self.found:>8.3g}{self.unit}  (at most {self.limit:.3g}{self.unit})"


def spread(values: Sequence[float], scale: float, digits: int) -> str:
    """Median, and between what all of them lie."""
    middle, low, high = statistics.median(values) * scale, min(values) * scale, max(values) * scale
    return f"{middle:.{digits}f} ({low:.{digits}f}-{high:.{digits}f})"


def joined(*paragraphs: Sequence[str]) -> str:
    """Paragraphs of lines, with an empty line between two of them."""
    return "\n\n".join("\n".join(lines) for lines in paragraphs)
