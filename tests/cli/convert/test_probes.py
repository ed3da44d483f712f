"""Targets of json_exporter -> targets of ours: each URL is asked as it was written, with the labels that it had."""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import pytest

from lambda_remote_write.config.schema import JsonJob
from lambda_remote_write.config.sd_configs import StaticConfig
from lambda_remote_write.discovery.target_groups import group
from lambda_remote_write.scrape.targets import Target, targets_of, url_target
from lambda_remote_write_cli.convert import Options, convert
from tests.rig.convert_corpus import loaded
from tests.rig.json_exporter import probe_job

MODULES = {"modules": {"m": {"metrics": [{"name": "a", "path": "{.a}"}]}}}
OTHERS = ["http://127.0.0.1:1/first", "http://127.0.0.1:2/second?z=9&y=8&x=7"]  # with these a job has a list


def targets(*jobs: dict[str, Any]) -> list[Target[JsonJob]]:
    """The targets of the converted jobs, in their order."""
    asking = (json.dumps({"scrape_configs": list(jobs)}), "prometheus.yml")
    found = convert(json.dumps(MODULES), "je.yml", Options(targets=asking))
    assert found.problems == ()
    return [target for job in loaded(found).jobs for target in _of(job)]


def _of(job: JsonJob) -> list[Target[JsonJob]]:
    if job.url:
        return [url_target(job)]
    groups = [group("", [*one.targets], dict(one.labels)) for one in job.discovery if isinstance(one, StaticConfig)]
    found = targets_of(job, groups)
    assert [one.error for one in found.dropped if one.error] == []
    return list(found.active.values())


def same(one: str, other: str) -> bool:
    """Whether two URLs ask the same: parameters in any order, and a path that is empty is a slash."""
    first, second = (urlsplit(url) for url in (one, other))
    asked = [sorted(parse_qsl(parts.query, keep_blank_values=True)) for parts in (first, second)]
    return asked[0] == asked[1] and (first.scheme, first.netloc.rpartition("@")[2], first.path or "/") == (
        second.scheme, second.netloc, second.path or "/",
    )  # fmt: skip


@pytest.mark.parametrize(
    ("url", "is_listed"),
    [
        ("http://127.0.0.1:8080/a", True),
        ("https://api.example/a/b.json", True),
        ("http://[::1]:80/a", True),
        ("http://api.example", True),
        ("http://api.example/", True),
        ("http://api.example?x=1", True),
        ("http://api.example/a?x=1", True),
        ("http://api.example/a?x=1&y=a/b:c&z=3&w=4", True),
        ("http://api.example/a?target=1&module=2", True),
        ("http://api.example/a-b_c~d;e=f,g@h$i", True),
        ("http://api.example/a?odd-name=1&b.c=$1", True),
        ("http://api.example/a%20b", False),
        ("http://api.example/a?x=a%20b", False),
        ("http://api.example/a?x=a+b", False),
        ("http://api.example/a?x=1&x=2", False),
        ("http://api.example/a?x=", False),
        ("http://api.example/a?x", False),
        ("http://user:secret@api.example/a", False),
        ("http://api.example/it's!", False),
    ],
)
def test_a_url_is_asked_as_it_was_written(url: str, is_listed: bool) -> None:
    """In the list of the job where relabel rules can take it apart, else as the `url` of a job of its own."""
    found = targets(probe_job("m", "exporter:7979", [*OTHERS, url]))
    asked = [target.url for target in found]
    assert [same(written, one) for written, one in zip([*OTHERS, url], asked, strict=True)] == [True] * 3
    assert [bool(target.key) for target in found] == [True, True, is_listed]
    shown = url.replace("user:secret@", "")
    assert [target.labels for target in found] == [{"job": "m", "instance": one} for one in (*OTHERS, shown)]


PORT = {"source_labels": ["__param_target"], "regex": "[^/]+//[^/:]+:([0-9]+).*", "target_label": "port"}
CONSTANT = {"target_label": "__address__", "replacement": "exporter:7979"}
TARGET = {"source_labels": ["__address__"], "target_label": "__param_target"}


@pytest.mark.parametrize(
    ("rules", "labels"),
    [
        ([TARGET, PORT, CONSTANT], {"instance": "exporter:7979", "port": "1"}),
        ([TARGET, CONSTANT, PORT, {**PORT, "target_label": "instance"}], {"instance": "1", "port": "1"}),
        ([TARGET, PORT, {"regex": ".*", "action": "keep"}], {"instance": "127.0.0.1:1", "port": "1"}),
        ([TARGET, PORT, CONSTANT, {"target_label": "job", "replacement": "other"}],
         {"instance": "exporter:7979", "port": "1", "job": "other"}),
        ([TARGET, PORT, CONSTANT, {"target_label": "__param_other", "replacement": "x"}],
         {"instance": "exporter:7979", "port": "1"}),
    ],
    ids=["the exporter is the instance", "a rule sets it", "no exporter", "another job", "an unread parameter"],
)  # fmt: skip
@pytest.mark.parametrize("count", [1, 2], ids=["url", "list"])
def test_labels_are_those_of_prometheus(rules: list[dict[str, Any]], labels: dict[str, str], count: int) -> None:
    """Worked out by hand from Prometheus's rules: `instance` is the address after relabelling where no rule sets it.
    A job that names no json_exporter would ask nothing; there the URL's own address stands."""
    urls = ["http://127.0.0.1:1/first", "http://127.0.0.1:2/second"][:count]
    first = targets(probe_job("m", "", urls, relabel_configs=rules))[0]
    assert first.labels == {"job": "m", **labels}
    assert first.url == urls[0]
