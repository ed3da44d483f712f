"""`json_sd_configs`: the targets that a JSON API lists, read page by page as a JSON job reads its answer."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

from ..config import templates
from ..config.expression import Group
from ..config.expression_context import BudgetExceeded, Document, Failure
from ..config.sd_configs import JsonSd
from ..config.shown_json import shown
from ..config.yaml_reader import shown_url
from ..http.conditional import Body, StoredAnswer
from ..http.fetch import Fetcher, FetchError
from ..http.query import with_query
from ..json_api.decode import NotJson, evaluation
from ..json_api.failed_metric import nothing_found, records_missing
from ..json_api.page_warnings import warnings
from ..json_api.pagination import ApiRequest, JsonPage, Pages, fetch_pages
from ..json_api.values import label_text
from .target_groups import ADDRESS, MAX_TARGETS, TOO_MANY, DiscoveryError, Parts, Refresh, TargetGroup

META = "__meta_json_"
_MAX_BYTES = 20_000_000  # of all pages together, as in http_sd_configs
_SHOWN_RECORDS = _SHOWN_PARAMETERS = 3


class _TooMany(Exception):
    """More records than a list may have targets."""


class _BadRecord(Exception):
    """A record that names no target; the message says why."""


@dataclass(slots=True)
class _Read:
    """What the records came to. `bad` has why some name no target, `unsaid` how often a target loses something of its
    URL, by what it is."""

    targets: list[dict[str, str]] = field(default_factory=list)
    bad: list[str] = field(default_factory=list)
    unsaid: Counter[str] = field(default_factory=Counter)


def refresher(config: JsonSd, fetcher: Fetcher) -> Refresh:
    return _JsonList(config, fetcher).refresh


class _JsonList:
    """The list of one config."""

    def __init__(self, config: JsonSd, fetcher: Fetcher) -> None:
        lists = [config.records] if config.records.is_list else []
        self._config, self._fetcher = config, fetcher
        url = with_query(config.url, dict(config.params), templates.quoted)
        self._request = ApiRequest(
            url,
            config.http,
            _MAX_BYTES,
            lists,
            config.pagination,
            method=config.method,
            body=config.body,
            templates=config.templates,
            body_format=config.body_format,
        )
        self._place = shown_url(config.url)
        self._has_followed = False  # an answer led to a second page
        self._stored: StoredAnswer | None = None  # to be asked about again

    def _page(self, body: Body) -> JsonPage:
        page = JsonPage.of(body, self._config.body_format)
        page.document = page.decoded(exact=True)
        return page

    def refresh(self, deadline: float) -> Parts:
        try:
            request = self._request.at(time.time_ns() // 1_000_000)
            answer = fetch_pages(request, self._page, self._fetcher, deadline, self._stored)
        except (FetchError, NotJson) as error:
            raise self._failed(str(error)) from None
        self._stored = None  # an answer that was no good is asked for in full
        try:
            groups = self._groups(answer)
        except (BudgetExceeded, _TooMany) as error:
            raise self._failed(str(error)) from None
        self._has_followed = self._has_followed or len(answer.pages) > 1
        self._stored = answer.stored
        return {"": groups}

    def _failed(self, detail: str) -> DiscoveryError:
        """The message may quote the answer. That of a request names its address itself."""
        names_place = detail.startswith((self._place, urlsplit(self._config.url).netloc))
        return DiscoveryError(self._fetcher.masked(detail if names_place else f"{self._place}: {detail}"))

    def _groups(self, answer: Pages) -> tuple[TargetGroup, ...]:
        """The targets, and a group without any for each thing to be said. Raises DiscoveryError and what `_read`
        raises."""
        shared = evaluation(_MAX_BYTES, time.time_ns() // 1_000_000, exact=True)
        documents = [page.answer(page.document, shared) for page in answer.pages]
        read = _read(self._config, documents)
        records = len(read.targets) + len(read.bad)
        if not read.targets and (missing := records_missing(self._config.records, documents)):
            self._fetcher.renew_login(self._request.source())
            raise self._failed(missing)
        if read.bad and not read.targets:
            of_all = f"none of {records} records names a target" if records > 1 else "the record names no target"
            raise self._failed(f"{of_all}: {self._first(read, documents)}")
        notes = [_left_out(read.bad, records)] if read.bad else []
        notes += [detail for page in answer.pages for detail in _unread(page)]
        notes += _unsaid(read.unsaid, records)
        notes += filter(None, [answer.left_out])
        notes += warnings(self._request, documents, has_followed=self._has_followed)
        group = TargetGroup(self._place, tuple(read.targets), {"__meta_url": self._config.url})
        return group, *(self._said(index, note) for index, note in enumerate(notes))

    def _said(self, index: int, note: str) -> TargetGroup:
        return TargetGroup(f"{self._place}:{index}", (), error=str(self._failed(note)))

    def _first(self, read: _Read, documents: Sequence[Any]) -> str:
        """Why the first record is bad, with what stands there when the expression finds nothing."""
        if not read.bad[0].endswith(_NOTHING):
            return read.bad[0]
        return nothing_found("target", self._config.target, self._config.records, documents)


def _unread(page: JsonPage) -> Iterator[str]:
    """What of a body cannot be read, as lines of NDJSON."""
    for reason, example in page.skipped.first_examples.items():
        yield f"{page.skipped.counts[reason]} × {reason}, left out of the list: {example}"


def _left_out(bad: Sequence[str], records: int) -> str:
    more = f" and {len(bad) - _SHOWN_RECORDS} more" if len(bad) > _SHOWN_RECORDS else ""
    names = "names" if len(bad) == 1 else "name"
    return f"{len(bad)} of {records} records {names} no target: {'; '.join(bad[:_SHOWN_RECORDS])}{more}"


def _unsaid(unsaid: Counter[str], records: int) -> Iterator[str]:
    first = list(unsaid.items())[:_SHOWN_PARAMETERS]
    yield from (f"{count} of {records} targets: {what}" for what, count in first)
    if len(unsaid) > len(first):
        yield f"the same of {len(unsaid) - len(first)} more parameters"


# records


def _read(config: JsonSd, documents: Sequence[Document]) -> _Read:
    """Raises _TooMany and BudgetExceeded."""
    read, number = _Read(), 0
    for document in documents:
        for group in config.records.walk(document):
            if number + len(group.records) > MAX_TARGETS:  # before anything is looked up in them
                raise _TooMany(TOO_MANY)
            read.bad += [one.message for one in group.failures]
            for found, labels in _rows(config, group):
                number += 1
                try:
                    read.targets.append(_target(found, read.unsaid) | _labels(labels))
                except _BadRecord as error:
                    read.bad.append(f"record {number}: {error}")
            if (place := group.not_a_list) is not None:
                detail = f"expects a list at {place.path or 'the top'}, but it has {shown(place.value)}"
                read.bad.append(f"records {config.records.text} {detail}")
    return read


def _rows(config: JsonSd, group: Group) -> Iterator[tuple[Any, dict[str, Any]]]:
    """Of each record what `target` finds, and the labels."""
    names, labels = [name for name, _ in config.labels], [one.column(group) for _, one in config.labels]
    for index, found in enumerate(config.target.column(group)):
        yield found, {name: column[index] for name, column in zip(names, labels, strict=True)}


def _labels(found: dict[str, Any]) -> dict[str, str]:
    """Printed as labels of a JSON job are; null is no label."""
    for name, value in found.items():
        _check(value)
        if isinstance(value, list | dict):
            raise _BadRecord(f"label {name} is {shown(value)}")
    texts = {f"{META}{name}": label_text(value, exact=True) for name, value in found.items()}
    return {name: text for name, text in texts.items() if text}


def _check(found: Any) -> None:
    """Raises _BadRecord when the expression failed that was to find a value."""
    if type(found) is Failure:
        raise _BadRecord(found.message)


# the target of a record

_NOTHING = "target finds nothing"
_LOGIN = "holds a user and password, which belong into the job's basic_auth"


def _target(found: Any, unsaid: Counter[str]) -> dict[str, str]:
    """`host:port`, or a URL, as the labels of a target."""
    if found is None:
        raise _BadRecord(_NOTHING)
    _check(found)
    if not isinstance(found, str):
        raise _BadRecord(f"host:port or a URL is expected, and target is {shown(found)}")
    if not found:
        raise _BadRecord("target is an empty text")
    if "://" in found:
        return _of_url(found, unsaid)
    if "@" in found:
        raise _BadRecord(f"target {_LOGIN}")
    return {ADDRESS: found}


def _of_url(url: str, unsaid: Counter[str]) -> dict[str, str]:
    """A URL in the labels from which the scrape makes it again. Without a path, the job's holds."""
    try:
        parts = urlsplit(url)
        _ = parts.port
        path = unquote(parts.path, errors="strict")
        query = parse_qsl(parts.query, keep_blank_values=True)
    except ValueError:
        raise _BadRecord(f"target {shown_url(url)} is no URL") from None
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise _BadRecord(f"target {shown_url(url)} is neither host:port nor an http(s) URL")
    if "@" in parts.netloc:
        raise _BadRecord(f"target {shown_url(url)} {_LOGIN}")
    if "%2f" in parts.path.lower():
        raise _BadRecord(f"target {shown_url(url)} has %2F in its path, which __metrics_path__ cannot say")
    found = {"__scheme__": parts.scheme, ADDRESS: parts.netloc, "__metrics_path__": path}
    return {name: text for name, text in found.items() if text} | _parameters(query, unsaid)


def _parameters(query: Sequence[tuple[str, str]], unsaid: Counter[str]) -> dict[str, str]:
    """The first value of each parameter: a label has one, and none that is empty."""
    first: dict[str, str] = {}
    lost: dict[str, None] = {}  # each once, however many values there are
    for name, value in query:
        if not value:
            lost[f"the parameter {name:.60} without a value is left out: __param_{name:.60} cannot be empty"] = None
        elif first.setdefault(f"__param_{name}", value) != value:
            lost[f"of several values of the parameter {name:.60} the first is kept: a label has one"] = None
    unsaid.update(lost.keys())
    return first
