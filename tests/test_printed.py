"""One hostile text through every source of text: nothing that is printed moves a cursor, turns a line, or makes one."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

from pusher.app import App
from pusher.printed import json_text, printable
from pusher.warm import Outside
from sandbox.server import Answer, Fault, LoopbackServer, Request

ROOT = Path(__file__).parents[1]
FORGED = "FORGED LINE"
CONTROLS = "\x1b[2J\x07\x08\x7f\x9b31m\x85\u2028\u2029\u202e\u2066\u200f\u061c\ufeff\r"
HOSTILE = f"a{CONTROLS}\n{FORGED}\t{CONTROLS}z"
IN_JSON = json.dumps(HOSTILE)


def check(printed: str) -> None:
    """Only what prints, and no line that the text has made."""
    odd = {char for char in printed if not (char.isprintable() or char == "\n")}
    assert odd == set(), sorted(map(ascii, odd))
    assert [line for line in printed.split("\n") if line.lstrip(" #").startswith(FORGED)] == []


def pusher(*arguments: str | Path, **variables: str) -> str:
    """What the command line prints, on both ways."""
    environment = {"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT / "functions"), "COLUMNS": "100"} | variables
    command = [sys.executable, "-m", "pusher", *map(str, arguments)]
    done = subprocess.run(command, env=environment, capture_output=True, timeout=60, check=False)
    assert done.returncode in (0, 1, 2), done.stderr
    assert b"Traceback" not in done.stderr
    return (done.stdout + done.stderr).decode()


class Outsiders:
    """An API, pages, a list of targets and a receiver that say nothing good."""

    def __init__(self) -> None:
        self._server = LoopbackServer(self._answer)
        self.url = self._server.base_url
        self.address = f"127.0.0.1:{self._server.port}"

    def _answer(self, request: Request) -> Answer | Fault:
        text = HOSTILE.encode()
        wire = HOSTILE.replace("\r", "").replace("\n", "").encode()
        return {
            "/json": Answer.json([{"v": 1, "name": HOSTILE}, {"v": HOSTILE, "name": "b"}]),
            "/nojson": Answer(200, {"Content-Type": "text/plain"}, text),
            "/refused": Answer(500, {}, b'{"message": ' + IN_JSON.encode() + b"}"),
            "/page": Answer(
                200, {"Content-Type": "text/plain"}, b'm{x="' + HOSTILE.replace("\n", "\\n").encode() + b'"} 1\n'
            ),
            "/badpage": Answer(200, {"Content-Type": "text/plain"}, b"m 1\n" + text + b" x y z\n"),
            "/badtype": Fault.garbage(b"HTTP/1.1 200 OK\r\nContent-Type: " + wire + b"\r\nContent-Length: 0\r\n\r\n"),
            "/reason": Fault.garbage(b"HTTP/1.1 500 " + wire + b"\r\nContent-Length: 0\r\n\r\n"),
            "/nohttp": Fault.garbage(text),
            "/redirect": Fault.garbage(b"HTTP/1.1 302 F\r\nLocation: ftp://" + wire + b"\r\nContent-Length: 0\r\n\r\n"),
            "/encoding": Fault.garbage(
                b"HTTP/1.1 200 OK\r\nContent-Encoding: br, " + wire + b"\r\nContent-Length: 0\r\n\r\n"
            ),
            "/list": Answer.json([{"targets": [HOSTILE, "h:1"], "labels": {"team": HOSTILE}}]),
            "/badlist": Answer.json([{HOSTILE: 1}]),
            "/write": Answer(400, {}, text),
        }.get(request.path, Answer(404, {}, text))

    def config(self, **top: Any) -> str:
        metric = {"name": "m", "records": "@", "value": "v", "labels": {"name": "name"}}
        jsons = [
            {"job_name": f"j{name}", "url": f"{self.url}/{name}", "metrics": [metric]}
            for name in ("json", "nojson", "refused", "reason", "nohttp", "redirect", "encoding")
        ]
        pages: list[dict[str, Any]] = [
            {"job_name": f"p{name}", "metrics_path": f"/{name}", "static_configs": [{"targets": [self.address]}]}
            for name in ("page", "badpage", "badtype", "reason", "nohttp", "redirect", "refused")
        ]
        lists = [
            {"job_name": f"l{name}", "http_sd_configs": [{"url": f"{self.url}/{name}"}]}
            for name in ("list", "badlist", "refused")
        ]
        odd = {
            "job_name": HOSTILE,
            "metrics_path": "/page",
            "static_configs": [{"targets": [self.address], "labels": {"team": HOSTILE}}],
        }
        endpoint = {"url": f"{self.url}/write", "name": "e", "queue_config": {"max_backoff": "50ms"}}
        return json.dumps(
            {"json_configs": jsons, "scrape_configs": [*pages, *lists, odd], "remote_write": [endpoint], **top}
        )

    def __enter__(self) -> Outsiders:
        return self

    def __exit__(self, *_: object) -> None:
        self._server.close()


@pytest.fixture
def outsiders() -> Iterator[Outsiders]:
    with Outsiders() as found:
        yield found


@pytest.mark.parametrize("form", [[], ["--json"]], ids=["text", "json"])
@pytest.mark.parametrize("action", ["check", "plan", "push"])
def test_what_sources_and_receivers_say(outsiders: Outsiders, tmp_path: Path, action: str, form: list[str]) -> None:
    config = tmp_path / "config.json"
    config.write_text(outsiders.config())
    printed = pusher(action, config, *form)
    check(printed)
    assert printed.strip()
    if form:
        json.loads(printed)
    if action != "check":
        assert printed.count("FORGED") > 3  # it has come through


def test_what_waits_in_a_spool(outsiders: Outsiders, tmp_path: Path) -> None:
    """`show` is for people; `export` is for another program, which takes the value as it is."""
    config, spool = tmp_path / "config.json", tmp_path / "spool"
    endpoint = {
        "url": "http://127.0.0.1:9/",
        "name": "e",
        "remote_timeout": "1s",
        "queue_config": {"max_backoff": "50ms"},
    }
    config.write_text(outsiders.config(spool={"location": str(spool)}, remote_write=[endpoint]))
    check(pusher("push", config))
    for words in (["list"], ["show"], ["list", "--json"], ["show", "--json"]):
        printed = pusher("spool", config, *words)
        check(printed)
    pusher("spool", config, "show", "-o", tmp_path / "shown")
    check((tmp_path / "shown").read_text(newline=""))
    assert "FORGED" in (tmp_path / "shown").read_text()
    assert HOSTILE.replace("\n", "\\n") in pusher("spool", config, "export")


BAD_CONFIGS = {
    "an unknown key": {HOSTILE: 1},
    "a bad value": {"global": {"scrape_interval": HOSTILE}},
    "a bad choice": {"scrape_configs": [{"job_name": "a", "scrape_protocols": [HOSTILE]}]},
    "a scheme": {"scrape_configs": [{"job_name": "a", "scheme": HOSTILE}]},
    "an expression": {
        "json_configs": [{"job_name": "a", "url": "http://h/", "metrics": [{"name": "m", "value": HOSTILE}]}]
    },
    "an address": {"remote_write": [{"url": HOSTILE}]},
    "a regex": {"remote_write": [{"url": "http://h/", "write_relabel_configs": [{"regex": f"({HOSTILE}"}]}]},
    "a label": {"global": {"external_labels": {HOSTILE: HOSTILE}}},
    "a job twice": {"scrape_configs": [{"job_name": HOSTILE}, {"job_name": HOSTILE}]},
    "a file": {"scrape_config_files": [f"/nowhere/{HOSTILE}/x"], "rule_files": [HOSTILE]},
    "a secret's file": {
        "remote_write": [{"url": "http://h/", "basic_auth": {"username": "a", "password_file": HOSTILE}}]
    },
}


@pytest.mark.parametrize("document", BAD_CONFIGS.values(), ids=list(BAD_CONFIGS))
def test_what_a_config_says(tmp_path: Path, document: Mapping[str, Any]) -> None:
    config = tmp_path / "config.json"
    config.write_text(json.dumps(document))
    for words in (["check", config], ["check", config, "--json"], ["convert", config], ["convert", config, "--json"]):
        check(pusher(*words))


@pytest.mark.parametrize("action", ["check", "convert", "push"])
def test_names_of_files_and_arguments(tmp_path: Path, action: str) -> None:
    name = HOSTILE.replace("/", "")
    check(pusher(action, tmp_path / name))
    (tmp_path / name).write_text("{a: [")
    check(pusher(action, tmp_path / name))
    (tmp_path / name).write_bytes(b"\xff\x1b")
    check(pusher(action, tmp_path / name))
    check(pusher(action, f"s3://bucket/{name}", AWS_REGION="eu-west-1", AWS_ENDPOINT_URL="http://127.0.0.1:9"))
    check(pusher(action, "config", f"--{HOSTILE}"))


@pytest.mark.parametrize(
    "source",
    [
        {"rule_files": [HOSTILE], "scrape_configs": [{"job_name": HOSTILE, "nomad_sd_configs": [{"server": HOSTILE}]}]},
        {"scrape_configs": [{"job_name": "a", "static_configs": [{"targets": ["h:1"], "labels": {"t": HOSTILE}}]}]},
        {"scrape_configs": [{"job_name": "a", HOSTILE: {"a": HOSTILE}}], HOSTILE: [HOSTILE]},
        {
            "receivers": {"prometheus": {"config": {"scrape_configs": [{"job_name": HOSTILE}]}}, f"otlp/{HOSTILE}": {HOSTILE: 1}},
            "processors": {f"filter/{HOSTILE}": {"metrics": {"exclude": {"metric_names": [HOSTILE]}}}},
            "exporters": {"prometheusremotewrite": {"endpoint": "http://h/w", "headers": {"X": HOSTILE}}},
            "service": {"pipelines": {"metrics": {"receivers": ["prometheus", f"otlp/{HOSTILE}"], "processors": [f"filter/{HOSTILE}"], "exporters": ["prometheusremotewrite"]}}},
        },
        {"modules": {HOSTILE: {"metrics": [{"name": "m", "path": f"{{.{HOSTILE}}}", "help": HOSTILE, "labels": {"a": HOSTILE}}]}}},
    ],
    ids=["server-only keys", "labels", "unknown keys", "collector", "json_exporter"],
)  # fmt: skip
def test_what_is_converted(tmp_path: Path, source: Mapping[str, Any]) -> None:
    """To a reader of YAML a comment ends at NEL, LS and PS too: nothing of a quoted text may stand behind one."""
    path, out = tmp_path / "in.json", tmp_path / "out.yaml"
    path.write_text(json.dumps(source))
    check(pusher("convert", path))
    check(pusher("convert", path, "--json"))
    pusher("convert", path, "-o", out)
    if out.exists():
        text = out.read_text(newline="")
        check(text)
        keys = yaml.safe_load(text) or {}
        assert set(keys) <= {
            "global",
            "scrape_configs",
            "json_configs",
            "remote_write",
            "scrape_config_files",
            "self_metrics",
        }


EVENTS: list[dict[str, Any]] = [
    {"action": HOSTILE},
    {HOSTILE: HOSTILE},
    {"action": "plan", "jobs": [HOSTILE]},
    {"action": "backfill", "job": HOSTILE, "start": HOSTILE},
    {"action": "push_samples", "text": HOSTILE},
    {"action": "push_samples", "s3": HOSTILE},
    {"action": "spool", "do": HOSTILE},
    {"action": "push", "scheduled_time": HOSTILE},
]


@pytest.mark.parametrize("event", EVENTS, ids=lambda event: "-".join(map(ascii, event))[:40])
def test_what_an_event_says(
    outsiders: Outsiders, tmp_path: Path, capsys: pytest.CaptureFixture[str], event: dict[str, Any]
) -> None:
    config = tmp_path / "config.json"
    config.write_text(outsiders.config())
    outside = Outside({"PUSHER_CONFIG": str(config)})
    try:
        App(outside).handle(event, None)
    except Exception as error:
        assert FORGED not in str(error) or str(error)  # it is Lambda's to print
    finally:
        outside.transport.close()
    captured = capsys.readouterr()
    check(captured.out + captured.err)


def test_json_means_the_same() -> None:
    document = {HOSTILE: [HOSTILE, "ž", "\U0001f600", "\U000e0001", "\ud800"]}
    for text in (json_text(document), json_text(document, indent=2)):
        check(text)
        assert json.loads(text) == document


@pytest.mark.parametrize("char", [chr(code) for code in range(0x110000) if not chr(code).isprintable()][::997])
def test_what_does_not_print_is_escaped(char: str) -> None:
    assert printable(f"a{char}b").isprintable()
