"""The pages of docs/runbooks: their names, the commands in their fenced blocks, and what links to them."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import yaml

from tests.rig.stack import ROOT

FOLDER = ROOT / "docs" / "runbooks"
RULES = ROOT / "rules"
INDEX, REFUSALS = FOLDER / "README.md", FOLDER / "refusals.md"
Shell = Callable[[str], subprocess.CompletedProcess[str]]  # a fixture: runs commands of a page


def pages() -> list[Path]:
    """Those of alarms and rules: all but the index and the page of refusals."""
    return sorted(set(FOLDER.glob("*.md")) - {INDEX, REFUSALS})


def blocks(page: Path, language: str = "bash") -> list[str]:
    """The fenced blocks of a language, in their order."""
    return re.findall(rf"^```{language}\n(.*?)^```$", page.read_text(), re.M | re.S)


def rung_by(page: Path) -> set[str]:
    """The alarms and rules that the page says it is for."""
    (line,) = re.findall(r"^Rings: ([^.(]*)\.", page.read_text(), re.M) or [""]
    return set(re.findall(r"`(\w+)`", line.partition(", which")[0]))


def rules() -> list[dict[str, Any]]:
    """Every rule of rules/*.yaml."""
    groups = [group for file in sorted(RULES.glob("*.y*ml")) for group in yaml.safe_load(file.read_text())["groups"]]
    return [rule for group in groups for rule in group["rules"]]
