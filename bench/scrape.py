"""The scrape path on pages of several sizes, beside two collectors and a script: pages over HTTP to signed requests
that the receiver took. And a crowd: many targets at once, half of them slow, on one core."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from bench.agents import AGENTS
from bench.runner import Candidate, Figures, Runner

OURS, SCRIPT = "lambda-remote-write", "prometheus_client script"
# What is imported for a config that scrapes only, with all that it needs, is imported with the rest.
_SCRAPING = ("aws.clients", "config.sd_configs", "scrape.pool")
_MODULES = " ".join([*(f"lambda_remote_write.{name}" for name in _SCRAPING), "bench.with_pusher"])
PUSHER = Candidate(OURS, _MODULES, asks_for="page")
CLIENT = Candidate(SCRIPT, "bench.with_prometheus_client", asks_for="page")


@dataclass(frozen=True, slots=True)
class Round:
    """How one size is measured: so many rounds in which every candidate takes a turn, and scrapes in each, the first
    of them cold, `interval` seconds apart."""

    size: int
    rounds: int
    scrapes: int
    script_scrapes: int
    interval: float


@dataclass(frozen=True, slots=True)
class CrowdPlan:
    """`targets` of `size` series each, half of which answer after `delay` seconds."""

    targets: int
    size: int
    delay: float
    pushes: int


@dataclass(frozen=True, slots=True)
class Plan:
    rounds: Sequence[Round]
    crowd: CrowdPlan


FULL = Plan(
    (Round(1_000, 3, 8, 8, 1.0), Round(10_000, 3, 7, 4, 1.0), Round(100_000, 2, 6, 2, 3.0)),
    CrowdPlan(500, 200, 8.0, 2),
)
QUICK = Plan((Round(1_000, 1, 6, 5, 1.0), Round(10_000, 1, 6, 3, 1.0)), CrowdPlan(500, 200, 2.0, 2))


@dataclass(slots=True)
class Crowd:
    """What the crowd took: seconds and CPU seconds of each push, the cold one first. `reused` is the share of warm
    scrapes on a connection that was there."""

    plan: CrowdPlan
    seconds: list[float]
    cpu: list[float]
    peak_mib: float
    ups: int
    samples: int
    reused: float


@dataclass(slots=True)
class Results:
    sizes: dict[int, dict[str, Figures]]
    page_bytes: dict[int, tuple[int, int]]
    crowd: Crowd
    missing: list[str]  # programs that are not there


def measured(plan: Plan, say: Callable[[str], None]) -> Results:
    """Candidates take turns, so that a slow minute of the machine hits all of them. Raises BenchFailed."""
    agents = [agent for agent in AGENTS if agent.path() and Path("/proc/self/task").exists()]
    sizes: dict[int, dict[str, Figures]] = {}
    with Runner() as runner:
        for part in plan.rounds:
            names = [OURS, *(agent.name for agent in agents), SCRIPT]
            sizes[part.size] = found = {name: Figures() for name in names}
            for turn in range(part.rounds):
                say(f"{part.size:,} series, round {turn + 1} of {part.rounds}")
                found[OURS].add(pushes(runner, PUSHER, part, part.scrapes))
                for agent in agents:
                    found[agent.name].add(runner.agent(agent, part.size, part.scrapes, part.interval))
                found[SCRIPT].add(pushes(runner, CLIENT, part, part.script_scrapes))
        say(f"{plan.crowd.targets} targets of {plan.crowd.size} series, half of them after {plan.crowd.delay:g} s")
        crowd = _crowd(runner, plan.crowd)
        missing = [agent.name for agent in AGENTS if agent not in agents]
        return Results(sizes, runner.page_bytes, crowd, missing)


def pushes(runner: Runner, candidate: Candidate, part: Round, count: int) -> Figures:
    """One process of ours or of the script; warm is the mean, as it is of a collector."""
    figures = runner.pushes(candidate, part.size, count, part.interval)
    figures.warm = [statistics.mean(figures.warm)]
    return figures


def _crowd(runner: Runner, plan: CrowdPlan) -> Crowd:
    found = runner.crowd(PUSHER, plan.size, plan.pushes, targets=plan.targets, delay=plan.delay)
    wanted = plan.targets * plan.pushes
    reused = 1 - (found["made"] - plan.targets) / max(wanted - plan.targets, 1)
    cpu, ups = [found["cold"], *found["warm"]], found["ups"] // plan.pushes
    return Crowd(plan, found["seconds"], cpu, found["peak_mib"], ups, ups * plan.size, reused)
