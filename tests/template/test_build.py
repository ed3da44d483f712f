"""What `sam build` makes is small, complete, and for Lambda's machine and Python only."""

from __future__ import annotations

import filecmp
import os
import re
import struct
import subprocess
import sys
from pathlib import Path

import pytest

from tests.template.stack import ROOT, load_template

MAX_BYTES = 20_000_000
EM_AARCH64 = 183
LOCKS = ["functions/requirements.txt", "requirements/run.txt", "requirements/dev.txt"]
PINNED = re.compile(r"^([a-z0-9-]+)(?:\[[^\]]*\])?==(\S+)", re.MULTILINE)


@pytest.fixture(scope="session")
def artefact(built: Path) -> Path:
    return built / "PusherFunction"


def files_of(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}


def make(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    inherited = {
        name: value for name, value in os.environ.items() if not name.startswith(("MAKE", "ARCH", "ARTIFACTS"))
    }
    return subprocess.run(
        ["make", *arguments], cwd=ROOT, env=inherited | environment, capture_output=True, text=True, check=False
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


def test_every_locked_package_is_there_with_its_metadata(artefact: Path) -> None:
    locked = PINNED.findall((ROOT / "functions/requirements.txt").read_text())
    found = {path.name.removesuffix(".dist-info").lower() for path in artefact.glob("*.dist-info")}
    assert found == {f"{name.replace('-', '_')}-{version}" for name, version in locked}
    assert all((path / "METADATA").is_file() for path in artefact.glob("*.dist-info"))


def test_what_the_runtime_brings_or_nobody_needs_is_left_out(artefact: Path) -> None:
    names = {path.name for path in artefact.iterdir()}
    assert not names & {"boto3", "botocore", "s3transfer", "bin", "pytest", "rich", "Makefile", "template.yaml"}
    assert not [name for name in files_of(artefact) if name.endswith(".pyi") and not name.startswith("pusher/")]


def test_bytecode_is_the_runtimes_own_or_not_there(artefact: Path) -> None:
    """Another version's would only take space: Lambda's Python reads `cpython-313` alone."""
    bytecode = [path.name for path in artefact.rglob("*.pyc")]
    assert all(name.endswith(".cpython-313.pyc") for name in bytecode)


def test_all_of_the_pusher_is_there_but_the_command_line(artefact: Path) -> None:
    """No function imports that."""
    shell = ("cli.py", "shell_backfill.py", "shell_print.py", "shell_spool.py", "__main__.py")
    sources = {name for name in files_of(ROOT / "functions/pusher") if "__pycache__" not in name}
    expected = {name for name in sources if name not in shell and not name.startswith(("convert/", "standalone/"))}
    assert len(expected) > 80
    assert {name for name in files_of(artefact / "pusher") if "__pycache__" not in name} == expected


def test_logger_and_metrics_do_without_what_was_cut(artefact: Path) -> None:
    """Only pure Python is imported, so that the artefact of any machine will do."""
    code = "from aws_lambda_powertools import Logger, Metrics; Logger('a').info('b'); Metrics('c', 'd')"
    environment = {"PATH": os.environ["PATH"], "PYTHONPATH": str(artefact), "PYTHONDONTWRITEBYTECODE": "1"}
    result = subprocess.run(
        [sys.executable, "-S", "-c", code], env=environment, cwd=artefact, capture_output=True, text=True, check=False
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


def test_an_unknown_machine_is_refused() -> None:
    result = make("--dry-run", "build-PusherFunction", ARCH="riscv")
    assert result.returncode != 0
    assert 'ARCH is arm64, x86_64 or host, not "riscv"' in result.stderr


def test_help_names_every_target_with_a_purpose() -> None:
    targets = {"setup", "demo", "test", "build", "invoke", "deploy", "bench", "proto", "lock", "check", "clean"}
    assert targets <= set(re.findall(r"^  make (\w+)", make().stdout, re.MULTILINE))


@pytest.mark.parametrize("lock", LOCKS)
def test_a_lock_pins_by_hash_and_names_no_registry(lock: str) -> None:
    text = (ROOT / lock).read_text()
    assert not re.search(r"://|--(index-url|extra-index-url|find-links|trusted-host)|@ file", text)
    entries = re.split(r"\n(?=[a-z0-9])", text.split("\n", 2)[2])
    assert len(entries) > 10
    assert all(PINNED.match(entry) and "--hash=sha256:" in entry for entry in entries)
