"""Reads `json_configs`: how to call an API, and how its answer becomes metrics."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any
from urllib.parse import urlsplit

import re2

from .. import relabel
from . import backfill, expression, http_client, plain_text, relabel_configs, scalars, unsupported_keys
from .expression import Expression
from .global_config import intervals, job_name, label_name, limits
from .schema import GlobalConfig, JsonJob, Metric, Pagination, Timestamp
from .secrets import Secret
from .timestamp import parse_format, parse_zone
from .yaml_reader import Section

SYNTHETIC = (
    "up",
    "scrape_duration_seconds",
    "scrape_samples_scraped",
    "scrape_samples_post_metric_relabeling",
    "scrape_series_added",
)
METRIC_TYPES = ("counter", "gauge", "histogram", "gaugehistogram", "summary", "info", "stateset", "unknown", "untyped")


def read(section: Section, fallback: GlobalConfig, taken: set[str]) -> tuple[JsonJob, ...]:
    """The jobs. `taken` holds the names of other jobs, and gets these."""
    return tuple(_job(entry, fallback, taken) for entry in section.sections("json_configs"))


def _job(entry: Section, fallback: GlobalConfig, taken: set[str]) -> JsonJob:
    name, url = job_name(entry, taken), entry.hidden("url", http_client.url)
    if url is None and not entry.has("url"):
        entry.problem("url", "is required")
    interval_ms, timeout_ms = intervals(entry, fallback)
    default = JsonJob(name, url or "", urlsplit(url or "").netloc, interval_ms, timeout_ms, ())
    entry.defaults = default
    body = read_body(entry)
    found = _metrics(entry)
    metrics = tuple(metric for metric, _ in found)
    job = replace(
        default,
        method=entry.choice("method", ("GET", "POST"), "POST" if body is not None else None),
        query=tuple(plain_text.text_map(entry, "query", plain_text.BY_HEADER).items()),
        body=body,
        headers=tuple(
            (name, Secret(literal=value))
            for name, value in http_client.static_headers(entry, http_client.RESERVED_FOR_SOURCES)
        ),
        labels=_static_labels(entry),
        honor_labels=entry.boolean("honor_labels"),
        valid_status_codes=tuple(entry.read_list("valid_status_codes", _status_code)),
        fail_if=entry.read("fail_if", _over_document),
        fail_message=entry.read("fail_message", _over_document),
        pagination=_pagination(entry),
        allow_link_local=entry.boolean("allow_link_local"),
        http=http_client.read(entry, http_client.RESERVED_FOR_SOURCES),
        limits=limits(entry, fallback.limits, default.limits),
        metric_relabel=relabel_configs.read(entry, "metric_relabel_configs", fallback.name_validation),
        metrics=metrics,
        backfill=backfill.read(entry, lambda section: _of_ranges(found, section), interval_ms),
        new_series_limit=entry.integer("new_series_limit") or fallback.new_series_limit,
    )
    for _, block in found if job.backfill is None and not entry.is_wrong("backfill") else ():
        if block is not None:
            entry.problem("metrics", "backfill of a metric needs backfill of its job, which queries ranges")
    if job.body is not None and job.method == "GET":
        entry.problem("body", "a GET request has no body; leave method out or set it to POST")
    if entry.has("fail_message") and not entry.has("fail_if"):
        entry.problem("fail_message", "needs fail_if: it finds the text of the failure")
    entry.close(unsupported_keys.JOB)
    return job


def _of_document(text: str, expected: str) -> Expression:
    """An expression over the whole document. Raises ValueError."""
    found = expression.parse(text)
    if not found.is_of_document:
        raise ValueError(expected)
    return found


def _over_document(text: str) -> Expression:
    return _of_document(text, "an expression over the document is expected, as errors or code != `200`")


def read_body(section: Section) -> str | None:
    body = plain_text.text(section, "body", plain_text.BY_HEADER)
    if body is not None and not section.is_map("body"):
        plain_text.warn_of_references_within(section, "body", body)
    return body


def _status_code(text: str) -> int:
    code = scalars.integer(text)
    if not 100 <= code <= 599:
        raise ValueError("a status code is between 100 and 599")
    return code


def _static_labels(entry: Section) -> tuple[tuple[str, str], ...]:
    section = entry.map("labels")
    read = ((name, plain_text.text(section, name, plain_text.NOWHERE)) for name in section)
    return tuple((name, value or "") for name, value in read if label_name(section, name))


def _pagination(entry: Section) -> Pagination | None:
    section = entry.section("pagination")
    if section is None:
        return None
    style = section.choice("style", ("next_link", "cursor", "page"), "")
    section.defaults = default = Pagination(style, None, "page" if style == "page" else "cursor")
    found = Pagination(
        style=style,
        path=section.read("path", _page_path),
        parameter=section.text("parameter", default.parameter),
        first_page=section.integer("first_page"),
        max_pages=section.integer("max_pages", minimum=1),
    )
    if not section.has("style"):
        section.problem("style", "is required: next_link, cursor or page")
    if style in ("next_link", "cursor") and not section.has("path"):
        section.problem("path", f"is required for style {style}: where the document names the next page")
    section.close()
    return found


def _page_path(text: str) -> Expression:
    expected = "a path into the page is expected, as meta.next; a constant, @key or ^ finds nothing there"
    found = _of_document(text, expected)
    if found.program is not None and found.program.calls("now"):
        raise ValueError("now() stands in expressions over records: a page is found without the time")
    return found


def _within(steps: Sequence[expression.Step]) -> Callable[[str], Expression]:
    """Reads an expression that is evaluated under these steps of `records`."""

    def read_expression(text: str) -> Expression:
        found = expression.parse(text)
        expression.records(steps, [found])
        return found

    return read_expression


_Read = tuple[Metric, Section | None]
"""A metric, and its `backfill`, which is read with the job's."""


def _metrics(entry: Section) -> tuple[_Read, ...]:
    sections = entry.sections("metrics")
    if not sections and not entry.is_wrong("metrics"):
        entry.problem("metrics", "at least one metric is required")
    return tuple(found for section in sections if (found := _metric(section)) is not None)


def _metric(section: Section) -> _Read | None:
    before = len(section.diagnostics.problems)
    section.defaults = default = _default_metric()
    steps = _steps(section)
    read_expression = _within(steps) if not section.is_wrong("records") else expression.parse
    value = section.read("value", read_expression)
    timestamp = _timestamp(section, read_expression)
    labels = _labels(section, read_expression)
    used = [one for one in (value, timestamp and timestamp.path, *(found for _, found in labels)) if one]
    metric_type = section.choice("type", METRIC_TYPES)
    metric = Metric(
        name=section.read("name", _metric_name, ""),
        type="unknown" if metric_type == "untyped" else metric_type,
        help=section.text("help"),
        unit=section.text("unit"),
        records=expression.records(steps, used) if len(section.diagnostics.problems) == before else default.records,
        value=value or default.value,
        timestamp=timestamp,
        labels=labels,
        value_map=_value_map(section),
        value_regex=section.read("value_regex", _regex),
        scale=section.number("scale"),
        offset=section.number("offset"),
        on_missing=section.read("on_missing", _on_missing, default.on_missing),
        duplicates=section.choice("duplicates", ("last", "first", "sum", "error")),
    )
    for key in ("name", "value"):
        if not section.has(key):
            section.problem(key, "is required")
    of_ranges = section.section("backfill")
    section.close(unsupported_keys.METRIC)
    return (metric, of_ranges) if len(section.diagnostics.problems) == before else None


@functools.cache
def _default_metric() -> Metric:
    return Metric("", expression.records([expression.parse_step("@")], []), expression.parse("@"))


def _of_ranges(found: Sequence[_Read], section: Section) -> tuple[Metric, ...]:
    """The metrics as an answer for a range has them, where it has another shape than the answer of now: `section` is
    the job's `backfill`."""
    steps = _steps(section) if section.has("records") else None
    return tuple(_of_range(metric, block, steps, section) for metric, block in found)


def _of_range(
    metric: Metric, block: Section | None, of_job: Sequence[expression.Step] | None, section: Section
) -> Metric:
    """One metric: what its own `backfill` says, then the job's `records`, then what holds for the answer of now."""
    own = _steps(block) if block is not None and block.has("records") else None
    steps = own or of_job or metric.records.steps
    value, timestamp, labels = metric.value, metric.timestamp, dict(metric.labels)
    if block is not None:
        read_expression = _within(steps)
        value = block.read("value", read_expression) or value
        timestamp = _timestamp(block, read_expression) or timestamp
        labels |= dict(_labels(block, read_expression))
        block.close()
    used = [value, *labels.values(), *([timestamp.path] if timestamp else [])]
    try:
        records = expression.records(steps, used)
    except expression.InvalidExpression as error:
        place, key = (block, "records") if block is not None and own else (section, "records")
        place.problem(key, f"metric {metric.name}: an expression {error}; its backfill may say another one")
        return metric
    return replace(metric, records=records, value=value, timestamp=timestamp, labels=tuple(labels.items()))


def _steps(section: Section) -> list[expression.Step]:
    if section.is_list("records"):
        steps = section.read_list("records", expression.parse_step)
        if not steps and not section.is_wrong("records"):
            hint = 'for the list at the top write "[]" in quotes'
            section.problem("records", f"a list of steps holds at least one; {hint}")
    else:
        step = section.read("records", expression.parse_step)
        steps = [step] if step else []
    try:
        expression.records(steps, [])
    except expression.InvalidExpression as error:
        section.problem("records", str(error))
    return steps or list(_default_metric().records.steps)


def _metric_name(text: str) -> str:
    if not scalars.METRIC_NAME.fullmatch(text):
        raise ValueError("a metric name is letters, digits, _ and :, no digit first")
    if text in SYNTHETIC:
        raise ValueError("every job has a series of this name already; choose another")
    return text


def _regex(text: str) -> Any:
    try:
        return re2.compile(text, relabel.QUIET)
    except re2.error as error:
        reason = error.args[0].decode() if isinstance(error.args[0], bytes) else str(error)
        raise ValueError(f"not an RE2 regular expression: {reason}") from None


def _on_missing(text: str) -> str | float:
    if text in ("skip", "ignore", "error"):
        return text
    try:
        return scalars.yaml_float(text)
    except ValueError:
        raise ValueError("allowed are skip, ignore, error or a number to use instead") from None


def _value_map(section: Section) -> tuple[tuple[str, float], ...]:
    values = section.map("value_map")
    return tuple((name, values.number(name, 0.0)) for name in values)


def _timestamp(section: Section, read_expression: Callable[[str], Expression]) -> Timestamp | None:
    block = section.section("timestamp")
    if block is None:
        return None
    path = block.read("path", read_expression)
    zone = block.read("timezone", parse_zone)
    stamp_format = block.read("format", parse_format)
    for key in ("path", "format"):
        if not block.has(key):
            block.problem(key, "is required in timestamp")
    block.close()
    return Timestamp(path, replace(stamp_format, zone=zone)) if path and stamp_format else None


def _labels(section: Section, read_expression: Callable[[str], Expression]) -> tuple[tuple[str, Expression], ...]:
    labels, found = section.map("labels"), []
    for name in labels:
        value = labels.read(name, read_expression)
        if label_name(labels, name) and value is not None:
            found.append((name, value.as_text()))
    return tuple(found)
