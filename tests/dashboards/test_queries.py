"""Every query of every panel and variable, asked of a real Prometheus that the pusher has filled, gives data."""

from __future__ import annotations

import math
import re
from typing import Any

import pytest

from sandbox.api import request_count
from tests.rig.dashboard_data import DOTTED_LABEL, DOTTED_METRIC, SPLIT_STACK, STACK, Filled
from tests.rig.grafana_queries import PanelQuery, interpolated, load, queries, step_seconds, values_of, variables

pytestmark = pytest.mark.slow

NAMES = ("custom_metrics", "pusher")
QUERIES = [query for name in NAMES for query in queries(name)]
VARIABLES = [
    (name, variable)
    for name in NAMES
    for variable, one in variables(load(name)).items()
    if one["type"] == "query"
]  # fmt: skip
# docs/grafana.md: a window of at least twice the schedule's interval. The default of `lookback` is enough for 15m.
SLOW = {"window": "1h"}
Chosen = dict[str, str | list[str]]


def asked(query: PanelQuery, data: Filled, chosen: Chosen, span: float = 0) -> list[dict[str, Any]]:
    """The series that Grafana would show over so many seconds, or over all that there are."""
    span = span or data.end - data.start
    text = interpolated(query.target["expr"], load(query.dashboard), chosen, span, query.panel["interval"])
    if query.target.get("instant"):
        return data.server.query(text, data.end)
    step = step_seconds(span, query.panel["interval"])
    return data.server.query_range(text, data.end - span, data.end, step)


def numbers(series: dict[str, Any]) -> list[float]:
    pairs = series["values"] if "values" in series else [series["value"]]
    return [float(value) for _, value in pairs]


@pytest.mark.parametrize("query", QUERIES, ids=lambda query: query.name)
def test_a_query_gives_data_every_minute(query: PanelQuery, every_minute: Filled) -> None:
    found = asked(query, every_minute, {})
    assert found
    assert all(math.isfinite(number) for series in found for number in numbers(series))


@pytest.mark.parametrize("query", QUERIES, ids=lambda query: query.name)
def test_a_query_gives_data_every_quarter_hour(query: PanelQuery, every_quarter_hour: Filled) -> None:
    chosen: Chosen = {**SLOW} if query.dashboard == "custom_metrics" else {}
    found = asked(query, every_quarter_hour, chosen)
    assert found
    assert all(math.isfinite(number) for series in found for number in numbers(series))


@pytest.mark.parametrize(("name", "variable"), VARIABLES)
def test_a_variable_offers_what_there_is(name: str, variable: str, every_minute: Filled) -> None:
    dashboard = load(name)
    span = every_minute.end - every_minute.start
    query = interpolated(variables(dashboard)[variable]["query"], dashboard, {}, span, "1m")
    found = values_of(query, every_minute.server.url, every_minute.start, every_minute.end)
    expected = {"metric": {"api_requests_total", DOTTED_METRIC}, "label": {"projectCode", "environment"}}
    assert expected.get(variable, {"instance": {STACK}, "endpoint": {"amp"}}.get(variable, set())) <= set(found)
    current = variables(dashboard)[variable]["current"].get("value")
    assert current == ["$__all"] or current in found


FUNCTION = re.compile(r"\b(last_over_time|irate|deriv|idelta)\(")
CUSTOM = {function: query for query in queries("custom_metrics") for function in FUNCTION.findall(query.target["expr"])}


def test_the_custom_panels_are_value_irate_deriv_and_idelta() -> None:
    assert list(CUSTOM) == ["last_over_time", "irate", "deriv", "idelta"]
    assert len(queries("custom_metrics")) == 4


@pytest.mark.parametrize("chosen", [{}, {"filter": 'environment="demo"'}, {"aggregation": "max"}], ids=str)
def test_the_custom_panels_show_what_the_api_served(chosen: Chosen, every_minute: Filled) -> None:
    """Project 4 makes 50 requests a minute: by the API's own formula, not by ours."""
    shown = {name: _of(asked(query, every_minute, chosen), "4") for name, query in CUSTOM.items()}
    assert shown["last_over_time"][-1] == request_count("4", int(every_minute.end))
    assert shown["idelta"][-1] == 50
    assert shown["irate"][-1] == pytest.approx(50 / 60)
    assert shown["deriv"][-1] == pytest.approx(50 / 60)


def test_a_slow_schedule_leaves_no_hole(every_quarter_hour: Filled) -> None:
    """With the window that the docs ask for there is a point in each minute, from the first pair of samples on."""
    data = every_quarter_hour
    for name, query in CUSTOM.items():
        shown = _of(asked(query, data, {**SLOW}), "4")
        missing = 15 if name == "last_over_time" else 30
        assert len(shown) == (data.end - data.start) / 60 + 1 - missing, name
    assert _of(asked(CUSTOM["idelta"], data, {**SLOW}), "4")[-1] == 15 * 50


@pytest.mark.parametrize("name", CUSTOM)
def test_a_name_that_is_no_identifier_works_for_metric_and_label(name: str, every_minute: Filled) -> None:
    found = asked(CUSTOM[name], every_minute, {"metric": DOTTED_METRIC, "label": DOTTED_LABEL})
    (line,) = found
    assert line["metric"] == {"chosen": "a.b"}
    expected = {"last_over_time": 24 * 60, "irate": 1, "deriv": 1, "idelta": 60}[name]
    assert numbers(line)[-1] == pytest.approx(expected)


def test_a_filter_that_matches_nothing_gives_nothing(every_minute: Filled) -> None:
    assert asked(CUSTOM["last_over_time"], every_minute, {"filter": 'environment="other"'}) == []


def _of(found: list[dict[str, Any]], value: str) -> list[float]:
    (line,) = [series for series in found if series["metric"]["chosen"] == value]
    return numbers(line)


PUSHER = {query.panel["title"] + query.target["refId"]: query for query in queries("pusher")}


@pytest.mark.parametrize(
    ("panel", "expected"),
    [
        ("Since the last successA", 0), ("Jobs downA", 2), ("Failed metricsA", 1), ("IntervalA", 60), ("ShardsA", 1),
        ("Entries waitingA", 0), ("Oldest sample waitingA", 0),
    ],
)  # fmt: skip
def test_the_numbers_of_now(panel: str, expected: float, every_minute: Filled) -> None:
    """`down` answers 500, and of `faulty` one metric of two has failed."""
    (line,) = asked(PUSHER[panel], every_minute, {"instance": [STACK]})
    assert numbers(line) == [expected]


def test_a_job_that_is_split_is_down_when_every_shard_says_so(every_minute: Filled) -> None:
    (line,) = asked(PUSHER["Jobs downA"], every_minute, {"instance": [SPLIT_STACK]})
    assert numbers(line) == [1]
    found = asked(PUSHER["Job statesA"], every_minute, {"instance": [SPLIT_STACK]})
    assert {series["metric"]["job"]: set(numbers(series)) for series in found} == {"half": {0}, "whole": {1}}


@pytest.mark.peer  # which the fixtures that are named here would set
@pytest.mark.parametrize("span", [0, 10 * 86400], ids=["a point for each run", "points that are further apart"])
@pytest.mark.parametrize("schedule", ["every_minute", "every_quarter_hour"])
def test_no_run_is_missed_or_counted_twice(schedule: str, span: float, request: pytest.FixtureRequest) -> None:
    """24 runs, of which two delivered nothing and so sent nothing of their own; the first was a cold start."""
    data: Filled = request.getfixturevalue(schedule)
    for panel, expected in (("Runs and cold startsA", 22), ("Runs and cold startsB", 1), ("Requests and retriesB", 1)):
        (line,) = asked(PUSHER[panel], data, {}, span)
        assert sum(numbers(line)) == expected, panel


def test_a_stack_and_an_endpoint_can_be_chosen(every_minute: Filled) -> None:
    for chosen, is_there in (({"instance": [STACK]}, True), ({"instance": ["other"]}, False)):
        for other in ({"endpoint": ["amp", "b.c"]}, {}):
            found = asked(PUSHER["Bytes sentA"], every_minute, {**chosen, **other})
            assert bool(found) == is_there
