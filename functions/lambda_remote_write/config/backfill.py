"""Reads `backfill` of a JSON job: how to query its API for a time range."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace

from . import http_client, plain_text
from .schema import Backfill, Metric
from .timestamp import parse_format, parse_zone
from .yaml_reader import Section

PLACEHOLDERS = ("start", "end", "step", "cursor")
_IN_THE_JOB = "query and headers of the job, which go along, may hold {ref: …}"
_PLACEHOLDER = re.compile(r"\{([a-z_]*)\}")


def read(entry: Section, of_ranges: Callable[[Section], tuple[Metric, ...]], interval_ms: int) -> Backfill | None:
    """The job's `backfill`, or None. `of_ranges` reads what it says of the metrics, whose records need timestamps of
    their own."""
    section = entry.section("backfill")
    if section is None:
        return None
    zone, metrics = section.read("timezone", parse_zone), of_ranges(section)
    section.defaults = default = Backfill("", (), None, interval_ms, metrics)
    found = Backfill(
        url=section.hidden("url", http_client.url) or "",
        query=tuple(
            (name, _template(section, "query", value))
            for name, value in plain_text.text_map(section, "query", _IN_THE_JOB).items()
        ),
        body=plain_text.text(section, "body", _IN_THE_JOB, lambda text: _template(section, "body", text)),
        format=replace(section.read("format", parse_format, default.format), zone=zone),
        window_ms=section.positive_ms("window"),
        step_ms=section.positive_ms("step"),
        metrics=metrics,
    )
    texts = [found.body or "", *(value for _, value in found.query)]
    missing = [name for name in ("{start}", "{end}") if not any(name in text for text in texts)]
    if missing and not section.is_wrong("query"):
        detail = "query (or body) tells the API the range"
        section.problem("query", f"{' and '.join(missing)} must stand in it: {detail}")
    untimed = [metric.name for metric in metrics if metric.timestamp is None]
    if untimed:
        detail = "without it the samples of a range have no time"
        entry.problem("backfill", f"every metric needs a timestamp, and {untimed[0]} has none: {detail}")
    section.close()
    return found


def _template(section: Section, key: str, text: str) -> str:
    """A text with placeholders. Only words in braces count: a body may well be JSON."""
    for name in _PLACEHOLDER.findall(text):
        if name and name not in PLACEHOLDERS:
            allowed = ", ".join(f"{{{one}}}" for one in PLACEHOLDERS)
            section.problem(key, f"{{{name}}} is unknown; allowed are {allowed}")
    return text
