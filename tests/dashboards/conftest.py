"""What the tests of dashboards share: a Prometheus for each schedule, filled once."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.rig.dashboard_data import Filled, filled
from tests.rig.needs import Peer


@pytest.fixture(scope="module")
def every_minute(peer: Peer) -> Iterator[Filled]:
    peer("prometheus")
    with filled("1m", 60) as data:
        yield data


@pytest.fixture(scope="module")
def every_quarter_hour(peer: Peer) -> Iterator[Filled]:
    peer("prometheus")
    with filled("15m", 900) as data:
        yield data
