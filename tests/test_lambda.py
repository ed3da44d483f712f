"""The built artefact under the real Lambda runtime emulator, against the sandbox: what `make invoke` does."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from sandbox.amp import Receiver, SigV4
from sandbox.api import Api
from sandbox.example import RANGES, usage_config
from sandbox.runtime import LambdaRuntime
from sandbox.server import Fault
from tests.rig.command_line import SOURCES

ROOT = Path(__file__).parents[1]
TOKEN = "session-token-of-the-sandbox"
OPERATOR = "lambda_remote_write.app.operator_handler"


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with Receiver(auth=SigV4(token=TOKEN)) as found:
        yield found


@pytest.fixture
def runtime(
    host_artefact: Path, api: Api, receiver: Receiver, tmp_path: Path
) -> Iterator[Callable[..., LambdaRuntime]]:
    config = tmp_path / "config.yaml"
    config.write_text(usage_config(api.url, receiver.url))
    started = []

    def start(handler: str = "lambda_remote_write.app.push_handler", **options: int) -> LambdaRuntime:
        env_vars = {"PUSHER_CONFIG": str(config), "PUSHER_TICK": "1m", "POWERTOOLS_SERVICE_NAME": "metrics"}
        found = LambdaRuntime(host_artefact, handler, env_vars, **options)
        found.__enter__()
        started.append(found)
        return found

    yield start
    for one in started:
        one.__exit__(None, None, None)


@pytest.mark.parametrize(
    "event", sorted(path.name for path in (ROOT / "events").glob("*.json") if path.name != "env.json")
)
def test_every_event_file_is_answered(
    event: str, runtime: Callable[..., LambdaRuntime], receiver: Receiver, tmp_path: Path
) -> None:
    document = json.loads((ROOT / "events" / event).read_text())
    action = document.get("action", "push")
    config = tmp_path / "config.yaml"
    text = config.read_text()
    ranges = RANGES if action == "backfill" else ""
    spool = f"spool: {{location: {tmp_path / 'kept'}}}\n"
    config.write_text(text.replace("\nremote_write:", f"{ranges}\nremote_write:") + spool)
    result = runtime("lambda_remote_write.app.push_handler" if action in ("push", "plan") else OPERATOR).invoke(
        document
    )
    assert not result.error, result.log
    assert result.payload["action"] == action
    assert result.payload.get("ok", True) is True
    if action == "backfill":
        (endpoint,) = result.payload["endpoints"]
        assert result.payload["done"] is True
        assert receiver.accepted == endpoint["accepted"] > 100  # of three projects, those of the last hour
        assert receiver.refused == 0
    else:
        assert receiver.accepted == {"push": 8, "push_samples": 1}.get(action, 0)


def test_a_warm_push_goes_over_the_same_environment(runtime: Callable[..., LambdaRuntime], receiver: Receiver) -> None:
    """The second push knows what the first sent: unmoved records are dropped, not refused."""
    function = runtime()
    assert not function.invoke({}).error
    second = function.invoke({})
    assert second.payload["totals"]["AcceptedSamples"] + second.payload["totals"]["DroppedSamples"] == 8
    assert second.init_ms is None
    assert receiver.refused == 0
    assert '"cold_start":false' in second.log


def test_undelivered_samples_fail_the_invocation(runtime: Callable[..., LambdaRuntime], receiver: Receiver) -> None:
    receiver.always(Fault.status(404, b'{"Message":"Workspace not found"}'))
    result = runtime().invoke({})
    assert result.error
    assert result.payload["errorType"] == "PushFailed"
    assert "8 undelivered" in result.payload["errorMessage"]
    assert "Workspace not found" in result.log


def test_a_receiver_that_hangs_is_given_up_before_the_timeout(
    runtime: Callable[..., LambdaRuntime], receiver: Receiver
) -> None:
    """The report is written within the function's time: the emulator would otherwise say `Task timed out`."""
    receiver.always(Fault.hang())
    result = runtime(timeout_seconds=10).invoke({})
    assert result.error
    assert result.payload["errorType"] == "PushFailed"
    assert "timed out while waiting for the answer" in result.log


def test_a_bad_event_is_an_error_of_its_own(runtime: Callable[..., LambdaRuntime]) -> None:
    result = runtime().invoke({"action": "explode"})
    assert result.error
    assert result.payload["errorType"] == "BadEvent"
    assert "allowed are push, plan" in result.payload["errorMessage"]


def test_the_operator_plans_and_never_pushes(runtime: Callable[..., LambdaRuntime], receiver: Receiver) -> None:
    operator = runtime("lambda_remote_write.app.operator_handler")
    assert operator.invoke({"action": "plan"}).payload["jobs"][0]["series"] == 3
    refused = operator.invoke({"action": "push"})
    assert refused.error
    assert "invoke PusherFunction" in refused.payload["errorMessage"]
    assert receiver.requests == []


def test_make_invoke_prints_the_report_and_the_durations(host_artefact: Path) -> None:
    command = ["make", "invoke", "EVENT=events/schedule.json"]
    env_vars = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    result = subprocess.run(command, cwd=ROOT, env=env_vars, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stdout + result.stderr
    assert "the receiver accepted 8 samples and refused 0" in result.stdout
    assert "init" in result.stdout


@pytest.mark.parametrize(("text", "detail"), [(None, "No such file"), ("{", "not JSON")], ids=["missing", "broken"])
def test_an_event_that_cannot_be_read_is_named(tmp_path: Path, text: str | None, detail: str) -> None:
    event = tmp_path / "event.json"
    if text is not None:
        event.write_text(text)
    command = [sys.executable, "-m", "sandbox.runtime", "--artefact", str(tmp_path), "--event", str(event)]
    env_vars = os.environ | SOURCES
    result = subprocess.run(command, cwd=ROOT, env=env_vars, capture_output=True, text=True, check=False)
    assert (result.returncode, result.stdout) == (2, "")
    assert result.stderr.startswith(f"--event {event}: {detail}")
    assert len(result.stderr.splitlines()) == 1
