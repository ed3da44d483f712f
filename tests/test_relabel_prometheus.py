"""The same labels and rules given to a real Prometheus: what it makes of them is what `relabel` must make of them.

Each case is one job with one static target. One server answers for all of them: `/api/v1/targets` has the labels before
relabelling, those after, and the dropped targets. tests/scrape/test_random_differential.py compares random rules.
"""

from __future__ import annotations

import json
import socket
import time
import urllib.error
import urllib.request
from collections.abc import Mapping
from typing import Any

import pytest

from lambda_remote_write.relabel import Action, relabel, rule
from tests.rig import scrape as rig
from tests.rig.needs import Peer
from tests.rig.relabelling import CASES, Given

START_TIMEOUT_SECONDS = 60
ADDRESS = "127.0.0.1:1"  # nothing listens there: the targets are down, and their labels are known all the same
OWN = {"__address__": ADDRESS, "job": "j"}


def is_target(labels: Mapping[str, str], rules: list[Given]) -> bool:
    """Whether Prometheus shows the target: it does not if rules remove its address without dropping it."""
    found = relabel(OWN | dict(labels), [rule(**keys) for keys in rules])
    return found is None or "__address__" in found


NOT_COMPARED = {
    "labelmap-skips-the-empty-name",  # the deliberate difference, see lambda_remote_write/relabel.py
    "labelmap-last-name-wins",  # discovery sets the labels of a target in the order of a Go map
    "labelmap-labels-set-before-come-last",
}
SHOWN = {
    name: (case["labels"], case["rules"])
    for name, case in CASES.items()
    if name not in NOT_COMPARED and is_target(case["labels"], case["rules"])
}


@pytest.fixture(scope="module")
def targets(peer: Peer, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """By case: what Prometheus shows of its one target; `labels` is None for a dropped one."""
    folder = tmp_path_factory.mktemp("prometheus")
    jobs = [
        {"job_name": name, "static_configs": [{"targets": [ADDRESS], "labels": labels}], "relabel_configs": rules}
        for name, (labels, rules) in SHOWN.items()
    ]
    (folder / "prometheus.yml").write_text(json.dumps({"global": {"scrape_interval": "1h"}, "scrape_configs": jobs}))
    with socket.create_server(("127.0.0.1", 0)) as server:
        address = f"127.0.0.1:{server.getsockname()[1]}"
    arguments = [
        peer("prometheus"),
        f"--config.file={folder / 'prometheus.yml'}",
        f"--storage.tsdb.path={folder / 'data'}",
        f"--web.listen-address={address}",
    ]
    until = time.monotonic() + START_TIMEOUT_SECONDS
    with rig.running(arguments, folder / "log"):
        while len(found := shown_by(f"http://{address}/api/v1/targets?state=any")) < len(SHOWN):
            assert time.monotonic() < until, (folder / "log").read_text()[-4000:]
            time.sleep(0.2)
    return found


def shown_by(url: str) -> dict[str, Any]:
    try:
        with urllib.request.urlopen(url, timeout=5) as answer:
            found = json.load(answer)["data"]
    except (urllib.error.URLError, ConnectionError, TimeoutError):
        return {}
    every = [*found["activeTargets"], *({**one, "labels": None} for one in found["droppedTargets"])]
    return {one.get("scrapePool", one["discoveredLabels"]["job"]): one for one in every}


def as_shown(labels: Mapping[str, str] | None) -> dict[str, str] | None:
    """Labels after relabelling -> those of the target: `instance` is the address unless set, `__` stays inside."""
    if labels is None:
        return None
    with_instance = {"instance": labels["__address__"], **labels}
    return {name: value for name, value in with_instance.items() if not name.startswith("__")}


@pytest.mark.parametrize("name", SHOWN)
def test_relabels_as_prometheus_does(targets: dict[str, Any], name: str) -> None:
    (labels, rules), shown = SHOWN[name], targets[name]
    discovered = shown["discoveredLabels"]
    assert {label: value for label, value in labels.items() if value}.items() <= discovered.items()
    assert as_shown(relabel(discovered, [rule(**keys) for keys in rules])) == shown["labels"]


def test_the_cases_use_every_action() -> None:
    assert {rule(**keys).action for _, rules in SHOWN.values() for keys in rules} == set(Action)
