"""The dashboard: a body as CloudWatch documents it ("Dashboard Body Structure and Syntax"), of this stack."""

from __future__ import annotations

import itertools
import json
from typing import Any

import boto3
import pytest
from moto import mock_aws

from tests.rig.grants import TOPIC
from tests.rig.stack import ACCOUNT, REGION, Stack, StackOf

EVERYTHING = {"AlarmTopicArn": TOPIC, "DiscardedSamplesAlarm": "yes"}
PARAMETERS = [
    pytest.param({}, id="as it stands"),
    pytest.param(EVERYTHING, id="every alarm"),
    pytest.param({"Metrics": "none"}, id="without metrics"),
    pytest.param({"Spool": "no", "ScheduleState": "DISABLED"}, id="least alarms"),
    pytest.param({"Interval": "1h", "Timeout": "890", "RunbookUrl": "https://wiki.example.com/r"}, id="hourly"),
]
COLUMNS = 24
NEEDED = {"metric": {"metrics", "region"}, "alarm": {"alarms"}, "log": {"query", "region"}}
KNOWN = {
    "metric": {"metrics", "region", "title", "stat", "period", "annotations", "view", "stacked", "yAxis", "legend"},
    "alarm": {"alarms", "title", "sortBy", "states"},
    "log": {"query", "region", "title", "view"},
}


def widgets_of(stack: Stack) -> list[dict[str, Any]]:
    body = json.loads(stack["CloudWatchDashboard"]["DashboardBody"])
    assert set(body) <= {"start", "end", "periodOverride", "widgets", "variables"}
    found: list[dict[str, Any]] = body["widgets"]
    return found


def metrics_of(widgets: list[dict[str, Any]]) -> list[list[Any]]:
    return [metric for one in widgets if one["type"] == "metric" for metric in one["properties"]["metrics"]]


def test_there_is_one_when_asked_for(stack_of: StackOf) -> None:
    assert "CloudWatchDashboard" not in stack_of().resources
    assert stack_of(Dashboard="yes")["CloudWatchDashboard"]["DashboardName"] == f"metrics-{REGION}"


@pytest.mark.parametrize("parameters", PARAMETERS)
def test_its_widgets_have_what_their_type_needs(stack_of: StackOf, parameters: dict[str, str]) -> None:
    for widget in widgets_of(stack_of(Dashboard="yes", **parameters)):
        assert set(widget) == {"type", "x", "y", "width", "height", "properties"}
        properties = widget["properties"]
        assert NEEDED[widget["type"]] <= set(properties) <= KNOWN[widget["type"]]
        assert properties.get("region", REGION) == REGION
        assert properties.get("period", 60) % 60 == 0


@pytest.mark.parametrize("parameters", PARAMETERS)
def test_its_widgets_fit_the_grid_and_none_covers_another(stack_of: StackOf, parameters: dict[str, str]) -> None:
    taken = set[tuple[int, int]]()
    for one in widgets_of(stack_of(Dashboard="yes", **parameters)):
        assert one["x"] + one["width"] <= COLUMNS
        columns, rows = (range(one[at], one[at] + one[size]) for at, size in (("x", "width"), ("y", "height")))
        places = set(itertools.product(columns, rows))
        assert not places & taken
        taken |= places


@pytest.mark.parametrize("parameters", PARAMETERS)
def test_a_metric_is_a_namespace_a_name_dimensions_and_options(stack_of: StackOf, parameters: dict[str, str]) -> None:
    for metric in metrics_of(widgets_of(stack_of(Dashboard="yes", **parameters))):
        *names, last = metric
        options = last if isinstance(last, dict) else {}
        names = names if options else metric
        assert all(isinstance(name, str) for name in names)
        assert set(options) <= {"expression", "label", "stat", "yAxis", "id", "period"}
        assert len(names) % 2 == 0  # a namespace and a name, and pairs of a dimension's name and value
        assert len(names) >= 4 or "expression" in options


@pytest.mark.parametrize("parameters", PARAMETERS)
def test_it_shows_every_alarm_of_the_stack(stack_of: StackOf, parameters: dict[str, str]) -> None:
    stack = stack_of(Dashboard="yes", **parameters)
    (shown,) = (one["properties"]["alarms"] for one in widgets_of(stack) if one["type"] == "alarm")
    assert sorted(shown) == sorted(f"<{name}.Arn>" for name in stack.of_type("AWS::CloudWatch::Alarm"))


def test_it_shows_what_the_alarms_watch_and_the_function(stack_of: StackOf) -> None:
    stack = stack_of(Dashboard="yes")
    shown = {tuple(metric[:2]) for metric in metrics_of(widgets_of(stack)) if len(metric) > 1}
    watched = {(one["Namespace"], one["MetricName"]) for one in stack.of_type("AWS::CloudWatch::Alarm").values()}
    assert watched | {("AWS/Lambda", name) for name in ("Duration", "Errors", "Throttles")} <= shown
    without = metrics_of(widgets_of(stack_of(Dashboard="yes", Metrics="none")))
    assert not [metric for metric in without if metric[0] == "LambdaRemoteWrite"]


def test_its_log_widget_runs_the_saved_query(stack_of: StackOf) -> None:
    stack = stack_of(Dashboard="yes")
    (query,) = (one["properties"]["query"] for one in widgets_of(stack) if one["type"] == "log")
    *sources, text = query.split(" | ", 2)
    assert sources == ["SOURCE '<PusherLogGroup>'", "SOURCE '<OperatorLogGroup>'"]
    assert text == " ".join(stack["LastErrorsQuery"]["QueryString"].split())


def test_its_limit_of_time_is_the_functions(stack_of: StackOf) -> None:
    stack = stack_of(Dashboard="yes", Interval="5m", Timeout="290")
    found = [one["properties"] for one in widgets_of(stack) if "annotations" in one["properties"]]
    assert [one["annotations"]["horizontal"][0]["value"] for one in found] == [290_000]


@mock_aws
def test_cloudwatch_takes_it(stack_of: StackOf) -> None:
    stack = stack_of(Dashboard="yes", **EVERYTHING)
    client = boto3.client("cloudwatch", REGION, aws_access_key_id=ACCOUNT, aws_secret_access_key="none")
    client.put_dashboard(**stack["CloudWatchDashboard"])
    (entry,) = client.list_dashboards()["DashboardEntries"]
    assert entry["DashboardName"] == f"metrics-{REGION}"
