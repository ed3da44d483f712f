"""The example API gives the same moving numbers for the same clock, and fails when told to."""

import socket
import time
from collections.abc import Iterator
from urllib.parse import urljoin

import pytest
import requests

from sandbox.api import ORIGIN, Api, request_count
from sandbox.server import Answer, Fault, LoopbackServer
from tests.rig.clock import StandingClock

NOON = ORIGIN + 700 * 86400 + 12 * 3600
PROJECTS = ("4", "5", "6")


@pytest.fixture
def clock() -> StandingClock:
    return StandingClock((NOON + 25) * 1000)


@pytest.fixture
def api(clock: StandingClock) -> Iterator[Api]:
    with Api(now=clock.time) as served:
        yield served


def get(http: requests.Session, url: str) -> requests.Response:
    return http.get(url, timeout=(5, 0.3))


# --- Usage -----------------------------------------------------------------------------------------------------------


def test_usage_has_the_newest_point_of_every_project(api: Api, http: requests.Session) -> None:
    records = get(http, f"{api.url}/usage").json()
    assert [record["projectCode"] for record in records] == list(PROJECTS)
    for record in records:
        assert set(record) == {"currentTime", "apiRequestCount", "projectCode"}
        assert NOON - 60 < record["currentTime"] <= NOON
        assert record["apiRequestCount"] == request_count(record["projectCode"], record["currentTime"])


def test_usage_moves_with_the_minute(api: Api, http: requests.Session, clock: StandingClock) -> None:
    first = get(http, f"{api.url}/usage").json()
    clock.ms += 20_000
    same = get(http, f"{api.url}/usage").json()
    clock.ms += 60_000
    later = get(http, f"{api.url}/usage").json()
    assert first == same
    assert [new["currentTime"] - old["currentTime"] for old, new in zip(first, later, strict=True)] == [60, 60, 60]


@pytest.mark.parametrize("query", ["", f"?from={NOON - 600}&to={NOON}"], ids=["newest", "range"])
def test_a_new_version_may_rename_a_field(api: Api, http: requests.Session, query: str) -> None:
    api.count_field = "request_count"
    records = get(http, f"{api.url}/usage{query}").json()
    assert records
    assert all(set(record) == {"currentTime", "request_count", "projectCode"} for record in records)


def test_the_newest_answers_are_kept(api: Api, http: requests.Session, clock: StandingClock) -> None:
    for fault in (None, Fault.status(503, b"{}"), None):
        api.always(fault)
        clock.ms += 60_000
        told = get(http, f"{api.url}/usage")
        assert (api.answers["/usage"].status, api.answers["/usage"].body) == (told.status_code, told.content)


@pytest.mark.parametrize("project", PROJECTS)
def test_counters_never_decrease(project: str) -> None:
    counts = [request_count(project, NOON + second) for second in range(0, 86400, 7)]
    assert counts == sorted(counts)


# --- Fleet and pages -------------------------------------------------------------------------------------------------


def test_the_fleet_is_nested_and_hosts_change_their_state(
    api: Api, http: requests.Session, clock: StandingClock
) -> None:
    seen: dict[tuple[str, str], set[str]] = {}
    for _ in range(20):
        clock.ms += 60_000
        document = get(http, f"{api.url}/fleet").json()
        assert isinstance(document["release"], str)
        for region in document["regions"]:
            for host, properties in region["hosts"].items():
                seen.setdefault((region["name"], host), set()).add(properties["state"])
    assert len(seen) == 5
    assert all(states == {"OK", "DEGRADED", "FAIL"} for states in seen.values())


# What follows a page, as a URL that is relative or not; nothing ends it.
FOLLOWING = {
    "link": lambda page: page["next"],
    "cursor": lambda page: page["nextCursor"] and f"cursor?cursor={page['nextCursor']}",
    "number": lambda page: page["page"] < page["pages"] and f"number?page={page['page'] + 1}",
}


@pytest.mark.parametrize("way", FOLLOWING)
def test_pages_hold_every_record_once(api: Api, http: requests.Session, way: str) -> None:
    pages, following = [], way
    while following:
        pages.append(get(http, urljoin(f"{api.url}/paged/", following)).json())
        following = FOLLOWING[way](pages[-1])
    assert [len(page["items"]) for page in pages] == [20, 20, 5]
    assert [record["id"] for page in pages for record in page["items"]] == list(range(45))


# --- What a test serves ----------------------------------------------------------------------------------------------


def test_a_responder_sees_the_request(api: Api, http: requests.Session) -> None:
    url = api.serve(
        "/echo",
        lambda seen: Answer.json([seen.method, seen.path, seen.params, seen.headers["x-test"], seen.body.decode()]),
    )
    answer = http.post(f"{url}?a=1&b=", b"body", headers={"X-Test": "yes"}, timeout=5)
    assert answer.json() == ["POST", "/echo", {"a": "1", "b": ""}, "yes", "body"]
    assert [request.path for request in api.requests] == ["/echo"]


@pytest.mark.parametrize("chunked", [False, True])
def test_a_fixed_answer_is_served_whole(api: Api, http: requests.Session, chunked: bool) -> None:
    url = api.serve("/page", Answer(206, {"X-Here": "yes"}, b"x" * 3000, chunked=chunked))
    answer = get(http, url)
    assert (answer.status_code, answer.headers["X-Here"], len(answer.content)) == (206, "yes", 3000)
    assert ("Content-Length" in answer.headers) != chunked


def test_an_unknown_path_is_not_found(api: Api, http: requests.Session) -> None:
    assert get(http, f"{api.url}/nothing").status_code == 404


@pytest.mark.parametrize("chunked", [False, True], ids=["length", "chunked"])
@pytest.mark.parametrize(
    ("fault", "error"),
    [
        pytest.param(Fault.hang(), requests.Timeout, id="hang"),
        pytest.param(Fault.hang_mid_answer(), requests.ConnectionError, id="hang in the body"),
        pytest.param(Fault.half_answer(), requests.exceptions.ChunkedEncodingError, id="half a body"),
        pytest.param(Fault.reset(), requests.ConnectionError, id="reset"),
        pytest.param(Fault.reset_mid_answer(), requests.RequestException, id="reset in the body"),
        pytest.param(Fault.garbage(), requests.ConnectionError, id="garbage"),
    ],
)
def test_answers_fail_as_scripted(api: Api, http: requests.Session, fault: Fault, error, chunked: bool) -> None:
    url = api.serve("/page", Answer(body=b"x" * 1000, fault=fault, chunked=chunked))
    with pytest.raises(error):
        get(http, url)
    assert get(http, f"{api.url}/fleet").status_code == 200


@pytest.mark.parametrize(
    "fault",
    [
        pytest.param(Fault.reset(), id="after the request"),
        pytest.param(Fault.reset(before_body=True), id="before the body is read"),
        pytest.param(Fault.lost_answer(), id="lost answer"),
    ],
)
def test_a_reset_is_a_reset_and_not_an_end(api: Api, fault: Fault) -> None:
    api.script(fault)
    with socket.create_connection(("127.0.0.1", int(api.url.rpartition(":")[2])), timeout=5) as connection:
        connection.sendall(b"GET /usage HTTP/1.1\r\nHost: x\r\n\r\n")
        with pytest.raises(ConnectionResetError):
            connection.recv(1)


def test_a_path_may_be_nothing_but_a_fault(api: Api, http: requests.Session) -> None:
    assert get(http, api.serve("/busy", Fault.status(503, headers={"Retry-After": "1"}))).status_code == 503
    with pytest.raises(requests.ConnectionError):
        get(http, api.serve("/gone", Fault.reset()))


def test_the_next_requests_fail_as_scripted(api: Api, http: requests.Session) -> None:
    api.script(Fault.status(500), None, Fault.status(429, b"wait"))
    assert [get(http, f"{api.url}/usage").status_code for _ in range(4)] == [500, 200, 429, 200]
    api.always(Fault.status(502))
    assert get(http, f"{api.url}/usage").status_code == 502


def test_a_drip_keeps_every_read_busy_but_never_ends_soon(api: Api) -> None:
    """Each read gets a byte in time; only a limit on the whole answer cuts it off."""
    url = api.serve("/drip", Answer(body=b"x" * 50, fault=Fault.drip(0.002)))
    port = int(url.split(":")[2].split("/")[0])
    with socket.create_connection(("127.0.0.1", port), timeout=5) as connection:
        connection.sendall(b"GET /drip HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        started = time.monotonic()
        reads = list(iter(lambda: connection.recv(4096), b""))
    answer = b"".join(reads)
    assert answer.endswith(b"\r\n\r\n" + b"x" * 50)
    assert len(reads) > len(answer) / 2
    assert time.monotonic() - started > 0.002 * len(answer) * 0.9


# --- The server under both stand-ins ---------------------------------------------------------------------------------


def test_a_responder_that_raises_is_an_error_500_and_fails_the_test(http: requests.Session, capsys) -> None:
    def broken(request: object) -> Answer:
        raise ZeroDivisionError("oh")

    with pytest.raises(ZeroDivisionError), LoopbackServer(broken) as server:
        assert get(http, server.base_url).status_code == 500
    assert "ZeroDivisionError" in capsys.readouterr().err


def test_a_body_of_unknown_length_is_refused(api: Api, http: requests.Session) -> None:
    assert http.post(f"{api.url}/usage", iter([b"a"]), timeout=5).status_code == 411


def test_a_client_that_leaves_early_disturbs_no_other(api: Api, http: requests.Session) -> None:
    port = int(api.url.rpartition(":")[2])
    with socket.create_connection(("127.0.0.1", port), timeout=5) as connection:
        connection.sendall(b"POST /usage HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\nabc")
    assert get(http, f"{api.url}/usage").status_code == 200
    assert len(api.requests) == 1


def test_a_closed_server_refuses_connections(http: requests.Session) -> None:
    with Api() as api:
        url = api.url
    api.close()
    with pytest.raises(requests.ConnectionError):
        get(http, url)
