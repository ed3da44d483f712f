"""The demo is a promise of the README: it runs, everything arrives, and the report accounts for all of it."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.rig.command_line import SOURCES
from tests.rig.needs import Peer

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[1]


def demo() -> str:
    env_vars = os.environ | {**SOURCES, "PYTHONIOENCODING": "utf-8"}
    command = [sys.executable, "-m", "sandbox.demo"]
    result = subprocess.run(command, cwd=ROOT, env=env_vars, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stdout + result.stderr
    return result.stdout


@pytest.fixture(scope="module")
def output() -> str:
    return demo()


def test_everything_arrives_and_the_report_balances(output: str) -> None:
    found = re.search(
        r"Accounting: (\d+) collected = (\d+) accepted \+ 0 rejected \+ 0 dropped \+ 0 undelivered", output
    )
    assert found is not None, output
    collected, accepted = map(int, found.groups())
    assert collected == accepted == 40 * 18
    assert f"the receiver holds {accepted} and refused 0" in output


def test_each_project_is_in_the_table_and_the_plot(output: str) -> None:
    for project in ("4", "5", "6"):
        assert f'projectCode="{project}"' in output
        assert f"projectCode {project}" in output


def test_with_a_prometheus_its_functions_are_plotted(peer: Peer) -> None:
    peer("prometheus")
    output = demo()
    for function in ("irate", "deriv", "idelta"):
        assert f"{function}(api_requests_total[10m]), asked of a real Prometheus" in output
