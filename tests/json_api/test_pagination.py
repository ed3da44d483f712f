"""Pages: a link, a cursor or a number names the next one; every way ends, and says so when it ended too early."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from sandbox.api import Api
from sandbox.server import Answer, Request
from tests.rig.json_source import Rig, error
from tests.rig.tables import table

ITEMS = '{name: item_id, records: "items[]", value: id, labels: {name: name}}'
LINK = "pagination: {style: next_link, path: next}"
CURSOR = "pagination: {style: cursor, path: nextCursor}"
NUMBER = "pagination: {style: page}"


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
    ("link that is a number", LINK, lambda n: page(1, next=2), 1, "a next link is a text"),
    ("cursor that is an object", CURSOR, lambda n: page(1, nextCursor={"a": 1}), 1, "a cursor is a text or a number"),
    ("link that is no address", LINK, lambda n: page(1, next="http://127.0.0.1:port/"), 1, "no address"),
    ("link that is endless", LINK, lambda n: page(1, next=f"/{'x' * 9000}"), 1, "more than 8,000 characters"),
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
    assert bodies == [{"after": "", "n": 1}, {"after": cursor, "n": 1}]
