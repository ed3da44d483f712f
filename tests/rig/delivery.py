"""One endpoint wired as in a push, with a clock that a test moves; what it sends crosses a real loopback socket."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from lambda_remote_write.aws.s3 import S3
from lambda_remote_write.config.load import parse_config
from lambda_remote_write.config.schema import RemoteWriteConfig
from lambda_remote_write.dependencies import Dependencies
from lambda_remote_write.http import Answer, HttpRequest, Transport
from lambda_remote_write.http.types import ConnectionOptions
from lambda_remote_write.model.delivery import Delivery, PendingRequest, WriteRequest
from lambda_remote_write.model.samples import Metadata, Samples
from lambda_remote_write.remote_write import batches, request_size
from lambda_remote_write.remote_write import send as sending
from lambda_remote_write.remote_write.batches import MetadataRequests
from lambda_remote_write.remote_write.endpoint import EndpointState
from lambda_remote_write.remote_write.queue import SendQueue
from lambda_remote_write.scrape.schedule import wall_clock_ms
from lambda_remote_write.series.cache import SeriesCache
from sandbox import amp
from tests.rig import made

KEYS = amp.SigV4()
ENVIRONMENT = {"AWS_ACCESS_KEY_ID": KEYS.access_key, "AWS_SECRET_ACCESS_KEY": KEYS.secret_key}
QUICK = {"min_backoff": "10ms", "max_samples_per_send": "2"}


class Clock:
    """The wall and the monotonic clock. Sleeping moves both at once and is remembered; with `stands` nothing else moves
    them, so that a slow machine uses up none of a deadline."""

    def __init__(self, *, really_sleeps: bool = False, stands: bool = False) -> None:
        self.ahead = 0.0
        self.slept: list[float] = []
        self._really_sleeps = really_sleeps
        self._time, self._monotonic = time.time, time.monotonic
        if stands:
            now, monotonic_now = time.time(), time.monotonic()
            self._time, self._monotonic = (lambda: now), (lambda: monotonic_now)

    def time(self) -> float:
        return self._time() + self.ahead

    def now_ms(self) -> int:
        return int(self.time() * 1000)

    def monotonic(self) -> float:
        return self._monotonic() + self.ahead

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        if self._really_sleeps:
            time.sleep(seconds)
        else:
            self.ahead += seconds


def objects_at(url: str, keys: amp.SigV4 = KEYS, now_ms: Callable[[], int] = wall_clock_ms) -> S3:
    """S3 at an address of the loopback."""
    env_vars = {
        "AWS_ENDPOINT_URL_S3": url, "AWS_REGION": keys.region, "AWS_ACCESS_KEY_ID": keys.access_key,
        "AWS_SECRET_ACCESS_KEY": keys.secret_key, "AWS_SESSION_TOKEN": keys.token or "",
    }  # fmt: skip
    return Dependencies(env_vars, now_ms, no_session).objects


class HastyOnce(Transport):
    """Gives the first exchange up after 300 ms, when the receiver has its request; later ones have all their time, so
    that on a slow machine no other one times out."""

    def __init__(self, receiver: amp.Receiver) -> None:
        super().__init__()
        self._receiver, self._is_first = receiver, True

    def send(
        self, request: HttpRequest, options: ConnectionOptions, timeout_seconds: float, *, is_source: bool = False
    ) -> Answer:
        is_first, self._is_first = self._is_first, False
        if not is_first:
            while not self._receiver.requests:
                time.sleep(0.01)
        return super().send(request, options, 0.3 if is_first else timeout_seconds, is_source=is_source)


def no_session(profile: str, region: str) -> Any:
    raise AssertionError("nothing here needs a boto3 session")


def endpoint_of(url: str, env_vars: Mapping[str, str] = ENVIRONMENT, **keys: Any) -> RemoteWriteConfig:
    """A `remote_write` entry as the config reads it; signed for the sandbox unless it says otherwise."""
    entry = {"url": url, "sigv4": {"region": KEYS.region}, "queue_config": QUICK, **keys}
    entry = {key: value for key, value in entry.items() if value is not None}
    text = json.dumps({"json_configs": [], "remote_write": [entry]})
    (endpoint,) = parse_config(text, "config.yaml", env_vars).endpoints
    return endpoint


@dataclass
class Rig:
    """What a run has of one endpoint."""

    endpoint: EndpointState
    dependencies: Dependencies
    clock: Clock
    series: SeriesCache

    def deliver(
        self, points: Sequence[made.Point], seconds: float = 60.0, metadata: Sequence[Metadata] = ()
    ) -> Delivery:
        """Delivers within so many seconds; the counts must balance."""
        return self.send(made.samples_of(points, self.series), seconds, metadata)

    def send(self, samples: Samples, seconds: float = 60.0, metadata: Sequence[Metadata] = ()) -> Delivery:
        delivery, now_ms = Delivery("test", collected=len(samples)), self.clock.now_ms()
        requests = request_size.pack(samples, batches.protocol_of(self.endpoint, metadata), now_ms, delivery.dropped)
        options = sending.SendOptions(self.clock.now_ms, self.clock.monotonic, self.clock.sleep)
        deadline = self.clock.monotonic() + seconds
        left = self._sent(requests, delivery, options, deadline)
        if not left:
            metadata_requests = MetadataRequests(self.endpoint, metadata, self.clock.now_ms())
            left = self._sent(metadata_requests.requests(Samples(), (), delivery), delivery, options, deadline)
            metadata_requests.remember(delivery)
        delivery.record_undelivered(left)
        assert delivery.balances
        return delivery

    def _sent(
        self, requests: Sequence[WriteRequest], delivery: Delivery, options: sending.SendOptions, deadline: float
    ) -> list[PendingRequest]:
        """What is left of the requests."""
        send_queue = SendQueue(requests, delivery)
        sending.deliver(self.endpoint, send_queue, options, deadline)
        return send_queue.close()

    def points(self, times: int = 3, step_ms: int = 1000, age_ms: int = 10_000) -> list[made.Point]:
        """Two series at so many times, oldest first: with QUICK, one request for each time."""
        start_ms = self.clock.now_ms() - age_ms
        return [
            ({"__name__": "m", "series": name}, float(index + 1), start_ms + index * step_ms)
            for index in range(times)
            for name in "ab"
        ]


@contextmanager
def rig(
    url: str,
    *,
    clock: Clock | None = None,
    env_vars: Mapping[str, str] = ENVIRONMENT,
    session: Callable[[str, str], Any] = no_session,
    transport: Transport | None = None,
    **keys: Any,
) -> Iterator[Rig]:
    clock = clock or Clock()
    dependencies = Dependencies(env_vars, clock.now_ms, session, clock.sleep)
    dependencies.transport = transport or dependencies.transport
    config = endpoint_of(url, env_vars, **keys)
    series = made.cache()
    endpoint = EndpointState(config, dependencies.client(config), series, None, request_size.underscored)
    try:
        yield Rig(endpoint, dependencies, clock, series)
    finally:
        dependencies.transport.close()


def in_order(receiver: amp.Receiver) -> bool:
    """Every series arrived oldest first."""
    return all(
        [stamp for stamp, _ in points] == sorted(stamp for stamp, _ in points) for points in receiver.samples.values()
    )


def accounting(delivery: Delivery) -> tuple[int, dict[str, int], dict[str, int], dict[str, int]]:
    return (
        delivery.accepted,
        dict(delivery.rejected.counts),
        dict(delivery.dropped.counts),
        dict(delivery.undelivered.counts),
    )


def unlike(count: int, clock: Clock) -> list[made.Point]:
    """Series of 3 kB each that share no text."""
    text = made.noise(3000 * count)
    return [
        ({"__name__": "m", "n": str(n), "p": text[3000 * n : 3000 * (n + 1)]}, float(n), clock.now_ms())
        for n in range(count)
    ]
