"""`make demo CONFIG=` and `make invoke CONFIG=`: the user's sources are asked, and nothing leaves the machine."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from sandbox import demo, own_config, runtime
from sandbox.amp import Receiver
from sandbox.api import Api

CONFIG = """\
# The usage of our API.
global: {{external_labels: {{team: billing}}}}
remote_write: # where it goes in production
  - url: {elsewhere}
    sigv4: {{region: eu-west-1}}
    write_relabel_configs: [{{target_label: cluster, replacement: blue}}]
spool: {{location: s3://production}}
json_configs:
  - job_name: usage
    url: {api}/usage
    http_headers: {{X-Key: {{refs: ["env:USAGE_KEY"]}}}}
    metrics: [{{name: requests_total, records: "[]", value: apiRequestCount, labels: {{project: projectCode}}}}]
"""


@pytest.fixture
def elsewhere(receiver: Receiver) -> Receiver:
    """The endpoint that the config names."""
    return receiver


@pytest.fixture
def config(tmp_path: Path, api: Api, elsewhere: Receiver) -> Path:
    file = tmp_path / "my.yaml"
    file.write_text(CONFIG.format(api=api.url, elsewhere=elsewhere.url))
    return file


def test_demo_shows_the_samples_of_the_users_own_sources(
    config: Path, api: Api, elsewhere: Receiver, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("USAGE_KEY", "of-the-user")
    assert demo.main(["--no-page", "--config", str(config)]) == 0
    shown = " ".join(capsys.readouterr().out.split())
    assert 'requests_total{cluster="blue"' in shown
    assert "e+" not in shown  # counters and times in full
    assert api.requests[-1].headers["X-Key"] == "of-the-user"
    assert elsewhere.requests == []


def test_demo_names_the_job_that_is_down(
    config: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("USAGE_KEY", "of-the-user")
    config.write_text(config.read_text().replace("/usage", "/nothing"))
    assert demo.main(["--no-page", "--config", str(config)]) == 1
    assert "usage: " in capsys.readouterr().out


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("json_configs: [{job_name: 7}]\n", "json_configs[0]"),
        ("{json_configs: []}\n", "each on a line of its own"),
        ("a: [\n", "not YAML"),
        (None, "No such file or directory"),
    ],
    ids=["a mistake", "in braces", "not YAML", "no file"],
)
def test_demo_ends_with_a_sentence_for_a_bad_config(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], text: str | None, said: str
) -> None:
    config = tmp_path / "my.yaml"
    if text is not None:
        config.write_text(text)
    assert demo.main(["--no-page", "--config", str(config)]) == 2
    shown = " ".join(capsys.readouterr().out.split())
    assert said in shown
    assert "own-config-" not in shown  # the copy's name would tell the user nothing


def test_all_but_endpoints_and_spool_stays_as_it_was_written(config: Path) -> None:
    text = own_config.with_receiver(config.read_text(), "http://127.0.0.1:1/write", "/tmp/spool")
    before, after = yaml.safe_load(config.read_text()), yaml.safe_load(text)
    assert {name: after[name] for name in ("global", "json_configs")} == {
        name: before[name] for name in ("global", "json_configs")
    }
    assert after["spool"] == {"location": "/tmp/spool"}
    (endpoint,) = after["remote_write"]
    assert endpoint["url"] == "http://127.0.0.1:1/write"
    assert "sigv4" not in endpoint
    assert text.startswith("# The usage of our API.\n")


def test_files_beside_the_config_are_found(
    config: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("USAGE_KEY", "of-the-user")
    (config.parent / "more.yml").write_text(
        "scrape_configs: [{job_name: more, static_configs: [{targets: [127.0.0.1:1]}]}]"
    )
    config.write_text(f"scrape_config_files: [more.yml]\n{config.read_text()}")
    demo.main(["--no-page", "--config", str(config)])
    assert 'job="more"' in capsys.readouterr().out.replace("\n", "")


@pytest.mark.slow
def test_invoke_runs_the_artefact_with_the_users_config(
    host_artefact: Path, config: Path, api: Api, elsewhere: Receiver, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    monkeypatch.setenv("USAGE_KEY", "of-the-user")
    arguments = ["--artefact", str(host_artefact), "--event", "events/schedule.json", "--config", str(config)]
    assert runtime.main(arguments) == 0
    assert "the receiver accepted 0" not in capsys.readouterr().out
    assert api.requests[-1].headers["X-Key"] == "of-the-user"
    assert elsewhere.requests == []


@pytest.mark.slow
def test_invoke_ends_with_a_sentence_for_a_bad_config(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert runtime.main(["--config", str(tmp_path / "none.yaml")]) == 2
    assert "No such file or directory" in capsys.readouterr().err
