"""Two simulated days at one push a minute with a clock that a test moves, and the outages of a week in them: one lasts
longer than AMP takes samples, the others minutes. Nothing is lost but what AMP refuses for its age, and all of that is
under dead/. Quiet minutes teach nothing, and each costs 7 ms of CPU."""

from __future__ import annotations

import random
import time
from dataclasses import dataclass, field
from typing import Any

import pytest

from bench.cost import S3_GET, S3_PUT
from lambda_remote_write.config.load import parse_config
from lambda_remote_write.dependencies import Dependencies
from lambda_remote_write.environment import Environment
from lambda_remote_write.push import push
from lambda_remote_write.remote_write.encode.decode import unpack
from lambda_remote_write.scrape.schedule import Tick
from lambda_remote_write.spool import entry as entries
from sandbox.amp import Receiver
from sandbox.api import Api
from sandbox.s3 import KEYS, ObjectStore
from sandbox.server import Answer, Fault, Request
from tests.rig.delivery import Clock, in_order, no_session
from tests.rig.push import config_text, endpoint, job

pytestmark = pytest.mark.slow

MINUTES = 2 * 24 * 60
DOWN = 0.035  # of all minutes: one in a hundred of a week's
COLD_STARTS = 0.0175  # of all runs: those of a week
RUN_SECONDS = 20.0
LATER = {"Retry-After": "3600"}  # so that a run gives up at once
TROUBLES = [Fault.status(status, headers=LATER) for status in (404, 429, 500, 503)]
SERIES = 7  # two records, and five that the job has anyway


@dataclass
class History:
    """What became of all samples."""

    runs: int = 0
    outages: list[int] = field(default_factory=list)  # minutes of each
    handed: int = 0
    accepted: int = 0
    dead: int = 0
    named: int = 0
    left: int = 0
    operations: dict[str, int] = field(default_factory=dict)

    @property
    def lost(self) -> int:
        return self.handed - self.accepted - self.dead - self.named - self.left

    @property
    def dollars_per_month(self) -> float:
        """S3's requests at list price, for thirty days that are all like these."""
        dear = self.operations.get("put", 0) + self.operations.get("list", 0)
        return (dear * S3_PUT + self.operations.get("get", 0) * S3_GET) * 30 * 24 * 60 / self.runs

    def __str__(self) -> str:
        counts = ", ".join(f"{count} {name}" for name, count in sorted(self.operations.items()))
        return (
            f"{self.runs} runs, {len(self.outages)} outages of {min(self.outages)} to {max(self.outages)} minutes: "
            f"{self.handed} samples in, {self.accepted} accepted, {self.dead} dead, {self.lost} lost; "
            f"S3: {counts}, {self.dollars_per_month:.3f} dollars a month"
        )


def outages(chance: random.Random, minutes: int) -> list[range]:
    """The minutes of each outage, one of them longer than AMP's hour."""
    found = [range(minutes // 2, minutes // 2 + 100)]
    while sum(map(len, found)) < minutes * DOWN + 100:
        start, length = chance.randrange(10, minutes - 200), chance.choice([2, 5, 13, 40])
        found.append(range(start, start + length))
    return found


def live(minutes: int, seed: int) -> History:
    """So many runs, one a minute."""
    chance, history, clock = random.Random(seed), History(), Clock()
    down = outages(chance, minutes)
    history.outages = [len(one) for one in down]
    is_down = {minute for one in down for minute in one}
    clock.ahead = -minutes * 60.0

    def records(_: Request) -> Answer:
        return Answer.json([{"id": str(n), "value": history.runs, "at": clock.now_ms()} for n in range(2)])

    with Api() as api, Receiver(now=clock.time) as amp, ObjectStore(now=clock.time) as bucket:
        env_vars = {
            "AWS_ACCESS_KEY_ID": KEYS.access_key, "AWS_SECRET_ACCESS_KEY": KEYS.secret_key, "AWS_REGION": KEYS.region,
            "AWS_ENDPOINT_URL_S3": bucket.base_url,
        }  # fmt: skip
        entry, spool = endpoint(amp, "amp"), {"location": "s3://spool"}
        text = config_text([job(api.serve("/records", records))], [entry], spool=spool)
        config = parse_config(text, "config.yaml", env_vars)
        dependencies = Dependencies(env_vars, clock.now_ms, no_session, clock.sleep)
        environment = Environment(config, dependencies, gap_backfill=True)
        for minute in range(minutes):
            amp.always(chance.choice(TROUBLES) if minute in is_down else None)
            if chance.random() < COLD_STARTS:
                environment = Environment(config, dependencies, gap_backfill=True)
            tick = Tick(clock.now_ms(), None, 60_000, frozenset(config.job_names()))
            report = push(environment, tick, time.monotonic() + RUN_SECONDS)
            (delivery,) = report.deliveries
            assert report.balances
            history.runs += 1
            history.handed += delivery.collected
            history.named += delivery.rejected.total() + delivery.undelivered.total()
            history.named += delivery.dropped.total() - delivery.dropped.counts["too_old"]
            clock.ahead += 60
        dependencies.transport.close()
        assert in_order(amp)
        history.accepted = len({(labels, at) for labels, points in amp.samples.items() for at, _ in points})
        assert history.accepted == sum(map(len, amp.samples.values()))
        history.dead, history.left = kept(bucket, "dead/"), kept(bucket, "spool/")
        history.operations = dict(bucket.counts)
    return history


def kept(bucket: ObjectStore, prefix: str) -> int:
    """Samples in the entries below a prefix."""
    found: set[tuple[Any, int]] = set()
    for key, content in bucket.objects.items():
        if key.startswith(prefix):
            for request in entries.decode(content).requests:
                samples, _ = unpack(request)
                found |= {(one.prefix, at) for one, at in zip(samples.series, samples.timestamps_ms, strict=True)}
    return len(found)


def test_outages_lose_nothing_but_what_is_too_old() -> None:
    history = live(MINUTES, seed=7)
    print(history)
    assert history.runs == MINUTES
    assert history.handed == SERIES * MINUTES
    assert (history.lost, history.named, history.left) == (0, 0, 0)
    longest = max(history.outages)
    assert longest > 55
    assert history.dead >= (longest - 56) * SERIES  # what waited for longer than sample_age_limit, and no more:
    assert history.dead <= sum(max(one - 54, 0) for one in history.outages) * SERIES
    assert history.dollars_per_month < 0.15
