"""The action `push_samples`: sends samples from an event of another function, a CI job or a rule."""

from __future__ import annotations

import contextlib
import io
import re
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar

from .backfill.files import BadFile, area_of, check_area
from .backfill.text_records import Resolved, TextFile
from .config.scalars import is_label_name, parse_float
from .config.schema import Config
from .config.timestamp import BadTimestamp, Format
from .environment import Environment
from .exposition.writer import series_text
from .model.drop_reasons import DropReason
from .model.reason_counts import ReasonCounts
from .model.samples import InvalidSeries, Samples, Series
from .model.scrape import Scrape
from .push import Collected, push_collected
from .report.report import Report
from .series import label_codec
from .series.cache import NO_LIMITS, validated
from .series.label_limits import MAX_AHEAD_MS
from .series.name_escaping import is_legacy
from .store import StoreError

FORMATS = ("openmetrics", "prometheus")
_MAX_TEXT_BYTES = 50_000_000
_MAX_SAMPLES = 1_000_000
_BLOCK_BYTES = 1 << 20
_LINES = re.compile(rb"[^\n]*\n|[^\n]+\Z")
_SHOWN_PROBLEMS = 10
_SAMPLE_KEYS = ("labels", "value", "timestamp", "timestamp_ms")
_JOB = "pushed_samples"
_WORDS = ("NaN", "Inf", "+Inf", "-Inf")  # which JSON has no numbers for
Read = TypeVar("Read")


class BadSamples(Exception):
    """The event is invalid, and none of its samples are sent. The message names every mistake: place, value, what is
    allowed."""


@dataclass(slots=True)
class _Reading:
    """The samples read so far, and the mistakes. `taken` are the job labels that the schedule uses."""

    environment: Environment
    now_ms: int
    samples: Samples
    taken: frozenset[str]
    problems: list[str] = field(default_factory=list)
    unshown: int = 0  # further problems, which are only counted

    def series(self, labels: Mapping[str, str]) -> Series:
        """Raises InvalidSeries."""
        job = labels.get("job", "")
        if job in self.taken:
            detail = f"job {job!r} is pushed by the schedule: two writers would break the order of its series"
            raise InvalidSeries(DropReason.SCHEDULED, f"{detail}; use another job label")
        if not self.environment.takes_any_name and not is_legacy(labels):
            validated(labels, NO_LIMITS)  # raises for a name that no endpoint accepts
        return self.environment.series.intern(labels)


def scheduled_jobs(config: Config) -> frozenset[str]:
    """The values of the label `job` that scheduled jobs use."""
    names = {*config.job_names()}
    for job in config.json_jobs:
        names |= {dict(job.labels).get("job", job.job_name)}
    return frozenset(names)


def push_samples(environment: Environment, options: Mapping[str, Any], deadline: float) -> Report:
    """Sends the samples of the event, or spools them. `deadline` is monotonic seconds. Raises BadSamples."""
    run = environment.begin(deadline)
    scrape = Scrape(_JOB, "", environment.dependencies.now_ms())
    reading = _Reading(environment, scrape.started_ms, scrape.samples, scheduled_jobs(environment.config))
    _check_keys(options)
    if "samples" in options:
        _read_list(options["samples"], reading)
    else:
        _read_text(options, reading, deadline)
    if reading.problems:
        more = len(reading.problems) + reading.unshown - _SHOWN_PROBLEMS
        shown = [*reading.problems[:_SHOWN_PROBLEMS], *([f"and {more} more"] if more > 0 else [])]
        raise BadSamples("; ".join(shown))
    if not len(scrape.samples):
        raise BadSamples("there is no sample in it")
    _check_times(scrape.samples, quotes="s3" not in options)
    scrape.records = len(scrape.samples)
    return push_collected(environment, run, Collected([scrape]))


def _check_times(samples: Samples, *, quotes: bool) -> None:
    """Raises BadSamples for two samples of a series with the same time."""
    seen = set[tuple[Series, int]]()
    for series, stamp in zip(samples.series, samples.timestamps_ms, strict=True):
        if (series, stamp) not in seen:
            seen.add((series, stamp))
            continue
        if not quotes:
            raise BadSamples("s3: two samples of one series have the same time")
        name = series_text(label_codec.labels_of(series.prefix))
        raise BadSamples(f"{name:.200}: two samples have the same time, {stamp} ms")


def _check_keys(options: Mapping[str, Any]) -> None:
    given = [key for key in ("samples", "text", "s3") if key in options]
    if len(given) != 1:
        detail = f"not {' and '.join(given)}" if given else "none of them is there"
        raise BadSamples(f"one of samples, text and s3 is expected, {detail}")
    if given == ["samples"] and "format" in options:
        raise BadSamples("format: belongs to text or s3; samples are a list")
    if given != ["samples"] and options.get("format") not in FORMATS:
        raise BadSamples(f"format: {options.get('format')!r:.60} is not allowed: allowed are {', '.join(FORMATS)}")


# a list


def _read_list(found: Any, reading: _Reading) -> None:
    if not isinstance(found, list):
        raise BadSamples(f"samples: a list is expected, not {type(found).__name__}")
    for index, one in enumerate(found):
        reading.problems += [f"samples[{index}]{problem}" for problem in _read_one(one, reading)]


def _read_one(one: Any, reading: _Reading) -> Iterator[str]:
    """Reads a sample, or yields its mistakes, each beginning with its key."""
    if not isinstance(one, dict):
        yield f": an object with labels and value is expected, not {one!r:.60}"
        return
    yield from (f".{key}: unknown; allowed are {', '.join(_SAMPLE_KEYS)}" for key in one if key not in _SAMPLE_KEYS)
    problems = list[str]()
    value = _tried(lambda: _value(one.get("value")), problems)
    stamp = _tried(lambda: _timestamp_ms(one, reading.now_ms), problems)
    problems = [*_label_problems(one.get("labels")), *problems]
    yield from problems
    if problems or value is None or stamp is None:
        return
    try:
        reading.samples.add(reading.series(one["labels"]), value, stamp)
    except InvalidSeries as error:
        yield f".labels: {error}"


def _tried(read: Callable[[], Read], problems: list[str]) -> Read | None:
    try:
        return read()
    except ValueError as error:
        problems.append(str(error))
        return None


def _label_problems(labels: Any) -> Iterator[str]:
    if not isinstance(labels, dict) or not all(isinstance(value, str) for value in labels.values()):
        yield f".labels: a map of names to texts is expected, not {labels!r:.60}"
        return
    if not labels.get("__name__"):
        yield ".labels.__name__: is required, the metric's name"
        for name in labels:  # with a name, interning the series checks them
            if not is_label_name(name):
                yield f".labels: {name!r:.80} is no label name"


def _value(raw: Any) -> float:
    if isinstance(raw, str) and raw in _WORDS:
        return parse_float(raw)
    if isinstance(raw, int | float) and not isinstance(raw, bool):
        with contextlib.suppress(OverflowError):
            return float(raw)
    raise ValueError(f'.value: {raw!r:.60} is no number; NaN, "+Inf" and "-Inf" are texts')


def _timestamp_ms(one: Mapping[str, Any], now_ms: int) -> int:
    """The time of a sample; now if it has none. Raises ValueError."""
    if "timestamp" in one and "timestamp_ms" in one:
        raise ValueError(".timestamp: at most one of timestamp and timestamp_ms is allowed")
    key = "timestamp" if "timestamp" in one else "timestamp_ms"
    if key not in one:
        return now_ms
    raw = one[key]
    try:
        kind = "unix_ms" if key == "timestamp_ms" else "rfc3339" if isinstance(raw, str) else "unix"
        stamp = Format(kind).milliseconds(raw)
    except BadTimestamp as error:
        raise ValueError(f".{key}: {error}; timestamp is unix seconds or RFC 3339") from None
    if stamp > now_ms + MAX_AHEAD_MS:
        raise ValueError(
            f".{key}: {raw!r:.60} lies {(stamp - now_ms) // 1000} s ahead of the clock: is the unit right?"
        )
    return stamp


# text


def _read_text(options: Mapping[str, Any], reading: _Reading, deadline: float) -> None:
    place = "s3" if "s3" in options else "text"
    content = _content(options[place], place, reading.environment, deadline)
    where = options[place] if place == "s3" else place

    def resolve(labels: dict[str, str]) -> Resolved:
        try:
            return reading.series(labels)
        except InvalidSeries as error:
            return error.refused

    is_openmetrics = options["format"] == "openmetrics"
    reader = TextFile(resolve, where, is_openmetrics=is_openmetrics, untimed_ms=reading.now_ms)
    line = 1
    stream = io.BytesIO(content)
    for block in iter(lambda: stream.read(_BLOCK_BYTES) + stream.readline(), b""):
        if time.monotonic() >= deadline:
            raise BadSamples(
                f"{where}, line {line}: there was no time to read more of it: pusher backfill reads any size"
            )
        _read_block(block, line, where, reader, reading)
        line += block.count(b"\n")
        if len(reading.samples) > _MAX_SAMPLES:
            raise BadSamples(f"{where}: more than {_MAX_SAMPLES} samples: the action backfill reads files of any size")
    end = reader.close(line)
    reading.problems += [end] if end else []


def _read_block(block: bytes, line: int, where: str, reader: TextFile, reading: _Reading) -> None:
    """Reads the samples of whole lines, or records which lines are wrong and why."""
    before, skipped, dropped = reader.state, ReasonCounts(), ReasonCounts()
    found = reader.read(block, line, skipped, dropped)
    latest_ms = reading.now_ms + MAX_AHEAD_MS
    if not (skipped.counts or dropped.counts or max(found.timestamps_ms, default=0) > latest_ms):
        reading.samples.extend(found)
        return
    if len(reading.problems) >= _SHOWN_PROBLEMS:  # enough are shown: the others are counted
        ahead = sum(stamp > latest_ms for stamp in found.timestamps_ms)
        reading.unshown += skipped.total() + dropped.total() + ahead
        return
    again = reader.again(before)
    for number, text in enumerate(_LINES.findall(block), line):
        problems = list(_problems(text, number, where, again, reading))
        room = max(_SHOWN_PROBLEMS - len(reading.problems), 0)
        reading.problems += problems[:room]
        reading.unshown += len(problems[room:])


def _problems(text: bytes, number: int, where: str, reader: TextFile, reading: _Reading) -> Iterator[str]:
    """Yields the mistakes of one line."""
    skipped, dropped = ReasonCounts(), ReasonCounts()
    found = reader.read(text, number, skipped, dropped)
    yield from skipped.first_examples.values()
    yield from (f"{where}, line {number}: {detail}" for detail in dropped.first_examples.values())
    if any(stamp > reading.now_ms + MAX_AHEAD_MS for stamp in found.timestamps_ms):
        yield f"{where}, line {number}: it lies ahead of the clock: is the unit right?"


def _content(raw: Any, place: str, environment: Environment, deadline: float) -> bytes:
    if not isinstance(raw, str) or not raw:
        raise BadSamples(f"{place}: a text is expected, not {raw!r:.60}")
    try:
        encoded = raw.encode()
    except UnicodeEncodeError as error:
        raise BadSamples(f"{place}: character {error.start} is half of one: this is no Unicode text") from None
    if place == "text":
        return encoded
    bucket, _, key = raw.removeprefix("s3://").partition("/")
    if not raw.startswith("s3://") or not bucket or not key:
        raise BadSamples(f"s3: {raw!r:.200} is no object: s3://BUCKET/KEY is expected")
    try:
        check_area(raw, area_of(environment.dependencies.env_vars))
        return environment.dependencies.objects.get(bucket, key, deadline, _MAX_TEXT_BYTES)
    except (BadFile, StoreError) as error:
        raise BadSamples(f"s3: {error}") from None
