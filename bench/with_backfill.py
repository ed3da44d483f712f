"""One backfill of a file in a process of its own: its CPU seconds, its duration and its peak memory, as JSON.

usage: python -m bench.with_backfill CONFIG FILE OUT
"""

from __future__ import annotations

import json
import resource
import sys
import time
from pathlib import Path

from lambda_remote_write.backfill import invoke
from lambda_remote_write.config.env_vars import read_env_vars
from lambda_remote_write.dependencies import Dependencies


def main() -> None:
    config_path, file, out = sys.argv[1:]
    outside = Dependencies(read_env_vars())
    config = outside.config_source(config_path).load().config
    cpu, wall = time.process_time(), time.monotonic()
    event = {"job": "custom_exporter", "from": file}
    answer = invoke.backfill(event, config, invoke.Host(outside, is_local=True), wall + 3_600)
    found = {
        "cpu": time.process_time() - cpu,
        "wall": time.monotonic() - wall,
        "peak_mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
        "done": answer["done"],
        "said": invoke.sentence(answer),
    }
    Path(out).write_text(json.dumps(found), encoding="utf-8")


if __name__ == "__main__":
    main()
