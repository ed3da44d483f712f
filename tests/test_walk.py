"""How far a reader walks who follows one push: the files it enters. tests/test_docs.py counts the notions."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
MOST_FILES = 45


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
