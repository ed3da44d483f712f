"""Tests as tables: a row is its id and what the test takes. Rows longer than a line are cases of a file."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import yaml

TESTDATA = Path(__file__).parents[1] / "testdata"

EVENTS = json.loads((TESTDATA / "events.json").read_text(encoding="utf-8"))


def table(names: str, rows: Sequence[tuple[Any, ...]]) -> pytest.MarkDecorator:
    """One test for each row, whose first entry is the id. `names` of the others as in `parametrize`, with commas."""
    values = [row[1:] if "," in names else row[1] for row in rows]
    return pytest.mark.parametrize(names, values, ids=[row[0] for row in rows])


def events(what: str) -> list[tuple[Any, ...]]:
    """What people and AWS send to the functions, and what is made of it: the rows of this name in events.json."""
    return [tuple(row) for row in EVENTS[what]]


def listed(file: str) -> list[tuple[str, Any]]:
    """The cases of a file below tests/testdata, by name. Of a name that stands twice the reader keeps the last only."""
    text = (TESTDATA / file).read_text(encoding="utf-8")
    found = yaml.load(text, yaml.CSafeLoader)
    assert len(found) == len(re.findall(r"^[^\s#]", text, re.MULTILINE)), f"a name stands twice in {file}"
    return list(found.items())
