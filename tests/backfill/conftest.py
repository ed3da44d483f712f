"""What most tests of the backfill start from."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from sandbox.api import Api
from tests.rig import backfill as rigs
from tests.rig.needs import Peer


@pytest.fixture
def rig(tmp_path: Path) -> Iterator[rigs.Rig]:
    """An API, a folder, and a receiver that accepts samples of any age."""
    with rigs.made(tmp_path) as made:
        yield made


@pytest.fixture
def amp_rig(tmp_path: Path) -> Iterator[rigs.Rig]:
    """The same with a receiver that has AMP's documented limits."""
    with rigs.made(tmp_path, amp=True) as made:
        yield made


@pytest.fixture
def past() -> Iterator[rigs.Past]:
    """An API with a history, which a test sets."""
    with Api() as api:
        yield rigs.Past(api)


@pytest.fixture(scope="session")
def prometheus(peer: Peer) -> str:
    """What a workspace needs to answer queries."""
    return peer("prometheus")
