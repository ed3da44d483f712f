"""The pages of docs/runbooks: their names, the alarms and rules they are for, and the commands in their blocks."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Callable
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
