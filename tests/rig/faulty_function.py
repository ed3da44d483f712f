"""The functions of a stack over a world in which a test makes things fail, and the lines that they log."""

from __future__ import annotations

import contextlib
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from lambda_remote_write.app import App, PushFailed
from lambda_remote_write.dependencies import Dependencies
from sandbox.amp import Receiver
from sandbox.api import Api
from sandbox.server import Answer, Fault, Request
from tests.rig.clock import StandingClock
from tests.rig.delivery import ENVIRONMENT, no_session
from tests.rig.push import config_text, endpoint, job

PUSHER, OPERATOR = ("push", "plan"), ("plan", "spool", "push_samples", "backfill")
NOT_ALLOWED = Fault.status(403, b'{"message":"User: a is not authorized to perform: aps:RemoteWrite"}')
# As Lambda itself writes into the log of a function.
TIMED_OUT = "2026-12-01T03:00:50.123Z 0b2c Task timed out after 50.05 seconds"
REPORT = (
    "REPORT RequestId: 0b2c\tDuration: 50050.12 ms\tBilled Duration: 50000 ms\tMemory Size: 256 MB\t"
    "Max Memory Used: 128 MB\t"
)
SERIES_LIMIT = Fault.status(400, b"per-user series limit of 3 exceeded")


@dataclass
class FaultyFunction:
    """Of job `usage` one record of two is skipped, or with another `value` its metric fails; of job `node` one target
    of two is down."""

    folder: Path
    api: Api
    amp: Receiver
    clock: StandingClock
    capture: pytest.CaptureFixture[str]
    more_jobs: int = 0
    records: str = "[]"
    value: str = "value"
    spool: str = ""
    env_vars: Mapping[str, str] = field(default_factory=dict)
    answer: Answer | None = None  # of the API, in place of the two records
    # The logger of a service writes where its first one did: a service for each test.
    service: str = field(default_factory=lambda: f"s-{uuid.uuid4()}")

    @property
    def config(self) -> Path:
        return self.folder / "config.yaml"

    def lines(self, event: dict[str, Any]) -> list[str]:
        """What a cold start logs. A minute goes by."""
        with contextlib.suppress(PushFailed):
            self.app(PUSHER).handle(event, None)
        self.clock.ms += 60_000
        return self.capture.readouterr().out.splitlines()

    def lines_after_edit(self, config: str) -> list[str]:
        """What a warm environment logs at the first run that finds this config, which is then taken back."""
        app = self.app(PUSHER)
        for text in (self.config.read_text(), config):
            self.capture.readouterr()
            self.config.write_text(text)
            with contextlib.suppress(PushFailed):
                app.handle({}, None)
            self.clock.ms += 60_000
        self.write_config()
        return self.capture.readouterr().out.splitlines()

    def app(self, actions: tuple[str, ...]) -> App:
        """A new environment of one of the functions, with the config as it now is."""
        self.write_config()
        own = {"PUSHER_CONFIG": str(self.config), "PUSHER_TICK": "1m", "POWERTOOLS_SERVICE_NAME": self.service}
        own["PUSHER_SPOOL"] = self.spool or str(self.folder / "spool")
        env_vars = {**ENVIRONMENT, **self.env_vars, **own}
        return App(Dependencies(env_vars, self.clock.now_ms, no_session, self.clock.sleep), actions)

    def write_config(self) -> None:
        url = self.api.serve("/records", self._records)
        page = Answer(200, {"Content-Type": "text/plain"}, b"a 1\n")
        target = self.api.serve("/metrics", page).removeprefix("http://").removesuffix("/metrics")
        jobs = [job(url), *(job(url, f"another-{index}") for index in range(self.more_jobs))]
        jobs[0]["metrics"][0] |= {"records": self.records, "value": self.value}
        scraped = {"job_name": "node", "static_configs": [{"targets": [target, "127.0.0.1:1"]}]}
        self.config.write_text(config_text(jobs, [endpoint(self.amp, "amp")], scrape_configs=[scraped]))

    def _records(self, _: Request) -> Answer:
        if self.answer is not None:
            return self.answer
        at = self.clock.now_ms()
        return Answer.json([{"id": "a", "value": 1, "at": at}, {"id": "b", "at": at}])
