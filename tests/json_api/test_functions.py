"""What expressions know of an answer and of a scrape, through whole pushes; and what they may cost."""

from __future__ import annotations

import json

import pytest

from lambda_remote_write.config import expression_context
from sandbox.server import Answer, Request
from tests.rig.json_source import NOW_MS, Rig, error, example, skipped
from tests.rig.tables import table

pytestmark = pytest.mark.slow  # millions of elements are visited

HEADERS = {"X-RateLimit-Remaining": "4987", "Last-Seen": "Thu, 23 May 2024 15:58:17 GMT"}


def test_headers_and_status_of_an_answer(rig: Rig) -> None:
    """Compared without case; one that is not there is null."""
    rig.api.serve("/doc", Answer(203, HEADERS, b'{"n": 1}'))
    report = rig.push(
        rig.job(
            "{name: m, value: '@header.\"x-ratelimit-remaining\"', "
            "labels: {at: '@header.\"last-seen\"', n: '@header.n'}}",
            '{name: age, value: "time(@header.\\"Last-Seen\\", \'%a, %d %b %Y %H:%M:%S GMT\')"}',
            "{name: s, value: '@status', labels: {class: \"join('', [to_string(@status), '!'])\"}}",
        )
    )
    assert error(report) == ""
    assert rig.lines() == [
        f"age 1716479897 @{NOW_MS}",
        f'm{{at="Thu, 23 May 2024 15:58:17 GMT"}} 4987 @{NOW_MS}',
        f's{{class="203!"}} 203 @{NOW_MS}',
    ]


def test_each_page_has_its_own_headers(rig: Rig) -> None:
    """A header may name the next page, and stands for the records of its own page."""

    def respond(request: Request) -> Answer:
        is_first = not request.query
        headers = {"X-Next": "p2"} if is_first else {}
        body = json.dumps([{"v": 1 if is_first else 2}]).encode()
        return Answer(200, {**headers, "X-Page": "one" if is_first else "two"}, body)

    rig.api.serve("/doc", respond)
    metric = "{name: m, value: v, labels: {page: '@header.\"X-Page\"'}}"
    report = rig.push(rig.job(metric, keys="pagination: {style: cursor, path: '@header.\"X-Next\"'}"))
    assert error(report) == ""
    assert rig.lines() == [f'm{{page="one"}} 1 @{NOW_MS}', f'm{{page="two"}} 2 @{NOW_MS}']


def test_a_label_prints_a_computed_number_as_short_as_it_is(rig: Rig) -> None:
    """And a number of the document as it was written, also from a text that holds JSON."""
    rig.serve('{"a": 1, "b": 8, "c": 2.50, "d": "{\\"e\\": 1.10}", "f": 6}')
    labels = "{q: 'divide(a, b)', w: 'divide(f, `2`)', c: c, e: from_json(d).e, n: now()}"
    assert error(rig.push(rig.job(f"{{name: m, value: a, labels: {labels}}}"))) == ""
    assert rig.lines() == [f'm{{c="2.50",e="1.10",n="1716479900",q="0.125",w="3"}} 1 @{NOW_MS}']


def nested(depth: int) -> str:
    """A text that holds an object whose text holds an object, and so on."""
    text = "x" * 100
    for _ in range(depth):
        text = json.dumps({"a": text})
    return text


IN_TEXTS = "{name: m, value: 'length(from_json(from_json(a).a).a)'}"


@table("spare, words", [("as much as the limit", 0, ""), ("more", -1, "from_json decodes more bytes in one scrape")])
def test_texts_are_decoded_within_the_limit_of_the_body(rig: Rig, spare: int, words: str) -> None:
    """What is decoded out of a decoded text counts again."""
    rig.serve(nested(3))
    limit = len(nested(2)) + len(nested(1)) + spare
    assert limit > len(nested(3))
    found = error(rig.push(rig.job(IN_TEXTS, keys=f"body_size_limit: {limit}B")))
    assert words in found
    assert bool(found) is bool(words)
    assert ("body_size_limit" in found) is bool(words)
    assert rig.lines() == ([] if words else [f"m 100 @{NOW_MS}"])


def test_equal_texts_are_decoded_once(rig: Rig) -> None:
    rig.serve(json.dumps([{"n": index, "a": nested(1)} for index in range(50)]))
    report = rig.push(
        rig.job("{name: m, value: 'length(from_json(a).a)', labels: {n: n}}", keys="body_size_limit: 8KB")
    )
    assert error(report) == ""
    assert len(rig.lines()) == 50


def test_expressions_that_visit_too_much_fail_the_scrape_in_words(rig: Rig) -> None:
    """2,500 records times 2,500 elements are more than is allowed; what is the same for all records is made once."""
    assert expression_context.MAX_VISITS < 2_500**2
    rig.serve(json.dumps({"areas": [{"id": 1}] * 2_500, "hosts": [{"id": index} for index in range(2_500)]}))
    slow = (
        "{name: m, records: 'hosts[].merge(@, {areas: $.areas})', value: 'length(areas[?id == `1`])', labels: {n: id}}"
    )
    good = "{name: m, records: 'hosts[]', value: 'length($.areas[?id == `1`])', labels: {n: id}}"
    report = rig.push(rig.job(slow), rig.job(good, name="good"))
    assert "visit more than 5,000,000 elements" in error(report)
    assert "lookup(list, key, value)" in error(report)
    assert error(report, 1) == ""
    assert len(rig.lines()) == 2_500


def dear(records: str, **label: str) -> tuple[str, str]:
    """A metric whose records cost three of five million visits, so that they cannot be looked at twice, and its
    document."""
    items = [{"n": number, "v": 1, "wanted": [1] * 1_000, **label} for number in range(3)]
    metric = f"{{name: m, records: '{records}', value: v, labels: {{n: n, l: l}}}}"
    return metric, json.dumps({"big": [0] * 1_000, "items": items})


def test_an_explanation_that_would_cost_too_much_is_left_out(rig: Rig) -> None:
    """Of a label that is gone."""
    (metric, before), (_, after) = (dear("items[?!contains($.big, wanted)]", **label) for label in ({"l": "x"}, {}))
    app = rig.app(rig.job(metric))
    reports = []
    for document in (before, after):
        rig.serve(document)
        reports.append(app.handle({}, None))
        rig.clock.ms += 60_000
    assert [error(report) for report in reports] == ["", ""]
    assert len(rig.receiver.series("m")) == 6


def test_a_dear_filter_that_lets_nothing_pass_is_a_fact(rig: Rig) -> None:
    """As a cheap one is: its list was there."""
    metric, document = dear("items[?contains($.big, wanted)]")
    rig.serve(document)
    report = rig.push(rig.job(metric))
    assert (error(report), report["jobs"][0].get("failed", {}), report["ok"]) == ("", {}, True)


def test_a_lookup_in_each_record_costs_the_sum_of_both_lists(rig: Rig) -> None:
    areas = [{"id": index, "name": f"a{index}"} for index in range(5_000)]
    rig.serve(json.dumps({"areas": areas, "hosts": [{"area": index, "v": 1} for index in range(5_000)]}))
    metric = "{name: m, records: 'hosts[]', value: v, labels: {area: \"lookup($.areas[], 'id', area).name\"}}"
    assert error(rig.push(rig.job(metric))) == ""
    assert len(rig.lines()) == 5_000


def test_the_message_of_a_failed_expression_names_it(rig: Rig) -> None:
    rig.serve('[{"v": 1, "n": "a"}, {"v": {"x": 1}, "n": "b"}]')
    report = rig.push(rig.job("{name: m, value: 'abs(v)', labels: {n: n}}"))
    assert skipped(report) == {"expression_failed": 1}
    found = example(report["jobs"][0]["skipped"]["expression_failed"])
    assert found == 'metric m, record 1: abs(v): abs expects a number, and found an object, {"x": 1}'


def test_a_path_of_pages_costs_no_more_than_a_scrape(rig: Rig) -> None:
    """What pagination.path visits on all pages counts together."""
    body = {"next": list(range(3_000)), "a": [{"v": 1}]}
    rig.api.serve("/doc", lambda request: Answer.json({**body, "query": request.query}))
    path = "next[].join('', [to_string(@), to_string($.next[?@ > `1`])]) | [0]"
    report = rig.push(rig.job("{name: m, records: a, value: v}", keys=f'pagination: {{style: cursor, path: "{path}"}}'))
    assert "elements" in error(report)
