"""Zip files whose bytes depend on their content alone."""

from __future__ import annotations

import hashlib
import zipfile
from datetime import UTC, datetime
from pathlib import Path


def write_zip(folder: Path, target: Path, epoch: int) -> None:
    """Packs what is in the folder, sorted by name, with one time (seconds since 1970) and modes 644 or 755.

    What Lambda unpacks must be readable by all, whatever the umask of the machine that built it.
    """
    when = datetime.fromtimestamp(epoch, UTC).timetuple()[:6]
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as archive:
        for path in sorted(folder.rglob("*"), key=lambda one: one.relative_to(folder).as_posix()):
            if path.is_file():
                entry = zipfile.ZipInfo(path.relative_to(folder).as_posix(), when)
                entry.create_system = 3  # Unix, whose modes the next line means
                entry.external_attr = (0o100755 if path.stat().st_mode & 0o100 else 0o100644) << 16
                entry.compress_type = zipfile.ZIP_DEFLATED
                archive.writestr(entry, path.read_bytes())


def checksums(folder: Path) -> str:
    """What `sha256sum --check` reads, for every file in the folder."""
    files = sorted(path for path in folder.iterdir() if path.is_file())
    return "".join(f"{hashlib.sha256(path.read_bytes()).hexdigest()}  {path.name}\n" for path in files)
