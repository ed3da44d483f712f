"""Tests as tables: a row is its id and what the test takes."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

EVENTS = json.loads((Path(__file__).parents[1] / "testdata" / "events.json").read_text())


def table(names: str, rows: Sequence[tuple[Any, ...]]) -> pytest.MarkDecorator:
    """One test for each row, whose first entry is the id. `names` of the others as in `parametrize`, with commas."""
    values = [row[1:] if "," in names else row[1] for row in rows]
    return pytest.mark.parametrize(names, values, ids=[row[0] for row in rows])


def events(what: str) -> list[tuple[Any, ...]]:
    """What people and AWS send to the functions, and what is made of it: the rows of this name in events.json."""
    return [tuple(row) for row in EVENTS[what]]
