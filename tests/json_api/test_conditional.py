"""Conditional requests (RFC 9110, 13): an answer that has not changed is not sent again, and gives its samples."""

from __future__ import annotations

import gc
from collections.abc import Callable, Mapping
from typing import Any

import pytest

from lambda_remote_write.app import App
from lambda_remote_write.http.conditional import AnswerMemory, Body
from lambda_remote_write.http.response import Headers
from sandbox.server import Answer, Request
from tests.rig.json_source import NOW_MS, Rig, dropped, error
from tests.rig.tables import table

ETAG = {"ETag": '"v1"'}
MODIFIED = {"Last-Modified": "Thu, 23 May 2024 15:58:00 GMT"}
METRIC = "{name: m, value: v}"
STAMPED = "{name: m, value: v, timestamp: {path: t, format: unix}}"
DOCUMENT = {"v": 7, "t": NOW_MS // 1000}


def unchanged(headers: Mapping[str, str], document: Any = None) -> Callable[[Request], Answer]:
    """A source that compares as RFC 9110, 13.2.2, says: the entity-tag, else the date."""

    def respond(request: Request) -> Answer:
        asked = {name.lower(): value for name, value in request.headers.items()}
        if "if-none-match" in asked:
            is_same = asked["if-none-match"].removeprefix("W/") == headers.get("ETag", "").removeprefix("W/")
        else:
            is_same = asked.get("if-modified-since") == headers.get("Last-Modified", "none")
        return Answer(304, headers) if is_same else Answer.json(document or DOCUMENT, headers=headers)

    return respond


def twice(rig: Rig, app: App) -> dict[str, Any]:
    """Two runs, a minute apart; the report of the second."""
    assert error(app.handle({}, None)) == ""
    rig.clock.ms += 60_000
    report: dict[str, Any] = app.handle({}, None)
    return report


def conditions(rig: Rig, request: int = -1) -> dict[str, str]:
    """The conditions of a request."""
    return {name.lower(): text for name, text in rig.api.requests[request].headers.items() if name.lower()[:3] == "if-"}


VALIDATORS = [
    ("an entity-tag", ETAG, {"if-none-match": '"v1"'}),
    ("a weak one", {"ETag": 'W/"v1"'}, {"if-none-match": 'W/"v1"'}),
    ("a date", MODIFIED, {"if-modified-since": MODIFIED["Last-Modified"]}),
    ("both", ETAG | MODIFIED, {"if-none-match": '"v1"', "if-modified-since": MODIFIED["Last-Modified"]}),
]


@table("headers, expected", VALIDATORS)
def test_what_has_not_changed_gives_the_same_samples_again(
    rig: Rig, headers: Mapping[str, str], expected: dict[str, str]
) -> None:
    rig.api.serve("/doc", unchanged(headers))
    report = twice(rig, rig.app(rig.job(METRIC)))
    assert (conditions(rig, 0), conditions(rig, 1)) == ({}, expected)
    assert rig.lines() == [f"m 7 @{NOW_MS}", f"m 7 @{NOW_MS + 60_000}"]
    (job,) = report["jobs"]
    assert (job["not_modified"], job["body_bytes"], job["records"], job["pages"]) == (1, 0, 1, 1)
    assert (report["ok"], report["warnings"], rig.value("up")) == (True, [], 1)


@pytest.mark.parametrize("headers", [{}, {"ETag": '"v1'}, {"ETag": "v1"}, {"ETag": f'"{"x" * 10_000}"'}, {"ETag": ""}])
def test_without_a_validator_that_can_be_sent_back_the_answer_is_asked_for_in_full(
    rig: Rig, headers: Mapping[str, str]
) -> None:
    rig.api.serve("/doc", unchanged(headers))
    report = twice(rig, rig.app(rig.job(METRIC)))
    assert (conditions(rig), error(report), len(rig.lines())) == ({}, "", 2)
    assert "not_modified" not in report["jobs"][0]


NOT_TO_KEEP = [
    ("it depends on more than the request", {"Vary": "Accept, *"}),  # RFC 9110, 12.5.5
    ("its source forbids it", {"Cache-Control": "private, No-Store"}),  # RFC 9111, 5.2.2.5
]


@table("headers", NOT_TO_KEEP)
def test_an_answer_that_is_not_to_be_kept_is_not_remembered(rig: Rig, headers: Mapping[str, str]) -> None:
    rig.api.serve("/doc", unchanged(ETAG | headers))
    twice(rig, rig.app(rig.job(METRIC)))
    assert conditions(rig) == {}


def test_samples_with_their_own_time_are_not_newer_and_the_job_stays_up(rig: Rig) -> None:
    rig.api.serve("/doc", unchanged(ETAG))
    report = twice(rig, rig.app(rig.job(STAMPED)))
    assert rig.lines() == [f"m 7 @{NOW_MS // 1000 * 1000}"]
    assert dropped(report) == {"not_newer": 1}
    assert (report["ok"], report["totals"]["JobsDown"], rig.value("up")) == (True, 0, 1)


def test_a_new_answer_is_read_and_remembered_in_its_turn(rig: Rig) -> None:
    rig.api.serve("/doc", unchanged(ETAG))
    app = rig.app(rig.job(METRIC))
    twice(rig, app)
    rig.api.serve("/doc", unchanged({"ETag": '"v2"'}, {"v": 8}))
    twice(rig, app)
    assert [line.split()[1] for line in rig.lines()] == ["7", "7", "8", "8"][: len(rig.lines())]
    assert conditions(rig) == {"if-none-match": '"v2"'}


def test_a_cold_function_remembers_nothing(rig: Rig) -> None:
    rig.api.serve("/doc", unchanged(ETAG))
    rig.push(rig.job(METRIC))
    rig.clock.ms += 60_000
    rig.push(rig.job(METRIC))
    assert conditions(rig) == {}


@pytest.mark.parametrize("name", ["If-None-Match", "if-modified-since", "Range"])
def test_a_condition_of_the_config_stands_alone(rig: Rig, name: str) -> None:
    rig.api.serve("/doc", lambda request: Answer.json(DOCUMENT, headers=ETAG | MODIFIED))
    twice(rig, rig.app(rig.job(METRIC, keys=f"headers: {{{name}: mine}}")))
    sent = {key.lower(): text for key, text in rig.api.requests[-1].headers.items()}
    assert sent[name.lower()] == "mine"
    assert len(set(sent) & {"if-none-match", "if-modified-since"} - {name.lower()}) == 0


@pytest.mark.parametrize("keys", ["method: POST", "body: '{}'"])
def test_only_get_is_conditional(rig: Rig, keys: str) -> None:
    rig.api.serve("/doc", lambda request: Answer.json(DOCUMENT, headers=ETAG))
    twice(rig, rig.app(rig.job(METRIC, keys=keys)))
    assert conditions(rig) == {}


def test_a_status_that_the_config_lists_is_remembered_and_304_need_not_be_listed(rig: Rig) -> None:
    def respond(request: Request) -> Answer:
        return Answer(304) if "If-None-Match" in request.headers else Answer.json({"v": 7}, 503, ETAG)

    rig.api.serve("/doc", respond)
    twice(rig, rig.app(rig.job("{name: m, value: v, labels: {status: '@status'}}", keys="valid_status_codes: [503]")))
    assert [line.split(" @")[0] for line in rig.lines()] == ['m{status="503"} 7'] * 2


@pytest.mark.parametrize("keys", ["", "valid_status_codes: [200, 304]", "headers: {If-None-Match: '\"v1\"'}"])
def test_304_that_was_not_asked_for_is_an_error(rig: Rig, keys: str) -> None:
    rig.api.serve("/doc", Answer(304, ETAG))
    assert "answered 304, not modified, and was not asked" in error(rig.push(rig.job(METRIC, keys=keys)))


def test_headers_of_a_304_replace_those_of_before_but_not_what_describes_the_body(rig: Rig) -> None:
    """RFC 9111, 3.2 and 4.3.4."""

    def respond(request: Request) -> Answer:
        if "If-None-Match" in request.headers:
            return Answer(304, {**ETAG, "X-Left": "4", "Content-Type": "text/html"})
        return Answer.json({"v": 7}, headers={**ETAG, "X-Left": "5"})

    rig.api.serve("/doc", respond)
    left = "{name: left, value: '@header.\"X-Left\"', labels: {type: '@header.\"Content-Type\"'}}"
    report = twice(rig, rig.app(rig.job(left, METRIC)))
    assert error(report) == ""
    assert [line.split(" @")[0] for line in rig.lines("left")] == [
        'left{type="application/json"} 5',
        'left{type="application/json"} 4',
    ]


def test_a_document_that_says_that_it_has_failed_is_not_remembered(rig: Rig) -> None:
    rig.api.serve("/doc", lambda request: Answer.json({"v": 7, "error": "late"}, headers=ETAG))
    app = rig.app(rig.job(METRIC, keys="fail_if: error"))
    assert "fail_if" in error(app.handle({}, None))
    rig.clock.ms += 60_000
    app.handle({}, None)
    assert conditions(rig) == {}


def test_after_a_document_that_says_that_it_has_failed_the_one_before_is_forgotten(rig: Rig) -> None:
    documents = iter([{"v": 7}, {"v": 7, "error": "late"}, {"v": 8}])
    rig.api.serve("/doc", lambda request: Answer.json(next(documents), headers=ETAG))
    app = rig.app(rig.job(METRIC, keys="fail_if: error"))
    for _ in range(3):
        app.handle({}, None)
        rig.clock.ms += 60_000
    assert [conditions(rig, index) for index in range(3)] == [{}, {"if-none-match": '"v1"'}, {}]


def test_a_document_in_which_every_metric_has_failed_is_not_remembered(rig: Rig) -> None:
    rig.api.serve("/doc", lambda request: Answer.json({"w": 7}, headers=ETAG))
    app = rig.app(rig.job(METRIC))
    assert error(app.handle({}, None))
    rig.clock.ms += 60_000
    app.handle({}, None)
    assert conditions(rig) == {}


def test_after_an_error_of_the_source_the_answer_of_before_is_still_asked_about(rig: Rig) -> None:
    rig.api.serve("/doc", unchanged(ETAG))
    app = rig.app(rig.job(METRIC))
    app.handle({}, None)
    rig.api.serve("/doc", Answer(500))
    rig.clock.ms += 60_000
    assert "500" in error(app.handle({}, None))
    rig.api.serve("/doc", unchanged(ETAG))
    rig.clock.ms += 60_000
    assert error(app.handle({}, None)) == ""
    assert conditions(rig) == {"if-none-match": '"v1"'}


def test_records_that_are_read_as_columns_come_again_too(rig: Rig) -> None:
    """Of a plain list only the columns are kept while it is mapped; also where a fraction in a label makes it be read
    again."""
    document = [{"v": 1, "n": 0.10}, {"v": 2, "n": "b"}]
    rig.api.serve("/doc", unchanged(ETAG, document))
    twice(rig, rig.app(rig.job('{name: m, records: "[]", value: v, labels: {n: n}}')))
    assert [line.split(" @")[0] for line in rig.lines()] == ['m{n="0.1"} 1'] * 2 + ['m{n="b"} 2'] * 2


def test_other_credentials_ask_for_the_whole_answer(rig: Rig) -> None:
    """The answer of before may be another one's (RFC 9111, 4.1)."""
    rig.api.serve("/doc", unchanged(ETAG))
    token = rig.folder / "token"
    token.write_text("one")
    app = rig.app(rig.job(METRIC, keys=f"authorization: {{credentials_file: '{token}'}}"))
    twice(rig, app)
    assert conditions(rig) == {"if-none-match": '"v1"'}
    token.write_text("two")
    rig.clock.ms += 60_000
    assert error(app.handle({}, None)) == ""
    assert conditions(rig) == {}


def test_an_answer_behind_a_redirect_is_asked_for_in_full(rig: Rig) -> None:
    rig.api.serve("/moved", unchanged(ETAG))
    rig.api.serve("/doc", Answer(302, {"Location": "/moved", "ETag": '"v1"'}))
    report = twice(rig, rig.app(rig.job(METRIC)))
    assert (error(report), conditions(rig), conditions(rig, -2)) == ("", {}, {})


def test_an_answer_of_one_page_is_remembered_and_one_of_several_is_not(rig: Rig) -> None:
    pages = {"": {"v": 1, "next": "?p=2"}, "p=2": {"v": 2}}
    rig.api.serve("/doc", lambda request: Answer.json(pages[request.query], headers=ETAG))
    app = rig.app(rig.job("{name: m, value: v, duplicates: sum}", keys="pagination: {style: next_link, path: next}"))
    twice(rig, app)
    assert [conditions(rig, index) for index in range(4)] == [{}] * 4
    rig.api.serve("/doc", unchanged({"ETag": '"one-page"'}))
    rig.clock.ms += 60_000
    twice(rig, app)
    assert conditions(rig) == {"if-none-match": '"one-page"'}
    assert error(app.handle({}, None)) == ""


def test_a_page_that_has_not_changed_leads_to_a_new_one_by_the_headers_of_its_304(rig: Rig) -> None:
    """Headers change without the document."""
    more = False

    def respond(request: Request) -> Answer:
        if request.query:
            return Answer.json({"v": 2})
        headers = {**ETAG, "X-Next": "?p=2"} if more else ETAG
        return Answer(304, headers) if "If-None-Match" in request.headers else Answer.json({"v": 1}, headers=headers)

    rig.api.serve("/doc", respond)
    keys = "pagination: {style: next_link, path: '@header.\"X-Next\"'}"
    app = rig.app(rig.job("{name: m, value: v, duplicates: sum}", keys=keys))
    app.handle({}, None)
    more = True
    rig.clock.ms += 60_000
    report = app.handle({}, None)
    assert (error(report), report["jobs"][0]["pages"]) == ("", 2)
    assert [line.split()[1] for line in rig.lines()] == ["1", "3"]


def test_targets_are_asked_about_each_on_its_own(rig: Rig) -> None:
    rig.api.serve("/doc", lambda request: unchanged({"ETag": f'"{request.query}"'})(request))
    host = rig.api.url.removeprefix("http://")
    targets = ", ".join(f"{{targets: ['{host}'], labels: {{__param_t: '{one}', t: '{one}'}}}}" for one in "abc")
    app = rig.app(f"{{job_name: j, metrics_path: /doc, static_configs: [{targets}], metrics: [{METRIC}]}}")
    app.handle({}, None)
    rig.clock.ms += 60_000
    report = app.handle({}, None)
    assert report["jobs"][0]["not_modified"] == 3
    assert len(rig.lines()) == 6


def body(size: int) -> Body:
    return Body(bytearray(size), "application/json", headers=Headers([("ETag", '"v1"')]), sent_with=1)


def test_what_is_remembered_is_bounded_for_all_targets_together() -> None:
    """An answer that has no room is asked for in full; what its own answer of before holds is free for it."""
    memory = AnswerMemory(max_bytes=100_000)
    first = memory.stored(body(50_000), None)
    second = memory.stored(body(40_000), None)
    assert first is not None
    assert second is not None
    assert memory.stored(body(10_000), None) is None
    assert memory.stored(body(51_000), first) is not None
    del first, second
    gc.collect()
    assert memory.stored(body(97_000), None) is not None
    assert memory.stored(body(98_001), None) is None


def test_the_bound_is_fifty_megabytes() -> None:
    memory = AnswerMemory()
    first = memory.stored(body(49_990_000), None)
    assert first is not None
    assert memory.stored(body(10_000), None) is None
