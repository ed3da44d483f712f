"""The operator's function over two endpoints, at a time that stands still."""

from __future__ import annotations

import uuid
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from lambda_remote_write.app import App
from lambda_remote_write.dependencies import Dependencies
from lambda_remote_write.events import BadEvent
from sandbox.amp import Limits, Receiver
from sandbox.api import Api
from sandbox.s3 import ObjectStore
from sandbox.server import Answer, Fault
from tests.rig.clock import StandingClock
from tests.rig.delivery import ENVIRONMENT, KEYS, no_session
from tests.rig.push import config_text, endpoint, job

NOW_MS = 1_717_200_000_000  # 2024-06-01T00:00:00Z
NOW = NOW_MS // 1000
OPERATOR = ("plan", "spool", "push_samples", "backfill")
DOWN = Fault.status(404, b'{"Message":"Workspace not found"}')


class Operator:
    """The operator's function over two endpoints: `plain` gets what it is given, `relabelled` has rules."""

    def __init__(self, folder: Path, stack: ExitStack) -> None:
        self.clock = StandingClock(NOW_MS)
        self.folder, self.config = folder / "kept", folder / "config.yaml"
        self.env_vars: dict[str, str] = {}
        limits = Limits(out_of_order_seconds=0)
        self.plain = stack.enter_context(Receiver(now=self.clock.time, limits=limits))
        self.relabelled = stack.enter_context(Receiver(now=self.clock.time, limits=limits))
        self.api = stack.enter_context(Api())
        self.api.serve("/records", Answer.json([{"id": "a", "value": 1, "at": NOW_MS}]))
        self.bucket = stack.enter_context(ObjectStore(bucket="files", now=self.clock.time))
        self._stack = stack
        self.write()
        self.app = self.new_app()

    def write(self, **top: Any) -> None:
        rules = [
            {"action": "drop", "source_labels": ["__name__"], "regex": "secret_.*"},
            {"target_label": "seen_by", "replacement": "rules"},
        ]
        keys: dict[str, Any] = {
            "global": {"external_labels": {"stack": "blue"}},
            "scrape_configs": [{"job_name": "pages", "static_configs": []}],
            "spool": {"location": str(self.folder)},
        }
        jobs = [
            job(f"{self.api.url}/records", "usage"),
            job(f"{self.api.url}/records", "own", labels={"job": "billing"}),
        ]
        endpoints = [endpoint(self.plain, "plain"), endpoint(self.relabelled, "rules", write_relabel_configs=rules)]
        self.config.write_text(config_text(jobs, endpoints, **keys | top))

    def new_app(self, actions: Sequence[str] = OPERATOR) -> App:
        env_vars = ENVIRONMENT | {
            "PUSHER_CONFIG": str(self.config), "POWERTOOLS_SERVICE_NAME": f"s-{uuid.uuid4()}",
            "AWS_REGION": KEYS.region, "AWS_ENDPOINT_URL_S3": self.bucket.base_url,
            **self.env_vars,
        }  # fmt: skip
        dependencies = Dependencies(env_vars, self.clock.now_ms, no_session, self.clock.sleep)
        self._stack.callback(dependencies.transport.close)
        return App(dependencies, actions)

    def __call__(self, **keys: Any) -> dict[str, Any]:
        report = self.app.handle({"action": "push_samples", **keys}, None)
        for delivery in report["endpoints"]:
            assert_balanced(delivery)
        return report

    def push(self, *samples: Any) -> dict[str, Any]:
        return self(samples=list(samples))

    def refusal(self, **keys: Any) -> str:
        """What is said of an event of which nothing is sent or kept."""
        before = len(self.plain.requests), len(self.relabelled.requests), self.waiting()
        with pytest.raises(BadEvent) as caught:
            self(**keys)
        assert (len(self.plain.requests), len(self.relabelled.requests), self.waiting()) == before
        return str(caught.value)

    def down(self, fault: Fault | None = DOWN) -> None:
        self.plain.always(fault)
        self.relabelled.always(fault)

    def waiting(self) -> list[str]:
        return sorted(str(path.relative_to(self.folder)) for path in self.folder.glob("spool/*/*/*"))


@pytest.fixture
def operator(tmp_path: Path) -> Iterator[Operator]:
    with ExitStack() as stack:
        yield Operator(tmp_path, stack)


@pytest.fixture(scope="module")
def refusing(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Operator]:
    """For events that are refused: they leave nothing behind, so that one serves them all."""
    with ExitStack() as stack:
        yield Operator(tmp_path_factory.mktemp("refusing"), stack)


def assert_balanced(delivery: dict[str, Any]) -> None:
    """Every sample of a report is accounted for."""
    elsewhere = ("spooled", "rejected", "dropped", "undelivered")
    rest = sum(one["count"] for name in elsewhere for one in delivery[name].values())
    assert delivery["collected"] + delivery["taken"] == delivery["accepted"] + rest
