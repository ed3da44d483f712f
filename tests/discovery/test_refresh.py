"""Lists over the runs of a warm environment: when they are asked for again, what stays, and that nothing waits."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from lambda_remote_write.discovery import Discovery, TargetLists, discover
from lambda_remote_write.discovery.refresh import TargetList
from lambda_remote_write.discovery.target_groups import MAX_TARGETS, DiscoveryError, Parts, TargetGroup
from tests.rig.clouds import Ec2, Item
from tests.rig.command_line import SOURCES
from tests.rig.discovery import Clock, Rig, addresses, configs, write

ROOT = Path(__file__).parents[2]


class Lister:
    """What a source asks; `answers` are taken one after the other, the last one again and again."""

    def __init__(self, *answers: Parts | Exception) -> None:
        self.answers = list(answers)
        self.calls = 0
        self.go_on = threading.Event()
        self.go_on.set()

    def __call__(self, deadline: float) -> Parts:
        self.calls += 1
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        self.go_on.wait(30)
        if isinstance(answer, Exception):
            raise answer
        return answer


def targets(*names: str) -> tuple[TargetGroup, ...]:
    return (TargetGroup("s", tuple({"__address__": name} for name in names)),)


class Listed:
    """A source that is asked every minute, with a clock that a test moves."""

    def __init__(self, *answers: Parts | Exception) -> None:
        self.clock, self.lister = Clock(), Lister(*answers)
        self.target_list = TargetList("key", "place", self.lister, 60_000, self.clock)

    def run(self, after: float = 0.0, seconds: float = 5.0) -> tuple[list[str], list[str]]:
        """(addresses, warnings) of a run that starts `after` the last one and has `seconds`."""
        self.clock.ahead += after
        deadline = self.clock() + seconds
        self.target_list.start(deadline)
        found = self.target_list.found(deadline)
        return addresses(found), found.warnings

    def answer_late(self) -> None:
        """The call that hangs gets its answer, between two runs."""
        running = self.target_list._running
        assert running
        self.lister.go_on.set()
        running.call.wait(5)


KEPT = "the list of {} ago stays in use (1 target)"


def test_cached_for_the_interval() -> None:
    """Within the interval the list is as it was; a run a little early counts as in time."""
    listed = Listed({"": targets("a")}, {"": targets("b")})
    assert listed.run() == (["a"], [])
    assert listed.run(after=30) == (["a"], [])
    assert listed.lister.calls == 1
    assert listed.run(after=29) == (["b"], [])


def test_failure_keeps_the_last_good_list() -> None:
    """With its age and what went wrong, at every run until it is mended."""
    broken = DiscoveryError("broken")
    listed = Listed({"": targets("a")}, broken, broken, {"": targets("b")})
    listed.run()
    assert listed.run(after=60) == (["a"], [f"key: broken; {KEPT.format('1m')}"])
    assert listed.run(after=10) == (["a"], [f"key: broken; {KEPT.format('1m10s')}"])
    assert listed.run(after=10) == (["b"], [])


@pytest.mark.parametrize(("more", "kept"), [(0, False), (1, True)], ids=["as many as it may have", "one more"])
def test_a_list_of_too_many_targets_has_failed(more: int, kept: bool) -> None:
    """Of two parts the other one is not affected."""
    many = targets(*map(str, range(MAX_TARGETS + more)))
    listed = Listed({"x": targets("a"), "y": targets("b")}, {"x": many, "y": targets("c")})
    listed.run()
    found, warnings = listed.run(after=60)
    assert (found[0] == "a", found[-1], len(warnings)) == (kept, "c", int(kept))
    assert [one for one in warnings if "x: lists more than 100,000 targets" in one] == warnings


def test_failure_from_the_start() -> None:
    """Nothing is known, and why; the next run asks again, but not within seconds."""
    listed = Listed(DiscoveryError("broken"), {"": targets("a")})
    assert listed.run() == ([], ["key: broken; no targets are known"])
    assert listed.run(after=5) == ([], ["key: broken; no targets are known"])
    assert listed.run(after=5) == (["a"], [])


@pytest.mark.parametrize(
    ("answers", "expected"),
    [
        pytest.param([DiscoveryError("broken")], True, id="never had"),
        pytest.param([{"": targets("a")}, DiscoveryError("broken")], False, id="had before"),
        pytest.param([{"x": targets("x"), "y": DiscoveryError("y broke")}], True, id="a part never had"),
        pytest.param([{"": ()}], False, id="empty"),
    ],
)
def test_unknown_is_a_list_that_never_succeeded(answers: list[Parts | Exception], expected: bool) -> None:
    """An earlier list stays in use; without one, there may be targets that are not scraped."""
    listed = Listed(*answers)
    for _ in answers:
        listed.run(after=60)
    assert listed.target_list.found(listed.clock()).is_unknown is expected


def test_a_bug_is_reported() -> None:
    """An unexpected error fails the list and not the run."""
    listed = Listed({"": targets("a")}, ValueError("odd"))
    listed.run()
    assert listed.run(after=60) == (["a"], [f"key: ValueError: odd, which is a bug; {KEPT.format('1m')}"])


def test_parts() -> None:
    """A part that fails stays as it was, one that is no longer listed goes, others are as they are now."""
    first: Parts = {"x": targets("x1"), "y": targets("y1"), "z": targets("z1")}
    listed = Listed(first, {"y": DiscoveryError("y broke"), "x": targets("x2"), "w": DiscoveryError("w broke")})
    listed.run()
    assert listed.run(after=60) == (
        ["y1", "x2"],
        [f"key: y broke; {KEPT.format('1m')}", "key: w broke; no targets are known"],
    )


def test_an_empty_list_is_an_answer() -> None:
    """Targets that are no longer listed go."""
    listed = Listed({"": targets("a")}, {"": ()})
    listed.run()
    assert listed.run(after=60) == ([], [])


def test_a_hung_call_is_not_waited_for() -> None:
    """The deadline holds, the last good list stays."""
    listed = Listed({"": targets("a")}, {"": targets("b")})
    listed.run()
    listed.lister.go_on.clear()
    started = time.monotonic()
    assert listed.run(after=60, seconds=0.2) == (
        ["a"],
        [f"key: place: no answer within the run's time; {KEPT.format('1m')}"],
    )
    assert 0.2 <= time.monotonic() - started < 20
    listed.lister.go_on.set()


def test_a_late_answer_serves_the_next_run() -> None:
    """What an abandoned call brought in the meantime is as good as if it had been waited for."""
    listed = Listed({"": targets("late")}, {"": targets("new")})
    listed.lister.go_on.clear()
    assert listed.run(seconds=0.1)[0] == []
    listed.answer_late()
    assert listed.run(after=30) == (["late"], [])
    assert listed.lister.calls == 1


def test_a_late_failure_is_asked_again() -> None:
    """It says nothing about now."""
    listed = Listed(DiscoveryError("late"), {"": targets("new")})
    listed.lister.go_on.clear()
    listed.run(seconds=0.1)
    listed.answer_late()
    assert listed.run(after=30) == (["new"], [])


def test_an_abandoned_answer_does_not_overwrite_a_newer_one() -> None:
    """A call that hangs over the next run is replaced, and what it brings in the end counts for nothing."""
    listed = Listed({"": targets("old")}, {"": targets("new")})
    listed.lister.go_on.clear()
    listed.run(seconds=0.1)
    abandoned = listed.target_list._running
    assert abandoned
    frozen, listed.lister.go_on = listed.lister.go_on, threading.Event()
    listed.lister.go_on.set()
    assert listed.run(after=30) == (["new"], [])
    frozen.set()
    abandoned.call.wait(5)
    assert listed.run(after=5) == (["new"], [])


def test_no_time_left() -> None:
    """A run that begins at its deadline asks nothing, and says so."""
    listed = Listed({"": targets("a")})
    assert listed.run(seconds=0) == ([], ["key: place: no answer within the run's time; no targets are known"])
    assert listed.lister.calls == 0


# --- Jobs -------------------------------------------------------------------------------------------------------------


def test_static_targets(rig: Rig) -> None:
    """They need no request, and no time."""
    entry = "static_configs: [{targets: [a, b], labels: {x: y}}, {targets: [c]}]"
    found = rig.discovery(entry).targets(rig.deadline(-1))
    assert [(group.source, dict(group.labels)) for group in found.groups] == [("0", {"x": "y"}), ("1", {})]
    assert (addresses(found), found.warnings) == (["a", "b", "c"], [])


def test_several_ways(rig: Rig, tmp_path: Path) -> None:
    """A job's targets are those of all its configs; a failed one does not affect the others."""
    write(tmp_path / "a.json", "file:1")
    entry = f"""
    file_sd_configs: [{{files: [{tmp_path}/a.json]}}]
    http_sd_configs: [{{url: "http://127.0.0.1:1/"}}]
    static_configs: [{{targets: ["static:1"]}}]
    """
    found = rig.found(entry)
    assert addresses(found) == ["static:1", "file:1"]
    assert len(found.warnings) == 1


def instance(number: int) -> Item:
    return {"InstanceId": f"i-{number}", "PrivateIpAddress": f"10.0.0.{number}"}


class Slow(Ec2):
    """Takes a moment for every answer."""

    def _called(self, operation: str, arguments: object) -> None:
        time.sleep(0.5)
        super()._called(operation, {})


def test_side_by_side(make_rig: Callable[..., Rig]) -> None:
    """Ten lists take as long as one."""
    slow = Slow([instance(1)])
    rig = make_rig(client=lambda service, config: slow)
    regions = ", ".join(f"{{region: eu-west-{number}}}" for number in range(1, 6))
    jobs = [rig.discovery(f"ec2_sd_configs: [{regions}]") for _ in range(2)]
    started = time.monotonic()
    found = discover(jobs, rig.deadline())
    assert time.monotonic() - started < 7
    assert [len(addresses(one)) for one in found] == [5, 5]
    assert len(slow.calls) == 2 * 5 * 2


def test_jobs_share_equal_configs(make_rig: Callable[..., Rig]) -> None:
    """As in Prometheus: ten jobs on the same instances ask once."""
    ec2 = Ec2([instance(1)])
    rig = make_rig(client=lambda service, config: ec2)
    shared: TargetLists = {}
    entries = ["ec2_sd_configs: [{port: 9100}]"] * 2 + ["ec2_sd_configs: [{port: 9200}]"]
    jobs = [Discovery(configs(entry), rig.discovery_clients, shared) for entry in entries]
    found = discover(jobs, rig.deadline())
    assert [addresses(one) for one in found] == [["10.0.0.1:9100"], ["10.0.0.1:9100"], ["10.0.0.1:9200"]]
    assert ec2.names().count("describe_instances") == 2


def test_a_new_config_inherits(make_rig: Callable[..., Rig]) -> None:
    """A reloaded config does not forget the last good lists of what has not changed."""
    ec2 = Ec2([instance(1)])
    rig = make_rig(client=lambda service, config: ec2)
    shared: TargetLists = {}
    Discovery(configs("ec2_sd_configs: [{}]"), rig.discovery_clients, shared).targets(rig.deadline())
    ec2.denied["describe_instances"] = "RequestLimitExceeded"
    rig.clock.ahead += 60
    reloaded = Discovery(
        configs("ec2_sd_configs: [{}]\nstatic_configs: [{targets: [a]}]"), rig.discovery_clients, shared
    )
    found = reloaded.targets(rig.deadline())
    assert addresses(found) == ["a", "10.0.0.1:80"]
    assert len(found.warnings) == 1


def test_two_jobs_at_once(make_rig: Callable[..., Rig]) -> None:
    """Jobs may be asked from several threads and still share."""
    slow = Slow([instance(1)])
    rig = make_rig(client=lambda service, config: slow)
    shared: TargetLists = {}
    jobs = [Discovery(configs("ec2_sd_configs: [{}]"), rig.discovery_clients, shared) for _ in range(8)]
    found: list[list[str]] = []
    threads = [
        threading.Thread(target=lambda job=job: found.append(addresses(job.targets(rig.deadline())))) for job in jobs
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [["10.0.0.1:80"]] * 8
    assert slow.names().count("describe_instances") == 1


def test_a_cold_start_does_not_pay() -> None:
    """Neither boto3 nor dnspython is imported until a list needs it."""
    ours = "lambda_remote_write.discovery, lambda_remote_write.aws.s3, lambda_remote_write.aws.clients"
    code = f"import sys, {ours}; print({{'boto3', 'botocore', 'dns', 'xml.etree'}} & sys.modules.keys())"
    result = subprocess.run([sys.executable, "-c", code], env=SOURCES, capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "set()"
