"""The Lambda function: events, log lines, metrics, the report, and what happens when something is wrong."""

from __future__ import annotations

import json
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import pytest

from lambda_remote_write.app import App, PushFailed, deadline_of
from lambda_remote_write.config.yaml_reader import ConfigError
from lambda_remote_write.config_source import Unreadable
from lambda_remote_write.dependencies import Dependencies
from lambda_remote_write.events import BadEvent, parse_event
from sandbox.amp import Receiver, SigV4
from sandbox.api import Api
from sandbox.server import Answer, Fault
from tests.rig.command_line import SOURCES
from tests.rig.delivery import ENVIRONMENT, KEYS, Clock, no_session
from tests.rig.lambda_context import Context
from tests.rig.push import config_text, endpoint, job, now_ms
from tests.rig.tables import events, table

ROOT = Path(__file__).parents[1]
EVENTS = ROOT / "events"
METRICS = ["Delivered", "JobsDown", "LostSamples"]


@dataclass
class Function:
    """An environment of the function with its config in a file."""

    dependencies: Dependencies
    api: Api
    amp: Receiver
    config: Path
    clock: Clock
    printed: Callable[[], str]

    @cached_property
    def app(self) -> App:
        """Made at the first invocation, as in Lambda; its log goes to what is then the standard output."""
        return App(self.dependencies)

    def __call__(self, event: Any = None, context: Any = None) -> dict[str, Any]:
        return self.app.handle(event, context or Context())

    def lines(self) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
        """The log lines and the metric lines since the last look; whatever else is printed fails."""
        found = [json.loads(line) for line in self.printed().splitlines()]
        return [one for one in found if "_aws" not in one], [one for one in found if "_aws" in one]


@pytest.fixture
def function(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Iterator[Function]:
    clock = Clock()
    with Api() as api, Receiver(now=clock.time) as amp:
        api.serve("/records", Answer.json([{"id": str(n), "value": n, "at": now_ms()} for n in range(3)]))
        config = tmp_path / "config.yaml"
        config.write_text(config_text([job(f"{api.url}/records")], [endpoint(amp, "amp")]))
        env_vars = ENVIRONMENT | {"PUSHER_CONFIG": str(config), "POWERTOOLS_SERVICE_NAME": f"s-{uuid.uuid4()}"}
        dependencies = Dependencies(env_vars, clock.now_ms, no_session, clock.sleep)
        yield Function(dependencies, api, amp, config, clock, lambda: capsys.readouterr().out)
        dependencies.transport.close()


# --- Events -----------------------------------------------------------------------------------------------------------

FOUR_PM_MS = 1_716_480_000_000


@table("event, expected", events("taken"))
def test_events_that_are_ours(event: Any, expected: list[Any]) -> None:
    assert list(parse_event(event)) == expected


@table("event, words", events("refused"))
def test_other_events_are_refused_with_what_is_allowed(function: Function, event: Any, words: list[str]) -> None:
    with pytest.raises(BadEvent) as caught:
        function(event)
    assert [word for word in words if word not in str(caught.value)] == []
    (logged,), metrics = function.lines()
    assert str(caught.value) in logged["message"]
    assert (logged["level"], metrics, function.api.requests) == ("ERROR", [], [])


@pytest.mark.parametrize("name", ["empty.json", "schedule.json", "push-jobs.json", "plan.json"])
def test_the_events_of_the_checkout_are_ours(name: str) -> None:
    action, _ = parse_event(json.loads((EVENTS / name).read_text()))
    assert action == ("plan" if name == "plan.json" else "push")


def test_push_of_named_jobs_takes_these_whether_they_are_due_or_not(function: Function) -> None:
    url = f"{function.api.url}/records"
    jobs = [job(url, name, scrape_interval="1d") for name in ("a", "b", "c")]
    function.config.write_text(config_text(jobs, [endpoint(function.amp, "amp")]))
    report = function({"action": "push", "jobs": ["c", "a", "c"]})
    assert [one["job"] for one in report["jobs"]] == ["a", "c"]


def test_an_unknown_job_is_an_error_that_names_the_others(function: Function) -> None:
    with pytest.raises(BadEvent, match="no job is named 'other'; the config has usage"):
        function({"action": "push", "jobs": ["usage", "other"]})
    assert function.api.requests == []


def test_the_schedule_decides_which_jobs_are_due(function: Function) -> None:
    url = f"{function.api.url}/records"
    text = config_text([job(url, "often"), job(url, "seldom", scrape_interval="10m")], [endpoint(function.amp, "amp")])
    function.config.write_text(text)
    runs = []
    for minute in range(20):
        moment = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(FOUR_PM_MS / 1000 + 60 * minute))
        runs.append([one["job"] for one in function({"scheduled_time": moment})["jobs"]])
    assert all("often" in run for run in runs)
    assert sum("seldom" in run for run in runs) == 2


# --- One run's lines --------------------------------------------------------------------------------------------------


def test_a_run_writes_one_log_line_and_the_alarms_metrics_in_one_dimension_set(function: Function) -> None:
    """Nothing can wait without a spool."""
    report = function({})
    (logged,), (metrics,) = function.lines()
    assert logged["level"] == "INFO"
    assert logged["message"] == "8 accepted, 0 rejected, 0 dropped, 0 undelivered samples"
    assert logged["report"] == json.loads(json.dumps(report))
    assert (logged["request_id"], logged["cold_start"]) == ("request-1", True)
    (directive,) = metrics["_aws"]["CloudWatchMetrics"]
    assert [one["Name"] for one in directive["Metrics"]] == METRICS
    assert directive["Dimensions"] == [["service"]]
    values = {name: metrics[name] if isinstance(metrics[name], list) else [metrics[name]] for name in METRICS}
    assert values == {"Delivered": [1], "JobsDown": [0], "LostSamples": [0]}


def test_a_warm_run_writes_its_own_lines(function: Function) -> None:
    function({})
    function.lines()
    function({})
    (logged,), (metrics,) = function.lines()
    assert logged["cold_start"] is False
    assert metrics["Delivered"] in (1, [1], [1.0])
    assert logged["report"]["totals"]["AcceptedSamples"] == 5  # the records did not move
    assert logged["report"]["totals"]["DroppedSamples"] == 3


def test_undelivered_samples_fail_the_invocation_after_the_report_is_logged(function: Function) -> None:
    function.amp.always(Fault.status(404, b'{"Message":"Workspace not found"}'))
    with pytest.raises(
        PushFailed,
        match=r"8 undelivered samples; amp \(127.0.0.1:\d+, ws-sandbox\): 404: .*workspace id.*Workspace not found",
    ):
        function({})
    (logged,), (metrics,) = function.lines()
    assert logged["level"] == "ERROR"
    assert logged["report"]["ok"] is False
    undelivered = logged["report"]["endpoints"][0]["undelivered"]["http_404"]
    assert (undelivered["count"], "Workspace not found" in undelivered["example"]) == (8, True)
    assert metrics["Delivered"] in (0, [0], [0.0])


def test_rejected_samples_are_metrics_and_no_failure(function: Function) -> None:
    """They are never sent again: another run would not help, the alarm on the metric tells."""
    function.amp.script(Fault.status(400, b"err: out of bounds"))
    report = function({})
    assert report["totals"]["RejectedSamples"] == 8
    (logged,), _ = function.lines()
    assert "out of bounds" in logged["message"]


def test_a_job_that_is_down_is_no_failure_of_the_function(function: Function) -> None:
    function.api.always(Fault.status(500))
    report = function({})
    assert (report["totals"]["JobsDown"], report["totals"]["AcceptedSamples"]) == (1, 5)
    assert "500" in report["jobs"][0]["error"]


# --- The canary -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("status", [200, 400, 401, 403, 404, 500], ids=str)
def test_no_secret_shows_in_any_line_report_or_error(function: Function, status: int) -> None:
    canary = "canary-5e7f"
    source = job(
        f"{function.api.url}/records?key={canary}",
        basic_auth={"username": "me", "password": canary},
        headers={"X-Api-Key": canary},
        query={"token": canary},
    )
    writes = [
        endpoint(function.amp, "keys", sigv4={"region": KEYS.region, "access_key": "AKID", "secret_key": canary}),
        endpoint(
            function.amp, "basic", sigv4=None, basic_auth={"username": "me", "password": canary},
            headers={"X-Token": canary},
        ),
        endpoint(function.amp, "bearer", sigv4=None, authorization={"credentials": canary}),
    ]  # fmt: skip
    writes = [{key: value for key, value in one.items() if value is not None} for one in writes]
    writes[2]["url"] += f"?token={canary}"
    function.config.write_text(config_text([source], writes))
    function.amp.auth = SigV4(access_key="AKID", secret_key=canary)
    function.amp.always(Fault.status(status) if status != 403 else None)
    shown = []
    for event in ({}, {"action": "plan"}):
        try:
            shown.append(json.dumps(function(event, Context(seconds=1.5))))
        except PushFailed as error:
            shown.append(f"{error!r}")
    shown.append(function.printed())
    assert canary not in "".join(shown)
    assert any(canary in str(record.headers) for record in function.amp.requests)


def test_no_secret_shows_when_no_connection_is_possible(function: Function) -> None:
    canary = "canary-5e7f"
    source = job(f"http://127.0.0.1:1/?key={canary}", authorization={"credentials": canary})
    write = {"name": "down", "url": f"http://127.0.0.1:1/?token={canary}", "headers": {"X-Token": canary}}
    function.config.write_text(config_text([source], [write]))
    with pytest.raises(PushFailed) as caught:
        function({}, Context(seconds=0.5))
    assert canary not in str(caught.value) + function.printed()


# --- Plan -------------------------------------------------------------------------------------------------------------


def test_plan_collects_and_maps_and_sends_nothing(function: Function) -> None:
    found = function({"action": "plan"})
    assert (len(function.api.requests), function.amp.requests) == (1, [])
    assert (found["action"], found["ok"]) == ("plan", True)
    (write,) = found["endpoints"]
    assert (write["endpoint"], write["samples"]) == ("amp", 8)
    json.dumps(found)


def test_plan_does_not_mark_anything_as_sent(function: Function) -> None:
    function({"action": "plan"})
    assert function({})["totals"]["AcceptedSamples"] == 8


def test_a_function_that_does_not_plan_refuses_it(function: Function) -> None:
    env_vars = {"PUSHER_CONFIG": str(function.config), "POWERTOOLS_SERVICE_NAME": f"s-{uuid.uuid4()}"}
    with pytest.raises(BadEvent, match="plan"):
        App(Dependencies(env_vars), actions=("push",)).handle({"action": "plan"}, Context())
    with pytest.raises(BadEvent, match=r"'dance' is unknown; allowed are plan$"):
        App(Dependencies(env_vars), actions=("plan",)).handle({"action": "dance"}, Context())


# --- Time -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("context", "seconds"),
    [
        pytest.param(Context(60), 57, id="a reserve of three seconds"),
        pytest.param(Context(4), 3, id="a quarter, when there is little"),
        pytest.param(Context(0), 0.1, id="none left"),
        pytest.param(None, 57, id="no context"),
    ],
)
def test_the_deadline_leaves_time_for_the_report(context: Context | None, seconds: float) -> None:
    if context:
        context.started = time.monotonic()
    assert deadline_of(context) - time.monotonic() == pytest.approx(seconds, abs=0.1)


@pytest.mark.slow
@pytest.mark.parametrize("who", ["api", "amp"])
def test_the_remaining_time_of_the_invocation_is_respected(function: Function, who: str) -> None:
    {"api": function.api, "amp": function.amp}[who].always(Fault.hang())
    context = Context(seconds=6.0)
    if who == "amp":
        with pytest.raises(PushFailed):
            function({}, context)
    else:
        assert function({}, context)["totals"]["JobsDown"] == 1
    assert context.get_remaining_time_in_millis() > 200
    (logged,), (metrics,) = function.lines()
    assert logged["report"]
    assert metrics


# --- Config -----------------------------------------------------------------------------------------------------------


def test_a_bad_new_config_is_refused_loudly_and_the_last_good_one_stays(function: Function) -> None:
    function({})
    function.lines()
    good = function.config.read_text()
    function.config.write_text("json_configs: 7\nremote_wirte: []\n")
    report = function({})
    assert "refused" in report["config_refused"]
    assert report["totals"]["AcceptedSamples"] == 5
    (refused, logged), _ = function.lines()
    assert refused["level"] == "ERROR"
    assert "last good one stays in use" in refused["message"]
    assert "remote_wirte" in refused["message"]
    assert "report" in logged
    function.config.write_text(good)
    assert "config_refused" not in function({})


def test_a_run_says_as_a_series_whether_the_newest_config_is_in_use(function: Function) -> None:
    jobs = [job(f"{function.api.url}/records")]
    good = config_text(jobs, [endpoint(function.amp, "amp")], self_metrics=True)
    for text in (good, "json_configs: 7\n", good):
        function.config.write_text(text)
        function({})
        function.clock.ahead += 60
    (points,) = function.amp.series("pusher_config_last_reload_successful").values()
    assert [value for _, value in points] == [1, 0, 1]


def test_a_new_good_config_is_taken_and_series_keep_their_order(function: Function) -> None:
    function({})
    other = job(f"{function.api.url}/records", scrape_timeout="5s")
    function.config.write_text(config_text([other], [endpoint(function.amp, "renamed")]))
    report = function({})
    assert report["endpoints"][0]["endpoint"] == "renamed"
    assert report["totals"]["DroppedSamples"] == 3
    assert function.amp.refused == 0


def test_a_config_that_was_never_good_does_not_start(function: Function) -> None:
    function.config.write_text("json_configs: 7\nremote_wirte: []\n")
    with pytest.raises(ConfigError):
        function({})
    (logged,), metrics = function.lines()
    assert "mistakes in the config" in logged["message"]
    assert "remote_wirte" in logged["message"]
    assert metrics == []


def test_a_config_that_is_not_there_is_named(function: Function) -> None:
    function.config.unlink()
    with pytest.raises(Unreadable):
        function({})
    (logged,), _ = function.lines()
    assert str(function.config) in logged["message"]


def test_a_refused_new_config_shows_in_a_plan_too(function: Function) -> None:
    assert function({"action": "plan"}).get("config_refused") is None
    function.config.write_text("json_configs: 1")
    assert "json_configs" in function({"action": "plan"})["config_refused"]


def test_a_scheduled_time_ahead_of_the_clock_stops_no_job(function: Function) -> None:
    """One odd event must not count as the last tick until its time has come."""
    text = function.config.read_text()
    function.config.write_text(text.replace('"url"', '"scrape_interval": "5m", "url"', 1))
    function({"action": "push", "scheduled_time": "2099-01-01T00:00:00Z"})
    pushed = 0
    for _ in range(11):
        function.clock.ahead += 60
        pushed += len(function({})["jobs"])
    assert pushed == 2


def test_a_clock_that_is_set_back_stops_no_job(function: Function) -> None:
    """The tick before it lies in the future, and says nothing any more."""
    text = function.config.read_text()
    function.config.write_text(text.replace('"url"', '"scrape_interval": "5m", "url"', 1))
    function({})
    function.clock.ahead -= 7_200
    reports = []
    for _ in range(10):
        function.clock.ahead += 60
        reports.append(function({}))
    assert sum(len(report["jobs"]) for report in reports) in (2, 3)  # real time goes on, too, and may reach a third
    told = [any("the clock was set back by about 1h5" in detail for detail in report["warnings"]) for report in reports]
    assert told == [True, *[False] * 9]


# --- What a cold start pays for ---------------------------------------------------------------------------------------

SCRAPING = [  # the reader of pages is loaded with the first target
    "lambda_remote_write.exposition", "lambda_remote_write.discovery", "lambda_remote_write.config.sd_configs"
]  # fmt: skip
FORMATS = "lambda_remote_write.config.value_format"
JSON_JOB = "json_configs: [{{job_name: a, url: 'http://x/', metrics: [{{name: m, value: v{}}}]}}]"


@pytest.mark.parametrize(
    ("jobs", "loaded"),
    [
        pytest.param(JSON_JOB.format(""), [], id="json"),
        pytest.param(JSON_JOB.format(", value_format: duration"), [FORMATS], id="json with value_format"),
        pytest.param("scrape_configs: [{job_name: a, static_configs: [{targets: [h]}]}]", SCRAPING[1:], id="scrape"),
    ],
)
def test_a_cold_start_imports_what_its_config_needs(tmp_path: Path, jobs: str, loaded: list[str]) -> None:
    """A config of JSON jobs alone reads no pages, discovers no targets, and reads texts as numbers only."""
    config = tmp_path / "config.yaml"
    config.write_text(f"{jobs}\nremote_write: [{{url: 'http://127.0.0.1:1/'}}]\n")
    code = (
        "import sys, lambda_remote_write.app, lambda_remote_write.environment\n"
        f"dependencies = lambda_remote_write.dependencies.Dependencies({{'PUSHER_CONFIG': {str(config)!r}}})\n"
        "lambda_remote_write.environment.Environment(dependencies.config_source().load().config, dependencies)\n"
        f"print([name for name in {[*SCRAPING, FORMATS]!r} if name in sys.modules])\n"
    )
    result = subprocess.run([sys.executable, "-c", code], env=SOURCES, capture_output=True, text=True, check=True)
    assert result.stdout == f"{loaded}\n"
