"""One endpoint wired as in a push, with a clock that a test moves; what it sends crosses a real loopback socket."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from pusher import batch, shipment
from pusher.config.load import parse_config
from pusher.config.schema import Endpoint
from pusher.delivery import deliver
from pusher.delivery.outbox import Outbox
from pusher.model import Delivery, Kept, Metadata, Samples, WriteRequest
from pusher.trailer import Trailer
from pusher.warm import Outside, Remote
from pusher.wire import packing
from pusher.wire.series import SeriesCache
from sandbox import amp
from tests.wire import made

KEYS = amp.SigV4()
ENVIRONMENT = {"AWS_ACCESS_KEY_ID": KEYS.access_key, "AWS_SECRET_ACCESS_KEY": KEYS.secret_key}
QUICK = {"min_backoff": "10ms", "max_samples_per_send": "2"}


class Clock:
    """The wall and the monotonic clock. Sleeping moves both at once and is remembered."""

    def __init__(self, *, really_sleeps: bool = False) -> None:
        self.ahead = 0.0
        self.slept: list[float] = []
        self._really_sleeps = really_sleeps

    def time(self) -> float:
        return time.time() + self.ahead

    def now_ms(self) -> int:
        return int(self.time() * 1000)

    def monotonic(self) -> float:
        return time.monotonic() + self.ahead

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        if self._really_sleeps:
            time.sleep(seconds)
        else:
            self.ahead += seconds


def no_session(profile: str, region: str) -> Any:
    raise AssertionError("nothing here needs a boto3 session")


def endpoint_of(url: str, environment: Mapping[str, str] = ENVIRONMENT, **keys: Any) -> Endpoint:
    """A `remote_write` entry as the config reads it; signed for the sandbox unless it says otherwise."""
    entry = {"url": url, "sigv4": {"region": KEYS.region}, "queue_config": QUICK, **keys}
    entry = {key: value for key, value in entry.items() if value is not None}
    text = json.dumps({"json_configs": [], "remote_write": [entry]})
    (endpoint,) = parse_config(text, "config.yaml", environment).endpoints
    return endpoint


@dataclass
class Rig:
    """What a run has of one endpoint."""

    remote: Remote
    outside: Outside
    clock: Clock
    series: SeriesCache

    def deliver(
        self, points: Sequence[made.Point], seconds: float = 60.0, metadata: Sequence[Metadata] = ()
    ) -> Delivery:
        """Delivers within so many seconds; the books must balance."""
        return self.send(made.samples_of(points, self.series), seconds, metadata)

    def send(self, samples: Samples, seconds: float = 60.0, metadata: Sequence[Metadata] = ()) -> Delivery:
        delivery, now_ms = Delivery("test", collected=len(samples)), self.clock.now_ms()
        requests = packing.pack(samples, batch.protocol_of(self.remote, metadata), now_ms, delivery.dropped)
        edges = deliver.Edges(self.remote.poster, self.clock.now_ms, self.clock.monotonic, self.clock.sleep)
        deadline = self.clock.monotonic() + seconds
        left = self._settled(requests, delivery, edges, deadline)
        if not left:
            trailer = Trailer(self.remote, metadata, self.clock.now_ms())
            left = self._settled(trailer.requests(Samples(), (), delivery), delivery, edges, deadline)
            trailer.remember(delivery)
        shipment.book_undelivered(delivery, left)
        assert delivery.balances
        return delivery

    def _settled(
        self, requests: Sequence[WriteRequest], books: Delivery, edges: deliver.Edges, deadline: float
    ) -> list[Kept]:
        """What is left of the requests."""
        outbox = Outbox(requests, books)
        deliver.deliver(self.remote.endpoint, outbox, edges, deadline)
        return outbox.close()

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
    environment: Mapping[str, str] = ENVIRONMENT,
    session: Callable[[str, str], Any] = no_session,
    **keys: Any,
) -> Iterator[Rig]:
    clock = clock or Clock()
    outside = Outside(environment, clock.now_ms, session, clock.sleep)
    endpoint = endpoint_of(url, environment, **keys)
    series = made.cache()
    remote = Remote(endpoint, outside, series, None, packing.underscored)
    try:
        yield Rig(remote, outside, clock, series)
    finally:
        outside.transport.close()


def in_order(receiver: amp.Receiver) -> bool:
    """Every series arrived oldest first."""
    return all(
        [stamp for stamp, _ in points] == sorted(stamp for stamp, _ in points) for points in receiver.samples.values()
    )
