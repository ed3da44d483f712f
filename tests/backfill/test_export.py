"""What a receiver cannot take, written as OpenMetrics: promtool makes blocks of it that hold exactly those samples."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from lambda_remote_write.backfill.invoke import BadRequest
from sandbox import s3
from sandbox.amp import Receiver
from sandbox.server import Fault, Request
from tests.rig import backfill as rigs
from tests.rig.backfill import (
    HOUR,
    MINUTE,
    Past,
    Place,
    bucket_environment,
    desk,
    minutes,
    now_ms,
    only,
    point,
)
from tests.rig.blocks import Found, dumped
from tests.rig.made import Point
from tests.rig.needs import Peer

EVENT = {"job": "usage", "start": "-3h", "end": "-2h"}


@pytest.fixture
def place(peer: Peer) -> Iterator[Place]:
    peer("prometheus")
    peer("promtool")
    with rigs.workspace([point("live", now_ms())]) as found:
        yield found


def expected(points: list[Point]) -> Found:
    found: Found = {}
    for labels, value, stamp in points:
        found.setdefault(tuple(sorted(labels.items())), []).append((stamp, float(value)))  # type: ignore[arg-type]
    return {labels: sorted(some) for labels, some in found.items()}


def test_the_impossible_samples_become_blocks_with_exactly_those_values(tmp_path: Path, place: Place) -> None:
    """Too old ones and those behind the window; what can be sent is sent, and is not in the file."""
    now = now_ms()
    old = [*minutes("a", now - 5 * HOUR, 100), *minutes("live", now - 3 * HOUR, 20)]
    behind = minutes("live", now - 40 * MINUTE, 30)
    possible = minutes("new", now - 40 * MINUTE, 30)
    out = tmp_path / "out.om"
    answer = place.backfill(tmp_path, [*old, *behind, *possible], export=str(out))
    assert (only(answer)["accepted"], answer["exported"], place.amp.refused) == (30, 150, 0)
    assert rigs.counts(only(answer)["dropped"]) == {"too_old": 120, "behind_window": 30}
    assert dumped(out.read_bytes(), tmp_path) == expected([*old, *behind])


AWKWARD = [
    pytest.param({"path": 'a"b\\c\nd'}, 1.0, id="escapes"),
    pytest.param({"path": "C:\\new\\"}, 1.0, id="backslashes"),
    pytest.param({"path": 'x,y="z"} # {'}, 1.0, id="what looks like syntax"),
    pytest.param({"zone": "ünï \U0001f600"}, 1.0, id="beyond ASCII"),
    pytest.param({"le": "+Inf", "quantile": "0.5"}, 1.0, id="labels with a meaning"),
    pytest.param({"id": "a"}, 5e-324, id="the smallest number"),
    pytest.param({"id": "a"}, -1.7976931348623157e308, id="the largest negative one"),
    pytest.param({"id": "a"}, float("inf"), id="infinity"),
    pytest.param({"id": "a"}, 0.1 + 0.2, id="seventeen digits"),
]


@pytest.mark.parametrize(("labels", "value"), AWKWARD)
@pytest.mark.parametrize("name", ["requests_total", "seconds_bucket", "plain", "with:colon"])
def test_nothing_is_lost_in_the_text(
    tmp_path: Path, place: Place, labels: dict[str, str], value: float, name: str
) -> None:
    """Labels and values come out of the blocks as they were, whatever the metric's name ends in."""
    stamp = now_ms() - 2 * HOUR
    points: list[Point] = [({"__name__": name, **labels}, value, stamp)]
    out = tmp_path / "out.om"
    place.backfill(tmp_path, points, export=str(out))
    assert dumped(out.read_bytes(), tmp_path) == expected(points)


def test_metrics_that_take_turns_stand_together(tmp_path: Path, place: Place, past: Past) -> None:
    """Several windows with several metrics make one file that promtool can read."""
    past.points = [*minutes("a", now_ms() - 3 * HOUR + MINUTE, 50), *minutes("b", now_ms() - 170 * MINUTE, 40)]
    job = past.job(window="10m")
    other = dict(job["metrics"][0], name="another_total")
    job["metrics"].append(other)
    out = tmp_path / "out.om"
    answer = desk(tmp_path, [rigs.endpoint(place.amp)], [job]).backfill(**EVENT, export=str(out))
    assert answer["exported"] == 180
    found = [dict(labels) | {"points": len(points)} for labels, points in dumped(out.read_bytes(), tmp_path).items()]
    assert sorted((one["__name__"], one["id"], one["points"]) for one in found) == [
        (metric, name, count)
        for metric in ("another_total", "requests_total")
        for name, count in (("a", 50), ("b", 40))
    ]


def long_history(past: Past, place: Place, folder: Path) -> rigs.Desk:
    """Fifty minutes of two series, two hours ago, in ten windows, each of which takes the API a moment."""
    past.points = rigs.two_series(now_ms() - 3 * HOUR + MINUTE, 55)
    return desk(folder, [rigs.endpoint(place.amp)], [past.job(window="5m")])


def assert_holds(past: Past, folder: Path, *contents: bytes) -> None:
    """promtool reads these texts, each by itself, and they have every sample once."""
    got = []
    for index, content in enumerate(contents):
        (folder / str(index)).mkdir()
        for labels, points in dumped(content, folder / str(index)).items():
            got += [(dict(labels)["id"], at) for at, _ in points]
    assert sorted(got) == sorted((str(one[0]["id"]), one[2]) for one in past.points)


def test_a_bucket_that_refuses_is_no_silent_loss(tmp_path: Path, place: Place, past: Past) -> None:
    """Samples that can neither be sent nor exported stop the backfill, which names the object, and the token goes on
    once it is mended."""
    with s3.ObjectStore(bucket="exports") as bucket:
        at_desk = long_history(past, place, tmp_path)
        at_desk.env_vars = bucket_environment(bucket) | {"AWS_SECRET_ACCESS_KEY": "another"}
        answer = at_desk.backfill(**EVENT, export="s3://exports/past/usage.om")
        assert not answer["done"]
        assert "s3://exports/past/usage.om" in answer["stopped"]
        at_desk.env_vars = bucket_environment(bucket)
        rest = at_desk.backfill(resume=answer["resume"])
        assert (rest["done"], rest["exported"]) == (True, 110)


@pytest.mark.parametrize("target", ["file", "bucket"])
@pytest.mark.parametrize("window", [2, 5, 9])
def test_an_export_that_is_killed_misses_nothing(
    tmp_path: Path, place: Place, past: Past, window: int, target: str
) -> None:
    """SIGKILL while the API is asked: what was acknowledged is in the export, once, when it has come to its end."""
    moment = threading.Event()

    def fault(_: Request) -> Fault | None:
        if len(past.asked) != window:
            return None
        moment.set()
        return Fault.hang()

    past.fault = fault
    with s3.ObjectStore(bucket="exports") as bucket:
        out = "s3://exports/past/usage.om" if target == "bucket" else str(tmp_path / "out.om")
        text = long_history(past, place, tmp_path).text
        process = rigs.Shell(tmp_path, text, bucket_environment(bucket))
        arguments = ["--job", "usage", "--start", "-3h", "--end", "-2h", "--export", out]
        process.kill_when(moment, *arguments)
        answer = process.end(*arguments, "--resume")
        assert (answer["done"], answer["exported"]) == (True, 110)
        contents = list(bucket.objects.values()) if target == "bucket" else [Path(out).read_bytes()]
        assert all(key.startswith("past/") for key in bucket.objects)
    assert_holds(past, tmp_path, *contents)


def test_a_file_of_another_time_is_no_part_of_an_export(tmp_path: Path, place: Place, past: Past) -> None:
    """A plan has written nothing yet: what the token then writes begins the file."""
    out = tmp_path / "out.om"
    out.write_text("leftover 1 1\n# EOF\n")
    at_desk = long_history(past, place, tmp_path)
    plan = at_desk.backfill(**EVENT, export=str(out), plan=True)
    assert at_desk.backfill(resume=plan["resume"])["exported"] == 110
    found = dumped(out.read_bytes(), tmp_path)
    assert {dict(labels)["__name__"] for labels in found} == {"requests_total"}


def test_an_export_is_of_one_endpoint(tmp_path: Path, place: Place, past: Past) -> None:
    """With several ones it must be said of which; then the file has what is impossible there."""
    with Receiver() as second:
        jobs = json.loads(long_history(past, place, tmp_path).text)["json_configs"]
        at_desk = desk(tmp_path, [rigs.endpoint(place.amp), rigs.endpoint(second, "second")], jobs)
        event = {**EVENT, "export": str(tmp_path / "out.om")}
        with pytest.raises(BadRequest, match="endpoint"):
            at_desk.backfill(**event)
        assert at_desk.backfill(**event, endpoint="second")["exported"] == 110


def test_nothing_impossible_leaves_no_samples_in_the_file(tmp_path: Path, place: Place) -> None:
    """An export with nothing to say is empty, or is not there."""
    out = tmp_path / "out.om"
    answer = place.backfill(tmp_path, minutes("new", now_ms() - 30 * MINUTE, 5), export=str(out))
    assert (answer["exported"], only(answer)["accepted"]) == (0, 5)
    assert not out.exists() or out.read_bytes() in (b"", b"# EOF\n")
