"""The queries that a page shows for Grafana are PromQL."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

from tests.rig.needs import Peer
from tests.rig.runbooks import blocks, pages


def test_every_query_of_a_page_is_promql(peer: Peer, tmp_path: Path) -> None:
    queries = [query.strip() for page in pages() for query in blocks(page, "promql")]
    assert len(queries) >= 3
    made = [{"record": f"query:{index}", "expr": query} for index, query in enumerate(queries)]
    file = tmp_path / "rules.yaml"
    file.write_text(json.dumps({"groups": [{"name": "runbooks", "rules": made}]}))
    command = [peer("promtool"), "check", "rules", str(file)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
