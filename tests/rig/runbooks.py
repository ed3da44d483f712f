"""The pages of docs/runbooks: their names, the alarms and rules they are for, and the commands in their blocks."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Callable, Mapping
from pathlib import Path

from tests.rig.stack import ROOT

FOLDER = ROOT / "docs" / "runbooks"
INDEX, REFUSALS = FOLDER / "README.md", FOLDER / "refusals.md"
Shell = Callable[[str], subprocess.CompletedProcess[str]]  # a fixture: runs commands of a page


def pages() -> list[Path]:
    """Those of alarms and rules: all but the index and the page of refusals."""
    return sorted(set(FOLDER.glob("*.md")) - {INDEX, REFUSALS})


def blocks(page: Path, language: str = "bash") -> list[str]:
    """The fenced blocks of a language, in their order."""
    return re.findall(rf"^```{language}\n(.*?)^```$", page.read_text(), re.M | re.S)


def alerts_of(page: Path) -> set[str]:
    """The alarms and rules that the line below the title names."""
    found = re.match(r"# .*\n\nFor ([^.(]*)\.", page.read_text())
    return set(re.findall(r"`(\w+)`", found[1].partition(", which")[0])) if found else set()


def run_after_setup(
    shell: str, commands: str, folder: Path, environment: Mapping[str, str]
) -> subprocess.CompletedProcess[str]:
    """Runs commands of a page, after those of the index, in a folder; the first that fails ends them."""
    (setup,) = blocks(INDEX)
    return subprocess.run(
        [shell, "-c", f"set -eu\n{setup}\n{commands}"], cwd=folder, env=environment,
        capture_output=True, text=True, timeout=300, check=False,
    )  # fmt: skip
