"""The other side of the spool's bench: an API, a receiver that takes or refuses, and a bucket."""

from __future__ import annotations

import time
from typing import Any

from bench.side import obey
from sandbox.s3 import ObjectStore
from sandbox.server import Answer, LoopbackServer, Request

LATER = {"Retry-After": "3600"}  # so that a run gives up at once


class Other:
    """Records are asked for by their number: `/records/1000`. `is_down` makes the receiver refuse."""

    def __init__(self) -> None:
        self.is_down, self.delay_seconds = False, 0.0
        self.server = LoopbackServer(self._respond)
        self.bucket = ObjectStore(auth=None)

    def _respond(self, request: Request) -> Answer:
        if request.method == "POST":
            return Answer(503, LATER) if self.is_down else Answer(200)
        time.sleep(self.delay_seconds)
        count, now = int(request.path.rpartition("/")[2]), int(time.time() * 1000)
        records = [f'{{"currentTime":{now},"apiRequestCount":{n * 7},"projectCode":"p{n}"}}' for n in range(count)]
        return Answer(200, {"Content-Type": "application/json"}, f"[{','.join(records)}]".encode())

    def be(self, *, down: bool = False, delay_seconds: float = 0.0) -> dict[str, Any]:
        self.is_down, self.delay_seconds = down, delay_seconds
        self.bucket.counts.clear()
        return {}

    def told(self) -> dict[str, Any]:
        return {"counts": dict(self.bucket.counts)}


if __name__ == "__main__":
    other = Other()
    urls = {"base_url": other.server.base_url, "s3_url": other.bucket.base_url}
    obey(urls, {"be": other.be, "told": other.told})
