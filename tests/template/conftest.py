"""The template and the built artefact, made once for all tests here."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.rig.needs import Building
from tests.rig.stack import ROOT, Stack, StackOf, load_template, translate

BIN = Path(sys.executable).parent


@pytest.fixture(scope="session")
def template() -> dict[str, Any]:
    return load_template()


@pytest.fixture(scope="session")
def translated(template: dict[str, Any]) -> dict[str, Any]:
    return translate(template)


@pytest.fixture(scope="session")
def stack_of(template: dict[str, Any], translated: dict[str, Any]) -> StackOf:
    """A stack with these parameters."""
    return lambda **parameters: Stack(template, translated, **parameters)


@pytest.fixture(scope="session")
def sam() -> Callable[..., subprocess.CompletedProcess[str]]:
    """Runs SAM's command line in the checkout."""
    env_vars = os.environ | {"SAM_CLI_TELEMETRY": "0", "AWS_DEFAULT_REGION": "us-east-1"}

    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        command = [str(BIN / "sam"), *arguments]
        return subprocess.run(command, cwd=ROOT, env=env_vars, capture_output=True, text=True, check=False)

    return run


@pytest.fixture(scope="session")
def built(
    sam: Callable[..., subprocess.CompletedProcess[str]], building: Building, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """What `sam build` makes for arm64: one folder per function, and the template."""
    folder = tmp_path_factory.mktemp("sam")
    with building():
        result = sam("build", "--build-dir", str(folder), "--parameter-overrides", "Architecture=arm64")
    assert result.returncode == 0, result.stdout + result.stderr
    return folder
