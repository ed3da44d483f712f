"""Where a backfill continues: as a text in its answer, and as an object in the state store."""

from __future__ import annotations

import base64
import hashlib
import json
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import msgspec

from ..config.schema import BackfillServer, Config, JsonJob, Metric
from .request import Request, find_job
from .source import Mark

_PREFIX = "b3."
_MAX_CHARACTERS = 100_000


class BadCheckpoint(Exception):
    """Not a checkpoint of a backfill. The message says what is wrong."""


@dataclass(frozen=True, slots=True)
class PartProgress:
    """How much of the current part one endpoint has. The first `samples` of the part, in send order, are finished.
    `digest` is theirs: it shows when the source returns other samples the next time. The `maybe_stored` samples after
    them were sent without an answer and may have arrived. `furthest` is the most that was finished before such a
    source made the endpoint start again."""

    samples: int = 0
    digest: str = ""
    maybe_stored: int = 0
    furthest: int = 0


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """How far a request has come. `run` distinguishes two backfills of the same request, `identity` describes the
    source, `totals` are the counts so far. `widened_from` are the out-of-order windows in seconds that must be
    restored, by endpoint. `stalled` counts the invocations in a row that made no progress, the current one included.

    About the part at `mark`:

        is_open       an invocation works on it, or was killed while it did
        maybe_stored  an attempt may have reached receivers; what they reject of it counts as `maybe_stored`
        finished      the endpoints that have all of it; they get nothing of it again
        within        how far the other endpoints have come in it, by name
        part_end      where it ends; None as long as no sample of it is finished
    """

    request: Request
    config: str
    mark: Mark
    run: str = ""
    identity: tuple[str, ...] = ()
    maybe_stored: bool = False
    finished: tuple[str, ...] = ()
    totals: Mapping[str, Any] = field(default_factory=dict)
    widened_from: Mapping[str, int] = field(default_factory=dict)
    is_open: bool = False
    stalled: int = 0
    within: Mapping[str, PartProgress] = field(default_factory=dict)
    part_end: Mark | None = None

    @property
    def position(self) -> tuple[int, int, int, int]:
        """Grows with everything that is finished."""
        return self.mark.file, self.mark.at, len(self.finished), sum(one.samples for one in self.within.values())

    @property
    def id(self) -> str:
        """The same for the same request under the same config: it depends on the keys as given, not on the clock."""
        asked = [pair for pair in self.request.asked if pair[0] != "dry_run"]
        return hashlib.sha256(json.dumps([self.config, asked]).encode()).hexdigest()[:16]

    def resumed(self) -> Checkpoint:
        """What the next invocation starts from: a killed one may have sent any sample of its part."""
        return replace(self, maybe_stored=self.maybe_stored or self.is_open)

    def encoded(self) -> bytes:
        return msgspec.json.encode(self)

    def as_text(self) -> str:
        """The `resume` of an answer."""
        packed = zlib.compress(self.encoded(), 9)
        return _PREFIX + base64.urlsafe_b64encode(packed).decode().rstrip("=")


def decoded(content: bytes) -> Checkpoint:
    """Raises BadCheckpoint."""
    try:
        return msgspec.json.decode(content, type=Checkpoint)
    except msgspec.MsgspecError as error:
        raise BadCheckpoint(f"it cannot be read ({type(error).__name__})") from None


def from_text(text: str) -> Checkpoint:
    """The `resume` of an answer -> Checkpoint. Raises BadCheckpoint."""
    if not text.startswith(_PREFIX):
        raise BadCheckpoint(f"it does not begin with {_PREFIX}: give the answer's resume unchanged")
    if len(text) > _MAX_CHARACTERS:
        raise BadCheckpoint("it is too long")
    encoded = text.removeprefix(_PREFIX)
    try:
        packed = base64.urlsafe_b64decode(encoded + "=" * (-len(encoded) % 4))
        unpacking = zlib.decompressobj()
        content = unpacking.decompress(packed, 10 * _MAX_CHARACTERS)
        is_whole = unpacking.eof and not unpacking.unused_data  # zlib has verified its checksum then
    except (ValueError, zlib.error):
        is_whole = False
    if not is_whole:
        raise BadCheckpoint("it is damaged: give the answer's whole resume unchanged")
    return decoded(content)


def fingerprint(config: Config, name: str) -> str:
    """Changes when the config makes it another backfill: what the job's records mean, which endpoints get them."""
    job = find_job(config, name)
    about: list[Any] = [type(job).__name__, name, config.external_labels]
    about.append([(one.name, one.url, repr(one.write_relabel)) for one in config.endpoints])
    if job is not None:
        about.append(repr(job.metric_relabel))
    if isinstance(job, BackfillServer):
        about.append([job.url, job.match, job.read, job.labels])
    if isinstance(job, JsonJob):
        about.append([job.url, job.labels, job.honor_labels])
        about += [_of_metric(one) for one in (*job.metrics, *(job.backfill.metrics if job.backfill else ()))]
    return hashlib.sha256(json.dumps(about, sort_keys=True, default=str).encode()).hexdigest()[:16]


def _of_metric(metric: Metric) -> list[Any]:
    """How a metric reads its records."""
    stamp = metric.timestamp
    labels = [(key, label.text) for key, label in metric.labels]
    about = [metric.name, metric.records.text, metric.value.text, metric.scale, metric.offset, labels]
    about += [[metric.states.label, *metric.states.values]] if metric.states else []
    about += [metric.value_format.name] if metric.value_format else []
    return [*about, stamp.path.text, stamp.format.name] if stamp else about
