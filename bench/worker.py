"""One candidate in a process of its own: a cold push, warm ones, and what they took."""

from __future__ import annotations

import argparse
import importlib
import json
import os
import resource
import sys
import time
from pathlib import Path

from bench.place import Place, Push


def peak_mib() -> float:
    """The largest resident size of this process so far."""
    try:
        status = Path("/proc/self/status").read_text()
        return int(status.partition("VmHWM:")[2].split()[0]) / 1024
    except (OSError, IndexError):  # what getrusage says may also be that of the process that started this one
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return peak / (1 << 20 if sys.platform == "darwin" else 1 << 10)


def timed(push: Push) -> tuple[float, float]:
    """User and system time of all threads for one push, and how long it took."""
    started, before = time.monotonic(), time.process_time()
    push()
    return time.process_time() - before, time.monotonic() - started


def measured(module: str, place: Place, pushes: int, interval: float) -> dict[str, object]:
    """Imports do not count; making the clients, reading the config and so on belong to the cold push. Pushes start at
    least `interval` seconds apart."""
    *_, candidate = (importlib.import_module(name) for name in module.split())
    imported_mib = peak_mib()

    ready: list[Push] = []

    def first() -> None:
        ready.append(candidate.prepare(place))
        ready[0]()

    cold, seconds = timed(first)
    cold_mib, warm, took = peak_mib(), [], [seconds]
    for _ in range(pushes - 1):
        time.sleep(max(interval - took[-1], 0.0))
        cpu, seconds = timed(ready[0])
        warm.append(cpu)
        took.append(seconds)
    memory = {"imported_mib": imported_mib, "cold_mib": cold_mib, "peak_mib": peak_mib()}
    return {"cold": cold, "warm": warm, "seconds": took, **memory}


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.worker")
    for name in ("module", "api_url", "write_url", "config", "out"):
        parser.add_argument(name)
    parser.add_argument("--pushes", type=int, required=True)
    parser.add_argument("--interval", type=float, default=0.0)
    parser.add_argument("--one-core", action="store_true")
    options = parser.parse_args()
    if options.one_core and hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
    place = Place(options.api_url, options.write_url, options.config)
    found = measured(options.module, place, options.pushes, options.interval)
    Path(options.out).write_text(json.dumps(found), encoding="utf-8")


if __name__ == "__main__":
    main()
