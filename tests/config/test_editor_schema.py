"""The JSON Schema for editors: it is the one that is declared, takes every good config and marks what is wrong."""

from __future__ import annotations

import datetime
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from jsonschema import Draft7Validator
from jsonschema.exceptions import ValidationError
from ruamel.yaml import YAML

from generate import config_schema, config_tables
from lambda_remote_write_cli.schema import FILE
from tests.rig.config_keys import FOLDER

ROOT = Path(__file__).parents[2]
DOCUMENT = config_schema.document()
VALIDATOR = Draft7Validator(DOCUMENT)
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
FILES = [
    *sorted((FOLDER / "good").glob("*.yaml")),
    *sorted(path for path in (ROOT / "examples").rglob("*.y*ml")),
    *sorted((ROOT / "tests" / "testdata" / "convert").rglob("pusher.yaml")),
    *(FOLDER / name for name in ("every-section.yaml", "secrets-everywhere.yaml")),
    ROOT / "functions" / "lambda_remote_write" / "config.yaml",
]
IS_CONFIG = re.compile(r"^(?:scrape|json|backfill)_configs:|^global:|^remote_write:", re.M)


def test_the_file_is_the_declared_schema() -> None:
    """`make docs` writes it."""
    Draft7Validator.check_schema(DOCUMENT)
    assert FILE.read_text(encoding="utf-8") == config_schema.text()


def test_the_tables_are_the_declared_ones() -> None:
    page = config_tables.PAGE.read_text(encoding="utf-8")
    assert page.count("written by make docs") > 15
    assert config_tables.generated(page) == page


# --- Good configs -----------------------------------------------------------------------------------------------------


def configs() -> Iterator[Any]:
    for path in FILES:
        if IS_CONFIG.search(text := path.read_text(encoding="utf-8")):
            yield pytest.param(text, id=path.relative_to(ROOT).as_posix())
    for path in PAGES:
        for number, text in enumerate(
            re.findall(r"^```yaml\n(.*?)^```", path.read_text(encoding="utf-8"), re.M | re.S)
        ):
            if IS_CONFIG.search(text):
                yield pytest.param(text.replace("ws-…", "ws-0123"), id=f"{path.name} {number}")


GOOD = list(configs())


def as_1_1(text: str) -> Any:
    return next(yaml.safe_load_all(text))


def as_1_2(text: str) -> Any:
    """As editors read it: `yes` is a text."""
    return next(iter(YAML(typ="safe", pure=True).load_all(text)))


def written(value: Any) -> Any:
    """Without keys and entries that have no value, which an editor marks and the reader takes as absent; dates and
    bytes, of which JSON has none, as texts."""
    if isinstance(value, dict):
        return {str(key): written(one) for key, one in value.items() if one is not None or key == "remote_write"}
    if isinstance(value, list):
        return ["" if one is None else written(one) for one in value]
    return str(value) if isinstance(value, datetime.date | bytes) else value


@pytest.mark.parametrize("load", [as_1_1, as_1_2])
@pytest.mark.parametrize("text", GOOD)
def test_a_good_config_has_no_mistakes(text: str, load: Any) -> None:
    found = [f"{place(error)}: {error.message}" for error in VALIDATOR.iter_errors(written(load(text)))]
    assert found == []


def test_there_are_many_good_configs() -> None:
    assert len(GOOD) > 60


# --- Bad ones ---------------------------------------------------------------------------------------------------------

KNOWABLE = re.compile(
    "unknown key|is expected here|allowed are|a duration is|a size is|a whole number|a number is expected|is required"
    "|vmagent|json_exporter key|collector key"
)
"""Messages about the kind of a value, its form, and keys."""
BEYOND_A_SCHEMA = re.compile(
    r"is required (?:for|where|with)|is required: (?:neither|job:|s3:)|at most 292 years|below 8EB|below 2\^63"
    r"|18446744073709551615|not a JMESPath|^\{|backfill\.query\.\w+: \{|hashmod needs|scale: '(?:1_000|0x1f)'"
    r"|query\.id\.text|environment|: \{now-"
)
"""What depends on other keys or the environment, on numbers too large for JSON, or on what is in a text; and numbers
that YAML reads, and Prometheus's text format does not."""


def bad_lines() -> Iterator[Any]:
    """A mistake of a bad config that a schema can know, with the config."""
    for path in sorted((FOLDER / "bad").glob("*.yaml")):
        try:
            config = as_1_1(path.read_text(encoding="utf-8"))
        except (yaml.YAMLError, StopIteration, ValueError):
            continue  # an editor finds no document in it
        for line in path.with_suffix(".txt").read_text(encoding="utf-8").splitlines():
            if KNOWABLE.search(line) and not BEYOND_A_SCHEMA.search(line):
                yield pytest.param(config, line, id=line[:80])


BAD = list(bad_lines())


@pytest.mark.parametrize(("config", "line"), BAD)
def test_a_mistake_is_marked_where_it_stands(config: Any, line: str) -> None:
    at = line.split(": ")[1] if line.count(": ") > 1 else ""
    marked = {found for error in VALIDATOR.iter_errors(config) for one in _parts(error) for found in _places(one)}
    assert any(one.startswith(at) for one in marked)


def test_many_mistakes_are_known() -> None:
    assert len(BAD) > 250


def place(error: ValidationError) -> str:
    """As messages of the reader call it."""
    steps = (f"[{step}]" if isinstance(step, int) else f".{step}" for step in error.absolute_path)
    return "".join(steps).removeprefix(".")


def _parts(error: ValidationError) -> Iterator[ValidationError]:
    yield error
    for one in error.context or ():
        yield from _parts(one)


def _places(error: ValidationError) -> Iterator[str]:
    """The place of an error, and of the keys that are not allowed or missing there."""
    here, instance = place(error), error.instance
    yield here
    keys: set[str] = set()
    if error.validator == "additionalProperties" and isinstance(instance, dict):
        keys = set(instance) - set(error.schema["properties"])  # type: ignore[index]
    if error.validator == "required":
        keys = set(error.validator_value) - set(instance)  # type: ignore[arg-type]
    yield from (f"{here}.{key}".removeprefix(".") for key in keys)
