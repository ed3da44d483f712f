"""A real Prometheus takes either version, native histograms and exemplars included, and gives back what was sent, also
the newest sample of jobs."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import pytest

from lambda_remote_write.model.samples import STALE, Exemplar, Histogram, Metadata, Samples
from lambda_remote_write.remote_write import last_sample
from sandbox import prometheus
from tests.rig.delivery import Rig, rig
from tests.rig.needs import Peer

MESSAGES = {1: "prometheus.WriteRequest", 2: "io.prometheus.write.v2.Request"}
FEATURES = "--enable-feature=exemplar-storage,native-histograms,metadata-wal-records"
ACCEPTED = "--web.remote-write-receiver.accepted-protobuf-messages"
OTHER = {"sigv4": None, "send_exemplars": True, "send_native_histograms": True}

# 2 below zero, 3 in the zero bucket, 1 and 4 above it, in neighbouring buckets of schema 0: (0.5, 1] and (1, 2].
WHOLE = Histogram(10, 6.5, 0, 0.001, 3, ((1, 1),), (2,), ((0, 2),), (1, 3))
PART = Histogram(10.5, 6.5, 0, 0.001, 3.0, ((1, 1),), (2.0,), ((0, 2),), (1.0, 4.5), is_float=True)
CUSTOM = Histogram(7, 9.5, -53, 0.0, 0, (), (), ((0, 2),), (3, 1), custom_values=(0.5,))


@pytest.fixture(scope="module")
def server(peer: Peer) -> Iterator[prometheus.Prometheus]:
    peer("prometheus")
    accepted = [f"{ACCEPTED}={message}" for message in MESSAGES.values()]
    with prometheus.Prometheus(arguments=[FEATURES, *accepted]) as running:
        yield running


def sender(server: prometheus.Prometheus, version: int, **keys: Any) -> Any:
    return rig(server.write_url, protobuf_message=MESSAGES[version], **OTHER, **keys)


def page(one: Rig, version: int, histograms: tuple[Histogram, ...]) -> Samples:
    """Floats and histograms of today, with exemplars, a start, and a series that ends."""
    samples, now_ms, intern = Samples(), one.clock.now_ms() - 5000, one.series.intern
    route = {"route": f"v{version}", "text": "žluťoučký 日本 😀"}
    for n, value in enumerate((0.0, -0.0, 1.5, float("inf"), 1e-320)):
        samples.add(intern({"__name__": "numbers", "n": str(n), **route}), value, now_ms)
    counter = intern({"__name__": "events_total", **route})
    samples.add(counter, 1.0, now_ms)
    samples.add(counter, 2.0, now_ms + 1000)
    samples.starts_ms[counter] = now_ms - 60_000
    samples.exemplars[counter] = (Exemplar((("trace_id", f"trace-{version}"),), 1.0, now_ms + 500),)
    for n, histogram in enumerate(histograms):
        samples.add(intern({"__name__": "native", "n": str(n), **route}), histogram, now_ms)
    ended = intern({"__name__": "ended", **route})
    samples.add(ended, WHOLE, now_ms)
    samples.add(ended, STALE, now_ms + 1000)
    return samples


HELP = [Metadata("events", "counter", "What happened.", "events")]


@pytest.mark.parametrize("version", [1, 2], ids=["1.0", "2.0"])
def test_prometheus_gives_back_what_was_sent(server: prometheus.Prometheus, version: int) -> None:
    histograms = (WHOLE, PART, CUSTOM) if version == 2 else (WHOLE, PART)
    with sender(server, version, queue_config={"max_samples_per_send": "3"}) as one:
        samples = page(one, version, histograms)
        delivery = one.send(samples, metadata=HELP)
        assert (delivery.accepted, delivery.exemplars_accepted, delivery.warnings) == (len(samples), 1, [])
        assert one.endpoint.client.version == version
    route = f'route="v{version}"'
    assert {one["metric"]["n"]: one["value"][1] for one in server.query(f"numbers{{{route}}}")} == {
        "0": "0", "1": "-0", "2": "1.5", "3": "+Inf", "4": "1e-320",
    }  # fmt: skip
    (counter,) = server.query(f"events_total{{{route}}}[1m]")
    assert [text for _, text in counter["values"]] == ["1", "2"]
    assert counter["metric"]["text"] == "žluťoučký 日本 😀"
    natives = {one["metric"]["n"]: one["histogram"][1] for one in server.query(f"native{{{route}}}")}
    assert natives["0"] == {
        "count": "10", "sum": "6.5",
        "buckets": [[1, "-2", "-1", "2"], [3, "-0.001", "0.001", "3"], [0, "0.5", "1", "1"], [0, "1", "2", "4"]],
    }  # fmt: skip
    assert natives["1"]["buckets"][-1] == [0, "1", "2", "4.5"]
    if version == 2:
        assert (natives["2"]["count"], natives["2"]["buckets"]) == (
            "7",
            [[3, "-Inf", "0.5", "3"], [0, "0.5", "+Inf", "4"]],
        )
    assert server.query(f"ended{{{route}}}") == []
    assert len(server.query(f"ended{{{route}}}[1m]")) == 1
    (found,) = server.exemplars(f"events_total{{{route}}}", time.time() - 60, time.time())
    assert [(one["labels"], one["value"]) for one in found["exemplars"]] == [({"trace_id": f"trace-{version}"}, "1")]


def test_a_prometheus_that_takes_1_0_only_makes_the_sender_fall_back(peer: Peer) -> None:
    peer("prometheus")
    arguments = [FEATURES, f"{ACCEPTED}={MESSAGES[1]}"]
    with prometheus.Prometheus(arguments=arguments) as old, sender(old, 2) as one:
        samples = page(one, 2, (WHOLE, CUSTOM))
        delivery = one.send(samples)
        assert (delivery.accepted, dict(delivery.dropped.counts)) == (len(samples) - 1, {"custom_buckets": 1})
        assert "does not take remote write 2.0" in delivery.warnings[0]
        assert one.endpoint.client.version == 1
        assert len(old.query("native")) == 1


def test_a_sample_that_prometheus_refuses_is_exactly_counted(server: prometheus.Prometheus) -> None:
    """Its 2.0 side keeps the valid rest and says how much that is."""
    with sender(server, 2) as one:
        now_ms = one.clock.now_ms()
        assert one.deliver([({"__name__": "refused", "n": "0"}, 1.0, now_ms)]).accepted == 1
        points = [({"__name__": "refused", "n": str(n)}, 2.0, now_ms) for n in range(2)]  # one of them a duplicate
        delivery = one.deliver(points)
        assert (delivery.accepted, dict(delivery.rejected.counts)) == (1, {"new-value-for-timestamp": 1})
        assert delivery.rejected.first_examples["new-value-for-timestamp"].startswith("1 samples: 400")
        assert len(server.query("refused")) == 2


def test_metrics_that_differ_only_in_their_names_are_distinguished(server: prometheus.Prometheus) -> None:
    """`timestamp` drops names: two such series in one selector are an error of PromQL."""
    with sender(server, 1) as one:
        now_ms = one.clock.now_ms()
        newest = {("a", "one"): now_ms - 300_000, ("b", "one"): now_ms - 120_000, ("c", "two"): now_ms - 600_000}
        points = [({"__name__": metric, "job": job}, 1.0, stamp) for (metric, job), stamp in newest.items()]
        assert one.deliver(points).accepted == 3
        metrics = {"one": ["a", "b"], "two": ["c"], "three": ["a"]}
        client, config = one.endpoint.client, one.endpoint.config
        found = last_sample.newest_ms(client, config, metrics, time.monotonic() + 10)
    assert found == {"one": now_ms - 120_000, "two": now_ms - 600_000}
