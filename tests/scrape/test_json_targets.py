"""JSON jobs with many targets: the rules of a scrape job hold, and each target gives a document instead of a page."""

from __future__ import annotations

import json
import time
from datetime import UTC, datetime
from typing import Any

import pytest

from lambda_remote_write.config.load import parse_config
from lambda_remote_write.dependencies import Dependencies
from lambda_remote_write.environment import Environment
from lambda_remote_write.plan import plan
from lambda_remote_write.relabel import hashmod
from lambda_remote_write.state.shards import Shard
from sandbox.server import Answer, Request
from tests.rig.json_source import NOW_MS, Rig

MINUTE_MS = 60_000
DEVICES = ("a", "b", "c")
"""Each is a path of its own at the one address of the rig; relabelling tells their series apart."""


def relabelled(**keys: Any) -> dict[str, Any]:
    """A job whose targets are named by a label, from which the path comes."""
    return {
        "job_name": "devices",
        "relabel_configs": [
            {"source_labels": ["device"], "target_label": "__metrics_path__", "replacement": "/$1/status"},
            {"source_labels": ["device"], "target_label": "instance"},
        ],
        "metrics": [{"name": "watts", "value": "power"}],
        **keys,
    }


def static(rig: Rig, *devices: str, **labels: str) -> list[dict[str, Any]]:
    address = rig.api.url.removeprefix("http://")
    return [{"targets": [address], "labels": {"device": device, **labels}} for device in devices]


def serve(rig: Rig, **documents: Any) -> None:
    for device, document in documents.items():
        rig.serve(json.dumps(document), path=f"/{device}/status")


def watts(rig: Rig) -> dict[str, list[float]]:
    """Instance -> the values that arrived."""
    return {
        dict(labels)["instance"]: [value for _, value in points]
        for labels, points in rig.receiver.series("watts").items()
    }


def test_every_target_gives_its_samples_and_its_up(rig: Rig) -> None:
    serve(rig, a={"power": 1}, b={"power": 2}, c={"power": 3})
    job = relabelled(static_configs=static(rig, *DEVICES, room="kitchen"), labels={"team": "home", "room": "none"})
    report = rig.push(json.dumps(job))
    assert watts(rig) == {"a": [1.0], "b": [2.0], "c": [3.0]}
    for labels in rig.receiver.series("watts"):
        assert {name: value for name, value in labels if name not in ("__name__", "instance")} == {
            "device": dict(labels)["device"], "job": "devices", "room": "kitchen", "team": "home",
        }  # fmt: skip
    assert [rig.value("up", instance=device) for device in DEVICES] == [1.0, 1.0, 1.0]
    (found,) = report["jobs"]
    assert (found["targets"], found["up"], found["records"], found["mapped"], found["pages"]) == (3, 3, 3, 3, 3)
    assert report["ok"]


def test_params_and_path_are_those_of_the_job_or_of_the_target(rig: Rig) -> None:
    asked: list[tuple[str, str]] = []

    def respond(request: Request) -> Answer:
        asked.append((request.path, request.query))
        return Answer.json({"power": 1})

    rig.api.serve("/status", respond)
    rig.api.serve("/own", respond)
    address = rig.api.url.removeprefix("http://")
    own = {"__metrics_path__": "/own", "__param_unit": "f", "instance": "own"}
    job = relabelled(
        relabel_configs=[],
        metrics_path="/status",
        params={"unit": ["c", "k"], "a": ["x y"]},
        static_configs=[{"targets": [address]}, {"targets": [address], "labels": own}],
    )
    assert rig.push(json.dumps(job))["ok"]
    assert sorted(asked) == [("/own", "a=x+y&unit=f&unit=k"), ("/status", "a=x+y&unit=c&unit=k")]
    assert set(watts(rig)) == {address, "own"}


def test_one_target_that_is_down_is_not_a_job_that_is_down(rig: Rig) -> None:
    serve(rig, a={"power": 1}, b={"other": 2})
    job = relabelled(static_configs=static(rig, "a", "b", "gone"))
    report = rig.push(json.dumps(job))
    assert [rig.value("up", instance=device) for device in ("a", "b", "gone")] == [1.0, 0.0, 0.0]
    (found,) = report["jobs"]
    assert (found["targets"], found["up"]) == (3, 1)
    errors = {one["instance"]: one["error"] for one in found["down"]}
    assert "value power finds nothing" in errors["b"]
    assert "answered 404" in errors["gone"]
    assert (report["ok"], report["jobs_down"], report["totals"]["JobsDown"]) == (True, {}, 0)
    assert watts(rig) == {"a": [1.0]}


def test_a_job_whose_targets_are_all_down_is_down(rig: Rig) -> None:
    report = rig.push(json.dumps(relabelled(static_configs=static(rig, "a", "b"))))
    assert list(report["jobs_down"]) == ["devices"]
    assert not report["ok"]


def test_a_metric_that_fails_at_some_targets_is_said_and_one_that_fails_at_all_is_a_failure(rig: Rig) -> None:
    serve(rig, a={"power": 1, "t": 5}, b={"power": 2})
    metrics = [{"name": "watts", "value": "power"}, {"name": "celsius", "value": "t"}]
    some = rig.push(json.dumps(relabelled(metrics=metrics, static_configs=static(rig, "a", "b", "gone"))))
    (found,) = some["jobs"]
    assert found["failed"] == {"celsius": found["failed"]["celsius"]}
    assert found["failed"]["celsius"].startswith("at 1 of 2 targets, as b: metric celsius: ")
    assert some["ok"]
    rig.clock.ms += MINUTE_MS
    serve(rig, a={"power": 1})
    both = rig.push(json.dumps(relabelled(metrics=metrics, static_configs=static(rig, "a", "b"))))
    assert list(both["jobs_down"]) == ["devices"]
    assert "celsius" in both["jobs_down"]["devices"]
    assert not both["ok"]


def test_above_target_limit_none_is_asked(rig: Rig) -> None:
    serve(rig, a={"power": 1}, b={"power": 2})
    report = rig.push(json.dumps(relabelled(target_limit=1, static_configs=static(rig, "a", "b"))))
    assert rig.api.requests == []
    assert [rig.value("up", instance=device) for device in ("a", "b")] == [0.0, 0.0]
    assert "2 targets, target_limit is 1" in report["jobs_down"]["devices"]


def test_a_target_has_its_own_interval_and_timeout(rig: Rig) -> None:
    serve(rig, a={"power": 1}, b={"power": 2})
    groups = [*static(rig, "a"), *static(rig, "b", __scrape_interval__="5m", __scrape_timeout__="1s")]
    app = rig.app(json.dumps(relabelled(static_configs=groups)), top="global: {scrape_interval: 1m}")
    for _ in range(10):
        at = datetime.fromtimestamp(rig.clock.ms / 1000, UTC).isoformat()
        app.handle({"action": "push", "scheduled_time": at}, None)
        rig.clock.ms += MINUTE_MS
    assert {instance: len(values) for instance, values in watts(rig).items()} == {"a": 10, "b": 2}
    (environment,) = app._environments.values()
    assert {source.instance: source.timeout_ms for source in environment.sources()} == {"a": 10_000, "b": 1_000}


def test_a_target_that_leaves_ends_its_series_and_those_of_the_others_go_on(rig: Rig) -> None:
    address = rig.api.url.removeprefix("http://")
    listed = [{"targets": [address], "labels": {"device": device}} for device in ("a", "b")]
    rig.api.serve("/targets", lambda _: Answer.json(listed))
    serve(rig, a={"power": 1}, b={"power": 2})
    app = rig.app(
        json.dumps(relabelled(http_sd_configs=[{"url": f"{rig.api.url}/targets", "refresh_interval": "1ms"}]))
    )
    for run in range(6):
        if run == 2:
            listed.pop()
        app.handle({}, None)
        rig.clock.ms += MINUTE_MS
    arrived = watts(rig)
    assert arrived["a"] == [1.0] * 6
    assert arrived["b"][:2] == [2.0, 2.0]
    assert len(arrived["b"]) == 3
    assert arrived["b"][2] != arrived["b"][2]  # a stale marker is a NaN
    (ended,) = (points for labels, points in rig.receiver.series("watts").items() if dict(labels)["instance"] == "b")
    assert ended[2][0] == NOW_MS + 2 * MINUTE_MS  # the time of the first scrape that was missed


def test_each_target_is_scraped_in_one_shard_of_several(rig: Rig) -> None:
    """By the hash of its job and its labels and address, as the targets of a scrape job."""
    devices = [f"d{number}" for number in range(12)]
    config = {
        "json_configs": [relabelled(static_configs=static(rig, *devices))],
        "remote_write": [{"url": "http://r/"}],
    }
    found: list[str] = []
    for index in range(3):
        environment = Environment(parse_config(json.dumps(config), "c", {}), Dependencies({}), shard=Shard(index, 3))
        environment.discover(time.monotonic() + 10)
        sources = environment.sources()
        assert {hashmod(source.key, 3) for source in sources} <= {index}
        assert len(sources) < len(devices)
        found += [source.instance for source in sources]
    assert sorted(found) == sorted(devices)


STAMPED = {"name": "watts", "records": "[]", "value": "v", "timestamp": {"path": "t", "format": "unix"}}


def test_after_a_cold_start_each_target_goes_on_where_it_was(rig: Rig) -> None:
    """A target that lags behind the others loses nothing, and none sends again what another environment has sent."""
    rig.env_vars["PUSHER_SPOOL"] = str(rig.folder / "spool")
    now = NOW_MS // 1000
    job = json.dumps(relabelled(metrics=[STAMPED], static_configs=static(rig, *DEVICES)))
    serve(rig, a=[{"v": 1, "t": now}], b=[{"v": 2, "t": now - 600}], c=[{"v": 3, "t": now - 60}])
    rig.push(job)
    rig.clock.ms += MINUTE_MS
    serve(rig, a=[{"v": 4, "t": now + 60}], b=[{"v": 5, "t": now - 540}])
    report = rig.push(job)
    assert report["ok"]
    assert rig.receiver.refused == 0
    assert watts(rig) == {"a": [1.0, 4.0], "b": [2.0, 5.0], "c": [3.0]}
    assert {reason: one["count"] for reason, one in report["jobs"][0]["dropped"].items()} == {"not_newer": 1}


@pytest.mark.parametrize("kind", ["json_configs", "scrape_configs"])
def test_plan_shows_targets_of_both_kinds_alike(rig: Rig, kind: str) -> None:
    serve(rig, a={"power": 1})
    rig.api.serve("/gone/status", Answer(500))
    job = relabelled(static_configs=[*static(rig, "a", "gone"), *static(rig, "left")])
    job["relabel_configs"] += [{"source_labels": ["device"], "regex": "left", "action": "drop"}]
    if kind == "scrape_configs":
        del job["metrics"]
    app = rig.app(json.dumps(job))
    config = parse_config(json.dumps({kind: [job], "remote_write": [{"url": rig.receiver.url}]}), "config.yaml", {})
    (found,) = plan(config, app._dependencies, time.monotonic() + 10)["jobs"]
    assert [(one["labels"]["instance"], one["url"].rpartition("/")[0]) for one in found["targets"]] == [
        ("a", f"{rig.api.url}/a"), ("gone", f"{rig.api.url}/gone"),
    ]  # fmt: skip
    assert found["dropped_targets_count"] == 1
    assert found["dropped_targets"][0]["by"] == "relabel_configs[2]"
    assert [one["up"] for one in found["targets"]] == [int(kind == "json_configs"), 0]
