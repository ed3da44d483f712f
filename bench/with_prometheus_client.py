"""Candidate: a script around prometheus_client's parser, as it is written with the packages at hand: protobuf objects,
snappy, requests-aws4auth. One target, no retries, no accounting; connections are kept between pushes."""

from __future__ import annotations

import gzip
import http.client
import time
from collections.abc import Iterator
from urllib.parse import urlsplit

import requests
import snappy
from prometheus_client.parser import text_string_to_metric_families
from requests_aws4auth import AWS4Auth

from bench.place import ACCESS_KEY, BATCH, JOB, REGION, SECRET_KEY, SESSION_TOKEN, Place, Push
from bench.plain import HEADERS, encoded

Sample = tuple[dict[str, str], float]


def prepare(place: Place) -> Push:
    source, receiver = urlsplit(place.api_url), urlsplit(place.write_url)
    scraped = http.client.HTTPConnection(source.netloc, timeout=60)
    written = http.client.HTTPConnection(receiver.netloc, timeout=60)
    auth = AWS4Auth(ACCESS_KEY, SECRET_KEY, REGION, "aps", session_token=SESSION_TOKEN)
    target = {"instance": place.instance, "job": JOB}

    def push() -> None:
        now_ms = time.time_ns() // 1_000_000
        scraped.request("GET", source.path, headers={"Accept-Encoding": "gzip", "Accept": "text/plain;version=0.0.4"})
        text = gzip.decompress(scraped.getresponse().read()).decode()
        waiting: list[Sample] = []
        for sample in samples(text, target):
            waiting.append(sample)
            if len(waiting) == BATCH:
                send(waiting, now_ms)
                waiting = []
        send([*waiting, ({"__name__": "up", **target}, 1.0)], now_ms)

    def send(found: list[Sample], now_ms: int) -> None:
        body = snappy.compress(encoded([(sorted(labels.items()), value, now_ms) for labels, value in found]))
        request = auth(requests.Request("POST", place.write_url, headers=HEADERS, data=body).prepare())
        written.request("POST", receiver.path, body, dict(request.headers))
        answer = written.getresponse()
        answer.read()
        if answer.status != 200:
            raise RuntimeError(f"the receiver answered {answer.status}")

    return push


def samples(text: str, target: dict[str, str]) -> Iterator[Sample]:
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            yield {"__name__": sample.name, **sample.labels, **target}, sample.value
