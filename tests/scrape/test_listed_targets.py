"""A list of ids, then a request for each: json_sd_configs and relabelling, in both kinds of jobs."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from typing import Any

import pytest

from lambda_remote_write.config.load import parse_config
from lambda_remote_write.dependencies import Dependencies
from lambda_remote_write.plan import plan
from sandbox.server import Answer, LoopbackServer, Request
from tests.rig.delivery import Clock, no_session
from tests.rig.scrape import TEXT

PROJECTS = [{"id": 11, "name": "a"}, {"id": 12, "name": "b"}]


def api(request: Request) -> Answer:
    """Its projects, and of each the latest pipeline, as a document and as a page."""
    if request.path == "/projects":
        return Answer.json(PROJECTS)
    number = request.path.rpartition("/")[2]
    if request.path.startswith("/pages/"):
        return Answer(200, {"Content-Type": TEXT}, f"pipeline_duration_seconds {number}\n".encode())
    return Answer.json({"status": "success", "duration": int(number)})


def planned(respond: Callable[[Request], Answer], kind: str, **keys: Any) -> dict[str, Any]:
    """What `pusher plan` shows of a config with one job. `BASE` stands for the API's address."""
    server = LoopbackServer(respond)
    config = {kind: [{"job_name": "j", **keys}], "remote_write": [{"url": "http://127.0.0.1:9/"}]}
    text = json.dumps(config).replace("BASE", f"127.0.0.1:{server.port}")
    clock = Clock()
    dependencies = Dependencies({}, clock.now_ms, no_session, clock.sleep)
    try:
        return plan(parse_config(text, "test.yaml", {}), dependencies, time.monotonic() + 20)
    finally:
        dependencies.transport.close()
        server.close()


def samples(found: dict[str, Any]) -> dict[str, float]:
    """The values of the metric by the label `project`."""
    shown = [one for metric in found["jobs"][0]["metrics"] for one in metric["shown"]]
    return {one["after"]["project"]: one["value"] for one in shown if one["after"]["__name__"].startswith("pipeline")}


LISTED = {"url": "http://BASE/projects", "labels": {"id": "id", "project": "name"}}
LABEL = {"source_labels": ["__meta_json_project"], "target_label": "project"}
METRICS = [{"name": "pipeline_duration_seconds", "value": "duration"}]
WAYS = {
    "a constant, and the path by relabelling": (
        "json_configs",
        "'BASE'",
        [{"source_labels": ["__meta_json_id"], "target_label": "__metrics_path__", "replacement": "/projects/$1"}],
    ),
    "a URL": ("json_configs", "join('', ['http://BASE/projects/', to_string(id)])", []),
    "pages": ("scrape_configs", "join('', ['http://BASE/pages/', to_string(id)])", []),
}


@pytest.mark.parametrize(("kind", "target", "rules"), WAYS.values(), ids=WAYS)
def test_ids_are_listed_and_each_is_asked(kind: str, target: str, rules: list[dict[str, Any]]) -> None:
    """The labels of the list are those of the samples."""
    keys: dict[str, Any] = {"metrics": METRICS} if kind == "json_configs" else {}
    listed = [{**LISTED, "target": target}]
    found = planned(api, kind, json_sd_configs=listed, relabel_configs=[*rules, LABEL], **keys)
    assert (found["ok"], found["warnings"]) == (True, [])
    assert samples(found) == {"a": 11, "b": 12}
    first, _ = found["jobs"][0]["targets"]
    assert first["discovered"]["__meta_json_id"] == "11"
    assert first["discovered"]["__meta_url"].endswith("/projects")


def test_a_plan_shows_no_secret_of_the_list_s_or_a_target_s_query() -> None:
    """Labels of discovery hold addresses with their queries, as in Prometheus."""
    listed = [{**LISTED, "url": "http://BASE/projects?api_key=sesame-of-list"}]
    listed[0]["target"] = "join('', ['http://BASE/projects/', to_string(id), '?access_token=sesame-of-target'])"
    rules = [{"source_labels": ["__meta_json_id"], "regex": "12", "action": "drop"}]
    found = planned(api, "json_configs", json_sd_configs=listed, relabel_configs=rules, metrics=METRICS)
    (shown,), (dropped,) = found["jobs"][0]["targets"], found["jobs"][0]["dropped_targets"]
    assert shown["discovered"]["__meta_json_id"] == "11"
    assert dropped["discovered"]["__meta_json_id"] == "12"
    assert "sesame" not in json.dumps(found)


def test_a_list_that_was_never_there_is_a_job_that_is_down() -> None:
    listed = [{**LISTED, "target": "host"}]
    found = planned(lambda _: Answer(503), "json_configs", json_sd_configs=listed, metrics=METRICS)
    assert not found["ok"]
    assert "/projects answered 503; no targets are known" in found["jobs_down"]["j"]


def test_an_empty_list_is_a_job_without_targets() -> None:
    listed = [{**LISTED, "target": "host"}]
    found = planned(lambda _: Answer.json([]), "json_configs", json_sd_configs=listed, metrics=METRICS)
    assert (found["ok"], found["jobs"][0]["targets"], found["warnings"]) == (True, [], [])
