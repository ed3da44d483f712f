"""Which of our files one push enters: run in a process of its own, it prints them as JSON.

The push is a warm one, of a config with one JSON job, one target and one endpoint. A file counts when one of its
functions is called, in whichever thread; what is only imported, or called to set up the environment, does not. Of a few
pushes the shortest walk counts: on a busy machine one may have to connect again, or retry.
"""

from __future__ import annotations

import inspect
import json
import sys
import threading
import time
from pathlib import Path
from types import FrameType
from typing import Any

from lambda_remote_write.config.load import parse_config
from lambda_remote_write.dependencies import Dependencies
from lambda_remote_write.environment import Environment
from lambda_remote_write.push import push
from lambda_remote_write.scrape.schedule import Tick
from sandbox.amp import Receiver
from sandbox.api import Api
from sandbox.server import Answer
from tests.rig.delivery import ENVIRONMENT, KEYS, no_session

_TRACED = 3
ENGINE = Path(__file__).parents[2] / "functions" / "lambda_remote_write"
PAGE = b"# HELP up_to_date Whether it is.\n# TYPE up_to_date gauge\nup_to_date 1\n"


def config_of(api: Api, amp: Receiver) -> dict[str, Any]:
    url = api.serve("/records", lambda _: Answer.json([{"id": "a", "value": 1}, {"id": "b", "value": 2}]))
    page = api.serve("/metrics", lambda _: Answer(200, {"Content-Type": "text/plain; version=0.0.4"}, PAGE))
    target, _, path = page.removeprefix("http://").partition("/")
    metric = {"name": "records", "value": "value", "labels": {"id": "id"}}
    return {
        "json_configs": [{"job_name": "api", "url": url, "metrics": [metric]}],
        "scrape_configs": [
            {"job_name": "target", "metrics_path": f"/{path}", "static_configs": [{"targets": [target]}]}
        ],
        "self_metrics": False,
        "remote_write": [{"name": "amp", "url": amp.url, "sigv4": {"region": KEYS.region}}],
    }


def main() -> None:
    entered: set[str] = set()

    def note(frame: FrameType, event: str, _: object) -> None:
        code = frame.f_code
        if event == "call" and code.co_flags & inspect.CO_OPTIMIZED:  # a function, and neither a module nor a class
            entered.add(code.co_filename)

    walks = list[list[str]]()
    with Api() as api, Receiver() as amp:
        config = parse_config(json.dumps(config_of(api, amp)), "config.yaml", ENVIRONMENT)
        dependencies = Dependencies(ENVIRONMENT, session=no_session)
        environment = Environment(config, dependencies)
        for _ in range(1 + _TRACED):
            entered.clear()
            threading.setprofile(note)
            sys.setprofile(note)
            tick = Tick(dependencies.now_ms(), None, config.tick_ms, frozenset(config.job_names()))
            report = push(environment, tick, time.monotonic() + 60)
            sys.setprofile(None)
            threading.setprofile(None)
            assert report.deliveries[0].accepted == report.deliveries[0].collected, report.summary()
            walks.append(ours(entered))
            time.sleep(0.01)  # the next samples are newer
        dependencies.transport.close()
    print(json.dumps(min(walks[1:], key=len)))


def ours(entered: set[str]) -> list[str]:
    paths = [Path(name).relative_to(ENGINE) for name in entered if Path(name).is_relative_to(ENGINE)]
    return sorted(str(path) for path in paths if path.parts[0] != "config")


if __name__ == "__main__":
    main()
