"""Faults between the pusher and a real Prometheus, which refuses a whole request for one late sample: after recovery it
holds every sample once."""

from __future__ import annotations

import http.client
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from lambda_remote_write.config.load import parse_config
from lambda_remote_write.dependencies import Dependencies
from lambda_remote_write.environment import Environment
from lambda_remote_write.push import push
from lambda_remote_write.scrape.schedule import Tick
from sandbox.api import Api
from sandbox.prometheus import Prometheus
from sandbox.server import Answer, Fault, FaultScript, LoopbackServer, Request
from tests.rig.delivery import Clock, no_session
from tests.rig.needs import Peer
from tests.rig.push import config_text, job

HEALTHY, BROKEN, RECOVERED = 2, 3, 3
RUN_SECONDS = 0.6


@pytest.fixture(scope="module")
def prometheus(peer: Peer) -> Iterator[Prometheus]:
    with Prometheus(out_of_order_window="0s", path=peer("prometheus")) as running:
        yield running


class Relay:
    """Passes remote writes on to a Prometheus, or misbehaves as told."""

    def __init__(self, url: str) -> None:
        self._url, self.faults = urlsplit(url), FaultScript()
        self.refusals: list[str] = []
        self.server = LoopbackServer(self._respond, plan=lambda method, path: self.faults.next())

    def _respond(self, request: Request) -> Answer:
        if request.fault and not request.fault.handled:
            return Answer(500)
        names = ("Content-Type", "Content-Encoding", "X-Prometheus-Remote-Write-Version", "User-Agent")
        connection = http.client.HTTPConnection(self._url.hostname or "", self._url.port, timeout=10)
        try:
            connection.request("POST", self._url.path, request.body, {name: request.headers[name] for name in names})
            answer = connection.getresponse()
            body = answer.read()
        finally:
            connection.close()
        if answer.status >= 300:
            self.refusals.append(body.decode())
        return Answer(answer.status, {}, body)


CASES = [
    pytest.param([Fault.status(500)], id="500"),
    pytest.param([Fault.status(503, headers={"Retry-After": "9999"})], id="503 with Retry-After"),
    pytest.param([Fault.status(429)], id="429"),
    pytest.param([Fault.status(404)], id="404"),
    pytest.param([Fault.hang()], id="hangs"),
    pytest.param([Fault.reset()], id="resets"),
    pytest.param([Fault.reset(before_body=True)], id="resets before the body was read"),
    pytest.param([Fault.lost_answer()], id="stores, and its answer is lost"),
    pytest.param([Fault.half_answer(), Fault.lost_answer(), Fault.garbage()], id="half answers, lost ones, garbage"),
    pytest.param([None, Fault.status(503), Fault.lost_answer()], id="flaps"),
    pytest.param([Fault.drip(0.1)], id="slow loris"),
]


@pytest.mark.parametrize("mode", ["on_failure", "always"])
@pytest.mark.parametrize("is_cold", [False, True], ids=["warm", "cold starts"])
@pytest.mark.parametrize("faults", CASES)
def test_every_sample_is_there_once(
    prometheus: Prometheus, tmp_path: Path, faults: list[Fault | None], is_cold: bool, mode: str
) -> None:
    relay, sent = Relay(prometheus.write_url), list[int]()
    name = f"{tmp_path.parent.name}-{tmp_path.name}"
    clock = Clock(really_sleeps=True)
    clock.ahead = -1_200.0

    def records(request: Request) -> Answer:
        sent.append(clock.now_ms())
        return Answer.json([{"id": str(n), "value": sent[-1] % 1000 + n, "at": sent[-1]} for n in range(3)])

    with Api() as api, relay.server:
        queue = {"min_backoff": "20ms", "max_backoff": "50ms", "max_samples_per_send": "3"}
        entry = {"url": f"{relay.server.base_url}/api/v1/write", "queue_config": queue, "remote_timeout": "200ms"}
        spool = {"location": str(tmp_path / "kept"), "mode": mode}
        text = config_text([job(api.serve("/records", records), name)], [entry], spool=spool)
        run = runner(text, clock, is_cold)
        for _ in range(HEALTHY):
            run(5.0)
        relay.faults.script(*faults * 20)
        relay.faults.always(faults[0] or Fault.status(503))
        for _ in range(BROKEN):
            run(RUN_SECONDS)
        relay.faults = FaultScript()
        for _ in range(RECOVERED):
            run(5.0)
    for number in range(3):
        (series,) = prometheus.query(f'requests_total{{job="{name}",id="{number}"}}[1h]', clock.time())
        assert [round(at * 1000) for at, _ in series["values"]] == sent
        assert [float(value) for _, value in series["values"]] == [at % 1000 + number for at in sent]
    (ups,) = prometheus.query(f'up{{job="{name}"}}[1h]', clock.time())
    assert len(ups["values"]) == len(sent) == HEALTHY + BROKEN + RECOVERED


def runner(text: str, clock: Clock, is_cold: bool) -> Callable[[float], None]:
    """Runs one push of so many seconds, in a new environment each time when `is_cold`; the clock moves on a minute."""
    dependencies = Dependencies({}, clock.now_ms, no_session, clock.sleep)
    environment = [Environment(parse_config(text, "config.yaml", {}), dependencies, gap_backfill=True)]

    def run(seconds: float) -> None:
        if is_cold:
            environment[0] = Environment(parse_config(text, "config.yaml", {}), dependencies, gap_backfill=True)
        tick = Tick(clock.now_ms(), None, 60_000, frozenset(environment[0].config.job_names()))
        report = push(environment[0], tick, time.monotonic() + seconds)
        assert report.balances
        for delivery in report.deliveries:
            assert delivery.rejected.counts.keys() <= {"maybe_stored"}, delivery.rejected.first_examples
            assert delivery.undelivered.total() == 0
        clock.ahead += 60

    return run
