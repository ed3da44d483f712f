"""The readers under a coverage-guided fuzzer, for a bounded time."""

from __future__ import annotations

import importlib.util
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.rig.needs import Require

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]
PAGES = ROOT / "tests" / "testdata" / "pages"
SECONDS = 15


def fuzzed(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "tests.rig.fuzz", *arguments],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": "functions:cli:."},
        capture_output=True,
        text=True,
        timeout=SECONDS * 4 + 30,
        check=False,
    )


@pytest.mark.parametrize("format_name", ["text", "openmetrics"])
def test_no_bytes_bring_a_reader_down(format_name: str, tmp_path: Path, require: Require) -> None:
    """It begins with the corpus; a crash, a hang or an assertion ends it with a status."""
    require(importlib.util.find_spec("atheris"), "atheris")
    for page in (PAGES / format_name).iterdir():
        (tmp_path / page.name).write_bytes(page.read_bytes()[:4_096])
    # With a timeout that never comes: any shorter one, and none, ends it on a machine that stood still. A hang is found
    # below.
    options = [f"-max_total_time={SECONDS}", "-max_len=4096", "-timeout=600", f"-artifact_prefix={tmp_path}/"]
    result = fuzzed(format_name, *options, str(tmp_path))
    if result.returncode < 0 and not any(tmp_path.glob("crash-*")):  # a signal ended the fuzzer, and no input did
        result = fuzzed(format_name, *options, str(tmp_path))
    assert result.returncode == 0, (result.returncode, result.stderr[-3_000:])
    done = re.search(r"Done (\d+) (?:runs|in)", result.stderr)
    assert done, result.stderr[-1_000:]
    assert int(done[1]) > 500
