"""The JSON path on documents of several sizes, beside what else does the same job; and cold starts."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from bench.runner import Candidate, Figures, Runner
from bench.table import Target, joined, spread

PUSHER = Candidate("lambda-remote-write", "bench.with_pusher")
PLAIN = Candidate("plain script", "bench.plain")
AMP_PUSH = Candidate(
    "amp-push", "bench.with_amp_push", "cuts no batches: the caller does; a new connection for every request"
)
REMOTE_WRITER = Candidate(
    "prometheus-remote-writer", "bench.with_remote_writer", "cannot sign with SigV4: sends unsigned, less work", False
)
CANDIDATES = (PUSHER, PLAIN, AMP_PUSH, REMOTE_WRITER)
SHAPES = (
    Candidate("plain list", "bench.with_pusher"),
    Candidate("columns", "bench.with_pusher", asks_for="columns"),
    Candidate("rows", "bench.with_pusher", asks_for="rows"),
)
MEMORY_MIB = 128
_HANDLERS = {"pusher": ("lambda_remote_write.app", "push_handler"), "plain": ("bench.plain", "handler")}
NOTES = (
    "lambda-remote-write: also sends metadata and four scrape_ series, orders, keeps account, writes log and metrics",
    "plain script: json, protobuf, snappy, boto3; no retries, no order, no account of what became of the samples",
    "CPU is user and system time of all threads; plain HTTP on loopback: no TLS, no gzip",
    "memory is without Lambda's own runtime client, which shares the process there",
)


@dataclass(frozen=True, slots=True)
class Plan:
    """Records -> processes of each candidate, and pushes in each."""

    sizes: dict[int, tuple[int, int]]
    cold_starts: int


FULL = Plan({1_000: (5, 31), 10_000: (5, 13), 100_000: (3, 6)}, 12)
QUICK = Plan({1_000: (3, 11), 10_000: (2, 7)}, 5)


@dataclass(frozen=True, slots=True)
class Results:
    """Size -> name of a candidate -> its figures, and the same for records in other shapes; `pusher` and `plain` -> CPU
    seconds of import and push."""

    sizes: dict[int, dict[str, Figures]]
    shapes: dict[int, dict[str, Figures]]
    cold_start: dict[str, list[dict[str, float]]]
    is_pinned: bool

    def cold_seconds(self, key: str) -> list[float]:
        return [start["import"] + start["push"] for start in self.cold_start[key]]


def measured(plan: Plan, say: Callable[[str], None]) -> Results:
    """Candidates take turns, so that a slow minute of the machine hits all of them. Raises BenchFailed."""
    with Runner(pin=True) as runner:
        starts: dict[str, list[dict[str, float]]] = {name: [] for name in _HANDLERS}
        say(f"cold start, {plan.cold_starts} processes each")
        for turn in range(plan.cold_starts + 1):
            for name, found in starts.items():
                took = runner.cold_start(*_HANDLERS[name])
                if turn:  # the first is not counted: it may have to write bytecode
                    found.append(took)
        sizes = {size: {candidate.name: Figures() for candidate in CANDIDATES} for size in plan.sizes}
        shapes = {size: {candidate.name: Figures() for candidate in SHAPES} for size in plan.sizes}
        for size, (processes, pushes) in plan.sizes.items():
            for turn in range(processes):
                say(f"{size:,} records, round {turn + 1} of {processes}")
                for one in CANDIDATES:
                    sizes[size][one.name].add(runner.pushes(one, size, pushes))
                for one in SHAPES:
                    shapes[size][one.name].add(runner.pushes(one, size, pushes))
        return Results(sizes, shapes, starts, runner.is_pinned)


def _size_table(size: int, figures: dict[str, Figures], of: str, what: str = "records") -> list[str]:
    ours = figures[of]
    lines = [
        f"{size:,} {what}: CPU in microseconds per record, median (min-max) of {len(ours.cold)} cold and "
        f"{len(ours.warm)} warm pushes",
        f"  {'':<26}{'cold':>24}{'warm':>24}{'warm/ours':>11}{'peak MiB':>10}{'requests/push':>15}",
    ]
    for name, found in figures.items():
        cold, warm = (spread(values, 1e6 / size, 2) for values in (found.cold, found.warm))
        ratio = f"{statistics.median(found.warm) / statistics.median(ours.warm):.1f}x"
        lines.append(f"  {name:<26}{cold:>24}{warm:>24}{ratio:>11}{max(found.peak_mib):>10.1f}{found.requests:>15.0f}")
    return lines


def _cold_start_table(results: Results) -> list[str]:
    starts = results.cold_start
    lines = [
        f"Cold start, three records: CPU in ms, median (min-max) of {len(starts['pusher'])} fresh processes each",
        f"  {'':<26}{'import':>24}{'first push':>24}{'together':>24}",
    ]
    for name, key in ((PUSHER.name, "pusher"), (PLAIN.name, "plain")):
        parts: list[Sequence[float]] = [[start[part] for start in starts[key]] for part in ("import", "push")]
        cells = [spread(values, 1e3, 0) for values in (*parts, results.cold_seconds(key))]
        lines.append(f"  {name:<26}" + "".join(f"{cell:>24}" for cell in cells))
    return lines


def _memory_table(results: Results) -> list[str]:
    lines = [
        "Memory of the whole process of lambda-remote-write, MiB, the largest seen",
        f"  {'records':>26}{'after import':>24}{'after cold push':>24}{'after warm pushes':>24}",
    ]
    for size, figures in results.sizes.items():
        found = figures[PUSHER.name]
        steps = (max(values) for values in (found.imported_mib, found.cold_mib, found.peak_mib))
        lines.append(f"  {size:>26,}" + "".join(f"{step:>24.1f}" for step in steps))
    return lines


def targets(results: Results) -> list[Target]:
    found = []
    for size, figures in results.sizes.items():
        warm = {name: statistics.median(one.warm) for name, one in figures.items()}
        for peer, words, limit in ((PLAIN, "the plain script", 0.25), (AMP_PUSH, "amp-push", 0.1)):
            what = f"warm CPU per record, of {words}'s, {size:,} records"
            found.append(Target(what, warm[PUSHER.name] / warm[peer.name], limit))
    for size, figures in results.shapes.items():
        warm = {name: statistics.median(one.warm) for name, one in figures.items()}
        for shape in SHAPES[1:]:
            what = f"warm CPU per record of {shape.name}, of a plain list's, {size:,} records"
            found.append(Target(what, warm[shape.name] / warm[SHAPES[0].name], 1.3))
    ours, plain = (statistics.median(results.cold_seconds(key)) for key in ("pusher", "plain"))
    found.append(Target("cold start CPU, of the plain script's", ours / plain, 0.7))
    if 100_000 in results.sizes:
        peak = max(results.sizes[100_000][PUSHER.name].peak_mib)
        found.append(Target("peak memory at 100,000 records, warm pushes included", peak, MEMORY_MIB, " MiB"))
    return found


def printed(results: Results) -> str:
    where = "on one core, the other side on the others" if results.is_pinned else "wherever the system puts it"
    notes = [f"{candidate.name}: {candidate.note}" for candidate in CANDIDATES if candidate.note]
    notes += [*NOTES, f"each process {where}"]
    return joined(
        *(_size_table(size, figures, PUSHER.name) for size, figures in results.sizes.items()),
        *(
            _size_table(size, figures, SHAPES[0].name, "records of lambda-remote-write in other shapes")
            for size, figures in results.shapes.items()
        ),
        _cold_start_table(results),
        _memory_table(results),
        ["Targets", *(target.line() for target in targets(results))],
        ["Notes", *(f"  {note}" for note in notes)],
    )
