"""A random prometheus.yml: what we support stays word for word, what needs a server goes, and twice is as once."""

from __future__ import annotations

from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from lambda_remote_write_cli.convert import convert

SERVER_ONLY = {
    "alerting": {"alertmanagers": [{"static_configs": [{"targets": ["a.example:9093"]}]}]},
    "rule_files": ["first.rules"],
    "remote_read": [{"url": "http://a.example/read"}],
    "storage": {"tsdb": {"out_of_order_time_window": "30m"}},
    "tracing": {"endpoint": "a.example:4317"},
    "otlp": {"promote_resource_attributes": ["a"]},
}
SERVER_ONLY_GLOBAL = {"evaluation_interval": "1m", "rule_query_offset": "0s", "query_log_file": "x.log"}
DISCOVERY_OF_OTHERS = {"kubernetes_sd_configs": [{"role": "pod"}], "consul_sd_configs": [{"server": "a.example"}]}

NAMES = st.from_regex(r"[a-z_][a-z0-9_]{0,8}", fullmatch=True).filter(lambda name: not name.startswith("__"))
REGEXES = st.sampled_from(["(.*)", "node_.*", "(.+):[0-9]+", "", "a|b", "^$", "1.10", "yes", "#", "x: y"])
VALUES = st.text(st.characters(min_codepoint=32, max_codepoint=0x2FF, exclude_characters="$\x7f"), max_size=12).filter(
    lambda text: not any(0x80 <= ord(char) < 0xA0 for char in text)
)
RULES = st.fixed_dictionaries(
    {"source_labels": st.lists(NAMES, max_size=3), "target_label": NAMES},
    optional={"regex": REGEXES, "separator": VALUES, "replacement": st.sampled_from(["$1", "${1}x", "static", ""])},
)
TARGETS = st.fixed_dictionaries(
    {"targets": st.lists(st.from_regex(r"[a-z]{1,5}:[0-9]{2,4}", fullmatch=True), max_size=3)},
    optional={"labels": st.dictionaries(NAMES, VALUES, max_size=2)},
)
JOBS = st.fixed_dictionaries(
    {"job_name": st.text("abcdefg -:#'\"{", min_size=1, max_size=12)},
    optional={
        "scrape_interval": st.sampled_from(["1m", "30s", "1h30m"]),
        "honor_labels": st.sampled_from(["true", "false", "yes"]),
        "metrics_path": st.sampled_from(["/metrics", "/probe?x=1"]),
        "params": st.dictionaries(VALUES, st.lists(VALUES, max_size=2), max_size=2),
        "sample_limit": st.sampled_from(["0", "1000", "1_000"]),
        "body_size_limit": st.sampled_from(["10MB", "0"]),
        "static_configs": st.lists(TARGETS, max_size=2),
        "relabel_configs": st.lists(RULES, max_size=3),
        "metric_relabel_configs": st.lists(RULES, max_size=2),
        "basic_auth": st.fixed_dictionaries({"username": VALUES, "password": VALUES}),
    },
)
ENDPOINTS = st.fixed_dictionaries(
    {"url": st.integers(0, 10**6).map(lambda number: f"https://receiver.example/{number}")},
    optional={
        "remote_timeout": st.just("10s"),
        "queue_config": st.fixed_dictionaries({"sample_age_limit": st.sampled_from(["0s", "30m"])}),
        "write_relabel_configs": st.lists(RULES, max_size=2),
        "headers": st.dictionaries(NAMES.map("X-{}".format), st.just("1.10"), max_size=2),
    },
)
GLOBALS = st.fixed_dictionaries(
    {},
    optional={
        "scrape_interval": st.just("1m"),
        "external_labels": st.dictionaries(NAMES, VALUES, max_size=2),
        "sample_limit": st.just("50"),
    },
)


def shuffled(draw: st.DrawFn, whole: dict[str, Any], extra: dict[str, Any]) -> dict[str, Any]:
    """The map with some of the extra keys, in any order."""
    chosen = draw(st.lists(st.sampled_from(sorted(extra)), unique=True))
    keys = draw(st.permutations([*whole, *chosen]))
    return {key: whole[key] if key in whole else extra[key] for key in keys}


@st.composite
def prometheus_files(draw: st.DrawFn) -> tuple[dict[str, Any], dict[str, Any]]:
    """What stays, and that with server-only keys mixed in."""
    jobs = draw(st.lists(JOBS, min_size=1, max_size=3, unique_by=lambda job: job["job_name"]))
    kept: dict[str, Any] = {
        "global": draw(GLOBALS),
        "scrape_configs": jobs,
        "remote_write": draw(st.lists(ENDPOINTS, min_size=1, max_size=2, unique_by=lambda one: one["url"])),
    }
    whole = shuffled(draw, kept, SERVER_ONLY)
    whole["global"] = shuffled(draw, kept["global"], SERVER_ONLY_GLOBAL)
    whole["scrape_configs"] = [shuffled(draw, job, DISCOVERY_OF_OTHERS) for job in jobs]
    return kept, whole


@pytest.mark.slow
@settings(max_examples=60)
@given(files=prometheus_files(), flow=st.sampled_from([None, False, True]), quoted=st.booleans())
def test_what_is_supported_stays(files: tuple[dict[str, Any], dict[str, Any]], flow: bool | None, quoted: bool) -> None:
    kept, whole = files
    style = '"' if quoted else None
    text = yaml.dump(whole, default_flow_style=flow, default_style=style, sort_keys=False, allow_unicode=True)
    once = convert(text, "prometheus.yml")
    assert once.problems == ()
    assert without_empty(yaml.load(once.config, yaml.CBaseLoader)) == without_empty(kept)
    assert convert(once.config, "prometheus.yml").config == once.config
    dropped = {key for key in whole if key not in kept} | {key for key in whole["global"] if key not in kept["global"]}
    assert {one.path.rpartition(".")[2] for one in once.dropped if "scrape_configs" not in one.path} == dropped


def without_empty(config: dict[str, Any]) -> dict[str, Any]:
    """A `global` of which nothing is left says as much as an empty one."""
    return {key: value for key, value in config.items() if value}
