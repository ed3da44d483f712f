"""Reads `backfill` of a JSON job: how to query its API for a time range."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace

from . import json_api, plain_text, templates
from .schema import Backfill, Metric
from .timestamp import parse_format, parse_zone
from .yaml_reader import Section

_IN_URL = (*templates.OF_RANGES, *templates.IN_URL)
_IN_BODY = (*templates.OF_RANGES, *templates.IN_BODY)
_IN_THE_JOB = "query and headers of the job, which go along, may hold {ref: …}"
_WORD = re.compile(r"\{([a-z_]+)\}")


def read(entry: Section, of_ranges: Callable[[Section], tuple[Metric, ...]], interval_ms: int) -> Backfill | None:
    """The job's `backfill`, or None. `of_ranges` reads what it says of the metrics, whose records need timestamps of
    their own."""
    section = entry.section("backfill")
    if section is None:
        return None
    zone, metrics = section.read("timezone", parse_zone), of_ranges(section)
    before = len(section.diagnostics.problems)
    section.defaults = default = Backfill("", (), None, interval_ms, metrics)
    found = Backfill(
        url=json_api.read_url(section, _IN_URL) or "",
        query=tuple(plain_text.text_map(section, "query", _IN_THE_JOB, _query_reader(section)).items()),
        body=plain_text.text(section, "body", _IN_THE_JOB, templates.reader(section, "body", _IN_BODY, is_body=True)),
        format=replace(section.read("format", parse_format, default.format), zone=zone),
        window_ms=section.positive_ms("window"),
        step_ms=section.positive_ms("step"),
        metrics=metrics,
    )
    texts = [found.url, found.body or "", *(value for _, value in found.query)]
    missing = [name for name in ("{start}", "{end}") if not any(name in text for text in texts)]
    if missing and len(section.diagnostics.problems) == before:
        detail = "query (or body, or url) tells the API the range"
        section.problem("query", f"{' and '.join(missing)} must stand in it: {detail}")
    untimed = [metric.name for metric in metrics if metric.timestamp is None]
    if untimed:
        detail = "without it the samples of a range have no time"
        entry.problem("backfill", f"every metric needs a timestamp, and {untimed[0]} has none: {detail}")
    section.close()
    return found


def _query_reader(section: Section) -> Callable[[str], str]:
    """Of a value in which every word in braces is a placeholder."""
    check = templates.reader(section, "query", _IN_URL)

    def checked(text: str) -> str:
        for name in _WORD.findall(check(text)):
            if name not in _IN_URL:
                allowed = ", ".join(f"{{{one}}}" for one in _IN_URL)
                raise ValueError(f"{{{name}}} is unknown; allowed are {allowed}")
        return text

    return checked
