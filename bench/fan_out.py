"""What shards bring, in practice and on paper, and how many samples a dollar scrapes, beside a collector on the
smallest instance that holds the same load."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from bench.agents import VMAGENT
from bench.cost import (
    GP3_GB_MONTH,
    HOURS,
    LAMBDA_GB_SECOND_ARM,
    LAMBDA_REQUEST,
    PUBLIC_IPV4_HOUR,
    RUNS_PER_MONTH,
    SCHEDULER_INVOCATION,
)
from bench.runner import Runner
from bench.scrape import PUSHER, Round, pushes
from bench.table import Target, joined
from lambda_remote_write.relabel import hashmod

_PAPER_SHARDS, _PAPER_TARGETS = 8, 500
_LAMBDA_MB = 1_769  # one whole processor
_USABLE_SECONDS = 40.0  # of a minute, in a function with a timeout of 50 s
_WAITING_SECONDS = 0.25  # waits for targets and the receiver, beside the processor time
# Name, dollars an hour, processors that may be used for ever, GB: us-east-1, arm64.
_INSTANCES = (
    ("t4g.nano", 0.0042, 0.10, 0.5), ("t4g.micro", 0.0084, 0.20, 1.0), ("t4g.small", 0.0168, 0.40, 2.0),
    ("t4g.medium", 0.0336, 0.40, 4.0), ("t4g.large", 0.0672, 0.60, 8.0), ("c7g.medium", 0.0363, 1.0, 2.0),
    ("c7g.large", 0.0725, 2.0, 4.0), ("c7g.xlarge", 0.1450, 4.0, 8.0), ("c7g.2xlarge", 0.2900, 8.0, 16.0),
)  # fmt: skip
_LOADS = (10_000, 100_000, 1_000_000, 10_000_000)  # samples a minute


@dataclass(frozen=True, slots=True)
class Plan:
    targets: int
    size: int
    pushes: int


FULL = Plan(64, 2_000, 6)
QUICK = Plan(32, 1_000, 4)


@dataclass(slots=True)
class Results:
    """CPU seconds of a push, for one shard and for each of two; CPU seconds of a sample, ours and vmagent's."""

    plan: Plan
    one: float
    two: list[float]
    per_sample: float
    collector_per_sample: float | None

    @property
    def growth(self) -> float:
        """How many times as much two shards take in the same time as one."""
        return self.one / max(self.two)

    def paper_growth(self, shards: int) -> float:
        """The same, as the hash spreads targets: the fullest shard is done last."""
        counts = [0] * shards
        for number in range(_PAPER_TARGETS):
            counts[hashmod(f"node/{number:064x}", shards)] += 1
        return _PAPER_TARGETS / max(counts)


def measured(plan: Plan, say: Callable[[str], None]) -> Results:
    with Runner() as runner:
        say(f"fan-out: {plan.targets} targets of {plan.size:,} series, one shard and two")
        one, two = (runner.shards(PUSHER, plan.size, plan.pushes, targets=plan.targets, count=n) for n in (1, 2))
        part = Round(10_000, 1, 6, 3, 1.0)
        say("fan-out: a page of 10,000 series, ours and a collector's")
        ours = pushes(runner, PUSHER, part, part.scrapes)
        theirs = runner.agent(VMAGENT, part.size, part.scrapes, part.interval) if VMAGENT.path() else None
        per_sample = theirs.warm[0] / part.size if theirs else None
        return Results(plan, one[0], two, ours.warm[0] / part.size, per_sample)


def lambda_dollars(samples_per_minute: int, per_sample: float) -> tuple[int, float]:
    """(shards, dollars a month) of a load, one push a minute: processor time at one whole processor, and waiting."""
    cpu = samples_per_minute * per_sample
    shards = max(int(-(-cpu // _USABLE_SECONDS)), 1)
    gigabytes = _LAMBDA_MB / 1024
    seconds = cpu + shards * _WAITING_SECONDS
    each = shards * (LAMBDA_REQUEST + SCHEDULER_INVOCATION) + seconds * gigabytes * LAMBDA_GB_SECOND_ARM
    return shards, RUNS_PER_MONTH * each


def collector_dollars(samples_per_minute: int, per_sample: float) -> tuple[str, float]:
    """(instance, dollars a month): the smallest one that holds the load for ever, with an address and its disk. Where
    none does, several of the largest."""
    need = samples_per_minute * per_sample / 60
    name, hourly, processors, _ = next((one for one in _INSTANCES if one[2] >= need), _INSTANCES[-1])
    count = max(int(-(-need // processors)), 1)
    dollars = count * (HOURS * (hourly + PUBLIC_IPV4_HOUR) + 8 * GP3_GB_MONTH)
    return name if count == 1 else f"{count} x {name}", dollars


def printed(results: Results) -> str:
    plan = results.plan
    split = ", ".join(f"{seconds * 1e3:.0f}" for seconds in results.two)
    shards = [
        f"Fan-out: {plan.targets} targets of {plan.size:,} series, CPU of a warm push",
        f"  one shard {results.one * 1e3:.0f} ms; two side by side {split} ms: {results.growth:.2f} times as much",
        f"  on paper, {_PAPER_TARGETS} targets by hash: 2 shards {results.paper_growth(2):.2f} times as much, "
        f"{_PAPER_SHARDS} shards {results.paper_growth(_PAPER_SHARDS):.2f} times",
    ]
    rows = [
        f"What scraping costs a month, one push a minute, us-east-1; {results.per_sample * 1e6:.2f} us of CPU a sample",
        f"  {'samples a minute':>17}{'shards':>8}{'Lambda $':>10}{'billions per $':>15}   smallest collector",
    ]
    for load in _LOADS:
        count, dollars = lambda_dollars(load, results.per_sample)
        row = f"  {load:>17,}{count:>8}{dollars:>10.2f}{load * RUNS_PER_MONTH / dollars / 1e9:>15.2f}"
        if results.collector_per_sample is not None:
            name, other = collector_dollars(load, results.collector_per_sample)
            row += f"   {name}, {other:.2f} $, {load * RUNS_PER_MONTH / other / 1e9:.2f}"
        rows.append(row)
    rows.append("  per $: samples a month, before AMP's own charge, which is the same for both")
    rows.append("  of the collector's instance only the processor counts, as it may be used for ever; memory does not")
    if results.collector_per_sample is None:
        rows.append("  not on PATH: vmagent")
    return joined(shards, rows)


def targets(results: Results) -> list[Target]:
    """None: dollars are what they are."""
    return []
