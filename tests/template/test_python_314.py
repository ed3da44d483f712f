"""The artefact for Python 3.14 is for that Python alone, and runs in it."""

from __future__ import annotations

import os
import platform
import subprocess
from pathlib import Path

import pytest

from tests.rig.needs import Building, Peer
from tests.rig.stack import ROOT

pytestmark = pytest.mark.slow
ARCH = {"x86_64": "x86_64", "aarch64": "arm64"}.get(platform.machine(), "x86_64")
SMOKE = """
import sys
from lambda_remote_write import app
from lambda_remote_write.config.load import parse_config
from lambda_remote_write.http.content_coding import ALL, of_document
from compression import zstd
assert sys.version_info[:2] == (3, 14), sys.version
config = parse_config(open("lambda_remote_write/config.yaml").read(), "config.yaml",
                      {"AWS_REGION": "eu-west-1", "PUSHER_WORKSPACE": "ws-0123"})
print(app.push_handler.__name__, *config.job_names())
import cramjam, msgspec, re2, yaml, google._upb._message, zlib_ng
"""


@pytest.fixture(scope="module")
def artefact(building: Building, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("artefact")
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("MAKE")}
    variables = {"ARCH": ARCH, "PYTHON_VERSION": "3.14", "ARTIFACTS_DIR": str(folder)}
    with building():
        subprocess.run(["make", "build-PusherFunction"], cwd=ROOT, env=inherited | variables, check=True)
    return folder


def test_every_shared_object_and_bytecode_is_of_this_python(artefact: Path) -> None:
    objects = [path.name for path in artefact.rglob("*.so*")]
    assert len(objects) > 5
    assert [name for name in objects if ".cpython-314-" not in name and not name.endswith(".abi3.so")] == []
    assert [path.name for path in artefact.rglob("*.pyc") if not path.name.endswith(".cpython-314.pyc")] == []


def test_what_the_standard_library_has_is_left_out(artefact: Path) -> None:
    assert not (artefact / "backports").exists()
    assert (artefact / "zlib_ng").is_dir()


@pytest.mark.peer
def test_the_function_starts_in_a_real_python_314(artefact: Path, peer: Peer) -> None:
    command = [peer("python3.14"), "-S", "-c", SMOKE]
    env_vars = {"PATH": os.environ["PATH"], "PYTHONPATH": str(artefact), "PYTHONDONTWRITEBYTECODE": "1"}
    done = subprocess.run(command, cwd=artefact, env=env_vars, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "push_handler custom_exporter\n"), done.stderr
