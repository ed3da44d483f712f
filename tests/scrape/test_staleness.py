"""Stale markers: what a document no longer has ends, unless its records carry their own time, and so does a source that
is gone."""

from __future__ import annotations

import json
import struct
from pathlib import Path

import pytest

from lambda_remote_write.model.samples import Samples, Series
from lambda_remote_write.scrape.collect import EndedTargets
from lambda_remote_write.scrape.schedule import Tick
from lambda_remote_write.scrape.staleness import ActiveSeries
from sandbox.server import Answer
from tests.rig.json_source import NOW_MS, Rig

STALE = "7ff0000000000002"
PLAIN = '{name: g, type: gauge, records: "[]", value: v, labels: {n: n}}'
TIMED = '{name: g, type: gauge, records: "[]", value: v, labels: {n: n}, timestamp: {path: t, format: unix}}'


def arrived(rig: Rig, **labels: str) -> list[tuple[int, str]]:
    """The samples of one series of g: minutes since the first run, and the value (or "stale")."""
    (points,) = rig.receiver.series("g", **labels).values()
    found = []
    for stamp, value in points:
        bits = struct.pack(">d", value).hex()
        found.append(((stamp - NOW_MS) // 60_000, "stale" if bits == STALE else f"{value:g}"))
    return found


@pytest.mark.parametrize("end", ["record gone", "api down", "not JSON"])
def test_what_is_gone_ends_and_may_come_back(rig: Rig, end: str) -> None:
    """One marker, at the time of the first run without it; a failed run ends all series but the synthetic ones."""
    app = rig.app(rig.job(PLAIN))
    both = [{"n": "a", "v": 1}, {"n": "b", "v": 2}]
    for run in range(5):
        gone = run in (2, 3)
        rig.serve(json.dumps(both[:1] if gone else both))
        if gone and end == "api down":
            rig.api.serve("/doc", Answer(503, {}, b""))
        elif gone and end == "not JSON":
            rig.serve("{")
        app.handle({}, None)
        rig.clock.ms += 60_000
    assert arrived(rig, n="b") == [(0, "2"), (1, "2"), (2, "stale"), (4, "2")]
    kept = [(2, "1"), (3, "1")] if end == "record gone" else [(2, "stale")]
    assert arrived(rig, n="a") == [(0, "1"), (1, "1"), *kept, (4, "1")]
    assert [value for _, value in next(iter(rig.receiver.series("up").values()))] == (
        [1, 1, 1, 1, 1] if end == "record gone" else [1, 1, 0, 0, 1]
    )


def test_records_with_their_own_time_do_not_end(rig: Rig) -> None:
    """Prometheus does not track series with explicit timestamps either."""
    app = rig.app(rig.job(TIMED))
    for records in ([{"n": "a", "v": 1, "t": NOW_MS // 1000}], [], []):
        rig.serve(json.dumps(records))
        app.handle({}, None)
        rig.clock.ms += 60_000
    assert [value for _, value in arrived(rig, n="a")] == ["1"]


def test_a_cold_start_ends_nothing(rig: Rig) -> None:
    """It is a restarted Prometheus: what it has not seen it cannot miss."""
    for records in ([{"n": "a", "v": 1}], []):
        rig.serve(json.dumps(records))
        rig.app(rig.job(PLAIN)).handle({}, None)
        rig.clock.ms += 60_000
    assert [value for _, value in arrived(rig, n="a")] == ["1"]


@pytest.mark.parametrize("change", ["removed", "another host"])
def test_a_job_that_leaves_the_config_ends_with_its_synthetic_series(rig: Rig, tmp_path: Path, change: str) -> None:
    """After just over two intervals, with the time of the first run that it missed."""
    stays, goes = rig.job(PLAIN, name="stays", path="/stays"), rig.job(PLAIN, name="goes")
    for path in ("/stays", "/doc"):
        rig.serve(json.dumps([{"n": path, "v": 1}]), path)
    app = rig.app(stays, goes)
    app.handle({}, None)
    config = tmp_path / "config-0.yaml"
    other = goes.replace("127.0.0.1", "localhost")
    text = config.read_text().replace(f"  - {goes}\n", f"  - {other}\n" if change == "another host" else "")
    config.write_text(text)
    for _ in range(5):
        rig.clock.ms += 60_000
        app.handle({}, None)
    assert arrived(rig, job="goes", instance=rig.api.url.removeprefix("http://")) == [(0, "1"), (1, "stale")]
    (up,) = rig.receiver.series("up", job="goes", instance=rig.api.url.removeprefix("http://")).values()
    assert [struct.pack(">d", value).hex() == STALE for _, value in up] == [False, True]
    assert rig.receiver.refused == 0


# --- When the markers of a source that is gone are written (scrape/scrape.go, endOfRunStaleness) ---------------------

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
