"""docs/quickstart.md and the steps of the README, as a reader does them, over the example API, AMP's stand-in, which
checks every request, and a Prometheus that answers the queries."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from lambda_remote_write_cli.main import main
from sandbox.amp import Receiver, SigV4
from sandbox.api import Api
from sandbox.example import usage_config
from sandbox.prometheus import Prometheus
from sandbox.server import Fault
from tests.rig.documented_steps import Step, run
from tests.rig.markdown import blocks
from tests.rig.needs import Peer
from tests.rig.stack import ROOT

QUICKSTART = ROOT / "docs" / "quickstart.md"


@pytest.fixture
def amp(peer: Peer) -> Iterator[Receiver]:
    with (
        Prometheus(path=peer("prometheus")) as prometheus,
        Receiver(prometheus_url=prometheus.url, forward_url=prometheus.write_url) as running,
    ):
        yield running


@pytest.fixture
def shell(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """Keys of AWS, which does not answer itself: that is the receiver's part."""
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", SigV4().access_key)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", SigV4().secret_key)
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:1")
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
    monkeypatch.chdir(tmp_path)
    return monkeypatch


def without_numbers(text: str) -> str:
    return re.sub(r"\d+", "0", text)


@pytest.mark.slow
def test_the_quickstart_works_from_beginning_to_end(
    tmp_path: Path, shell: pytest.MonkeyPatch, api: Api, amp: Receiver, capsys: pytest.CaptureFixture[str]
) -> None:
    """`init` asks its questions at a terminal."""
    printed: dict[str, str] = {}
    status: dict[str, int] = {}
    for step in run(QUICKSTART, tmp_path, {"https://api.example.com": api.url}, shell.setenv):
        name = step.words[1]
        printed[name], status[name] = step.shown or capsys.readouterr().out, step.status
        if name == "test":
            config = (tmp_path / "pusher.yaml").read_text()
            to_amp = f"remote_write: [{{url: '{amp.url}', sigv4: {{region: {SigV4().region}}}}}]\n"
            (tmp_path / "pusher.yaml").write_text(config + to_amp)
    assert list(printed) == ["--version", "init", "test", "check", "plan", "doctor", "push", "query"]
    assert {name: code for name, code in status.items() if code} == {"doctor": 1}, printed  # AWS does not answer
    assert "an empty write was answered" in printed["doctor"]
    assert "source usage: 8 samples" in printed["doctor"]
    assert printed["query"].count("usage_api_request_count_total{") == 3
    (shown,) = (block.content for block in blocks(QUICKSTART) if block.language == "yaml")
    written = yaml.safe_load(config.replace(api.url, "https://api.example.com"))
    assert {"json_configs": written["json_configs"]} == yaml.safe_load(shown)
    tree, plan, log = (block.content for block in blocks(QUICKSTART) if block.language == "text")
    assert without_numbers(tree) in without_numbers(printed["init"])
    host = api.url.removeprefix("http://")
    for line in without_numbers(plan.replace("api.example.com", host)).splitlines():
        assert line in without_numbers(printed["plan"])
    assert log in printed["push"]


@pytest.mark.slow
def test_the_steps_of_the_readme_work(
    tmp_path: Path, shell: pytest.MonkeyPatch, api: Api, capsys: pytest.CaptureFixture[str]
) -> None:
    instead = {"https://api.example.com": api.url}
    done = [step for step in run(ROOT / "README.md", tmp_path, instead, shell.setenv) if step.words]
    assert [(step.words[1], step.status) for step in done] == [("init", 0), ("plan", 0)], capsys.readouterr()


def test_the_first_answer_of_the_questions_works(
    tmp_path: Path, shell: pytest.MonkeyPatch, api: Api, amp: Receiver, capsys: pytest.CaptureFixture[str]
) -> None:
    """Of docs/faq.md."""
    (tmp_path / "pusher.yaml").write_text(usage_config(api.url, amp.url))
    assert main(["push", "pusher.yaml"]) == 0
    capsys.readouterr()
    done = [step for step in run(ROOT / "docs" / "faq.md", tmp_path, {}, shell.setenv) if step.words]
    printed = capsys.readouterr().out
    assert [(step.words[1], step.status) for step in done] == [("check", 0), ("plan", 0), ("query", 0)], printed
    assert re.search(r"^up\{.*\}\s+1\b", printed, re.M), printed


@pytest.mark.slow
def test_the_commands_of_the_spool_work(
    tmp_path: Path, shell: pytest.MonkeyPatch, api: Api, receiver: Receiver, capsys: pytest.CaptureFixture[str]
) -> None:
    """Of docs/operations.md: what waits is listed, shown, exported, sent and deleted."""
    kept = tmp_path / "kept"
    config = usage_config(api.url, receiver.url)
    (tmp_path / "pusher.yaml").write_text(f"{config}\nspool: {{location: {kept}}}\n")
    receiver.always(Fault.status(404, b"no such workspace"))
    assert main(["push", "pusher.yaml"]) == 1
    receiver.always(None)
    (entry,) = (kept / "spool").glob("*/*/*")
    key = entry.relative_to(kept).as_posix()
    instead = {"spool CONFIG": "spool pusher.yaml", "KEY": key, "--endpoint NAME": f"--endpoint {key.split('/')[1]}"}
    steps = [step for step in run(ROOT / "docs" / "operations.md", tmp_path, instead, shell.setenv) if step.words]
    steps = [step for step in steps if step.words[1] == "spool"]
    assert [step.words[3] for step in steps] == ["list", "show", "export", "drain", "delete"]
    assert [step.words for step in steps if step.status] == [], capsys.readouterr()
    assert len(receiver.series("api_requests_total")) == 3


def test_a_step_that_fails_is_seen(tmp_path: Path, shell: pytest.MonkeyPatch) -> None:
    page = tmp_path / "page.md"
    page.write_text("```bash\npusher check no-such.yaml\n```\n")
    (step,) = run(page, tmp_path, {}, shell.setenv)
    assert step == Step(words=("pusher", "check", "no-such.yaml"), status=2)
