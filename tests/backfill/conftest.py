"""What most tests of the backfill start from."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from sandbox.api import Api
from tests.rig import backfill as rigs
from tests.rig.backfill_receiving import Past


@pytest.fixture
def rig(tmp_path: Path) -> Iterator[rigs.Rig]:
    """An API, a folder, and a receiver that accepts samples of any age."""
    with rigs.made(tmp_path) as made:
        yield made


@pytest.fixture
def past() -> Iterator[Past]:
    """An API with a history, which a test sets."""
    with Api() as api:
        yield Past(api)
