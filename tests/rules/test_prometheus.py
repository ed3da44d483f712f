"""A real Prometheus evaluates the rules over what real runs send it: half an hour of a schedule of 1 m."""

from __future__ import annotations

import re
from contextlib import closing
from datetime import UTC, datetime
from functools import partial
from typing import Any

import pytest

from generate.rules import RULES
from lambda_remote_write.config.load import parse_config
from lambda_remote_write.dependencies import Dependencies
from lambda_remote_write.environment import Environment
from sandbox.api import Api
from sandbox.process import wait_until
from sandbox.prometheus import Prometheus
from sandbox.server import Answer, Request
from tests.rig.delivery import ENVIRONMENT, Clock, no_session
from tests.rig.needs import Peer
from tests.rig.push import config_text, job, run

pytestmark = pytest.mark.slow

RUNS = 30
ENV_VARS = ENVIRONMENT | {"PUSHER_TICK": "1m", "POWERTOOLS_SERVICE_NAME": "metrics"}
# Evaluated at once, and without waiting.
AT_ONCE = re.sub(r"\bfor: \d+[mh]", "for: 0s", re.sub(r"\binterval: \d+m", "interval: 1s", RULES.read_text()))


class World:
    """Two JSON jobs, four targets, and runs that send them to a Prometheus. With faults, a job, a metric of the other
    and two targets are down."""

    def __init__(self, api: Api, server: Prometheus, minutes_ago: int) -> None:
        self.clock = Clock()
        self.clock.ahead -= 60 * (RUNS + minutes_ago)
        self.are_faults_on = False
        usage = job(api.serve("/usage", lambda _: self._answer(is_up=not self.are_faults_on)), "usage")
        orders = job(api.serve("/orders", lambda _: self._answer()), "orders")
        orders["metrics"].append(orders["metrics"][0] | {"name": "orders_total", "value": "amount"})
        pages = [{"instance": name, "__metrics_path__": f"/{name}"} for name in ("a", "b", "c", "d")]
        for page in pages:
            api.serve(page["__metrics_path__"], partial(self._page, page["instance"]))
        address = api.url.removeprefix("http://")
        nodes = {"job_name": "nodes", "static_configs": [{"targets": [address], "labels": page} for page in pages]}
        endpoint = {"name": "prometheus", "url": server.write_url}
        text = config_text([usage, orders], [endpoint], scrape_configs=[nodes], self_metrics=True)
        dependencies = Dependencies(ENV_VARS, self.clock.now_ms, no_session, self.clock.sleep)
        self.environment = Environment(parse_config(text, "config.yaml", ENV_VARS), dependencies)
        self.close = dependencies.transport.close

    def _answer(self, is_up: bool = True) -> Answer:
        """With faults, a field is renamed."""
        amount = "total" if self.are_faults_on else "amount"
        record = {"id": "a", "value": 1, amount: 1, "at": self.clock.now_ms()}
        return Answer.json([record]) if is_up else Answer(status=503)

    def _page(self, name: str, _: Request) -> Answer:
        if self.are_faults_on and name in "ab":
            return Answer(status=503)
        return Answer(body=b"requests_total 1\n", headers={"Content-Type": "text/plain; version=0.0.4"})

    def runs(self, count: int) -> None:
        for _ in range(count):
            run(self.environment)
            self.clock.ahead += 60


def evaluated(server: Prometheus) -> list[dict[str, Any]]:
    """The rules after a whole evaluation that began now or later."""
    now = datetime.now(UTC).isoformat()
    assert wait_until(lambda: all(rule["lastEvaluation"] > now for rule in server.rules()), 30)
    return server.rules()


def firing(rules: list[dict[str, Any]]) -> set[tuple[str, str]]:
    """(alert, job or reason or stack) of what fires."""
    found = [(rule["name"], alert["labels"]) for rule in rules for alert in rule.get("alerts", [])]
    return {(name, labels.get("job") or labels.get("reason") or labels["instance"]) for name, labels in found}


@pytest.mark.parametrize(
    ("faults", "minutes_ago", "expected"),
    [
        pytest.param(False, 0, set(), id="all is well"),
        pytest.param(
            True,
            0,
            {("PusherJobDown", "usage"), ("PusherMetricFailed", "orders"), ("PusherTargetsDown", "nodes")},
            id="a job down, a field renamed, two targets down",
        ),
        pytest.param(False, 20, {("PusherNotDelivering", "metrics")}, id="silence"),
    ],
)
def test_alerts_are_those_of_what_runs_sent(
    peer: Peer, api: Api, faults: bool, minutes_ago: int, expected: set[tuple[str, str]]
) -> None:
    peer("prometheus")
    with Prometheus(rules=AT_ONCE) as server, closing(World(api, server, minutes_ago)) as world:
        world.runs(RUNS // 2)
        world.are_faults_on = faults
        world.runs(RUNS - RUNS // 2)
        rules = evaluated(server)
    assert {rule["health"] for rule in rules} == {"ok"}
    assert firing(rules) == expected
