"""Opens what a request names: the source, the endpoints, the export."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from ..config.scalars import print_duration
from ..config.schema import BackfillServer, Config, JsonJob, RemoteWriteConfig, SpoolConfig
from ..dependencies import Dependencies
from ..environment import Environment
from ..store import Store
from .acceptance import AMP_MAX_AGE_MS, Rules
from .api_source import ApiSource
from .export import Export, FileTarget, NotWritten, ObjectsTarget
from .file_source import RECORDS, FileSource, Meaning, format_of
from .files import BadFile, Files, area_of
from .json_records import RecordMapper
from .request import BadRequest, Request, find_job
from .server_source import ServerSource, resolver
from .source import Source
from .span import Span
from .times import shown

_MAX_WINDOWS = 20_000


@dataclass(frozen=True, slots=True)
class ProgressEvent:
    """The progress of a backfill: finished parts, the number of all parts (None when it is unknown), samples read, and
    the share of the source that has been read (0 to 1)."""

    parts: int
    windows: int | None
    samples: int
    share: float


@dataclass(frozen=True, slots=True)
class Host:
    """Where a backfill runs: in a function, or on a machine whose files it may read and write (`is_local`). `store`
    keeps its checkpoint (None: only its answer does)."""

    dependencies: Dependencies
    store: Store | None = None
    is_local: bool = False
    tell: Callable[[ProgressEvent], None] = lambda told: None


def environment_for(config: Config, request: Request, dependencies: Dependencies) -> Environment:
    """An environment with the request's endpoints, whose age limit does not drop what `acceptance` decides on."""
    endpoints = tuple(_aged(one, request) for one in config.endpoints if request.endpoint in ("", one.name))
    without_jobs = replace(config, json_jobs=(), scrape_jobs=(), spool=SpoolConfig(), endpoints=endpoints)
    return Environment(without_jobs, dependencies)


def _aged(endpoint: RemoteWriteConfig, request: Request) -> RemoteWriteConfig:
    limit_ms = AMP_MAX_AGE_MS if endpoint.is_amp and not request.force else 0
    return replace(endpoint, queue=replace(endpoint.queue, sample_age_limit_ms=limit_ms))


def source_of(
    config: Config, request: Request, environment: Environment, host: Host, rules: Sequence[Rules], deadline: float
) -> Source:
    """The source of the request. `rules` are the receivers', `deadline` is monotonic seconds. Raises BadRequest."""
    dependencies, job = host.dependencies, find_job(config, request.job)
    if request.files:
        return _files(config, request, environment, host, deadline)
    if isinstance(job, BackfillServer):
        job = replace(job, step_ms=request.step_ms or job.step_ms)
        resolve = resolver(environment.intern, job.metric_relabel, job.labels)
        span = _span(request, job.window_ms, rules)
        if job.read != "federate":
            _check_count(span)
        return ServerSource(job, span, resolve, dependencies.client, dependencies.transport, dependencies.sleep)
    if not isinstance(job, JsonJob) or job.backfill is None:
        raise BadRequest(f"job: {request.job!r:.60} cannot be queried for a range")
    asked = replace(job, backfill=replace(job.backfill, step_ms=request.step_ms or job.backfill.step_ms))
    span = _span(request, job.backfill.window_ms, rules)
    _check_count(span)
    return ApiSource(asked, span, environment.intern, environment.fetcher, dependencies.now_ms, dependencies.sleep)


def _span(request: Request, window_ms: int, rules: Sequence[Rules]) -> Span:
    """The range, and the time before which no receiver accepts anything, unless the request wants it all the same."""
    start_ms, end_ms = request.start_ms or 0, request.end_ms or 0
    oldest = [one.oldest_ms for one in rules]
    wants_all = request.export or request.force or request.dry_run or None in oldest or not oldest
    oldest_ms = 0 if wants_all else min(one for one in oldest if one is not None)
    return Span(start_ms, end_ms, request.window_ms or window_ms, min(oldest_ms, end_ms + 1))


def _check_count(span: Span) -> None:
    """Raises BadRequest."""
    if span.count > _MAX_WINDOWS:
        windows = f"{span.count} windows of {print_duration(span.window_ms)}"
        detail = f"{shown(span.start_ms)} to {shown(span.end_ms)} is {windows}; {_MAX_WINDOWS} are allowed"
        raise BadRequest(f"start: {detail}: say a longer window, or a shorter range")


def _files(config: Config, request: Request, environment: Environment, host: Host, deadline: float) -> FileSource:
    area = None if host.is_local else area_of(host.dependencies.env_vars)
    files = Files(host.dependencies.objects, is_local=host.is_local, area=area)
    try:
        found = files.find(request.files, deadline)
    except BadFile as error:
        raise BadRequest(f"from: {error}") from None
    kinds, job = [request.format or format_of(file.place) for file in found], find_job(config, request.job)
    for file, kind in zip(found, kinds, strict=True):
        if not kind:
            raise BadRequest(f"format: is required, because the name of {file.place} does not tell")
        if kind in RECORDS and not isinstance(job, JsonJob):
            raise BadRequest(f"job: is required for {file.place}: it says what the records of {kind} mean")
    intern, span = environment.intern, (request.start_ms, request.end_ms)
    mapper = RecordMapper(job, intern, dict(request.columns)) if isinstance(job, JsonJob) else None
    meaning = Meaning(resolver(intern, job.metric_relabel if job else ()), mapper)
    return FileSource(files, list(zip(found, kinds, strict=True)), meaning, span, host.dependencies.now_ms)


def export_of(request: Request, host: Host, *, objects: int, size: int) -> Export | None:
    """Where impossible samples are written; None without an export. `objects`, or `size` bytes of a file, exist from
    earlier invocations. Raises BadRequest."""
    place = request.export
    if not place or request.plan or request.dry_run:
        return None
    try:
        if place.startswith("s3://"):
            spool = host.dependencies.env_vars.get("PUSHER_SPOOL", "").rstrip("/")
            if not host.is_local and spool.startswith("s3://") and not place.startswith(f"{spool}/export/"):
                raise BadRequest(f"export: {place!r:.200}: a function writes to {spool}/export/… only")
            return Export(ObjectsTarget(host.dependencies.objects, place, written=objects))
        if not host.is_local:
            raise BadRequest(f"export: {place!r:.200} is a file of some machine: a function writes s3://BUCKET/KEY")
        return Export(FileTarget(place, size=size))
    except NotWritten as error:
        raise BadRequest(f"export: {error}") from None
