"""A zip file depends on what is in it alone."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

from release.archive import checksums, write_zip


def folder_with(folder: Path, names: list[str], mode: int, time: int) -> Path:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(name)
        (folder / name).chmod(mode)
        os.utime(folder / name, (time, time))
    return folder


def test_times_order_umask_and_place_do_not_matter(tmp_path: Path) -> None:
    names = ["b/c.py", "a.py", "b.py"]
    one = folder_with(tmp_path / "one", names, 0o600, 1)
    two = folder_with(tmp_path / "elsewhere" / "two", names[::-1], 0o664, 2_000_000_000)
    write_zip(one, tmp_path / "one.zip", 1_800_000_000)
    write_zip(two, tmp_path / "two.zip", 1_800_000_000)
    assert (tmp_path / "one.zip").read_bytes() == (tmp_path / "two.zip").read_bytes()


def test_content_and_execution_matter(tmp_path: Path) -> None:
    for name, mode in (("one", 0o644), ("two", 0o755)):
        write_zip(folder_with(tmp_path / name, ["a"], mode, 1), tmp_path / f"{name}.zip", 1_800_000_000)
    assert (tmp_path / "one.zip").read_bytes() != (tmp_path / "two.zip").read_bytes()


def test_the_checksums_are_those_of_coreutils(tmp_path: Path) -> None:
    folder_with(tmp_path, ["b", "a"], 0o644, 1)
    said = subprocess.run(["sha256sum", "a", "b"], cwd=tmp_path, capture_output=True, text=True, check=True).stdout
    assert checksums(tmp_path) == said
