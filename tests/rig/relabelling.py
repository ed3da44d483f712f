"""Label sets, rules, and the labels after them, from Prometheus's relabel.go, its test vectors and Go's regexp.Expand.
tests/test_relabel.py gives them to `relabel`, tests/test_relabel_prometheus.py to a real Prometheus."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tests.rig.yaml_files import read_yaml

Given = dict[str, Any]
_FOLDER = Path(__file__).parents[1] / "testdata" / "relabel"


def _read(name: str) -> dict[str, dict[str, Any]]:
    found: dict[str, dict[str, Any]] = read_yaml(_FOLDER / name)
    return found


# id -> labels, rules, and the changes: labels that are new, changed or gone ("") afterwards, or "dropped"
CASES = _read("rules.yaml")
# id -> sample, target, whether the sample's labels are honoured, and what is expected
ONTO = _read("target-labels.yaml")
