"""Whole config files: good ones load with the warnings of their `.txt`, bad ones report exactly the lines of theirs."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from lambda_remote_write.config.load import parse_config
from lambda_remote_write.config.schema import (
    Authorization,
    BasicAuth,
    Config,
    JsonJob,
    Limits,
    MetadataConfig,
    Metric,
    OAuth2,
    ProxyConfig,
    QueueConfig,
    RemoteWriteConfig,
    SigV4,
    TlsConfig,
)
from lambda_remote_write.config.secrets import Secret
from lambda_remote_write.config.yaml_reader import ConfigError

CORPUS = Path(__file__).parents[1] / "testdata" / "config"
ENVIRONMENT = {
    "AWS_REGION": "eu-west-1",
    "PUSHER_WORKSPACE": "ws-0f3ca4d1-0000-4000-8000-000000000000",
    "OTHER_WORKSPACE": "ws-6",
    "NOT_A_WORKSPACE": "usage",
}
OF_FILE = {
    "environment": {"PUSHER_TICK": "often", "PUSHER_WORKSPACE": "usage", "PUSHER_SPOOL": "https://bucket"},
}


def files(folder: str) -> list[Any]:
    found = sorted((CORPUS / folder).glob("*.yaml"))
    return [pytest.param(path, id=path.stem) for path in found]


def load(path: Path) -> Config:
    return parse_config(path.read_bytes().decode(), path.name, ENVIRONMENT | OF_FILE.get(path.stem, {}))


def expected_of(path: Path) -> list[str]:
    beside = path.with_suffix(".txt")
    return beside.read_text(encoding="utf-8").splitlines() if beside.exists() else []


def good(name: str) -> Config:
    return load(CORPUS / "good" / f"{name}.yaml")


def read(value: Any, path: str) -> Any:
    """`jobs[0].limits.sample_limit` of a config."""
    for name, index in re.findall(r"(\w+)|\[(\d+)\]", path):
        value = value[int(index)] if index else getattr(value, name)
    return value


@pytest.mark.parametrize("path", files("good"))
def test_good(path: Path) -> None:
    """A good file loads, and warns of exactly what its `.txt` names."""
    assert list(load(path).warnings) == expected_of(path)


@pytest.mark.parametrize("path", files("bad"))
def test_bad(path: Path) -> None:
    """A bad file does not load; the message lists all its mistakes, in the order of its lines."""
    with pytest.raises(ConfigError) as raised:
        load(path)
    assert sorted(str(raised.value).splitlines()) == sorted(expected_of(path))
    assert not re.search(r"hid.{0,3}den", f"{raised.value}{raised.value!r}", re.IGNORECASE)  # the secrets in them
    lines = [problem.line for problem in raised.value.problems]
    assert lines == sorted(lines)


def test_every_expectation_has_its_file() -> None:
    """No `.txt` is left without the file it belongs to, and every bad file has one."""
    texts = {path.with_suffix("") for path in CORPUS.glob("*/*.txt")}
    assert texts <= {path.with_suffix("") for path in CORPUS.glob("*/*.yaml")}
    assert {path.with_suffix("") for path in CORPUS.glob("bad/*.yaml")} <= texts


# --- What the good files mean -----------------------------------------------------------------------------------------

URL = "https://aps-workspaces.eu-west-1.amazonaws.com/workspaces/ws-0f3ca4d1-0000-4000-8000-000000000000"


def test_what_is_not_written_is_the_schemas_default() -> None:
    """test_defaults.py compares these with docs/config.md."""
    config = good("minimal")
    (job,), (endpoint,) = config.jobs, config.endpoints
    (metric,) = job.metrics
    assert metric == Metric(metric.name, metric.records, metric.value)
    assert job == JsonJob(job.job_name, job.url, "api.example.com", 60_000, 10_000, job.metrics)
    assert endpoint == RemoteWriteConfig(endpoint.name, f"{URL}/api/v1/remote_write", sigv4=SigV4("eu-west-1"))
    assert config == Config((), config.jobs, (), config.endpoints, 60_000)


def test_defaults_stay_below_amp_body_limit() -> None:
    """A request's body is under 1,000,000 bytes unless the user says otherwise."""
    assert good("minimal").endpoints[0].queue.max_body_bytes <= 1_000_000


PROXY_HEADER = (("X-Proxy", (Secret(literal="one"),)),)
BASIC = BasicAuth(Secret(reference="env:API_USER"), Secret(file="password.txt"))
QUEUE = QueueConfig(2_500, 4, 2, 500, 2_000, 100, 10_000, False, 1_800_000, 500 * 1024)
CA, TOKEN = Secret(file="ca.pem"), Secret(reference="secretsmanager:usage-api#token")
TENANT = (Secret(literal="blue"), Secret(literal="hidden"), Secret(file="tenant.txt"), Secret(reference="env:TENANT"))
TLS = TlsConfig(CA, Secret(file="cert.pem"), Secret(reference="ssm:/usage/key"), "api.internal", max_version="TLS13")
OAUTH2 = OAuth2(
    "pusher",
    Secret(reference="secretsmanager:client"),
    "https://login.example.com/token",
    ("read",),
    (("audience", "usage"),),
    TlsConfig(CA),
    ProxyConfig(Secret(literal="http://proxy.example.com:3128"), "example.org", False, PROXY_HEADER),
)
EVERY_KEY = [  # whole blocks in the order of their fields in the schema
    ("json-configs-every-key", "jobs[0].limits", Limits(2 * 1024 * 1024, 100, 20, 64, 256)),
    ("json-configs-every-key", "jobs[0].http.authorization", Authorization("Token", TOKEN)),
    ("json-configs-every-key", "jobs[0].http.tls", TLS),
    ("json-configs-every-key", "jobs[0].http.http_headers", (("X-Tenant", TENANT),)),
    ("json-configs-every-key", "jobs[1].http.basic_auth", BASIC),
    ("json-configs-every-key", "jobs[2].http.oauth2", OAUTH2),
    ("json-configs-every-key", "jobs[4].http.authorization", Authorization("Bearer", Secret(literal="literal"))),
    ("json-configs-every-key", "jobs[5].http.authorization", Authorization("Bearer", Secret(file="token.txt"))),
    ("remote-write-every-key", "endpoints[0].queue", QUEUE),
    ("remote-write-every-key", "endpoints[0].metadata", MetadataConfig(False, 300_000, 100)),
    ("global-every-key", "jobs[0].limits", Limits(10 * 1024 * 1024, 5_000, 30, 100, 500)),
    ("json-configs-every-key", "jobs[0].url", "https://api.example.com:8443/usage?kind=all"),
    ("json-configs-every-key", "jobs[0].instance", "api.example.com:8443"),
    ("json-configs-every-key", "jobs[0].method", "POST"),
    ("json-configs-every-key", "jobs[0].query", (("from", "2024-05-23"), ("limit", "0100"))),
    ("json-configs-every-key", "jobs[0].body", '{"codes": ["4"]}'),
    ("json-configs-every-key", "jobs[0].headers[0][0]", "Accept"),
    ("json-configs-every-key", "jobs[0].headers[0][1].literal", "application/json"),
    ("json-configs-every-key", "jobs[0].labels", (("team", "billing"),)),
    ("json-configs-every-key", "jobs[0].honor_labels", True),
    ("json-configs-every-key", "jobs[0].scrape_interval_ms", 300_000),
    ("json-configs-every-key", "jobs[0].scrape_timeout_ms", 20_000),
    ("json-configs-every-key", "jobs[0].valid_status_codes", (200, 206)),
    ("json-configs-every-key", "jobs[0].pagination.style", "cursor"),
    ("json-configs-every-key", "jobs[0].pagination.path.text", "next.cursor"),
    ("json-configs-every-key", "jobs[0].pagination.parameter", "after"),
    ("json-configs-every-key", "jobs[0].pagination.first_page", 0),
    ("json-configs-every-key", "jobs[0].pagination.max_pages", 7),
    ("json-configs-every-key", "jobs[0].http.proxy.url.literal", "http://proxy.example.com:3128"),
    ("json-configs-every-key", "jobs[0].http.proxy.no_proxy", "example.org,10.0.0.0/8"),
    ("json-configs-every-key", "jobs[0].http.proxy.connect_header[0][0]", "X-Proxy"),
    ("json-configs-every-key", "jobs[0].http.proxy.connect_header[0][1][1].literal", "two"),
    ("json-configs-every-key", "jobs[0].http.follow_redirects", False),
    ("json-configs-every-key", "jobs[0].metric_relabel[0].separator", "-"),
    ("json-configs-every-key", "jobs[0].metric_relabel[1].modulus", 4),
    ("json-configs-every-key", "jobs[0].metrics[0].name", "every_key:requests_total"),
    ("json-configs-every-key", "jobs[0].metrics[0].type", "counter"),
    ("json-configs-every-key", "jobs[0].metrics[0].help", "Requests."),
    ("json-configs-every-key", "jobs[0].metrics[0].unit", "requests"),
    ("json-configs-every-key", "jobs[0].metrics[0].value.text", "count"),
    ("json-configs-every-key", "jobs[0].metrics[0].timestamp.path.text", "$.at"),
    ("json-configs-every-key", "jobs[0].metrics[0].timestamp.format.name", "%d/%m/%Y %H:%M:%S"),
    ("json-configs-every-key", "jobs[0].metrics[0].value_map", (("OK", 1.0), ("FAIL", 0.0))),
    ("json-configs-every-key", "jobs[0].metrics[0].value_regex.pattern", "([0-9.]+) req"),
    ("json-configs-every-key", "jobs[0].metrics[0].scale", 0.001),
    ("json-configs-every-key", "jobs[0].metrics[0].offset", -1000.0),
    ("json-configs-every-key", "jobs[0].metrics[0].on_missing", 0.0),
    ("json-configs-every-key", "jobs[0].metrics[0].duplicates", "sum"),
    ("json-configs-every-key", "jobs[1].http.proxy.from_environment", True),
    ("json-configs-every-key", "jobs[3].http.oauth2.client_secret.file", "secret.txt"),
    ("json-configs-every-key", "jobs[3].http.oauth2.proxy.from_environment", True),
    ("remote-write-every-key", "endpoints[0].name", "amp"),
    ("remote-write-every-key", "endpoints[0].remote_timeout_ms", 20_000),
    ("remote-write-every-key", "endpoints[0].headers", (("X-Team", "billing"),)),
    ("remote-write-every-key", "endpoints[0].sigv4.access_key", "AKIDEXAMPLE"),
    ("remote-write-every-key", "endpoints[0].sigv4.secret_key.literal", "example"),
    ("remote-write-every-key", "endpoints[0].sigv4.profile", "metrics"),
    ("remote-write-every-key", "endpoints[0].sigv4.role_arn", "arn:aws:iam::111122223333:role/pusher"),
    ("remote-write-every-key", "endpoints[0].sigv4.external_id", "billing"),
    ("remote-write-every-key", "endpoints[0].sigv4.use_fips_sts_endpoint", True),
    ("remote-write-every-key", "endpoints[1].http.basic_auth.password.reference", "ssm:/pusher/password"),
    ("remote-write-every-key", "endpoints[1].is_amp", False),
    ("global-every-key", "external_labels", (("environment", "production"),)),
    ("global-every-key", "jobs[0].scrape_interval_ms", 120_000),
    ("global-every-key", "jobs[0].scrape_timeout_ms", 30_000),
]


FIELDS = [
    # An explicitly empty value is not an absent one.
    ("explicit-empty", "jobs[0].body", ""),
    ("explicit-empty", "jobs[0].method", "POST"),
    ("explicit-empty", "jobs[0].query", (("empty", ""),)),
    ("explicit-empty", "jobs[0].metric_relabel[0].replacement", ""),
    ("explicit-empty", "jobs[0].metrics[0].value_map", (("", 0.0),)),
    # Scalars are what the field's type makes of them.
    (
        "go-scalars",
        "external_labels",
        (
            ("version", "1.10"),
            ("padded", "012"),
            ("answer", "yes"),
            ("clock", "22:22"),
            ("hexadecimal", "0x1f"),
            ("thousands", "1_000"),
            ("scientific", "1e3"),
            ("date", "2024-05-23"),
            ("quoted_null", "null"),
        ),
    ),
    ("go-scalars", "jobs[0].job_name", "012"),
    ("go-scalars", "jobs[0].labels", (("version", "1.10"), ("answer", "no"))),
    ("go-scalars", "jobs[0].honor_labels", True),
    ("go-scalars", "jobs[0].http.follow_redirects", False),
    ("go-scalars", "jobs[0].limits.sample_limit", 1_000),
    ("go-scalars", "jobs[0].limits.label_limit", 31),
    ("go-scalars", "jobs[0].limits.label_name_length", 10),
    ("go-scalars", "jobs[0].limits.label_value_length", 3),
    ("go-scalars", "jobs[0].metrics[0].name", "yes"),
    ("go-scalars", "jobs[0].metrics[0].help", "22:22"),
    ("go-scalars", "jobs[0].metrics[0].labels[0][1].constant", "1.10"),
    ("go-scalars", "jobs[0].metrics[0].scale", 0.5),
    ("go-scalars", "jobs[0].metrics[0].offset", 1_000.0),
    # Anchors and merge keys: written keys win over merged ones, earlier merges over later ones.
    ("anchors", "jobs[1].scrape_interval_ms", 300_000),
    ("anchors", "jobs[1].labels", (("team", "billing"), ("tier", "gold"))),
    ("anchors", "jobs[1].metrics[1].value.text", "errors"),
    ("anchors", "jobs[1].metrics[1].labels[0][0]", "project"),
    ("anchors", "jobs[2].scrape_interval_ms", 120_000),
    ("anchors", "jobs[2].labels", (("tier", "silver"), ("team", "billing"))),
    ("anchors", "jobs[3].metrics[0].name", "requests_total"),
    # A workspace names its address and region.
    (
        "workspaces",
        "endpoints[4].url",
        "https://aps-workspaces.eu-west-1.amazonaws.com/workspaces/ws-6/api/v1/remote_write",
    ),
    ("workspaces", "endpoints[6].is_amp", True),
    # Pages.
    ("pagination", "jobs[0].pagination.max_pages", 100),
    ("pagination", "jobs[3].pagination.path", None),
    ("pagination", "jobs[3].pagination.parameter", "page"),
    ("pagination", "jobs[3].pagination.first_page", 1),
    # Records: which steps walk an object as a map.
    ("records", "jobs[0].metrics[0].records.key_levels", frozenset()),
    ("records", "jobs[0].metrics[3].records.key_levels", frozenset({0})),
    ("records", "jobs[0].metrics[4].records.key_levels", frozenset({0, 1})),
    # Other ways to write the same.
    ("json", "endpoints[0].is_amp", False),
    ("windows", "jobs[0].body", '{"from": "now-5m",\n "to": "now"}\n'),
    ("example", "jobs[0].http.authorization.credentials.reference", "secretsmanager:usage-api#token"),
    ("prometheus", "endpoints[0].queue.max_shards", 200),
]


@pytest.mark.parametrize(
    ("name", "path", "value"),
    [*EVERY_KEY, *FIELDS],
    ids=[f"{name}: {path}".replace("-every-key", "") for name, path, _ in [*EVERY_KEY, *FIELDS]],
)
def test_fields(name: str, path: str, value: object) -> None:
    """A key that is written in a good file ends in the field that carries its meaning."""
    assert read(good(name), path) == value


def test_empty_labels_are_absent() -> None:
    """A label without a value is no label, as in Prometheus: empty and missing are the same thing."""
    assert not [value for _, value in good("explicit-empty").jobs[0].labels if value]


def test_null_in_value_map_is_text() -> None:
    """The keys of value_map are texts as written: they are compared with what the API sends."""
    values = dict(good("go-scalars").jobs[0].metrics[0].value_map)
    assert [(key, values[key]) for key in ("yes", "no", "012", "~")] == [("yes", 1), ("no", 0), ("012", 12), ("~", -1)]
    assert values["unknown"] != values["unknown"]
    assert values["far"] == float("inf")
