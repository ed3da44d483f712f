"""Runs candidates one after the other, each in a fresh process on one core, the other side on the other cores."""

from __future__ import annotations

import json
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

from bench.place import JOB, METRIC, REGION, WORKSPACE
from bench.side import ROOT, BenchFailed, Side, pinned, run_candidate
from sandbox.example import USAGE_METRIC

_CONFIG = """\
global: {{scrape_interval: 1m}}
self_metrics: false
json_configs:
  - job_name: {job}
    url: {api_url}
    metrics:
{usage}
remote_write:
  - url: {write_url}
    sigv4: {{region: {region}}}
"""


@dataclass(frozen=True, slots=True)
class Candidate:
    """`name` is what the table shows; `module` has `prepare`. `note` says what is not the same work."""

    name: str
    module: str
    note: str = ""
    signs: bool = True


PUSHER = Candidate("lambda-remote-write", "bench.with_pusher")
PLAIN = Candidate("plain script", "bench.with_plain")
AMP_PUSH = Candidate(
    "amp-push", "bench.with_amp_push", "cuts no batches: the caller does; a new connection for every request"
)
REMOTE_WRITER = Candidate(
    "prometheus-remote-writer", "bench.with_remote_writer", "cannot sign with SigV4: sends unsigned, less work", False
)
CANDIDATES = (PUSHER, PLAIN, AMP_PUSH, REMOTE_WRITER)


@dataclass(slots=True)
class Figures:
    """One candidate at one size. CPU in seconds per push, memory in MiB; lists are over processes (and warm pushes)."""

    samples: int = 0
    requests: int = 0
    bytes: int = 0
    cold: list[float] = field(default_factory=list)
    warm: list[float] = field(default_factory=list)
    imported_mib: list[float] = field(default_factory=list)
    cold_mib: list[float] = field(default_factory=list)
    peak_mib: list[float] = field(default_factory=list)

    def add(self, found: dict[str, Any], arrived: dict[str, Any]) -> None:
        self.cold.append(found["cold"])
        self.warm += found["warm"]
        self.imported_mib.append(found["imported_mib"])
        self.cold_mib.append(found["cold_mib"])
        self.peak_mib.append(found["peak_mib"])
        self.samples, self.requests, self.bytes = arrived["samples"], arrived["requests"], arrived["bytes"]


class Runner:
    """Starts and stops the processes of a bench; a context manager. Files go into `folder`."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._queued = 0
        with ExitStack() as stack:
            self._other = stack.enter_context(Side("bench.other_side", folder))
            self.is_pinned = stack.enter_context(pinned(self._other.pid))
            self._stack = stack.pop_all()
        self._base_url = self._other.greeting["base_url"]

    def pushes(self, candidate: Candidate, size: int, count: int, figures: Figures) -> None:
        """One process of `candidate`: a cold push and `count - 1` warm ones. Raises BenchFailed."""
        lane = self._open(size, count)
        module = ["-m", "bench.worker", candidate.module, lane.api_url, lane.write_url, str(lane.config), str(lane.out)]
        found = run_candidate(candidate.name, [*module, "--pushes", str(count)], self._folder, lane.out)
        figures.add(found, self._check(candidate.name, lane, candidate.signs))

    def cold_start(self, candidate: str) -> dict[str, float]:
        """CPU seconds of `import` and `push` in a fresh process. Raises BenchFailed."""
        lane = self._open(3, 1)
        more = {"API_URL": lane.api_url, "REMOTE_WRITE_URL": lane.write_url, "PUSHER_CONFIG": str(lane.config)}
        arguments = [str(ROOT / "bench/cold.py"), candidate, str(lane.out)]
        found = run_candidate(candidate, arguments, self._folder, lane.out, more)
        self._check(candidate, lane, True)
        return found

    def turns(self, module: str, ways: Sequence[str], size: int, count: int) -> dict[str, Any]:
        """One process of `module`, in which every way makes `count` pushes, in turn. Those whose library is not
        installed are left out. Raises BenchFailed."""
        lanes = {way: self._open(size, count) for way in ways}
        places = {way: lane.place for way, lane in lanes.items()}
        out = lanes[ways[0]].out
        found = run_candidate(module, ["-m", module, json.dumps(places), str(count), str(out)], self._folder, out)
        for way in found["pushes"]:
            self._check(way, lanes[way], signed=True)
        return found

    def _open(self, size: int, runs: int) -> _Lane:
        self._queued += 1
        name = f"lane{self._queued}"
        self._other.ask("open", lane=name, size=size, runs=runs)
        home = f"{self._base_url}/{name}"
        write_url = f"{home}/workspaces/{WORKSPACE}/api/v1/remote_write"
        lane = _Lane(name, f"{home}/usage", write_url, self._folder / f"{name}.yaml", self._folder / f"{name}.json")
        words = {"job": JOB, "metric": METRIC, "region": REGION, "api_url": lane.api_url, "write_url": write_url}
        lane.config.write_text(_CONFIG.format(usage=USAGE_METRIC, **words), encoding="utf-8")
        return lane

    def _check(self, name: str, lane: _Lane, signed: bool) -> dict[str, Any]:
        arrived = self._other.ask("check", lane=lane.name, signed=signed)
        if arrived["problem"]:
            raise BenchFailed(f"{name}: {arrived['problem']}")
        return arrived

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self._stack.close()


@dataclass(frozen=True, slots=True)
class _Lane:
    """Where one process asks, writes, reads its config and puts its figures."""

    name: str
    api_url: str
    write_url: str
    config: Path
    out: Path

    @property
    def place(self) -> dict[str, str]:
        return {"api_url": self.api_url, "write_url": self.write_url, "config": str(self.config)}
