"""The out-of-order window, raised for a backfill and put back after it, whatever happens meanwhile."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from lambda_remote_write.backfill.workspace import NotAnswered, Workspace
from sandbox.amp import Limits, Received, Receiver
from sandbox.server import Answer, Fault, LoopbackServer, Request
from tests.rig import backfill as rigs
from tests.rig.backfill import SECOND, Past, Place, counts, endpoint, minutes, now_ms, only, stored, workspace
from tests.rig.delivery import rig

WINDOW = "outOfOrderTimeWindowInSeconds"
UPDATE = "aps:UpdateWorkspaceConfiguration"


@pytest.fixture
def place(prometheus: str) -> Iterator[Place]:
    """A workspace with AMP's default window, and a live series."""
    with workspace([rigs.point("live", now_ms() - SECOND)]) as found:
        yield found


def late(now: int, *ages: int) -> list[Any]:
    return [rigs.point("live", now - age * SECOND) for age in ages]


def raised(amp: Receiver) -> list[int]:
    """The windows that were asked for, in order."""
    return [one.body[WINDOW] for one in amp.control_requests if one.method == "PATCH"]


def quick(folder: Path, place: Place, *jobs: dict[str, Any]) -> rigs.Desk:
    """One that does not really wait between two looks at the workspace."""
    return rigs.desk(folder, [endpoint(place.amp)], jobs, sleep=lambda seconds: None)


@pytest.mark.parametrize("delay", [0, 1, 3])
def test_the_window_is_raised_until_it_is_active_and_put_back(tmp_path: Path, place: Place, delay: int) -> None:
    """The samples that need it are accepted, because none is sent before the update is over."""
    place.amp.configuration_delay = delay
    now = now_ms()
    points = [*late(now, 500, 200, 100), rigs.point("new", now - 30 * rigs.MINUTE)]
    found = only(place.backfill(tmp_path, points, widen_out_of_order=True))
    assert (found["accepted"], found["rejected"], found["dropped"]) == (4, {}, {})
    first, last = raised(place.amp)
    assert 500 <= first <= 600
    assert last == 60
    assert set(stored(place.amp)["live"]) >= {one[2] for one in late(now, 500, 200, 100)}
    assert place.amp.refused == 0
    for _ in range(5):  # the stand-in ends an update when it is asked about it, and the run may not have waited
        assert rigs.signed("GET", f"{place.amp.base_url}/configuration") == 200
    assert place.amp.limits.out_of_order_seconds == 60


@pytest.mark.usefixtures("prometheus")
@pytest.mark.parametrize(
    ("window", "is_wanted", "ages", "accepted", "asked"),
    [
        pytest.param(60, True, (1200, 700, 300), 1, [600, 60], id="no more than ten minutes are asked for"),
        pytest.param(600, True, (500, 100), 2, [], id="one that is wide enough is left alone"),
        pytest.param(60, False, (500, 30), 1, [], id="by default it is left alone"),
    ],
)
def test_the_window_is_as_wide_as_needed_and_allowed(
    tmp_path: Path, window: int, is_wanted: bool, ages: tuple[int, ...], accepted: int, asked: list[int]
) -> None:
    """What is older stays impossible."""
    now = now_ms()
    with workspace([rigs.point("live", now)], limits=Limits(out_of_order_seconds=window)) as place:
        found = only(place.backfill(tmp_path, late(now, *ages), widen_out_of_order=is_wanted))
        assert (found["accepted"], sum(counts(found["dropped"]).values())) == (accepted, len(ages) - accepted)
        assert set(counts(found["dropped"])) <= {"behind_window"}
        assert raised(place.amp) == asked
        assert place.amp.limits.out_of_order_seconds == window


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
    answer = place.backfill(tmp_path, late(now_ms(), 500, 30), widen_out_of_order=True)
    found = only(answer)
    assert answer["done"]
    assert (found["accepted"], counts(found["dropped"]), found["rejected"]) == (1, {"behind_window": 1}, {})
    warnings = " ".join([*answer["warnings"], *found["warnings"]])
    assert word in warnings
    assert "back" not in warnings, "the old window is in force: it need not be set again"
    assert place.amp.limits.out_of_order_seconds == 60


# --- Put back, whatever happens ---------------------------------------------------------------------------------------


def live_past(past: Past) -> None:
    """Nine minutes of the live series, which need the window, in windows of two minutes."""
    past.points = minutes("live", now_ms() - 9 * rigs.MINUTE + 5 * SECOND, 8)


def wide(at_desk: rigs.Desk, **keys: Any) -> dict[str, Any]:
    return at_desk.backfill(job="usage", start="-9m", end="-1m", widen_out_of_order=True, **keys)


def assert_back(place: Place, past: Past, answer: dict[str, Any]) -> None:
    """All arrived, and the window is what it was."""
    assert answer["done"]
    assert only(answer)["rejected"] == {}
    assert set(stored(place.amp)["live"]) >= {one[2] for one in past.points}
    assert place.amp.limits.out_of_order_seconds == 60


@pytest.mark.parametrize(("failing", "count"), [("source", 0), ("source", 2), ("receiver", 0), ("receiver", 1)])
def test_it_is_put_back_when_something_fails(
    tmp_path: Path, place: Place, past: Past, failing: str, count: int
) -> None:
    """From one request on. And raised again, and put back again, by the one that goes on."""
    live_past(past)
    at_desk = quick(tmp_path, place, past.job("2m"))
    if failing == "source":
        past.fault = lambda request: Answer(404, body=b"no such thing") if len(past.asked) > count else None
    else:
        place.amp.always(Fault.status(403))
        place.amp.script(*[None] * count)
    answer = wide(at_desk)
    assert (answer["done"], bool(answer["stopped"])) == (False, True)
    assert place.amp.limits.out_of_order_seconds == 60
    past.fault = lambda request: None
    place.amp.always(None)
    assert_back(place, past, at_desk.to_its_end(resume=answer["resume"])[-1])


def test_a_plan_leaves_it_alone(tmp_path: Path, place: Place, past: Past) -> None:
    live_past(past)
    at_desk = quick(tmp_path, place, past.job("2m"))
    plan = wide(at_desk, plan=True)
    assert (raised(place.amp), place.amp.limits.out_of_order_seconds) == ([], 60)
    assert_back(place, past, at_desk.backfill(resume=plan["resume"]))
    assert max(raised(place.amp)) > 60


def test_invocations_without_time_do_not_take_the_raised_window_for_the_original(
    tmp_path: Path, place: Place, past: Past
) -> None:
    live_past(past)
    answers = quick(tmp_path, place, past.job("1m")).to_its_end(
        1.0, job="usage", start="-9m", end="-1m", widen_out_of_order=True
    )
    assert len(answers) > 3
    assert_back(place, past, answers[-1])


@pytest.mark.usefixtures("prometheus")
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
    with workspace([rigs.point("live", now_ms() - SECOND)], limits=limits, on_request=seen) as place:
        amp = place.amp
        start, end = str(now_ms() // 1000 - 540), str(now_ms() // 1000 - 60)  # however late the process starts
        live_past(past)
        amp.script(*[None] * (request_number - 1), Fault.hang())
        process = rigs.Shell(tmp_path, rigs.config_text([endpoint(amp)], [past.job("2m")]))
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


# --- Changed without losing what else the configuration says ----------------------------------------------------------

SETTINGS = {
    WINDOW: 60,
    "retentionPeriodInDays": 1095,
    "ruleQueryOffsetInSeconds": 30,
    "limitsPerLabelSet": [{"labelSet": {"team": "a"}, "limits": {"maxSeries": 1000}}, {"labelSet": {}, "limits": {}}],
    "aSettingOfTomorrow": {"x": [1]},
}


class Control:
    """The strictest reading of UpdateWorkspaceConfiguration: what is not sent is gone, and one of two settings must be
    there ("You must specify at least one of limitsPerLabelSet or retentionPeriodInDays for the request to be
    valid")."""

    def __init__(self, settings: dict[str, Any]) -> None:
        self.settings = settings
        self.methods: list[str] = []

    def answer(self, request: Request) -> Answer:
        self.methods.append(request.method)
        if request.method == "GET":
            configuration = {"status": {"statusCode": "ACTIVE", "statusReason": "x"}, **self.settings}
            return Answer.json({"workspaceConfiguration": configuration})
        body = json.loads(request.body)
        if not {"limitsPerLabelSet", "retentionPeriodInDays"} & set(body) or "status" in body:
            return Answer.json({"message": "ValidationException"}, 400)
        assert body.pop("clientToken")
        self.settings = body
        return Answer.json({"status": {"statusCode": "UPDATING"}}, 202)


@contextmanager
def workspace_of(settings: dict[str, Any]) -> Iterator[tuple[Control, Workspace]]:
    control = Control(settings)
    with (
        LoopbackServer(control.answer) as server,
        rig(f"{server.base_url}/workspaces/ws-1/api/v1/remote_write") as made,
    ):
        endpoint = made.endpoint
        yield control, Workspace(endpoint.client, endpoint.config, made.dependencies)


@pytest.mark.parametrize(
    "settings",
    [
        SETTINGS,
        {WINDOW: 60, "retentionPeriodInDays": 150},
        {WINDOW: 60, "limitsPerLabelSet": []},
        {WINDOW: 60, "retentionPeriodInDays": 150, "limitsPerLabelSet": None},
    ],
    ids=["every setting", "retention alone", "limits alone", "null"],
)
def test_a_window_is_set_and_put_back_with_everything_else(settings: dict[str, Any]) -> None:
    rest = {name: value for name, value in settings.items() if value is not None}
    with workspace_of(dict(settings)) as (control, workspace):
        workspace.set_window(600, time.monotonic() + 10)
        assert control.settings == rest | {WINDOW: 600}
        control.settings["ruleQueryOffsetInSeconds"] = 5  # another client's change meanwhile
        workspace.set_window(60, time.monotonic() + 10)
        assert control.settings == rest | {WINDOW: 60, "ruleQueryOffsetInSeconds": 5}


def test_a_workspace_that_says_neither_has_no_limits() -> None:
    with workspace_of({}) as (control, workspace):
        workspace.set_window(600, time.monotonic() + 10)
        assert control.settings == {WINDOW: 600, "limitsPerLabelSet": []}


def test_without_having_read_it_nothing_is_changed() -> None:
    with workspace_of({}) as (control, workspace):
        control.settings = {"status": None}
        with pytest.raises(NotAnswered) as raised:
            workspace.set_window(600, time.monotonic() + 10)
        assert raised.value.is_unchanged
        assert set(control.methods) == {"GET"}
