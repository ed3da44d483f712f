"""Whatever stands in a config, it loads or it is a ConfigError: no other exception leaves the loader."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from lambda_remote_write.config.load import parse_config
from lambda_remote_write.config.yaml_reader import ConfigError

pytestmark = pytest.mark.slow

ENVIRONMENT = {"AWS_REGION": "eu-west-1", "PUSHER_WORKSPACE": "ws-0f3ca4d1-0000-4000-8000-000000000000"}


def config() -> dict[str, Any]:
    """A config with every kind of text that is compiled or taken apart."""
    metric = {
        "name": "a",
        "records": ["a[]", "b"],
        "value": "v",
        "labels": {"l": "n"},
        "timestamp": {"path": "t", "format": "%Y-%m-%d", "timezone": "UTC"},
        "value_regex": "([0-9]+)",
        "value_map": {"OK": "1"},
        "scale": "1e3",
        "on_missing": "skip",
    }
    relabel = {"source_labels": ["a"], "regex": "(.*)", "target_label": "b", "replacement": "$1", "modulus": "2"}
    job = {
        "job_name": "j",
        "url": "https://api.example.com/x",
        "query": {"a": "b"},
        "headers": {"X-A": "b"},
        "body": "{}",
        "labels": {"x": "y"},
        "scrape_interval": "1m",
        "body_size_limit": "5MB",
        "valid_status_codes": ["200"],
        "pagination": {"style": "cursor", "path": "next", "parameter": "p", "max_pages": "3"},
        "metric_relabel_configs": [relabel],
        "backfill": {"query": {"from": "{start}", "to": "{end}"}, "format": "unix", "window": "1h"},
        "basic_auth": {"username": "u", "password_ref": "env:X"},
        "proxy_url": "http://p:1/",
        "metrics": [metric],
    }
    scrape = {
        "job_name": "s",
        "static_configs": [{"targets": ["h:1"], "labels": {"a": "b"}}],
        "file_sd_configs": [{"files": ["a.json"]}],
        "dns_sd_configs": [{"names": ["a.example.com"], "port": "80", "type": "A"}],
        "params": {"a": ["b"]},
        "relabel_configs": [relabel],
    }
    write = {
        "url": "https://h.example.com/w",
        "name": "n",
        "write_relabel_configs": [relabel],
        "queue_config": {"max_body_bytes": "500000", "min_backoff": "30ms"},
        "sigv4": {"region": "eu-west-1", "service_name": "x"},
    }
    globals_ = {"external_labels": {"a": "${X}"}, "scrape_interval": "1m"}
    return {"global": globals_, "json_configs": [job], "scrape_configs": [scrape], "remote_write": [write]}


def places(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    if isinstance(value, dict | list):
        items = value.items() if isinstance(value, dict) else enumerate(value)
        return [path, *(place for key, item in items for place in places(item, (*path, key)))]
    return [path]


PLACES = [place for place in places(config()) if place]
PIECES = st.sampled_from(
    [
        *("%Y", "%p", "%c", "%", "a", "some-key", "env:", "ssm:/", "sum(", "http://", "{start}", "@key", "^.", "$."),
        *("99999999999999999999", "1e999", "1", "ms", "é", "\x7f", "\u2028", "\ud7ff", "\n", "\t", " ", "[]", "[?"),
        *"()[]{}.*+-\\$^@'\"`&|/:~<>#!?=,",
    ]
)
TEXTS = st.lists(PIECES, max_size=6).map("".join)
VALUES: st.SearchStrategy[Any] = st.one_of(
    TEXTS,
    st.lists(TEXTS, max_size=2),
    st.dictionaries(TEXTS, TEXTS, max_size=2),
    st.none(),
    st.integers(),
    st.booleans(),
)


def load(place: tuple[Any, ...], value: Any) -> None:
    text = config()
    holder: Any = text
    for step in place[:-1]:
        holder = holder[step]
    holder[place[-1]] = value
    with suppress(ConfigError):
        parse_config(yaml.safe_dump(text, allow_unicode=True), "pusher.yaml", ENVIRONMENT)


def test_the_config_is_good() -> None:
    """What is spoilt below loads."""
    parse_config(yaml.safe_dump(config()), "pusher.yaml", ENVIRONMENT)


@settings(max_examples=300)
@given(st.sampled_from(PLACES), VALUES)
def test_any_value_anywhere(place: tuple[Any, ...], value: Any) -> None:
    load(place, value)


KNOWN = ["%Y-%Y", "%p %p", "'lit'", "@key", "(" * 3_000, "9" * 5_000, "[" * 3_000, "\0", "$", "${", "http://[", "{0}"]


@pytest.mark.parametrize("place", PLACES, ids=lambda place: ".".join(map(str, place)))
def test_known_troublemakers_anywhere(place: tuple[Any, ...]) -> None:
    for value in KNOWN:
        load(place, value)
