"""An API that is asked for ranges of its past: which ranges, each once, and what becomes of every point."""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any

import pytest

from sandbox.server import Answer, Fault, Request
from tests.rig import backfill as rigs
from tests.rig.backfill import HOUR, MINUTE, NOW_MS, Points, Rig, counts

pytestmark = pytest.mark.slow  # whole hours of an API are backfilled

END_MS = NOW_MS - 2 * HOUR
START_MS = END_MS - HOUR
RANGE = {"from": "{start}", "to": "{end}", "step": "{step}"}


Read = Callable[[str], int]


def from_rfc3339(text: str) -> int:
    return round(datetime.fromisoformat(text).timestamp() * 1000)


FORMATS: dict[str, Read] = {
    "unix": lambda text: int(text) * 1000,
    "unix_ms": int,
    "unix_us": lambda text: int(text) // 1000,
    "unix_ns": lambda text: int(text) // 1_000_000,
    "rfc3339": from_rfc3339,
    "%Y%m%d %H:%M:%S": lambda text: round(datetime.strptime(text + "+0000", "%Y%m%d %H:%M:%S%z").timestamp() * 1000),
}


class Series:
    """An API with one point a minute, for as long as there are records; it remembers which ranges it was asked for."""

    def __init__(self, rig: Rig, *, read: Read = FORMATS["unix"], step_ms: int = MINUTE) -> None:
        self._read, self._step_ms = read, step_ms
        self.asked: list[tuple[int, int]] = []
        self.queries: list[dict[str, str]] = []
        self.empty: tuple[int, int] | None = None  # nothing is known of this range
        rig.api.serve("/doc", self.answer)

    def answer(self, request: Request) -> Answer | Fault:
        self.queries.append(self.params(request))
        first, last = self._read(self.queries[-1]["from"]), self._read(self.queries[-1]["to"])
        self.asked.append((first, last))
        return self.records(first, last)

    def params(self, request: Request) -> dict[str, str]:
        return request.params

    def points(self, first: int, last: int) -> list[tuple[int, float]]:
        """Both ends are included, as the API's own way is."""
        first_ms = -(-first // self._step_ms) * self._step_ms
        found = [(ms, ms / 1000 % 977) for ms in range(first_ms, last + 1, self._step_ms)]
        return [one for one in found if not self.empty or not self.empty[0] <= one[0] <= self.empty[1]]

    def records(self, first: int, last: int) -> Answer:
        return Answer.json(rows_of(self.points(first, last)))

    def held(self, first: int = START_MS, last: int = END_MS) -> Points:
        points = self.points(first, last)
        return {'requests{host="a"}': points} if points else {}


def rows_of(points: list[tuple[int, float]]) -> list[dict[str, Any]]:
    return [{"at": ms, "host": "a", "value": value} for ms, value in points]


def job(rig: Rig, *, records: str = "@", **keys: Any) -> dict[str, Any]:
    backfill = {"query": RANGE, "format": "unix", "window": "10m", **keys.pop("backfill", {})}
    metric = rig.metric(records=records, timestamp={"path": "at", "format": "unix_ms"})
    return rig.job(metric, backfill={key: value for key, value in backfill.items() if value is not None}, **keys)


def event(**keys: Any) -> dict[str, Any]:
    return {"job": "j", "start": START_MS // 1000, "end": END_MS // 1000, **keys}


def assert_covers(asked: list[tuple[int, int]], start: int, end: int, window: int) -> None:
    """Oldest first, none longer than the window, each beginning where the one before ended: the next millisecond, or
    the same moment where the format knows no milliseconds."""
    assert asked[0][0] == start
    assert asked[-1][1] == end
    for (first, last), (following, _) in itertools.pairwise(asked):
        assert first < last <= following <= last + 1
    assert all(last - first <= window for first, last in asked)


# --- Windows -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("form", FORMATS)
def test_windows_are_disjoint_and_cover_the_range(rig: Rig, form: str) -> None:
    """They are asked for oldest first, in the API's own way to write a time, and bring each point once."""
    api = Series(rig, read=FORMATS[form])
    answer = rig.backfill(event(), job(rig, backfill={"format": form}))
    assert_covers(api.asked, START_MS, END_MS, 10 * MINUTE)
    assert {query["step"] for query in api.queries} == {"60"}
    assert rig.held == api.held()
    assert rig.receiver.accepted == 61, "each once"
    assert (answer["done"], answer["windows"], answer["stopped"]) == (True, len(api.asked), "")
    assert answer["parts"] == answer["windows"]
    assert answer["skipped"] == {}


COARSE: dict[str, tuple[Read, int]] = {
    "unix": (FORMATS["unix"], 500),
    "%Y%m%d %H:%M:%S": (FORMATS["%Y%m%d %H:%M:%S"], 250),
    "%Y-%m-%dT%H:%M": (lambda text: from_rfc3339(text + ":00Z"), 15_000),
}


@pytest.mark.parametrize("form", COARSE)
def test_no_point_falls_between_two_windows(rig: Rig, form: str) -> None:
    """An API that is asked in seconds or minutes may have points of a finer time, also where a window ends."""
    read, step_ms = COARSE[form]
    api = Series(rig, read=read, step_ms=step_ms)
    answer = rig.backfill(event(), job(rig, backfill={"format": form}))
    assert answer["done"], answer["stopped"]
    assert rig.held == api.held()


@pytest.mark.parametrize("minutes", [1, 7, 59, 60, 61, 600])
def test_the_window_of_the_event_counts(rig: Rig, minutes: int) -> None:
    """Whether it divides the range or not, each point arrives once."""
    api = Series(rig)
    answer = rig.backfill(event(window=f"{minutes}m", step="30s"), job(rig))
    assert_covers(api.asked, START_MS, END_MS, minutes * MINUTE)
    assert {query["step"] for query in api.queries} == {"30"}
    assert rig.held == api.held()
    assert rig.receiver.accepted == 61
    assert abs(answer["windows"] - max(1, 60 / minutes)) <= 1


class Csv(Series):
    """The same API, whose answers are CSV with a row that is too long."""

    def records(self, first: int, last: int) -> Answer:
        rows = [f"{ms};a;{value}" for ms, value in self.points(first, last)]
        body = "\n".join(["at;host;value", *rows, "1;2;3;4"])
        return Answer(200, {"Content-Type": "text/plain"}, body.encode())


def test_answers_for_ranges_have_the_format_of_the_job(rig: Rig) -> None:
    api = Csv(rig)
    answer = rig.backfill(event(), job(rig, format={"csv": {"delimiter": ";"}}))
    assert (answer["done"], rig.held, rig.receiver.accepted) == (True, api.held(), 61)
    assert counts(answer["skipped"]) == {"row_length": len(api.asked)}


def test_one_moment_is_a_range(rig: Rig) -> None:
    """Start and end may be the same: both are included."""
    api = Series(rig)
    rig.backfill(event(start=END_MS // 1000), job(rig))
    assert api.asked == [(END_MS, END_MS)]
    assert rig.held == api.held(END_MS)


def test_a_body_with_other_braces_is_filled_in(rig: Rig) -> None:
    """A template of JSON is sent with POST, to the address for ranges, and nothing but its placeholders is changed."""
    bodies: list[Any] = []

    class Posted(Series):
        def params(self, request: Request) -> dict[str, str]:
            bodies.append(json.loads(request.body))
            return {"from": str(bodies[-1]["range"]["from"]), "to": bodies[-1]["range"]["to"], "step": ""}

    api = Posted(rig, read=FORMATS["unix_ms"])
    rig.api.serve("/history", api.answer)
    rig.api.serve("/doc", Fault.status(500))
    body = '{"range": {"from": {start}, "to": "{end}"}, "step": "{step}s", "query": "sum({x=\\"y\\"})", "more": {}}'
    url = f"{rig.api.url}/history"
    rig.backfill(event(), job(rig, backfill={"query": None, "body": body, "url": url, "format": "unix_ms"}))
    assert rig.held == api.held()
    assert {request.method for request in rig.api.requests} == {"POST"}
    assert {(one["step"], one["query"]) for one in bodies} == {("60s", 'sum({x="y"})')}


# --- Pages -------------------------------------------------------------------------------------------------------

PAGE = 4


def paged(api: Series, cursor: str, first: int, last: int) -> Answer:
    points, at = api.points(first, last), int(cursor or 0)
    return Answer.json(
        {"items": rows_of(points[at : at + PAGE]), "next": str(at + PAGE) if at + PAGE < len(points) else None}
    )


class Pages(Series):
    def params(self, request: Request) -> dict[str, str]:
        return {name: str(value or "") for name, value in json.loads(request.body or "{}").items()} or request.params

    def records(self, first: int, last: int) -> Answer:
        return paged(self, self.queries[-1].get("cursor", ""), first, last)


CURSOR = {"style": "cursor", "path": "next"}
IN_BODY = {"query": None, "body": '{"from": {start}, "to": {end}, "cursor": "{cursor}"}'}


@pytest.mark.parametrize("shape", [{}, IN_BODY], ids=["query", "body"])
def test_a_cursor_is_followed(rig: Rig, shape: dict[str, Any]) -> None:
    """It joins the query of the window, or a body's `{cursor}` is null at first and then what the answer before named,
    until there is none, in every window."""
    api = Pages(rig)
    answer = rig.backfill(event(), job(rig, pagination=CURSOR, records="items", backfill=shape))
    assert rig.held == api.held()
    assert rig.receiver.accepted == 61
    assert answer["done"]
    assert sum(not query.get("cursor") for query in api.queries) == answer["windows"]


@pytest.mark.parametrize("limit", ["pages", "bytes"])
def test_an_answer_over_a_limit_halves_the_window(rig: Rig, limit: str) -> None:
    """Smaller windows have fewer pages and bytes: the halves are asked for until they fit, each point once."""
    api = Pages(rig) if limit == "pages" else Series(rig)
    keys = {"pagination": CURSOR | {"max_pages": 2}, "records": "items"}
    some = keys if limit == "pages" else {"body_size_limit": "700B"}
    answer = rig.backfill(event(), job(rig, backfill={"window": "1h"}, **some))
    assert answer["done"], answer["stopped"]
    assert rig.held == api.held()
    assert len(api.asked) < 200


def test_a_window_that_fits_at_no_size_stops(rig: Rig) -> None:
    """When one moment alone is too large, the backfill ends, says so, and has asked a bounded number of times."""
    api = Series(rig)
    answer = rig.backfill(event(), job(rig, body_size_limit="10B"))
    assert not answer["done"]
    rigs.assert_says(answer["stopped"], "j", "body_size_limit")
    assert "resume" in answer
    assert rig.held == {}
    assert len(api.asked) < 100


def test_a_page_that_is_repeated_for_ever_stops(rig: Rig) -> None:
    """An API whose cursor never ends is asked a bounded number of times; the message says what it did."""
    page = {"items": rows_of([(START_MS, 1)]), "next": "again"}
    rig.api.serve("/doc", Answer.json(page))
    one = job(rig, pagination=CURSOR, records="items")
    answer = rig.backfill(event(), one)
    assert not answer["done"]
    rigs.assert_says(answer["stopped"], "j", "2025-10-09T06:00", "page", "before")
    assert len(rig.api.requests) < 200
    assert len(rig.receiver.samples) <= 1


# --- Nothing, and too much ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("empty", [(15, 45), (0, 60)], ids=["half an hour", "all of it"])
def test_an_empty_window_is_no_error(rig: Rig, empty: tuple[int, int]) -> None:
    """It is counted and noted, and those around it arrive."""
    api = Series(rig)
    api.empty = (START_MS + empty[0] * MINUTE, START_MS + empty[1] * MINUTE)
    answer = rig.backfill(event(), job(rig))
    asked_in_vain = [one for one in api.asked if not api.points(*one)]
    assert asked_in_vain
    assert answer["empty"] == len(asked_in_vain)
    assert (answer["done"], answer["stopped"]) == (True, "")
    assert rig.held == api.held()
    assert "2025-10-09T0" in rigs.everything(answer) + json.dumps(answer["preflight"])


def test_points_beside_the_asked_range_are_counted(rig: Rig) -> None:
    """An API that says more than it was asked for, in every answer the same, brings each point once."""
    points = [(ms, ms / 1000) for ms in range(START_MS - HOUR, START_MS + 3 * HOUR, MINUTE)]
    rig.serve(rows_of(points))
    answer = rig.backfill(event(), job(rig))
    wanted = [one for one in points if START_MS <= one[0] <= END_MS]
    assert rig.held == {'requests{host="a"}': wanted}
    assert rig.receiver.accepted == len(wanted)
    beside, seams = 240 * answer["windows"] - len(wanted), answer["windows"] - 1  # a seam may be asked for twice
    ((reason, count),) = counts(answer["skipped"]).items()
    assert reason == "outside_range"
    assert beside - seams <= count <= beside
    rigs.assert_says(rigs.example(answer["skipped"]["outside_range"]), "2025-10-09T0")


# --- Failures ----------------------------------------------------------------------------------------------------

FOR_GOOD: dict[str, tuple[Answer | Fault, str]] = {
    "500": (Fault.status(500, b"it is broken"), "500"),
    "404": (Fault.status(404, b"no such thing"), "404"),
    "no-json": (Answer(200, {"Content-Type": "text/html"}, b"<html>log in</html>"), "JSON"),
    "reset": (Fault.reset(), ""),
}


@pytest.mark.parametrize("cause", FOR_GOOD)
def test_an_api_that_fails_for_good_stops_the_backfill(rig: Rig, cause: str) -> None:
    """The answer names job, window and cause; what came before is there, and the rest comes with `resume`."""
    fault, words = FOR_GOOD[cause]
    bad_from = START_MS + 30 * MINUTE
    broken = True

    class Broken(Series):
        def answer(self, request: Request) -> Answer | Fault:
            is_bad = broken and int(request.params["from"]) * 1000 >= bad_from
            return fault if is_bad else super().answer(request)

    api = Broken(rig)
    answer = rig.backfill(event(), job(rig))
    assert not answer["done"]
    rigs.assert_says(answer["stopped"], "j", "2025-10-09T06:30", words)
    sent = rig.held
    assert sent == api.held(START_MS, bad_from - 1)
    assert answer["samples"] == sum(map(len, sent.values()))
    assert len(rig.api.requests) < 40
    broken = False
    before = list(api.asked)
    answer = rig.backfill({"resume": answer["resume"], "job": "j"}, job(rig))
    assert answer["done"], answer["stopped"]
    assert rig.held == api.held()
    assert rig.receiver.accepted == 61, "nothing is sent twice"
    assert_covers([*before, *api.asked[len(before) :]], START_MS, END_MS, 10 * MINUTE)


@pytest.mark.parametrize("fault", [Fault.status(503), Fault.reset(), Fault.half_answer(), Fault.garbage()])
def test_an_api_that_fails_once_is_asked_again(rig: Rig, fault: Fault) -> None:
    """A failure that passes costs nothing."""
    api = Series(rig)
    rig.api.script(None, fault)
    answer = rig.backfill(event(), job(rig))
    assert answer["done"], answer["stopped"]
    assert rig.held == api.held()
    assert rig.receiver.accepted == 61


def test_a_failed_window_is_not_half_there(rig: Rig) -> None:
    """When a page in the middle of a window fails for good, none of the window counts as done."""

    class Failing(Pages):
        def records(self, first: int, last: int) -> Answer:
            if first >= START_MS + 30 * MINUTE and "cursor" in self.queries[-1]:
                return Answer(500)
            return super().records(first, last)

    api = Failing(rig)
    one = job(rig, pagination=CURSOR, records="items")
    answer = rig.backfill(event(), one)
    assert not answer["done"]
    whole: Mapping[str, Any] = rig.held
    (points,) = whole.values()
    ends = {last for _, last in api.asked}
    last_ms = points[-1][0]
    assert {last_ms, last_ms + 59_000, last_ms + MINUTE} & ends, "up to the end of a window"
    assert points == api.held(START_MS, last_ms)['requests{host="a"}']
    assert answer["samples"] == len(points)


# --- Secrets -----------------------------------------------------------------------------------------------------

TOKEN = "canary-token-0123456789"
REPEATED = {
    "an error": Answer.json({"message": f"bad token {TOKEN}"}, 400),
    "no JSON": Answer(200, {"Content-Type": "text/plain"}, f"bad token {TOKEN}".encode()),
    "a value": Answer.json([{"at": START_MS, "host": "a", "value": f"x {TOKEN}"}]),
    "a time": Answer.json([{"at": f"x {TOKEN}", "host": "a", "value": 1}]),
}


@pytest.mark.parametrize("pagination", [None, CURSOR], ids=["one page", "pages"])
@pytest.mark.parametrize("answer", REPEATED.values(), ids=REPEATED)
def test_a_token_that_an_api_repeats_is_masked(rig: Rig, answer: Answer, pagination: Any) -> None:
    """Messages about what stops a backfill and what it skips are without the secret, wherever an answer is read."""
    rig.api.serve("/doc", answer)
    keys = {"authorization": {"credentials": TOKEN}, "pagination": pagination}
    told = rig.backfill(event(window="10m"), job(rig, **keys))
    assert "<secret>" in json.dumps(told)
    assert "canary" not in json.dumps(told) + str(rig.told)
