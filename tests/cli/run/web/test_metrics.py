"""What /metrics gives: names and types as documented, values as the process has them, read by others' parsers."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families as openmetrics
from prometheus_client.parser import text_string_to_metric_families as text_format

from lambda_remote_write.report import self_metrics
from lambda_remote_write_cli.run.messages import AttemptCounts
from lambda_remote_write_cli.run.status import ReloadStatus, TargetState
from lambda_remote_write_cli.run.web.metrics import exposition
from tests.rig.needs import Peer
from tests.rig.web import ENDPOINT, HTML, JOB, NOW_MS, STATUS, UP, MadeUp, client_of

OPERATIONS = (Path(__file__).parents[4] / "docs" / "operations.md").read_text()
OPENMETRICS = "application/openmetrics-text; version=1.0.0"
JSON_JOB = replace(JOB, name="usage", is_json=True)
FULL = replace(
    STATUS,
    jobs=[JOB, JSON_JOB],
    targets=[
        UP,
        replace(UP, state=TargetState.DOWN),
        replace(UP, job="usage", is_json=True, failed={"a": "x", "b": "y"}),
    ],
)


def samples(status: object = FULL, accept: str = "") -> dict[str, dict[tuple[str, ...], float]]:
    """Values by name and label values, as the reference parser reads the page."""
    page = exposition(status, accept)[0].decode()  # type: ignore[arg-type]
    found: dict[str, dict[tuple[str, ...], float]] = {}
    for family in (openmetrics if accept else text_format)(page):
        for sample in family.samples:
            found.setdefault(sample.name, {})[tuple(sample.labels.values())] = sample.value
    return found


@pytest.mark.parametrize("accept", ["", OPENMETRICS], ids=["text", "OpenMetrics"])
@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("pusher_build_info", {("9.8.7",): 1}),
        ("pusher_config_last_reload_successful", {(): 1}),
        ("pusher_config_last_reload_success_timestamp_seconds", {(): NOW_MS / 1000 - 600}),
        ("pusher_series_cache_size", {(): 42}),
        ("pusher_queue_samples", {("amp",): 7}),
        ("pusher_queue_capacity_samples", {("amp",): 100}),
        ("pusher_queue_oldest_sample_timestamp_seconds", {("amp",): NOW_MS / 1000 - 90}),
        ("pusher_queue_shards", {("amp",): 1}),
        ("pusher_samples_total", {
            ("amp", "collected", ""): 20, ("amp", "accepted", ""): 10, ("amp", "rejected", "http_400"): 3,
        }),
        ("pusher_request_attempts_total", {("204", "amp"): 4, ("503", "amp"): 2, ("none", "amp"): 1}),
        ("pusher_request_retries_total", {("amp",): 3}),
        ("pusher_sent_bytes_total", {("amp",): 512}),
        ("pusher_endpoint_last_success_timestamp_seconds", {("amp",): NOW_MS / 1000 - 60}),
        ("pusher_spool_waiting_entries", {("amp",): 2}),
        ("pusher_spool_oldest_entry_timestamp_seconds", {("amp",): NOW_MS / 1000 - 3600}),
        ("pusher_scrapes_total", {("web",): 9, ("usage",): 9}),
        ("pusher_scrapes_failed_total", {("web",): 2, ("usage",): 2}),
        ("pusher_discovery_failing", {("web",): 0, ("usage",): 0}),
        ("pusher_discovery_dropped_targets", {("web",): 0, ("usage",): 0}),
        ("pusher_targets", {
            ("web", "up"): 1, ("web", "down"): 1, ("web", "unknown"): 0,
            ("usage", "up"): 1, ("usage", "down"): 0, ("usage", "unknown"): 0,
        }),
        ("pusher_json_metrics_failed", {("usage",): 2}),
    ],
)  # fmt: skip
def test_values(name: str, values: Mapping[tuple[str, ...], float], accept: str) -> None:
    assert samples(accept=accept)[name] == values


def test_what_there_is_not_yet_has_no_time() -> None:
    idle = replace(ENDPOINT, queue_oldest_ms=0, has_spool=False, attempts=AttemptCounts({}))
    names = samples(replace(STATUS, endpoints=[idle])).keys()
    assert not names & {
        "pusher_queue_oldest_sample_timestamp_seconds",
        "pusher_endpoint_last_success_timestamp_seconds",
        "pusher_spool_waiting_entries",
        "pusher_spool_oldest_entry_timestamp_seconds",
    }


def test_a_config_that_was_refused() -> None:
    found = samples(replace(STATUS, reload=ReloadStatus(NOW_MS, "1 mistake")))
    assert found["pusher_config_last_reload_successful"] == {(): 0}
    assert found["pusher_config_last_reload_success_timestamp_seconds"] == {(): NOW_MS / 1000}


def test_any_text_is_a_label_value() -> None:
    odd = f'{HTML} "a\\b"\nc'
    assert samples(replace(STATUS, endpoints=[replace(ENDPOINT, name=odd)]))["pusher_queue_samples"] == {(odd,): 7}


def test_memory_is_there() -> None:
    assert samples()["process_resident_memory_bytes"][()] > 1_000_000


def documented() -> dict[str, str]:
    section = OPERATIONS.partition("## As a process")[2].partition("\n## ")[0]
    return dict(re.findall(r"^\| `(pusher_\w+)` \| (\w+) \|", section, re.M))


def test_every_metric_is_documented_with_its_type() -> None:
    page = exposition(FULL, "")[0].decode()
    types = dict(re.findall(r"^# TYPE (pusher_\w+) (\w+)$", page, re.M))
    assert types == documented()
    assert list(types) == list(documented())


def test_names_mean_what_they_mean_in_a_lambda() -> None:
    """Three names are of both: how many series are remembered, which version runs, and whether the newest config is in
    use."""
    of_runs = {family.name for family in self_metrics.FAMILIES}
    shared = {"pusher_build_info", "pusher_series_cache_size", "pusher_config_last_reload_successful"}
    assert of_runs & documented().keys() == shared


@pytest.mark.parametrize(
    ("accept", "content_type"),
    [
        ("", "text/plain"),
        ("*/*", "text/plain"),
        ("text/html,application/xhtml+xml", "text/plain"),
        (OPENMETRICS, "application/openmetrics-text"),
        (f"{OPENMETRICS};q=0.6,text/plain;version=0.0.4;q=0.5,*/*;q=0.1", "application/openmetrics-text"),
        ("nonsense;;;q=x,,", "text/plain"),
        ("application/openmetrics-text; version=one; escaping=", "text/plain"),
    ],
)  # fmt: skip
def test_the_format_is_the_one_that_is_accepted(accept: str, content_type: str) -> None:
    with client_of(MadeUp()) as client:
        answer = client.ask("/metrics", headers=[("Accept", accept)])
    assert answer.status == 200
    assert answer.headers["content-type"].startswith(content_type)
    assert answer.text.endswith("# EOF\n") == ("openmetrics" in content_type)


def test_no_part_of_a_request_becomes_a_header() -> None:
    with client_of(MadeUp()) as client:
        answer = client.ask("/metrics", headers=[("Accept", f"{OPENMETRICS}.a\r\n X-Other: b")])
    assert answer.headers["content-type"].startswith("text/plain")
    assert not [name for name in answer.headers if "other" in name]


def test_promtool_finds_no_fault(peer: Peer) -> None:
    page, _ = exposition(FULL, "")
    done = subprocess.run(
        [peer("promtool"), "check", "metrics"], input=page, capture_output=True, check=False, timeout=60
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")
