"""What a receiver cannot take, written as OpenMetrics: promtool makes blocks of it that hold exactly those samples."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from lambda_remote_write.app import App, BackfillStopped
from lambda_remote_write.backfill.invoke import BadRequest
from lambda_remote_write.dependencies import Dependencies
from sandbox import s3
from sandbox.amp import Receiver
from sandbox.server import Fault, Request
from tests.rig.backfill_receiving import (
    HOUR_MS,
    MINUTE_MS,
    Desk,
    Past,
    Place,
    Shell,
    counted,
    desk,
    endpoint,
    minutes,
    now_ms,
    only,
    point,
    workspace,
    write_file,
)
from tests.rig.blocks import Found, dumped
from tests.rig.lambda_context import Context
from tests.rig.made import Point
from tests.rig.needs import Peer


@pytest.fixture(autouse=True, scope="module")
def _peers(peer: Peer) -> None:
    peer("prometheus")
    peer("promtool")


@pytest.fixture
def place() -> Iterator[Place]:
    with workspace([point("live", now_ms())]) as found:
        yield found


def expected(points: list[Point]) -> Found:
    found: Found = {}
    for labels, value, stamp in points:
        found.setdefault(tuple(sorted(labels.items())), []).append((stamp, float(value)))  # type: ignore[arg-type]
    return {labels: sorted(some) for labels, some in found.items()}


def test_the_impossible_samples_become_blocks_with_exactly_those_values(tmp_path: Path, place: Place) -> None:
    """Too old ones and those behind the window; what can be sent is sent, and is not in the file."""
    now = now_ms()
    old = [*minutes("a", now - 5 * HOUR_MS, 100), *minutes("live", now - 3 * HOUR_MS, 20)]
    behind = minutes("live", now - 40 * MINUTE_MS, 30)
    possible = minutes("new", now - 40 * MINUTE_MS, 30)
    out = tmp_path / "out.om"
    file = write_file(tmp_path / "x.om", [*old, *behind, *possible])
    answer = desk(tmp_path, [endpoint(place.amp)]).backfill(from_=file, export=str(out))
    assert (only(answer)["accepted"], answer["exported"], place.amp.refused) == (30, 150, 0)
    assert counted(only(answer)["dropped"]) == {"too_old": 120, "behind_window": 30}
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
    stamp = now_ms() - 2 * HOUR_MS
    points: list[Point] = [({"__name__": name, **labels}, value, stamp)]
    out = tmp_path / "out.om"
    desk(tmp_path, [endpoint(place.amp)]).backfill(from_=write_file(tmp_path / "x.om", points), export=str(out))
    assert dumped(out.read_bytes(), tmp_path) == expected(points)


def test_metrics_that_take_turns_stand_together(tmp_path: Path, place: Place, past: Past) -> None:
    """Several windows with several metrics make one file that promtool can read."""
    past.points = [*minutes("a", now_ms() - 3 * HOUR_MS + MINUTE_MS, 50), *minutes("b", now_ms() - 170 * MINUTE_MS, 40)]
    job = past.job(window="10m")
    other = dict(job["metrics"][0], name="another_total")
    job["metrics"].append(other)
    out = tmp_path / "out.om"
    answer = desk(tmp_path, [endpoint(place.amp)], [job]).backfill(job="usage", start="-3h", end="-2h", export=str(out))
    assert answer["exported"] == 180
    found = dumped(out.read_bytes(), tmp_path)
    for metric in ("requests_total", "another_total"):
        got = {
            dict(labels)["id"]: [at for at, _ in some]
            for labels, some in found.items()
            if dict(labels)["__name__"] == metric
        }
        assert {name: len(some) for name, some in got.items()} == {"a": 50, "b": 40}


def long_history(past: Past, place: Place, folder: Path) -> Desk:
    """Fifty minutes of two series, two hours ago, in ten windows, each of which takes the API a moment."""
    start = now_ms() - 3 * HOUR_MS + MINUTE_MS
    past.points = sorted([*minutes("a", start, 55), *minutes("b", start, 55)], key=lambda one: one[2])
    return desk(folder, [endpoint(place.amp)], [past.job(window="5m")])


def names_and_times(found: Found) -> list[tuple[str, int]]:
    return sorted((dict(labels)["id"], at) for labels, points in found.items() for at, _ in points)


def test_a_resumed_export_continues_the_same_file(tmp_path: Path, place: Place, past: Past) -> None:
    """However often it is interrupted, the file has every sample once and is one that promtool can read."""
    out = tmp_path / "out.om"
    at_desk = long_history(past, place, tmp_path)
    interrupted = 0
    answer = at_desk.backfill(job="usage", start="-3h", end="-2h", export=str(out), plan=True)
    while not answer["done"]:
        answer, broke = one_window_more(at_desk, answer["resume"])
        interrupted += broke
    assert interrupted > 2
    assert out.read_bytes().endswith(b"# EOF\n")
    assert names_and_times(dumped(out.read_bytes(), tmp_path)) == sorted(
        (str(one[0]["id"]), one[2]) for one in past.points
    )


def one_window_more(at_desk: Desk, token: str) -> tuple[dict[str, object], bool]:
    """Goes on from the store until the first thing is done, and is then interrupted."""

    def tell(told: object) -> None:
        raise KeyboardInterrupt

    try:
        return at_desk.backfill(resume=token, tell=tell), False
    except KeyboardInterrupt:
        return {"done": False, "resume": token}, True


def bucket_environment(bucket: s3.ObjectStore) -> dict[str, str]:
    return {
        "AWS_ACCESS_KEY_ID": s3.KEYS.access_key, "AWS_SECRET_ACCESS_KEY": s3.KEYS.secret_key,
        "AWS_REGION": s3.KEYS.region, "AWS_ENDPOINT_URL_S3": bucket.base_url,
    }  # fmt: skip


def test_an_export_into_a_bucket(tmp_path: Path, place: Place, past: Past) -> None:
    """An s3:// address becomes objects that promtool can read, each by itself, with every sample once."""
    with s3.ObjectStore(bucket="exports") as bucket:
        at_desk = long_history(past, place, tmp_path)
        at_desk.env_vars = bucket_environment(bucket)
        answer = at_desk.backfill(job="usage", start="-3h", end="-2h", export="s3://exports/past/usage.om")
        assert (answer["done"], answer["exported"]) == (True, 110)
        assert bucket.objects
        assert all(key.startswith("past/") for key in bucket.objects)
        got = []
        for index, (_, content) in enumerate(sorted(bucket.objects.items())):
            folder = tmp_path / str(index)
            folder.mkdir()
            got += names_and_times(dumped(content, folder))
        assert sorted(got) == sorted((str(one[0]["id"]), one[2]) for one in past.points)


def test_a_bucket_that_refuses_is_no_silent_loss(tmp_path: Path, place: Place, past: Past) -> None:
    """Samples that can neither be sent nor exported stop the backfill, and the token goes on once it is mended."""
    with s3.ObjectStore(bucket="exports") as bucket:
        at_desk = long_history(past, place, tmp_path)
        at_desk.env_vars = bucket_environment(bucket) | {"AWS_SECRET_ACCESS_KEY": "another"}
        answer = at_desk.backfill(job="usage", start="-3h", end="-2h", export="s3://exports/past/usage.om")
        assert (answer["done"], bool(answer["stopped"])) == (False, True)
        at_desk.env_vars = bucket_environment(bucket)
        rest = at_desk.backfill(resume=answer["resume"])
        assert (rest["done"], rest["exported"]) == (True, 110)


def test_the_function_names_a_bucket_that_refuses(tmp_path: Path, place: Place, past: Past) -> None:
    """It fails as stopped, with what to mend and how it goes on."""
    with s3.ObjectStore(bucket="exports") as bucket:
        bucket.always("put", Fault.status(403))
        config = tmp_path / "config.yaml"
        config.write_text(long_history(past, place, tmp_path).text)
        env_vars = bucket_environment(bucket) | {"PUSHER_CONFIG": str(config), "PUSHER_SPOOL": str(tmp_path / "s")}
        app = App(Dependencies(env_vars), ("backfill",))
        event = {"action": "backfill", "job": "usage", "start": "-3h", "end": "-2h", "export": "s3://exports/x.om"}
        with pytest.raises(BackfillStopped) as raised:
            app.handle(event, Context())
        assert "s3://exports/x.om" in str(raised.value)
        assert '"resume"' in str(raised.value)


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
        process = Shell(tmp_path, text, bucket_environment(bucket))
        arguments = ["--job", "usage", "--start", "-3h", "--end", "-2h", "--export", out]
        process.kill_when(moment, *arguments)
        assert process.end(*arguments, "--resume")["done"]
        contents = list(bucket.objects.values()) if target == "bucket" else [Path(out).read_bytes()]
    got = []
    for index, content in enumerate(contents):
        folder = tmp_path / str(index)
        folder.mkdir()
        got += names_and_times(dumped(content, folder))
    assert sorted(got) == sorted((str(one[0]["id"]), one[2]) for one in past.points)


def test_a_file_of_another_time_is_no_part_of_an_export(tmp_path: Path, place: Place, past: Past) -> None:
    """A plan has written nothing yet: what the token then writes begins the file."""
    out = tmp_path / "out.om"
    out.write_text("leftover 1 1\n# EOF\n")
    at_desk = long_history(past, place, tmp_path)
    plan = at_desk.backfill(job="usage", start="-3h", end="-2h", export=str(out), plan=True)
    assert at_desk.backfill(resume=plan["resume"])["exported"] == 110
    found = dumped(out.read_bytes(), tmp_path)
    assert {dict(labels)["__name__"] for labels in found} == {"requests_total"}


def test_an_export_is_of_one_endpoint(tmp_path: Path, place: Place, past: Past) -> None:
    """With several ones it must be said of which; then the file has what is impossible there."""
    with Receiver() as second:
        jobs = json.loads(long_history(past, place, tmp_path).text)["json_configs"]
        at_desk = desk(tmp_path, [endpoint(place.amp), endpoint(second, "second")], jobs)
        event = {"job": "usage", "start": "-3h", "end": "-2h", "export": str(tmp_path / "out.om")}
        with pytest.raises(BadRequest, match="endpoint"):
            at_desk.backfill(**event)
        assert at_desk.backfill(**event, endpoint="second")["exported"] == 110


def test_nothing_impossible_leaves_no_samples_in_the_file(tmp_path: Path, place: Place) -> None:
    """An export with nothing to say is empty, or is not there."""
    out = tmp_path / "out.om"
    file = write_file(tmp_path / "x.om", minutes("new", now_ms() - 30 * MINUTE_MS, 5))
    answer = desk(tmp_path, [endpoint(place.amp)]).backfill(from_=file, export=str(out))
    assert (answer["exported"], only(answer)["accepted"]) == (0, 5)
    assert not out.exists() or out.read_bytes() in (b"", b"# EOF\n")
