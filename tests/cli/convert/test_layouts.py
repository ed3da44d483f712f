"""Configs of json_exporter from before it had modules: what is sent is what that version gave of the same document.

`there` in testdata/json-exporter-layouts was recorded from json_exporter 0.1.0, 0.2.0 and 0.4.0, without empty labels.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from sandbox.api import Api
from sandbox.server import Answer
from tests.rig import json_exporter as rig
from tests.rig.yaml_files import read_yaml

FOLDER = Path(__file__).parents[2] / "testdata" / "json-exporter-layouts"
CASES: dict[str, Any] = {name: case for path in sorted(FOLDER.iterdir()) for name, case in read_yaml(path).items()}


@pytest.mark.parametrize("mode", ["default", "exact"])
@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_samples_are_those_of_its_version(case: dict[str, Any], mode: str, api: Api, tmp_path: Path) -> None:
    url = api.serve("/document", Answer.json(case["document"]))
    job = rig.probe_job("default", "exporter:7979", [url])
    lines = rig.here(yaml.dump(case["config"]), {"scrape_configs": [job]}, tmp_path, exact=mode == "exact")
    here, there = {line for line in rig.without_target(lines) if not line.startswith("up ")}, {*case["there"]}
    differs = case.get("differs", {}).get(mode, {})
    assert {"there": sorted(there - here), "here": sorted(here - there)} == {
        side: sorted(differs.get(side, [])) for side in ("there", "here")
    }
