"""The container image: linted, and its steps carried out in a folder, because tests have no container engine."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import time
import venv
from collections.abc import Iterator
from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import Path

import pytest

from tests.rig.needs import Require

pytestmark = pytest.mark.slow
ROOT = Path(__file__).parents[1]
PREFIX = "/opt/pusher"
PATIENCE_SECONDS = 60


@dataclass(frozen=True, slots=True)
class Step:
    """An instruction of the Dockerfile and what follows it."""

    name: str
    value: str


def steps() -> list[Step]:
    lines = [line for line in (ROOT / "Dockerfile").read_text().splitlines() if not line.startswith("#")]
    joined = re.sub(r"\\\n\s*", "", "\n".join(lines))
    return [Step(*line.split(" ", 1)) for line in joined.splitlines() if line]


def stages() -> list[list[Step]]:
    """What stands between one FROM and the next, each beginning with it."""
    found: list[list[Step]] = []
    for step in steps():
        if step.name == "FROM":
            found.append([])
        if found:
            found[-1].append(step)
    return found


def value_of(name: str) -> str:
    """Of an instruction of the last stage."""
    (found,) = (step.value for step in stages()[-1] if step.name == name)
    return found


def is_ignored(path: str) -> bool:
    """As Docker reads .dockerignore: the last pattern that matches the path or a folder above it decides."""
    ignored = False
    patterns = [line for line in (ROOT / ".dockerignore").read_text().splitlines() if line and line[0] != "#"]
    folders = [path, *map(str, Path(path).parents)]
    for pattern in patterns:
        bare = pattern.removeprefix("!")
        if any(fnmatch(one, bare) or (bare[:3] == "**/" and fnmatch(one, bare[3:])) for one in folders):
            ignored = pattern[0] != "!"
    return ignored


def test_it_lints(require: Require) -> None:
    hadolint = shutil.which("hadolint", path=f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}")
    require(hadolint or sys.platform != "linux" or os.uname().machine != "x86_64", "hadolint (make setup)")
    if hadolint is None:
        pytest.skip("hadolint has no package for this machine")
    done = subprocess.run([hadolint, "Dockerfile"], cwd=ROOT, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "")


def test_the_user_is_not_root_and_needs_no_entry_in_a_list_of_users() -> None:
    user, _, group = value_of("USER").partition(":")
    assert int(user) > 999
    assert int(group) > 999


def test_it_stops_as_pusher_run_wants_and_carries_its_labels() -> None:
    assert value_of("STOPSIGNAL") == "SIGTERM"
    assert set(re.findall(r"org\.opencontainers\.image\.(\w+)=", value_of("LABEL"))) >= {
        "title",
        "description",
        "licenses",
    }


def test_both_stages_are_of_one_pinned_version_of_python() -> None:
    (image,) = (step.value for step in steps() if step.name == "ARG")
    assert re.fullmatch(r"PYTHON_IMAGE=python:3\.1[34]-slim-\w+", image)
    assert [stage[0].value for stage in stages()] == ["${PYTHON_IMAGE} AS build", "${PYTHON_IMAGE}"]


def test_what_is_sent_to_the_engine_is_what_is_copied() -> None:
    copied = [
        name
        for step in steps()
        if step.name == "COPY" and "--from" not in step.value
        for name in step.value.split()[:-1]
    ]
    assert [name for name in copied if is_ignored(name)] == []
    for secret in (".git", ".venv", "build", "samconfig.toml", "pusher.yaml", "functions/a/__pycache__", "cli/a/b.pyc"):
        assert is_ignored(secret), secret


def carry_out(step: Step, context: Path, work: Path, prefix: Path) -> None:
    """COPY from the context into the working folder; RUN there, with another prefix."""
    if step.name == "COPY":
        *names, target = step.value.split()
        for name in names:
            copy(context / name, work / target)
    elif step.name == "RUN":
        for command in step.value.split(" && "):
            run([word.replace(PREFIX, str(prefix)) for word in shlex.split(command)], work, prefix)


def copy(source: Path, into: Path) -> None:
    if source.is_dir():
        shutil.copytree(source, into, ignore=shutil.ignore_patterns("__pycache__", "*.egg-info"))
    else:
        into.mkdir(parents=True, exist_ok=True)
        shutil.copy(source, into)


def run(command: list[str], work: Path, prefix: Path) -> None:
    """What the lock file has is not installed again: this environment has it, from the same file."""
    if command[:3] == ["python", "-m", "venv"]:
        venv.create(command[3], symlinks=True)
    elif command[-2:] == ["-r", "requirements/run.txt"]:
        assert {"--require-hashes", "--no-deps", "--only-binary=:all:"} <= {*command}
        assert (work / command[-1]).is_file()
        (packages,) = prefix.glob("lib/python*/site-packages")
        (packages / "dependencies.pth").write_text(f"{Path(pytest.__file__).parents[1]}\n")
    else:
        assert command[0] == f"{prefix}/bin/pip"
        pip = [sys.executable, "-m", "pip", f"--python={prefix}"]
        done = subprocess.run([*pip, *command[1:]], cwd=work, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the first stage leaves under the prefix."""
    prefix, work = tmp_path_factory.mktemp("prefix") / "pusher", tmp_path_factory.mktemp("src")
    for step in stages()[0]:
        carry_out(step, ROOT, work, prefix)
    return prefix


def free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


@pytest.fixture(scope="module")
def port() -> int:
    return free_port()


def command_of(instruction: str, port: int, config: Path) -> list[str]:
    """The words of a JSON list in the last stage, with this port and config."""
    words = json.loads(value_of(instruction).partition("CMD ")[2] or value_of(instruction))
    return [word.replace("9091", str(port)).replace("/etc/pusher/pusher.yaml", str(config)) for word in words]


@pytest.fixture(scope="module")
def running(installed: Path, port: int, tmp_path_factory: pytest.TempPathFactory) -> Iterator[subprocess.Popen[str]]:
    """ENTRYPOINT and CMD, in a folder that cannot be written."""
    folder = tmp_path_factory.mktemp("etc")
    config = folder / "pusher.yaml"
    config.write_text("remote_write: [{url: 'http://127.0.0.1:9/'}]\n")
    folder.chmod(0o555)
    env_vars = {"PATH": f"{installed}/bin:/usr/bin:/bin", "PYTHONUNBUFFERED": "1", "PYTHONDONTWRITEBYTECODE": "1"}
    command = command_of("ENTRYPOINT", port, config) + command_of("CMD", port, config)
    with subprocess.Popen(
        [str(installed / "bin" / command[0]), *command[1:]], cwd=folder, env=env_vars, text=True,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
    ) as process:  # fmt: skip
        yield process
        process.kill()


def health(installed: Path, port: int) -> int:
    program, *arguments = command_of("HEALTHCHECK", port, Path())
    command = [str(installed / "bin" / program), *arguments]
    return subprocess.run(command, capture_output=True, check=False).returncode


def test_nothing_is_healthy_before_it_runs(installed: Path) -> None:
    assert health(installed, free_port()) == 1


def test_it_runs_is_healthy_writes_nothing_and_stops(
    installed: Path, running: subprocess.Popen[str], port: int
) -> None:
    before = {path for path in installed.rglob("*") if path.suffix != ".pyc"}
    until = time.monotonic() + PATIENCE_SECONDS
    while health(installed, port):
        assert running.poll() is None, running.stdout and running.stdout.read()
        assert time.monotonic() < until, "not healthy"
        time.sleep(0.1)
    running.send_signal(getattr(signal, value_of("STOPSIGNAL")))
    assert running.wait(PATIENCE_SECONDS) == 0
    assert {path for path in installed.rglob("*") if path.suffix != ".pyc"} == before


def test_the_documented_command_mounts_the_config_where_cmd_reads_it() -> None:
    (shown,) = re.findall(r"^#   (docker run .*)$", (ROOT / "Dockerfile").read_text(), re.MULTILINE)
    words = shlex.split(shown)
    assert words[words.index("--volume") + 1].endswith(f":{json.loads(value_of('CMD'))[1]}:ro")
    assert "--read-only" in words
