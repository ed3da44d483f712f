"""Fixtures of tests that scrape JSON APIs: a rig, and the proof that no thread of a run outlives it."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.rig.json_source import Rig


@pytest.fixture
def rig(tmp_path: Path) -> Iterator[Rig]:
    with Rig(tmp_path) as made:
        yield made


@pytest.fixture
def amp_rig(tmp_path: Path) -> Iterator[Rig]:
    """As `rig`, with an endpoint that is AMP: signed, and with its documented limits."""
    with Rig(tmp_path, signed=True) as made:
        yield made


@pytest.fixture(autouse=True)
def no_thread_left() -> Iterator[None]:
    before = set(threading.enumerate())
    yield
    until = time.monotonic() + 2
    while (left := set(threading.enumerate()) - before) and time.monotonic() < until:
        time.sleep(0.005)
    assert not left
