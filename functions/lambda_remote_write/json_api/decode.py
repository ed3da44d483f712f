"""The body of an answer -> a JSON document. Numbers keep their text where a label prints them."""

from __future__ import annotations

import functools
import gc
import json
import re
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager, suppress
from operator import attrgetter
from typing import Any

import msgspec

from ..config.expression_context import Columns, Evaluation
from ..config.expression_words import Scope
from ..config.schema import BodyFormat, JsonJob
from ..http.response import declared_charset
from ..model.reason_counts import ReasonCounts

_UNNAMEABLE = re.compile(r"[\"\\\x00-\x1f\ud800-\udfff]")  # in a field that msgspec decodes
_HEAD_BYTES = 16_384  # of a document, to show its first record
_INEXACT = msgspec.json.Decoder()
_FORMATS = {
    "text/plain": "text",
    **dict.fromkeys(("application/xml", "text/xml"), "xml"),
    **dict.fromkeys(("text/csv", "application/csv", "text/comma-separated-values", "text/tab-separated-values"), "csv"),
    **dict.fromkeys(
        ("application/x-ndjson", "application/ndjson", "application/jsonl", "application/x-jsonl",
         "application/jsonlines", "application/x-jsonlines", "application/json-lines", "application/x-json-stream",
         "application/stream+json", "application/json-seq"),
        "ndjson",
    ),
}  # fmt: skip


class NotJson(ValueError):
    """A body that is not what it is read as; the message says where the mistake is."""


class ExactFloat(float):
    """A number with a fraction or exponent, and the text it was written as."""

    __slots__ = ("text",)
    text: str

    def __new__(cls, text: str) -> ExactFloat:
        number = super().__new__(cls, text)
        number.text = text
        return number


ExactFloat.__name__ = "float"  # jmespath's functions recognise a number by the name of its type
_EXACT = msgspec.json.Decoder(float_hook=ExactFloat)


class RecordReader:
    """Decodes a list of records into columns of the fields that a job uses, in half the time and memory of a whole
    decode. `labels` are the fields whose numbers become label values, so that their text is kept."""

    def __init__(self, names: Sequence[str], labels: Collection[str]) -> None:
        self._fields = {f"field_{index}": name for index, name in enumerate(dict.fromkeys(names))}
        self._labels = labels
        members = [(name, Any, None) for name in self._fields]
        record = msgspec.defstruct("Record", members, rename=self._fields, gc=False)
        self._inexact = msgspec.json.Decoder(list[record])  # type: ignore[valid-type]
        self._exact = msgspec.json.Decoder(list[record], float_hook=ExactFloat)  # type: ignore[valid-type]

    def read(self, content: bytes | bytearray, content_type: str) -> Columns | None:
        """The columns; None when the document is not a list of objects in UTF-8."""
        if not _may_be_json(content_type):
            return None
        head = bytes(content[:_HEAD_BYTES])
        try:
            columns = self._columns(self._inexact.decode(content), head)
            if any(float in set(map(type, columns.fields[name])) for name in self._labels):
                columns = self._columns(self._exact.decode(content), head)
        except (msgspec.DecodeError, ValueError, RecursionError):
            return None
        return columns

    def _columns(self, records: list[Any], head: bytes) -> Columns:
        fields = {name: list(map(attrgetter(member), records)) for member, name in self._fields.items()}
        return Columns(len(records), fields, head)


def record_reader(job: JsonJob) -> RecordReader | None:
    """For a job whose document is a list and whose expressions are fields of its records; None for others."""
    metrics = job.metrics
    if job.pagination or job.fail_if or any(one.records.steps != metrics[0].records.steps for one in metrics):
        return None
    if any(one.reads_text for one in metrics) or not job.body_format.is_json:
        return None
    step = metrics[0].records.steps[0]
    if len(metrics[0].records.steps) > 1 or step.path != ():
        return None
    labels = [expression for metric in metrics for _, expression in metric.text_columns]
    others = [metric.value for metric in metrics] + [one.timestamp.path for one in metrics if one.timestamp]
    read = [expression for expression in [*others, *labels] if expression.scope is not Scope.CONSTANT]
    if any(expression.scope is not Scope.RECORD or len(expression.path or ()) != 1 for expression in read):
        return None
    if any(_UNNAMEABLE.search(name) for expression in read for name in expression.path or ()):
        return None
    printed = {name for expression in labels if expression.scope is Scope.RECORD for name in expression.path or ()}
    return _reader(tuple(name for expression in read for name in expression.path or ()), frozenset(printed))


_reader = functools.lru_cache(maxsize=128)(RecordReader)
"""A reader keeps nothing of what it reads, and making one takes longer than reading a small document: the targets of a
job share theirs."""


def decode(content: bytes | bytearray, *, exact: bool = False) -> Any:
    """JSON text in UTF-8 -> dicts, lists and scalars; `exact` makes every float an ExactFloat. Raises NotJson."""
    try:
        return parse(content, exact=exact)
    except (ValueError, RecursionError) as error:
        raise NotJson(f"{mistake(error, content)}; {_described(content)}") from None


def decode_body(
    content: bytes | bytearray,
    content_type: str,
    body_format: BodyFormat,
    skipped: ReasonCounts | None = None,
    *,
    exact: bool = False,
) -> Any:
    """The document in an answer's body. Adds lines and rows that cannot be read to `skipped`. Raises NotJson."""
    if body_format.is_json and _may_be_json(content_type):
        with suppress(msgspec.DecodeError, ValueError, RecursionError), _uncollected():
            return (_EXACT if exact else _INEXACT).decode(content)
    from .formats import read  # most APIs answer plain JSON

    return read(content, content_type, body_format, ReasonCounts() if skipped is None else skipped, exact=exact)


@functools.lru_cache(maxsize=128)
def _may_be_json(content_type: str) -> bool:
    """Whether a body of this type that is JSON in UTF-8 is that JSON: a line of NDJSON would be too."""
    charset = declared_charset(content_type).lower().replace("_", "-")
    return charset in ("", "utf-8", "utf8", "us-ascii") and format_of(content_type) in ("json", "text")


def format_of(content_type: str) -> str:
    """The `format` that a Content-Type stands for; JSON for one that is no other's."""
    kind = content_type.partition(";")[0].strip().lower()
    return next((name for name in ("xml", "csv") if kind.endswith(f"+{name}")), "") or _FORMATS.get(kind, "json")


def evaluation(max_bytes: int, now_ms: int, *, exact: bool = False) -> Evaluation:
    """What the expressions of one scrape share, which began at `now_ms`, and whose answer has `max_bytes` at most."""
    return Evaluation(now_ms, lambda text: decode(text.encode(), exact=exact), max_bytes or None)


@contextmanager
def _uncollected() -> Iterator[None]:
    """Decoding makes no garbage, but so many objects that the collector would look at them again and again."""
    if not gc.isenabled():  # another thread decodes; only who switches it off switches it on, or it could stay off
        yield
        return
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


def _described(content: bytes | bytearray) -> str:
    from ..http.body_kind import described  # only for errors: a cold start does not load it

    return described(content, "")


def _integer(text: str) -> int | float:
    """A whole number; with more digits than Python reads, a float with its text."""
    try:
        return int(text)
    except ValueError:
        return ExactFloat(text)


def parse(content: bytes | bytearray, *, exact: bool = False) -> Any:
    """JSON text in UTF-8 -> its value. Raises ValueError, of which `mistake` makes words, and RecursionError.

    The last of two equal keys wins. Python's own decoder accepts NaN and Infinity, as Python services write them, and
    very long integers, which msgspec refuses, and says where a mistake is.
    """
    try:
        with _uncollected():
            return (_EXACT if exact else _INEXACT).decode(content)
    except (msgspec.DecodeError, ValueError):
        number = ExactFloat if exact else float
        text = content.decode("utf-8-sig")
        return json.loads(text, parse_float=number, parse_constant=number, parse_int=_integer)


def mistake(error: Exception, content: bytes | bytearray) -> str:
    """Why `parse` cannot read something."""
    match error:
        case UnicodeDecodeError():
            return f"the body is not UTF-8: byte {error.start} is {content[error.start]:#04x}"
        case json.JSONDecodeError():
            return f"the body is not JSON: {error.msg}, line {error.lineno} column {error.colno}"
        case RecursionError():
            return "the document is nested too deeply"
    return f"the document is not usable: {error!s:.200}"
