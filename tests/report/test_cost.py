"""What `make cost` says of the state object is what runs really ask of S3."""

from __future__ import annotations

import time
from collections import Counter
from typing import Any

import pytest

from bench import cost
from lambda_remote_write.config.load import parse_config
from lambda_remote_write.dependencies import Dependencies
from lambda_remote_write.environment import Environment
from lambda_remote_write.push import push
from lambda_remote_write.scrape.schedule import Tick
from sandbox.amp import Receiver
from sandbox.api import Api
from sandbox.s3 import KEYS, ObjectStore
from sandbox.server import Answer, Request
from tests.rig.delivery import Clock, no_session
from tests.rig.push import config_text, endpoint, job

MINUTES = 60
BACKFILL = {"query": {"from": "{start}", "to": "{end}"}, "format": "unix_ms"}
(STATE,) = [line for line in cost.pusher(1) if line.what.startswith("S3")]
WITH_BACKFILL, *_ = cost.options()


def an_hour(**keys: Any) -> Counter[str]:
    """What an hour of healthy runs, one a minute in a warm environment, asks of S3."""
    clock = Clock()

    def records(_: Request) -> Answer:
        return Answer.json([{"id": "a", "value": 1, "at": clock.now_ms()}])

    with Api() as api, Receiver(now=clock.time) as amp, ObjectStore(now=clock.time) as bucket:
        env_vars = {
            "AWS_ACCESS_KEY_ID": KEYS.access_key, "AWS_SECRET_ACCESS_KEY": KEYS.secret_key, "AWS_REGION": KEYS.region,
            "AWS_ENDPOINT_URL_S3": bucket.base_url,
        }  # fmt: skip
        text = config_text(
            [job(api.serve("/records", records), **keys)], [endpoint(amp, "amp")], spool={"location": "s3://spool"}
        )
        dependencies = Dependencies(env_vars, clock.now_ms, no_session, clock.sleep)
        environment = Environment(parse_config(text, "config.yaml", env_vars), dependencies, gap_backfill=True)
        for minute in range(1 + MINUTES):
            if minute == 1:  # the first run is a cold start
                bucket.counts.clear()
            report = push(
                environment, Tick(clock.now_ms(), None, 60_000, frozenset(["usage"])), time.monotonic() + 20.0
            )
            assert report.balances
            clock.ahead += 60
        dependencies.transport.close()
        return bucket.counts


def dollars(asked: Counter[str]) -> float:
    """A month of such hours."""
    return cost.HOURS * ((asked["put"] + asked["list"]) * cost.S3_PUT + asked["get"] * cost.S3_GET)


def test_without_backfill_the_state_is_written_every_ten_minutes() -> None:
    asked = an_hour()
    assert asked["get"] == MINUTES
    assert (asked["put"], asked["list"]) == (MINUTES // 10, cost.LISTINGS * MINUTES // 10)
    assert dollars(asked) == pytest.approx(STATE.dollars, rel=0.01)


def test_with_backfill_the_state_is_written_every_run() -> None:
    """How far the job has come must be known to the environment that runs next, whichever that is. Nothing is listed:
    a state object that was written within ten minutes says what waits."""
    asked = an_hour(backfill=BACKFILL)
    assert (asked["put"], asked["list"], asked["get"]) == (MINUTES, 0, MINUTES)
    assert dollars(asked) == pytest.approx(STATE.dollars + WITH_BACKFILL.dollars, rel=0.01)
