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
from tests.rig.yaml_files import read_yaml

CONFIGS = Path(__file__).parents[1] / "testdata" / "config"
REFUSED_BY_3_16 = CONFIGS / "refused-by-promtool-3.16.txt"
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


TEXTS = read_yaml(CONFIGS / "promtool.yaml")


def _of_names() -> Iterator[Case]:
    for name, rule in TEXTS["rules"].items():
        yield f"relabel-{name}", job(f"{STATIC}, relabel_configs: [{rule}]"), ANY
        yield f"metric-relabel-{name}", job(f"{STATIC}, metric_relabel_configs: [{rule}]"), ANY
        yield f"legacy-relabel-{name}", legacy(job(f"{STATIC}, relabel_configs: [{rule}]")), (3, 16)
        write = f"remote_write: [{{url: 'http://h/w', write_relabel_configs: [{rule}]}}]"
        yield f"write-relabel-{name}", f"{JOB}\n{write}\n", ANY
        yield f"legacy-write-relabel-{name}", legacy(f"{JOB}\n{write}\n"), (3, 16)
    for name, label in TEXTS["labels"].items():
        yield f"external-{name}", external(label), ANY
        one = f"global: {{metric_name_validation_scheme: legacy, external_labels: {{{label}}}}}\n{JOB}{WRITE}"
        yield f"legacy-external-{name}", one, (3, 16)
        yield f"static-{name}", job(f"static_configs: [{{targets: ['h:1'], labels: {{{label}}}}}]"), ANY


def _of_texts() -> Iterator[Case]:
    for name, tagged in TEXTS["tags"].items():
        yield f"tag-external-{name}", external(f"n: {tagged}"), ANY
        yield f"tag-key-{name}", external(f"{tagged}: n"), ANY
        yield f"tag-job-{name}", f"scrape_configs: [{{job_name: {tagged}, {STATIC}}}]{WRITE}", ANY
    for name, path in TEXTS["files"].items():
        yield f"file-{name}", job(f'file_sd_configs: [{{files: ["{path}"]}}]'), ANY
        yield f"scrape-files-{name}", f'scrape_config_files: ["{path}"]{WRITE}', ANY
        yield f"rule-files-{name}", f'rule_files: ["{path}"]\n{JOB}{WRITE}', ANY
    for name, targets in TEXTS["targets"].items():
        yield f"targets-{name}", job(f"static_configs: [{{targets: {targets}}}]"), ANY
    for name, form in TEXTS["documents"].items():
        yield f"documents-{name}", form.format(JOB + WRITE), ANY


def _of_http() -> Iterator[Case]:
    for name, keys in TEXTS["tokens"].items():
        yield f"job-{name}", job(f"{STATIC}, {keys}"), ANY
        yield f"http-sd-{name}", job(f"http_sd_configs: [{{url: 'http://h', {keys}}}]"), ANY
        yield f"ec2-{name}", job(f"ec2_sd_configs: [{{{REGION}, {keys}}}]"), ANY
        yield f"ecs-{name}", job(f"ecs_sd_configs: [{{{REGION}, {keys}}}]"), (3, 16)
        yield f"aws-{name}", job(f"aws_sd_configs: [{{role: ec2, {REGION}, {keys}}}]"), (3, 16)
    for name in TEXTS["headers"]:
        header = f"{{'{name}': {{values: [x]}}}}"
        yield f"header-{name}", job(f"{STATIC}, http_headers: {header}"), ANY
        yield f"written-header-{name}", f"{JOB}\nremote_write: [{{url: 'http://h/w', http_headers: {header}}}]\n", ANY
    for name, url in TEXTS["urls"].items():
        yield f"url-{name}", job(f"http_sd_configs: [{{url: '{url}'}}]"), ANY


def _of_aws() -> Iterator[Case]:
    for name, keys in TEXTS["aws"].items():
        yield f"ec2-{name}", job(f"ec2_sd_configs: [{{{REGION}, {keys}}}]"), ANY
    for name, keys in TEXTS["new aws"].items():
        yield f"new-ec2-{name}", job(f"ec2_sd_configs: [{{{REGION}, {keys}}}]"), (3, 16)
        yield f"new-ecs-{name}", job(f"ecs_sd_configs: [{{{REGION}, {keys}}}]"), (3, 16)
        yield f"aws-ec2-{name}", job(f"aws_sd_configs: [{{role: ec2, {REGION}, {keys}}}]"), (3, 16)
        yield f"aws-ecs-{name}", job(f"aws_sd_configs: [{{role: ecs, {REGION}, {keys}}}]"), (3, 16)
    for name in TEXTS["aws regions"]:
        yield f"region-{name}", job(f"ec2_sd_configs: [{{region: {name}}}]"), ANY
    for name, keys in TEXTS["sigv4"].items():
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
