"""Intervals go by the monotonic clock; a wall clock that is set is a message, and stops nothing."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pytest

from lambda_remote_write.http.fetch import Fetcher
from lambda_remote_write.scrape.collect import ScrapeResponse
from lambda_remote_write_cli.run.schedule import ClockWatch, Schedule
from tests.rig.clock import Clocks

HOUR = 3_600


@pytest.fixture
def clocks() -> Clocks:
    return Clocks()


@pytest.fixture
def schedule(clocks: Clocks) -> Schedule:
    return Schedule(clocks.now_ms, clocks.monotonic)


@dataclass(frozen=True)
class Page:
    """A source that is only looked at."""

    key: str = "job/a"
    interval_ms: int = 15_000
    offset_ms: int = 0
    timeout_ms: int = 10_000
    name: str = "job"
    instance: str = "a"
    is_target: bool = True

    def fetch(self, fetcher: Fetcher, deadline: float) -> Any:
        raise NotImplementedError

    def to_scrape(self, response: ScrapeResponse, run: int, now_ms: int) -> Any:
        raise NotImplementedError


def scrapes(schedule: Schedule, clocks: Clocks, page: Page, seconds: int, busy: range = range(0)) -> list[int]:
    """The seconds at which the page is scraped."""
    found = []
    for second in range(seconds):
        found += [second for _ in schedule.due([page], {page.key} if second in busy else ())]
        clocks.pass_by(1)
    return found


@pytest.mark.parametrize(
    ("offset_ms", "first"),
    [pytest.param(0, 600, id="on the full interval"), pytest.param(60_000, 660, id="at its own place in it")],
)
def test_a_long_interval_begins_on_its_own_grid(offset_ms: int, first: int) -> None:
    """So that an hourly job is not scraped at every restart."""
    clocks = Clocks(at=1_800_000_000 - 1_800_000_000 % HOUR - 600)
    page = Page(interval_ms=HOUR * 1000, offset_ms=offset_ms)
    assert scrapes(Schedule(clocks.now_ms, clocks.monotonic), clocks, page, HOUR + 700) == [first, first + HOUR]


@pytest.mark.parametrize("seconds", [-HOUR, -86_400, HOUR], ids=["an hour back", "a day back", "ahead"])
def test_a_wall_clock_that_is_set_stops_nothing(seconds: int, clocks: Clocks, schedule: Schedule) -> None:
    assert scrapes(schedule, clocks, Page(), 20) == [0, 15]
    clocks.set_by(seconds)
    assert scrapes(schedule, clocks, Page(), 30) == [10, 25]


def test_a_source_that_hangs_misses_its_turns(clocks: Clocks, schedule: Schedule) -> None:
    assert scrapes(schedule, clocks, Page(), 60, busy=range(1, 40)) == [0, 45]


def test_a_source_that_hangs_does_not_keep_the_loop_busy(clocks: Clocks, schedule: Schedule) -> None:
    schedule.due([Page()], ())
    until, looks = clocks.monotonic() + 60, 0
    while clocks.monotonic() < until:
        clocks.pass_by(schedule.wait_seconds() or 0.001)
        schedule.due([Page()], {Page().key})
        looks += 1
    assert looks <= 5


def test_missed_turns_are_not_made_up_for(clocks: Clocks, schedule: Schedule) -> None:
    schedule.due([Page()], ())
    clocks.pass_by(100)
    assert len(schedule.due([Page()], ())) == 1
    assert schedule.wait_seconds() == pytest.approx(5)


def test_another_interval_begins_anew(clocks: Clocks, schedule: Schedule) -> None:
    assert schedule.wait_seconds() is None  # without a source there is nothing to wait for
    schedule.due([Page()], ())
    clocks.pass_by(1)
    assert schedule.due([Page(interval_ms=1_000)], ())


def test_an_answer_of_no_use_is_asked_for_again(schedule: Schedule) -> None:
    schedule.due([Page()], ())
    schedule.again(Page().key)
    assert schedule.wait_seconds() == 0
    assert schedule.due([Page()], ())


# --- The wall clock ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        pytest.param(-3_605, ["set back by 1h5s", "not_newer"], id="back"),
        pytest.param(28_800, ["jumped ahead by 8h"], id="ahead"),
        pytest.param(0.4, [], id="an adjustment"),
        pytest.param(-0.4, [], id="an adjustment back"),
        pytest.param(0, [], id="none"),
    ],
)
def test_a_step_is_one_message(seconds: float, words: list[str], clocks: Clocks) -> None:
    watch = ClockWatch(clocks.now_ms, clocks.monotonic)
    clocks.pass_by(100)
    clocks.set_by(seconds)
    detail = watch.step()
    assert bool(detail) == bool(words)
    assert all(word in detail for word in words)
    clocks.pass_by(100)
    assert watch.step() == ""
