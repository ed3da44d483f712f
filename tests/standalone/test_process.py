"""`pusher run` as a process: jobs that do not wait for each other, a queue that is full, a receiver that refuses."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

from sandbox.amp import Receiver
from sandbox.api import Api
from sandbox.server import Answer, Fault, Request
from tests.delivery.rig import ENVIRONMENT
from tests.test_push import Source, config_text, endpoint, job, now_ms

ROOT = Path(__file__).parents[1]


def started(config: Path) -> subprocess.Popen[str]:
    environment = ENVIRONMENT | {"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT / "functions")}
    command = [sys.executable, "-m", "pusher", "run", str(config)]
    return subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True)


def test_polls_other_jobs_while_one_hangs(tmp_path: Path) -> None:
    with Api() as api, Receiver() as amp:
        asked: list[float] = []

        def quick(request: Request) -> Answer:
            asked.append(time.monotonic())
            return Answer.json([])

        keys = {"scrape_interval": "10s", "scrape_timeout": "8s"}
        slow = job(api.serve("/slow", Fault.hang()), "slow", **keys)
        fast = job(api.serve("/fast", quick), "fast", scrape_interval="1s")
        config = tmp_path / "config.yaml"
        config.write_text(config_text([slow, fast], [endpoint(amp, "amp")]))
        process = started(config)
        try:
            time.sleep(5)
            process.send_signal(signal.SIGTERM)
            assert process.wait(timeout=15) == 0
        finally:
            process.kill()
            process.communicate()
        assert len(asked) >= 4


def test_says_what_did_not_fit_its_queue_and_what_was_refused(tmp_path: Path) -> None:
    with Api() as api, Receiver() as amp:
        source = Source(api)
        source.records = lambda: [{"id": str(n), "value": n, "at": now_ms()} for n in range(30)]
        amp.always(Fault.status(503))
        queue = {"capacity": 40, "max_shards": 1, "max_backoff": "100ms", "batch_send_deadline": "100ms"}
        config = tmp_path / "config.yaml"
        text = [job(source.url, scrape_interval="1s")], [endpoint(amp, "amp", queue_config=queue)]
        config.write_text(config_text(*text))
        process = started(config)
        try:
            time.sleep(5)
            amp.always(Fault.status(400, json.dumps({"error": "no"}).encode()))
            time.sleep(2)
            process.send_signal(signal.SIGTERM)
            _, said = process.communicate(timeout=15)
        finally:
            process.kill()
            process.wait()
        assert process.returncode == 0
        assert "queue_full" in said
        assert "http_400" in said
