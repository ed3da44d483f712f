"""The out-of-order window, raised for a backfill and put back after it, whatever happens meanwhile."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from sandbox.amp import Limits, Received, Receiver
from sandbox.server import Answer, Fault, Request
from tests.rig.backfill_receiving import (
    MINUTE_MS,
    Desk,
    Past,
    Place,
    Shell,
    config_text,
    counted,
    desk,
    endpoint,
    minutes,
    now_ms,
    only,
    point,
    signed,
    stored,
    workspace,
    write_file,
)
from tests.rig.needs import Peer

SECOND = 1_000
WINDOW = "outOfOrderTimeWindowInSeconds"
UPDATE = "aps:UpdateWorkspaceConfiguration"


@pytest.fixture(autouse=True, scope="module")
def _prometheus(peer: Peer) -> None:
    peer("prometheus")


@pytest.fixture
def place() -> Iterator[Place]:
    """A workspace with AMP's default window, and a live series."""
    with workspace([point("live", now_ms() - SECOND)]) as found:
        yield found


def late(now: int, *ages: int) -> list[Any]:
    return [point("live", now - age * SECOND) for age in ages]


def raised(amp: Receiver) -> list[int]:
    """The windows that were asked for, in order."""
    return [one.body[WINDOW] for one in amp.control_requests if one.method == "PATCH"]


def quick(folder: Path, place: Place, *jobs: dict[str, Any]) -> Desk:
    """One that does not really wait between two looks at the workspace."""
    return desk(folder, [endpoint(place.amp)], jobs, sleep=lambda seconds: None)


@pytest.mark.parametrize("delay", [0, 1, 3])
def test_the_window_is_raised_until_it_is_active_and_put_back(tmp_path: Path, place: Place, delay: int) -> None:
    """The samples that need it are accepted, because none is sent before the update is over."""
    place.amp.configuration_delay = delay
    now = now_ms()
    file = write_file(tmp_path / "x.om", [*late(now, 500, 200, 100), point("new", now - 30 * MINUTE_MS)])
    found = only(quick(tmp_path, place).backfill(from_=file, widen_out_of_order=True))
    assert (found["accepted"], found["rejected"], found["dropped"]) == (4, {}, {})
    first, last = raised(place.amp)
    assert 500 <= first <= 600
    assert last == 60
    assert set(stored(place.amp)["live"]) >= {one[2] for one in late(now, 500, 200, 100)}
    assert place.amp.refused == 0
    finish_update(place.amp)
    assert place.amp.limits.out_of_order_seconds == 60


def finish_update(amp: Receiver) -> None:
    """The stand-in ends an update when it is asked about it; the run that put the window back may not have waited."""
    for _ in range(5):
        assert signed("GET", f"{amp.base_url}/configuration")[0] == 200


def test_no_more_than_ten_minutes_is_asked_for(tmp_path: Path, place: Place) -> None:
    """What is older stays impossible."""
    file = write_file(tmp_path / "x.om", late(now_ms(), 1200, 700, 300))
    found = only(quick(tmp_path, place).backfill(from_=file, widen_out_of_order=True))
    assert (found["accepted"], counted(found["dropped"])) == (1, {"behind_window": 2})
    assert max(raised(place.amp)) <= 600
    assert place.amp.limits.out_of_order_seconds == 60


def test_a_window_that_is_wide_enough_is_left_alone(tmp_path: Path) -> None:
    now = now_ms()
    with workspace([point("live", now)], limits=Limits(out_of_order_seconds=600)) as place:
        file = write_file(tmp_path / "x.om", late(now, 500, 100))
        found = only(quick(tmp_path, place).backfill(from_=file, widen_out_of_order=True))
        assert (found["accepted"], raised(place.amp)) == (2, [])
        assert place.amp.limits.out_of_order_seconds == 600


def test_by_default_the_window_is_left_alone(tmp_path: Path, place: Place) -> None:
    file = write_file(tmp_path / "x.om", late(now_ms(), 500, 30))
    found = only(quick(tmp_path, place).backfill(from_=file))
    assert (found["accepted"], counted(found["dropped"]), raised(place.amp)) == (1, {"behind_window": 1}, [])


@pytest.mark.parametrize(
    ("setting", "word"),
    [
        pytest.param({"configuration_fails": True}, "out-of-order window", id="the update fails"),
        pytest.param(
            {"configuration_fails": True, "configuration_delay": 2}, "out-of-order window", id="it fails later"
        ),
        pytest.param({"denied": frozenset({UPDATE})}, UPDATE, id="it is not granted"),
    ],
)
def test_without_a_wider_window_it_goes_on_with_the_old_one(
    tmp_path: Path, place: Place, setting: dict[str, Any], word: str
) -> None:
    """A warning says why, what fits into the old window is sent, and nothing is refused."""
    for name, value in setting.items():
        setattr(place.amp, name, value)
    file = write_file(tmp_path / "x.om", late(now_ms(), 500, 30))
    answer = quick(tmp_path, place).backfill(from_=file, widen_out_of_order=True)
    found = only(answer)
    assert answer["done"]
    assert (found["accepted"], counted(found["dropped"]), found["rejected"]) == (1, {"behind_window": 1}, {})
    warnings = " ".join([*answer["warnings"], *found["warnings"]])
    assert word in warnings
    assert "back" not in warnings, "the old window is in force: it need not be set again"
    assert place.amp.limits.out_of_order_seconds == 60


# --- Put back, whatever happens ---------------------------------------------------------------------------------------


def live_past(past: Past) -> None:
    """Nine minutes of the live series, which need the window, in windows of two minutes."""
    past.points = minutes("live", now_ms() - 9 * MINUTE_MS + 5 * SECOND, 8)


def wide(at_desk: Desk, **keys: Any) -> dict[str, Any]:
    return at_desk.backfill(job="usage", start="-9m", end="-1m", widen_out_of_order=True, **keys)


def fails_after(past: Past, answers: int) -> Callable[[Request], Answer | None]:
    return lambda request: Answer(404, body=b"no such thing") if len(past.asked) > answers else None


@pytest.mark.parametrize("answers", [0, 1, 2])
def test_it_is_put_back_when_the_source_fails(tmp_path: Path, place: Place, past: Past, answers: int) -> None:
    live_past(past)
    past.fault = fails_after(past, answers)
    answer = wide(quick(tmp_path, place, past.job("2m")))
    assert len(past.asked) > answers
    assert only(answer)["rejected"] == {}
    assert place.amp.limits.out_of_order_seconds == 60


@pytest.mark.parametrize("status", [403, 404])
def test_it_is_put_back_when_the_receiver_takes_no_more(tmp_path: Path, place: Place, past: Past, status: int) -> None:
    """And raised again, and put back again, by the one that goes on."""
    live_past(past)
    at_desk = quick(tmp_path, place, past.job("2m"))
    place.amp.always(Fault.status(status))
    answer = wide(at_desk)
    assert (answer["done"], bool(answer["stopped"])) == (False, True)
    assert place.amp.limits.out_of_order_seconds == 60
    place.amp.always(None)
    assert at_desk.to_its_end(resume=answer["resume"])[-1]["done"]
    assert set(stored(place.amp)["live"]) >= {one[2] for one in past.points}
    assert place.amp.limits.out_of_order_seconds == 60


def test_a_plan_leaves_it_alone(tmp_path: Path, place: Place, past: Past) -> None:
    live_past(past)
    at_desk = quick(tmp_path, place, past.job("2m"))
    plan = wide(at_desk, plan=True)
    assert (raised(place.amp), place.amp.limits.out_of_order_seconds) == ([], 60)
    answer = at_desk.backfill(resume=plan["resume"])
    assert only(answer)["accepted"] == len(past.points)
    assert max(raised(place.amp)) > 60
    assert place.amp.limits.out_of_order_seconds == 60


class Died(BaseException):
    """The end of a process, as far as one can be had in a test."""


@pytest.mark.parametrize("parts", [1, 2, 3])
def test_an_invocation_that_dies_leaves_a_note_of_the_original(
    tmp_path: Path, place: Place, past: Past, parts: int
) -> None:
    """Whether it put the window back or not: the run that resumes puts back what was there first."""
    live_past(past)
    seen: list[Any] = []

    def tell(told: Any) -> None:
        seen.append(told)
        if len(seen) == parts:
            raise Died

    at_desk = quick(tmp_path, place, past.job("2m"))
    plan = wide(at_desk, plan=True)
    with pytest.raises(Died):
        at_desk.backfill(resume=plan["resume"], tell=tell)
    answer = at_desk.to_its_end(resume=plan["resume"])[-1]
    assert only(answer)["rejected"] == {}
    assert set(stored(place.amp)["live"]) >= {one[2] for one in past.points}
    assert place.amp.limits.out_of_order_seconds == 60


def test_invocations_without_time_do_not_take_the_raised_window_for_the_original(
    tmp_path: Path, place: Place, past: Past
) -> None:
    live_past(past)
    answers = quick(tmp_path, place, past.job("1m")).to_its_end(
        1.0, job="usage", start="-9m", end="-1m", widen_out_of_order=True
    )
    assert len(answers) > 3
    assert only(answers[-1])["rejected"] == {}
    assert set(stored(place.amp)["live"]) >= {one[2] for one in past.points}
    assert place.amp.limits.out_of_order_seconds == 60


@pytest.mark.slow
@pytest.mark.parametrize("how", ["the same keys", "the same token"])
@pytest.mark.parametrize("original", [60, 120])
@pytest.mark.parametrize("request_number", [1, 2])
def test_a_killed_process_leaves_a_note_of_the_original(
    tmp_path: Path, past: Past, original: int, request_number: int, how: str
) -> None:
    """SIGKILL while a request is under way: the window is still raised, and the run that resumes puts back what
    was there first."""
    moment, requests = threading.Event(), list[Received]()

    def seen(record: Received) -> None:
        requests.append(record)
        if len(requests) == request_number + 1:  # one is the live series' own
            moment.set()

    limits = Limits(out_of_order_seconds=original)
    with workspace([point("live", now_ms() - SECOND)], limits=limits, on_request=seen) as place:
        amp = place.amp
        start, end = str(now_ms() // 1000 - 540), str(now_ms() // 1000 - 60)  # however late the process starts
        live_past(past)
        amp.script(*[None] * (request_number - 1), Fault.hang())
        process = Shell(tmp_path, config_text([endpoint(amp)], [past.job("2m")]))
        arguments = ["--job", "usage", "--start", start, "--end", end, "--widen-out-of-order"]
        again = [*arguments, "--resume"]
        if how == "the same token":
            plan = process.desk.backfill(job="usage", start=start, end=end, widen_out_of_order=True, plan=True)
            arguments = again = ["--resume", plan["resume"]]
        process.kill_when(moment, *arguments)
        assert amp.limits.out_of_order_seconds > original
        assert process.end(*again)["done"]
        assert set(stored(amp)["live"]) >= {one[2] for one in past.points}
        assert amp.limits.out_of_order_seconds == original
