"""The synthetic series that Prometheus makes for every target: `up` and those that describe the scrape."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from ..model.samples import Intern, InvalidSeries, Series
from ..model.scrape import Scrape


class Synthetic:
    """The synthetic series of one target, with its labels. Only write_relabel_configs apply to them."""

    def __init__(self, target: Mapping[str, str], names: Sequence[str], intern: Intern) -> None:
        self._target, self._names, self._intern = target, names, intern
        self._series: list[Series] = []
        self._refused: InvalidSeries | None = None

    @property
    def series(self) -> list[Series]:
        if not self._series and self._refused is None:
            try:
                self._series = [self._intern({**self._target, "__name__": name}) for name in self._names]
            except InvalidSeries as error:
                self._refused = error
        return self._series

    def add_to(self, scrape: Scrape, values: Sequence[float], run: int) -> None:
        """`values` in the order of the names."""
        for series, value in zip(self.series, values, strict=False):
            series.seen = run
            scrape.samples.add(series, value, scrape.started_ms)
        if self._refused:
            scrape.dropped.add(self._refused.reason, str(self._refused), len(self._names))
