"""APIs whose answer for a range of time has another shape than their answer of now: IoT platforms, time series
databases, dashboards. By hand and on the live path."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import pytest

from lambda_remote_write.config.load import parse_config
from lambda_remote_write.config.yaml_reader import ConfigError
from lambda_remote_write.dependencies import Dependencies
from lambda_remote_write.environment import Environment
from lambda_remote_write.push import push
from lambda_remote_write.report.report import Report
from lambda_remote_write.scrape.schedule import Tick
from sandbox.amp import Receiver
from sandbox.api import Api
from sandbox.server import Answer, Request
from tests.rig import backfill as rigs
from tests.rig.backfill import MINUTE, NOW_MS, Rig
from tests.rig.delivery import ENVIRONMENT, Clock, no_session
from tests.rig.push import config_text, endpoint

Document = Callable[[list[int]], Any]
RANGE = {"query": {"from": "{start}", "to": "{end}"}, "format": "unix", "window": "30m"}
UNIX = {"path": "time", "format": "unix"}


def rfc3339(at: int) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(at))


def latest(at: int) -> dict[str, Any]:
    return {"device": "pump", "value": at % 1000, "time": at}


METRIC: dict[str, Any] = {
    "name": "reading", "records": "@", "value": "value", "timestamp": UNIX, "labels": {"device": "device"},
}  # fmt: skip
SHAPES: dict[str, tuple[Document, dict[str, Any], dict[str, Any]]] = {
    # what the API answers for a range, the job's `backfill`, the metric's
    "records below a path": (
        lambda found: {"data": {"points": [latest(at) for at in found]}},
        {"records": "data.points"}, {},
    ),
    "steps": (
        lambda found: {"days": [{"points": [latest(at) for at in found]}]},
        {"records": ["days[]", "points[]"]}, {},
    ),
    "a list": (lambda found: [latest(at) for at in found], {"records": "[]"}, {}),
    "fields of other names": (
        lambda found: {"device": "pump", "series": [{"v": at % 1000, "t": rfc3339(at)} for at in found]},
        {"records": "series"},
        {"value": "v", "timestamp": {"path": "t", "format": "rfc3339"}, "labels": {"device": "$.device"}},
    ),
    "pairs, as in Prometheus and Graphite": (
        lambda found: {"result": [{"device": "pump", "values": [[at, str(at % 1000)] for at in found]}]},
        {"records": ["result[]", "values"]},
        {"value": "[1]", "timestamp": {"path": "[0]", "format": "unix"}, "labels": {"device": "^.device"}},
    ),
    "keyed by time": (
        lambda found: {"device": "pump", "history": {str(at): {"value": at % 1000} for at in found}},
        {},
        {"records": "history", "timestamp": {"path": "@key", "format": "unix"}, "labels": {"device": "$.device"}},
    ),
    "the metric's own records, before the job's": (
        lambda found: {"other": [], "mine": [latest(at) for at in found]},
        {"records": "other"}, {"records": "mine"},
    ),
}  # fmt: skip
EACH = pytest.mark.parametrize(("document", "of_job", "of_metric"), SHAPES.values(), ids=SHAPES)


def serve(api: Api, document: Document, now: Callable[[], int]) -> tuple[str, list[tuple[int, int]]]:
    """An API with a point every minute. Its address, and the ranges that it was asked for."""
    asked: list[tuple[int, int]] = []

    def answer(request: Request) -> Answer:
        if "from" not in request.params:
            return Answer.json(latest(now() // 60 * 60))
        start, end = int(request.params["from"]), int(request.params["to"])
        asked.append((start, end))
        return Answer.json(document(list(range(-(-start // 60) * 60, end + 1, 60))))

    return api.serve("/meter", answer), asked


def job(url: str, of_job: dict[str, Any], of_metric: dict[str, Any], **keys: Any) -> dict[str, Any]:
    metric = METRIC | ({"backfill": of_metric} if of_metric else {}) | keys
    return {"job_name": "j", "url": url, "metrics": [metric], "backfill": RANGE | of_job}


def ranged(
    rig: Rig, url: str, seconds: int, of_job: dict[str, Any], of_metric: dict[str, Any], **keys: Any
) -> dict[str, Any]:
    """The answer of a backfill of so many seconds."""
    start = NOW_MS // 1000 - 7200
    return rig.backfill({"job": "j", "start": start, "end": start + seconds - 1}, job(url, of_job, of_metric, **keys))


@EACH
def test_a_backfill_reads_it(rig: Rig, document: Document, of_job: dict[str, Any], of_metric: dict[str, Any]) -> None:
    url, asked = serve(rig.api, document, lambda: NOW_MS // 1000)
    answer = ranged(rig, url, 3600, of_job, of_metric)
    start, (points,) = NOW_MS // 1000 - 7200, rig.stored.values()
    assert points == [(at * 1000, at % 1000) for at in range(start, start + 3600, 60)]
    assert 'device="pump"' in next(iter(rig.stored))
    assert (answer["done"], answer["skipped"], len(asked)) == (True, {}, 2)


@dataclass
class Live:
    """A job that is pushed minute by minute."""

    environment: Environment
    clock: Clock
    amp: Receiver
    asked: list[tuple[int, int]]

    def run(self) -> Report:
        tick = Tick(self.clock.now_ms(), None, MINUTE, frozenset(self.environment.config.job_names()))
        return push(self.environment, tick, time.monotonic() + 30)


@contextmanager
def live(document: Document, of_job: dict[str, Any], of_metric: dict[str, Any]) -> Iterator[Live]:
    clock = Clock()
    clock.ahead = -(time.time() % 60) + 20 - 3 * 3600
    with Api() as api, Receiver(now=clock.time) as amp:
        url, asked = serve(api, document, lambda: clock.now_ms() // 1000)
        text = config_text([job(url, of_job, of_metric)], [endpoint(amp, "amp")])
        dependencies = Dependencies(ENVIRONMENT, clock.now_ms, no_session, clock.sleep)
        yield Live(
            Environment(parse_config(text, "c", ENVIRONMENT), dependencies, gap_backfill=True), clock, amp, asked
        )
        dependencies.transport.close()


@EACH
def test_a_gap_is_filled_in_the_same_series(
    document: Document, of_job: dict[str, Any], of_metric: dict[str, Any]
) -> None:
    """What was missed and what is fresh are one series without a hole."""
    with live(document, of_job, of_metric) as found:
        for pause in (1, 12, 1):
            report = found.run()
            found.clock.ahead += 60 * pause
        assert report.warnings == []
        (points,) = found.amp.series("reading").values()
        minutes = [at // MINUTE - points[0][0] // MINUTE for at, _ in points]
        assert minutes == list(range(14))
        assert [value for _, value in points] == [at // 1000 % 1000 for at, _ in points]
        assert len(found.asked) == 1


def test_a_metric_without_a_time_of_now_may_have_one_in_a_range(rig: Rig) -> None:
    """The latest value has the time at which it is asked for, and the past says when it was."""
    document, of_job, _ = SHAPES["records below a path"]
    url, _ = serve(rig.api, document, lambda: NOW_MS // 1000)
    ranged(rig, url, 600, of_job, {"timestamp": UNIX}, timestamp=None)
    (points,) = rig.stored.values()
    assert len(points) == 10


# --- When it is not there ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("of_job", "keys", "words"),
    [
        pytest.param(
            {"records": "data.pionts"}, {}, ["backfill.records data.pionts", "data.points"], id="another path"
        ),
        pytest.param({}, {}, ["finds nothing", "data"], id="none said"),
        pytest.param({}, {"records": "items"}, ["records_missing", "items", "backfill.records"], id="those of now"),
    ],
)
def test_an_answer_of_another_shape_is_no_empty_window(
    rig: Rig, of_job: dict[str, Any], keys: dict[str, Any], words: list[str]
) -> None:
    """The message names the key to set."""
    url, _ = serve(rig.api, SHAPES["records below a path"][0], lambda: NOW_MS // 1000)
    answer = ranged(rig, url, 600, of_job, {}, **keys)
    rigs.assert_says("\n".join(answer["notes"]) + str(answer["skipped"]), *words)
    assert answer["skipped"]
    assert rig.stored == {}


def test_a_gap_whose_answer_cannot_be_read_names_the_key() -> None:
    with live(SHAPES["records below a path"][0], {"records": "data.pionts"}, {}) as found:
        found.run()
        found.clock.ahead += 600
        rigs.assert_says(found.run().scrapes[0].error, "gap", "backfill.records data.pionts", "data.points")


# --- The config -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("of_job", "of_metric", "keys", "words"),
    [
        pytest.param({"records": "a["}, {}, {}, ["json_configs[0].backfill.records"], id="no expression"),
        pytest.param({"records": []}, {}, {}, ["json_configs[0].backfill.records", "[]"], id="no step"),
        pytest.param(
            {"records": "a"}, {}, {"records": ["x", "y"], "labels": {"l": "^.^.l"}},
            ["json_configs[0].backfill.records", "reading", "reaches out of records"], id="a label that reaches out",
        ),
        pytest.param(
            {}, {"records": "a", "value": "^.^.v"}, {},
            ["json_configs[0].metrics[0].backfill.value", "reaches out"], id="a value that reaches out",
        ),
        pytest.param(
            {}, {"timestamp": {"path": "t"}}, {}, ["json_configs[0].metrics[0].backfill.timestamp", "format"],
            id="a timestamp without format",
        ),
        pytest.param(
            {}, {"recrods": "a"}, {}, ["json_configs[0].metrics[0].backfill.recrods", "records"], id="a misspelt key",
        ),
        pytest.param({}, {}, {"timestamp": None}, ["timestamp", "reading"], id="no timestamp at all"),
    ],
)  # fmt: skip
def test_a_mistake_is_named(
    of_job: dict[str, Any], of_metric: dict[str, Any], keys: dict[str, Any], words: list[str]
) -> None:
    with pytest.raises(ConfigError) as refused:
        parse_config(config_text([job("http://api/x", of_job, of_metric, **keys)], []), "c", ENVIRONMENT)
    rigs.assert_says(str(refused.value), *words)


def test_a_metrics_shape_needs_a_job_that_asks_for_ranges() -> None:
    found = job("http://api/x", {}, {"records": "a"})
    del found["backfill"]
    with pytest.raises(ConfigError, match=r"metrics.*backfill of a metric"):
        parse_config(config_text([found], []), "c", ENVIRONMENT)
