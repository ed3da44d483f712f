"""When a metric has failed, when its job is down, and what the error says: an API's changes never give a green run."""

from __future__ import annotations

import json

import pytest

from tests.rig.json_source import NOW_MS, Rig, dropped, skipped


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
