"""The spool from a shell and from Lambda: what waits is listed, shown, exported, deleted, drained; what is dead too."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from lambda_remote_write.app import App
from lambda_remote_write.dependencies import Dependencies
from lambda_remote_write.events import BadEvent, parse_event
from sandbox.amp import Limits, Receiver
from sandbox.api import Api
from sandbox.s3 import ObjectStore
from sandbox.server import Fault
from tests.rig.command_line import pusher
from tests.rig.delivery import ENVIRONMENT, Clock, no_session
from tests.rig.push import Source, config_text, endpoint, job, now_ms

pytestmark = pytest.mark.slow


@dataclass
class Place:
    """A config whose receiver is down, with one run's samples in its spool: three records and five of the job."""

    config: Path
    spool: Path
    amp: Receiver

    def entries(self, part: str = "spool") -> list[str]:
        found = (self.spool / part).rglob("*") if (self.spool / part).exists() else ()
        return sorted(str(path.relative_to(self.spool)) for path in found if path.is_file())


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    with Api() as api, Receiver() as amp:
        source = Source(api)
        source.records = lambda: [{"id": str(n), "value": n, "at": now_ms()} for n in range(3)]
        path, spool = tmp_path / "config.yaml", tmp_path / "kept"
        entry = endpoint(amp, "amp", queue_config={"sample_age_limit": "1h"})
        path.write_text(config_text([job(source.url)], [entry], spool={"location": str(spool)}))
        amp.always(Fault.status(404, b'{"Message":"Workspace not found"}'))
        pushed = pusher("push", path, "--timeout", "5")
        assert pushed.returncode == 1
        assert "8 spooled" in pushed.stdout
        assert "spool: 0 entries drained with 0 samples taken, 1 entry left" in pushed.stdout
        yield Place(path, spool, amp)


def rewritten(place: Place, **changes: Any) -> None:
    """Changes keys of the config; None takes one away."""
    text = json.loads(place.config.read_text()) | changes
    place.config.write_text(json.dumps({key: value for key, value in text.items() if value is not None}))


def run(*arguments: Any) -> dict[str, Any]:
    done = pusher(*arguments, "--json")
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def test_list_says_what_waits_and_why(place: Place) -> None:
    shown = pusher("spool", place.config)
    (key,) = place.entries()
    assert shown.returncode == 0
    assert shown.stdout.splitlines()[0].startswith(f"{key}  8 samples, the oldest of 20")
    assert "Workspace not found" in shown.stdout
    assert shown.stdout.splitlines()[-1] == f"{place.spool}: 1 entry, 8 samples"
    listed = run("spool", place.config, "list")
    assert (listed["place"], listed["samples"], listed["unreadable"]) == (str(place.spool), 8, {})
    (entry,) = listed["entries"]
    assert (entry["key"], entry["endpoint"], entry["samples"]) == (key, "amp", 8)
    assert sum(one["count"] for one in entry["reasons"].values()) == 8
    assert abs(entry["oldest_ms"] - now_ms()) < 60_000


def test_show_and_export_are_text_of_every_sample(place: Place) -> None:
    (key,) = place.entries()
    shown = pusher("spool", place.config, "show", "--key", key).stdout.splitlines()
    exported = pusher("spool", place.config, "export").stdout.splitlines()
    assert len(shown) == 8
    assert exported.pop() == "# EOF"
    for line, other in zip(shown, exported, strict=True):
        series, value, milliseconds = line.rsplit(" ", 2)
        assert other == f"{series} {value} {int(milliseconds) // 1000}.{int(milliseconds) % 1000:03d}"
    assert any(line.startswith('requests_total{id="2",') for line in shown)


def test_a_file_is_written_whole_or_not_at_all(place: Place, tmp_path: Path) -> None:
    file = tmp_path / "out.om"
    assert pusher("spool", place.config, "export", "-o", file).returncode == 0
    assert file.read_text().endswith("# EOF\n")
    failed = pusher("spool", place.config, "export", "-o", tmp_path / "nowhere" / "out.om")
    assert failed.returncode == 1
    assert "nowhere" in failed.stderr


def test_drain_sends_what_waits_and_nothing_fresh(place: Place) -> None:
    assert pusher("spool", place.config, "drain", "--timeout", "5").returncode == 1
    place.amp.always(None)
    drained = pusher("spool", place.config, "drain")
    assert drained.returncode == 0, drained.stdout
    assert "spool: 1 entry drained with 8 samples taken, 0 entries left" in drained.stdout
    assert place.amp.accepted == 8
    assert place.entries() == []


@dataclass
class SpooledRun:
    """A config whose spool is in S3, with one run's samples in it; its receiver is well again."""

    config: Path
    amp: Receiver
    bucket: ObjectStore

    def pusher(self, *arguments: Any) -> subprocess.CompletedProcess[str]:
        """A command line of its own each time: every push is cold."""
        return pusher(*arguments, AWS_ENDPOINT_URL_S3=self.bucket.base_url, AWS_REGION="us-east-1")

    def push(self, seconds: int) -> tuple[int, dict[str, Any], dict[str, Any]]:
        """The exit status, the report, and the part of the endpoint."""
        done = self.pusher("push", self.config, "--timeout", str(seconds), "--json")
        report = json.loads(done.stdout)
        return done.returncode, report, report["endpoints"][0]


@pytest.fixture
def spooled(tmp_path: Path) -> Iterator[SpooledRun]:
    with Api() as api, Receiver(limits=Limits(out_of_order_seconds=0)) as amp, ObjectStore() as bucket:
        source = Source(api)
        source.records = lambda: [{"id": str(n), "value": n, "at": now_ms()} for n in range(3)]
        found = SpooledRun(tmp_path / "config.yaml", amp, bucket)
        entry = endpoint(amp, "amp", queue_config={"sample_age_limit": "1h"})
        found.config.write_text(config_text([job(source.url)], [entry], spool={"location": "s3://spool"}))
        amp.always(Fault.status(404))
        assert found.push(20)[1]["totals"]["SpooledSamples"] == 8
        amp.always(None)
        yield found


def test_a_push_that_cannot_tell_what_waits_says_so_and_loses_nothing_quietly(
    spooled: SpooledRun, tmp_path: Path
) -> None:
    """What it overtook is counted as refused, and can be exported."""
    spooled.bucket.always("*", Fault.status(503))
    status, report, endpoint = spooled.push(4)
    assert (status, report["ok"], endpoint["backlog_unknown"], endpoint["accepted"]) == (1, True, True, 8)
    shown = spooled.pusher("push", spooled.config, "--timeout", "4")
    assert (shown.returncode, "backlog_unknown" in shown.stdout.splitlines()[0]) == (1, True)
    spooled.bucket.always("*", None)
    status, _, endpoint = spooled.push(20)
    assert (status, endpoint["backlog_unknown"]) == (1, False)
    assert (endpoint["rejected"]["overtaken"]["count"], endpoint["dead_lettered"]) == (8, 8)
    exported = tmp_path / "dead.om"
    assert spooled.pusher("spool", spooled.config, "export", "--dead", "-o", exported).returncode == 0
    assert sum(not line.startswith("#") for line in exported.read_text().splitlines()) == 8
    assert spooled.push(20)[0] == 0


def test_a_damaged_entry_is_in_the_report_and_in_the_exit_status(spooled: SpooledRun) -> None:
    (key,) = [key for key in spooled.bucket.objects if key.startswith("spool/")]
    spooled.bucket.put(key, spooled.bucket.objects[key][:-1])
    status, _, endpoint = spooled.push(20)
    assert (status, endpoint["accepted"], endpoint["waiting"]["entries"]) == (1, 0, 2)
    status, _, endpoint = spooled.push(20)
    assert (status, endpoint["taken"], endpoint["accepted"]) == (1, 16, 16)
    assert (endpoint["dropped"]["unreadable"]["count"], endpoint["waiting"]["unreadable"]) == (8, 1)
    assert spooled.push(20)[0] == 0


def test_delete_asks_and_deletes_what_is_named(place: Place) -> None:
    pusher("push", place.config, "--timeout", "5")
    first, second = place.entries()
    refused = pusher("spool", place.config, "delete")
    assert (refused.returncode, place.entries()) == (1, [first, second])
    assert "--yes" in refused.stderr
    assert run("spool", place.config, "delete", "--key", first, "--yes") == {"deleted": 1, "keys": [first]}
    assert place.entries() == [second]
    assert run("spool", place.config, "delete", "--endpoint", "other", "--yes") == {"deleted": 0, "keys": []}
    assert run("spool", place.config, "delete", "--yes")["deleted"] == 1
    assert place.entries() == []


def test_an_entry_that_cannot_be_read_is_named_and_the_others_are_shown(place: Place) -> None:
    (place.spool / "spool/amp/0/0000000000001-broken").write_bytes(b"PUSHERS1 and nothing more")
    listed = run("spool", place.config)
    assert list(listed["unreadable"]) == ["spool/amp/0/0000000000001-broken"]
    assert listed["samples"] == 8
    assert "unreadable: spool/amp/0/0000000000001-broken" in pusher("spool", place.config, "show").stderr


def test_what_an_old_endpoint_left_is_found(place: Place) -> None:
    (amp,) = json.loads(place.config.read_text())["remote_write"]
    rewritten(place, remote_write=[amp | {"name": "new"}])
    assert [entry["endpoint"] for entry in run("spool", place.config)["entries"]] == ["amp"]
    place.amp.always(None)
    warnings = run("push", place.config)["warnings"]
    assert any("1 entry of amp, an endpoint that the config does not have" in detail for detail in warnings)


@pytest.mark.parametrize("as_json", [False, True], ids=["text", "json"])
def test_without_a_spool_the_command_says_how_to_have_one(place: Place, as_json: bool) -> None:
    rewritten(place, spool=None)
    done = pusher("spool", place.config, *(["--json"] if as_json else []))
    assert done.returncode == 2
    assert "spool.location" in (done.stdout if as_json else done.stderr)


# --- From Lambda ------------------------------------------------------------------------------------------------------


@pytest.fixture
def operator(place: Place) -> Iterator[App]:
    dependencies = Dependencies(ENVIRONMENT | {"PUSHER_CONFIG": str(place.config)}, Clock().now_ms, no_session)
    yield App(dependencies, ("plan", "spool"))
    dependencies.transport.close()


def test_the_operator_lists_shows_and_exports(place: Place, operator: App) -> None:
    listed = operator.handle({"action": "spool"}, None)
    (key,) = place.entries()
    assert ([entry["key"] for entry in listed["entries"]], listed["samples"]) == ([key], 8)
    shown = operator.handle({"action": "spool", "command": "show", "key": key}, None)
    assert (shown["samples"], len(shown["text"].splitlines())) == (8, 8)
    exported = operator.handle({"action": "spool", "command": "export", "endpoint": "amp"}, None)
    assert exported["text"].endswith("# EOF\n")
    assert operator.handle({"action": "spool", "dead": True}, None)["entries"] == []
    assert place.entries() == [key]


@pytest.mark.parametrize(
    ("event", "words"),
    [
        pytest.param({"command": "delete"}, ["command", "delete", "list, show, export"], id="a command of the shell"),
        pytest.param({"endpoint": 7}, ["endpoint", "text"], id="a number as endpoint"),
        pytest.param({"key": ""}, ["key", "text"], id="no key"),
        pytest.param({"dead": "yes"}, ["dead", "true or false"], id="a text for a truth"),
        pytest.param({"all": True}, ["all", "action, command, dead, endpoint, key"], id="an unknown key"),
    ],
)
def test_a_wrong_event_says_what_is_allowed(event: dict[str, Any], words: list[str]) -> None:
    with pytest.raises(BadEvent) as raised:
        parse_event({"action": "spool", **event})
    assert all(word in str(raised.value) for word in words)


def test_without_a_spool_the_event_is_refused(place: Place, operator: App) -> None:
    rewritten(place, spool=None)
    with pytest.raises(BadEvent, match=r"spool\.location"):
        operator.handle({"action": "spool"}, None)


def test_the_scheduled_function_leaves_it_to_the_operator(place: Place) -> None:
    dependencies = Dependencies(ENVIRONMENT | {"PUSHER_CONFIG": str(place.config)}, Clock().now_ms, no_session)
    with pytest.raises(BadEvent, match="never does spool"):
        App(dependencies, ("push", "plan")).handle({"action": "spool"}, None)


def test_a_listing_that_has_no_room_for_all_says_so(place: Place) -> None:
    (key,) = place.entries()
    content = (place.spool / key).read_bytes()
    for number in range(1_000):
        (place.spool / f"spool/amp/0/{number:013d}-x").write_bytes(content)
    assert run("spool", place.config)["is_cut"] is True
    assert (
        pusher("spool", place.config).stdout.splitlines()[-1].endswith("only the oldest 1000 of an endpoint are shown")
    )
