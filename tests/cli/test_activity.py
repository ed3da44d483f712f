"""What a command shows while it works: its requests with -v, and after two seconds a sign of life."""

from __future__ import annotations

import io
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from lambda_remote_write.http.types import HttpRequest
from lambda_remote_write_cli.activity import Activity, shown
from lambda_remote_write_cli.main import main
from lambda_remote_write_cli.terminal import Console, say
from sandbox.api import Api

REQUEST = HttpRequest("GET", "http://me:hunter22@h.example.com/a?key=hunter22", {})
CONFIG = """json_configs:
  - job_name: usage
    url: {url}/usage?key=hunter22
    metrics: [{{name: requests, records: "[]", value: apiRequestCount, labels: {{p: projectCode}}}}]
remote_write: [{{url: 'http://h/'}}]
"""
Waits = Callable[[threading.Event, float], bool]


def waits(seconds: list[float], *, times: int) -> Waits:
    """A clock that passes at once: so many waits, then the end of the command."""
    left, ended = [times], threading.Event()

    def wait(done: threading.Event, asked: float) -> bool:
        seconds.append(asked)
        left[0] -= 1
        if left[0] < 0:
            ended.set()
            return done.wait()
        return False

    wait.ended = ended  # type: ignore[attr-defined]
    return wait


def printed(activity: Activity, *, is_terminal: bool, times: int) -> tuple[str, list[float]]:
    file, seconds = io.StringIO(), list[float]()
    console = Console(file=file, force_terminal=is_terminal, width=200, highlight=False, markup=False)
    wait = waits(seconds, times=times)
    with shown(activity, console, wait):
        assert wait.ended.wait(60)  # type: ignore[attr-defined]
    return file.getvalue(), seconds


def test_a_line_every_ten_seconds_where_there_is_no_terminal() -> None:
    activity = Activity("plan")
    activity.ended(activity.began(REQUEST), "200")
    activity.began(REQUEST)
    text, seconds = printed(activity, is_terminal=False, times=2)
    state = "plan: 1 request answered, waiting for GET http://h.example.com/a"
    assert text == f"{state}, after 10 s\n{state}, after 20 s\n"
    assert seconds == [10.0] * 3


def test_one_line_that_changes_on_a_terminal_after_two_seconds() -> None:
    activity = Activity("plan")
    activity.detail = "3/12 windows"
    assert printed(activity, is_terminal=True, times=0) == ("", [2.0])
    text, seconds = printed(activity, is_terminal=True, times=3)
    assert "plan: 3/12 windows" in text
    assert seconds[0] == 2.0


@pytest.mark.parametrize("is_terminal", [True, False])
def test_nothing_is_shown_over_a_question(is_terminal: bool) -> None:
    activity = Activity("spool")
    with activity.paused():
        text, _ = printed(activity, is_terminal=is_terminal, times=5)
    assert text == ""


@pytest.mark.parametrize("flag", ["-v", "--verbose"])
def test_requests_are_printed_without_secrets(
    flag: str, api: Api, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "a.yaml").write_text(CONFIG.format(url=api.url))
    assert main(["plan", str(tmp_path / "a.yaml"), flag]) == 0
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"GET {api.url}/usage: 200, ")
    assert line.endswith(" s")


def test_quiet_prints_only_what_is_wrong(api: Api, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "a.yaml"
    path.write_text(CONFIG.format(url=api.url))
    assert main(["plan", str(path), "-q"]) == 0
    assert capsys.readouterr() == ("", "")
    path.write_text(CONFIG.format(url=api.url).replace("apiRequestCount", "gone"))
    assert main(["plan", str(path), "-q"]) == 1
    out = capsys.readouterr().out.splitlines()
    assert out[0].startswith("usage: down: ")
    assert main(["check", str(tmp_path / "none.yaml"), "-q"]) == 2
    assert "none.yaml" in capsys.readouterr().err


def test_a_quiet_command_does_not_silence_the_next_one(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["check", str(tmp_path / "none.yaml"), "-q"]) == 2
    say("of the next one")
    assert capsys.readouterr().out == "of the next one\n"


def test_quiet_and_verbose_exclude_each_other(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["check", "a.yaml", "-q", "-v"])
    assert ended.value.code == 2
    assert "not allowed with" in capsys.readouterr().err
