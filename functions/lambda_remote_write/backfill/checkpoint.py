"""Where a backfill goes on: a text that says so, and the same in the state store."""

from __future__ import annotations

import base64
import hashlib
import json
import zlib
from collections.abc import Mapping
from dataclasses import astuple, dataclass, field, replace
from typing import Any

from ..config.schema import BackfillServer, Config, JsonJob, Metric
from .request import Request, find_job
from .source import Mark

_PREFIX = "b2."
_MAX_CHARACTERS = 100_000


class BadToken(Exception):
    """No token of this backfill. The message says what is wrong."""


@dataclass(frozen=True, slots=True)
class PartProgress:
    """How far one endpoint has come with the part that is under way. Of the part's samples, in the order in which they
    are sent, the first `samples` are settled; `digest` is theirs, so that a source that gives other samples the next
    time is noticed. `maybe_stored` is how many of the samples behind them may have arrived without an answer.
    `furthest` is the most that was settled before such a source made the endpoint begin again."""

    samples: int = 0
    digest: str = ""
    maybe_stored: int = 0
    furthest: int = 0


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """How far a request has come. `run` tells one backfill from another one of the same request, `identity` is what its
    source was, `totals` are the counts so far. `widened_from` are the out-of-order windows in seconds that must come
    back, by endpoint. `stalled` counts the invocations in a row, the one under way included, that made no progress.

    What is known of the part at `mark`:

        is_open   an invocation is at work on it, or was killed at it
        doubt     an attempt at it may have reached receivers; what they refuse of it counts as `maybe_stored`
        settled   the endpoints that have all of it, and are not sent any of it again
        within    how far the other endpoints have come in it, by name
        part_end  where it ends; None as long as nothing of it is settled
    """

    request: Request
    config: str
    mark: Mark
    run: str = ""
    identity: tuple[str, ...] = ()
    maybe_stored: bool = False
    settled: tuple[str, ...] = ()
    totals: Mapping[str, Any] = field(default_factory=dict)
    widened_from: Mapping[str, int] = field(default_factory=dict)
    is_open: bool = False
    stalled: int = 0
    within: Mapping[str, PartProgress] = field(default_factory=dict)
    part_end: Mark | None = None

    @property
    def position(self) -> tuple[int, int, int, int]:
        """Grows with everything that is settled."""
        return self.mark.file, self.mark.at, len(self.settled), sum(one.samples for one in self.within.values())

    @property
    def id(self) -> str:
        """The same for the same request under the same config: its keys as they were given, however late it is."""
        asked = [pair for pair in self.request.asked if pair[0] != "dry_run"]
        return hashlib.sha256(json.dumps([self.config, asked]).encode()).hexdigest()[:16]

    def taken_up(self) -> Checkpoint:
        """As whoever goes on sees it: nobody knows how far a killed invocation came with its part."""
        return replace(self, maybe_stored=self.maybe_stored or self.is_open)

    def encoded(self) -> bytes:
        return json.dumps(
            {
                "request": self.request.as_json(),
                "config": self.config,
                "run": self.run,
                "mark": self.mark.as_json(),
                "identity": list(self.identity),
                "doubt": self.maybe_stored,
                "settled": list(self.settled),
                "totals": dict(self.totals),
                "widened_from": dict(self.widened_from),
                "open": self.is_open,
                "stalled": self.stalled,
                "within": {name: list(astuple(one)) for name, one in self.within.items()},
                "part_end": self.part_end and self.part_end.as_json(),
            },
            separators=(",", ":"),
        ).encode()

    def token(self) -> str:
        """As a text for an event."""
        packed = zlib.compress(self.encoded(), 9)
        return _PREFIX + base64.urlsafe_b64encode(packed).decode().rstrip("=")


def decoded(content: bytes) -> Checkpoint:
    """Raises BadToken."""
    try:
        found = json.loads(content)
        return Checkpoint(
            Request.from_json(found["request"]),
            str(found["config"]),
            Mark.from_json(found["mark"]),
            str(found["run"]),
            tuple(map(str, found["identity"])),
            bool(found["doubt"]),
            tuple(map(str, found["settled"])),
            dict(found["totals"]),
            {str(name): int(seconds) for name, seconds in found["widened_from"].items()},
            bool(found["open"]),
            int(found["stalled"]),
            {str(name): _part_progress(*one) for name, one in found["within"].items()},
            Mark.from_json(found["part_end"]) if found["part_end"] else None,
        )
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise BadToken(f"it cannot be read ({type(error).__name__})") from None


def _part_progress(samples: Any, digest: Any, maybe_stored: Any, furthest: Any) -> PartProgress:
    """Raises ValueError and TypeError."""
    return PartProgress(int(samples), str(digest), int(maybe_stored), int(furthest))


def parsed(token: str) -> Checkpoint:
    """The text of `token` -> Checkpoint. Raises BadToken."""
    if not token.startswith(_PREFIX):
        raise BadToken("it does not begin as a token does: give the answer's resume as it is")
    if len(token) > _MAX_CHARACTERS:
        raise BadToken("it is too long")
    text = token.removeprefix(_PREFIX)
    try:
        packed = base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
        unpacking = zlib.decompressobj()
        content = unpacking.decompress(packed, 10 * _MAX_CHARACTERS)
        is_whole = unpacking.eof and not unpacking.unused_data  # zlib's own checksum holds then
    except (ValueError, zlib.error):
        is_whole = False
    if not is_whole:
        raise BadToken("it is damaged: give the answer's resume as it is, to its end")
    return decoded(content)


def fingerprint(config: Config, name: str) -> str:
    """Changes with what makes a backfill another one: what the job's records mean, who gets them."""
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
    """What its records mean."""
    stamp = metric.timestamp
    labels = [(key, label.text) for key, label in metric.labels]
    about = [metric.name, metric.records.text, metric.value.text, metric.scale, metric.offset, labels]
    return [*about, stamp.path.text, stamp.format.name] if stamp else about
