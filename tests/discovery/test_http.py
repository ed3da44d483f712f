"""Lists of targets from a server, over a real socket."""

from __future__ import annotations

import base64

import pytest

from sandbox.server import Answer, Fault
from tests.rig.discovery import Rig, addresses
from tests.rig.scraping import Recorder

LIST = [{"targets": ["h:1", "h:2"], "labels": {"env": "prod"}}, {"targets": ["h:3"]}]


class Lister(Recorder):
    def entry(self, keys: str = "") -> str:
        return f'http_sd_configs: [{{url: "{self.url}/targets?team=a"{keys}}}]'


def test_a_list(rig: Rig) -> None:
    """The groups of the answer, each with the address it was asked at."""
    with Lister(Answer.json(LIST)) as lister:
        found = rig.found(lister.entry())
        assert found.warnings == []
        assert addresses(found) == ["h:1", "h:2", "h:3"]
        meta = {"__meta_url": f"{lister.url}/targets?team=a"}
        assert [group.labels for group in found.groups] == [{"env": "prod", **meta}, meta]


def test_a_login_in_the_url(rig: Rig) -> None:
    """Go's client makes basic auth of it, before any other of the config. No label and no message has it."""
    with Lister(Answer.json([{"targets": ["h:1"]}])) as lister:
        url = lister.url.replace("http://", "http://me:p%40ss@")
        found = rig.found(f'http_sd_configs: [{{url: "{url}/t", authorization: {{credentials: c}}}}]')
        (request,) = lister.requests
        assert request.headers["Authorization"] == f"Basic {base64.b64encode(b'me:p@ss').decode()}"
        assert [group.labels for group in found.groups] == [{"__meta_url": f"{lister.url}/t"}]


def test_a_label_that_is_not_allowed_costs_its_own_targets(rig: Rig) -> None:
    """The other groups of the answer are targets, and the warning says which are not."""
    listed = [{"targets": ["h:1"], "labels": {"": "x"}}, {"targets": ["h:2"], "labels": {"svc.name": "x"}}]
    with Lister(Answer.json(listed)) as lister:
        found = rig.found(lister.entry())
        assert addresses(found) == ["h:2"]
        (warning,) = found.warnings
        assert warning.startswith(f"http_sd_configs: {lister.url}/targets: '' of group 0 is not a label name")
        assert warning.endswith("not scraped: 'h:1'")
        assert not found.is_unknown


INTERVALS = [("", "60"), (", refresh_interval: 1m30s", "90"), (", refresh_interval: 1500ms", "1.5")]


@pytest.mark.parametrize(("interval", "seconds"), INTERVALS, ids=[seconds for _, seconds in INTERVALS])
def test_the_request(rig: Rig, interval: str, seconds: str) -> None:
    """It says who asks, how often, and for what, as Prometheus does; credentials are the config's."""
    with Lister(Answer.json(LIST)) as lister:
        rig.found(lister.entry(f"{interval}, authorization: {{credentials: sesame}}"))
        (request,) = lister.requests
    assert (request.method, request.path, request.query) == ("GET", "/targets", "team=a")
    assert request.headers["Accept"] == "application/json"
    assert request.headers["User-Agent"].startswith("lambda-remote-write/")
    assert request.headers["X-Prometheus-Refresh-Interval-Seconds"] == seconds
    assert request.headers["Authorization"] == "Bearer sesame"


def plain(body: bytes, content_type: str) -> Answer:
    return Answer(200, {"Content-Type": content_type}, body)


TYPES = {
    "plain": "application/json",
    "charset": "application/json; charset=utf-8",
    "quoted": 'Application/JSON;charset="UTF-8"',
}


@pytest.mark.parametrize("content_type", TYPES.values(), ids=TYPES)
def test_content_types(rig: Rig, content_type: str) -> None:
    """JSON in UTF-8, however it is written."""
    with Lister(plain(b'[{"targets": ["h:1"]}]', content_type)) as lister:
        assert addresses(rig.found(lister.entry())) == ["h:1"]


CUT = Answer(200, {"Content-Type": "application/json"}, b"[]", fault=Fault.half_answer())
REFUSED = {
    "status": (Answer(503), "/targets answered 503"),
    "no-content": (Answer(204), "/targets answered 204"),
    "denied": (Answer(401), "/targets answered 401: no credentials are configured"),
    "text": (plain(b"[]", "text/plain"), "/targets answered 'text/plain'; Content-Type must be application/json"),
    "charset": (plain(b"[]", "application/json; charset=latin-1"), "Content-Type must be application/json"),
    "no-type": (Answer(200, {}, b"[]"), "answered ''; Content-Type must be application/json"),
    "not-json": (plain(b"<html>", "application/json"), "/targets: JSON is malformed"),
    "not-groups": (plain(b'["h:1"]', "application/json"), "/targets: Expected `object`, got `str` - at `$[0]`"),
    "reset": (Fault.reset(), "the connection broke"),
    "cut": (CUT, "the connection broke"),
}


@pytest.mark.parametrize(("answer", "detail"), REFUSED.values(), ids=REFUSED)
def test_refused(rig: Rig, answer: Answer | Fault, detail: str) -> None:
    """Nothing else is a list; the warning names the address without its query."""
    with Lister(answer) as lister:
        found = rig.found(lister.entry())
    assert found.groups == []
    (warning,) = found.warnings
    assert warning.startswith("http_sd_configs: ")
    assert detail in warning
    assert warning.endswith("; no targets are known")
    assert "team=a" not in warning
