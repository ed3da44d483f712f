"""Figures -> the tables, ratios and targets that are printed, and the numbers for a file."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from bench.runner import AMP_PUSH, CANDIDATES, PLAIN, PUSHER, Figures

MEMORY_MIB = 128
NOTES = (
    "lambda-remote-write: also sends metadata and four scrape_ series, orders, keeps account, writes log and metrics",
    "plain script: json, protobuf, snappy, boto3; no retries, no order, no account of what became of the samples",
    "CPU is user and system time of all threads; plain HTTP on loopback: no TLS, no gzip",
    "memory is without Lambda's own runtime client, which shares the process there",
)
Sizes = Mapping[int, Mapping[str, Figures]]
"""Size -> name of a candidate -> its figures."""
ColdStarts = Mapping[str, Sequence[Mapping[str, float]]]
"""`pusher` and `plain` -> CPU seconds of import and push, per process."""


@dataclass(frozen=True, slots=True)
class Target:
    """One thing to reach: `found` may be at most `limit`."""

    what: str
    found: float
    limit: float
    unit: str = ""

    @property
    def is_met(self) -> bool:
        return self.found <= self.limit

    def line(self) -> str:
        verdict = "reached" if self.is_met else "MISSED"
        return f"  {verdict:<9}{self.what:<76}{self.found:>8.3g}{self.unit}  (at most {self.limit:.3g}{self.unit})"


def spread(values: Sequence[float], scale: float, digits: int) -> str:
    """Median, and between what all of them lie."""
    middle, low, high = statistics.median(values) * scale, min(values) * scale, max(values) * scale
    return f"{middle:.{digits}f} ({low:.{digits}f}-{high:.{digits}f})"


def cold_start_seconds(starts: Sequence[Mapping[str, float]]) -> list[float]:
    return [start["import"] + start["push"] for start in starts]


def size_table(size: int, figures: Mapping[str, Figures]) -> list[str]:
    pushes = next(iter(figures.values()))
    lines = [
        f"{size:,} records: CPU in microseconds per record, median (min-max) of {len(pushes.cold)} cold and "
        f"{len(pushes.warm)} warm pushes",
        f"  {'':<26}{'cold':>24}{'warm':>24}{'warm/ours':>11}{'peak MiB':>10}{'requests/push':>15}",
    ]
    ours = statistics.median(figures[PUSHER.name].warm)
    for candidate in CANDIDATES:
        found = figures[candidate.name]
        cold, warm = (spread(values, 1e6 / size, 2) for values in (found.cold, found.warm))
        ratio = f"{statistics.median(found.warm) / ours:.1f}x"
        per_push = found.requests * len(found.cold) / (len(found.cold) + len(found.warm))
        lines.append(
            f"  {candidate.name:<26}{cold:>24}{warm:>24}{ratio:>11}{max(found.peak_mib):>10.1f}{per_push:>15.0f}"
        )
    return lines


def cold_start_table(starts: ColdStarts) -> list[str]:
    lines = [
        f"Cold start, three records: CPU in ms, median (min-max) of {len(starts['pusher'])} fresh processes each",
        f"  {'':<26}{'import':>24}{'first push':>24}{'together':>24}",
    ]
    for name, key in ((PUSHER.name, "pusher"), (PLAIN.name, "plain")):
        imports = spread([start["import"] for start in starts[key]], 1e3, 0)
        first = spread([start["push"] for start in starts[key]], 1e3, 0)
        lines.append(f"  {name:<26}{imports:>24}{first:>24}{spread(cold_start_seconds(starts[key]), 1e3, 0):>24}")
    return lines


def memory_table(sizes: Sizes) -> list[str]:
    lines = [
        "Memory of the whole process of lambda-remote-write, MiB, the largest seen",
        f"  {'records':>26}{'after import':>24}{'after cold push':>24}{'after warm pushes':>24}",
    ]
    for size, figures in sizes.items():
        found = figures[PUSHER.name]
        steps = (max(values) for values in (found.imported_mib, found.cold_mib, found.peak_mib))
        lines.append(f"  {size:>26,}" + "".join(f"{step:>24.1f}" for step in steps))
    return lines


def targets(sizes: Sizes, starts: ColdStarts) -> list[Target]:
    found = []
    for size, figures in sizes.items():
        warm = {name: statistics.median(one.warm) for name, one in figures.items()}
        for peer, limit in ((PLAIN.name, 0.25), (AMP_PUSH.name, 0.1)):
            what = f"warm CPU per record, of the {peer}'s, {size:,} records"
            found.append(Target(what.replace("the amp-push", "amp-push"), warm[PUSHER.name] / warm[peer], limit))
    ours, plain = (statistics.median(cold_start_seconds(starts[key])) for key in ("pusher", "plain"))
    found.append(Target("cold start CPU, of the plain script's", ours / plain, 0.7))
    if 100_000 in sizes:
        peak = max(sizes[100_000][PUSHER.name].peak_mib)
        found.append(Target("peak memory at 100,000 records, warm pushes included", peak, MEMORY_MIB, " MiB"))
    return found


def printed(sizes: Sizes, starts: ColdStarts, is_pinned: bool) -> str:
    """Everything for people."""
    parts = [size_table(size, figures) for size, figures in sizes.items()]
    parts += [cold_start_table(starts), memory_table(sizes)]
    parts.append(["Targets", *(target.line() for target in targets(sizes, starts))])
    notes = [f"  {candidate.name}: {candidate.note}" for candidate in CANDIDATES if candidate.note]
    where = "on one core, the other side on the others" if is_pinned else "wherever the system puts it"
    notes += [f"  {note}" for note in (*NOTES, f"each process {where}")]
    parts.append(["Notes", *notes])
    return "\n\n".join("\n".join(lines) for lines in parts)


def numbers(sizes: Sizes, starts: ColdStarts) -> dict[str, Any]:
    """Everything for a file; seconds per push, MiB."""
    judged = [asdict(target) | {"met": target.is_met} for target in targets(sizes, starts)]
    by_size = {str(size): {name: asdict(one) for name, one in figures.items()} for size, figures in sizes.items()}
    return {"sizes": by_size, "cold_start": {key: list(found) for key, found in starts.items()}, "targets": judged}
