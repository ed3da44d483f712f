"""Jobs and targets split over several functions: who asks what, when the split changes, and that no tick is missing."""

from __future__ import annotations

import contextlib
import json
import random
import uuid
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from hashlib import md5
from itertools import cycle
from pathlib import Path
from typing import Any

import pytest

from lambda_remote_write.app import App, PushFailed
from lambda_remote_write.config.load import parse_config
from lambda_remote_write.dependencies import Dependencies
from lambda_remote_write.environment import Environment
from lambda_remote_write.events import BadEvent
from sandbox.amp import Labels, Limits, Receiver
from sandbox.api import Api
from sandbox.s3 import ObjectStore
from sandbox.server import Answer, Fault, Request
from tests.rig.clock import StandingClock
from tests.rig.delivery import ENVIRONMENT, KEYS, no_session
from tests.rig.push import config_text, endpoint, job
from tests.rig.tables import events, table

pytestmark = pytest.mark.slow

MINUTE_MS = 60_000
START_MS = 1_717_200_000_000  # 2024-06-01T00:00:00Z, a whole minute
# Names of which every shard has some, for up to five shards: where targets go depends on their port.
JOBS = ["orders", "billing", "search", "mail", "stock", "media"]
PAGES = 8
DOWN = Fault.status(404, b'{"Message":"Workspace not found"}')
# Each job has two records and each page three lines; five more tell how the scrape went.
SERIES = len(JOBS) * (2 + 5) + PAGES * (3 + 5)


def hashmod(text: str, modulus: int) -> int:
    """As Prometheus's relabelling has it: the last eight bytes of the MD5, big endian."""
    return int.from_bytes(md5(text.encode(), usedforsecurity=False).digest()[8:], "big") % modulus


class Fleet:
    """A function with several environments over one store: the events of a tick go to any of them, each to another."""

    def __init__(
        self,
        folder: Path,
        api: Api,
        amp: Receiver,
        bucket: ObjectStore,
        clock: StandingClock,
        location: str | None,
        **env_vars: str,
    ) -> None:
        self.clock, self.api, self.amp, self.location = clock, api, amp, location
        self.bucket = bucket
        self.config = folder / "config.yaml"
        self._env_vars = ENVIRONMENT | {"AWS_REGION": KEYS.region, "PUSHER_TICK": "1m"} | env_vars
        self._all_dependencies: list[Dependencies] = []
        self.apps: list[App] = []
        self.random = random.Random(1)
        for name in JOBS:
            api.serve(f"/{name}", self._records)
        for page in range(PAGES):
            api.serve(f"/page/{page}", self._page)
        self.write()

    def write(self, jobs: Sequence[str] = JOBS, pages: Sequence[int] = range(PAGES), **top: Any) -> None:
        """The config, with the spool where there is one."""
        address = self.api.url.removeprefix("http://")
        targets = [
            {"targets": [address], "labels": {"__metrics_path__": f"/page/{page}", "page": str(page)}} for page in pages
        ]
        spool = {"spool": {"location": self.location}} if self.location else {}
        self.config.write_text(
            config_text(
                [job(f"{self.api.url}/{name}", name) for name in jobs],
                [endpoint(self.amp, "amp")],
                scrape_configs=[{"job_name": "pages", "static_configs": targets}],
                **spool | top,
            )
        )

    def _records(self, request: Request) -> Answer:
        return Answer.json([{"id": str(n), "value": n, "at": self.clock.ms} for n in range(2)])

    def _page(self, request: Request) -> Answer:
        lines = "".join(f'rows{{row="{n}"}} {n}\n' for n in range(3))
        return Answer(200, {"Content-Type": "text/plain; version=0.0.4"}, lines.encode())

    def new_app(self, actions: Sequence[str] = ("push", "plan"), **env_vars: str) -> App:
        own = {"PUSHER_CONFIG": str(self.config), "POWERTOOLS_SERVICE_NAME": f"s-{uuid.uuid4()}"}
        dependencies = Dependencies(self._env_vars | own | env_vars, self.clock.now_ms, no_session, self.clock.sleep)
        self._all_dependencies.append(dependencies)
        return App(dependencies, actions)

    def close(self) -> None:
        for dependencies in self._all_dependencies:
            dependencies.transport.close()

    # ticks

    @property
    def ticks(self) -> list[int]:
        """All ticks so far."""
        return list(range((self.clock.ms - START_MS) // MINUTE_MS))

    def event(self, shard: int, shards: int) -> dict[str, Any]:
        minute = (self.clock.ms - START_MS) // MINUTE_MS
        scheduled = f"2024-06-01T{minute // 60:02}:{minute % 60:02}:00Z"
        return {"action": "push", "scheduled_time": scheduled, "shard": shard, "shards": shards}

    def pick(self, count: int) -> list[App]:
        """So many environments at random; now and then one of them is new."""
        while len(self.apps) < count + 2:
            self.apps.append(self.new_app())
        if self.random.random() < 0.2:
            self.apps[self.random.randrange(len(self.apps))] = self.new_app()
        return self.random.sample(self.apps, count)

    def tick(self, shards: int, down: Sequence[int] = ()) -> dict[int, dict[str, Any]]:
        """One event for each shard, one after the other in any order; the receiver is down for those of `down`."""
        found, scheduled_ms = {}, self.clock.ms
        order = self.random.sample(range(shards), shards)
        for shard, app in zip(order, self.pick(shards), strict=True):
            self.amp.always(DOWN if shard in down else None)
            found[shard] = app.handle(self.event(shard, shards), None)
            self.clock.ms += 100
        self.amp.always(None)
        self.clock.ms = scheduled_ms + MINUTE_MS
        return found

    def tick_of(self, apps: Sequence[App], shards: int, down: Sequence[int] = ()) -> dict[int, dict[str, Any]]:
        """One event for each of the first shards, to these environments in this order."""
        found = {}
        for shard, app in enumerate(apps):
            self.amp.always(DOWN if shard in down else None)
            found[shard] = app.handle(self.event(shard, shards), None)
        self.amp.always(None)
        self.clock.ms += MINUTE_MS
        return found

    def tick_at_once(self, shards: int, *, down: bool = False) -> dict[int, dict[str, Any]]:
        """One event for each shard, side by side."""
        self.amp.always(DOWN if down else None)
        with ThreadPoolExecutor(shards) as pool:
            apps = self.pick(shards)
            runs = [pool.submit(app.handle, self.event(shard, shards), None) for shard, app in enumerate(apps)]
            found = {shard: run.result() for shard, run in enumerate(runs)}
        self.amp.always(None)
        self.clock.ms += MINUTE_MS
        return found

    def ticks_of(self, labels: Labels) -> list[int]:
        """When a series has a sample, in the order of arrival."""
        return [(stamp - START_MS) // MINUTE_MS for stamp, _ in self.amp.samples[labels]]

    def assert_every_tick_is_there_once(self) -> None:
        """For every series that there should be, in order."""
        samples = self.amp.samples
        assert len(samples) == SERIES
        # How many series have which ticks: shorter to read than all of them, when it fails.
        assert Counter(tuple(self.ticks_of(labels)) for labels in samples) == {tuple(self.ticks): SERIES}
        assert self.amp.refused == 0
        for points in samples.values():
            stamps = [stamp for stamp, _ in points]
            assert stamps == sorted(stamps)


@contextlib.contextmanager
def fleet_of(
    folder: Path, store: str = "folder", on_request: Callable[[str, Request], None] | None = None, **env_vars: str
) -> Iterator[Fleet]:
    """`store` is folder, s3 or none."""
    clock = StandingClock(START_MS)
    with (
        Api() as api,
        Receiver(now=clock.time, limits=Limits(out_of_order_seconds=0)) as amp,
        ObjectStore(now=clock.time, on_request=on_request) as bucket,
    ):
        location = {"folder": str(folder / "kept"), "s3": "s3://spool", "none": None}[store]
        fleet = Fleet(folder, api, amp, bucket, clock, location, AWS_ENDPOINT_URL_S3=bucket.base_url, **env_vars)
        try:
            yield fleet
        finally:
            fleet.close()


@pytest.fixture
def fleet(tmp_path: Path) -> Iterator[Fleet]:
    with fleet_of(tmp_path) as found:
        yield found


def shard_of(report: Mapping[str, Any]) -> str:
    """As the report names it; the only shard needs no name. Empty for a run that had nothing to do."""
    if "shards" in report:
        return ", ".join(shard_of(one) for one in report["shards"])
    return str(report.get("shard", "0/1"))


def shards_of(reports: Mapping[int, Mapping[str, Any]]) -> list[str]:
    return [shard_of(reports[shard]) for shard in sorted(reports)]


def runs_of(reports: Mapping[int, Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """The runs of all shards."""
    return [run for report in reports.values() for run in report.get("shards", [report])]


def warnings_of(report: Mapping[str, Any]) -> str:
    return " ".join(detail for one in (report, *report.get("shards", ())) for detail in one["warnings"])


def spooled(fleet: Fleet) -> list[str]:
    folder = Path(fleet.location or "") / "spool"
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


def jobs_of(run: Mapping[str, Any]) -> set[str]:
    return {one["job"] for one in run["jobs"]}


# --- Who asks what ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("shards", [1, 2, 3, 4, 16])
def test_a_job_is_in_the_shard_that_hashmod_of_its_name_says(tmp_path: Path, shards: int) -> None:
    with fleet_of(tmp_path, "none") as fleet:
        reports = fleet.tick(shards)
        for shard, report in reports.items():
            expected = {name for name in JOBS if hashmod(name, shards) == shard}
            assert jobs_of(report) - {"pages"} == expected
            assert shard_of(report) == f"{shard}/{shards}"


@pytest.mark.parametrize("shards", [2, 3, 7])
def test_a_target_is_in_the_shard_that_hashmod_of_its_job_and_key_says(tmp_path: Path, shards: int) -> None:
    with fleet_of(tmp_path, "none") as fleet:
        text, dependencies = fleet.config.read_text(), Dependencies(ENVIRONMENT, fleet.clock.now_ms, no_session)
        whole = Environment(parse_config(text, "config.yaml", ENVIRONMENT), dependencies)
        whole.discover(1e9)
        (pool,) = [pool for pool in whole.pools if pool.finder]
        assert all(key.startswith("pages/") for key in pool.scrapers)
        expected = Counter(hashmod(key, shards) for key in pool.scrapers)
        assert len(pool.scrapers) == PAGES
        found = Counter[int]()
        for shard, report in fleet.tick(shards).items():
            found[shard] = sum(one["targets"] for one in report["jobs"] if one["job"] == "pages")
        assert +found == expected


@pytest.mark.parametrize("store", ["folder", "s3", "none"])
@pytest.mark.parametrize("shards", [1, 2, 4])
def test_every_job_and_target_is_asked_once_a_tick(tmp_path: Path, store: str, shards: int) -> None:
    with fleet_of(tmp_path, store) as fleet:
        for _ in range(3):
            fleet.tick(shards)
        assert set(Counter(request.path for request in fleet.api.requests).values()) == {3}
        fleet.assert_every_tick_is_there_once()


def test_the_split_does_not_follow_the_order_of_the_config(fleet: Fleet) -> None:
    """What stands elsewhere, or beside others, stays in its shard."""

    def asked() -> list[set[str]]:
        found = []
        for shard in range(3):
            before = len(fleet.api.requests)
            fleet.new_app().handle(fleet.event(shard, 3), None)
            found.append({request.path for request in fleet.api.requests[before:]})
        fleet.clock.ms += MINUTE_MS
        return found

    before = asked()
    fleet.write(JOBS[::-1], range(PAGES)[::-1])
    assert asked() == before
    fleet.write(JOBS[:3], range(4))
    left = {*(f"/{name}" for name in JOBS[:3]), *(f"/page/{page}" for page in range(4))}
    assert asked() == [paths & left for paths in before]


def test_each_shard_has_its_own_spool_prefix_and_state(fleet: Fleet) -> None:
    """What waits of one shard is delivered by that shard."""
    fleet.tick(3, down=[0, 1, 2])
    assert [key.split("/")[:2] for key in spooled(fleet)] == [["amp", "0"], ["amp", "1"], ["amp", "2"]]
    states = {path.name for path in (Path(fleet.location or "") / "state").iterdir()}
    assert {"0", "1", "2"} <= states
    reports = fleet.tick(3, down=[0, 2])
    accepted = {shard: report["endpoints"][0]["accepted"] for shard, report in reports.items()}
    assert (accepted[0], accepted[2]) == (0, 0)
    assert accepted[1] == 2 * reports[1]["endpoints"][0]["collected"]
    assert sorted({key.split("/")[1] for key in spooled(fleet)}) == ["0", "2"]
    fleet.tick(3)
    fleet.assert_every_tick_is_there_once()


# --- Events that name no shard ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("store", ["folder", "none"])
def test_an_event_without_a_shard_runs_all_of_them_one_after_the_other(tmp_path: Path, store: str) -> None:
    with fleet_of(tmp_path, store, PUSHER_SHARDS="3") as fleet:
        report = fleet.new_app().handle({"action": "push"}, None)
        fleet.clock.ms += MINUTE_MS
        assert report["ok"] is True
        assert shard_of(report) == "0/3, 1/3, 2/3"
        fleet.assert_every_tick_is_there_once()


@pytest.mark.parametrize("detail", [{}, {"PUSHER_SHARDS": "1"}, {"PUSHER_SHARDS": ""}], ids=["nothing", "1", "empty"])
def test_one_shard_is_the_whole(tmp_path: Path, detail: dict[str, str]) -> None:
    with fleet_of(tmp_path, **detail) as fleet:
        report = fleet.new_app().handle({}, None)
        assert report["totals"]["AcceptedSamples"] == SERIES
        assert len(report["jobs"]) == len(JOBS) + 1


def test_the_events_number_of_shards_counts_where_it_names_no_shard(tmp_path: Path) -> None:
    with fleet_of(tmp_path, "none", PUSHER_SHARDS="2") as fleet:
        assert shard_of(fleet.new_app().handle({"action": "push", "shards": 3}, None)) == "0/3, 1/3, 2/3"


def test_named_jobs_are_pushed_in_whichever_shard_they_are(tmp_path: Path) -> None:
    with fleet_of(tmp_path, PUSHER_SHARDS="4") as fleet:
        report = fleet.new_app().handle({"action": "push", "jobs": [JOBS[1], JOBS[4]]}, None)
        runs = report["shards"]
        assert sorted(name for run in runs for name in jobs_of(run)) == [JOBS[1], JOBS[4]]
        for run in runs:
            index = int(run["shard"].split("/")[0])
            assert all(hashmod(name, 4) == index for name in jobs_of(run))


def test_undelivered_samples_of_one_shard_fail_the_invocation_and_the_others_are_pushed(tmp_path: Path) -> None:
    with fleet_of(tmp_path, "none", PUSHER_SHARDS="3") as fleet:
        fleet.amp.script(DOWN)
        with pytest.raises(PushFailed, match="undelivered"):
            fleet.new_app().handle({}, None)
        assert 0 < len(fleet.amp.samples) < SERIES


# --- Bad values -------------------------------------------------------------------------------------------------------


@table("keys, words", events("refused for their shard"))
def test_a_shard_that_cannot_be_is_refused(fleet: Fleet, keys: dict[str, Any], words: list[str]) -> None:
    """The message names the key, the value and what is allowed; nothing is asked and nothing decided."""
    with pytest.raises(BadEvent) as caught:
        fleet.new_app().handle({"action": "push", **keys}, None)
    assert [word for word in words if word not in str(caught.value)] == []
    assert (fleet.api.requests, fleet.amp.requests) == ([], [])
    assert not (Path(fleet.location or "") / "state").exists()


# --- Plan -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("shards", [2, 3, 4])
def test_a_plan_shows_what_each_shard_then_pushes(tmp_path: Path, shards: int) -> None:
    with fleet_of(tmp_path) as fleet:
        split = fleet.new_app().handle({"action": "plan", "shards": shards}, None)["split"]
        assert fleet.amp.requests == []
        assert [row["shard"] for row in split] == list(range(shards))
        for shard, report in fleet.tick(shards).items():
            targets = sum(one.get("targets", 0) for one in report["jobs"])
            row = split[shard]
            assert (set(row["jobs"]), row["targets"]) == (jobs_of(report), targets)
            assert row["samples"] == report["endpoints"][0]["collected"] == report["endpoints"][0]["accepted"]


def test_a_plan_shows_the_split_of_the_environment(tmp_path: Path) -> None:
    with fleet_of(tmp_path, PUSHER_SHARDS="2") as fleet:
        split = fleet.new_app().handle({"action": "plan"}, None)["split"]
        assert sum(row["targets"] for row in split) == PAGES
        assert sum(row["samples"] for row in split) == SERIES
        assert len(split) == 2


def test_a_plan_decides_nothing(fleet: Fleet) -> None:
    """The next event's number is still a new stack's."""
    fleet.new_app().handle({"action": "plan", "shards": 3}, None)
    assert shards_of(fleet.tick(2)) == of(2)


# --- When the split changes -------------------------------------------------------------------------------------------


def of(shards: int) -> list[str]:
    """All of so many shards, each run by its own event."""
    return [f"{shard}/{shards}" for shard in range(shards)]


# Ticks one after the other: how many of them, the events' number, the shards whose receiver is down, and which shards
# each event runs. None where that depends on the order of the runs within a tick.
Ticks = tuple[int, int, Sequence[int], list[str] | None]
STILL_1, STILL_2 = ["0/1", "", "", ""], ["0/2", "1/2", "", ""]
BOTH_STORES: dict[str, list[Ticks]] = {
    "a new stack takes its number at once": [(1, 4, (), of(4))],
    "a greater number is used two ticks later by all shards": [
        (1, 1, (), of(1)),
        (2, 4, (), STILL_1),
        (2, 4, (), of(4)),
    ],
    # Until then the shards that have lost their schedule are run by others: shard j by j modulo the new number.
    "5 to 2 forgets no shard": [(1, 5, (), of(5)), (2, 2, (), ["0/5, 2/5, 4/5", "1/5, 3/5"]), (1, 2, (), of(2))],
    "4 to 3 forgets no shard": [(1, 4, (), of(4)), (2, 3, (), ["0/4, 3/4", "1/4", "2/4"]), (1, 3, (), of(3))],
    "3 to 1 forgets no shard": [(1, 3, (), of(3)), (2, 1, (), ["0/3, 1/3, 2/3"]), (1, 1, (), of(1))],
}
IN_A_FOLDER: dict[str, list[Ticks]] = {
    # The entries of the first shards do not keep the others from it.
    "a new stack whose receiver is down takes its number at once too": [(2, 4, range(4), of(4)), (1, 4, (), of(4))],
    "nothing changes while something waits": [
        (1, 2, (), of(2)), (1, 2, [1], of(2)), (3, 4, [1], STILL_2),
        (3, 4, (), None),  # the run that delivers it may not be the first one of its tick
        (1, 4, (), None), (1, 4, (), of(4)),
    ],
    # The tick after the agreement looks again. It was agreed before, or by, those that had something to keep.
    "an agreed change is taken back when something waits again in shard 0": [
        (1, 2, (), of(2)), (2, 3, [0], None), (1, 3, [0], STILL_2[:3]), (4, 3, (), None), (1, 3, (), of(3)),
    ],
    "an agreed change is taken back when something waits again in shard 1": [
        (1, 2, (), of(2)), (2, 3, [1], None), (1, 3, [1], STILL_2[:3]), (4, 3, (), None), (1, 3, (), of(3)),
    ],
    "a number that goes back a tick later is not used": [(1, 2, (), of(2)), (1, 4, (), STILL_2), (4, 2, (), of(2))],
    "a number that goes back two ticks later is not used": [(1, 2, (), of(2)), (2, 4, (), STILL_2), (4, 2, (), of(2))],
    "what waits in the tick between stops the change although that tick delivers it": [
        (1, 2, (), of(2)), (1, 3, [0], None), (2, 3, (), STILL_2[:3]), (1, 3, (), None), (1, 3, (), of(3)),
    ],
    "a number that changes once more before it is used gives way": [
        (1, 1, (), of(1)), (1, 4, (), STILL_1), (5, 3, (), None), (1, 3, (), of(3)),
    ],
    "an agreement upon another number is taken back too when something waits": [
        (1, 1, (), of(1)), (1, 4, [0], None), (2, 3, [0], STILL_1[:3]), (4, 3, (), None), (1, 3, (), of(3)),
    ],
}  # fmt: skip


SCENARIOS = {("folder", name): ticks for name, ticks in IN_A_FOLDER.items()} | {
    (store, name): ticks for name, ticks in BOTH_STORES.items() for store in ("folder", "s3")
}


@pytest.mark.parametrize(("store", "name"), SCENARIOS)
def test_when_a_number_is_used(tmp_path: Path, store: str, name: str) -> None:
    """Whatever happens, each run is a success, and every series has every tick once."""
    with fleet_of(tmp_path, store) as fleet:
        for count, shards, down, expected in SCENARIOS[store, name]:
            for _ in range(count):
                reports = fleet.tick(shards, down)
                assert all(report["ok"] for report in reports.values())
                assert expected is None or shards_of(reports) == expected
        fleet.assert_every_tick_is_there_once()


def test_a_new_stack_has_nothing_to_warn_of_and_a_change_that_waits_is_said(fleet: Fleet) -> None:
    assert "".join(map(warnings_of, fleet.tick(2).values())) == ""
    fleet.tick(2, down=[1])
    for report in fleet.tick(4, down=[1]).values():
        assert "2" in warnings_of(report)
        assert "4" in warnings_of(report)


def test_what_waits_of_a_shard_without_a_schedule_is_delivered(fleet: Fleet) -> None:
    fleet.tick(4)
    fleet.tick(4, down=[3])
    assert [key.split("/")[1] for key in spooled(fleet)] == ["3"]
    fleet.tick(2)
    assert spooled(fleet) == []
    for _ in range(3):
        reports = fleet.tick(2)
    assert shards_of(reports) == of(2)
    fleet.assert_every_tick_is_there_once()


def test_an_event_that_comes_late_is_of_the_split_of_its_tick(fleet: Fleet) -> None:
    """Another shard has already begun with the new one."""
    fleet.tick(2)
    fleet.tick(3)
    late = fleet.event(1, 3)
    fleet.new_app().handle(fleet.event(0, 3), None)
    fleet.clock.ms += MINUTE_MS
    assert shard_of(fleet.new_app().handle(fleet.event(0, 3), None)) == "0/3"
    assert shard_of(fleet.new_app().handle(late, None)) == "1/2"
    assert shard_of(fleet.new_app().handle(fleet.event(1, 3), None)) == "1/3"


def test_what_begins_to_wait_in_the_tick_between_stops_the_change(fleet: Fleet) -> None:
    """Although nothing waited when that tick began. The last run of the tick is the one that keeps something."""
    fleet.tick(4)
    fleet.tick(2)
    fleet.tick_of([fleet.new_app(), fleet.new_app()], 2, down=[1])
    assert {key.split("/")[1] for key in spooled(fleet)} == {"1", "3"}
    assert shards_of(fleet.tick(2)) == ["0/4, 2/4", "1/4, 3/4"]
    assert spooled(fleet) == []
    for _ in range(4):
        reports = fleet.tick(2)
    assert shards_of(reports) == of(2)
    fleet.assert_every_tick_is_there_once()


def test_a_tick_between_that_never_came_does_not_bring_the_change_over_what_waits(fleet: Fleet) -> None:
    fleet.tick(2)
    fleet.tick_of([fleet.new_app() for _ in range(3)], 3, down=[1])
    fleet.clock.ms += MINUTE_MS  # in this one no shard was invoked
    assert shards_of(fleet.tick(3)) == ["0/2", "1/2", ""]
    assert spooled(fleet) == []


@pytest.mark.parametrize(("known", "in_force"), [(4, 1), (4, 2), (1, 4), (1, 2)])
def test_an_environment_that_has_known_the_number_before_does_not_use_it_too_early(
    fleet: Fleet, known: int, in_force: int
) -> None:
    """It may have slept through the split that is in force."""
    slept = [fleet.new_app() for _ in range(known)]
    fleet.tick_of(slept, known)
    for _ in range(4):
        fleet.tick(in_force)
    for _ in range(2):
        assert all(f"/{known}" not in shard for shard in shards_of(fleet.tick_of(slept, known)))
    assert shards_of(fleet.tick(known)) == [f"{shard}/{known}" for shard in range(known)]
    fleet.assert_every_tick_is_there_once()


def test_a_change_that_is_taken_back_by_an_environment_that_slept_is_taken_back(fleet: Fleet) -> None:
    """Those that know only the old number say so; those that begin later believe them."""
    slept = [fleet.new_app() for _ in range(2)]
    fleet.tick_of(slept, 2)
    fleet.tick(4)
    for apps in (slept, slept, slept, [fleet.new_app(), fleet.new_app()]):
        assert shards_of(fleet.tick_of(apps, 2)) == of(2)
    fleet.assert_every_tick_is_there_once()


def test_a_shard_that_begins_while_another_writes_a_new_stacks_split_takes_it(tmp_path: Path) -> None:
    """The other one is quicker between two requests of this one."""
    others: list[App] = []

    def quicker(operation: str, request: Request) -> None:
        if operation == "list" and not others:
            others.append(fleet.new_app())
            others[0].handle(fleet.event(0, 2), None)

    with fleet_of(tmp_path, "s3", quicker) as fleet:
        assert shard_of(fleet.new_app().handle(fleet.event(1, 2), None)) == "1/2"


def test_many_entries_of_people_do_not_hide_what_waits_of_a_shard(fleet: Fleet) -> None:
    """A listing of S3 has a thousand keys."""
    fleet.tick(1)
    folder = Path(fleet.location or "") / "spool" / "aaa" / "operator"
    folder.mkdir(parents=True)
    for number in range(1_000):
        (folder / f"{number:013}-x").touch()
    for _ in range(4):
        assert shards_of(fleet.tick(2, down=[0])) == ["0/1", ""]


def test_without_a_spool_the_number_is_what_the_event_says(tmp_path: Path) -> None:
    with fleet_of(tmp_path, "none") as fleet:
        for shards in (1, 4, 2, 3):
            assert shards_of(fleet.tick(shards)) == [f"{shard}/{shards}" for shard in range(shards)]
        fleet.assert_every_tick_is_there_once()


def test_what_people_have_pushed_does_not_block_a_change(fleet: Fleet) -> None:
    fleet.tick(1)
    operator = fleet.new_app(("plan", "push_samples"))
    fleet.amp.always(DOWN)
    operator.handle({"action": "push_samples", "samples": [{"labels": {"__name__": "by_hand"}, "value": 1}]}, None)
    fleet.amp.always(None)
    assert [key.split("/")[1] for key in spooled(fleet)] == ["operator"]
    for _ in range(2):
        fleet.tick(2)
    assert shards_of(fleet.tick(2)) == of(2)
    assert [key.split("/")[1] for key in spooled(fleet)] == ["operator"]
    fleet.assert_every_tick_is_there_once()


def test_an_event_without_a_shard_keeps_to_the_split_too(tmp_path: Path) -> None:
    with fleet_of(tmp_path, PUSHER_SHARDS="3") as fleet:
        fleet.tick(2)
        found = []
        for _ in range(4):
            found.append(
                shard_of(fleet.new_app().handle({"scheduled_time": fleet.event(0, 1)["scheduled_time"]}, None))
            )
            fleet.clock.ms += MINUTE_MS
        assert found == ["0/2, 1/2", "0/2, 1/2", "0/3, 1/3, 2/3", "0/3, 1/3, 2/3"]
        fleet.assert_every_tick_is_there_once()


# --- Ticks and outages ------------------------------------------------------------------------------------------------

# From 1 over 4 to 2, each for long enough that a change comes about, with the receiver down for some ticks.
NUMBERS = [1] * 4 + [4] * 14 + [2] * 14 + [3] * 10
OUTAGES = {
    "none": set[int](),
    "before each change": {2, 3, 4, 5, 16, 17, 18, 31, 32},
    "in the tick of the agreement": {4, 18, 32},
    "in the tick between": {5, 19, 33},
    "in the tick of the change": {6, 20, 34},
    "again and again": {4, 6, 8, 18, 20, 22, 32, 34, 36},
    "long": {*range(3, 12), *range(17, 24)},
}


# Each outage in one of the two ways in which shards run.
IN_TURN, AT_ONCE = ("folder", False), ("s3", True)
WAYS = [(outage, *way) for outage, way in zip(OUTAGES, cycle([AT_ONCE, IN_TURN]), strict=False)]


@pytest.mark.parametrize(("outage", "store", "at_once"), WAYS)
def test_no_tick_is_missing_or_there_twice(tmp_path: Path, outage: str, store: str, at_once: bool) -> None:
    with fleet_of(tmp_path, store) as fleet:
        for index, shards in enumerate(NUMBERS):
            is_down = index in OUTAGES[outage]
            if at_once:
                fleet.tick_at_once(shards, down=is_down)
            else:
                reports = fleet.tick(shards, range(shards) if is_down else ())
                assert all(run["ok"] for run in runs_of(reports))
        assert shards_of(fleet.tick(3)) == of(3)
        fleet.assert_every_tick_is_there_once()


@pytest.mark.parametrize("seed", range(4))
def test_no_tick_is_missing_when_single_runs_meet_an_outage(tmp_path: Path, seed: int) -> None:
    """An outage may begin and end between two shards' runs of one tick."""
    chance = random.Random(seed)
    with fleet_of(tmp_path) as fleet:
        fleet.random.seed(seed)
        for shards in NUMBERS:
            fleet.tick(shards, [shard for shard in range(shards) if chance.random() < 0.15])
        for _ in range(6):
            reports = fleet.tick(3)
        assert shards_of(reports) == of(3)
        fleet.assert_every_tick_is_there_once()


# --- What was agreed cannot be read -----------------------------------------------------------------------------------

DAMAGED = {
    "nothing": b"",
    "no JSON": b"{",
    "no text": b"\xff\x00\xfe",
    "a number": b"4",
    "a list": b"[]",
    "an empty object": b"{}",
    "null": b"null",
    "other keys": b'{"other": 1}',
}


def split_of_four(fleet: Fleet) -> Path:
    """Where it is written, after a change from one."""
    fleet.tick(1)
    for _ in range(3):
        fleet.tick(4)
    split = Path(fleet.location or "") / "state" / "split"
    assert split.is_file()
    return split


@pytest.mark.parametrize("damage", DAMAGED)
def test_a_damaged_split_is_said_and_the_run_goes_on(fleet: Fleet, damage: str) -> None:
    split_of_four(fleet).write_bytes(DAMAGED[damage])
    reports = fleet.tick(4)
    assert all(report["ok"] for report in reports.values())
    assert any("state/split" in warnings_of(report) for report in reports.values())
    for _ in range(4):
        fleet.tick(4)
    fleet.assert_every_tick_is_there_once()


def test_a_split_that_is_damaged_during_a_change_is_the_same_for_environments_old_and_new(fleet: Fleet) -> None:
    """Those that have read it before know no more than the others."""
    apps = [fleet.new_app() for _ in range(2)]
    fleet.tick_of(apps, 2)
    fleet.tick(4)
    (Path(fleet.location or "") / "state" / "split").write_bytes(b"{")
    reports = fleet.tick_of([*apps, fleet.new_app(), fleet.new_app()], 4)
    assert [report["ok"] for report in reports.values()] == [True] * 4
    fleet.assert_every_tick_is_there_once()


@pytest.mark.parametrize("value", [0, -1, "4", 1.5, None, [4], True], ids=repr)
def test_numbers_that_cannot_be_are_damage_too(fleet: Fleet, value: Any) -> None:
    """Whatever the object's keys are called: none of its numbers may end a run."""
    split = split_of_four(fleet)
    found = json.loads(split.read_bytes())
    assert isinstance(found, dict)
    for key in found:
        split.write_text(json.dumps(found | {key: value}))
        reports = fleet.tick(4)
        assert all(report["ok"] for report in reports.values())
    fleet.assert_every_tick_is_there_once()


@pytest.mark.parametrize("operation", ["get", "list", "put", "*"])
def test_a_store_that_fails_does_not_end_the_run(tmp_path: Path, operation: str) -> None:
    with fleet_of(tmp_path, "s3") as fleet:
        for _ in range(2):
            fleet.tick(2)
        fleet.bucket.always(operation, Fault.status(403))
        for _ in range(2):
            reports = fleet.tick(2)
            assert all(report["ok"] for report in reports.values())
        fleet.bucket.always(operation, None)
        fleet.tick(2)
        fleet.assert_every_tick_is_there_once()


@pytest.mark.parametrize("operation", ["get", "put"])
def test_a_shard_whose_store_fails_during_a_change_does_what_the_others_expect(tmp_path: Path, operation: str) -> None:
    """The old split stays for all, or none."""
    with fleet_of(tmp_path, "s3") as fleet:
        apps = [fleet.new_app() for _ in range(4)]

        def tick(shards: int, failing: int | None = None) -> None:
            for shard, app in enumerate(apps[:shards]):
                fleet.bucket.always(operation, Fault.status(403) if shard == failing else None)
                app.handle(fleet.event(shard, shards), None)
            fleet.clock.ms += MINUTE_MS

        tick(2)
        tick(2)
        for failing in (0, 1, 2, None, 0, 2, None, None):
            tick(4, failing)
        fleet.assert_every_tick_is_there_once()
