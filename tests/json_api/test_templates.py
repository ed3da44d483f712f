"""Templates in URLs, queries and bodies: the time, the cursor, labels and secrets, each escaped for its place; every
other brace stands for itself."""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import parse_qs

import pytest

from sandbox.server import Answer, Fault, Request
from tests.rig.json_source import NOW_MS, Rig, error
from tests.rig.tables import table

METRIC = "{name: m, value: v}"
JSON = "headers: {Content-Type: application/json}"
# NOW_MS is 2024-05-23T15:58:20Z.


def asked(rig: Rig, keys: str = "", path: str = "/doc") -> Request:
    """The request of one push."""
    rig.serve('{"v": 1}', path.partition("?")[0])
    report = rig.push(rig.job(METRIC, path=path, keys=keys))
    assert error(report) == ""
    return rig.api.requests[-1]


TIMES = [
    ("now", "{now}", "", "2024-05-23T15:58:20.000Z"),
    ("an hour and a half ago", "{now-1h30m}", "", "2024-05-23T14:28:20.000Z"),
    ("a day ago", "{now-1d}", "", "2024-05-22T15:58:20.000Z"),
    ("as unix", "{now-5m}", "templates: {format: unix}", "1716479600"),
    ("as unix_ms", "{now}", "templates: {format: unix_ms}", "1716479900000"),
    ("in a zone", "{now}", "templates: {timezone: Asia/Seoul}", "2024-05-24T00:58:20.000+09:00"),
    ("as strptime", "{now}", "templates: {format: '%d/%m/%Y %H:%M'}", "23/05/2024 15:58"),
    ("among text", "a{now-0s}b", "templates: {format: unix}", "a1716479900b"),
    ("two", "{now-1m}/{now}", "templates: {format: unix}", "1716479840/1716479900"),
    ("two with a brace", "{now}{x}", "templates: {format: unix}", "1716479900{x}"),
    ("other braces", "{viewer}{}{ now }{NOW}", "", "{viewer}{}{ now }{NOW}"),
]


@table("text, keys, expected", TIMES)
def test_times_in_a_query(rig: Rig, text: str, keys: str, expected: str) -> None:
    request = asked(rig, f'query: {{at: "{text}"}}{f", {keys}" if keys else ""}')
    assert parse_qs(request.query) == {"at": [expected]}


@pytest.mark.parametrize("place", ["query: {at: '{now}'}", "params: {at: ['{now}']}", "url"])
def test_a_time_is_percent_encoded_in_a_url(rig: Rig, place: str) -> None:
    keys = "templates: {timezone: Asia/Seoul}"
    request = asked(rig, keys if place == "url" else f"{place}, {keys}", "/doc?at={now}" if place == "url" else "/doc")
    assert request.query == "at=2024-05-24T00%3A58%3A20.000%2B09%3A00"


def test_a_time_may_stand_in_the_path(rig: Rig) -> None:
    rig.api.serve("/2024-05-22/x", Answer.json({"v": 1}))
    report = rig.push(rig.job(METRIC, path="/{now-1d}/x", keys="templates: {format: '%Y-%m-%d'}"))
    assert (error(report), rig.api.requests[-1].path) == ("", "/2024-05-22/x")


def test_the_slashes_of_a_format_are_those_of_the_path(rig: Rig) -> None:
    rig.api.serve("/featured/2024/05/23", Answer.json({"v": 1}))
    report = rig.push(rig.job(METRIC, path="/featured/{now}", keys="templates: {format: '%Y/%m/%d'}"))
    assert (error(report), rig.api.requests[-1].path) == ("", "/featured/2024/05/23")


def test_the_time_is_that_of_each_scrape_and_the_series_stay_the_same(rig: Rig) -> None:
    rig.serve('{"v": 1}')
    app = rig.app(rig.job(METRIC, keys="query: {at: '{now}'}, templates: {format: unix}"))
    app.handle({}, None)
    rig.clock.ms += 60_000
    app.handle({}, None)
    assert [request.query for request in rig.api.requests] == ["at=1716479900", "at=1716479960"]
    assert rig.lines() == [f"m 1 @{NOW_MS}", f"m 1 @{NOW_MS + 60_000}"]
    assert len(rig.receiver.series("up")) == 1


def of_targets(rig: Rig, keys: str, labels: str = "") -> str:
    host = rig.api.url.removeprefix("http://")
    static = f"static_configs: [{{targets: ['{host}'], labels: {{{labels}}}}}]"
    return f"{{job_name: j, metrics_path: /doc, {static}, metrics: [{METRIC}], {keys}}}"


def test_times_in_params_of_discovered_targets_are_filled_each_time(rig: Rig) -> None:
    rig.serve('{"v": 1}')
    app = rig.app(of_targets(rig, "params: {at: ['{now}'], more: ['{x}', '{now-1m}']}, templates: {format: unix}"))
    for _ in range(2):
        app.handle({}, None)
        rig.clock.ms += 60_000
    queries = [parse_qs(request.query) for request in rig.api.requests]
    assert queries == [
        {"at": ["1716479900"], "more": ["{x}", "1716479840"]},
        {"at": ["1716479960"], "more": ["{x}", "1716479900"]},
    ]
    assert len(rig.receiver.series("up")) == 1
    assert [request.path for request in rig.api.requests] == ["/doc", "/doc"]


def test_what_a_label_puts_into_the_query_is_no_template(rig: Rig) -> None:
    """Labels are data: they may come from anywhere."""
    rig.serve('{"v": 1}')
    rig.push(of_targets(rig, "params: {at: ['{now-1h}']}", labels='__param_at: "{now}", __param_by: "{now}"'))
    assert parse_qs(rig.api.requests[-1].query) == {"at": ["{now}"], "by": ["{now}"]}


def test_a_percent_encoded_brace_is_no_template(rig: Rig) -> None:
    assert asked(rig, path="/doc?a=%7Bnow%7D").query == "a=%7Bnow%7D"


def test_a_next_link_is_no_template(rig: Rig) -> None:
    pages = iter([{"v": 1, "next": "/doc?a={now}"}, {"v": 2}])
    rig.api.serve("/doc", lambda request: Answer.json(next(pages)))
    keys = "pagination: {style: next_link, path: next}"
    assert error(rig.push(rig.job("{name: m, value: v, duplicates: sum}", keys=keys))) == ""
    assert rig.api.requests[-1].query.lower() in ("a={now}", "a=%7bnow%7d")


def test_a_cursor_joins_a_query_with_times(rig: Rig) -> None:
    pages = iter([{"v": 1, "next": "{now}&x"}, {"v": 2}])
    rig.api.serve("/doc", lambda request: Answer.json(next(pages)))
    keys = "query: {at: '{now}'}, templates: {format: unix}, pagination: {style: cursor, path: next}"
    assert error(rig.push(rig.job("{name: m, value: v, duplicates: sum}", keys=keys))) == ""
    queries = [parse_qs(request.query) for request in rig.api.requests]
    assert queries == [{"at": ["1716479900"]}, {"at": ["1716479900"], "cursor": ["{now}&x"]}]


def test_what_the_plan_and_errors_show_does_not_change_with_the_time(rig: Rig) -> None:
    shown = []
    for at in ("1716479900", "1716479960"):
        rig.api.serve(f"/x/{at}", Answer(404))
        app = rig.app(rig.job(METRIC, path="/x/{now}?a={now}", keys="templates: {format: unix}"))
        shown.append(error(app.handle({}, None)))
        rig.clock.ms += 60_000
    assert shown[0] == shown[1]
    assert shown[0].endswith("/x/{now} answered 404")


def test_an_answer_for_another_time_each_time_is_not_remembered(rig: Rig) -> None:
    rig.api.serve("/doc", lambda request: Answer.json({"v": 1}, headers={"ETag": '"v1"'}))
    app = rig.app(rig.job(METRIC, keys="query: {at: '{now}'}"))
    for _ in range(2):
        app.handle({}, None)
    assert "If-None-Match" not in rig.api.requests[-1].headers


# bodies


def sent(rig: Rig, body: str, keys: str) -> str:
    rig.serve('{"v": 1}')
    path = rig.folder / "body.txt"
    path.write_text(body)
    report = rig.push(rig.job(METRIC, keys=f"body: {json.dumps(body)}, {keys}"))
    assert error(report) == ""
    return rig.api.requests[-1].body.decode()


NASTY = 'a"b\\c&d=e\n{ref.KEY}{now}'
BODIES = [
    ("json by its look", '{"l": "{label.t}"}', "x: 1", lambda body: json.loads(body)["l"]),
    ("json by its type", '"{label.t}"', "Content-Type: application/vnd.x+json; v=1", json.loads),
    ("a form", "l={label.t}", "content-type: application/x-www-form-urlencoded", lambda body: parse_qs(body)["l"][0]),
    ("a text", "{label.t}", "Content-Type: text/plain", str),
    ("a text that looks like json", "[{label.t}]", "Content-Type: text/plain", lambda body: body[1:-1]),
    ("no type and no json", "x {label.t}", "x: 1", lambda body: body[2:]),
]


@table("body, headers, read", BODIES)
def test_a_label_in_a_body_is_escaped_for_its_kind_and_filled_once(
    rig: Rig, body: str, headers: str, read: Any
) -> None:
    keys = f"labels: {{t: {json.dumps(NASTY)}}}, headers: {{{headers}}}"
    assert read(sent(rig, body, keys)) == NASTY


def test_graphql_keeps_its_braces(rig: Rig) -> None:
    query = "query($after: String) { viewer { login } repositories(after: $after) {name} range {start end} }"
    body = json.dumps({"query": query, "variables": {"after": "{cursor}", "since": "{now-1d}"}})
    found = json.loads(sent(rig, body, JSON))
    assert found["query"] == query
    assert found["variables"] == {"after": "{cursor}", "since": "2024-05-22T15:58:20.000Z"}


def test_a_cursor_goes_into_a_graphql_variable(rig: Rig) -> None:
    cursors = iter(['x"{ref.KEY}{label.t}', None])
    rig.api.serve("/doc", lambda request: Answer.json({"v": 1 if request.body else 0, "c": next(cursors)}))
    body = json.dumps({"query": "query { a {b} }", "variables": {"after": "{cursor}", "t": "{label.t}"}})
    keys = f"{JSON}, labels: {{t: '{{cursor}}'}}, pagination: {{style: cursor, path: c}}, body: {json.dumps(body)}"
    rig.push(rig.job(METRIC, keys=keys))
    found = [json.loads(request.body)["variables"] for request in rig.api.requests]
    assert found == [{"after": None, "t": "{cursor}"}, {"after": 'x"{ref.KEY}{label.t}', "t": "{cursor}"}]


def test_a_secret_in_a_body_is_escaped_and_shown_nowhere(rig: Rig) -> None:
    secret = 'canary"{now}\\'
    rig.env_vars["KEY"] = secret
    rig.api.serve("/doc", lambda request: Answer.json({"error": json.loads(request.body)}, 500))
    keys = f"""{JSON}, body: '{{"key": "{{ref.KEY}}", "at": "{{now}}"}}', refs: {{KEY: "env:KEY"}}"""
    report = rig.push(rig.job(METRIC, keys=keys))
    assert json.loads(rig.api.requests[-1].body) == {"key": secret, "at": "2024-05-23T15:58:20.000Z"}
    assert "answered 500" in error(report)
    assert "canary" not in json.dumps(report)


def test_a_secret_that_cannot_be_read_is_an_error(rig: Rig) -> None:
    keys = f"""{JSON}, body: '{{"key": "{{ref.KEY}}"}}', refs: {{KEY: "env:KEY"}}"""
    assert "env:KEY" in error(rig.push(rig.job(METRIC, keys=keys)))
    assert rig.api.requests == []


def test_a_target_without_the_label_is_down_with_the_reason_and_others_are_not(rig: Rig) -> None:
    rig.serve('{"v": 1}')
    host = rig.api.url.removeprefix("http://")
    targets = f"{{targets: ['{host}'], labels: {{t: a}}}}, {{targets: ['{host}']}}"
    keys = "metrics_path: /doc, body: 't={label.t}'"
    report = rig.push(f"{{job_name: j, static_configs: [{targets}], metrics: [{METRIC}], {keys}}}")
    (job,) = report["jobs"]
    assert (job["targets"], job["up"]) == (2, 1)
    assert job["down"][0]["error"] == "body has {label.t}, and the target has no label t"
    assert [request.body for request in rig.api.requests] == [b"t=a"]


def test_a_list_of_targets_is_asked_for_with_the_time_and_its_secret(rig: Rig) -> None:
    rig.env_vars["KEY"] = "sesame"
    host = rig.api.url.removeprefix("http://")
    rig.api.serve("/list", Answer.json([{"h": host}]))
    rig.serve('{"v": 1}')
    entry = f"url: '{rig.api.url}/list?at={{now-1h}}', target: h, body: 'k={{ref.K}}', refs: {{K: 'env:KEY'}}"
    keys = "templates: {format: '%Y'}"
    job = f"{{job_name: j, metrics_path: /doc, json_sd_configs: [{{{entry}, {keys}}}], metrics: [{METRIC}]}}"
    assert error(rig.push(job)) == ""
    first = rig.api.requests[0]
    assert (first.path, first.body) == ("/list", b"k=sesame")
    assert first.query[:5] == "at=20"


def test_the_time_stands_in_a_backfill_too(rig: Rig) -> None:
    """The range in its own format, the time in that of templates."""
    record = {"v": 1, "t": NOW_MS // 1000}
    rig.api.serve("/doc", lambda request: Answer.json([record] if request.query else record))
    stamped = "{name: m, records: '@', value: v, timestamp: {path: t, format: unix}}"
    backfill = "{query: {a: '{start}', b: '{end}', c: '{now}'}, format: unix, records: '[]'}"
    keys = f"templates: {{format: '%Y-%m-%d'}}, backfill: {backfill}"
    app = rig.app(rig.job(stamped, keys=keys))
    app.handle({}, None)
    rig.clock.ms += 600_000
    app.handle({}, None)
    asked_for = [parse_qs(request.query) for request in rig.api.requests if request.query]
    assert [one["c"] for one in asked_for] == [["2024-05-23"]] * len(asked_for)
    assert int(asked_for[0]["a"][0]) <= int(asked_for[0]["b"][0])


def test_the_body_of_a_backfill_has_the_range_labels_and_secrets(rig: Rig) -> None:
    rig.env_vars["KEY"] = 'se"same'
    record = {"v": 1, "t": NOW_MS // 1000}
    rig.api.serve("/doc", lambda request: Answer.json([record] if request.body else record))
    stamped = "{name: m, records: '@', value: v, timestamp: {path: t, format: unix}}"
    body = """'{"a": {start}, "b": "{end}", "s": {step}, "k": "{ref.K}", "l": "{label.job}", "q": "{x {y}}"}'"""
    keys = f"refs: {{K: 'env:KEY'}}, backfill: {{body: {body}, format: unix, records: '[]'}}"
    app = rig.app(rig.job(stamped, keys=keys))
    app.handle({}, None)
    rig.clock.ms += 600_000
    app.handle({}, None)
    found = [json.loads(request.body) for request in rig.api.requests if request.body]
    assert [(one["k"], one["l"], one["s"], one["q"]) for one in found] == [('se"same', "j", 60, "{x {y}}")] * len(found)
    assert found[0]["a"] <= int(found[0]["b"])


def test_a_fault_of_the_source_does_not_show_the_time(rig: Rig) -> None:
    rig.api.serve("/x/1716479900", Fault.status(503))
    report = rig.push(rig.job(METRIC, path="/x/{now}", keys="templates: {format: unix}"))
    assert "1716479900" not in error(report)
