"""Queries a receiver for the newest sample of each series and of the workspace. They decide whether a late sample is
in order."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from urllib.parse import urlencode

from ..config.schema import RemoteWriteConfig
from ..http import HttpRequest
from ..model.samples import Samples, Series
from ..remote_write.client import NoAnswer, QueryResult, RemoteWriteClient
from ..remote_write.last_sample import METRIC, newest_times, query_url
from ..series import label_codec
from ..series.cache import SeriesLimits, validated

_ANY_NAME = SeriesLimits(utf8_names=True)
_TIMEOUT_SECONDS = 30.0
_MAX_ANSWER_BYTES = 50_000_000
_METRICS_AT_ONCE = 50
_AHEAD_MS = 600_000  # a receiver accepts samples that are so far ahead of its clock
_WIDE = "70m:30s"  # from an hour ago to ten minutes ahead: AMP accepts nothing older in any case
# Metrics with samples ahead of the clock; else the time now, if the workspace is written to, which is as precise as a
# cheap query can be; else the newest `up`.
_HEAD = (
    'count by (__name__) (last_over_time({__name__=~".+"}[10m]))'
    ' or (0 * count(last_over_time({__name__=~".+"}[1m] offset 10m)) + time() - 600)'
    f" or max(max_over_time(timestamp(up)[{_WIDE}]))"
)
_IDLE_MS = 60_000


class NewestSamples:
    """Queries one endpoint's receiver, each metric once. Raises nothing: `unknown` says why it is not known."""

    def __init__(self, endpoint: RemoteWriteConfig, client: RemoteWriteClient, now_ms: Callable[[], int]) -> None:
        self._url, self._client, self._now_ms = query_url(endpoint), client, now_ms
        self._asked: set[str] = set()
        self._known: set[Series] = set()
        self._newest: dict[bytes, int] = {}
        self.unknown = "" if self._url else "its url does not tell where it answers queries"

    def head_ms(self, deadline: float) -> int | None:
        """The time of the newest sample of all, or a later one; None when it is not known."""
        if self.unknown:
            return None
        try:
            found = self._query(_HEAD, deadline)
            ahead = [one.metric["__name__"] for one in found if "__name__" in one.metric]
            if ahead:
                return self._newest_of(ahead, deadline)
            return max((one.value_ms() for one in found), default=self._now_ms() - _IDLE_MS)
        except NoAnswer as error:
            self.unknown = str(error)
        return None

    def _newest_of(self, names: Sequence[str], deadline: float) -> int:
        """The newest sample of some metrics; of too many, the latest possible time. Raises NoAnswer."""
        if len(names) > _METRICS_AT_ONCE:
            return self._now_ms() + _AHEAD_MS
        return max((one.value_ms() for one in self._query(expression(names), deadline)), default=self._now_ms())

    def learn(self, samples: Samples, deadline: float) -> None:
        """Sets `last_ms` of series seen for the first time to their newest sample at the receiver."""
        new = set(samples.series) - self._known
        if not new or self.unknown:
            return
        self._known |= new
        names = {label_codec.labels_of(series.prefix)["__name__"] for series in new} - self._asked
        try:
            self._ask(sorted(names), deadline)
        except NoAnswer as error:
            self.unknown = str(error)
        for series in new:
            series.last_ms = max(series.last_ms, self._newest.get(series.prefix, series.last_ms))

    def forget(self) -> None:
        """Forgets all answers."""
        self._asked.clear()
        self._known.clear()
        self._newest.clear()

    def _ask(self, names: Sequence[str], deadline: float) -> None:
        for start in range(0, len(names), _METRICS_AT_ONCE):
            some = names[start : start + _METRICS_AT_ONCE]
            for one in self._query(expression(some), deadline):
                labels = dict(one.metric)
                labels["__name__"] = labels.pop(METRIC, "")
                self._newest[label_codec.series_prefix(validated(labels, _ANY_NAME))] = one.value_ms()
            self._asked |= set(some)

    def _query(self, text: str, deadline: float) -> list[QueryResult]:
        """The instant vector of an expression. Raises NoAnswer."""
        seconds = min(_TIMEOUT_SECONDS, max(deadline - time.monotonic(), 0.1))
        form = {"query": text, "time": f"{(self._now_ms() + _AHEAD_MS) / 1000:.3f}"}
        headers = {"Accept": "application/json", "Content-Type": "application/x-www-form-urlencoded"}
        ask = HttpRequest("POST", self._url, headers, urlencode(form).encode())
        return self._client.query(ask, seconds, _MAX_ANSWER_BYTES, "Backfill")


def expression(names: Iterable[str]) -> str:
    """Metrics -> PromQL for the time of each series' newest sample, in seconds. It is evaluated ahead of the clock,
    where samples may be."""
    return " or ".join(newest_times(name, "", _WIDE) for name in names)
