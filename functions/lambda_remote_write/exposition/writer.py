"""Samples as text: OpenMetrics 1.0 for `promtool tsdb create-blocks-from openmetrics`, the Prometheus text format for
people."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from ..config.scalars import is_label_name, is_metric_name
from ..model.drop_reasons import DropReason
from ..model.reason_counts import ReasonCounts
from ..model.samples import Histogram, Samples
from ..series import label_codec

_ESCAPES = str.maketrans({"\\": r"\\", '"': r"\"", "\n": r"\n"})
_STALE_DETAIL = "a stale marker ends a series; the text format has none"
_HISTOGRAM_DETAIL = "a native histogram; the text format has none"


@dataclass(slots=True)
class Exported:
    """Samples by series, oldest first, each time once. `left_out` counts what the text cannot express."""

    series: dict[bytes, dict[int, float]] = field(default_factory=dict)
    left_out: ReasonCounts = field(default_factory=ReasonCounts)

    def add(self, samples: Samples) -> None:
        """Of two samples of one series and time the first one counts, as in a receiver."""
        for series, value, stamp in zip(samples.series, samples.values, samples.timestamps_ms, strict=True):
            if isinstance(value, Histogram):
                self.left_out.add(DropReason.NATIVE_HISTOGRAM, _HISTOGRAM_DETAIL)
            elif math.isnan(value) and label_codec.is_stale(value):
                self.left_out.add(DropReason.STALE_MARKER, _STALE_DETAIL)
            else:
                self.series.setdefault(series.prefix, {}).setdefault(stamp, value)

    @property
    def samples(self) -> int:
        return sum(map(len, self.series.values()))


def openmetrics(exported: Exported) -> Iterator[str]:
    """Lines of OpenMetrics 1.0, ending with `# EOF`. Metrics are in the order of their names."""
    for text, points in _named(exported):
        for stamp, value in sorted(points.items()):
            yield f"{text} {number(value)} {seconds(stamp)}\n"
    yield "# EOF\n"


def exposition(exported: Exported) -> Iterator[str]:
    """Lines of the Prometheus text format, with timestamps in milliseconds."""
    for text, points in _named(exported):
        for stamp, value in sorted(points.items()):
            yield f"{text} {number(value)} {stamp}\n"


def _named(exported: Exported) -> Iterable[tuple[str, Mapping[int, float]]]:
    labelled = [(label_codec.labels_of(prefix), points) for prefix, points in exported.series.items()]
    labelled.sort(key=lambda one: (one[0]["__name__"], sorted(one[0].items())))
    return [(series_text(labels), points) for labels, points in labelled]


def series_text(labels: Mapping[str, str]) -> str:
    """A series as the text formats write it; names beyond the legacy ones in quotes, as in Prometheus 3."""
    name = labels["__name__"]
    parts = [
        f"{label if is_label_name(label) else _quoted(label)}={_quoted(value)}"
        for label, value in labels.items()
        if label != "__name__"
    ]
    if not is_metric_name(name):
        return f"{{{','.join([_quoted(name), *parts])}}}"
    return f"{name}{{{','.join(parts)}}}" if parts else name


def _quoted(text: str) -> str:
    return f'"{text.translate(_ESCAPES)}"'


def number(value: float) -> str:
    """A number as both text formats write it."""
    if math.isnan(value):
        return "NaN"
    if math.isinf(value):
        return "+Inf" if value > 0 else "-Inf"
    return repr(value)


def seconds(milliseconds: int) -> str:
    """A time as OpenMetrics writes it."""
    sign, size = ("-", -milliseconds) if milliseconds < 0 else ("", milliseconds)
    return f"{sign}{size // 1000}.{size % 1000:03d}"
