"""Two shards in two processes of the real Lambda runtime, side by side: together they push what one pushes alone."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from sandbox.amp import Labels, Receiver, SigV4
from sandbox.api import Api
from sandbox.runtime import Invocation, LambdaRuntime
from sandbox.server import Answer, Request
from tests.rig.push import config_text, endpoint, job

TOKEN = "session-token-of-the-sandbox"
PAGES, LINES, JOBS, RECORDS, TICKS = 4, 2_500, 4, 3, 3
SYNTHETIC = 5  # up and its four companions, for each job and page
SERIES = PAGES * (LINES + SYNTHETIC) + JOBS * (RECORDS + SYNTHETIC)


class Sources:
    """Pages and APIs whose numbers are those of the tick."""

    def __init__(self, api: Api) -> None:
        self.tick = 0
        self._api = api
        self._address = api.url.removeprefix("http://")
        for number in range(PAGES):
            api.serve(f"/page/{number}", self._page)
        for number in range(JOBS):
            api.serve(f"/records/{number}", self._records)

    def _page(self, request: Request) -> Answer:
        lines = (f'rows{{row="{row}",kind="{row % 7}"}} {row + self.tick}\n' for row in range(LINES))
        return Answer(200, {"Content-Type": "text/plain; version=0.0.4"}, "".join(lines).encode())

    def _records(self, request: Request) -> Answer:
        now_ms = int(time.time() * 1000)
        return Answer.json([{"id": str(row), "value": row + self.tick, "at": now_ms} for row in range(RECORDS)])

    def config(self, receiver: Receiver, spool: Path) -> str:
        pages = [
            {"targets": [self._address], "labels": {"__metrics_path__": f"/page/{page}", "page": str(page)}}
            for page in range(PAGES)
        ]
        return config_text(
            [job(f"http://{self._address}/records/{number}", f"api-{number}") for number in range(JOBS)],
            [endpoint(receiver, "amp")],
            scrape_configs=[{"job_name": "pages", "static_configs": pages}],
            spool={"location": str(spool)},
        )


class Stack:
    """A config, a spool, a receiver, and as many environments as there are shards."""

    def __init__(self, artefact: Path, sources: Sources, folder: Path, shards: int, stack: ExitStack) -> None:
        folder.mkdir()
        self.receiver = stack.enter_context(Receiver(auth=SigV4(token=TOKEN)))
        self.shards, self.spool = shards, folder / "kept"
        config = folder / "config.yaml"
        config.write_text(sources.config(self.receiver, self.spool))
        env_vars = {
            "PUSHER_CONFIG": str(config), "PUSHER_TICK": "1m", "PUSHER_SHARDS": str(shards),
            "POWERTOOLS_SERVICE_NAME": "metrics",
        }  # fmt: skip
        self.runtimes = [
            stack.enter_context(LambdaRuntime(artefact, "lambda_remote_write.app.push_handler", env_vars))
            for _ in range(shards)
        ]

    def push(self, scheduled_time: str, order: Sequence[int] = ()) -> list[Mapping[str, Any]]:
        """One event for each shard at the same time; `order` says which environment gets which."""
        events = [
            {"action": "push", "scheduled_time": scheduled_time, "shard": shard, "shards": self.shards}
            for shard in order or range(self.shards)
        ]
        with ThreadPoolExecutor(self.shards) as pool:
            results: list[Invocation] = list(pool.map(LambdaRuntime.invoke, self.runtimes, events))
        for result in results:
            assert not result.error, result.log
        return [result.payload for result in results]

    def values(self) -> dict[Labels, list[float]]:
        """Of each series in the order of arrival, without those that tell of a process rather than of its pages: how
        long a scrape took, and how many series an environment sees for the first time."""
        return {
            labels: [value for _, value in points]
            for labels, points in self.receiver.samples.items()
            if dict(labels)["__name__"] not in ("scrape_duration_seconds", "scrape_series_added")
        }


@pytest.fixture
def stacks(host_artefact: Path, tmp_path: Path) -> Iterator[tuple[Sources, Stack, Stack]]:
    """One function, and two of which each has a half, over the same sources."""
    with ExitStack() as stack:
        sources = Sources(stack.enter_context(Api()))
        yield (
            sources,
            Stack(host_artefact, sources, tmp_path / "one", 1, stack),
            Stack(host_artefact, sources, tmp_path / "two", 2, stack),
        )


def test_two_processes_push_together_what_one_pushes_alone(stacks: tuple[Sources, Stack, Stack]) -> None:
    sources, one, two = stacks
    start = int(time.time()) // 60 * 60 - 60 * TICKS
    for tick in range(TICKS):
        sources.tick = tick
        scheduled = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(start + 60 * tick))
        (whole,) = one.push(scheduled)
        order = [1, 0] if tick % 2 else [0, 1]  # either environment may get either shard
        halves = two.push(scheduled, order)
        assert [half["shard"] for half in halves] == [f"{shard}/2" for shard in order]
        assert whole["totals"]["AcceptedSamples"] == SERIES
        assert sum(half["totals"]["AcceptedSamples"] for half in halves) == SERIES
        assert all(half["totals"]["AcceptedSamples"] for half in halves)
        assert not any(half["warnings"] for half in halves)
    assert len(two.receiver.samples) == SERIES
    together, alone = two.values(), one.values()
    # Some of the differences, because comparing ten thousand series in words takes minutes.
    assert together.keys() == alone.keys()
    assert [labels for labels in alone if together[labels] != alone[labels]][:3] == []
    for points in two.receiver.samples.values():
        stamps = [stamp for stamp, _ in points]
        assert len(set(stamps)) == TICKS
        assert stamps == sorted(stamps)
    rows = (points for labels, points in two.values().items() if ("__name__", "rows") in labels)
    assert all([value - points[0] for value in points] == [*range(TICKS)] for points in rows)
    assert one.receiver.refused == two.receiver.refused == 0


def test_an_environment_sends_no_end_of_what_another_has_taken_over(stacks: tuple[Sources, Stack, Stack]) -> None:
    """Each keeps what it knows of a shard apart: another shard's event ends nothing."""
    _, _, two = stacks
    start = int(time.time()) // 60 * 60 - 60 * TICKS
    for tick in range(TICKS):
        scheduled = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(start + 60 * tick))
        two.push(scheduled, [tick % 2, 1 - tick % 2])
    assert {len(points) for points in two.values().values()} == {TICKS}
    assert all(value == value for points in two.values().values() for value in points)


def test_named_jobs_of_a_process_of_its_own_are_in_their_shards(stacks: tuple[Sources, Stack, Stack]) -> None:
    """An event without a shard runs all of the split in one environment."""
    _, _, two = stacks
    result = two.runtimes[0].invoke({"action": "push", "jobs": ["api-0", "pages"]})
    assert not result.error, result.log
    runs = result.payload["shards"]
    assert [run["shard"] for run in runs] == ["0/2", "1/2"]
    assert sum(run["totals"]["AcceptedSamples"] for run in runs) == PAGES * (LINES + SYNTHETIC) + RECORDS + SYNTHETIC
