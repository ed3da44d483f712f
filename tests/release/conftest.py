"""A repository with the files of this checkout, from which releases are made."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.rig.release import copy_checkout, git, identify, new_key


@pytest.fixture(scope="session")
def key(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The key that counts."""
    return new_key(tmp_path_factory.mktemp("keys"), "maintainer")


@pytest.fixture(scope="session")
def original(tmp_path_factory: pytest.TempPathFactory, key: Path) -> Path:
    """The files of this checkout, committed anew, with an entry in the changelog and the key that counts."""
    folder = tmp_path_factory.mktemp("original") / "checkout"
    folder.mkdir()
    copy_checkout(folder)
    public = key.with_suffix(".pub").read_text()
    (folder / "release/allowed_signers").write_text(f'maintainers namespaces="lambda-remote-write" {public}')
    (folder / "CHANGELOG.md").write_text("# Changelog\n\n## [Unreleased]\n\n### Added\n\n- Something.\n")
    git(folder, "init", "--quiet", "--initial-branch=main")
    identify(folder)
    git(folder, "add", "--all")
    git(folder, "commit", "--quiet", "--message", "All")
    return folder


@pytest.fixture
def checkout(original: Path, tmp_path: Path) -> Path:
    """A clone that a test may change."""
    git(tmp_path, "clone", "--quiet", str(original), "checkout")
    identify(tmp_path / "checkout")
    return tmp_path / "checkout"
