"""What the spool costs while all is well, how fast a backlog drains, and what S3 is asked for."""

from __future__ import annotations

import statistics
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bench.cost import RUNS_PER_MONTH, S3_GET, S3_PUT, STATE_WRITES_PER_MONTH
from bench.place import REGION, WORKSPACE, credentials
from bench.side import BenchFailed, Side, obey, pinned
from bench.table import Target, joined
from lambda_remote_write.config.load import parse_config
from lambda_remote_write.dependencies import Dependencies
from lambda_remote_write.environment import Environment
from lambda_remote_write.push import push
from lambda_remote_write.report.report import Report
from lambda_remote_write.scrape.schedule import Tick
from sandbox.example import USAGE_METRIC
from sandbox.s3 import ObjectStore
from sandbox.server import Answer, LoopbackServer, Request

_CONFIG = """\
self_metrics: false
json_configs:
  - job_name: usage
    url: {base_url}/records/{size}
    metrics:
{usage}
remote_write:
  - url: {base_url}/workspaces/{workspace}/api/v1/remote_write
    sigv4: {{region: {region}}}
"""
_SYNTHETIC = 5  # series that every job has
_SPOOL = "spool: {location: s3://spool}\n"
_API_SECONDS = 0.05  # a quick API: the state object is read meanwhile


@dataclass(frozen=True, slots=True)
class Plan:
    """Records of a push and how many pushes, for the healthy path; runs and records of the backlog."""

    healthy: tuple[tuple[int, int], ...]
    backlog_runs: int
    backlog_records: int


FULL = Plan(((1_000, 60), (10_000, 40), (100_000, 12)), 60, 10_000)
QUICK = Plan(((1_000, 20), (10_000, 10)), 10, 2_000)


@dataclass(slots=True)
class Paired:
    """CPU and duration of each push in seconds, without a spool and with one, taken in turns."""

    cpu: tuple[list[float], list[float]] = field(default_factory=lambda: ([], []))
    wall: tuple[list[float], list[float]] = field(default_factory=lambda: ([], []))

    @staticmethod
    def overhead(pair: tuple[list[float], list[float]]) -> float:
        """How much more the push with a spool takes, as the median of neighbours."""
        ratios = [there / here for here, there in zip(*pair, strict=True)]
        return statistics.median(ratios) - 1


@dataclass(slots=True)
class Drained:
    entries: int
    requests: int
    samples: int
    cpu_seconds: float
    wall_seconds: float


@dataclass(slots=True)
class Results:
    healthy: dict[int, Paired]
    drained: Drained
    per_run: dict[str, float]  # operations of S3 in a healthy run that is no heartbeat

    @property
    def dollars_per_month(self) -> float:
        """At one run a minute: what each run asks, and every ten minutes a write and a listing."""
        dear = self.per_run.get("put", 0.0) + self.per_run.get("list", 0.0)
        each = self.per_run.get("get", 0.0) * S3_GET + dear * S3_PUT
        return RUNS_PER_MONTH * each + 2 * STATE_WRITES_PER_MONTH * S3_PUT


class Bench:
    """One process that pushes, and the other side of it."""

    def __init__(self, other: Side) -> None:
        self._other = other
        self._env_vars = credentials() | {"AWS_REGION": REGION, "AWS_ENDPOINT_URL_S3": other.greeting["s3_url"]}
        self.outside = Dependencies(self._env_vars)

    def warm(self, size: int, *, spool: bool) -> Environment:
        usage = USAGE_METRIC.replace("format: unix", "format: unix_ms")  # many pushes a second
        words = {"usage": usage, "workspace": WORKSPACE, "region": REGION, "size": size}
        text = _CONFIG.format(base_url=self._other.greeting["base_url"], **words) + (_SPOOL if spool else "")
        return Environment(parse_config(text, "bench.yaml", self._env_vars), self.outside)

    def run(self, warm: Environment) -> tuple[Report, float, float]:
        """(report, CPU seconds, seconds)"""
        tick = Tick(self.outside.now_ms(), None, 60_000, frozenset(warm.config.job_names()))
        cpu, wall = time.process_time(), time.monotonic()
        report = push(warm, tick, wall + 60)
        return report, time.process_time() - cpu, time.monotonic() - wall

    def healthy(self, size: int, pushes: int) -> Paired:
        """Pushes with and without a spool in turns; the first of each is not counted."""
        self._other.ask("be", delay_seconds=_API_SECONDS)
        pair, found = (self.warm(size, spool=False), self.warm(size, spool=True)), Paired()
        for turn in range(pushes + 1):
            order = (0, 1) if turn % 2 else (1, 0)
            for which in order:
                report, cpu, wall = self.run(pair[which])
                if report.totals()["AcceptedSamples"] != size + _SYNTHETIC:
                    raise BenchFailed(f"a healthy push of {size} records was not: {report.summary()}")
                if turn:
                    found.cpu[which].append(cpu)
                    found.wall[which].append(wall)
        return found

    def operations(self, runs: int) -> dict[str, float]:
        """What a healthy run asks of S3, between two heartbeats."""
        warm = self.warm(100, spool=True)
        self.run(warm)
        self._other.ask("be")
        for _ in range(runs):
            self.run(warm)
        return {name: count / runs for name, count in self._other.ask("told")["counts"].items()}

    def drain(self, runs: int, size: int) -> Drained:
        """A backlog of so many runs, and one run that drains it."""
        warm = self.warm(size, spool=True)
        self._other.ask("be", down=True)
        for _ in range(runs):
            self.run(warm)
        self._other.ask("be")
        self.outside.transport.close()
        report, cpu, wall = self.run(warm)
        (delivery,) = report.deliveries
        if delivery.waiting.drained != runs or delivery.accepted != (runs + 1) * (size + _SYNTHETIC):
            raise BenchFailed(f"the backlog did not drain: {report.summary()}")
        return Drained(runs, delivery.requests, delivery.accepted, cpu, wall)


def measured(plan: Plan, say: Callable[[str], None]) -> Results:
    with tempfile.TemporaryDirectory() as folder, Side("bench.spool", Path(folder)) as other, pinned(other.pid):
        bench = Bench(other)
        healthy = {}
        for size, pushes in plan.healthy:
            say(f"spool: {pushes} pushes of {size:,} records, with and without")
            healthy[size] = bench.healthy(size, pushes)
        say(f"spool: a backlog of {plan.backlog_runs} runs of {plan.backlog_records:,} records")
        drained = bench.drain(plan.backlog_runs, plan.backlog_records)
        found = Results(healthy, drained, bench.operations(20))
        bench.outside.transport.close()
        return found


def targets(results: Results) -> list[Target]:
    largest = max(results.healthy)
    return [
        Target("healthy path: duration of a push, what Lambda bills, over that without a spool",
               Paired.overhead(results.healthy[largest].wall), 0.02),
        Target(f"healthy path: CPU of a push of {largest:,} records over that without a spool",
               Paired.overhead(results.healthy[largest].cpu), 0.02),
        Target("S3 of a month at one push a minute, dollars", results.dollars_per_month, 0.07),
    ]  # fmt: skip


def printed(results: Results) -> str:
    lines = [f"Healthy path: a push with a spool over one without, neighbours in turns, an API of {_API_SECONDS:g} s"]
    lines.append(
        f"  {'records':>9}{'CPU ms without':>17}{'with':>9}{'more':>9}{'ms without':>13}{'with':>9}{'more':>9}"
    )
    for size, found in results.healthy.items():
        cpu, wall = ([statistics.median(one) * 1e3 for one in pair] for pair in (found.cpu, found.wall))
        more = [f"{Paired.overhead(pair):+.1%}" for pair in (found.cpu, found.wall)]
        lines.append(
            f"  {size:>9,}{cpu[0]:>17.2f}{cpu[1]:>9.2f}{more[0]:>9}{wall[0]:>13.1f}{wall[1]:>9.1f}{more[1]:>9}"
        )
    drained = results.drained
    rate = drained.samples / drained.cpu_seconds, drained.requests / drained.cpu_seconds
    drain = [
        f"Drain of {drained.entries} entries, {drained.requests} requests, {drained.samples:,} samples, on one core",
        f"  {rate[0]:,.0f} samples and {rate[1]:,.0f} requests a second of CPU; {drained.wall_seconds:.2f} s in all",
    ]
    asked = ", ".join(f"{count:g} {name}" for name, count in sorted(results.per_run.items()))
    month = f"  {results.dollars_per_month:.3f} dollars a month, with a write and a listing every ten minutes"
    store = ["S3, a healthy run at one a minute", f"  {asked} a run", month]
    goals = ["Targets of the spool", *(target.line() for target in targets(results))]
    return joined(lines, drain, store, goals)


# the other side

LATER = {"Retry-After": "3600"}  # so that a run gives up at once


class OtherSide:
    """An API, a receiver and a bucket, in a process of their own. Records are asked for by their number:
    `/records/1000`. `is_down` makes the receiver refuse."""

    def __init__(self) -> None:
        self.is_down, self.delay_seconds = False, 0.0
        self.server = LoopbackServer(self._respond)
        self.bucket = ObjectStore(auth=None)

    def _respond(self, request: Request) -> Answer:
        if request.method == "POST":
            return Answer(503, LATER) if self.is_down else Answer(200)
        time.sleep(self.delay_seconds)
        count, now = int(request.path.rpartition("/")[2]), int(time.time() * 1000)
        records = [f'{{"currentTime":{now},"apiRequestCount":{n * 7},"projectCode":"p{n}"}}' for n in range(count)]
        return Answer(200, {"Content-Type": "application/json"}, f"[{','.join(records)}]".encode())

    def be(self, *, down: bool = False, delay_seconds: float = 0.0) -> dict[str, Any]:
        self.is_down, self.delay_seconds = down, delay_seconds
        self.bucket.counts.clear()
        return {}

    def told(self) -> dict[str, Any]:
        return {"counts": dict(self.bucket.counts)}


if __name__ == "__main__":
    other = OtherSide()
    urls = {"base_url": other.server.base_url, "s3_url": other.bucket.base_url}
    obey(urls, {"be": other.be, "told": other.told})
