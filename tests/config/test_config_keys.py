"""generate/config_keys.yaml declares what the readers read: the same keys, values and defaults."""

from __future__ import annotations

import itertools
import re
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft7Validator

from generate.config_keys import included, keys_of
from generate.config_schema import IGNORED, REFUSED_KEYS, document
from tests.rig.config_keys import EVERY_SECTION, SECTIONS, own_keys, places, problems, put, read

ROOT = Path(__file__).parents[2]
PLACES = places() | {"metric": ("json_configs", 1, "metrics", 0)}  # of a job that has backfill
DOCUMENT = document()
SCHEMA = Draft7Validator(DOCUMENT)
WORDS = {
    word
    for path in (ROOT / "functions" / "lambda_remote_write" / "config").glob("*.py")
    for word in re.findall(r'"([a-z][a-z0-9_]*)"', path.read_text(encoding="utf-8"))
}
WORDS |= {key.name for section in SECTIONS for key in keys_of(SECTIONS, section)}
WORDS |= {key for found in (*IGNORED.values(), *REFUSED_KEYS.values()) for key in found}
"""What a key may be called: every word in the readers, and every declared key."""


def test_a_config_has_every_section() -> None:
    assert read(EVERY_SECTION).warnings == ()
    assert set(SECTIONS) - set(PLACES) == included(SECTIONS)


@pytest.mark.parametrize("section", PLACES)
def test_the_declared_keys_are_those_that_the_reader_takes(section: str) -> None:
    """Every word of the readers stands in the section as a key without a value. What the reader does not know, or says
    to write otherwise, is no key."""
    refused = _refused(section, sorted(WORDS - set(_at(*put(PLACES[section], {})))))
    declared = [*(key.name for key in keys_of(SECTIONS, section)), *IGNORED.get(section, {})]
    assert sorted(WORDS - set(refused)) == sorted(declared)
    assert dict(REFUSED_KEYS.get(section, {})).items() <= refused.items()


def _refused(section: str, words: list[str]) -> dict[str, str]:
    """Those of these words that are no keys of a section, with what the reader says."""
    found = {}
    for some in (words[::2], words[1::2]):  # a file has 1,000 problems at most
        config, place = put(PLACES[section], dict.fromkeys(some))
        messages = {one.path.removeprefix(place).removeprefix("."): one.message for one in problems(config)}
        found |= {word: messages[word] for word in some if word in messages}
    return {word: message for word, message in found.items() if not message.startswith("is required")}


def _at(config: Any, place: str) -> Any:
    """The map at a place."""
    for step in re.findall(r"[\w-]+", place):
        config = config[int(step)] if step.isdigit() else config[step]
    return config


def of_schema(section: str) -> Any:
    return DOCUMENT if section == "top" else DOCUMENT["definitions"][section]


PROBES = ("", "text", "1m", "10MB", 7, -1, 2.5, True, [], ["x"], {"x": "y"}, [{}])
"""Values of every kind, of which each key takes a few."""
BEYOND_A_SCHEMA = re.compile(
    "JMESPath|an expression over|a path into|a step finds|a target is|is the same for every record|not a time zone"
    "|a charset is|not an AWS region|a label name|cannot stand|stands beside|must stand|at most one|needs|belongs to"
    "|is another name|is no key of style|is above|is fixed for AMP|only a config in a local file"
)
"""What the reader says of expressions, of names that only it knows, and of keys beside one another."""
ALONE = {"value_format": "number"}
"""A key that stands with no other of its section."""


@pytest.mark.parametrize("section", PLACES)
def test_schema_and_reader_take_the_same_values(section: str) -> None:
    """An editor may be stricter with numbers and empty texts where a text is meant, in nothing else."""
    properties = of_schema(section)["properties"]
    wrong = []
    for key, value in itertools.product(own_keys(section), PROBES):
        messages = _of_reader(section, key.name, value)
        is_valid = SCHEMA.evolve(schema=properties[key.name]).is_valid(value)
        if is_valid and (of_reader := [one for one in messages if not BEYOND_A_SCHEMA.search(one)]):
            wrong.append((key.name, value, of_reader))
        if not is_valid and not messages and value and isinstance(value, str | list | dict):
            wrong.append((key.name, value, "the schema refuses it"))
    assert wrong == []


def _of_reader(section: str, key: str, value: Any) -> list[str]:
    """What the reader says of a value, or of what is in it."""
    config, place = put(PLACES[section], {key: value}, without=ALONE.get(section, ""))
    path = f"{place}.{key}".removeprefix(".")
    return [one.message for one in problems(config) if re.match(rf"{re.escape(path)}(?!\w)", one.path)]


DEFAULTS = [
    pytest.param(section, name, found["default"], id=f"{section}.{name}")
    for section in PLACES
    for name, found in of_schema(section)["properties"].items()
    if "default" in found and name in {key.name for key in own_keys(section)}
]


@pytest.mark.parametrize(("section", "key", "default"), DEFAULTS)
def test_a_default_that_is_written_changes_nothing(section: str, key: str, default: Any) -> None:
    beside = {"style": "page"} if key == "first_page" else {}
    without, _ = put(PLACES[section], beside, without=key)
    assert repr(read(put(PLACES[section], {**beside, key: default})[0])) == repr(read(without))


CHOICES = [
    pytest.param(section, key, found["enum"], id=f"{section}.{key}")
    for section in PLACES
    for key, schema in of_schema(section)["properties"].items()
    for found in (schema, schema.get("items", {}), *schema.get("anyOf", ()))
    if "enum" in found and key in {one.name for one in own_keys(section)}
]


@pytest.mark.parametrize(("section", "key", "values"), CHOICES)
def test_the_choices_are_those_that_the_reader_names(section: str, key: str, values: list[str]) -> None:
    """In its message for another value. Beside words, some keys take other forms."""
    properties = of_schema(section)["properties"][key]
    (message,) = _of_reader(section, key, ["zz"] if "items" in properties else "zz")
    allowed = re.split(", | or | and ", message.partition("allowed are ")[2].partition(";")[0])
    named = {re.sub(r"^'(.)' \(.*", r"\1", one.replace('"\'"', "'''")) for one in allowed}
    assert set(values) <= named, message
    assert set(values) == named or "anyOf" in properties, message
