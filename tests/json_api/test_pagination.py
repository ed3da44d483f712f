"""Pages: a link, a cursor or a number names the next one; every way ends, and says so when it ended too early."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from sandbox.api import Api
from sandbox.server import Answer, Fault, Request
from tests.rig.json_source import Rig, error
from tests.rig.tables import table

ITEMS = '{name: item_id, records: "items[]", value: id, labels: {name: name}}'
LINK = "pagination: {style: next_link, path: next}"
CURSOR = "pagination: {style: cursor, path: nextCursor}"
JSON = "headers: {Content-Type: application/json}"
NUMBER = "pagination: {style: page}"
OFFSET = "pagination: {style: offset}"
HEADER_LINK = "pagination: {style: link_header}"
HEADER_CURSOR = "pagination: {style: cursor, path: '@header.\"X-Next\"'}"


def page(*values: int, **more: Any) -> dict[str, Any]:
    return {"items": [{"id": value, "name": str(value)} for value in values], **more}


def forever(make: Callable[[int], dict[str, Any]]) -> Callable[[Request], Answer]:
    count = iter(range(1, 10_000))
    return lambda request: Answer.json(make(next(count)))


ENDLESS = [
    ("link to itself", LINK, lambda n: page(1, next="/doc"), 1, "page that was read before"),
    ("two pages in a ring", LINK, lambda n: page(n, next=f"/doc?p={n % 2}"), 3, "page that was read before"),
    ("the same cursor", CURSOR, lambda n: page(n, nextCursor="x"), 2, "page that was read before"),
    ("the page number is ignored", NUMBER, lambda n: page(1), 2, "page 2 is the same as the one before"),
    ("and the key to set", NUMBER, lambda n: page(1), 2, "'page'"),
    ("the cursor is ignored", CURSOR, lambda n: page(1, nextCursor="x"), 2, "'cursor'"),
    (
        "the cursor in a body is ignored",
        f'{CURSOR}, body: \'{{"after": "{{cursor}}"}}\'',
        lambda n: page(1, nextCursor="x"),
        2,
        "'cursor'",
    ),
    ("the link leads to the same", LINK, lambda n: page(1, next="/doc?p=2"), 2, "pagination.path"),
    ("link to something else", LINK, lambda n: page(1, next={"href": "?p=2"}), 1, "a next link is a text"),
    (
        "link that is a number",
        LINK,
        lambda n: page(1, next=2),
        1,
        "text; for the number of the next page write style: cursor",
    ),
    ("cursor that is an object", CURSOR, lambda n: page(1, nextCursor={"a": 1}), 1, "a cursor is a text or a number"),
    ("link that is no address", LINK, lambda n: page(1, next="http://127.0.0.1:port/"), 1, "no address"),
    ("link that is endless", LINK, lambda n: page(1, next=f"/{'x' * 9000}"), 1, "more than 8,000 characters"),
    ("the offset is ignored", OFFSET, lambda n: page(1), 2, "page 2 is the same as the one before"),
    ("and the key to set for it", OFFSET, lambda n: page(1), 2, "'offset'"),
    (
        "the offset is ignored, and each answer has its own time",
        f"{OFFSET[:-1]}, total: total}}",
        lambda n: page(1, 2, total=900, took_ms=n),
        2,
        "page 2 has the same records as the one before: does the API know 'offset', pagination.parameter?",
    ),
    (
        "the page number is ignored, and path names the list",
        f"{NUMBER[:-1]}, path: items}}",
        lambda n: page(1, 2, took_ms=n),
        2,
        "page 2 has the same records as the one before: does the API know 'page'",
    ),
    ("link to another scheme", LINK, lambda n: page(1, next="ftp://127.0.0.1/"), 1, "not followed"),
]


@table("keys, make, requests, detail", ENDLESS)
def test_pages_that_lead_nowhere_end_with_a_reason(
    rig: Rig, keys: str, make: Callable[[int], dict[str, Any]], requests: int, detail: str
) -> None:
    rig.api.serve("/doc", forever(make))
    report = rig.push(rig.job(ITEMS, keys=keys))
    assert detail in error(report)
    assert len(rig.api.requests) == requests
    assert (rig.value("up"), rig.lines()) == (0, [])


def test_a_link_to_another_origin_is_not_followed(rig: Rig) -> None:
    with Api() as other:
        other.serve("/doc", Answer.json(page(2)))
        rig.api.serve("/doc", Answer.json(page(1, next=f"{other.url}/doc?token=canary")))
        report = rig.push(rig.job(ITEMS, keys=f"{LINK}, authorization: {{credentials: tok}}"))
        assert other.requests == []
    assert "not followed" in error(report)
    assert "canary" not in json.dumps(report)


@pytest.mark.parametrize(
    ("style", "fraction"), [(LINK, False), (CURSOR, False), (NUMBER, False), (OFFSET, False), (LINK, True)]
)
def test_the_page_cap_is_reported_and_what_was_read_arrives(rig: Rig, style: str, fraction: bool) -> None:
    """Also where a fraction in a label makes the document be read again."""

    def make(n: int) -> dict[str, Any]:
        found = page(n, next=f"/doc?p={n + 1}", nextCursor=n)
        found["items"][0]["name"] = n + 0.5 if fraction else str(n)
        return found

    rig.api.serve("/doc", forever(make))
    report = rig.push(rig.job(ITEMS, keys=style.replace("}", ", max_pages: 3}")))
    assert error(report) == ""
    assert len(rig.api.requests) == 3
    assert "stopped after 3 pages, max_pages" in " ".join(report["warnings"])
    assert len(rig.lines()) == 3


def test_without_a_cap_a_hundred_pages_are_read(rig: Rig) -> None:
    rig.api.serve("/doc", forever(lambda n: page(n, next=f"/doc?p={n + 1}")))
    report = rig.push(rig.job(ITEMS, keys=LINK))
    assert len(rig.api.requests) == 100
    assert "stopped after 100 pages, max_pages" in " ".join(report["warnings"])


def test_one_bad_page_fails_the_scrape(rig: Rig) -> None:
    """A scrape is whole or it is not: half a list would look like things that vanished."""
    rig.serve_pages({"": page(1, next="?p=2")})
    report = rig.push(rig.job(ITEMS, keys=LINK))
    assert "400" in error(report)
    assert (rig.value("up"), rig.lines()) == (0, [])


def test_the_body_limit_is_for_all_pages_together(rig: Rig) -> None:
    rig.api.serve("/doc", forever(lambda n: page(n, next=f"/doc?p={n + 1}", filler="x" * 10_000)))
    report = rig.push(rig.job(ITEMS, keys=f"{LINK}, body_size_limit: 35KB"))
    assert "body_size_limit" in error(report)
    assert len(rig.api.requests) == 4


def warnings(report: dict[str, Any]) -> list[str]:
    return [one for one in report["warnings"] if one.startswith("j: ")]


def test_a_path_that_has_worked_before_is_no_warning(rig: Rig) -> None:
    """An API that leaves the link out on a day with one page."""
    rig.serve_pages({"": page(1, next="?p=2"), "p=2": page(2)})
    app = rig.app(rig.job(ITEMS, keys=LINK))
    assert warnings(app.handle({}, None)) == []
    rig.serve_pages({"": page(1)})
    rig.clock.ms += 60_000
    assert warnings(app.handle({}, None)) == []


@pytest.mark.parametrize("cursor", ['a"b', "a\\b", 'x", "limit": "0', "tab\tand line\n", "ünï"], ids=repr)
def test_a_cursor_in_a_json_body_is_escaped_as_json(rig: Rig, cursor: str) -> None:
    """The body stays the document that the config shows, whatever text the API names its page by."""
    bodies = []

    def respond(request: Request) -> Answer:
        bodies.append(json.loads(request.body))
        return Answer.json(page(len(bodies), nextCursor=cursor if len(bodies) == 1 else None))

    rig.api.serve("/doc", respond)
    report = rig.push(rig.job(ITEMS, keys=f"""method: POST, {CURSOR}, body: '{{"after": "{{cursor}}", "n": 1}}'"""))
    assert error(report) == ""
    assert bodies == [{"after": None, "n": 1}, {"after": cursor, "n": 1}]


FIRST_BODIES = [
    ("null where a member is the cursor", JSON, '{"after" : "{cursor}"}', '{"after" : null}'),
    ("with no Content-Type", "", '{"v": {"after": "{cursor}"}, "n": 2}', '{"v": {"after": null}, "n": 2}'),
    ("in a list", JSON, '{"search_after": ["{cursor}"]}', '{"search_after": [""]}'),
    ("beside other text", JSON, '{"a": "x{cursor}"}', '{"a": "x"}'),
    ("without quotes", JSON, '{"a": [1{cursor}]}', '{"a": [1]}'),
    ("in GraphQL", JSON, r'{"query": "{ a(after: \"{cursor}\") }"}', r'{"query": "{ a(after: \"\") }"}'),
    ("in a text that holds JSON", JSON, r'{"q": "{\"a\":\"{cursor}\"}"}', r'{"q": "{\"a\":\"\"}"}'),
    ("that is no JSON", "headers: {Content-Type: text/plain}", '"after": "{cursor}"', '"after": ""'),
]


@table("keys, body, expected", FIRST_BODIES)
def test_on_the_first_page_a_body_has_no_cursor(rig: Rig, keys: str, body: str, expected: str) -> None:
    rig.api.serve("/doc", Answer.json(page(1, nextCursor=None)))
    job = rig.job(ITEMS, keys=f"{CURSOR}, body: {json.dumps(body)}{keys and ', '}{keys}")
    assert error(rig.push(job)) == ""
    assert [request.body.decode() for request in rig.api.requests] == [expected]


# headers


def linked(lines: dict[int, list[str]]) -> Callable[[Request], Answer]:
    """Pages by their query parameter p, each with these lines of the header Link."""

    def respond(request: Request) -> Answer:
        number = int(request.params.get("p", 1))
        body = json.dumps(page(number)).encode()
        head = [f"Link: {line}" for line in lines.get(number, ())]
        raw = "\r\n".join(["HTTP/1.1 200 OK", *head, f"Content-Length: {len(body)}", "", ""]).encode() + body
        return Answer(fault=Fault(raw=raw, ending="close"))

    return respond


def test_an_error_behind_the_last_page_is_a_page_without_records(rig: Rig) -> None:
    """As Django REST framework answers, when the status is a valid one."""
    pages = iter([Answer.json(page(1)), Answer.json(page(2)), Answer.json({"detail": "Invalid page."}, 404)])
    rig.api.serve("/doc", lambda _: next(pages))
    assert error(rig.push(rig.job(ITEMS, keys=f"{NUMBER}, valid_status_codes: [200, 404]"))) == ""
    assert [point[1] for points in rig.receiver.series("item_id").values() for point in points] == [1, 2]
    assert len(rig.api.requests) == 3


def test_an_answer_without_content_is_a_page_without_records(rig: Rig) -> None:
    """204, as some APIs answer behind the last page (RFC 9110, 15.3.5)."""
    pages = iter([Answer.json(page(1)), Answer.json(page(2)), Answer(204)])
    rig.api.serve("/doc", lambda _: next(pages))
    label = '{name: item_id, records: "items[]", value: id, labels: {name: "divide(id, `4`)"}}'  # read twice
    report = rig.push(rig.job(label, keys=NUMBER))
    assert (error(report), report["warnings"]) == ("", [])
    assert [point[1] for points in rig.receiver.series("item_id").values() for point in points] == [1, 2]


@pytest.mark.parametrize("style", [LINK, HEADER_LINK])
def test_a_relative_link_is_one_of_the_address_that_a_redirect_led_to(rig: Rig, style: str) -> None:
    """RFC 3986, 5.1.3."""
    first = Answer.json(page(1, next="?p=2"), headers={"Link": "<?p=2>; rel=next"})
    rig.api.serve("/v2/doc", lambda request: Answer.json(page(2)) if request.query else first)
    rig.api.serve("/doc", Answer(302, {"Location": "/v2/doc"}))
    assert error(rig.push(rig.job(ITEMS, keys=style))) == ""
    assert [point[1] for points in rig.receiver.series("item_id").values() for point in points] == [1, 2]


def test_a_redirect_to_another_origin_leaves_relative_links_at_the_own_one(rig: Rig) -> None:
    """As from http to https: the next link goes the same way."""
    with Api() as other:
        other.serve("/doc", lambda request: Answer.json(page(2) if request.query else page(1, next="?p=2")))
        rig.api.serve(
            "/doc", lambda request: Answer(302, {"Location": f"{other.url}/doc{'?p=2' if request.query else ''}"})
        )
        assert error(rig.push(rig.job(ITEMS, keys=LINK))) == ""
        assert [request.query for request in rig.api.requests] == ["", "p=2"]


def test_an_expression_completes_a_link(rig: Rig) -> None:
    """As one that a server behind a proxy writes, or one relative to another address."""
    base = rig.api.url
    links = iter([f"ftp://{base.partition('://')[2]}/doc?p=2", None])
    rig.api.serve("/doc", lambda _: Answer.json(page(1, next=next(links), n=len(rig.api.requests))))
    path = "next && join('', ['http://', split(next, '://')[1]])"
    assert error(rig.push(rig.job(ITEMS, keys=f'pagination: {{style: next_link, path: "{path}"}}'))) == ""
    assert [request.query for request in rig.api.requests] == ["", "p=2"]


LINKS = [  # RFC 8288, 3 and its appendix B, and GitHub's and Okta's answers
    ("alone", ['</doc?p=2>; rel="next"'], 2),
    ("relative to the page", ['<?p=2>; rel="next"'], 2),
    ("without quotes", ["<?p=2>; rel=next"], 2),
    ("in single quotes, as some write it", ["<?p=2>; rel='next'"], 2),
    ("in other case", ["<?p=2>; REL=NEXT"], 2),
    ("among several", ['<?p=1>; rel="prev", <?p=2>; rel="next", <?p=9>; rel="last"'], 2),
    ("in the second line", ['<?p=1>; rel="self"', '<?p=2>; rel="next"'], 2),
    ("one of several relations", ['<?p=2>; rel="last  next"'], 2),
    ("behind commas and semicolons in quotes", ['<?p=3>; title="a, b; rel=next <x>", <?p=2>; rel="next"'], 2),
    ("behind quotes in quotes", ['<?p=3>; title="\\"; rel=next, <?p=4>; rel=\\"next", <?p=2>; rel="next"'], 2),
    ("in an address with a comma", ['<?q=a,b;c&p=2>; rel="next"'], 2),
    ("the first of two", ['<?p=2>; rel="next", <?p=3>; rel="next"'], 2),
    ("behind empty elements", [', ,<?p=3>;rel=prev,, <?p=2> ;  rel = "next" ,'], 2),
    ("with parameters without values", ["<?p=2>; crossorigin; rel=next;"], 2),
    ("of this very page", ['<?p=2>; rel=next; anchor="/doc"'], 2),
    ("that has results, as Sentry says", ['<?p=2>; rel="next"; results="true"; cursor="0:100:0"'], 2),
    ("that has no results", ['<?p=2>; rel="next"; results="false"; cursor="0:100:0"'], 1),
    ("no header", [], 1),
    ("an empty header", [""], 1),
    ("without rel", ["<?p=2>"], 1),
    ("with another relation", ['<?p=2>; rel="next-page"'], 1),
    ("with rel twice", ['<?p=2>; rel="prev"; rel="next"'], 1),
    ("with rev", ['<?p=2>; rev="next"'], 1),
    ("of another resource", ['<?p=2>; rel="next"; anchor="/other"'], 1),
    ("malformed behind the next one", ['<?p=2>; rel="next", <?p=3'], 2),
]


@table("lines, pages", LINKS)
def test_the_link_whose_relation_is_next_leads_to_the_next_page(rig: Rig, lines: list[str], pages: int) -> None:
    rig.api.serve("/doc", linked({1: lines}))
    report = rig.push(rig.job(ITEMS, keys=HEADER_LINK))
    assert error(report) == ""
    assert [line.split()[1] for line in rig.lines()] == [str(number) for number in range(1, pages + 1)]
    assert report["warnings"] == []


BAD_LINKS = [
    ("to another origin", ['<http://127.0.0.2/doc?token=canary>; rel="next"'], 1, "not followed"),
    ("with what to do", ['<http://127.0.0.2/doc?token=canary>; rel="next"'], 1, "write that address as url"),
    ("to another scheme", ['<https://127.0.0.1/doc>; rel="next"'], 1, "not followed"),
    ("to itself", ['</doc>; rel="next"'], 1, "page that was read before"),
    ("empty", ['<>; rel="next"'], 1, "page that was read before"),
    ("to no address", ['<http://[/doc>; rel="next"'], 1, "no address"),
    ("too long", [f'</{"x" * 9000}>; rel="next"'], 1, "more than 8,000 characters"),
    ("no brackets", ['/doc?p=2; rel="next"'], 1, "the Link header is malformed at '/doc?p=2"),
    ("an open bracket", ['</doc?p=2; rel="next"'], 1, "malformed"),
    ("an open quote", ['<?p=2>; rel="next'], 1, "malformed"),
    ("words behind a value", ["<?p=2>; rel=prev next"], 1, "malformed at 'next'"),
    ("a line of 100 kB", ["<?p=3>; rel=prev, " * 5600], 1, "header line"),
    ("100 kB in two lines that end nowhere", ["<" * 50_000, ";" * 50_000], 1, "malformed"),
    ("quotes that never close", ['<?p=2>; a="' + "\\a" * 25_000], 1, "malformed"),
    ("blanks without end", ["<?p=2>;" + " ; " * 15_000 + "<"], 1, "malformed"),
]


@table("lines, requests, detail", BAD_LINKS)
def test_a_bad_link_header_fails_the_scrape_with_a_reason(
    rig: Rig, lines: list[str], requests: int, detail: str
) -> None:
    """Other jobs go on."""
    rig.api.serve("/doc", linked({1: lines}))
    rig.serve('{"v": 7}', "/other")
    other = rig.job("{name: other, value: v}", name="other", path="/other")
    report = rig.push(rig.job(ITEMS, keys=HEADER_LINK), other)
    assert detail in error(report)
    assert "canary" not in json.dumps(report)
    assert len(error(report)) < 400
    assert len(rig.api.requests) == requests + 1
    assert rig.lines() == [f"other 7 @{rig.clock.ms}"]


def test_links_in_headers_that_go_in_a_ring_fail(rig: Rig) -> None:
    rig.api.serve("/doc", linked({1: ["<?p=2>; rel=next"], 2: ["<?p=3>; rel=next"], 3: ["<?p=2>; rel=next"]}))
    report = rig.push(rig.job(ITEMS, keys=HEADER_LINK))
    assert "page that was read before" in error(report)
    assert error(report).endswith("does the header Link name the next page? With max_pages: 3 it is the last one")
    assert len(rig.api.requests) == 3


def test_a_link_in_a_header_that_leads_to_the_same_page_fails(rig: Rig) -> None:
    answer = Answer.json(page(1), headers={"Link": "<?p=2>; rel=next"})
    rig.api.serve("/doc", answer)
    assert "page 2 is the same as the one before" in error(rig.push(rig.job(ITEMS, keys=HEADER_LINK)))


def test_a_cursor_in_a_header_leads_to_the_next_page_and_ends_where_it_is_missing(rig: Rig) -> None:
    headers = {"": {"x-next": "a b"}, "cursor=a+b": {"X-NEXT": "c"}, "cursor=c": dict[str, str]()}
    numbers = {"": 1, "cursor=a+b": 2, "cursor=c": 3}
    rig.api.serve("/doc", lambda request: Answer.json(page(numbers[request.query]), headers=headers[request.query]))
    report = rig.push(rig.job(ITEMS, keys=HEADER_CURSOR))
    assert error(report) == ""
    assert [line.split()[1] for line in rig.lines()] == ["1", "2", "3"]


def test_a_cursor_in_a_header_that_repeats_fails(rig: Rig) -> None:
    count = iter(range(1, 10))
    rig.api.serve("/doc", lambda request: Answer.json(page(next(count)), headers={"X-Next": "same"}))
    report = rig.push(rig.job(ITEMS, keys=HEADER_CURSOR))
    assert "page that was read before" in error(report)
    assert error(report).endswith("does pagination.path name the next page? With max_pages: 2 it is the last one")
    assert len(rig.api.requests) == 2


def test_a_link_in_another_header_is_followed_on_the_same_origin_only(rig: Rig) -> None:
    keys = "pagination: {style: next_link, path: '@header.\"X-Next\"'}"
    links = {"": "/doc?p=2", "p=2": "http://127.0.0.2/doc"}
    rig.api.serve(
        "/doc",
        lambda request: Answer.json(page(len(request.query)), headers={"X-Next": links[request.query]}),
    )
    assert "not followed" in error(rig.push(rig.job(ITEMS, keys=keys)))
    assert len(rig.api.requests) == 2


def test_a_total_may_stand_in_a_header(rig: Rig) -> None:
    rig.api.serve(
        "/doc",
        lambda request: Answer.json(page(int(request.params["offset"])), headers={"X-Total-Count": "3"}),
    )
    keys = "pagination: {style: offset, total: '@header.\"X-Total-Count\"'}"
    assert error(rig.push(rig.job(ITEMS, keys=keys))) == ""
    assert [request.query for request in rig.api.requests] == ["offset=0", "offset=1", "offset=2"]


ENDS = [
    ("links", LINK, {"": page(1, next="?p=2"), "p=2": page(2)}, 2, "no next link"),
    ("header", HEADER_LINK, {"": page(1)}, 1, "no Link header with rel=next"),
    ("cursors", CURSOR, {"": page(1, nextCursor="a"), "cursor=a": page(2)}, 2, "no cursor"),
    ("numbers", NUMBER, {"page=1": page(1), "page=2": page()}, 2, "a page without records"),
    ("offsets", OFFSET, {"offset=0": page(1), "offset=1": page()}, 2, "a page without records"),
    (
        "steps",
        "pagination: {style: offset, step: 2}",
        {"offset=0": page(1, 2), "offset=2": page(3)},
        2,
        "a page with fewer records than step, 2",
    ),
    ("totals", "pagination: {style: offset, total: t}", {"offset=0": page(1, t=1)}, 1, "total 1 reached"),
    ("the cap", "pagination: {style: next_link, path: next, max_pages: 1}", {"": page(1, next="?p=2")}, 1, "max_pages"),
]


@table("keys, documents, pages, end", ENDS)
def test_the_plan_shows_how_many_pages_were_read_and_where_the_walk_ended(
    rig: Rig, keys: str, documents: dict[str, Any], pages: int, end: str
) -> None:
    rig.serve_pages(documents)
    (job,) = rig.app(rig.job(ITEMS, keys=keys)).handle({"action": "plan"}, None)["jobs"]
    assert (job["pages"], job["pages_end"]) == (pages, {end: 1})


def test_the_plan_of_a_job_without_pagination_says_nothing_of_pages(rig: Rig) -> None:
    rig.serve_pages({"": page(1)})
    (job,) = rig.app(rig.job(ITEMS)).handle({"action": "plan"}, None)["jobs"]
    assert not {"pages", "pages_end"} & set(job)
