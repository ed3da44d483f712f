"""Another server with Prometheus's query API: its samples in a time range, or the newest ones."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from urllib.parse import urlencode

import msgspec

from .. import relabel
from ..aws.credentials import CredentialsError
from ..config.backfill_configs import MAX_POINTS
from ..config.scalars import print_duration
from ..config.schema import BackfillServer, RemoteWriteConfig
from ..config.secrets import SecretError
from ..config.yaml_reader import shown_url
from ..exposition.go_float import go_float
from ..exposition.writer import seconds
from ..http import HttpRequest, Transport, TransportError, one_line
from ..http.oauth2 import TokenError
from ..model.drop_reasons import DropReason
from ..model.samples import Intern, InvalidSeries, RefusedSeries, Series
from ..remote_write.client import RemoteWriteClient
from .source import Mark, Part, SourceFailed, within
from .span import PAUSE_SECONDS, TRIES, RangeSource, Span
from .text_records import Resolve, Resolved, TextFile, drop
from .times import shown

_MAX_ERROR_BYTES = 1_024


class _Series(msgspec.Struct, gc=False):
    metric: dict[str, str]
    values: list[tuple[float, str]] = []
    histograms: list[msgspec.Raw] = []


class _Matrix(msgspec.Struct):
    result: list[_Series]


class _Answer(msgspec.Struct):
    data: _Matrix


_decode = msgspec.json.Decoder(_Answer).decode


class _TooLarge(Exception):
    """The answer is longer than body_size_limit."""


def resolver(intern: Intern, rules: object, added: tuple[tuple[str, str], ...] = ()) -> Resolve:
    """Labels of another program -> their series, after adding the `added` labels that they lack and applying
    metric_relabel_configs."""

    def resolve(labels: dict[str, str]) -> Resolved:
        whole = {name: value for name, value in added if not labels.get(name)} | labels
        final = relabel.relabel(whole, rules) if rules else whole  # type: ignore[arg-type]
        if not final:
            return False
        try:
            return intern(final)
        except InvalidSeries as error:
            return RefusedSeries(error.reason, str(error))

    return resolve


class ServerSource(RangeSource):
    """One server of `backfill_configs`."""

    def __init__(
        self,
        config: BackfillServer,
        span: Span,
        resolve: Resolve,
        client: Callable[[RemoteWriteConfig], RemoteWriteClient],
        transport: Transport,
        sleep: Callable[[float], None],
    ) -> None:
        self._config, self._resolve, self._transport, self._sleep = config, resolve, transport, sleep
        window_ms = span.window_ms
        if config.read == "query_range":  # whole steps, so that no step is queried twice, or never
            window_ms = min(max(window_ms // config.step_ms, 1), MAX_POINTS) * config.step_ms
        super().__init__(config.job_name, replace(span, window_ms=window_ms), config.step_ms)
        self._client = client(_as_endpoint(config))
        self._known: dict[tuple[tuple[str, str], ...], Resolved] = {}

    @property
    def windows(self) -> int | None:
        return 1 if self._config.read == "federate" else super().windows

    def forget(self) -> None:
        self._known.clear()

    def parts(self, mark: Mark, deadline: float, until: Mark | None = None) -> Iterator[Part]:
        if self._config.read != "federate":
            yield from super().parts(mark, deadline, until)
        elif mark.at <= self._span.end_ms:
            yield self._federated(deadline)

    def _fetched(self, start_ms: int, end_ms: int, deadline: float) -> Iterator[Part]:
        part = self._span.part(start_ms, end_ms)
        try:
            for selector in self._config.match:
                for one in self._matrix(selector, start_ms, end_ms, deadline, part.where):
                    self._take(one, part)
        except _TooLarge:
            yield from self._halves(start_ms, end_ms, deadline, f"the answer has {self._limit}")
            return
        except (msgspec.MsgspecError, ValueError, OverflowError) as error:
            detail = self._client.masked(f"the answer is not one of Prometheus's: {error}")
            raise self._failed(start_ms, end_ms, detail) from None
        detail = f"{part.where}: the server returns samples outside of the requested range"
        part.samples = within(part.samples, start_ms, end_ms, part.skipped, detail)
        if not part.records:
            part.notes.append(f"{part.where}: the server has nothing")
        yield part

    @property
    def _limit(self) -> str:
        return f"more than body_size_limit, {self._config.body_size_bytes} bytes"

    def _take(self, one: _Series, part: Part) -> None:
        """Raises ValueError and OverflowError."""
        key = tuple(one.metric.items())
        entry = self._known.get(key)
        if entry is None:
            entry = self._known[key] = self._resolve(dict(one.metric))
        part.records += len(one.values) + len(one.histograms)
        if one.histograms:
            detail = f"{part.where}: native histograms, which the query API does not return as they are stored"
            part.skipped.add(DropReason.NATIVE_HISTOGRAM, detail, len(one.histograms))
        if isinstance(entry, Series):
            samples = part.samples
            samples.series += [entry] * len(one.values)
            samples.timestamps_ms += [round(moment * 1000) for moment, _ in one.values]
            samples.values += [go_float(text.encode()) for _, text in one.values]
        elif one.values:
            drop(entry, part.dropped, len(one.values))

    def _matrix(self, selector: str, start_ms: int, end_ms: int, deadline: float, where: str) -> list[_Series]:
        """Raises SourceFailed, _TooLarge and MsgspecError."""
        if self._config.read == "query_range":
            step = f"{self._config.step_ms / 1000:.3f}"
            form = {"query": selector, "start": seconds(start_ms), "end": seconds(end_ms), "step": step}
        else:  # a range selector leaves out its own beginning
            length = print_duration(end_ms + 1 - start_ms)
            form = {"query": f"{selector}[{length}]", "time": seconds(end_ms)}
        url = f"{self._config.url}/api/v1/{self._config.read}"
        headers = {"Accept": "application/json", "Content-Type": "application/x-www-form-urlencoded"}
        body = self._ask(HttpRequest("POST", url, headers, urlencode(form).encode()), deadline, where)
        return _decode(body).data.result

    def _federated(self, deadline: float) -> Part:
        """The newest sample of each series, in one part."""
        query = urlencode([("match[]", selector) for selector in self._config.match])
        where = f"the newest samples of {self._name}"
        headers = {"Accept": "text/plain;version=0.0.4"}
        try:
            body = self._ask(HttpRequest("GET", f"{self._config.url}/federate?{query}", headers), deadline, where)
        except _TooLarge:
            raise SourceFailed(f"{where}: {self._limit}: give a narrower match") from None
        part = Part(where, Mark(self._span.end_ms + 1), 1.0)
        reader = TextFile(self._resolve, where, is_openmetrics=False)
        samples = reader.read(bytes(body), 1, part.skipped, part.dropped)
        part.records = len(samples)
        span = self._span
        detail = f"{where}: not between {shown(span.start_ms)} and {shown(span.end_ms)}"
        part.samples = within(samples, span.start_ms, span.end_ms, part.skipped, detail)
        return part

    def _ask(self, request: HttpRequest, deadline: float, where: str) -> bytearray:
        """The body of a successful answer, after a few tries. Raises SourceFailed and _TooLarge."""
        for tries_left in range(TRIES - 1, -1, -1):
            status, detail, body = self._once(request, deadline)
            if status == 200:
                return body
            is_worth_it = status in (0, 429) or status >= 500
            if not tries_left or not is_worth_it or time.monotonic() + PAUSE_SECONDS >= deadline:
                raise SourceFailed(f"{self._name}: {where}: {detail}")
            self._sleep(PAUSE_SECONDS)
        raise AssertionError("the last try has returned or raised")

    def _once(self, request: HttpRequest, deadline: float) -> tuple[int, str, bytearray]:
        """Status (0 without an answer), what went wrong, the body. Raises _TooLarge."""
        timeout_seconds = min(self._config.timeout_ms / 1000, max(deadline - time.monotonic(), 0.1))
        body = bytearray()
        try:
            ready = self._client.authorised(request, time.monotonic() + timeout_seconds)
            with self._transport.send(ready, self._client.connection_options(), timeout_seconds) as answer:
                if answer.status != 200:
                    text = one_line(self._client.masked(answer.read(_MAX_ERROR_BYTES).decode("utf-8", "replace")))
                    hint = "; does the role have aps:QueryMetrics there?" if answer.status == 403 else ""
                    detail = f"{shown_url(request.url)} answered {answer.status}{hint}: {text}"
                    return answer.status, detail, body
                for chunk in answer.chunks():
                    body += chunk
                    if len(body) > self._config.body_size_bytes:
                        raise _TooLarge
                return 200, "", body
        except (TransportError, TokenError, CredentialsError, SecretError) as error:
            return 0, self._client.masked(str(error)), body


def _as_endpoint(config: BackfillServer) -> RemoteWriteConfig:
    """Address, TLS and credentials of the server, in the form of a remote_write endpoint."""
    return RemoteWriteConfig(config.job_name, config.url, config.timeout_ms, sigv4=config.sigv4, http=config.http)
