"""`pusher query`: PromQL against the receiver of an endpoint, with the endpoint's own authentication."""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass

from lambda_remote_write.backfill.times import BadTime, parse_time
from lambda_remote_write.config.scalars import duration_ms
from lambda_remote_write.config.schema import Config, RemoteWriteConfig
from lambda_remote_write.config.yaml_reader import shown_url
from lambda_remote_write.dependencies import Dependencies

from ..command import BAD, NOT_DELIVERED, OK, Add, BadUsage, Command, Example, add_config, add_timeout, load
from ..terminal import Console, refuse, say, say_json
from .api import BadQuery, Found, NotAnswered, QueryApi, Question, sample_times
from .table import rows, show

_STEP = "1m"
_EMPTY = (
    "no series: an instant query looks back five minutes only. Is the name right, does `pusher plan` show the series, "
    "and did the schedule run? Ask for up, or for a range: last_over_time(NAME[1h])"
)
_EMPTY_RANGE = (
    "no series in this range. Is the name right, and did the schedule run then? Ask for up over the same range"
)


def _run(options: argparse.Namespace, dependencies: Dependencies) -> int:
    config = load(options, dependencies)
    endpoint = _endpoint(config, options.endpoint)
    now_ms = dependencies.now_ms()
    question = _question(options, now_ms)
    deadline = time.monotonic() + options.timeout
    try:
        api = QueryApi(endpoint, dependencies.client(endpoint), _checked(options.url))
        found = api.ask(question, options.timeout)
    except BadQuery as error:
        return _refused(options, str(error), BAD)
    except NotAnswered as error:
        return _refused(options, str(error), NOT_DELIVERED)
    if options.json:
        say_json(found.document)
        return OK
    if options.quiet:
        return OK
    times = _Times.of(api, found, question, deadline)
    show(list(rows(found, now_ms / 1000, times.by_series)), Console(highlight=False, markup=False))
    for line in _messages(found, question, times.unknown):
        say(line, file=sys.stderr)
    return OK


@dataclass(frozen=True, slots=True)
class _Times:
    """When the samples of a selector were taken; why that is `unknown`."""

    by_series: Mapping[str, float] | None = None
    unknown: str = ""

    @classmethod
    def of(cls, api: QueryApi, found: Found, question: Question, deadline: float) -> _Times:
        if found.kind != "vector" or found.is_empty:
            return cls()
        try:
            return cls(sample_times(api, question, max(deadline - time.monotonic(), 0.1)))
        except (BadQuery, NotAnswered) as error:
            return cls({}, f"when the samples were taken is not known: {error}")


def _messages(found: Found, question: Question, unknown: str) -> list[str]:
    empty = (_EMPTY_RANGE if question.is_range else _EMPTY) if found.is_empty else ""
    from_api = [*(f"warning: {one}" for one in found.warnings), *(f"info: {one}" for one in found.infos)]
    return [one for one in (*from_api, unknown, empty) if one]


def _endpoint(config: Config, name: str) -> RemoteWriteConfig:
    """Raises BadUsage."""
    if not config.endpoints:
        raise BadUsage("the config has no remote_write endpoint: add one, or set PUSHER_WORKSPACE and AWS_REGION")
    known = {one.name: one for one in config.endpoints}
    shown = ", ".join(one.shown_name for one in config.endpoints)
    if name and name not in known:
        raise BadUsage(f"--endpoint: no endpoint is named {name!r}; the config has {shown}")
    if not name and len(known) > 1:
        raise BadUsage(f"--endpoint NAME is expected, as the config has {len(known)}: {shown}")
    return known[name] if name else config.endpoints[0]


def _checked(url: str) -> str:
    """Raises BadUsage."""
    if url and (not url.startswith(("http://", "https://")) or shown_url(url) != url.rstrip("?")):
        raise BadUsage("--url: http://host or https://host is expected, without user, password and query")
    return _utf8("--url", url)


def _utf8(option: str, text: str) -> str:
    """Raises BadUsage for bytes of a command line that are something else."""
    try:
        text.encode()
    except UnicodeEncodeError:
        raise BadUsage(f"{option}: text in UTF-8 is expected, not {text!r:.60}") from None
    return text


def _question(options: argparse.Namespace, now_ms: int) -> Question:
    """Raises BadUsage."""
    if not options.start and (options.end or options.step):
        raise BadUsage("--end and --step go with --start")
    if options.start and options.time:
        raise BadUsage("--time is for one time, --start for a range: give one of them")
    promql = _utf8("PROMQL", options.promql)
    at = _time("--end" if options.start else "--time", (options.end or options.time) or "now", now_ms)
    if not options.start:
        return Question(promql, at)
    start = _time("--start", options.start, now_ms)
    if start > at:
        raise BadUsage("--start is later than --end")
    return Question(promql, at, start, _step(options.step or _STEP))


def _time(option: str, text: str, now_ms: int) -> float:
    try:
        return parse_time(text, now_ms) / 1000
    except BadTime as error:
        raise BadUsage(f"{option}: {error}") from None


def _step(text: str) -> float:
    try:
        milliseconds = duration_ms(text)
    except ValueError as error:
        raise BadUsage(f"--step: {error}") from None
    if not milliseconds:
        raise BadUsage("--step: a duration above 0 is expected, as 1m")
    return milliseconds / 1000


def _refused(options: argparse.Namespace, detail: str, status: int) -> int:
    """The lines of a query and the mark below it stay lines."""
    for line in [detail] if options.json else detail.split("\n"):
        refuse(line, as_json=options.json)
    return status


def _add_arguments(add: Add) -> None:
    add_config(add, json="the answer of the API instead of a table")
    add("promql", metavar="PROMQL", help="the expression, in quotes")
    add("--endpoint", default="", metavar="NAME", help="the endpoint, where the config has several")
    add("--url", default="", metavar="URL", help="where queries are answered, if the endpoint's url does not say it")
    add("--time", default="", metavar="TIME", help="evaluate at this time (default: now)")
    add("--start", default="", metavar="TIME", help="evaluate over a range, from this time")
    add("--end", default="", metavar="TIME", help="to this time (default: now)")
    add("--step", default="", metavar="DURATION", help=f"in steps of this (default: {_STEP})")
    add_timeout(add)


COMMAND = Command(
    "query",
    "evaluate PromQL at the receiver of an endpoint, with the credentials of the endpoint",
    _add_arguments,
    _run,
    (
        Example("pusher query pusher.yaml up", "which targets are up, and how old that news is"),
        Example("pusher query pusher.yaml api_requests_total --start -2h --step 5m", "its samples over two hours"),
        Example("pusher query pusher.yaml 'up == 0' --json", "the answer of the API, for a script"),
    ),
    (
        (OK, "the receiver has answered, with series or without"),
        (NOT_DELIVERED, "the receiver has not answered, or refuses"),
        (BAD, "the usage, the config or the expression is bad"),
    ),
)
