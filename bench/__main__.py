"""`python -m bench`: measures, prints the tables, and fails only when something did not run or did not arrive."""

from __future__ import annotations

import argparse
import json
import sys
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

from bench import backfill, fan_out, fleet, http, records, scrape, scrape_table, spool
from bench.side import BenchFailed

# What is measured, and what makes tables and targets of it.
PARTS: dict[str, tuple[Any, Any]] = {
    "json": (records, records),
    "scrape": (scrape, scrape_table),
    "spool": (spool, spool),
    "backfill": (backfill, backfill),
    "fan-out": (fan_out, fan_out),
    "http": (http, http),
    "fleet": (fleet, fleet),
}


def say(text: str) -> None:
    print(f"{time.strftime('%H:%M:%S')}  {text}", file=sys.stderr, flush=True)


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m bench", description="CPU and memory of both paths, with peers.")
    parser.add_argument("part", nargs="?", choices=PARTS, help="one path only")
    parser.add_argument("--quick", action="store_true", help="the smaller sizes only, with fewer repetitions")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the numbers there")
    options = parser.parse_args()
    numbers: dict[str, Any] = {}
    try:
        for name in [options.part] if options.part else PARTS:
            measuring, tables = PARTS[name]
            results = measuring.measured(measuring.QUICK if options.quick else measuring.FULL, say)
            print(f"{tables.printed(results)}\n", flush=True)
            judged = [asdict(target) | {"met": target.is_met} for target in tables.targets(results)]
            numbers[name] = asdict(results) | {"targets": judged}
    except BenchFailed as failed:
        print(failed, file=sys.stderr)
        return 1
    if options.json:
        options.json.write_text(json.dumps(numbers, indent=2) + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
