"""The parts of a collector's config that a corpus case would only blur: expansion, durations, names, routes."""

from __future__ import annotations

from typing import Any

import pytest
import yaml

from lambda_remote_write.config.load import parse_config
from lambda_remote_write_cli.convert import Options, convert
from lambda_remote_write_cli.convert.exporter import go_duration_ms

ENVIRONMENT = {"AWS_REGION": "eu-west-1", "PUSHER_WORKSPACE": "ws-1", "CLUSTER": "blue", "TOKEN": "t"}


def collector(
    scrape: str = "[{job_name: a}]", exporter: str = "endpoint: https://a.example/w", more: str = "", **given: str
) -> dict[str, Any]:
    """The converted config, as plain data, of a collector with one receiver and one exporter."""
    text = f"""
receivers:
  prometheus:
    config:
      scrape_configs: {scrape}
exporters:
  prometheusremotewrite: {{{exporter}}}
{more}
"""
    found = convert(text, "adot.yaml", Options(given=given))
    assert found.problems == ()
    parse_config(found.config, "ours.yaml", ENVIRONMENT)
    config: dict[str, Any] = yaml.load(found.config, yaml.CBaseLoader)
    return config


@pytest.mark.parametrize(
    ("written", "text"),
    [
        ("$$1", "$1"),
        ("$$$$", "$$"),
        ("a$", "a$"),
        ("${env:NAME}", "value"),
        ("${NAME}", "value"),
        ("$NAME", "value"),
        ("$${NAME}", "${NAME}"),
        ("${env:OTHER:-standard}", "standard"),
        ("${OTHER:-}", ""),
        ("${NAME:-standard}", "value"),
        ("${env:OTHER}", "${OTHER}"),
        ("${1}", "${1}"),
    ],
)
def test_expansion(written: str, text: str) -> None:
    """`$$` is a dollar, and variables have the values that were given."""
    job = f"[{{job_name: a, relabel_configs: [{{target_label: x, replacement: '{written}'}}]}}]"
    config = collector(job, NAME="value")
    assert config["scrape_configs"][0]["relabel_configs"][0]["replacement"] == text


def test_a_file_reference_is_named() -> None:
    text = "receivers: {prometheus: {config: {scrape_configs: [{job_name: 'x ${file:/a}'}]}}}\nexporters: {}\n"
    found = convert(text, "adot.yaml")
    assert [(one.path, one.why) for one in found.dropped] == [
        (
            "receivers.prometheus.config.scrape_configs[0].job_name",
            "not expanded: nothing reads file:/a here, or put the value in its place",
        )
    ]


@pytest.mark.parametrize(
    ("block", "expected"),
    [
        ("basic_auth: {username: u, password: '${TOKEN}'}", {"username": "u", "password_ref": "env:TOKEN"}),
        ("authorization: {credentials: $TOKEN}", {"credentials_ref": "env:TOKEN"}),
    ],
)
def test_secrets_from_the_environment_become_references(block: str, expected: dict[str, str]) -> None:
    job = collector(f"[{{job_name: a, {block}}}]")["scrape_configs"][0]
    assert job[block.partition(":")[0]] == expected


@pytest.mark.parametrize(
    ("text", "milliseconds"),
    [
        ("5s", 5_000),
        ("1.5s", 1_500),
        ("1h0m0.1s", 3_600_100),
        ("10us", 1),
        ("0.29s", 290),
        ("0", 0),
        ("5", None),
        ("", None),
        ("1d", None),
    ],
)
def test_go_durations(text: str, milliseconds: int | None) -> None:
    assert go_duration_ms(text) == milliseconds


@pytest.mark.parametrize(
    ("exporter", "expected"),
    [
        ("timeout: 1m30s", {"remote_timeout": "1m30s"}),
        ("timeout: 0s", {}),
        ("headers: {Authorization: Bearer abc}", {"authorization": {"credentials": "abc"}}),
        ("headers: {Authorization: 'Bearer ${TOKEN}'}", {"authorization": {"credentials_ref": "env:TOKEN"}}),
        ("headers: {authorization: Token abc}", {"authorization": {"type": "Token", "credentials": "abc"}}),
        ("headers: {Authorization: Basic dTpwOnE=}", {"basic_auth": {"username": "u", "password": "p:q"}}),
        ("headers: [{name: X-A, value: b}]", {"headers": {"X-A": "b"}}),
        ("headers: {X-A: $TOKEN}", {"http_headers": {"X-A": {"refs": ["env:TOKEN"]}}}),
        ("proxy_url: 'http://proxy.example:3128'", {"proxy_url": "http://proxy.example:3128"}),
        ("tls: {insecure: true}", {}),
        ("tls: {min_version: '1.3'}", {"tls_config": {"min_version": "TLS13"}}),
        ("ca_file: /a, insecure_skip_verify: true", {"tls_config": {"ca_file": "/a", "insecure_skip_verify": "true"}}),
        ("retry_on_failure: {initial_interval: 30s}", {"queue_config": {"min_backoff": "30s", "max_backoff": "30s"}}),
        ("retry_on_failure: {enabled: true, max_interval: 1m}", {"queue_config": {"max_backoff": "1m"}}),
        ("max_batch_size_bytes: 9_999", {}),
        ("max_batch_size_bytes: 800000", {"queue_config": {"max_body_bytes": "800000"}}),
        ("send_metadata: false", {"metadata_config": {"send": "false"}}),
        ("namespace: ''", {}),
        ("wal: {directory: /x}", {}),
    ],
)
def test_keys_of_the_exporter(exporter: str, expected: dict[str, Any]) -> None:
    (found,) = collector(exporter=f"endpoint: https://a.example/w, {exporter}")["remote_write"]
    assert found == {"url": "https://a.example/w", **expected}


def test_an_amp_address_is_signed_for() -> None:
    """A collector that had no authenticator could not write there, and ours would not load."""
    address = "https://aps-workspaces.eu-west-1.amazonaws.com/workspaces/ws-1/api/v1/remote_write"
    assert collector(exporter=f"endpoint: {address}")["remote_write"] == [{"url": address, "sigv4": {}}]


@pytest.mark.parametrize(
    ("extension", "expected"),
    [
        ("headers: [{key: X-Scope-OrgID, value: '7'}]", {"headers": {"X-A": "b", "X-Scope-OrgID": "7"}}),
        (
            "headers: [{action: upsert, key: X-Scope-OrgID, value: '${TENANT}'}]",
            {"headers": {"X-A": "b"}, "http_headers": {"X-Scope-OrgID": {"refs": ["env:TENANT"]}}},
        ),
        ("headers: [{key: X-Scope-OrgID, from_context: tenant}]", {"headers": {"X-A": "b"}}),
        ("headers: [{key: X-B, from_context: t, default_value: c}]", {"headers": {"X-A": "b", "X-B": "c"}}),
    ],
    ids=["value", "variable", "context", "default"],
)
def test_headers_that_an_extension_sets(extension: str, expected: dict[str, Any]) -> None:
    exporter = "endpoint: https://a.example/w, headers: {X-A: b}, auth: {authenticator: headers_setter}"
    (found,) = collector(exporter=exporter, more=f"extensions: {{headers_setter: {{{extension}}}}}")["remote_write"]
    assert found == {"url": "https://a.example/w", **expected}


@pytest.mark.parametrize("name", ["asapclient", "googleclientauth", "made_up"])
def test_without_credentials_the_result_is_left_to_a_person(name: str) -> None:
    text = f"""
receivers: {{prometheus: {{config: {{scrape_configs: [{{job_name: a}}]}}}}}}
extensions: {{{name}: {{}}}}
exporters: {{prometheusremotewrite: {{endpoint: 'https://a.example/w', auth: {{authenticator: {name}}}}}}}
"""
    (problem,) = convert(text, "c.yaml").problems
    assert (problem.path, problem.line) == (f"extensions.{name}", 3)
    assert "requests go out without" in problem.message


@pytest.mark.parametrize(
    "exporter",
    [
        "headers: {Authorization: Basic broken}",
        "headers: {Authorization: 'Basic ${CREDENTIALS}'}",
        "headers: {authorization: '${AUTHORIZATION}'}",
        "auth: {authenticator: nowhere}",
    ],
    ids=["no-base64", "variable", "whole-variable", "no-extension"],
)
def test_credentials_that_are_not_known_are_left_to_a_person(exporter: str) -> None:
    text = f"""
receivers: {{prometheus: {{config: {{scrape_configs: [{{job_name: a}}]}}}}}}
exporters: {{prometheusremotewrite: {{endpoint: 'https://a.example/w', {exporter}}}}}
"""
    (problem,) = convert(text, "c.yaml").problems
    assert problem.path.startswith("exporters.prometheusremotewrite.")
    assert "requests go out without" in problem.message


@pytest.mark.parametrize(
    ("extension", "expected"),
    [
        (
            "sigv4auth: {region: eu-west-1, assume_role: {arn: 'arn:aws:iam::1:role/w', session_name: adot}}",
            {"sigv4": {"region": "eu-west-1", "role_arn": "arn:aws:iam::1:role/w", "session_name": "adot"}},
        ),
        (
            "sigv4auth: {region: eu-west-1, assume_role: {arn: '', session_name: adot}}",
            {"sigv4": {"region": "eu-west-1"}},
        ),
        ("bearertokenauth: {token: a, filename: /token}", {"authorization": {"credentials_file": "/token"}}),
        ("basicauth: {client_auth: {username: u, password: p}}", {"basic_auth": {"username": "u", "password": "p"}}),
    ],
    ids=["session", "no-role", "token-of-file", "before-a-header"],
)
def test_what_an_authenticator_says(extension: str, expected: dict[str, Any]) -> None:
    """A header of the exporter's own gives way to its authenticator."""
    name = extension.partition(":")[0]
    exporter = f"endpoint: https://a.example/w, headers: {{Authorization: Basic x}}, auth: {{authenticator: {name}}}"
    (found,) = collector(exporter=exporter, more=f"extensions: {{{extension}}}")["remote_write"]
    assert found == {"url": "https://a.example/w", "headers": {}, **expected}


def test_a_part_of_a_config_without_the_extension_is_signed_for() -> None:
    """What signs is known by its type, and needs no settings."""
    (found,) = collector(exporter="endpoint: https://a.example/w, auth: {authenticator: sigv4auth/x}")["remote_write"]
    assert found == {"url": "https://a.example/w", "sigv4": {}}


AMP = "https://aps-workspaces.%s.amazonaws.com/workspaces/%s/api/v1/remote_write"


@pytest.mark.parametrize(
    ("address", "expected"),
    [
        (AMP % ("${AWS_REGION}", "ws-1"), {"workspace": "ws-1"}),
        (AMP % ("$AWS_REGION", "ws-1"), {"workspace": "ws-1"}),
        (AMP % ("eu-west-1", "${WORKSPACE}"), {"workspace": "ws-CHANGE-ME"}),
        ("$ENDPOINT", {"url": "https://CHANGE.ME/api/v1/remote_write"}),
    ],
)
def test_an_address_with_variables(address: str, expected: dict[str, str]) -> None:
    """The region of the function is known anyway; what is not known is to be filled in."""
    assert collector(exporter=f"endpoint: '{address}'")["remote_write"] == [expected]


@pytest.mark.parametrize("settings", ["{timeout: 5s}", "{endpoint: ''}", "{auth: {authenticator: sigv4auth}}"])
def test_an_exporter_without_an_address_is_left_to_a_person(settings: str) -> None:
    text = f"""
receivers: {{prometheus: {{config: {{scrape_configs: [{{job_name: a}}]}}}}}}
extensions: {{sigv4auth: {{}}}}
exporters: {{prometheusremotewrite: {settings}}}
"""
    found = convert(text, "c.yaml")
    (problem,) = found.problems
    assert (problem.path, problem.line) == ("exporters.prometheusremotewrite.endpoint", 4)
    assert "CHANGE" in str(yaml.load(found.config, yaml.CBaseLoader)["remote_write"])


def test_a_namespace_is_a_rename() -> None:
    (found,) = collector(exporter="endpoint: https://a.example/w, namespace: agents")["remote_write"]
    (endpoint,) = parse_config(yaml.dump({"remote_write": [found]}), "ours.yaml", ENVIRONMENT).endpoints
    (rule,) = endpoint.write_relabel
    assert found["write_relabel_configs"][0]["replacement"] == "agents_$1"
    assert "__name__" in repr(rule)


def test_labels_of_one_exporter_are_external_labels() -> None:
    """Dollars stay doubled and variables stay names there, as `external_labels` expand them."""
    config = collector(exporter="endpoint: https://a.example/w, external_labels: {a: '1$$', b: '${env:CLUSTER}'}")
    assert config["global"] == {"external_labels": {"a": "1$$", "b": "${CLUSTER}"}}
    loaded = parse_config(yaml.dump(config), "ours.yaml", ENVIRONMENT)
    assert loaded.external_labels == (("a", "1$"), ("b", "blue"))


def test_a_given_value_is_no_reference_again() -> None:
    """Its dollars are text, in external labels as elsewhere."""
    config = collector(exporter="endpoint: https://a.example/w, external_labels: {a: '${PRICE}'}", PRICE="5$CLUSTER")
    loaded = parse_config(yaml.dump(config), "ours.yaml", ENVIRONMENT)
    assert loaded.external_labels == (("a", "5$CLUSTER"),)


TWO = """
receivers:
  prometheus/a: {config: {global: {scrape_interval: %s}, scrape_configs: [{job_name: x}, {job_name: 'only.a'}]}}
  prometheus/b: {config: {global: {scrape_interval: %s}, scrape_configs: [{job_name: x}, {job_name: x-b}]}}
exporters:
  prometheusremotewrite/1: {endpoint: 'https://one.example/w', external_labels: {env: '$$'}}
  prometheusremotewrite/2: {endpoint: 'https://two.example/w'}
service:
  pipelines:
    metrics/a: {receivers: [prometheus/a], exporters: [prometheusremotewrite/1]}
    metrics/b: {receivers: [prometheus/a, prometheus/b], exporters: [prometheusremotewrite/2]}
"""


def two(first: str = "1m", second: str = "1m") -> dict[str, Any]:
    found = convert(TWO % (first, second), "adot.yaml")
    assert found.problems == ()
    config: dict[str, Any] = yaml.load(found.config, yaml.CBaseLoader)
    return config


def test_job_names_stay_unique_and_labels_what_they_were() -> None:
    jobs = two()["scrape_configs"]
    assert [job["job_name"] for job in jobs] == ["x", "only.a", "x-b", "x-b-b"]
    assert jobs[2]["relabel_configs"] == [{"target_label": "job", "replacement": "x"}]
    assert jobs[3]["relabel_configs"] == [{"target_label": "job", "replacement": "x-b"}]


def test_an_exporter_keeps_the_jobs_that_fed_it() -> None:
    first, second = two()["remote_write"]
    assert first["write_relabel_configs"][0] == {"source_labels": ["job"], "regex": r"only\.a|x", "action": "keep"}
    assert first["write_relabel_configs"][1] == {
        "source_labels": ["env"],
        "regex": "",
        "target_label": "env",
        "replacement": "$$",
    }
    assert "write_relabel_configs" not in second


def test_different_globals_go_into_the_jobs() -> None:
    config = two("1m", "30s")
    assert not config.get("global")
    assert [job["scrape_interval"] for job in config["scrape_configs"]] == ["1m", "1m", "30s", "30s"]


@pytest.mark.parametrize(
    "pipelines",
    [
        "{logs: {receivers: [filelog], exporters: [debug]}}",
        "{metrics: {receivers: [otlp], exporters: [prometheusremotewrite]}, logs: {receivers: [prometheus]}}",
    ],
    ids=["no-metrics", "another-receiver"],
)
def test_what_no_pipeline_of_metrics_uses_stays_out(pipelines: str) -> None:
    """Without a job and an endpoint the result is of no use, and says so."""
    text = f"""
receivers: {{prometheus: {{config: {{scrape_configs: [{{job_name: a}}]}}}}}}
exporters: {{prometheusremotewrite: {{endpoint: 'https://a.example/w'}}}}
service: {{pipelines: {pipelines}}}
"""
    found = convert(text, "adot.yaml")
    assert yaml.load(found.config, yaml.CBaseLoader) == {"scrape_configs": []}
    assert [problem.message[:18] for problem in found.problems] == ["there is no endpoi", "there is no job: n"]
