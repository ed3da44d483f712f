"""A whole push: a config of JSON jobs and endpoints, its environment, and a run of it."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

from lambda_remote_write.config.load import parse_config
from lambda_remote_write.dependencies import Dependencies
from lambda_remote_write.environment import Environment
from lambda_remote_write.model.delivery import Delivery
from lambda_remote_write.push import push
from lambda_remote_write.report.report import Report
from lambda_remote_write.scrape.schedule import Tick
from sandbox.amp import Receiver
from sandbox.api import Api
from sandbox.server import Answer, Request
from tests.rig.delivery import ENVIRONMENT, KEYS, Clock, no_session

SYNTHETIC = 5  # up and its four companions, for each job


def job(url: str, name: str = "usage", **keys: Any) -> dict[str, Any]:
    """Records are {"id", "value", "at"}; each gives a sample of `requests_total`."""
    metric = {
        "name": "requests_total",
        "type": "counter",
        "help": "Requests.",
        "records": "[]",
        "value": "value",
        "timestamp": {"path": "at", "format": "unix_ms"},
        "labels": {"id": "id"},
    }
    return {"job_name": name, "url": url, "metrics": [metric], **keys}


def endpoint(receiver: Receiver, name: str, **keys: Any) -> dict[str, Any]:
    quick = {"min_backoff": "5ms", "max_backoff": "20ms"} | keys.pop("queue_config", {})
    return {"name": name, "url": receiver.url, "sigv4": {"region": KEYS.region}, "queue_config": quick, **keys}


def config_text(jobs: list[dict[str, Any]], endpoints: list[dict[str, Any]], **top: Any) -> str:
    return json.dumps({"json_configs": jobs, "remote_write": endpoints, "self_metrics": False, **top})


def warm_of(
    text: str, clock: Clock | None = None, env_vars: Mapping[str, str] = ENVIRONMENT
) -> AbstractContextManager[Environment]:
    clock = clock or Clock(really_sleeps=True)
    return warm_over(Dependencies(env_vars, clock.now_ms, no_session, clock.sleep), text)


@contextmanager
def warm_over(dependencies: Dependencies, text: str) -> Iterator[Environment]:
    try:
        yield Environment(parse_config(text, "config.yaml", dependencies.env_vars), dependencies)
    finally:
        dependencies.transport.close()


def tick(environment: Environment, *names: str) -> Tick:
    """A run of these jobs, or of all."""
    return Tick(
        environment.dependencies.now_ms(),
        None,
        environment.config.tick_ms,
        frozenset(names or environment.config.job_names()),
    )


def run(environment: Environment, seconds: float = 10.0) -> Report:
    report = push(environment, tick(environment), time.monotonic() + seconds)
    assert report.balances
    return report


def counts(delivery: Delivery) -> dict[str, int]:
    return {
        "collected": delivery.collected,
        "accepted": delivery.accepted,
        "rejected": delivery.rejected.total(),
        "dropped": delivery.dropped.total(),
        "undelivered": delivery.undelivered.total(),
    }


class Source:
    """An API that answers what a test puts into `records`."""

    def __init__(self, api: Api, path: str = "/records") -> None:
        self.records: Callable[[], list[dict[str, Any]]] = list
        self.url = api.serve(path, self._answer)

    def _answer(self, request: Request) -> Answer:
        return Answer.json(self.records())


def now_ms() -> int:
    return int(time.time() * 1000)


class Runs:
    """An API whose three records move with the clock, a spool in a folder, and environments over both; a minute passes
    after each run. `more` are records beside those."""

    SAMPLES = 3 + SYNTHETIC

    def __init__(self, api: Api, folder: Path, clock: Clock) -> None:
        self.clock, self.folder = clock, folder
        self.more: list[dict[str, Any]] = []
        self.url = api.serve("/r", lambda _: Answer.json([*self.records(), *self.more]))
        self.dependencies = Dependencies(
            ENVIRONMENT | {"POWERTOOLS_SERVICE_NAME": "metrics"}, clock.now_ms, no_session, clock.sleep
        )

    def records(self) -> list[dict[str, Any]]:
        return [{"id": str(n), "value": n, "at": self.clock.now_ms()} for n in range(3)]

    def text(self, endpoints: list[dict[str, Any]], spool: Mapping[str, Any] | None = None, **top: Any) -> str:
        return config_text([job(self.url)], endpoints, spool={"location": str(self.folder), **(spool or {})}, **top)

    def environment(
        self, endpoints: list[dict[str, Any]], spool: Mapping[str, Any] | None = None, **top: Any
    ) -> Environment:
        return Environment(parse_config(self.text(endpoints, spool, **top), "c", ENVIRONMENT), self.dependencies)

    def run(self, environment: Environment, seconds: float = 10.0) -> Report:
        report = run(environment, seconds)
        self.clock.ahead += 60
        return report
