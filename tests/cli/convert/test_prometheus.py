"""What of a prometheus.yml is not taken word for word."""

from __future__ import annotations

from typing import Any

import pytest

from lambda_remote_write_cli.convert import Conversion, convert
from tests.rig.convert_corpus import complete

JOB = "scrape_configs: [{job_name: a}]\n"


def converted(text: str) -> tuple[dict[str, Any], Conversion]:
    found = convert(text, "prometheus.yml")
    return complete(found), found


@pytest.mark.parametrize("place", ["basic_auth: {username: u}", "authorization: {credentials: x}"])
def test_a_user_in_an_address_is_not_reported_twice(place: str) -> None:
    """Another auth block wins, as it does in Go's client."""
    config, _ = converted(f"{JOB}remote_write: [{{url: 'https://a:b@c.example/w', {place}}}]\n")
    (endpoint,) = config["remote_write"]
    assert endpoint["url"] == "https://c.example/w"
    assert set(endpoint) == {"url", place.partition(":")[0]}


def test_a_user_in_the_address_of_a_discovery() -> None:
    config, _ = converted("scrape_configs: [{job_name: a, http_sd_configs: [{url: 'http://u:p@c.example:80/t'}]}]\n")
    (discovery,) = config["scrape_configs"][0]["http_sd_configs"]
    assert discovery == {"url": "http://c.example:80/t", "basic_auth": {"username": "u", "password": "p"}}


def test_a_grant_that_we_do_not_have_takes_its_block_along() -> None:
    """Half an oauth2 block would ask for a token in another way."""
    text = """
scrape_configs:
  - job_name: a
    oauth2: {client_id: c, token_url: 'https://t.example', grant_type: 'urn:ietf:params:oauth:grant-type:jwt-bearer'}
"""
    config, found = converted(text)
    assert config["scrape_configs"] == [{"job_name": "a"}]
    assert [(one.path, one.line) for one in found.dropped] == [("scrape_configs[0].oauth2", 4)]


@pytest.mark.parametrize("name", ["kubernetes", "consul", "gce", "azure", "docker", "openstack"])
def test_discovery_that_is_not_ours_is_named_with_what_to_use(name: str) -> None:
    config, found = converted(f"scrape_configs:\n  - job_name: a\n    {name}_sd_configs: [{{x: y}}]\n")
    assert config["scrape_configs"] == [{"job_name": "a"}]
    (dropped,) = found.dropped
    assert (dropped.path, dropped.line) == (f"scrape_configs[0].{name}_sd_configs", 3)
    assert "use" in dropped.why


def test_files_of_jobs_are_kept_and_named() -> None:
    config, found = converted("scrape_config_files: ['jobs/*.yml']\n")
    assert config["scrape_config_files"] == ["jobs/*.yml"]
    assert [one.path for one in found.dropped] == ["scrape_config_files"]


def test_a_relabel_rule_that_is_wrong_stays() -> None:
    """A rule that is left out lets samples through: only a person can decide that."""
    found = convert("scrape_configs: [{job_name: a, relabel_configs: [{action: drop, regex: '('}]}]\n", "p.yml")
    assert [problem.path for problem in found.problems] == ["scrape_configs[0].relabel_configs[0].regex"]
    assert found.dropped == ()
