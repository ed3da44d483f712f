"""The counts that a receiver of 2.0 says it has written. A 2xx without them does not prove that it speaks 2.0."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from ..model.delivery import WriteRequest

_HEADER = "X-Prometheus-Remote-Write-{}-Written"


@dataclass(frozen=True, slots=True)
class WrittenCounts:
    """Counts of what was written. A missing or unreadable count is 0."""

    samples: int = 0
    histograms: int = 0
    exemplars: int = 0

    def of(self, request: WriteRequest) -> int:
        """The number of written samples of the request, histograms included; never more than it has."""
        floats = request.samples - request.histograms
        return min(self.samples, floats) + min(self.histograms, request.histograms)


def written(headers: Mapping[str, str]) -> WrittenCounts | None:
    """The counts in the headers of an answer; None without any of them."""
    found = [headers.get(_HEADER.format(kind)) for kind in ("Samples", "Histograms", "Exemplars")]
    return WrittenCounts(*map(_count, found)) if any(found) else None


def _count(header: str | None) -> int:
    text = (header or "").strip()
    return int(text[:18]) if text.isascii() and text.isdigit() else 0
