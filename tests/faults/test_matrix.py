"""The matrix of faults: after recovery every sample is there once and in order, or the reports name it."""

from __future__ import annotations

import pytest

from tests.faults.matrix import CASES, SERIES, Case, play, title

pytestmark = pytest.mark.slow


@pytest.mark.parametrize("case", CASES, ids=title)
def test_nothing_is_lost(case: Case) -> None:
    row = play(case)
    assert row.samples == SERIES * row.runs
    assert (row.lost, row.problems, row.in_order) == (0, [], True), row
    if not case.may_lose:
        assert row.named == 0, row
