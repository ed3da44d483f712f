"""Builds the files of a release into a folder."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from . import Refused
from .archive import checksums, write_zip
from .licences import report
from .packages import Package, needed_by, packages_in
from .repository import Repository
from .sbom import document
from .template import packaged, state_machine_name, zip_name

PROJECT = "lambda-remote-write"
SUMS = "SHA256SUMS"


@dataclass(frozen=True, slots=True)
class Target:
    """What a zip file is for: values of the template's parameters Architecture and Runtime."""

    arch: str
    runtime: str


TARGETS = tuple(Target(arch, f"python{version}") for version in ("3.13", "3.14") for arch in ("arm64", "x86_64"))


@dataclass(frozen=True, slots=True)
class Release:
    """`epoch` is the time of every file within, in seconds since 1970."""

    version: str
    epoch: int
    targets: tuple[Target, ...] = TARGETS


def build(repository: Repository, release: Release, folder: Path) -> None:
    """Replaces the folder by one with the files of the release and their SHA256SUMS. Raises Refused."""
    _require_pythons(release.targets)
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    with tempfile.TemporaryDirectory() as temporary:
        source = Path(temporary) / "source"
        repository.export(source)
        shipped = _zips(source, release, folder)
        wheel = _wheel(source, release, folder)
        _write_template(source, release, folder)
    needed = needed_by(folder / wheel)
    _write_sboms({**shipped, wheel: needed}, release, folder)
    (folder / "licences.md").write_text(report(sorted(set().union(*shipped.values())), needed))
    (folder / SUMS).write_text(checksums(folder))


def _require_pythons(targets: Iterable[Target]) -> None:
    missing = sorted({target.runtime for target in targets if shutil.which(target.runtime) is None})
    if missing:
        raise Refused(f"{' and '.join(missing)} must be on PATH: the zip files have their bytecode")


def _zips(source: Path, release: Release, folder: Path) -> dict[str, list[Package]]:
    """Each zip file's name, with the packages in it."""
    made = dict[str, list[Package]]()
    for target in release.targets:
        name = zip_name(release.version, target.arch, target.runtime)
        artefact = source / "build" / name.removesuffix(".zip")
        version = target.runtime.removeprefix("python")
        _run(
            ["make", "--silent", "build-PusherFunction", f"ARTIFACTS_DIR={artefact}", f"BUILD_PYTHON={sys.executable}"],
            source,
            {"ARCH": target.arch, "PYTHON_VERSION": version, "COMPILE_JOBS": "1"},
        )
        write_zip(artefact, folder / name, release.epoch)
        made[name] = packages_in(artefact)
    return made


def _wheel(source: Path, release: Release, folder: Path) -> str:
    shutil.rmtree(source / "build", ignore_errors=True)  # setuptools builds there too
    pip = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation", "--wheel-dir"]
    _run([*pip, str(folder), "."], source, {"SOURCE_DATE_EPOCH": str(release.epoch)})
    (wheel,) = folder.glob("*.whl")
    return wheel.name


def _write_template(source: Path, release: Release, folder: Path) -> None:
    template = packaged((source / "template.yaml").read_text(), release.version)
    (folder / f"{PROJECT}-{release.version}.yaml").write_text(template)
    shutil.copyfile(source / "statemachine/backfill.asl.json", folder / state_machine_name(release.version))


def _write_sboms(packages: Mapping[str, list[Package]], release: Release, folder: Path) -> None:
    for name, found in packages.items():
        text = document(name, release.version, found, release.epoch)
        (folder / f"{name}.cdx.json").write_text(text)


def _run(command: list[str], cwd: Path, variables: Mapping[str, str]) -> None:
    """Without the variables of the make that runs this, which the make within would take for its own."""
    mine = {name: value for name, value in os.environ.items() if not name.startswith(("MAKE", "MFLAGS", "ARTIFACTS"))}
    done = subprocess.run(  # noqa: S603
        command, cwd=cwd, env=mine | dict(variables), stderr=subprocess.STDOUT, stdout=subprocess.PIPE, check=False
    )
    if done.returncode:
        raise Refused(f"{command[0]} failed in a copy of the commit:\n{done.stdout.decode(errors='replace')}")
