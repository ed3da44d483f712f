"""Releases of a copy of this checkout, with throw-away keys."""

from __future__ import annotations

import subprocess
from datetime import date
from pathlib import Path

from release.__main__ import Options
from release.build import Target
from tests.rig.stack import ROOT

TODAY = date(2026, 12, 1)


def git(folder: Path, *arguments: str) -> str:
    return subprocess.run(["git", *arguments], cwd=folder, check=True, capture_output=True, text=True).stdout


def identify(folder: Path) -> None:
    """Commits need a name."""
    git(folder, "config", "user.name", "a")
    git(folder, "config", "user.email", "a@example.com")


def new_key(folder: Path, name: str) -> Path:
    key = folder / name
    command = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", name, "-f", str(key)]
    subprocess.run(command, check=True, capture_output=True)
    return key


def copy_checkout(folder: Path) -> None:
    """Everything that git knows here, or would."""
    for name in filter(None, git(ROOT, "ls-files", "--cached", "--others", "--exclude-standard", "-z").split("\0")):
        if (ROOT / name).is_file():
            target = folder / name
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes((ROOT / name).read_bytes())
            target.chmod((ROOT / name).stat().st_mode & 0o755)


def options(root: Path, key: Path | None, *, dry_run: bool = False, targets: tuple[Target, ...] = ()) -> Options:
    """By default of a release without zip files, which is quick."""
    return Options(root, key, dry_run, TODAY, targets)
