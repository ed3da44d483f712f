"""The query API of a receiver (Prometheus, "HTTP API"), asked with its endpoint's own authentication."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Annotated, Any, Literal
from urllib.parse import urlencode

import msgspec

from lambda_remote_write.aws import iam
from lambda_remote_write.config.schema import HttpClientConfig, RemoteWriteConfig
from lambda_remote_write.config.yaml_reader import shown_url
from lambda_remote_write.http import HttpRequest
from lambda_remote_write.remote_write.client import NoAnswer, RemoteWriteClient
from lambda_remote_write.remote_write.last_sample import query_url
from lambda_remote_write.report.mask import cut, printable

LOOK_BACK_MS = 300_000  # of Prometheus and AMP: an older sample is no answer to an instant query
_MAX_BYTES = 50_000_000
_MAX_TEXT = 500  # characters of a server's own words
_BAD_QUERY = (400, 422)
_INSTANT, _RANGE = "/api/v1/query", "/api/v1/query_range"
_POSITION = re.compile(r"\b(\d+):(\d+): parse error")
_SELECTOR = re.compile(
    r"""\s*[A-Za-z_:][\w:]*\s*(?:\{(?:[^{}"'`]|"(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*'|`[^`]*`)*\})?\s*""", re.ASCII
)


_Time = Annotated[float, msgspec.Meta(ge=-62_135_596_800, lt=253_402_300_799)]  # seconds, of the years 1 to 9999
_Point = tuple[_Time, str]


class _Histogram(msgspec.Struct):
    count: str = "?"
    sum: str = "?"
    buckets: list[tuple[Annotated[int, msgspec.Meta(ge=0)], str, str, str]] = []


class _Series(msgspec.Struct):
    metric: dict[str, str]
    value: _Point | msgspec.UnsetType = msgspec.UNSET
    values: list[_Point] = []
    histogram: tuple[_Time, _Histogram] | msgspec.UnsetType = msgspec.UNSET
    histograms: list[tuple[_Time, _Histogram]] = []


_RESULTS: Mapping[str, Any] = {"vector": list[_Series], "matrix": list[_Series], "scalar": _Point, "string": _Point}
"""The result of each resultType (Prometheus, "HTTP API", expression query result formats)."""


class _Data(msgspec.Struct, rename="camel"):
    result_type: Literal["vector", "matrix", "scalar", "string"]
    result: Any


class _Answer(msgspec.Struct):
    data: _Data
    warnings: list[str] | None = None
    infos: list[str] | None = None


class BadQuery(Exception):
    """The receiver does not evaluate this. The message has its own words."""


class NotAnswered(Exception):
    """There is no result. The message says why, and what to check."""


@dataclass(frozen=True, slots=True)
class Question:
    """PromQL at a time, or at every step of a range; seconds since the epoch."""

    promql: str
    time: float
    start: float | None = None
    step: float = 0.0

    @property
    def is_range(self) -> bool:
        return self.start is not None

    @property
    def form(self) -> dict[str, str]:
        if self.start is None:
            return {"query": self.promql, "time": _seconds(self.time)}
        times = {"start": self.start, "end": self.time, "step": self.step}
        return {"query": self.promql} | {name: _seconds(value) for name, value in times.items()}


@dataclass(frozen=True, slots=True)
class Found:
    """`kind` is vector, matrix, scalar or string; `result` is what the API has for it."""

    kind: str
    result: Any
    warnings: Sequence[str] = ()
    infos: Sequence[str] = ()
    document: Mapping[str, Any] = field(default_factory=dict, repr=False)

    @property
    def is_empty(self) -> bool:
        return self.kind in ("vector", "matrix") and not self.result


class QueryApi:
    """`url` is where the receiver answers, in place of what its remote-write address says: with /api/v1/query or
    without."""

    def __init__(self, endpoint: RemoteWriteConfig, client: RemoteWriteClient, url: str = "") -> None:
        """Raises NotAnswered when the address does not say where queries are answered."""
        self._endpoint, self._client = endpoint, client
        self.base = (url or query_url(endpoint)).rstrip("/").removesuffix(_RANGE).removesuffix(_INSTANT)
        if not self.base:
            detail = f"{shown_url(endpoint.url)} does not say where its receiver answers queries"
            raise NotAnswered(f"{detail}: give the address with --url, as http://host:9090")

    def ask(self, question: Question, timeout_seconds: float) -> Found:
        """Raises BadQuery and NotAnswered."""
        url = self.base + (_RANGE if question.is_range else _INSTANT)
        headers = {"Accept": "application/json", "Content-Type": "application/x-www-form-urlencoded"}
        request = HttpRequest("POST", url, headers, urlencode(question.form).encode())
        try:
            status, body = self._client.ask(request, timeout_seconds, _MAX_BYTES)
        except NoAnswer as error:
            raise NotAnswered(f"{shown_url(url)}: {error}") from None
        if len(body) >= _MAX_BYTES:
            raise NotAnswered(f"the answer has {_MAX_BYTES} bytes or more: ask for fewer series, or a longer --step")
        if status != 200:
            raise self._refusal(status, body, question, url)
        return _found(body, url)

    def _refusal(self, status: int, body: bytes, question: Question, url: str) -> Exception:
        text = self._client.masked(_words(body))
        said = f'; it says "{text}"' if text else ""
        if status in _BAD_QUERY and text and _is_api_error(body):
            return BadQuery("\n".join([text, *_pointed(question.promql, text)]))
        return NotAnswered(f"{shown_url(url)} answered {status}{said}{self._advice(status, url)}")

    def _advice(self, status: int, url: str) -> str:
        if status == 403 and self._endpoint.sigv4:
            return f"; {_policy(self._endpoint, url)}"
        if status in (401, 403):
            return "; check the credentials of this endpoint, and whether they may read"
        if status == 404 and self._endpoint.is_amp:
            return "; check the workspace and its region: the region in the address is where it is looked for"
        if status == 404:
            return "; queries are answered elsewhere: give the address with --url"
        if 300 <= status < 400:
            return "; a redirect is not followed: give its target with --url"
        if status == 429 or status >= 500:
            return "; try again later"
        return "; is it the address of a Prometheus API? --url gives another one"


def sample_times(api: QueryApi, question: Question, timeout_seconds: float) -> dict[str, float] | None:
    """Of a selector, when each of its series had its newest sample, by `series_key`; an instant query only has the
    time for which it was asked. None for any other expression. Raises BadQuery and NotAnswered."""
    if question.is_range or not _SELECTOR.fullmatch(question.promql):
        return None
    found = api.ask(Question(f"{question.promql.strip()}[{LOOK_BACK_MS // 1000}s]", question.time), timeout_seconds)
    return {
        series_key(one["metric"]): max(float(point[0]) for point in points(one))
        for one in (found.result if found.kind == "matrix" else ())
    }


def series_key(labels: Mapping[str, str]) -> str:
    return json.dumps(labels, sort_keys=True)


def points(series: Mapping[str, Any]) -> list[Any]:
    """The samples of a series of a vector or matrix, histograms among them, oldest first: (seconds, value)."""
    single = [series[name] for name in ("value", "histogram") if name in series]
    return sorted([*single, *series.get("values", ()), *series.get("histograms", ())], key=lambda point: point[0])


def _found(body: bytes, url: str) -> Found:
    """Raises NotAnswered."""
    try:
        document = msgspec.json.decode(body)
        answer = msgspec.convert(document, _Answer)
        kind, result = answer.data.result_type, answer.data.result
        msgspec.convert(result, _RESULTS[kind])
    except (msgspec.MsgspecError, ValueError, RecursionError) as error:
        detail = f"{shown_url(url)} answered with something else than a query result ({str(error)[:_MAX_TEXT]})"
        raise NotAnswered(f"{detail}: is it the address of a Prometheus API?") from None
    return Found(kind, result, answer.warnings or (), answer.infos or (), document)


def _is_api_error(body: bytes) -> bool:
    try:
        return bool(msgspec.json.decode(body)["status"] == "error")
    except (msgspec.DecodeError, ValueError, KeyError, TypeError, RecursionError):
        return False


def _words(body: bytes) -> str:
    """What an error says, in its JSON or as text."""
    try:
        document = msgspec.json.decode(body)
        words = next((document[name] for name in ("error", "message", "Message") if document.get(name)), "")
    except (msgspec.DecodeError, ValueError, AttributeError, RecursionError):
        words = body[:2_000].decode("utf-8", "replace")
    return cut(printable(" ".join(str(words).split())), _MAX_TEXT)


def _pointed(promql: str, text: str) -> list[str]:
    """The line of a query that does not parse, and a mark below the place."""
    position = _POSITION.search(text)
    lines = promql.splitlines()
    if position is None or int(position[1]) > len(lines):
        return []
    line = lines[int(position[1]) - 1]
    column = min(int(position[2]), len(line) + 1)
    return [f"  {line}", f"  {' ' * (column - 1)}^"]


def _policy(endpoint: RemoteWriteConfig, url: str) -> str:
    """The statement that allows a query."""
    client = HttpClientConfig(sigv4=endpoint.sigv4)
    needed = [one for one in iam.statements([iam.ApiCall("POST", url, client)]) if "aps:" in json.dumps(one)]
    if not needed:
        return "the role needs aps:QueryMetrics"
    statement = json.dumps(needed[0]["statement"])
    who = needed[0]["role"] if endpoint.sigv4 and endpoint.sigv4.role_arn else "the one who asks"
    return f"{who} needs {statement}, with the account's id for {iam.ACCOUNT}"


def _seconds(value: float) -> str:
    return f"{value:.3f}"
