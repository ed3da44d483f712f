"""What tests of several folders share."""

from __future__ import annotations

import fcntl
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

# How long an example takes says something about the machine, and nothing about the code.
settings.register_profile("any machine", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("any machine")

Require = Callable[[object, str], None]
Building = Callable[[], AbstractContextManager[None]]
BUILD = Path(__file__).parents[1] / "build"


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


@pytest.fixture(scope="session")
def building() -> Building:
    """A time in which nothing else builds: what is built goes through build/, which all test processes share."""

    @contextmanager
    def alone() -> Iterator[None]:
        BUILD.mkdir(exist_ok=True)
        with (BUILD / ".lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield

    return alone


@pytest.fixture(scope="session")
def host_artefact(building: Building) -> Path:
    """The artefact for this machine, built by the rule that `sam build` uses."""
    command = ["make", "build/host.stamp", "ARCH=host", f"BUILD_PYTHON={sys.executable}"]
    with building():
        result = subprocess.run(command, cwd=BUILD.parent, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stdout + result.stderr
    return BUILD / "host"
