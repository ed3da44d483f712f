"""The scrape path on pages of several sizes, beside two collectors and a script: pages over HTTP to signed requests
that the receiver took. And a crowd: many targets at once, half of them slow, on one core."""

from __future__ import annotations

import math
import tempfile
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bench.agents import AGENTS, PROMETHEUS, VMAGENT, Agent, Running, wait_until
from bench.place import JOB, REGION, WORKSPACE
from bench.side import BenchFailed, Side, peak_mib, run_candidate

OURS, SCRIPT = "lambda-remote-write", "prometheus_client script"
NAMES = (OURS, VMAGENT.name, PROMETHEUS.name, SCRIPT)
_MODULES = {OURS: "bench.with_pusher_scraping", SCRIPT: "bench.with_prometheus_client"}
_CONFIG = """\
global: {{scrape_interval: 1m, scrape_timeout: 30s}}
self_metrics: false
scrape_configs:
  - job_name: {job}
    static_configs: [targets: [{targets}]]
remote_write:
  - url: {write_url}
    sigv4: {{region: {region}}}
"""


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
class Figures:
    """One candidate at one size; one entry for each process. CPU in seconds per scrape, memory in MiB."""

    cold: list[float] = field(default_factory=list)
    warm: list[float] = field(default_factory=list)
    peak_mib: list[float] = field(default_factory=list)
    requests: float = 0.0  # per scrape
    bytes: float = 0.0


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
    with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
        bench = ScrapeBench(
            Path(folder),
            stack.enter_context(Side("bench.pages", Path(folder))),
            stack.enter_context(Side("bench.receiver", Path(folder))),
        )
        agents = [agent for agent in AGENTS if agent.path() and Path("/proc/self/task").exists()]
        sizes: dict[int, dict[str, Figures]] = {}
        for part in plan.rounds:
            names = [name for name in NAMES if name in (OURS, SCRIPT, *(agent.name for agent in agents))]
            sizes[part.size] = found = {name: Figures() for name in names}
            for turn in range(part.rounds):
                say(f"{part.size:,} series, round {turn + 1} of {part.rounds}")
                bench.pushes(OURS, part, part.scrapes, found[OURS])
                for agent in agents:
                    bench.agent(agent, part, found[agent.name])
                bench.pushes(SCRIPT, part, part.script_scrapes, found[SCRIPT])
        say(f"{plan.crowd.targets} targets of {plan.crowd.size} series, half of them after {plan.crowd.delay:g} s")
        crowd = bench.crowd(plan.crowd)
        missing = [agent.name for agent in AGENTS if agent not in agents]
        return Results(sizes, bench.page_bytes, crowd, missing)


@dataclass(slots=True)
class _Lane:
    """What one process is given: pages to scrape, a place to write to, a folder."""

    folder: Path
    targets: list[str]
    totals: list[float]
    port: int

    @property
    def write_url(self) -> str:
        return f"http://127.0.0.1:{self.port}/workspaces/{WORKSPACE}/api/v1/remote_write"


class ScrapeBench:
    """Runs candidates, each in a fresh process, between the pages and the receiver."""

    def __init__(self, folder: Path, pages: Side, receiver: Side) -> None:
        self._folder, self._pages, self._receiver = folder, pages, receiver
        self.page_bytes: dict[int, tuple[int, int]] = {}

    def pushes(self, name: str, part: Round, count: int, figures: Figures) -> None:
        """One process of ours or of the script: a cold push and `count - 1` warm ones."""
        with self._lane(part.size) as lane:
            found = self._work(name, lane, count, ["--interval", str(part.interval)])
            arrived = self._check(name, lane, part.size, count)
        figures.cold.append(found["cold"])
        figures.warm.append(sum(found["warm"]) / len(found["warm"]))
        figures.peak_mib.append(found["peak_mib"])
        figures.requests, figures.bytes = arrived["requests"] / count, arrived["bytes"] / count

    def agent(self, agent: Agent, part: Round, figures: Figures) -> None:
        """One process of a collector, until it has delivered as many scrapes."""
        with self._lane(part.size) as lane:
            interval = f"{part.interval * 1000:.0f}ms"
            with Running(agent, lane.folder, lane.targets[0], lane.write_url, interval) as running:
                self._receiver.ask("watch", port=lane.port, pid=running.pid)
                complete = self._wait(running, agent, lane, part)
                figures.peak_mib.append(peak_mib(running.pid))
                arrived = self._check(agent.name, lane, part.size, part.scrapes, token=False)
        figures.cold.append(complete[0])
        figures.warm.append((complete[-1] - complete[0]) / (part.scrapes - 1))
        scrapes = len(arrived["scrapes"])
        figures.requests, figures.bytes = arrived["requests"] / scrapes, arrived["bytes"] / scrapes

    def crowd(self, plan: CrowdPlan) -> Crowd:
        """All targets in one push of ours, on one core."""
        with self._lane(plan.size, plan.targets, plan.targets // 2, plan.delay) as lane:
            before = self._pages.ask("connections")["connections"]
            found = self._work(OURS, lane, plan.pushes, ["--one-core"])
            made = self._pages.ask("connections")["connections"] - before
            arrived = self._receiver.ask("check", port=lane.port, signed=True)
        if arrived["problem"]:
            raise BenchFailed(f"{OURS}: {arrived['problem']}")
        samples, ups = (sum(one[place] for one in arrived["scrapes"]) for place in (0, 2))
        wanted = plan.targets * plan.pushes
        if (samples, ups) != (wanted * plan.size, wanted):
            raise BenchFailed(f"{OURS}: {samples} samples of {ups} scrapes arrived, {wanted} scrapes were to come")
        cpu = [found["cold"], *found["warm"]]
        reused = 1 - (made - plan.targets) / max(wanted - plan.targets, 1)
        return Crowd(plan, found["seconds"], cpu, found["peak_mib"], ups // plan.pushes, samples // plan.pushes, reused)

    @contextmanager
    def _lane(self, size: int, targets: int = 1, slow: int = 0, delay: float = 0.0) -> Iterator[_Lane]:
        """A fresh port for each target, and one to write to."""
        opened = self._pages.ask("open", size=size, targets=targets, slow=slow, delay_seconds=delay)
        port = self._receiver.ask("open", size=size)["port"]
        self.page_bytes[size] = opened["plain_bytes"], opened["gzip_bytes"]
        with tempfile.TemporaryDirectory(dir=self._folder) as folder:
            yield _Lane(Path(folder), [f"127.0.0.1:{one}" for one in opened["ports"]], opened["totals"], port)

    def shards(self, targets: int, size: int, pushes: int, count: int) -> list[float]:
        """So many shards side by side, each in a process on a core of its own where there are enough -> the CPU seconds
        of a warm push of each."""
        with self._lane(size, targets) as lane, ThreadPoolExecutor(count) as pool:
            works = [pool.submit(self._work, OURS, lane, pushes, [], f"{index}/{count}") for index in range(count)]
            found = [work.result() for work in works]
            arrived = self._receiver.ask("check", port=lane.port, signed=True)
        samples = sum(one[0] for one in arrived["scrapes"])
        if arrived["problem"] or samples != targets * size * pushes:
            raise BenchFailed(f"{count} shards: {samples} samples arrived; {arrived['problem']}")
        return [sum(one["warm"]) / len(one["warm"]) for one in found]

    def _work(self, name: str, lane: _Lane, count: int, more: Sequence[str], shard: str = "0/1") -> dict[str, Any]:
        own = shard.replace("/", "-")
        config, out = lane.folder / f"config{own}.yaml", lane.folder / f"out{own}.json"
        targets = ", ".join(f'"{target}"' for target in lane.targets)
        words = {"job": JOB, "targets": targets, "write_url": lane.write_url, "region": REGION}
        config.write_text(_CONFIG.format(**words), encoding="utf-8")
        arguments = ["-m", "bench.worker", _MODULES[name], f"http://{lane.targets[0]}/metrics"]
        arguments += [lane.write_url, str(config), str(out), "--pushes", str(count), *more]
        return run_candidate(name, arguments, lane.folder, out, {"BENCH_SHARD": shard})

    def _wait(self, running: Running, agent: Agent, lane: _Lane, part: Round) -> list[float]:
        """CPU seconds when each of the scrapes had come to its last sample."""
        complete: list[tuple[float, float]] = []

        def is_done() -> bool:
            running.fail_if_ended()
            complete[:] = self._receiver.ask("progress", port=lane.port)["complete"]
            return len(complete) >= part.scrapes

        if not wait_until(is_done, 20 + part.interval * part.scrapes * 3):
            raise BenchFailed(f"{agent.name}: {len(complete)} of {part.scrapes} scrapes arrived:\n{running.detail()}")
        # `up` may come in a later request; when it never does, the check says so.
        wait_until(lambda: self._receiver.ask("progress", port=lane.port)["ups"] >= part.scrapes, 5.0)
        return [cpu for _, cpu in complete[: part.scrapes]]

    def _check(self, name: str, lane: _Lane, size: int, scrapes: int, token: bool = True) -> dict[str, Any]:
        """What arrived, compared with what was served: number and sum of the samples of every scrape."""
        arrived = self._receiver.ask("check", port=lane.port, signed=True, token=token)
        if arrived["problem"]:
            raise BenchFailed(f"{name}: {arrived['problem']}")
        for run, (samples, total, ups) in enumerate(arrived["scrapes"][:scrapes]):
            served = lane.totals[run % len(lane.totals)]
            if (samples, ups) != (size, 1) or not math.isclose(total, served, rel_tol=1e-9):
                detail = f"{samples} of {size} samples arrived, their sum {total!r} instead of {served!r}, up {ups}"
                raise BenchFailed(f"{name}: scrape {run + 1}: {detail}")
        if len(arrived["scrapes"]) < scrapes:
            raise BenchFailed(f"{name}: {len(arrived['scrapes'])} of {scrapes} scrapes arrived")
        return arrived
