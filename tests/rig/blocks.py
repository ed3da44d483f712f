"""The blocks that promtool makes of an export, and what is in them."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

Found = dict[tuple[tuple[str, str], ...], list[tuple[int, float]]]
SAMPLE = re.compile(r"\{(.*)\} (\S+) (\d+)$", re.M)
LABEL = re.compile(r'([\w]+)="((?:[^"\\]|\\.)*)"')


def blocks_of(text: bytes, folder: Path) -> Path:
    """The blocks that promtool makes of an export."""
    file, blocks = folder / "export.om", folder / "blocks"
    file.write_bytes(text)
    made = create_blocks(file, blocks)
    assert made.returncode == 0, made.stdout + made.stderr
    (blocks / "wal").mkdir(exist_ok=True)  # promtool's other commands want one
    return blocks


def create_blocks(file: Path, blocks: Path) -> subprocess.CompletedProcess[str]:
    command = ["promtool", "tsdb", "create-blocks-from", "openmetrics", str(file), str(blocks)]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)


def dumped(text: bytes, folder: Path) -> Found:
    """Every sample in the blocks made of an export, by its labels."""
    command = ["promtool", "tsdb", "dump", f"--sandbox-dir-root={folder}", str(blocks_of(text, folder))]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    found: Found = {}
    for labels, value, stamp in SAMPLE.findall(done.stdout):
        pairs = tuple(sorted((name, _unescaped(text)) for name, text in LABEL.findall(labels)))
        found.setdefault(pairs, []).append((int(stamp), float(value)))
    return {labels: sorted(points) for labels, points in found.items()}


def _unescaped(text: str) -> str:
    return re.sub(r"\\(.)", lambda found: {"n": "\n"}.get(found[1], found[1]), text)
