"""Targets on the loopback, and an environment that scrapes them once."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Self

from lambda_remote_write.config.load import parse_config
from lambda_remote_write.dependencies import Dependencies
from lambda_remote_write.environment import Environment
from lambda_remote_write.model.scrape import Scrape
from lambda_remote_write.scrape import collect
from lambda_remote_write.scrape.schedule import Tick
from sandbox.server import Answer, Fault, LoopbackServer, Request
from tests.rig.delivery import Clock, no_session
from tests.rig.scrape import TEXT

PAGE = Answer(200, {"Content-Type": TEXT}, b"a 1\n")


class Recorder:
    """A server that gives the same answer to every request, also as a proxy, and keeps the requests."""

    def __init__(self, answer: Answer | Fault = PAGE) -> None:
        self.answer = answer
        self.requests: list[Request] = []
        self._server = LoopbackServer(self._respond)
        self.port, self.url = self._server.port, self._server.base_url
        self.address = f"127.0.0.1:{self.port}"

    def _respond(self, request: Request) -> Answer | Fault:
        self.requests.append(request)
        return self.answer

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._server.close()


@contextmanager
def environment(
    *jobs: Mapping[str, Any], env_vars: Mapping[str, str] | None = None, **top: Any
) -> Iterator[Environment]:
    """An environment with these scrape jobs. `top` are more keys of the config."""
    text = json.dumps({"scrape_configs": list(jobs), "remote_write": [{"url": "http://127.0.0.1:9/"}], **top})
    clock = Clock()
    dependencies = Dependencies(dict(env_vars or {}), clock.now_ms, no_session, clock.sleep)
    try:
        yield Environment(parse_config(text, "test.yaml", {}), dependencies)
    finally:
        dependencies.transport.close()


def scraped(environment: Environment, seconds: float = 10.0) -> list[Scrape]:
    """One scrape of every target."""
    deadline, now_ms = time.monotonic() + seconds, environment.dependencies.now_ms
    environment.discover(deadline)
    jobs = frozenset(pool.job.job_name for pool in environment.pools)
    due = environment.due_sources(Tick(now_ms(), None, 60_000, jobs))
    return collect.collect(due, environment.fetcher, now_ms, deadline, environment.next_run())


def job_at(address: str, name: str = "j", **keys: Any) -> dict[str, Any]:
    """A job with one target."""
    return {"job_name": name, "static_configs": [{"targets": [address]}], **keys}
