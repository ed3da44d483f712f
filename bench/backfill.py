"""How fast a backfill reads, encodes and sends files of one size, beside what loads the same data into the peers' own
storage. And how many samples a shard takes, and a dollar."""

from __future__ import annotations

import math
import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from bench.place import REGION, WORKSPACE
from bench.side import BenchFailed, Side, cpu_seconds, peak_mib, pinned, run_candidate
from bench.table import Target, joined
from lambda_remote_write.config.load import parse_config
from lambda_remote_write.model.reason_counts import ReasonCounts
from lambda_remote_write.model.samples import Samples
from lambda_remote_write.remote_write import request_size
from lambda_remote_write.series.cache import NO_LIMITS, SeriesCache
from sandbox.process import answers, ask, start, stop

ENDINGS = {"ndjson": "ndjson", "csv": "csv", "openmetrics": "om"}
_SERIES, _STEP_SECONDS = 1_000, 15
_TIMEOUT_SECONDS = 1_800
_CONFIG = """\
json_configs:
  - job_name: custom_exporter
    url: http://api.example.com/usage
    metrics:
      - name: api_requests
        value: apiRequestCount
        timestamp: {{path: currentTime, format: unix}}
        labels: {{project: projectCode}}
remote_write:
  - url: http://127.0.0.1:{port}/workspaces/{workspace}/api/v1/remote_write
    sigv4: {{region: {region}, service_name: bench}}
    max_age: 10y
"""


@dataclass(frozen=True, slots=True)
class Plan:
    samples: int
    rounds: int


FULL = Plan(10_000_000, 1)
QUICK = Plan(1_000_000, 1)


@dataclass(slots=True)
class Loaded:
    """One candidate's run: CPU and duration in seconds, peak memory in MiB."""

    cpu: float
    wall: float
    peak_mib: float

    def per_core(self, samples: int) -> float:
        return samples / self.cpu


@dataclass(slots=True)
class Results:
    plan: Plan
    ours: dict[str, Loaded] = field(default_factory=dict)
    peers: dict[str, Loaded] = field(default_factory=dict)
    encoding: float = 0.0  # samples per CPU second
    missing: list[str] = field(default_factory=list)


def value_of(series: int, step: int) -> int:
    return (step * 7_919 + series * 31) % 100_000 + 1


def write_files(folder: Path, samples: int, first: int) -> float:
    """The same samples in each format: records as they come in time, text series by series. Returns their sum."""
    steps, total = samples // _SERIES, 0
    with (folder / "data.ndjson").open("w") as ndjson, (folder / "data.csv").open("w") as table:
        table.write("currentTime,apiRequestCount,projectCode\n")
        for step in range(steps):
            at = first + step * _STEP_SECONDS
            values = [value_of(series, step) for series in range(_SERIES)]
            total += sum(values)
            ndjson.write("".join([
                f'{{"currentTime": {at}, "apiRequestCount": {value}, "projectCode": "{series}"}}\n'
                for series, value in enumerate(values)
            ]))  # fmt: skip
            table.write("".join([f"{at},{value},{series}\n" for series, value in enumerate(values)]))
    with (folder / "data.om").open("w") as text, (folder / "data.prom").open("w") as plain:
        text.write("# TYPE api_requests gauge\n")
        for series in range(_SERIES):
            head = f'api_requests{{instance="api.example.com",job="custom_exporter",project="{series}"}}'
            points = [(value_of(series, step), first + step * _STEP_SECONDS) for step in range(steps)]
            text.write("".join([f"{head} {value} {at}.000\n" for value, at in points]))
            plain.write("".join([f"{head} {value} {at}000\n" for value, at in points]))
        text.write("# EOF\n")
    return float(total)


def measured(plan: Plan, say: Callable[[str], None]) -> Results:
    """Raises BenchFailed."""
    results = Results(plan)
    first = (int(time.time()) // 7_200 - 40) * 7_200 - plan.samples // _SERIES * _STEP_SECONDS
    with tempfile.TemporaryDirectory() as name, Side("bench.receiver", Path(name)) as receiver:
        folder = Path(name)
        say(f"backfill: {plan.samples:,} samples in four formats")
        total = write_files(folder, plan.samples, first)
        for kind in ENDINGS:
            say(f"backfill: {kind}")
            results.ours[kind] = _ours(folder, kind, receiver, plan.samples, total)
        results.encoding = _encoding(200_000)
        for label, run in (("promtool tsdb create-blocks-from", _promtool), ("VictoriaMetrics", _victoria)):
            say(f"backfill: {label}")
            found = run(folder, plan.samples)
            results.peers |= found
            if not found:
                results.missing.append(label)
    return results


def _ours(folder: Path, kind: str, receiver: Side, samples: int, total: float) -> Loaded:
    out = folder / "out.json"
    file = folder / f"data.{ENDINGS[kind]}"
    port = receiver.ask("open", size=_SERIES)["port"]
    (folder / "config.yaml").write_text(_CONFIG.format(port=port, workspace=WORKSPACE, region=REGION))
    arguments = ["-m", "bench.with_backfill", str(folder / "config.yaml"), str(file), str(out)]
    with pinned(receiver.pid):
        found = run_candidate(f"backfill of {kind}", arguments, folder, out)
    scrapes = receiver.ask("check", port=port, signed=False)["scrapes"]  # here all samples of a time
    arrived = sum(one[0] for one in scrapes)
    if not found["done"] or arrived != samples or not math.isclose(sum(one[1] for one in scrapes), total):
        raise BenchFailed(f"backfill of {kind}: {found['said']}; {arrived} samples arrived")
    return Loaded(found["cpu"], found["wall"], found["peak_mib"])


def _encoding(count: int) -> float:
    """Samples a second of CPU, from columns to compressed requests."""
    cache, samples = SeriesCache((), NO_LIMITS), Samples()
    for number in range(_SERIES):
        labels = {"__name__": "api_requests", "job": "custom_exporter", "project": str(number)}
        series = cache.intern(labels)
        for step in range(count // _SERIES):
            samples.add(series, float(value_of(number, step)), 1_700_000_000_000 + step * 15_000)
    config = parse_config("remote_write: [{url: 'http://localhost/'}]", "bench.yaml", {})
    protocol, best = request_size.Protocol(config.endpoints[0], 1), math.inf
    for _ in range(5):
        begun = time.process_time()
        request_size.pack(samples, protocol, 1_700_000_000_000, ReasonCounts())
        best = min(best, time.process_time() - begun)
    return count / best


# the peers, which write to storage of their own and send nothing


def _promtool(folder: Path, samples: int) -> dict[str, Loaded]:
    path = shutil.which("promtool")
    if path is None:
        return {}
    blocks = folder / "blocks"
    command = [path, "tsdb", "create-blocks-from", "openmetrics", "-q", str(folder / "data.om"), str(blocks)]
    loaded = _waited_for(command, folder)
    if not any(blocks.glob("*/meta.json")):
        raise BenchFailed("promtool made no blocks")
    shutil.rmtree(blocks)
    return {"promtool tsdb create-blocks-from openmetrics": loaded}


def _waited_for(command: Sequence[str], folder: Path) -> Loaded:
    begun = time.monotonic()
    log = folder / "log"
    with log.open("wb") as detail:
        process = subprocess.Popen(command, cwd=folder, stdout=detail, stderr=detail)
        _, status, used = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        words = log.read_text(encoding="utf-8", errors="replace")[-1_000:]
        raise BenchFailed(f"{command[0]} ended with status {process.returncode}: {words}")
    return Loaded(used.ru_utime + used.ru_stime, time.monotonic() - begun, used.ru_maxrss / 1024)


def _victoria(folder: Path, samples: int) -> dict[str, Loaded]:
    path = shutil.which("victoria-metrics")
    if path is None:
        return {}
    found = {}
    for label, query, file in (
        ("VictoriaMetrics, import of the text format", "/api/v1/import/prometheus", "data.prom"),
        ("VictoriaMetrics, import of CSV",
         "/api/v1/import/csv?format=1:time:unix_s,2:metric:api_requests,3:label:project", "data.csv"),
    ):  # fmt: skip
        with _victoria_server(path, folder) as (url, pid):
            before, begun = cpu_seconds(pid), time.monotonic()
            with (folder / file).open("rb") as content:
                ask("POST", f"{url}{query}", data=content, timeout=_TIMEOUT_SECONDS).raise_for_status()
            ask("GET", f"{url}/internal/force_flush", timeout=60).raise_for_status()
            wall, cpu = time.monotonic() - begun, cpu_seconds(pid) - before
            rows = _rows_inserted(url)
            if rows < samples:
                raise BenchFailed(f"{label}: {rows} of {samples} samples are in")
            found[label] = Loaded(cpu, wall, peak_mib(pid))
    return found


@contextmanager
def _victoria_server(path: str, folder: Path) -> Iterator[tuple[str, int]]:
    storage = folder / "victoria"

    def launch(port: int) -> subprocess.Popen[bytes]:
        command = [path, f"-storageDataPath={storage}", f"-httpListenAddr=127.0.0.1:{port}", "-retentionPeriod=10y"]
        return subprocess.Popen(command, cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    started = start(launch, lambda port: answers(f"http://127.0.0.1:{port}/health"), 10)
    if started is None:
        raise BenchFailed("victoria-metrics did not start")
    process, port = started
    try:
        yield f"http://127.0.0.1:{port}", process.pid
    finally:
        stop(process, 20)
        shutil.rmtree(storage, ignore_errors=True)


def _rows_inserted(url: str) -> int:
    lines = ask("GET", f"{url}/metrics", timeout=30).text.splitlines()
    return sum(int(line.rpartition(" ")[2]) for line in lines if line.startswith("vm_rows_inserted_total"))


# the tables


def targets(results: Results) -> list[Target]:
    samples, ours = results.plan.samples, results.ours
    per_core = {kind: loaded.per_core(samples) for kind, loaded in ours.items()}
    return [
        Target("NDJSON: 400,000 samples a second and core over what it takes", 400_000 / per_core["ndjson"], 1.0),
        Target("OpenMetrics: 600,000 samples a second and core over what it takes",
               600_000 / per_core["openmetrics"], 1.0),
        Target("encoding alone: 1,000,000 samples a second and core over what it takes",
               1_000_000 / results.encoding, 1.0),
        Target("peak memory over 128 MB", max(one.peak_mib for one in ours.values()) * 1.048576 / 128, 1.0),
    ]  # fmt: skip


def printed(results: Results) -> str:
    samples = results.plan.samples
    lines = [
        f"Backfill of {samples:,} samples of {_SERIES:,} series: read, judged, encoded, signed, sent, acknowledged",
        f"  {'':<48}{'samples/s of CPU':>18}{'CPU s':>9}{'s':>8}{'peak MiB':>10}",
    ]
    rows = [(f"lambda-remote-write, {kind}", one) for kind, one in results.ours.items()]
    rows += [(f"{name} *", one) for name, one in results.peers.items()]
    for name, one in rows:
        lines.append(f"  {name:<48}{one.per_core(samples):>18,.0f}{one.cpu:>9.1f}{one.wall:>8.1f}{one.peak_mib:>10.0f}")
    lines.append("  * writes to storage of its own and sends nothing; promtool reads the file once for every two hours")
    lines += [f"  not on PATH: {name}" for name in results.missing]
    encoding = [f"Encoding and compressing alone: {results.encoding:,.0f} samples a second of CPU"]
    goals = ["Targets of the backfill", *(target.line() for target in targets(results))]
    return joined(lines, encoding, goals)
