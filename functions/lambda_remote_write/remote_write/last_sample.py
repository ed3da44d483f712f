"""Queries the receiver for the newest sample of each job, with one query."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping, Sequence
from urllib.parse import quote, urlencode

from ..config.schema import RemoteWriteConfig
from ..http import HttpRequest
from .client import NoAnswer, RemoteWriteClient

_MAX_ANSWER_BYTES = 1_000_000
_TIMEOUT_SECONDS = 3.0
_WRITE_PATHS = {  # of a receiver -> where it answers queries
    "/api/v1/remote_write": "/api/v1/query",  # AMP
    "/api/v1/write": "/api/v1/query",  # Prometheus, VictoriaMetrics
    "/api/v1/push": "/prometheus/api/v1/query",  # Mimir, Cortex
}
METRIC = "metric__"
_RANGE = "1h:1m"  # AMP rejects older samples, so that a longer gap cannot be filled either


def query_url(endpoint: RemoteWriteConfig) -> str:
    """The query URL of the endpoint's receiver; "" when it is unknown."""
    for path, other in _WRITE_PATHS.items():
        if endpoint.url.endswith(path):
            return endpoint.url.removesuffix(path) + other
    return ""


def expression(metrics: Mapping[str, Sequence[str]]) -> str:
    """Job -> metrics, as one PromQL expression for the newest timestamp of each job, in seconds."""
    names = sorted({name for some in metrics.values() for name in some})
    jobs = "|".join(_escaped(job) for job in sorted(metrics))
    times = (newest_times(name, f',job=~"{jobs}"', _RANGE) for name in names)
    return f"max by (job) ({' or '.join(times)})"


def newest_times(metric: str, matchers: str, subquery: str) -> str:
    """PromQL for the time of the newest sample of each series of a metric, in seconds. The metric's name goes into a
    label of its own, because `timestamp` drops names and fails for two series that differ in nothing else.
    `timestamp` looks back five minutes only, hence the subquery."""
    quoted, replacement = (json.dumps(text, ensure_ascii=False) for text in (metric, metric.replace("$", "$$")))
    times = f"max_over_time(timestamp({{__name__={quoted}{matchers}}})[{subquery}])"
    return f'label_replace({times}, "{METRIC}", {replacement}, "", "")'


def newest_ms(
    client: RemoteWriteClient, endpoint: RemoteWriteConfig, metrics: Mapping[str, Sequence[str]], deadline: float
) -> dict[str, int]:
    """Job -> the time of its newest sample in the last hour, in milliseconds; jobs without one are left out.
    `deadline` is monotonic seconds. Raises NoAnswer."""
    url = query_url(endpoint)
    if not url:
        raise NoAnswer("its url does not tell where it answers queries")
    query = urlencode({"query": expression(metrics)}, quote_via=quote)  # a plus sign would be signed as itself
    ask = HttpRequest("GET", f"{url}?{query}", {"Accept": "application/json"})
    seconds = min(_TIMEOUT_SECONDS, deadline - time.monotonic())
    found = client.query(ask, seconds, _MAX_ANSWER_BYTES, "QueryWorkspace")
    return {one.metric.get("job", ""): one.value_ms() for one in found}


def _escaped(text: str) -> str:
    """Escapes a text for a quoted regular expression."""
    literal = "".join(char if char.isalnum() or char == "_" else f"\\\\{char}" for char in text if char != "\n")
    return literal.replace('\\\\"', '\\\\\\"')
