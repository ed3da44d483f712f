"""The wheel: what `pip install .` and pipx put on a machine, beside PyPI's other distribution called `pusher`."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import tarfile
import venv
import zipfile
from email import message_from_string
from pathlib import Path

import pytest

from lambda_remote_write import __version__

pytestmark = pytest.mark.slow
ROOT = Path(__file__).parents[1]
SCHEMA = ROOT / "cli" / "lambda_remote_write_cli" / "config.schema.json"
SOURCES = ("pyproject.toml", "README.md", "LICENSE", "functions", "cli", "requirements")
OTHER_PUSHER = """[project]
name = "pusher"
version = "1.0"
[tool.setuptools]
packages = ["pusher"]
"""


def wheel_of(project: Path) -> Path:
    """Built with the setuptools of this environment, so that nothing is downloaded."""
    build = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation", "-w", "dist", "."]
    subprocess.run(build, cwd=project, check=True, capture_output=True)
    (found,) = project.glob("dist/*.whl")
    return found


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Of a copy, because a build leaves folders behind."""
    project = tmp_path_factory.mktemp("project")
    for name in SOURCES:
        copy = shutil.copytree if (ROOT / name).is_dir() else shutil.copy
        copy(ROOT / name, project / name)
    return wheel_of(project)


@pytest.fixture(scope="module")
def scripts(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The scripts of a fresh environment with both distributions; it sees the dependencies of this one."""
    other = tmp_path_factory.mktemp("other")
    (other / "pyproject.toml").write_text(OTHER_PUSHER)
    (other / "pusher").mkdir()
    (other / "pusher/__init__.py").write_text("NAME = 'the other one'\n")
    environment = tmp_path_factory.mktemp("environment")
    venv.create(environment, with_pip=False, symlinks=True)
    (packages,) = environment.glob("lib/python*/site-packages")
    install = [sys.executable, "-m", "pip", f"--python={environment}", "install", "--quiet", "--no-deps", "--no-index"]
    subprocess.run([*install, wheel, wheel_of(other)], check=True, capture_output=True)
    dependencies = Path(pytest.__file__).parents[1]
    (packages / "dependencies.pth").write_text(f"{dependencies}\n")
    return environment / "bin"


def output_of(*command: str | Path, cwd: Path) -> str:
    return subprocess.run(command, cwd=cwd, env={}, check=True, capture_output=True, text=True).stdout


def test_the_wheel_describes_itself(wheel: Path) -> None:
    names = zipfile.ZipFile(wheel).namelist()
    info = f"lambda_remote_write-{__version__}.dist-info"
    metadata = message_from_string(zipfile.ZipFile(wheel).read(f"{info}/METADATA").decode())
    assert (metadata["Name"], metadata["Version"]) == ("lambda-remote-write", __version__)
    assert (metadata["License-Expression"], metadata["License-File"]) == ("Apache-2.0", "LICENSE")
    assert metadata["Description-Content-Type"] == "text/markdown"
    assert str(metadata.get_payload()).startswith("# lambda-remote-write")
    assert metadata["Requires-Python"] == ">=3.11"
    assert f"{info}/licenses/LICENSE" in names
    assert "Project-URL" not in metadata  # there is no address yet that would be true


def test_the_wheel_is_for_the_pythons_that_ci_runs(wheel: Path) -> None:
    metadata = zipfile.ZipFile(wheel).read(f"lambda_remote_write-{__version__}.dist-info/METADATA").decode()
    named = re.findall(r"^Classifier: Programming Language :: Python :: (3\.\d+)$", metadata, re.MULTILINE)
    (matrix,) = re.findall(r"python: (\[.*\])", (ROOT / ".github/workflows/ci.yml").read_text())
    assert {*re.findall(r"3\.\d+", matrix)} <= {*named}
    assert (named[0], named[-1]) == ("3.11", "3.14")


def test_the_wheel_of_a_source_distribution_has_the_same_files(wheel: Path, tmp_path: Path) -> None:
    project = wheel.parents[1]
    code = "import sys, setuptools.build_meta as backend; print(backend.build_sdist(sys.argv[1]))"
    subprocess.run([sys.executable, "-c", code, tmp_path], cwd=project, check=True, capture_output=True)
    (archive,) = tmp_path.glob("*.tar.gz")
    with tarfile.open(archive) as source:
        source.extractall(tmp_path, filter="data")
    again = wheel_of(tmp_path / f"lambda_remote_write-{__version__}")
    first, second = ({one.filename: one.CRC for one in zipfile.ZipFile(path).infolist()} for path in (wheel, again))
    assert second == first


def test_both_pushers_are_importable(scripts: Path, tmp_path: Path) -> None:
    code = "import pusher, lambda_remote_write_cli, lambda_remote_write as ours; print(pusher.NAME, ours.__file__)"
    name, _, place = output_of(scripts / "python", "-c", code, cwd=tmp_path).strip().rpartition(" ")
    assert name == "the other one"
    assert Path(place).is_relative_to(scripts.parent)


def test_the_command_runs_in_any_folder_and_through_a_symlink(scripts: Path, tmp_path: Path) -> None:
    linked = tmp_path / "linked"
    linked.symlink_to(scripts / "pusher")
    for command in (scripts / "pusher", linked):
        assert output_of(command, "--version", cwd=tmp_path) == f"pusher {__version__}\n"


def test_the_installed_command_checks_a_config(scripts: Path, tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text("remote_write: [{url: 'http://h/'}]\n")
    assert "no mistakes" in output_of(scripts / "pusher", "check", "a.yaml", cwd=tmp_path)


def test_the_installed_command_has_the_schema(scripts: Path, tmp_path: Path) -> None:
    assert output_of(scripts / "pusher", "schema", cwd=tmp_path) == SCHEMA.read_text(encoding="utf-8")


def test_the_wheel_holds_both_packages_and_nothing_else(wheel: Path) -> None:
    expected = {"lambda_remote_write/config.yaml", "lambda_remote_write/remote_write/refusals.yaml"}
    expected |= {"lambda_remote_write_cli/config.schema.json"}
    for folder in ("functions", "cli"):
        expected |= {str(path.relative_to(ROOT / folder)) for path in (ROOT / folder).rglob("*.py*")}
    names = {name for name in zipfile.ZipFile(wheel).namelist() if ".dist-info/" not in name}
    assert names == {name for name in expected if not name.endswith(".pyc")}
