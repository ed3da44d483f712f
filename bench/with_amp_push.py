"""Candidate: amp-push from PyPI. It encodes, signs and posts; asking the API and cutting batches are the caller's."""

from __future__ import annotations

import json
from datetime import UTC, datetime

import requests
from amp_push import AMPClient, Metric

from bench.place import BATCH, JOB, METRIC, REGION, WORKSPACE, Place, Push


class _Client(AMPClient):
    """Writes to the bench: the address is the one thing that the package does not let its caller choose."""

    def __init__(self, write_url: str) -> None:
        super().__init__(workspace_id=WORKSPACE, region=REGION)
        self._write_url = write_url

    @property
    def remote_write_url(self) -> str:
        return self._write_url


def prepare(place: Place) -> Push:
    client, http = _Client(place.write_url), requests.Session()
    target = {"job": JOB, "instance": place.instance}

    def push() -> None:
        answer = http.get(place.api_url, timeout=10)
        answer.raise_for_status()
        metrics = [
            Metric(
                METRIC,
                record["apiRequestCount"],
                labels={**target, "projectCode": record["projectCode"]},
                timestamp=datetime.fromtimestamp(record["currentTime"], UTC),
            )
            for record in json.loads(answer.content)
        ]
        metrics.append(Metric("up", 1.0, labels=target))
        for start in range(0, len(metrics), BATCH):
            client.push(metrics[start : start + BATCH])

    return push
