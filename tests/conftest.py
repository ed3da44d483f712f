"""What tests of several folders share."""

from __future__ import annotations

import os
from collections.abc import Callable

import pytest

Require = Callable[[object, str], None]


@pytest.fixture(scope="session")
def require() -> Require:
    """A part that is really needed: without it a test is skipped here, and fails where CI=true."""

    def check(condition: object, what: str) -> None:
        if condition:
            return
        if os.environ.get("CI") == "true":
            pytest.fail(f"{what} is missing")
        pytest.skip(f"{what} is missing")

    return check


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """What was collected with times that are near the present runs before they have passed."""
    items.sort(key=lambda item: item.path.name != "test_differential.py")
