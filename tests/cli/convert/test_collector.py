"""The parts of a collector's config that a corpus case would only blur: expansion, durations, names of components."""

from __future__ import annotations

from typing import Any

import pytest
import yaml

from lambda_remote_write.config.load import parse_config
from lambda_remote_write_cli.convert import Conversion, convert
from lambda_remote_write_cli.convert.components import type_of
from lambda_remote_write_cli.convert.exporter import go_duration_ms
from tests.rig.convert_corpus import ENVIRONMENT, collector, complete


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
    config = complete(collector(scrape=job, NAME="value"))
    assert config["scrape_configs"][0]["relabel_configs"][0]["replacement"] == text


def test_a_file_reference_is_named() -> None:
    found = collector(scrape="[{job_name: 'x ${file:/a}'}]")
    assert [(one.path, one.why) for one in found.dropped] == [
        (
            "receivers.prometheus.config.scrape_configs[0].job_name",
            "not expanded: nothing reads file:/a here, or put the value in its place",
        )
    ]


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
        ("headers: {Authorization: Bearer abc}", {"authorization": {"credentials": "abc"}}),
        ("headers: {Authorization: 'Bearer ${TOKEN}'}", {"authorization": {"credentials_ref": "env:TOKEN"}}),
        ("headers: {authorization: Token abc}", {"authorization": {"type": "Token", "credentials": "abc"}}),
        ("headers: [{name: X-A, value: b}]", {"headers": {"X-A": "b"}}),
        ("proxy_url: 'http://proxy.example:3128'", {"proxy_url": "http://proxy.example:3128"}),
        ("retry_on_failure: {initial_interval: 30s}", {"queue_config": {"min_backoff": "30s", "max_backoff": "30s"}}),
        ("max_batch_size_bytes: 9_999", {}),
        ("namespace: ''", {}),
        ("auth: {authenticator: sigv4auth/x}", {"sigv4": {}}),  # known by its type, where the extension is elsewhere
    ],
)
def test_keys_of_the_exporter(exporter: str, expected: dict[str, Any]) -> None:
    (found,) = complete(collector(exporter=f", {exporter}"))["remote_write"]
    assert found == {"url": "https://a.example/w", **expected}


AMP = "https://aps-workspaces.%s.amazonaws.com/workspaces/%s/api/v1/remote_write"


@pytest.mark.parametrize(
    ("address", "expected"),
    [
        (AMP % ("${AWS_REGION}", "ws-1"), {"workspace": "ws-1"}),
        (AMP % ("$AWS_REGION", "ws-1"), {"workspace": "ws-1"}),
        (AMP % ("eu-west-1", "ws-1"), {"url": AMP % ("eu-west-1", "ws-1"), "sigv4": {}}),
        (AMP % ("eu-west-1", "${WORKSPACE}"), {"workspace": "ws-CHANGE-ME"}),
    ],
)
def test_an_address_with_variables(address: str, expected: dict[str, str]) -> None:
    """The region of the function is known anyway; what is not known is to be filled in; AMP is signed for."""
    assert complete(collector(endpoint=address))["remote_write"] == [expected]


ROLE = "region: eu-west-1, assume_role: {arn: 'arn:aws:iam::1:role/w', session_name: adot}"
SIGNED = {"region": "eu-west-1", "role_arn": "arn:aws:iam::1:role/w", "session_name": "adot"}
EXTENSIONS = [  # (type, settings, what the endpoint gets); a header of the exporter's own gives way to it
    ("sigv4auth", ROLE, {"sigv4": SIGNED}),
    ("sigv4auth", "region: eu-west-1, assume_role: {arn: '', session_name: adot}", {"sigv4": {"region": "eu-west-1"}}),
    ("bearertokenauth", "token: a, filename: /t, scheme: Bearer", {"authorization": {"credentials_file": "/t"}}),
    ("basicauth", "client_auth: {username: u}", {"basic_auth": {"username": "u"}}),
    ("headers_setter", "headers: [{key: X-B, value: '7'}]", {"headers": {"X-B": "7"}}),
    ("headers_setter", "headers: [{key: X-B, from_context: t, default_value: c}]", {"headers": {"X-B": "c"}}),
    (
        "headers_setter",
        "headers: [{action: upsert, key: X-B, value: '${TENANT}'}]",
        {"headers": {}, "http_headers": {"X-B": {"refs": ["env:TENANT"]}}},
    ),
]


@pytest.mark.parametrize(("name", "settings", "expected"), EXTENSIONS)
def test_what_an_extension_gives_an_endpoint(name: str, settings: str, expected: dict[str, Any]) -> None:
    exporter = f", headers: {{Content-Type: x}}, auth: {{authenticator: {name}}}"
    (found,) = complete(collector(f"extensions: {{{name}: {{{settings}}}}}", exporter))["remote_write"]
    assert found == {"url": "https://a.example/w", "headers": {}, **expected}


NO_CREDENTIALS = "requests go out without"
BY_HAND = [  # (keys of the exporter, extensions, path of the problem, words)
    ("endpoint: w, auth: {authenticator: asapclient}", "asapclient: {}", "extensions.asapclient", NO_CREDENTIALS),
    ("endpoint: w, auth: {authenticator: made_up}", "made_up: {}", "extensions.made_up", NO_CREDENTIALS),
    ("endpoint: w, auth: {authenticator: nowhere}", "", "auth", NO_CREDENTIALS),
    ("endpoint: w, headers: {Authorization: Basic broken}", "", "headers.Authorization", NO_CREDENTIALS),
    ("endpoint: w, headers: {Authorization: 'Basic ${SECRET}'}", "", "headers.Authorization", NO_CREDENTIALS),
    ("endpoint: w, headers: {authorization: '${SECRET}'}", "", "headers.authorization", NO_CREDENTIALS),
    ("timeout: 5s", "", "endpoint", "write where the samples go"),
    ("endpoint: ''", "", "endpoint", "write where the samples go"),
    ("auth: {authenticator: sigv4auth}", "sigv4auth: {}", "endpoint", "write where the samples go"),
]


@pytest.mark.parametrize(("exporter", "extensions", "path", "words"), BY_HAND)
def test_what_is_not_known_is_left_to_a_person(exporter: str, extensions: str, path: str, words: str) -> None:
    text = f"""
receivers: {{prometheus: {{config: {{scrape_configs: [{{job_name: a}}]}}}}}}
extensions: {{{extensions}}}
exporters: {{prometheusremotewrite: {{{exporter.replace(": w", ": https://a.example/w")}}}}}
"""
    (problem,) = convert(text, "c.yaml").problems
    assert problem.path == (path if extensions and "." in path else f"exporters.prometheusremotewrite.{path}")
    assert problem.line == (3 if problem.path == path else 4)
    assert words in problem.message


def test_a_given_value_is_no_reference_again() -> None:
    """Its dollars are text, in external labels as elsewhere."""
    config = complete(collector(exporter=", external_labels: {a: '${PRICE}'}", PRICE="5$CLUSTER"))
    assert parse_config(yaml.dump(config), "ours.yaml", ENVIRONMENT).external_labels == (("a", "5$CLUSTER"),)


# --- Components by all their names ------------------------------------------------------------------------------------
# Types and deprecated aliases are those of each component's metadata.yaml in opentelemetry-collector-contrib 0.156
# (`type`, `deprecated_type`).

RENAMED = [
    ("prometheus_remote_write", "prometheusremotewrite"),
    ("metrics_transform", "metricstransform"),
    ("resource_detection", "resourcedetection"),
    ("k8s_attributes", "k8sattributes"),
    ("awsprometheusremotewrite", "prometheusremotewrite"),
    ("prometheusRemoteWrite", "prometheusremotewrite"),
]


@pytest.mark.parametrize(("name", "other"), RENAMED)
def test_a_type_has_several_names(name: str, other: str) -> None:
    assert type_of(f"{name}/x") == type_of(other)


def with_names(exporter: str, processor: str, authenticator: str, extensions: str = "") -> Conversion:
    return convert(
        f"""
receivers: {{prometheus: {{config: {{scrape_configs: [{{job_name: a}}]}}}}}}
processors: {{{processor}: {{}}}}
extensions: {{{authenticator}: {{region: eu-west-1}}{extensions}}}
exporters: {{{exporter}: {{endpoint: 'https://a.example/w', auth: {{authenticator: {authenticator}}}}}}}
service: {{pipelines: {{metrics: {{receivers: [prometheus], processors: [{processor}], exporters: [{exporter}]}}}}}}
""",
        "c.yaml",
    )


@pytest.mark.parametrize(
    ("exporter", "processor", "authenticator"),
    [
        ("prometheus_remote_write", "metrics_transform", "sigv4auth"),
        ("prometheus_remote_write/amp", "metrics_transform/x", "sigv4auth/y"),
        ("prometheus_remote_write", "memory_limiter", "sigv4_auth"),
    ],
)
def test_new_names_become_what_the_old_ones_do(exporter: str, processor: str, authenticator: str) -> None:
    """The exporter's new name must not cost the endpoint."""
    names = (exporter, processor, authenticator)
    old = [name if name == "memory_limiter" else name.replace("_", "") for name in names]
    found, before = with_names(*names), with_names(*old)
    assert found.problems == before.problems == ()
    assert "sigv4: {region: eu-west-1}" in found.config
    assert [one.why for one in found.dropped] == [one.why for one in before.dropped]
    assert all(one.path.startswith("processors") for one in found.dropped)


def test_an_extension_is_not_needed_only_when_a_list_says_so() -> None:
    found = with_names("prometheusremotewrite", "batch", "sigv4auth", ", health_check: {}, basicauth: {}, made_up: {}")
    detail = {one.path: one.why for one in found.dropped}
    assert detail["extensions.health_check"] == "not needed: nothing listens here"
    assert detail["extensions.basicauth"] == "no exporter that is taken over uses it"
    assert detail["extensions.made_up"].startswith("not known here")
