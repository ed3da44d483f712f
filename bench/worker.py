"""One candidate in a process of its own: a cold push, warm ones, and what they took."""

from __future__ import annotations

import argparse
import importlib
import json
import resource
import sys
import time
from pathlib import Path

from bench.place import Place, Push


def peak_mib() -> float:
    """The largest resident size of this process so far."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / (1 << 20 if sys.platform == "darwin" else 1 << 10)


def cpu_seconds(push: Push) -> float:
    """User and system time of all threads, for one push."""
    before = time.process_time()
    push()
    return time.process_time() - before


def measured(module: str, place: Place, pushes: int) -> dict[str, object]:
    """Imports do not count; making the clients, reading the config and so on belong to the cold push."""
    prepare = importlib.import_module(module).prepare
    imported_mib = peak_mib()
    before = time.process_time()
    push = prepare(place)
    push()
    cold = time.process_time() - before
    cold_mib = peak_mib()
    warm = [cpu_seconds(push) for _ in range(pushes - 1)]
    return {"cold": cold, "warm": warm, "imported_mib": imported_mib, "cold_mib": cold_mib, "peak_mib": peak_mib()}


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.worker")
    for name in ("module", "api_url", "write_url", "config", "out"):
        parser.add_argument(name)
    parser.add_argument("--pushes", type=int, required=True)
    options = parser.parse_args()
    place = Place(options.api_url, options.write_url, options.config)
    found = measured(options.module, place, options.pushes)
    Path(options.out).write_text(json.dumps(found), encoding="utf-8")


if __name__ == "__main__":
    main()
