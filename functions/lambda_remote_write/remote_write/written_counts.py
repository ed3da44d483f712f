"""What a receiver of 2.0 says that it wrote: without that a 2xx is no proof that it understood."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from ..model.delivery import WriteRequest

_HEADER = "X-Prometheus-Remote-Write-{}-Written"


@dataclass(frozen=True, slots=True)
class WrittenCounts:
    """Counts of what was written; what a receiver does not mention is none, and so is what cannot be read."""

    samples: int = 0
    histograms: int = 0
    exemplars: int = 0

    def of(self, request: WriteRequest) -> int:
        """How many of the request's samples, histograms included: never more than it has."""
        floats = request.samples - request.histograms
        return min(self.samples, floats) + min(self.histograms, request.histograms)


def written(headers: Mapping[str, str]) -> WrittenCounts | None:
    """The counts in an answer's headers; None when it has none of them."""
    found = [headers.get(_HEADER.format(kind)) for kind in ("Samples", "Histograms", "Exemplars")]
    return WrittenCounts(*map(_count, found)) if any(found) else None


def _count(header: str | None) -> int:
    text = (header or "").strip()
    return int(text[:18]) if text.isascii() and text.isdigit() else 0
