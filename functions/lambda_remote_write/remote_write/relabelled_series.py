"""The series of one endpoint after its `write_relabel_configs`, within the limits of its receiver."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

from .. import relabel
from ..config.schema import RemoteWriteConfig
from ..model.drop_reasons import DropReason
from ..model.samples import InvalidSeries, Labels, Series
from ..series import label_codec
from ..series.cache import AMP_LIMITS, NO_LIMITS, SeriesCache, SeriesLimits, legacy_prefix, validated
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
        self._cache = SeriesCache((), limits or NO_LIMITS)
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

    def find(self, prefix: bytes) -> Series | None:
        """The endpoint's series of an encoded prefix, when it is known."""
        return self._cache.find(prefix)

    def marks(self) -> dict[bytes, int]:
        return self._cache.marks()

    def remember(self, marks: Mapping[bytes, int]) -> None:
        self._cache.remember(marks)

    def find_legacy(self, prefix: bytes) -> Series:
        """The endpoint's series of an encoded prefix, whose names may need escaping for 1.0."""
        return self._cache.interned(legacy_prefix(prefix, self._escape))

    def remember_legacy(self, marks: Mapping[bytes, int]) -> None:
        """Takes over the times up to which series were sent in 2.0."""
        self._cache.remember({legacy_prefix(prefix, self._escape): last_ms for prefix, last_ms in marks.items()})

    def _map(self, series: Series) -> Series | str:
        if self._limits is None and not self._rules:
            return self._cache.interned(series.prefix)
        labels = relabel.relabel(label_codec.labels_of(series.prefix), self._rules)
        return self._own(labels) if labels else DropReason.WRITE_RELABEL

    def _own(self, labels: Labels) -> Series | str:
        limits = self._limits or NO_LIMITS
        if not limits.utf8_names and not is_legacy(labels):
            labels = dict(self._escape(labels))
        try:
            return self._cache.interned(label_codec.series_prefix(validated(labels, limits)))
        except InvalidSeries as error:
            return error.reason

    def prune(self, oldest_kept: int) -> None:
        """Forgets series last seen before the run `oldest_kept`."""
        self._mapped = {series: mapped for series, mapped in self._mapped.items() if series.seen >= oldest_kept}
        mapped = {mapped for mapped in self._mapped.values() if isinstance(mapped, Series)}
        classic = self.classic.prune(mapped) if self.classic else ()
        self._cache.keep({series.prefix for series in (*mapped, *classic)})


def limits_of(endpoint: RemoteWriteConfig) -> SeriesLimits:
    return replace(AMP_LIMITS if endpoint.is_amp else NO_LIMITS, utf8_names=endpoint.version > 1)


def common_limits(endpoints: Sequence[RemoteWriteConfig]) -> SeriesLimits:
    """The limits for every series: AMP's if all endpoints are AMP; legacy names if no endpoint accepts others and none
    has `write_relabel_configs`, which see the original names as in Prometheus."""
    common = AMP_LIMITS if all(one.is_amp for one in endpoints) else NO_LIMITS
    return replace(common, utf8_names=any(one.version > 1 or one.write_relabel for one in endpoints))
