"""Pages: a link, a cursor or a number names the next one; every way ends, and says so when it ended too early."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from sandbox.api import Api
from sandbox.server import Answer, Request
from tests.rig.json_source import NOW_MS, Rig, error, skipped
from tests.rig.tables import table

ITEMS = '{name: item_id, records: "items[]", value: id, labels: {name: name}}'
LINK = "pagination: {style: next_link, path: next}"
CURSOR = "pagination: {style: cursor, path: nextCursor}"
NUMBER = "pagination: {style: page}"


def paged(rig: Rig, pages: dict[str, Any]) -> None:
    """Serves documents by their query string."""

    def respond(request: Request) -> Answer:
        found = pages.get(request.query)
        if isinstance(found, str):
            return Answer(200, {}, found.encode())
        return Answer.json(found) if found is not None else Answer.json({"asked": request.query}, 400)

    rig.api.serve("/doc", respond)


def page(*values: int, **more: Any) -> dict[str, Any]:
    return {"items": [{"id": value, "name": str(value)} for value in values], **more}


WALKS = [
    ("relative link", LINK, {"": page(1, next="?p=2"), "p=2": page(2, next="/doc?p=3"), "p=3": page(3)}),
    ("last link is empty", LINK, {"": page(1, next="?p=2"), "p=2": page(2, 3, next="")}),
    (
        "link deep in the document",
        "pagination: {style: next_link, path: links.next.href}",
        {"": page(1, links={"next": {"href": "?p=2"}}), "p=2": page(2, 3, links={"next": None})},
    ),
    ("number as cursor", CURSOR, {"": page(1, nextCursor=17), "cursor=17": page(2, 3)}),
    (
        "large number as cursor",
        CURSOR,
        {"": page(1, nextCursor=12345678901234567890), "cursor=12345678901234567890": page(2, 3)},
    ),
    (
        "fraction as cursor",
        CURSOR,
        {"": '{"items":[{"id":1,"name":"1"}],"nextCursor":1716479897.10}', "cursor=1716479897.10": page(2, 3)},
    ),
    ("cursor that needs quoting", CURSOR, {"": page(1, nextCursor="a&b= c"), "cursor=a%26b%3D+c": page(2, 3)}),
    (
        "cursor in another parameter",
        "pagination: {style: cursor, path: meta.after, parameter: after}, query: {size: '2'}",
        {"size=2": page(1, meta={"after": "x"}), "size=2&after=x": page(2, 3, meta={"after": None})},
    ),
    (
        "page number from zero",
        "pagination: {style: page, parameter: p, first_page: 0}",
        {"p=0": page(1), "p=1": page(2, 3), "p=2": page()},
    ),
    (
        "page number with the records' place",
        "pagination: {style: page, path: items}",
        {"page=1": page(1, total=3), "page=2": page(2, 3, total=3), "page=3": page(total=3)},
    ),
    ("page number ended by a page without the list", NUMBER, {"page=1": page(1, 2, 3), "page=2": {"items": None}}),
]


@table("keys, pages", WALKS)
def test_walk(rig: Rig, keys: str, pages: dict[str, Any]) -> None:
    """Also beside a metric that reads the whole document, which is there on every page."""
    paged(rig, pages)
    report = rig.push(rig.job(ITEMS, "{name: whole, value: 'length(keys(@))', duplicates: last}", keys=keys))
    assert (error(report), report["jobs"][0]["pages"]) == ("", len(pages))
    assert skipped(report) == {}
    assert rig.lines("item_id") == [f'item_id{{name="{number}"}} {number} @{NOW_MS}' for number in (1, 2, 3)]
    assert [request.query for request in rig.api.requests] == list(pages)


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
    ("link that is a number", LINK, lambda n: page(1, next=2), 1, "a next link is a text"),
    ("cursor that is an object", CURSOR, lambda n: page(1, nextCursor={"a": 1}), 1, "a cursor is a text or a number"),
    ("link that is no address", LINK, lambda n: page(1, next="http://127.0.0.1:port/"), 1, "no address"),
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


@pytest.mark.parametrize(("style", "fraction"), [(LINK, False), (CURSOR, False), (NUMBER, False), (LINK, True)])
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


def test_duplicates_over_pages_are_resolved_together(rig: Rig) -> None:
    paged(rig, {"": page(1, next="?p=2"), "p=2": page(1, next="?p=3"), "p=3": page(1)})
    metric = '{name: item_id, records: "items[]", value: id, labels: {name: name}, duplicates: sum}'
    rig.push(rig.job(metric, keys=LINK))
    assert rig.lines() == [f'item_id{{name="1"}} 3 @{NOW_MS}']


def test_one_bad_page_fails_the_scrape(rig: Rig) -> None:
    """A scrape is whole or it is not: half a list would look like things that vanished."""
    paged(rig, {"": page(1, next="?p=2")})
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


NEVER = [
    ("no such key", LINK, page(1, links={"next": "?p=2"}), ["pagination.path 'next'", "links"]),
    ("a key nearby", LINK, page(1, next_url="?p=2"), ['did you mean "next_url"?']),
    (
        "a step too short",
        "pagination: {style: cursor, path: meta.nxt}",
        page(1, meta={"next": "a"}),
        ["meta is an object", '"meta.next"'],
    ),
    ("a text on the way", "pagination: {style: cursor, path: meta.next}", page(1, meta="a"), ["meta is a text"]),
    ("a filter", "pagination: {style: next_link, path: \"links[?rel=='n'].href | [0]\"}", page(1, links=[]), ["links"]),
]


@table("keys, document, detail", NEVER)
def test_a_path_that_never_found_anything_is_a_warning(
    rig: Rig, keys: str, document: dict[str, Any], detail: list[str]
) -> None:
    """It names the key to set and what stood there; the page counts, and nothing fails."""
    paged(rig, {"": document})
    report = rig.push(rig.job(ITEMS, keys=keys))
    assert (error(report), rig.value("up"), len(rig.lines())) == ("", 1, 1)
    (warning,) = warnings(report)
    assert "pagination.path" in warning
    assert all(word in warning for word in detail)


@pytest.mark.parametrize(
    ("keys", "document"),
    [
        (LINK, page(1, next=None)),
        (LINK, page(1, next="")),
        ("pagination: {style: next_link, path: links.next}", page(1, links={"next": None})),
        (LINK, page()),
    ],
    ids=["null", "empty text", "null below", "no records"],
)
def test_an_answer_that_says_it_is_the_last_page_is_no_warning(rig: Rig, keys: str, document: dict[str, Any]) -> None:
    paged(rig, {"": document})
    assert warnings(rig.push(rig.job(ITEMS, keys=keys))) == []


def test_a_path_that_has_worked_before_is_no_warning(rig: Rig) -> None:
    """An API that leaves the link out on a day with one page."""
    paged(rig, {"": page(1, next="?p=2"), "p=2": page(2)})
    app = rig.app(rig.job(ITEMS, keys=LINK))
    assert warnings(app.handle({}, None)) == []
    paged(rig, {"": page(1)})
    rig.clock.ms += 60_000
    assert warnings(app.handle({}, None)) == []


OVERLAPPING = [
    (
        "an offset counted by one",
        "pagination: {style: page, parameter: startAt, first_page: 0, path: items}",
        {"startAt=0": page(1, 2), "startAt=1": page(2, 3), "startAt=2": page(3), "startAt=3": page()},
        ["pages 1 and 2 have 1 record in common", "2 times", "'startAt'", "pagination.style"],
    ),
    (
        "a cursor",
        CURSOR,
        {"": page(1, 2, nextCursor="a"), "cursor=a": page(2, 3, nextCursor=None)},
        ["pages 1 and 2", "pagination.path"],
    ),
    ("links", LINK, {"": page(1, 2, next="?p=2"), "p=2": page(1, 2, 3)}, ["2 records in common", "pagination.path"]),
]


@table("keys, pages, detail", OVERLAPPING)
def test_pages_that_overlap_are_a_warning(rig: Rig, keys: str, pages: dict[str, Any], detail: list[str]) -> None:
    """Never a failure: every record is counted as before."""
    paged(rig, pages)
    report = rig.push(rig.job(ITEMS, keys=keys))
    assert (error(report), rig.value("up")) == ("", 1)
    assert len(rig.lines()) == 3
    (warning,) = warnings(report)
    assert all(word in warning for word in detail)


def test_records_that_are_equal_anyway_do_not_overlap(rig: Rig) -> None:
    """Plain numbers, and records without a name, may well be the same on two pages."""
    paged(rig, {"": {"items": [{"v": 1}, {"v": 1}], "next": "?p=2"}, "p=2": {"items": [{"v": 1}]}})
    metric = '{name: item_id, records: "items[]", value: v, duplicates: sum}'
    assert warnings(rig.push(rig.job(metric, keys=LINK))) == []


def test_half_a_character_does_not_break_the_comparison(rig: Rig) -> None:
    half = '{"items":[{"id":1,"name":"\\ud800"}],"next":%s}'
    paged(rig, {"": half % '"?p=2"', "p=2": half % "null"})
    report = rig.push(rig.job('{name: item_id, records: "items[]", value: id}', keys=LINK))
    assert error(report) == ""
    assert "1 record in common" in warnings(report)[0]


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
    assert bodies == [{"after": "", "n": 1}, {"after": cursor, "n": 1}]
