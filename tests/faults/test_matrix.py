"""The matrix of faults: after recovery every sample is there once and in order, or the reports name it."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.faults.matrix import CASES, SERIES, Case, play, title

pytestmark = pytest.mark.slow

# A run that has no time left fails a fetch, or names what it does not deliver. On a machine that stood still it may
# then have five times as long: what is promised to a run is promised with enough time.
PATIENCE = (1, 5)


@pytest.mark.parametrize("case", CASES, ids=title)
def test_nothing_is_lost(case: Case) -> None:
    for patience in PATIENCE:
        row = play(replace(case, seconds=case.seconds * patience))
        assert (row.lost, row.problems, row.in_order) == (0, [], True), row
        collected_all = row.samples == SERIES * row.runs
        if collected_all and (case.may_lose or row.named == 0):
            return
    assert collected_all, row
    assert row.named == 0, row
