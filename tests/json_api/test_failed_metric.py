"""When a metric has failed, when its job is down, and what the error says: an API's changes never give a green run."""

from __future__ import annotations

import json
from typing import Any

import pytest

from sandbox.server import Answer
from tests.rig.json_source import NOW_MS, Rig, dropped, error, skipped
from tests.rig.tables import table

RECORD = {"time": NOW_MS // 1000, "count": 3015, "code": "4"}
STAMP = "timestamp: {path: time, format: unix}"
LISTED = f'{{name: m, records: "data.items", value: count, labels: {{code: code}}, {STAMP}}}'
TOP = f"{{name: m, value: count, labels: {{code: code}}, {STAMP}}}"
ARRAY = '{name: m, records: "[]", value: v, labels: {n: n}}'
NESTED = '{name: m, records: "regions[].hosts[]", value: load, labels: {host: name}}'
STEPS = '{name: m, records: ["regions[]", hosts], value: load, labels: {host: name}}'

# (id, metric, document, what the error says)
FAILED: list[tuple[str, str, Any, list[str]]] = [
    (
        "the list is renamed",
        LISTED,
        {"data": {"entries": [RECORD], "total": 1}},
        ["metric m", "records data.items", "data is an object", "nearest path that exists is data.entries", "|| `[]`"],
    ),
    (
        "the list is null",
        LISTED,
        {"code": 401, "message": "expired", "data": None},
        ["records data.items", "data is null", '{"code": 401, "message": "expired"'],
    ),
    ("an object stands there", LISTED, {"data": {"items": {"a": RECORD}}}, ["value count", "an object"]),
    ("a text stands there", LISTED, {"data": {"items": "none"}}, ['a text, "none"']),
    ("a number where a list is meant", ARRAY, 5, ["a number, 5"]),
    ("true", ARRAY, True, ["a boolean, true"]),
    ("null", ARRAY, None, ["the document is null"]),
    ("an object where a list is meant", ARRAY, {"v": 1}, ['an object, {"v": 1}']),
    ("a list of lists", ARRAY, [[1], [2]], ["write no records at all"]),
    ("a list of scalars", ARRAY, [1, "x", True], ["a number, 1"]),
    (
        "the value is renamed",
        LISTED,
        {"data": {"items": [{**RECORD, "count": None, "requestCount": 5}] * 2}},
        ["none of 2 records", "value count finds nothing", "the nearest path that exists is requestCount"],
    ),
    (
        "the value is renamed in a plain list",
        TOP,
        [{"time": NOW_MS // 1000, "counts": 5, "code": "4"}],
        ["value count finds nothing", '"counts": 5', "the nearest path that exists is counts"],
    ),
    (
        "the time is renamed in a plain list",
        TOP,
        [{"times": NOW_MS // 1000, "count": 5, "code": "4"}],
        ["timestamp time finds nothing", "the nearest path that exists is times"],
    ),
    ("the time is in milliseconds", TOP, [{**RECORD, "time": NOW_MS}], ["the year 9999", "is the unit right"]),
    (
        "the time is in seconds",
        TOP.replace("unix}", "unix_ms}"),
        [RECORD],
        ["1970", "is the unit right", str(RECORD["time"])],
    ),
    ("the time is in another zone", TOP, [{**RECORD, "time": NOW_MS // 1000 + 7200}], ["ahead of the clock", "zone"]),
    ("the number has become a text", TOP, [{**RECORD, "count": "3 k"}], ["not_a_number", "'3 k'"]),
    ("the list inside each is renamed", NESTED, {"regions": [{"nodes": [{"load": 1}]}]}, ["regions[]", "nodes"]),
    (
        "the list inside each is renamed, in steps",
        STEPS,
        {"regions": [{"nodes": [{"load": 1}]}]},
        ["an object", "nodes"],
    ),
    (
        "rows that [] flattens",
        '{name: m, records: "rows[]", value: "[1]"}',
        {"rows": [["a", 1], ["b", 2]]},
        ["flatten"],
    ),
    ("one row that an index chooses", '{name: m, records: "[-1]", value: "[1]"}', [["a", 1], ["b", 2]], ["[-1:]"]),
    ("an error in HTML's place", LISTED, {"error": {"message": "no quota"}}, ["the document is an object", "no quota"]),
    (
        "a key of the enclosing object",
        STEPS.replace("load", "^.load"),
        {"regions": [{"hosts": [{"a": 1}]}]},
        ["^.load"],
    ),
]


@table("metric, document, detail", FAILED)
def test_a_change_of_the_api_fails_the_run_and_is_explained(
    rig: Rig, metric: str, document: Any, detail: list[str]
) -> None:
    rig.serve(json.dumps(document))
    report = rig.push(rig.job(metric))
    message = error(report)
    assert [words for words in detail if words not in message] == []
    assert rig.value("up") == 0
    assert rig.lines() == []
    assert report["ok"] is False
    assert report["totals"]["JobsDown"] == 1
    assert report["jobs_down"]["j"]
    assert len(message) < 700
    assert "\n" not in message


# (id, metric, document, records skipped)
FACTS: list[tuple[str, str, Any, dict[str, int]]] = [
    ("an empty list", LISTED, {"data": {"items": []}}, {}),
    ("an empty document", TOP, [], {}),
    ("an empty list in each", NESTED, {"regions": [{"hosts": []}]}, {}),
    ("no regions", STEPS, {"regions": []}, {}),
    ("the last of an empty list", '{name: m, records: "a[-1:]", value: v}', {"a": []}, {}),
    ("the first of an empty list", '{name: m, records: "a[0]", value: v}', {"a": []}, {}),
    ("a filter that lets nothing pass", '{name: m, records: "a[?open]", value: v}', {"a": [{"v": 1}]}, {}),
    ("a list that may be left out", '{name: m, records: "a || `[]`", value: v}', {"b": 1}, {}),
    (
        "nulls that are normal",
        '{name: m, records: "a", value: v, on_missing: ignore}',
        {"a": [{}]},
        {"null_ignored": 1},
    ),
    ("an empty map", '{name: m, records: a, value: v, labels: {k: "@key"}}', {"a": {}}, {}),
]


@table("metric, document, counts", FACTS)
def test_nothing_to_tell_is_a_fact(rig: Rig, metric: str, document: Any, counts: dict[str, int]) -> None:
    rig.serve(json.dumps(document))
    report = rig.push(rig.job(metric))
    assert (error(report), skipped(report), report["totals"]["JobsDown"]) == ("", counts, 0)
    assert rig.value("up") == 1
    assert report["ok"] is True


def test_values_that_are_wrong_fail_also_where_nulls_are_normal(rig: Rig) -> None:
    rig.serve('[{"v":null},{"v":"many"}]')
    report = rig.push(rig.job("{name: m, value: v, on_missing: ignore}"))
    assert "'many'" in error(report)
    assert skipped(report) == {"null_ignored": 1, "not_a_number": 1}


def test_one_failed_metric_of_several_leaves_the_job_up_and_is_counted(rig: Rig) -> None:
    rig.serve('{"a": 1, "bb": 2}')
    report = rig.push(rig.job("{name: a, value: a}", "{name: b, value: b}"))
    (found,) = report["jobs"]
    assert rig.lines() == [f"a 1 @{NOW_MS}"]
    assert rig.value("up") == 1
    assert list(found["failed"]) == ["b"]
    assert "the nearest path that exists is bb" in found["failed"]["b"]
    assert (report["ok"], report["totals"]["JobsDown"], report["totals"]["FailedMetrics"]) == (False, 1, 1)
    assert "metric b" in report["jobs_down"]["j"]


def test_the_series_of_a_failed_metric_end(rig: Rig) -> None:
    app = rig.app(rig.job("{name: a, value: a}", "{name: b, value: b}"))
    for document in ('{"a": 1, "b": 2}', '{"a": 1}'):
        rig.serve(document)
        app.handle({}, None)
        rig.clock.ms += 60_000
    ((_, values),) = rig.receiver.series("b").items()
    assert [value == value for _, value in values] == [True, False]  # a stale marker is a NaN


# (id, keys, document, words of the error; none where the job is well)
FAIL_IF: list[tuple[str, str, Any, list[str]]] = [
    ("holds", "fail_if: error, fail_message: error.text", {"v": 1, "error": {"text": "expired"}}, ["error", "expired"]),
    ("compares", "fail_if: 'code != `200`'", {"v": 1, "code": 401}, ["code != `200`"]),
    ("finds nothing", "fail_if: error", {"v": 1}, []),
    ("is false", "fail_if: error", {"v": 1, "error": False}, []),
    ("is empty", "fail_if: errors", {"v": 1, "errors": []}, []),
    ("the number 0 is true", "fail_if: code", {"v": 1, "code": 0}, ["code"]),
    ("the message is no text", "fail_if: error, fail_message: error", {"v": 1, "error": {"a": [1]}}, ['{"a": [1]}']),
    ("from the document", "fail_if: $.error", {"v": 1, "error": "x"}, ["$.error"]),
    ("no message is found", "fail_if: error, fail_message: text", {"v": 1, "error": "x"}, ["error"]),
]


@table("keys, document, detail", FAIL_IF)
def test_fail_if(rig: Rig, keys: str, document: Any, detail: list[str]) -> None:
    rig.serve(json.dumps(document))
    report = rig.push(rig.job("{name: m, value: v}", keys=keys))
    assert bool(error(report)) == bool(detail)
    assert [words for words in detail if words not in error(report)] == []
    assert rig.value("up") == (0 if detail else 1)
    assert rig.lines() == ([] if detail else [f"m 1 @{NOW_MS}"])


def test_fail_if_looks_at_every_page(rig: Rig) -> None:
    """An error in the place of the second page fails the scrape, the records of the first page included."""
    pages = {"": {"items": [{"v": 1}], "next": "?page=2"}, "page=2": {"items": [], "error": "expired"}}
    rig.api.serve("/doc", lambda request: Answer.json(pages[request.query]))
    keys = "fail_if: error, pagination: {style: next_link, path: next}"
    report = rig.push(rig.job('{name: m, records: "items[]", value: v}', keys=keys))
    assert "fail_if" in error(report)
    assert (len(rig.api.requests), rig.value("up"), rig.lines()) == (2, 0, [])


def test_fail_if_looks_at_a_plain_list_too(rig: Rig) -> None:
    rig.serve('[{"v":1,"t":"a"},{"v":2,"t":"b"}]')
    report = rig.push(rig.job("{name: m, value: v, labels: {t: t}}", keys="fail_if: '[?v > `1`]'"))
    assert "fail_if" in error(report)


# --- Every record is accounted for ------------------------------------------------------------------------------------


def test_records_are_mapped_or_skipped_and_samples_kept_dropped_or_merged(rig: Rig) -> None:
    records = [{"k": "a", "v": 1}, {"k": "a", "v": 2}, {"k": "b", "v": None}, {"k": "c", "v": "x"}, {"k": "d", "v": 4}]
    rig.serve(json.dumps({"list": records, "other": [{"v": "y"}, {"v": 5}]}))
    report = rig.push(
        rig.job(
            "{name: m, records: list, value: v, labels: {k: k}, duplicates: sum}",
            "{name: n, records: other, value: v}",
        )
    )
    (found,) = report["jobs"]
    assert (found["records"], found["mapped"], found["merged"]) == (7, 4, 1)
    assert found["records"] == found["mapped"] + sum(entry["count"] for entry in found["skipped"].values())
    assert found["mapped"] == len(rig.lines()) + found["merged"] + sum(dropped(report).values())
    assert found["skipped"]["not_a_number"]["count"] == 2
    examples = found["skipped"]["not_a_number"]["examples"]
    assert list(examples) == ["m", "n"]
    assert "metric m, record 3" in examples["m"]
    assert "metric n, record 0" in examples["n"]
    assert report["totals"]["SkippedRecords"] == 3


def test_an_object_where_a_list_is_meant_is_counted_beside_lists(rig: Rig) -> None:
    """Servers that turn XML into JSON write one record as an object, and several as a list."""
    rig.serve('{"a":[{"b":[{"v":1,"k":"x"}]},{"b":{"v":2,"k":"y"}}]}')
    report = rig.push(rig.job('{name: m, records: ["a[]", "b[]"], value: v, labels: {k: k}}'))
    assert skipped(report) == {"not_a_list": 1}
    (example,) = report["jobs"][0]["skipped"]["not_a_list"]["examples"].values()
    assert 'b, but it has an object, {"v": 2' in example
    assert rig.lines() == [f'm{{k="x"}} 1 @{NOW_MS}']


def test_texts_that_were_taken_for_records_are_said(rig: Rig) -> None:
    rig.serve('["fd00::5","fe80::1","127.0.0.1","198.51.100.7"]')
    report = rig.push(rig.job('{name: server_info, type: info, value: 1, labels: {ip: "[3]"}}'))
    warnings = " ".join(report["warnings"])
    assert "labels ip find nothing in any record" in warnings
    assert 'each element is a record, and the first is a text, "fd00::5"' in warnings


def test_a_label_that_was_there_before_is_missed(rig: Rig) -> None:
    """Its series are others without it, which no value shows."""
    app = rig.app(rig.job("{name: m, value: v, labels: {code: code, zone: zone}}"))
    for document in ('{"v":1,"code":"a"}', '{"v":2,"codes":"a"}'):
        rig.serve(document)
        report = app.handle({}, None)
        rig.clock.ms += 60_000
    assert "label code: code finds nothing" in " ".join(report["warnings"])
    assert "the nearest path that exists is codes" in " ".join(report["warnings"])
    assert "zone" not in " ".join(report["warnings"])  # it never was there: plan says so
    assert report["ok"] is True


@pytest.mark.parametrize("labels", ['{k: "@key"}', "{k: '@key', n: n}"])
def test_the_key_of_a_list_is_its_index(rig: Rig, labels: str) -> None:
    rig.serve('{"list":[{"v":5},{"v":6},{"v":7}]}')
    rig.push(rig.job(f"{{name: m, records: list, value: v, labels: {labels}}}"))
    assert rig.lines() == [f'm{{k="{index}"}} {5 + index} @{NOW_MS}' for index in range(3)]


def test_the_log_line_says_what_failed_and_what_was_skipped(rig: Rig, caplog: pytest.LogCaptureFixture) -> None:
    rig.serve('[{"v":1,"k":"a"},{"v":"x","k":"b"}]')
    rig.push(rig.job("{name: m, value: v, labels: {k: k}}"))
    rig.serve('[{"w":1}]')
    rig.clock.ms += 60_000
    rig.push(rig.job("{name: m, value: v, labels: {k: k}}"))
    first, second = caplog.records
    assert "1 record skipped; j: metric m, record 1" in first.getMessage()
    assert first.levelname == "INFO"
    assert "j: metric m: the record gives no sample: value v finds nothing" in second.getMessage()
    assert second.levelname == "WARNING"
