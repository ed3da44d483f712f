"""A sender that shares no code with ours: messages by the protobuf stubs, bodies by cramjam, signatures by botocore."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from typing import Any

import cramjam
import requests
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

from lambda_remote_write.remote_write.encode.generated import remote_pb2, types_pb2
from sandbox.amp import Receiver, SigV4
from sandbox.process import ask

HEADERS = {
    "Content-Type": "application/x-protobuf",
    "Content-Encoding": "snappy",
    "X-Prometheus-Remote-Write-Version": "0.1.0",
    "User-Agent": "test",
}
HEADERS_2 = HEADERS | {
    "Content-Type": "application/x-protobuf;proto=io.prometheus.write.v2.Request",
    "X-Prometheus-Remote-Write-Version": "2.0.0",
}
KEYS = SigV4(token="session-token")
NOW_MS = int(time.time() * 1000)
UP = {"__name__": "up", "job": "node"}


def series(
    labels: Mapping[str, str] | Iterable[tuple[str, str]], *points: tuple[int, float], **more: Any
) -> types_pb2.TimeSeries:
    """Points as (milliseconds from now, value)."""
    return series_at(labels, [(NOW_MS + offset, value) for offset, value in points], **more)


def series_at(
    labels: Mapping[str, str] | Iterable[tuple[str, str]], points: Iterable[tuple[int, float]], **more: Any
) -> types_pb2.TimeSeries:
    """Labels in the order given; points as (milliseconds since the epoch, value); `more` are other fields."""
    pairs = labels.items() if isinstance(labels, Mapping) else labels
    return types_pb2.TimeSeries(
        labels=[types_pb2.Label(name=name, value=value) for name, value in pairs],
        samples=[types_pb2.Sample(timestamp=at_ms, value=value) for at_ms, value in points],
        **more,
    )


def packed(message: Any) -> bytes:
    return bytes(cramjam.snappy.compress_raw(message.SerializeToString()))


def body(*entries: types_pb2.TimeSeries, metadata: list[types_pb2.MetricMetadata] | None = None) -> bytes:
    return packed(remote_pb2.WriteRequest(timeseries=entries, metadata=metadata))


def signed(
    url: str, data: bytes, keys: SigV4 = KEYS, headers: Mapping[str, str] | None = None, method: str = "POST"
) -> dict[str, str]:
    """The headers that botocore sends for this request."""
    request = AWSRequest(method, url, headers={**HEADERS, **(headers or {})}, data=data)
    SigV4Auth(Credentials(keys.access_key, keys.secret_key, keys.token), keys.service, keys.region).add_auth(request)
    return dict(request.headers.items())


def write(amp: Receiver, http: requests.Session, *entries: types_pb2.TimeSeries, **more: Any) -> requests.Response:
    """Signed where the receiver wants it."""
    data = body(*entries, **more)
    headers = signed(amp.url, data, amp.auth) if isinstance(amp.auth, SigV4) else HEADERS
    return http.post(amp.url, data, headers=headers, timeout=5)


def write_to(url: str, *entries: types_pb2.TimeSeries) -> None:
    """To a receiver that wants no signature, and must accept it."""
    answer = ask("POST", url, data=body(*entries), headers=HEADERS, timeout=30)
    assert answer.ok, answer.text
