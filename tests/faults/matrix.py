"""Everything that can break between a run and its receiver, one case each, and what became of every sample.

A case is two healthy runs, two under the fault, and runs until all is well again, one a minute. Afterwards the
receiver must hold every sample once and in order, or the reports must name what is missing. `make faults` prints the
table.
"""

from __future__ import annotations

import contextlib
import random
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from lambda_remote_write.config.load import parse_config
from lambda_remote_write.dependencies import Dependencies
from lambda_remote_write.environment import Environment
from lambda_remote_write.push import push
from lambda_remote_write.remote_write.encode.decode import unpack
from lambda_remote_write.report.report import Report
from lambda_remote_write.scrape.schedule import Tick
from lambda_remote_write.spool import entry as entries
from lambda_remote_write.store import Store
from sandbox.amp import Limits, Receiver, SigV4
from sandbox.api import Api
from sandbox.s3 import ObjectStore
from sandbox.server import Answer, Fault, Request
from tests.rig.delivery import KEYS, Clock, in_order, no_session
from tests.rig.push import config_text, endpoint, job

HEALTHY, BROKEN, MAX_RECOVERY = 2, 2, 6
RUN_SECONDS = 2.0  # for what a run does while something hangs, also on a machine that has other things to do
SERIES = 8  # three records, and five that the job has anyway
NO_NAME = "http://no-such-name.invalid/workspaces/ws-sandbox/api/v1/remote_write"
UNUSED_PORT = "http://127.0.0.1:1/workspaces/ws-sandbox/api/v1/remote_write"  # no process listens there

Act = Callable[["Scene"], None]


def nothing(scene: Scene) -> None:
    """The scene stays as it is."""


@dataclass(frozen=True, slots=True)
class Case:
    """What breaks (`start`), and what mends it (`stop`). `between` happens after each broken run. `may_lose` says that
    the reports may name samples that are missing, `takes_all` that the receiver must get each of them; `spool` is where
    what is left waits. Without `keep_valid` the receiver is as Prometheus: it takes nothing late, and all of a request
    or nothing."""

    name: str
    start: Act
    stop: Act = nothing
    between: Act = nothing
    may_lose: bool = False
    takes_all: bool = False
    mode: str = "on_failure"
    spool: str = "s3"
    seconds: float = RUN_SECONDS
    keep_valid: bool = True


@dataclass(slots=True)
class Row:
    """A line of the table. `named` samples are in the reports as refused, dropped or undelivered."""

    name: str
    samples: int
    accepted: int
    dead: int
    named: int
    lost: int
    in_order: bool
    runs: int
    problems: list[str] = field(default_factory=list)


class Scene:
    """A source, a receiver, a bucket and an environment, on one clock that moves by the minute."""

    def __init__(self, case: Case, api: Api, amp: Receiver, bucket: ObjectStore, folder: Path, clock: Clock) -> None:
        self.case, self.amp, self.bucket, self.folder, self.clock = case, amp, bucket, folder, clock
        self.env_vars = {
            "AWS_ACCESS_KEY_ID": KEYS.access_key, "AWS_SECRET_ACCESS_KEY": KEYS.secret_key, "AWS_REGION": KEYS.region,
            "AWS_ENDPOINT_URL_S3": bucket.base_url,
        }  # fmt: skip
        self.url, self.reports, self.value = amp.url, list[Report](), 0
        self.seconds = case.seconds
        self._source = api.serve(f"/records/{id(self)}", self._records)
        self.dependencies = self._dependencies()
        self.environment: Environment | None = None

    def _records(self, request: Request) -> Answer:
        self.value += 1
        records = [{"id": str(n), "value": self.value, "at": self.clock.now_ms()} for n in range(3)]
        return Answer.json(records)

    def _dependencies(self) -> Dependencies:
        return Dependencies(self.env_vars, self.clock.now_ms, no_session, self.clock.sleep)

    @property
    def location(self) -> str:
        return "s3://spool" if self.case.spool == "s3" else str(self.folder)

    def store(self) -> Store:
        return self.dependencies.store(self.location)

    def config(self) -> str:
        quick = {"max_samples_per_send": "3", "min_backoff": "20ms", "max_backoff": "50ms"}
        entry = endpoint(self.amp, "amp", queue_config=quick, remote_timeout="1s") | {"url": self.url}
        spool = {"location": self.location, "mode": self.case.mode}
        return config_text([job(self._source)], [entry], spool=spool)

    def change_config(self, url: str) -> None:
        self.url = url
        self.environment = self._environment(self.environment)

    def cold_start(self) -> None:
        """The environment is gone, with all that it remembers."""
        self.dependencies.transport.close()
        self.dependencies, self.environment = self._dependencies(), None

    def _environment(self, before: Environment | None) -> Environment:
        config = parse_config(self.config(), "config.yaml", self.env_vars)
        return Environment(config, self.dependencies, before=before, gap_backfill=True)

    def run(self) -> Report:
        self.environment = environment = self.environment or self._environment(None)
        tick = Tick(self.clock.now_ms(), None, environment.config.tick_ms, frozenset(environment.config.job_names()))
        report = push(environment, tick, time.monotonic() + self.seconds)
        assert report.balances, report.as_dict()
        self.reports.append(report)
        self.clock.ahead += 60
        return report

    # what became of the samples

    def handed_over(self) -> int:
        return sum(delivery.collected for report in self.reports for delivery in report.deliveries)

    def stored(self) -> list[tuple[Any, int]]:
        return [(labels, stamp) for labels, points in self.amp.samples.items() for stamp, _ in points]

    def kept(self, part: str) -> set[tuple[Any, int]]:
        """(series, time) of what is in the spool, or dead."""
        found, store = set[tuple[Any, int]](), self.store()
        for key in store.list(f"{part}/", time.monotonic() + 5):
            content = store.get(key, time.monotonic() + 5)
            if content is None or key.endswith(".unreadable"):
                continue
            for request in entries.decode(content.content).requests:
                samples, _ = unpack(request)
                found |= {(s.prefix, stamp) for s, stamp in zip(samples.series, samples.timestamps_ms, strict=True)}
        return found

    def set_aside(self) -> int:
        """Entries that were damaged, each of one run; the report has named them."""
        keys = self.store().list("dead/", time.monotonic() + 5)
        count = sum(key.endswith(".unreadable") for key in keys)
        assert count == sum(one.waiting.unreadable for report in self.reports for one in report.deliveries)
        return count

    def is_well(self) -> bool:
        """The last run had nothing left over."""
        last = self.reports[-1].deliveries[0]
        return not (last.spooled.total() or last.waiting.entries or last.undelivered.total())


@contextlib.contextmanager
def scene_of(case: Case) -> Iterator[Scene]:
    clock = Clock(really_sleeps=True)
    clock.ahead = -1_800.0  # the clock moves by minutes: it must not run far ahead of the real one
    limits = Limits(out_of_order_seconds=60 if case.keep_valid else 0)
    with (
        Api() as api,
        Receiver(now=clock.time, keep_valid=case.keep_valid, limits=limits) as amp,
        ObjectStore(now=clock.time) as bucket,
        tempfile.TemporaryDirectory() as folder,
    ):
        scene = Scene(case, api, amp, bucket, Path(folder), clock)
        try:
            yield scene
        finally:
            scene.dependencies.transport.close()


def play(case: Case) -> Row:
    """One case from its beginning to its end."""
    with scene_of(case) as scene:
        for _ in range(HEALTHY):
            scene.run()
        case.start(scene)
        for _ in range(BROKEN):
            scene.run()
            case.between(scene)
        case.stop(scene)
        scene.seconds = 5.0
        for _ in range(MAX_RECOVERY):
            scene.run()
            if scene.is_well():
                break
        return _row(scene)


def _row(scene: Scene) -> Row:
    scene.bucket.end_faults()  # what follows is the test's own look
    stored = scene.stored()
    deliveries = [delivery for report in scene.reports for delivery in report.deliveries]
    named = sum(one.rejected.total() + one.dropped.total() + one.undelivered.total() for one in deliveries)
    in_dead = sum(
        one.dropped.counts["too_old"] + one.dropped.counts["unreadable"] + one.rejected.counts["overtaken"]
        for one in deliveries
    )
    dead = len(scene.kept("dead")) + SERIES * scene.set_aside()
    row = Row(
        scene.case.name,
        samples=scene.handed_over(),
        accepted=len(set(stored)),
        dead=dead,
        named=named - in_dead,
        lost=0,
        in_order=in_order(scene.amp),
        runs=len(scene.reports),
    )
    row.lost = max(row.samples - row.accepted - row.dead - row.named, 0)
    if len(stored) != len(set(stored)):
        row.problems.append("the receiver holds a sample twice")
    if scene.case.takes_all and row.accepted < row.samples:
        row.problems.append("the receiver lacks a sample")
    if scene.kept("spool"):
        row.problems.append("something still waits")
    if not scene.is_well():
        row.problems.append("the last run was not well")
    return row


# --- The cases --------------------------------------------------------------------------------------------------------


def receiver_does(fault: Fault) -> Act:
    return lambda scene: scene.amp.always(fault)


def receiver_is_well(scene: Scene) -> None:
    scene.amp.always(None)


def receiver_and(operation: str, fault: Fault) -> Act:
    """The receiver is down, and S3 as well."""

    def start(scene: Scene) -> None:
        scene.amp.always(Fault.status(503))
        scene.bucket.always(operation, fault)

    return start


def all_is_well(scene: Scene) -> None:
    scene.amp.always(None)
    scene.bucket.always("*", None)
    scene.bucket.thaw_lists()


def _receiver(name: str, fault: Fault, **more: Any) -> Case:
    return Case(name, receiver_does(fault), receiver_is_well, **more)


def _expire(scene: Scene) -> None:
    scene.amp.auth = SigV4(expired=True)


def _renew(scene: Scene) -> None:
    fresh = SigV4(access_key="AKIDFRESH", secret_key="fresh")
    scene.amp.auth = fresh
    scene.env_vars |= {"AWS_ACCESS_KEY_ID": fresh.access_key, "AWS_SECRET_ACCESS_KEY": fresh.secret_key}
    scene.bucket.auth = SigV4(access_key="AKIDFRESH", secret_key="fresh", service="s3")


def receiver_limits(limits: Limits) -> Act:
    return lambda scene: setattr(scene.amp, "limits", limits)


def _jump(seconds: float) -> Act:
    def jump(scene: Scene) -> None:
        scene.amp.always(Fault.status(503))
        scene.run()
        scene.clock.ahead += seconds

    return jump


def address_is(url_of: Callable[[str], str]) -> Act:
    """The config's, made of the receiver's own."""
    return lambda scene: scene.change_config(url_of(scene.amp.url))


def _freeze(scene: Scene) -> None:
    scene.amp.always(Fault.status(503))
    scene.run()
    scene.bucket.freeze_lists()


def _seconds(seconds: float) -> Act:
    def start(scene: Scene) -> None:
        scene.seconds = seconds
        scene.amp.always(Fault.delay(0.15))

    return start


def receiver_scripts(*faults: Fault | None) -> Act:
    return lambda scene: scene.amp.script(*faults)


def s3_does(operation: str, fault: Fault) -> Act:
    return lambda scene: scene.bucket.always(operation, fault)


def s3_at_recovery(operation: str, *faults: Fault | None) -> Act:
    """When the receiver is well again."""

    def stop(scene: Scene) -> None:
        scene.amp.always(None)
        scene.bucket.script(operation, *faults)

    return stop


def _damage_and_mend(scene: Scene) -> None:
    """What waits can no longer be read."""
    for key, content in scene.bucket.objects.items():
        if key.startswith("spool/"):
            scene.bucket.put(key, content[:-7])
    scene.amp.always(None)


NOT_FOUND = Fault.status(404)  # ends a run at once, however long it might take
GARBLED = Fault(instead=Answer(200, {"ETag": '"e"'}, b"not what was stored"), handled=False)
CUT_HEAD = Fault.garbage(b'HTTP/1.1 200 OK\r\nETag: "e"\r\n')  # the stream ends within the head
BAD_READS = (GARBLED, CUT_HEAD, Fault.half_answer(), Fault.reset_mid_answer(), Fault.status(500))


def _many_wait(scene: Scene) -> None:
    scene.amp.always(NOT_FOUND)
    for _ in range(20):
        scene.run()


def bad_reads(*faults: Fault | None) -> Act:
    """The first read is that of the state object."""
    return s3_at_recovery("get", None, *faults)


def _some_bad_reads(share: float) -> Act:
    chance = random.Random(20261129)
    return bad_reads(*(chance.choice(BAD_READS) if chance.random() < share else None for _ in range(200)))


def cold_while_s3(**failures: int) -> Act:
    """Something waits, the receiver is well again, and a new environment finds a bucket that fails so often, or for as
    long as the case lasts."""

    def start(scene: Scene) -> None:
        scene.amp.always(NOT_FOUND)
        scene.run()
        scene.amp.always(None)
        scene.cold_start()
        if not failures:
            scene.bucket.always("*", Fault.status(500))
        for operation, count in failures.items():
            scene.bucket.script(operation, *[Fault.status(500)] * count)

    return start


FLAP = receiver_scripts(*[Fault.status(503), None, Fault.reset(), None, Fault.lost_answer()] * 3)
MIXED = receiver_scripts(*[Fault.half_answer(), Fault.lost_answer(), Fault.garbage()] * 6)
NEVER = "Fri, 31 Dec 2100 23:59:59 GMT"
STATUSES = (301, 401, 403, 404, 408, 429, 500, 501, 502, 503, 504, 599)
HARD = (400, 402, 405, 410, 413, 415, 422, 431, 451)  # refused for good: the reports name what is missing

CASES = [
    Case("nothing", nothing),
    *(_receiver(f"answers {status}", Fault.status(status, b"said so")) for status in STATUSES),
    *(_receiver(f"answers {status}", Fault.status(status, b"said so"), may_lose=True) for status in HARD),
    *(_receiver(f"answers {status}", Fault.status(status), mode="always") for status in (403, 429, 503)),
    _receiver("429 with Retry-After", Fault.status(429, headers={"Retry-After": "9999"})),
    _receiver("503 with a date to come back", Fault.status(503, headers={"Retry-After": NEVER})),
    _receiver("reset before the body was read", Fault.reset(before_body=True)),
    _receiver("reset after the body was read", Fault.reset()),
    _receiver("stores, and its answer is lost", Fault.lost_answer()),
    _receiver("stores, and its answer is lost", Fault.lost_answer(), mode="always"),
    _receiver("half a response", Fault.half_answer()),
    _receiver("reset within the response", Fault.reset_mid_answer()),
    _receiver("answers no HTTP", Fault.garbage()),
    _receiver("dies within the head of its answer", Fault.cut_head()),
    _receiver("hangs", Fault.hang()),
    _receiver("hangs", Fault.hang(), mode="always"),
    _receiver("hangs within the response", Fault.hang_mid_answer()),
    _receiver("slow loris: a byte at a time", Fault.drip(0.1)),
    _receiver("answers after the timeout", Fault.delay(1.5)),
    Case("flaps", nothing, receiver_is_well, between=FLAP),
    Case("flaps", nothing, receiver_is_well, between=FLAP, mode="always"),
    *(Case(f"{name}; all or nothing{', cold starts' if between is Scene.cold_start else ''}", start, receiver_is_well,
           between, may_lose=True, takes_all=True, mode=mode, keep_valid=False)
      for name, start in (("answers 503", receiver_does(Fault.status(503))),
                          ("stores, and its answer is lost", receiver_does(Fault.lost_answer())),
                          ("half responses, lost ones, garbage", MIXED), ("flaps", FLAP))
      for between in (nothing, Scene.cold_start)
      for mode in ("on_failure", "always")),
    Case("429 storm: a rate of two samples a second", receiver_limits(Limits(samples_per_second=2)),
         receiver_limits(Limits())),
    Case("DNS: the name does not resolve", address_is(lambda _: NO_NAME), address_is(str)),
    Case("TLS fails", address_is(lambda url: url.replace("http:", "https:")), address_is(str)),
    Case("connections refused", address_is(lambda _: UNUSED_PORT), address_is(str)),
    Case("credentials expire", _expire, _renew),
    Case("the clock jumps two hours ahead", _jump(7_200), receiver_is_well),
    Case("the clock jumps half a minute back", _jump(-30), receiver_is_well),
    Case("down for more than an hour", receiver_does(Fault.status(503)), receiver_is_well,
         between=lambda scene: setattr(scene.clock, "ahead", scene.clock.ahead + 1_500)),
    Case("cold start after every run", receiver_does(Fault.status(503)), receiver_is_well, between=Scene.cold_start),
    Case("cold start after every run", receiver_does(Fault.status(503)), receiver_is_well, between=Scene.cold_start,
         mode="always"),
    Case("in a folder", receiver_does(Fault.status(503)), receiver_is_well, spool="folder"),
    Case("in a folder, cold starts", receiver_does(Fault.hang()), receiver_is_well, spool="folder",
         between=Scene.cold_start),
    *(Case(f"time is up after {seconds} s", _seconds(seconds), all_is_well, seconds=seconds)
      for seconds in (0.3, 0.5, 0.7)),
    *(Case(f"S3 {operation}: {name}, receiver well", s3_does(operation, fault), all_is_well)
      for operation in ("put", "get", "list", "delete", "*")
      for name, fault in (("500", Fault.status(500)), ("hang", Fault.hang()))),
    *(Case(f"S3 {operation}: hang, cold starts, receiver well", s3_does(operation, Fault.hang()), all_is_well,
           between=Scene.cold_start)
      for operation in ("get", "list", "*")),
    *(Case(f"S3 {operation}: {name}, receiver down", receiver_and(operation, fault), all_is_well, may_lose=True)
      for operation in ("put", "get", "list", "delete", "*")
      for name, fault in (("500", Fault.status(500)), ("503, slow", Fault.status(503, delay_seconds=0.1)),
                          ("reset", Fault.reset()), ("answer lost", Fault.lost_answer()))),
    *(Case(f"S3 {operation}: 500 at recovery", receiver_does(Fault.status(503)),
           s3_at_recovery(operation, *[Fault.status(500)] * 2))
      for operation in ("get", "list", "delete", "put")),
    *(Case(f"S3 {operation}: heads cut, receiver well", s3_does(operation, Fault.cut_head()), all_is_well)
      for operation in ("put", "get", "list", "delete", "*")),
    Case("S3 lists are stale", _freeze, all_is_well),
    Case("S3 lists are stale, cold starts", _freeze, all_is_well, between=Scene.cold_start),
    Case("entries are damaged", receiver_does(Fault.status(503)), _damage_and_mend, may_lose=True),
    Case("entries are damaged, cold starts", receiver_does(NOT_FOUND), _damage_and_mend, may_lose=True,
         between=Scene.cold_start, seconds=5.0),
    *(Case(f"S3 get: the first {count} reads of an entry are {name}", receiver_does(NOT_FOUND),
           bad_reads(*[fault] * count), seconds=5.0, takes_all=True)
      for count in (1, 2, 9)
      for name, fault in (("garbled", GARBLED), ("cut in the head", CUT_HEAD), ("cut", Fault.half_answer()))),
    *(Case(f"S3 get: {share:.0%} fail while many entries are drained", _many_wait, _some_bad_reads(share),
           seconds=5.0, takes_all=True)
      for share in (0.05, 0.4)),
    Case("S3 is away at a cold start, and something waits", cold_while_s3(), all_is_well, may_lose=True, seconds=2.0),
    Case("S3 is away at cold starts, and something waits", cold_while_s3(), all_is_well, may_lose=True,
         between=Scene.cold_start, seconds=2.0),
    Case("S3 is back within a cold run, and something waits", cold_while_s3(get=4, list=4), all_is_well, seconds=10.0,
         takes_all=True),
    *(Case(f"S3 {operation}: 500, receiver well", s3_does(operation, Fault.status(500)), all_is_well, mode="always")
      for operation in ("put", "list", "delete", "get")),
]  # fmt: skip


def table(rows: list[Row]) -> str:
    """For people: what was broken, and what became of the samples."""
    head = f"{'fault':58} {'samples in':>10} {'accepted':>9} {'dead':>5} {'named':>6} {'lost':>5}"
    lines = [
        f"{row.name:58} {row.samples:10} {row.accepted:9} {row.dead:5} {row.named:6} {row.lost:5}"
        f"{'' if row.in_order else '  OUT OF ORDER'}{'  '.join(['', *row.problems])}"
        for row in rows
    ]
    return "\n".join([head, *lines])


def title(case: Case) -> str:
    return case.name + (", write-ahead" if case.mode == "always" else "")


def main() -> int:
    rows = []
    for case in CASES:
        row = play(case)
        row.name = title(case)
        rows.append(row)
    print(table(rows))
    return int(any(row.lost or row.problems or not row.in_order for row in rows))


if __name__ == "__main__":
    raise SystemExit(main())
