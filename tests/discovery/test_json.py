"""Targets that a JSON API lists, over a real socket."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from lambda_remote_write.discovery import Discovery, DiscoveryResult
from lambda_remote_write.discovery.target_groups import MAX_TARGETS
from sandbox.server import Answer, Fault, LoopbackServer, Request
from tests.rig.discovery import Rig, addresses, configs
from tests.rig.scraping import Recorder


class Api:
    """Answers with what `respond` makes of a request: a document as Python has it, or an answer."""

    def __init__(self, respond: Callable[[Request], Any]) -> None:
        self.requests: list[Request] = []
        self._respond = respond
        self._server = LoopbackServer(self._answer)
        self.url = self._server.base_url

    def _answer(self, request: Request) -> Answer | Fault:
        self.requests.append(request)
        found = self._respond(request)
        return found if isinstance(found, Answer | Fault) else Answer.json(found)

    def entry(self, **keys: Any) -> str:
        return json.dumps({"json_sd_configs": [{"url": f"{self.url}/list?team=a", **keys}]})

    def __enter__(self) -> Api:
        return self

    def __exit__(self, *_: object) -> None:
        self._server.close()


def found_in(rig: Rig, document: Any, **keys: Any) -> DiscoveryResult:
    with Api(lambda _: document) as api:
        return rig.found(api.entry(**keys))


def labels(found: DiscoveryResult) -> list[dict[str, str]]:
    return [dict(target) for group in found.groups for target in group.targets]


def raw(text: str, content_type: str = "application/json") -> Answer:
    return Answer(200, {"Content-Type": content_type}, text.encode())


# --- The list ---------------------------------------------------------------------------------------------------------


def test_a_list(rig: Rig) -> None:
    """Every record is a target, with the address of the list as http_sd_configs has it."""
    with Api(lambda _: [{"host": "h:1"}, {"host": "h:2"}]) as api:
        found = rig.found(api.entry(target="host"))
        assert (addresses(found), found.warnings, found.is_unknown) == (["h:1", "h:2"], [], False)
        assert found.groups[0].labels == {"__meta_url": f"{api.url}/list?team=a"}


NESTED = {"regions": [{"name": "eu", "hosts": {"a:1": {"up": True}, "b:1": None}}, {"name": "us", "hosts": {}}]}


def test_records_and_scopes_are_those_of_metrics(rig: Rig) -> None:
    """Steps, the key of a walked map, the enclosing object, the document."""
    read = {"region": "^.name", "up": "up", "first": "$.regions[0].name"}
    found = found_in(rig, NESTED, records=["regions[]", "hosts"], target="@key", labels=read)
    assert labels(found) == [
        {"__address__": "a:1", "__meta_json_region": "eu", "__meta_json_up": "true", "__meta_json_first": "eu"},
        {"__address__": "b:1", "__meta_json_region": "eu", "__meta_json_first": "eu"},
    ]


PRINTED = [
    ("1.10", "1.10"), ("1e3", "1e3"), ("12345678901234567890", "12345678901234567890"), ('"x"', "x"), ("true", "true"),
    ("0", "0"), ("null", None), ('""', None),
]  # fmt: skip


@pytest.mark.parametrize(("written", "label"), PRINTED, ids=[written for written, _ in PRINTED])
def test_labels_print_as_the_document_writes_them(rig: Rig, written: str, label: str | None) -> None:
    """A null, and an empty text, is no label."""
    found = found_in(rig, raw(f'[{{"host": "h:1", "a": {written}}}]'), target="host", labels={"a": "a"})
    assert labels(found) == [{"__address__": "h:1"} | ({"__meta_json_a": label} if label else {})]


URLS = {
    "scheme and address": ("https://h:1", {"__scheme__": "https", "__address__": "h:1"}),
    "no port": ("http://h/", {"__scheme__": "http", "__address__": "h", "__metrics_path__": "/"}),
    "path": ("http://h:1/a/b", {"__scheme__": "http", "__address__": "h:1", "__metrics_path__": "/a/b"}),
    "path with escapes": (
        "http://h:1/a%20b/%C3%A4",
        {"__scheme__": "http", "__address__": "h:1", "__metrics_path__": "/a b/ä"},
    ),
    "query": (
        "http://h:1/a?x=1&y=a%26b",
        {"__scheme__": "http", "__address__": "h:1", "__metrics_path__": "/a", "__param_x": "1", "__param_y": "a&b"},
    ),
    "fragment": ("http://h:1/a#b", {"__scheme__": "http", "__address__": "h:1", "__metrics_path__": "/a"}),
    "IPv6": ("http://[::1]:9/", {"__scheme__": "http", "__address__": "[::1]:9", "__metrics_path__": "/"}),
    "capitals": ("HTTPS://h/", {"__scheme__": "https", "__address__": "h", "__metrics_path__": "/"}),
    "no URL": ("h:1", {"__address__": "h:1"}),
}


@pytest.mark.parametrize(("url", "expected"), URLS.values(), ids=URLS)
def test_a_url_is_split_into_the_labels_of_a_target(rig: Rig, url: str, expected: dict[str, str]) -> None:
    found = found_in(rig, [{"url": url}], target="url")
    assert (labels(found), found.warnings) == ([expected], [])


UNSAID = {
    "several values": ("http://h/?a=1&a=2", {"__param_a": "1"}, "of several values of the parameter a the first"),
    "equal values": ("http://h/?a=1&a=1", {"__param_a": "1"}, ""),
    "no value": ("http://h/?a=&b", {}, "the parameter a without a value is left out"),
}


@pytest.mark.parametrize(("url", "kept", "said"), UNSAID.values(), ids=UNSAID)
def test_what_labels_cannot_say_of_a_query_is_said(rig: Rig, url: str, kept: dict[str, str], said: str) -> None:
    found = found_in(rig, [{"url": url}, {"url": url}], target="url")
    params = {name: text for name, text in labels(found)[0].items() if name.startswith("__param_")}
    assert params == kept
    assert [f"2 of 2 targets: {said}" in warning for warning in found.warnings[:1]] == ([True] if said else [])


def test_a_target_that_loses_several_values_counts_once(rig: Rig) -> None:
    found = found_in(rig, [{"url": "http://h/?a=1&a=2&a=3"}, {"url": "http://g/"}, {"url": 5}], target="url")
    assert any("1 of 3 targets: of several values of the parameter a" in warning for warning in found.warnings)


def test_a_list_at_a_metadata_address_is_refused(rig: Rig) -> None:
    """The key that allows it for targets does not help here, and is not advised."""
    found = rig.found(json.dumps({"json_sd_configs": [{"url": "http://169.254.169.254/latest", "target": "host"}]}))
    assert "is a link-local or metadata address" in found.warnings[0]
    assert "not for lists of targets" in found.warnings[0]


def test_of_many_parameters_the_first_are_said(rig: Rig) -> None:
    records = [{"url": f"http://h/?{'&'.join(f'p{index}=' for index in range(100))}"}]
    found = found_in(rig, records, target="url")
    assert ["parameter p" in one for one in found.warnings] == [True, True, True, False]
    assert "the same of 97 more parameters" in found.warnings[-1]


def test_more_records_than_a_list_may_have_targets(rig: Rig) -> None:
    """They are not looked at, and the last list stays."""
    lists = [[{"host": "a:1"}], [{}] * (MAX_TARGETS + 1)]
    with Api(lambda _: lists.pop(0)) as api:
        discovery = rig.discovery(api.entry(target="host", refresh_interval="1ms"))
        assert addresses(discovery.targets(rig.deadline())) == ["a:1"]
        rig.clock.ahead += 60
        again = discovery.targets(rig.deadline())
    assert addresses(again) == ["a:1"]
    assert "lists more than 100,000 targets" in again.warnings[0]


def test_the_target_may_be_made_of_what_a_record_has(rig: Rig) -> None:
    """A constant, for which relabelling sets the path, or a base and a path of the record."""
    records = [{"id": 11, "path": "/projects/11"}]
    found = found_in(rig, records, target="'api.example.com'", labels={"id": "id"})
    assert labels(found) == [{"__address__": "api.example.com", "__meta_json_id": "11"}]
    found = found_in(rig, records, target="join('', ['https://api.example.com', path])")
    assert labels(found) == [
        {"__scheme__": "https", "__address__": "api.example.com", "__metrics_path__": "/projects/11"}
    ]


# --- The request ------------------------------------------------------------------------------------------------------


def test_the_request(rig: Rig) -> None:
    keys = {"body": '{"all": true}', "headers": {"X-Key": "sesame"}, "authorization": {"credentials": "open"}}
    with Api(lambda _: []) as api:
        rig.found(api.entry(target="host", **keys))
        (request,) = api.requests
    assert (request.method, request.path, request.query, request.body) == ("POST", "/list", "team=a", b'{"all": true}')
    assert request.headers["X-Key"] == "sesame"
    assert request.headers["Authorization"] == "Bearer open"


PAGES = {
    "next_link": ({"style": "next_link", "path": "next"}, lambda query: {"": "a", "p=2": "b", "p=3": "c"}[query]),
    "cursor": ({"style": "cursor", "path": "next"}, lambda query: {"": "a", "cursor=2": "b", "cursor=3": "c"}[query]),
    "page": (
        {"style": "page"},
        lambda query: {"page=1": "a", "page=2": "b", "page=3": "c", "page=4": ""}[query],
    ),
    "offset": (
        {"style": "offset"},
        lambda query: {"offset=0": "a", "offset=1": "b", "offset=2": "c", "offset=3": ""}[query],
    ),
}


@pytest.mark.parametrize(("pagination", "host"), PAGES.values(), ids=PAGES)
def test_every_page_is_read(rig: Rig, pagination: dict[str, str], host: Callable[[str], str]) -> None:
    def page(request: Request) -> Any:
        query = request.query.removeprefix("team=a").lstrip("&")
        name = host(query)
        number = {"a": 2, "b": 3}.get(name)
        link = f"/list?p={number}" if pagination["style"] == "next_link" else number
        return {"items": [{"host": name}] if name else [], "next": link if number else None}

    with Api(page) as api:
        found = rig.found(api.entry(target="host", records="items", pagination=pagination))
    assert (addresses(found), found.warnings) == (["a", "b", "c"], [])


def test_a_list_that_has_not_changed_is_not_sent_again(rig: Rig) -> None:
    def answer(request: Request) -> Answer:
        is_same = request.headers.get("If-None-Match") == '"v1"'
        return Answer(304) if is_same else Answer.json([{"host": "h:1"}], headers={"ETag": '"v1"'})

    with Api(answer) as api:
        discovery = rig.discovery(api.entry(target="host", refresh_interval="1ms"))
        first = discovery.targets(rig.deadline())
        rig.clock.ahead += 60
        second = discovery.targets(rig.deadline())
    assert [request.headers.get("If-None-Match") for request in api.requests] == [None, '"v1"']
    assert (addresses(first), addresses(second), second.warnings) == (["h:1"], ["h:1"], [])


@pytest.mark.parametrize(
    "ended", [raw("<!DOCTYPE html><html><form></form></html>", "text/html"), Answer.json({"error": "session"})]
)
def test_a_session_that_has_ended_with_a_good_status_is_renewed_for_the_next_list(rig: Rig, ended: Answer) -> None:
    tokens = ["first", "second"]
    valid = "first"

    def answer(request: Request) -> Any:
        if request.path == "/login":
            return {"token": tokens.pop(0)}
        return [{"host": "h:1"}] if request.headers["Authorization"] == f"Bearer {valid}" else ended

    with Api(answer) as api:
        login = {"url": f"{api.url}/login", "token": "token"}
        discovery = rig.discovery(api.entry(target="host", login=login, refresh_interval="1ms"))
        assert addresses(discovery.targets(rig.deadline())) == ["h:1"]
        valid = "second"
        rig.clock.ahead += 60
        (warning,) = discovery.targets(rig.deadline()).warnings
        assert "stays in use" in warning
        rig.clock.ahead += 60
        found = discovery.targets(rig.deadline())
    assert (addresses(found), found.warnings, tokens) == (["h:1"], [], [])


def test_pages_that_are_left_out_are_said(rig: Rig) -> None:
    with Api(lambda request: {"items": [{"host": request.query[-1]}], "next": int(request.query[-1], 36) + 1}) as api:
        pagination = {"style": "cursor", "path": "next", "max_pages": 2}
        found = rig.found(api.entry(target="host", records="items", pagination=pagination))
    assert len(addresses(found)) == 2
    (warning,) = found.warnings
    assert "stopped after 2 pages, max_pages; the API has more" in warning


def test_a_warning_that_would_cost_too_much_is_left_out(rig: Rig) -> None:
    """The records cost three of five million visits: whether two pages have the same ones is not looked at."""
    items = [{"host": f"h:{number}", "wanted": [1] * 1_000} for number in range(3)]
    document = {"big": [0] * 1_000, "items": items}
    keys = {"records": "items[?!contains($.big, wanted)]", "target": "host"}
    found = found_in(rig, document, pagination={"style": "next_link", "path": "next.url"}, **keys)
    assert (addresses(found), found.is_unknown) == (["h:0", "h:1", "h:2"], False)


# --- Records that name no target --------------------------------------------------------------------------------------

BAD = {
    "nothing": ({}, "target finds nothing"),
    "null": ({"host": None}, "target finds nothing"),
    "no record": (5, "target finds nothing"),
    "number": ({"host": 5}, "host:port or a URL is expected, and target is a number, 5"),
    "list": ({"host": ["h"]}, 'host:port or a URL is expected, and target is a list, ["h"]'),
    "empty": ({"host": ""}, "target is an empty text"),
    "other scheme": ({"host": "ftp://h/a"}, "target ftp://h/a is neither host:port nor an http(s) URL"),
    "no host": ({"host": "http:///a"}, "is neither host:port nor an http(s) URL"),
    "no port": ({"host": "http://h:x/"}, "is no URL"),
    "half an IPv6": ({"host": "http://[::1/"}, "is no URL"),
    "login": ({"host": "http://me:hush@h/a"}, "target http://h/a holds a user and password"),
    "login before an address": ({"host": "me:hush@h:1"}, "target holds a user and password"),
    "slash in a part": ({"host": "http://h/a%2Fb"}, "target http://h/a%2Fb has %2F in its path"),
    "no text": ({"host": "http://h/%ff"}, "is no URL"),
    "label is a list": ({"host": "h", "a": [1]}, "label a is a list, [1]"),
    "label is an object": ({"host": "h", "a": {"b": 1}}, 'label a is an object, {"b": 1}'),
}


def test_an_object_in_the_place_of_a_list_is_named_beside_lists(rig: Rig) -> None:
    """As in the records of a metric."""
    regions = [{"hosts": [{"host": "h:1"}]}, {"hosts": {"error": "x"}}]
    found = found_in(rig, {"regions": regions}, records=["regions[]", "hosts[]"], target="host")
    assert addresses(found) == ["h:1"]
    (warning,) = found.warnings
    assert 'expects a list at hosts, but it has an object, {"error": "x"}' in warning


@pytest.mark.parametrize(("record", "detail"), BAD.values(), ids=BAD)
def test_a_bad_record_does_not_affect_the_others(rig: Rig, record: Any, detail: str) -> None:
    """It is counted and named."""
    found = found_in(rig, [{"host": "good:1"}, record], target="host", labels={"a": "a"})
    assert (addresses(found), found.is_unknown) == (["good:1"], False)
    (warning,) = found.warnings
    assert "/list: 1 of 2 records names no target: record 2: " in warning
    assert detail in warning
    assert "hush" not in warning


def test_many_bad_records_are_counted_and_some_are_shown(rig: Rig) -> None:
    found = found_in(rig, [{"host": "good:1"}, *({"host": number} for number in range(7))], target="host")
    (warning,) = found.warnings
    assert "7 of 8 records name no target: record 2: " in warning
    assert warning.endswith("record 4: host:port or a URL is expected, and target is a number, 2 and 4 more")


# --- Lists that failed ------------------------------------------------------------------------------------------------

FAILED = {
    "status": (Answer(503), "/list answered 503"),
    "denied": (Answer(401), "/list answered 401: no credentials are configured"),
    "not JSON": (raw("<html>", "text/html"), "/list: the body is not JSON"),
    "empty": (raw(""), "/list: the body is not JSON"),
    "reset": (Fault.reset(), "the connection broke"),
    "cut": (Answer(200, {}, b"[]", fault=Fault.half_answer()), "the connection broke"),
    "an object": ({"error": "x"}, "records [] is missing: a list is expected at the document"),
    "a text": ("x", "records [] is missing"),
    "no record names a target": ([{"ip": "h:1"}, {"ip": "h:2"}], "none of 2 records names a target: target host finds"),
    "one record without a target": ([{"ip": "h:1"}], "the record names no target: target host finds nothing"),
    "another kind of target": ([{"host": 5}], "the record names no target: record 1: host:port or a URL is expected"),
    "elsewhere": (Answer(302, {"Location": "http://169.254.169.254/latest"}), "169.254.169.254"),
}


@pytest.mark.parametrize(("answer", "detail"), FAILED.values(), ids=FAILED)
def test_a_list_that_failed(rig: Rig, answer: Any, detail: str) -> None:
    """No targets are known then; the warning names the address without its query."""
    found = found_in(rig, answer, target="host")
    assert (found.groups, found.is_unknown) == ([], True)
    (warning,) = found.warnings
    assert warning.startswith("json_sd_configs: ")
    assert detail in warning
    assert warning.endswith("; no targets are known")
    assert "team=a" not in warning


def test_records_that_are_missing_name_what_is_there(rig: Rig) -> None:
    found = found_in(rig, {"itms": []}, target="host", records="items")
    (warning,) = found.warnings
    assert "records items is missing: the document is an object" in warning
    assert "the nearest path that exists is itms" in warning
    assert 'write "items || `[]`"' in warning


def test_an_empty_list_is_a_fact(rig: Rig) -> None:
    found = found_in(rig, [], target="host")
    assert (addresses(found), found.warnings, found.is_unknown) == ([], [], False)


LATER = {
    "down": Answer(503),
    "another shape": {"error": "x"},
    "no targets in it": [{"ip": "h:1"}],
}


@pytest.mark.parametrize("later", LATER.values(), ids=LATER)
def test_the_last_list_stays_when_a_refresh_fails(rig: Rig, later: Any) -> None:
    answers: list[Any] = [[{"host": "h:1"}], later, []]
    with Api(lambda _: answers.pop(0)) as api:
        discovery = Discovery(configs(api.entry(target="host")), rig.discovery_clients)
        assert addresses(discovery.targets(rig.deadline())) == ["h:1"]
        rig.clock.ahead += 61
        kept = discovery.targets(rig.deadline())
        assert (addresses(kept), kept.is_unknown) == (["h:1"], False)
        assert "the list of 1m1s ago stays in use (1 target)" in kept.warnings[0]
        rig.clock.ahead += 61
        assert addresses(discovery.targets(rig.deadline())) == []


def test_no_secret_shows(rig: Rig) -> None:
    """An answer that repeats what was sent: in a bad record, and in a message of its own."""
    keys = {"target": "host", "headers": {"X-Key": "sesame-open"}}
    found = found_in(rig, [{"host": "h:1"}, {"host": ["sesame-open"]}], **keys)
    assert "sesame" not in found.warnings[0]
    found = found_in(rig, Answer.json({"message": "bad key sesame-open"}, 403), **keys)
    assert "sesame" not in found.warnings[0]


def test_equal_lists_of_several_jobs_are_asked_once(rig: Rig) -> None:
    with Recorder(Answer.json([{"host": "h:1"}])) as site:
        entry = json.dumps({"json_sd_configs": [{"url": site.url, "target": "host", "labels": {"a": "b"}}]})
        lists: dict[Any, Any] = {}
        for _ in range(2):
            found = Discovery(configs(entry), rig.discovery_clients, lists).targets(rig.deadline())
            assert addresses(found) == ["h:1"]
        assert len(site.requests) == 1
