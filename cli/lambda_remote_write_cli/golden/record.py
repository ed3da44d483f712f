"""Records a golden test: what a config makes of these answers becomes what is expected."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from .file import Answer


def write(config: Path, test_file: Path, answers: Sequence[Answer], now_ms: int) -> None:
    """Runs the config over these answers at this time, and writes the test with the samples that it gave; answers
    are written beside it. Raises ConfigError for a bad config, OSError for a file that cannot be written."""
    raise NotImplementedError
