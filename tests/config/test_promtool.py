"""Small configs of a Prometheus, each given to its own `promtool check config` and to ours: both take it, or neither.

What we mean to judge differently stands in a table of its own with the reason. For a case of a later version than the
promtool at hand, what promtool 3.16 has said of it stands in; RECORD=1 writes that anew.
"""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from lambda_remote_write.config.load import parse_config
from lambda_remote_write.config.yaml_reader import ConfigError
from tests.rig.needs import Peer

REFUSED_BY_3_16 = Path(__file__).parents[1] / "testdata/config/refused-by-promtool-3.16.txt"
Version = tuple[int, int]
Case = tuple[str, str, Version]
ANY: Version = (3, 5)
NEWEST: Version = (3, 16)  # also what a program is that was built without saying which it is
WRITE = '\nremote_write: [{url: "http://127.0.0.1:1/w"}]\n'
STATIC = "static_configs: [{targets: ['h:1']}]"
JOB = f"scrape_configs: [{{job_name: a, {STATIC}}}]"
REGION = "region: eu-west-1"


def job(keys: str) -> str:
    return f"scrape_configs: [{{job_name: a, {keys}}}]{WRITE}"


def external(label: str) -> str:
    return f"global: {{external_labels: {{{label}}}}}\n{JOB}{WRITE}"


def legacy(config: str) -> str:
    """The same under legacy validation for everything."""
    return f"{config}global: {{metric_name_validation_scheme: legacy}}\n"


RULES = {
    "source": "{source_labels: ['a.b'], target_label: x}",
    "source-empty": "{source_labels: [''], target_label: x}",
    "target": "{source_labels: [a], target_label: 'a.b'}",
    "target-with-a-group": "{source_labels: [a], target_label: 'a.$1'}",
    "target-dollar": "{source_labels: [a], target_label: '$'}",
    "target-blank": "{source_labels: [a], target_label: ' '}",
    "target-newline": '{source_labels: [a], target_label: "a\\nb"}',
    "target-not-ascii": "{source_labels: [a], target_label: '☃'}",
    "target-empty": "{source_labels: [a], target_label: ''}",
    "labelmap": "{action: labelmap, regex: 'a(.*)', replacement: 'b.$1'}",
    "labelmap-empty": "{action: labelmap, regex: 'a(.*)', replacement: ''}",
    "hashmod": "{action: hashmod, source_labels: [a], modulus: 2, target_label: 'a.b'}",
    "hashmod-dollar": "{action: hashmod, source_labels: [a], modulus: 2, target_label: '$1'}",
    "lowercase": "{action: lowercase, source_labels: [a], target_label: 'a.b'}",
    "keepequal": "{action: keepequal, source_labels: ['a.b'], target_label: 'c.d'}",
    "dropequal": "{action: dropequal, source_labels: [a], target_label: '$x'}",
    "keep-target": "{action: keep, source_labels: [a], regex: x, target_label: 'x y'}",
}
LABELS = {
    "dot": "'a.b': x", "empty": "'': x", "not-ascii": "'☃': x", "digit": "1a: x", "number": "1: x",
    "null-value": "a: null", "list": "a: [b]", "date": "2001-01-01: x", "bool-value": "a: true",
}  # fmt: skip
TAGS = {
    "no-utf8": '!!binary "/w=="', "text": '!!binary "aGk="', "no-base64": '!!binary "***"',
    "no-padding": '!!binary "aGk"', "blank": '!!binary "a Gk="',
    "not-ascii": '!!binary "w6Q="', "plain": "!!binary aGk=", "empty": '!!binary ""',
    "null": "!!null x", "int": "!!int x", "own": "!x 1",
}  # fmt: skip
FILES = {
    "question-mark": "u?.json", "two-stars": "a*b*.json", "star-in-a-folder": "a/*/*.json", "folder-star": "a/*/b.json",
    "choice": "a[bc].json", "question-folder": "d?/a.json", "text": "a.txt", "capitals": "a.JSON", "mixed": "a.Json",
    "no-ending": "a", "ending-only": ".json", "empty": "",
}  # fmt: skip
TARGETS = {
    "null": "[null]", "tilde": "[~]", "empty": "['']", "none": "[]", "absent": "null", "number": "[1]",
    "slash": "['a/b']", "text": "h:1", "map": "[{a: b}]", "null-beside": "[null, 'h:1']",
}  # fmt: skip
TOKENS = {
    "two": "bearer_token: a, bearer_token_file: b", "basic": "bearer_token: a, basic_auth: {username: b}",
    "authorization": "bearer_token: a, authorization: {credentials: b}",
    "empty": "bearer_token: '', bearer_token_file: b",
    "credentials": "authorization: {credentials: a, credentials_file: b}", "type": "authorization: {type: basic}",
    "users": "basic_auth: {username: a, username_file: b}", "header": "http_headers: {User-Agent: {values: [x]}}",
    "own-header": "http_headers: {X-A: {values: [x]}}", "tls": "tls_config: {min_version: X}",
    "proxy": "proxy_url: 'http://h', proxy_from_environment: true", "no-proxy": "no_proxy: a",
}  # fmt: skip
HEADERS = (
    "User-Agent", "user-agent", "Accept", "Accept-Encoding", "Content-Type", "Authorization", "Host", "Connection",
    "X-Prometheus-Scrape-Timeout-Seconds", "Content-Encoding", "Content-Length", "Keep-Alive", "Proxy-Authorization",
    "X-Prometheus-Remote-Write-Version", "X-Amz-Date", "X-Amz-Security-Token", "Cookie", "Referer", "Date", "Te",
)  # fmt: skip
URLS = {
    "login": "http://u:p@h/x", "user": "http://u@h/x", "escaped": "http://u:p%40@h/x", "no-host": "http:///x",
    "ftp": "ftp://h", "no-port": "http://h:x", "fragment": "http://h/#f", "relative": "/x", "escape": "http://h/%zz",
    "query-escape": "http://h?x=%zz", "ipv6": "http://[::1]:8/", "empty": "", "login-query": "http://u:p@h?x",
    "blank-host": "http://a b/",
}  # fmt: skip
AWS = {
    "port-0": "port: 0", "access-key": "access_key: a", "secret-key": "secret_key: b", "unknown": "nonsense: 1",
    "filter": "filters: [{name: n, values: [a]}]", "filter-empty": "filters: [{name: n, values: []}]",
    "interval": "refresh_interval: ''", "clusters": "clusters: [a]",
}  # fmt: skip
NEW_AWS = {
    **AWS, "external-id": "external_id: x", "concurrency": "request_concurrency: 5", "none": "request_concurrency: 0",
}  # fmt: skip
AWS_REGIONS = ("eusc-de-east-1", "local", "us-isob-east-1", "us-gov-west-1", "cn-north-1", "mx-central-1")
SIGV4 = {
    "access-key": "{region: eu-west-1, access_key: a}", "secret-key": "{region: eu-west-1, secret_key: a}",
    "external-id": "{region: eu-west-1, external_id: x}", "empty": "{}", "empty-region": "{region: ''}",
    "local": "{region: local}", "eusc": "{region: eusc-de-east-1}",
}  # fmt: skip
DOCUMENTS = {
    "two": "{0}---\n{0}", "second-is-bad": "{0}---\nnonsense: 1\n", "second-is-no-yaml": "{0}---\n[: }}{{\n",
    "after-the-end": "{0}...\n{0}", "junk-after-the-end": "{0}...\njunk\n", "begins": "---\n{0}", "ends": "{0}...\n",
    "version": "%YAML 1.1\n---\n{0}", "next-version": "%YAML 1.2\n---\n{0}", "alias": "{0}---\na: *x\n",
    "twice": "{0}{0}", "list": "[]\n", "text": "x\n",
}  # fmt: skip


def _of_names() -> Iterator[Case]:
    for name, rule in RULES.items():
        yield f"relabel-{name}", job(f"{STATIC}, relabel_configs: [{rule}]"), ANY
        yield f"metric-relabel-{name}", job(f"{STATIC}, metric_relabel_configs: [{rule}]"), ANY
        yield f"legacy-relabel-{name}", legacy(job(f"{STATIC}, relabel_configs: [{rule}]")), (3, 16)
        write = f"remote_write: [{{url: 'http://h/w', write_relabel_configs: [{rule}]}}]"
        yield f"write-relabel-{name}", f"{JOB}\n{write}\n", ANY
        yield f"legacy-write-relabel-{name}", legacy(f"{JOB}\n{write}\n"), (3, 16)
    for name, label in LABELS.items():
        yield f"external-{name}", external(label), ANY
        one = f"global: {{metric_name_validation_scheme: legacy, external_labels: {{{label}}}}}\n{JOB}{WRITE}"
        yield f"legacy-external-{name}", one, (3, 16)
        yield f"static-{name}", job(f"static_configs: [{{targets: ['h:1'], labels: {{{label}}}}}]"), ANY


def _of_texts() -> Iterator[Case]:
    for name, tagged in TAGS.items():
        yield f"tag-external-{name}", external(f"n: {tagged}"), ANY
        yield f"tag-key-{name}", external(f"{tagged}: n"), ANY
        yield f"tag-job-{name}", f"scrape_configs: [{{job_name: {tagged}, {STATIC}}}]{WRITE}", ANY
    for name, path in FILES.items():
        yield f"file-{name}", job(f'file_sd_configs: [{{files: ["{path}"]}}]'), ANY
        yield f"scrape-files-{name}", f'scrape_config_files: ["{path}"]{WRITE}', ANY
        yield f"rule-files-{name}", f'rule_files: ["{path}"]\n{JOB}{WRITE}', ANY
    for name, targets in TARGETS.items():
        yield f"targets-{name}", job(f"static_configs: [{{targets: {targets}}}]"), ANY
    for name, form in DOCUMENTS.items():
        yield f"documents-{name}", form.format(JOB + WRITE), ANY


def _of_http() -> Iterator[Case]:
    for name, keys in TOKENS.items():
        yield f"job-{name}", job(f"{STATIC}, {keys}"), ANY
        yield f"http-sd-{name}", job(f"http_sd_configs: [{{url: 'http://h', {keys}}}]"), ANY
        yield f"ec2-{name}", job(f"ec2_sd_configs: [{{{REGION}, {keys}}}]"), ANY
        yield f"ecs-{name}", job(f"ecs_sd_configs: [{{{REGION}, {keys}}}]"), (3, 16)
        yield f"aws-{name}", job(f"aws_sd_configs: [{{role: ec2, {REGION}, {keys}}}]"), (3, 16)
    for name in HEADERS:
        header = f"{{'{name}': {{values: [x]}}}}"
        yield f"header-{name}", job(f"{STATIC}, http_headers: {header}"), ANY
        yield f"written-header-{name}", f"{JOB}\nremote_write: [{{url: 'http://h/w', http_headers: {header}}}]\n", ANY
    for name, url in URLS.items():
        yield f"url-{name}", job(f"http_sd_configs: [{{url: '{url}'}}]"), ANY


def _of_aws() -> Iterator[Case]:
    for name, keys in AWS.items():
        yield f"ec2-{name}", job(f"ec2_sd_configs: [{{{REGION}, {keys}}}]"), ANY
    for name, keys in NEW_AWS.items():
        yield f"new-ec2-{name}", job(f"ec2_sd_configs: [{{{REGION}, {keys}}}]"), (3, 16)
        yield f"new-ecs-{name}", job(f"ecs_sd_configs: [{{{REGION}, {keys}}}]"), (3, 16)
        yield f"aws-ec2-{name}", job(f"aws_sd_configs: [{{role: ec2, {REGION}, {keys}}}]"), (3, 16)
        yield f"aws-ecs-{name}", job(f"aws_sd_configs: [{{role: ecs, {REGION}, {keys}}}]"), (3, 16)
    for name in AWS_REGIONS:
        yield f"region-{name}", job(f"ec2_sd_configs: [{{region: {name}}}]"), ANY
    for name, keys in SIGV4.items():
        yield f"sigv4-{name}", f"{JOB}\nremote_write: [{{url: 'http://h/w', sigv4: {keys}}}]\n", ANY


CASES = [*_of_names(), *_of_texts(), *_of_http(), *_of_aws()]
DIFFERENT = {  # -> why we refuse what promtool takes
    "legacy-relabel-source": "a name that no label can have under legacy validation is a mistake in a rule",
    "legacy-write-relabel-source": "the same",
    "aws-ec2-filter-empty": "DescribeInstances would refuse it at every refresh",
    "aws-ecs-filter-empty": "a filter without values is a mistake also where filters do nothing",
}


def refusal(config: str) -> str:
    """What our check says of it, "" when it takes it."""
    try:
        parse_config(config, "prometheus.yml", {"AWS_REGION": "eu-west-1"}, lambda pattern: [])
    except ConfigError as error:
        return str(error)
    return ""


@pytest.fixture(scope="module")
def promtool(peer: Peer) -> tuple[str, Version]:
    program = peer("promtool")
    detail = subprocess.run([program, "--version"], capture_output=True, text=True, check=True, timeout=60)
    found = re.search(r"version (\d+)\.(\d+)", detail.stdout + detail.stderr)
    return program, (int(found[1]), int(found[2])) if found else NEWEST


@pytest.fixture(scope="module")
def verdicts(promtool: tuple[str, Version], tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, str]:
    """What promtool says of each case, "" when it takes it: one process for all of them."""
    folder = tmp_path_factory.mktemp("promtool")
    wanted = [(name, config) for name, config, since in CASES if since <= promtool[1]]
    paths = [folder / f"{index}.yml" for index in range(len(wanted))]
    for path, (_, config) in zip(paths, wanted, strict=True):
        path.write_text(config, encoding="utf-8")
    detail = subprocess.run(
        [promtool[0], "check", "config", "--syntax-only", *map(str, paths)],
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, cwd=folder, timeout=300, check=False,
        env={"AWS_REGION": "eu-west-1", "AWS_EC2_METADATA_DISABLED": "true"},
    ).stdout.decode("utf-8", "replace")  # fmt: skip
    parts = re.split(rf"^Checking {re.escape(str(folder))}/(\d+)\.yml$", detail, flags=re.MULTILINE)[1:]
    found = dict(zip(map(int, parts[::2]), parts[1::2], strict=True))
    live = {name: "" if "FAILED" not in found[index] else found[index] for index, (name, _) in enumerate(wanted)}
    later = [name for name, _, since in CASES if since > ANY]
    if promtool[1] >= NEWEST:
        if os.environ.get("RECORD"):
            REFUSED_BY_3_16.write_text("".join(f"{name}\n" for name in later if live[name]), encoding="utf-8")
        assert recorded() == {name for name in later if live[name]}
    return {name: "FAILED in 3.16" if name in recorded() else "" for name in later} | live


def recorded() -> set[str]:
    """The cases of a later version than the oldest that promtool 3.16 refuses."""
    return set(REFUSED_BY_3_16.read_text(encoding="utf-8").split("\n")) - {""}


@pytest.mark.parametrize(
    ("name", "config"), [(name, config) for name, config, _ in CASES], ids=[one[0] for one in CASES]
)
def test_the_same_verdict(name: str, config: str, verdicts: Mapping[str, str]) -> None:
    ours, theirs = refusal(config), verdicts[name]
    if name in DIFFERENT:
        assert (bool(ours), theirs) == (True, "")
    else:
        assert bool(ours) == bool(theirs), f"ours: {ours or 'taken'}\npromtool: {theirs or 'taken'}"


def test_all_names_are_different() -> None:
    names = [name for name, _, _ in CASES]
    assert len(names) == len(set(names))
    assert DIFFERENT.keys() <= set(names)
