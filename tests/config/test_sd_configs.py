"""The discovery keys of a scrape job: their defaults, and the message of each mistake."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from lambda_remote_write.config.schema import Authorization, BasicAuth, HttpClientConfig
from lambda_remote_write.config.sd_configs import (
    DnsSd,
    Ec2Sd,
    EcsSd,
    FileSd,
    HttpSd,
    SdConfig,
    StaticConfig,
    read,
)
from lambda_remote_write.config.secrets import Secret
from lambda_remote_write.config.yaml_reader import ConfigError, Diagnostics, Section, compose

HERE = {"AWS_REGION": "eu-west-1"}
NO_KEYS: dict[str, Any] = {
    "endpoint": "", "access_key": "", "secret_key": None, "profile": "", "role_arn": "", "external_id": "",
}  # fmt: skip


def section(entry: str) -> Section:
    node = compose(entry, "pusher.yaml")
    assert node is not None
    return Section(node, "job", Diagnostics("pusher.yaml"))  # type: ignore[arg-type]


def configs(entry: str) -> tuple[SdConfig, ...]:
    written = section(entry)
    found = read(written, HERE)
    written.close()
    if written.diagnostics.problems:
        raise ConfigError(written.diagnostics.problems)
    return found


def aws_defaults(**keys: Any) -> dict[str, Any]:
    return {"region": "eu-west-1", **NO_KEYS, "refresh_interval_ms": 60_000, "port": 80, **keys}


DEFAULTS = {
    "static": ("static_configs: [{targets: [a:1, b]}]", StaticConfig(("a:1", "b"), ())),
    "static-empty": ("static_configs: [{}]", StaticConfig((), ())),
    "file": ("file_sd_configs: [{files: [a.yml]}]", FileSd(("a.yml",), 300_000)),
    "http": ('http_sd_configs: [{url: "http://h/t"}]', HttpSd("http://h/t", 60_000, HttpClientConfig())),
    "dns": ("dns_sd_configs: [{names: [_m._tcp.h]}]", DnsSd(("_m._tcp.h",), "SRV", 0, 30_000)),
    "ec2": ("ec2_sd_configs: [{}]", Ec2Sd(**aws_defaults())),
    "ecs": ("ecs_sd_configs: [{}]", EcsSd(**aws_defaults())),
    "aws-ec2": ("aws_sd_configs: [{role: ec2}]", Ec2Sd(**aws_defaults())),
    "aws-ecs": ("aws_sd_configs: [{role: ecs}]", EcsSd(**aws_defaults())),
    "zero-interval": ("ec2_sd_configs: [{refresh_interval: 0s}]", Ec2Sd(**aws_defaults())),
}


@pytest.mark.parametrize(("entry", "expected"), DEFAULTS.values(), ids=DEFAULTS)
def test_defaults(entry: str, expected: SdConfig) -> None:
    """What is not written is what Prometheus would take."""
    assert configs(entry) == (expected,)


WRITTEN = {
    "static": (
        "static_configs: [{targets: ['h:1'], labels: {team: 007, __metrics_path__: /m, __param_x: y}}]",
        StaticConfig(("h:1",), (("team", "007"), ("__metrics_path__", "/m"), ("__param_x", "y"))),
    ),
    "urls-are-relabelled": (
        "{static_configs: [{targets: ['https://h/probe']}], relabel_configs: [{}]}",
        StaticConfig(("https://h/probe",), ()),
    ),
    "file": (
        "file_sd_configs: [{files: [t/*.json, /x.yaml, s3://bucket/t/a-*.yml], refresh_interval: 1m}]",
        FileSd(("t/*.json", "/x.yaml", "s3://bucket/t/a-*.yml"), 60_000),
    ),
    "http": (
        'http_sd_configs: [{url: "https://h/t?k=1", refresh_interval: 90s, authorization: {credentials: c}}]',
        HttpSd(
            "https://h/t?k=1",
            90_000,
            HttpClientConfig(authorization=Authorization("Bearer", Secret(literal="c"))),
        ),
    ),
    "dns": (
        "dns_sd_configs: [{names: [a.h, b.h], type: aaaa, port: 9100, refresh_interval: 1m}]",
        DnsSd(("a.h", "b.h"), "AAAA", 9100, 60_000),
    ),
    "ec2": (
        "ec2_sd_configs: [{region: us-gov-west-1, endpoint: 'http://h:1', access_key: a, secret_key: s, profile: p,"
        " role_arn: r, external_id: e, refresh_interval: 2m, port: 9100,"
        " filters: [{name: tag:env, values: [prod, 1.10]}]}]",
        Ec2Sd(
            "us-gov-west-1", "http://h:1", "a", Secret(literal="s"), "p", "r", "e", 120_000, 9100,
            (("tag:env", ("prod", "1.10")),),
        ),
    ),
    "ecs": (
        "aws_sd_configs: [{role: ecs, clusters: [one, two], port: 8080}]",
        EcsSd(**aws_defaults(port=8080), clusters=("one", "two")),
    ),
    "http-login": (
        "http_sd_configs: [{url: 'http://me:p%40ss@h/t?k=1', authorization: {credentials: c}}]",
        HttpSd(
            "http://h/t?k=1", 60_000,
            HttpClientConfig(basic_auth=BasicAuth(Secret(literal="me"), Secret(literal="p@ss"))),
        ),
    ),
    "files-by-pattern": (
        "file_sd_configs: [{files: ['u?.json', 'a*b*.json', 'd?/[ab].yml']}]",
        FileSd(("u?.json", "a*b*.json", "d?/[ab].yml"), 300_000),
    ),
    "role-port-0": ("aws_sd_configs: [{role: ec2, port: 0}]", Ec2Sd(**aws_defaults())),
    "region-eusc": ("ec2_sd_configs: [{region: eusc-de-east-1}]", Ec2Sd(**aws_defaults(region="eusc-de-east-1"))),
    "region-empty": ("ec2_sd_configs: [{region: ''}]", Ec2Sd(**aws_defaults())),
}  # fmt: skip


@pytest.mark.parametrize(("entry", "expected"), WRITTEN.values(), ids=WRITTEN)
def test_written(entry: str, expected: SdConfig) -> None:
    """Every key counts, and values stay the text that is written."""
    written = section(entry)
    assert read(written, HERE) == (expected,)
    assert written.diagnostics.problems == []


def test_all_together() -> None:
    """A job may find targets in several ways, and several times in the same one."""
    entry = (
        "{ec2_sd_configs: [{}, {region: us-east-1}], static_configs: [{targets: [a]}], dns_sd_configs: [{names: [n]}]}"
    )
    assert [type(one) for one in configs(entry)] == [StaticConfig, DnsSd, Ec2Sd, Ec2Sd]


def warnings(entry: str) -> list[str]:
    written = section(entry)
    read(written, HERE)
    return [f"{one.path}: {one.message}" for one in written.diagnostics.warnings]


IGNORED = {  # as in Prometheus, which says nothing
    "half-key": ("ec2_sd_configs: [{access_key: a}]", "access_key: ignored without secret_key"),
    "half-secret": ("ecs_sd_configs: [{secret_key: a}]", "secret_key: ignored without access_key"),
    "external-id": ("ec2_sd_configs: [{external_id: e}]", "external_id: ignored: it belongs to a role_arn"),
    "clusters": ("aws_sd_configs: [{role: ec2, clusters: [c]}]", "clusters: ignored: the role ec2 does not take it"),
    "filters": ("aws_sd_configs: [{role: ecs, filters: []}]", "filters: ignored: the role ecs does not take it"),
}


@pytest.mark.parametrize(("entry", "detail"), IGNORED.values(), ids=IGNORED)
def test_what_is_ignored_is_said(entry: str, detail: str) -> None:
    (found,) = warnings(entry)
    assert detail in found
    assert configs(entry) == ((EcsSd if "ecs" in entry else Ec2Sd)(**aws_defaults()),)


REGIONS = {
    "first": ({"AWS_REGION": "eu-north-1", "AWS_DEFAULT_REGION": "eu-west-2"}, "", "eu-north-1"),
    "default": ({"AWS_DEFAULT_REGION": "eu-west-2"}, "", "eu-west-2"),
    "file": ({}, "", "eu-south-1"),
    "named-profile": ({"AWS_PROFILE": "far"}, "", "sa-east-1"),
    "own-profile": ({"AWS_PROFILE": "default"}, ", profile: far", "sa-east-1"),
}


@pytest.mark.parametrize(("env_vars", "keys", "region"), REGIONS.values(), ids=REGIONS)
def test_the_region_of_the_environment(env_vars: dict[str, str], keys: str, region: str, tmp_path: Path) -> None:
    """The order of the AWS SDKs: variables, then the profile's in the shared config file ("AWS SDKs and Tools
    Reference Guide", "AWS Region")."""
    shared = tmp_path / "config"
    shared.write_text("[default]\nregion = eu-south-1\n[profile far]\nregion=sa-east-1\n", encoding="utf-8")
    written = section(f"ec2_sd_configs: [{{port: 1{keys}}}]")
    (found,) = read(written, {**env_vars, "AWS_CONFIG_FILE": str(shared)})
    assert isinstance(found, Ec2Sd)
    assert (found.region, written.diagnostics.problems) == (region, [])


def test_no_discovery() -> None:
    """A job that can never have a target is a warning."""
    (found,) = warnings("job_name: a")
    assert found.startswith("job.static_configs: no targets")
    assert warnings("static_configs: []") == []


def test_http_keys_of_aws() -> None:
    """They load, because Prometheus takes them, and have no effect, which is a warning."""
    (found,) = warnings("ec2_sd_configs: [{proxy_url: 'http://p:1'}]")
    assert found.startswith("job.ec2_sd_configs[0].proxy_url: ignored")
    assert "HTTPS_PROXY" in found
