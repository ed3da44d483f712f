"""What CI runs as peers comes from Debian as Debian signed it, or not at all; json_exporter is built from source."""

from __future__ import annotations

import hashlib
import os
import shutil
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


@pytest.mark.parametrize(
    ("go", "said"),
    [
        ("exit 1", "json_exporter is not there, and its tests are skipped: go could not build it"),
        ('case "$*" in "env GOMODCACHE") echo "$CACHE";; build*) touch json_exporter; esac', ""),
    ],
    ids=["cannot be built", "built"],
)
def test_json_exporter_may_be_missing(go: str, said: str, tmp_path: Path) -> None:
    """It is built in its own folder of go's module cache; without go the other peers are there all the same."""
    binaries, tools = tmp_path / "peers" / "usr" / "bin", tmp_path / "tools"
    source = tmp_path / "cache" / "github.com" / "prometheus-community" / "json_exporter@v0.7.0"
    for folder in (binaries, tools, source / "examples", source / "test"):
        folder.mkdir(parents=True)
    scripts = {"prometheus": binaries, "prometheus-node-exporter": binaries, "python3.14": binaries, "go": tools}
    for name, folder in scripts.items():
        (folder / name).write_text(f"#!/bin/sh\n{go}\n")
        (folder / name).chmod(0o755)
    done = run(tmp_path, PATH=f"{tools}{os.pathsep}{os.environ['PATH']}", CACHE=str(tmp_path / "cache"))
    assert (done.returncode, done.stdout, done.stderr.strip()) == (0, f"{binaries}\n", said)
    copied = tmp_path / "peers" / "usr" / "share" / "json_exporter"
    assert [(place / name).exists() for place, name in ((source, "json_exporter"), (copied, "examples"))] == [
        not said
    ] * 2


USED = (
    "bash", "cat", "chmod", "cp", "dpkg", "dpkg-deb", "dpkg-split", "dirname", "find", "mkdir", "mktemp", "mv", "paste",
    "rm", "sed", "sh", "sort", "tail", "tar", "uname",
)  # fmt: skip
APT = {
    "downloaded": 'case "$*" in *install*) for word; do case $word in Dir::Cache=*) cache=${word#*=};; esac; done\n'
    "cp DEB $cache/archives/;; esac",
    "not to be had": "echo gone; exit 1",
}
LIBRARIES = [f"{os.uname().machine}-linux-gnu/{name}" for name in ("liba.so.1", "own/libb-1.so")]
WHERE = {  # in their packages
    "jq": "usr/bin/jq",
    "chromium": "usr/lib/chromium/chromium",
    "fish": "usr/bin/fish",
    "zsh": "bin/zsh",
}


@pytest.mark.parametrize("outcome", APT)
def test_what_the_system_lacks_comes_with_its_libraries(outcome: str, tmp_path: Path, peer: Peer) -> None:
    """Unpacked beside the other peers; each one's start says where its libraries are."""
    peer("apt-get")
    binaries, tools, package = tmp_path / "peers" / "usr" / "bin", tmp_path / "tools", tmp_path / "package"
    scripts = {
        binaries / name: "" for name in ("prometheus", "prometheus-node-exporter", "python3.14", "json_exporter")
    } | {
        tools / "apt-get": APT[outcome].replace("DEB", str(tmp_path / "both.deb")),
        **{package / "usr" / "lib" / path: "" for path in LIBRARIES},
        # What Python 3.14 brings is for it alone.
        **{tmp_path / "peers" / "python3.14" / "usr" / "lib" / path: "" for path in LIBRARIES},
        **{package / path: f'echo {name} "$LD_LIBRARY_PATH" "$@"' for name, path in WHERE.items()},
    }
    for path, text in scripts.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"#!/bin/sh\n{text}\n")
        path.chmod(0o755)
    (tmp_path / "peers" / "usr" / "share" / "json_exporter").mkdir(parents=True)
    for name in USED:
        (tools / name).symlink_to(str(shutil.which(name)))
    (package / "DEBIAN").mkdir()
    control = "Package: both\nVersion: 1\nArchitecture: all\nMaintainer: a\nDescription: a\n"
    (package / "DEBIAN" / "control").write_text(control)
    build = ["dpkg-deb", "--build", package, tmp_path / "both.deb"]
    subprocess.run(build, check=True, capture_output=True)

    done = run(tmp_path, PATH=str(tools))
    assert (done.returncode, done.stdout) == (0, f"{binaries}\n"), done.stderr
    if outcome == "not to be had":
        what = "jq chromium fish zsh could not be had: install what is missing (for chromium, google-chrome will do)"
        assert done.stderr == f"gone\n{what}\n"
        return
    assert done.stderr == ""
    folder = f"{tmp_path}/peers/usr/lib/{os.uname().machine}-linux-gnu"
    for name in WHERE:
        said = subprocess.run([binaries / name, "--version"], capture_output=True, text=True, check=True).stdout
        assert said.split() == [name, f"{folder}:{folder}/own", "--version"]
