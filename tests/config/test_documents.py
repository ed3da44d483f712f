"""YAML as yaml.v2 for Go reads it for Prometheus: documents, versions, and tags that stand before a value."""

from __future__ import annotations

import pytest

from lambda_remote_write.config.load import parse_config
from lambda_remote_write.config.schema import Config
from lambda_remote_write.config.yaml_reader import ConfigError

JOB = "scrape_configs: [{job_name: a, static_configs: [{targets: ['h:1']}]}]\n"
WRITE = "remote_write: [{url: 'http://127.0.0.1:1/w'}]\n"


def load(text: str, **env_vars: str) -> Config:
    return parse_config(text, "f.yml", {"AWS_REGION": "eu-west-1", **env_vars}, lambda pattern: [])


MORE = {
    "a-second": "---\nnonsense: 1\n", "no-yaml": "---\n[: }{\n", "behind-the-end": "...\njunk\n", "alias": "---\n*x\n",
}  # fmt: skip


@pytest.mark.parametrize("more", MORE.values(), ids=MORE)
def test_the_first_document_counts(more: str) -> None:
    """What comes after it is not read, which is said."""
    config = load(JOB + WRITE + more)
    assert [job.job_name for job in config.scrape_jobs] == ["a"]
    assert config.warnings == ("f.yml: only the first YAML document of a file counts, and this one goes on after it",)


BINARY = {"text": ('"aGk="', "hi"), "lines": ('"aG\n\n  k="', "hi"), "not-ascii": ("w6Q=", "ä")}


@pytest.mark.parametrize(("written", "value"), BINARY.values(), ids=BINARY)
def test_binary_is_decoded(written: str, value: str) -> None:
    config = load(f"global:\n  external_labels:\n    n: !!binary {written}\n{JOB}{WRITE}")
    assert config.external_labels == (("n", value),)


SIGV4 = {
    "environment": ("http://h/w", "{}", "eu-west-1"),
    "empty": ("http://h/w", "{region: ''}", "eu-west-1"),
    "workspace": (
        "https://aps-workspaces.us-east-1.amazonaws.com/workspaces/ws-1/api/v1/remote_write", "{}", "us-east-1",
    ),
}  # fmt: skip


@pytest.mark.parametrize(("url", "sigv4", "region"), SIGV4.values(), ids=SIGV4)
def test_the_region_that_signs(url: str, sigv4: str, region: str) -> None:
    """Where the config has none it is that of the environment, as in Prometheus; an address of AMP says it better."""
    (endpoint,) = load(f"{JOB}remote_write: [{{url: '{url}', sigv4: {sigv4}}}]\n").endpoints
    assert endpoint.sigv4
    assert endpoint.sigv4.region == region


def test_no_region_to_sign_with() -> None:
    with pytest.raises(ConfigError, match=r"sigv4\.region: is required: neither the config nor AWS_REGION names one"):
        load(f"{JOB}remote_write: [{{url: 'http://h/w', sigv4: {{}}}}]\n", AWS_REGION="")
