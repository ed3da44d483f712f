"""The schedule is the tick; each job runs once per point of its own grid, whatever the environment remembers."""

from __future__ import annotations

import itertools
import os
import random
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import pytest

from lambda_remote_write.config.load import parse_config
from lambda_remote_write.config.schema import JsonJob
from lambda_remote_write.relabel import hashmod
from lambda_remote_write.scrape.schedule import Tick
from tests.rig.command_line import SOURCES
from tests.rig.json_source import NOW_MS, Rig

ROOT = Path(__file__).parents[2]
TICK_MS = 60_000
MIDNIGHT_MS = 1_716_422_400_000
DAY = [MIDNIGHT_MS + minute * TICK_MS for minute in range(24 * 60)]
MINUTES = {"1m": 1, "5m": 5, "15m": 15, "1h": 60, "7m": 7}


def job(interval: str, name: str = "j") -> JsonJob:
    text = (
        f"json_configs: [{{job_name: {name}, url: 'http://h/', scrape_interval: {interval}, scrape_timeout: 1s, "
        "metrics: [{name: m, value: v}]}]\nremote_write: [{url: 'http://r/'}]"
    )
    (found,) = parse_config(text, "test.yaml", {}).jobs
    return found


def is_due(one: JsonJob, at: int, last: int | None, tick_ms: int) -> bool:
    offset = hashmod(one.job_name, one.scrape_interval_ms)
    return Tick(at, last, tick_ms).takes(one.job_name, one.scrape_interval_ms, offset)


def runs(ticks: list[int], one: JsonJob, *, is_warm: bool) -> list[int]:
    """The scheduled times at which the job is due."""
    found, last = [], None
    for tick in ticks:
        if is_due(one, tick, last if is_warm else None, TICK_MS):
            found.append(tick)
        last = tick
    return found


@pytest.mark.parametrize("name", ["j", "billing", "fleet"])
@pytest.mark.parametrize("is_warm", [True, False], ids=["warm", "every start is cold"])
@pytest.mark.parametrize("interval", MINUTES)
def test_a_day_has_one_run_per_interval(interval: str, is_warm: bool, name: str) -> None:
    found = runs(DAY, job(interval, name), is_warm=is_warm)
    assert {later - earlier for earlier, later in itertools.pairwise(found)} == {MINUTES[interval] * TICK_MS}
    assert len(found) in (1440 // MINUTES[interval], 1440 // MINUTES[interval] + 1)
    assert found[0] - MIDNIGHT_MS < MINUTES[interval] * TICK_MS


@pytest.mark.parametrize("interval", ["5m", "7m", "1h"])
def test_jitter_neither_doubles_nor_loses_a_run(interval: str) -> None:
    """Ticks up to 20 s late: still one run for every point of the grid."""
    chance = random.Random(7)
    late = [tick + chance.randrange(20_000) for tick in DAY]
    length = MINUTES[interval] * TICK_MS
    found = runs(late, job(interval), is_warm=True)
    slots = [(tick - hashmod("j", length)) // length for tick in found]
    assert slots == list(range(slots[0], slots[0] + len(slots)))
    assert len(slots) >= 1440 // MINUTES[interval] - 1


@pytest.mark.parametrize("interval", ["5m", "15m", "1h"])
def test_a_tick_delivered_twice_runs_a_slow_job_once(interval: str) -> None:
    doubled = [tick for tick in DAY for _ in range(2)]
    assert runs(doubled, job(interval), is_warm=True) == runs(DAY, job(interval), is_warm=True)


def test_a_tick_that_comes_after_its_successor_runs_nothing_again() -> None:
    slow = job("5m")
    (first, *_) = runs(DAY, slow, is_warm=True)
    assert not is_due(slow, first - TICK_MS, first, TICK_MS)


@pytest.mark.parametrize("gap", [2, 4, 5, 9, 30])
def test_missed_ticks_make_one_run_when_a_point_of_the_grid_was_missed(gap: int) -> None:
    slow = job("5m")
    (first, *_) = runs(DAY, slow, is_warm=True)
    after = first + gap * TICK_MS
    assert is_due(slow, after, first, TICK_MS) is (gap >= 5)
    assert not is_due(slow, after, after, TICK_MS)


@pytest.mark.parametrize(
    ("interval", "tick_ms"), [("30s", 60_000), ("1m", 60_000), ("1s", 60_000), ("4m", 300_000), ("5m", 300_000)]
)
def test_an_interval_at_or_below_the_tick_runs_on_every_tick(interval: str, tick_ms: int) -> None:
    fast = job(interval)
    assert all(is_due(fast, tick, tick - tick_ms, tick_ms) for tick in DAY)
    assert all(is_due(fast, tick + 17, tick + 17, tick_ms) for tick in DAY[:10])


def test_an_interval_that_is_no_multiple_of_the_tick_keeps_its_mean() -> None:
    assert len(runs(DAY, job("90s"), is_warm=True)) == pytest.approx(960, abs=1)


def test_the_grid_is_the_same_in_every_process() -> None:
    """A cold start may not move a job's slot: the offset comes from no seeded hash."""
    code = (
        "from lambda_remote_write.relabel import hashmod; print([hashmod(n, 3_600_000) for n in ('j', 'é', 'fleet')])"
    )
    found = set()
    for seed in ("1", "2"):
        env_vars = os.environ | {"PYTHONHASHSEED": seed, **SOURCES}
        found.add(subprocess.check_output([sys.executable, "-c", code], env=env_vars, text=True))
    assert found == {f"{[hashmod(name, 3_600_000) for name in ('j', 'é', 'fleet')]}\n"}


def test_jobs_of_one_interval_do_not_all_run_at_once() -> None:
    offsets = {hashmod(f"job-{index}", 3_600_000) // TICK_MS for index in range(40)}
    assert len(offsets) > 20


def test_due_jobs_keep_the_order_of_the_config(rig: Rig) -> None:
    rig.serve('{"v":1}')
    report = rig.push(*(rig.job("{name: m, value: v}", name=name) for name in ("z", "a", "m")))
    assert [entry["job"] for entry in report["jobs"]] == ["z", "a", "m"]


def test_a_scheduled_event_pushes_only_what_is_due(rig: Rig) -> None:
    rig.serve('{"v":1}')
    quick = rig.job("{name: m, value: v}", name="quick")
    slow = rig.job("{name: m, value: v}", name="slow", keys="scrape_interval: 5m")
    app = rig.app(quick, slow)
    counts = {"quick": 0, "slow": 0}
    for index in range(20):
        rig.clock.ms = NOW_MS + index * TICK_MS
        at = datetime.fromtimestamp((rig.clock.ms - 2_000) / 1000, UTC).isoformat()
        for entry in app.handle({"scheduled_time": at}, None)["jobs"]:
            counts[entry["job"]] += 1
    assert counts == {"quick": 20, "slow": 4}
    assert rig.receiver.refused == 0


def test_jobs_named_in_the_event_run_whether_due_or_not(rig: Rig) -> None:
    rig.serve('{"v":1}')
    app = rig.app(rig.job("{name: m, value: v}", keys="scrape_interval: 1d"))
    for index in range(3):
        rig.clock.ms = NOW_MS + index * TICK_MS
        assert len(app.handle({"action": "push", "jobs": ["j"]}, None)["jobs"]) == 1
