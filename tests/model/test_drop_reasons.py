"""Reasons: one enum, whose members are the words of the reports, and a table of the docs made from it."""

from __future__ import annotations

import ast
import json
from pathlib import Path

import pytest

from generate.reasons import PAGE, parts, table
from lambda_remote_write.model.drop_reasons import DropReason

ENGINE = Path(__file__).parents[2] / "functions" / "lambda_remote_write"
COUNTED_BY = {"add", "hold_back", "InvalidSeries", "RefusedSeries", "InvalidHistogram", "_Skip"}


def test_the_docs_have_the_table() -> None:
    """`make docs` writes it."""
    _, found, _ = parts(PAGE.read_text())
    assert found == table()


def test_a_reason_is_its_word() -> None:
    """Reports, self-metrics and the spool's entries have words, whichever way they were counted."""
    assert {DropReason.TOO_OLD: 1} == {"too_old": 1}
    assert json.dumps({DropReason.TOO_OLD: DropReason.TOO_OLD}) == '{"too_old": "too_old"}'
    assert f"{DropReason.TOO_OLD}" == "too_old"


def literals(path: Path) -> list[str]:
    """Words of reasons that stand in a file where a member should."""
    calls = [node for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Call) and node.args]
    named = [(getattr(one.func, "attr", getattr(one.func, "id", "")), one.args[0]) for one in calls]
    words = [first.value for name, first in named if name in COUNTED_BY and isinstance(first, ast.Constant)]
    return [word for word in words if word in set(DropReason)]


@pytest.mark.parametrize("folder", sorted(path.name for path in ENGINE.iterdir() if path.is_dir()))
def test_no_file_counts_under_a_literal(folder: str) -> None:
    paths = [path for path in (ENGINE / folder).rglob("*.py") if "generated" not in path.parts]
    assert {str(path): found for path in paths if (found := literals(path))} == {}
