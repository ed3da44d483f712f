"""The newest sample of jobs, asked of a real Prometheus."""

from __future__ import annotations

import time

from lambda_remote_write.config.load import parse_config
from lambda_remote_write.dependencies import Dependencies
from lambda_remote_write.environment import Environment
from lambda_remote_write.model.reason_counts import ReasonCounts
from lambda_remote_write.model.samples import Samples
from lambda_remote_write.remote_write import last_sample, request_size
from sandbox import prometheus
from tests.rig.needs import Peer


def test_metrics_that_differ_only_in_their_names_are_distinguished(peer: Peer) -> None:
    """`timestamp` drops names: two such series in one selector are an error of PromQL."""
    peer("prometheus")
    now_ms = time.time_ns() // 1_000_000
    newest = {("a", "one"): now_ms - 300_000, ("b", "one"): now_ms - 120_000, ("c", "two"): now_ms - 600_000}
    with prometheus.Prometheus() as server:
        environment = Environment(
            parse_config(f"remote_write: [{{url: {server.write_url}}}]", "c", {}), Dependencies({})
        )
        (endpoint,) = environment.endpoints
        samples = Samples()
        for (metric, job), stamp in newest.items():
            samples.add(environment.series.intern({"__name__": metric, "job": job}), 1.0, stamp)
        for request in request_size.pack(samples, request_size.Protocol(endpoint.config, 1), now_ms, ReasonCounts()):
            assert endpoint.client.post(request, 1, 10.0).status == 204
        metrics = {"one": ["a", "b"], "two": ["c"], "three": ["a"]}
        found = last_sample.newest_ms(endpoint.client, endpoint.config, metrics, time.monotonic() + 10)
        environment.dependencies.transport.close()
    assert found == {"one": now_ms - 120_000, "two": now_ms - 600_000}
