"""The git repository of the checkout."""

from __future__ import annotations

import io
import subprocess
import tarfile
from dataclasses import dataclass
from pathlib import Path

from . import Refused


@dataclass(frozen=True, slots=True)
class Repository:
    """Raises Refused when git fails."""

    root: Path

    def changed(self) -> list[str]:
        """The files that differ from the last commit, or are not in it."""
        return [line[3:] for line in self._git("status", "--porcelain").decode().splitlines()]

    def has_tag(self, tag: str) -> bool:
        return bool(self._git("tag", "--list", tag).strip())

    def is_head(self, tag: str) -> bool:
        """Whether this existing tag names the commit that is checked out."""
        return self._git("rev-parse", f"{tag}^{{commit}}") == self._git("rev-parse", "HEAD")

    def export(self, folder: Path) -> None:
        """Writes the files of the last commit, with modes that do not depend on this machine."""
        with tarfile.open(fileobj=io.BytesIO(self._git("archive", "HEAD"))) as archive:
            archive.extractall(folder, filter="data")
        for path in folder.rglob("*"):
            path.chmod(0o755 if path.is_dir() or path.stat().st_mode & 0o100 else 0o644)

    def commit(self, message: str, *files: str) -> None:
        self._git("commit", "--quiet", "--message", message, "--", *files)

    def undo_commit(self) -> None:
        """Takes the last commit back, with its changes."""
        self._git("reset", "--quiet", "--keep", "HEAD~1")

    def tag(self, tag: str, message: str) -> None:
        """Makes an annotated tag of the last commit."""
        self._git("tag", "--annotate", tag, "--message", message)

    def _git(self, *arguments: str) -> bytes:
        try:
            done = subprocess.run(["git", *arguments], cwd=self.root, check=False, capture_output=True)  # noqa: S603, S607
        except FileNotFoundError:
            raise Refused("git is not on PATH: a release is made from a clone, with git") from None
        if done.returncode:
            raise Refused(f"git {arguments[0]} says: {done.stderr.decode(errors='replace').strip()}")
        return done.stdout
