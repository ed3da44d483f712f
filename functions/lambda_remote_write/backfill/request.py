"""What an event or a command line asks for, validated against the config."""

from __future__ import annotations

import difflib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, TypeVar

from ..config.scalars import duration_ms
from ..config.schema import BackfillServer, Config, JsonJob, ScrapeJob
from . import file_source
from .times import BadTime, parse_time, shown

KEYS = (
    "job", "start", "end", "step", "window", "from", "format", "columns", "endpoint", "force", "dry_run", "export",
    "widen_out_of_order", "resume", "plan",
)  # fmt: skip
_TEXTS = ("job", "format", "endpoint", "export")
_FLAGS = ("force", "dry_run", "plan")
_AHEAD_MS = 60_000  # between two clocks
_Type = TypeVar("_Type", str, bool)
Job = JsonJob | ScrapeJob | BackfillServer


class BadRequest(Exception):
    """The request is invalid. The message names every mistake: key, value, what is allowed."""


@dataclass(frozen=True, slots=True)
class Request:
    """Times are milliseconds; None means all times of a file. `files` are as they were named; an API or a server has
    none."""

    job: str = ""
    start_ms: int | None = None
    end_ms: int | None = None
    step_ms: int = 0
    window_ms: int = 0
    files: tuple[str, ...] = ()
    format: str = ""
    columns: tuple[tuple[str, str], ...] = ()
    endpoint: str = ""
    force: bool = False
    dry_run: bool = False
    export: str = ""
    widen: bool = False
    plan: bool = False
    asked: tuple[tuple[str, str], ...] = field(default=())  # the keys as they were given, each as JSON


def read(given: Mapping[str, Any], config: Config, now_ms: int) -> Request:
    """An event's keys (those of KEYS, but for `resume`) -> Request. Raises BadRequest."""
    problems = list[str]()
    unknown = [key for key in given if key not in KEYS]
    for key in unknown:
        near = difflib.get_close_matches(key, KEYS, n=1)
        hint = f'; did you mean "{near[0]}"?' if near else ""
        problems.append(f"{key!r:.60} is unknown{hint}; allowed are {', '.join(KEYS)}")
    named: dict[str, Any] = {key: _typed(given, key, "", problems) for key in _TEXTS}
    named |= {key: _typed(given, key, False, problems) for key in _FLAGS}
    request = Request(
        **named,
        start_ms=_time(given, "start", now_ms, problems),
        end_ms=_time(given, "end", now_ms, problems),
        step_ms=_duration(given, "step", problems),
        window_ms=_duration(given, "window", problems),
        files=_files(given, problems),
        columns=_columns(given, problems),
        widen=_typed(given, "widen_out_of_order", False, problems),
        asked=tuple((key, as_text(given[key])) for key in KEYS if key in given and key not in ("plan", "resume")),
    )
    request = _checked(request, config, now_ms, problems)
    if problems:
        raise BadRequest("; ".join(problems))
    return request


def as_text(value: Any) -> str:
    """A value of an event, for comparison."""
    return json.dumps(value, sort_keys=True, default=str)


def find_job(config: Config, name: str) -> Job | None:
    every: Sequence[Job] = [*config.jobs, *config.servers]
    return next((job for job in every if job.job_name == name), None)


# one key


def _typed(given: Mapping[str, Any], key: str, default: _Type, problems: list[str]) -> _Type:
    value = given.get(key, default)
    if isinstance(value, type(default)):
        return value
    expected = "a text" if isinstance(default, str) else "true or false"
    problems.append(f"{key}: {expected} is expected, not {value!r:.60}")
    return default


def _time(given: Mapping[str, Any], key: str, now_ms: int, problems: list[str]) -> int | None:
    if key not in given:
        return None
    try:
        return parse_time(given[key], now_ms)
    except BadTime as error:
        problems.append(f"{key}: {error}")
        return None


def _duration(given: Mapping[str, Any], key: str, problems: list[str]) -> int:
    text = _typed(given, key, "", problems)
    if not text:
        return 0
    try:
        if found := duration_ms(text):
            return found
        detail = "it must be longer than nothing"
    except ValueError as error:
        detail = str(error)
    problems.append(f"{key}: {text!r:.60} is not allowed: {detail}")
    return 0


def _files(given: Mapping[str, Any], problems: list[str]) -> tuple[str, ...]:
    if "from" not in given:
        return ()
    value = given["from"]
    places = (value,) if isinstance(value, str) else value
    if isinstance(places, list | tuple) and places and all(isinstance(place, str) and place for place in places):
        return tuple(places)
    problems.append(f"from: a path or s3:// address is expected, or a list of them, not {value!r:.60}")
    return ()


def _columns(given: Mapping[str, Any], problems: list[str]) -> tuple[tuple[str, str], ...]:
    value = given.get("columns", {})
    if isinstance(value, dict) and all(isinstance(name, str) for name in value.values()):
        return tuple(value.items())
    problems.append(f"columns: a map of headers to fields is expected, not {value!r:.60}")
    return ()


# keys that depend on each other


def _checked(request: Request, config: Config, now_ms: int, problems: list[str]) -> Request:
    start_ms, end_ms = request.start_ms, request.end_ms
    for key, at_ms in (("end", end_ms), ("start", start_ms)):
        if at_ms is not None and at_ms > now_ms + _AHEAD_MS:
            problems.append(f"{key}: {shown(at_ms)} lies in the future; now is {shown(now_ms)}")
    if start_ms is not None and end_ms is not None and start_ms > end_ms:
        problems.append(f"start: {shown(start_ms)} is after end, {shown(end_ms)}")
    names = [endpoint.name for endpoint in config.endpoints]
    if request.endpoint and request.endpoint not in names:
        problems.append(f"endpoint: {request.endpoint!r:.60} is none; the config has {', '.join(names) or 'none'}")
    if request.export and request.force:
        problems.append("export: force sends everything, so that nothing is left to export: choose one")
    if request.export and not request.endpoint and len(names) > 1:
        problems.append(f"export: say for which endpoint; the config has {', '.join(names)}")
    if request.files:
        return _of_files(request, config, problems)
    return _of_range(request, config, now_ms, problems)


def _of_files(request: Request, config: Config, problems: list[str]) -> Request:
    kinds = {place: request.format or file_source.format_of(place) for place in request.files}
    allowed = ", ".join(file_source.FORMATS)
    unknown = [place for place, kind in kinds.items() if not kind and not place.endswith(("/", "*"))]
    if request.format and request.format not in file_source.FORMATS:
        problems.append(f"format: {request.format!r:.60} is unknown; allowed are {allowed}")
    elif unknown:
        detail = f"is required, because the name of {unknown[0]!r:.200} does not tell"
        problems.append(f"format: {detail}; allowed are {allowed}")
    job = find_job(config, request.job)
    of_records = [kind for kind in kinds.values() if kind in file_source.RECORDS]
    if request.job and job is None:
        problems.append(_no_such_job(request.job, config))
    elif of_records:
        _check_records(request, job, config, of_records[0], problems)
    if request.columns and all(kinds.values()) and "csv" not in kinds.values():
        problems.append(f"columns: only csv has some, not {', '.join(sorted(set(kinds.values())))}")
    return request


def _check_records(request: Request, job: Job | None, config: Config, kind: str, problems: list[str]) -> None:
    names = [one.job_name for one in config.json_jobs]
    if not isinstance(job, JsonJob):
        detail = f"{request.job!r:.60} is no json_configs job" if request.job else "is required"
        problems.append(
            f"job: {detail}: it says what the records of {kind} mean; there are {', '.join(names) or 'none'}"
        )
        return
    if not job.url:
        detail = f"finds its targets, and {kind} does not say which of them its records are of"
        problems.append(f"job: {job.job_name}: {detail}; {_OF_ONE_TARGET}")
    untimed = [metric.name for metric in job.metrics if metric.timestamp is None]
    if untimed:
        problems.append(f"job: {job.job_name}: metric {untimed[0]} has no timestamp, and a backfill needs one")


def _of_range(request: Request, config: Config, now_ms: int, problems: list[str]) -> Request:
    given = [key for key in ("format", "columns") if getattr(request, key)]
    problems += [f"{key}: belongs to a file, and from names none" for key in given]
    job = find_job(config, request.job)
    if not request.job:
        names = [*(one.job_name for one in config.json_jobs), *(one.job_name for one in config.servers)]
        problems.append(f"job: is required (or from, for a file); the config has {', '.join(names) or 'none'}")
    elif job is None:
        problems.append(_no_such_job(request.job, config))
    elif isinstance(job, ScrapeJob):
        problems.append(f"job: {job.job_name} is scraped, and a page has no past: name a file of its samples with from")
    elif isinstance(job, JsonJob) and not job.url:
        problems.append(f"job: {job.job_name}: finds its targets, and a backfill queries one address; {_OF_ONE_TARGET}")
    elif isinstance(job, JsonJob) and job.backfill is None:
        detail = "its config has no backfill that says how to query the API for a range (or name a file with from)"
        problems.append(f"job: {job.job_name}: {detail}")
    elif isinstance(job, BackfillServer) and job.read == "federate":
        return replace(request, start_ms=request.start_ms or 0, end_ms=request.end_ms or now_ms)
    if request.start_ms is None and not any(detail.startswith("start") for detail in problems):
        problems.append("start: is required: RFC 3339, unix seconds, or relative as -2h")
    return replace(request, end_ms=now_ms if request.end_ms is None else request.end_ms)


_OF_ONE_TARGET = (
    "give a target a job of its own, with url and backfill, or name a file of samples, as openmetrics, with from"
)


def _no_such_job(name: str, config: Config) -> str:
    names = [*config.job_names(), *(server.job_name for server in config.servers)]
    near = difflib.get_close_matches(name, names, n=1)
    hint = f'; did you mean "{near[0]}"?' if near else ""
    return f"job: no job is named {name!r:.60}{hint}; the config has {', '.join(names) or 'none'}"
