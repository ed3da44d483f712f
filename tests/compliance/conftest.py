"""The runs that tests of this folder look at. Each is made once; its tests only read what the receiver wrote down."""

from __future__ import annotations

from typing import Any

import pytest

from tests.rig import compliance as rig
from tests.rig import compliance_pages as pages
from tests.rig.compliance import Run

# Of each job: what it asks for, and its page.
FORMATS = {
    "text": ("PrometheusText0.0.4", (pages.TEXT_PAGE.encode(), rig.TEXT)),
    "openmetrics": ("OpenMetricsText1.0.0", (pages.OPENMETRICS_PAGE.encode(), rig.OPENMETRICS)),
    "protobuf": ("PrometheusProto", (pages.PROTOBUF_PAGE, rig.DELIMITED)),
}


def _job(target: str, name: str) -> dict[str, Any]:
    keys = {"scrape_protocols": [FORMATS[name][0]], "scrape_native_histograms": name == "protobuf"}
    return rig.job(target, name, f"/{name}", **keys)


@pytest.fixture(scope="session")
def steady(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """Three formats scraped every second, sent in both protocols, once with everything and once by the defaults."""
    shown = {f"/{name}": page for name, (_, page) in FORMATS.items()}
    full = {"send_exemplars": True, "send_native_histograms": True, "headers": {"X-Tenant": "a b"}}
    with rig.Pages(shown) as served, rig.Receiver() as receiver:
        soon = {"send": True, "send_interval": "1s"}
        endpoints = [
            *(rig.endpoint(receiver.url(one), one, metadata_config=soon, **full) for one in rig.PROTOCOLS),
            *(rig.endpoint(receiver.url(f"{one}-plain"), one) for one in rig.PROTOCOLS),
        ]
        config = rig.config(
            endpoints, [_job(served.target, name) for name in FORMATS], external_labels={"region": "eu"}
        )
        paths = ["v1", "v2", "v1-plain", "v2-plain"]
        with rig.sender(config, tmp_path_factory.mktemp("steady")) as sender:
            sender.wait_for(
                lambda: all(rig.scrape_count(receiver.writes(path), name) >= 3 for path in paths for name in FORMATS),
                "three scrapes of every job have arrived everywhere",
            )
            status = sender.stop()
            return Run({path: receiver.writes(path) for path in paths}, sender.started_at, status, sender.log_text)


@pytest.fixture(params=rig.PROTOCOLS)
def protocol(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def writes(steady: Run, protocol: str) -> list[rig.Write]:
    """The requests of the run, of one protocol after the other."""
    found = rig.seen(steady, protocol)
    assert {one.protocol for one in found} == {protocol}
    return found


@pytest.fixture
def v1(steady: Run) -> list[rig.Write]:
    return rig.seen(steady, "v1")


@pytest.fixture
def v2(steady: Run) -> list[rig.Write]:
    return rig.seen(steady, "v2")
