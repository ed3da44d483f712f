"""A fleet of JSON devices that an API lists: many addresses of which half are slow, and many paths of one address. One
run in a process of its own, from the list to the last accepted request."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.place import REGION, WORKSPACE
from bench.side import BenchFailed, Side, run_candidate
from bench.table import Target, joined
from lambda_remote_write.config.schema import MAX_REQUESTS_PER_HOST

_RUN_SECONDS = 50.0  # the template's Timeout, below the interval of a minute
_MEMORY_MIB = 256.0  # the template's MemorySize
# What is imported for such a config is imported with the rest.
_MODULES = "lambda_remote_write.aws.clients lambda_remote_write.discovery.json bench.with_pusher"
_CONFIG = """\
global: {{scrape_interval: 1m, scrape_timeout: 10s}}
self_metrics: false
json_configs:
  - job_name: fleet
    json_sd_configs: [{{url: {list_url}, target: url, labels: {{id: id}}}}]
    relabel_configs: [{{source_labels: [__meta_json_id], target_label: device}}]
    metrics: [{{name: device_value, type: gauge, help: The number of the device., value: value}}]
remote_write:
  - url: {write_url}
    sigv4: {{region: {region}}}
"""


@dataclass(frozen=True, slots=True)
class Part:
    """So many devices, of which `slow` answer after `delay` seconds."""

    devices: int
    slow: int
    delay: float


@dataclass(frozen=True, slots=True)
class Plan:
    addresses: Part
    paths: Part


FULL = QUICK = Plan(Part(500, 250, 5.0), Part(500, 500, 0.1))


@dataclass(frozen=True, slots=True)
class Found:
    """What one run came to. `most` is how many requests one address had at the same time."""

    part: Part
    ups: int
    samples: int
    seconds: float
    peak_mib: float
    most: int


@dataclass(frozen=True, slots=True)
class Results:
    addresses: Found
    paths: Found


def measured(plan: Plan, say: Callable[[str], None]) -> Results:
    """Raises BenchFailed when a device is not up, or a sample was not accepted."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        fleet = stack.enter_context(Side("bench.fleet_api", folder))
        receiver = stack.enter_context(Side("bench.receiver", folder))
        say(f"fleet: {plan.addresses.devices} addresses, {plan.addresses.slow} after {plan.addresses.delay:g} s")
        addresses = _run(fleet, receiver, folder, plan.addresses, one_address=False)
        say(f"fleet: {plan.paths.devices} paths of one address, {plan.paths.delay:g} s each")
        return Results(addresses, _run(fleet, receiver, folder, plan.paths, one_address=True))


def _run(fleet: Side, receiver: Side, folder: Path, part: Part, *, one_address: bool) -> Found:
    served = {"count": part.devices, "slow": part.slow, "delay_seconds": part.delay, "one_address": one_address}
    list_url = fleet.ask("open", **served)["url"]
    port = receiver.ask("open", size=part.devices)["port"]
    write_url = f"http://127.0.0.1:{port}/workspaces/{WORKSPACE}/api/v1/remote_write"
    config, out = folder / "config.yaml", folder / "out.json"
    config.write_text(_CONFIG.format(list_url=list_url, write_url=write_url, region=REGION), encoding="utf-8")
    arguments = ["-m", "bench.worker", _MODULES, list_url, write_url, str(config), str(out), "--pushes", "1"]
    found = run_candidate("fleet", arguments, folder, out)
    arrived = receiver.ask("check", port=port, signed=True)
    _check(arrived, part)
    samples = sum(count for count, _ in arrived["scrapes"])
    most = fleet.ask("most")["most"]
    return Found(part, arrived["ups"], samples, found["seconds"][0], found["peak_mib"], most)


def _check(arrived: dict[str, Any], part: Part) -> None:
    samples, total = (sum(one[index] for one in arrived["scrapes"]) for index in (0, 1))
    if arrived["problem"]:
        raise BenchFailed(f"fleet: {arrived['problem']}")
    if (arrived["ups"], samples, total) != (part.devices, part.devices, sum(range(part.devices))):
        detail = f"{arrived['ups']} of {part.devices} devices are up, {samples} samples arrived, their sum is {total}"
        raise BenchFailed(f"fleet: {detail}")


def printed(results: Results) -> str:
    addresses, paths = results.addresses, results.paths
    part = addresses.part
    return joined(
        [
            f"A fleet of {part.devices} JSON devices, each at its own address, {part.slow} after {part.delay:g} s",
            f"  {_line(addresses)}",
        ],
        [
            f"{paths.part.devices} paths of one address, {paths.part.delay:g} s each",
            f"  {_line(paths)}; at most {paths.most} at once",
        ],
        ["Targets of a fleet", *(target.line() for target in targets(results))],
    )


def _line(found: Found) -> str:
    return (
        f"{found.ups} up, {found.samples} samples and all others accepted, {found.seconds:.1f} s, "
        f"peak {found.peak_mib:.0f} MiB"
    )


def targets(results: Results) -> list[Target]:
    found = []
    for where, one in (("addresses", results.addresses), ("paths of one address", results.paths)):
        found.append(Target(f"time of a run, {one.part.devices} {where}", one.seconds, _RUN_SECONDS, " s"))
        found.append(Target(f"peak memory, {one.part.devices} {where}", one.peak_mib, _MEMORY_MIB, " MiB"))
    return [*found, Target("requests of one address at once", results.paths.most, MAX_REQUESTS_PER_HOST)]
