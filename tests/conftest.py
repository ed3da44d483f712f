"""What tests of several folders share: how a real peer is found, what is built once, and in which order tests run."""

from __future__ import annotations

import fcntl
import gc
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from sandbox import prometheus
from sandbox.amp import Receiver
from sandbox.api import Api
from tests.rig.needs import Building, Peer, Require

# How long an example takes says something about the machine, and nothing about the code.
# In CI the examples are the same at every run, and fewer: a new counterexample is for the one who looks for it, not for
# a landing.
IS_CI = os.environ.get("CI") == "true"
settings.register_profile(
    "any machine",
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
    derandomize=IS_CI,
    max_examples=50 if IS_CI else 100,
)
settings.register_profile("unit", settings.get_profile("any machine"), max_examples=25)
settings.load_profile("any machine")

BUILD = Path(__file__).parents[1] / "build"
PEERS = {
    "prometheus": ("prometheus",), "promtool": ("promtool",), "apt-get": ("apt-get",),
    "vmagent": ("vmagent",),
    "node_exporter": ("prometheus-node-exporter", "node_exporter"),
    "json_exporter": ("json_exporter",),
    "browser": ("chromium", "google-chrome"),
    "jq": ("jq",), "zsh": ("zsh",), "fish": ("fish",),
    "python3.14": ("python3.14",),
    "terraform": ("terraform",),
}  # fmt: skip
OPTIONAL = {
    "json_exporter": "is built with go by .ci/peers",
    "terraform": "has no package of Debian's",
}  # where a machine cannot, tests are skipped in CI too
MARKED = {"peer": "peer", "built": "slow", "host_artefact": "slow"}  # a fixture, and what its tests are
PATH = os.environ["PATH"]
STUBS = pytest.StashKey[tempfile.TemporaryDirectory[str]]()


# --- Peers ------------------------------------------------------------------------------------------------------------


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
def peer(require: Require) -> Peer:
    """The path of a real peer program. What uses this fixture has the marker `peer`; others find none on PATH."""

    def find(name: str) -> str:
        found = prometheus.find() if name == "prometheus" else next(filter(None, map(shutil.which, PEERS[name])), None)
        if not found and name in OPTIONAL:
            pytest.skip(f"{name} on PATH is missing: it {OPTIONAL[name]}")
        require(found, f"{name} on PATH")
        return str(found)

    return find


def pytest_configure(config: pytest.Config) -> None:
    """Fewer random examples where only fast tests run; all of them in `make test`."""
    if "not slow" in config.option.markexpr:
        settings.load_profile("unit")


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """Where only fast tests run, a file that is slow as a whole is not imported: some import what takes seconds."""
    if "not slow" in config.option.markexpr and collection_path.suffix == ".py":
        return b"\npytestmark = pytest.mark.slow" in collection_path.read_bytes() or None
    return None


def pytest_collection() -> None:
    """What is collected stays until the end: looking for garbage in it is an eighth of collecting."""
    gc.disable()


def pytest_collection_finish() -> None:
    gc.freeze()
    gc.enable()


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Markers that follow from a fixture. What is slow comes first, so that no process is left alone with it."""
    for item in items:
        for name in MARKED.keys() & getattr(item, "fixturenames", ()):
            item.add_marker(MARKED[name])
    slow = {item.path for item in items if item.get_closest_marker("slow")}
    items.sort(key=lambda item: item.path not in slow)


def pytest_sessionstart(session: pytest.Session) -> None:
    """Makes a PATH on which each peer is a program that fails: many machines have the real ones among all others."""
    folder = session.config.stash[STUBS] = tempfile.TemporaryDirectory(prefix="no-peers-")
    for name in (name for names in PEERS.values() for name in names):
        stub = Path(folder.name, name)
        stub.write_text(f"#!/bin/sh\necho 'a test that runs {name} uses the fixture peer' >&2\nexit 127\n")
        stub.chmod(0o755)


def pytest_sessionfinish(session: pytest.Session) -> None:
    session.config.stash[STUBS].cleanup()


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    seed = terminalreporter.config.getoption("randomly_seed", None)
    if seed is not None and (terminalreporter.stats.get("failed") or terminalreporter.stats.get("error")):
        terminalreporter.write_line(f"the same order again: --randomly-seed={seed}")


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    stubs = item.config.stash[STUBS].name
    os.environ["PATH"] = PATH if item.get_closest_marker("peer") else f"{stubs}{os.pathsep}{PATH}"


# --- Stand-ins --------------------------------------------------------------------------------------------------------


@pytest.fixture
def api() -> Iterator[Api]:
    with Api() as running:
        yield running


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    """AMP."""
    with Receiver() as running:
        yield running


# --- What is built ----------------------------------------------------------------------------------------------------


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
