"""`python -m bench`: measures, prints the tables, and fails only when something did not run or did not arrive."""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from bench import backfill, fan_out, http, scrape, scrape_table, spool, table
from bench.runner import CANDIDATES, Figures, Runner
from bench.side import BenchFailed

# records -> (processes of each candidate, pushes in each)
FULL = {1_000: (5, 31), 10_000: (5, 13), 100_000: (3, 6)}
QUICK = {1_000: (3, 11), 10_000: (2, 7)}
COLD_STARTS, QUICK_COLD_STARTS = 12, 5


def measured_sizes(runner: Runner, plan: dict[int, tuple[int, int]]) -> dict[int, dict[str, Figures]]:
    """Candidates take turns, so that a slow minute of the machine hits all of them."""
    sizes = {size: {candidate.name: Figures() for candidate in CANDIDATES} for size in plan}
    for size, (processes, pushes) in plan.items():
        for turn in range(processes):
            say(f"{size:,} records, round {turn + 1} of {processes}")
            for candidate in CANDIDATES:
                runner.pushes(candidate, size, pushes, sizes[size][candidate.name])
    return sizes


def measured_cold_starts(runner: Runner, count: int) -> dict[str, list[dict[str, float]]]:
    """The first of each is not counted: it may have to write bytecode."""
    starts: dict[str, list[dict[str, float]]] = {"pusher": [], "plain": []}
    say(f"cold start, {count} processes each")
    for _ in range(count + 1):
        for candidate, found in starts.items():
            found.append(runner.cold_start(candidate))
    return {candidate: found[1:] for candidate, found in starts.items()}


def say(text: str) -> None:
    print(f"{time.strftime('%H:%M:%S')}  {text}", file=sys.stderr, flush=True)


def json_part(is_quick: bool) -> tuple[str, dict[str, Any]]:
    with tempfile.TemporaryDirectory() as folder, Runner(Path(folder)) as runner:
        starts = measured_cold_starts(runner, QUICK_COLD_STARTS if is_quick else COLD_STARTS)
        sizes = measured_sizes(runner, QUICK if is_quick else FULL)
        return table.printed(sizes, starts, runner.is_pinned), table.numbers(sizes, starts)


def part_of(module: Any, tables: Any) -> Callable[[bool], tuple[str, dict[str, Any]]]:
    """`module` has what is measured, `tables` what is printed of it."""

    def part(is_quick: bool) -> tuple[str, dict[str, Any]]:
        results = module.measured(module.QUICK if is_quick else module.FULL, say)
        return tables.printed(results), tables.numbers(results)

    return part


PARTS = {
    "json": json_part,
    "scrape": part_of(scrape, scrape_table),
    "spool": part_of(spool, spool),
    "backfill": part_of(backfill, backfill),
    "fan-out": part_of(fan_out, fan_out),
    "http": part_of(http, http),
}


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m bench", description="CPU and memory of both paths, with peers.")
    parser.add_argument("part", nargs="?", choices=PARTS, help="one path only")
    parser.add_argument("--quick", action="store_true", help="the smaller sizes only, with fewer repetitions")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the numbers there")
    options = parser.parse_args()
    numbers: dict[str, Any] = {}
    try:
        for name in [options.part] if options.part else PARTS:
            text, found = PARTS[name](options.quick)
            print(f"{text}\n", flush=True)
            numbers |= found if name == "json" else {name: found}
    except BenchFailed as failed:
        print(failed, file=sys.stderr)
        return 1
    if options.json:
        options.json.write_text(json.dumps(numbers, indent=2) + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
