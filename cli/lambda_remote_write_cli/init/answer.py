"""The one answer that a config is made of: fetched through the engine, or read from a file."""

from __future__ import annotations

import re
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from lambda_remote_write.config.load import parse_config
from lambda_remote_write.config.schema import BodyFormat, JsonJob
from lambda_remote_write.config.yaml_reader import ConfigError
from lambda_remote_write.dependencies import Dependencies
from lambda_remote_write.http import content_coding
from lambda_remote_write.http.body_kind import key_for, kind_of_body
from lambda_remote_write.http.conditional import Body
from lambda_remote_write.http.fetch import BodyTooLarge, FetchError
from lambda_remote_write.http.response import Headers
from lambda_remote_write.json_api.decode import NotJson, format_of
from lambda_remote_write.json_api.formats import read
from lambda_remote_write.json_api.pagination import ApiRequest, JsonPage, fetch_pages
from lambda_remote_write.model.reason_counts import ReasonCounts

from ..golden.replay import placeholder_variables
from .request import Request
from .yaml_text import flow, scalar

MAX_BYTES = 50_000_000  # the default of body_size_limit
_TYPES = {
    ".json": "application/json", ".ndjson": "application/x-ndjson", ".jsonl": "application/x-ndjson",
    ".csv": "text/csv", ".tsv": "text/tab-separated-values", ".xml": "application/xml", ".txt": "text/plain",
    ".prom": "text/plain; version=0.0.4",
}  # fmt: skip
_METRICS_TYPE = re.compile(
    r"application/openmetrics-text|text/plain;.*version=0\.0\.4|application/vnd\.google\.protobuf"
)
_COMMENT_OF_METRICS = re.compile(rb"\s*# (HELP|TYPE) [A-Za-z_:][\w:]* ")


class NoAnswer(Exception):
    """Nothing to make a config of. The message says what to do."""


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer and its document. `keys` are those of the job that say how the body is read. It `is_metrics` when it is
    a page in Prometheus's format, which has no document."""

    content: bytes = field(repr=False)
    content_type: str
    headers: Headers = field(default_factory=Headers, repr=False)
    status: int = 200
    document: Any = field(default=None, repr=False)
    keys: Mapping[str, str] = field(default_factory=dict)
    format: str = "json"
    is_metrics: bool = False


def fetch(request: Request, dependencies: Dependencies, timeout_seconds: float) -> Answer:
    """Asks once. Raises NoAnswer, and ConfigError for options that make no job."""
    job = _job(request, dependencies)
    bodies: list[Body] = []

    def kept(body: Body) -> JsonPage:
        bodies.append(body)
        return JsonPage.of(body, job.body_format)

    ask, deadline = ApiRequest.of(job, job.url, {}).at(dependencies.now_ms()), time.monotonic() + timeout_seconds
    try:
        fetch_pages(ask, kept, dependencies.fetcher(), deadline)
    except BodyTooLarge as error:
        raise NoAnswer(
            f"{error}. Ask for less, by a parameter as limit or fields, or save a part and give that file"
        ) from None
    except FetchError as error:
        raise NoAnswer(f"{str(error).rstrip('?.')}. {_advice(str(error), request)}") from None
    body = bodies[0]
    return _read(bytes(body.content), body.content_type, body.headers, body.status)


def _job(request: Request, dependencies: Dependencies) -> JsonJob:
    lines = [f"    {key}: {flow(value)}\n" for key, value in request.keys.items()]
    job = f"json_configs:\n  - job_name: init\n    url: {scalar(request.url)}\n{''.join(lines)}"
    text = f"{job}    metrics: [{{name: probe, value: '1'}}]\n"
    env_vars = {**placeholder_variables(text), **dependencies.env_vars}
    try:
        found = parse_config(text, "options", env_vars).jobs[0]
    except ConfigError as error:
        reasons = "; ".join(f"{one.path.partition('.')[2] or one.path}: {one.message}" for one in error.problems)
        raise NoAnswer(f"the options make no request: {reasons}") from None
    if not isinstance(found, JsonJob):
        raise TypeError("a JSON job is expected")
    return found


_ADVICE = (
    (r"40[45]|410", "Check the path and --method"),
    (r"429|5\d\d", "Ask again later, or save an answer and give its file"),
    (r"4\d\d", "Check the parameters, --header and --body"),
)


def _advice(message: str, request: Request) -> str:
    """What to do, by the status; with none, the API was not reached."""
    answered = re.search(r" answered (\d{3})\b", message)
    if answered and answered[1] in ("401", "403"):
        return _credentials_advice(request)
    if answered:
        return next((advice for status, advice in _ADVICE if re.fullmatch(status, answered[1])), "Check the address")
    return "Nothing was written: check the address, or save an answer and give its file"


def _credentials_advice(request: Request) -> str:
    used = [
        key
        for key in ("authorization", "basic_auth", "digest_auth", "login", "sigv4", "headers", "query")
        if key in request.keys
    ]
    if used:
        return f"Check what {', '.join(used)} sends"
    return (
        "Log in with one of: --bearer-ref env:TOKEN, --header-ref X-Api-Key=env:KEY, --query-ref appid=env:KEY, "
        "--basic-ref USER=env:PASSWORD, --digest-ref USER=env:PASSWORD, --sigv4 SERVICE@REGION, or --login URL "
        "--login-body … --login-token PATH"
    )


def of_file(name: str) -> Answer:
    """A saved answer; `-` is standard input. Raises NoAnswer."""
    try:
        if name == "-":
            content = sys.stdin.buffer.read(MAX_BYTES + 1)
        else:
            with Path(name).open("rb") as file:
                content = file.read(MAX_BYTES + 1)
    except OSError as error:
        hint = "" if Path(name).exists() else "; a URL begins with http:// or https://"
        raise NoAnswer(f"{name}: {error.strerror or error}{hint}") from None
    if len(content) > MAX_BYTES:
        raise NoAnswer(f"{name} has more than {MAX_BYTES:,} bytes, the most that a job reads: save a part of it")
    if content[:1] in content_coding.MAGIC_BYTES:
        try:
            content = b"".join(content_coding.of_undeclared(content, ""))
        except content_coding.CodingError as error:
            raise NoAnswer(f"{name}: {error}") from None
    return _read(content, _TYPES.get(Path(name).suffix.lower(), ""), Headers(), 200, is_file=True)


def _read(content: bytes, content_type: str, headers: Headers, status: int, *, is_file: bool = False) -> Answer:
    """Raises NoAnswer."""
    found = Answer(content, content_type, headers, status)
    is_page = _METRICS_TYPE.match(content_type) or _COMMENT_OF_METRICS.match(content)
    if is_page or kind_of_body(content, content_type).startswith("this is perhaps a page of metrics"):
        return replace(found, is_metrics=True)
    if not content.strip():
        raise NoAnswer(
            f"the answer is empty (status {status}): there is nothing to send; ask for something that has numbers"
        )
    keys: dict[str, str] = {}
    for _ in range(3):  # each try adds a key that the last one asked for: charset, strip_prefix, format
        try:
            document = read(content, content_type, _body_format(keys), ReasonCounts(), exact=False)
            break
        except NotJson as error:
            key = _advised(content, content_type, keys)
            if not key:
                raise NoAnswer(_what_it_is(content, content_type, str(error))) from None
            keys |= key
    else:
        raise NoAnswer(_what_it_is(content, content_type, "the body cannot be read"))
    name = keys.get("format") or _implied(content, content_type)
    if is_file and name != "json":
        keys["format"] = name
    return replace(found, document=document, keys=keys, format=name)


def _body_format(keys: Mapping[str, str]) -> BodyFormat:
    return BodyFormat(
        format=keys.get("format", ""), strip_prefix=keys.get("strip_prefix", ""), charset=keys.get("charset", "")
    )


def _advised(content: bytes, content_type: str, keys: Mapping[str, str]) -> dict[str, str]:
    name, value = key_for(content, content_type)
    return {name: value} if name and name not in keys else {}


def _implied(content: bytes, content_type: str) -> str:
    found = format_of(content_type)
    return "json" if found != "ndjson" and re.match(rb"\s*[\[{]", content) else found


def _what_it_is(content: bytes, content_type: str, error: str) -> str:
    if "looks like HTML" in error or "looks like HTML" in kind_of_body(content, content_type):
        return (
            f"{error}. Was the request sent to a login page? Give credentials (pusher init --help has the options), or "
            "the address of the API in place of the page that shows it"
        )
    if "breaks off" in error:
        return f"{error}. Save the whole answer, or ask again"
    return f"{error}. Give the address of an API that answers in JSON, CSV, XML, NDJSON or text"
