"""A release is built twice with the same bytes, signed, dated and tagged, or it is not made and says why."""

from __future__ import annotations

import json
import os
import platform
import re
import shutil
import subprocess
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from lambda_remote_write import __version__
from release import Refused, signature
from release.__main__ import commit_and_tag, release
from release.build import Target
from release.repository import Repository
from tests.rig.needs import Peer
from tests.rig.release import TODAY, git, identify, new_key, options
from tests.rig.stack import ROOT, Stack, load_template, translate

pytestmark = pytest.mark.slow
ARCH = {"x86_64": "x86_64", "aarch64": "arm64"}.get(platform.machine(), "x86_64")
TARGET = Target(ARCH, "python3.14")  # the Python that .ci/peers brings
NAME = f"lambda-remote-write-{__version__}"
ZIP = f"{NAME}-{ARCH}-python3.14.zip"
WHEEL = f"lambda_remote_write-{__version__}-py3-none-any.whl"
TAG = f"v{__version__}"


SMOKE = """
import sys
from lambda_remote_write import app
from lambda_remote_write.config.load import parse_config
import cramjam, google._upb._message, msgspec, re2, yaml, zlib_ng
from compression import zstd
assert sys.version_info[:2] == (3, 14), sys.version
text = open("lambda_remote_write/config.yaml").read()
config = parse_config(text, "config.yaml", {"AWS_REGION": "eu-west-1", "PUSHER_WORKSPACE": "ws-0123"})
print(app.push_handler.__name__, *config.job_names())
"""


@pytest.fixture(scope="module")
def released(original: Path, key: Path, peer: Peer, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The checkout after a release."""
    peer("python3.14")
    folder = tmp_path_factory.mktemp("released")
    git(folder, "clone", "--quiet", str(original), "checkout")
    identify(folder / "checkout")
    release(options(folder / "checkout", key, targets=(TARGET,)))
    return folder / "checkout"


@pytest.fixture
def files(released: Path) -> Path:
    return released / "build" / "release"


@pytest.fixture(scope="module")
def artefact(released: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The zip file as Lambda unpacks it."""
    folder = tmp_path_factory.mktemp("artefact")
    zipfile.ZipFile(released / "build" / "release" / ZIP).extractall(folder)
    return folder


@pytest.mark.peer
def test_it_has_these_files(files: Path) -> None:
    assert {path.name for path in files.iterdir()} == {
        ZIP, f"{ZIP}.cdx.json", WHEEL, f"{WHEEL}.cdx.json", f"{NAME}.yaml", f"{NAME}-backfill.asl.json",
        "licences.md", "SHA256SUMS", "SHA256SUMS.sig",
    }  # fmt: skip


@pytest.mark.peer
def test_the_changelog_is_dated_and_the_tag_names_its_commit(released: Path) -> None:
    text = (released / "CHANGELOG.md").read_text()
    assert text.startswith(
        f"# Changelog\n\n## [Unreleased]\n\n## [{__version__}] - 2026-12-01\n\n### Added\n\n- Something"
    )
    assert git(released, "cat-file", "-t", TAG) == "tag\n"
    assert git(released, "show", "--format=%s", "--name-only", f"{TAG}^{{commit}}").split("\n") == [
        f"Release {__version__}", "", "CHANGELOG.md", "",
    ]  # fmt: skip
    assert git(released, "status", "--porcelain") == ""


def documented(released: Path) -> list[str]:
    """The commands of SECURITY.md that verify a release."""
    (block,) = re.findall(r"## Verify a release\n.*?```bash\n(.*?)```", (ROOT / "SECURITY.md").read_text(), re.S)
    return (
        re.sub(r"\\\n\s*", "", block)
        .replace("release/allowed_signers", str(released / "release/allowed_signers"))
        .splitlines()
    )


@pytest.mark.peer
def test_a_user_verifies_it_with_the_documented_commands(released: Path, files: Path, tmp_path: Path) -> None:
    signature, sums = documented(released)
    done = subprocess.run(signature, shell=True, cwd=files, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout[:4]) == (0, "Good"), done.stderr
    done = subprocess.run(sums, shell=True, cwd=files, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert f"{ZIP}: OK" in done.stdout
    changed = (files / "SHA256SUMS").read_text().replace("a", "b")
    (tmp_path / "SHA256SUMS").write_text(changed)
    (tmp_path / "SHA256SUMS.sig").write_bytes((files / "SHA256SUMS.sig").read_bytes())
    assert subprocess.run(signature, shell=True, cwd=tmp_path, capture_output=True, check=False).returncode != 0


@pytest.mark.peer
def test_the_zip_has_one_time_sorted_names_and_modes_that_lambda_can_read(files: Path) -> None:
    entries = zipfile.ZipFile(files / ZIP).infolist()
    names = [one.filename for one in entries]
    assert names == sorted(names)
    assert {one.date_time for one in entries} == {(2026, 12, 1, 0, 0, 0)}
    assert {oct(one.external_attr >> 16) for one in entries} <= {"0o100644", "0o100755"}
    assert {"lambda_remote_write/app.py", "lambda_remote_write/__pycache__/app.cpython-314.pyc"} <= {*names}


@pytest.mark.peer
def test_bytecode_names_the_folder_of_lambda(files: Path) -> None:
    code = zipfile.ZipFile(files / ZIP).read("lambda_remote_write/__pycache__/app.cpython-314.pyc")
    assert b"/var/task/lambda_remote_write/app.py" in code
    assert b"/tmp/" not in code


@pytest.mark.peer
def test_every_shared_object_and_bytecode_is_of_python_314(artefact: Path) -> None:
    objects, bytecode = ([path.name for path in artefact.rglob(pattern)] for pattern in ("*.so*", "*.pyc"))
    assert len(objects) > 5
    assert [name for name in objects if ".cpython-314-" not in name and not name.endswith(".abi3.so")] == []
    assert [name for name in bytecode if not name.endswith(".cpython-314.pyc")] == []
    assert not (artefact / "backports").exists()  # its standard library has zstd


@pytest.mark.peer
def test_the_function_starts_in_a_real_python_314(artefact: Path, peer: Peer) -> None:
    command = [peer("python3.14"), "-S", "-c", SMOKE]
    env_vars = {"PATH": os.environ["PATH"], "PYTHONPATH": str(artefact), "PYTHONDONTWRITEBYTECODE": "1"}
    done = subprocess.run(command, cwd=artefact, env=env_vars, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "push_handler custom_exporter\n"), done.stderr


@pytest.mark.peer
def test_the_bill_of_materials_has_what_is_locked(files: Path) -> None:
    """That it keeps to CycloneDX's schema is checked when it is written."""
    bom = json.loads((files / f"{ZIP}.cdx.json").read_text())
    pinned = re.findall(r"^([a-z0-9-]+)==(\S+)", (ROOT / "functions/requirements.txt").read_text(), re.MULTILINE)
    left_out = {"charset-normalizer", "backports-zstd"}
    assert (bom["bomFormat"], bom["specVersion"]) == ("CycloneDX", "1.6")
    assert {(one["name"], one["version"]) for one in bom["components"]} == {
        (name, version) for name, version in pinned if name not in left_out
    }
    assert all(one["purl"] == f"pkg:pypi/{one['name']}@{one['version']}" for one in bom["components"])
    assert all(one["licenses"] for one in bom["components"])
    needed = {one["name"] for one in json.loads((files / f"{WHEEL}.cdx.json").read_text())["components"]}
    assert {"boto3", "botocore", "rich", "msgspec"} <= needed
    assert not {"moto", "pytest", "ruff"} & needed


@pytest.mark.peer
def test_licences_are_listed(files: Path) -> None:
    text = (files / "licences.md").read_text()
    assert "| certifi | " in text
    assert re.search(r"^\| google-re2 \| \S+ \| BSD-3-Clause \|$", text, re.MULTILINE)


@pytest.mark.peer
def test_the_packaged_template_finds_the_files(files: Path) -> None:
    """Its code is where a user uploaded the release; all else is the template of the checkout."""
    path = files / f"{NAME}.yaml"
    template, own = load_template(path), load_template()
    given = {
        "ArtefactBucket": "mine",
        "ArtefactPrefix": "pusher/",
        "Architecture": ARCH,
        "Runtime": "python3.14",
    }
    template["Parameters"]["ArtefactBucket"]["Default"] = ""  # the rig wants one
    stack = Stack(template, translate(template, uploaded=False), Backfill="yes", **given)
    for name in ("PusherFunction", "OperatorFunction"):
        assert stack[name]["Code"] == {"S3Bucket": "mine", "S3Key": f"pusher/{ZIP}"}
    machine = next(iter(stack.of_type("AWS::StepFunctions::StateMachine").values()))
    assert machine["DefinitionS3Location"] == {"Bucket": "mine", "Key": f"pusher/{NAME}-backfill.asl.json"}
    assert (files / f"{NAME}-backfill.asl.json").read_text() == (ROOT / "statemachine/backfill.asl.json").read_text()
    assert template["Parameters"].keys() - own["Parameters"].keys() == {"ArtefactBucket", "ArtefactPrefix"}
    assert template["Outputs"] == own["Outputs"]
    assert template["Resources"].keys() == own["Resources"].keys()


@pytest.mark.peer
def test_a_tag_can_be_built_again_to_compare(released: Path, files: Path, tmp_path: Path) -> None:
    """In another folder, without the key. Only the zip files are left out here."""
    git(tmp_path, "clone", "--quiet", str(released), "again")
    said = release(options(tmp_path / "again", None, dry_run=True))
    assert "Nothing was committed" in said
    sums = (tmp_path / "again/build/release/SHA256SUMS").read_text().splitlines()
    assert {line.split()[1] for line in sums} >= {WHEEL, f"{NAME}.yaml"}
    without_zips = [line for line in sums if not line.endswith("licences.md")]
    assert {*without_zips} <= {*(files / "SHA256SUMS").read_text().splitlines()}


def commit(checkout: Path, file: str, old: str, new: str) -> None:
    path = checkout / file
    assert old in path.read_text()
    path.write_text(path.read_text().replace(old, new))
    git(checkout, "commit", "--quiet", "--all", "--message", "Change")


REFUSED: dict[str, tuple[Callable[[Path], object], str]] = {
    "a changed file": (lambda at: (at / "Makefile").write_text(""), "not committed, as Makefile"),
    "a new file": (lambda at: (at / "new.py").write_text(""), "not committed, as new.py"),
    "the tag exists": (lambda at: git(at, "tag", TAG), f"the tag {TAG} exists: raise __version__"),
    "no entries": (lambda at: commit(at, "CHANGELOG.md", "- Something", "Nothing"), "no entries under Unreleased"),
    "dated already": (
        lambda at: commit(at, "CHANGELOG.md", "### Added", f"- More\n\n## [{__version__}] - 2026-11-01"),
        f"CHANGELOG.md has {__version__} already",
    ),
    "two versions": (
        lambda at: commit(at, "template.yaml", f"SemanticVersion: {__version__}", "SemanticVersion: 9.9.9"),
        f"SemanticVersion ['9.9.9'], and __version__ is {__version__}",
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", REFUSED)
def test_there_is_no_release_of(case: str, checkout: Path, key: Path) -> None:
    change, message = REFUSED[case]
    change(checkout)
    head, tags = git(checkout, "rev-parse", "HEAD"), git(checkout, "tag")
    with pytest.raises(Refused) as refused:
        release(options(checkout, key))
    assert message in str(refused.value)
    assert (git(checkout, "rev-parse", "HEAD"), git(checkout, "tag")) == (head, tags)
    assert not (checkout / "build/release").exists()


def test_there_is_no_release_without_a_key(checkout: Path) -> None:
    with pytest.raises(Refused, match="SIGNING_KEY must name the key"):
        release(options(checkout, None))


def test_a_key_that_does_not_count_is_refused_before_anything_is_built(checkout: Path, tmp_path: Path) -> None:
    with pytest.raises(Refused, match="the signature is of no key in"):
        release(options(checkout, new_key(tmp_path, "other")))
    with pytest.raises(Refused, match=r"SIGNING_KEY=.*nowhere does not sign"):
        release(options(checkout, tmp_path / "nowhere"))
    assert not (checkout / "build/release").exists()


def test_there_is_no_release_without_git_and_its_repository(
    checkout: Path, key: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (checkout / ".git").rename(tmp_path / "elsewhere")
    with pytest.raises(Refused, match="git status says: fatal: not a git repository"):
        release(options(checkout, key))
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(Refused, match="git is not on PATH"):
        release(options(checkout, key))


@pytest.mark.parametrize("step", ["commit", "tag"])
def test_a_release_that_git_refuses_leaves_the_repository_as_it_was(step: str, checkout: Path) -> None:
    """A hook refuses the commit; the tag is to be signed by a program that fails."""
    if step == "commit":
        (checkout / ".git/hooks/pre-commit").write_text("#!/bin/sh\nexit 1\n")
        (checkout / ".git/hooks/pre-commit").chmod(0o755)
    else:
        git(checkout, "config", "tag.gpgSign", "true")
        git(checkout, "config", "gpg.program", "false")
    head, log = git(checkout, "rev-parse", "HEAD"), checkout / "CHANGELOG.md"
    with pytest.raises(Refused, match=f"git {step} says"):
        commit_and_tag(Repository(checkout), log, "9.9.9", TODAY)
    assert (git(checkout, "rev-parse", "HEAD"), git(checkout, "status", "--porcelain")) == (head, "")


def test_a_signature_counts_only_with_a_key_that_users_know(tmp_path: Path) -> None:
    file, signers = tmp_path / "SHA256SUMS", tmp_path / "allowed_signers"
    file.write_text("1  a\n")
    known, other = new_key(tmp_path, "known"), new_key(tmp_path, "other")
    signers.write_text(f'# keys\nmaintainers namespaces="lambda-remote-write" {known.with_suffix(".pub").read_text()}')
    signature.sign(file, known)
    signature.verify(file, signers)
    signature.sign(file, other)
    with pytest.raises(Refused, match=r"the signature is of no key in .*allowed_signers"):
        signature.verify(file, signers)
    with pytest.raises(Refused, match=r"SIGNING_KEY=.*nowhere does not sign"):
        signature.sign(file, tmp_path / "nowhere")


def test_the_list_of_the_repository_is_one_that_openssh_reads(tmp_path: Path) -> None:
    """With the line that its comment shows."""
    text = (ROOT / "release/allowed_signers").read_text()
    key, file = new_key(tmp_path, "key"), tmp_path / "a"
    public = key.with_suffix(".pub").read_text()
    (shown,) = re.findall(r"^# (maintainers .*)$", text, re.MULTILINE)
    (tmp_path / "signers").write_text(f"{text}{shown.replace('ssh-ed25519 AAAA… comment', public)}")
    file.write_text("a")
    signature.sign(file, key)
    signature.verify(file, tmp_path / "signers")


def test_there_is_no_release_without_the_runtimes_python(
    checkout: Path, key: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    git_only = checkout.parent / "bin"
    git_only.mkdir()
    for name in ("git", "ssh-keygen"):
        (git_only / name).symlink_to(str(shutil.which(name)))
    monkeypatch.setenv("PATH", str(git_only))
    with pytest.raises(Refused, match=r"python3\.13 and python3\.14 must be on PATH"):
        release(options(checkout, key, targets=(TARGET, Target("arm64", "python3.13"))))
