"""What `sam build` makes is small, complete, and for Lambda's machine and Python only."""

from __future__ import annotations

import filecmp
import os
import re
import struct
import subprocess
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from packaging.requirements import Requirement

from tests.rig.stack import ROOT, load_template

pytestmark = pytest.mark.slow

MAX_BYTES = 20_000_000
EM_AARCH64 = 183
LOCKED = ROOT / "functions/requirements.txt"
LOCKS = [LOCKED, *(ROOT / "requirements" / f"{name}.txt" for name in ("run", "dev", "checkov"))]
PINNED = re.compile(r"^([a-z0-9-]+)(?:\[[^\]]*\])?==(\S+)", re.MULTILINE)


@pytest.fixture(scope="session")
def artefact(built: Path) -> Path:
    return built / "PusherFunction"


def files_of(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}


_OF_MAKE = ("MAKE", "ARCH", "PYTHON_VERSION", "ARTIFACTS", "AWS_")  # what a make that runs the tests may hand down


def make(*arguments: str, variables: Sequence[str] = (), **env_vars: str) -> subprocess.CompletedProcess[str]:
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(_OF_MAKE)}
    return subprocess.run(
        ["make", *arguments, *variables],
        cwd=ROOT,
        env=inherited | env_vars,
        capture_output=True,
        text=True,
        check=False,
    )


def test_the_artefact_is_small(artefact: Path) -> None:
    assert sum(path.stat().st_size for path in artefact.rglob("*") if path.is_file()) < MAX_BYTES


def test_both_functions_get_the_same(built: Path) -> None:
    assert files_of(built / "OperatorFunction") == files_of(built / "PusherFunction")
    compared = filecmp.dircmp(built / "OperatorFunction", built / "PusherFunction")
    assert not compared.diff_files


def test_the_built_template_finds_the_state_machine(built: Path) -> None:
    named = re.search(r"DefinitionUri: (\S+)", (built / "template.yaml").read_text())
    assert named
    assert filecmp.cmp(built / named[1], ROOT / "statemachine/backfill.asl.json", shallow=False)


def test_every_shared_object_is_for_the_target(artefact: Path) -> None:
    objects = sorted(artefact.rglob("*.so*"))
    assert {path.relative_to(artefact).parts[0] for path in objects} >= {"cramjam", "google", "msgspec", "re2", "yaml"}
    for path in objects:
        header = path.read_bytes()[:20]
        assert header[:6] == b"\x7fELF\x02\x01", f"{path}: not a 64-bit little-endian ELF"
        assert struct.unpack_from("<H", header, 18)[0] == EM_AARCH64, path
        assert path.name.endswith((".cpython-313-aarch64-linux-gnu.so", ".abi3.so")), path


LEFT_OUT = "charset-normalizer"  # requests does without it, and guesses nothing then


def test_every_locked_package_is_there_with_its_metadata(artefact: Path) -> None:
    locked = PINNED.findall(LOCKED.read_text())
    found = {path.name.removesuffix(".dist-info").lower() for path in artefact.glob("*.dist-info")}
    assert found == {f"{name.replace('-', '_')}-{version}" for name, version in locked if name != LEFT_OUT}
    assert not (artefact / LEFT_OUT.replace("-", "_")).exists()
    assert all((path / "METADATA").is_file() for path in artefact.glob("*.dist-info"))


def test_what_the_runtime_brings_or_nothing_imports_is_left_out(artefact: Path) -> None:
    names = {path.name for path in artefact.iterdir()}
    assert not names & {"boto3", "botocore", "s3transfer", "bin", "pytest", "rich", "Makefile", "template.yaml"}
    assert not [name for name in files_of(artefact) if name.endswith(".pyi")]


def test_bytecode_is_the_runtimes_own_or_not_there(artefact: Path) -> None:
    """Another version's would only take space: Lambda's Python reads `cpython-313` alone."""
    bytecode = [path.name for path in artefact.rglob("*.pyc")]
    assert all(name.endswith(".cpython-313.pyc") for name in bytecode)


def test_all_of_the_engine_is_there_and_nothing_of_the_command_line(artefact: Path) -> None:
    files = files_of(ROOT / "functions/lambda_remote_write")
    engine = {name for name in files if "__pycache__" not in name and not name.endswith(".pyi")}
    assert len(engine) > 80
    assert {name for name in files_of(artefact / "lambda_remote_write") if "__pycache__" not in name} == engine
    assert not list(artefact.rglob("lambda_remote_write_cli"))


@pytest.mark.parametrize(
    "code",
    [
        pytest.param(
            "from aws_lambda_powertools import Logger, Metrics; Logger('a').info('b'); Metrics('c', 'd')",
            id="powertools",
        ),
        pytest.param("import dns.resolver; dns.resolver.Resolver(configure=False)", id="dnspython"),
        pytest.param("import requests_aws4auth, urllib3; urllib3.PoolManager()", id="requests"),
    ],
)
def test_packages_do_without_what_was_cut(artefact: Path, code: str) -> None:
    """Only pure Python is imported, so that the artefact of any machine will do."""
    env_vars = {"PATH": os.environ["PATH"], "PYTHONPATH": str(artefact), "PYTHONDONTWRITEBYTECODE": "1"}
    result = subprocess.run(
        [sys.executable, "-S", "-c", code], env=env_vars, cwd=artefact, capture_output=True, text=True, check=False
    )
    assert result.returncode == 0, result.stderr


def test_every_handler_is_in_the_artefact(artefact: Path) -> None:
    for resource in load_template()["Resources"].values():
        handler = resource["Properties"].get("Handler")
        if resource["Type"] == "AWS::Serverless::Function":
            module, _, function = handler.rpartition(".")
            assert f"def {function}(" in (artefact / f"{module.replace('.', '/')}.py").read_text()


@pytest.mark.parametrize(("arch", "machine"), [("arm64", "aarch64"), ("x86_64", "x86_64")])
def test_the_rule_asks_for_wheels_of_the_machine(arch: str, machine: str) -> None:
    result = make("--dry-run", "--always-make", "build-PusherFunction", ARCH=arch, ARTIFACTS_DIR="nowhere")
    tags = re.findall(r"--platform (\S+)", result.stdout)
    assert {f"manylinux_2_28_{machine}", f"manylinux_2_17_{machine}", f"manylinux2014_{machine}"} <= set(tags)
    assert all(tag.endswith(machine) for tag in tags)
    assert "--require-hashes" in result.stdout
    assert "--only-binary=:all:" in result.stdout


PYTHONS = [("3.11", "linux"), ("3.13", "linux"), ("3.14", "linux"), ("3.15", "darwin")]


def there(python: str, system: str, machine: str) -> dict[str, str]:
    """What markers are compared with on such a machine."""
    system_name = {"linux": "Linux", "darwin": "Darwin"}[system]
    return {
        "python_version": python, "python_full_version": f"{python}.1", "implementation_version": f"{python}.1",
        "sys_platform": system, "platform_system": system_name, "platform_machine": machine,
        "platform_python_implementation": "CPython", "implementation_name": "cpython", "os_name": "posix",
    }  # fmt: skip


def requirements_in(lock: Path) -> dict[str, Requirement]:
    """By name, each of which stands there once."""
    found = [Requirement(line.rstrip("\\ ")) for line in lock.read_text().splitlines() if re.match(r"[a-z0-9]", line)]
    by_name = {one.name: one for one in found}
    assert len(by_name) == len(found) > 10
    return by_name


def packages_for(arch: str, folder: Path, runtime: str = "3.13") -> Path:
    """What pip is given for an architecture and a version of Python."""
    packages = folder / "packages.txt"
    made = make(str(packages), ARCH=arch, PYTHON_VERSION=runtime, variables=[f"PACKAGES={folder / 'packages'}"])
    assert made.returncode == 0, made.stderr
    return packages


RUNTIMES = ["3.13", "3.14"]


def needed_on(runtime: str, machine: str) -> set[str]:
    """The locked packages that Lambda's Python needs."""
    there_ = there(runtime, "linux", machine)
    return {name for name, one in requirements_in(LOCKED).items() if one.marker is None or one.marker.evaluate(there_)}


@pytest.mark.parametrize("runtime", RUNTIMES)
@pytest.mark.parametrize("arch", ["arm64", "x86_64"])
@pytest.mark.parametrize(("python", "system"), PYTHONS)
def test_whatever_python_builds_gets_all_that_the_runtime_needs(
    tmp_path: Path, arch: str, python: str, system: str, runtime: str
) -> None:
    """pip evaluates markers for the Python that runs it, whatever --python-version and --platform say: on 3.14
    `backports-zstd ; python_full_version < '3.14'` is left out, also for 3.13."""
    packages = packages_for(arch, tmp_path, runtime)
    given = requirements_in(packages)
    builder = there(python, system, "arm64" if system == "darwin" else "x86_64")
    taken = {name for name, one in given.items() if one.marker is None or one.marker.evaluate(builder)}
    assert taken == needed_on(runtime, {"arm64": "aarch64"}.get(arch, arch))
    assert hashes_of(packages) == {name: hashes for name, hashes in hashes_of(LOCKED).items() if name in taken}


def hashes_of(lock: Path) -> dict[str, list[str]]:
    entries = re.findall(r"^([a-z0-9-]+)\b.*\n((?:    --hash=\S+.*\n)+)", lock.read_text(), re.MULTILINE)
    return {name: re.findall(r"--hash=\S+", hashes) for name, hashes in entries}


def test_only_what_the_standard_library_has_is_left_out() -> None:
    for machine in ("aarch64", "x86_64"):
        assert needed_on("3.13", machine) == set(requirements_in(LOCKED))
        assert set(requirements_in(LOCKED)) - needed_on("3.14", machine) == {"backports-zstd"}


def test_the_host_gets_what_its_own_python_needs(tmp_path: Path) -> None:
    """There the markers stay: what the standard library of a newer Python has cannot even be installed."""
    assert packages_for("host", tmp_path).read_text() == LOCKED.read_text()


# Stands for the Python that builds: its pip takes a moment, and writes down when it begins and ends.
SLOW_PIP = """#!/bin/sh
[ "$1" = -m ] || exec {python} "$@"
echo begin >> {folder}/log
while [ "$1" != --target ]; do shift; done
mkdir -p "$2/aws_lambda_powertools/utilities" && sleep 0.5 && echo 1 > "$2/package.py" && echo end >> {folder}/log
"""


def test_two_builds_at_once_share_the_packages(tmp_path: Path) -> None:
    """As `sam build --parallel` and `sam sync` start them: pip runs once, and neither copies what is half there."""
    python = tmp_path / "python"
    python.write_text(SLOW_PIP.format(python=sys.executable, folder=tmp_path))
    python.chmod(0o755)
    variables = [f"PACKAGES={tmp_path}/packages", f"BUILD_PYTHON={python}"]
    functions = ["PusherFunction", "OperatorFunction", "PusherFunction", "OperatorFunction"]
    with ThreadPoolExecutor() as pool:
        running = [
            pool.submit(make, f"build-{name}", variables=variables, ARCH="arm64", ARTIFACTS_DIR=str(tmp_path / str(at)))
            for at, name in enumerate(functions)
        ]
        for at, one in enumerate(running):
            assert one.result().returncode == 0, one.result().stderr
            assert (tmp_path / str(at) / "package.py").read_text() == "1\n"
            assert (tmp_path / str(at) / "lambda_remote_write/app.py").is_file()
    assert (tmp_path / "log").read_text().split() == ["begin", "end"]


def test_the_message_on_windows_names_wsl(tmp_path: Path) -> None:
    """Its own environment says OS=Windows_NT; inside WSL nothing does."""
    result = make("build-PusherFunction", OS="Windows_NT", ARTIFACTS_DIR=str(tmp_path))
    assert result.returncode != 0
    assert "work inside WSL" in result.stderr


@pytest.mark.parametrize(
    ("given", "used"),
    [
        ({"AWS_REGION": "eu-west-1"}, "eu-west-1"),
        ({"AWS_DEFAULT_REGION": "eu-west-1"}, "eu-west-1"),
        ({"AWS_REGION": "eu-west-1", "AWS_DEFAULT_REGION": "us-east-1"}, "eu-west-1"),
        ({}, None),
    ],
    ids=["AWS_REGION", "AWS_DEFAULT_REGION", "both", "neither: the profile's"],
)
def test_make_deploy_goes_where_the_aws_command_line_would(
    tmp_path: Path, given: dict[str, str], used: str | None
) -> None:
    """Its documentation: AWS_REGION "overrides the AWS_DEFAULT_REGION environment variable". boto3 reads the latter
    alone. The address is one on which nothing listens."""
    config = tmp_path / "config"
    config.write_text("[default]\n")
    given |= {"AWS_CONFIG_FILE": str(config), "AWS_ENDPOINT_URL": "http://127.0.0.1:1", "AWS_MAX_ATTEMPTS": "1"}
    keys = {"AWS_ACCESS_KEY_ID": "testing", "AWS_SECRET_ACCESS_KEY": "testing"}
    result = make("deploy", variables=["CONFIG=README.md", "YES=1"], **given, **keys)
    assert result.returncode != 0
    assert ("make deploy: no region" in result.stderr) == (used is None), result.stderr
    assert ("AWS cannot be asked" in result.stderr) == (used is not None), result.stderr


def test_make_deploy_refuses_bad_usage_in_a_sentence() -> None:
    result = make("deploy", variables=["CONFIG=nothing.yaml", "YES=1"])
    assert result.stderr.splitlines()[0].startswith("make deploy: CONFIG=nothing.yaml does not exist")


def test_an_architecture_that_is_not_given_is_the_stacks_own() -> None:
    for variables, used in (([], "ARCH= "), (["ARCH=x86_64"], "ARCH=x86_64 ")):
        assert used in make("--dry-run", "deploy", variables=variables).stdout


def test_the_config_that_is_deployed_is_in_the_artefact_alone(tmp_path: Path) -> None:
    """And in no tracked file."""
    packaged = ROOT / "functions/lambda_remote_write/config.yaml"
    before, config = packaged.read_bytes(), tmp_path / "my config.yaml"
    config.write_text("# mine\n")
    (tmp_path / "packages").mkdir()
    for given, found in (("", before), (str(config), b"# mine\n")):
        variables = [f"PACKAGES={tmp_path / 'packages'}", f"ARTIFACTS_DIR={tmp_path / 'artefact'}"]
        made = make("--old-file", str(tmp_path / "packages"), "artefact", variables=variables, PUSHER_CONFIG_FILE=given)
        assert made.returncode == 0, made.stderr
        assert (tmp_path / "artefact/lambda_remote_write/config.yaml").read_bytes() == found
    assert packaged.read_bytes() == before


def test_an_unknown_machine_is_refused() -> None:
    result = make("--dry-run", "build-PusherFunction", ARCH="riscv")
    assert result.returncode != 0
    assert 'ARCH is arm64, x86_64 or host, not "riscv"' in result.stderr


def test_an_unknown_version_of_python_is_refused() -> None:
    result = make("--dry-run", "build-PusherFunction", PYTHON_VERSION="3.15")
    assert result.returncode != 0
    assert 'PYTHON_VERSION is 3.13 or 3.14, not "3.15"' in result.stderr


def test_the_template_and_the_makefile_know_the_same_versions_of_python() -> None:
    runtime = load_template()["Parameters"]["Runtime"]
    (allowed,) = re.findall(r"ifeq \(\$\(filter \$\(PYTHON_VERSION\),([^)]+)\),\)", (ROOT / "Makefile").read_text())
    assert runtime["AllowedValues"] == [f"python{version}" for version in allowed.split()]
    built = make("--dry-run", "build", variables=["SAM=sam"], PYTHON_VERSION="3.14").stdout
    assert built.split()[-2:] == ["Architecture=arm64", "Runtime=python3.14"]
    assert "PYTHON_VERSION=3.14 " in make("--dry-run", "deploy", variables=["PYTHON_VERSION=3.14"]).stdout
    assert "PYTHON_VERSION= " in make("--dry-run", "deploy").stdout


def test_help_names_every_target_with_a_purpose() -> None:
    targets = {"setup", "demo", "test", "build", "invoke", "deploy", "bench", "proto", "lock", "check", "clean"}
    assert targets <= set(re.findall(r"^  make (\w+)", make().stdout, re.MULTILINE))


@pytest.mark.parametrize("lock", LOCKS, ids=lambda lock: lock.name)
def test_a_lock_pins_by_hash_and_names_no_registry(lock: Path) -> None:
    text = lock.read_text()
    assert not re.search(r"://|--(index-url|extra-index-url|find-links|trusted-host)|@ file", text)
    entries = re.split(r"\n(?=[a-z0-9])", text.split("\n", 2)[2])
    assert len(entries) > 10
    assert all(PINNED.match(entry) and "--hash=sha256:" in entry for entry in entries)
