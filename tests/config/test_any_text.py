"""Whatever stands in a config, it loads or it is a ConfigError: no other exception leaves the loader."""

from __future__ import annotations

from contextlib import suppress
from copy import deepcopy
from functools import reduce
from operator import getitem
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from lambda_remote_write.config.load import parse_config
from lambda_remote_write.config.yaml_reader import ConfigError
from tests.rig.yaml_files import read_yaml

pytestmark = pytest.mark.slow

ENVIRONMENT = {"AWS_REGION": "eu-west-1", "PUSHER_WORKSPACE": "ws-0f3ca4d1-0000-4000-8000-000000000000"}


CONFIG = read_yaml(Path(__file__).parents[1] / "testdata/config/any-text.yaml")


def places(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    if isinstance(value, dict | list):
        items = value.items() if isinstance(value, dict) else enumerate(value)
        return [path, *(place for key, item in items for place in places(item, (*path, key)))]
    return [path]


PLACES = [place for place in places(CONFIG) if place]
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
    config = deepcopy(CONFIG)
    reduce(getitem, place[:-1], config)[place[-1]] = value
    with suppress(ConfigError):
        parse_config(yaml.safe_dump(config, allow_unicode=True), "pusher.yaml", ENVIRONMENT)


def test_the_config_is_good() -> None:
    """What is spoilt below loads."""
    parse_config(yaml.safe_dump(CONFIG), "pusher.yaml", ENVIRONMENT)


@settings(max_examples=300)
@given(st.sampled_from(PLACES), VALUES)
def test_any_value_anywhere(place: tuple[Any, ...], value: Any) -> None:
    load(place, value)


KNOWN = ["%Y-%Y", "%p %p", "'lit'", "@key", "(" * 3_000, "9" * 5_000, "[" * 3_000, "\0", "$", "${", "http://[", "{0}"]


@pytest.mark.parametrize("place", PLACES, ids=lambda place: ".".join(map(str, place)))
def test_known_troublemakers_anywhere(place: tuple[Any, ...]) -> None:
    for value in KNOWN:
        load(place, value)
