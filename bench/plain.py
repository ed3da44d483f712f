"""The yardstick: a function as a competent engineer writes it in an hour, from json, protobuf, snappy and boto3.

One job, one metric, no retries, no accounting. Clients and credentials are kept between invocations, as AWS advises.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

import boto3
import requests
import snappy
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest

from bench.place import BATCH, JOB, METRIC, Place, Push
from lambda_remote_write.remote_write.encode.generated.remote_pb2 import WriteRequest

HEADERS = {
    "Content-Encoding": "snappy",
    "Content-Type": "application/x-protobuf",
    "X-Prometheus-Remote-Write-Version": "0.1.0",
    "User-Agent": "plain-script/1.0",
}

Labels = list[tuple[str, str]]
Sample = tuple[Labels, float, int]


class Script:
    """What is kept between invocations: the connections, and who signs."""

    def __init__(self) -> None:
        self.api_url, self.write_url = os.environ["API_URL"], os.environ["REMOTE_WRITE_URL"]
        self.instance = urlsplit(self.api_url).netloc
        self.http = requests.Session()
        credentials = boto3.Session().get_credentials()
        assert credentials is not None
        self.credentials = credentials

    def run(self) -> int:
        """Fetches, converts and sends; returns how many samples were sent."""
        answer = self.http.get(self.api_url, timeout=10)
        answer.raise_for_status()
        samples = list(self.samples(json.loads(answer.content)))
        for start in range(0, len(samples), BATCH):
            self.send(snappy.compress(encoded(samples[start : start + BATCH])))
        return len(samples)

    def samples(self, records: list[dict[str, Any]]) -> Iterator[Sample]:
        """Every record as a sample, and `up`. The labels are written in the order that remote write wants."""
        target = [("instance", self.instance), ("job", JOB)]
        named = [("__name__", METRIC), *target]
        for record in records:
            labels = [*named, ("projectCode", record["projectCode"])]
            yield labels, record["apiRequestCount"], record["currentTime"] * 1000
        yield [("__name__", "up"), *target], 1.0, int(time.time() * 1000)

    def send(self, body: bytes) -> None:
        request = AWSRequest("POST", self.write_url, data=body, headers=HEADERS)
        SigV4Auth(self.credentials.get_frozen_credentials(), "aps", os.environ["AWS_REGION"]).add_auth(request)
        self.http.post(self.write_url, data=body, headers=dict(request.headers), timeout=10).raise_for_status()


def encoded(samples: list[Sample]) -> bytes:
    request = WriteRequest()
    for labels, value, timestamp_ms in samples:
        series = request.timeseries.add()
        for name, text in labels:
            series.labels.add(name=name, value=text)
        series.samples.add(value=value, timestamp=timestamp_ms)
    encoded_bytes: bytes = request.SerializeToString()
    return encoded_bytes


_script: Script | None = None


def handler(event: Any, context: Any) -> dict[str, int]:
    global _script
    if _script is None:
        _script = Script()
    return {"sent": _script.run()}


def prepare(place: Place) -> Push:
    os.environ |= {"API_URL": place.api_url, "REMOTE_WRITE_URL": place.write_url}

    def push() -> None:
        handler({}, None)

    return push
