"""Jobs that are down: a state, from a job's own scrape to its next one, over environments and their store."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from lambda_remote_write.config.load import parse_config
from lambda_remote_write.dependencies import Dependencies
from lambda_remote_write.environment import Environment
from lambda_remote_write.model.scrape import MetricResult, Scrape
from lambda_remote_write.push import push
from lambda_remote_write.scrape.schedule import Tick
from lambda_remote_write.scrape.target_scraper import TargetScraper
from lambda_remote_write.state.jobs import JobHealth
from lambda_remote_write.state.shards import Shard
from lambda_remote_write.state.state import State
from lambda_remote_write.store import DirectoryStore
from sandbox.amp import Receiver
from sandbox.api import Api
from sandbox.server import Answer
from tests.rig.clock import soon
from tests.rig.tables import table

NOW_MS = 1_800_000_000_000
A, B, C = "job/a", "job/b", "job/c"


@dataclass(frozen=True)
class Source:
    key: str

    @property
    def name(self) -> str:
        return self.key.partition("/")[0]


def down(error: str = "no connection") -> Scrape:
    return Scrape("job", "i", NOW_MS, error=error)


def up(**failed: str) -> Scrape:
    results = [MetricResult(name, failed=why) for name, why in failed.items()]
    return Scrape("job", "i", NOW_MS, metrics=[*results, MetricResult("good")])


Run = dict[str, Scrape]
# (id, all targets, runs one after the other, whether the job is down after each)
SEQUENCES: list[tuple[str, list[str], list[Run], list[bool]]] = [
    ("one target down", [A], [{A: down()}], [True]),
    ("and up again", [A], [{A: down()}, {A: up()}], [True, False]),
    ("one of two", [A, B], [{A: down(), B: up()}], [False]),
    ("both", [A, B], [{A: down(), B: down()}], [True]),
    ("not asked in between", [A], [{A: down()}, {}, {}], [True, True, True]),
    ("one of two asked so far", [A, B], [{A: down()}, {B: up()}], [False, False]),
    ("each at its own time", [A, B], [{A: down()}, {B: down()}, {A: up()}], [False, True, False]),
    ("a failed metric", [A], [{A: up(m="renamed")}], [True]),
    ("a metric that failed at one of two", [A, B], [{A: up(m="renamed"), B: up()}], [False]),
    ("a metric that failed wherever there was an answer", [A, B], [{A: up(m="renamed"), B: down()}], [True]),
    ("other metrics at each", [A, B], [{A: up(m="x"), B: up(n="y")}], [False]),
    ("no targets at all", [], [{}], [False]),
]


@table("targets, runs, expected", SEQUENCES)
def test_a_job_is_down_when_every_target_is(targets: list[str], runs: list[Run], expected: list[bool]) -> None:
    health = JobHealth(State(None, "0", lambda: NOW_MS))
    seen = []
    for run in runs:
        health.update([(Source(key), scrape) for key, scrape in run.items()], map(Source, targets), ["job"])
        seen.append(bool(health.problems()))
    assert seen == expected


def test_targets_that_are_gone_no_longer_count() -> None:
    health = JobHealth(State(None, "0", lambda: NOW_MS))
    health.update([(Source(A), up()), (Source(B), down())], [Source(A), Source(B)], ["job"])
    health.update([], [Source(B)], ["job"])
    assert health.problems() == {"job": "no connection"}
    health.update([], [], ["job"])
    assert health.problems() == {}


def test_a_job_whose_targets_are_unknown_keeps_what_was_said() -> None:
    health = JobHealth(State(None, "0", lambda: NOW_MS))
    health.update([(Source(A), down())], [Source(A)], ["job"])
    health.update([], [], [])
    assert health.problems() == {"job": "no connection"}


# --- Several environments over one state object -----------------------------------------------------------------------


class Environments:
    """Environments that come and go; each run reads the state first, and writes it at its end."""

    def __init__(self, folder: Path) -> None:
        self.store, self.now_ms = DirectoryStore(folder), NOW_MS

    def cold_start(self) -> Callable[[Run], dict[str, str]]:
        state = State(self.store, "0", lambda: self.now_ms)
        health = JobHealth(state)

        def run(scrapes: Run) -> dict[str, str]:
            deadline = soon()
            state.start_reading(deadline)
            health.update([(Source(key), one) for key, one in scrapes.items()], [Source(A), Source(B)], ["job"])
            state.await_read()
            state.save(deadline, ["job"])
            self.now_ms += 60_000
            return health.problems()

        return run

    def content(self) -> bytes:
        found = self.store.get("state/0", soon())
        assert found is not None
        return found.content


BOTH_DOWN, BOTH_UP = {A: down(), B: down()}, {A: up(), B: up()}


@pytest.fixture
def environments(tmp_path: Path) -> Environments:
    return Environments(tmp_path)


def test_a_cold_start_knows_what_was_down(environments: Environments) -> None:
    environments.cold_start()(BOTH_DOWN)
    cold = environments.cold_start()
    assert cold({}) == {"job": "no connection"}
    assert cold({A: down()}) == {"job": "no connection"}  # the other is still unknown here
    assert cold({B: up()}) == {}


def test_what_one_environment_finds_well_is_well_in_the_others(environments: Environments) -> None:
    """Also where that environment never knew of the trouble, and one that did is asked nothing new."""
    first, second = environments.cold_start(), environments.cold_start()
    first(BOTH_UP)
    second(BOTH_DOWN)
    assert first({}) == {"job": "no connection"}
    first(BOTH_UP)
    assert second({}) == {}
    assert environments.cold_start()({}) == {}


def test_a_job_that_left_the_config_is_forgotten(environments: Environments) -> None:
    environments.cold_start()(BOTH_DOWN)
    state = State(environments.store, "0", lambda: environments.now_ms + 3_600_000)
    state.start_reading(soon())
    state.await_read()
    state.save(soon(), ["other"])
    assert environments.cold_start()({}) == {}


def test_only_a_change_between_well_and_down_is_written(environments: Environments) -> None:
    run = environments.cold_start()
    run(BOTH_DOWN)
    written = environments.content()
    run({A: down("another reason"), B: down("another reason")})
    assert environments.content() == written


def test_a_state_object_from_before_has_no_problems(environments: Environments) -> None:
    old = b'{"backlog":{},"config_version":"","jobs":{},"written_ms":0}'
    environments.store.put("state/0", old, soon())
    assert environments.cold_start()({}) == {}


# --- Shards -----------------------------------------------------------------------------------------------------------


DOWN = "127.0.0.1:1"


def sharded(targets: dict[int, str], folder: Path, write_url: str) -> list[Environment]:
    """Two shards over targets, each with a label of its own."""
    static = [{"targets": [target], "labels": {"n": str(number)}} for number, target in targets.items()]
    config = {
        "scrape_configs": [{"job_name": "node", "static_configs": static}],
        "remote_write": [{"url": write_url}],
        "spool": {"location": str(folder)},
    }
    parsed = parse_config(json.dumps(config), "c", {})
    return [Environment(parsed, Dependencies({}), shard=Shard(index, 2)) for index in (0, 1)]


def numbers_in(environment: Environment) -> set[int]:
    environment.discover(soon())
    return {int(source.target.labels["n"]) for source in environment.sources() if isinstance(source, TargetScraper)}


@pytest.mark.parametrize("answering", [False, True])
def test_a_shard_whose_targets_are_all_down_is_not_the_whole_job(tmp_path: Path, answering: bool) -> None:
    """One of two shards has all of the stopped instances: the job is down when the other one says so, too."""
    with Api() as api, Receiver(auth=None) as amp:
        api.serve("/metrics", Answer(200, {"Content-Type": "text/plain; version=0.0.4"}, b"a 1\n"))
        address = api.url.removeprefix("http://")
        stopped = numbers_in(sharded(dict.fromkeys(range(9), DOWN), tmp_path, amp.url)[0])
        others = numbers_in(sharded(dict.fromkeys(range(9, 20), address if answering else DOWN), tmp_path, amp.url)[1])
        assert stopped
        assert others
        targets = dict.fromkeys(stopped, DOWN) | dict.fromkeys(others, address if answering else DOWN)
        environments = sharded(targets, tmp_path, amp.url)
        for _ in range(2):
            tick = Tick(1, None, 60_000, frozenset(["node"]))
            reports = [push(environment, tick, soon()) for environment in environments]
        for environment in environments:
            environment.dependencies.transport.close()
    assert [len([one for one in report.scrapes if one.error]) for report in reports] == [
        len(stopped), 0 if answering else len(others)
    ]  # fmt: skip
    assert [list(report.jobs_down) for report in reports] == ([[], []] if answering else [["node"], ["node"]])
