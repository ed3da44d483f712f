"""The series of one endpoint after its `write_relabel_configs`, within the limits of its receiver."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

from .. import relabel
from ..config.schema import RemoteWriteConfig
from ..model.drop_reasons import DropReason
from ..model.reason_counts import ReasonCounts
from ..model.samples import InvalidSeries, Labels, Samples, Series
from ..series import label_codec
from ..series.cache import AMP_LIMITS, NO_LIMITS, SeriesCache, SeriesLimits, validated
from ..series.name_escaping import is_legacy


class RelabelledSeries:
    """Maps each series to the endpoint's own one after `write_relabel_configs` and its receiver's limits, or to the
    reason why there is none. The endpoint's series remember what was sent to it, independent of other endpoints."""

    def __init__(
        self,
        rules: Sequence[relabel.Rule],
        limits: SeriesLimits | None,
        escape: Callable[[Labels], Labels] = dict,
        *,
        classic_histograms: bool = False,
    ) -> None:
        """`limits` is None if all series are known to be within them. `escape` converts names for a receiver that
        accepts legacy names only. With `classic_histograms` the endpoint gets classic histograms instead of native
        ones with custom buckets."""
        self._rules, self._limits, self._escape = rules, limits, escape
        self.cache = SeriesCache((), limits or NO_LIMITS)
        self._mapped: dict[Series, Series | str] = {}
        self.classic: ClassicHistograms | None = None
        if classic_histograms:
            from ..remote_write.encode.classic import ClassicHistograms  # few endpoints pay for it

            self.classic = ClassicHistograms(self._own)

    def __call__(self, series: Series) -> Series | str:
        """The endpoint's series, or the reason why there is none."""
        found = self._mapped.get(series)
        if found is None:
            found = self._mapped[series] = self._map(series)
        return found

    def apply(self, samples: Samples, dropped: ReasonCounts) -> Samples:
        """The samples of the endpoint, in any order; the others are counted in `dropped`."""
        seen = Samples()
        for series, value, timestamp_ms in zip(samples.series, samples.values, samples.timestamps_ms, strict=True):
            mapped = self(series)
            if isinstance(mapped, str):
                dropped.add(mapped, "dropped by write_relabel_configs of this endpoint")
            else:
                seen.add(mapped, value, timestamp_ms)
        for series, exemplars in samples.exemplars.items():
            if isinstance(mapped := self(series), Series):
                seen.exemplars[mapped] = exemplars
        for series, start_ms in samples.starts_ms.items():
            if isinstance(mapped := self(series), Series):
                seen.starts_ms[mapped] = start_ms
        return seen

    def _map(self, series: Series) -> Series | str:
        if self._limits is None and not self._rules:
            return self.cache.interned(series.prefix)
        labels = relabel.relabel(label_codec.labels_of(series.prefix), self._rules)
        return self._own(labels) if labels else DropReason.WRITE_RELABEL

    def _own(self, labels: Labels) -> Series | str:
        limits = self._limits or NO_LIMITS
        if not limits.utf8_names and not is_legacy(labels):
            labels = dict(self._escape(labels))
        try:
            return self.cache.interned(label_codec.series_prefix(validated(labels, limits)))
        except InvalidSeries as error:
            return error.reason

    def prune(self, oldest_kept: int) -> None:
        """Forgets series last seen before the run `oldest_kept`."""
        self._mapped = {series: mapped for series, mapped in self._mapped.items() if series.seen >= oldest_kept}
        mapped = {mapped for mapped in self._mapped.values() if isinstance(mapped, Series)}
        classic = self.classic.prune(mapped) if self.classic else ()
        self.cache.keep({series.prefix for series in (*mapped, *classic)})


def limits_of(endpoint: RemoteWriteConfig) -> SeriesLimits:
    return replace(AMP_LIMITS if endpoint.is_amp else NO_LIMITS, utf8_names=endpoint.version > 1)


def common_limits(endpoints: Sequence[RemoteWriteConfig]) -> SeriesLimits:
    """The limits for every series: AMP's if all endpoints are AMP; legacy names if no endpoint accepts others and none
    has `write_relabel_configs`, which see the original names as in Prometheus."""
    common = AMP_LIMITS if all(one.is_amp for one in endpoints) else NO_LIMITS
    return replace(common, utf8_names=any(one.version > 1 or one.write_relabel for one in endpoints))
