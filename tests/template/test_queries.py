"""The saved queries of Logs Insights over the lines that the real function logs: their fields are there, and they show
what a woken engineer looks for. CloudWatch's part is played by tests/rig/logs_insights.py."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from lambda_remote_write.model.drop_reasons import DropReason
from sandbox.amp import Receiver
from sandbox.api import Api
from tests.rig.clock import StandingClock
from tests.rig.faulty_function import NOT_ALLOWED, REPORT, SERIES_LIMIT, TIMED_OUT, FaultyFunction
from tests.rig.logs_insights import MOST_FIELDS, Event, Query, discovered
from tests.rig.stack import Stack, StackOf

PLATFORM = ["START RequestId: 0b2c Version: $LATEST", "END RequestId: 0b2c", TIMED_OUT, REPORT]


@pytest.fixture
def function(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Iterator[FaultyFunction]:
    clock = StandingClock(1_800_000_000_000)
    with Api(now=clock.time) as api, Receiver(now=clock.time) as amp:
        yield FaultyFunction(tmp_path, api, amp, clock, capsys)


def healthy(function: FaultyFunction) -> list[str]:
    return function.lines({})


def refused(function: FaultyFunction) -> list[str]:
    function.amp.always(SERIES_LIMIT)
    return function.lines({})


def not_allowed(function: FaultyFunction) -> list[str]:
    """The second run finds what the first has kept."""
    function.amp.always(NOT_ALLOWED)
    return function.lines({}) + function.lines({})


def job_down(function: FaultyFunction) -> list[str]:
    """In one of two shards, which says which it is."""
    function.value = "valeur"
    return function.lines({"shard": 0, "shards": 2}) + function.lines({"shard": 1, "shards": 2})


def timed_out(_: FaultyFunction) -> list[str]:
    return PLATFORM


Scene = Callable[[FaultyFunction], list[str]]
SCENES: list[Scene] = [job_down, healthy, refused, not_allowed, timed_out]


def events_of(lines: list[str]) -> list[Event]:
    """A second apart."""
    return [discovered(line, 1000 * index) for index, line in enumerate(lines)]


def query_of(stack: Stack, name: str) -> Query:
    return Query(stack[f"{name}Query"]["QueryString"])


NAMES = [
    "LastErrors",
    "JobsDown",
    "SkippedRecords",
    "SlowTargets",
    "Refusals",
    "LostSamples",
    "WaitingSamples",
    "Durations",
]
A_REASON = re.compile(r"job\.skipped\.(\w+)\.count")


def test_these_are_the_queries_and_they_read_the_stacks_logs(stack_of: StackOf) -> None:
    stack = stack_of()
    queries = stack.of_type("AWS::Logs::QueryDefinition")
    assert set(queries) == {f"{name}Query" for name in NAMES}
    for query in queries.values():
        assert query["Name"].startswith("metrics/")
        assert set(query["LogGroupNames"]) <= {"<PusherLogGroup>", "<OperatorLogGroup>"}
    assert "WaitingSamplesQuery" not in stack_of(Spool="no").resources


@pytest.mark.parametrize("name", NAMES)
def test_every_field_of_a_query_is_in_a_line_of_the_function(
    stack_of: StackOf, function: FaultyFunction, name: str
) -> None:
    """In some scene; the reasons of skipped records are tested by themselves."""
    query = query_of(stack_of(), name)
    query.run(events_of([line for scene in SCENES for line in scene(function)]))
    missing = {one for one in query.named - query.resolved if not A_REASON.fullmatch(one)}
    assert missing == set()


def test_the_query_of_skipped_records_has_every_reason(stack_of: StackOf) -> None:
    reasons = A_REASON.findall(stack_of()["SkippedRecordsQuery"]["QueryString"])
    assert sorted(reasons) == sorted(reason for reason in DropReason if reason.where == "`skipped`")


@pytest.mark.parametrize(
    ("name", "scene", "shown"),
    [
        pytest.param("LastErrors", timed_out, [{"what": TIMED_OUT}], id="a timeout"),
        pytest.param("LastErrors", refused, [{"level": "WARNING"}], id="a warning"),
        pytest.param("JobsDown", healthy, [], id="nothing is down"),
        pytest.param("JobsDown", job_down, [{"report.totals.JobsDown": 1}], id="a job is down"),
        pytest.param("SkippedRecords", healthy, [{"job.job": "usage", "value_missing": 1}], id="a record is skipped"),
        pytest.param("Refusals", healthy, [], id="nothing is refused"),
        pytest.param("Refusals", refused, [{"endpoint.endpoint": "amp"}], id="refused for good"),
        pytest.param("Refusals", not_allowed, [{"endpoint.endpoint": "amp"}] * 2, id="kept until it is allowed"),
        pytest.param("LostSamples", healthy, [], id="nothing is lost"),
        pytest.param("LostSamples", refused, [{"endpoint.endpoint": "amp"}], id="lost"),
        pytest.param("WaitingSamples", refused, [], id="nothing waits"),
        pytest.param("WaitingSamples", not_allowed, [{"endpoint.endpoint": "amp"}] * 2, id="waiting"),
        pytest.param("Durations", timed_out, [{"longest_seconds": 50.05012, "used_mb": 128, "has_mb": 256}], id="time"),
    ],
)
def test_a_query_shows(
    stack_of: StackOf, function: FaultyFunction, name: str, scene: Scene, shown: list[dict[str, Any]]
) -> None:
    rows = query_of(stack_of(), name).run(events_of(scene(function)))
    assert [{key: row[key] for key in found} for row, found in zip(rows, shown, strict=True)] == shown


@pytest.mark.parametrize(
    ("name", "scene", "column", "word"),
    [
        pytest.param("Refusals", refused, "rejected", "per_user_series_limit", id="the reason of a refusal"),
        pytest.param("Refusals", refused, "rejected", "quota-code L-5A151448", id="what helps"),
        pytest.param("Refusals", not_allowed, "spooled", "the role may not write", id="the reason of what is kept"),
        pytest.param("LostSamples", refused, "rejected", "per_user_series_limit", id="why samples are lost"),
        pytest.param("WaitingSamples", not_allowed, "why", "behind_backlog", id="why samples wait"),
        pytest.param("JobsDown", job_down, "why", "usage", id="which job is down"),
    ],
)
def test_a_query_says_why(
    stack_of: StackOf, function: FaultyFunction, name: str, scene: Scene, column: str, word: str
) -> None:
    rows = query_of(stack_of(), name).run(events_of(scene(function)))
    assert word in rows[0][column]


def test_the_slowest_targets_come_first_by_name(stack_of: StackOf, function: FaultyFunction) -> None:
    rows = query_of(stack_of(), "SlowTargets").run(events_of(function.lines({})))
    seconds = [row["slowest_seconds"] for row in rows]
    assert seconds == sorted(seconds, reverse=True)
    assert {row["job.job"] for row in rows} == {"usage", "node"}
    assert all(re.fullmatch(r"127\.0\.0\.1:\d+", row["instance"]) for row in rows)


@pytest.mark.parametrize(
    ("name", "rows"),
    [("JobsDown", 1), ("SkippedRecords", 31), ("SlowTargets", 20), ("Refusals", 1), ("LostSamples", 1)],
)
def test_a_query_finds_it_in_a_line_of_more_fields_than_are_discovered(
    stack_of: StackOf, function: FaultyFunction, name: str, rows: int
) -> None:
    """A line of 31 jobs, each with a skipped record; what is said of the endpoints is not among its fields."""
    function.more_jobs, function.value = 30, "valeur"
    lines = refused(function)
    (report,) = (line for line in lines if '"report":' in line)
    fields = discovered(report)
    assert len(fields) >= MOST_FIELDS
    assert not [one for one in fields if one.startswith("report.endpoints.")]
    assert len(query_of(stack_of(), name).run(events_of(lines))) == rows
