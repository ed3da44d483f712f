from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.rig.aws import Aws


@pytest.fixture
def aws() -> Iterator[Aws]:
    with Aws() as served:
        yield served
