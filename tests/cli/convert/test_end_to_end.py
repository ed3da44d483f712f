"""A converted config at work: the samples are those that the other program would have given."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from lambda_remote_write.app import App
from lambda_remote_write.dependencies import Dependencies
from lambda_remote_write_cli.convert import Options, convert
from tests.rig.json_source import NOW_MS, Rig, skipped

pytestmark = pytest.mark.slow

EXPORTER_DOCUMENT = {
    "counter": 1234,
    "timestamp": 1657568506,
    "values": [
        {"id": "id-A", "count": 1, "some_boolean": True, "state": "ACTIVE"},
        {"id": "id-B", "count": 2, "some_boolean": True, "state": "INACTIVE"},
        {"id": "id-C", "count": 3, "some_boolean": False, "state": "ACTIVE"},
    ],
    "location": "mars",
}
DOCUMENTED = Path(__file__).parents[2] / "testdata" / "convert" / "json-exporter-documented" / "input.yaml"


@pytest.fixture
def rig(tmp_path: Path) -> Any:
    with Rig(tmp_path) as found:
        yield found


def run(rig: Rig, modules: str, document: Any, *, exact: bool = False, module: str = "m") -> dict[str, Any]:
    """One push of one module against the document, its address told as Prometheus would tell it."""
    target = rig.serve(json.dumps(document))
    asking = f"""
        scrape_configs:
          - job_name: json
            metrics_path: /probe
            params: {{module: [{module}], target: ['{target}']}}
    """
    found = convert(modules, "je.yml", Options(targets=(asking, "prometheus.yml"), exact=exact))
    jobs = yaml.load(found.config, yaml.CBaseLoader)["json_configs"]
    return rig.push(json.dumps(next(job for job in jobs if job["url"] == target)))


def lines(rig: Rig) -> list[str]:
    return [line.removesuffix(f" @{NOW_MS}") for line in rig.lines()]


def test_documented_config_gives_the_documented_answer(rig: Rig) -> None:
    """What json_exporter's own examples print."""
    run(rig, DOCUMENTED.read_text(), EXPORTER_DOCUMENT, module="default")
    assert lines(rig) == [
        'example_global_value{environment="beta",location="planet-mars"} 1234',
        'example_timestamped_value_count{environment="beta"} 2',
        'example_value_active{environment="beta",id="id-A"} 1',
        'example_value_active{environment="beta",id="id-C"} 1',
        'example_value_boolean{environment="beta",id="id-A"} 1',
        'example_value_boolean{environment="beta",id="id-C"} 0',
        'example_value_count{environment="beta",id="id-A"} 1',
        'example_value_count{environment="beta",id="id-C"} 3',
    ]


VALUES = """
    modules:
      m:
        metrics:
          - {name: off, path: '{.off}'}
          - {name: nothing, path: '{.nothing}'}
          - {name: missing, path: '{.missing}', allow_missing_key: true}
          - {name: text, path: '{.text}'}
          - {name: word, path: '{.word}'}
          - {name: joined, path: '{.major}.{.minor}'}
          - {name: big, path: '{.big}', labels: {id: '{.big}'}}
          - {name: stamped, path: '{.text}', epochtimestamp: '{.at}'}
"""
VALUES_DOCUMENT = {
    "off": False, "nothing": None, "text": "95.5", "word": "true", "major": 2, "minor": 10, "big": 1234567,
    "at": NOW_MS - 5000,
}  # fmt: skip


def test_kinds_of_values(rig: Rig) -> None:
    """Booleans, numeric texts, joined texts and milliseconds; null, missing and words give nothing, and are counted."""
    report = run(rig, VALUES, VALUES_DOCUMENT)
    assert rig.lines() == [
        f'big{{id="1234567"}} 1234567 @{NOW_MS}',
        f"joined 2.1 @{NOW_MS}",
        f"off 0 @{NOW_MS}",
        f"stamped 95.5 @{NOW_MS - 5000}",
        f"text 95.5 @{NOW_MS}",
    ]
    assert skipped(report) == {"value_missing": 2, "not_a_number": 1}


def test_exact_values(rig: Rig) -> None:
    """As json_exporter 0.7.0 has them: a word for a truth is a number; a null or missing key is no sample."""
    report = run(rig, VALUES, VALUES_DOCUMENT, exact=True)
    found = lines(rig)
    assert "word 1" in found
    assert "off 0" in found
    assert "joined 2.1" in found
    assert "text 95.5" in found
    assert [line for line in found if line.startswith("nothing")] == []
    assert skipped(report) == {"value_missing": 2}


def test_labels_of_a_value_come_from_the_document_and_of_an_object_from_the_object(rig: Rig) -> None:
    modules = """
        modules:
          m:
            metrics:
              - {name: one, path: '{.rows[0].n}', labels: {id: '{.id}', first: '{.rows[0].id}'}}
              - {name: each, type: object, path: '{.rows[*]}', labels: {id: '{.id}', up: '{$.id}'}, values: {n: '{.n}'}}
    """
    run(rig, modules, {"id": "document", "rows": [{"id": "a", "n": 1}, {"id": "b", "n": 2}]})
    assert lines(rig) == [
        'each_n{id="a",up="a"} 1',
        'each_n{id="b",up="b"} 2',
        'one{first="a",id="document"} 1',
    ]


def test_records_that_are_lists_stay_whole(rig: Rig) -> None:
    modules = """
        modules:
          m:
            metrics:
              - {name: point, type: object, path: '{.points[*]}', labels: {at: '{[0]}'}, values: {v: '{[1]}'}}
    """
    run(rig, modules, {"points": [["a", 1], ["b", 2]]})
    assert lines(rig) == ['point_v{at="a"} 1', 'point_v{at="b"} 2']


COLLECTOR = """
receivers:
  prometheus:
    config:
      scrape_configs:
        - job_name: app
          metrics_path: /page
          static_configs:
            - targets: ['{target}']
          relabel_configs:
            - {{source_labels: [__address__], regex: '(.*):.*', target_label: host, replacement: 'h-$$1'}}
          metric_relabel_configs:
            - {{source_labels: [__name__], regex: 'go_.*', action: drop}}
exporters:
  prometheusremotewrite:
    endpoint: {endpoint}
    external_labels: {{cluster: "${{env:CLUSTER}}"}}
    timeout: 5s
service:
  pipelines:
    metrics: {{receivers: [prometheus], exporters: [prometheusremotewrite]}}
"""


def test_converted_collector_runs(rig: Rig, tmp_path: Path) -> None:
    """Its page is scraped, relabelled and written with the exporter's labels."""
    address = rig.serve("requests_total 3\ngo_threads 7\n", "/page", {"Content-Type": "text/plain"})
    target = address.removeprefix("http://").removesuffix("/page")
    found = convert(COLLECTOR.format(target=target, endpoint=rig.receiver.url), "adot.yaml")
    path = tmp_path / "converted.yaml"
    path.write_text(f"{found.config}\nself_metrics: false\n")
    dependencies = Dependencies({"PUSHER_CONFIG": str(path), "CLUSTER": "blue"}, now_ms=rig.clock.now_ms)
    try:
        App(dependencies).handle({}, None)
    finally:
        dependencies.transport.close()
    host = f"h-{target.partition(':')[0]}"
    assert lines(rig) == [f'requests_total{{cluster="blue",host="{host}"}} 3']
    assert rig.value("up") == 1
