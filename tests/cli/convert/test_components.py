"""Components of a collector by all their names. Types and deprecated aliases are those of each component's
metadata.yaml in opentelemetry-collector-contrib 0.156 (`type`, `deprecated_type`)."""

from __future__ import annotations

import pytest

from lambda_remote_write_cli.convert import Conversion, convert
from lambda_remote_write_cli.convert.components import type_of

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


def converted(exporter: str, processor: str, authenticator: str, extensions: str = "") -> Conversion:
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
    found, before = converted(*names), converted(*old)
    assert found.problems == before.problems == ()
    assert "sigv4: {region: eu-west-1}" in found.config
    assert [one.why for one in found.dropped] == [one.why for one in before.dropped]
    assert all(one.path.startswith("processors") for one in found.dropped)


def test_an_extension_is_not_needed_only_when_a_list_says_so() -> None:
    found = converted("prometheusremotewrite", "batch", "sigv4auth", ", health_check: {}, basicauth: {}, made_up: {}")
    detail = {one.path: one.why for one in found.dropped}
    assert detail["extensions.health_check"] == "not needed: nothing listens here"
    assert detail["extensions.basicauth"] == "no exporter that is taken over uses it"
    assert detail["extensions.made_up"].startswith("not known here")
