"""The demo is a promise of the README: it runs, everything arrives, the report accounts for all of it, and a terminal
gets a page."""

from __future__ import annotations

import contextlib
import os
import pty
import re
import select
import shlex
import signal
import socket
import subprocess
import sys
import termios
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest

from sandbox.api import Api
from sandbox.demo import MINUTES, OUTAGE_MINUTES, main, size_text
from sandbox.process import ask
from tests.rig.command_line import SOURCES
from tests.rig.needs import Peer

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[1]
SAMPLES = 18  # of a run
PATIENCE_SECONDS = 60  # a busy machine must not fail a test; a healthy one waits some seconds
COMMAND = [sys.executable, "-m", "sandbox.demo"]


def environment(**more: str) -> dict[str, str]:
    """As a person has it: in CI, CI is set."""
    return {**{name: text for name, text in os.environ.items() if name != "CI"}, **SOURCES, **more}


def demo(*arguments: str) -> str:
    env_vars = environment(PYTHONIOENCODING="utf-8")
    result = subprocess.run(
        [*COMMAND, *arguments], cwd=ROOT, env=env_vars, capture_output=True, text=True, timeout=120, check=False
    )
    assert (result.returncode, result.stderr) == (0, ""), result.stdout + result.stderr
    return result.stdout


@pytest.fixture(scope="module")
def output() -> str:
    return demo()


# --- Its text --------------------------------------------------------------------------------------------------------


def test_everything_arrives_and_the_report_balances(output: str) -> None:
    number = r"([\d,]+)"
    found = re.search(
        rf"{number} collected = {number} accepted \+ 0 spooled \+ 0 rejected \+ 0 dropped \+ 0 undelivered", output
    )
    assert found is not None, output
    collected, accepted = (int(text.replace(",", "")) for text in found.groups())
    assert collected == accepted == MINUTES * SAMPLES
    assert f"the receiver holds {accepted:,} samples and refused 0" in output


def test_each_project_is_in_the_table_and_the_plots(output: str) -> None:
    for project in ("4", "5", "6"):
        assert f'projectCode="{project}"' in output
        assert output.count(f"projectCode {project}") == 4
    for function in ("irate", "deriv", "idelta"):
        assert f"{function}(api_requests_total[10m])" in output
    assert "computed by this demo, as Prometheus does" in output


def test_an_outage_fills_the_spool_and_empties_it(output: str) -> None:
    rows = [
        [cell.strip() for cell in line.split("│")[1:-1]] for line in output.splitlines() if line.startswith("│ 08:")
    ]
    waiting = [int(row[-1]) for row in rows]
    assert waiting == [SAMPLES * n for n in range(1, OUTAGE_MINUTES + 1)] + [0]
    held = 3 * (MINUTES + OUTAGE_MINUTES + 1)
    assert f"The receiver now holds {held} of {held} samples of api_requests_total." in output


def test_the_text_is_for_people(output: str) -> None:
    assert '{"' not in output, "a log line"
    assert "Traceback" not in output
    assert output.count("08:10") == output.count("08:30") == 4, "the time at each plot"
    # Between two tables or plots stands a sentence; and numbers with more than four digits have their commas.
    assert not re.search(r"(?<![\d.,])\d{5,}", output)
    assert re.search(r"signed requests, \d+\.\d kB;", output)
    assert "http://127.0.0.1" not in output, "no page without a terminal"


@pytest.mark.parametrize(
    ("count", "text"),
    [
        (0, "0 bytes"),
        (999, "999 bytes"),
        (1000, "1.0 kB"),
        (3244, "3.2 kB"),
        (31_120, "31.1 kB"),
        (1_250_000, "1.2 MB"),
    ],
)
def test_sizes_are_what_a_person_reads(count: int, text: str) -> None:
    assert size_text(count) == text


def test_it_ends_with_commands_for_your_own_api_which_work(output: str, api: Api, tmp_path: Path) -> None:
    """At an API that answers; where there is no terminal, init needs --yes."""
    commands = output.rstrip().split("sends nothing:")[1].strip().splitlines()
    assert [line.split(" ")[0].partition("=")[0] for line in commands] == [".venv/bin/pusher"] + [
        "PUSHER_WORKSPACE"
    ] * 2
    for line in commands:
        assert "#" not in line, "zsh takes a comment at its prompt for arguments"
        words = line.replace(".venv/bin/pusher", f"{shlex.quote(sys.executable)} -P -m lambda_remote_write_cli")
        words = words.replace("https://api.example.com/usage", f"{api.url}/usage --yes")
        env_vars = {"PATH": os.environ["PATH"], "AWS_EC2_METADATA_DISABLED": "true", **SOURCES}
        result = subprocess.run(
            words, shell=True, cwd=tmp_path, env=env_vars, capture_output=True, text=True, timeout=120, check=False
        )
        assert result.returncode == 0, result.stdout + result.stderr
    assert "would send to " in result.stdout
    assert " at https://aps-workspaces.eu-west-1.amazonaws.com/workspaces/ws-EXAMPLE" in result.stdout


def test_with_a_prometheus_its_functions_are_plotted(peer: Peer) -> None:
    peer("prometheus")
    assert "computed by a real Prometheus that got the same requests" in demo()


# --- Its page --------------------------------------------------------------------------------------------------------


@contextmanager
def on_a_terminal(*arguments: str, columns: int = 0, **variables: str) -> Iterator[tuple[subprocess.Popen[bytes], int]]:
    """The demo, whose text comes out of the descriptor. A terminal of 0 columns does not tell how many it has."""
    ours, its = pty.openpty()
    termios.tcsetwinsize(its, (40 if columns else 0, columns))
    process = subprocess.Popen(
        [*COMMAND, *arguments],
        cwd=ROOT,
        env=environment(**variables),
        stdout=its,
        stderr=subprocess.PIPE,
        preexec_fn=lambda: signal.signal(signal.SIGHUP, signal.SIG_DFL),  # tests may run under nohup
    )
    os.close(its)
    try:
        yield process, ours
    finally:
        process.kill()
        process.wait()
        assert process.stderr is not None
        process.stderr.close()
        os.close(ours)


def read(descriptor: int, until: str = "") -> str:
    """What comes until this text, or until the end."""
    found = b""
    while not until or until not in found.decode(errors="replace"):
        ready, _, _ = select.select([descriptor], [], [], PATIENCE_SECONDS)
        assert ready, f"nothing more within {PATIENCE_SECONDS}s: {found.decode(errors='replace')[-2000:]}"
        try:
            piece = os.read(descriptor, 65536)
        except OSError:  # the other side of a terminal is closed
            break
        if not piece:
            break
        found += piece
    return found.decode(errors="replace")


def test_on_a_terminal_a_page_stays_until_ctrl_c() -> None:
    with on_a_terminal() as (process, terminal):
        output = read(terminal, until="press Ctrl-C")
        (url,) = re.findall(r"http://127\.0\.0\.1:\d+/", output)
        assert output.index(url) < output.index("Now your API.")
        assert "<h1>lambda-remote-write" in ask("GET", url, timeout=30).text
        assert ask("GET", f"{url}state", timeout=30).json()["passed"] == MINUTES + OUTAGE_MINUTES + 1
        process.send_signal(signal.SIGINT)
        assert process.wait(timeout=60) == 0
        assert process.stderr is not None
        assert process.stderr.read() == b""


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP], ids=["SIGTERM", "a closed terminal"])
def test_what_it_has_started_ends_with_it(peer: Peer, tmp_path: Path, number: signal.Signals) -> None:
    peer("prometheus")
    with on_a_terminal(TMPDIR=str(tmp_path)) as (process, terminal):
        read(terminal, until="press Ctrl-C")
        (config,) = tmp_path.glob("prometheus-*/prometheus.yml")
        (prometheus,) = processes_of(str(config))
        process.send_signal(number)
        assert process.wait(timeout=60) == 128 + number
        assert process.stderr is not None
        assert process.stderr.read() == b""
    assert processes_of(str(config)) == [], f"{prometheus} goes on"
    assert list(tmp_path.iterdir()) == []


def processes_of(word: str) -> list[int]:
    """Those that have it in an argument."""
    found = []
    for arguments in Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(OSError):  # it has ended meanwhile
            if word.encode() in arguments.read_bytes():
                found.append(int(arguments.parent.name))
    return found


def test_no_line_is_wider_than_the_terminal() -> None:
    with on_a_terminal("--no-page", columns=80) as (process, terminal):
        output = re.sub(r"\x1b\[[0-9;]*m", "", read(terminal, until=" plan my.yaml"))
        assert process.wait(timeout=60) == 0
    text, _, _ = output.partition(".venv/bin/pusher init https://api.example.com/usage -o my.yaml\r\n")  # to be copied
    assert max(map(len, text.splitlines())) == 80
    assert "…" not in text, "a label is cut off"


def test_ctrl_c_within_a_minute_leaves_no_trace() -> None:
    with on_a_terminal() as (process, terminal):
        (url,) = re.findall(r"http://127\.0\.0\.1:\d+/", read(terminal, until="press Ctrl-C"))
        with socket.create_connection(("127.0.0.1", int(url.rstrip("/").rpartition(":")[2]))) as connection:
            host = url.removeprefix("http://").rstrip("/")
            connection.sendall(f"POST /minutes?count=60 HTTP/1.1\r\nHost: {host}\r\nContent-Length: 0\r\n\r\n".encode())
            process.send_signal(signal.SIGINT)
            assert process.wait(timeout=60) == 0
            assert process.stderr is not None
            assert process.stderr.read() == b""


@pytest.mark.parametrize(
    ("arguments", "variables"), [(["--no-page"], {}), ([], {"CI": "true"})], ids=["--no-page", "CI=true"]
)
def test_without_a_page_it_ends_on_a_terminal_too(arguments: Sequence[str], variables: dict[str, str]) -> None:
    with on_a_terminal(*arguments, **variables) as (process, terminal):
        output = read(terminal, until="press Ctrl-C")
        assert "Now your API." in output
        assert "http://127.0.0.1" not in output
        assert process.wait(timeout=60) == 0


def test_a_port_that_is_taken_is_a_sentence() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with on_a_terminal("--port", str(port)) as (process, terminal):
            read(terminal)
            assert process.wait(timeout=60) == 2
            assert process.stderr is not None
            assert process.stderr.read().decode() == (
                f"make demo: port {port} is taken by another program. Name another one, as in make demo "
                "ARGS='--port 8080', or none.\n"
            )


@pytest.mark.parametrize("port", ["http", "65536", "-1", "٣"])
def test_a_bad_port_is_a_sentence(port: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main([f"--port={port}"])
    assert ended.value.code == 2
    assert f"a port is a number from 0 to 65535, not {port!r}" in capsys.readouterr().err


def test_make_passes_options_on() -> None:
    command = ["make", "--no-print-directory", "--dry-run", "--old-file=.venv/.run", "demo", "ARGS=--no-page --port=0"]
    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    assert result.stdout.rstrip().endswith("-m sandbox.demo --no-page --port=0")


def test_help_says_how_make_passes_options_on(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["--help"])
    assert not ended.value.code
    output = capsys.readouterr().out
    assert all(text in output for text in ("make demo", "--no-page", "--port", "ARGS="))
