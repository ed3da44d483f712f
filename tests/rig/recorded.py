"""What a Prometheus 3.16 sent for the cases that an older one treats otherwise: it stands in where an older one is at
hand. Where a 3.16 is, that is held to the record. RECORD=1 writes it anew."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from pathlib import Path

from tests.rig.scrape import Labels

_FILE = Path(__file__).parents[1] / "testdata/scrape/prometheus-3.16.json"

Rounds = Sequence[dict[Labels, str]]


def compare(name: str, rounds: Rounds) -> None:
    """What was sent of a case, scrape after scrape, with the record."""
    assert _portable(rounds) == _read()[name]


def compare_or_write(name: str, rounds: Rounds) -> None:
    """The same of what a real one sent."""
    if os.environ.get("RECORD"):
        _FILE.parent.mkdir(exist_ok=True)
        found = (_read() if _FILE.exists() else {}) | {name: _portable(rounds)}
        _FILE.write_text(json.dumps(found, indent=1, sort_keys=True) + "\n", encoding="utf-8")
    compare(name, rounds)


def _read() -> dict[str, list[dict[str, str]]]:
    found: dict[str, list[dict[str, str]]] = json.loads(_FILE.read_text(encoding="utf-8"))
    return found


def _portable(rounds: Rounds) -> list[dict[str, str]]:
    """Without the address of the target."""
    return [
        {
            " ".join(f"{name}={value}" for name, value in labels if name not in ("instance", "job", "case")): sample
            for labels, sample in one.items()
        }
        for one in rounds
    ]
