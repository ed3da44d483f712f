"""Fetches once what a config asks for, and keeps the answers for a golden test, without secrets."""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import msgspec
import yaml

from lambda_remote_write.config.schema import Config, HttpClientConfig
from lambda_remote_write.config.yaml_reader import Diagnostics, Section, compose
from lambda_remote_write.dependencies import Dependencies
from lambda_remote_write.environment import Environment
from lambda_remote_write.http import Answer as HttpAnswer
from lambda_remote_write.http import ConnectionOptions, HttpRequest, Transport, TransportError, content_coding
from lambda_remote_write.http.response import Headers
from lambda_remote_write.model.scrape import Scrape
from lambda_remote_write.report.mask import Mask, names_credential
from lambda_remote_write.scrape import collect
from lambda_remote_write.scrape.pool import ScrapePool

from .file import MAX_ANSWERS, MAX_BODY_BYTES, Answer, GoldenTest, Groups
from .replay import ReplayedAnswer, comparable
from .run import NotTestable, is_elsewhere, samples_of, without_delivery
from .sample_line import SampleLine

_HEADERS = frozenset(("content-type", "link", "location", "set-cookie", "www-authenticate"))
"""What the engine reads of an answer; others are kept only when the config names them."""
_MIN_TOKEN = 8  # characters
_URL = re.compile(r"https?://[^\s<>;,]+")  # in a Link or Location header


class Down(Exception):
    """A target that did not answer well: there is nothing to record."""


class Recorder(Transport):
    """Keeps every answer, whole, of another transport."""

    def __init__(self, sender: Transport) -> None:
        super().__init__()
        self._sender = sender
        self.requests: list[tuple[HttpRequest, Answer]] = []
        self._adding = threading.Lock()

    def send(
        self, request: HttpRequest, options: ConnectionOptions, timeout_seconds: float, *, is_source: bool = False
    ) -> HttpAnswer:
        sent = self._sender.send(request, options, timeout_seconds, is_source=is_source)
        with sent:
            body = b"".join(_unpacked(sent, request))
        answer = Answer(request.url, sent.status, tuple(_pairs(sent.headers)), body, request.method)
        with self._adding:
            self.requests.append((request, answer))
            if len(self.requests) > MAX_ANSWERS:
                raise TransportError("refused", f"more than {MAX_ANSWERS} answers, the most of a golden test")
        return ReplayedAnswer(answer)


def _unpacked(sent: HttpAnswer, request: HttpRequest) -> Iterator[bytes]:
    """The body, not compressed. Raises TransportError."""
    size = 0
    encoding = sent.headers.get("Content-Encoding", "")
    try:
        for piece in content_coding.of_document(sent.chunks(), encoding, content_coding.ALL):
            size += len(piece)
            if size > MAX_BODY_BYTES:
                where = comparable(request.url)
                raise TransportError(
                    "refused", f"{where} has more than {MAX_BODY_BYTES} bytes, the most of a golden test"
                )
            yield piece
    except content_coding.CodingError as error:
        raise TransportError("protocol", str(error)) from None


def _pairs(headers: Headers) -> Iterator[tuple[str, str]]:
    for name in headers:
        for value in headers.lines(name):
            yield "-".join(part.capitalize() for part in name.split("-")), value


class LiveDependencies(Dependencies):
    """The outside world, with a clock that stands and a transport that keeps what it gets."""

    def __init__(self, given: Dependencies) -> None:
        now_ms = given.now_ms() // 1000 * 1000
        super().__init__(given.env_vars, lambda: now_ms, given.session, given.sleep, given.transport)
        self.transport = self.recorder = Recorder(given.transport)


@dataclass(frozen=True, slots=True)
class Recorded:
    """A test with the answers of a moment, without secrets, and what the config made of them then. `masked` hides the
    secrets of a text: the samples may have some."""

    test: GoldenTest
    samples: Sequence[SampleLine]
    masked: Callable[[str], str]


def fetch(config_file: Path, jobs: Sequence[str], given: Dependencies, seconds: float) -> Recorded:
    """Fetches what these jobs (or all) ask for. Raises ConfigError, Unreadable, Down and NotTestable."""
    live = LiveDependencies(given)
    config = live.config_source(str(config_file)).load().config
    wanted = list(jobs) or config.job_names()
    environment = Environment(without_delivery(config), live)
    deadline = time.monotonic() + seconds
    environment.discover(deadline, wanted)
    pools = [pool for pool in environment.pools if pool.job.job_name in wanted]
    sources = [source for pool in pools for source in pool.scrapers.values()]
    scrapes = [
        scrape for one in sources for scrape in collect.collect([one], environment.fetcher, live.now_ms, deadline, 1)
    ]
    if problems := _problems(scrapes, pools):
        raise Down(live.secrets.mask("; ".join(problems[:3])))
    if not sources:
        raise NotTestable("no job has a target")
    text = config_file.read_text(encoding="utf-8")
    mask = live.secrets.mask
    samples = samples_of(environment, sources, scrapes, "")
    test = GoldenTest(
        config_file.stem,
        live.now_ms(),
        _answers(live.recorder, config, text, mask),
        (),
        tuple(jobs),
        {pool.job.job_name: _discovered(pool, mask) for pool in pools if any(map(is_elsewhere, pool.job.discovery))},
        env=_variables(text, live.env_vars, mask),
    )
    return Recorded(test, samples, mask)


def _problems(scrapes: Sequence[Scrape], pools: Sequence[ScrapePool[Any]]) -> list[str]:
    """Why a test of these scrapes would not show a good run."""
    found = [
        f"job {one.job}: {one.error or next(iter(one.failed.values()))}" for one in scrapes if one.error or one.failed
    ]
    return [*found, *(message for pool in pools for message in pool.messages())]


def _answers(recorder: Recorder, config: Config, text: str, mask: Mask) -> list[Answer]:
    logins, numbers = set(_login_paths(config)), list[str]()
    for request, answer in recorder.requests:
        mask.add_request(request.url)
        if urlsplit(request.url).path in logins:
            tokens = list(_tokens(answer.body))
            mask.add(*map(str, tokens))
            numbers += [str(one) for one in tokens if isinstance(one, int)]
        for name, value in answer.headers:
            if name in ("Link", "Location"):
                for url in _URL.findall(value):
                    mask.add_request(url)
    names = _HEADERS | {name for _, one in recorder.requests for name, _ in _lower(one.headers) if name in text.lower()}
    return [_masked(_quoted(answer, numbers), names, mask) for _, answer in recorder.requests]


def _lower(headers: Sequence[tuple[str, str]]) -> Iterator[tuple[str, str]]:
    return ((name.lower(), value) for name, value in headers)


def _masked(answer: Answer, names: frozenset[str], mask: Mask) -> Answer:
    headers = tuple((name, mask(value)) for name, value in answer.headers if name.lower() in names)
    body = mask(answer.body.decode("utf-8", "surrogateescape")).encode("utf-8", "surrogateescape")
    return replace(answer, url=comparable(answer.url, mask), headers=headers, body=body)


def _login_paths(config: Config) -> Iterator[str]:
    """Of the addresses that give tokens."""
    clients: list[HttpClientConfig] = [job.http for job in config.jobs]
    clients += [found.http for job in config.jobs for one in job.discovery if (found := one) and hasattr(one, "http")]
    for client in clients:
        if client.oauth2:
            yield urlsplit(client.oauth2.token_url).path
        if client.login:
            yield urlsplit(client.login.url).path


def _quoted(answer: Answer, numbers: Sequence[str]) -> Answer:
    """With these numbers of JSON as texts, in which a mask leaves JSON."""
    body = answer.body
    for number in numbers:
        body = re.sub(rb'(?<![\w".+-])%s(?![\w".+-])' % number.encode(), b'"%s"' % number.encode(), body)
    return replace(answer, body=body)


def _tokens(body: bytes) -> Iterator[str | int]:
    """Texts and numbers of an answer that are credentials by their names, as a refresh token beside an access token."""
    try:
        document = msgspec.json.decode(body)
    except (msgspec.DecodeError, ValueError, RecursionError):
        return
    pending: list[tuple[str, Any]] = [("", document)]
    while pending:
        name, value = pending.pop()
        if isinstance(value, dict):
            pending += value.items()
        elif isinstance(value, list):
            pending += [(name, one) for one in value]
        elif _may_be_token(value) and names_credential(name):
            yield value


def _may_be_token(value: object) -> bool:
    return isinstance(value, str | int) and not isinstance(value, bool) and len(str(value)) >= _MIN_TOKEN


def _discovered(pool: ScrapePool[Any], mask: Callable[[str], str]) -> Groups:
    """What a discovery outside HTTP has found, target by target."""
    found = [
        *(one.discovered for one in pool.targets.active.values()),
        *(one.discovered for one in pool.targets.dropped),
    ]
    return [
        ([one["__address__"]], {name: mask(value) for name, value in one.items() if name != "__address__"})
        for one in found
    ]


def _variables(text: str, env_vars: Mapping[str, str], mask: Callable[[str], str]) -> dict[str, str]:
    """The variables that external labels expand: their values are labels of every series."""
    root = compose(text, "")
    top = Section(root, "", Diagnostics("")) if isinstance(root, yaml.MappingNode) else None
    written = top.map("global").text_map("external_labels").values() if top else ()
    names = [name for value in written for name in re.findall(r"\$\{?([A-Za-z_]\w*)", value)]
    return {name: mask(env_vars[name]) for name in names if name in env_vars}
