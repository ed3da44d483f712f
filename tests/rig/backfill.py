"""What tests of the backfill stand on: a clock that stands still, an API, a receiver that takes samples of any age and
one that is AMP, all on loopback sockets."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from lambda_remote_write.backfill import invoke
from lambda_remote_write.config.load import parse_config
from lambda_remote_write.dependencies import Dependencies
from lambda_remote_write.store import DirectoryStore
from sandbox.amp import Limits, Receiver, SigV4
from sandbox.api import Api
from sandbox.s3 import KEYS, ObjectStore
from sandbox.server import Answer
from tests.rig.clock import StandingClock
from tests.rig.json_source import example

NOW_MS = 1_760_000_400_000  # 2025-10-09T09:00:00Z
SECOND, MINUTE, HOUR, DAY = 1_000, 60_000, 3_600_000, 86_400_000
ANY_AGE = Limits(
    max_age_seconds=1e11, out_of_order_seconds=1e11, exemplars=True, max_body_bytes=1 << 30, custom_buckets=True
)
TO_AMP = {"region": "us-east-1", "access_key": SigV4().access_key, "secret_key": SigV4().secret_key}
NAME = "__name__"

Points = dict[str, list[tuple[int, float]]]


@dataclass(slots=True)
class Rig:
    """One receiver for samples of any age, an API beside it, and a folder for files."""

    folder: Path
    clock: StandingClock
    api: Api
    receiver: Receiver
    dependencies: Dependencies
    is_amp: bool
    told: list[Any] = field(default_factory=list)

    def metric(self, name: str = "requests", **keys: Any) -> dict[str, Any]:
        """A metric of records as `{"at": 1760000000, "host": "a", "value": 1}`."""
        timestamp = {"path": "at", "format": "unix"}
        return {"name": name, "value": "value", "labels": {"host": "host"}, "timestamp": timestamp, **keys}

    def job(self, *metrics: Mapping[str, Any], **keys: Any) -> dict[str, Any]:
        """An entry of json_configs; None leaves a key out."""
        found = {"job_name": "j", "url": f"{self.api.url}/doc", "metrics": list(metrics) or [self.metric()], **keys}
        return {key: value for key, value in found.items() if value is not None}

    def text(self, *jobs: Mapping[str, Any], endpoint: Mapping[str, Any] = {}, **top: Any) -> str:
        """A configuration, as JSON, which YAML reads."""
        entry: dict[str, Any] = {"url": self.receiver.url, "name": "here", "remote_timeout": "20s"}
        entry["queue_config"] = {"min_backoff": "5ms", "max_backoff": "20ms"}
        entry |= {"sigv4": TO_AMP} if self.is_amp else {"max_age": "10y"}
        config = {"json_configs": list(jobs), "remote_write": [entry | dict(endpoint)], "self_metrics": False, **top}
        return json.dumps(config)

    def backfill(
        self,
        event: Mapping[str, Any],
        *jobs: Mapping[str, Any],
        tell: Callable[[Any], None] | None = None,
        is_local: bool = True,
        seconds: float = 120.0,
        **top: Any,
    ) -> dict[str, Any]:
        """One backfill with these jobs; its counts must balance. Raises BadRequest."""
        config = parse_config(self.text(*jobs, **top), "pusher.yaml", {})
        store = DirectoryStore(self.folder / "state")
        host = invoke.Host(self.dependencies, store, is_local=is_local, tell=tell or self.told.append)
        answer = invoke.backfill(dict(event), config, host, time.monotonic() + seconds)
        json.dumps(answer)  # a Lambda answers in JSON
        assert_balances(answer)
        return answer

    def file(self, name: str, content: str | bytes) -> str:
        """A file in the folder; gives its path."""
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        return str(path)

    def serve(self, document: Any, path: str = "/doc") -> None:
        self.api.serve(path, Answer.json(document))

    @property
    def stored(self) -> Points:
        return stored(self.receiver)

    @property
    def held(self) -> Points:
        """What the receiver has, without the labels of the job."""
        return stored(self.receiver, "job", "instance")


def stored(receiver: Receiver, *without: str) -> Points:
    """What a receiver holds, by the series as text, oldest first; labels `without` are left out."""
    found: Points = {}
    for labels, points in receiver.samples.items():
        kept = [(name, value) for name, value in labels if name not in without]
        found.setdefault(series_text(dict(kept)), []).extend(points)
    return {text: sorted(points) for text, points in sorted(found.items())}


def series_text(labels: Mapping[str, str]) -> str:
    """`name{label="value"}`, labels by name."""
    rest = {name: value for name, value in sorted(labels.items()) if name != NAME}
    shown = ",".join(f"{name}={json.dumps(value, ensure_ascii=False)}" for name, value in rest.items())
    return labels.get(NAME, "") + (f"{{{shown}}}" if shown else "")


def assert_balances(answer: Mapping[str, Any]) -> None:
    """Of every endpoint each collected sample has one fate."""
    for one in answer["endpoints"]:
        lost = sum(entry["count"] for fate in ("rejected", "dropped") for entry in one[fate].values())
        assert one["collected"] == one["accepted"] + lost, one
    wanted = {"action", "job", "done", "windows", "parts", "empty", "records", "samples", "skipped", "endpoints"}
    assert wanted | {"preflight", "notes", "warnings", "stopped"} <= set(answer)
    assert answer["action"] == "backfill"
    assert ("resume" in answer) == (not answer["done"]), answer


def counts(reasons: Mapping[str, Any]) -> dict[str, int]:
    """Reason -> count, of a tally in an answer."""
    return {reason: entry["count"] for reason, entry in reasons.items()}


def assert_says(text: str, *words: str) -> None:
    """A message has these words, in whatever case."""
    missing = [word for word in words if word.lower() not in text.lower()]
    assert not missing, f"{missing} in {text!r}"


def everything(answer: Mapping[str, Any]) -> str:
    """All that an answer says in words."""
    firsts = [example(entry) for entry in answer["skipped"].values()]
    return "\n".join([answer["stopped"], *answer["notes"], *answer["warnings"], *map(str, firsts)])


@contextmanager
def made(
    folder: Path, *, amp: bool = False, limits: Limits | None = None, env_vars: Mapping[str, str] | None = None
) -> Iterator[Rig]:
    """A rig whose receiver takes samples of any age, or is AMP with its documented limits."""
    clock = StandingClock(NOW_MS)
    with (
        Api(now=clock.time) as api,
        Receiver(
            auth=SigV4() if amp else None, limits=limits or (Limits() if amp else ANY_AGE), now=clock.time
        ) as receiver,
    ):
        dependencies = Dependencies(dict(env_vars or {}), now_ms=clock.now_ms)
        try:
            yield Rig(folder, clock, api, receiver, dependencies, amp)
        finally:
            dependencies.transport.close()


@contextmanager
def made_with_bucket(folder: Path, **keys: Any) -> Iterator[tuple[Rig, ObjectStore]]:
    """A rig with a bucket `spool` in reach."""
    with ObjectStore(auth=None) as bucket:
        env_vars = {
            "AWS_ENDPOINT_URL_S3": bucket.base_url,
            "AWS_REGION": "us-east-1",
            "AWS_ACCESS_KEY_ID": KEYS.access_key,
            "AWS_SECRET_ACCESS_KEY": KEYS.secret_key,
        }
        with made(folder, env_vars=env_vars, **keys) as rig:
            yield rig, bucket


def records(count: int, *, start_ms: int, step_ms: int = MINUTE, hosts: Sequence[str] = ("a",)) -> list[dict[str, Any]]:
    """Records in the order of their times, for each host one at a time."""
    return [
        {"at": (start_ms + index * step_ms) // 1000, "host": host, "value": index + 0.5 * number}
        for index in range(count)
        for number, host in enumerate(hosts)
    ]
