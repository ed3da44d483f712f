"""`new_series_limit`: a label that explodes is held back, named, and let in piece by piece."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from lambda_remote_write.config.load import parse_config
from lambda_remote_write.dependencies import Dependencies
from lambda_remote_write.environment import Environment
from lambda_remote_write.report.report import Report
from sandbox.amp import Receiver
from sandbox.api import Api
from tests.rig.delivery import ENVIRONMENT, Clock, no_session
from tests.rig.push import SYNTHETIC, Source, config_text, endpoint, job, run, warm_of

REASON = "new_series_limited"


class World:
    """Jobs over one API whose ids a test chooses, and what arrives of them."""

    def __init__(self, api: Api, amp: Receiver, folder: Path) -> None:
        self.sources = {name: Source(api, f"/{name}") for name in ("one", "two")}
        self.amp, self.clock, self.folder = amp, Clock(), folder

    def ids(self, name: str, *ids: int) -> None:
        stamp = self.clock.now_ms()
        self.sources[name].records = lambda: [{"id": str(number), "value": 1, "at": stamp} for number in ids]

    def text(self, *, run_limit: int = 0, spool: bool = False, **limits: int) -> str:
        jobs = [
            job(source.url, name, **({"new_series_limit": limits[name]} if name in limits else {}))
            for name, source in self.sources.items()
        ]
        more: dict[str, Any] = {"spool": {"location": str(self.folder)}} if spool else {}
        return config_text(jobs, [endpoint(self.amp, "amp")], new_series_limit=run_limit, **more)

    def stored(self, name: str) -> set[int]:
        return {int(dict(labels)["id"]) for labels in self.amp.series("requests_total", job=name)}


@pytest.fixture
def world(api: Api, receiver: Receiver, tmp_path: Path) -> World:
    return World(api, receiver, tmp_path)


def held(report: Report) -> tuple[float, dict[str, int]]:
    """Series held back, and samples by job."""
    counts = {scrape.job: scrape.dropped.counts[REASON] for scrape in report.scrapes}
    return report.totals().get("NewSeriesLimited", 0), {name: count for name, count in counts.items() if count}


def test_no_series_is_limited_by_default(world: World) -> None:
    world.ids("one", *range(500))
    with warm_of(world.text()) as environment:
        assert held(run(environment)) == (0, {})
    assert len(world.stored("one")) == 500


def test_a_job_brings_as_many_as_its_limit_says_and_the_rest_later(world: World) -> None:
    with warm_of(world.text(one=10), world.clock) as environment:
        for turn, (left, arrived) in enumerate([(15, 10), (5, 20), (0, 25)]):
            world.clock.ahead += turn
            world.ids("one", *range(25))
            world.ids("two", *range(40))
            report = run(environment)
            assert held(report) == (left, {"one": left} if left else {})
            assert (len(world.stored("one")), len(world.stored("two"))) == (arrived, 40)
            assert report.deliveries[0].dropped.counts[REASON] == left


def test_the_label_that_explodes_is_named(world: World) -> None:
    world.ids("one", *range(1000, 1030))
    with warm_of(world.text(one=10)) as environment:
        detail = run(environment).summary()
    assert "job one brings more than 10 new series in one run; label id has 20 values among the 20 held back" in detail


def test_a_label_that_never_stops_gets_no_further_than_the_limit(world: World) -> None:
    """Each run has other ids; what was held back and is gone leaves no trace, no marker of its end either."""
    stamped = job(world.sources["one"].url, "one", new_series_limit=5)
    del stamped["metrics"][0]["timestamp"]  # so that series that are gone end
    text = config_text([stamped], [endpoint(world.amp, "amp")])
    with warm_of(text, world.clock) as environment:
        for turn in range(4):
            world.clock.ahead += 1
            world.ids("one", *range(turn * 100, turn * 100 + 50))
            assert held(run(environment))[0] == 45
    assert len(world.stored("one")) == 20
    assert all(
        len(points) == 2
        for labels, points in world.amp.series("requests_total").items()
        if int(dict(labels)["id"]) < 300
    )


@pytest.mark.parametrize("has_states", [False, True], ids=["a plain record", "states"])
def test_names_from_records_are_held_back_and_so_is_their_metadata(world: World, has_states: bool) -> None:
    """As many new series as the limit says, and no metadata of names that have none; the rest comes later."""
    states = {"value": "id", "states": {"label": "s", "values": ["1"]}} if has_states else {}
    named = job(world.sources["one"].url, "one", new_series_limit=10)
    named["metrics"][0] |= {"name": {"path": "id", "prefix": "n_"}, "labels": {}} | states
    with warm_of(config_text([named], [endpoint(world.amp, "amp")]), world.clock) as environment:
        for left, arrived in [(15, 10), (5, 20), (0, 25)]:
            world.clock.ahead += 61  # metadata is due again
            world.ids("one", *range(25))
            report = run(environment)
            assert held(report) == (left, {"one": left} if left else {})
            names = {dict(labels)["__name__"] for labels in world.amp.samples} & {f"n_{one}" for one in range(25)}
            assert len(names) == arrived
            assert set(world.amp.metadata) == names
            if left:
                assert f"label __name__ has {left} values" in report.summary()


def test_a_metric_with_a_series_left_keeps_its_metadata(world: World) -> None:
    world.ids("one", *range(25))
    only = job(world.sources["one"].url, "one", new_series_limit=10)
    with warm_of(config_text([only], [endpoint(world.amp, "amp")])) as environment:
        assert held(run(environment)) == (15, {"one": 15})
    assert set(world.amp.metadata) == {"requests_total"}


def test_the_run_has_a_limit_over_all_jobs(world: World) -> None:
    world.ids("one", *range(20))
    world.ids("two", *range(20))
    with warm_of(world.text(run_limit=30)) as environment:
        count, _ = held(run(environment))
    assert count == 10
    assert len(world.stored("one")) + len(world.stored("two")) == 30


def test_up_is_never_held_back(world: World) -> None:
    world.ids("one", *range(3))
    with warm_of(world.text(one=1, run_limit=1)) as environment:
        run(environment)
    assert len(world.amp.series("up")) == 2
    assert len(world.amp.samples) == 2 * SYNTHETIC + 1


@pytest.mark.parametrize(("spool", "expected"), [(True, 0), (False, 30)], ids=["state known", "state unknown"])
def test_a_cold_start_lets_in_as_many_as_the_job_had(world: World, spool: bool, expected: int) -> None:
    dependencies = Dependencies(ENVIRONMENT, world.clock.now_ms, no_session, world.clock.sleep)
    try:
        environment = Environment(parse_config(world.text(one=10, spool=spool), "c", ENVIRONMENT), dependencies)
        for _ in range(4):
            world.ids("one", *range(40))
            run(environment)
            world.clock.ahead += 601  # the state object is written every ten minutes
        world.ids("one", *range(40))
        cold = Environment(parse_config(world.text(one=10, spool=spool), "c", ENVIRONMENT), dependencies)
        assert held(run(cold))[0] == expected
    finally:
        dependencies.transport.close()


def test_a_state_that_cannot_be_read_limits_no_series(world: World) -> None:
    """A hiccup of the store is no reason to drop good series."""
    (world.folder / "state" / "0").mkdir(parents=True)  # a folder where the object should be
    world.ids("one", *range(40))
    with warm_of(world.text(one=10, spool=True)) as environment:
        report = run(environment)
    assert held(report) == (0, {})
    assert any("the state object cannot be" in detail for detail in report.warnings)
