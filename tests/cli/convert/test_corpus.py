"""Every case of the corpus gives exactly its `expected.yaml` and `dropped.txt`, and every line that a result proposes
loads when it is written where it says."""

from __future__ import annotations

import re
from typing import Any

import pytest
import yaml

from lambda_remote_write import relabel
from lambda_remote_write.config.load import parse_config
from lambda_remote_write.config.schema import Config
from lambda_remote_write_cli.convert import Options, convert
from tests.rig.convert_corpus import CASES, ENVIRONMENT, FOLDER, collector, converted, dropped_lines, loaded


@pytest.mark.parametrize("case", CASES)
def test_result(case: str) -> None:
    """And a config that loads."""
    found = converted(case)
    assert found.config == (FOLDER / case / "expected.yaml").read_text()
    assert dropped_lines(found) == (FOLDER / case / "dropped.txt").read_text()
    assert found.problems == ()
    assert loaded(found).endpoints


@pytest.mark.parametrize("case", CASES)
def test_dropped_stand_in_the_input(case: str) -> None:
    """The line of every loss is one of the input, or 0 for what is in no line of its own."""
    lines = (FOLDER / case / "input.yaml").read_text().count("\n")
    assert all(0 <= one.line <= lines and one.path for one in converted(case).dropped)


@pytest.mark.parametrize("case", CASES)
def test_every_loss_is_said_in_the_result(case: str) -> None:
    """A person who reads only the config learns the same."""
    found = converted(case)
    comments = " ".join(line.strip(" #") for line in found.config.splitlines() if line.lstrip().startswith("#"))
    assert [one.why for one in found.dropped if one.why not in comments] == []


@pytest.mark.parametrize("case", CASES)
def test_converting_the_result_changes_nothing(case: str) -> None:
    """What we write is a prometheus.yml with additions, and is stable."""
    found = converted(case)
    assert convert(found.config, "expected.yaml", Options(kind="prometheus")).config == found.config


def test_the_example_of_the_issue() -> None:
    """The collector on EC2 that people have: both jobs, the discovery as it is written, the workspace, its region."""
    config = parse_config(converted("adot-collector").config, "expected.yaml", {})
    assert [job.job_name for job in config.scrape_jobs] == ["custom_exporter", "node"]
    assert [job.scrape_interval_ms for job in config.scrape_jobs] == [60_000, 60_000]
    (endpoint,) = config.endpoints
    assert endpoint.sigv4 is not None
    assert endpoint.sigv4.region == "ap-northeast-2"
    assert endpoint.url.endswith("/workspaces/ws-EXAMPLE/api/v1/remote_write")


def test_no_reason_shows_a_secret() -> None:
    """Reasons go to logs: they never carry a value of the input."""
    secrets = ("mysecret", "p@ss", "p%40ss", "pa ss", "dXNlcjpwYXNz")
    detail = "".join(dropped_lines(converted(case)) for case in CASES)
    assert [secret for secret in secrets if secret in detail] == []


# --- Proposed lines ---------------------------------------------------------------------------------------------------


def comments(text: str) -> list[str]:
    return [line.strip()[1:] for line in text.splitlines() if line.lstrip().startswith("#")]


def hinted(text: str) -> list[str]:
    """What stands in braces or brackets after a key, in comments whose lines may have been wrapped."""
    detail = " ".join(" ".join(line.split()) for line in comments(text))
    return re.findall(r"\b(?:remote_write: \[\{.*?\}\]|timestamp: \{.*?\})", detail)


def written_into(**keys: Any) -> Config:
    job = {"job_name": "a", "url": "https://a.example", "metrics": [{"name": "a", "value": "v"}]}
    config: dict[str, Any] = {"json_configs": [job], "remote_write": [{"url": "https://a.example/w"}]}
    if "timestamp" in keys:
        job["metrics"] = [{"name": "a", "value": "v", **keys}]
    else:
        config.update(keys)
    return parse_config(yaml.dump(config), "ours.yaml", ENVIRONMENT)


ODD_PATHS = ("{.at}", "{.values[0].at}", "{.a['b-c']}", "{['a.b']}", "{.a[?(@.b == 'x')].at}", "{..at}", "text, {.a}")


@pytest.mark.parametrize("path", ODD_PATHS)
def test_the_timestamp_that_json_exporter_ignored(path: str) -> None:
    metric = {"name": "m", "path": "{.v}", "epochTimestamp": path}
    found = convert(yaml.dump({"modules": {"m": {"metrics": [metric]}}}), "je.yml")
    (timestamp,) = [hint for hint in hinted(found.config) if hint.startswith("timestamp")]
    (job,) = written_into(**yaml.load(timestamp, yaml.CBaseLoader)).jobs
    assert job.metrics[0].timestamp is not None


@pytest.mark.parametrize("case", CASES)
def test_hints_of_the_corpus(case: str) -> None:
    for hint in hinted(converted(case).config):
        written_into(**yaml.load(hint, yaml.CBaseLoader))


def test_where_to_write_to() -> None:
    """Without remote_write, and when none of a collector's exporters speaks it."""
    unwritten = "service: {pipelines: {metrics: {receivers: [prometheus], exporters: [awsemf]}}}"
    for found in (convert("scrape_configs: [{job_name: a}]\n", "c.yaml"), collector(unwritten)):
        assert [hint for hint in hinted(found.config) if written_into(**yaml.load(hint, yaml.CBaseLoader)).endpoints]


def kept(exporter: str = "") -> tuple[str, dict[str, Any]]:
    """The comment above remote_write, and the lines in it that keep the old form."""
    found = collector(exporter=exporter)
    detail, lines = [], []
    for line in comments(found.config.partition("scrape_configs:")[2]):
        (lines if line.startswith("   ") else detail).append(line)
    return " ".join(" ".join(line.split()) for line in detail), yaml.load("\n".join(lines), yaml.CBaseLoader)


@pytest.mark.parametrize(
    ("labels", "expected"),
    [
        ({"__name__": "lat_bucket", "le": "1.0"}, {"le": "1"}),
        ({"__name__": "lat_bucket", "le": "0.5"}, {"le": "0.5"}),
        ({"__name__": "lat_bucket", "le": "+Inf"}, {"le": "+Inf"}),
        ({"__name__": "q", "quantile": "0.0"}, {"quantile": "0"}),
        ({"__name__": "lat_created"}, None),
    ],
)
def test_the_rules_that_keep_the_collectors_series(labels: dict[str, str], expected: dict[str, str] | None) -> None:
    """Measured with collector 0.165: le="1", quantile="0", no _created series, and two labels on every series."""
    _, lines = kept()
    text = yaml.dump({"scrape_configs": [{"job_name": "a", **lines}], "remote_write": [{"url": "https://a.example/w"}]})
    (job,) = parse_config(text, "ours.yaml", ENVIRONMENT).scrape_jobs
    found = relabel.explain(labels, job.metric_relabel).labels
    if expected is None or found is None:
        assert found is expected
        return
    receiver = "github.com/open-telemetry/opentelemetry-collector-contrib/receiver/prometheusreceiver"
    scope = {"otel_scope_name": receiver, "otel_scope_version": "COLLECTOR_VERSION"}
    assert found == {"__name__": labels["__name__"], **expected, **scope}


@pytest.mark.parametrize(
    ("strategy", "renames"),
    [
        ("UnderscoreEscapingWithSuffixes", True),
        ("NoUTF8EscapingWithSuffixes", True),
        ("UnderscoreEscapingWithoutSuffixes", False),
        ("NoTranslation", False),
    ],
)
def test_a_translation_strategy_says_whether_names_were_changed(strategy: str, renames: bool) -> None:
    """It counts before add_metric_suffixes (prometheusremotewriteexporter, README)."""
    detail, _ = kept(f", translation_strategy: {strategy}, add_metric_suffixes: {str(not renames).lower()}")
    assert ("_total" in detail) is renames


def test_only_what_it_did_is_said() -> None:
    detail, lines = kept(", disable_scope_info: true, add_metric_suffixes: false")
    assert "otel_scope" not in detail + str(lines)
    assert "_total" not in detail
