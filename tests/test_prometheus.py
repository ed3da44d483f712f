"""A real Prometheus takes everything that the sandbox takes from us, and gives back what the API served."""

from __future__ import annotations

import random
import struct
import time
from collections.abc import Iterator
from typing import Any

import pytest

from lambda_remote_write.report.report import Report
from sandbox import prometheus
from sandbox.amp import Receiver
from sandbox.api import Api
from sandbox.server import Answer
from tests.rig import made
from tests.rig.delivery import Clock
from tests.rig.needs import Peer
from tests.rig.push import config_text, endpoint, job, run, warm_of

MINUTE = 60_000
Labels = tuple[tuple[str, str], ...]
Points = dict[Labels, list[tuple[int, str]]]


@pytest.fixture(scope="module")
def server(peer: Peer) -> Iterator[prometheus.Prometheus]:
    peer("prometheus")
    with prometheus.Prometheus() as running:
        yield running


def stored(server: prometheus.Prometheus, selector: str) -> Points:
    """Every sample of the last hour as Prometheus tells it: milliseconds and the text of the value."""
    return {
        tuple(sorted(series["metric"].items())): [(round(moment * 1000), text) for moment, text in series["values"]]
        for series in server.query(f"{selector}[1h]", time.time() + 1)
    }


def same_bits(text: str, value: float) -> bool:
    """Equal to the last bit; of a NaN, text keeps only that it is one."""
    return (text == "NaN" and value != value) or struct.pack("<d", float(text)) == struct.pack("<d", value)


NUMBERS: list[Any] = [
    0, 0.0, 1, -1, 0.1, 1e-320, 5e-324, 1.7976931348623157e308, 2**53, 2**53 + 1, 1e21, 1e-7, 123456789.123456789
]  # fmt: skip
# A document is either read in columns (numbers only) or record by record.
SPECIAL = {"numbers": [*NUMBERS, -0.0], "mixed": [*NUMBERS, "NaN", "+Inf", "-Inf", "12.5", True]}
LABELS = ["plain", "žluťoučký kůň", "日本語", "😀", 'quote " and \\', "line\nbreak", "tab\t", '{a="b"}', "é" * 900, " "]


def generated(seed: int, now_ms: int, kind: str = "mixed") -> list[dict[str, Any]]:
    """Several points of every series, newest first in half of the documents, each series at its own times."""
    chance, records = random.Random(seed), []
    for label in [*LABELS, *(f"random {n}" for n in range(20))]:
        times = chance.sample(range(now_ms - 50 * MINUTE, now_ms), k=chance.randint(1, 12))
        for at in sorted(times, reverse=bool(seed % 2)):
            value = chance.choice(SPECIAL[kind]) if chance.random() < 0.5 else finite(chance)
            records.append({"id": label, "value": value, "at": at})
    return records


def finite(chance: random.Random) -> float:
    while True:
        value = made.of_bits(chance.getrandbits(64))
        if value == value and abs(value) != float("inf"):
            return value


def as_float(value: Any) -> float:
    return float(value)


def push_to(server: prometheus.Prometheus, records: list[dict[str, Any]], job_name: str) -> tuple[Report, Receiver]:
    """One run to two endpoints: the sandbox, which forwards what it accepts, and Prometheus itself."""
    direct = {
        "name": "direct",
        "url": server.write_url,
        "write_relabel_configs": [{"target_label": "route", "replacement": "direct"}],
        "queue_config": {"max_samples_per_send": "50"},
    }
    with Api() as api, Receiver(forward_url=server.write_url) as amp:
        url = api.serve("/records", Answer.json(records))
        jobs = [job(url, job_name)]
        text = config_text(jobs, [endpoint(amp, "amp"), direct], **{"global": {"external_labels": {"env": "tést"}}})
        with warm_of(text, Clock()) as environment:
            return run(environment), amp


@pytest.mark.parametrize("kind", SPECIAL)
@pytest.mark.parametrize("seed", range(4))
def test_what_the_api_served_is_what_prometheus_gives_back(server: prometheus.Prometheus, seed: int, kind: str) -> None:
    """Both ways, bit for bit: labels, times and values."""
    records, job_name = generated(seed, int(time.time() * 1000), kind), f"{kind}-{seed}"
    report, amp = push_to(server, records, job_name)
    assert [(one.accepted, one.collected) for one in report.deliveries] == [(len(records) + 5,) * 2] * 2
    assert {record.forward_status for record in amp.requests} == {204}
    found = stored(server, f'requests_total{{job="{job_name}"}}')
    for route in ({}, {"route": "direct"}):
        expected: dict[Labels, list[tuple[int, float]]] = {}
        for record in sorted(records, key=lambda record: record["at"]):
            labels = {"__name__": "requests_total", "job": job_name, "env": "tést", "id": record["id"], **route}
            mine = next(series for series in found if labels.items() == dict(series).items() - {instance(series)})
            expected.setdefault(mine, []).append((record["at"], as_float(record["value"])))
        for series, points in expected.items():
            assert [at for at, _ in found[series]] == [at for at, _ in points]
            pairs = [(text, value) for (_, text), (_, value) in zip(found[series], points, strict=True)]
            assert [pair for pair in pairs if not same_bits(*pair)] == []
    assert len(found) == 2 * len({record["id"] for record in records})


def instance(series: Labels) -> tuple[str, str]:
    return next(pair for pair in series if pair[0] == "instance")


def test_the_sandbox_holds_what_prometheus_holds(server: prometheus.Prometheus) -> None:
    records = generated(100, int(time.time() * 1000))
    _, amp = push_to(server, records, "held")
    held = amp.series("requests_total", job="held")
    found = stored(server, 'requests_total{job="held",route=""}')
    assert {tuple(sorted(labels)): [at for at, _ in points] for labels, points in held.items()} == {
        labels: [at for at, _ in points] for labels, points in found.items()
    }


def test_metadata_is_taken_with_the_samples(server: prometheus.Prometheus) -> None:
    records = [{"id": "a", "value": 1, "at": int(time.time() * 1000)}]
    report, amp = push_to(server, records, "metadata")
    assert [one.metadata_accepted for one in report.deliveries] == [1, 1]
    assert amp.metadata["requests_total"].type == "counter"
    assert [one.warnings for one in report.deliveries] == [[], []]


UPS = [
    {"id": "rack 1", "status": "OB", "at": 0, "values": {"battery.charge": 87, "input.voltage": 0.5}},
    {"id": "rack 2", "status": "BYPASS", "at": 0, "values": {"battery.charge": 100}},
]


def test_states_and_names_from_records_arrive(server: prometheus.Prometheus) -> None:
    """A stateset is 1 in one state at most, and each name of a record is a metric."""
    stamp = int(time.time() * 1000)
    metrics = [
        {
            "name": "ups_status", "help": "Status.", "value": "status", "labels": {"id": "id"},
            "timestamp": {"path": "at", "format": "unix_ms"}, "states": {"values": ["OL", "OB", "LB"]},
        },
        {
            "name": {"path": "@key", "prefix": "ups_"}, "type": "gauge", "records": ["[]", "values"], "value": "@",
            "labels": {"id": "^.id"}, "timestamp": {"path": "^.at", "format": "unix_ms"},
        },
    ]  # fmt: skip
    with Api() as api, Receiver(forward_url=server.write_url) as amp:
        url = api.serve("/ups", Answer.json([one | {"at": stamp} for one in UPS]))
        text = config_text([{"job_name": "ups", "url": url, "metrics": metrics}], [endpoint(amp, "amp")])
        with warm_of(text, Clock()) as environment:
            report = run(environment)
        assert {record.forward_status for record in amp.requests} == {204}
        assert amp.metadata["ups_status"] == ("stateset", "Status.", "")
        assert amp.metadata["ups_battery_charge"].type == amp.metadata["ups_input_voltage"].type == "gauge"
    assert not report.scrapes[0].error
    found = {
        (labels["__name__"], labels["id"], labels.get("ups_status", "")): points
        for labels, points in ((dict(key), points) for key, points in stored(server, '{job="ups",id!=""}').items())
    }
    states = {("rack 1", "OL"): "0", ("rack 1", "OB"): "1", ("rack 1", "LB"): "0"}
    states |= {("rack 2", state): "0" for state in ("OL", "OB", "LB")}
    assert found == {("ups_status", *key): [(stamp, value)] for key, value in states.items()} | {
        ("ups_battery_charge", "rack 1", ""): [(stamp, "87")],
        ("ups_battery_charge", "rack 2", ""): [(stamp, "100")],
        ("ups_input_voltage", "rack 1", ""): [(stamp, "0.5")],
    }
    assert len(server.query('ups_status{job="ups"} == 1', time.time() + 1)) == 1


def test_a_query_range_shows_the_counter_as_the_api_moved_it(server: prometheus.Prometheus) -> None:
    """The example API over ten simulated minutes: one point a minute and project, each where it belongs."""
    clock = Clock()
    minute = int(time.time() // 60) * 60
    clock.ahead = minute - 600 + 10 - time.time()
    served: dict[int, float] = {}
    with Api(now=clock.time) as api, Receiver(now=clock.time, forward_url=server.write_url) as amp:
        usage = {
            "job_name": "moving",
            "url": f"{api.url}/usage",
            "metrics": [
                {
                    "name": "moving_total", "type": "counter", "records": "[?projectCode=='4']",
                    "value": "apiRequestCount", "labels": {"projectCode": "projectCode"},
                    "timestamp": {"path": "currentTime", "format": "unix"},
                }
            ],
        }  # fmt: skip
        with warm_of(config_text([usage], [endpoint(amp, "amp")]), clock) as environment:
            for _ in range(10):
                run(environment)
                clock.ahead += 60
        assert amp.refused == 0
        for points in amp.series("moving_total").values():
            served |= {at // 1000: value for at, value in points}
    assert len(served) == 10
    (series,) = server.query_range('moving_total{projectCode="4"}', min(served), max(served), 60)
    assert {int(at): float(text) for at, text in series["values"]} == served
