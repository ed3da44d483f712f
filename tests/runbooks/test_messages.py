"""What a page tells its reader to look for is what runs say."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from lambda_remote_write.app import PushFailed
from lambda_remote_write.events import BadEvent
from lambda_remote_write.model.drop_reasons import DropReason
from sandbox.amp import Receiver
from sandbox.api import Api
from sandbox.server import Answer
from tests.rig.clock import StandingClock
from tests.rig.faulty_function import NOT_ALLOWED, PUSHER, SERIES_LIMIT, FaultyFunction
from tests.rig.runbooks import FOLDER

OF_LAMBDA = {"Task timed out", "Runtime exited", "signal: killed"}


def looked_for(page: str, title: str) -> set[str]:
    """The code in the first column of the table with this title, without what stands in parentheses."""
    table = (FOLDER / page).read_text().partition(f"| {title} | do |\n")[2].partition("\n\n")[0]
    cells = [re.sub(r"\(with .*?\)", "", row.split(" | ")[0]) for row in table.splitlines()[1:]]
    assert cells
    return {re.sub("^… ", "", code) for cell in cells for code in re.findall("`(.*?)`", cell)}


@pytest.fixture
def function(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Iterator[FaultyFunction]:
    clock = StandingClock(int(time.time() * 1000))
    with Api(now=clock.time) as api, Receiver(now=clock.time) as amp:
        yield FaultyFunction(tmp_path, api, amp, clock, capsys)


def test_the_page_of_errors_names_what_failed_runs_say(function: FaultyFunction, tmp_path: Path) -> None:
    """As Lambda logs an error that a function raises: its type and its text."""
    said = list[str]()

    def fail(event: dict[str, str]) -> None:
        with pytest.raises((PushFailed, BadEvent)) as failure:
            function.app(PUSHER).handle(event, None)
        said.append(f"{failure.typename}: {failure.value}")

    fail({"action": "backfill"})
    function.env_vars = {"PUSHER_METRICS": "none"}
    function.amp.always(SERIES_LIMIT)
    fail({})
    function.amp.always(NOT_ALLOWED)
    (tmp_path / "file").touch()
    function.spool = str(tmp_path / "file" / "spool")
    fail({})
    names = looked_for("errors.md", "the message says") - OF_LAMBDA - {"Spool", "no"}
    assert len(names) >= 5
    assert sorted(name for name in names if name not in "\n".join(said)) == []


def test_the_page_of_failed_metrics_names_what_reports_say(function: FaultyFunction) -> None:
    """Reasons of skipped records, or words of the sentence that says why a metric has failed."""
    said = list[str](DropReason)
    for record in ({"id": "a"}, {"id": "a", "value": None}):
        function.answer = Answer.json([record | {"at": function.clock.now_ms()}])
        said += function.lines({})
    function.records = "items[]"
    said += function.lines({})
    names = looked_for("metric-failed.md", "the reason says") - {"records"}
    assert len(names) >= 10
    assert sorted(name for name in names if name not in "\n".join(said)) == []
