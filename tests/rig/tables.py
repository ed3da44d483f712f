"""Tests as tables: a row is its id and what the test takes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest


def table(names: str, rows: Sequence[tuple[Any, ...]]) -> pytest.MarkDecorator:
    """One test for each row, whose first entry is the id. `names` of the others as in `parametrize`, with commas."""
    values = [row[1:] if "," in names else row[1] for row in rows]
    return pytest.mark.parametrize(names, values, ids=[row[0] for row in rows])
