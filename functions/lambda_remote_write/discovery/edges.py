"""The outside world of discovery, injected: HTTP, objects in S3, clients of AWS, DNS, the clock."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

from ..config.sd_configs import AwsSd
from ..http.fetch import Fetcher


class Objects(Protocol):
    """Objects in S3. What cannot be read is an OSError that says why, what is not there a FileNotFoundError."""

    def get(self, bucket: str, key: str, deadline: float) -> bytes: ...

    def list(self, bucket: str, prefix: str, deadline: float) -> list[str]: ...


@dataclass(frozen=True, slots=True)
class Edges:
    """`client(service, config)` makes (or keeps) a boto3 client with the config's credentials, `resolver()` a
    dnspython resolver; `now` is the monotonic clock in seconds. All of them are called from several threads."""

    fetcher: Fetcher
    objects: Objects
    client: Callable[[str, AwsSd], Any]
    resolver: Callable[[], Any]
    now: Callable[[], float]
