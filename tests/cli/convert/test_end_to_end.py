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


def run(rig: Rig, modules: str, document: Any, *, module: str = "m") -> dict[str, Any]:
    """One push of one module against the document, its address told as Prometheus would tell it."""
    target = rig.serve(json.dumps(document))
    asking = f"""
        scrape_configs:
          - job_name: json
            metrics_path: /probe
            params: {{module: [{module}], target: ['{target}']}}
    """
    found = convert(modules, "je.yml", Options(targets=(asking, "prometheus.yml")))
    jobs = yaml.load(found.config, yaml.CBaseLoader)["json_configs"]
    return rig.push(json.dumps(next(job for job in jobs if job["url"] == target)))


def lines(rig: Rig) -> list[str]:
    return [line.removesuffix(f" @{NOW_MS}") for line in rig.lines()]


SCOPES = """
    modules:
      default:
        metrics:
          - {name: one, path: '{.rows[0].n}', labels: {id: '{.id}', first: '{.rows[0].id}'}}
          - {name: each, type: object, path: '{.rows[*]}', labels: {id: '{.id}', up: '{$.id}'}, values: {n: '{.n}'}}
          - {name: point, type: object, path: '{.points[*]}', labels: {at: '{[0]}'}, values: {v: '{[1]}'}}
"""
SCOPES_DOCUMENT = {
    "id": "document", "rows": [{"id": "a", "n": 1}, {"id": "b", "n": 2}], "points": [["a", 1], ["b", 2]]
}  # fmt: skip
ANSWERS = {
    "documented": [  # what json_exporter's own examples print
        'example_global_value{environment="beta",location="planet-mars"} 1234',
        'example_timestamped_value_count{environment="beta"} 2',
        'example_value_active{environment="beta",id="id-A"} 1',
        'example_value_active{environment="beta",id="id-C"} 1',
        'example_value_boolean{environment="beta",id="id-A"} 1',
        'example_value_boolean{environment="beta",id="id-C"} 0',
        'example_value_count{environment="beta",id="id-A"} 1',
        'example_value_count{environment="beta",id="id-C"} 3',
    ],
    "scopes": [  # labels of a value come from the document, of an object from the object; a record may be a list
        'each_n{id="a",up="a"} 1',
        'each_n{id="b",up="b"} 2',
        'one{first="a",id="document"} 1',
        'point_v{at="a"} 1',
        'point_v{at="b"} 2',
    ],
}


@pytest.mark.parametrize(
    ("name", "modules", "document"),
    [("documented", DOCUMENTED.read_text(), EXPORTER_DOCUMENT), ("scopes", SCOPES, SCOPES_DOCUMENT)],
    ids=list(ANSWERS),
)
def test_samples_are_those_of_json_exporter(rig: Rig, name: str, modules: str, document: Any) -> None:
    run(rig, modules, document, module="default")
    assert lines(rig) == ANSWERS[name]


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
