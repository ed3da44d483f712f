"""A receiver that behaves like Amazon Managed Service for Prometheus, on a loopback socket."""

from __future__ import annotations

import hashlib
import hmac
import json
import re
import struct
import threading
import time
import uuid
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, fields, replace
from datetime import UTC, datetime
from typing import Any, Literal, NamedTuple, TypeVar

import cramjam
import requests
from botocore.auth import S3SigV4Auth, SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.compat import HTTPHeaders
from botocore.credentials import Credentials
from google.protobuf.message import DecodeError

from lambda_remote_write.remote_write.encode.generated import remote_pb2, types_pb2
from lambda_remote_write.remote_write.encode.generated.io.prometheus.write.v2 import types_pb2 as types_2_pb2
from sandbox.process import ask
from sandbox.server import Answer, Fault, FaultScript, LoopbackServer, Request, StandIn

Labels = tuple[tuple[str, str], ...]
Clock = Callable[[], float]
Value = float | types_pb2.Histogram
# Of a request of remote write 2.0, which Prometheus 2.x and others do not know: it is stored, it is refused with 415,
# or its type is ignored, so that nothing is found in the body and the answer is a success.
Version2 = Literal["taken", "refused", "ignored"]

METRIC_NAME = re.compile(r"[a-zA-Z_:][a-zA-Z0-9_:]*", re.ASCII)
LABEL_NAME = re.compile(r"[a-zA-Z_][a-zA-Z0-9_]*", re.ASCII)
ROUTE = re.compile(r"/workspaces/([^/]+)/(.+)")
ACCOUNT, WORKSPACE = "123456789012", "ws-sandbox"
CONFIGURATION = "configuration"
# What may be asked of a workspace, and the permission that each needs.
ACTIONS = {
    "api/v1/remote_write": {"POST": "aps:RemoteWrite"},
    "api/v1/query": {"GET": "aps:QueryMetrics", "POST": "aps:QueryMetrics"},
    "api/v1/query_range": {"GET": "aps:QueryMetrics", "POST": "aps:QueryMetrics"},
    CONFIGURATION: {"GET": "aps:DescribeWorkspaceConfiguration", "PATCH": "aps:UpdateWorkspaceConfiguration"},
}

# A head block takes samples in order only in its newer half: one hour, with blocks of two.
HALF_BLOCK_MS = 3_600_000
CUSTOM_BUCKETS = -53

SIGNATURE = re.compile(
    r"AWS4-HMAC-SHA256 Credential=(?P<access_key>[^/]+)/(?P<date>\d{8})/(?P<region>[^/]+)/(?P<service>[^/]+)/"
    r"aws4_request,\s*SignedHeaders=(?P<headers>[^,\s]+),\s*Signature=(?P<value>[0-9a-f]{64})"
)
SIGNATURE_MISMATCH = (
    "The request signature we calculated does not match the signature you provided. Check your AWS Secret Access Key"
    " and signing method. Consult the service documentation for details."
)


@dataclass(frozen=True, slots=True)
class Limits:
    """The quotas of a workspace; None switches one off."""

    max_body_bytes: int = 1_000_000  # compressed and decoded alike
    max_labels: int = 150
    max_labels_bytes: int = 7 * 1024  # names and values of one series together
    max_metadata_bytes: int = 1024  # name, type, unit and help together
    max_age_seconds: float = 3600
    max_future_seconds: float = 600
    out_of_order_seconds: float = 60  # counted back from the newest sample of the workspace
    samples_per_second: float | None = None  # one second's worth may come at once
    max_series: int | None = None
    max_histogram_buckets: int = 200
    max_histogram_bytes: int = 2048
    custom_buckets: bool = False  # histograms that list their boundaries
    exemplars: bool = False  # AMP has no place for them; others store them


class Metadata(NamedTuple):
    type: str
    help: str
    unit: str


# --- Who may write -----------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class SigV4:
    """The credentials a request must be signed with; a token must come along when there is one."""

    region: str = "us-east-1"
    access_key: str = "AKIDEXAMPLE"
    secret_key: str = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"
    token: str | None = None
    service: str = "aps"
    max_skew_seconds: float = 300
    expired: bool = False  # right, but its time is over

    def refusal(self, request: Request, now: float) -> Answer | None:
        """The 403 that AWS would give, or None when the signature holds."""
        message = next(self._problems(request, now), None)
        return Answer.json({"message": message}, 403) if message else None

    def _problems(self, request: Request, now: float) -> Iterator[str]:
        """What is wrong, in AWS's words."""
        if "Authorization" not in request.headers:
            yield "Missing Authentication Token"
        signature = SIGNATURE.fullmatch(request.headers["Authorization"].strip())
        if signature is None:
            yield "Authorization header requires 'Credential', 'SignedHeaders' and 'Signature' parameters."
            return
        token = request.headers.get("x-amz-security-token")
        if signature["access_key"] != self.access_key or token != self.token:
            yield "The security token included in the request is invalid."
        if signature["region"] != self.region:
            yield f"Credential should be scoped to a valid region, not '{signature['region']}'."
        if signature["service"] != self.service:
            yield f"Credential should be scoped to correct service: '{self.service}'."
        required = {"host", "x-amz-date", *(name.lower() for name in request.headers if name.lower()[:6] == "x-amz-")}
        for name in sorted(required - set(signature["headers"].split(";"))):
            yield f"'{name}' must be a 'SignedHeader' in the AWS Authorization."
        digest = hashlib.sha256(request.body).hexdigest()
        if request.headers.get("x-amz-content-sha256", digest) != digest:
            yield "The provided 'x-amz-content-sha256' header does not match what was computed."
        yield from self._time_problems(request.headers.get("x-amz-date", ""), signature["date"], now)
        if self.expired:
            yield "The security token included in the request is expired"
        credentials = Credentials(self.access_key, self.secret_key, self.token)
        kind = _S3Verifier if self.service == "s3" else _Verifier
        verifier = kind(credentials, self.service, self.region, signature["headers"].split(";"))
        canonical, to_sign, expected = verifier.compute(request)
        if not hmac.compare_digest(expected, signature["value"]):
            yield (
                f"{SIGNATURE_MISMATCH}\n\nThe Canonical String for this request should have been\n'{canonical}'\n\n"
                f"The String-to-Sign should have been\n'{to_sign}'\n"
            )

    def _time_problems(self, stamp: str, date: str, now: float) -> Iterator[str]:
        try:
            signed_at = datetime.strptime(stamp, "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC).timestamp()
        except ValueError:
            yield f"Date must be in ISO-8601 'basic format'. Got '{stamp}'."
            return
        if date != stamp[:8]:
            yield f"Date in Credential scope does not match YYYYMMDD from ISO-8601 version of date: '{stamp}'."
        ours, skew = datetime.fromtimestamp(now, UTC).strftime("%Y%m%dT%H%M%SZ"), f"{self.max_skew_seconds / 60:g} min"
        if now - signed_at > self.max_skew_seconds:
            yield f"Signature expired: {stamp} is now earlier than {ours} - {skew}."
        if signed_at - now > self.max_skew_seconds:
            yield f"Signature not yet current: {stamp} is still later than {ours} + {skew}."


class _Verifier(SigV4Auth):
    """Makes botocore's signer sign the headers that the sender chose instead of its own choice."""

    def __init__(self, credentials: Credentials, service: str, region: str, signed_headers: list[str]) -> None:
        super().__init__(credentials, service, region)
        self._signed_headers = signed_headers

    def headers_to_sign(self, request: AWSRequest) -> HTTPHeaders:
        chosen = HTTPHeaders()
        for name in self._signed_headers:
            for value in request.headers.get_all(name, []):
                chosen[name] = value
        return chosen

    def compute(self, request: Request) -> tuple[str, str, str]:
        """The canonical request, the string to sign and the signature that this request should carry."""
        url = f"http://{request.headers['Host']}{request.path}" + (f"?{request.query}" if request.query else "")
        rebuilt = AWSRequest(request.method, url, data=request.body)
        for name, value in request.headers.items():
            rebuilt.headers[name] = value
        rebuilt.context["timestamp"] = request.headers["x-amz-date"]
        canonical = self.canonical_request(rebuilt)
        to_sign = self.string_to_sign(rebuilt, canonical)
        return canonical, to_sign, self.signature(to_sign, rebuilt)


class _S3Verifier(_Verifier, S3SigV4Auth):
    """S3 does not encode a path a second time."""


@dataclass(frozen=True, slots=True)
class Authorization:
    """The one header that another receiver lets in, as of basic authentication or with a bearer token."""

    header: str

    def refusal(self, request: Request, now: float) -> Answer | None:
        if hmac.compare_digest(request.headers.get("Authorization", "").encode(), self.header.encode()):
            return None
        challenge = {"WWW-Authenticate": self.header.partition(" ")[0]}
        return Answer(401, {"Content-Type": "text/plain", **challenge}, b"Unauthorized\n")


# --- What a request must look like ---------------------------------------------------------------------------------


class RefusedError(Exception):
    """A request that ends with this answer before its samples are looked at."""

    def __init__(self, answer: Answer) -> None:
        super().__init__(answer.status, answer.body)
        self.answer = answer


_AMAZON = {"Content-Type": "application/json", "Server": "amazon"}
_VERSIONS = {"": 1, "prometheus.WriteRequest": 1, "io.prometheus.write.v2.Request": 2}
_VERSION_HEADERS = {1: "0.1.0", 2: "2.0.0"}


def check_headers(request: Request, version_2: Version2 = "taken") -> int:
    """What remote write says a sender must send. Returns the version of the protocol. Raises RefusedError."""
    content_type = request.headers.get("Content-Type", "")
    media, _, parameters = content_type.partition(";")
    version = _VERSIONS.get(parameters.strip().removeprefix("proto="))
    if media.strip() != "application/x-protobuf" or version is None or (version == 2 and version_2 == "refused"):
        raise RefusedError(_text(415, f"unsupported content type: {content_type}"))
    if request.headers.get("Content-Encoding") != "snappy":
        raise RefusedError(_text(415, f"unsupported content encoding: {request.headers.get('Content-Encoding', '')}"))
    if request.headers.get("X-Prometheus-Remote-Write-Version") != _VERSION_HEADERS[version]:
        detail = f"missing or unknown X-Prometheus-Remote-Write-Version, want {_VERSION_HEADERS[version]}"
        raise RefusedError(_text(400, detail))
    if not request.headers.get("User-Agent"):
        raise RefusedError(_text(400, "missing User-Agent"))
    return version


def unpack(body: bytes, max_body_bytes: int) -> bytes:
    """The bytes in a snappy block. Raises RefusedError."""
    too_large = RefusedError(Answer.json({"message": "Request Entity Too Large"}, 413))
    if len(body) > max_body_bytes:
        raise too_large
    try:
        # The length is checked before the block is unpacked, so that a small body cannot become a huge one.
        if cramjam.snappy.decompress_raw_len(body) > max_body_bytes:
            raise too_large
        return bytes(cramjam.snappy.decompress_raw(body))
    except cramjam.DecompressionError as error:
        raise RefusedError(_text(400, f"snappy: corrupt input: {error}")) from None


_Kept = TypeVar("_Kept")
_Decoded = TypeVar("_Decoded", remote_pb2.WriteRequest, types_2_pb2.Request)


def decode(body: bytes, max_body_bytes: int) -> remote_pb2.WriteRequest:
    """The write request in a snappy block. Raises RefusedError."""
    return _decoded(remote_pb2.WriteRequest, unpack(body, max_body_bytes))


def decode_2(body: bytes, max_body_bytes: int) -> types_2_pb2.Request:
    """The request of remote write 2.0 in a snappy block, its references checked. Raises RefusedError."""
    message = _decoded(types_2_pb2.Request, unpack(body, max_body_bytes))
    problem = next(_symbol_problems(message), None)
    if problem:
        raise RefusedError(_text(400, problem))
    return message


def _decoded(kind: type[_Decoded], raw: bytes) -> _Decoded:
    try:
        message = kind.FromString(raw)
    except DecodeError as error:
        raise RefusedError(_text(400, f"proto: {error}")) from None
    known = kind()
    known.CopyFrom(message)
    known.DiscardUnknownFields()
    if known.ByteSize() != message.ByteSize():
        raise RefusedError(_text(400, f"proto: unknown field in {kind.DESCRIPTOR.full_name}"))
    return message


def _symbol_problems(message: types_2_pb2.Request) -> Iterator[str]:
    """Why references of a request cannot be trusted: 2.0, "Symbols"."""
    symbols = message.symbols
    if not symbols or symbols[0]:
        yield "symbols must begin with an empty string"
    if len(set(symbols)) < len(symbols):
        yield "symbols are not deduplicated"
    for series in message.timeseries:
        lists = [series.labels_refs, *(exemplar.labels_refs for exemplar in series.exemplars)]
        if any(len(refs) % 2 for refs in lists):
            yield "labels_refs must be pairs of name and value"
        single = [series.metadata.help_ref, series.metadata.unit_ref]
        if any(ref >= len(symbols) for refs in [*lists, single] for ref in refs):
            yield f"a reference is outside of the {len(symbols)} symbols"


def as_version_1(message: types_2_pb2.Request) -> remote_pb2.WriteRequest:
    """The same in the shape of 1.0; what that has no place for (start times) is left out."""
    symbols, found = message.symbols, remote_pb2.WriteRequest()
    for series in message.timeseries:
        entry = found.timeseries.add(labels=_labels_1(series.labels_refs, symbols))
        for sample in series.samples:
            entry.samples.add(value=sample.value, timestamp=sample.timestamp)
        for histogram in series.histograms:
            entry.histograms.add().MergeFromString(histogram.SerializeToString())
            entry.histograms[-1].DiscardUnknownFields()
        for exemplar in series.exemplars:
            labels = _labels_1(exemplar.labels_refs, symbols)
            entry.exemplars.add(labels=labels, value=exemplar.value, timestamp=exemplar.timestamp)
        metric = _metric(_labels_of(entry))
        if series.HasField("metadata") and metric:
            detail = series.metadata
            texts = {"help": symbols[detail.help_ref], "unit": symbols[detail.unit_ref]}
            found.metadata.add(type=detail.type, metric_family_name=metric, **texts)
    return found


def _labels_1(refs: Sequence[int], symbols: Sequence[str]) -> list[types_pb2.Label]:
    pairs = zip(refs[::2], refs[1::2], strict=True)
    return [types_pb2.Label(name=symbols[name], value=symbols[value]) for name, value in pairs]


def _text(status: int, text: str) -> Answer:
    headers = {"Content-Type": "text/plain; charset=utf-8", "X-Content-Type-Options": "nosniff"}
    return Answer(status, headers, f"{text}\n".encode())


# --- What a series, a sample and a metadata entry must be ----------------------------------------------------------


def label_problems(labels: Labels, limits: Limits, *, utf8_names: bool) -> Iterator[str]:
    """Why a series is refused for its labels, in the receiver's words."""
    metric = _metric(labels)
    if not metric:
        yield "sample missing metric name"
    if not utf8_names and not METRIC_NAME.fullmatch(metric):
        yield f"sample invalid metric name: {_quoted(metric)}"
    if len(labels) > limits.max_labels:
        counts = f"(actual: {len(labels)}, limit: {limits.max_labels})"
        yield f"series has too many labels {counts} series: '{series_text(labels)[:200]}'"
    size = sum(len(name.encode()) + len(value.encode()) for name, value in labels)
    if size > limits.max_labels_bytes:
        counts = f"(actual: {size}, limit: {limits.max_labels_bytes})"
        yield f"labels size bytes exceeded for metric {counts} metric: '{series_text(labels)[:200]}'"
    previous, place = "", f"metric {_quoted(metric)}"
    for name, value in labels:
        if not name or not (utf8_names or LABEL_NAME.fullmatch(name)):
            yield f"sample invalid label: {_quoted(name)} {place}"
        if not value:
            yield f"sample empty label value: {_quoted(name)} {place}"
        if name == previous:
            yield f"duplicate label name: {_quoted(name)} {place}"
        if name < previous:  # code points compare as their UTF-8 bytes do, the order the protocol asks for
            yield f"labels not sorted: {_quoted(name)} {place}"
        previous = name


def _metric(labels: Labels) -> str:
    return next((value for name, value in labels if name == "__name__"), "")


def timestamp_problems(stamps: Iterable[int], metric: str, now_ms: int, limits: Limits) -> Iterator[str]:
    """Why a sample is refused for its age alone."""
    for stamp in stamps:
        if stamp < now_ms - limits.max_age_seconds * 1000:
            yield f"timestamp too old: {stamp} metric: {_quoted(metric)}"
        if stamp > now_ms + limits.max_future_seconds * 1000:
            yield f"timestamp too new: {stamp} metric: {_quoted(metric)}"


def histogram_problems(histogram: types_pb2.Histogram, metric: str, limits: Limits) -> Iterator[str]:
    """Why a native histogram is refused: AMP's quotas. Whether it is one at all, a real Prometheus says."""
    custom = histogram.schema == CUSTOM_BUCKETS
    if not (-4 <= histogram.schema <= 8 or (custom and limits.custom_buckets)):
        yield f"histogram with invalid schema {histogram.schema} metric: {_quoted(metric)}"
    kinds = ("negative_deltas", "negative_counts", "positive_deltas", "positive_counts")
    if sum(len(getattr(histogram, kind)) for kind in kinds) > limits.max_histogram_buckets:
        yield f"histogram with too many buckets (limit: {limits.max_histogram_buckets}) metric: {_quoted(metric)}"
    if histogram.ByteSize() > limits.max_histogram_bytes:
        yield f"histogram too large (limit: {limits.max_histogram_bytes} bytes) metric: {_quoted(metric)}"


def metadata_problems(entry: types_pb2.MetricMetadata, limits: Limits) -> Iterator[str]:
    name = entry.metric_family_name
    if not name:
        yield "metadata missing metric name"
    size = sum(len(text.encode()) for text in (name, _type_name(entry), entry.unit, entry.help))
    if size > limits.max_metadata_bytes:
        yield f"metadata 'HELP' value too long: {_quoted(entry.help[:200])} metric {_quoted(name)}"


def series_text(labels: Labels) -> str:
    """The series as Prometheus prints its labels."""
    return "{" + ", ".join(f"{name}={_quoted(value)}" for name, value in labels) + "}"


def _type_name(entry: types_pb2.MetricMetadata) -> str:
    return types_pb2.MetricMetadata.MetricType.Name(entry.type).lower()


def _quoted(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)


# --- The workspace -------------------------------------------------------------------------------------------------


class Verdict(NamedTuple):
    """What the workspace says of one request; samples are counted, histograms among them, series are not."""

    answer: Answer
    accepted: int
    refused: int
    histograms: int = 0  # of the accepted
    exemplars: int = 0

    def written_headers(self) -> dict[str, str]:
        """What remote write 2.0 makes a receiver say."""
        floats = self.accepted - self.histograms
        counts = {"Samples": floats, "Histograms": self.histograms, "Exemplars": self.exemplars}
        return {f"X-Prometheus-Remote-Write-{kind}-Written": str(count) for kind, count in counts.items()}


class _Sample(NamedTuple):
    labels: Labels
    timestamp_ms: int
    value: Value


class Exemplar(NamedTuple):
    labels: Labels
    timestamp_ms: int
    value: float


@dataclass(slots=True)
class _Batch:
    """One request on its way through the rules."""

    total: int
    exemplars: list[tuple[Labels, Exemplar]] = field(default_factory=list)
    samples: list[_Sample] = field(default_factory=list)
    metadata: list[types_pb2.MetricMetadata] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)


class Workspace:
    """Samples and the rules by which they get in: first those of the distributor, then those of the head block."""

    def __init__(self, owner: str, limits: Limits, keep_valid: bool) -> None:
        self.owner = owner
        self.limits = limits
        self.keep_valid = keep_valid
        self.samples: dict[Labels, list[tuple[int, float]]] = {}
        self.histograms: dict[Labels, list[tuple[int, types_pb2.Histogram]]] = {}
        self.exemplars: dict[Labels, list[Exemplar]] = {}
        self.metadata: dict[str, Metadata] = {}
        self._newest: dict[Labels, tuple[int, Value]] = {}
        self._timestamps: dict[Labels, set[int]] = {}
        self._newest_ms: int | None = None
        self._tokens: float | None = None
        self._filled_at = 0.0

    def push(self, message: remote_pb2.WriteRequest, now: float, version: int = 1) -> Verdict:
        batch = self._distribute(message, now, version)
        throttled = self._throttled(batch, now)
        if throttled:
            return Verdict(throttled, 0, batch.total)
        good = self._ingest(batch)
        if batch.problems and not self.keep_valid:
            return Verdict(self._bad_request(batch), 0, batch.total)
        self._commit(good, batch)
        answer = (
            self._bad_request(batch)
            if batch.problems
            else Answer(200, _AMAZON | {"x-amzn-RequestId": str(uuid.uuid4())})
        )
        histograms = sum(not isinstance(sample.value, float) for sample in good)
        return Verdict(answer, len(good), batch.total - len(good), histograms, len(batch.exemplars))

    def _distribute(self, message: remote_pb2.WriteRequest, now: float, version: int) -> _Batch:
        """A bad label or timestamp costs the whole series entry; the others go on."""
        batch = _Batch(sum(len(series.samples) + len(series.histograms) for series in message.timeseries))
        for series in message.timeseries:
            labels = _labels_of(series)
            problem = next(self._entry_problems(series, labels, round(now * 1000), version), None)
            if problem:
                batch.problems.append(problem)
                continue
            batch.samples += [_Sample(labels, sample.timestamp, sample.value) for sample in series.samples]
            batch.samples += [_Sample(labels, histogram.timestamp, histogram) for histogram in series.histograms]
            for exemplar in series.exemplars:
                found = Exemplar(_labels_of(exemplar), exemplar.timestamp, exemplar.value)
                batch.exemplars.append((labels, found))
        for entry in message.metadata:
            problem = next(metadata_problems(entry, self.limits), None)
            if problem:
                batch.problems.append(problem)
            else:
                batch.metadata.append(entry)
        return batch

    def _entry_problems(self, series: types_pb2.TimeSeries, labels: Labels, now_ms: int, version: int) -> Iterator[str]:
        if series.exemplars and not self.limits.exemplars:
            yield "exemplars are not supported"
        yield from label_problems(labels, self.limits, utf8_names=version == 2)
        metric = _metric(labels)
        if version == 2 and bool(series.samples) == bool(series.histograms):
            yield f"series needs either samples or histograms, metric: {_quoted(metric)}"
        stamps = [*(one.timestamp for one in series.samples), *(one.timestamp for one in series.histograms)]
        yield from timestamp_problems(stamps, metric, now_ms, self.limits)
        for histogram in series.histograms:
            yield from histogram_problems(histogram, metric, self.limits)
            if version == 1 and histogram.schema == CUSTOM_BUCKETS:
                yield f"custom buckets have no place in remote write 1.0, metric: {_quoted(metric)}"

    def _throttled(self, batch: _Batch, now: float) -> Answer | None:
        """The refusal of a request for which there are not enough tokens; else they are taken."""
        rate, count = self.limits.samples_per_second, len(batch.samples)
        if rate is None:
            return None
        left = rate if self._tokens is None else min(rate, self._tokens + (now - self._filled_at) * rate)
        self._filled_at, self._tokens = now, left - count if count <= left else left
        adding = f"{count} samples and {len(batch.metadata)} metadata"
        refusal = _text(429, f"ingestion rate limit ({rate:g}) exceeded while adding {adding}")
        return None if count <= left else refusal

    def _ingest(self, batch: _Batch) -> list[_Sample]:
        """The samples that the head block takes; the reasons against the others go to the batch."""
        good: list[_Sample] = []
        order: dict[Labels, int] = {}
        newest: dict[Labels, tuple[int, Value]] = {}
        fresh, limit = 0, self.limits.max_series
        for sample in batch.samples:
            problem: str | None
            known = newest.get(sample.labels) or self._newest.get(sample.labels)
            if known is None and limit is not None and len(self._timestamps) + fresh >= limit:
                limits = f"(local limit: 0 global limit: {limit} actual local limit: {limit})"
                problem = (
                    f"per-user series limit of {limit} exceeded, please contact administrator to raise it {limits}"
                )
            elif sample.timestamp_ms < order.get(sample.labels, sample.timestamp_ms):
                problem = _ingest_text("out of order sample", sample)
            else:
                problem = self._head_problem(sample, known)
            order[sample.labels] = sample.timestamp_ms
            if problem:
                batch.problems.append(problem)
                continue
            good.append(sample)
            fresh += known is None
            newest[sample.labels] = max(known or sample[1:], sample[1:], key=lambda point: point[0])
        return good

    def _head_problem(self, sample: _Sample, newest: tuple[int, Value] | None) -> str | None:
        """Prometheus's `memSeries.appendable`: in order, equal to the newest, or inside the out-of-order window."""
        head_ms = sample.timestamp_ms if self._newest_ms is None else self._newest_ms
        window_ms = self.limits.out_of_order_seconds * 1000
        if sample.timestamp_ms >= head_ms - HALF_BLOCK_MS:
            if newest is None or sample.timestamp_ms > newest[0]:
                return None
            if sample.timestamp_ms == newest[0]:
                return None if _is_same(sample.value, newest[1]) else _duplicate_text(sample, newest[1])
        if window_ms > 0:
            inside = sample.timestamp_ms >= head_ms - window_ms
            return None if inside else _ingest_text("too old sample", sample)
        out_of_bounds = sample.timestamp_ms < head_ms - HALF_BLOCK_MS
        return _ingest_text("out of bounds" if out_of_bounds else "out of order sample", sample)

    def _commit(self, good: Iterable[_Sample], batch: _Batch) -> None:
        for labels, timestamp_ms, value in good:
            seen = self._timestamps.setdefault(labels, set())
            # A timestamp that is there already keeps its first value, as in the head block.
            if timestamp_ms not in seen:
                seen.add(timestamp_ms)
                if isinstance(value, float):
                    self.samples.setdefault(labels, []).append((timestamp_ms, value))
                else:
                    self.histograms.setdefault(labels, []).append((timestamp_ms, value))
            if labels not in self._newest or timestamp_ms > self._newest[labels][0]:
                self._newest[labels] = (timestamp_ms, value)
            self._newest_ms = timestamp_ms if self._newest_ms is None else max(self._newest_ms, timestamp_ms)
        for labels, exemplar in batch.exemplars:
            self.exemplars.setdefault(labels, []).append(exemplar)
        for entry in batch.metadata:
            self.metadata[entry.metric_family_name] = Metadata(_type_name(entry), entry.help, entry.unit)

    def _bad_request(self, batch: _Batch) -> Answer:
        return _text(400, f"user={self.owner}: err: {batch.problems[0]}")


def _ingest_text(reason: str, sample: _Sample) -> str:
    moment = datetime.fromtimestamp(sample.timestamp_ms // 1000, UTC).strftime("%Y-%m-%dT%H:%M:%S")
    fraction = f".{sample.timestamp_ms % 1000:03d}".rstrip("0").rstrip(".")
    return f"{reason}. timestamp={moment}{fraction}Z, series={series_text(sample.labels)}"


def _labels_of(message: types_pb2.TimeSeries | types_pb2.Exemplar) -> Labels:
    return tuple((label.name, label.value) for label in message.labels)


def _is_same(one: Value, other: Value) -> bool:
    """To the last bit: NaN equals itself, and zero is not minus zero."""
    return _bytes(one) == _bytes(other)


def _bytes(value: Value) -> bytes:
    return struct.pack(">d", value) if isinstance(value, float) else b"histogram" + value.SerializeToString()


def _text_of(value: Value) -> str:
    return repr(value).removesuffix(".0") if isinstance(value, float) else "histogram"


def _duplicate_text(sample: _Sample, existing: Value) -> str:
    values = f"existing {_text_of(existing)}, new value {_text_of(sample.value)}"
    reason = f"duplicate sample for timestamp {sample.timestamp_ms}; overrides not allowed: {values}"
    return _ingest_text(reason, sample)


# --- The control plane ---------------------------------------------------------------------------------------------

WINDOW = "outOfOrderTimeWindowInSeconds"
WIDEST_WINDOW_SECONDS = 600  # the user guide's limit; the API's own model knows the lower one only


class ControlRequest(NamedTuple):
    """One request about the configuration, refused ones included."""

    method: str
    body: Any  # decoded; None when there was no JSON
    status: int


class Configuration:
    """The settings of a workspace. Writes meet the window; the others are only kept, because AMP wants one of them in
    each update. An update ends when it is asked about, so that no clock decides what is seen."""

    def __init__(self, workspace: Workspace) -> None:
        self._workspace = workspace
        self._settings: dict[str, Any] = {
            "retentionPeriodInDays": 150,
            "ruleQueryOffsetInSeconds": 60,
            "limitsPerLabelSet": [],
        }
        self._status = {"statusCode": "ACTIVE"}
        self._update: dict[str, Any] | None = None  # while one is under way
        self._polls_left = 0
        self._fails = False

    def describe(self) -> Answer:
        """DescribeWorkspaceConfiguration; it also moves an update on."""
        if self._update is not None:
            if self._polls_left:
                self._polls_left -= 1
            else:
                self._end_update(self._update)
        window = int(self._workspace.limits.out_of_order_seconds)
        settings = {WINDOW: window, **self._settings}
        return Answer.json({"workspaceConfiguration": {"status": self._status, **settings}})

    def update(self, body: Any, polls: int, fails: bool) -> Answer:
        """UpdateWorkspaceConfiguration: it is under way for the next `polls` descriptions, then there or failed."""
        window = body.get(WINDOW, 0) if isinstance(body, dict) else None
        if type(window) is not int or not 0 <= window <= WIDEST_WINDOW_SECONDS:
            message = f"{WINDOW} must be a whole number from 0 to {WIDEST_WINDOW_SECONDS}"
            return _service_error("ValidationException", 400, message, reason="FIELD_VALIDATION_FAILED")
        if self._update is not None:
            return _workspace_error("ConflictException", 409, "The configuration is being updated", WORKSPACE)
        self._update, self._polls_left, self._fails = dict(body), polls, fails
        self._status = {"statusCode": "UPDATING"}
        return Answer.json({"status": self._status}, 202)

    def _end_update(self, update: dict[str, Any]) -> None:
        self._update = None
        if self._fails:
            self._status = {"statusCode": "UPDATE_FAILED", "statusReason": "Internal error. Try again later."}
            return
        limits = self._workspace.limits
        window = update.get(WINDOW, limits.out_of_order_seconds)
        self._workspace.limits = replace(limits, out_of_order_seconds=window)
        self._settings |= {name: value for name, value in update.items() if name in self._settings}
        self._status = {"statusCode": "ACTIVE"}


def _service_error(kind: str, status: int, message: str, **members: Any) -> Answer:
    return Answer.json({"message": message, **members}, status, {"x-amzn-ErrorType": kind})


def _workspace_error(kind: str, status: int, message: str, workspace: str) -> Answer:
    return _service_error(kind, status, message, resourceId=workspace, resourceType="AWS::APS::Workspace")


def _json(body: bytes) -> Any:
    try:
        return json.loads(body)
    except ValueError:
        return None


# --- Other servers -------------------------------------------------------------------------------------------------


def _pass_on(url: str, method: str, body: bytes, headers: dict[str, str]) -> Answer:
    """The answer of another server; 502 when there is none."""
    try:
        answer = ask(method, url, data=body or None, headers=headers, timeout=30)
    except requests.RequestException as error:
        return _text(502, f"{type(error).__name__}: {error}")
    content_type = answer.headers.get("Content-Type", "text/plain")
    return Answer(answer.status_code, {"Content-Type": content_type}, answer.content)


# --- The receiver --------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Received(Request):
    """One remote write request as it came and what became of it."""

    message: remote_pb2.WriteRequest | None = None  # None when it was refused before it was decoded, or cannot be
    answer: Answer = field(default_factory=Answer)
    accepted: int = 0
    refused: int = 0
    forward_status: int | None = None
    message_2: types_2_pb2.Request | None = None  # as it came, when it was of version 2

    @classmethod
    def of(cls, request: Request, answer: Answer, **outcome: Any) -> Received:
        return cls(**{one.name: getattr(request, one.name) for one in fields(Request)}, answer=answer, **outcome)

    @property
    def request(self) -> Request:
        return self

    @property
    def status(self) -> int | None:
        """The status that was sent; None when no HTTP answer was."""
        return None if self.fault and (self.fault.silent or self.fault.raw is not None) else self.answer.status

    @property
    def sample_count(self) -> int:
        entries = self.message.timeseries if self.message else ()
        return sum(len(series.samples) + len(series.histograms) for series in entries)


class Receiver(StandIn):
    """One workspace behind a socket, its control plane included; a context manager.

    `auth` is checked on every request, None switches it off. `keep_valid` chooses between Cortex (the valid rest
    of a request is kept) and Prometheus (all or nothing). Queries go to `prometheus_url`; what was accepted whole is
    also written to `forward_url`. `version_2` says what becomes of requests of remote write 2.0. Scripted faults meet
    write requests only.

    An update of the configuration is under way for `configuration_delay` descriptions, then it is in force, or has
    failed when `configuration_fails`. `denied` are the actions that IAM refuses. All three may be assigned at any time.
    """

    def __init__(
        self,
        *,
        auth: SigV4 | Authorization | None = SigV4(),
        limits: Limits = Limits(),
        keep_valid: bool = True,
        now: Clock = time.time,
        prometheus_url: str | None = None,
        forward_url: str | None = None,
        on_request: Callable[[Received], None] | None = None,
        version_2: Version2 = "taken",
        configuration_delay: int = 0,
        configuration_fails: bool = False,
        denied: frozenset[str] = frozenset(),
    ) -> None:
        self.auth = auth
        self.configuration_delay = configuration_delay
        self.configuration_fails = configuration_fails
        self.denied = denied
        self.version_2: Version2 = version_2
        self.prometheus_url = prometheus_url
        self.forward_url = forward_url
        self._now = now
        self._on_request = on_request
        self._lock = threading.Lock()
        self._store = Workspace(f"{ACCOUNT}_{WORKSPACE}", limits, keep_valid)
        self._configuration = Configuration(self._store)
        self._requests: list[Received] = []
        self._control_requests: list[ControlRequest] = []
        self._faults = FaultScript()
        self._server = LoopbackServer(self._respond, plan=self._plan, now=now)

    @property
    def base_url(self) -> str:
        """The workspace; `/api/v1/...` comes after it."""
        return f"{self._server.base_url}/workspaces/{WORKSPACE}"

    @property
    def url(self) -> str:
        """Where remote write requests go."""
        return f"{self.base_url}/api/v1/remote_write"

    @property
    def limits(self) -> Limits:
        return self._store.limits

    @limits.setter
    def limits(self, limits: Limits) -> None:
        with self._lock:
            self._store.limits = limits

    @property
    def samples(self) -> dict[Labels, list[tuple[int, float]]]:
        """A copy of all samples per series, (timestamp_ms, value) in the order of arrival."""
        return self._copied(self._store.samples)

    @property
    def histograms(self) -> dict[Labels, list[tuple[int, types_pb2.Histogram]]]:
        """A copy of all native histograms per series, (timestamp_ms, histogram) in the order of arrival."""
        return self._copied(self._store.histograms)

    @property
    def exemplars(self) -> dict[Labels, list[Exemplar]]:
        return self._copied(self._store.exemplars)

    def _copied(self, kept: dict[Labels, list[_Kept]]) -> dict[Labels, list[_Kept]]:
        with self._lock:
            return {labels: list(found) for labels, found in kept.items()}

    @property
    def metadata(self) -> dict[str, Metadata]:
        with self._lock:
            return dict(self._store.metadata)

    @property
    def requests(self) -> list[Received]:
        """A copy of the records of all write requests, in the order of their answers."""
        with self._lock:
            return list(self._requests)

    @property
    def control_requests(self) -> list[ControlRequest]:
        """A copy of the records of all requests about the configuration, in the order of their answers."""
        with self._lock:
            return list(self._control_requests)

    @property
    def accepted(self) -> int:
        """Samples answered as good so far; silently merged repetitions count again."""
        return sum(record.accepted for record in self.requests)

    @property
    def refused(self) -> int:
        """Samples refused by a rule so far."""
        return sum(record.refused for record in self.requests)

    def series(self, name: str, /, **labels: str) -> dict[Labels, list[tuple[int, float]]]:
        """The samples of every series with this name and these labels; "" is a label that is absent, as in PromQL."""
        wanted = {"__name__": name, **labels}.items()
        return {
            found: points
            for found, points in self.samples.items()
            if all(dict(found).get(label, "") == value for label, value in wanted)
        }

    def _plan(self, method: str, path: str) -> Fault | None:
        return self._faults.next() if path.endswith("/remote_write") else None

    def _respond(self, request: Request) -> Answer:
        kind = request.path.rpartition("/")[2]
        if kind == CONFIGURATION:
            return self._control(request)
        if kind != "remote_write":
            return self._refusal(request) or self._query(request, kind)
        record = self._write(request)
        with self._lock:
            self._requests.append(record)
        if self._on_request:
            self._on_request(record)
        return record.answer

    def _refusal(self, request: Request) -> Answer | None:
        """Why a request is refused, checked in the order of AWS's front end: first the caller, then the address."""
        refusal = self.auth.refusal(request, self._now()) if self.auth else None
        if refusal:
            return refusal
        route = ROUTE.fullmatch(request.path)
        if route is None or route[2] not in ACTIONS:
            return Answer.json({"message": "Unknown operation"}, 404)
        workspace, target = route.groups()
        action = ACTIONS[target].get(request.method)
        if action in self.denied:
            return self._denial(action, workspace, "message" if target == CONFIGURATION else "Message")
        if workspace != WORKSPACE:
            text = "Workspace not found"
            if target == CONFIGURATION:
                return _workspace_error("ResourceNotFoundException", 404, text, workspace)
            return Answer.json({"Message": text}, 404)
        return Answer.json({"message": "Method Not Allowed"}, 405) if action is None else None

    def _denial(self, action: str, workspace: str, key: str) -> Answer:
        """What IAM says; the data plane spells the key of its message with a capital."""
        region = self.auth.region if isinstance(self.auth, SigV4) else SigV4().region
        user = f"arn:aws:sts::{ACCOUNT}:assumed-role/sandbox/sandbox"
        resource = f"arn:aws:aps:{region}:{ACCOUNT}:workspace/{workspace}"
        message = (
            f"User: {user} is not authorized to perform: {action} on resource: {resource}"
            f" because no identity-based policy allows the {action} action"
        )
        return Answer.json({key: message}, 403, {"x-amzn-ErrorType": "AccessDeniedException"})

    def _control(self, request: Request) -> Answer:
        refusal, body, configuration = self._refusal(request), _json(request.body), self._configuration
        with self._lock:
            if refusal:
                answer = refusal
            elif request.method == "GET":
                answer = configuration.describe()
            else:
                answer = configuration.update(body, self.configuration_delay, self.configuration_fails)
            self._control_requests.append(ControlRequest(request.method, body, answer.status))
        return answer

    def _write(self, request: Request) -> Received:
        if request.fault and not request.fault.handled:
            return self._unhandled(request, request.fault)
        refusal = self._refusal(request)
        if refusal:
            return Received.of(request, refusal)
        try:
            version = check_headers(request, self.version_2)
            message, message_2 = self._decode(request.body, version)
        except RefusedError as refused:
            return Received.of(request, refused.answer)
        with self._lock:
            verdict = self._store.push(message, self._now(), version)
        answer = verdict.answer
        if version == 2 and self.version_2 == "taken":
            answer = replace(answer, headers={**answer.headers, **verdict.written_headers()})
        forwarded = self._forward(request) if self.forward_url and answer.status == 200 else None
        counts = {"accepted": verdict.accepted, "refused": verdict.refused, "forward_status": forwarded}
        return Received.of(request, answer, message=message, message_2=message_2, **counts)

    def _unhandled(self, request: Request, fault: Fault) -> Received:
        """A request that a fault kept from the workspace; tests want to see what it would have brought."""
        message = message_2 = None
        try:
            if request.body:
                version = 2 if request.headers.get("X-Prometheus-Remote-Write-Version") == "2.0.0" else 1
                message, message_2 = self._decode(request.body, version)
        except RefusedError:
            pass
        return Received.of(request, fault.instead or Answer(), message=message, message_2=message_2)

    def _decode(self, body: bytes, version: int) -> tuple[remote_pb2.WriteRequest, types_2_pb2.Request | None]:
        if version == 1:
            return decode(body, self.limits.max_body_bytes), None
        if self.version_2 == "ignored":  # all its fields are unknown to a receiver of 1.0, which reads nothing
            return remote_pb2.WriteRequest(), None
        message = decode_2(body, self.limits.max_body_bytes)
        return as_version_1(message), message

    def _query(self, request: Request, kind: str) -> Answer:
        if self.prometheus_url:
            query = f"?{request.query}" if request.query else ""
            form = {"Content-Type": request.headers.get("Content-Type", "application/x-www-form-urlencoded")}
            url = f"{self.prometheus_url.rstrip('/')}/api/v1/{kind}{query}"
            return _pass_on(url, request.method, request.body, form)
        text = "this receiver has no Prometheus that answers queries"
        return Answer.json({"status": "error", "errorType": "execution", "error": text}, 422)

    def _forward(self, request: Request) -> int:
        names = ("Content-Type", "Content-Encoding", "X-Prometheus-Remote-Write-Version")
        headers = {name: request.headers[name] for name in names} | {"User-Agent": "sandbox"}
        return _pass_on(self.forward_url or "", "POST", request.body, headers).status
