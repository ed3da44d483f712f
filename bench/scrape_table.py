"""Figures of the scrape path -> the tables, ratios and targets that are printed."""

from __future__ import annotations

import statistics

from bench.agents import AGENTS, VMAGENT
from bench.runner import Figures
from bench.scrape import OURS, SCRIPT, Crowd, Results
from bench.table import Target, joined, spread

_WARM_OF_VMAGENT, _COLD_OF_SCRIPT = 0.75, 1 / 3
_MIB, _MIB_SIZE = 128.0, 100_000
_CROWD_SECONDS, _CROWD_MIB = 60.0, 256.0
NOTES = (
    "all ask for gzip, get the same pages (other values at every scrape), sign with SigV4; plain HTTP on loopback",
    "CPU is user and system time of all threads; warm is the mean of the scrapes after the first in one process",
    "lambda-remote-write and the script: cold is the first push, without the imports; between pushes they take nothing",
    "collectors: cold counts from their start to the last sample of the first scrape; from there on everything counts, "
    "what they do between scrapes too",
    "lambda-remote-write sends its metadata with every scrape",
    "every scrape arrived whole: the receiver counted its samples and added up their values",
)


def printed(results: Results) -> str:
    """Everything for people."""
    parts = [_size_table(size, figures, results.page_bytes[size]) for size, figures in results.sizes.items()]
    parts.append(_crowd_table(results.crowd))
    parts.append(["Targets of the scrape path", *(target.line() for target in targets(results))])
    notes = [f"  {agent.name}: {agent.note}" for agent in AGENTS if agent.name not in results.missing]
    notes += [f"  {name}: not on PATH (or no /proc here), left out" for name in results.missing]
    parts.append(["Notes", *notes, *(f"  {note}" for note in NOTES)])
    return joined(*parts)


def _size_table(size: int, figures: dict[str, Figures], page_bytes: tuple[int, int]) -> list[str]:
    plain, gzipped = page_bytes
    lines = [
        f"A page of {size:,} series, {plain:,} bytes, {gzipped:,} with gzip: CPU in microseconds per sample, median "
        f"(min-max) of {len(figures[OURS].cold)} processes",
        f"  {'':<26}{'cold':>24}{'warm':>24}{'ours/its cold':>15}{'ours/its warm':>15}{'peak MiB':>10}"
        f"{'requests':>10}{'bytes':>11}",
    ]
    ours = figures[OURS]
    for name, found in figures.items():
        cold, warm = (spread(values, 1e6 / size, 2) for values in (found.cold, found.warm))
        ratios = "".join(f"{ratio:>15.2f}" for ratio in (_ratio(ours.cold, found.cold), _ratio(ours.warm, found.warm)))
        lines.append(
            f"  {name:<26}{cold:>24}{warm:>24}{ratios}{max(found.peak_mib):>10.1f}{found.requests:>10.1f}"
            f"{found.bytes:>11,.0f}"
        )
    return lines


def _ratio(ours: list[float], theirs: list[float]) -> float:
    return statistics.median(ours) / max(statistics.median(theirs), 1e-9)


def _crowd_table(crowd: Crowd) -> list[str]:
    plan = crowd.plan
    rows = zip(crowd.seconds, crowd.cpu, strict=True)
    return [
        f"{plan.targets} targets of {plan.size} series on one core, half of them answering after {plan.delay:g} s",
        f"  {'':<26}{'seconds':>12}{'CPU seconds':>14}{'targets up':>12}{'samples':>10}{'peak MiB':>10}",
        *(
            f"  {'cold' if number == 0 else 'warm':<26}{seconds:>12.1f}{cpu:>14.2f}{crowd.ups:>12}{crowd.samples:>10,}"
            f"{crowd.peak_mib:>10.1f}"
            for number, (seconds, cpu) in enumerate(rows)
        ),
        f"  {crowd.reused:.0%} of the warm scrapes on a connection that was kept",
    ]


def targets(results: Results) -> list[Target]:
    found = []
    for size, figures in results.sizes.items():
        ours, series = figures[OURS], f"{size:,} series"
        if VMAGENT.name in figures:
            ratio = _ratio(ours.warm, figures[VMAGENT.name].warm)
            found.append(Target(f"warm CPU per sample, of vmagent's, {series}", ratio, _WARM_OF_VMAGENT))
        ratio = _ratio(ours.cold, figures[SCRIPT].cold)
        found.append(
            Target(f"cold CPU per sample, of the prometheus_client script's, {series}", ratio, _COLD_OF_SCRIPT)
        )
        if size == _MIB_SIZE:
            found.append(Target(f"peak memory, {series}", max(ours.peak_mib), _MIB, " MiB"))
    crowd = results.crowd
    who = f"{crowd.plan.targets} targets, half of them slow"
    found.append(Target(f"time of a push, {who}", max(crowd.seconds), _CROWD_SECONDS, " s"))
    found.append(Target(f"peak memory, {who}", crowd.peak_mib, _CROWD_MIB, " MiB"))
    return found
