"""The state of one endpoint in an environment."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import replace

from ..config.schema import RemoteWriteConfig
from ..model.samples import Labels, Series
from ..report.self_metrics import EndpointFacts
from ..series.cache import SeriesCache, SeriesLimits, legacy_prefix
from ..series.order import PrefixCache
from .client import RemoteWriteClient
from .rate_limit import RateLimiter
from .relabelled_series import RelabelledSeries, limits_of


class EndpointState:
    """One endpoint, and what the environment remembers about it."""

    def __init__(
        self,
        config: RemoteWriteConfig,
        client: RemoteWriteClient,
        series: SeriesCache,
        view: RelabelledSeries | None,
        escape: Callable[[Labels], Labels],
    ) -> None:
        """`view` has the endpoint's own series; it is None if the endpoint uses the shared ones, `series`. `escape`
        converts names that only 2.0 allows."""
        self.config, self.escape = config, escape
        self._shared, self._view, self._speaks_legacy = series, view, False
        self._lock = threading.Lock()
        self.metadata_sent_ms: dict[str, int] = {}  # by metric
        self.own_facts = EndpointFacts()
        rate = config.queue.max_samples_per_second
        self.rate_limiter: RateLimiter | None = RateLimiter(rate) if rate else None
        self.prefixes = PrefixCache()
        self.client = client

    @property
    def has_fallen_back(self) -> bool:
        """Whether the receiver refused 2.0 and gets 1.0."""
        return self.client.version < self.config.version

    @property
    def view(self) -> RelabelledSeries | None:
        """The endpoint's own series; None if it uses the shared ones. After a fall back to 1.0 they have the names and
        limits of 1.0."""
        with self._lock:
            if self.has_fallen_back and not self._speaks_legacy:
                self._view, self._speaks_legacy = self._legacy_view(), True
            return self._view

    def _legacy_view(self) -> RelabelledSeries:
        config, limits = self.config, replace(limits_of(self.config), utf8_names=False)
        classic = config.convert_nhcb_to_classic
        view = RelabelledSeries(config.write_relabel, limits, self.escape, classic_histograms=classic)
        marks = (self._view.cache if self._view else self._shared).marks()
        view.cache.remember({legacy_prefix(prefix, self.escape): last_ms for prefix, last_ms in marks.items()})
        return view

    @property
    def series(self) -> SeriesCache:
        """The series that this endpoint gets: its own, or the shared ones."""
        view = self.view
        return view.cache if view else self._shared

    def find(self, prefix: bytes) -> Series | None:
        """The endpoint's series of an encoded prefix of either version, None if it is not known."""
        series = self.series
        return series.interned(legacy_prefix(prefix, self.escape)) if self._speaks_legacy else series.find(prefix)


def view_of(
    config: RemoteWriteConfig,
    limits: SeriesLimits,
    escape: Callable[[Labels], Labels],
    before: Sequence[EndpointState],
) -> RelabelledSeries:
    """The endpoint's own series: those that it had `before` this config, if nothing about them has changed. `limits`
    are what all series keep to; `escape` makes names legacy."""
    own_limits, classic = limits_of(config), config.convert_nhcb_to_classic
    for endpoint in before:
        known = endpoint.config
        is_same = (known.name, known.write_relabel) == (config.name, config.write_relabel)
        has_same_names = limits_of(known) == own_limits and not endpoint.has_fallen_back
        if endpoint.view and is_same and has_same_names and known.convert_nhcb_to_classic == classic:
            return endpoint.view
    is_unchanged = own_limits == limits and not config.write_relabel and not classic
    return RelabelledSeries(
        config.write_relabel, None if is_unchanged else own_limits, escape, classic_histograms=classic
    )
