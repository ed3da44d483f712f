"""A backfill, part by part: read, judge, send, acknowledge."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from ..config.schema import Config, JsonJob, ServerSource, SpoolConfig
from ..delivery.attempt import Poster
from ..delivery.credentials import CredentialsProvider
from ..model import Delivery, Tally
from ..report import tally_dict
from ..store import NotStored, Store, StoreError
from ..warm import Outside, Warm
from ..wire.series import MAX_SERIES
from .export import Export, FileTarget, NotWritten, ObjectsTarget
from .files import BadFile, Files
from .from_files import RECORDS, FileSource, format_of
from .judge import AMP_MAX_AGE_MS
from .ranges import ApiSource, Span, with_window
from .receiver import Receiver, Tallies
from .request import BadRequest, Request, find_job
from .server import Server, resolver
from .source import Mark, Part, Source, SourceFailed
from .token import BadToken, Progress, decoded, fingerprint
from .widening import Widening

_STATE_SECONDS = 5.0
_MAX_ROWS = 200
_SPARE_SECONDS = 2.0


@dataclass(frozen=True, slots=True)
class Told:
    """How a backfill goes, for whoever watches: parts done and how many there are (None when nobody knows), samples
    read, how much of everything that is (0 to 1)."""

    parts: int
    windows: int | None
    samples: int
    share: float


@dataclass(frozen=True, slots=True)
class Edges:
    """What a backfill needs of the outside world. `store` keeps how far it has come (None: only its token does);
    `is_local` lets it read and write files of this machine."""

    outside: Outside
    store: Store | None = None
    is_local: bool = False
    tell: Callable[[Told], None] = lambda told: None


@dataclass(slots=True)
class Totals:
    """Counts of everything that is done, over all invocations."""

    parts: int = 0
    empty: int = 0
    records: int = 0
    samples: int = 0
    unasked: int = 0  # parts of which nothing can be accepted
    exported: int = 0
    objects: int = 0
    invocations: int = 0
    skipped: Tally = field(default_factory=Tally)


class Backfill:
    """One invocation of a request. `run` does as much as the time suffices for."""

    def __init__(self, config: Config, edges: Edges, begun: Progress, deadline: float) -> None:
        """`begun` is how far it had come; `deadline` is monotonic seconds. Raises BadRequest, and SourceFailed for
        files that are not there."""
        self._edges, self._deadline, self._started = edges, deadline, time.monotonic()
        self._request, self._progress = begun.request, begun
        outside = edges.outside
        self._warm = Warm(_for_backfill(config, begun.request), outside)
        environment = outside.environment
        self._receivers = [
            Receiver(one, outside.transport, environment, outside.now_ms, outside.sleep, force=begun.request.force)
            for one in self._warm.remotes
        ]
        self._totals = Totals()
        self._take_over(begun)
        for receiver in self._receivers:
            receiver.ask(deadline)
        self._source = self._opened(config)
        self._check_identity()
        self._export = self._opened_export()
        self._rows: list[dict[str, Any]] = []
        self._notes: list[str] = []
        self._warnings: list[str] = []
        self._stopped = ""
        self._is_done = False

    # the walk

    def run(self) -> dict[str, Any]:
        """The whole way, or as far as the time goes. Raises nothing that a source or a receiver does."""
        if not self._request.plan:
            self._save(is_open=True)
            before = self._progress.widened_from
            with Widening(self._request, self._receivers, self._save, self._deadline, before) as widening:
                self._warnings += widening.warnings
                self._walk()
            self._warnings += [said for said in widening.warnings if said not in self._warnings]
            self._save(is_open=False)
        return self._answer()

    def _walk(self) -> None:
        longest, begun = 0.0, time.monotonic()
        try:
            for part in self._source.parts(self._progress.mark, self._deadline):
                if not self._do(part):
                    return
                longest = max(longest, time.monotonic() - begun)
                begun = time.monotonic()
                if self._deadline - begun < 2 * longest + _SPARE_SECONDS and part.share < 1.0:
                    self._notes.append(f"the time is up after {part.where}; the next invocation goes on")
                    return
            self._is_done = True
        except SourceFailed as error:
            is_out_of_time = time.monotonic() >= self._deadline - _SPARE_SECONDS
            if is_out_of_time and self._rows:
                self._notes.append(f"the time was up: {error}; the next invocation goes on")
            else:
                self._stopped = str(error)
        except NotWritten as error:
            self._stopped = str(error)
        finally:
            self._close_export()

    def _do(self, part: Part) -> bool:
        """One part: judged and sent for every endpoint, then acknowledged. False when something of it is left."""
        row: dict[str, Any] = {"where": part.where, "samples": len(part.samples), "endpoints": {}}
        for receiver in self._receivers:
            if receiver.name in self._progress.settled:
                continue
            if not part.is_fetched:
                row["endpoints"][receiver.name] = {"impossible": None, "reasons": {"too_old": "all of it"}}
                continue
            books = Delivery(receiver.name, collected=len(part.samples) + part.dropped.total())
            books.dropped.merge(part.dropped)
            judged = receiver.judged(part.samples, books.dropped, self._deadline)
            row["endpoints"][receiver.name] = {**judged.counts(), "reasons": dict(judged.reasons.counts)}
            if self._request.dry_run:
                receiver.sent(judged)
                books.collected = 0
                receiver.tallies.add(Delivery(receiver.name), judged.counts(), judged.reasons)
                continue
            left = receiver.send(judged, books, self._deadline, doubt=self._progress.doubt)
            if left:
                self._leave(receiver.name, left[0].reason, left[0].said, sent=books.requests > 0)
                return False
            if self._export is not None and not self._request.force:
                self._export.write(judged.impossible, self._deadline)
                self._export.flush(self._deadline)
            receiver.tallies.add(books, judged.counts(), judged.reasons)
            self._progress = replace(self._progress, settled=(*self._progress.settled, receiver.name))
        self._acknowledge(part, row)
        return True

    def _acknowledge(self, part: Part, row: dict[str, Any]) -> None:
        totals = self._totals
        totals.parts += 1
        totals.empty += part.is_fetched and not part.records
        totals.unasked += not part.is_fetched
        totals.records += part.records
        totals.samples += len(part.samples)
        totals.skipped.merge(part.skipped)
        self._notes += part.notes
        self._rows.append(row)
        self._progress = replace(self._progress, mark=part.after, doubt=False, settled=())
        self._save()
        if len(self._warm.series) > MAX_SERIES:
            self._forget()
        self._edges.tell(Told(totals.parts, self._source.windows, totals.samples, part.share))

    def _forget(self) -> None:
        """Memory is bounded: all series go, and are made again as they come."""
        self._warm.series.keep(set())
        self._source.forget()
        for receiver in self._receivers:
            receiver.forget()

    def _leave(self, endpoint: str, reason: str, said: str, *, sent: bool) -> None:
        """Something of a part is left: all of it is sent again, and a receiver may then have some of it already."""
        self._progress = replace(self._progress, doubt=True)
        self._save()
        if reason in ("deadline", "unavailable", "no_result") or reason.startswith(("http_429", "http_5", "http_408")):
            self._notes.append(f"{endpoint}: {reason}: {said}; the next invocation goes on")
        else:
            self._stopped = f"{endpoint}: {said}"

    # what was done before

    def _take_over(self, begun: Progress) -> None:
        found = begun.totals
        try:
            for name in ("parts", "empty", "records", "samples", "unasked", "exported", "objects", "invocations"):
                setattr(self._totals, name, int(found.get(name, 0)))
            for reason, entry in found.get("skipped", {}).items():
                self._totals.skipped.add(reason, str(entry["first"]), int(entry["count"]))
            known = {one["endpoint"]: Tallies.from_json(one) for one in found.get("endpoints", ())}
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            raise BadRequest(f"resume: its counts cannot be read ({type(error).__name__})") from None
        for receiver in self._receivers:
            receiver.tallies = known.get(receiver.name, receiver.tallies)
        self._totals.invocations += not begun.request.plan

    def _check_identity(self) -> None:
        now = tuple(self._source.identity)
        if self._progress.identity and self._progress.identity != now:
            changed = next((old for old in self._progress.identity if old not in now), "the files")
            raise BadRequest(f"resume: what it was made for has changed ({changed}): start again without resume")
        self._progress = replace(self._progress, identity=now)

    def _save(self, **changes: Any) -> None:
        """Into the state store; without one, the token is all there is."""
        self._progress = replace(self._progress, totals=self._totals_json(), **changes)
        if self._edges.store is None or self._request.dry_run:
            return
        try:
            until = min(time.monotonic() + _STATE_SECONDS, self._deadline + _SPARE_SECONDS)
            self._edges.store.put(state_key(self._progress), self._progress.encoded(), until)
        except StoreError as error:
            said = f"the progress cannot be kept, only the answer's token has it: {error}"
            if said not in self._warnings:
                self._warnings.append(said)

    # what is read, what is written

    def _opened(self, config: Config) -> Source:
        request, outside = self._request, self._edges.outside
        job = find_job(config, request.job)
        if request.files:
            return self._opened_files(config)
        span = self._span(job)
        if isinstance(job, ServerSource):
            resolve = resolver(self._warm.series.intern, job.metric_relabel, job.labels)
            if request.step_ms:
                job = replace(job, step_ms=request.step_ms)
            return Server(job, span, resolve, self._poster, outside.transport, outside.sleep)
        if not isinstance(job, JsonJob):
            raise BadRequest(f"job: {request.job!r:.60} cannot be asked for a range")
        asked = with_window(job, request.window_ms, request.step_ms)
        return ApiSource(asked, span, self._warm.series.intern, self._warm.fetcher, outside.now_ms, outside.sleep)

    def _span(self, job: object) -> Span:
        request = self._request
        of_config = job.window_ms if isinstance(job, ServerSource) else 0
        if isinstance(job, JsonJob) and job.backfill is not None:
            of_config = job.backfill.window_ms
        start_ms, end_ms = request.start_ms or 0, request.end_ms or 0
        oldest = [receiver.rules.oldest_ms for receiver in self._receivers]
        wants_all = request.export or request.force or request.dry_run or None in oldest or not oldest
        floor_ms = 0 if wants_all else min(one for one in oldest if one is not None)
        return Span(start_ms, end_ms, request.window_ms or of_config, min(floor_ms, end_ms + 1))

    def _opened_files(self, config: Config) -> FileSource:
        request, intern = self._request, self._warm.series.intern
        files = Files(self._edges.outside.objects, is_local=self._edges.is_local)
        try:
            found = files.find(request.files, self._deadline)
        except BadFile as error:
            raise BadRequest(f"from: {error}") from None
        kinds, job = [request.format or format_of(file.place) for file in found], find_job(config, request.job)
        for file, kind in zip(found, kinds, strict=True):
            if not kind:
                raise BadRequest(f"format: is required, because the name of {file.place} does not tell")
            if kind in RECORDS and not isinstance(job, JsonJob):
                raise BadRequest(f"job: is required for {file.place}: it says what the records of {kind} mean")
        span = (request.start_ms, request.end_ms)
        source = FileSource(files, found, kinds, span, self._edges.outside.now_ms)
        if isinstance(job, JsonJob):
            source = source.of_records(job, intern, dict(request.columns))
        return source.of_text(resolver(intern, job.metric_relabel if job else ()))

    def _poster(self, endpoint: Any) -> Poster:
        outside = self._edges.outside
        credentials = None
        if endpoint.sigv4:
            credentials = CredentialsProvider(
                endpoint.sigv4, outside.environment, outside.secrets, outside.session, lambda: outside.now_ms() / 1000
            )
        return Poster(endpoint, outside.transport, outside.secrets, credentials, outside.environment, outside.now_ms)

    def _opened_export(self) -> Export | None:
        place, outside = self._request.export, self._edges.outside
        if not place or self._request.plan or self._request.dry_run:
            return None
        try:
            if place.startswith("s3://"):
                return Export(ObjectsTarget(outside.objects, place, written=self._totals.objects))
            if not self._edges.is_local:
                raise BadRequest(f"export: {place!r:.200} is a file of some machine: a function writes s3://BUCKET/KEY")
            return Export(FileTarget(place, goes_on=self._totals.invocations > 1))
        except NotWritten as error:
            raise BadRequest(f"export: {error}") from None

    def _close_export(self) -> None:
        if self._export is None:
            return
        try:
            self._export.close(self._deadline + _SPARE_SECONDS)
        except NotWritten as error:
            self._stopped, self._is_done = self._stopped or str(error), False
        self._totals.exported += self._export.stored
        self._totals.objects = self._export.objects

    # the answer

    def _totals_json(self) -> dict[str, Any]:
        totals = self._totals
        names = ("parts", "empty", "records", "samples", "unasked", "exported", "objects", "invocations")
        found: dict[str, Any] = {name: getattr(totals, name) for name in names}
        return {
            **found,
            "skipped": tally_dict(totals.skipped),
            "endpoints": [receiver.tallies.as_json() for receiver in self._receivers],
        }

    def _answer(self) -> dict[str, Any]:
        request, totals = self._request, self._totals_json()
        answer = {
            "action": "backfill",
            "job": request.job,
            "done": self._is_done,
            "dry_run": request.dry_run,
            "start_ms": request.start_ms,
            "end_ms": request.end_ms,
            "windows": self._source.windows,
            **{name: value for name, value in totals.items() if name != "endpoints"},
            "endpoints": [
                {**one.tallies.as_json(), "rules": _rules_json(one), "unknown": list(one.rules.unknown)}
                for one in self._receivers
            ],
            "preflight": self._plan_rows() if request.plan else _at_most(self._rows, _MAX_ROWS),
            "notes": _first(self._notes),
            "warnings": self._warnings,
            "stopped": self._stopped,
            "seconds": round(time.monotonic() - self._started, 3),
        }
        if not self._is_done:
            self._progress = replace(self._progress, totals=totals)
            going_on = replace(self._progress, request=replace(request, plan=False))
            answer["resume"] = going_on.token()
        return answer

    def _plan_rows(self) -> list[dict[str, Any]]:
        """What time alone tells of the range, before anything is asked: from when on which endpoint takes samples."""
        request, rows = self._request, list[dict[str, Any]]()
        if request.start_ms is None or request.end_ms is None:
            return rows
        for receiver in self._receivers:
            oldest_ms = receiver.rules.oldest_ms
            cut = request.start_ms if oldest_ms is None else min(max(oldest_ms, request.start_ms), request.end_ms + 1)
            if cut > request.start_ms:
                rows.append(_plan_row(receiver.name, request.start_ms, cut - 1, "impossible", "too_old"))
            if cut <= request.end_ms:
                rows.append(_plan_row(receiver.name, cut, request.end_ms, "accepted", ""))
        return rows


def _plan_row(endpoint: str, start_ms: int, end_ms: int, kind: str, reason: str) -> dict[str, Any]:
    from .times import shown

    said = "" if kind == "impossible" else "where a series has nothing newer"
    return {
        "endpoint": endpoint,
        "where": f"{shown(start_ms)} to {shown(end_ms)}",
        "class": kind,
        "reason": reason or said,
    }


def _rules_json(receiver: Receiver) -> dict[str, Any]:
    rules = receiver.rules
    return {
        "max_age_seconds": rules.max_age_ms // 1000 or None,
        "out_of_order_window_seconds": None if rules.window_ms is None else rules.window_ms // 1000,
        "newest_sample_ms": rules.head_ms or None,
    }


def _first(notes: Sequence[str], most: int = 50) -> list[str]:
    return [*notes[:most], *([f"and {len(notes) - most} more of the like"] if len(notes) > most else [])]


def _at_most(rows: list[dict[str, Any]], most: int) -> list[dict[str, Any]]:
    """The rows, neighbours together where there are too many."""
    while len(rows) > most:
        pairs = [rows[at : at + 2] for at in range(0, len(rows), 2)]
        rows = [_both(*pair) if len(pair) == 2 else pair[0] for pair in pairs]
    return rows


def _both(one: dict[str, Any], other: dict[str, Any]) -> dict[str, Any]:
    endpoints: dict[str, Any] = {}
    for name in {**one["endpoints"], **other["endpoints"]}:
        some = [row["endpoints"][name] for row in (one, other) if name in row["endpoints"]]
        kinds = {kind for each in some for kind in each if kind != "reasons"}
        endpoints[name] = {kind: sum(each.get(kind) or 0 for each in some) for kind in kinds}
        reasons: dict[str, Any] = {}
        for each in some:
            for reason, count in each["reasons"].items():
                known = reasons.get(reason, 0)
                reasons[reason] = known + count if isinstance(count, int) and isinstance(known, int) else count
        endpoints[name]["reasons"] = reasons
    where = f"{one['where'].partition(' to ')[0]} to {other['where'].rpartition(' to ')[2]}"
    return {"where": where, "samples": one["samples"] + other["samples"], "endpoints": endpoints}


def state_key(progress: Progress) -> str:
    """Where in the store a backfill keeps how far it has come."""
    return f"state/backfill/{progress.id}"


def begin(request: Request, config: Config, store: Store | None, deadline: float, *, goes_on: bool) -> Progress:
    """A new backfill, or one that goes on from what the state store has. Raises BadRequest."""
    fresh = Progress(request, fingerprint(config, request.job), Mark())
    if not goes_on:
        return fresh
    if store is None:
        raise BadRequest("resume: nothing is kept without a spool: give the token of the answer, or set spool.location")
    try:
        found = store.get(state_key(fresh), deadline)
    except NotStored:
        raise BadRequest("resume: no such backfill was begun with this config: leave resume out") from None
    except StoreError as error:
        raise BadRequest(f"resume: {error}") from None
    try:
        kept = decoded(found.content if found else b"")
        return replace(kept, doubt=kept.doubt or kept.is_open)
    except BadToken as error:
        raise BadRequest(f"resume: {error}") from None


def go_on(given: Progress, config: Config, store: Store | None, deadline: float) -> Progress:
    """A token's progress, or what a killed invocation has done after it. Raises BadRequest."""
    if given.config != fingerprint(config, given.request.job):
        said = "it was made under another config (other jobs' fields, endpoints or external labels)"
        raise BadRequest(f"resume: {said}: start again without resume")
    if store is None:
        return given
    try:
        found = store.get(state_key(given), deadline)
        kept = decoded(found.content) if found else given
    except (StoreError, BadToken):
        return given
    if kept.identity != given.identity or given.mark.is_after(kept.mark):
        return given
    if kept.mark == given.mark and not kept.is_open:
        return given
    return replace(kept, request=given.request, doubt=kept.doubt or kept.is_open)


def _for_backfill(config: Config, request: Request) -> Config:
    """The endpoints that are meant, with the age of samples left to be judged."""
    endpoints = [one for one in config.endpoints if request.endpoint in ("", one.name)]
    aged = [
        replace(
            one, queue=replace(one.queue, sample_age_limit_ms=AMP_MAX_AGE_MS if one.is_amp and not request.force else 0)
        )
        for one in endpoints
    ]
    return replace(config, jobs=(), scrape_jobs=(), spool=SpoolConfig(), endpoints=tuple(aged))
