"""Whole config files: good ones load with the warnings of their `.txt` and the values of their `.fields`, bad ones
report exactly the lines of their `.txt`."""

from __future__ import annotations

import re
from dataclasses import fields, is_dataclass
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from lambda_remote_write.config.load import parse_config
from lambda_remote_write.config.schema import Config, JsonJob, Metric, RemoteWriteConfig, SigV4
from lambda_remote_write.config.secrets import Secret
from lambda_remote_write.config.yaml_reader import ConfigError
from tests.rig.yaml_files import read_yaml

CORPUS = Path(__file__).parents[1] / "testdata" / "config"
ENVIRONMENT = {
    "AWS_REGION": "eu-west-1",
    "PUSHER_WORKSPACE": "ws-0f3ca4d1-0000-4000-8000-000000000000",
    "OTHER_WORKSPACE": "ws-6",
    "NOT_A_WORKSPACE": "usage",
}
OF_FILE = {
    "environment": {"PUSHER_TICK": "often", "PUSHER_WORKSPACE": "usage", "PUSHER_SPOOL": "https://bucket"},
    "expansion": {"HOST": "web-1"},
    **{name: {"AWS_REGION": ""} for name in ("sigv4-no-region", "workspace-no-region")},
    **{name: {"PUSHER_TICK": "5m"} for name in ("tick-own", "tick-global", "tick-default", "tick-global-and-own")},
}


def files(folder: str) -> list[Any]:
    found = sorted((CORPUS / folder).glob("*.yaml"))
    return [pytest.param(path, id=path.stem) for path in found]


def load(path: Path) -> Config:
    return parse_config(path.read_bytes().decode(), path.name, ENVIRONMENT | OF_FILE.get(path.stem, {}))


def expected_of(path: Path) -> list[str]:
    beside = path.with_suffix(".txt")
    return beside.read_text(encoding="utf-8").splitlines() if beside.exists() else []


@cache
def good(name: str) -> Config:
    return load(CORPUS / "good" / f"{name}.yaml")


def read(value: Any, place: str) -> Any:
    """`jobs[0].limits` of a config; `jobs[usage].limits` is that of the job with this name, `jobs[].limits` of each."""
    one, each, rest = place.partition("[]")
    for name, entry in re.findall(r"(\w+)|\[([\w-]+)\]", one):
        if name:
            value = getattr(value, name)
        else:
            value = value[int(entry)] if entry.isdigit() else next(job for job in value if job.job_name == entry)
    return [read(item, rest) for item in value] if each else value


def plain(value: Any) -> Any:
    """As YAML writes it: a block is its class with what differs from the schema's defaults, a secret where it is."""
    if isinstance(value, Secret):
        return {one.name: kept for one in fields(value) if (kept := getattr(value, one.name)) is not None}
    if is_dataclass(value):
        written = {one.name: getattr(value, one.name) for one in fields(value)}
        own = {one.name: one.default for one in fields(value)}
        return {type(value).__name__: {name: plain(kept) for name, kept in written.items() if kept != own[name]}}
    if isinstance(value, frozenset):
        return sorted(value)
    return [plain(item) for item in value] if isinstance(value, tuple | list) else value


@pytest.mark.parametrize("path", files("good"))
def test_good(path: Path) -> None:
    """A good file loads, and warns of exactly what its `.txt` names."""
    assert list(load(path).warnings) == expected_of(path)


@pytest.mark.parametrize("path", files("bad"))
def test_bad(path: Path) -> None:
    """A bad file does not load; the message lists all its mistakes, in the order of its lines."""
    with pytest.raises(ConfigError) as raised:
        load(path)
    assert sorted(str(raised.value).splitlines()) == sorted(expected_of(path))
    assert not re.search(r"hid.{0,3}den", f"{raised.value}{raised.value!r}", re.IGNORECASE)  # the secrets in them
    lines = [problem.line for problem in raised.value.problems]
    assert lines == sorted(lines)


def test_every_expectation_has_its_file() -> None:
    """Nothing is left without the file it belongs to, and every bad file has its `.txt`."""
    found = {path.with_suffix("") for path in CORPUS.glob("*/*.yaml")}
    assert {path.with_suffix("") for path in CORPUS.glob("*/*") if path.suffix in (".txt", ".fields")} <= found
    assert {path.with_suffix("") for path in CORPUS.glob("bad/*")} == {
        path.with_suffix("") for path in CORPUS.glob("bad/*.txt")
    }


# --- What the good files mean -----------------------------------------------------------------------------------------

URL = "https://aps-workspaces.eu-west-1.amazonaws.com/workspaces/ws-0f3ca4d1-0000-4000-8000-000000000000"


def test_what_is_not_written_is_the_schemas_default() -> None:
    """test_defaults.py compares these with docs/config.md."""
    config = good("minimal")
    (job,), (endpoint,) = config.json_jobs, config.endpoints
    (metric,) = job.metrics
    assert metric == Metric(metric.name, metric.records, metric.value)
    assert job == JsonJob(job.job_name, 60_000, 10_000, url=job.url, metrics=job.metrics)
    assert endpoint == RemoteWriteConfig(endpoint.name, f"{URL}/api/v1/remote_write", sigv4=SigV4("eu-west-1"))
    assert config == Config((), config.json_jobs, (), config.endpoints, 60_000)


def test_defaults_stay_below_amp_body_limit() -> None:
    """A request's body is under 1,000,000 bytes unless the user says otherwise."""
    assert good("minimal").endpoints[0].queue.max_body_bytes <= 1_000_000


FIELDS = [
    (path.stem, place, value)
    for path in sorted((CORPUS / "good").glob("*.fields"))
    for place, value in read_yaml(path).items()
]


@pytest.mark.parametrize(("name", "place", "value"), FIELDS, ids=[f"{name}: {place}" for name, place, _ in FIELDS])
def test_fields(name: str, place: str, value: object) -> None:
    """A key that is written in a good file ends in the field that carries its meaning: the `.fields` beside it."""
    assert plain(read(good(name), place)) == value


def test_empty_labels_are_absent() -> None:
    """A label without a value is no label, as in Prometheus: empty and missing are the same thing."""
    assert not [value for _, value in good("explicit-empty").jobs[0].labels if value]


def test_null_in_value_map_is_text() -> None:
    """The keys of value_map are texts as written: they are compared with what the API sends."""
    values = dict(good("go-scalars").jobs[0].metrics[0].value_map)
    assert [(key, values[key]) for key in ("yes", "no", "012", "~")] == [("yes", 1), ("no", 0), ("012", 12), ("~", -1)]
    assert values["unknown"] != values["unknown"]
    assert values["far"] == float("inf")
