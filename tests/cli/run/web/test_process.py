"""A running `pusher run` and its pages: what it tells of itself, reloads, the end, slow clients, a real Prometheus."""

from __future__ import annotations

import json
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from lambda_remote_write_cli.run.web.pages import WebOptions
from sandbox.prometheus import Prometheus
from sandbox.server import Fault
from tests.rig import compliance as rig
from tests.rig.needs import Peer
from tests.rig.run import running
from tests.rig.web import Client, client_of, port_of

pytestmark = pytest.mark.slow

LISTENING = ("--web.listen-address=:0", "--web.enable-lifecycle")
PAGE = b"m 1\n"
AWAY = Fault.status(503, b"overloaded")


@pytest.fixture
def pages() -> Iterator[rig.Pages]:
    with rig.Pages({"/metrics": (PAGE, rig.TEXT)}) as served:
        yield served


@pytest.fixture
def receiver() -> Iterator[rig.Receiver]:
    with rig.Receiver() as found:
        yield found


def config_of(pages: rig.Pages, receiver: rig.Receiver, **top: Any) -> dict[str, Any]:
    return rig.config([rig.endpoint(receiver.url("w")) | {"name": "amp"}], [rig.job(pages.target)]) | top


@contextmanager
def listening(config: dict[str, Any], folder: Path) -> Iterator[tuple[rig.Sender, Client]]:
    """A process of its own, and a client of its pages."""
    with rig.sender(config, folder, *LISTENING) as process:
        process.wait_for(lambda: port_of(process.log_text), "where it listens")
        yield process, Client(port_of(process.log_text))


def value(client: Client, name: str, **labels: str) -> float:
    """The sum of the series of a name that have these labels, 0 without any."""
    families = text_string_to_metric_families(client.ask("/metrics").text)
    samples = [sample for family in families for sample in family.samples if sample.name == name]
    return sum(sample.value for sample in samples if labels.items() <= sample.labels.items())


def test_it_says_where_it_listens_and_for_whom(pages: rig.Pages, receiver: rig.Receiver, tmp_path: Path) -> None:
    with listening(config_of(pages, receiver), tmp_path) as (process, client):
        (line,) = [line for line in process.log_text.splitlines() if "listening" in line]
        assert f"http://127.0.0.1:{client.port}/, for this machine only: write 0.0.0.0:{client.port}" in line


def test_it_is_ready_while_it_scrapes_and_not_while_it_flushes(
    pages: rig.Pages, receiver: rig.Receiver, tmp_path: Path
) -> None:
    with listening(config_of(pages, receiver), tmp_path) as (process, client):
        process.wait_for(lambda: client.ask("/-/ready").status == 200, "readiness")
        receiver.faults("w").always(AWAY)
        asked = pages.asked("/metrics")
        process.wait_for(lambda: pages.asked("/metrics") > asked + 1, "samples that wait")
        process.interrupt(signal.SIGTERM)
        process.wait_for(lambda: "flushing" in process.log_text, "the flush")
        assert client.ask("/-/ready").status == 503
        assert client.ask("/-/healthy").status == 200
        assert client.ask("/-/reload", "POST").status == 503
        assert "starting or stopping" in client.ask("/").text
        receiver.faults("w").always(None)
        assert process.wait() == 0
        with pytest.raises(OSError, match="refused"):
            client.connect()


def test_a_reload_is_answered_when_it_is_done(pages: rig.Pages, receiver: rig.Receiver, tmp_path: Path) -> None:
    config = config_of(pages, receiver)
    with listening(config, tmp_path) as (process, client):
        process.wait_for(lambda: client.ask("/-/ready").status == 200, "readiness")
        process.rewrite("scrape_configs: [{job_nam: a}]\nremote_write: [{url: htp://h/w}]\n")
        answer = client.ask("/-/reload", "POST")
        assert answer.status == 500
        assert answer.text.startswith("failed to reload config: ")
        assert all(
            word in answer.text for word in ("prometheus.yml:1:", "job_nam", "prometheus.yml:2:", "remote_write")
        )
        assert value(client, "pusher_config_last_reload_successful") == 0
        assert "job_nam" in client.ask("/").text
        more = config | {"scrape_configs": [rig.job(pages.target), rig.job(pages.target, "more")]}
        process.rewrite(json.dumps(more))
        before = value(client, "pusher_config_last_reload_success_timestamp_seconds")
        assert client.ask("/-/reload", "PUT").status == 200
        assert '<th scope="row">more</th>' in client.ask("/").text  # at once
        assert value(client, "pusher_config_last_reload_successful") == 1
        assert value(client, "pusher_config_last_reload_success_timestamp_seconds") > before
        assert process.stop() == 0


def test_slow_clients_do_not_stop_scrapes(pages: rig.Pages, receiver: rig.Receiver, tmp_path: Path) -> None:
    """By order: scrapes and requests come while the slow ones are there."""
    with listening(config_of(pages, receiver), tmp_path) as (process, client):
        slow = [client.connect() for _ in range(2)]
        for connection in slow:
            connection.sendall(b"GET / HTTP/1.1\r\nHost: localho")
        asked, written = pages.asked("/metrics"), len(receiver.writes("w"))
        process.wait_for(lambda: pages.asked("/metrics") >= asked + 3, "three scrapes")
        process.wait_for(lambda: len(receiver.writes("w")) >= written + 2, "two requests")
        assert client.ask("/metrics").status == 200
        process.interrupt()
        assert process.wait() == 0  # they do not hold up the end either
        for connection in slow:
            connection.close()


def outcomes(client: Client) -> dict[str, float]:
    names = ("collected", "taken", "accepted", "spooled", "rejected", "dropped", "undelivered")
    return {name: value(client, "pusher_samples_total", outcome=name) for name in names}


def test_every_sample_is_counted_once(pages: rig.Pages, receiver: rig.Receiver, tmp_path: Path) -> None:
    """Accepted, refused, dropped by a rule, dropped from a full queue; then nothing waits any more."""
    small = rig.endpoint(receiver.url("w"), queue={"capacity": 20, "max_shards": 1}) | {"name": "amp"}
    small["write_relabel_configs"] = [{"action": "drop", "source_labels": ["__name__"], "regex": "m"}]
    receiver.faults("w").always(AWAY)
    with (
        running(rig.config([small], [rig.job(pages.target)]), tmp_path) as process,
        client_of(process.runner) as client,
    ):
        process.wait_for(lambda: value(client, "pusher_samples_total", reason="queue_full"), "a full queue")
        assert value(client, "pusher_queue_capacity_samples") == 20
        assert value(client, "pusher_queue_oldest_sample_timestamp_seconds") > 0
        process.wait_for(lambda: value(client, "pusher_request_retries_total"), "retries, while they go on")
        assert value(client, "pusher_request_attempts_total", code="503") >= 1
        assert "takes nothing" in client.ask("/").text
        receiver.faults("w").always(Fault.status(400, b"no"))
        process.wait_for(lambda: value(client, "pusher_samples_total", outcome="rejected"), "a refusal")
        receiver.faults("w").always(None)
        process.wait_for(lambda: value(client, "pusher_samples_total", outcome="accepted"), "samples that are accepted")
        process.runner.stop()
        process.wait_for(lambda: value(client, "pusher_queue_shards") == 0, "the end of the flush")
        found = outcomes(client)
        assert value(client, "pusher_samples_total", reason="write_relabel") >= 1
        assert value(client, "pusher_endpoint_last_success_timestamp_seconds") > 0
    assert found["collected"] == sum(found[name] for name in ("accepted", "rejected", "dropped"))
    assert found["taken"] == found["spooled"] == found["undelivered"] == 0
    sent = [series for write in receiver.writes("w") if write.status == 204 for series in write.series]
    assert found["accepted"] == len(sent)


def test_what_waits_in_the_spool(pages: rig.Pages, receiver: rig.Receiver, tmp_path: Path) -> None:
    """Of this process and of the one before it, and only until it is delivered."""
    kept, small = tmp_path / "kept", rig.endpoint(receiver.url("w"), queue={"capacity": 12, "max_shards": 1})
    config = rig.config([small | {"name": "amp"}], [rig.job(pages.target)]) | {"spool": {"location": str(kept)}}
    receiver.faults("w").always(AWAY)

    def entries() -> int:
        return len(list(kept.glob("spool/amp/*/*")))

    with running(config, tmp_path, flush_seconds=0.2) as process, client_of(process.runner) as client:
        process.wait_for(lambda: value(client, "pusher_spool_waiting_entries") >= 2, "entries")
        assert value(client, "pusher_spool_oldest_entry_timestamp_seconds") > 0
        assert process.stop() == 0
    left = entries()
    assert left >= 2
    with running(config, tmp_path) as process, client_of(process.runner) as client:
        process.wait_for(lambda: value(client, "pusher_spool_waiting_entries") >= left, "those of the process before")
        receiver.faults("w").always(None)
        process.wait_for(lambda: entries() == 0, "an empty spool")
        process.wait_for(lambda: value(client, "pusher_spool_waiting_entries") == 0, "what the page says of it")
        process.runner.stop()
        process.wait_for(lambda: value(client, "pusher_queue_shards") == 0, "the end of the flush")
        found = outcomes(client)
    assert found["taken"] > 0
    assert found["collected"] + found["taken"] == found["accepted"] + found["spooled"]


def test_targets_and_jobs(pages: rig.Pages, receiver: rig.Receiver, tmp_path: Path) -> None:
    hourly = rig.job(pages.target, "hourly", scrape_interval="1h", scrape_timeout="1s")
    config = config_of(pages, receiver) | {
        "scrape_configs": [rig.job(pages.target), rig.job("127.0.0.1:1", "off"), hourly]
    }
    with running(config, tmp_path) as process, client_of(process.runner) as client:
        process.wait_for(lambda: value(client, "pusher_scrapes_total", scrape_job="test") >= 2, "two scrapes")
        process.wait_for(lambda: value(client, "pusher_targets", scrape_job="off", state="down"), "one that is down")
        assert value(client, "pusher_targets", scrape_job="test", state="up") == 1
        assert value(client, "pusher_targets", scrape_job="hourly", state="unknown") == 1
        assert value(client, "pusher_scrapes_failed_total", scrape_job="test") == 0
        assert value(client, "pusher_scrapes_failed_total", scrape_job="off") >= 1
        assert "Connection refused" in client.ask("/").text


def test_a_real_prometheus_scrapes_it(peer: Peer, pages: rig.Pages, receiver: rig.Receiver, tmp_path: Path) -> None:
    with listening(config_of(pages, receiver), tmp_path) as (process, client):
        process.wait_for(lambda: value(client, "pusher_samples_total", outcome="accepted"), "an accepted request")
        job = {"job_name": "pusher", "scrape_interval": "1s", "static_configs": [{"targets": [client.host]}]}
        with Prometheus(path=peer("prometheus"), config=f"scrape_configs: {json.dumps([job])}\n") as prometheus:
            process.wait_for(
                lambda: prometheus.query('pusher_scrapes_total{job="pusher"} > 0'), "a scrape of Prometheus's"
            )
            (up,) = prometheus.query('up{job="pusher"}')
            assert up["value"][1] == "1"
            (accepted,) = prometheus.query('pusher_samples_total{endpoint="amp",outcome="accepted"}')
            assert float(accepted["value"][1]) > 0
            assert prometheus.query('pusher_targets{scrape_job="test",state="up"} == 1')
            assert prometheus.query("process_resident_memory_bytes > 1e6")
            types = prometheus.metadata()
        # It asks for OpenMetrics, where the family of a counter has no _total.
        assert types["pusher_samples"] == types["pusher_request_retries"] == "counter"
        assert types["pusher_queue_samples"] == types["pusher_targets"] == "gauge"
        assert process.stop() == 0


def test_reload_from_elsewhere_changes_nothing(pages: rig.Pages, receiver: rig.Receiver, tmp_path: Path) -> None:
    """A page of another site in a browser on this machine: its Origin, or a name of its own that resolves to here."""
    with running(config_of(pages, receiver), tmp_path) as process:
        options = WebOptions(enable_lifecycle=True)
        with client_of(process.runner, options) as client:
            process.wait_for(lambda: process.runner.is_ready, "readiness")
            for headers in ([("Origin", "http://evil.example.com")], [("Host", f"evil.example.com:{client.port}")]):
                assert client.ask("/-/reload", "POST", headers).status == 403
        assert not any("read again" in line for line in process.lines)
