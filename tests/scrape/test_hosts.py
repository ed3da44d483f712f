"""`hosts`: to which hosts the targets of a job may lead. The others are down with the reason, and get nothing."""

from __future__ import annotations

import json
from typing import Any

import pytest

from lambda_remote_write.config.load import parse_config
from lambda_remote_write.config.yaml_reader import ConfigError
from lambda_remote_write.discovery import TargetGroup
from lambda_remote_write.scrape.targets import Targets, targets_of
from sandbox.server import Answer, LoopbackServer, Request
from tests.rig.json_source import Rig
from tests.rig.tables import table

SIGNED = "sigv4: {region: us-east-1, service: es}"
KEYS = {"AWS_ACCESS_KEY_ID": "AKIDEXAMPLE", "AWS_SECRET_ACCESS_KEY": "wJalrXUtnFEMI"}


def config(**keys: Any) -> Any:
    text = json.dumps({"scrape_configs": [{"job_name": "j", **keys}], "remote_write": [{"url": "http://r/"}]})
    return parse_config(text, "test.yaml", {})


def targets(hosts: list[str], *discovered: dict[str, str], **keys: Any) -> Targets[Any]:
    (job,) = config(hosts=hosts, static_configs=[], **keys).scrape_jobs
    return targets_of(job, [TargetGroup("test", discovered, {})])


MATCHES = [
    ("the host", "api.example.com", "api.example.com", True),
    ("any port of it", "api.example.com", "api.example.com:8443", True),
    ("whatever the case of the target", "api.example.com", "API.Example.COM", True),
    ("whatever the case of the pattern", "API.Example.COM", "api.example.com", True),
    ("a dot at the target's end", "api.example.com", "api.example.com.:80", True),
    ("a dot at the pattern's end", "api.example.com.", "api.example.com", True),
    ("another host", "api.example.com", "api.example.org", False),
    ("a host above", "api.example.com", "example.com", False),
    ("a host below", "example.com", "api.example.com", False),
    ("one label below", "*.example.com", "api.example.com", True),
    ("two labels below", "*.example.com", "a.b.example.com", True),
    ("the suffix itself", "*.example.com", "example.com", False),
    ("the suffix as the end of a label", "*.example.com", "evilexample.com", False),
    ("the pattern within another host", "api.example.com", "api.example.com.evil.org", False),
    ("an address", "10.0.0.5", "10.0.0.5:9100", True),
    ("the same address otherwise written", "10.0.0.5", "0xa.0.0.5", False),
    ("an IPv6 address", "[fd00::1]", "[fd00::1]:80", True),
    ("another IPv6 address", "[fd00::1]", "[fd00::2]", False),
]


@table("pattern, address, is_let_in", MATCHES)
def test_a_host_matches_whole_or_below_a_star(pattern: str, address: str, is_let_in: bool) -> None:
    (target,) = targets([pattern], {"__address__": address}).active.values()
    assert (target.error == "") is is_let_in
    assert is_let_in or target.error.startswith("hosts of the job does not list ")


def test_any_of_the_patterns_will_do() -> None:
    (target,) = targets(["a.example.com", "*.example.org"], {"__address__": "b.example.org"}).active.values()
    assert target.error == ""


def test_what_counts_is_the_address_after_relabelling_and_not_the_instance() -> None:
    rules = [{"source_labels": ["where"], "target_label": "__address__"}]
    discovered = {"__address__": "api.example.com", "where": "evil.org", "instance": "api.example.com"}
    (target,) = targets(["api.example.com"], discovered, relabel_configs=rules).active.values()
    assert target.error == "hosts of the job does not list 'evil.org': nothing was sent to it"


def test_no_unix_socket_stands_in_for_a_host() -> None:
    discovered = {"__address__": "api.example.com", "__unix_socket__": "/run/other"}
    (target,) = targets(["api.example.com"], discovered).active.values()
    assert target.error == "hosts of the job allows no __unix_socket__: what listens there is not the host"


PATTERNS = [
    ("everything", "*"),
    ("a top level", "*.com"),
    ("a star within", "api.*.com"),
    ("a star that is part of a label", "api*.example.com"),
    ("a port", "api.example.com:443"),
    ("a URL", "https://api.example.com"),
    ("a path", "api.example.com/x"),
    ("nothing", ""),
    ("beyond ASCII", "bücher.example"),
    ("a user", "me@api.example.com"),
]


@table("pattern", PATTERNS)
def test_other_patterns_are_mistakes(pattern: str) -> None:
    with pytest.raises(ConfigError, match=r"hosts\[0\]: .* is not allowed: .*for all below it; no port"):
        targets([pattern])


SHARED = (
    *("*.amazonaws.com", "*.on.aws", "*.api.aws", "*.eu-west-1.amazonaws.com"),
    *("*.execute-api.eu-west-1.amazonaws.com", "*.lambda-url.eu-west-1.on.aws", "*.eu-west-1.es.amazonaws.com"),
)
OWN = (
    "a1b2.execute-api.eu-west-1.amazonaws.com",
    "*.abc123.c2.kafka.eu-west-1.amazonaws.com",
    "s3.eu-west-1.amazonaws.com",
)


@pytest.mark.parametrize("pattern", OWN)
def test_a_host_of_ones_own_in_aws_needs_no_warning(pattern: str) -> None:
    assert config(hosts=[pattern], static_configs=[]).warnings == ()


@pytest.mark.parametrize("pattern", SHARED)
def test_a_pattern_for_all_customers_of_aws_is_warned_of(pattern: str) -> None:
    (warning,) = config(hosts=[pattern], static_configs=[]).warnings
    assert warning.endswith(f"hosts: {pattern} matches hosts of every AWS customer: name yours")


def test_hosts_that_match_nothing_are_said_with_what_was_found() -> None:
    found = targets(["api.example.com"], *({"__address__": f"h{index}.example.org:80"} for index in range(7)))
    assert found.no_host == (
        "hosts [api.example.com] matches no target; found are h0.example.org, h1.example.org, h2.example.org, "
        "h3.example.org, h4.example.org and 2 more"
    )


def test_hosts_that_match_some_are_not() -> None:
    found = targets(["a.example.com"], {"__address__": "a.example.com"}, {"__address__": "b.example.com"})
    assert found.no_host == ""


# --- When they are required -------------------------------------------------------------------------------------------

LISTS = {
    "http_sd_configs": [{"url": "https://sd.example.com/"}],
    "file_sd_configs": [{"files": ["a.json"]}],
    "dns_sd_configs": [{"names": ["a.example.com"]}],
}
SIGV4 = {"region": "us-east-1", "service": "es"}


@pytest.mark.parametrize("key", LISTS)
def test_a_signed_job_with_a_list_from_elsewhere_needs_them(key: str) -> None:
    with pytest.raises(ConfigError, match="hosts: is required with sigv4, since the lists of targets are not in this"):
        config(sigv4=SIGV4, scheme="https", **{key: LISTS[key]})


def test_targets_that_stand_in_the_config_need_none() -> None:
    assert config(sigv4=SIGV4, scheme="https", static_configs=[{"targets": ["a"]}]).warnings == ()


def test_an_unsigned_job_needs_none() -> None:
    assert config(**LISTS).warnings == ()


# --- Over sockets -----------------------------------------------------------------------------------------------------

JOB = """
json_configs:
  - job_name: j
    hosts: [{hosts}]
    http_sd_configs: [{{url: '{url}/sd'}}]
    {signed}
    scheme: http
    metrics: [{{name: m, value: v}}]
"""


@pytest.fixture
def rig(rig: Rig) -> Rig:
    rig.env_vars |= KEYS
    return rig


def test_nothing_is_sent_to_a_host_that_is_not_listed(rig: Rig) -> None:
    arrived: list[Request] = []

    def record(request: Request) -> Answer:
        arrived.append(request)
        return Answer.json({"v": 2})

    with LoopbackServer(record) as other:
        good, bad = rig.api.url.removeprefix("http://"), f"localhost:{other.port}"
        rig.serve(json.dumps([{"targets": [good, bad]}]), "/sd")
        rig.serve('{"v": 1}', "/")
        config = JOB.format(hosts="127.0.0.1", url=rig.api.url, signed=SIGNED)
        report = rig.app_of(config).handle({}, None)
    assert arrived == []
    (down,) = report["jobs"][0]["down"]
    assert down == {"instance": bad, "error": "hosts of the job does not list 'localhost': nothing was sent to it"}
    assert rig.value("m", instance=good) == 1
    assert rig.value("up", instance=bad) == 0
    assert [bool(request.headers["Authorization"]) for request in rig.api.requests] == [False, True]


@pytest.mark.parametrize("action", ["push", "plan"])
def test_a_run_and_a_plan_warn_of_hosts_that_match_nothing(rig: Rig, action: str) -> None:
    rig.serve(json.dumps([{"targets": [rig.api.url.removeprefix("http://")]}]), "/sd")
    app = rig.app_of(JOB.format(hosts="api.example.com", url=rig.api.url, signed=SIGNED))
    report = app.handle({"action": action}, None)
    assert report["warnings"] == ["j: hosts [api.example.com] matches no target; found are 127.0.0.1"]
    assert "j" in report["jobs_down"]
