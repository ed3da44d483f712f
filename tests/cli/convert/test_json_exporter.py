"""The parts of a json_exporter config around its paths: body, targets, what stays out."""

from __future__ import annotations

from typing import Any

import pytest

from lambda_remote_write_cli.convert import Conversion, Options, convert
from tests.rig.convert_corpus import complete

METRICS = "metrics: [{name: a, path: '{.a}'}]"


def converted(text: str, targets: str = "") -> tuple[list[dict[str, Any]], Conversion]:
    found = convert(text, "je.yml", Options(targets=(targets, "prometheus.yml") if targets else None))
    return complete(found)["json_configs"], found


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ("{content: x}", {"body": "x"}),
        ("{content: ''}", {}),
        ("{content: x, templatize: true}", {"body": "x"}),
        ("{content: '{{ x }}', templatize: false}", {"body": "{{ x }}"}),
        ("{content: '{{ x }}', templatize: true}", {"method": "POST"}),
    ],
)
def test_body(body: str, expected: dict[str, str]) -> None:
    """A body is sent by POST; one that nothing can fill is not sent as it stands."""
    (job,), found = converted(f"modules: {{m: {{{METRICS}, body: {body}}}}}\n")
    assert {key: value for key, value in job.items() if key in ("method", "body")} == expected
    assert bool(found.dropped) == ("method" in expected)


def test_a_loss_is_reported_once_for_all_targets() -> None:
    targets = """
scrape_configs:
  - job_name: json
    metrics_path: /probe
    static_configs: [{targets: ['https://a.example', 'https://b.example']}]
    relabel_configs: [{source_labels: [__address__], target_label: __param_target}]
"""
    jobs, found = converted(
        "modules: {default: {metrics: [{name: a, path: '{.a}'}, {name: up, path: '{.b}'}]}}\n", targets
    )
    assert [job["url"] for job in jobs] == ["https://a.example", "https://b.example"]
    assert [job["job_name"] for job in jobs] == ["json", "json-2"]
    assert [one.path for one in found.dropped] == ["modules.default.metrics[1]"]


def test_a_value_whose_name_is_not_allowed_is_left_out_alone() -> None:
    """What our reader refuses goes with its reason and place; the object's other values stay."""
    text = "modules: {m: {metrics: [{name: a, type: object, path: '{.a[*]}', values: {x: '{.x}', 'y-z': '{.y}'}}]}}\n"
    (job,), found = converted(text)
    assert [metric["name"] for metric in job["metrics"]] == ["a_x"]
    assert [(one.path, one.line) for one in found.dropped] == [("modules.m.metrics[0]", 1)]
    assert "# - name: a_y-z" in found.config


def test_an_address_that_is_none_is_left_to_a_person() -> None:
    targets = "scrape_configs: [{job_name: j, metrics_path: /probe, params: {target: [a.example]}}]\n"
    found = convert(f"modules: {{default: {{{METRICS}}}}}\n", "je.yml", Options(targets=(targets, "prometheus.yml")))
    assert [problem.path for problem in found.problems] == ["json_configs[0].url"]


def test_modules_of_one_name_with_a_job_get_names_of_their_own() -> None:
    targets = """
scrape_configs:
  - {job_name: two, metrics_path: /probe, params: {module: [one], target: ['https://a.example']}}
"""
    jobs, _ = converted(f"modules: {{one: {{{METRICS}}}, two: {{{METRICS}}}}}\n", targets)
    assert [job["job_name"] for job in jobs] == ["two", "two-2"]


def test_nothing_translated_is_no_job() -> None:
    found = convert("modules: {m: {metrics: [{name: a, path: '{..a}'}]}}\n", "je.yml")
    assert [problem.message[:15] for problem in found.problems] == ["there is no job"]
    assert "dropped m: none of its metrics is translated" in found.config
    assert "# - {name: a, path: '{..a}'}" in found.config


def test_other_keys_at_the_top_are_named() -> None:
    _, found = converted(f"modules: {{m: {{{METRICS}}}}}\nother: 1\n")
    assert [one.path for one in found.dropped] == ["other"]
    assert "# dropped other: json_exporter does not read this key either" in found.config
