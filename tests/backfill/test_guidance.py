"""What a backfill tells people who hold it wrong: hints, refusals, and nothing that is done twice."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from lambda_remote_write.backfill import invoke, request
from lambda_remote_write.events import BACKFILL_KEYS
from tests.rig import backfill as rigs
from tests.rig.backfill import HOUR, MINUTE, NOW_MS, Rig
from tests.rig.command_line import environment, pusher_command

ROOT = Path(__file__).parents[2]


@pytest.fixture
def amp(tmp_path: Path) -> Iterator[Rig]:
    with rigs.made(tmp_path, amp=True) as found:
        yield found


def lines(*ages_ms: int, host: str = "a") -> str:
    rows = [{"at": (NOW_MS - age) // 1000, "host": host, "value": age} for age in ages_ms]
    return "".join(json.dumps(row) + "\n" for row in rows)


def test_a_function_knows_the_keys_of_a_request_without_importing_it() -> None:
    assert BACKFILL_KEYS == request.KEYS


def test_times_of_1970_are_asked_about(rig: Rig) -> None:
    """Seconds in a format that has milliseconds."""
    answer = rig.backfill({"from": rig.file("a.prom", "a 1 1760000000\n")})
    assert answer["done"]
    rigs.assert_says(" ".join(answer["warnings"]), "unit of their times")


def test_a_file_with_its_newest_samples_first_gets_the_advice_to_sort_it(amp: Rig) -> None:
    """On AMP they can never be made good: the newest ones have gone out."""
    newest_first = [lines(minutes * MINUTE, host="x" * 100_000) for minutes in range(1, 50)]
    file = amp.file("a.ndjson", "".join(newest_first))
    answer = amp.backfill({"job": "j", "from": file}, amp.job(amp.metric(labels={})))
    (endpoint,) = answer["endpoints"]
    assert answer["done"]
    assert answer["parts"] > 1
    assert endpoint["accepted"] < 49
    assert endpoint["dropped"]["behind_window"]["count"] == 49 - endpoint["accepted"]
    rigs.assert_says(" ".join(answer["warnings"]), "sort it by time")


def test_a_finished_backfill_is_not_repeated_and_the_answer_says_so(rig: Rig) -> None:
    event = {"job": "j", "from": rig.file("a.ndjson", lines(HOUR))}
    assert rig.backfill(event, rig.job())["done"]
    again = rig.backfill({**event, "resume": True}, rig.job())
    assert again["done"]
    rigs.assert_says(" ".join(again["notes"]), "done before", "without resume")
    assert rig.receiver.accepted == 1


def test_the_same_request_begins_anew_without_resume(rig: Rig) -> None:
    """Also by the token of a plan, as the state machine does."""
    event = {"job": "j", "from": rig.file("a.ndjson", lines(HOUR))}
    assert rig.backfill(event, rig.job())["done"]
    plan = rig.backfill({**event, "plan": True}, rig.job())
    assert not plan["done"]
    assert rig.backfill({"resume": plan["resume"]}, rig.job())["samples"] == 1
    assert len(rig.receiver.requests) == 2


def test_a_dry_run_that_goes_on_sends_nothing(rig: Rig) -> None:
    event = {"job": "j", "from": rig.file("a.ndjson", lines(HOUR))}
    rig.backfill(event, rig.job())
    sent = len(rig.receiver.requests)
    answer = rig.backfill({**event, "resume": True, "dry_run": True}, rig.job())
    assert answer["dry_run"]
    assert len(rig.receiver.requests) == sent


@pytest.mark.parametrize("more", [{"force": True}, {"endpoint": "here"}, {"window": "5m"}])
def test_other_keys_are_another_backfill(rig: Rig, more: dict[str, Any]) -> None:
    """It begins, and says so: how far the other one has come is none of its business."""
    event = {"job": "j", "from": rig.file("a.ndjson", lines(HOUR))}
    rig.backfill(event, rig.job())
    sent = len(rig.receiver.requests)
    answer = rig.backfill({**event, **more, "resume": True}, rig.job())
    assert (answer["done"], answer["parts"]) == (True, 1)
    rigs.assert_says(" ".join(answer["notes"]), "nothing of this backfill was recorded", "begins")
    assert len(rig.receiver.requests) > sent


def test_force_and_export_exclude_each_other(rig: Rig) -> None:
    event = {"job": "j", "from": rig.file("a.ndjson", lines(HOUR)), "force": True, "export": "x.om"}
    with pytest.raises(invoke.BadRequest, match="export: force"):
        rig.backfill(event, rig.job())


def test_an_invocation_that_was_overtaken_stops(rig: Rig) -> None:
    """Another one has begun the same backfill since: it goes on, and this one does not write over it."""
    one, other = (rig.file(f"{name}.ndjson", lines(HOUR, host=name)) for name in "ab")
    event = {"job": "j", "from": [one, other]}
    inner: list[dict[str, Any]] = []

    def overtake(told: Any) -> None:
        if not inner:
            inner.append({})
            inner[0] = rig.backfill(event, rig.job())

    answer = rig.backfill(event, rig.job(), tell=overtake)
    assert inner[0]["done"]
    assert not answer["done"]
    rigs.assert_says(answer["stopped"], "another invocation")


def test_an_export_that_was_shortened_is_not_gone_on_with(amp: Rig) -> None:
    """What was acknowledged must be there."""
    files = [amp.file(f"{index}.ndjson", lines(3 * HOUR - index * MINUTE)) for index in range(3)]
    export = amp.folder / "old.om"
    event = {"job": "j", "from": files, "export": str(export)}

    def stop(told: Any) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        amp.backfill(event, amp.job(), tell=stop)
    whole = export.read_bytes()
    export.write_bytes(whole[:10])
    with pytest.raises(invoke.BadRequest, match=r"export: .*start again without resume"):
        amp.backfill({**event, "resume": True}, amp.job())
    export.write_bytes(whole.removesuffix(b"# EOF\n") + b"half a li")
    answer = amp.backfill({**event, "resume": True}, amp.job())
    assert (answer["done"], answer["exported"]) == (True, 3)
    text = export.read_text().splitlines()
    assert (len(text), text[-1]) == (4, "# EOF")
    assert "half" not in export.read_text()


@pytest.mark.parametrize(
    ("content", "columns", "words"),
    [
        ("at,value\n1759000000,1\n", {}, ["line 1", "no column 'host'"]),
        ("at,value,node\n1759000000,1,a\n", {"nod": "host"}, ["line 1", "no column 'nod'", "'node'"]),
        ("at;value;host\n1759000000;1;a\n", {}, ["separated by commas"]),
    ],
    ids=["a-label-without-its-column", "a-header-that-is-not-there", "semicolons"],
)
def test_a_table_that_would_lose_a_label_is_refused(
    rig: Rig, content: str, columns: dict[str, str], words: list[str]
) -> None:
    """Without it the series of several hosts would be one."""
    event = {"job": "j", "from": rig.file("a.csv", content)} | ({"columns": columns} if columns else {})
    answer = rig.backfill(event, rig.job())
    rigs.assert_says(answer["stopped"], *words)
    assert rig.receiver.requests == []


def test_a_last_line_without_its_end_is_not_sent(rig: Rig) -> None:
    """Its time may have been cut: 175900000 is a time, too."""
    path = rig.file("a.om", "a 1 1759000000\na 2 175900006")
    first = rig.backfill({"from": path})
    again = rig.backfill({"from": path, "resume": True})
    for answer in (first, again):
        rigs.assert_says(answer["stopped"], "a.om", "# EOF")
        rigs.assert_says(rigs.example(answer["skipped"]["bad_line"]), "line 2", "cut off")
    assert rig.stored == {"a": [(1_759_000_000_000, 1.0)]}


def test_a_skipped_record_is_named_with_its_file(rig: Rig) -> None:
    path = rig.file("a.ndjson", '{"at": 1759000000, "host": "a", "value": "x"}\n')
    answer = rig.backfill({"job": "j", "from": path}, rig.job())
    rigs.assert_says(rigs.example(answer["skipped"]["not_a_number"]), "a.ndjson", "line 1", "record 0")


def test_a_reader_that_stops_is_no_traceback(tmp_path: Path) -> None:
    """As in `pusher backfill … --json | head -1`."""
    config = tmp_path / "c.yaml"
    config.write_text("remote_write: [{url: 'http://127.0.0.1:9/'}]\n")
    (tmp_path / "a.prom").write_text("a 1 1759000000000\n" * 3)
    backfill = pusher_command("backfill", config, "--from", tmp_path / "a.prom", "--dry-run")
    env_vars = environment(HOME=str(tmp_path))
    read, write = os.pipe()
    os.close(read)
    with subprocess.Popen(backfill, env=env_vars, stdout=write, stderr=subprocess.PIPE) as process:
        os.close(write)
        _, detail = process.communicate(timeout=60)
    assert b"Traceback" not in detail
    assert process.returncode == 1
