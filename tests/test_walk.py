"""How far a reader walks who follows one push: the files it enters, and the notions that docs/architecture.md names."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
MOST_FILES = 45
MOST_NAMES = 12


def test_one_push_enters_few_files() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "tests.rig.walk"],
        cwd=ROOT,
        env={"PYTHONPATH": f"{ROOT / 'functions'}:{ROOT / 'cli'}:{ROOT}"},
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    files = json.loads(done.stdout)
    print(f"one push enters {len(files)} files outside config/:", *files, sep="\n  ")
    assert "push.py" in files
    assert "scrape/json_scraper.py" in files
    assert "scrape/target_scraper.py" in files
    assert "remote_write/send.py" in files
    assert len(files) <= MOST_FILES


def test_the_walk_names_few_notions() -> None:
    """Each once, in bold."""
    text = (ROOT / "docs" / "architecture.md").read_text()
    _, heading, rest = text.partition("\n## The walk of one push\n")
    assert heading
    walk = rest.partition("\n## ")[0]
    names = re.findall(r"\*\*([^*\n]+)\*\*", walk)
    print(f"the walk names {len(names)} notions: {', '.join(names)}")
    assert names
    assert len(names) == len(set(names))
    assert len(names) <= MOST_NAMES
