"""What CI runs as peers comes from Debian as Debian signed it, or not at all."""

from __future__ import annotations

import hashlib
import os
import subprocess
from pathlib import Path

import pytest

from tests.rig.needs import Peer

SCRIPT = Path(__file__).parents[1] / ".ci" / "peers"


@pytest.fixture
def mirror(peer: Peer, tmp_path: Path) -> Path:
    """A mirror with lists that are right in everything but their missing signature."""
    peer("apt-get")
    architecture = subprocess.run(["dpkg", "--print-architecture"], capture_output=True, text=True, check=True).stdout
    folder = tmp_path / "mirror" / "dists" / "sid"
    packages = folder / "main" / f"binary-{architecture.strip()}" / "Packages"
    packages.parent.mkdir(parents=True)
    packages.write_text("")
    (folder / "Release").write_text(
        "Suite: unstable\nCodename: sid\nComponents: main\n"
        f"Architectures: {architecture}SHA256:\n {hashlib.sha256(b'').hexdigest()} 0 {packages.relative_to(folder)}\n"
    )
    for path in (tmp_path, *tmp_path.rglob("*")):  # apt reads as a user of its own
        path.chmod(0o755 if path.is_dir() else 0o644)
    tmp_path.parent.chmod(0o755)
    tmp_path.parent.parent.chmod(0o755)
    return tmp_path / "mirror"


def run(folder: Path, **variables: str) -> subprocess.CompletedProcess[str]:
    command = [str(SCRIPT), str(folder / "peers")]
    return subprocess.run(command, env=os.environ | variables, capture_output=True, text=True, check=False, timeout=60)


def test_unsigned_lists_are_refused(mirror: Path, tmp_path: Path) -> None:
    done = run(tmp_path, DEBIAN_MIRROR=f"file://{mirror}")
    assert done.returncode != 0
    assert "is not signed" in done.stderr
    assert "not be verified with" in done.stderr
    assert not (tmp_path / "peers" / "usr").exists()


def test_without_keys_it_says_what_to_install(tmp_path: Path) -> None:
    text = SCRIPT.read_text().replace("/usr/share/keyrings/", f"{tmp_path}/nowhere/")
    script = tmp_path / "peers-without-keys"
    script.write_text(text)
    done = subprocess.run(["bash", str(script), str(tmp_path / "peers")], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "install debian-archive-keyring" in done.stderr
