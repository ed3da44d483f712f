"""The demo's world: a minute is a run of the real function, switches make it fail, and no sample is lost."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

from lambda_remote_write.spool import entry
from sandbox.api import LAG_SECONDS, request_count
from sandbox.simulation import LONGEST_MINUTES, RENAMED_FIELD, START, WINDOW_MINUTES, Minute, Over, Simulation, Switch

SAMPLES = 18  # of a run: 3 projects, 5 hosts, and 5 of each job


@pytest.fixture
def world() -> Iterator[Simulation]:
    with Simulation() as running:
        yield running


def run(world: Simulation, count: int, *switches: Switch) -> list[Minute]:
    world.set_switches(*switches)
    return [world.run_minute() for _ in range(count)]


def up(world: Simulation) -> list[float]:
    """Of the usage job, oldest first."""
    (points,) = world.receiver.series("up", job="custom_exporter").values()
    return [value for _, value in sorted(points)]


def stored(world: Simulation) -> dict[str, list[tuple[int, float]]]:
    found = world.receiver.series("api_requests_total")
    return {dict(labels)["projectCode"]: sorted(points) for labels, points in found.items()}


def truth(minutes: int) -> dict[str, list[tuple[int, float]]]:
    """What the API had to say at each minute."""
    ends = range(START + 60, START + 60 * minutes + 1, 60)
    return {
        project: [((at - lag) * 1000, float(request_count(project, at - lag))) for at in ends]
        for project, lag in LAG_SECONDS.items()
    }


def test_a_minute_is_a_run(world: Simulation, capsys: pytest.CaptureFixture[str]) -> None:
    minutes = run(world, 3)
    assert [minute.at for minute in minutes] == [START + 60, START + 120, START + 180]
    assert all(minute.report["endpoints"][0]["accepted"] == SAMPLES for minute in minutes)
    assert minutes[-1].sentence.startswith(f"{SAMPLES} accepted, 0 rejected")
    assert (world.passed, world.refusal, stored(world)) == (3, None, truth(3))
    assert capsys.readouterr().out == "", "the log line is no part of the demo's text"


def test_samples_stand_beside_the_answer_they_are_made_of(world: Simulation) -> None:
    minute = run(world, 2)[-1]
    records = json.loads(minute.answer.body)
    made = {
        (dict(one.labels)["projectCode"], one.timestamp_ms, one.value)
        for one in minute.samples
        if dict(one.labels)["__name__"] == "api_requests_total"
    }
    assert made == {(one["projectCode"], one["currentTime"] * 1000, one["apiRequestCount"]) for one in records}
    assert len(minute.samples) == len(records) + 5  # up, and what Prometheus adds to it


def test_an_outage_fills_the_spool_which_then_empties_in_order(world: Simulation) -> None:
    run(world, 2)
    during = run(world, 4, Switch.OUTAGE)
    on_disk = [entry.decode(path.read_bytes()).samples for path in world.spool.glob("spool/*/*/*")]
    assert [minute.waiting for minute in during] == [SAMPLES * n for n in (1, 2, 3, 4)]
    assert sum(on_disk) == during[-1].waiting
    assert [len(minute.samples) for minute in during] == [8] * 4, "they are in the spool, or were refused"
    assert world.refusal
    assert (world.refusal.status, world.refusal.at) == (503, during[-1].at)
    assert "may take the samples again later" in world.refusal.explanation.meaning
    after = run(world, 1)[0]
    assert (after.waiting, list(world.spool.glob("spool/*/*/*"))) == (0, [])
    assert stored(world) == truth(7)
    order = [stamp for (stamp, _) in next(iter(world.receiver.series("api_requests_total").values()))]
    assert order == sorted(order), "they arrived oldest first"


def test_an_api_that_was_down_is_asked_for_what_was_missed(world: Simulation) -> None:
    run(world, 2)
    down = run(world, 3, Switch.API_DOWN)[-1]
    assert down.answer.status == 503
    assert set(down.report["jobs_down"]) == {"custom_exporter", "fleet"}
    run(world, 1)
    assert up(world) == [1, 1, 0, 0, 0, 1]
    assert stored(world) == truth(6)


def test_a_renamed_field_is_named(world: Simulation) -> None:
    run(world, 2)
    minute = run(world, 2, Switch.FIELD_RENAMED)[-1]
    assert up(world) == [1, 1, 0, 0]
    assert stored(world) == truth(2)
    assert minute.report["jobs_down"]["custom_exporter"].endswith(f"the nearest path that exists is {RENAMED_FIELD}")
    assert minute.report["jobs_down"]["custom_exporter"] in minute.sentence
    run(world, 1)
    assert stored(world) == truth(5)


def test_a_throttled_request_is_split_and_sent_again_later(world: Simulation) -> None:
    run(world, 1)
    minute = run(world, 1, Switch.THROTTLED)[0]
    endpoint = minute.report["endpoints"][0]
    assert (endpoint["accepted"], minute.waiting) == (SAMPLES, 0)
    assert endpoint["retries"] >= 2
    assert world.clock() > minute.at, "it waited, in the world's time"
    assert world.refusal
    assert (world.refusal.status, world.refusal.explanation.reason) == (429, "rate_limited")
    assert "ingestion rate limit" in world.refusal.text
    assert "max_samples_per_second" in world.refusal.explanation.help
    assert run(world, 1)[0].at == minute.at + 60


def test_a_slow_api_costs_time_alone(world: Simulation) -> None:
    run(world, 1)
    minute = run(world, 1, Switch.SLOW)[0]
    assert minute.report["totals"]["RunSeconds"] >= 0.4
    assert stored(world) == truth(2)


def test_all_at_once_lose_nothing_either(world: Simulation) -> None:
    run(world, 2)
    run(world, 2, *(one for one in Switch if one != Switch.SLOW))
    run(world, 1)
    assert stored(world) == truth(5)
    assert all(one.report["endpoints"][0]["undelivered"] == {} for one in world.minutes)


def test_what_is_remembered_has_a_bound(world: Simulation) -> None:
    assert world.minutes.maxlen == WINDOW_MINUTES
    world.clock.seconds = START + 60 * (LONGEST_MINUTES - 1)
    run(world, 1)
    with pytest.raises(Over, match="7 simulated days have passed"):
        run(world, 1)
