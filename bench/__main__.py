"""`python -m bench`: measures, prints the tables, and fails only when something did not run or did not arrive."""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from pathlib import Path

from bench import table
from bench.runner import CANDIDATES, BenchFailed, Figures, Runner

# records -> (processes of each candidate, pushes in each)
FULL = {1_000: (5, 31), 10_000: (5, 13), 100_000: (3, 6)}
QUICK = {1_000: (3, 11), 10_000: (2, 7)}
COLD_STARTS, QUICK_COLD_STARTS = 12, 5


def measured_sizes(runner: Runner, plan: dict[int, tuple[int, int]]) -> dict[int, dict[str, Figures]]:
    """Candidates take turns, so that a slow minute of the machine is everybody's."""
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


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m bench", description="CPU and memory of the JSON path, with peers.")
    parser.add_argument("--quick", action="store_true", help="1,000 and 10,000 records only, with fewer repetitions")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the numbers there")
    options = parser.parse_args()
    try:
        with tempfile.TemporaryDirectory() as folder, Runner(Path(folder)) as runner:
            starts = measured_cold_starts(runner, QUICK_COLD_STARTS if options.quick else COLD_STARTS)
            sizes = measured_sizes(runner, QUICK if options.quick else FULL)
            is_pinned = runner.is_pinned
    except BenchFailed as failed:
        print(failed, file=sys.stderr)
        return 1
    print(table.printed(sizes, starts, is_pinned))
    if options.json:
        options.json.write_text(json.dumps(table.numbers(sizes, starts), indent=2) + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
