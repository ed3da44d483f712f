"""What `pusher init` proposes for a document, judged as a person who knows Prometheus would."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from lambda_remote_write_cli.init.config_writer import Draft, json_job
from lambda_remote_write_cli.init.names import counter_name
from lambda_remote_write_cli.init.proposals import Proposal, propose
from lambda_remote_write_cli.init.record_finder import Finder
from lambda_remote_write_cli.init.request import Request
from tests.rig import init_command
from tests.rig.init_command import NOW_MS

JUST_NOW = datetime.fromtimestamp(NOW_MS / 1000 - 4, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _proposed(document: Any) -> Proposal:
    return propose(Finder(document, "", NOW_MS), "x", NOW_MS)


@pytest.mark.parametrize(
    ("document", "types"),
    [
        ({"meter": {"energyTotalWh": 1204118}}, {"x_meter_energy_total_wh": "counter"}),
        ({"cache": {"hits": 9, "misses": 1}}, {"x_cache_hits": "counter", "x_cache_misses": "counter"}),
        ({"disk": {"read_ops": 12}}, {"x_disk_read_ops": "counter"}),
        ({"builds_started": 7}, {"x_builds_started": "counter"}),
        ({"memory": {"total": 1024}}, {"x_memory_total": "gauge"}),
        ({"jobs_total": 0.5}, {"x_jobs_total": "gauge"}),
        ({"open_errors": True}, {"x_open_errors": "gauge"}),
    ],
    ids=lambda value: str(value)[:40],
)
def test_what_the_question_about_the_type_proposes(document: Any, types: dict[str, str]) -> None:
    assert {metric.name: metric.suggested_type for metric in _proposed(document).metrics} == types


@pytest.mark.parametrize(
    ("name", "counter"),
    [("requests", "requests_total"), ("requests_total", "requests_total"), ("energy_total_wh", "energy_wh_total"),
     ("total_energy", "total_energy_total"), ("energy_wh", "energy_wh_total")],
)  # fmt: skip
def test_the_name_of_a_counter_ends_in_total_once(name: str, counter: str) -> None:
    assert counter_name(name) == counter


@pytest.mark.parametrize("key", ["version", "firmwareVersion", "firmware", "build"])
def test_what_an_update_changes_is_no_label(key: str) -> None:
    """Each update would end all series of the thing, and begin others."""
    chargers = [{"id": "a", "site": "north", key: "1.6.0", "load": 1}, {"id": "b", "site": "north", "load": 2}]
    found = _proposed(chargers)

    assert found.groups[0].labels == {"id": "id", "site": "site"}
    assert f"{key}: '1.6.0', may be a label, but each update begins new series" in found.left_out


def test_a_version_that_alone_tells_records_apart_is_their_label() -> None:
    found = _proposed([{"version": "1.6.0", "clients": 3}, {"version": "1.7.0", "clients": 4}])

    assert found.groups[0].labels == {"version": "version"}


@pytest.mark.parametrize("key", ["generatedAt", "as_of", "collected_at", "recordedAt"])
def test_when_the_answer_was_made_may_be_the_time_of_its_values(key: str) -> None:
    found = _proposed({"meta": {key: JUST_NOW}, "data": [{"id": "a", "load": 1}, {"id": "b", "load": 2}]})

    assert [group.stamp.path for group in found.groups if group.stamp] == [f"$.meta.{key}"]


def test_the_label_of_a_map_of_objects_has_the_name_of_the_map() -> None:
    found = _proposed({"wifi": {"2g": {"clients": 4, "noise": -91}, "5g": {"clients": 11, "noise": -95}}})

    assert found.groups[0].labels == {"wifi": "@key"}


def test_a_map_of_numbers_is_named_after_a_quantity_which_is_no_label() -> None:
    found = _proposed({"load": {"10.0.0.1": 1, "10.0.0.2": 2, "10.0.0.3": 3}})

    assert found.groups[0].labels == {"key": "@key"}


def test_every_word_of_nested_lists_is_in_the_singular() -> None:
    methods = {"card": {"count": 1, "fee": 2}, "sepa": {"count": 3, "fee": 4}}
    found = _proposed({"merchants": {"m_1001": {"methods": methods}, "m_1002": {"methods": methods}}})

    assert [metric.name for metric in found.metrics] == ["x_merchant_method_count", "x_merchant_method_fee"]


def test_the_number_of_a_page_is_not_sent() -> None:
    found = _proposed({"page": 1, "per_page": 20, "data": [{"id": "a", "load": 1.5}, {"id": "b", "load": 2}]})

    assert [metric.name for metric in found.metrics] == ["x_load"]
    assert {"page: the place in the pages", "per_page: the place in the pages"} <= set(found.left_out)


def test_the_config_names_the_counter_and_shows_values_as_json_does() -> None:
    request, proposal = Request("https://api.example.com/x"), _proposed({"rx_bytes": 7, "up": True})
    text = json_job(Draft("pusher.yaml", "x", "1m", request, proposal, NOW_MS))

    assert "# named x_rx_bytes_total, or a gauge?" in text
    assert "# true\n" in text


def test_a_quantity_is_shown_in_full() -> None:
    (metric,) = _proposed({"size": "512 MiB"}).metrics

    assert metric.notes == ("512 MiB becomes 536870912; GB is 10^9, GiB 2^30",)


def test_the_questions_say_first_what_may_be_answered(capsys: pytest.CaptureFixture[str]) -> None:
    _, prompts = init_command.questioned({"up": True}, [""], prefix="x")
    said = capsys.readouterr().out

    assert "Enter takes what stands in brackets" in said
    assert "a take what is shown for all others" in said
    assert prompts == ["  x_up = true: counter or gauge? [gauge] "]


@pytest.mark.parametrize(
    ("path", "job"),
    [("/v2/payments/stats", "payments"), ("/v1/chargers", "chargers"), ("/ci/queue.json", "queue")],
)
def test_the_job_has_the_word_of_the_path_that_says_something(path: str, job: str, tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text('{"v": 1}')
    _, config = init_command.init(tmp_path, str(tmp_path / "a.json"), "--yes", "--url", f"https://a.example.com{path}")

    assert f"job_name: {job}\n" in config.read_text()
