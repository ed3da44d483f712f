"""Stale markers: when a series ends, when a scrape fails, and not when the process ends."""

from __future__ import annotations

import struct
from dataclasses import dataclass

import pytest

from sandbox.server import Fault
from tests.rig import compliance as rig
from tests.rig import compliance_pages as pages
from tests.rig.compliance import PROTOCOLS, STALE_BITS, Sample, Write

pytestmark = pytest.mark.slow

BOTH = f"staying 1\nleaving 2\nstamped 3 {pages.STAMPED_MS}\n"
ONE = "staying 1\n"
PAGE = "/metrics"


@dataclass(frozen=True)
class Story:
    """A run in which a series left and came back, and the page failed in between."""

    writes: dict[str, list[Write]]
    status: int
    left_ms: int  # nothing was left out of the page before that time
    failed_ms: int  # nor did it fail before that time
    well_ms: int  # nor was it well again before that time


def is_stale(sample: Sample) -> bool:
    return struct.pack("<d", sample.value) == struct.pack("<Q", STALE_BITS)


def samples_of(writes: list[Write], name: str) -> list[Sample]:
    return [sample for one in rig.all_series(writes, name) for sample in one.samples]


@pytest.fixture(scope="module")
def story(tmp_path_factory: pytest.TempPathFactory) -> Story:
    with rig.Pages({PAGE: (BOTH.encode(), rig.TEXT)}) as served, rig.Receiver() as receiver:
        endpoints = [rig.endpoint(receiver.url(one), one) for one in PROTOCOLS]
        with rig.sender(rig.config(endpoints, [rig.job(served.target)]), tmp_path_factory.mktemp("story")) as sender:

            def everywhere(name: str, count: int, stale: bool) -> bool:
                found = [samples_of(receiver.writes(path), name) for path in PROTOCOLS]
                return all(sum(is_stale(one) == stale for one in each) >= count for each in found)

            def seen_ms(name: str) -> int:
                return max(sample.ms for path in PROTOCOLS for sample in samples_of(receiver.writes(path), name))

            sender.wait_for(lambda: everywhere("leaving", 2, stale=False), "both series were seen twice")
            left_ms = seen_ms("leaving")
            served.show(PAGE, ONE)
            sender.wait_for(lambda: everywhere("leaving", 1, stale=True), "the end of the one that left was told")
            sender.wait_for(lambda: seen_ms("staying") > seen_ms("leaving"), "one more scrape")
            failed_ms = seen_ms("staying")
            served.fail(PAGE, Fault.status(500))
            sender.wait_for(lambda: everywhere("staying", 1, stale=True), "the end of the other was told")
            sender.wait_for(lambda: seen_ms("up") > seen_ms("staying"), "one more failure")
            served.show(PAGE, "staying 1\nleaving {\n")
            sender.wait_for(lambda: served.asked(PAGE) >= 8, "a page that cannot be read")
            well_ms = seen_ms("up")
            served.show(PAGE, BOTH)
            count = len(samples_of(receiver.writes("v1"), "leaving"))
            sender.wait_for(lambda: everywhere("leaving", count + 2 - 1, stale=False), "both are back")
            status = sender.stop()
            writes = {path: receiver.writes(path) for path in PROTOCOLS}
            return Story(writes, status, left_ms, failed_ms, well_ms)


@pytest.fixture
def writes(story: Story, protocol: str) -> list[Write]:
    found = story.writes[protocol]
    assert len(found) > 0, "no request was seen"
    return found


def test_vanished_series(story: Story, writes: list[Write]) -> None:
    """MUST: a stale marker is sent when a series will no longer be appended to: once, after its last sample."""
    told = samples_of(writes, "leaving")
    marked = [sample.ms for sample in told if is_stale(sample)]
    assert len(marked) == 1
    assert story.left_ms < marked[0]
    assert not [sample for sample in told if marked[0] < sample.ms <= story.well_ms]


def test_time_of_a_marker(writes: list[Write]) -> None:
    """MUST: a stale marker has the timestamp of the scrape that missed the series."""
    scraped = {sample.ms for sample in samples_of(writes, "up")}
    for name in ("leaving", "staying"):
        assert {sample.ms for sample in samples_of(writes, name)} <= scraped


def test_others_go_on(story: Story, writes: list[Write]) -> None:
    """MUST NOT: a series that goes on has no marker."""
    assert not [one for one in samples_of(writes, "staying") if is_stale(one) and one.ms <= story.failed_ms]


def test_failed_scrape(story: Story, writes: list[Write]) -> None:
    """MUST: a scrape that fails ends all series of its target, once, however often it fails."""
    marked = [one.ms for one in samples_of(writes, "staying") if is_stale(one)]
    assert len(marked) == 1
    assert story.failed_ms < marked[0] <= story.well_ms


def test_up(story: Story, writes: list[Write]) -> None:
    """SHOULD: up is 1 while scrapes succeed and 0 while they fail, and has no marker."""
    values = {one.ms: one.value for one in samples_of(writes, "up")}
    down = [ms for ms, value in values.items() if value == 0]
    assert len(down) >= 2
    assert all(story.failed_ms < ms for ms in down)
    assert set(values.values()) == {0.0, 1.0}


def test_unreadable_page(story: Story, writes: list[Write]) -> None:
    """MUST NOT: of a page that cannot be read, nothing is sent, not even what could be read of it."""
    failed = {one.ms for one in samples_of(writes, "up") if one.value == 0}
    assert not [one for one in samples_of(writes, "staying") if one.ms in failed and not is_stale(one)]


def test_back_again(story: Story, writes: list[Write]) -> None:
    """MUST: a series that comes back goes on with its values."""
    for name, value in {"staying": 1.0, "leaving": 2.0}.items():
        assert {one.value for one in samples_of(writes, name) if one.ms > story.well_ms} == {value}


def test_no_marker_for_stamped_series(writes: list[Write]) -> None:
    """MUST NOT: a series with timestamps of its own has no marker, unless track_timestamps_staleness says so."""
    assert [(one.ms, one.value) for one in samples_of(writes, "stamped")] == [(pages.STAMPED_MS, 3.0)]


def test_none_at_the_end(story: Story, writes: list[Write]) -> None:
    """MUST NOT: the end of the process is not the end of the series: no marker then."""
    assert story.status == 0
    for name in ("staying", "leaving", "up"):
        assert not is_stale(samples_of(writes, name)[-1])


def test_order(writes: list[Write]) -> None:
    """MUST: markers stand in order with the samples of their series."""
    for name in ("staying", "leaving", "up"):
        stamps = [one.ms for one in samples_of(writes, name)]
        assert stamps == sorted(set(stamps))
