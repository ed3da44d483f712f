"""Runs candidates one after the other, each in a fresh process, between what is served to them and a receiver that
counts what they write."""

from __future__ import annotations

import json
import math
import tempfile
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Self

from bench.agents import Agent, Running
from bench.place import JOB, REGION, WORKSPACE, Place
from bench.side import ROOT, BenchFailed, Side, peak_mib, pinned, run_candidate
from sandbox.example import USAGE_METRIC
from sandbox.process import wait_until

_CONFIG = """\
global: {{scrape_interval: 1m, scrape_timeout: 30s}}
self_metrics: false
{jobs}
remote_write:
  - url: {write_url}
    sigv4: {{region: {region}}}
"""
_API = "json_configs:\n  - job_name: {job}\n    url: {api_url}\n    metrics:\n{usage}"
# What is served, and the job that asks for it.
_JOBS = {
    "records": _API,
    "columns": _API,
    "rows": _API,
    "page": "scrape_configs:\n  - job_name: {job}\n    static_configs: [targets: [{targets}]]",
}
# Where the records are that are laid out otherwise than as a list.
_RECORDS = {"columns": '"columns(@)"', "rows": '"rows(columns, rows)"'}


@dataclass(frozen=True, slots=True)
class Candidate:
    """`name` is what the table shows; of the modules in `module`, all of which are imported, the last has `prepare`.
    `note` says what is not the same work."""

    name: str
    module: str
    note: str = ""
    signs: bool = True
    asks_for: str = "records"


@dataclass(slots=True)
class Figures:
    """One candidate at one size. CPU in seconds per push, memory in MiB; lists are over processes (and warm pushes)."""

    cold: list[float] = field(default_factory=list)
    warm: list[float] = field(default_factory=list)
    imported_mib: list[float] = field(default_factory=list)
    cold_mib: list[float] = field(default_factory=list)
    peak_mib: list[float] = field(default_factory=list)
    requests: float = 0.0  # per push
    bytes: float = 0.0

    def add(self, process: Figures) -> None:
        self.cold += process.cold
        self.warm += process.warm
        self.imported_mib += process.imported_mib
        self.cold_mib += process.cold_mib
        self.peak_mib += process.peak_mib
        self.requests, self.bytes = process.requests, process.bytes


@dataclass(frozen=True, slots=True)
class Lane:
    """What one process is given: targets to ask, a port to write to, a folder; and what each push is to bring."""

    folder: Path
    size: int
    targets: Sequence[str]
    totals: Sequence[float]
    port: int

    @property
    def place(self) -> Place:
        write_url = f"http://127.0.0.1:{self.port}/workspaces/{WORKSPACE}/api/v1/remote_write"
        return Place(f"http://{self.targets[0]}/metrics", write_url, str(self.folder / "config.yaml"))


class Runner:
    """Starts and stops the processes of a bench; a context manager. With `pin` they share one core, and the other side
    has the others."""

    def __init__(self, *, pin: bool = False) -> None:
        self.page_bytes: dict[int, tuple[int, int]] = {}
        with ExitStack() as stack:
            self._folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
            self._pages = stack.enter_context(Side("bench.pages", self._folder))
            self._receiver = stack.enter_context(Side("bench.receiver", self._folder))
            self.is_pinned = pin and stack.enter_context(pinned(self._pages.pid, self._receiver.pid))
            self._stack = stack.pop_all()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self._stack.close()

    def pushes(self, candidate: Candidate, size: int, count: int, interval: float = 0.0) -> Figures:
        """One process of `candidate`: a cold push and `count - 1` warm ones. Raises BenchFailed."""
        with self._lane(candidate.asks_for, size, variants=count) as lane:
            found = self._work(candidate, lane, count, ["--interval", str(interval)])
            arrived = self._check(candidate.name, lane, count, candidate.signs)
        lists = {name: [found[name]] for name in ("cold", "imported_mib", "cold_mib", "peak_mib")}
        return Figures(
            **lists, warm=found["warm"], requests=arrived["requests"] / count, bytes=arrived["bytes"] / count
        )

    def cold_start(self, module: str, function: str) -> dict[str, float]:
        """CPU seconds of `import` and `push` of a handler in a fresh process. Raises BenchFailed."""
        with self._lane("records", 3, variants=1) as lane:
            place, out = lane.place, lane.folder / "out.json"
            more = {"API_URL": place.api_url, "REMOTE_WRITE_URL": place.write_url, "PUSHER_CONFIG": place.config}
            arguments = [str(ROOT / "bench/cold.py"), module, function, str(out)]
            found = run_candidate(module, arguments, lane.folder, out, more)
            self._check(module, lane, 1)
        return found

    def turns(self, module: str, ways: Sequence[str], size: int, count: int) -> dict[str, Any]:
        """One process of `module`, in which every way makes `count` pushes, in turn. Those whose library is not
        installed are left out. Raises BenchFailed."""
        with ExitStack() as stack:
            lanes = {way: stack.enter_context(self._lane("records", size, variants=count)) for way in ways}
            places = {way: asdict(lane.place) for way, lane in lanes.items()}
            out = self._folder / "turns.json"
            found = run_candidate(module, ["-m", module, json.dumps(places), str(count), str(out)], self._folder, out)
            for way in found["pushes"]:
                self._check(way, lanes[way], count)
        return found

    def agent(self, agent: Agent, size: int, scrapes: int, interval: float) -> Figures:
        """One process of a collector, until it has delivered as many scrapes. Warm is the mean of those after the
        first. Raises BenchFailed."""
        with self._lane("page", size) as lane:
            every, place = f"{interval * 1000:.0f}ms", lane.place
            with Running(agent, lane.folder, lane.targets[0], place.write_url, every) as running:
                self._receiver.ask("watch", port=lane.port, pid=running.pid)
                complete = self._wait(running, agent, lane, scrapes, 20 + interval * scrapes * 3)
                peak = peak_mib(running.pid)
                arrived = self._check(agent.name, lane, scrapes, token=False)
        warm, delivered = (complete[-1] - complete[0]) / (scrapes - 1), len(arrived["scrapes"])
        figures = Figures([complete[0]], [warm], peak_mib=[peak])
        figures.requests, figures.bytes = arrived["requests"] / delivered, arrived["bytes"] / delivered
        return figures

    def crowd(self, candidate: Candidate, size: int, pushes: int, *, targets: int, delay: float) -> dict[str, Any]:
        """All targets in each push, on one core, half of them late. `made` is how many connections that took. Raises
        BenchFailed."""
        with self._lane("page", size, targets=targets, slow=targets // 2, delay_seconds=delay) as lane:
            before = self._pages.ask("connections")["connections"]
            found = self._work(candidate, lane, pushes, ["--one-core"])
            made = self._pages.ask("connections")["connections"] - before
            return found | {"made": made, "ups": self._count(candidate.name, lane, targets * pushes)["ups"]}

    def shards(self, candidate: Candidate, size: int, pushes: int, *, targets: int, count: int) -> list[float]:
        """So many shards side by side, each in a process on a core of its own where there are enough -> the CPU seconds
        of a warm push of each. Raises BenchFailed."""
        with self._lane("page", size, targets=targets) as lane, ThreadPoolExecutor(count) as pool:
            shards = [f"{index}/{count}" for index in range(count)]
            found = list(pool.map(lambda shard: self._work(candidate, lane, pushes, [], shard), shards))
            self._count(f"{count} shards", lane, targets * pushes)
        return [sum(one["warm"]) / len(one["warm"]) for one in found]

    @contextmanager
    def _lane(self, kind: str, size: int, **served: Any) -> Iterator[Lane]:
        """A fresh port for each target, and one to write to; the config that asks the one and writes to the other."""
        opened = self._pages.ask("open", kind=kind, size=size, **served)
        self.page_bytes[size] = opened["plain_bytes"], opened["gzip_bytes"]
        port = self._receiver.ask("open", size=size, window_ms=opened["window_ms"])["port"]
        with tempfile.TemporaryDirectory(dir=self._folder) as folder:
            targets = [f"127.0.0.1:{one}" for one in opened["ports"]]
            lane = Lane(Path(folder), size, targets, opened["totals"], port)
            place, listed = lane.place, ", ".join(f'"{target}"' for target in targets)
            usage = USAGE_METRIC.replace('"[]"', _RECORDS.get(kind, '"[]"'))
            words = {"job": JOB, "api_url": place.api_url, "targets": listed, "usage": usage}
            text = _CONFIG.format(jobs=_JOBS[kind].format(**words), write_url=place.write_url, region=REGION)
            Path(place.config).write_text(text, encoding="utf-8")
            yield lane

    def _work(
        self, candidate: Candidate, lane: Lane, count: int, more: Sequence[str], shard: str = "0/1"
    ) -> dict[str, Any]:
        place, out = lane.place, lane.folder / f"out{shard.replace('/', '-')}.json"
        arguments = ["-m", "bench.worker", candidate.module, place.api_url, place.write_url, place.config, str(out)]
        arguments += ["--pushes", str(count), *more]
        return run_candidate(candidate.name, arguments, lane.folder, out, {"BENCH_SHARD": shard})

    def _wait(self, running: Running, agent: Agent, lane: Lane, scrapes: int, seconds: float) -> list[float]:
        """CPU seconds when each of the scrapes had come to its last sample."""
        complete: list[tuple[float, float]] = []

        def is_done() -> bool:
            running.fail_if_ended()
            complete[:] = self._receiver.ask("progress", port=lane.port)["complete"]
            return len(complete) >= scrapes

        if not wait_until(is_done, seconds):
            raise BenchFailed(f"{agent.name}: {len(complete)} of {scrapes} scrapes arrived:\n{running.detail()}")
        # `up` may come in a later request; when it never does, the check says so.
        wait_until(lambda: self._receiver.ask("progress", port=lane.port)["ups"] >= scrapes, 5.0)
        return [cpu for _, cpu in complete[:scrapes]]

    def _check(self, name: str, lane: Lane, pushes: int, signed: bool = True, *, token: bool = True) -> dict[str, Any]:
        """What arrived, compared with what was served: number and sum of the samples of every push."""
        arrived = self._arrived(name, lane, signed, token)
        for run, (samples, total) in enumerate(arrived["scrapes"][:pushes]):
            served = lane.totals[run % len(lane.totals)]
            if samples != lane.size or not math.isclose(total, served, rel_tol=1e-9):
                detail = f"{samples} of {lane.size} samples arrived, their sum {total!r} instead of {served!r}"
                raise BenchFailed(f"{name}: push {run + 1}: {detail}")
        if min(len(arrived["scrapes"]), arrived["ups"]) < pushes:
            raise BenchFailed(f"{name}: {len(arrived['scrapes'])} of {pushes} pushes arrived, up {arrived['ups']}")
        return arrived

    def _count(self, name: str, lane: Lane, scrapes: int) -> dict[str, Any]:
        """What arrived of many targets, whose scrapes may have the same time: all that was to come."""
        arrived = self._arrived(name, lane, signed=True, token=True)
        samples = sum(one[0] for one in arrived["scrapes"])
        if (samples, arrived["ups"]) != (scrapes * lane.size, scrapes):
            detail = f"{samples} samples of {arrived['ups']} scrapes arrived, {scrapes} scrapes were to come"
            raise BenchFailed(f"{name}: {detail}")
        return arrived

    def _arrived(self, name: str, lane: Lane, signed: bool, token: bool) -> dict[str, Any]:
        arrived = self._receiver.ask("check", port=lane.port, signed=signed, token=token)
        if arrived["problem"]:
            raise BenchFailed(f"{name}: {arrived['problem']}")
        return arrived
