"""Another server's past: what a real Prometheus has, and what it is asked."""

from __future__ import annotations

import base64
import json
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl

import pytest

from sandbox.amp import SigV4
from sandbox.prometheus import Prometheus
from sandbox.server import Answer, Request
from tests.rig import backfill as rigs
from tests.rig.backfill import HOUR, MINUTE, NAME, Points, Rig, series_text
from tests.rig.needs import Peer

STEP = 15_000
NOW = int(time.time()) // 60 * 60_000
END_MS = NOW - 5 * MINUTE
START_MS = END_MS - 40 * MINUTE


@contextmanager
def seeded_server(folder: Path, *arguments: str) -> Iterator[Prometheus]:
    """A Prometheus with an hour of samples, which our own backfill from a text file has put there."""
    with Prometheus(out_of_order_window="2h", arguments=arguments) as running:
        with rigs.made(folder) as rig:
            rig.clock.ms = NOW
            path = rig.file("seed.prom", seed())
            endpoint = {"url": running.write_url, "max_age": "10y"}
            answer = rig.backfill({"from": path}, endpoint=endpoint)
            assert answer["done"], answer
            assert not answer["endpoints"][0]["rejected"], answer
        yield running


@pytest.fixture(scope="module")
def server(peer: Peer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Prometheus]:
    peer("prometheus")
    with seeded_server(tmp_path_factory.mktemp("seed")) as running:
        yield running


@pytest.fixture
def patient_server(peer: Peer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Prometheus]:
    """One that federates what is old, too: it goes by its own clock, and NOW may be long ago by then."""
    peer("prometheus")
    with seeded_server(tmp_path_factory.mktemp("patient"), "--query.lookback-delta=3h") as running:
        yield running


def seeded() -> Points:
    """Series with samples every 15 seconds that are a little late, one with gaps, one that ends, one that begins."""
    found: Points = {}
    for host in ("a", 'b, "c"', "한국어"):
        labels = {NAME: "requests_total", "host": host, "job": "node", "instance": "x:1"}
        found[series_text(labels)] = [
            (ms + 137, float(n * n)) for n, ms in enumerate(range(START_MS - 10 * MINUTE, END_MS + 4 * MINUTE, STEP))
        ]
    found['temperature{job="node"}'] = [(ms + 1, -1.5) for ms in range(START_MS, END_MS, 7 * MINUTE)]
    found['early{job="node"}'] = [(START_MS - 20 * MINUTE + n * STEP, 1.0) for n in range(90)]
    found['late{job="node"}'] = [(END_MS - 3 * MINUTE + n * STEP, 0.1 + 0.2) for n in range(20)]
    found['on_the_ends{job="node"}'] = [(START_MS, 1.0), (END_MS, 2.0)]
    found['other{job="db"}'] = [(START_MS + n * MINUTE, float(n)) for n in range(30)]
    return dict(sorted(found.items()))


def seed() -> str:
    lines = [(ms, f"{series} {value!r} {ms}\n") for series, points in seeded().items() for ms, value in points]
    return "".join(line for _, line in sorted(lines))


@pytest.fixture
def rig(tmp_path: Path) -> Iterator[Rig]:
    with rigs.made(tmp_path) as made:
        made.clock.ms = NOW
        yield made


def source(url: str, **keys: Any) -> dict[str, Any]:
    return {"job_name": "old", "url": url, "match": ['{job="node"}'], "window": "10m", **keys}


def asked(rig: Rig, url: str, start_ms: int = START_MS, end_ms: int = END_MS, **keys: Any) -> dict[str, Any]:
    """The answer of a backfill from this server."""
    event = {"job": "old", "start": start_ms / 1000, "end": end_ms / 1000}
    return rig.backfill(event, backfill_configs=[source(url, **keys)])


def inside(points: Points, *, job: str = "node") -> Points:
    found = {
        series: [one for one in values if START_MS <= one[0] <= END_MS]
        for series, values in points.items()
        if f'job="{job}"' in series
    }
    return {series: values for series, values in found.items() if values}


def assert_stored(rig: Rig, answer: Mapping[str, Any], expected: Points) -> None:
    """All of it, each sample once."""
    assert answer["done"], answer["stopped"]
    assert expected
    assert rig.stored == dict(sorted(expected.items()))
    assert rig.receiver.accepted == sum(map(len, expected.values()))


# --- A real one --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("window", ["5m", "10m", "17m", "2h"])
def test_query_gives_the_samples_as_they_are_stored(rig: Rig, server: Prometheus, window: str) -> None:
    """Every sample of the range has its own time and value, and arrives once however the range is cut."""
    answer = asked(rig, server.url, read="query", window=window)
    assert_stored(rig, answer, inside(seeded()))


@pytest.mark.parametrize("step", [15, 60, 7])
@pytest.mark.parametrize("window", ["5m", "11m", "2h"])
def test_query_range_gives_what_the_api_gives(rig: Rig, server: Prometheus, step: int, window: str) -> None:
    """At the steps from the start on there is what the server's own answer for the whole range has."""
    answer = asked(rig, server.url, read="query_range", window=window, step=f"{step}s")
    whole = server.query_range('{job="node"}', START_MS / 1000, END_MS / 1000, step)
    expected = {
        series_text(series["metric"]): [(round(float(at) * 1000), float(value)) for at, value in series["values"]]
        for series in whole
    }
    assert_stored(rig, answer, expected)


def test_federate_gives_the_newest_of_each(rig: Rig, patient_server: Prometheus) -> None:
    """One sample of each series that is still alive, as it is stored."""
    answer = asked(rig, patient_server.url, NOW - HOUR, NOW, read="federate")
    newest = {series: points[-1] for series, points in seeded().items() if 'job="node"' in series}
    found = rig.stored
    assert all(len(points) == 1 for points in found.values())
    assert {series: points[0] for series, points in found.items()}.items() <= newest.items()
    active = {series for series, (ms, _) in newest.items() if ms >= NOW - 2 * MINUTE}
    assert active
    assert active <= set(found)
    assert answer["done"], answer["stopped"]


def test_several_selectors_bring_what_each_finds_once(rig: Rig, server: Prometheus) -> None:
    """A series that two selectors find arrives once; one that none finds does not."""
    match = ['requests_total{host="a"}', '{__name__=~"req.*"}', '{job="db"}']
    answer = asked(rig, server.url, read="query", match=match)
    expected = {s: p for s, p in inside(seeded()).items() if s.startswith("requests_total")}
    assert_stored(rig, answer, expected | inside(seeded(), job="db"))


@pytest.mark.parametrize("read", ["query", "query_range"])
def test_labels_and_relabelling_are_applied(rig: Rig, server: Prometheus, read: str) -> None:
    """Labels of the entry are added, and its relabelling has the last word."""
    rules = [
        {"source_labels": [NAME], "regex": "early|late|on_the_ends|temperature", "action": "drop"},
        {"regex": "instance", "action": "labeldrop"},
    ]
    asked(rig, server.url, read=read, labels={"origin": "old"}, metric_relabel_configs=rules)
    assert len(rig.stored) == 3
    assert all(series.startswith("requests_total{host=") for series in rig.stored)
    assert all(series.endswith('job="node",origin="old"}') for series in rig.stored)


@pytest.mark.parametrize("read", ["query", "query_range", "federate"])
def test_a_server_that_has_nothing_is_no_error(rig: Rig, server: Prometheus, read: str) -> None:
    """Nothing arrives, and the windows are counts as empty."""
    answer = asked(rig, server.url, read=read, match=["nothing"])
    assert (answer["done"], answer["stopped"]) == (True, "")
    assert answer["empty"] == answer["windows"]
    assert rig.receiver.requests == []


def test_a_selector_that_the_server_refuses_stops(rig: Rig, server: Prometheus) -> None:
    """What the server says against it is in the message, with job and window."""
    answer = asked(rig, server.url, read="query", match=["{job="])
    assert not answer["done"]
    rigs.assert_says(answer["stopped"], "old", "parse error")
    assert rig.receiver.requests == []


# --- What is asked -----------------------------------------------------------------------------------------------


def params(request: Request) -> list[tuple[str, str]]:
    return parse_qsl(request.query) + parse_qsl(request.body.decode())


class Fake:
    """A server that answers every query with the same series, at the times that are asked for."""

    def __init__(self, rig: Rig, prefix: str = "") -> None:
        self.url = rig.api.url + prefix
        self.requests: list[Request] = []
        for path in ("query", "query_range"):
            rig.api.serve(f"{prefix}/api/v1/{path}", self.answer)
        rig.api.serve(f"{prefix}/federate", self.federate)

    def answer(self, request: Request) -> Answer:
        self.requests.append(request)
        asked = dict(params(request))
        end = float(asked.get("end") or asked["time"])
        values = [[end, "1"]]
        series = {"metric": {NAME: "a", "job": "node"}, "values": values}
        return Answer.json({"status": "success", "data": {"resultType": "matrix", "result": [series]}})

    def federate(self, request: Request) -> Answer:
        self.requests.append(request)
        return Answer(200, {"Content-Type": "text/plain; version=0.0.4"}, f"a 1 {END_MS}\n".encode())


def encoded(text: str) -> str:
    return "Basic " + base64.b64encode(text.encode()).decode()


CREDENTIALS: dict[str, tuple[Mapping[str, Any], str]] = {
    "basic": ({"basic_auth": {"username": "u", "password": "p:w"}}, encoded("u:p:w")),
    "bearer": ({"authorization": {"credentials": "secret"}}, "Bearer secret"),
    "none": ({}, ""),
}


@pytest.mark.parametrize("read", ["query", "query_range", "federate"])
@pytest.mark.parametrize("who", CREDENTIALS)
def test_credentials_are_sent(rig: Rig, who: str, read: str) -> None:
    """Each request has them; the answer shows none of them."""
    keys, expected = CREDENTIALS[who]
    fake = Fake(rig, "/prom")
    answer = asked(rig, f"{fake.url}/", read=read, **keys)
    assert answer["done"], answer["stopped"]
    assert fake.requests
    assert {request.headers.get("Authorization", "") for request in fake.requests} == {expected}
    assert "secret" not in json.dumps(answer)
    assert "p:w" not in json.dumps(answer)


@pytest.mark.parametrize("read", ["query", "query_range"])
def test_requests_to_amp_are_signed(rig: Rig, read: str) -> None:
    """A workspace is asked with a signature that holds, below its address."""
    fake = Fake(rig, "/workspaces/ws-1")
    answer = asked(rig, f"{fake.url}/api/v1/remote_write", read=read, sigv4=rigs.TO_AMP)
    assert answer["done"], answer["stopped"]
    assert fake.requests
    for request in fake.requests:
        assert SigV4().refusal(request, NOW / 1000) is None


def test_federate_asks_for_all_selectors(rig: Rig) -> None:
    """Each selector is a match[] of its own."""
    fake = Fake(rig)
    match = ['{job="a b"}', "up"]
    asked(rig, fake.url, read="federate", match=match)
    assert [value for name, value in params(fake.requests[0]) if name == "match[]"] == match


def answered(result: Any, kind: str = "matrix") -> Answer:
    return Answer.json({"status": "success", "data": {"resultType": kind, "result": result}})


REFUSAL = {"status": "error", "errorType": "bad_data", "error": "too many steps"}
STRANGE: dict[str, tuple[Answer, str]] = {
    "html": (Answer(200, {"Content-Type": "text/html"}, b"<html>log in</html>"), "JSON"),
    "error": (Answer.json(REFUSAL, 422), "too many steps"),
    "forbidden": (Answer.json({"message": "Forbidden"}, 403), "403"),
    "another-shape": (answered({"x": 1}), ""),
    "a-list": (Answer.json([1]), ""),
    "scalar": (answered([1, "2"], "scalar"), "Prometheus"),
    "no-number": (answered([{"metric": {NAME: "a"}, "values": [[START_MS / 1000, "much"]]}]), "much"),
    "no-time": (answered([{"metric": {NAME: "a"}, "values": [["now", "1"]]}]), ""),
}


@pytest.mark.parametrize("read", ["query", "query_range"])
@pytest.mark.parametrize("what", STRANGE)
def test_an_answer_of_another_shape_stops(rig: Rig, what: str, read: str) -> None:
    """Job, window and what came instead are named, after few requests."""
    answer_of_server, words = STRANGE[what]
    rig.api.serve(f"/api/v1/{read}", answer_of_server)
    answer = asked(rig, rig.api.url, read=read)
    assert not answer["done"]
    rigs.assert_says(answer["stopped"], "old", time.strftime("%Y-%m-%dT", time.gmtime(START_MS / 1000)), words)
    assert len(rig.api.requests) < 10
    assert rig.receiver.requests == []
