"""Every key that a config of Prometheus 3.16 may hold loads here with its meaning, or is named for what it is."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft7Validator

from lambda_remote_write.config.load import parse_config
from lambda_remote_write.config.sd_configs import REFUSED
from lambda_remote_write.config.yaml_reader import ConfigError
from lambda_remote_write_cli.schema import FILE
from tests.rig.yaml_files import read_yaml

KEYS = read_yaml(Path(__file__).parents[1] / "testdata/config/prometheus-keys.yaml")
TAKEN = [(place, key) for place, found in KEYS["taken"].items() for key in found["keys"]]
REFUSED_KEYS = [(found, key) for found in KEYS["refused"] for key in found["keys"]]
WRITE = {"remote_write": [{"url": "http://r/"}]}
IN_AN_EDITOR = Draft7Validator(json.loads(FILE.read_bytes()))
JOB = {"scrape_configs": [{"job_name": "j", "static_configs": [{"targets": ["h:1"]}]}]}


def put(config: Any, keys: dict[str, Any]) -> Any:
    """A config with these keys where it says HERE."""
    if isinstance(config, list):
        return [put(item, keys) for item in config]
    if not isinstance(config, dict):
        return config
    there = keys if "HERE" in config else {}
    return {name: put(value, keys) for name, value in config.items() if name != "HERE"} | there


def load(config: dict[str, Any]) -> tuple[str, ...]:
    """The warnings. An editor finds no mistake in what loads."""
    whole = JOB | WRITE | config
    warnings = parse_config(json.dumps(whole), "prometheus.yml", {"AWS_REGION": "eu-west-1"}).warnings
    assert [error.message for error in IN_AN_EDITOR.iter_errors(whole)] == []
    return warnings


@pytest.mark.parametrize(("place", "key"), TAKEN, ids=[f"{place} {key}" for place, key in TAKEN])
def test_a_key_of_prometheus_loads(place: str, key: str) -> None:
    found = KEYS["taken"][place]
    load(put(found["config"], KEYS["pairs"].get(key, {}) | {key: found["keys"][key]}))


@pytest.mark.parametrize(("path", "config"), KEYS["server only"].items(), ids=KEYS["server only"])
def test_what_only_a_server_does_is_named(path: str, config: dict[str, Any]) -> None:
    detail = [
        one for one in load(config) if f" {path}: ignored: needs a Prometheus server and does nothing here" in one
    ]
    assert len(detail) == 1


@pytest.mark.parametrize(
    ("found", "key"), REFUSED_KEYS, ids=[f"{found['path']}.{key} {found['keys'][key]}" for found, key in REFUSED_KEYS]
)
def test_what_makes_no_sense_here_is_refused_by_name(found: dict[str, Any], key: str) -> None:
    """Never as an unknown key: it says what to use instead, or why there is no such thing."""
    with pytest.raises(ConfigError) as raised:
        load(put(found["config"], {key: found["keys"][key]}))
    (problem,) = raised.value.problems
    assert problem.path == f"{found['path']}.{key}"
    assert "unknown key" not in problem.message
    assert not key.endswith("_sd_configs") or REFUSED.get(key, problem.message) == problem.message


def test_a_job_file_holds_scrape_configs() -> None:
    text = json.dumps({"scrape_config_files": ["jobs/*.yml"], **WRITE})
    found = parse_config(text, "prometheus.yml", {}, lambda pattern: [("jobs/a.yml", json.dumps(JOB))])
    assert [one.job_name for one in found.scrape_jobs] == ["j"]
