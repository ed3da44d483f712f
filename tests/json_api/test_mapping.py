"""Values, times, labels, duplicates and limits of JSON documents that become samples; whole cases are in the corpus."""

from __future__ import annotations

from typing import Any

import pytest

from tests.rig.json_source import NOW_MS, Rig, dropped, error, example, skipped
from tests.rig.tables import table

AT = f"@{NOW_MS}"
LABELLED = 'records: "[]", value: v, labels: {l: l}'


def pushed(rig: Rig, metric: str, document: str, keys: str = "") -> dict[str, Any]:
    """The report of a push of one metric `m` with these keys, and those of its job."""
    rig.serve(document)
    report = rig.push(rig.job(f"{{name: m, {metric}}}", keys=keys))
    assert rig.receiver.refused == 0
    assert all(status == 200 for status in (record.status for record in rig.receiver.requests))
    return report


# --- Values ----------------------------------------------------------------------------------------------------------

VALUES = [
    ("integer", "", "42", "42"),
    ("fraction", "", "0.1", "0.1"),
    ("exponent", "", "1.5e3", "1500"),
    ("negative", "", "-7", "-7"),
    ("zero", "", "0", "0"),
    ("negative zero", "", "-0.0", "-0"),
    ("2^53+1 is rounded as every float", "", "9007199254740993", "9007199254740992"),
    ("2^63", "", "9223372036854775808", "9.223372036854775808e18"),
    ("2^64", "", "18446744073709551616", "1.8446744073709551616e19"),
    ("more than a float holds", "", "1" + "0" * 400, "inf"),
    ("more than a float holds, in a format", "value_format: quantity", "1" + "0" * 400, "inf"),
    ("less than a float holds", "", "-1" + "0" * 400, "-inf"),
    ("more digits than Python reads", "", "1" + "0" * 5000, "inf"),
    ("1e400", "", "1e400", "inf"),
    ("numeric text", "", '"3.25"', "3.25"),
    ("numeric text with exponent", "", '"1e3"', "1000"),
    ("infinite text", "", '"+Inf"', "inf"),
    ("true", "", "true", "1"),
    ("false", "", "false", "0"),
    ("bare NaN", "", "NaN", "nan"),
    ("bare Infinity", "", "Infinity", "inf"),
    ("bare -Infinity", "", "-Infinity", "-inf"),
    ("map of texts", "value_map: {OK: 1, DEGRADED: 0.5, FAIL: 0}", '"DEGRADED"', "0.5"),
    ("map falls through to the number", "value_map: {unlimited: -1}", "12", "12"),
    ("map falls through to the numeric text", "value_map: {unlimited: -1}", '"12"', "12"),
    ("map of booleans", "value_map: {true: 10, false: 20}", "true", "10"),
    ("map of booleans, false", "value_map: {true: 10, false: 20}", "false", "20"),
    ("map of numbers", "value_map: {1: 100, 2: 200}", "2", "200"),
    ("map of fractions", "value_map: {1.5: 100}", "1.5", "100"),
    ("map to infinity", "value_map: {never: .inf}", '"never"', "inf"),
    ("scale", "scale: 0.001", "1500", "1.5"),
    ("offset", "offset: -273.15", "0", "-273.15"),
    ("scale, then offset", "scale: 2, offset: 1", "10", "21"),
    ("scale after map", "value_map: {OK: 1}, scale: 5", '"OK"', "5"),
    ("scale of numeric text", "scale: 1e6", '"2"', "2000000"),
    ("scale of true", "scale: 3", "true", "3"),
    ("regex with unit", "value_regex: '([0-9.]+) Mbps', scale: 1e6", '"95.21 Mbps"', "95210000"),
    ("regex without group", "value_regex: '[0-9]+'", '"load 17 %"', "17"),
    ("regex then map", "value_regex: 'state=(\\w+)', value_map: {up: 1}", '"state=up;x"', "1"),
    ("regex on a number", "value_regex: '^([0-9]+)'", "12.75", "12"),
    ("map beside a fraction", "value_map: {OK: 1}", '"OK"', "1"),
    ("a fraction in the map", "value_map: {'1.25': 10}", "1.25", "10"),
    ("regex over a fraction", "value_regex: '^([0-9])[.]5$'", "3.5", "3"),
    ("on_missing number for null", "on_missing: 0", "null", "0"),
    ("on_missing number is not scaled", "on_missing: -1, scale: 100, offset: 5", "null", "-1"),
    ("on_missing NaN", "on_missing: .nan", "null", "nan"),
]


@table("keys, value, expected", VALUES)
def test_value(rig: Rig, keys: str, value: str, expected: str) -> None:
    """Also when the series is known, and beside a fraction, which decides how numbers are decoded."""
    app, alone = rig.app(rig.job(f"{{name: m, {LABELLED}, {keys}}}")), f'{{"l":"x","v":{value}}}'
    for run, document in enumerate([f"[{alone}]", f"[{alone}]", f'[{alone},{{"l":"beside","v":1.25}}]']):
        rig.serve(document)
        assert error(app.handle({}, None)) == ""
        (points,) = rig.receiver.series("m", l="x").values()
        assert [repr(number) for _, number in points] == [repr(float(expected))] * (run + 1)
        rig.clock.ms += 60_000


NO_VALUES = [
    ("text", "", '"n/a"', "5", "not_a_number"),
    ("empty text", "", '""', "5", "not_a_number"),
    ("digits of another script", "", '"٣"', "5", "not_a_number"),
    ("underscores", "", '"1_000"', "5", "not_a_number"),
    ("list", "", "[1]", "5", "not_a_number"),
    ("object", "", '{"a":1}', "5", "not_a_number"),
    ("null", "", "null", "5", "value_missing"),
    ("text outside the map", "value_map: {OK: 5}", '"MAYBE"', '"OK"', "not_a_number"),
    ("list with a map", "value_map: {OK: 5}", "[1]", '"OK"', "not_a_number"),
    ("object with a regex", "value_regex: '([0-9])'", '{"a":1}', '"5"', "not_a_number"),
    ("no match", "value_regex: '([0-9]+) Mbps'", '"fast"', '"5 Mbps"', "value_regex"),
    ("group did not take part", "value_regex: 'a|([0-9])'", '"a"', '"5"', "value_regex"),
    ("extracted text is no number", "value_regex: '(.+) Mbps'", '"many Mbps"', '"5 Mbps"', "not_a_number"),
]


@table("keys, bad, good, reason", NO_VALUES)
def test_value_that_gives_no_sample_is_counted_and_costs_nothing_else(
    rig: Rig, keys: str, bad: str, good: str, reason: str
) -> None:
    report = pushed(rig, f"{LABELLED}, {keys}", f'[{{"l":"bad","v":{bad}}},{{"l":"good","v":{good}}}]')
    assert error(report) == ""
    assert skipped(report) == {reason: 1}
    first = example(report["jobs"][0]["skipped"][reason])
    assert "metric m" in first
    assert "record 0" in first
    assert "label" not in first
    assert rig.lines() == [f'm{{l="good"}} 5 {AT}']


# --- Timestamps ------------------------------------------------------------------------------------------------------

STAMPS = [
    ("unix", "{path: t, format: unix}", "1716479897", 1716479897000),
    ("unix with fraction", "{path: t, format: unix}", "1716479897.25", 1716479897250),
    ("unix as text", "{path: t, format: unix}", '"1716479897"', 1716479897000),
    ("unix_ms", "{path: t, format: unix_ms}", "1716479897123", 1716479897123),
    ("unix_us", "{path: t, format: unix_us}", "1716479897123456", 1716479897123),
    ("unix_ns", "{path: t, format: unix_ns}", "1716479897123456789", 1716479897123),
    ("rfc3339 Z", "{path: t, format: rfc3339}", '"2024-05-23T15:58:17Z"', 1716479897000),
    ("rfc3339 offset", "{path: t, format: rfc3339}", '"2024-05-24T00:58:17.5+09:00"', 1716479897500),
    (
        "rfc3339 without offset, zone given",
        "{path: t, format: rfc3339, timezone: Asia/Seoul}",
        '"2024-05-24T00:58:17"',
        1716479897000,
    ),
    ("strptime in UTC", "{path: t, format: '%d/%m/%Y %H:%M:%S'}", '"23/05/2024 15:58:17"', 1716479897000),
    (
        "strptime in a zone",
        "{path: t, format: '%d/%m/%Y %H:%M:%S', timezone: Europe/Berlin}",
        '"23/05/2024 17:58:17"',
        1716479897000,
    ),
    ("strptime with its own offset", "{path: t, format: '%Y%m%d%H%M%S%z'}", '"20240523175817+0200"', 1716479897000),
]


@table("stamp, value, expected", STAMPS)
def test_timestamp(rig: Rig, stamp: str, value: str, expected: int) -> None:
    report = pushed(rig, f"value: v, timestamp: {stamp}", f'{{"v": 3, "t": {value}}}')
    assert error(report) == ""
    assert rig.lines() == [f"m 3 @{expected}"]


BAD_STAMPS = [
    ("missing", "{path: t, format: unix}", "null", "timestamp_missing"),
    ("text", "{path: t, format: unix}", '"yesterday"', "timestamp_invalid"),
    ("boolean", "{path: t, format: unix}", "true", "timestamp_invalid"),
    ("NaN", "{path: t, format: unix}", "NaN", "timestamp_invalid"),
    ("list", "{path: t, format: unix_ms}", "[1]", "timestamp_invalid"),
    ("10^400", "{path: t, format: unix}", "1" + "0" * 400, "timestamp_invalid"),
    ("number where a text belongs", "{path: t, format: rfc3339}", "1716479897", "timestamp_invalid"),
    ("no such day", "{path: t, format: rfc3339}", '"2024-02-30T00:00:00Z"', "timestamp_invalid"),
    ("no offset and no zone", "{path: t, format: rfc3339}", '"2024-05-23T15:58:17"', "timestamp_invalid"),
    ("other format", "{path: t, format: '%d/%m/%Y'}", '"2024-05-23"', "timestamp_invalid"),
]


@table("stamp, value, reason", BAD_STAMPS)
def test_bad_timestamp_is_counted_and_costs_nothing_else(rig: Rig, stamp: str, value: str, reason: str) -> None:
    good = {"unix": "1716479897", "unix_ms": "1716479897000", "'%d/%m/%Y'": '"23/05/2024"'}
    wanted = good.get(stamp.rpartition(": ")[2].rstrip("}"), '"2024-05-23T15:58:17Z"')
    rig.clock.ms = 1716422400000 + 60_000 if "%d" in stamp else NOW_MS
    document = f'[{{"l":"bad","v":1,"t":{value}}},{{"l":"good","v":2,"t":{wanted}}}]'
    report = pushed(rig, f"{LABELLED}, timestamp: {stamp}", document)
    assert error(report) == ""
    assert skipped(report) == {reason: 1}
    assert [line.split(" @")[0] for line in rig.lines()] == ['m{l="good"} 2']


AHEAD_MS, HOUR_MS = 600_000, 3_600_000
AGES = [
    ("just inside ten minutes ahead", NOW_MS + AHEAD_MS, True, {}),
    ("more than ten minutes ahead", NOW_MS + AHEAD_MS + 1, False, {"too_far_in_future": 1}),
    ("in the year 5000", 95_617_584_000_000, False, {"too_far_in_future": 1}),
    ("54 minutes old", NOW_MS - 54 * 60_000, True, {}),
    ("older than an hour", NOW_MS - HOUR_MS - 1, False, {"too_old": 1}),
    ("from the year 2000", 946_684_800_000, False, {"too_old": 1}),
]


@table("stamp, arrives, reasons", AGES)
def test_age_of_a_sample(rig: Rig, stamp: int, arrives: bool, reasons: dict[str, int]) -> None:
    document = f'[{{"l":"a","v":1,"t":{stamp}}},{{"l":"b","v":2,"t":{NOW_MS}}}]'
    report = pushed(rig, f"{LABELLED}, timestamp: {{path: t, format: unix_ms}}", document)
    assert error(report) == ""
    assert dropped(report) == reasons
    assert rig.lines() == ([f'm{{l="a"}} 1 @{stamp}'] if arrives else []) + [f'm{{l="b"}} 2 {AT}']


@pytest.mark.parametrize("more", ["", ',{"l":"c","v":null,"t":0}'], ids=["fast path", "slow path"])
@pytest.mark.parametrize(
    ("stamp", "unit"), [(0, "unix_ms"), (-5, "unix"), (NOW_MS // 1000, "unix_ms"), (NOW_MS, "unix")]
)
def test_a_time_of_1970_or_beyond_9999_is_one_in_another_unit(rig: Rig, stamp: int, unit: str, more: str) -> None:
    """Seconds where milliseconds are declared, or the reverse: the metric has failed when all of its times are so."""
    metric = f"{LABELLED}, timestamp: {{path: t, format: {unit}}}"
    good = NOW_MS if unit == "unix_ms" else NOW_MS // 1000
    report = pushed(rig, metric, f'[{{"l":"a","v":1,"t":{stamp}}},{{"l":"b","v":2,"t":{good}}}{more}]')
    assert skipped(report).get("timestamp_invalid") == 1
    assert error(report) == ""
    assert rig.lines() == [f'm{{l="b"}} 2 {AT}']
    rig.clock.ms += 60_000
    assert "is the unit right" in error(pushed(rig, metric, f'[{{"l":"a","v":1,"t":{stamp}}}]'))


# --- Duplicates ------------------------------------------------------------------------------------------------------

DUPLICATES = [
    ("last is the default", "", ["m 3"], {"duplicate": 2}, ""),
    ("last", ", duplicates: last", ["m 3"], {"duplicate": 2}, ""),
    ("first", ", duplicates: first", ["m 1"], {"duplicate": 2}, ""),
    ("sum", ", duplicates: sum", ["m 6"], {}, ""),
    ("error", ", duplicates: error", [], {}, "duplicates is error"),
]


@pytest.mark.parametrize("stamp", ["", ", timestamp: {path: t, format: unix}"], ids=["scrape time", "own time"])
@table("policy, expected, reasons, detail", DUPLICATES)
def test_duplicates(
    rig: Rig, policy: str, stamp: str, expected: list[str], reasons: dict[str, int], detail: str
) -> None:
    t = NOW_MS // 1000 - 10
    document = f'[{{"v":1,"t":{t}}},{{"v":2,"t":{t}}},{{"v":3,"t":{t}}}]'
    report = pushed(rig, f'records: "[]", value: v{policy}{stamp}', document)
    at = f"@{t * 1000}" if stamp else AT
    assert rig.lines() == [f"{line} {at}" for line in expected]
    assert dropped(report) == reasons
    assert detail in error(report)
    assert report["jobs"][0].get("merged", 0) == (2 if "sum" in policy else 0)


# --- Labels ----------------------------------------------------------------------------------------------------------

LABELS = [
    ("text", '"x"', 'm{l="x"}'),
    ("text beyond ASCII", '"zürich ☃ 𝄞"', 'm{l="zürich ☃ 𝄞"}'),
    ("text with quotes and newline", '"a\\"b\\nc"', 'm{l="a\\"b\\nc"}'),
    ("null is absent", "null", "m"),
    ("empty text is absent", '""', "m"),
    ("whole number", "4", 'm{l="4"}'),
    ("unix time", "1757568506", 'm{l="1757568506"}'),
    ("zero", "0", 'm{l="0"}'),
    ("negative zero with fraction", "-0.0", 'm{l="-0.0"}'),
    ("trailing zero", "1.10", 'm{l="1.10"}'),
    ("exponent", "1e3", 'm{l="1e3"}'),
    ("capital exponent", "1E+3", 'm{l="1E+3"}'),
    ("beyond 2^63", "12345678901234567890", 'm{l="12345678901234567890"}'),
    ("beyond 2^64", "123456789012345678901234567890", 'm{l="123456789012345678901234567890"}'),
    ("more digits than a float has", "0.12345678901234567890123", 'm{l="0.12345678901234567890123"}'),
    ("beyond floats", "1e400", 'm{l="1e400"}'),
    ("true", "true", 'm{l="true"}'),
    ("false", "false", 'm{l="false"}'),
]


@pytest.mark.parametrize("beside", ["", ',{"v":2,"l":0.5}'], ids=["alone", "beside a fraction"])
@table("value, series", LABELS)
def test_label_prints_exactly(rig: Rig, value: str, series: str, beside: str) -> None:
    report = pushed(rig, LABELLED, f'[{{"v":1,"l":{value}}}{beside}]')
    assert error(report) == ""
    assert f"{series} 1 {AT}" in rig.lines()
    assert len(rig.lines()) == (2 if beside else 1)


def test_200_labels_are_a_counted_drop_where_the_endpoint_is_amp(amp_rig: Rig) -> None:
    many = ", ".join(f"l{index}: l{index}" for index in range(200))
    record = ",".join(f'"l{index}":"x"' for index in range(200))
    report = pushed(amp_rig, f'records: "[]", value: v, labels: {{{many}}}', f'[{{"v":1,{record}}},{{"v":2}}]')
    assert error(report) == ""
    assert dropped(report) == {"too_many_labels": 1}
    assert "150" in report["endpoints"][0]["dropped"]["too_many_labels"]["example"]
    assert amp_rig.lines() == [f"m 2 {AT}"]


# --- The job's labels, relabelling and limits ------------------------------------------------------------------------

JOB_LABELS = [
    ("added to every sample", "labels: {team: billing}", "{l: l}", {"l": "x", "team": "billing"}),
    ("clash is renamed", "labels: {l: mine}", "{l: l}", {"l": "mine", "exported_l": "x"}),
    ("clash with job", "", "{job: l}", {"job": "j", "exported_job": "x"}),
    ("clash with instance", "", "{instance: l}", {"exported_instance": "x"}),
    (
        "double clash",
        "labels: {l: mine}",
        "{l: l, exported_l: k}",
        {"l": "mine", "exported_l": "y", "exported_exported_l": "x"},
    ),
    ("honored", "honor_labels: true, labels: {l: mine}", "{l: l}", {"l": "x"}),
    ("honored job", "honor_labels: true", "{job: l}", {"job": "x"}),
    ("honored, absent in the record", "honor_labels: true, labels: {l: mine}", "{l: nothing}", {"l": "mine"}),
    ("instance by hand", "labels: {instance: api-1}", "{}", {"instance": "api-1"}),
]


@table("keys, labels, expected", JOB_LABELS)
def test_job_labels(rig: Rig, keys: str, labels: str, expected: dict[str, str]) -> None:
    pushed(rig, f"value: v, labels: {labels}", '{"v":1,"l":"x","k":"y"}', keys)
    (series,) = rig.receiver.series("m")
    base = {"__name__": "m", "job": "j", "instance": rig.api.url.removeprefix("http://")}
    assert dict(series) == base | expected


def test_metric_relabel_configs_do_not_touch_the_synthetic_series(rig: Rig) -> None:
    pushed(rig, "value: v", '{"v":1}', "metric_relabel_configs: [{regex: '.*', action: labeldrop}]")
    assert rig.value("up", job="j") == 1


def test_external_labels_only_where_absent(rig: Rig) -> None:
    rig.serve('{"v":1,"e":"own"}')
    rig.push(
        rig.job("{name: a, value: v, labels: {environment: e}}", "{name: b, value: v}"),
        top="global: {external_labels: {environment: production}}",
    )
    assert rig.lines() == [f'a{{environment="own"}} 1 {AT}', f'b{{environment="production"}} 1 {AT}']
    assert rig.value("up", environment="production") == 1


LIMITS = [
    ("sample_limit reached", "sample_limit: 2", "", ""),
    ("sample_limit crossed", "sample_limit: 1", "2 samples, sample_limit is 1", ""),
    ("label_limit reached", "label_limit: 5", "", ""),
    ("label_limit crossed", "label_limit: 4", "5 labels, label_limit is 4", ""),
    ("name length reached", "label_name_length_limit: 8", "", ""),
    ("name length crossed", "label_name_length_limit: 7", "longer than label_name_length_limit, 7 bytes", ""),
    ("value length reached", "label_value_length_limit: 21", "", ""),
    (
        "value length crossed, in bytes",
        "label_value_length_limit: 20",
        "longer than label_value_length_limit, 20 bytes",
        "",
    ),
    ("global sample_limit", "", "2 samples, sample_limit is 1", "global: {sample_limit: 1}"),
    ("global label_limit", "", "label_limit is 4", "global: {label_limit: 4}"),
    ("the job's own before the global one", "sample_limit: 5", "", "global: {sample_limit: 1}"),
]


@table("keys, detail, top", LIMITS)
def test_limits_fail_the_scrape(rig: Rig, keys: str, detail: str, top: str) -> None:
    """Labels: __name__, job, instance, l and k. The longest value is 21 bytes in 7 characters, names have 8."""
    document = '[{"v":1,"l":"☃☃☃☃☃☃☃","k":"a"},{"v":2,"l":"a","k":"b"}]'
    rig.serve(document)
    metric = '{name: m, records: "[]", value: v, labels: {l: l, k: k}}'
    report = rig.push(rig.job(metric, keys=keys), rig.job("{name: other, value: '1'}", name="o"), top=top)
    assert detail in error(report)
    assert bool(error(report)) == bool(detail)
    assert len(rig.receiver.series("m")) == (0 if detail else 2)
    assert rig.value("up", job="j") == (0 if detail else 1)


def test_a_crossed_sample_limit_still_says_how_many_there_were(rig: Rig) -> None:
    """Prometheus goes on counting so that one can see by how much the limit was crossed."""
    document = "[" + ",".join(f'{{"v":1,"l":"{index}"}}' for index in range(7)) + "]"
    keys = "sample_limit: 3, metric_relabel_configs: [{source_labels: [l], regex: '0', action: drop}]"
    report = pushed(rig, LABELLED, document, keys)
    assert "sample_limit" in error(report)
    assert (rig.value("up"), rig.value("scrape_samples_scraped")) == (0, 7)
    assert rig.value("scrape_samples_post_metric_relabeling") == 6
