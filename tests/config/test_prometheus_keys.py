"""Every key that a config of Prometheus 3.16 may hold loads here with its meaning, or is named for what it is.

The lists are the `yaml` tags of its source, module v0.316.0: config/config.go, model/relabel/relabel.go, discovery/*,
prometheus/common v0.72.1 config/http_config.go, prometheus/sigv4 v0.5.0.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from lambda_remote_write.config.load import parse_config
from lambda_remote_write.config.sd_configs import REFUSED
from lambda_remote_write.config.yaml_reader import ConfigError

ROLE = "arn:aws:iam::123456789012:role/r"
JWT = "urn:ietf:params:oauth:grant-type:jwt-bearer"
STATIC = [{"targets": ["h:1"]}]
LIMITS = {
    "body_size_limit": "1MB", "sample_limit": 1, "target_limit": 1, "label_limit": 1, "label_name_length_limit": 1,
    "label_value_length_limit": 1, "keep_dropped_targets": 1,
}  # fmt: skip
OF_BOTH = {
    "scrape_interval": "1m", "scrape_timeout": "1s", "scrape_protocols": ["OpenMetricsText2.0.0"],
    "scrape_failure_log_file": "f", "metric_name_validation_scheme": "legacy",
    "metric_name_escaping_scheme": "underscores", "scrape_native_histograms": True,
    "convert_classic_histograms_to_nhcb": True, "always_scrape_classic_histograms": True, "extra_scrape_metrics": True,
    **LIMITS,
}  # fmt: skip
GLOBAL = {
    **OF_BOTH, "evaluation_interval": "1m", "rule_query_offset": "1m", "query_log_file": "f", "query_max_series": 1,
    "query_max_samples_read": 1, "query_max_duration": "1m", "external_labels": {"a": "b"},
}  # fmt: skip
SCRAPE = {
    **OF_BOTH, "honor_labels": True, "honor_timestamps": False, "track_timestamps_staleness": True,
    "params": {"a": ["b"]}, "fallback_scrape_protocol": "OpenMetricsText2.0.0", "metrics_path": "/m",
    "scheme": "https", "enable_compression": False, "native_histogram_bucket_limit": 1,
    "native_histogram_min_bucket_factor": 1.1, "relabel_configs": [], "metric_relabel_configs": [],
    "static_configs": STATIC,
}  # fmt: skip
PROXY = {
    "proxy_url": "http://p:1", "no_proxy": "a", "proxy_from_environment": True, "proxy_connect_header": {"A": ["b"]},
}  # fmt: skip
HTTP = {
    "basic_auth": {"username": "u"}, "authorization": {"credentials": "c"}, "oauth2": {"client_id": "i", "token_url": "http://t"},
    "bearer_token": "t", "bearer_token_file": "f", "tls_config": {}, "follow_redirects": True, "enable_http2": False,
    "http_headers": {"A": {"values": ["a"], "secrets": ["b"], "files": ["c"]}}, **PROXY,
}  # fmt: skip
FORMS = {"": "x", "_file": "x", "_ref": "env:X"}
BASIC = {f"{key}{form}": value for key in ("username", "password") for form, value in FORMS.items()}
AUTHORIZATION = {"type": "Bearer", "credentials": "c", "credentials_file": "f", "credentials_ref": "env:X"}
OAUTH2 = {
    "client_secret": "s", "client_secret_file": "f", "client_secret_ref": "env:X",
    "grant_type": "client_credentials", "scopes": ["a"], "endpoint_params": {"a": "b"}, "tls_config": {}, **PROXY,
}  # fmt: skip
BY_KEY = {
    "client_certificate_key_id": "i", "client_certificate_key": "k", "client_certificate_key_file": "f",
    "client_certificate_key_ref": "env:X", "signature_algorithm": "RS256", "iss": "i", "audience": "a",
    "claims": {"a": "b"},
}  # fmt: skip
TLS = {
    **{f"{key}{form}": value for key in ("ca", "cert", "key") for form, value in FORMS.items()},
    "server_name": "s", "insecure_skip_verify": True, "min_version": "TLS13", "max_version": "TLS13",
}  # fmt: skip
SIGV4 = {
    "region": "eu-west-1", "access_key": "a", "secret_key": "s", "profile": "p", "role_arn": ROLE, "external_id": "e",
    "session_name": "name", "tags": {"team": "a"}, "use_fips_sts_endpoint": True, "service_name": "aps",
}  # fmt: skip
WRITE = {
    "remote_timeout": "1s", "headers": {"A": "b"}, "write_relabel_configs": [], "name": "n", "send_exemplars": True,
    "send_native_histograms": True, "round_robin_dns": True, "protobuf_message": "io.prometheus.write.v2.Request",
    "failed_request_logging": True, "queue_config": {}, "metadata_config": {}, "convert_nhcb_to_classic": True,
    "sigv4": {"region": "eu-west-1"},
}  # fmt: skip
QUEUE = {
    "capacity": 1, "max_shards": 1, "min_shards": 1, "max_samples_per_send": 1, "batch_send_deadline": "1s",
    "min_backoff": "1s", "max_backoff": "1s", "retry_on_http_429": True, "sample_age_limit": "1s",
}  # fmt: skip
METADATA = {"send": True, "send_interval": "1s", "max_samples_per_send": 1}
RELABEL = {
    "source_labels": ["a"], "separator": ",", "regex": "a", "target_label": "b", "replacement": "c",
    "action": "replace",
}  # fmt: skip
AWS = {
    "endpoint": "http://e", "region": "eu-west-1", "access_key": "a", "secret_key": "s", "profile": "p",
    "role_arn": ROLE, "external_id": "e", "refresh_interval": "1m", "port": 1,
}  # fmt: skip
FILTERS = {"filters": [{"name": "n", "values": ["v"]}]}
CLUSTERS = {"clusters": ["arn:aws:ecs:eu-west-1:123456789012:cluster/c"]}
PAIRS = {
    "access_key": {"secret_key": "s"}, "secret_key": {"access_key": "a"}, "external_id": {"role_arn": ROLE},
    "session_name": {"role_arn": ROLE}, "tags": {"role_arn": ROLE}, "no_proxy": {"proxy_url": "http://p:1"},
    "proxy_connect_header": {"proxy_url": "http://p:1"}, "cert": {"key": "k"}, "cert_file": {"key": "k"},
    "cert_ref": {"key": "k"}, "key": {"cert": "c"}, "key_file": {"cert": "c"}, "key_ref": {"cert": "c"},
    "min_shards": {"max_shards": 5}, "modulus": {"action": "hashmod"}, "max_shards": {"min_shards": 1},
}  # fmt: skip
"""What a key needs beside it."""


def job(**keys: Any) -> dict[str, Any]:
    return {"scrape_configs": [{"job_name": "j", "static_configs": STATIC, **keys}]}


def write(**keys: Any) -> dict[str, Any]:
    return {"remote_write": [{"url": "http://r/", **keys}]}


def discovered(kind: str, **keys: Any) -> dict[str, Any]:
    return {"scrape_configs": [{"job_name": "j", f"{kind}_sd_configs": [keys]}]}


def oauth2(**keys: Any) -> dict[str, Any]:
    return job(oauth2={"client_id": "i", "token_url": "http://t", **keys})


PLACES: dict[str, tuple[Any, dict[str, Any]]] = {
    "global": (lambda **keys: {"global": keys}, GLOBAL),
    "scrape_configs": (job, SCRAPE | HTTP),
    "remote_write": (write, WRITE | HTTP),
    "basic_auth": (lambda **keys: job(basic_auth=keys), BASIC),
    "authorization": (lambda **keys: job(authorization=keys), AUTHORIZATION),
    "oauth2": (oauth2, OAUTH2),
    "tls_config": (lambda **keys: job(tls_config=keys), TLS),
    "sigv4": (lambda **keys: write(sigv4={"region": "eu-west-1", **keys}), SIGV4),
    "queue_config": (lambda **keys: write(queue_config=keys), QUEUE),
    "metadata_config": (lambda **keys: write(metadata_config=keys), METADATA),
    "relabel_configs": (lambda **keys: job(relabel_configs=[{"target_label": "b", **keys}]), {**RELABEL, "modulus": 2}),
    "static_configs": (lambda **keys: job(static_configs=[keys]), {"targets": ["h:1"], "labels": {"a": "b"}}),
    "file_sd_configs": (
        lambda **keys: discovered("file", **{"files": ["a.json"], **keys}),
        {"files": ["a.json"], "refresh_interval": "1m"},
    ),
    "http_sd_configs": (
        lambda **keys: discovered("http", **{"url": "http://s", **keys}),
        {"url": "http://s", "refresh_interval": "1m", **HTTP},
    ),
    "dns_sd_configs": (
        lambda **keys: discovered("dns", **{"names": ["a"], "port": 1, **keys}),
        {"names": ["a"], "refresh_interval": "1m", "type": "A", "port": 1},
    ),
    "ec2_sd_configs": (lambda **keys: discovered("ec2", **{"region": "eu-west-1", **keys}), {**AWS, **FILTERS, **HTTP}),
    "ecs_sd_configs": (
        lambda **keys: discovered("ecs", **{"region": "eu-west-1", **keys}),
        {**AWS, **CLUSTERS, "request_concurrency": 2, **HTTP},
    ),
    "aws_sd_configs of ec2": (
        lambda **keys: discovered("aws", **{"role": "ec2", "region": "eu-west-1", **keys}), {**AWS, **FILTERS, **HTTP}
    ),
    "aws_sd_configs of ecs": (
        lambda **keys: discovered("aws", **{"role": "ecs", "region": "eu-west-1", **keys}), {**AWS, **CLUSTERS, **HTTP}
    ),
}  # fmt: skip
TAKEN = [(place, key) for place, (_, keys) in PLACES.items() for key in keys]

SERVER_ONLY = {
    "global": {key: GLOBAL[key] for key in GLOBAL if key.startswith(("query_", "rule_", "evaluation_"))},
    "": {
        "alerting": {"alertmanagers": []}, "rule_files": ["r.yml"], "storage": {"tsdb": {"retention": {"time": "1d"}}},
        "tracing": {"endpoint": "t:1"}, "remote_read": [{"url": "http://r/"}], "otlp": {"promote_scope_metadata": True},
        "runtime": {"gogc": 75, "log_level": "info"},
    },
}  # fmt: skip
DISCOVERIES = [
    "azure", "consul", "digitalocean", "docker", "dockerswarm", "elasticache", "eureka", "gce", "hetzner", "ionos",
    "kubernetes", "kuma", "lightsail", "linode", "marathon", "msk", "nerve", "nomad", "oci", "openstack", "outscale",
    "ovhcloud", "puppetdb", "rds", "scaleway", "serverset", "stackit", "triton", "uyuni", "vultr",
]  # fmt: skip


def load(config: dict[str, Any]) -> tuple[str, ...]:
    """The warnings."""
    whole = {**job(), **write(), **config}
    return parse_config(json.dumps(whole), "prometheus.yml", {"AWS_REGION": "eu-west-1"}).warnings


@pytest.mark.parametrize(("place", "key"), TAKEN, ids=[f"{place} {key}" for place, key in TAKEN])
def test_a_key_of_prometheus_loads(place: str, key: str) -> None:
    make, keys = PLACES[place]
    load(make(**{**PAIRS.get(key, {}), key: keys[key]}))


def server_only() -> Iterator[tuple[str, dict[str, Any]]]:
    for key, value in SERVER_ONLY["global"].items():
        yield f"global.{key}", {"global": {key: value}}
    for key, value in SERVER_ONLY[""].items():
        yield key, {key: value}


@pytest.mark.parametrize(("path", "config"), list(server_only()), ids=[path for path, _ in server_only()])
def test_what_only_a_server_does_is_named(path: str, config: dict[str, Any]) -> None:
    detail = [
        one for one in load(config) if f" {path}: ignored: needs a Prometheus server and does nothing here" in one
    ]
    assert len(detail) == 1


def refused() -> Iterator[tuple[str, dict[str, Any]]]:
    for key in ("azuread", "google_iam"):
        yield f"remote_write[0].{key}", write(**{key: {}})
    for key, value in BY_KEY.items():
        yield f"scrape_configs[0].oauth2.{key}", oauth2(**{key: value})
    yield "scrape_configs[0].oauth2.grant_type", oauth2(grant_type=JWT)
    for name in DISCOVERIES:
        yield f"scrape_configs[0].{name}_sd_configs", discovered(name)
    for role in ("lightsail", "msk", "elasticache", "rds"):
        yield "scrape_configs[0].aws_sd_configs[0].role", discovered("aws", role=role)


@pytest.mark.parametrize(("path", "config"), list(refused()), ids=[f"{path} {config}" for path, config in refused()])
def test_what_makes_no_sense_here_is_refused_by_name(path: str, config: dict[str, Any]) -> None:
    """Never as an unknown key: it says what to use instead, or why there is no such thing."""
    with pytest.raises(ConfigError) as raised:
        load(config)
    (problem,) = raised.value.problems
    assert problem.path == path
    assert "unknown key" not in problem.message
    assert "_sd_configs" not in path or REFUSED.get(path.rpartition(".")[2], problem.message) == problem.message


def test_a_job_file_holds_scrape_configs() -> None:
    text = json.dumps({"scrape_config_files": ["jobs/*.yml"], **write()})
    found = parse_config(text, "prometheus.yml", {}, lambda pattern: [("jobs/a.yml", json.dumps(job()))])
    assert [one.job_name for one in found.scrape_jobs] == ["j"]
