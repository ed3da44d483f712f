"""One hostile text through every source of text: nothing that is printed moves a cursor, turns a line, or makes one."""

from __future__ import annotations

import contextlib
import json
import subprocess
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

from lambda_remote_write.app import App
from lambda_remote_write.dependencies import Dependencies
from lambda_remote_write.report.printable import json_text, printable
from lambda_remote_write_cli import main
from sandbox.server import Answer, Fault, LoopbackServer, Request
from tests.rig.command_line import environment, pusher_command
from tests.rig.yaml_files import read_yaml

FORGED = "FORGED LINE"
CONTROLS = "\x1b[2J\x07\x08\x7f\x9b31m\x85\u2028\u2029\u202e\u2066\u200f\u061c\ufeff\r"
HOSTILE = f"a{CONTROLS}\n{FORGED}\t{CONTROLS}z"
ON_A_LINE = HOSTILE.replace("\n", "\\n")  # as in a page
WIRE = HOSTILE.replace("\r", "").replace("\n", "").encode()  # as in a head
EMPTY = b"Content-Length: 0\r\n"


def check(printed: str) -> None:
    """Only what prints, and no line that the text has made."""
    odd = {char for char in printed if not (char.isprintable() or char == "\n")}
    assert odd == set(), sorted(map(ascii, odd))
    assert [line for line in printed.split("\n") if line.lstrip(" #").startswith(FORGED)] == []


def printed_by(*arguments: str | Path) -> str:
    """What the command line prints, on both ways; bytes, because text would lose its `\\r`."""
    done = subprocess.run(pusher_command(*arguments), env=environment(), capture_output=True, timeout=60, check=False)
    assert b"Traceback" not in done.stderr
    return (done.stdout + done.stderr).decode()


@pytest.fixture
def told(capsys: pytest.CaptureFixture[str]) -> Callable[..., str]:
    """The same of commands that need no server, without a process of their own."""

    def run(*arguments: str | Path) -> str:
        capsys.readouterr()
        with contextlib.suppress(SystemExit):
            main.main(list(map(str, arguments)))
        captured = capsys.readouterr()
        return captured.out + captured.err

    return run


TEXT = {"Content-Type": "text/plain"}
ANSWERS: dict[str, Answer | Fault] = {
    "/json": Answer.json([{"v": 1, "name": HOSTILE}, {"v": HOSTILE, "name": "b"}]),
    "/nojson": Answer(200, TEXT, HOSTILE.encode()),
    "/refused": Answer.json({"message": HOSTILE}, 500),
    "/page": Answer(200, TEXT, f'm{{x="{ON_A_LINE}"}} 1\n'.encode()),
    "/badpage": Answer(200, TEXT, f"m 1\n{HOSTILE} x y z\n".encode()),
    "/badtype": Fault.garbage(b"HTTP/1.1 200 OK\r\nContent-Type: " + WIRE + b"\r\n" + EMPTY + b"\r\n"),
    "/encoding": Fault.garbage(b"HTTP/1.1 200 OK\r\nContent-Encoding: br, " + WIRE + b"\r\n" + EMPTY + b"\r\n"),
    "/redirect": Fault.garbage(b"HTTP/1.1 302 F\r\nLocation: ftp://" + WIRE + b"\r\n" + EMPTY + b"\r\n"),
    "/reason": Fault.garbage(b"HTTP/1.1 500 " + WIRE + b"\r\n" + EMPTY + b"\r\n"),
    "/nohttp": Fault.garbage(HOSTILE.encode()),
    "/list": Answer.json([{"targets": [HOSTILE, "h:1"], "labels": {"team": HOSTILE}}]),
    "/badlist": Answer.json([{HOSTILE: 1}]),
    "/write": Answer(400, {}, HOSTILE.encode()),
}


class Outsiders:
    """An API, pages, lists of targets and a receiver that say nothing good."""

    def __init__(self) -> None:
        self._server = LoopbackServer(self._answer)
        self.url = self._server.base_url
        self.address = f"127.0.0.1:{self._server.port}"

    def _answer(self, request: Request) -> Answer | Fault:
        return ANSWERS.get(request.path, Answer(404, {}, HOSTILE.encode()))

    def config(self, **top: Any) -> str:
        metric = {"name": "m", "records": "@", "value": "v", "labels": {"name": "name"}}
        documents = ("json", "nojson", "refused", "reason", "nohttp", "redirect", "encoding")
        pages = ("page", "badpage", "badtype", "reason", "nohttp", "redirect", "refused")
        there = {"targets": [self.address], "labels": {"team": HOSTILE}}
        scrapes = [
            *({"job_name": f"p{name}", "metrics_path": f"/{name}", "static_configs": [there]} for name in pages),
            *(
                {"job_name": f"l{name}", "http_sd_configs": [{"url": f"{self.url}/{name}"}]}
                for name in ("list", "badlist", "refused")
            ),
            {"job_name": HOSTILE, "metrics_path": "/page", "static_configs": [there]},
        ]
        jobs = [{"job_name": f"j{name}", "url": f"{self.url}/{name}", "metrics": [metric]} for name in documents]
        endpoint = {"url": f"{self.url}/write", "name": "e", "queue_config": {"max_backoff": "50ms"}}
        return json.dumps({"json_configs": jobs, "scrape_configs": scrapes, "remote_write": [endpoint], **top})

    def __enter__(self) -> Outsiders:
        return self

    def __exit__(self, *_: object) -> None:
        self._server.close()


@pytest.fixture
def outsiders() -> Iterator[Outsiders]:
    with Outsiders() as found:
        yield found


@pytest.mark.slow
@pytest.mark.parametrize("form", [[], ["--json"]], ids=["text", "json"])
@pytest.mark.parametrize("action", ["check", "plan", "push"])
def test_what_sources_and_receivers_say(outsiders: Outsiders, tmp_path: Path, action: str, form: list[str]) -> None:
    config = tmp_path / "config.json"
    config.write_text(outsiders.config())
    printed = printed_by(action, config, *form)
    check(printed)
    assert not form or json.loads(printed)
    assert action == "check" or printed.count("FORGED") > 3  # it has come through


@pytest.mark.slow
def test_what_waits_in_a_spool(outsiders: Outsiders, tmp_path: Path) -> None:
    """`show` is for people; `export` is for another program, which takes the value as it is."""
    config = tmp_path / "config.json"
    endpoint = {"url": "http://127.0.0.1:9/", "name": "e", "queue_config": {"max_backoff": "50ms"}}
    config.write_text(outsiders.config(spool={"location": str(tmp_path / "spool")}, remote_write=[endpoint]))
    check(printed_by("push", config, "--timeout", "6"))
    for words in (["list"], ["show"], ["show", "--json"]):
        check(printed_by("spool", config, *words))
    printed_by("spool", config, "show", "-o", tmp_path / "shown")
    with (tmp_path / "shown").open(newline="", encoding="utf-8") as file:
        shown = file.read()
    check(shown)
    assert "FORGED" in shown
    assert ON_A_LINE in printed_by("spool", config, "export")


CASES = json.loads(  # with the hostile text in its place
    json.dumps(read_yaml(Path(__file__).parents[1] / "testdata/hostile.yaml")).replace(
        "HOSTILE", json.dumps(HOSTILE)[1:-1]
    )
)


@pytest.mark.parametrize("document", CASES["configs"].values(), ids=CASES["configs"])
def test_what_a_config_says(tmp_path: Path, told: Callable[..., str], document: Mapping[str, Any]) -> None:
    config = tmp_path / "config.json"
    config.write_text(json.dumps(document))
    for words in (["check", config], ["check", config, "--json"], ["convert", config], ["convert", config, "--json"]):
        check(told(*words))


@pytest.mark.parametrize("action", ["check", "convert"])
def test_names_of_files_and_arguments(tmp_path: Path, told: Callable[..., str], action: str) -> None:
    path = tmp_path / HOSTILE
    check(told(action, path))
    for content in (b"{a: [", b"\xff\x1b", b"a: 1"):
        path.write_bytes(content)
        check(told(action, path))
    check(told(action, "config", f"--{HOSTILE}"))


OUR_KEYS = {"global", "scrape_configs", "json_configs", "remote_write", "scrape_config_files", "self_metrics"}


@pytest.mark.parametrize("source", CASES["conversions"].values(), ids=CASES["conversions"])
def test_what_is_converted(tmp_path: Path, told: Callable[..., str], source: Mapping[str, Any]) -> None:
    """To a reader of YAML a comment ends at NEL, LS and PS too: nothing of a quoted text may stand behind one."""
    path, out = tmp_path / "in.json", tmp_path / "out.yaml"
    path.write_text(json.dumps(source))
    check(told("convert", path))
    check(told("convert", path, "--json"))
    told("convert", path, "-o", out)
    if out.exists():
        text = out.read_bytes().decode()
        check(text)
        assert set(yaml.safe_load(text) or {}) <= OUR_KEYS | {HOSTILE}  # as the whole key that it is


@pytest.mark.parametrize("event", CASES["events"], ids=lambda event: "-".join(map(ascii, event))[:40])
def test_what_an_event_says(tmp_path: Path, capsys: pytest.CaptureFixture[str], event: dict[str, Any]) -> None:
    config = '{"json_configs": [], "remote_write": [{"url": "http://127.0.0.1:9/"}]}'
    handled(event, config, tmp_path, capsys)


def handled(event: dict[str, Any], config: str, folder: Path, capsys: pytest.CaptureFixture[str]) -> str:
    """What the function logs while it handles an event, checked. What is raised, Lambda prints."""
    path = folder / "config.json"
    path.write_text(config)
    # A service of its own: a logger keeps the stream of the test that made it.
    dependencies = Dependencies({"PUSHER_CONFIG": str(path), "POWERTOOLS_SERVICE_NAME": str(folder)})
    with contextlib.suppress(Exception), contextlib.closing(dependencies.transport):
        App(dependencies).handle(event, None)
    captured = capsys.readouterr()
    check(captured.out + captured.err)
    return captured.out


def test_what_a_push_logs(outsiders: Outsiders, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert "FORGED" in handled({}, outsiders.config(), tmp_path, capsys)


def test_json_means_the_same() -> None:
    document = {HOSTILE: [HOSTILE, "ž", "\U0001f600", "\U000e0001", "\ud800"]}
    for text in (json_text(document), json_text(document, indent=2)):
        check(text)
        assert json.loads(text) == document


def test_what_does_not_print_is_escaped() -> None:
    everything = "".join(map(chr, range(0x110000)))
    assert printable(everything).isprintable()
