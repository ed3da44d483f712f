"""The corpus of conversions: a folder per case, with the input, the whole result and what was dropped."""

from __future__ import annotations

import json
from pathlib import Path

from lambda_remote_write_cli.convert import Conversion, Options, convert

FOLDER = Path(__file__).parents[1] / "testdata" / "convert"
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


def collector(more: str = "", exporter: str = "") -> Conversion:
    """A collector with one receiver and one exporter; `exporter` are more keys of it, `more` other sections."""
    text = f"""
receivers: {{prometheus: {{config: {{scrape_configs: [{{job_name: a}}]}}}}}}
exporters: {{prometheusremotewrite: {{endpoint: 'https://a.example/w'{exporter}}}}}
{more}
"""
    return convert(text, "c.yaml", Options("collector"))


def dropped_lines(found: Conversion) -> str:
    return "".join(f"{one.line} {one.path}: {one.why}\n" for one in found.dropped)
