"""The corpus of conversions: a folder per case, with the input, the whole result and what was dropped."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import yaml

from lambda_remote_write.config.load import parse_config
from lambda_remote_write.config.schema import Config
from lambda_remote_write_cli.convert import Conversion, Options, convert

ENVIRONMENT = {"AWS_REGION": "eu-west-1", "PUSHER_WORKSPACE": "ws-1", "CLUSTER": "blue", "TOKEN": "t"}
TESTDATA = Path(__file__).parents[1] / "testdata"
FOLDER = TESTDATA / "convert"
CASES = sorted(path.name for path in FOLDER.iterdir())


def options_of(case: str) -> Options:
    """What `options.json` and `prometheus.yaml` of the case say."""
    written = FOLDER / case / "options.json"
    asking = FOLDER / case / "prometheus.yaml"
    given = json.loads(written.read_text()) if written.exists() else {}
    targets = (asking.read_text(), asking.name) if asking.exists() else None
    return Options(targets=targets, **given)


def converted(case: str) -> Conversion:
    return convert((FOLDER / case / "input.yaml").read_text(), "input.yaml", options_of(case))


def collector(
    more: str = "",
    exporter: str = "",
    *,
    scrape: str = "[{job_name: a}]",
    endpoint: str = "https://a.example/w",
    **given: str,
) -> Conversion:
    """A collector with one receiver and one exporter; `exporter` are more keys of it, `more` other sections."""
    text = f"""
receivers: {{prometheus: {{config: {{scrape_configs: {scrape}}}}}}}
exporters: {{prometheusremotewrite: {{endpoint: '{endpoint}'{exporter}}}}}
{more}
"""
    return convert(text, "c.yaml", Options("collector", given))


def plain(found: Conversion) -> dict[str, Any]:
    """The config as YAML reads it, all scalars as texts."""
    config: dict[str, Any] = yaml.load(found.config, yaml.CBaseLoader)
    return config


def loaded(found: Conversion) -> Config:
    return parse_config(found.config, "ours.yaml", ENVIRONMENT, include=lambda pattern: ())


def complete(found: Conversion) -> dict[str, Any]:
    """The config as plain data, of which nothing is left to a person."""
    assert found.problems == ()
    loaded(found)
    return plain(found)


def dropped_lines(found: Conversion) -> str:
    return "".join(f"{one.line} {one.path}: {one.why}\n" for one in found.dropped)
