"""When the markers of a source that is gone are written (scrape/scrape.go, endOfRunStaleness)."""

from __future__ import annotations

import pytest

from lambda_remote_write.model.samples import Samples, Series
from lambda_remote_write.scrape.collect import ActiveSeries
from lambda_remote_write.scrape.schedule import Tick
from lambda_remote_write.scrape.staleness import EndedTargets

SECOND = 1_000


class Gone:
    """A source with one series, asked every ten seconds."""

    key, name, instance, interval_ms = "job/a:1", "job", "a:1", 10 * SECOND

    def __init__(self) -> None:
        self.active = ActiveSeries()

    def is_due(self, tick: Tick) -> bool:
        return tick.takes(self.name, self.interval_ms, 0)

    def end(self, timestamp_ms: int) -> Samples:
        return Samples([Series(b"")], [0.0], [timestamp_ms])

    def mark_seen(self, run: int) -> None:
        raise AssertionError("nothing here prunes")


def markers(ended_targets: EndedTargets, *, busy_until: int = 0) -> list[tuple[int, int]]:
    """(seconds at which a marker was written, seconds that it bears), looked at every second for a minute."""
    found = []
    for second in range(60):
        now_ms = second * SECOND
        busy = ["job/a:1"] if second < busy_until else []
        for scrape in ended_targets.ended(Tick(now_ms, now_ms - SECOND, 0), now_ms, busy):
            found += [(second, stamp // SECOND) for stamp in scrape.samples.timestamps_ms]
    return found


@pytest.mark.parametrize(
    ("busy_until", "expected"),
    [
        pytest.param(0, [(21, 0)], id="idle"),
        pytest.param(1, [(31, 10)], id="being asked at its last slot"),
        pytest.param(15, [(41, 20)], id="being asked beyond the next one"),
    ],
)
def test_marker_of_the_first_missed_scrape(busy_until: int, expected: list[tuple[int, int]]) -> None:
    """2.1 intervals after the slot that was missed, with its time; a scrape under way has not missed its slot."""
    ended_targets = EndedTargets()
    ended_targets.add(Gone())
    assert markers(ended_targets, busy_until=busy_until) == expected


def test_a_clock_that_is_set_back() -> None:
    """The markers come with the time of the slot that was missed, and not only when the clock is there again."""
    ended_targets, day_ms = EndedTargets(), 86_400 * SECOND
    ended_targets.add(Gone())
    assert ended_targets.ended(Tick(day_ms, day_ms - SECOND, 0), day_ms) == []
    (scrape,) = ended_targets.ended(Tick(0, -SECOND, 0), 0)
    assert scrape.samples.timestamps_ms == [day_ms]


def test_back_in_time() -> None:
    """A source that comes back is handed over as it was, and ends no more."""
    ended_targets, source = EndedTargets(), Gone()
    ended_targets.add(source)
    assert ended_targets.ended(Tick(0, -SECOND, 0), 0) == []
    assert ended_targets.resume(source.key) is source
    assert markers(ended_targets) == []
