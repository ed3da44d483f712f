"""The stand-in for Lambda tells the truth about answers, errors, time and what is missing."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from sandbox import runtime
from sandbox.runtime import LambdaRuntime, RuntimeUnavailableError, copy_emulator, function_of
from tests.rig.needs import Require
from tests.rig.stack import ROOT

pytestmark = pytest.mark.slow

CODE = """
import os, sys, time
time.sleep(0.2)

def echo(event, context):
    print("seen", event)
    print("22 Nov 2026 is a date, REPORT RequestId: is not a report")
    return {"event": event, "memory": int(context.memory_limit_in_mb), "variables": dict(os.environ)}

def fail(event, context):
    raise ValueError("no good")

def own(event, context):
    import botocore, s3transfer
    return [s3transfer.__file__, botocore.__file__]

def missing(event, context):
    import rich
"""


@pytest.fixture(scope="module")
def artefact(tmp_path_factory: pytest.TempPathFactory, require: Require) -> Path:
    folder = tmp_path_factory.mktemp("artefact")
    try:
        copy_emulator(folder)
    except RuntimeUnavailableError as error:
        require(False, str(error))
    (folder / "code_under_test.py").write_text(CODE)
    (folder / "s3transfer.py").write_text("")
    return folder


@pytest.fixture
def start(artefact: Path) -> Iterator[Callable[..., LambdaRuntime]]:
    """Starts a runtime around one of the handlers above, and stops it at the end of the test."""
    running: list[LambdaRuntime] = []

    def enter(handler: str, **options: Any) -> LambdaRuntime:
        running.append(LambdaRuntime(artefact, f"code_under_test.{handler}", **options))
        return running[-1].__enter__()

    yield enter
    for entered in running:
        entered.__exit__()


def test_an_answer_comes_back_cold_then_warm(start: Callable[..., LambdaRuntime]) -> None:
    function = start("echo", env_vars={"PUSHER_TICK": "1m"}, memory_mb=512)
    cold, environment = function.invoke({"n": 1}), function.invoke({"n": 2})
    assert [cold.payload["event"], environment.payload["event"]] == [{"n": 1}, {"n": 2}]
    assert cold.payload["memory"] == 512
    assert not cold.error
    assert not environment.error
    assert cold.init_ms is not None
    assert cold.init_ms > 200
    assert cold.billed_ms >= cold.init_ms > cold.duration_ms
    assert environment.init_ms is None
    assert 0 < environment.duration_ms <= environment.billed_ms < cold.billed_ms


def test_the_log_is_the_functions_own(start: Callable[..., LambdaRuntime]) -> None:
    result = start("echo").invoke({"n": 1})
    assert result.log.splitlines() == [
        "seen {'n': 1}",
        "22 Nov 2026 is a date, REPORT RequestId: is not a report",
    ]


def test_nothing_of_this_process_is_inherited(
    start: Callable[..., LambdaRuntime], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PUSHER_CONFIG", "/etc/mine.yaml")
    variables = start("echo", env_vars={"PUSHER_TICK": "1m"}).invoke({}).payload["variables"]
    assert variables["PUSHER_TICK"] == "1m"
    assert variables["AWS_REGION"] == "us-east-1"
    assert variables["AWS_SESSION_TOKEN"]
    assert not {"HOME", "PUSHER_CONFIG", "VIRTUAL_ENV"} & set(variables)


def test_an_exception_is_an_error(start: Callable[..., LambdaRuntime]) -> None:
    result = start("fail").invoke({})
    assert result.error
    assert (result.payload["errorType"], result.payload["errorMessage"]) == ("ValueError", "no good")
    assert "no good" in result.log


def test_the_artefacts_packages_come_before_the_runtimes(start: Callable[..., LambdaRuntime], artefact: Path) -> None:
    s3transfer, botocore = start("own").invoke({}).payload
    assert Path(s3transfer).parent == artefact
    assert Path(botocore).parent != artefact


def test_a_package_that_is_only_installed_here_is_missing_there(start: Callable[..., LambdaRuntime]) -> None:
    result = start("missing").invoke({})
    assert result.error
    assert result.payload["errorMessage"] == "No module named 'rich'"


@pytest.mark.parametrize(
    ("name", "function"),
    [
        ("schedule.json", ("PusherFunction", "push_handler")),
        ("empty.json", ("PusherFunction", "push_handler")),
        ("push-jobs.json", ("PusherFunction", "push_handler")),
        ("plan.json", ("OperatorFunction", "operator_handler")),
        ("spool.json", ("OperatorFunction", "operator_handler")),
    ],
)
def test_an_event_goes_to_its_function(name: str, function: tuple[str, str]) -> None:
    assert function_of(json.loads((ROOT / "events" / name).read_text())) == function


INVOKED = """
import os, urllib.request
import time

def push_handler(event, context):
    if event.get("fail"):
        raise RuntimeError("asked to")
    config = open(os.environ["PUSHER_CONFIG"]).read()
    url = next(line.split("url: ")[1] for line in config.splitlines() if "url: " in line)
    return {"tick": os.environ["PUSHER_TICK"], "records": len(urllib.request.urlopen(url).read()) > 10}
"""


@pytest.mark.parametrize(("event", "status"), [({}, 0), ({"fail": 1, "scheduled_time": "now"}, 1)], ids=["well", "ill"])
def test_make_invoke_runs_against_the_sandbox(
    artefact: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], event: dict[str, Any], status: int
) -> None:
    (tmp_path / "lambda_remote_write").mkdir()
    (tmp_path / "lambda_remote_write" / "app.py").write_text(INVOKED)
    (tmp_path / "event.json").write_text(json.dumps(event))
    assert runtime.main(["--artefact", str(tmp_path), "--event", str(tmp_path / "event.json")]) == status
    printed = capsys.readouterr().out
    assert "init" in printed
    assert "the receiver accepted 0 samples" in printed
    if not status:
        assert '"records": true' in printed
