"""`pusher run` as a process: jobs that do not wait for each other, a queue that is full, a receiver that refuses, and
signals."""

from __future__ import annotations

import json
import signal
import time
from datetime import datetime
from pathlib import Path

import pytest

from sandbox.api import Api
from sandbox.server import Answer, Fault, Request
from tests.rig import compliance as rig
from tests.rig.push import Source, job, now_ms

pytestmark = pytest.mark.slow


def test_polls_other_jobs_while_one_hangs(tmp_path: Path) -> None:
    with Api() as api, rig.Receiver() as receiver:
        asked: list[float] = []

        def quick(request: Request) -> Answer:
            asked.append(time.monotonic())
            return Answer.json([])

        slow = job(api.serve("/slow", Fault.hang()), "slow", scrape_interval="1m", scrape_timeout="1m")
        fast = job(api.serve("/fast", quick), "fast", scrape_interval="1s")
        config = {"json_configs": [slow, fast], "remote_write": [rig.endpoint(receiver.url("w"))]}
        with rig.sender(config, tmp_path) as process:
            process.wait_for(lambda: len(asked) >= 4, "four answers of the other job")
            assert process.stop() == 0


def test_says_what_did_not_fit_its_queue_and_what_was_refused(tmp_path: Path) -> None:
    with Api() as api, rig.Receiver() as receiver:
        source = Source(api)
        source.records = lambda: [{"id": str(n), "value": n, "at": now_ms()} for n in range(30)]
        receiver.faults("w").always(Fault.status(503))
        small = rig.endpoint(receiver.url("w"), queue={"capacity": 40, "max_shards": 1, "max_backoff": "100ms"})
        config = {"json_configs": [job(source.url, scrape_interval="1s")], "remote_write": [small]}
        with rig.sender(config, tmp_path) as process:
            process.wait_for(lambda: "queue_full" in process.log_text, "a full queue")
            receiver.faults("w").always(Fault.status(400, json.dumps({"error": "no"}).encode()))
            process.wait_for(lambda: "http_400" in process.log_text, "a refusal")
            assert process.stop() == 0


@pytest.mark.parametrize("as_json", [False, True], ids=["text", "JSON"])
def test_every_message_has_its_time(tmp_path: Path, as_json: bool) -> None:
    with rig.Pages({"/metrics": (b"m 1\n", rig.TEXT)}) as pages, rig.Receiver() as receiver:
        config = rig.config([rig.endpoint(receiver.url("w"))], [rig.job(pages.target)])
        with rig.sender(config, tmp_path, *(["--json"] if as_json else [])) as process:
            process.wait_for(lambda: receiver.writes("w"), "a request")
            assert process.stop() == 0
    lines = process.log_text.splitlines()
    assert len(lines) >= 3
    for line in lines:
        stamp = json.loads(line)["time"] if as_json else line.split()[0]
        assert stamp.endswith("Z")
        assert abs(datetime.fromisoformat(stamp).timestamp() - time.time()) < 600


def test_a_hangup_reads_the_config_again(tmp_path: Path) -> None:
    with rig.Pages({"/metrics": (b"m 1\n", rig.TEXT)}) as pages, rig.Receiver() as receiver:
        config = rig.config([rig.endpoint(receiver.url("w"))], [rig.job(pages.target)])
        with rig.sender(config, tmp_path) as process:
            process.wait_for(lambda: rig.scrape_count(receiver.writes("w")), "a scrape")
            process.rewrite("scrape_configs: [{job_nam: a}]\nremote_write: [{url: https://h/w}]\n")
            process.interrupt(signal.SIGHUP)
            words = ("the new config is refused, the old one stays", "job_nam", "prometheus.yml:1")
            process.wait_for(lambda: all(word in process.log_text for word in words), "a refusal with its mistakes")
            asked = pages.asked("/metrics")
            process.wait_for(lambda: pages.asked("/metrics") >= asked + 2, "the old config goes on")
            process.rewrite(json.dumps(config | {"scrape_configs": [rig.job(pages.target, "second")]}))
            process.interrupt(signal.SIGHUP)
            process.wait_for(lambda: rig.scrape_count(receiver.writes("w"), "second"), "a scrape of the new job")
            assert process.stop() == 0


def test_a_killed_process_loses_nothing_that_was_written_ahead(tmp_path: Path) -> None:
    """With mode `always` that is all but what came since the last batch."""
    kept, folder = tmp_path / "kept", tmp_path / "again"
    folder.mkdir()
    with rig.Pages({"/metrics": (b"m 1\n", rig.TEXT)}) as pages, rig.Receiver() as receiver:
        receiver.faults("w").always(Fault.status(503))
        named = rig.endpoint(receiver.url("w"), queue={"max_backoff": "200ms"}) | {"name": "amp"}
        config = rig.config([named], [rig.job(pages.target)]) | {"spool": {"location": str(kept), "mode": "always"}}
        with rig.sender(config, tmp_path, "--name", "mine") as process:
            folder_of_it = kept / "spool" / "amp" / "run-mine"
            process.wait_for(
                lambda: folder_of_it.exists() and len(list(folder_of_it.iterdir())) >= 4, "entries of the spool"
            )
            asked = pages.asked("/metrics")
            process.kill()
        receiver.faults("w").always(None)
        with rig.sender(config, folder, "--name", "mine") as process:
            process.wait_for(lambda: pages.asked("/metrics") >= asked + 2, "scrapes of the next process")
            assert process.stop() == 0
        stamps = rig.stamps_of([write for write in receiver.writes("w") if write.status == 204], "m")
    assert len(stamps) >= asked - 1 + 2
    assert stamps == sorted(set(stamps))


def test_tells_what_others_have_left(tmp_path: Path) -> None:
    kept = tmp_path / "kept"
    (kept / "spool" / "amp" / "run-old").mkdir(parents=True)
    (kept / "spool" / "amp" / "run-old" / "1700000000000-abcd").write_bytes(b"")
    with rig.Pages({"/metrics": (b"m 1\n", rig.TEXT)}) as pages, rig.Receiver() as receiver:
        named = rig.endpoint(receiver.url("w")) | {"name": "amp"}
        config = rig.config([named], [rig.job(pages.target)]) | {"spool": {"location": str(kept)}}
        with rig.sender(config, tmp_path) as process:
            process.wait_for(lambda: "entries of old" in process.log_text, "a message about them")
            assert "--name old" in process.log_text
            assert process.stop() == 0
    assert (kept / "spool" / "amp" / "run-old" / "1700000000000-abcd").exists()


def test_a_bad_config_at_the_start_is_an_error(tmp_path: Path) -> None:
    with rig.sender({"remote_write": 1}, tmp_path) as process:
        assert process.wait() == 2
        assert "mistake" in process.log_text
