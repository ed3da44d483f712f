"""Reads `json_configs`: how to call an API, and how its answer becomes metrics."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import re2

from .. import relabel
from ..model.scrape import SYNTHETIC_NAMES
from . import (
    backfill,
    expression,
    http_client,
    jobs,
    json_api,
    params,
    plain_text,
    scalars,
    sigv4,
    statesets,
    templates,
    unsupported_keys,
)
from .expression import Expression
from .expression_words import Scope
from .global_config import intervals, job_name, label_name
from .schema import Backfill, GlobalConfig, JsonJob, Metric, RecordName, Timestamp
from .timestamp import Format, any_of, parse_format, parse_zone
from .yaml_reader import Section

if TYPE_CHECKING:
    from .value_format import ValueFormat

_ALL = "@"  # a list is its records, and anything else is one
METRIC_TYPES = ("counter", "gauge", "histogram", "gaugehistogram", "summary", "info", "stateset", "unknown", "untyped")


def read(top: Section, fallback: GlobalConfig, env_vars: Mapping[str, str], taken: set[str]) -> tuple[JsonJob, ...]:
    """The jobs. `taken` holds the names of other jobs, and gets these."""
    return tuple(_job(entry, fallback, env_vars, taken) for entry in top.sections("json_configs"))


def _job(entry: Section, fallback: GlobalConfig, env_vars: Mapping[str, str], taken: set[str]) -> JsonJob:
    name, url = job_name(entry, taken), json_api.read_url(entry)
    interval_ms, timeout_ms = intervals(entry, fallback)
    default = JsonJob(name, interval_ms, timeout_ms, name_validation=fallback.name_validation, url=url or "")
    entry.defaults = default
    shared = jobs.shared(entry, fallback, default, http_client.RESERVED_FOR_SOURCES, env_vars)
    http = json_api.with_headers(entry, shared.pop("http"))
    targets = _targets(entry, fallback, default, env_vars)
    request = json_api.read_request(entry)
    found = _metrics(entry)
    job = replace(
        default,
        **shared,
        **targets,
        **params.with_params(_params(entry), http),
        **request,
        labels=_static_labels(entry),
        valid_status_codes=tuple(entry.read_list("valid_status_codes", _status_code)),
        fail_if=json_api.read_expression(entry, "fail_if", json_api.over_document),
        fail_message=json_api.read_expression(entry, "fail_message", json_api.over_document),
        body_format=json_api.read_body_format(entry),
        pagination=json_api.pagination(entry),
        metrics=tuple(metric for metric, _ in found),
        backfill=_backfill(entry, found, interval_ms),
    )
    _check(entry, job)
    sigv4.warn_of_price(entry, job.http, max(interval_ms, fallback.tick_ms))
    entry.close(unsupported_keys.JOB)
    return job


def _check(entry: Section, job: JsonJob) -> None:
    """Reports keys that do not go together."""
    bodies = [job.body, job.backfill.body if job.backfill else None]
    _check_labels(entry, job, bodies)
    json_api.check_refs(entry, bodies, [name for name, _ in job.templates.refs])
    json_api.check_offset(entry, job.pagination, [metric.records for metric in job.metrics])
    if entry.has("fail_message") and not entry.has("fail_if"):
        entry.problem("fail_message", "needs fail_if: it finds the text of the failure")


def _targets(entry: Section, fallback: GlobalConfig, default: JsonJob, env_vars: Mapping[str, str]) -> dict[str, Any]:
    """The targets that a job finds; nothing with `url`, which is the short form of one target."""
    finds = jobs.discovers(entry)
    if finds and not entry.has("url"):
        return jobs.targets(entry, fallback, default, env_vars)
    if not entry.has("url"):
        entry.problem("url", "is required, or the targets: static_configs or one of the *_sd_configs")
    for key in [*finds, *_OF_TARGETS]:
        if entry.has(key) and entry.has("url"):
            entry.problem(key, _NOT_WITH_URL)
    return {}


def _params(entry: Section) -> params.Params:
    query = params.read_query(entry)
    given = params.read(entry, templates.reader(entry, "params", templates.IN_URL))
    if entry.has("query") and entry.has("params"):
        entry.problem("query", json_api.SHORT_FORM.format("params"))
    for name, values in given:
        texts = [value.literal for value in values if value.literal is not None]
        if len(texts) < len(values) and any(map(templates.names, texts)):
            entry.problem("params", f"{name:.60}: a template cannot stand beside a reference in one list")
    return query or given


def _check_labels(entry: Section, job: JsonJob, bodies: Sequence[str | None]) -> None:
    """Labels that `{label.NAME}` of a body names, and no target has."""
    known = {"job", "instance"} | {name for name, _ in job.labels}
    for name in sorted(templates.names_of("label", bodies)):
        if name.startswith("__"):
            entry.problem("body", f"{{label.{name}}}: labels that begin with __ are gone after relabelling")
        elif job.url and name not in known:
            has = ", ".join(sorted(known))
            entry.problem("body", f"{{label.{name}}}: the target has the labels {has}; labels of the job adds others")


_OF_TARGETS = ("scheme", "metrics_path", "relabel_configs", "target_limit", "keep_dropped_targets", "hosts")
_NOT_WITH_URL = "cannot stand with url, which is the short form of one target: leave one of the two out"


def _backfill(entry: Section, found: Sequence[_Read], interval_ms: int) -> Backfill | None:
    if entry.has("backfill") and not entry.has("url"):
        entry.problem("backfill", "queries one address for a range: it needs url, and a job of its own for each target")
    read = backfill.read(entry, lambda section: _of_ranges(found, section), interval_ms)
    for _, block in found if read is None and not entry.is_wrong("backfill") else ():
        if block is not None:
            entry.problem("metrics", "backfill of a metric needs backfill of its job, which queries ranges")
    return read


def _status_code(text: str) -> int:
    code = scalars.integer(text)
    if not 100 <= code <= 599:
        raise ValueError("a status code is between 100 and 599")
    return code


def _static_labels(entry: Section) -> tuple[tuple[str, str], ...]:
    section = entry.map("labels")
    read = ((name, plain_text.text(section, name, plain_text.NOWHERE)) for name in section)
    return tuple((name, value or "") for name, value in read if label_name(section, name))


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
    steps = json_api.read_steps(section, _ALL)
    convert = json_api.within(steps) if not section.is_wrong("records") else expression.parse
    value = json_api.read_expression(section, "value", convert)
    timestamp = _timestamp(section, convert)
    labels = json_api.read_labels(section, convert)
    name, record_name = _name(section, convert)
    states = statesets.read(section, dict(labels))
    metric_type = section.choice("type", METRIC_TYPES, "stateset" if states else None)
    metric = Metric(
        name=name,
        type="unknown" if metric_type == "untyped" else metric_type,
        help=section.text("help"),
        unit=section.text("unit"),
        records=default.records,
        value=value or default.value,
        timestamp=timestamp,
        labels=labels,
        value_map=_value_map(section),
        value_regex=section.read("value_regex", _regex),
        value_format=_value_format(section),
        scale=section.number("scale"),
        offset=section.number("offset"),
        on_missing=section.read("on_missing", _on_missing, default.on_missing),
        duplicates=section.choice("duplicates", ("last", "first", "sum", "error")),
        record_name=record_name,
        states=states,
    )
    if section.is_map("states"):
        statesets.check_policies(section, metric.on_missing, metric.duplicates)
    for key in ("name", "value"):
        if not section.has(key):
            section.problem(key, "is required")
    of_ranges = section.section("backfill")
    section.close(unsupported_keys.METRIC)
    if len(section.diagnostics.problems) > before:
        return None
    return replace(metric, records=expression.records(steps, metric.expressions)), of_ranges


@functools.cache
def _default_metric() -> Metric:
    return Metric("", expression.records([expression.parse_step(_ALL)], []), expression.parse("@"))


def _of_ranges(found: Sequence[_Read], section: Section) -> tuple[Metric, ...]:
    """The metrics as an answer for a range has them, where it has another shape than the answer of now: `section` is
    the job's `backfill`."""
    steps = json_api.read_steps(section, _ALL) if section.has("records") else None
    return tuple(_of_range(metric, block, steps, section) for metric, block in found)


def _of_range(
    metric: Metric, block: Section | None, of_job: Sequence[expression.Step] | None, section: Section
) -> Metric:
    """One metric: what its own `backfill` says, then the job's `records`, then what holds for the answer of now."""
    own = json_api.read_steps(block, _ALL) if block is not None and block.has("records") else None
    steps = own or of_job or metric.records.steps
    value, timestamp, labels = metric.value, metric.timestamp, dict(metric.labels)
    if block is not None:
        convert = json_api.within(steps)
        value = json_api.read_expression(block, "value", convert) or value
        timestamp = _timestamp(block, convert) or timestamp
        labels |= dict(json_api.read_labels(block, convert))
        block.close()
    found = replace(metric, value=value, timestamp=timestamp, labels=tuple(labels.items()))
    try:
        return replace(found, records=expression.records(steps, found.expressions))
    except expression.InvalidExpression as error:
        place, key = (block, "records") if block is not None and own else (section, "records")
        place.problem(key, f"metric {metric.name}: an expression {error}; its backfill may say another one")
        return metric


def _metric_name(text: str) -> str:
    if not scalars.METRIC_NAME.fullmatch(text):
        raise ValueError("a metric name is letters, digits, _ and :, no digit first")
    if text in SYNTHETIC_NAMES:
        raise ValueError("every job has a series of this name already; choose another")
    return text


def _name(section: Section, convert: Callable[[str], Expression]) -> tuple[str, RecordName | None]:
    """The metric's name; or what messages call it, as `jmx_{@key}`, and where its records have the name."""
    block = section.section("name") if section.is_map("name") else None
    if block is None:
        return section.read("name", _metric_name, ""), None
    path, prefix = json_api.read_expression(block, "path", convert), block.read("prefix", _prefix, "")
    if not block.has("path"):
        block.problem("path", "is required: where the record has the name; a name that is known is a plain text")
    elif path is not None and path.scope is Scope.CONSTANT:
        block.problem("path", "is the same for every record; write the name itself as a plain text")
    block.close()
    if path is None:
        return "", None
    return f"{prefix}{{{' '.join(path.text.split())}}}", RecordName(path, prefix)


def _prefix(text: str) -> str:
    if text and not scalars.METRIC_NAME.fullmatch(text):
        raise ValueError("a metric name begins with it: letters, digits, _ and :, no digit first")
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


def _value_map(section: Section) -> tuple[tuple[str, float | None], ...]:
    values = section.map("value_map")
    return tuple((name, values.number(name, 0.0) if values.has(name) else None) for name in values)


def _value_format(section: Section) -> ValueFormat | None:
    if not section.has("value_format"):
        return None
    from . import value_format  # decimals are not loaded for numbers that JSON has as numbers

    return value_format.read(section)


def _timestamp(section: Section, convert: Callable[[str], Expression]) -> Timestamp | None:
    block = section.section("timestamp")
    if block is None:
        return None
    path = json_api.read_expression(block, "path", convert)
    zone = block.read("timezone", parse_zone)
    stamp_format = any_of(_timestamp_formats(block), zone)
    for key in ("path", "format"):
        if not block.has(key):
            block.problem(key, "is required in timestamp")
    block.close()
    return Timestamp(path, stamp_format) if path and stamp_format else None


def _timestamp_formats(block: Section) -> list[Format]:
    """One format, or a list of them."""
    if not block.is_list("format"):
        found = block.read("format", parse_format)
        return [found] if found else []
    formats = block.read_list("format", parse_format)
    if not formats and not block.is_wrong("format"):
        block.problem("format", "a list of formats holds at least one")
    return formats
