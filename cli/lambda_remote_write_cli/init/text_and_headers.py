"""Metrics of a plain text, of the headers of an answer, and of lists without numbers (their lengths)."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from lambda_remote_write.http.response import Headers

from .column_kinds import is_number, number_in
from .names import metric_name, quoted_key, unique
from .proposals import Group, Metric, Proposal
from .yaml_text import scalar

_MAX_LINES = 30
_RATE_LIMIT = re.compile(r"(x-)?(ratelimit|rate-limit)-(limit|remaining|used)(-[a-z]+)?", re.IGNORECASE)


def of_text(text: str, prefix: str) -> Proposal:
    """A metric for each line with one number in it."""
    if is_number(text.strip()):
        return _group([Metric(metric_name(prefix, ["value"]), "@", text.strip())])
    metrics, left_out, taken = [], [], set[str]()
    for line in [line.strip() for line in text.splitlines() if line.strip()][:_MAX_LINES]:
        pattern = number_in(line)
        found = re.search(pattern, text) if pattern else None
        if not found or found[1] not in line:
            left_out.append(f"the line {line[:60]!r}: value_regex finds one number in it")
            continue
        words = re.findall(r"[^\W\d]+", line[: line.find(found[1])])[-3:] or ["value"]
        name = unique(metric_name(prefix, words), taken)
        taken.add(name)
        unit = re.match(r"\s*([^\s\d]{1,12})", line[line.find(found[1]) + len(found[1]) :])
        notes = (f"the text has {unit[1]!r} behind the number: which unit is it?",) if unit else ()
        metrics.append(Metric(name, "@", found[1], (("value_regex", scalar(pattern)),), notes))
    found_group = _group(metrics)
    found_group.left_out = left_out
    return found_group


def _group(metrics: list[Metric]) -> Proposal:
    return Proposal([Group((), (), {}, {}, metrics, None, (), 1)] if metrics else [])


def of_headers(headers: Headers, prefix: str) -> list[Group]:
    """What an answer says in its headers of a rate limit."""
    metrics = []
    for name in headers:
        if _RATE_LIMIT.fullmatch(name) and is_number(headers[name].strip()):
            shown = "-".join(part if part == "ratelimit" else part.capitalize() for part in name.split("-"))
            shown = shown.replace("ratelimit", "RateLimit")
            words = re.sub("(?i)^x-", "", name).replace("rate-limit", "ratelimit").split("-")
            metrics.append(Metric(metric_name(prefix, words), f"@header.{quoted_key(shown)}", headers[name].strip()))
    return [Group((), (), {}, {}, metrics, None, ("from the headers of the answer",), 1)] if metrics else []


def of_counts(document: Any, prefix: str, root_name: str) -> list[Group]:
    """How many records each list has, for a document without a number."""
    if isinstance(document, list) and document:
        name = metric_name(prefix, [root_name, "count"])
        metric = Metric(name, "length(@)", len(document), notes=("no number in the records: how many there are",))
        return [Group(("[@]",), ("[@]",), {}, {}, [metric], None, (), 1)]
    metrics = [
        Metric(metric_name(prefix, [*path, "count"]), f"length({'.'.join(map(quoted_key, path))})", len(found))
        for path, found in _lists(document, ())
    ]
    return (
        [Group((), (), {}, {}, metrics[:10], None, ("no number in the records: how many there are",), 1)]
        if metrics
        else []
    )


def _lists(value: Any, path: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], list[Any]]]:
    for key, item in value.items() if isinstance(value, dict) else ():
        if isinstance(item, list) and item:
            yield (*path, key), item
        elif len(path) < 4:
            yield from _lists(item, (*path, key))
