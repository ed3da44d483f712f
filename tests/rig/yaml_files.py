"""YAML files, read by libyaml: PyYAML's own reader takes ten times as long, once in each process of a test run."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml


def read_yaml(path: Path) -> Any:
    """The first document of a file, with PyYAML's safe types."""
    return yaml.load(path.read_text(encoding="utf-8"), yaml.CSafeLoader)
