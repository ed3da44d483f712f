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


def problems(entry: str, **env_vars: str) -> list[str]:
    written = section(entry)
    read(written, env_vars)
    written.close({"job_name": "", "relabel_configs": ""})
    return [f"{one.path}: {one.message}" for one in written.diagnostics.problems]


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


MISTAKES = {
    "target-url": (
        "static_configs: [{targets: ['h:1', 'http://h/metrics']}]",
        "job.static_configs[0].targets[1]: 'http://h/metrics' is not allowed: without relabel_configs a target is host "
        "or host:port; scheme and metrics_path are keys of the job",
    ),
    "target-empty": (
        "{static_configs: [{targets: ['']}], relabel_configs: [{}]}",
        "job.static_configs[0].targets[0]: '' is not allowed: a target is host or host:port",
    ),
    "label-name": (
        "static_configs: [{labels: {'': c}}]",
        "job.static_configs[0].labels: not a label name: it is empty, or no Unicode text",
    ),
    "label-address": (
        "static_configs: [{labels: {__address__: c}}]",
        "job.static_configs[0].labels.__address__: comes from targets; leave it out",
    ),
    "static-unknown": (
        "static_configs: [{target: [a]}]",
        'job.static_configs[0].target: unknown key; did you mean "targets"? (allowed here: labels, targets)',
    ),
    "files-none": ("file_sd_configs: [{}]", "job.file_sd_configs[0].files: is required: at least one path or s3://"),
    "file-ending": ("file_sd_configs: [{files: [a.txt]}]", "'a.txt' is not allowed: a file ends in .json, .yml or"),
    "file-star-in-folder": ("file_sd_configs: [{files: ['*/a.yml']}]", "and a * stands in its last part only"),
    "file-bad-pattern": ("file_sd_configs: [{files: ['a[.yml']}]", "'a[.yml' is not allowed: a [ has no ]"),
    "file-http": ("file_sd_configs: [{files: ['http://h/a.yml']}]", "for http:// use http_sd_configs"),
    "file-empty-part": ("file_sd_configs: [{files: ['s3://bucket/a//b.yml']}]", "s3://bucket/key without empty parts"),
    "file-no-bucket": ("file_sd_configs: [{files: ['s3:///a.yml']}]", "a file is a path or s3://bucket/key"),
    "http-no-url": ("http_sd_configs: [{}]", "job.http_sd_configs[0].url: is required"),
    "dns-no-names": ("dns_sd_configs: [{}]", "job.dns_sd_configs[0].names: is required: at least one name"),
    "dns-url": ("dns_sd_configs: [{names: ['http://h']}]", "a DNS name is expected"),
    "dns-no-port": (
        "dns_sd_configs: [{names: [h], type: A}]",
        "job.dns_sd_configs[0].port: is required for A records: only SRV records bring a port",
    ),
    "dns-type": ("dns_sd_configs: [{names: [h], type: SVR}]", 'SRV, A, AAAA, MX, NS; did you mean "SRV"?'),
    "port-range": ("ec2_sd_configs: [{port: 65536}]", "'65536' is not allowed: a port is between 1 and 65535"),
    "filter-no-values": (
        "ec2_sd_configs: [{filters: [{name: instance-state-name, values: []}]}]",
        "job.ec2_sd_configs[0].filters[0].values: is required: a filter without values would find nothing",
    ),
    "two-tokens": (
        "ec2_sd_configs: [{bearer_token: a, bearer_token_file: b}]",
        "job.ec2_sd_configs[0].bearer_token_file: at most one of bearer_token, bearer_token_file may be set",
    ),
    "http-user-agent": (
        "http_sd_configs: [{url: 'http://h', http_headers: {User-Agent: {values: [a]}}}]",
        "job.http_sd_configs[0].http_headers.User-Agent: this header may not be set",
    ),
    "http-escape": ("http_sd_configs: [{url: 'http://h/%zz'}]", "a % in a URL stands before two hexadecimal digits"),
    "role-concurrency": ("aws_sd_configs: [{role: ecs, request_concurrency: 5}]", "unknown key"),
    "region-word": ("ec2_sd_configs: [{region: 'eu west'}]", "'eu west' is not allowed: not an AWS region"),
    "endpoint": ("ec2_sd_configs: [{endpoint: ec2.local}]", "is not an absolute http:// or https:// URL"),
    "clusters-of-ec2": ("ec2_sd_configs: [{clusters: [a]}]", "clusters: is for ECS; EC2 takes filters"),
    "filters-of-ecs": ("ecs_sd_configs: [{filters: []}]", "filters: is for EC2; ECS takes clusters"),
    "no-role": ("aws_sd_configs: [{}]", "job.aws_sd_configs[0].role: is required: ec2 or ecs"),
}


@pytest.mark.parametrize(("entry", "detail"), MISTAKES.values(), ids=MISTAKES)
def test_mistakes(entry: str, detail: str) -> None:
    """Each mistake has one message, with its place and what is allowed."""
    found = problems(entry, **HERE)
    assert len(found) == 1
    assert detail in found[0]


def test_region_unknown() -> None:
    """Without a region anywhere there is no start."""
    (found,) = problems("ec2_sd_configs: [{}]")
    assert found == "job.ec2_sd_configs[0].region: is required: neither the config nor AWS_REGION names one"


def test_unknown_discovery() -> None:
    """A misspelt name is an unknown key with a suggestion."""
    (found,) = problems("ec_sd_configs: [{}]", **HERE)
    assert 'unknown key; did you mean "ec' in found


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
