"""What of a collector's pipelines scraped samples go through, and what is said of the rest."""

from __future__ import annotations

from typing import Any

import pytest

from lambda_remote_write import relabel
from lambda_remote_write_cli.convert import Conversion, Options, convert
from tests.rig.convert_corpus import collector, complete, loaded, plain

RECEIVERS = """
receivers:
  otlp: {}
  prometheus: {config: {scrape_configs: [{job_name: a}]}}
  prometheus/b: {config: {scrape_configs: [{job_name: b}]}}
exporters:
  debug: {}
  prometheusremotewrite/1: {endpoint: 'https://one.example/w'}
  prometheusremotewrite/2: {endpoint: 'https://two.example/w'}
"""


def converted(more: str) -> tuple[dict[str, Any], Conversion]:
    found = convert(RECEIVERS + more, "c.yaml")
    return complete(found), found


def said_of(found: Conversion, section: str) -> dict[str, str]:
    return {one.path.partition(".")[2]: one.why for one in found.dropped if one.path.startswith(section)}


def test_samples_are_followed_through_connectors() -> None:
    """Each endpoint is reached, the second by way of two pipelines; no endpoint gets the other receiver's job."""
    config, found = converted("""
processors: {resource/x: {attributes: [{key: service.name, value: y, action: upsert}]}}
connectors: {forward: {}, forward/2: {}, count: {}}
service:
  pipelines:
    metrics/in: {receivers: [prometheus], exporters: [forward, prometheusremotewrite/1, count]}
    metrics/mid: {receivers: [forward], processors: [resource/x], exporters: [forward/2]}
    metrics/out: {receivers: [forward/2, count], exporters: [prometheusremotewrite/2]}
    metrics/b: {receivers: [prometheus/b], exporters: [debug]}
""")
    assert [endpoint["url"] for endpoint in config["remote_write"]] == [
        "https://one.example/w",
        "https://two.example/w",
    ]
    assert [job["job_name"] for job in config["scrape_configs"]] == ["a"]
    assert said_of(found, "connectors")["count"] == "what it makes of the samples is not made here"
    assert said_of(found, "processors")["resource/x"].endswith("(what went from prometheus to prometheusremotewrite/2)")
    assert said_of(found, "receivers")["prometheus/b"] == "what its pipeline gets goes to no remote-write exporter"


def test_a_routing_connector_splits_what_is_one_here() -> None:
    _, found = converted("""
connectors: {routing: {default_pipelines: [metrics/1], table: []}}
service:
  pipelines:
    metrics/in: {receivers: [prometheus], exporters: [routing]}
    metrics/1: {receivers: [routing], exporters: [prometheusremotewrite/1]}
    metrics/2: {receivers: [routing], exporters: [prometheusremotewrite/2]}
""")
    assert said_of(found, "connectors")["routing"].startswith("CHANGES DATA: every endpoint gets every series")


def test_connectors_in_a_circle_end() -> None:
    config, _ = converted("""
connectors: {forward: {}, forward/2: {}}
service:
  pipelines:
    metrics/1: {receivers: [prometheus, forward/2], exporters: [forward]}
    metrics/2: {receivers: [forward], exporters: [forward/2, prometheusremotewrite/1]}
""")
    assert [endpoint["url"] for endpoint in config["remote_write"]] == ["https://one.example/w"]


@pytest.mark.parametrize(
    ("pipelines", "why"),
    [
        (
            "{receivers: [otlp], processors: [transform], exporters: [prometheusremotewrite/1]}",
            "no prometheus receiver",
        ),
        ("{receivers: [prometheus], processors: [transform], exporters: [debug]}", "no remote-write exporter"),
        ("{receivers: [prometheus], processors: [transform], exporters: [prometheusremotewrite/1]}", "CHANGES DATA"),
        ("{receivers: [otlp], exporters: [debug]}", "no pipeline of metrics uses it"),
    ],
    ids=["another-receiver", "another-exporter", "on-the-way", "unused"],
)
def test_only_processors_on_the_way_of_scraped_samples_change_data(pipelines: str, why: str) -> None:
    _, found = converted(f"""
processors: {{transform: {{}}}}
service:
  pipelines:
    metrics/x: {pipelines}
    metrics: {{receivers: [prometheus], exporters: [prometheusremotewrite/1]}}
""")
    assert why in said_of(found, "processors")["transform"]
    assert ("CHANGES" in found.config) == (why == "CHANGES DATA")


@pytest.mark.parametrize(
    ("exporter", "attribute", "changes"),
    [
        ("", "zone", False),
        (", resource_to_telemetry_conversion: {enabled: true}", "zone", True),
        ("", "service.name", True),
    ],
    ids=["target_info", "labels", "job"],
)
def test_what_a_resource_processor_sets_reaches_series_only_as_labels(
    exporter: str, attribute: str, changes: bool
) -> None:
    """The exporter writes attributes into target_info, and service.name into job."""
    processors = f"processors: {{resource: {{attributes: [{{key: {attribute}, value: x, action: upsert}}]}}}}"
    way = "{receivers: [prometheus], processors: [resource], exporters: [prometheusremotewrite]}"
    found = collector(f"{processors}\nservice: {{pipelines: {{metrics: {way}}}}}", exporter)
    assert ("CHANGES DATA" in found.config) == changes


@pytest.mark.parametrize(
    ("settings", "kept", "dropped"),
    [
        (
            "metrics: {include: {match_type: strict, metric_names: [a.b, lat_seconds]}}",
            ["a.b", "lat_seconds", "lat_seconds_bucket", "lat_seconds_sum", "lat_seconds_count"],
            ["axb", "other", "lat_seconds_max"],
        ),
        ("metrics: {exclude: {match_type: strict, metric_names: [go_threads]}}", ["go_thread"], ["go_threads"]),
        (
            "metrics: {include: {match_type: regexp, metric_names: ['http_.*', '^up$']}}",
            ["http_x", "my_http_y", "up"],
            ["ups"],
        ),
        ("metrics: {metric: ['name == \"a\" or IsMatch(name, \"^go_.*\")']}", ["b"], ["a", "go_x", "a_bucket"]),
        ("metrics: {metric: ['name != \"a\" and name != \"b\"']}", ["a", "b", "b_sum"], ["c"]),
        ("error_mode: ignore, metric_conditions: ['not IsMatch(metric.name, \"^http_\")']", ["http_x"], ["go_x"]),
        (
            "metrics: {include: {match_type: regexp, metric_names: [http_.*]}, "
            "exclude: {match_type: strict, metric_names: [http_a]}}",
            ["http_b"],
            ["http_a", "go_x"],
        ),
    ],
    ids=["include", "exclude", "include-regexp", "conditions", "all-but", "not-ismatch", "both"],
)  # fmt: skip
def test_a_filter_by_names_becomes_rules(settings: str, kept: list[str], dropped: list[str]) -> None:
    """A strict name is the whole metric, with its series; a regexp is searched for, as Go's MatchString does."""
    config, found = converted(f"""
processors: {{filter: {{{settings}}}}}
service:
  pipelines: {{metrics: {{receivers: [prometheus], processors: [batch, filter], exporters: [prometheusremotewrite/1]}}}}
""")
    (job,) = loaded(found).scrape_jobs
    assert "filter" not in said_of(found, "processors")
    assert [rule["action"] for rule in config["scrape_configs"][0]["metric_relabel_configs"]]
    assert [name for name in [*kept, *dropped] if _passes(name, job.metric_relabel)] == kept


def _passes(name: str, rules: Any) -> bool:
    return relabel.explain({"__name__": name}, rules).labels is not None


@pytest.mark.parametrize(
    "settings",
    [
        "metrics: {include: {match_type: expr, expressions: ['x']}}",
        "metrics: {include: {match_type: strict, metric_names: [a], resource_attributes: [{key: k, value: v}]}}",
        'metrics: {datapoint: [\'attributes["x"] == "y"\']}',
        "metrics: {metric: ['name == \"a\" and type == METRIC_DATA_TYPE_SUM']}",
        "metrics: {metric: ['type == METRIC_DATA_TYPE_SUM']}",
        "metric_conditions: [{context: resource, conditions: ['attributes[\"a\"] == 1']}]",
        "metrics: {include: {match_type: regexp, metric_names: ['^a|b$']}}",
    ],
    ids=["expr", "resource", "datapoint", "name-and-type", "type", "advanced", "anchors"],
)
def test_a_filter_by_more_than_names_is_named(settings: str) -> None:
    config, found = converted(f"""
processors: {{filter: {{{settings}}}}}
service:
  pipelines: {{metrics: {{receivers: [prometheus], processors: [filter], exporters: [prometheusremotewrite/1]}}}}
""")
    assert said_of(found, "processors")["filter"].startswith("CHANGES DATA")
    assert "metric_relabel_configs" not in config["scrape_configs"][0]


def test_a_filter_stands_where_only_its_samples_pass() -> None:
    """In the jobs when all they give went through it, else at the endpoint, and nowhere behind a rename."""
    config, found = converted("""
processors:
  filter/jobs: {metrics: {exclude: {match_type: strict, metric_names: [x]}}}
  filter/endpoint: {metrics: {exclude: {match_type: strict, metric_names: [y]}}}
  filter/late: {metrics: {exclude: {match_type: strict, metric_names: [z]}}}
  metricstransform: {}
service:
  pipelines:
    metrics/1: {receivers: [prometheus], processors: [filter/jobs], exporters: [prometheusremotewrite/1]}
    metrics/2:
      receivers: [prometheus]
      processors: [filter/jobs, filter/endpoint, metricstransform, filter/late]
      exporters: [prometheusremotewrite/2]
""")
    drop = {"source_labels": ["__name__"], "action": "drop"}
    series = "(?:_bucket|_sum|_count)?"
    assert config["scrape_configs"][0]["metric_relabel_configs"] == [{**drop, "regex": f"x{series}"}]
    first, second = config["remote_write"]
    assert "write_relabel_configs" not in first
    assert second["write_relabel_configs"] == [{**drop, "regex": f"y{series}"}]
    assert list(said_of(found, "processors")) == ["filter/late", "metricstransform"]


@pytest.mark.parametrize(
    ("receiver", "exporters", "detail"),
    [
        (
            "{scrape_configs: [{job_name: a}]}",
            "prometheusremotewrite",
            "receivers.prometheus.scrape_configs: stands beside",
        ),
        ("{config: {}}", "prometheusremotewrite", "there is no job"),
        ("{config: {scrape_configs: []}}", "prometheusremotewrite", "there is no job"),
        ("", "prometheusremotewrite", "there is no job"),
        ("{config: {scrape_configs: [{job_name: a}]}}", "awsemf", "there is no endpoint"),
        ("{config: {scrape_configs: [{job_name: a}]}}", "prometheus", "there is no endpoint"),
    ],
    ids=["beside-config", "no-jobs", "empty", "nothing", "awsemf", "pull"],
)  # fmt: skip
def test_a_result_without_a_job_or_an_endpoint_is_left_to_a_person(receiver: str, exporters: str, detail: str) -> None:
    found = convert(
        f"""
receivers: {{prometheus: {receiver}}}
exporters: {{{exporters}: {{endpoint: 'https://a.example/w'}}}}
service: {{pipelines: {{metrics: {{receivers: [prometheus], exporters: [{exporters}]}}}}}}
""",
        "c.yaml",
    )
    assert any(detail in str(problem) for problem in found.problems)
    assert f"# TO DO: {detail.replace(': ', ' ')}" in found.config


@pytest.mark.parametrize("kind", ["collector", "exporter", "prometheus", "rule"])
def test_the_label_of_a_replica_goes_with_its_reason(kind: str) -> None:
    """AMP keeps one of a pair of senders by it, and answers 202 to the other; a bare cluster is harmless."""
    labels = "{cluster: team-1, __replica__: replica-a}"
    jobs = "scrape_configs: [{job_name: a}]"
    text = {
        "collector": f"receivers: {{prometheus: {{config: {{global: {{external_labels: {labels}}}, {jobs}}}}}}}\n"
        "exporters: {prometheusremotewrite: {endpoint: 'https://a.example/w'}}\n",
        "exporter": f"receivers: {{prometheus: {{config: {{{jobs}}}}}}}\n"
        f"exporters: {{prometheusremotewrite: {{endpoint: 'https://a.example/w', external_labels: {labels}}}}}\n",
        "prometheus": f"global: {{external_labels: {labels}}}\n{jobs}\nremote_write: [{{url: 'https://a.example/w'}}]\n",
        "rule": "global: {external_labels: {cluster: team-1}}\n" + jobs + "\nremote_write: [{url: 'https://a.example',"
        " write_relabel_configs: [{target_label: __replica__, replacement: a}]}]\n",
    }[kind]  # fmt: skip
    found = convert(text, "c.yaml")
    assert found.problems == ()
    assert loaded(found).external_labels == (("cluster", "team-1"),)
    (dropped,) = found.dropped
    assert "AMP keeps one of a pair of Prometheus servers by it" in dropped.why


FILTER = "filter: {metrics: {include: {match_type: strict, metric_names: [up_to_date]}}}"


@pytest.mark.parametrize(
    "rest",
    [
        "",
        "exporters: {otlphttp: {}}\n"
        "service: {pipelines: {metrics: {receivers: [prometheus], processors: [filter, transform, resource], "
        "exporters: [otlphttp]}}}",
    ],
    ids=["part-without-exporters", "other-exporter"],
)
def test_processors_count_also_where_the_endpoint_has_yet_to_be_named(rest: str) -> None:
    """The jobs are taken over, and so is what became of their samples."""
    found = convert(
        f"""
receivers: {{prometheus: {{config: {{scrape_configs: [{{job_name: a}}]}}}}}}
processors: {{{FILTER}, transform: {{}}, resource: {{attributes: [{{key: team, value: a}}]}}}}
{rest}
""",
        "c.yaml",
        Options(kind="collector"),
    )
    (job,) = plain(found)["scrape_configs"]
    assert [rule["action"] for rule in job["metric_relabel_configs"]] == ["keep"]
    detail = {one.path: one.why for one in found.dropped}
    assert detail["processors.transform"].startswith("CHANGES DATA")
    assert detail["processors.resource"].startswith("CHANGES DATA")


def test_an_endpoints_filter_comes_before_its_namespace() -> None:
    """The exporter puts the namespace before a name, after all processors; its filter judges up and scrape_ series."""
    found = convert(
        """
receivers: {prometheus: {config: {scrape_configs: [{job_name: a}]}}}
processors:
  filter/1: {metrics: {include: {match_type: strict, metric_names: [good, bad]}}}
  filter/2: {metrics: {exclude: {match_type: strict, metric_names: [bad]}}}
exporters:
  prometheusremotewrite/1: {endpoint: 'https://one.example/w'}
  prometheusremotewrite/2: {endpoint: 'https://two.example/w', namespace: ours}
service:
  pipelines:
    metrics/1: {receivers: [prometheus], exporters: [prometheusremotewrite/1]}
    metrics/2: {receivers: [prometheus], processors: [filter/1, filter/2], exporters: [prometheusremotewrite/2]}
""",
        "c.yaml",
    )
    _, endpoint = loaded(found).endpoints
    names = [relabel.explain({"__name__": name}, endpoint.write_relabel).labels for name in ("good", "bad", "up")]
    assert names == [{"__name__": "ours_good"}, None, None]
    assert "filtered whole metrics" in found.config
    assert "series stay" not in found.config
