"""What a collector's ecs_observer wrote into a file -> ecs_sd_configs. Its labels are those of the extension's
target.go, ours those of Prometheus's documentation."""

from __future__ import annotations

from typing import Any

import pytest

from lambda_remote_write import relabel
from lambda_remote_write_cli.convert import Conversion
from tests.rig.convert_corpus import collector, loaded, plain

SERVICES = "services: [{name_pattern: '^retail-.*$', metrics_ports: [9113]}], docker_labels: []"
ARN = "arn:aws:ecs:eu-west-1:111122223333:task-definition/"


def converted(observer: str, rules: str = "[]", name: str = "ecs_observer") -> Conversion:
    settings = f"cluster_name: shop, cluster_region: eu-west-1, result_file: /etc/found.yaml, {observer}"
    reads = f"file_sd_configs: [{{files: [/etc/found.yaml]}}], relabel_configs: {rules}"
    return collector(f"extensions: {{{name}: {{{settings}}}}}", scrape=f"[{{job_name: a, {reads}}}]")


def job_of(found: Conversion) -> dict[str, Any]:
    (job,) = plain(found)["scrape_configs"]
    return dict(job)


def relabelled(found: Conversion, labels: dict[str, str]) -> dict[str, str] | None:
    (job,) = loaded(found).scrape_jobs
    return relabel.explain(labels, job.relabel).labels


@pytest.mark.parametrize("name", ["ecs_observer", "ecsobserver/shop"])
def test_the_job_that_reads_its_file_finds_the_tasks_itself(name: str) -> None:
    found = converted(f"refresh_interval: 30s, {SERVICES}", name=name)
    assert found.problems == ()
    job = job_of(found)
    assert "file_sd_configs" not in job
    assert job["ecs_sd_configs"] == [
        {"region": "eu-west-1", "clusters": ["shop"], "port": "9113", "refresh_interval": "30s"}
    ]
    assert "this file was written by ecs_observer" in found.config
    assert not [one for one in found.dropped if one.path.startswith("extensions")]


@pytest.mark.parametrize(
    "observer",
    ["docker_labels: [{port_label: METRICS_PORT}]", "job_label_name: prometheus_job"],
    ids=["named", "default"],
)
def test_a_port_in_a_docker_label_is_left_to_a_person(observer: str) -> None:
    """Prometheus's discovery does not see the labels of containers."""
    found = converted(observer)
    (problem,) = found.problems
    assert ("METRICS_PORT" if "METRICS_PORT" in observer else "ECS_PROMETHEUS_EXPORTER_PORT") in problem.message
    assert "# TO DO: the port" in found.config
    assert job_of(found)["ecs_sd_configs"] == [{"region": "eu-west-1", "clusters": ["shop"]}]


@pytest.mark.parametrize(
    ("written", "ours"),
    [
        ("__meta_ecs_source", "__meta_ecs_task_arn"),
        ("__meta_ecs_service_name", "__meta_ecs_service"),
        ("__meta_ecs_task_tags_team", "__meta_ecs_tag_task_team"),
        ("__meta_ecs_ec2_tags_Name", "__meta_ecs_tag_ec2_Name"),
        ("__meta_ecs_ec2_private_ip", "__meta_ecs_ec2_instance_private_ip"),
        ("__meta_ecs_ec2_subnet_id", "__meta_ecs_subnet_id"),
        ("instance", "instance"),
    ],
)
def test_labels_are_renamed_in_rules(written: str, ours: str) -> None:
    found = converted("docker_labels: []", f"[{{source_labels: [{written}, x], target_label: y}}]")
    assert job_of(found)["relabel_configs"] == [{"source_labels": [ours, "x"], "target_label": "y"}]


def test_family_and_revision_come_from_the_definition() -> None:
    rules = (
        "[{source_labels: [__meta_ecs_task_definition_family, __meta_ecs_task_definition_revision], target_label: f}]"
    )
    labels = relabelled(converted("docker_labels: []", rules), {"__meta_ecs_task_definition": f"{ARN}web:12"})
    assert labels is not None
    assert labels["f"] == "web;12"


def test_patterns_of_labels_are_renamed() -> None:
    rules = r"[{action: labelmap, regex: '^__meta_ecs_task_tags_(.+)$'}]"
    assert job_of(converted("docker_labels: []", rules))["relabel_configs"] == [
        {"action": "labelmap", "regex": "^__meta_ecs_tag_task_(.+)$"}
    ]


@pytest.mark.parametrize(
    ("rule", "by_hand"),
    [
        ("{source_labels: [__meta_ecs_container_name], target_label: container}", False),
        ("{action: labelmap, regex: '^__meta_ecs_container_labels_(.+)$'}", False),
        ("{source_labels: [__meta_ecs_container_name], regex: app, action: keep}", True),
    ],
    ids=["replace", "labelmap", "keep"],
)
def test_a_rule_about_what_is_not_seen_here_goes(rule: str, by_hand: bool) -> None:
    """A keep rule would drop every target: without it a person has to say which are meant."""
    found = converted(SERVICES, f"[{rule}]")
    assert [one.path for one in found.dropped][-1].endswith("relabel_configs[0]")
    assert [problem.path.rpartition(".")[2] for problem in found.problems] == ["relabel_configs[0]"] * by_hand
    assert "container" not in str(job_of(found)["relabel_configs"])


OBSERVED = """services: [{name_pattern: '^retail-.*$', metrics_ports: [9113], job_name: retail}],
  task_definitions: [{arn_pattern: '.*:task-definition/nginx:[0-9]+', metrics_ports: [9090, 9091], metrics_path: /m}],
  docker_labels: []"""


@pytest.mark.parametrize(
    ("port", "service", "definition", "expected"),
    [
        ("9113", "retail-web", "x:1", {"prometheus_job": "retail"}),
        ("9090", "", "nginx:3", {"__metrics_path__": "/m"}),
        ("9091", "other", "nginx:3", {"__metrics_path__": "/m"}),
        ("9090", "retail-web", "x:1", None),
        ("9113", "my-retail-web", "x:1", None),
        ("9113", "", "nginx:3", None),
    ],
)
def test_filters_keep_their_tasks(port: str, service: str, definition: str, expected: dict[str, str] | None) -> None:
    """Each with its ports, path and job; a port that a filter does not name is no target of it."""
    found = converted(OBSERVED)
    assert [one["port"] for one in job_of(found)["ecs_sd_configs"]] == ["9113", "9090", "9091"]
    target = {"__address__": f"10.0.0.1:{port}", "__meta_ecs_service": service}
    labels = relabelled(found, {**target, "__meta_ecs_task_definition": f"{ARN}{definition}"})
    names = ("prometheus_job", "__metrics_path__")
    assert (labels and {key: value for key, value in labels.items() if key in names}) == expected


def test_other_files_of_the_job_stay() -> None:
    found = collector(
        "extensions: {ecs_observer: {cluster_name: shop, docker_labels: []}}",
        scrape="""[
        {job_name: a, file_sd_configs: [{files: [/etc/ecs_sd_targets.yaml, s3://bucket/others.yaml]}]},
        {job_name: b, file_sd_configs: [{files: [s3://bucket/b.yaml]}]}]""",
    )
    first, second = plain(found)["scrape_configs"]
    assert first["file_sd_configs"] == [{"files": ["s3://bucket/others.yaml"]}]
    assert first["ecs_sd_configs"] == [{"clusters": ["shop"]}]
    assert "ecs_sd_configs" not in second


def test_an_observer_whose_file_no_job_reads_is_named() -> None:
    found = collector("extensions: {ecs_observer: {cluster_name: shop}}")
    assert [(one.path, one.why) for one in found.dropped] == [
        ("extensions.ecs_observer", "no job reads the file that it wrote")
    ]


def observed_twice(files: str, more: str = "") -> Conversion:
    """Two clusters, each with an observer, and one job that reads both files."""
    return collector(
        """
extensions:
  ecs_observer/a: {cluster_name: a, result_file: /etc/sd/a.yaml, docker_labels: [],
    services: [{name_pattern: ^web$, metrics_ports: [8080], job_name: web}]}
  ecs_observer/b: {cluster_name: b, result_file: /etc/sd/b.yaml, docker_labels: [],
    task_definitions: [{arn_pattern: ':task-definition/db:', metrics_ports: [9187], metrics_path: /m}]}
""",
        scrape=f"[{{job_name: a, file_sd_configs: {files}{more}}}]",
    )


@pytest.mark.parametrize(
    "files",
    [
        "[{files: [/etc/sd/a.yaml, /etc/sd/b.yaml]}]",
        "[{files: [/etc/sd/a.yaml]}, {files: [/etc/sd/b.yaml]}]",
        "[{files: [/etc/sd/*.yaml]}]",
        "[{files: ['/etc//sd/[ab].yaml']}]",
    ],
    ids=["one-discovery", "two-discoveries", "pattern", "choice"],
)
def test_several_observers_of_one_job(files: str) -> None:
    """Each keeps the tasks of its own cluster; a name of file_sd_configs may be a pattern, as Go's filepath.Match."""
    found = observed_twice(files)
    assert found.problems == ()
    assert not [one for one in found.dropped if one.path.startswith("extensions")]
    job = job_of(found)
    assert "file_sd_configs" not in job
    assert job["ecs_sd_configs"] == [{"clusters": ["a"], "port": "8080"}, {"clusters": ["b"], "port": "9187"}]
    web = {"__address__": "10.0.0.1:8080", "__meta_ecs_cluster": "a", "__meta_ecs_service": "web"}
    database = {
        "__address__": "10.0.0.1:9187", "__meta_ecs_cluster": "b", "__meta_ecs_task_definition": f"{ARN}db:1"
    }  # fmt: skip
    kept = [relabelled(found, one) for one in (web, database)]
    assert [one and (one.get("prometheus_job"), one.get("__metrics_path__")) for one in kept] == [
        ("web", None),
        (None, "/m"),
    ]
    swapped = [{**web, "__meta_ecs_cluster": "b"}, {**database, "__meta_ecs_cluster": "a"}]
    assert [relabelled(found, one) for one in swapped] == [None, None]


def test_a_pattern_may_have_stood_for_other_files() -> None:
    found = observed_twice("[{files: [/etc/sd/*.yaml, /etc/other.yaml]}]")
    assert job_of(found)["file_sd_configs"] == [{"files": ["/etc/other.yaml"]}]
    assert [one.why for one in found.dropped if "/etc/sd/*.yaml" in one.why] != []
    assert "/etc/sd/*.yaml stood for" in " ".join(found.config.split())


def test_other_targets_of_the_job_stay() -> None:
    """Only tasks of the clusters are judged by the observers' filters."""
    found = observed_twice("[{files: [/etc/sd/*.yaml]}]", ", static_configs: [{targets: ['10.0.0.9:80']}]")
    assert relabelled(found, {"__address__": "10.0.0.9:80"}) is not None
    assert relabelled(found, {"__address__": "10.0.0.9:80", "__meta_ecs_cluster": "a"}) is None


def test_a_variable_in_the_clusters_name_has_its_line() -> None:
    """cluster_name stands in the input, so that a person finds what has to be replaced."""
    found = observed_twice("[{files: [/etc/sd/a.yaml]}]")
    assert all(one.path and one.line for one in found.dropped)
    found = collector(
        "extensions:\n  ecs_observer:\n    cluster_name: ${CLUSTER}",
        scrape="[{job_name: a, file_sd_configs: [{files: [/etc/ecs_sd_targets.yaml]}]}]",
    )
    (variable,) = [one for one in found.dropped if "CLUSTER" in one.why]
    assert (variable.path, variable.line) == ("extensions.ecs_observer.cluster_name", 6)
