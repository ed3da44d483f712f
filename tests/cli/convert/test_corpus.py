"""Every case of the corpus gives exactly its `expected.yaml` and `dropped.txt`."""

from __future__ import annotations

import pytest

from lambda_remote_write.config.load import parse_config
from lambda_remote_write_cli.convert import Options, convert
from tests.rig.convert_corpus import CASES, FOLDER, converted, dropped_lines, loaded


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
