"""Candidate: prometheus-remote-writer from PyPI. It encodes, batches and posts; without SigV4 it goes unsigned."""

from __future__ import annotations

import json
import time

import requests
from prometheus_remote_writer import RemoteWriter

from bench.place import BATCH, JOB, METRIC, Place, Push


def prepare(place: Place) -> Push:
    writer = RemoteWriter(url=place.write_url, max_series_per_request=BATCH, sort_labels=True)
    http = requests.Session()
    target = {"job": JOB, "instance": place.instance}

    def push() -> None:
        answer = http.get(place.api_url, timeout=10)
        answer.raise_for_status()
        metrics = [
            {
                "metric": {"__name__": METRIC, **target, "projectCode": record["projectCode"]},
                "values": [record["apiRequestCount"]],
                "timestamps": [record["currentTime"] * 1000],
            }
            for record in json.loads(answer.content)
        ]
        up = {"metric": {"__name__": "up", **target}, "values": [1.0], "timestamps": [int(time.time() * 1000)]}
        writer.send([*metrics, up])

    return push
