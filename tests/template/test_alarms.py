"""The template's alarms over sequences of runs: each fault puts the one alarm that is meant for it into ALARM, once.

Runs are those of the real function, a minute (or an hour) apart; what they log as metrics goes through a model of
CloudWatch's evaluation ("Configuring how CloudWatch alarms treat missing data"): a period without data is missing, and
`TreatMissingData` says what that counts for.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from lambda_remote_write.app import App, PushFailed
from lambda_remote_write.dependencies import Dependencies
from sandbox.amp import Receiver
from sandbox.api import Api
from sandbox.server import Answer, Fault, Request
from tests.rig.clock import StandingClock
from tests.rig.delivery import ENVIRONMENT, KEYS, no_session
from tests.rig.stack import Stack, StackOf

pytestmark = pytest.mark.slow

START_MS = 1_800_000_000_000
PASSED_ON = ("PUSHER_METRICS", "PUSHER_OLDEST_WAITING_SECONDS")
AWAY = Fault.status(503, headers={"Retry-After": "3600"})  # a run gives up at once
Datapoints = dict[str, float]


@dataclass
class Alarm:
    """One alarm of the template, as CloudWatch evaluates it at the end of each period."""

    name: str
    properties: dict[str, Any]
    state: str = "INSUFFICIENT_DATA"
    recent: list[float | None] = field(default_factory=list)
    rung: int = 0

    def see(self, values: list[float]) -> None:
        """The values of one period."""
        statistic = {"Sum": sum, "Maximum": max}[self.properties["Statistic"]]
        self.recent.append(statistic(values) if values else None)
        del self.recent[: -int(self.properties["EvaluationPeriods"])]
        before, self.state = self.state, self._judged()
        actions = {"ALARM": "AlarmActions", "OK": "OKActions", "INSUFFICIENT_DATA": "InsufficientDataActions"}
        if before != self.state and self.state != "OK" and self.properties.get(actions[self.state]):
            self.rung += 1

    def _judged(self) -> str:
        treated = self.properties["TreatMissingData"]
        missing = {"breaching": True, "notBreaching": False}.get(treated)
        found = [missing if value is None else self._breaches(value) for value in self.recent]
        known = [one for one in found if one is not None]
        if not known:
            return self.state if treated == "ignore" else "INSUFFICIENT_DATA"
        is_full = len(self.recent) == int(self.properties["EvaluationPeriods"])
        return "ALARM" if is_full and all(known) else "OK"

    def _breaches(self, value: float) -> bool:
        threshold = float(self.properties["Threshold"])
        return {
            "GreaterThanThreshold": value > threshold,
            "LessThanThreshold": value < threshold,
        }[self.properties["ComparisonOperator"]]


@dataclass
class World:
    """The function under its schedule, an API and a receiver that a test makes fail, and the stack's alarms."""

    folder: Path
    capture: pytest.CaptureFixture[str]
    stack: Stack
    interval_ms: int = 60_000
    clock: StandingClock = field(default_factory=lambda: StandingClock(START_MS))
    api: Api = field(init=False)
    amp: Receiver = field(init=False)
    document: Callable[[], Any] = field(init=False)
    alarms: dict[str, Alarm] = field(init=False)
    jobs: list[dict[str, Any]] = field(default_factory=list)
    top: dict[str, Any] = field(default_factory=dict)
    has_spool: bool = True
    _app: App | None = None

    def __post_init__(self) -> None:
        self.document = self.records
        found = self.stack.of_type("AWS::CloudWatch::Alarm")
        self.alarms = {name: Alarm(name, properties) for name, properties in found.items()}

    def records(self) -> list[dict[str, Any]]:
        return [{"id": "a", "value": 1, "at": self.clock.now_ms()}]

    def metric(self, name: str = "requests_total", **keys: Any) -> dict[str, Any]:
        stamp = {"path": "at", "format": "unix_ms"}
        return {"name": name, "records": "[]", "value": "value", "labels": {"id": "id"}, "timestamp": stamp, **keys}

    def job(self, *metrics: dict[str, Any], **keys: Any) -> dict[str, Any]:
        url = self.api.serve("/r", self._answer)
        return {"job_name": "usage", "url": url, "metrics": list(metrics) or [self.metric()], **keys}

    def _answer(self, _: Request) -> Answer:
        found = self.document()
        return found if isinstance(found, Answer) else Answer.json(found)

    def runs(self, count: int) -> None:
        """So many intervals, a run in each."""
        for _ in range(count):
            self._see(self._run())
            self.clock.ms += self.interval_ms

    def silent(self, count: int) -> None:
        """So many intervals in which the schedule invokes nothing."""
        for _ in range(count):
            self._see({})
            self.clock.ms += self.interval_ms

    def restart(self) -> None:
        """The next run is a cold start."""
        self._app = None

    def _run(self) -> Datapoints:
        if self._app is None:
            self._app = self._cold()
        failed = 0
        event = {"source": "aws.scheduler", "detail-type": "Scheduled Event", "time": self._time()}
        try:
            self._app.handle(event, None)
        except PushFailed:
            failed = 1
        lines = [json.loads(line) for line in self.capture.readouterr().out.splitlines()]
        (metrics,) = [line for line in lines if "_aws" in line] or [{}]
        return {"Errors": failed, "Invocations": 1} | {
            name: value[0] for name, value in metrics.items() if isinstance(value, list)
        }

    def _time(self) -> str:
        return datetime.fromtimestamp(self.clock.ms / 1000, UTC).isoformat()

    def _cold(self) -> App:
        path = self.folder / "config.yaml"
        quick = {"min_backoff": "5ms", "max_backoff": "20ms"}
        endpoint = {"name": "amp", "url": self.amp.url, "sigv4": {"region": KEYS.region}, "queue_config": quick}
        jobs = self.jobs or ([] if "scrape_configs" in self.top else [self.job()])
        spool = {"spool": {"location": str(self.folder / "spool")}} if self.has_spool else {}
        config = {"json_configs": jobs, "remote_write": [endpoint], "self_metrics": False, **spool, **self.top}
        path.write_text(json.dumps(config))
        variables = self.stack["PusherFunction"]["Environment"]["Variables"]
        env_vars = ENVIRONMENT | {"PUSHER_CONFIG": str(path), "PUSHER_TICK": variables["PUSHER_TICK"]}
        env_vars |= {name: str(value) for name, value in variables.items() if name in PASSED_ON}
        return App(Dependencies(env_vars, self.clock.now_ms, no_session, self.clock.sleep))

    def _see(self, datapoints: Datapoints) -> None:
        for alarm in self.alarms.values():
            name = alarm.properties["MetricName"]
            alarm.see([datapoints[name]] if name in datapoints else [])

    def rung(self) -> dict[str, int]:
        return {name: alarm.rung for name, alarm in self.alarms.items() if alarm.rung}

    def ringing(self) -> set[str]:
        return {name for name, alarm in self.alarms.items() if alarm.state == "ALARM"}


TOPIC = "arn:aws:sns:eu-west-1:123456789012:alerts"
Make = Callable[..., World]


@pytest.fixture
def make(tmp_path: Path, capsys: pytest.CaptureFixture[str], stack_of: StackOf) -> Iterator[Make]:
    with contextlib.ExitStack() as opened:

        def made(interval: str = "1m", **parameters: str) -> World:
            stack = stack_of(Interval=interval, AlarmTopicArn=TOPIC, **parameters)
            world = World(tmp_path, capsys, stack, 3_600_000 if interval == "1h" else 60_000)
            world.has_spool = parameters.get("Spool") != "no"
            world.api = opened.enter_context(Api(now=world.clock.time))
            world.amp = opened.enter_context(Receiver(now=world.clock.time))
            return world

        yield made


# --- None fires -------------------------------------------------------------------------------------------------------


def test_a_new_stack_fires_nothing_before_its_first_data(make: Make) -> None:
    world = make()
    world.silent(10)
    world.runs(10)
    assert world.rung() == {}


def test_one_stopped_instance_of_several_fires_nothing(make: Make) -> None:
    world = make()
    page = Answer(200, {"Content-Type": "text/plain"}, b"a 1\n")
    up = world.api.serve("/metrics", page).removeprefix("http://").removesuffix("/metrics")
    down = "127.0.0.1:1"
    world.top = {"scrape_configs": [{"job_name": "node", "static_configs": [{"targets": [up, down]}]}]}
    world.runs(10)
    world.restart()
    world.runs(10)
    assert world.rung() == {}


def test_an_hourly_job_under_a_tick_of_a_minute_fires_nothing(make: Make) -> None:
    """Most runs have nothing to ask, and nothing to deliver."""
    world = make()
    world.jobs = [world.job(scrape_interval="1h")]
    world.runs(130)
    assert world.rung() == {}


def test_a_quiet_day_with_empty_lists_fires_nothing(make: Make) -> None:
    world = make()
    world.runs(3)
    world.document = list
    world.runs(30)
    world.document = lambda: {"incidents": []}
    world.jobs = [world.job(world.metric(records="incidents[]"))]
    world.restart()
    world.runs(10)
    assert world.rung() == {}


def test_an_api_that_repeats_a_day_of_history_fires_nothing(make: Make) -> None:
    world = make()

    def history() -> list[dict[str, Any]]:
        hour = 3_600_000
        newest = world.clock.now_ms() // hour * hour
        return [{"id": "a", "value": age, "at": newest - age * hour} for age in range(24)]

    world.document = history
    world.runs(70)
    for _ in range(5):
        world.restart()
        world.runs(17)
    assert world.rung() == {}


# --- Jobs down, alone and once ----------------------------------------------------------------------------------------


def test_an_api_that_is_down_for_a_week_fires_jobs_down_once(make: Make) -> None:
    world = make("1h")
    world.runs(6)
    world.document = lambda: Answer(500, {}, b"broken")
    world.runs(7 * 24)
    assert world.rung() == {"JobsDownAlarm": 1}
    world.document = world.records
    world.runs(1)
    assert world.ringing() == set()


def test_one_renamed_field_of_five_fires_jobs_down_once(make: Make) -> None:
    world = make()
    names = ["a", "b", "c", "d", "e"]
    world.jobs = [world.job(*({"name": f"field_{name}", "records": "[]", "value": name} for name in names))]
    world.document = lambda: [dict.fromkeys(names, 1)]
    world.runs(6)
    world.document = lambda: [{**dict.fromkeys(names[1:], 1), "aa": 1}]
    world.runs(30)
    world.restart()
    world.runs(30)
    assert world.rung() == {"JobsDownAlarm": 1}


def test_an_hourly_job_whose_last_scrape_failed_fires_jobs_down_once(make: Make) -> None:
    """The state lasts from one of its own scrapes to the next, cold starts between them included."""
    world = make()
    world.jobs = [world.job(scrape_interval="1h"), {**world.job(), "job_name": "other"}]
    world.document = lambda: Answer(500, {}, b"broken")
    world.jobs[1]["url"] = world.api.serve("/other", lambda _: Answer.json(world.records()))
    world.runs(70)
    world.restart()
    world.runs(50)
    assert world.rung() == {"JobsDownAlarm": 1}
    assert world.ringing() == {"JobsDownAlarm"}
    world.document = world.records
    world.runs(61)
    assert world.ringing() == set()


# --- A receiver that is away ------------------------------------------------------------------------------------------


def test_nine_minutes_without_amp_ring_silence_alone(make: Make) -> None:
    world = make()
    world.runs(6)
    world.amp.always(AWAY)
    world.runs(9)
    assert world.rung() == {"SilenceAlarm": 1}
    world.amp.always(None)
    world.runs(6)
    assert world.rung() == {"SilenceAlarm": 1}
    assert world.ringing() == set()


def test_two_hours_without_amp_ring_silence_then_oldest_waiting_then_lost_each_once(make: Make) -> None:
    world = make()
    world.runs(6)
    world.amp.always(AWAY)
    order: list[str] = []
    for _ in range(120):
        world.runs(1)
        order += [name for name in world.rung() if name not in order]
    assert order == ["SilenceAlarm", "OldestWaitingAlarm", "LostSamplesAlarm"]
    world.amp.always(None)
    world.runs(10)
    assert world.rung() == dict.fromkeys(order, 1)
    assert world.ringing() == set()


def receiver_answers(fault: Fault) -> Callable[[World], None]:
    return lambda world: world.amp.always(fault)


def api_is_down(world: World) -> None:
    world.document = lambda: Answer(500, {}, b"broken")


@pytest.mark.parametrize(
    ("parameters", "breaks", "rung"),
    [
        pytest.param({"Spool": "no"}, receiver_answers(AWAY), {"ErrorsAlarm", "SilenceAlarm"}, id="away, no spool"),
        pytest.param({}, receiver_answers(Fault.status(400)), {"LostSamplesAlarm"}, id="everything is refused"),
        pytest.param({}, None, {"SilenceAlarm"}, id="the schedule stops"),
        pytest.param({"Metrics": "none"}, None, {"SilenceAlarm"}, id="the schedule stops, without metrics"),
        pytest.param({"Metrics": "none"}, api_is_down, {"ErrorsAlarm"}, id="a job is down, without metrics"),
    ],
)
def test_a_lasting_trouble_fires_its_alarms_once(
    make: Make, parameters: dict[str, str], breaks: Callable[[World], None] | None, rung: set[str]
) -> None:
    """`breaks` is None where the schedule invokes nothing any more."""
    world = make(**parameters)
    world.runs(6)
    assert world.rung() == {}
    if breaks:
        breaks(world)
        world.runs(9)
    else:
        world.silent(6)
    assert world.rung() == dict.fromkeys(rung, 1)


# --- Without metrics --------------------------------------------------------------------------------------------------


def test_without_metrics_losses_and_long_waits_fail_the_runs(make: Make) -> None:
    world = make(Metrics="none", OldestWaitingAlarmSeconds="120")
    assert set(world.alarms) == {"ErrorsAlarm", "SilenceAlarm"}
    world.runs(3)
    world.amp.always(AWAY)
    world.runs(2)
    assert world.rung() == {}
    world.runs(3)
    assert world.rung() == {"ErrorsAlarm": 1}
