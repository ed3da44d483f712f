"""What the suite itself keeps to."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from sandbox import prometheus

TESTS = Path(__file__).parent


def test_no_test_module_imports_another() -> None:
    """What several need is in tests/rig, or a fixture of a conftest.py."""
    of_tests = re.compile(r"^ *(?:from|import) +tests\.(?:\w+\.)*(?:conftest|test_\w+)\b", re.MULTILINE)
    found = {path.relative_to(TESTS): of_tests.findall(path.read_text()) for path in TESTS.rglob("*.py")}
    assert {path: lines for path, lines in found.items() if lines} == {}


def test_without_the_marker_no_peer_is_found(request: pytest.FixtureRequest) -> None:
    """Also where one is installed: a test that needs one without saying so fails for everybody."""
    assert request.node.get_closest_marker("peer") is None
    assert prometheus.find() is None
    for name in ("promtool", "prometheus-node-exporter"):
        done = subprocess.run([name, "--version"], capture_output=True, text=True, check=False)
        assert (done.returncode, done.stderr) == (127, f"a test that runs {name} uses the fixture peer\n")


@pytest.mark.slow  # starts pytest anew
def test_an_unknown_marker_is_an_error(tmp_path: Path) -> None:
    test = tmp_path / "test_one.py"
    test.write_text("import pytest\n\n@pytest.mark.slwo\ndef test_one():\n    pass\n")
    command = [sys.executable, "-m", "pytest", "-c", str(TESTS.parent / "pyproject.toml"), str(test)]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "'slwo' not found in `markers`" in done.stdout


@pytest.mark.slow  # starts pytest anew
def test_a_failed_run_says_how_its_order_is_repeated(tmp_path: Path) -> None:
    (tmp_path / "conftest.py").write_text("from tests.conftest import pytest_terminal_summary\n")
    (tmp_path / "test_one.py").write_text("def test_one():\n    assert False\n")
    command = [sys.executable, "-m", "pytest", "-c", str(TESTS.parent / "pyproject.toml"), "--randomly-seed=42"]
    done = subprocess.run([*command, str(tmp_path)], cwd=TESTS.parent, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "the same order again: --randomly-seed=42" in done.stdout
