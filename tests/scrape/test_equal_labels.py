"""Targets of one job that end with equal labels: one of them is scraped, and the rule that is proposed tells them
apart."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Mapping
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from lambda_remote_write.config.load import parse_config
from lambda_remote_write.config.schema import Job
from lambda_remote_write.discovery import TargetGroup
from lambda_remote_write.plan import plan
from lambda_remote_write.scrape.targets import Targets, targets_of
from tests.rig.scraping import Recorder, environment, job_at, scraped

METRICS = [{"name": "m", "value": "v"}]


def job(kind: str, **keys: Any) -> Job:
    entry = {"job_name": "j", "static_configs": [], **keys, **({"metrics": METRICS} if kind == "json_configs" else {})}
    text = json.dumps({kind: [entry], "remote_write": [{"url": "http://r/"}]})
    (found,) = parse_config(text, "test.yaml", {}).jobs
    return found


def targets(kind: str, *discovered: Mapping[str, str], **keys: Any) -> Targets[Job]:
    return targets_of(job(kind, **keys), [TargetGroup("test", discovered)])


def at(address: str, **labels: str) -> dict[str, str]:
    return {"__address__": address, **labels}


def rule_of(message: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = yaml.safe_load(re.findall(r"relabel_configs: (\[\{.*\}\])$", message)[0])
    return found


PATH = '[{source_labels: [__address__, __metrics_path__], separator: "", target_label: instance}]'
CASES = {
    "paths": ([at("h:1", __metrics_path__="/b"), at("h:1", __metrics_path__="/a")], "__metrics_path__", PATH),
    "parameters": (
        [at("h:1", __param_x="1"), at("h:1", __param_x="2")],
        "__param_x",
        "[{source_labels: [__address__, __param_x], target_label: instance}]",
    ),
    "parameter that is no name": (
        [at("h:1", **{"__param_a[]": "1"}), at("h:1", **{"__param_a[]": "2"})],
        "__param_a[]",
        '[{source_labels: [__address__, "__param_a[]"], target_label: instance}]',
    ),
    "schemes": (
        [at("h:1", __scheme__="http"), at("h:1", __scheme__="https")],
        "__scheme__",
        "[{source_labels: [__scheme__, __address__], target_label: instance}]",
    ),
    "addresses under one instance": (
        [at("h:1", instance="i"), at("h:2", instance="i")],
        "__address__",
        "[{source_labels: [__address__], target_label: instance}]",
    ),
    "intervals": (
        [at("h:1", __scrape_interval__="1m"), at("h:1", __scrape_interval__="2m")],
        "__scrape_interval__",
        "[{source_labels: [__address__, __scrape_interval__], target_label: instance}]",
    ),
}


@pytest.mark.parametrize("kind", ["scrape_configs", "json_configs"])
@pytest.mark.parametrize(("discovered", "differs", "rule"), CASES.values(), ids=CASES)
def test_one_is_scraped_and_the_rule_tells_them_apart(
    kind: str, discovered: list[dict[str, str]], differs: str, rule: str
) -> None:
    """Whatever order the list has. The warning names both, and its rule leaves nothing to warn of."""
    found, reverse = targets(kind, *discovered), targets(kind, *reversed(discovered))
    (scraped,) = found.active.values()
    assert list(reverse.active) == [scraped.key]
    assert reverse.equal_labels == found.equal_labels
    (dropped,) = found.dropped
    assert dropped.same_as == scraped.url.partition("?")[0]
    assert found.equal_labels.startswith("1 target has the same labels as another one")
    assert f"what differs is {differs}: " in found.equal_labels
    assert found.equal_labels.endswith(f"relabel_configs: {rule}")
    mended = targets(kind, *discovered, relabel_configs=rule_of(found.equal_labels))
    assert (len(mended.active), mended.equal_labels) == (2, "")


def test_equal_targets_are_one_without_words() -> None:
    """As in Prometheus: two lists may have the same one."""
    found = targets("scrape_configs", at("h:1", __meta_a="1"), at("h:1", __meta_a="2"))
    assert (len(found.active), found.dropped, found.equal_labels) == (1, [], "")


def test_labels_that_differ_tell_targets_apart() -> None:
    found = targets("json_configs", at("h:1", __metrics_path__="/a", x="1"), at("h:1", __metrics_path__="/b", x="2"))
    assert (len(found.active), found.equal_labels) == (2, "")


def test_no_address_in_the_warning_has_a_query() -> None:
    found = targets("json_configs", at("h:1", __param_key="hush-1"), at("h:1", __param_key="hush-2"))
    assert "hush" not in found.equal_labels
    assert "http://h:1/ beside http://h:1/" in found.equal_labels


URLS = st.tuples(
    st.sampled_from(["http", "https"]), st.sampled_from(["h:1", "h:2"]), st.sampled_from(["/a", "/b"]),
    st.sampled_from(["", "1", "2"]),
)  # fmt: skip


@given(st.lists(URLS, min_size=2, max_size=12))
def test_no_two_are_scraped_under_one_identity_and_one_rule_mends_all(urls: list[tuple[str, str, str, str]]) -> None:
    names = ("__scheme__", "__address__", "__metrics_path__", "__param_x")
    discovered = [dict(zip(names, url, strict=True)) for url in urls]
    found = targets("scrape_configs", *discovered)
    identities = [tuple(sorted(one.labels.items())) for one in found.active.values()]
    assert len(set(identities)) == len(identities)
    assert len(found.active) + len(found.dropped) == len(set(urls))
    if found.equal_labels:
        mended = targets("scrape_configs", *discovered, relabel_configs=rule_of(found.equal_labels))
        assert (len(mended.active), mended.equal_labels) == (len(set(urls)), "")


def test_of_many_labels_that_differ_the_first_are_named() -> None:
    discovered = [{"__address__": "h:1", f"__param_{index:02}": "x"} for index in range(40)]
    found = targets("scrape_configs", *discovered)
    assert (len(found.active), len(found.dropped)) == (1, 39)
    assert "__param_09 and 30 more: give each" in found.equal_labels
    assert "__param_10" not in found.equal_labels


# --- Where it is said -------------------------------------------------------------------------------------------------


def test_a_run_says_it_and_scrapes_one() -> None:
    with Recorder() as site:
        entry = job_at(site.address, static_configs=[
            {"targets": [site.address], "labels": {"__metrics_path__": path}} for path in ("/b", "/a")
        ])  # fmt: skip
        with environment(entry) as found:
            (scrape,) = scraped(found)
            (warning,) = found.warnings()
        assert [request.path for request in site.requests] == ["/a"]
    assert not scrape.error
    assert warning.startswith("j: 1 target has the same labels as another one and cannot be scraped beside it, such as")
    assert f"{site.url}/b beside {site.url}/a" in warning


def test_a_plan_counts_it() -> None:
    entry = {"static_configs": [{"targets": ["h:1"], "labels": {"__metrics_path__": path}} for path in ("/b", "/a")]}
    with environment(job_at("h:1", **entry)) as found:
        config, dependencies = found.config, found.dependencies
        (shown,) = plan(config, dependencies, time.monotonic() + 5)["jobs"]
    assert len(shown["targets"]) == shown["dropped_targets_count"] == 1
    (dropped,) = shown["dropped_targets"]
    assert dropped["by"] == "the same labels as http://h:1/a"
    assert dropped["discovered"]["__metrics_path__"] == "/b"
    assert "the same labels" in shown["messages"][0]
